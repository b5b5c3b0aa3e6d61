"""Earlier decisions teach, later ones judge, and neither sees the other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluate.league import logged_of
from pipeline.evaluate.temporal import Earlier, TemporalSplit, temporal_finding, temporal_split
from tests.evaluate.drawn_evidence import ARMS, FLOOR, Drawn, drawn


def _days(numbers: list[int]) -> pd.Series:
    return pd.Series(pd.Timestamp("2024-01-01") + pd.to_timedelta(numbers, unit="D"))


@pytest.mark.parametrize(
    ("days", "patients", "earlier", "later"),
    [
        ([1, 2, 3, 4], "abcd", [1, 1, 1, 0], [0, 0, 0, 1]),
        ([1, 2, 3, 4], "abca", [0, 1, 1, 0], [0, 0, 0, 1]),
        ([4, 3, 2, 1], "abcd", [0, 1, 1, 1], [1, 0, 0, 0]),
        ([1, 2, 3, 3], "abcd", [1, 1, 1, 1], [0, 0, 0, 0]),
        ([1, 2, 3, 4, 5, 6, 7, 8], "abcdefaa", [0, 1, 1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0, 1, 1]),
    ],
)
def test_a_patient_is_on_the_side_of_the_last_decision_and_earlier_rows_leave_training(
    days: list[int], patients: str, earlier: list[int], later: list[int]
) -> None:
    split = temporal_split(_days(days), pd.Series(list(patients)))

    assert split.earlier.tolist() == [bool(k) for k in earlier]
    assert split.later.tolist() == [bool(k) for k in later]


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), min_size=1, max_size=80))
def test_no_patient_and_no_day_is_on_both_sides(rows: list[tuple[int, int]]) -> None:
    days, patients = _days([day for day, _ in rows]), pd.Series([f"p{number}" for _, number in rows])
    split = temporal_split(days, patients)

    assert not set(patients[split.earlier]) & set(patients[split.later])
    assert (days[split.earlier] <= split.cut).all()
    assert (days[split.later] > split.cut).all()
    assert split.later.mean() <= 0.25
    last_is_late = days.groupby(patients).transform("max") > split.cut
    assert (split.earlier | last_is_late).all()


def _earlier(people: Drawn, held: np.ndarray, *, arms: tuple[str, ...] = ARMS) -> Earlier:
    """Return what a model that knows the truth says of the rows held out."""
    columns = [ARMS.index(name) for name in arms]
    truth = people.truth[np.ix_(held, columns)]
    return Earlier(arms, 10, truth, people.truth[~held][:, columns].mean(axis=0), truth)


def _finding(people: Drawn, split: TemporalSplit, earlier: Earlier, impossible: np.ndarray | None = None) -> dict:
    n = len(people.truth)
    logged = logged_of(people.evidence, np.zeros((n, 3)), np.ones(1), FLOOR)
    barred = np.zeros((n, 3), dtype=bool) if impossible is None else impossible
    return temporal_finding(split, people.evidence, ARMS, logged, earlier, barred, 12)


def _split(n: int) -> TemporalSplit:
    later = np.arange(n) >= 3 * n // 4
    return TemporalSplit(pd.Timestamp("2024-06-30"), ~later, later)


def _policy(found: dict, name: str) -> dict:
    return next(row for row in found["policies"] if row["policy"] == name)


def test_values_on_later_rows_lie_near_the_truth_of_those_rows() -> None:
    people, split = drawn(6000, 1, effect=0.2), _split(6000)
    found = _finding(people, split, _earlier(people, split.later))
    truth = people.truth[split.later]
    own = truth[np.arange(1500), people.evidence.arm[split.later]].mean()

    scores = logged_of(people.evidence, np.zeros((6000, 3)), np.ones(1), FLOOR).scores[split.later]
    assert _policy(found, "one_best_arm")["value"] == pytest.approx(scores[:, 2].mean())
    for name, wanted in (("clinicians", own), ("random", truth.mean()), ("one_best_arm", truth[:, 2].mean())):
        row = _policy(found, name)
        assert abs(row["value"] - wanted) < 3 * row["se"]
    assert (found["held_out"], found["trained_on"], found["left_out"], found["cut"]) == (1500, 10, 0, "2024-06")
    assert _policy(found, "model")["difference"] > 2 * _policy(found, "model")["difference_se"]
    assert found["followed_up"] == 1.0


def test_chances_that_come_true_have_slope_one_and_reversed_ones_do_not() -> None:
    people, split = drawn(6000, 2), _split(6000)
    earlier = _earlier(people, split.later)
    right = _finding(people, split, earlier)["calibration"]
    wrong = _finding(people, split, replace(earlier, control=1 - people.truth[split.later]))["calibration"]

    assert right["slope_low"] < 1 < right["slope_high"]
    assert right["c_index_low"] > 0.5
    assert wrong["slope_high"] < 0
    assert wrong["c_index_high"] < 0.5


def test_calibration_on_later_rows_is_clustered_by_patient() -> None:
    people, split = drawn(6000, 2), _split(6000)
    few = replace(people, evidence=replace(people.evidence, groups=people.evidence.rows // 300))
    own, clustered = (_finding(who, split, _earlier(who, split.later))["calibration"] for who in (people, few))

    for name in ("slope", "c_index"):
        assert clustered[name] == own[name]
        assert clustered[f"{name}_low"] != pytest.approx(own[f"{name}_low"], rel=1e-3)


def test_nothing_of_the_later_outcomes_shapes_a_choice() -> None:
    people, split = drawn(2000, 3, effect=0.1), _split(2000)
    earlier = _earlier(people, split.later)
    fold = people.evidence.fold
    flipped = replace(
        people.evidence,
        observed_utility=1 - people.evidence.observed_utility,
        scores=-people.evidence.scores,
        fold=replace(fold, observed=1 - fold.observed),
    )
    before, after = (_finding(replace(people, evidence=e), split, earlier) for e in (people.evidence, flipped))

    for name in ("model", "one_best_arm", "random"):
        assert _policy(before, name)["mass"] == _policy(after, name)["mass"]
        assert _policy(before, name)["value"] != _policy(after, name)["value"]


def test_an_arm_that_had_too_few_cases_by_then_is_never_chosen() -> None:
    people, split = drawn(2000, 4, effect=0.3), _split(2000)
    found = _finding(people, split, _earlier(people, split.later, arms=ARMS[:2]))
    truth = people.truth[split.later]

    assert _policy(found, "model")["value"] < truth[:, 2].mean() - 0.15
    assert found["calibration"]["n"] == int((people.evidence.arm[split.later] != 2).sum())


def test_an_impossible_arm_is_never_chosen() -> None:
    people, split = drawn(2000, 4, effect=0.3), _split(2000)
    impossible = np.zeros((2000, 3), dtype=bool)
    impossible[:, 2] = True
    found = _finding(people, split, _earlier(people, split.later), impossible)

    for name in ("model", "one_best_arm", "random"):
        row = _policy(found, name)
        assert row["value"] == pytest.approx(people.truth[split.later][:, 0].mean(), abs=4 * row["se"])


def test_no_value_is_told_where_the_choices_lack_support() -> None:
    people, split = drawn(2000, 5), _split(2000)
    away = np.array([0.0, 0.0, 1.0])
    scarce = replace(people.evidence.fold, propensity=np.tile([0.6, 0.39, 0.01], (2000, 1)))
    people = replace(people, evidence=replace(people.evidence, fold=scarce))
    earlier = replace(_earlier(people, split.later), utility=np.tile(away, (500, 1)), averages=away)
    found = _finding(people, split, earlier)

    assert _policy(found, "model")["value"] is None
    assert found["ahead_of_best_arm"] is None
    assert "cannot be valued" in found["words"]


def test_a_short_follow_up_is_told() -> None:
    people, split = drawn(2000, 6), _split(2000)
    months, event = (
        people.evidence.follow_up.months["durable_control"],
        people.evidence.follow_up.event["durable_control"],
    )
    short = replace(
        people.evidence.follow_up,
        months={"durable_control": np.minimum(months, 3.0)},
        event={"durable_control": np.where(months > 3.0, 0, event)},
    )
    found = _finding(
        replace(people, evidence=replace(people.evidence, follow_up=short)), split, _earlier(people, split.later)
    )

    assert found["followed_up"] < 0.5
    assert "weak test yet" in found["words"]
