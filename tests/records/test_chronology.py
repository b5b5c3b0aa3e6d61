"""Dates of one patient that cannot be are told, in counts and rows."""

from __future__ import annotations

import duckdb
import pytest

from pipeline.records.chronology import chronology_findings


def _told(decision: str, event: str = "last_contact", day: str = "2024-06-01") -> list[tuple[str, str, str]]:
    connection = duckdb.connect()
    connection.execute(
        "create table patients as "
        "select 'p1' patient_id, date '1960-05-01' birth_date, date '2020-05-01' diagnosis_date"
    )
    connection.execute(
        f"create table decisions as select 7 row_ordinal, 'p1' patient_id, date '{decision}' decision_date"
    )
    connection.execute(
        f"create table events as select 9 row_ordinal, 'p1' patient_id, '{event}' event, date '{day}' event_date"
    )
    found = chronology_findings(connection)
    assert all("2020" not in entry.message and "p1" not in entry.message for entry in found)
    return [(entry.severity, entry.table, entry.rule) for entry in found]


@pytest.mark.parametrize(
    ("decision", "told"),
    [
        ("2020-05-01", []),
        ("2020-04-30", [("warning", "decisions", "before_diagnosis")]),
        ("1960-05-01", [("warning", "decisions", "before_diagnosis")]),
        (
            "1960-04-30",
            [("error", "decisions", "before_birth"), ("warning", "decisions", "before_diagnosis")],
        ),
    ],
)
def test_a_decision_comes_after_birth_and_diagnosis(decision: str, told: list[tuple[str, str, str]]) -> None:
    assert _told(decision) == told


@pytest.mark.parametrize(
    ("event", "day", "told"),
    [
        ("death", "2024-03-01", []),
        ("death", "2024-02-29", [("error", "decisions", "after_death")]),
        ("progression", "2024-02-29", []),
        ("progression", "1960-04-30", [("error", "events", "before_birth")]),
    ],
)
def test_nothing_is_decided_for_the_dead_and_nothing_happens_to_the_unborn(
    event: str, day: str, told: list[tuple[str, str, str]]
) -> None:
    assert _told("2024-03-01", event, day) == told
