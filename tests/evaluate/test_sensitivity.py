"""Sensitivity to what nobody recorded: published E-values, gaps by hand, and a bias that does what is said."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluate.sensitivity import BIASES, e_value, gaps, sensitivity
from tests.evaluate.drawn_evidence import ARMS, CLIP, CONTROL, FLOOR, LABELS, Drawn, drawn


def _sensitivity(people: Drawn, utility: np.ndarray, possible: np.ndarray | None = None) -> dict:
    allowed = np.ones(utility.shape, dtype=bool) if possible is None else possible
    return sensitivity(people.evidence, utility, allowed, ARMS, LABELS, CONTROL, FLOOR, CLIP)


# VanderWeele and Ding 2017: a risk ratio of 3.9 with a lower limit of 1.8 has E-values 7.26 and 3.0.
@pytest.mark.parametrize(
    ("ratio", "wanted"), [(3.9, 7.26), (1.8, 3.0), (1.0, 1.0), (2.0, 2 + np.sqrt(2)), (0.5, 2 + np.sqrt(2))]
)
def test_e_values_are_those_published(ratio: float, wanted: float) -> None:
    assert e_value(ratio) == pytest.approx(wanted, abs=0.005)


@given(st.floats(0.01, 100), st.floats(1.001, 5))
def test_an_e_value_is_the_same_either_way_round_and_grows_with_the_distance_from_one(
    ratio: float, more: float
) -> None:
    assert e_value(ratio) == pytest.approx(e_value(1 / ratio))
    assert e_value(ratio * more if ratio >= 1 else ratio / more) > e_value(ratio) >= max(ratio, 1 / ratio) * (1 - 1e-9)


@pytest.mark.parametrize(
    ("utility", "possible", "first_two", "gap"),
    [
        ([0.3, 0.2, 0.1], [1, 1, 1], [0, 1], 0.1),
        ([0.3, 0.2, 0.1], [0, 1, 1], [1, 2], 0.1),
        ([0.3, 0.2, 0.1], [1, 0, 1], [0, 2], 0.2),
        ([0.1, 0.1, 0.0], [1, 1, 1], [0, 1], 0.0),
    ],
)
def test_the_gap_is_between_the_two_best_that_are_possible(
    utility: list[float], possible: list[int], first_two: list[int], gap: float
) -> None:
    order, found = gaps(np.array([utility]), np.array([possible], dtype=bool))

    assert order.tolist() == [first_two]
    assert found == pytest.approx([gap])


def test_who_could_have_one_modality_only_has_nothing_to_overturn() -> None:
    possible = np.array([[True, False, False], [True, True, False]])

    assert len(gaps(np.zeros((2, 3)), possible)[1]) == 1


def test_a_bias_flips_as_many_first_choices_as_are_said_not_to_survive_it() -> None:
    people = drawn(500, 1)
    utility = np.random.default_rng(2).normal(0, 0.1, (500, 3))
    found = _sensitivity(people, utility)
    order, _ = gaps(utility, np.ones((500, 3), dtype=bool))

    for entry, bias in zip(found["sweep"], BIASES, strict=True):
        lifted = utility.copy()
        lifted[np.arange(500), order[:, 1]] += bias
        assert entry["survives"] == pytest.approx(np.mean(lifted.argmax(axis=1) == order[:, 0]))
    flipped = 100 * (1 - found["sweep"][1]["survives"])
    assert f"worth 0.05 of suitability could change the first choice of {flipped:.0f} % of decisions" in found["words"]


def test_the_pooled_risk_ratio_is_of_the_two_most_often_on_top_and_covers_the_truth() -> None:
    people = drawn(6000, 3, effect=0.3)
    found = _sensitivity(people, people.truth + np.array([0.0, -0.01, 0.0]))
    pair, risk = found["pair"], 1 - people.truth.mean(axis=0)

    assert (pair["first"], pair["second"], pair["top_two"]) == ("car_t", "adc", 1.0)
    assert pair["low"] < risk[2] / risk[0] < pair["high"] < 1
    assert pair["e_value"] == pytest.approx(e_value(pair["risk_ratio"]))
    assert 1 < pair["e_value_limit"] == pytest.approx(e_value(pair["high"]))
    assert "CAR T and Conjugate most often share the first two places (100 % of decisions)" in found["words"]


def test_its_interval_covers_the_true_ratio_ninety_five_times_in_a_hundred() -> None:
    # 200 worlds: 0.95 -/+ four binomial standard errors is 0.888 and above.
    covered = 0
    for seed in range(200):
        people = drawn(400, seed, effect=0.15)
        pair, risk = _sensitivity(people, people.truth)["pair"], 1 - people.truth.mean(axis=0)
        a, b = ARMS.index(pair["first"]), ARMS.index(pair["second"])
        covered += pair["low"] <= risk[a] / risk[b] <= pair["high"]

    assert covered >= 178


def test_where_there_is_no_difference_no_unrecorded_reason_is_needed() -> None:
    people = drawn(500, 11)
    found = _sensitivity(people, people.truth)

    assert found["pair"]["e_value_limit"] == 1.0
    assert "no unrecorded reason is needed" in found["words"]


def test_without_the_outcome_only_the_sweep_is_told() -> None:
    people = drawn(100, 1)
    allowed = np.ones((100, 3), dtype=bool)
    found = sensitivity(people.evidence, people.truth, allowed, ARMS, LABELS, (), FLOOR, CLIP)
    nobody = _sensitivity(people, people.truth, np.eye(3, dtype=bool)[people.evidence.arm])

    assert found["pair"] is None
    assert (nobody["decisions"], nobody["words"]) == (0, "Nobody could have had two modalities.")
