"""A source configuration maps another shape; what it drops, repairs or cannot map is counted and named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.declared import parse_yaml
from pipeline.errors import ConfigError
from pipeline.records import parse_source
from pipeline.records import source as language
from tests.drawn import drawn

MAPPED = {
    "id": "clinic",
    "label": "A clinic",
    "calendar": False,
    "origin": "2000-01-01",
    "recorded_events": ["death", "last_contact", "next_treatment"],
    "tables": {
        "patients": [
            {
                "from": "people",
                "where": [{"column": "consent", "in": ["y"], "reason": "no consent"}],
                "columns": {
                    "patient_id": "pid",
                    "birth_date": {"days_from_origin": "born"},
                    "sex": {"column": "sex", "lower": True, "values": {"f": "female", "m": "male"}, "unmapped": "null"},
                    "diagnosis_date": {"origin": True},
                    "site_id": {"constant": 7},
                },
            }
        ],
        "drugs": [
            {
                "from": "rx",
                "columns": {
                    "patient_id": "pid",
                    "drug": {
                        "column": ["agent", "procedure"],
                        "lower": True,
                        "values": {"asct": "autologous_transplant"},
                    },
                    "start_date": {"days_from_origin": "start"},
                    "end_date": {"days_from_origin": "stop"},
                    "line_number": {"column": "line", "values": {"first": 1, "second": 2, "third": 3, "fourth": 4}},
                },
            }
        ],
        "events": [
            {
                "from": "people",
                "where": [{"column": "dead", "in": ["y"], "reason": "alive"}],
                "columns": {
                    "patient_id": "pid",
                    "event": {"constant": "death"},
                    "event_date": {"days_from_origin": ["died", "seen"]},
                },
            },
            {
                "from": "people",
                "where": [{"column": "seen", "at_least": 0, "reason": "last seen before diagnosis"}],
                "columns": {
                    "patient_id": "pid",
                    "event": {"constant": "last_contact"},
                    "event_date": {"days_from_origin": "seen"},
                },
            },
        ],
    },
    "derive": [
        {"step": "drugs_until_death"},
        {"step": "lines_from_drugs"},
        {"step": "contact_through_drugs"},
        {"step": "next_treatment_from_lines"},
        {
            "step": "decisions_from_lines",
            "drugs_within_days": 30,
            "modality_rules": [
                {"modality": "antibody", "any_of": ["daratumumab"]},
                {"modality": "imid", "any_of": ["lenalidomide"]},
                {"modality": "other"},
            ],
        },
    ],
}
PEOPLE = drawn("""
    pid | born   | sex | consent | dead | died | seen
    ----+--------+-----+---------+------+------+-----
    a   | -20000 | F   | y       |      |      | 500
    b   | -18000 | M   | y       | y    |      | 700
    c   | -18000 | M   | n       |      |      | 100
    d   |        | X   | y       |      |      | -3
""")
RX = drawn("""
    pid | agent        | procedure | start | stop | line
    ----+--------------+-----------+-------+------+-------
    a   | Bortezomib   |           | 1     | 90   | first
    a   |              | ASCT      | 120   | 120  | first
    a   | Lenalidomide |           | 400   | 450  | second
    a   | Daratumumab  |           | 430   | 520  | second
    b   | Lenalidomide |           | 1     |      | first
    b   | Daratumumab  |           | 600   | 650  | second
    b   | Bortezomib   |           | 701   |      | third
    d   | Bortezomib   |           | 1     | 30   | first
""")


@pytest.fixture
def clinic(contract):
    return parse_source(MAPPED, "clinic.yaml", contract)


def mapped(read, clinic, people=PEOPLE, rx=RX):
    return read(basic=False, source=clinic, people=people, rx=rx)


def test_columns_constants_values_and_days_become_the_contracts_columns(read, clinic):
    connection, report = mapped(read, clinic)

    query = (
        "SELECT patient_id, CAST(birth_date AS VARCHAR), sex, CAST(diagnosis_date AS VARCHAR), site_id FROM patients"
    )
    assert connection.execute(f"{query} ORDER BY 1").fetchall() == [
        ("a", "1945-03-30", "female", "2000-01-01", "7"),
        ("b", "1950-09-20", "male", "2000-01-01", "7"),
        ("d", None, None, "2000-01-01", "7"),
    ]
    assert report.calendar is False
    assert report.has_progression is False


def test_lines_come_from_drugs_and_have_no_end_where_a_course_has_none(read, clinic):
    connection, report = mapped(read, clinic)

    query = "SELECT patient_id, line_number, start_date - DATE '2000-01-01', end_date - DATE '2000-01-01' FROM lines"
    assert connection.execute(f"{query} ORDER BY ALL").fetchall() == [
        ("a", 1, 1, 120),
        ("a", 2, 400, 520),
        ("b", 1, 1, None),
        ("b", 2, 600, 650),
        ("d", 1, 1, 30),
    ]
    assert [found.count for found in report.findings if found.rule == "open_line"] == [1]


@pytest.mark.parametrize("added, modality", [(430, "antibody"), (431, "imid")])
def test_a_drug_added_after_the_declared_days_does_not_name_the_modality(read, clinic, added, modality):
    connection, _ = mapped(read, clinic, rx=RX.replace({"start": {"430": str(added)}}))

    query = "SELECT decision_id, modality, CAST(decision_date AS VARCHAR), provenance FROM decisions ORDER BY 1"
    assert connection.execute(query).fetchall() == [
        ("a:L2", modality, "2001-02-04", "derived"),
        ("b:L2", "antibody", "2001-08-23", "derived"),
    ]


def test_events_are_read_repaired_and_derived_each_counted(read, clinic):
    connection, report = mapped(read, clinic)

    query = "SELECT patient_id, event, event_date - DATE '2000-01-01' FROM events WHERE patient_id <> 'c'"
    assert connection.execute(f"{query} ORDER BY ALL").fetchall() == [
        ("a", "last_contact", 520),
        ("a", "next_treatment", 400),
        ("b", "death", 700),
        ("b", "last_contact", 700),
        ("b", "next_treatment", 600),
        ("d", "last_contact", 30),
    ]
    told = [found.message for found in report.findings]
    assert "events.event_date: 1 of 1 rows (row 2) have no died; seen is used instead, as the source declares." in told
    assert (
        "events.event_date: 1 of 3 rows (row 1) lie before a recorded dose; "
        "they are moved to that dose, which proves contact."
    ) in told
    assert "patients.sex: 1 of 3 rows (row 4) hold a local value that the source does not map; " in "\n".join(told)
    steps = {(step.step, step.reason): (step.rows_in, step.rows_out) for step in report.attrition}
    assert steps["patients from people", "no consent"] == (4, 3)
    assert steps["events from people", "alive"] == (4, 1)
    assert steps["events from people", "last seen before diagnosis"] == (4, 3)
    assert steps["drugs: drugs_until_death", "start after death"] == (8, 7)
    assert steps["events: contact_through_drugs", "last contact taken from the latest dose where there was none"] == (
        3,
        4,
    )


def test_a_row_of_a_person_left_out_is_a_reference_error(read, clinic):
    _, report = mapped(read, clinic)

    assert [(found.table, found.rule, found.count) for found in report.errors] == [("events", "reference", 1)]


def test_two_lines_on_one_day_are_one_choice(read, clinic):
    rx = drawn("""
        pid | agent        | procedure | start | stop | line
        a   | Bortezomib   |           | 1     | 90   | first
        a   | Lenalidomide |           | 400   | 450  | second
        a   | Daratumumab  |           | 400   | 520  | third
    """)
    connection, report = mapped(read, clinic, rx=rx)

    assert connection.execute("SELECT decision_id, modality FROM decisions").fetchall() == [("a:L2", "antibody")]
    assert connection.execute("SELECT DISTINCT line_number FROM drugs ORDER BY 1").fetchall() == [(1,), (2,)]
    assert [(step.rows_in, step.rows_out) for step in report.attrition if step.step == "lines: same day"] == [(3, 2)]


@pytest.mark.parametrize("day, kept", [(699, 3), (700, 3), (701, 2)])
def test_a_course_that_starts_after_death_is_set_aside_and_one_on_that_day_is_kept(read, clinic, day, kept):
    connection, _ = mapped(read, clinic, rx=RX.replace({"start": {"701": str(day)}}))

    assert connection.execute("SELECT count(*) FROM drugs WHERE patient_id = 'b'").fetchall() == [(kept,)]


def test_a_line_with_one_open_course_among_ended_ones_has_no_end(read, clinic):
    connection, _ = mapped(read, clinic, rx=RX.replace({"stop": {"450": None}}))

    lines = "SELECT line_number, end_date IS NULL FROM lines WHERE patient_id = 'a' ORDER BY line_number"
    assert connection.execute(lines).fetchall() == [(1, False), (2, True)]


def test_a_line_that_starts_before_a_lower_numbered_one_gives_no_decision(read, clinic):
    rx = drawn("""
        pid | agent        | procedure | start | stop | line
        a   | Bortezomib   |           | 1     | 90   | first
        a   | Lenalidomide |           | 400   | 450  | second
        a   | Daratumumab  |           | 300   | 320  | third
        a   | Daratumumab  |           | 350   | 360  | fourth
    """)
    connection, report = mapped(read, clinic, rx=rx)

    assert connection.execute("SELECT decision_id FROM decisions").fetchall() == [("a:L2",)]
    assert [found.message for found in report.findings if found.rule == "line_order"] == [
        "lines.start_date: 2 of 4 rows (row 3, 4) start before a lower-numbered line; no decision is made from them. "
        "Mend the numbers or the dates."
    ]


def test_an_extract_without_a_table_or_column_that_the_source_reads_is_an_error(read, clinic):
    _, report = read(basic=False, source=clinic, people=PEOPLE.drop(columns="born"))

    messages = [found.message for found in report.errors]
    assert (
        "drugs: the extract has no table 'rx', which the source configuration reads. "
        "Add the file, or choose the source configuration that fits. Checks that need it were not run." in messages
    )
    assert (
        "patients: extract 'people' has no column 'born', which the source configuration reads. "
        "Export the column, or change the source configuration. Checks that need it were not run." in messages
    )


def test_a_days_cell_that_is_no_number_of_days_is_an_error_of_type(read, clinic):
    _, report = mapped(read, clinic, rx=RX.replace({"start": {"400": "soon"}}))

    assert ("drugs", "start_date", "type") in [(found.table, found.column, found.rule) for found in report.errors]


@pytest.mark.parametrize("day, read_as", [("03/02/2019", "2019-02-03"), ("2019-02-03", "2019-02-03")])
def test_a_local_date_format_is_declared_never_guessed(read, contract, day, read_as):
    source = parse_source(
        {
            "id": "local",
            "label": "Local dates",
            "identity": True,
            "tables": {
                "findings": [
                    {
                        "from": "facts",
                        "columns": {
                            "patient_id": "pid",
                            "code": {"constant": "del17p"},
                            "value": {"constant": "present"},
                            "found_at": {"column": "day", "date_format": "%d/%m/%Y"},
                        },
                    }
                ]
            },
        },
        "local.yaml",
        contract,
    )
    connection, report = read(source=source, facts=drawn(f"pid | day \n p1 | {day}"))

    assert report.passed
    assert connection.execute("SELECT CAST(found_at AS VARCHAR) FROM findings").fetchall() == [(read_as,)]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"lag_days": {"lines": -1}}, "lag_days.lines: must not be negative days, got -1"),
        ({"lag_days": {"line": 1}}, "lag_days.line: not a table of the contract; did you mean 'lines'?"),
        ({"lag_day": {}}, "clinic.yaml: lag_day: unknown setting; did you mean 'lag_days'?"),
        ({"tables": {}}, "tables: empty; map at least one table, or set identity: true"),
        ({"origin": None}, "counts from an origin, but the source declares none; add origin"),
        (
            {"tables": {"patients": [{"from": "people", "columns": {"patient_idd": "pid"}}]}},
            "tables.patients.0.columns.patient_idd: not a column of patients; did you mean 'patient_id'?",
        ),
        (
            {"tables": {"patients": [{"from": "people", "columns": {"sex": "sex"}}]}},
            "tables.patients.0.columns: required and not mapped: patient_id",
        ),
        (
            {"tables": {"patients": [{"from": "people", "columns": {"patient_id": {"column": "a", "constant": "b"}}}]}},
            "give exactly one of column, days_from_origin, constant, origin",
        ),
        (
            {
                "tables": {
                    "lines": [{"from": "x", "columns": {"patient_id": "a", "line_number": "b", "start_date": "c"}}]
                }
            },
            "tables.lines: mapped, and also made by a step of derive; keep one of the two",
        ),
        ({"derive": [{"step": "run_python"}]}, "derive.0"),
    ],
)
def test_a_wrong_source_is_refused_with_file_and_setting(contract, change, message):
    with pytest.raises(ConfigError) as raised:
        parse_source({**MAPPED, **change}, "clinic.yaml", contract)

    assert message in str(raised.value)
    assert raised.value.exit_code == 10


def test_names_in_a_source_are_quoted_and_cannot_become_sql(read, contract):
    hostile = 'x"; DROP TABLE extract_facts; --'
    source = parse_source(
        {
            "id": "hostile",
            "label": "Hostile",
            "identity": True,
            "tables": {
                "findings": [
                    {
                        "from": "facts",
                        "where": [{"column": "pid", "not_in": ["'); DROP TABLE text_findings; --"], "reason": "test"}],
                        "columns": {
                            "patient_id": "pid",
                            "code": {"constant": "del17p"},
                            "value": {"column": "v", "values": {"it's": "present"}},
                            "found_at": {"column": hostile},
                        },
                    }
                ]
            },
        },
        "hostile.yaml",
        contract,
    )
    _, report = read(source=source, facts=drawn("pid | v \n p1 | it's"))

    assert [found.rule for found in report.errors] == ["missing_column"]
    assert report.rows["findings"] == 1


def notes_of(report):
    return [found.message for found in report.findings if found.rule == "unread_columns"]


def test_columns_that_no_mapping_reads_are_listed_by_name(read, clinic):
    _, report = mapped(read, clinic, rx=RX.assign(Dose="1.3", Route="sc"))

    assert notes_of(report) == [
        "rx: 2 of 8 columns are read by no mapping of the source: Dose, Route. "
        "Map those that the contract asks for (docs/sources.md)."
    ]
    assert {found.severity for found in report.findings if found.rule == "unread_columns"} == {"info"}


def test_an_extract_whose_columns_are_all_read_is_not_mentioned(read, clinic):
    _, report = mapped(read, clinic)

    assert notes_of(report) == []


def test_a_first_line_of_data_is_never_told_as_columns(read, clinic):
    headless = RX.set_axis(["a", "Bortezomib", "-", "1", "90", "first"], axis=1)
    _, report = mapped(read, clinic, rx=headless)

    assert notes_of(report) == []
    assert not report.passed


@pytest.mark.parametrize("pattern", ["%d/%m/%", "%Q", "", "%-Y"])
def test_a_date_pattern_that_cannot_be_read_is_refused_in_words(contract, pattern):
    people, *_ = MAPPED["tables"]["patients"]
    columns = people["columns"] | {"birth_date": {"column": "born", "date_format": pattern}}
    tables = MAPPED["tables"] | {"patients": [people | {"columns": columns}]}

    with pytest.raises(ConfigError, match=r"clinic\.yaml: .*date_format: not a date pattern; wanted parts such as %d"):
        parse_source(MAPPED | {"tables": tables}, "clinic.yaml", contract)


PAGE = (Path(__file__).parents[2] / "docs" / "sources.md").read_text("utf-8")


def test_every_key_of_the_mapping_language_is_explained():
    spoken = (
        language.Source,
        language.Feeder,
        language.Filter,
        language.Cell,
        language.ModalityRule,
        language.DecisionsFromLines,
        language.NextTreatmentFromLines,
    )
    keys = {field.alias or name for model in spoken for name, field in model.model_fields.items()}
    steps = re.findall(r'step: Literal\["(\w+)"\]', Path(language.__file__).read_text("utf-8"))

    assert len(steps) == 5
    assert [key for key in sorted({*keys, *steps} - {"step"}) if f"`{key}`" not in PAGE] == []


def test_the_example_of_the_page_is_a_mapping(read, contract):
    example = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)[0]
    source = parse_source(parse_yaml(example, "docs/sources.md"), "docs/sources.md", contract)
    _, report = read(
        basic=False,
        source=source,
        people=drawn("""
            pid | born       | gender | died       | seen       | consent
            a   | 24/12/1950 | F      |            | 2021-01-01 | y
            b   | 01/02/1944 | M      | 2020-06-01 | 2020-05-01 | y
        """),
        courses=drawn("""
            pid | agent   | given_from | given_to   | line
            a   | Velcade | 2018-01-01 | 2018-06-01 | 1
            a   | lenalidomide | 2019-01-01 | 2019-06-01 | 2
            b   | Velcade | 2018-01-01 | 2018-06-01 | 1
        """),
    )

    assert report.passed, report.errors
    assert (report.rows["patients"], report.rows["decisions"], report.rows["events"]) == (2, 1, 4)
    assert notes_of(report) == []
