"""Doubly-robust scores, weights and shrinkage: derivations by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.learners.stack import Kinds, arm_averages, blend, doubly_robust_scores, shrinkage, stack_weights
from tests.learners.worlds import ranker, world

SHARED = Kinds(has_prognosis=np.ones(2, dtype=bool), is_estimated=np.ones((3, 2), dtype=bool))


def test_a_score_adds_the_weighted_residual_to_the_arm_given_only() -> None:
    scores = doubly_robust_scores(
        np.array([[0.2, 0.4]]), np.array([1.0]), np.array([1]), np.array([[0.75, 0.25]]), 0.03, 8.0
    )

    assert scores[0] == pytest.approx([0.2, 0.4 + 0.6 / 0.25])


def test_a_small_propensity_is_floored_and_a_residual_clipped() -> None:
    scores = doubly_robust_scores(np.zeros((1, 2)), np.array([9.0]), np.array([0]), np.array([[0.01, 0.99]]), 0.03, 8.0)

    assert scores[0, 0] == pytest.approx(8.0 / 0.03)


def test_scores_are_right_on_average_when_only_the_propensity_is() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=40_000)
    propensity = np.stack([1 / (1 + np.exp(-x)), 1 / (1 + np.exp(x))], axis=1)
    arm = (rng.random(len(x)) > propensity[:, 0]).astype(int)
    outcome = 0.3 * x + np.array([0.1, -0.1])[arm] + 0.1 * rng.normal(size=len(x))
    scores = doubly_robust_scores(np.zeros((len(x), 2)), outcome, arm, propensity, 0.001, 8.0)
    naive = outcome[arm == 0].mean() - outcome[arm == 1].mean()

    assert naive > 0.3
    assert scores.mean(axis=0) == pytest.approx([0.1, -0.1], abs=0.02)


def test_the_teacher_that_sees_the_contrast_gets_the_weight() -> None:
    rng = np.random.default_rng(4)
    truth = rng.normal(size=(2000, 3))
    weights = stack_weights(
        {"knows": truth, "guesses": rng.normal(size=truth.shape)}, truth + rng.normal(size=truth.shape)
    )

    assert weights["knows"] > 0.9
    assert sum(weights.values()) == pytest.approx(1.0)


def test_teachers_that_are_all_wrong_share_equally() -> None:
    truth = np.random.default_rng(5).normal(size=(500, 3))

    assert stack_weights({"a": -truth, "b": -truth}, truth) == {"a": 0.5, "b": 0.5}


@pytest.mark.parametrize(("true_slope", "factor"), [(0.5, 0.5), (2.0, 1.0), (-1.0, 0.0)])
def test_heterogeneity_is_kept_as_far_as_scores_support_it(true_slope: float, factor: float) -> None:
    rng = np.random.default_rng(6)
    predicted = rng.normal(size=(20_000, 3))
    found = shrinkage(predicted, true_slope * predicted + rng.normal(size=predicted.shape), np.arange(20_000))

    assert found.slope == pytest.approx(true_slope, abs=4 * found.standard_error)
    assert found.factor == pytest.approx(factor, abs=0.05)


def test_no_individual_difference_falls_back_to_arm_averages_and_says_so() -> None:
    found = shrinkage(np.tile([0.1, 0.2], (50, 1)), np.random.default_rng(7).normal(size=(50, 2)), np.arange(50))

    assert found.factor == 0.0
    assert found.words == "Arm averages are shown: the data do not support individual differences."


def test_the_clustered_error_grows_when_rows_repeat_a_patient() -> None:
    rng = np.random.default_rng(8)
    predicted = np.repeat(rng.normal(size=(500, 2)), 4, axis=0)
    scores = np.repeat(rng.normal(size=(500, 2)), 4, axis=0)
    alone = shrinkage(predicted, scores, np.arange(2000)).standard_error
    together = shrinkage(predicted, scores, np.repeat(np.arange(500), 4)).standard_error

    assert together == pytest.approx(2 * alone, rel=0.01)


def test_a_factor_of_zero_gives_everybody_the_same_contrast() -> None:
    values = np.random.default_rng(9).normal(size=(40, 3, 2))
    averages = arm_averages(
        values, np.zeros((40, 2)), np.zeros(40, dtype=int), np.full((40, 3), 1 / 3), np.array([1.0, -1.0]), 0.03, SHARED
    )
    level = np.tile([0.0, 1.0], (2, 1))
    made = blend({"only": values}, {"only": 1.0}, averages, 0.0, level, SHARED).apply({"only": values})
    contrast = made - made.mean(axis=1, keepdims=True)

    assert np.ptp(contrast, axis=0).max() < 1e-12
    assert made.mean(axis=1) == pytest.approx(values.mean(axis=1))


def test_time_off_treatment_is_shrunk_within_its_arm_and_borrows_from_no_other() -> None:
    rng = np.random.default_rng(10)
    values = np.stack([rng.uniform(size=(60, 2)), np.stack([np.zeros(60), rng.uniform(size=60)], axis=1)], axis=2)
    kinds = Kinds(has_prognosis=np.array([True, False]), is_estimated=np.array([[True, False], [True, True]]))
    arm = np.arange(60) % 2
    averages = arm_averages(
        values, values[np.arange(60), arm], arm, np.full((60, 2), 0.5), np.array([1.0, 1.0]), 0.03, kinds
    )
    made = blend({"only": values}, {"only": 1.0}, averages, 0.5, np.tile([0.0, 1.0], (2, 1)), kinds)
    off = made.apply({"only": values})[:, :, 1]

    assert np.all(off[:, 0] == 0)
    assert off[:, 1] == pytest.approx(values[:, 1, 1].mean() + 0.5 * (values[:, 1, 1] - values[:, 1, 1].mean()))


def test_a_teacher_without_a_model_of_its_own_has_no_vote() -> None:
    few, many = (
        ranker().fit(people.features, people.modality, people.outcomes).evidence_.fold.teachers
        for people in (world(240, 21), world(1500, 21))
    )

    assert set(few) == {"linear", "single"}
    assert set(many) == {"linear", "single", "per_arm"}
