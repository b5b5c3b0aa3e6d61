"""Each person chooses among what was possible."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from pipeline.config import LearnerConfig
from pipeline.learners.design import columns_of, fit_linear_design
from pipeline.learners.propensity import Propensity, fit_propensity

SETTINGS = LearnerConfig()


def _fitted(table: pd.DataFrame, arm: np.ndarray, impossible: np.ndarray) -> tuple[Propensity, np.ndarray]:
    columns = columns_of(table, list(table.columns))
    matrix = columns.matrix(table)
    return fit_propensity(matrix, columns, arm, impossible, SETTINGS), matrix


def _choices(n: int, seed: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
    """Return facts, arms given, structural zeros and true propensities: the third arm is out of reach for half."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.normal(size=(n, 3)), columns=["a", "b", "c"])
    impossible = np.zeros((n, 3), dtype=bool)
    impossible[:, 2] = rng.random(n) < 0.5
    odds = np.stack([np.zeros(n), 0.8 * table["a"], 1.0 + 0.5 * table["b"]], axis=1)
    truth = softmax(np.where(impossible, -np.inf, odds), axis=1)
    return table, (truth.cumsum(axis=1) < rng.random(n)[:, None]).sum(axis=1), impossible, truth


def test_a_modality_out_of_reach_for_half_keeps_its_share_among_the_rest() -> None:
    table, arm, impossible, truth = _choices(4000, 1)
    model, matrix = _fitted(table, arm, impossible)
    found = model.predict(matrix, impossible)

    assert np.all(found[impossible] == 0)
    assert found.sum(axis=1) == pytest.approx(1.0)
    assert np.abs(found - truth).mean() < 0.03
    for code in range(3):
        assert np.sum((arm == code) / np.maximum(found[:, code], 1e-9)) / np.sum(~impossible[:, code]) == pytest.approx(
            1.0, abs=0.1
        )


def test_without_structural_zeros_the_ridge_half_is_the_librarys() -> None:
    table, arm, _, _ = _choices(1500, 2)
    model, matrix = _fitted(table, arm, np.zeros((1500, 3), dtype=bool))
    main = fit_linear_design(matrix, columns_of(table, list(table.columns))).transform(matrix)
    library = LogisticRegression(C=0.05, max_iter=2000, tol=1e-8).fit(main, arm)

    assert model.coefficients == pytest.approx(library.coef_, abs=1e-3)


def test_where_nothing_was_possible_the_zeros_are_lifted() -> None:
    table, arm, _, _ = _choices(400, 3)
    model, matrix = _fitted(table, arm, np.zeros((400, 3), dtype=bool))
    everything = np.ones((400, 3), dtype=bool)

    assert model.predict(matrix, everything) == pytest.approx(model.predict(matrix, ~everything))


def test_an_arm_that_nobody_was_given_has_next_to_no_chance() -> None:
    table, arm, _, _ = _choices(400, 4)
    model, matrix = _fitted(table, np.minimum(arm, 1), np.zeros((400, 3), dtype=bool))

    assert model.predict(matrix, np.zeros((400, 3), dtype=bool))[:, 2].max() < 0.01


def test_a_column_that_says_nothing_leaves_the_shares_of_the_arms() -> None:
    _, arm, _, _ = _choices(600, 5)
    model, matrix = _fitted(pd.DataFrame({"same": np.ones(600)}), arm, np.zeros((600, 3), dtype=bool))

    assert model.predict(matrix, np.zeros((600, 3), dtype=bool))[0] == pytest.approx(np.bincount(arm) / 600, abs=0.01)


def test_zeros_kept_from_the_fit_would_make_the_rare_choice_look_rarer_than_it_was() -> None:
    table, arm, impossible, truth = _choices(4000, 6)
    masked, matrix = _fitted(table, arm, impossible)
    unmasked, _ = _fitted(table, arm, np.zeros_like(impossible))
    reachable = ~impossible[:, 2]
    error = [
        model.predict(matrix, impossible)[reachable, 2].mean() - truth[reachable, 2].mean()
        for model in (masked, unmasked)
    ]

    assert abs(error[0]) < 0.02
    assert error[1] < -0.1
