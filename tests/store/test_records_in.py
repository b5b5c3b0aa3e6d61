"""Do records come in whole, as the same text whatever the format, and with no value in a message?"""

from __future__ import annotations

import datetime as dt
import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import ConfigError, SchemaError
from pipeline.store import open_records, read_stamp, write_records
from tests.store.conftest import SECRET

HEADER = b"patient_id,code,value,measured_at\n"
CSV = HEADER + b'p1,crp,1.5,2024-03-01\np1,"a, ""b""\nc",,2024-03-02\np2,,0.1,\n'
ROWS = [
    ("p1", "crp", "1.5", "2024-03-01", 1),
    ("p1", 'a, "b"\nc', None, "2024-03-02", 2),
    ("p2", None, "0.1", None, 3),
]
TYPED = pa.table(
    {
        "patient_id": ["p1", "p1", "p2"],
        "code": pa.array(["crp", 'a, "b"\nc', ""]).dictionary_encode(),
        "value": [1.5, float("nan"), 0.1],
        "measured_at": pa.array([dt.date(2024, 3, 1), dt.date(2024, 3, 2), None]),
    }
)


def _as_csv(folder: Path) -> Path:
    (folder / "measurements.csv").write_bytes(CSV)
    return folder


def _as_windows_csv(folder: Path) -> Path:
    text = CSV.replace(b"\n", b"\r\n").replace(b'""\r\nc', b'""\nc')
    (folder / "measurements.csv").write_bytes(b"\xef\xbb\xbf" + text)
    return folder


def _as_gzip(folder: Path) -> Path:
    (folder / "measurements.csv.gz").write_bytes(gzip.compress(CSV))
    return folder


def _as_parquet(folder: Path) -> Path:
    pq.write_table(TYPED, folder / "measurements.parquet")
    return folder


def _as_duckdb(folder: Path) -> Path:
    with duckdb.connect(str(folder / "records.duckdb")) as made:
        made.register("typed", TYPED)
        made.execute("CREATE TABLE measurements AS SELECT * FROM typed")
    return folder / "records.duckdb"


@pytest.mark.parametrize("write", [_as_csv, _as_windows_csv, _as_gzip, _as_parquet, _as_duckdb])
def test_every_format_gives_the_same_text_in_file_order(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    connection = open_records(write(tmp_path))

    assert connection.execute("SELECT * FROM extract_measurements ORDER BY row_ordinal").fetchall() == ROWS
    types = connection.execute("SELECT data_type FROM duckdb_columns() WHERE table_name LIKE 'extract%'").fetchall()
    assert [kind for (kind,) in types] == ["VARCHAR"] * 4 + ["BIGINT"]


def test_each_type_of_a_parquet_file_has_one_spelling(tmp_path: Path) -> None:
    noon = dt.datetime(2024, 3, 1, 12, 30)
    table = pa.table(
        {
            "moment": [noon, dt.datetime(2024, 3, 1)],
            "nano": pa.array([noon, None], pa.timestamp("ns")),
            "zoned": pa.array([noon.replace(tzinfo=dt.UTC), None]),
            "part": [noon.replace(microsecond=250_000), None],
            "whole": [7, None],
            "real": pa.array([float("inf"), 0.1], pa.float32()),
            "told": [True, None],
            "exact": pa.array([1, 2]).cast(pa.decimal128(21, 1)),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")

    first, second = open_records(tmp_path).execute("SELECT * EXCLUDE row_ordinal FROM extract_t").fetchall()
    moment = "2024-03-01T12:30:00"
    assert first == (moment, moment, moment, "2024-03-01T12:30:00.250000", "7", None, "true", "1.0")
    assert second == ("2024-03-01", None, None, None, None, "0.1", None, "2.0")


def test_file_order_survives_many_rows_and_threads(tmp_path: Path) -> None:
    (tmp_path / "lines.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(300_000)))

    opened = open_records(tmp_path, threads=2, memory_limit="500MB")
    assert opened.execute("SELECT count(*) FROM extract_lines WHERE n::BIGINT + 1 <> row_ordinal").fetchone() == (0,)


def test_the_connection_cannot_reach_the_world_but_takes_frames(tmp_path: Path) -> None:
    connection = open_records(_as_csv(tmp_path))
    connection.register("handed", pd.DataFrame({"x": [1]}))

    assert connection.execute("SELECT x FROM handed").fetchall() == [(1,)]
    for statement in (
        f"SELECT * FROM read_text('{tmp_path}/measurements.csv')",
        f"COPY extract_measurements TO '{tmp_path}/out.csv'",
        f"ATTACH '{tmp_path}/new.duckdb'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
    ):
        with pytest.raises(duckdb.Error):
            connection.execute(statement)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (HEADER + f"p1,crp,1,2024-01-01\n{SECRET},crp".encode(), "line 3: got 2 cells, wanted 4"),
        (HEADER + f"{SECRET},crp,1,2,3\n".encode(), "line 2: got 5 cells, wanted 4"),
        (HEADER + f'"{SECRET},crp,1,2\n'.encode(), "line 2: a quoted cell does not end"),
        (HEADER + f"{SECRET}\xff,crp,1,2\n".encode("latin-1"), "line 2: not UTF-8"),
        (HEADER + f"{SECRET},crp,1,2\r\np,q,r,s\n".encode(), "not CSV as agreed"),
        (HEADER + b"p1,crp,1," + SECRET.encode() * 400_000 + b"\n", "longer than 2 MB|not CSV as agreed"),
        (HEADER.decode().encode("utf-16"), "byte 1 is not UTF-8|not UTF-8 text"),
        (HEADER.decode().encode("utf-16-le"), "not UTF-8 text"),
        (b"", "got an empty file"),
        (b"\n1,2\n", "got an empty file"),
        (b"a;b\n1;2\n", "got one column"),
        (b'a,"b\n1,2\n', "the header line is not CSV"),
        (b"a,,b\n1,2,3\n", "1 of 3 columns have no name"),
        (b"a,b,A\n1,2,3\n", "2 columns share a name, first columns 1 and 3"),
        (b"a,row_ordinal\n1,2\n", "is named 'row_ordinal'"),
    ],
)
def test_a_broken_csv_is_refused_without_its_content(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "measurements.csv").write_bytes(content)

    with pytest.raises(SchemaError, match=said) as refused:
        open_records(tmp_path)
    assert "measurements.csv" in str(refused.value)
    assert SECRET not in str(refused.value)
    assert refused.value.exit_code == 11
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@pytest.mark.parametrize("kept", [0, 4, 15, 60, -1])
def test_a_cut_gzip_is_refused(tmp_path: Path, kept: int) -> None:
    (tmp_path / "measurements.csv.gz").write_bytes(gzip.compress(CSV * 50)[:kept])

    with pytest.raises(SchemaError, match=r"measurements\.csv\.gz"):
        open_records(tmp_path)


@pytest.mark.parametrize("kept", [0, 3, 100, -1, -9])
def test_a_cut_parquet_file_is_refused(tmp_path: Path, kept: int) -> None:
    path = _as_parquet(tmp_path) / "measurements.parquet"
    path.write_bytes(path.read_bytes()[:kept])

    with pytest.raises(SchemaError, match=r"measurements\.parquet: cannot be read"):
        open_records(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a database, but " + SECRET.encode() * 1000])
def test_a_foreign_database_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "records.duckdb").write_bytes(content)

    with pytest.raises(SchemaError, match=r"records\.duckdb") as refused:
        open_records(tmp_path / "records.duckdb")
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("column", "kind"),
    [(pa.array([[1], [2]]), r"BIGINT\[\]"), (pa.array([b"a", b"b"]), "BLOB"), (pa.array([{"a": 1}, None]), "STRUCT")],
)
def test_a_nested_or_binary_column_is_refused(tmp_path: Path, column: pa.Array, kind: str) -> None:
    pq.write_table(pa.table({"notes": column}), tmp_path / "findings.parquet")

    with pytest.raises(SchemaError, match=rf"findings\.parquet: column 'notes' has type {kind}"):
        open_records(tmp_path)


@pytest.mark.parametrize("database", [False, True])
def test_a_column_in_which_nothing_was_ever_written_is_an_empty_text_column(tmp_path: Path, database: bool) -> None:
    source = tmp_path
    if database:
        source = tmp_path / "records.duckdb"
        with duckdb.connect(str(source)) as made:
            made.execute("CREATE TABLE patients AS SELECT 'p1' AS patient_id, NULL AS race")
    else:
        pq.write_table(pa.table({"patient_id": ["p1"], "race": pa.nulls(1)}), tmp_path / "patients.parquet")

    connection = open_records(source)
    assert connection.execute("SELECT patient_id, race FROM extract_patients").fetchall() == [("p1", None)]
    types = connection.execute("SELECT data_type FROM duckdb_columns() WHERE column_name = 'race'").fetchall()
    assert types == [("VARCHAR",)]


def test_what_is_not_records_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    for place, said in (
        ("absent", "got no such path"),
        ("note.txt", "got a file of another kind"),
        ("empty", "got no tab"),
    ):
        (tmp_path / "note.txt").write_text("x")
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(SchemaError, match=said):
            open_records(tmp_path / place)
    with pytest.raises(SchemaError, match=r"2 entries are not tables, first 'empty'"):
        open_records(tmp_path)


def test_a_readme_and_hidden_files_stand_aside_but_a_workbook_does_not(tmp_path: Path) -> None:
    _as_csv(tmp_path)
    for name in ("README.md", ".hidden", "_SUCCESS"):
        (tmp_path / name).write_text("x")
    assert open_records(tmp_path).execute("SELECT count(*) FROM extract_measurements").fetchone() == (3,)

    (tmp_path / "lines.xlsx").write_bytes(b"x")
    with pytest.raises(SchemaError, match=r"first 'lines\.xlsx'; wanted only"):
        open_records(tmp_path)


def test_two_files_for_one_table_are_refused(tmp_path: Path) -> None:
    _as_csv(tmp_path)
    _as_parquet(tmp_path)

    with pytest.raises(SchemaError, match="names the same table as"):
        open_records(tmp_path)


def test_a_table_may_have_a_header_and_no_rows(tmp_path: Path) -> None:
    (tmp_path / "preferences.csv").write_bytes(b"decision_id,outcome,weight\n")

    assert open_records(tmp_path).execute("SELECT count(*) FROM extract_preferences").fetchone() == (0,)


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ({"files": {"measurements.csv": {"rows": 4}}}, "got 3 rows, manifest.json says 4"),
        ({"files": {"measurements.csv": {"rows": 3, "sha256": "0"}}}, "its content is not what"),
        ({"files": {"lines.csv": {"rows": 1}}}, "lists lines.csv, which is missing"),
        ({"files": {"measurements.csv": 3}}, "wanted"),
    ],
)
def test_a_manifest_is_held_against_the_files(tmp_path: Path, manifest: object, said: str) -> None:
    _as_csv(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))

    with pytest.raises(SchemaError, match=said):
        open_records(tmp_path)


@pytest.mark.parametrize(
    ("memory_limit", "threads", "said"),
    [
        ("plenty", 1, "got 'plenty', wanted a number with its unit such as 512MB"),
        ("5", None, "got '5', wanted a number with its unit"),
        ("0GB", None, "got '0GB', wanted a number with its unit"),
        ("80%", None, "got '80%', wanted a number with its unit"),
        ("1GB", 0, "got 0 threads, wanted at least one"),
        ("1KB", None, "--memory 1KB did not suffice for the records. Give more, such as --memory 2GB"),
        ("1MB", None, "--memory 1MB did not suffice for the records. Give more, such as --memory 2GB"),
    ],
)
def test_a_limit_that_is_none_or_too_little_is_told_as_what_was_given(
    tmp_path: Path, memory_limit: str, threads: int | None, said: str
) -> None:
    (tmp_path / "measurements.csv").write_bytes(HEADER + b"p1,crp,1.5,2024-03-01\n" * 20_000)

    with pytest.raises(ConfigError, match=re.escape(said)):
        open_records(tmp_path, memory_limit=memory_limit, threads=threads)


TABLES = {
    "patients": pd.DataFrame({"patient_id": ["p1", "p2"], "birth_date": [dt.date(1950, 1, 2), None]}),
    "lines": pd.DataFrame({"patient_id": ["p1"], "line_number": pd.array([2], "Int64")}),
}


def test_written_records_read_back_with_their_stamp(tmp_path: Path) -> None:
    write_records(TABLES, tmp_path / "out", stamp={"simulated": "true"})

    connection = open_records(tmp_path / "out")
    assert connection.execute("SELECT * FROM extract_patients").fetchall() == [("p1", "1950-01-02", 1), ("p2", None, 2)]
    assert connection.execute("SELECT * FROM extract_lines").fetchall() == [("p1", "2", 1)]
    assert connection.execute("SELECT * FROM records_stamp").fetchall() == [("simulated", "true")]
    assert read_stamp(tmp_path / "out") == {"simulated": "true"}
    assert read_stamp(tmp_path) == {}


def test_records_are_written_to_the_same_bytes_and_over_their_like_only(tmp_path: Path) -> None:
    write_records(TABLES, tmp_path / "one")
    write_records({"old": TABLES["lines"]}, tmp_path / "two")
    write_records(dict(reversed(TABLES.items())), tmp_path / "two")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one == two
    (tmp_path / "two" / "mine.txt").write_text("x")
    with pytest.raises(ConfigError, match="4 entries that are not simulated records"):
        write_records(TABLES, tmp_path / "two")
    assert (tmp_path / "two" / "mine.txt").read_text() == "x"
