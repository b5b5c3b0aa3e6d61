"""What the records leave open is told with counts, and never passes as an answer."""

from __future__ import annotations

import pytest

from pipeline.records import standardise
from tests.drawn import drawn

MODALITIES = ("adc", "car_t")


def told(read, *, basic, modalities=MODALITIES, **tables):
    connection = read.connection({**basic, **tables})
    report = standardise(connection, read.contract, read.source, modalities=modalities)
    rules = ("same_day", "unknown_age", "ungraded", "unnamed", "unknown_modality")
    return [found for found in report.findings if found.rule in rules]


def test_records_that_leave_nothing_open_are_told_nothing(read, basic):
    assert told(read, basic=basic) == []


def test_a_toxicity_without_grade_or_term_is_counted_as_not_counting(read, basic):
    events = drawn("""
        patient_id | event        | event_date | term      | grade
        p1         | toxicity     | 2019-05-01 | infection |
        p1         | toxicity     | 2019-05-02 | infection | 3
        p1         | toxicity     | 2019-05-03 |           | 3
        p2         | toxicity     | 2019-05-02 | crs       |
        p2         | last_contact | 2019-09-01 |           |
    """)
    found = told(read, basic=basic, events=events)

    assert [(each.severity, each.rule, each.count, each.total, each.ordinals) for each in found] == [
        ("warning", "ungraded", 2, 5, (1, 4)),
        ("warning", "unnamed", 1, 5, (3,)),
    ]
    assert found[0].message == (
        "events.grade: 2 of 5 rows (row 1, 4) are a toxicity without a grade; none of them counts as severe, so severe "
        "toxicity may come out too low. Export the CTCAE grade."
    )


@pytest.mark.parametrize(
    ("third", "rows"),
    [
        ("d3 | p1 | 2019-04-01 | car_t", (1, 3)),
        ("d3 | p1 | 2019-04-01 | adc", (1, 3)),
        ("d3 | p1 | 2019-04-02 | car_t", ()),
        ("d3 | p2 | 2019-04-01 | car_t", ()),
        ("d3 | p1 | 2019-04-01 |", ()),
    ],
)
def test_two_choices_for_one_patient_on_one_day_are_refused_and_two_questions_are_not(read, basic, third, rows):
    decisions = drawn(f"""
        decision_id | patient_id | decision_date | modality
        d1          | p1         | 2019-04-01    | adc
        d2          | p2         | 2019-05-01    | car_t
        {third}
    """)
    found = told(read, basic=basic, decisions=decisions)

    assert [each.ordinals for each in found] == ([rows] if rows else [])
    assert all(each.severity == "error" and each.rule == "same_day" for each in found)


def test_an_alias_that_doubles_a_choice_is_found_too(read, basic):
    found = told(
        read,
        basic=basic,
        patients=drawn("patient_id | birth_date | sex\np1 | 1950-05-01 | female\np2 | 1950-05-01 | female"),
        lines=basic["lines"].head(1),
        drugs=basic["drugs"].head(1),
        decisions=drawn("""
            decision_id | patient_id | decision_date | modality
            d1          | p1         | 2019-04-01    | adc
            d2          | p2         | 2019-04-01    | adc
        """),
        patient_aliases=drawn("alias_id | patient_id \n p2 | p1"),
    )

    assert [(each.rule, each.count) for each in found] == [("same_day", 2)]


def test_an_unknown_age_is_counted_by_decision(read, basic):
    patients = basic["patients"].assign(birth_date=["1950-05-01", None])
    found = told(read, basic=basic, patients=patients)

    assert [(each.severity, each.rule, each.count, each.total) for each in found] == [("warning", "unknown_age", 1, 2)]
    assert "every rule that asks for age takes it as unknown" in found[0].message


def test_a_modality_that_is_not_declared_is_counted_and_not_repeated(read, basic):
    decisions = basic["decisions"].assign(modality=["adc", "radiowaves"])
    availability = drawn("decision_id | modality | available \n d1 | CAR-T | true \n d1 | adc | true")
    found = told(read, basic=basic, decisions=decisions, availability=availability)

    assert [(each.table, each.rule, each.count, each.total, each.ordinals) for each in found] == [
        ("decisions", "unknown_modality", 1, 2, (2,)),
        ("availability", "unknown_modality", 1, 2, (1,)),
    ]
    assert "Declared are adc, car_t;" in found[0].message
    assert "radiowaves" not in str(found) and "CAR-T" not in str(found)


def test_without_declared_modalities_none_is_unknown(read, basic):
    decisions = basic["decisions"].assign(modality=["adc", "radiowaves"])

    assert told(read, basic=basic, modalities=None, decisions=decisions) == []
