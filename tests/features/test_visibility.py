"""Which cells count for a feature, and from which day?"""

from __future__ import annotations

import math

import pytest

from tests.features.conftest import Seen


@pytest.mark.parametrize(
    ("measured_at", "known_at", "counts"),
    [
        ("2024-03-01", "2024-03-09", True),  # reported the day before
        ("2024-03-01", "2024-03-10", False),  # reported on the day of the decision
        ("2024-03-09", "2024-03-09", True),  # taken the day before
        ("2024-03-10", "2024-03-09", False),  # taken on the day of the decision, whatever the report says
        ("2023-12-11", "2023-12-12", True),  # first day of the 90-day window
        ("2023-12-10", "2023-12-11", False),  # one day too old
    ],
)
def test_a_result_counts_when_recent_and_reported_before_the_decision_day(
    seen: Seen, measured_at: str, known_at: str, counts: bool
) -> None:
    labs = f"""
        patient_id | code       | value | measured_at   | known_at
        -----------+------------+-------+---------------+-----------
        p1         | creatinine | 1.1   | {measured_at} | {known_at}
    """
    value = seen(measurements=labs).loc["d1", "creatinine"]

    assert bool(value == 1.1) == counts
    assert math.isnan(value) == (not counts)


def test_the_latest_result_wins_then_the_latest_report_then_the_higher_value(seen: Seen) -> None:
    labs = """
        patient_id | code       | value | measured_at | known_at
        p1         | creatinine | 9.0   | 2024-02-28  | 2024-03-09
        p1         | creatinine | 1.1   | 2024-03-01  | 2024-03-01
        p1         | platelets  | 300   | 2024-03-01  | 2024-03-02
        p1         | platelets  | 200   | 2024-03-01  | 2024-03-03
        p1         | anc        | 1.0   | 2024-03-01  | 2024-03-01
        p1         | anc        | 2.0   | 2024-03-01  | 2024-03-01
    """
    row = seen(measurements=labs).loc["d1"]

    assert (row["creatinine"], row["platelets"], row["anc"]) == (1.1, 200, 2.0)
    assert row["creatinine_age_days"] == 9


def test_a_trend_needs_two_days_and_runs_per_thirty_days_towards_the_decision(seen: Seen) -> None:
    labs = """
        patient_id | code            | value | measured_at
        p1         | hemoglobin      | 12.0  | 2024-01-05
        p1         | hemoglobin      | 11.0  | 2024-02-04
        p1         | hemoglobin      | 10.0  | 2024-03-05
        p1         | platelets       | 100   | 2024-03-05
        p1         | platelets       | 150   | 2024-03-05
        p1         | creatinine      | 1.3   | 2024-02-04
        p1         | creatinine      | 1.3   | 2024-03-05
        p1         | m_protein_serum | 5.0   | 2023-09-11
        p1         | m_protein_serum | 1.0   | 2023-09-12
        p1         | m_protein_serum | 2.0   | 2023-10-12
    """
    row = seen(measurements=labs).loc["d1"]

    assert row["hemoglobin_trend"] == pytest.approx(-1.0)
    assert math.isnan(row["platelets_trend"])
    assert row["creatinine_trend"] == 0.0
    assert row["m_protein_serum_trend"] == pytest.approx(1.0)  # the value 181 days before is out of the window


def test_extremes_look_through_their_own_window(seen: Seen) -> None:
    labs = """
        patient_id | code      | value | measured_at
        p1         | ferritin  | 900   | 2023-09-12
        p1         | ferritin  | 5000  | 2023-09-11
        p1         | ferritin  | 300   | 2024-03-01
        p1         | platelets | 20    | 2023-10-01
    """
    row = seen(measurements=labs).loc["d1"]

    assert (row["ferritin"], row["ferritin_max_180d"], row["platelets_min_180d"]) == (300, 900, 20)
    assert math.isnan(row["platelets"])


def test_absent_is_an_answer_and_no_row_is_not(seen: Seen) -> None:
    asked = """
        patient_id | code      | value   | found_at
        p1         | pregnancy | absent  | 2024-03-01
        p1         | caregiver | present | 2024-03-01
        p1         | hiv       | unclear | 2024-03-01
    """
    row = seen(findings=asked).loc["d1"]

    assert (row["pregnancy"], row["caregiver"]) == (0.0, 1.0)
    assert math.isnan(row["hiv"]) and math.isnan(row["active_infection"])


@pytest.mark.parametrize(
    ("resolved_at", "resolved_visible_at", "state"),
    [
        ("", "", 1.0),
        ("2024-03-05", "2024-03-09", 0.0),  # its end was known the day before
        ("2024-03-05", "2024-03-10", 1.0),  # its end became known on the day of the decision
        ("2024-03-10", "2024-03-10", 1.0),  # it ends on the day of the decision
    ],
)
def test_a_finding_is_present_until_its_end_is_visible(
    seen: Seen, resolved_at: str, resolved_visible_at: str, state: float
) -> None:
    infection = f"""
        patient_id | code             | value   | found_at   | resolved_at   | resolved_visible_at
        p1         | active_infection | present | 2024-03-01 | {resolved_at} | {resolved_visible_at}
    """
    row = seen(findings=infection).loc["d1"]

    assert row["active_infection"] == state
    assert row["active_infection_age_days"] == (5 if state == 0.0 else 9)


def test_the_last_finding_wins_and_presence_breaks_a_tie(seen: Seen) -> None:
    found = """
        patient_id | code      | value   | found_at
        p1         | del17p    | present | 2020-01-01
        p1         | del17p    | absent  | 2023-01-01
        p1         | gain1q    | absent  | 2023-01-01
        p1         | gain1q    | present | 2023-01-01
        p1         | caregiver | present | 2024-03-10
        p1         | caregiver | absent  | 2024-03-09
    """
    row = seen(findings=found).loc["d1"]

    assert (row["del17p"], row["gain1q"], row["caregiver"]) == (0.0, 1.0, 0.0)


def test_graded_findings_become_numbers(seen: Seen) -> None:
    found = """
        patient_id | code        | value     | found_at
        p1         | iss_stage   | II        | 2019-01-01
        p1         | r_iss_stage | III       | 2019-01-01
        p1         | del1p32     | biallelic | 2019-01-01
    """
    row = seen(findings=found).loc["d1"]

    assert (row["iss_stage"], row["r_iss_stage"], row["del1p32"]) == (2, 3, 2)


def test_infections_of_a_year_are_counted_only_where_they_were_asked_about(seen: Seen) -> None:
    found = """
        patient_id | code             | value   | found_at
        p1         | active_infection | present | 2023-03-11
        p1         | active_infection | present | 2023-03-10
        p1         | active_infection | present | 2024-01-10
        p1         | active_infection | absent  | 2024-03-01
    """
    assert seen(findings=found).loc["d1", "infection_count_365d"] == 2
    assert seen(findings=found.replace("present", "absent")).loc["d1", "infection_count_365d"] == 0
    assert math.isnan(seen().loc["d1", "infection_count_365d"])


@pytest.mark.parametrize(
    ("birth_date", "age"),
    [("1964-03-10", 60), ("1964-03-11", 59), ("1964-04-01", 59), ("1964-02-29", 60), ("2024-03-10", None)],
)
def test_age_is_in_completed_years(seen: Seen, birth_date: str, age: float | None) -> None:
    value = seen(patients=f"patient_id | birth_date\n p1 | {birth_date}").loc["d1", "age"]

    assert value == age or (age is None and math.isnan(value))


def test_a_diagnosis_on_the_decision_day_is_not_seen(seen: Seen) -> None:
    on = seen(patients="patient_id | diagnosis_date\n p1 | 2024-03-10").loc["d1", "months_since_diagnosis"]
    before = seen(patients="patient_id | diagnosis_date\n p1 | 2023-03-10").loc["d1", "months_since_diagnosis"]

    assert math.isnan(on)
    assert before == pytest.approx(12.02, abs=0.01)


def test_lines_count_when_begun_and_known_before_the_decision(seen: Seen) -> None:
    lines = """
        patient_id | line_number | start_date | end_date   | known_at   | end_visible_at
        p1         | 1           | 2020-01-01 | 2021-01-01 | 2020-01-02 | 2021-01-02
        p1         | 2           | 2023-01-01 | 2024-03-01 | 2023-01-02 | 2024-03-10
        p1         | 3           | 2024-03-09 |            | 2024-03-10 |
        p1         | 4           | 2024-03-10 |            | 2024-03-10 |
    """
    row = seen(lines=lines).loc["d1"]

    assert row["n_prior_lines"] == 2
    assert row["last_line_duration_days"] == 434  # its end was not visible: up to the decision


def test_the_number_of_lines_is_unknown_without_any_line(seen: Seen) -> None:
    assert math.isnan(seen().loc["d1", "n_prior_lines"])


@pytest.mark.parametrize(
    ("cells", "state"),
    [
        ("           |            |            |    ", None),
        ("2024-03-01 | 2024-03-09 |            |    ", 1.0),
        ("2024-03-01 | 2024-03-10 |            |    ", None),
        ("           |            | progression|    ", 1.0),
        ("           |            | toxicity   | PR ", 0.0),
        ("           |            | unknown    | PR ", None),
        ("           |            |            | PD ", 1.0),
    ],
)
def test_progression_on_the_last_line_is_true_false_or_unknown(seen: Seen, cells: str, state: float | None) -> None:
    named = "patient_id | line_number | start_date | end_date"
    dated = "progression_date | progression_visible_at | end_reason | best_response"
    lines = f"{named} | {dated}\n p1 | 1 | 2023-01-01 | 2024-03-01 | {cells}"
    value = seen(lines=lines).loc["d1", "progression_on_last_line"]

    assert value == state or (state is None and math.isnan(value))


def test_response_and_reason_of_end_come_with_the_end(seen: Seen) -> None:
    lines = """
        patient_id | line_number | start_date | end_date   | end_visible_at | end_reason  | best_response
        p1         | 1           | 2023-01-01 | 2024-03-01 | {visible}      | progression | VGPR
    """
    known = seen(lines=lines.format(visible="2024-03-09")).loc["d1"]
    unknown = seen(lines=lines.format(visible="2024-03-10")).loc["d1"]

    assert (known["last_line_duration_days"], unknown["last_line_duration_days"]) == (425, 434)
    assert (known["best_response_last_line"], known["progression_on_last_line"]) == (4, 1)
    assert math.isnan(unknown["best_response_last_line"]) and math.isnan(unknown["progression_on_last_line"])


def test_waiting_times_and_calendar_time_are_taken_as_declared(seen: Seen) -> None:
    candidates = """
        decision_id | modality | available | wait_days
        d1          | car_t    | true      | 45
        d1          | adc      | true      |
    """
    row = seen(candidates=candidates).loc["d1"]

    assert row["wait_days_car_t"] == 45
    assert math.isnan(row["wait_days_adc"]) and math.isnan(row["wait_days_bispecific"])
    assert row["calendar_time"] == pytest.approx(24.19, abs=0.005)
