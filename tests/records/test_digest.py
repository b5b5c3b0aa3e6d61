"""The digest names the content, not the way it was written down."""

from __future__ import annotations

import duckdb
import pandas as pd
import pytest

from pipeline.records import standardise
from tests.drawn import drawn

MEASUREMENTS = drawn("""
    patient_id | code       | value | unit  | measured_at | known_at
    p1         | creatinine | 1.1   | mg/dL | 2019-01-01  | 2019-01-02
    p1         | ldh        | 200   | U/L   | 2019-01-03  |
    p1         | ldh        | 200   | U/L   | 2019-01-03  |
    p2         | hemoglobin | 9.25  | g/dL  | 2019-02-01  |
""")


def test_the_order_of_rows_and_columns_does_not_change_the_digest(read, basic):
    _, report = read(measurements=MEASUREMENTS)
    turned = {name: frame.iloc[::-1, ::-1] for name, frame in basic.items()}
    _, other = read(basic=False, measurements=MEASUREMENTS.iloc[[2, 0, 3, 1]], **turned)

    assert report.digest == other.digest
    assert len(report.digest) == 64


def test_the_order_of_many_rows_does_not_change_the_digest(read):
    many = pd.concat([MEASUREMENTS.assign(value=str(100 + number)) for number in range(250)], ignore_index=True)
    many = many[many["code"] == "ldh"]
    _, report = read(measurements=many)
    _, other = read(measurements=many.sample(frac=1, random_state=7))

    assert report.rows["measurements"] == 500
    assert report.digest == other.digest


@pytest.mark.parametrize(
    "table, column, value",
    [
        ("measurements", "value", "1.1000001"),
        ("measurements", "known_at", "2019-01-04"),
        ("patients", "sex", "unknown"),
        ("decisions", "decision_date", "2019-04-02"),
        ("lines", "end_date", ""),
    ],
)
def test_one_changed_cell_changes_the_digest(read, basic, table, column, value):
    tables = {**basic, "measurements": MEASUREMENTS}
    changed = tables[table].copy()
    changed.loc[0, column] = value or None

    _, before = read(basic=False, **tables)
    _, after = read(basic=False, **{**tables, table: changed})
    assert before.passed and after.passed
    assert before.digest != after.digest


def test_a_row_recorded_twice_is_another_content(read):
    _, twice = read(measurements=MEASUREMENTS)
    _, once = read(measurements=MEASUREMENTS.drop_duplicates())

    assert twice.digest != once.digest


def test_values_that_change_places_between_rows_change_the_digest(read):
    turned = MEASUREMENTS.assign(measured_at=["2019-01-03", "2019-01-01", "2019-01-03", "2019-02-01"], known_at=None)
    plain = MEASUREMENTS.assign(known_at=None)

    assert read(measurements=plain)[1].digest != read(measurements=turned)[1].digest


@pytest.mark.parametrize(
    "one, other",
    [
        (("ab", "c"), ("a", "bc")),
        (("s", None), (None, "s")),
        (("x\x1frecorded\x1fs", "t"), ("x", "s\x1frecorded\x1ft")),
        (("x\x1f1", "t"), ("x", "1\x1ft")),
    ],
)
def test_where_one_text_ends_and_the_next_begins_is_part_of_the_content(read, basic, one, other):
    digests = set()
    for product, site in (one, other):
        decisions = basic["decisions"].assign(product=[product, None], site_id=[site, None])
        digests.add(read(basic=False, **{**basic, "decisions": decisions})[1].digest)
    assert len(digests) == 2


def test_csv_parquet_and_duckdb_files_have_one_digest(tmp_path, read, basic, contract, contract_source):
    from pipeline.store import open_records

    tables = {**basic, "measurements": MEASUREMENTS}
    csv, parquet, database = tmp_path / "csv", tmp_path / "parquet", tmp_path / "records.duckdb"
    csv.mkdir()
    parquet.mkdir()
    with duckdb.connect(str(database)) as made:
        for name, frame in tables.items():
            typed = frame.copy()
            for column in typed.columns:
                if column.endswith(("_date", "_at")):
                    typed[column] = pd.to_datetime(typed[column])
                elif column in ("value", "line_number"):
                    typed[column] = pd.to_numeric(typed[column])
            frame.to_csv(csv / f"{name}.csv", index=False)
            typed.iloc[::-1].to_parquet(parquet / f"{name}.parquet", index=False)
            made.register("frame", typed)
            made.execute(f"CREATE TABLE {name} AS SELECT * FROM frame")
            made.unregister("frame")

    digests = set()
    for path in (csv, parquet, database):
        connection = open_records(path)
        report = standardise(connection, contract, contract_source)
        assert report.passed, [found.message for found in report.errors]
        digests.add(report.digest)
        connection.close()
    digests.add(read(measurements=MEASUREMENTS)[1].digest)
    assert len(digests) == 1
