"""What followed is held against what was predicted, and the model's choices against those made, without favour."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.learners import FollowUp, Target
from pipeline.shift.judging import judged
from pipeline.shift.outcomes import EVERYBODY, Later, estimates, outcome_differences
from tests.shift.worlds import CONFIG

ARMS = ("adc", "car_t")
TARGETS = (Target("durable_control", "event_free", 12, 1.0), Target("early_death", "incidence", 6, -1.0))
LABELS = {"adc": "ADC", "car_t": "CAR T"}


def later(
    n: int, seed: int, *, lost: float = 0.3, off: float = 0.0, turned: bool = False, overlap: bool = True
) -> Later:
    """Return decisions whose chances are known: car_t is better for half of the people, adc for the others.

    `lost` are censored evenly over two years, `off` is added to what is predicted, `turned` predicts each arm's
    chance for the other, without `overlap` everybody was given what the model would not choose.
    """
    rng = np.random.default_rng(seed)
    fits = rng.random(n) < 0.5
    better = np.stack([~fits, fits], axis=1)
    control = np.where(better, 0.75, 0.35) + rng.uniform(-0.1, 0.1, (n, 2))
    death = np.where(better, 0.05, 0.15)
    arm = np.where(better[:, 1], 0, 1) if not overlap else rng.integers(0, 2, n)
    own = control[np.arange(n), arm]
    # Constant hazards: event-free at 12 months with the chance `own`, dead by 6 months with the chance `death`.
    event = rng.exponential(-12 / np.log(own))
    died = rng.exponential(-6 / np.log1p(-death[np.arange(n), arm]))
    stop = np.where(rng.random(n) < lost, rng.uniform(0.5, 24, n), 30.0)
    predicted = np.stack([control + off, death], axis=2)
    if turned:
        predicted = predicted[:, ::-1]
    months = {"durable_control": np.minimum(event, stop), "early_death": np.minimum(died, stop)}
    codes = {
        "durable_control": (event <= stop).astype(np.int64),
        "early_death": (died <= stop).astype(np.int64),
    }
    chance = np.full((n, 2), 0.5)
    if not overlap:
        chance[np.arange(n), arm], chance[np.arange(n), 1 - arm] = 0.99, 0.01
    return Later(
        arms=ARMS,
        targets=TARGETS,
        arm=arm,
        groups=np.arange(n),
        follow_up=FollowUp(months, codes, np.full((n, 4), np.nan)),
        predicted=predicted,
        propensity=chance,
        burden=np.zeros((n, 2)),
        signed=np.array([0.7, -0.3]),
        is_impossible=np.zeros((n, 2), dtype=bool),
        time_limited={},
        floor=0.03,
    )


def results(world: Later) -> tuple[dict[str, list[str]], dict[str, Any]]:
    found = estimates(world, LABELS)
    told = outcome_differences(found, world, CONFIG)
    by_code: dict[str, list[str]] = {}
    for one, result in zip(told, judged([one.test for one in told], CONFIG.false_alarm), strict=True):
        by_code.setdefault(one.check, []).append(result)
    return by_code, found


@pytest.mark.parametrize("seed", range(6))
def test_predictions_that_come_true_raise_no_issue(seed: int) -> None:
    by_code, found = results(later(600, seed))

    assert "issue" not in [result for listed in by_code.values() for result in listed]
    assert by_code["S10"] == ["pass"]
    assert found["league"][1]["difference"] > 0


def test_predictions_that_promise_too_much_are_an_issue_for_that_outcome() -> None:
    world = later(600, 7, off=0.25)
    by_code, found = results(world)
    wrong = [row for row, result in zip(found["calibration"], by_code["S08"], strict=True) if result == "issue"]

    assert {row["outcome"] for row in wrong} == {"durable_control"}
    assert next(row for row in wrong if row["modality"] == EVERYBODY)["in_the_large"] == pytest.approx(-0.25, abs=0.05)


def test_an_order_that_is_worse_than_what_was_chosen_is_an_issue() -> None:
    by_code, found = results(later(900, 8, turned=True))

    assert by_code["S10"] == ["issue"]
    assert found["league"][1]["difference"] < 0
    assert by_code["S09"][0] == "issue"  # chances turned round fall where outcomes rise


def test_an_order_that_nobody_was_given_has_no_value() -> None:
    by_code, found = results(later(600, 9, overlap=False))

    assert found["league"][1]["value"] is None
    assert "practically never given" in found["league"][1]["vetoed"]
    assert by_code["S10"] == ["too_little_data"]


def test_what_was_chosen_is_worth_the_same_with_and_without_loss_to_follow_up() -> None:
    values = {
        lost: [estimates(later(500, 20 + k, lost=lost), LABELS)["league"][0] for k in range(8)] for lost in (0.0, 0.6)
    }
    means = {lost: np.mean([row["value"] for row in rows]) for lost, rows in values.items()}
    error = np.sqrt(2 / 8) * np.mean([row["se"] for row in values[0.6]])

    assert means[0.6] == pytest.approx(means[0.0], abs=3 * error)


def test_few_known_outcomes_say_nothing_of_a_modality() -> None:
    world = later(60, 10)
    found = estimates(world, LABELS)
    for row in found["calibration"]:
        if row["modality"] != EVERYBODY:
            assert row["in_the_large"] is None and row["brier"] is None and row["bins"] == []


def test_a_modality_of_few_people_is_not_counted() -> None:
    world = later(300, 11)
    few = np.where(np.arange(300) < 6, 0, 1)
    found = estimates(Later(**{**vars(world), "arm": few}), LABELS)

    assert [entry["decisions"] for entry in found["cohort"]["modalities"]] == [300, None, None]
    assert {row["n"] for row in found["calibration"] if row["modality"] != EVERYBODY} == {None}
