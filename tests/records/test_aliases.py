"""Identifiers of one person are merged before anything else is read."""

from __future__ import annotations

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.records.aliases import roots_of
from tests.drawn import drawn

IDS = [f"p{number}" for number in range(9)]


@st.composite
def alias_forests(draw):
    """Aliases without circles: each identifier may point at a lower-numbered one."""
    aliases = {}
    for number in range(1, len(IDS)):
        target = draw(st.none() | st.integers(0, number - 1))
        if target is not None:
            aliases[IDS[number]] = IDS[target]
    return dict(draw(st.permutations(list(aliases.items()))))


@settings(max_examples=500, deadline=None)
@given(alias_forests())
def test_a_chain_of_aliases_ends_at_an_identifier_that_is_no_alias(aliases):
    roots, circular = roots_of(aliases)

    assert circular == frozenset()
    assert set(roots) == set(aliases)
    for alias, target in aliases.items():
        assert roots[alias] not in aliases
        assert roots[alias] == roots.get(target, target)


@settings(max_examples=500, deadline=None)
@given(st.dictionaries(st.sampled_from(IDS), st.sampled_from(IDS), max_size=9))
def test_any_alias_graph_is_resolved_or_called_circular(aliases):
    roots, circular = roots_of(aliases)

    onward = {alias: target for alias, target in aliases.items() if alias != target}
    for alias in onward:
        at = alias
        for _ in range(len(onward) + 1):
            at = onward.get(at, at)
        assert (alias in circular) == (at in onward)
        assert alias in circular or roots[alias] == at


def rows_of(connection, table):
    frame = connection.execute(f"SELECT * EXCLUDE (row_ordinal) FROM {table} ORDER BY ALL").df()
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


@settings(max_examples=15, deadline=None)
@given(alias_forests(), st.randoms(use_true_random=False))
def test_records_under_aliases_read_like_records_under_one_identifier(read, aliases, rng):
    roots, _ = roots_of(aliases)
    people = sorted(set(IDS) - set(aliases))
    patients = pd.DataFrame({"patient_id": people, "birth_date": ["1950-01-01"] * len(people)})
    scattered = [rng.choice([name for name in IDS if roots.get(name, name) == person]) for person in people]
    joined = {
        "lines": ("line_number", "1", "start_date"),
        "drugs": ("drug", "bortezomib", "start_date"),
        "findings": ("code", "del17p", "found_at"),
        "events": ("event", "death", "event_date"),
    }
    under_one, under_many = {"patients": patients}, {"patients": patients}
    for table, (column, value, day) in joined.items():
        extra = {"value": "present"} if table == "findings" else {}
        seen = "2019-03-01" if table == "events" else "2019-01-01"  # nobody is decided for after death
        rows = {column: [value] * len(people), day: [seen] * len(people)}
        rows |= {name: [cell] * len(people) for name, cell in extra.items()}
        under_one[table] = pd.DataFrame({"patient_id": people, **rows})
        under_many[table] = pd.DataFrame({"patient_id": scattered, **rows})
    for tables, ids in ((under_one, people), (under_many, scattered)):
        tables["decisions"] = pd.DataFrame(
            {"decision_id": people, "patient_id": ids, "decision_date": ["2019-02-01"] * len(people)}
        )
    under_many["patient_aliases"] = pd.DataFrame(
        {"alias_id": list(aliases), "patient_id": list(aliases.values())}, dtype=object
    )

    plain, plain_report = read(basic=False, **under_one)
    merged, merged_report = read(basic=False, **under_many)

    assert plain_report.passed and merged_report.passed
    for table in ("patients", "lines", "drugs", "findings", "decisions", "events"):
        assert rows_of(plain, table) == rows_of(merged, table)


def test_an_aliases_row_fills_the_gaps_of_the_patients_row_and_never_overrules_it(read, basic):
    connection, report = read(
        patients=drawn("""
            patient_id | birth_date | sex  | site_id
            old        | 1949-09-09 | male | north
            p1         | 1950-05-01 | male |
            p2         | 1944-02-03 | male | south
        """),
        patient_aliases=drawn("alias_id | patient_id \n old | p1"),
    )

    patients = "SELECT patient_id, CAST(birth_date AS VARCHAR), site_id FROM patients ORDER BY patient_id"
    assert connection.execute(patients).fetchall() == [("p1", "1950-05-01", "north"), ("p2", "1944-02-03", "south")]
    assert report.passed
    assert [found.message for found in report.findings if found.rule == "alias_conflict"] == [
        "patients: 1 of 2 rows (row 1) disagree with the row of an alias; the patient's own row wins. "
        "Settle it at the source."
    ]
    assert [(step.rows_in, step.rows_out) for step in report.attrition if step.step == "patients: merge"] == [(3, 2)]


def test_a_patient_known_only_by_an_alias_row_takes_the_patients_identifier(read, basic):
    patients = basic["patients"].replace({"patient_id": {"p1": "old"}})
    connection, report = read(patients=patients, patient_aliases=drawn("alias_id | patient_id \n old | p1"))

    assert report.passed
    assert connection.execute("SELECT patient_id FROM patients ORDER BY 1").fetchall() == [("p1",), ("p2",)]


def test_two_rows_of_one_identifier_stay_an_error_when_aliases_exist(read, basic):
    doubled = basic["patients"].iloc[[0, 0, 1]]
    _, report = read(patients=doubled, patient_aliases=drawn("alias_id | patient_id \n old | p1"))

    assert [(found.table, found.rule) for found in report.errors] == [("patients", "key")]


def test_lines_that_merging_makes_equal_are_one_and_lines_that_clash_are_an_error(read):
    aliases = drawn("alias_id | patient_id \n old | p1")
    same = drawn("""
        patient_id | line_number | start_date
        p1         | 1           | 2018-02-01
        old        | 1           | 2018-02-01
    """)
    clash = same.replace({"start_date": {"2018-02-01": "2018-02-01"}}).assign(start_date=["2018-02-01", "2018-02-02"])

    connection, report = read(lines=same, patient_aliases=aliases)
    assert report.passed
    assert connection.execute("SELECT count(*) FROM lines").fetchall() == [(1,)]
    assert [found.rule for found in read(lines=clash, patient_aliases=aliases)[1].errors] == ["key"]


def test_a_circle_of_aliases_is_an_error(read):
    _, report = read(
        patient_aliases=drawn("""
            alias_id | patient_id
            p1       | old
            older    | p2
            old      | p1
        """)
    )

    assert [found.message for found in report.errors if found.rule == "alias_cycle"] == [
        "patient_aliases.alias_id: 2 of 3 rows (row 1, 3) lead round in a circle, so no patient stands at the end. "
        "Name one identifier as the patient."
    ]
