"""Every rule of the contract has a drawn table that breaks it, and its message in full."""

from __future__ import annotations

import pandas as pd
import pytest

from pipeline.errors import SchemaError
from pipeline.records import raise_on_errors
from tests.drawn import drawn


def messages(report, severity="error"):
    return [found.message for found in report.findings if found.severity == severity]


def test_records_that_keep_the_contract_pass(read):
    _, report = read()

    assert messages(report) == []
    assert report.passed
    raise_on_errors(report)


def test_a_missing_required_table_is_an_error_that_says_what_to_add(read):
    _, report = read(lines=None)

    assert messages(report) == [
        "lines: there is no such table. Records need at least one row per patient_id, line_number; "
        "add lines.csv or lines.parquet, or choose the source configuration that fits. Checks that need it were not "
        "run.",
    ]


def test_a_required_table_without_rows_is_an_error(read, basic):
    _, report = read(decisions=basic["decisions"].head(0))

    assert messages(report)[0].startswith("decisions: the table has no row left. Records need at least one row per")


def test_an_optional_table_may_be_missing(read):
    connection, report = read()

    assert report.rows["measurements"] == 0
    assert connection.execute("SELECT count(*) FROM availability").fetchall() == [(0,)]


def test_a_missing_required_column_is_an_error(read, basic):
    _, report = read(decisions=basic["decisions"].drop(columns="decision_date"))

    assert messages(report) == [
        "decisions: required column 'decision_date' is missing. Wanted decision_id, patient_id, decision_date, "
        "site_id, modality, product, treatment_start_date; export it, or map another column with a "
        "source configuration. Checks that need it were not run."
    ]


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("patients", None),
        ("decisions", None),
        ("patients", "patient_id"),
        ("decisions", "decision_id"),
        ("decisions", "patient_id"),
        ("lines", "start_date"),
        ("drugs", "drug"),
    ],
)
def test_what_is_not_there_is_told_once(read, basic, table, column):
    availability = pd.DataFrame({"decision_id": ["d1"], "modality": ["car_t"], "available": ["true"]})
    _, report = read(availability=availability, **{table: basic[table].drop(columns=column) if column else None})

    assert [(found.table, found.rule) for found in report.errors] == [
        (table, "missing_column" if column else "missing_table")
    ]
    assert report.errors[0].message.endswith("Checks that need it were not run.")


def test_a_file_without_a_header_line_is_told_without_its_first_row(read):
    headless = drawn("""
        p1 | 1 | 2018-02-01
        p2 | 1 | 2016-07-01
    """)
    _, report = read(lines=headless)

    first = next(found for found in report.findings if found.rule == "no_header")
    assert first.message.startswith("lines: none of its columns is in the file's first line. Wanted patient_id,")
    assert "2018-02-01" not in "".join(found.message for found in report.findings)


def test_an_unknown_column_and_an_unknown_table_are_noted_and_ignored(read, basic):
    _, report = read(patients=basic["patients"].assign(shoe_size="9"), pathology=basic["patients"])

    assert "patients: column 'shoe_size' is not in the contract and is ignored." in messages(report, "info")
    assert messages(report, "info")[-1].startswith("pathology: no table of this name is read; it is ignored.")
    assert report.passed


def test_the_truth_table_beside_simulated_records_is_never_read(read, basic):
    _, report = read(truth=basic["patients"])

    assert [found for found in report.findings if found.table == "truth"] == []


@pytest.mark.parametrize(
    "line, column, rule, message",
    [
        (
            "     | 2 | 2019-03-01 |            | ",
            "patient_id",
            "required",
            "lines.patient_id: 1 of 3 rows (row 3) are empty. A value is required; "
            "complete it, or leave the row out and say so in the source.",
        ),
        (
            "p1 | two | 2019-03-01 |            | ",
            "line_number",
            "type",
            "lines.line_number: 1 of 3 rows (row 3) cannot be read. Wanted a whole number; "
            "mend the file, or map the column in the source.",
        ),
        (
            "p1 | 2.5 | 2019-03-01 |            | ",
            "line_number",
            "type",
            "lines.line_number: 1 of 3 rows (row 3) cannot be read. Wanted a whole number; "
            "mend the file, or map the column in the source.",
        ),
        (
            "p1 | 0 | 2019-03-01 |            | ",
            "line_number",
            "range",
            "lines.line_number: 1 of 3 rows (row 3) are out of range. Wanted 1.0 to 40.0; leave unknown values empty.",
        ),
        (
            "p1 | 2 | 01.03.2019 |            | ",
            "start_date",
            "type",
            "lines.start_date: 1 of 3 rows (row 3) cannot be read. Wanted an ISO date such as 2024-03-01; "
            "mend the file, or map the column in the source.",
        ),
        (
            "p1 | 2 | 2019-02-29 |            | ",
            "start_date",
            "type",
            "lines.start_date: 1 of 3 rows (row 3) cannot be read. Wanted an ISO date such as 2024-03-01; "
            "mend the file, or map the column in the source.",
        ),
        (
            "p1 | 2 | 2019-03-01 | 9999-12-31 | ",
            "end_date",
            "range",
            "lines.end_date: 1 of 3 rows (row 3) are out of range. Wanted 1900-01-01 to 2199-12-31; "
            "leave unknown values empty.",
        ),
        (
            "p1 | 2 | 2019-03-01 | 2019-02-28 | ",
            "end_date",
            "order",
            "lines.end_date: 1 of 3 rows (row 3) have end_date before start_date. "
            "Swap or mend the dates, or leave the unknown one empty.",
        ),
        (
            "p1 | 2 | 2019-03-01 |            | good",
            "best_response",
            "enum",
            "lines.best_response: 1 of 3 rows (row 3) hold another value than sCR, CR, VGPR, PR, MR, SD, PD, NE. "
            "Map local values in the source.",
        ),
        (
            "p1 | 1 | 2019-03-01 |            | ",
            "patient_id, line_number",
            "key",
            "lines.patient_id, line_number: 1 of 3 rows (row 3) repeat the key (patient_id, line_number) of an earlier "
            "row. One row per patient_id, line_number is wanted; remove or merge the repeats.",
        ),
        (
            "p9 | 1 | 2019-03-01 |            | ",
            "patient_id",
            "reference",
            "lines.patient_id: 1 of 3 rows (row 3) have no row in patients. "
            "Add the missing patients rows, or leave these rows out of the export.",
        ),
    ],
)
def test_each_broken_rule_says_where_how_many_what_is_wanted_and_what_next(read, line, column, rule, message):
    lines = drawn(f"""
        patient_id | line_number | start_date | end_date | best_response
        -----------+-------------+------------+----------+--------------
        p1         | 1           | 2018-02-01 |          | VGPR
        p2         | 1           | 2016-07-01 |          |
        {line}
    """)
    _, report = read(lines=lines)

    assert [(found.column, found.rule, found.count, found.total, found.ordinals) for found in report.errors] == [
        (column, rule, 1, 3, (3,)),
    ]
    assert messages(report) == [message]
    with pytest.raises(SchemaError) as raised:
        raise_on_errors(report)
    assert str(raised.value) == f"records (contract): 1 problem\n  - {message}"
    assert raised.value.exit_code == 11


@pytest.mark.parametrize("known_at, broken", [("2024-02-29", True), ("2024-03-01", False), ("2024-03-02", False)])
def test_a_result_cannot_be_known_before_its_day(read, known_at, broken):
    _, report = read(
        measurements=drawn(f"""
            patient_id | code       | value | measured_at | unit  | known_at
            p1         | creatinine | 1.1   | 2024-03-01  | mg/dL | {known_at}
        """)
    )

    expected = [
        "measurements.known_at: 1 of 1 rows (row 1) have known_at before measured_at. A fact cannot be known before it "
        "happens; mend known_at, or leave it empty and declare lag_days in the source."
    ]
    assert messages(report) == (expected if broken else [])


@pytest.mark.parametrize("end, broken", [("2018-01-31", True), ("2018-02-01", False), ("", False)])
def test_a_line_may_end_on_its_first_day_and_not_before(read, end, broken):
    lines = drawn(f"""
        patient_id | line_number | start_date | end_date
        p1         | 1           | 2018-02-01 | {end}
    """)
    _, report = read(lines=lines, drugs=drawn("patient_id | drug | start_date \n p1 | bortezomib | 2018-02-01"))

    assert [found.rule for found in report.errors] == (["order"] if broken else [])


def test_a_finding_with_a_value_its_code_does_not_allow_is_an_error(read):
    _, report = read(
        findings=drawn("""
            patient_id | code      | value       | found_at
            p1         | del17p    | present     | 2019-01-01
            p1         | del1p32   | monoallelic | 2019-01-01
            p1         | del17p    | monoallelic | 2019-01-01
            p1         | iss_stage | 2           | 2019-01-01
        """)
    )

    assert messages(report) == [
        "findings.value: 1 of 4 rows (row 3) of del17p hold another value than present, absent. "
        "Map local values in the source; leave out unknown ones.",
        "findings.value: 1 of 4 rows (row 4) of iss_stage hold another value than I, II, III. "
        "Map local values in the source; leave out unknown ones.",
    ]


def test_an_unknown_finding_code_is_set_aside_with_a_warning(read):
    connection, report = read(
        findings=drawn("""
            patient_id | code      | value   | found_at
            p1         | del17p    | present | 2019-01-01
            p1         | astrology | present | 2019-01-01
        """)
    )

    assert report.passed
    assert messages(report, "warning") == [
        "findings.code: 1 of 2 rows (row 2) have a code that the contract does not list; they are set aside. "
        "Map local codes in the source."
    ]
    assert connection.execute("SELECT code FROM findings").fetchall() == [("del17p",)]
    assert connection.execute("SELECT row_ordinal, reason FROM findings_set_aside").fetchall() == [(2, "unknown_code")]


def test_an_unknown_drug_is_kept_as_other_with_a_warning(read, basic):
    drugs = drawn("""
        patient_id | drug       | start_date
        p1         | Bortezomib | 2018-02-01
        p1         | snake oil  | 2018-02-01
    """)
    connection, report = read(known_drugs=["bortezomib"], drugs=drugs)

    assert messages(report, "warning") == [
        "drugs.drug: 1 of 2 rows (row 2) name a drug that the catalogue does not list; they are kept as `other`. "
        "Add it, or map its local name."
    ]
    assert connection.execute("SELECT drug FROM drugs ORDER BY row_ordinal").fetchall() == [("bortezomib",), ("other",)]


def test_a_course_of_a_line_that_is_not_recorded_is_a_warning(read):
    _, report = read(drugs=drawn("patient_id | drug | start_date | line_number \n p1 | bortezomib | 2018-02-01 | 7"))

    assert report.passed
    assert [(found.column, found.rule) for found in report.findings if found.severity == "warning"] == [
        ("patient_id, line_number", "reference")
    ]


@pytest.mark.parametrize("cell", ["NaN", "inf", "-Infinity", "nan"])
def test_a_number_that_is_not_finite_is_empty_and_counted(read, cell):
    connection, report = read(
        availability=drawn(f"""
            decision_id | modality | available | wait_days
            d1          | car_t    | true      | {cell}
            d1          | adc      | 0         | 7
        """)
    )

    assert connection.execute("SELECT available, wait_days FROM availability ORDER BY row_ordinal").fetchall() == [
        (True, None),
        (False, 7.0),
    ]
    assert [(found.column, found.count) for found in report.findings if found.rule == "not_finite"] == [
        ("wait_days", 1)
    ]


@pytest.mark.parametrize("cell", ["1_000", "1,5", "0x10", "1e999", "<5", "ten"])
def test_what_is_not_a_plain_decimal_number_is_not_read_as_one(read, cell):
    _, report = read(
        measurements=drawn(f"patient_id | code | value | unit | measured_at \n p1 | ldh | {cell} | U/L | 2019-01-01")
    )

    assert [(found.column, found.rule) for found in report.errors] == [("value", "type")]


@pytest.mark.parametrize("cell", ["2019-01-01 23:59:59", "2019-01-01T00:00:00.000000", "2019-01-01"])
def test_a_time_of_day_is_cut_off(read, cell):
    connection, report = read(
        measurements=drawn(f"patient_id | code | value | unit | measured_at \n p1 | ldh | 200 | U/L | {cell}")
    )

    assert report.passed
    assert str(connection.execute("SELECT measured_at FROM measurements").fetchall()[0][0]) == "2019-01-01"


def test_a_cell_of_absurd_length_is_an_error(read, basic):
    patients = basic["patients"].assign(site_id=["x" * 1000, "x" * 1001])
    _, report = read(patients=patients)

    assert [(found.column, found.rule, found.ordinals) for found in report.errors] == [("site_id", "length", (2,))]


def test_only_the_first_five_rows_are_named(read, basic):
    many = drawn("patient_id | drug | start_date" + "\n p7 | bortezomib | 2018-02-01" * 9)
    _, report = read(drugs=many)

    assert report.errors[0].ordinals == (1, 2, 3, 4, 5)
    assert "9 of 9 rows (row 1, 2, 3, 4, 5, ...)" in report.errors[0].message


def test_every_problem_is_told_at_once(read, basic):
    broken = drawn("""
        patient_id | birth_date | sex
        p1         | yesterday  | f
        p1         | 1950-01-01 | female
    """)
    _, report = read(patients=broken)

    assert {(found.table, found.rule) for found in report.errors} == {
        ("patients", "type"),
        ("patients", "enum"),
        ("patients", "key"),
        ("lines", "reference"),
        ("drugs", "reference"),
        ("decisions", "reference"),
    }


TOKEN = "zq-planted-71"


@pytest.mark.parametrize("table", ["patients", "lines", "drugs", "decisions", "measurements", "findings", "events"])
def test_no_planted_value_reaches_a_finding_or_an_error(read, contract, basic, table):
    columns = contract[table].columns
    planted = drawn(" | ".join(columns) + "\n" + " | ".join([TOKEN] * len(columns)))
    doubled = planted.loc[[0, 0]]
    _, report = read(known_drugs=["bortezomib"], **{table: doubled})

    told = "\n".join([*(found.message for found in report.findings), *(str(step) for step in report.attrition)])
    assert report.findings
    assert TOKEN not in told
    with pytest.raises(SchemaError) as raised:
        raise_on_errors(report)
    assert TOKEN not in str(raised.value)
