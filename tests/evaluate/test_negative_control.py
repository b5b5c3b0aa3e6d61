"""Where nothing can be found nothing is found, and a hidden reason is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.config import LearnerConfig
from pipeline.evaluate.negative_control import negative_control, shuffled_finding, shuffled_within
from tests.evaluate.drawn_evidence import ARMS, CLIP, FLOOR, Drawn, drawn
from tests.learners.worlds import TARGETS, WEIGHTS, ranker, world

pytestmark = pytest.mark.xdist_group("negative_control")

MEANINGS = {"before": "What came before"}


def _control(people: Drawn, *names: str, hidden: tuple[str, ...] = ()) -> dict:
    columns = people.columns(*hidden)
    return negative_control(
        people.evidence, people.features, columns, ARMS, names, MEANINGS, LearnerConfig(), FLOOR, CLIP
    )


def test_what_came_before_differs_until_the_reason_is_adjusted_for() -> None:
    found = _control(drawn(1500, 1), "before")
    pair = next(row for row in found["pairs"] if (row["first"], row["second"]) == ("adc", "car_t"))

    assert pair["raw"] > 0.3
    assert pair["low"] < 0 < pair["high"]
    assert 0.03 < pair["se"] < 0.2  # were the quantity adjusted for itself, nothing would be left to differ
    assert found["largest_z"] <= found["threshold"]
    assert found["words"].endswith("no pair differs beyond chance.")
    assert found["people"] == 1500


@pytest.mark.parametrize("names", [("before",), ("before", "idle")])
def test_a_reason_that_nobody_recorded_shows_before_the_decision(names: tuple[str, ...]) -> None:
    found = _control(drawn(1500, 1), *names, hidden=("reason",))

    assert found["largest_z"] > found["threshold"]
    assert "some reason for the choice is not carried" in found["words"]
    assert found["left_out"] == list(names[1:])


def test_it_raises_no_more_alarms_than_promised() -> None:
    # One in twenty is promised; two or more of five would have a chance of 2 %.
    alarms = 0
    for seed in range(5):
        found = _control(drawn(300, seed), "before")
        alarms += found["largest_z"] > found["threshold"]

    assert alarms <= 1


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ((), "no quantity is configured"),
        (("unheard_of",), "unheard_of is not recorded here as a number"),
        (("site",), "site is not recorded here as a number"),
        (("constant",), "constant is known too rarely, or the same for everybody"),
        (("rare",), "rare is known too rarely, or the same for everybody"),
    ],
)
def test_without_such_a_quantity_it_does_not_apply_and_says_why(names: tuple[str, ...], reason: str) -> None:
    people = drawn(200, 1)
    people.features["constant"] = 1.0
    people.features["rare"] = np.where(np.arange(200) < 30, people.features["before"], np.nan)
    found = _control(people, *names)

    assert found["words"] == f"Not applicable: {reason}."
    assert found["largest_z"] is None


def test_shuffling_keeps_each_modalitys_outcomes_whole_and_moves_them_between_people() -> None:
    people = world(600, 1)
    shuffled = shuffled_within(people.modality, people.outcomes, 3)

    for arm in ARMS:
        own = (people.modality == arm).to_numpy()
        before, after = (table[own].sort_values(list(table)).to_numpy() for table in (people.outcomes, shuffled))
        np.testing.assert_array_equal(before, after)
    assert (shuffled.to_numpy() == people.outcomes.to_numpy()).all(axis=1).mean() < 0.05
    pd.testing.assert_index_equal(shuffled.index, people.outcomes.index)


@pytest.fixture(scope="module")
def gains() -> dict[str, dict]:
    """Return what choosing by person gains, learned from outcomes as they were and shuffled."""
    people = world(900, 5, effect=1.5)
    signed = np.array([WEIGHTS[target.name] * target.sign for target in TARGETS]) / 0.6
    found = {}
    for name, outcomes in (
        ("seen", people.outcomes),
        ("shuffled", shuffled_within(people.modality, people.outcomes, 7)),
    ):
        fitted = ranker(deploy=False).fit(people.features, people.modality, outcomes)
        found[name] = shuffled_finding(fitted.evidence_, signed, np.zeros((900, 3), dtype=bool), FLOOR)
    return found


def test_choosing_by_person_gains_nothing_from_shuffled_outcomes(gains: dict[str, dict]) -> None:
    assert abs(gains["shuffled"]["gain"]) <= 2 * gains["shuffled"]["se"]
    assert gains["shuffled"]["words"].endswith("as it should be.")


def test_the_same_people_with_their_own_outcomes_gain(gains: dict[str, dict]) -> None:
    assert gains["seen"]["gain"] > 2 * gains["seen"]["se"]
    assert "points to a leak or a bias" in gains["seen"]["words"]
