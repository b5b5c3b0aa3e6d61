"""Which arms are ranked, on both sides of every boundary, and what was impossible."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import NoOverlapError
from pipeline.learners import FollowUp, Target
from pipeline.learners.gates import ArmGate, gate_arms, ranked_arms, structural_zeros

CONTROL = Target("durable_control", "event_free", 12, 1.0)
FREE = Target("treatment_free", "free_share", 12, 1.0)


def _gate(months: list[float], event: list[int], cases: int = 1, events: int = 1) -> ArmGate:
    follow_up = FollowUp(
        {CONTROL.name: np.array(months)}, {CONTROL.name: np.array(event)}, np.full((len(months), 4), np.nan)
    )
    return gate_arms(pd.Series(["a"] * len(months)), follow_up, (FREE, CONTROL), cases, events)["a"]


@pytest.mark.parametrize(("wanted", "reason"), [(12, None), (13, "12 cases, wanted 13")])
def test_an_arm_needs_its_cases(wanted: int, reason: str | None) -> None:
    assert _gate([5.0] * 12, [1] * 12, cases=wanted).reason == reason


@pytest.mark.parametrize(("wanted", "reason"), [(12, None), (13, "12 events, wanted 13")])
def test_an_arm_needs_its_events(wanted: int, reason: str | None) -> None:
    assert _gate([5.0] * 12 + [14.0] * 8, [1] * 12 + [0] * 8, events=wanted).reason == reason


@pytest.mark.parametrize(("months", "events"), [(12.0, 20), (12.01, 0)])
def test_an_event_counts_up_to_and_on_the_horizon(months: float, events: int) -> None:
    assert _gate([months] * 20, [1] * 20).events == events


def test_a_competing_event_is_not_the_event() -> None:
    assert _gate([5.0] * 20, [1] * 12 + [2] * 8).events == 12


@pytest.mark.parametrize(("censored", "is_ranked"), [(10, True), (11, False)])
def test_half_may_be_censored_before_the_horizon_and_not_more(censored: int, is_ranked: bool) -> None:
    gate = _gate([11.9] * censored + [5.0] * (20 - censored), [0] * censored + [1] * (20 - censored))

    assert gate.censored_share == censored / 20
    assert (gate.reason is None) == is_ranked


def test_one_followed_to_the_horizon_is_not_censored_before_it() -> None:
    assert _gate([12.0] * 15 + [5.0] * 5, [0] * 15 + [1] * 5).censored_share == 0.0


@pytest.mark.parametrize(("cases", "told"), [(0, "0"), (1, "<11"), (10, "<11"), (11, "11")])
def test_a_count_under_eleven_is_not_told(cases: int, told: str) -> None:
    follow_up = FollowUp(
        {CONTROL.name: np.full(cases, 5.0)}, {CONTROL.name: np.ones(cases, dtype=int)}, np.full((cases, 4), np.nan)
    )
    gate = gate_arms(pd.Series(["a"] * cases, dtype=str), follow_up, (CONTROL,), 40, 15, ["a"])["a"]

    assert gate.reason == f"{told} cases, wanted 40"
    assert gate.cases == cases


def test_an_arm_that_the_limits_leave_out_needs_forty_cases_and_fifteen_events() -> None:
    follow_up = FollowUp({CONTROL.name: np.full(39, 5.0)}, {CONTROL.name: np.ones(39, dtype=int)}, np.ones((39, 4)))
    gates = gate_arms(pd.Series(["a"] * 39), follow_up, (CONTROL,), {"b": 1}, {"b": 1})

    assert gates["a"].reason == "39 cases, wanted 40"


def test_two_arms_are_needed_and_each_one_left_out_has_its_reason() -> None:
    enough, few = ArmGate(50, 20, 0.0, None), ArmGate(50, 3, 0.0, "<11 events, wanted 15")

    assert ranked_arms({"a": enough, "b": few, "c": enough}) == ("a", "c")
    with pytest.raises(NoOverlapError, match=r"1 modality.*a: enough; b: <11 events, wanted 15"):
        ranked_arms({"a": enough, "b": few})


def test_what_was_given_was_possible_and_is_counted_as_a_conflict() -> None:
    eligible = pd.DataFrame({"a": [False, False, True], "c": [False, False, False]})

    blocked, conflicts = structural_zeros(eligible, np.array([0, 2]), np.array([0, 1]), ("a", "b"))

    assert blocked.tolist() == [[False, False], [False, False]]
    assert conflicts == {"a": 1, "b": 0}
    blocked, conflicts = structural_zeros(eligible, np.array([1]), np.array([1]), ("a", "b"))
    assert blocked.tolist() == [[True, False]]
    assert conflicts == {"a": 0, "b": 0}
