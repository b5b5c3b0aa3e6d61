"""Estimators of a policy's value on numpy worlds whose propensities and true values are known exactly."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from pipeline.learners.policy_value import Logged as Rows
from pipeline.learners.policy_value import (
    PolicyValue,
    clustered_error,
    effective_sample_size,
    paired,
    policy_value,
    switch_scores,
    valued,
)
from pipeline.learners.stack import doubly_robust_scores

Array = npt.NDArray[np.float64]
FLOOR = 0.03

# Five kinds of people, three arms: expected utility and chance of being given each arm, by kind.
UTILITY = np.array([[0.1, 0.3, 0.5], [0.6, 0.2, 0.1], [0.3, 0.3, 0.3], [0.0, 0.4, 0.2], [0.5, 0.1, 0.7]])
CHANCE = np.array([[0.5, 0.3, 0.2], [0.3, 0.4, 0.3], [0.2, 0.2, 0.6], [0.6, 0.25, 0.15], [0.3, 0.3, 0.4]])
ORACLE = np.eye(3)[UTILITY.argmax(axis=1)]


@dataclass(frozen=True)
class Drawn:
    """People drawn from the five kinds; `kind` indexes the tables above."""

    kind: npt.NDArray[np.int64]
    rows: Rows

    def value(self, chance: Array, **changes: float) -> PolicyValue:
        rows = replace(self.rows, **changes)
        return policy_value(
            chance[self.kind],
            rows.utility_model,
            rows.observed,
            rows.arm,
            rows.propensity,
            rows.groups,
            rows.floor,
            rows.tau,
        )


def drawn(n: int, seed: int, model: Array = UTILITY) -> Drawn:
    """Return n people given an arm by the known chances and seen with noise of standard deviation 0.3."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 5, n)
    arm = (rng.random(n)[:, None] > CHANCE[kind].cumsum(axis=1)).sum(axis=1)
    seen = UTILITY[kind, arm] + rng.normal(0, 0.3, n)
    return Drawn(kind, Rows(model[kind], seen, arm, np.arange(n), CHANCE[kind], FLOOR))


def true_value(chance: Array) -> float:
    """Return a policy's exact value: the kinds are equally frequent."""
    return float((chance * UTILITY).sum(axis=1).mean())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("chance", [ORACLE, np.full((5, 3), 1 / 3), CHANCE], ids=["oracle", "random", "logging"])
def test_both_estimators_and_the_truth_agree_where_propensities_are_known(chance: Array, seed: int) -> None:
    found = drawn(2000, seed).value(chance)
    truth = true_value(chance)

    assert found.vetoed is None
    assert found.value is not None and found.se is not None and found.snipw is not None and found.snipw_se is not None
    assert abs(found.value - truth) < 3 * found.se
    assert abs(found.snipw - truth) < 3 * found.snipw_se
    assert abs(found.mass - 1) < 0.1


def test_right_propensities_mend_a_wrong_outcome_model_unless_the_switch_forbids_it() -> None:
    wrong = np.full((5, 3), 0.9)
    people = drawn(4000, 5, wrong)
    mended, kept = people.value(ORACLE, tau=np.inf), people.value(ORACLE, tau=1.0)

    assert mended.value is not None and mended.se is not None
    assert abs(mended.value - true_value(ORACLE)) < 3 * mended.se
    assert kept.value == pytest.approx(0.9) and kept.modelled_share == 1.0
    assert kept.disagree  # weighting sees what the outcome model does not


def test_ninety_percent_intervals_hold_the_truth_as_often_as_they_say() -> None:
    draws = 200
    # 99.9 % of binomial counts at a true coverage of 0.9.
    low, high = binom.interval(0.999, draws, 0.9)
    for chance in (ORACLE, np.full((5, 3), 1 / 3)):
        found = [drawn(1500, 1000 + seed).value(chance) for seed in range(draws)]
        assert all(f.vetoed is None for f in found)
        inside = sum(f.low <= true_value(chance) <= f.high for f in found if f.low is not None and f.high is not None)
        ratio = [
            abs(f.snipw - true_value(chance)) <= 1.645 * f.snipw_se
            for f in found
            if f.snipw is not None and f.snipw_se is not None
        ]

        assert low <= inside <= high
        assert low <= sum(ratio) <= high


@pytest.mark.parametrize("seed", range(5))
def test_a_shuffled_policy_never_beats_the_oracle_by_more_than_noise(seed: int) -> None:
    people = drawn(1500, 40 + seed)
    best = ORACLE[people.kind]
    shuffled = best[np.random.default_rng(seed).permutation(len(best))]
    ahead = paired(valued(shuffled, people.rows).values, valued(best, people.rows).values, people.rows.groups)

    assert ahead.difference < 2 * ahead.se
    assert ahead.difference < 0


def test_the_difference_from_clinicians_is_paired_and_zero_for_what_they_did() -> None:
    people = drawn(800, 3)
    rows = people.rows
    left = valued(np.eye(3)[rows.arm], rows, np.zeros(800, dtype=bool))
    model = people.value(ORACLE)

    assert left.values == pytest.approx(rows.observed) and left.weights == pytest.approx(np.ones(800))
    assert paired(left.values, rows.observed, rows.groups) == paired(rows.observed, rows.observed, rows.groups)
    assert model.difference is not None and model.value is not None
    assert model.difference == pytest.approx(model.value - rows.observed.mean())


def test_a_policy_that_leaves_some_alone_weighs_them_as_they_were() -> None:
    people = drawn(800, 4)
    rows, chance = people.rows, ORACLE[people.kind]
    is_kept = np.arange(800) % 2 == 0
    some, everyone = valued(chance, rows, is_kept), valued(chance, rows)

    assert np.array_equal(some.values, np.where(is_kept, everyone.values, rows.observed))
    assert np.array_equal(some.weights, np.where(is_kept, everyone.weights, 1.0))
    assert some.modelled == pytest.approx(np.mean(is_kept[:, None] * chance * (rows.propensity < 0.2)) * 3)


def test_a_person_counted_twice_is_one_person() -> None:
    people = drawn(500, 8).rows
    twice = np.tile(people.observed, 2)
    ids = np.tile(people.groups, 2)

    assert clustered_error(twice, ids) == pytest.approx(clustered_error(people.observed, people.groups))
    assert clustered_error(twice, np.arange(1000)) == pytest.approx(
        clustered_error(people.observed, people.groups) / np.sqrt(2)
    )


def test_the_switch_keeps_an_inverse_propensity_of_five_and_drops_the_next() -> None:
    propensity = np.array([[0.2, 0.8], [0.1999, 0.8001]])
    scores = switch_scores(np.zeros((2, 2)), np.ones(2), np.zeros(2, dtype=np.int64), propensity, tau=5.0)

    assert scores[0, 0] == pytest.approx(5.0)  # 0 + (1 - 0) / 0.2
    assert scores[1, 0] == 0.0
    assert np.all(scores[:, 1] == 0.0)


def test_without_a_switch_the_scores_are_doubly_robust() -> None:
    rows = drawn(300, 2).rows
    plain = doubly_robust_scores(rows.utility_model, rows.observed, rows.arm, rows.propensity, 1e-9, np.inf)

    assert switch_scores(rows.utility_model, rows.observed, rows.arm, rows.propensity, np.inf) == pytest.approx(plain)


@settings(max_examples=25, deadline=None)
@given(shift=st.floats(-3, 3), share=st.floats(0, 1), seed=st.integers(0, 50))
def test_a_mixture_of_policies_is_worth_the_mixture_and_a_shift_of_outcomes_shifts_every_value(
    shift: float, share: float, seed: int
) -> None:
    rows = drawn(200, seed).rows
    first, second = ORACLE[np.zeros(200, dtype=int)], np.full((200, 3), 1 / 3)
    moved = replace(rows, observed=rows.observed + shift, utility_model=rows.utility_model + shift)
    mixed = valued(share * first + (1 - share) * second, rows).values

    assert mixed == pytest.approx(share * valued(first, rows).values + (1 - share) * valued(second, rows).values)
    assert valued(second, moved).values.mean() == pytest.approx(valued(second, rows).values.mean() + shift)
    assert valued(second, moved).normalised.mean() == pytest.approx(valued(second, rows).normalised.mean() + shift)


def alike(given_first: int, n: int = 400, propensity: float = 0.5) -> PolicyValue:
    """Return the value of always choosing the first of two arms, which so many of n alike people were given."""
    arm = np.ones(n, dtype=np.int64)
    arm[:given_first] = 0
    chances = np.column_stack([np.full(n, propensity), np.full(n, 1 - propensity)])
    chosen = np.tile([1.0, 0.0], (n, 1))
    return policy_value(chosen, np.zeros((n, 2)), np.linspace(0, 1, n), arm, chances, np.arange(n), FLOOR)


@pytest.mark.parametrize(("given_first", "has_value"), [(29, False), (30, True)])
def test_an_effective_sample_under_thirty_has_no_value(given_first: int, has_value: bool) -> None:
    found = alike(given_first)

    # Equal weights: the effective sample is the number given the arm.
    assert found.effective_sample_size == pytest.approx(given_first)
    assert (found.vetoed is None) is has_value
    numbers = (found.value, found.se, found.low, found.high, found.difference, found.snipw, found.snipw_se)
    assert all((number is None) is not has_value for number in numbers)


@pytest.mark.parametrize(("lacking", "has_value"), [(20, True), (21, False)])
def test_over_five_percent_without_support_have_no_value(lacking: int, has_value: bool) -> None:
    rows = drawn(400, 6).rows
    propensity = rows.propensity.copy()
    propensity[:lacking] = [0.0299, 0.48, 0.4901]
    arm = np.where(np.arange(400) < lacking, 1, rows.arm)
    found = policy_value(np.tile([1.0, 0, 0], (400, 1)), rows.utility_model, rows.observed, arm, propensity,
                         rows.groups, FLOOR)  # fmt: skip

    assert (found.vetoed is None) is has_value


def test_one_weight_over_five_percent_has_no_value() -> None:
    n = 400
    chances = np.tile([0.5, 0.5], (n, 1))
    arm = np.arange(n) % 2
    chances[0] = [0.031, 0.969]  # weight 32 of 32 + 199 * 2 = 430, which is 7.5 %
    found = policy_value(np.tile([1.0, 0.0], (n, 1)), np.zeros((n, 2)), np.ones(n), arm, chances, np.arange(n), FLOOR)

    assert found.largest_weight_share == pytest.approx(1 / 0.031 / (1 / 0.031 + 199 * 2))
    assert found.vetoed == "one person holds 7 % of the total weight"


@pytest.mark.parametrize(("propensity", "flagged"), [(0.5, False), (0.46, False), (0.44, True), (0.6, True)])
def test_weights_that_do_not_add_up_are_flagged(propensity: float, flagged: bool) -> None:
    # Half of 400 were given the first arm: mass 0.5 / propensity leaves 0.9 to 1.1 under 0.4545 and over 0.5556.
    found = alike(200, propensity=propensity)

    assert found.mass == pytest.approx(0.5 / propensity)
    if flagged:
        assert found.disagree


def test_few_people_are_not_counted_in_a_reason() -> None:
    found = alike(4)

    assert found.vetoed is not None and "under 11 people" in found.vetoed


def test_the_effective_sample_is_that_of_the_weights() -> None:
    assert effective_sample_size(np.array([1.0, 1.0, 2.0])) == pytest.approx(16 / 6)
    assert effective_sample_size(np.zeros(3)) == 0.0


def test_arrays_that_do_not_fit_are_refused_by_name() -> None:
    rows = drawn(20, 1).rows
    with pytest.raises(ValueError, match=r"propensity has shape \(20, 2\), wanted \(20, 3\)"):
        policy_value(ORACLE[np.zeros(20, dtype=int)], rows.utility_model, rows.observed, rows.arm,
                     rows.propensity[:, :2], rows.groups, FLOOR)  # fmt: skip
    with pytest.raises(ValueError, match="chances of 20 of 20"):
        policy_value(np.zeros((20, 3)), rows.utility_model, rows.observed, rows.arm, rows.propensity, rows.groups,
                     FLOOR)  # fmt: skip
