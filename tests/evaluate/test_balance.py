"""Balance is told as it is: against a hand calculation, after true weights, and with what chance alone would do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluate.balance import THRESHOLD, balance, balance_terms, standardised_difference
from pipeline.learners.design import Columns
from tests.evaluate.drawn_evidence import ARMS, FLOOR, LABELS, Drawn, drawn

ONES, HALF = np.ones(40), np.arange(40) < 20


def _balance(people: Drawn) -> dict:
    return balance(people.evidence, people.features, people.columns(), ARMS, LABELS, {"reason": "The reason"}, FLOOR)


def _pair(found: dict, first: str = "adc", second: str = "car_t") -> dict:
    return next(pair for pair in found["pairs"] if (pair["first"], pair["second"]) == (first, second))


# Twenty people in each group; of a two-valued fact with share p the sample variance is p (1 - p) 20 / 19.
@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [
        ([1.0, 3.0] * 10, [1.0, 3.0] * 10, 0.0),
        ([1.0, 3.0] * 10, [2.0, 4.0] * 10, -1 / np.sqrt(20 / 19)),
        ([1.0] * 10 + [0.0] * 10, [1.0] * 4 + [0.0] * 16, 0.3 / np.sqrt((0.25 + 0.16) / 2 * 20 / 19)),
        ([1.0] * 20, [0.0] * 20, np.inf),
        ([1.0] * 20, [1.0] * 20, None),
        ([np.nan] * 10 + [1.0] * 5 + [2.0] * 5, [1.0, 3.0] * 10, None),
        ([1.0] * 5 + [0.0] * 15, [1.0] * 5 + [0.0] * 15, None),
        ([1.0] * 6 + [0.0] * 14, [1.0] * 5 + [0.0] * 15, 0.05 / np.sqrt((0.21 + 0.1875) / 2 * 20 / 19)),
    ],
)
def test_a_difference_is_of_means_over_the_pooled_deviation_and_never_of_under_eleven_people(
    first: list[float], second: list[float], wanted: float | None
) -> None:
    found = standardised_difference(np.array(first + second), HALF, ~HALF, ONES)

    assert found is None if wanted is None else found == pytest.approx(wanted)


def test_weights_move_the_means_and_leave_the_deviation() -> None:
    values = np.array([0.0, 1.0] * 10 + [0.0, 1.0] * 10)
    threefold = np.where(HALF & (values == 1), 3.0, 1.0)

    assert standardised_difference(values, HALF, ~HALF, threefold) == pytest.approx(0.25 / np.sqrt(0.25 * 20 / 19))


def test_true_weights_balance_the_reason_for_the_choice() -> None:
    pair = _pair(_balance(drawn(4000, 1)))
    reason = next(row for row in _balance(drawn(4000, 1))["features"] if row["feature"] == "reason")

    assert reason["before"] > 0.8
    assert reason["after"] < 0.15
    assert pair["over_before"] >= 2  # the reason, and what came before it
    assert pair["clear_over"] == 0


def test_without_weights_that_work_the_reason_stays_clearly_out_of_balance() -> None:
    people = drawn(4000, 1)
    blind = replace(people.evidence.fold, propensity=np.full((4000, 3), 1 / 3))
    found = _balance(replace(people, evidence=replace(people.evidence, fold=blind)))

    assert _pair(found)["clear_over"] >= 2
    assert _pair(found)["worst"][0] | {"before": 0, "after": 0} == {
        "feature": "reason", "meaning": "The reason", "part": "", "before": 0, "after": 0
    }  # fmt: skip
    assert "Conjugate and CAR T: 2" in found["words"]


def test_in_a_randomised_world_as_many_are_over_as_chance_lets_expect() -> None:
    over, expected = 0, 0.0
    for seed in range(40):
        for pair in _balance(drawn(300, seed, confounding=0.0))["pairs"]:
            over, expected = over + pair["over_after"], expected + pair["expected_over"]
            assert pair["over_after"] <= pair["terms"]

    assert over == pytest.approx(expected, rel=0.15)


def test_levels_and_gaps_are_terms_of_their_own_and_rare_gaps_are_not() -> None:
    people = drawn(200, 3)
    table = people.features.assign(rare=np.where(np.arange(200) < 10, np.nan, 1.0), wait_days_car_t=1.0)
    columns = replace(people.columns(), names=(*people.columns().names, "rare", "wait_days_car_t"))
    told = {(term.feature, term.part) for term in balance_terms(table, columns)}

    assert {("site", "north"), ("site", "south"), ("patchy", ""), ("patchy", "missing"), ("rare", "")} <= told
    assert ("rare", "missing") not in told
    assert ("wait_days_car_t", "") not in told  # on offer, no trait of the person


def test_only_people_who_could_have_had_either_are_compared() -> None:
    people = drawn(3000, 5)
    is_barred = people.features["idle"].to_numpy() > 1
    arm = np.where(is_barred & (people.evidence.arm == 2), 0, people.evidence.arm)
    propensity = people.evidence.fold.propensity * np.where(is_barred[:, None], [1.0, 1.0, 0.0], 1.0)
    propensity = propensity / propensity.sum(axis=1, keepdims=True)
    fold = replace(people.evidence.fold, propensity=propensity)
    pair = _pair(_balance(replace(people, evidence=replace(people.evidence, arm=arm, fold=fold))))

    assert pair["n_first"] == int(((arm == 0) & ~is_barred).sum())
    assert pair["clear_over"] == 0


def test_nobody_to_compare_is_said() -> None:
    people = drawn(30, 1)
    found = _balance(people)

    assert found["words"] == "No pair of modalities has enough people to compare."
    assert all(row["after"] == 0.0 for row in found["features"])
    assert found["threshold"] == THRESHOLD
    assert isinstance(people.features, pd.DataFrame)


def test_sites_are_numbered_by_size_and_never_named() -> None:
    sites = pd.Categorical(["Riverside"] * 15 + ["Hilltop"] * 30, categories=["Riverside", "Hilltop"])
    features = pd.DataFrame({"site_id": sites})
    terms = balance_terms(features, Columns(names=("site_id",), levels={"site_id": ("Riverside", "Hilltop")}))

    assert [(term.part, int(term.values.sum())) for term in terms] == [("site 2", 15), ("site 1", 30)]
