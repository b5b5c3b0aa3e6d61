"""What stays when seed, definition, weights or draw change is counted as by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, spearmanr

from pipeline.evaluate.stability import (
    DRAWS,
    Variation,
    clear_first,
    draws_finding,
    first_choice,
    rank_correlation,
    stability,
    steadiness,
    weight_variations,
)

POSSIBLE = np.zeros((3, 3), dtype=bool)
BEFORE = np.array([[0.5, 0.3, 0.1], [0.2, 0.25, 0.1], [0.4, 0.1, 0.39]])
IS_CLEAR = np.array([True, False, False])


def test_shares_of_first_choices_that_stay_are_counted_among_clear_and_tied() -> None:
    after = np.array([[0.45, 0.3, 0.1], [0.26, 0.25, 0.1], [0.4, 0.1, 0.39]])
    found = steadiness(Variation("seed", "other", BEFORE, after), IS_CLEAR, POSSIBLE)

    assert found["stays"] == pytest.approx(2 / 3)
    assert (found["stays_clear"], found["stays_tied"]) == (1.0, 0.5)
    assert found["largest_change"] == pytest.approx(0.06)
    # Places of the second person: 2, 1, 3 become 1, 2, 3: 1 - 6 * 2 / (3 * 8) = 0.5; the others stay.
    assert found["rank_correlation"] == pytest.approx((1 + 0.5 + 1) / 3)


def test_what_was_impossible_is_neither_chosen_nor_counted() -> None:
    impossible = np.array([[True, False, False], [False, False, False], [False, False, False]])
    after = BEFORE + np.array([[9.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    found = steadiness(Variation("seed", "other", BEFORE, after), IS_CLEAR, impossible)

    assert list(first_choice(BEFORE, impossible)) == [1, 1, 0]
    assert found["stays"] == 1.0
    assert found["largest_change"] == 0.0


def test_a_first_choice_is_clear_when_its_interval_lies_above_every_other_possible_one() -> None:
    widths = np.full((3, 3, 3), 0.15)

    assert list(clear_first(BEFORE, widths, POSSIBLE)) == [True, False, False]
    rival_gone = np.array([[False] * 3, [False] * 3, [False, False, True]])
    assert list(clear_first(BEFORE, widths, rival_gone)) == [True, False, True]


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_the_order_is_compared_by_spearmans_correlation(seed: int, arms: int) -> None:
    before, after = np.random.default_rng(seed).normal(size=(2, 5, arms))
    wanted = np.mean([spearmanr(a, b).statistic for a, b in zip(before, after, strict=True)])

    assert rank_correlation(before, after) == pytest.approx(wanted)


def test_halving_and_doubling_a_weight_is_arithmetic() -> None:
    rng = np.random.default_rng(1)
    outcomes, burden = rng.random((4, 3, 2)), rng.random((4, 3))
    weights, signs = {"control": 0.4, "toxicity": 0.2, "burden": 0.05}, {"control": 1.0, "toxicity": -1.0}
    found = {v.label: v for v in weight_variations(outcomes, burden, weights, signs, {"control": "Control"})}

    assert set(found) == {
        f"{name}: weight {how}" for name in ("Control", "Toxicity", "Burden") for how in ("halved", "doubled")
    }
    by_hand = (0.4 * outcomes[:, :, 0] - 0.4 * outcomes[:, :, 1] - 0.05 * burden) / 0.85
    assert found["Toxicity: weight doubled"].after == pytest.approx(by_hand)
    by_hand = (0.4 * outcomes[:, :, 0] - 0.2 * outcomes[:, :, 1] - 0.05 * burden) / 0.65
    assert found["Control: weight halved"].before == pytest.approx(by_hand)


def test_without_uncertainty_every_draw_agrees() -> None:
    found = draws_finding(BEFORE, np.zeros((3, 4, 3)), IS_CLEAR, POSSIBLE, seed=3)

    assert (found["stays"], found["steady"], found["rank_correlation"]) == (1.0, 1.0, pytest.approx(1.0))


@pytest.mark.parametrize(("gap", "deviation"), [(0.1, 0.1), (0.05, 0.2), (0.3, 0.1)])
def test_a_choice_stays_as_often_as_its_interval_says(gap: float, deviation: float) -> None:
    # Two arms whose difference is normal: the first stays with chance Phi(gap / standard deviation).
    suitability, deviations = np.array([[gap, 0.0]]), np.zeros((1, 2, 2))
    deviations[0, :, 0] = deviation / np.sqrt(2)
    found = draws_finding(suitability, deviations, np.array([True]), np.zeros((1, 2), dtype=bool), seed=5)
    chance = norm.cdf(gap / deviation)

    assert found["stays"] == pytest.approx(chance, abs=4 * np.sqrt(chance * (1 - chance) / DRAWS))
    assert found["steady"] == float(found["stays"] >= 0.9)


def test_the_least_clear_share_is_that_of_models_learned_again() -> None:
    rows = [
        {"kind": "seed", "label": "a", "stays": 0.9, "stays_clear": 0.97},
        {"kind": "refractory", "label": "b", "stays": 0.8, "stays_clear": 0.95},
        {"kind": "weights", "label": "c", "stays": 0.5, "stays_clear": 0.1},
    ]
    found = stability(rows, IS_CLEAR, ["Other: switched off."])

    assert (found["least_clear_kept"], found["clear"], found["tied"]) == (0.95, 1, 2)
    assert "90 % of all" in found["words"] and "80 % of all" in found["words"] and "(c): 50 % stay" in found["words"]
    assert stability(rows[2:], IS_CLEAR, [])["least_clear_kept"] is None
