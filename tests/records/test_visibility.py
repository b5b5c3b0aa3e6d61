"""When does each fact become visible?"""

from __future__ import annotations

from datetime import date

import pytest

from pipeline.records import missingness, parse_source
from tests.drawn import drawn


@pytest.fixture
def lagging(contract):
    mapping = {
        "id": "slow",
        "label": "Slow",
        "identity": True,
        "lag_days": {"measurements": 2, "lines": 5, "findings": 1},
    }
    return parse_source(mapping, "slow.yaml", contract)


def test_known_at_is_the_event_date_plus_the_lag_only_where_empty(read, lagging):
    connection, _ = read(
        source=lagging,
        measurements=drawn("""
            patient_id | code | value | unit | measured_at | known_at
            p1         | ldh  | 200   | U/L  | 2019-01-01  |
            p1         | ldh  | 201   | U/L  | 2019-01-01  | 2019-01-09
        """),
    )

    rows = connection.execute("SELECT known_at FROM measurements ORDER BY row_ordinal").fetchall()
    assert rows == [(date(2019, 1, 3),), (date(2019, 1, 9),)]


def test_later_dates_of_a_row_become_visible_at_their_own_date_plus_the_lag(read, lagging):
    connection, _ = read(
        source=lagging,
        findings=drawn("""
            patient_id | code             | value   | found_at   | resolved_at
            p1         | active_infection | present | 2019-01-01 | 2019-01-20
            p1         | bleeding         | present | 2019-01-01 |
        """),
    )

    lines = "SELECT known_at, end_visible_at, progression_visible_at FROM lines ORDER BY row_ordinal"
    assert connection.execute(lines).fetchall() == [
        (date(2018, 2, 6), date(2019, 2, 6), date(2019, 3, 6)),
        (date(2016, 7, 6), None, None),
    ]
    drugs = connection.execute("SELECT known_at, end_visible_at FROM drugs ORDER BY row_ordinal").fetchall()
    assert drugs == [(date(2018, 2, 1), date(2019, 2, 1)), (date(2016, 7, 1), None)]
    found = connection.execute("SELECT known_at, resolved_visible_at FROM findings ORDER BY row_ordinal").fetchall()
    assert found == [(date(2019, 1, 2), date(2019, 1, 21)), (date(2019, 1, 2), None)]


@pytest.mark.parametrize("known_at, seen", [("2019-03-31", 1), ("2019-04-01", 0), ("2019-04-02", 0)])
def test_a_result_reported_on_the_decision_day_does_not_count_as_known(read, contract, known_at, seen):
    connection, _ = read(
        measurements=drawn(f"""
            patient_id | code | value | unit | measured_at | known_at
            p1         | ldh  | 200   | U/L  | 2019-01-01  | {known_at}
        """)
    )

    entries = {(entry.modality): entry for entry in missingness(connection, contract) if entry.code == "ldh"}
    assert (entries["all"].decisions, entries["all"].known) == (2, seen)
    assert (entries["adc"].decisions, entries["adc"].known) == (1, seen)
    assert (entries["car_t"].decisions, entries["car_t"].known) == (1, 0)
    assert entries["adc"].share_missing == 1 - seen


def test_missingness_lists_every_code_even_one_that_nobody_has(read, contract):
    connection, _ = read()

    entries = missingness(connection, contract)
    codes = len(contract["measurements"].codes) + len(contract["findings"].codes)
    assert len(entries) == codes * 3
    assert all(entry.known == 0 for entry in entries)


def test_a_table_named_simulated_stamps_the_records(read):
    assert read()[1].simulated is False
    assert read(simulated=drawn("note \n made up"))[1].simulated is True
    assert read(SIMULATED=drawn("note \n made up"))[1].simulated is True


def test_recorded_decisions_say_so(read):
    connection, report = read()

    assert connection.execute("SELECT DISTINCT provenance FROM decisions").fetchall() == [("recorded",)]
    assert report.calendar is True
    assert report.has_progression is True
