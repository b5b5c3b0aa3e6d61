"""Arithmetic from hazards to outcomes, against closed forms and an oracle."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.learners import Target
from pipeline.learners.committee import completed, expectations
from pipeline.learners.targets import FollowUp, event_free, event_interval, exposure, incidence, read_follow_up

CONTROL = Target("durable_control", "event_free", 12, 1.0)
TOXICITY = Target("severe_toxicity", "incidence", 6, -1.0)
FREE = Target("treatment_free", "free_share", 12, 1.0)


@pytest.mark.parametrize(
    ("months", "wanted"),
    [(0.5, [0.5, 0, 0, 0]), (3.0, [3, 0, 0, 0]), (3.1, [3, 0.1, 0, 0]), (20.0, [3, 3, 3, 3])],
)
def test_time_at_risk_falls_into_the_intervals(months: float, wanted: list[float]) -> None:
    assert exposure(np.array([months]), 4)[0] == pytest.approx(wanted)


@pytest.mark.parametrize(("months", "interval"), [(2.9, 0), (3.0, 0), (3.01, 1), (12.0, 3)])
def test_an_event_on_a_boundary_belongs_to_the_interval_it_ends(months: float, interval: int) -> None:
    row = event_interval(np.array([months]), np.array([1]), 1, 4)[0]

    assert row.tolist() == [int(k == interval) for k in range(4)]


def test_an_event_after_the_last_interval_is_in_none() -> None:
    assert event_interval(np.array([12.01]), np.array([1]), 1, 4).sum() == 0


@given(st.lists(st.floats(0.001, 0.5), min_size=8, max_size=8))
@settings(max_examples=500)
def test_survival_and_the_incidences_of_all_causes_add_up_to_one(rates: list[float]) -> None:
    first, second = np.array(rates[:4]), np.array(rates[4:])
    survival = event_free({1: first, 2: second})
    both = incidence({1: first, 2: second}) + incidence({1: second, 2: first})

    assert survival + both == pytest.approx(np.ones(5))


def test_a_constant_hazard_gives_the_exponential() -> None:
    assert event_free({1: np.full(4, 0.05)})[-1] == pytest.approx(np.exp(-0.6))


def _one(months: float, event: int, free: tuple[float, ...] = (np.nan,) * 4) -> FollowUp:
    names = ("durable_control", "severe_toxicity")
    return FollowUp(
        months={name: np.array([months]) for name in names},
        event={name: np.array([event]) for name in names},
        free=np.array([free]),
    )


OWN = {
    "durable_control": {1: np.full((1, 4), 0.1)},
    "severe_toxicity": {1: np.full((1, 2), 0.1), 2: np.full((1, 2), 0.05)},
}


@pytest.mark.parametrize(
    ("months", "event", "control", "toxicity"),
    [
        (4.0, 1, 0.0, 1.0),
        (12.0, 1, 0.0, 0.0),
        (12.1, 1, 1.0, 0.0),
        (6.0, 1, 0.0, 1.0),
        (6.1, 1, 0.0, 0.0),
        (4.0, 2, 0.0, 0.0),
        (13.0, 0, 1.0, 0.0),
        (6.0, 0, np.exp(-0.6), 0.0),
        (3.0, 0, np.exp(-0.9), (2 / 3) * (1 - np.exp(-0.45))),
    ],
)
def test_a_decided_outcome_is_kept_and_a_censored_one_expected(
    months: float, event: int, control: float, toxicity: float
) -> None:
    row = completed(_one(months, event), OWN, np.zeros((1, 4)), (CONTROL, TOXICITY))[0]

    assert row == pytest.approx([control, toxicity], abs=1e-9)


def test_a_seen_treatment_free_year_is_its_mean_share() -> None:
    row = completed(_one(14.0, 0, (0.0, 1.0, 1.0, 0.5)), OWN, np.ones((1, 4)), (FREE,))[0]

    assert row == pytest.approx([2.5 / 4])


def test_nothing_is_free_after_failure() -> None:
    row = completed(_one(3.0, 1, (1.0, np.nan, np.nan, np.nan)), OWN, np.ones((1, 4)), (FREE,))[0]

    assert row == pytest.approx([0.25])


def test_expected_time_off_is_survival_times_share() -> None:
    hazards = {"durable_control": {1: np.zeros((1, 1, 4))}}
    value = expectations(hazards, np.array([[[0.0, 1.0, 1.0, 1.0]]]), (FREE,))

    assert value[0, 0, 0] == pytest.approx(0.75)


def test_missing_and_malformed_outcome_columns_are_all_named_at_once() -> None:
    table = pd.DataFrame({"durable_control_months": [0.0], "durable_control_event": [3]})
    with pytest.raises(ValueError, match=r"1 row\(s\) not above 0 months; .*not 0, 1 or 2; .*severe_toxicity_months"):
        read_follow_up(table, (CONTROL, TOXICITY))
