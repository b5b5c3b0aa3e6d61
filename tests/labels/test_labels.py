"""What followed a decision: boundaries of every estimand, drawn."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb
import numpy as np
import pandas as pd
import pytest

from pipeline.config import OutcomeConfig
from pipeline.labels import DAYS_PER_MONTH, build_labels
from pipeline.vocabulary import Drug, DrugCatalogue
from tests.drawn import drawn

DRUGS = DrugCatalogue(
    tuple(
        Drug.model_validate({"drug": name, "class": kind, "antimyeloma": is_treatment, "source": "test"})
        for name, kind, is_treatment in (
            ("lenalidomide", "imid", True),
            ("dexamethasone", "steroid", True),
            ("fludarabine", "lymphodepletion", False),
            ("ciltacabtagene autoleucel", "bcma_car_t", True),
        )
    )
)


def _outcome(horizon: int, **more: object) -> OutcomeConfig:
    return OutcomeConfig.model_validate(
        {"label": "x", "definition": "x", "competing": "x", "horizon_months": horizon, **more}
    )


OUTCOMES: Mapping[str, OutcomeConfig] = {
    "durable_control": _outcome(12),
    "treatment_free": _outcome(12),
    "severe_toxicity": _outcome(6, terms=("infection", "crs")),
    "early_death": _outcome(6),
}


ONCE = ("lymphodepletion", "bcma_car_t")


def _connection(events: str, drugs: str = "", later: str | None = None, lines: str = "") -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(
        "create table decision_points as select 'd1' decision_id, 'p1' patient_id, date '2024-01-01' decision_date, "
        "'s' site_id, 'car_t' modality, 'x' product, date '2024-02-01' treatment_start_date"
    )
    connection.execute("create table decisions as select decision_id, patient_id, decision_date from decision_points")
    if later:
        connection.execute(f"insert into decisions values ('d2', 'p1', date '{later}')")
    table = drawn("patient_id | event | event_date | term | grade\n" + events)
    connection.register("drawn_events", table.astype("str").where(table.notna(), None))
    connection.execute(
        "create table events as select patient_id, event, cast(event_date as date) event_date, term, "
        "cast(grade as bigint) grade from drawn_events"
    )
    courses = drawn("patient_id | drug | start_date | end_date | line_number\n" + drugs)
    connection.register("drawn_drugs", courses.astype("object"))
    connection.execute(
        "create table drugs as select cast(patient_id as varchar) patient_id, cast(drug as varchar) drug, "
        "cast(cast(start_date as varchar) as date) start_date, cast(cast(end_date as varchar) as date) end_date, "
        "cast(cast(line_number as varchar) as bigint) line_number from drawn_drugs"
    )
    connection.register("drawn_lines", drawn("patient_id | line_number | start_date\n" + lines).astype("object"))
    connection.execute(
        "create table lines as select cast(patient_id as varchar) patient_id, "
        "cast(cast(line_number as varchar) as bigint) line_number, "
        "cast(cast(start_date as varchar) as date) start_date from drawn_lines"
    )
    return connection


def _one(events: str, **more: str) -> pd.Series:
    frame = build_labels(_connection(events, **more), OUTCOMES, DRUGS, given_once=ONCE).frame
    assert len(frame) == 1
    return frame.iloc[0]


@pytest.mark.parametrize(
    ("events", "code", "day"),
    [
        ("p1 | last_contact | 2024-12-31 | | ", 0, 365),
        ("p1 | progression | 2024-01-02 | | ", 1, 1),
        ("p1 | next_treatment | 2024-03-01 | | \np1 | last_contact | 2024-12-31 | |", 1, 60),
        ("p1 | death | 2024-01-31 | | ", 1, 30),
        ("p1 | progression | 2024-05-01 | | \np1 | death | 2024-03-01 | |", 1, 60),
    ],
)
def test_control_ends_with_the_first_of_progression_next_treatment_and_death(events: str, code: int, day: int) -> None:
    row = _one(events)

    assert (row["durable_control_event"], round(row["durable_control_months"] * DAYS_PER_MONTH)) == (code, day)


def test_an_event_on_the_decision_day_belongs_to_what_came_before() -> None:
    row = _one("p1 | progression | 2024-01-01 | | \np1 | last_contact | 2024-06-01 | |")

    assert row["durable_control_event"] == 0


def test_starting_the_chosen_treatment_is_not_a_next_treatment() -> None:
    row = _one("p1 | next_treatment | 2024-02-01 | | \np1 | last_contact | 2024-06-01 | |")

    assert row["durable_control_event"] == 0


def test_a_death_while_waiting_counts_from_the_decision() -> None:
    row = _one("p1 | death | 2024-01-20 | |")

    assert (row["early_death_event"], row["durable_control_event"]) == (1, 1)


@pytest.mark.parametrize(
    ("events", "code"),
    [
        ("p1 | death | 2024-03-01 | |", 1),
        ("p1 | progression | 2024-02-28 | | \np1 | death | 2024-03-01 | |", 2),
        ("p1 | progression | 2024-03-01 | | \np1 | death | 2024-03-01 | |", 2),
        ("p1 | progression | 2024-03-02 | | \np1 | death | 2024-03-01 | |", 1),
        ("p1 | last_contact | 2024-03-01 | |", 0),
    ],
)
def test_early_death_is_death_without_earlier_progression(events: str, code: int) -> None:
    assert _one(events)["early_death_event"] == code


@pytest.mark.parametrize(
    ("events", "code"),
    [
        ("p1 | toxicity | 2024-02-01 | infection | 3\np1 | last_contact | 2024-09-01 | |", 1),
        ("p1 | toxicity | 2024-02-01 | infection | \np1 | last_contact | 2024-09-01 | |", 0),
        ("p1 | toxicity | 2024-02-01 | infection | 2\np1 | last_contact | 2024-09-01 | |", 0),
        ("p1 | toxicity | 2024-02-01 | hair loss | 3\np1 | last_contact | 2024-09-01 | |", 0),
        ("p1 | toxicity | 2024-02-01 | crs | 5\np1 | death | 2024-02-01 | |", 1),
        ("p1 | toxicity | 2024-02-02 | crs | 3\np1 | death | 2024-02-01 | |", 2),
        ("p1 | progression | 2024-01-15 | |\np1 | toxicity | 2024-02-01 | crs | 3", 1),
        ("p1 | next_treatment | 2024-01-31 | |\np1 | toxicity | 2024-02-02 | crs | 3", 0),
    ],
)
def test_toxicity_is_graded_listed_and_censored_by_next_treatment(events: str, code: int) -> None:
    assert _one(events)["severe_toxicity_event"] == code


def test_the_next_decision_is_a_next_treatment_and_takes_what_follows() -> None:
    row = _one("p1 | death | 2024-06-01 | |\np1 | toxicity | 2024-05-01 | crs | 4", later="2024-04-01")

    assert row["durable_control_event"] == 1
    assert round(row["durable_control_months"] * DAYS_PER_MONTH) == 91
    assert row["severe_toxicity_event"] == 0
    assert row["early_death_event"] == 2


def test_a_decision_without_follow_up_leaves_and_is_counted() -> None:
    labels = build_labels(_connection("p9 | death | 2024-06-01 | |"), OUTCOMES, DRUGS)

    assert len(labels.frame) == 0
    assert (labels.steps[0].rows_in, labels.steps[0].rows_out) == (1, 0)


def test_the_data_cut_censors() -> None:
    connection = _connection("p1 | progression | 2024-05-01 | |")
    row = build_labels(connection, OUTCOMES, DRUGS, "2024-04-30").frame.iloc[0]

    assert (row["durable_control_event"], round(row["durable_control_months"] * DAYS_PER_MONTH)) == (0, 120)


QUIET = "p1 | last_contact | 2025-06-01 | |"


@pytest.mark.parametrize(
    ("drugs", "shares"),
    [
        ("", (1, 1, 1, 1)),
        ("p1 | lenalidomide | 2024-01-01 | 2025-03-01 | ", (0, 0, 0, 0)),
        ("p1 | lenalidomide | 2024-01-01 | | ", (0, 0, 0, 0)),
        ("p1 | fludarabine | 2024-01-01 | 2025-03-01 | ", (1, 1, 1, 1)),
        ("p1 | dexamethasone | 2024-01-01 | 2024-01-07 | ", (1, 1, 1, 1)),
        ("p1 | dexamethasone | 2024-01-01 | 2024-01-08 | ", (1 - 8 / 91, 1, 1, 1)),
        ("p1 | lenalidomide | 2023-06-01 | 2024-03-31 | ", (0, 1, 1, 1)),
    ],
)
def test_time_off_treatment_counts_days_without_an_anti_myeloma_course(drugs: str, shares: tuple[float, ...]) -> None:
    row = _one(QUIET, drugs=drugs)

    assert [row[f"treatment_free_q{q}"] for q in (1, 2, 3, 4)] == pytest.approx(list(shares), abs=0.02)


def test_a_quarter_that_nobody_saw_is_not_a_share() -> None:
    row = _one("p1 | last_contact | 2024-05-01 | |")

    assert row["treatment_free_q1"] == 1.0
    assert np.isnan([row["treatment_free_q3"], row["treatment_free_q4"]]).all()


def test_a_death_on_the_decision_day_counts() -> None:
    row = _one("p1 | death | 2024-01-01 | |")

    assert (row["early_death_event"], row["durable_control_event"]) == (1, 1)


@pytest.mark.parametrize(("day", "is_whole"), [("2024-12-30", False), ("2024-12-31", True)])
def test_a_whole_year_of_follow_up_is_twelve_months(day: str, is_whole: bool) -> None:
    assert bool(_one(f"p1 | last_contact | {day} | |")["durable_control_months"] >= 12) is is_whole


def test_contact_on_the_decision_day_alone_is_no_follow_up() -> None:
    assert build_labels(_connection("p1 | last_contact | 2024-01-01 | |"), OUTCOMES, DRUGS).frame.empty


@pytest.mark.parametrize(
    ("events", "later", "cut", "wanted"),
    [
        ("p1 | progression | 2024-05-01 | |", None, "2024-05-01", (1, 121)),
        ("p1 | death | 2024-06-01 | |", None, "2024-04-30", (0, 120)),
        ("p1 | last_contact | 2024-12-01 | |", "2024-06-01", "2024-04-30", (0, 120)),
    ],
)
def test_the_cut_holds_for_every_kind_of_date(
    events: str, later: str | None, cut: str, wanted: tuple[int, int]
) -> None:
    row = build_labels(_connection(events, later=later), OUTCOMES, DRUGS, cut).frame.iloc[0]

    assert (row["durable_control_event"], round(row["durable_control_months"] * DAYS_PER_MONTH)) == wanted


def test_the_last_day_of_a_course_is_a_day_on_treatment() -> None:
    row = _one(QUIET, drugs="p1 | dexamethasone | 2024-01-01 | 2024-01-08 | ")

    assert row["treatment_free_q1"] == pytest.approx(83 / 91, abs=1e-9)


def test_toxicity_on_the_decision_day_belongs_to_what_came_before() -> None:
    row = _one("p1 | toxicity | 2024-01-01 | crs | 4\np1 | last_contact | 2024-09-01 | |")

    assert row["severe_toxicity_event"] == 0


LINES = "p1 | 1 | 2022-01-01\np1 | 2 | 2023-01-01\np1 | 3 | 2024-03-31"


@pytest.mark.parametrize(
    ("drugs", "shares"),
    [
        # begun before the decision and never ended: on until the next line starts, here ninety days later
        ("p1 | lenalidomide | 2023-01-01 | | 2", (1 / 91, 1, 1, 1)),
        # a line that started before the decision ended it long ago
        ("p1 | lenalidomide | 2022-01-01 | | 1", (1, 1, 1, 1)),
        # a later line's start ends a course that names no line; a new course of its own line does not
        ("p1 | lenalidomide | 2023-01-02 | | ", (1 / 91, 1, 1, 1)),
        ("p1 | lenalidomide | 2023-01-01 | | 3", (0, 0, 0, 0)),
        # cells are given once, and what bridged to them is over
        ("p1 | ciltacabtagene autoleucel | 2024-01-01 | | 2", (90 / 91, 1, 1, 1)),
        ("p1 | lenalidomide | 2023-01-01 | | 3\np1 | fludarabine | 2024-01-02 | | 3", (90 / 91, 1, 1, 1)),
        ("p1 | lenalidomide | 2023-01-01 | | 3\np1 | fludarabine | 2024-01-01 | | 3", (1, 1, 1, 1)),
        # an end that is recorded is believed
        ("p1 | lenalidomide | 2023-01-01 | 2024-12-31 | 2", (0, 0, 0, 0)),
        ("p1 | dexamethasone | 2024-03-25 | | 2", (1, 1, 1, 1)),
    ],
)
def test_a_course_without_an_end_is_on_until_the_next_line_starts(drugs: str, shares: tuple[float, ...]) -> None:
    row = _one(QUIET, drugs=drugs, lines=LINES)

    assert [row[f"treatment_free_q{q}"] for q in (1, 2, 3, 4)] == pytest.approx(list(shares), abs=1e-9)


def test_a_course_that_nothing_ends_is_on_to_the_end_of_follow_up() -> None:
    row = _one("p1 | last_contact | 2024-12-31 | |", drugs="p1 | lenalidomide | 2019-01-01 | | ")

    assert [row[f"treatment_free_q{q}"] for q in (1, 2, 3, 4)] == [0, 0, 0, 0]


def test_what_follows_belongs_to_the_next_decision_on_a_later_day() -> None:
    connection = _connection("p1 | progression | 2024-05-01 | |")
    connection.execute("insert into decisions values ('d0', 'p1', date '2024-01-01'), ('d9', 'p1', date '2024-07-01')")

    row = build_labels(connection, OUTCOMES, DRUGS).frame.iloc[0]

    assert (row["durable_control_event"], round(row["durable_control_months"] * DAYS_PER_MONTH)) == (1, 121)


def test_a_declared_term_may_hold_an_apostrophe_or_capitals() -> None:
    outcomes = {**OUTCOMES, "severe_toxicity": _outcome(6, terms=("Lyell's syndrome",))}
    events = "p1 | toxicity | 2024-02-01 | lyell's syndrome | 4\np1 | last_contact | 2024-09-01 | |"

    assert build_labels(_connection(events), outcomes, DRUGS).frame["severe_toxicity_event"].tolist() == [1]
