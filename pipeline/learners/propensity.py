"""How likely was each modality to be given to this person?

The mean of a ridge multinomial and a LightGBM multinomial over the modalities that were possible.
A modality that was not available, or that a non-overridable rule blocks, is a structural zero: it
takes no part in that person's choice, neither when the models are fitted nor when they predict. A
person who got it anyway cancels the zero and is counted as a conflict.
"""

from __future__ import annotations

from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import softmax

from pipeline.config import LearnerConfig
from pipeline.learners.boosted_hazard import tree_parameters
from pipeline.learners.design import Columns, LinearDesign, fit_linear_design, within_the_many

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_RIDGE = 20.0
"""Penalty on squared coefficients of standardised terms, against the summed log loss."""
_TREES = 80
_IMPOSSIBLE = -30.0
"""Log odds of a structural zero: e^-30 is nothing beside any real share."""


@dataclass(frozen=True)
class Propensity:
    """A fitted propensity model.

    Attributes
    ----------
    design : LinearDesign
    intercepts : array (arms,)
    coefficients : array (arms, n_terms)
    start : array (arms,)
        Log odds that the booster starts from.
    booster : Booster
    """

    design: LinearDesign
    intercepts: Array
    coefficients: Array
    start: Array
    booster: lgb.Booster

    def predict(self, matrix: Array, is_impossible: BoolArray) -> Array:
        """Return propensities, shape (n, arms); rows sum to 1, impossible cells are 0.

        Where every arm is impossible the zeros are lifted, since some arm was or will be given.
        """
        barred = _barred(is_impossible)
        linear = self.design.transform(matrix) @ self.coefficients.T + self.intercepts
        boosted = np.asarray(self.booster.predict(matrix, raw_score=True, num_threads=1)).reshape(linear.shape)
        mean = (softmax(linear + barred, axis=1) + softmax(boosted + self.start + barred, axis=1)) / 2
        mean = np.where(barred < 0, 0.0, mean)
        return np.asarray(mean / mean.sum(axis=1, keepdims=True))


def _barred(is_impossible: BoolArray) -> Array:
    """Return what is added to log odds: nothing, or next to minus infinity for structural zeros."""
    is_barred = is_impossible & ~is_impossible.all(axis=1, keepdims=True)
    return np.where(is_barred, _IMPOSSIBLE, 0.0)


def fit_propensity(
    matrix: Array, columns: Columns, arm: IntArray, is_impossible: BoolArray, settings: LearnerConfig
) -> Propensity:
    """Fit both multinomials, each person choosing among what was possible.

    Parameters
    ----------
    matrix : array (n, n_columns)
        Columns with role `propensity`.
    columns : Columns
    arm : array (n,) of int
    is_impossible : bool array (n, arms)
        Structural zeros; an arm that nobody was given in these rows gets next to nothing.
    settings : LearnerConfig

    Returns
    -------
    Propensity
    """
    design = fit_linear_design(matrix, columns)
    barred = _barred(is_impossible)
    arms = barred.shape[1]
    counts = np.bincount(arm, minlength=arms)
    start = np.log(np.maximum(counts, 1e-12) / len(arm)).clip(min=_IMPOSSIBLE)
    intercepts, coefficients = _ridge_multinomial(design.transform(matrix), arm, barred, start)
    parameters = tree_parameters(settings, settings.seed + 1) | {
        "objective": "multiclass",
        "num_class": arms,
        "num_leaves": 6,
        "min_data_in_leaf": 25,
    }
    rows = lgb.Dataset(
        within_the_many(matrix, columns.categorical),
        label=arm.astype(float),
        init_score=start + barred,
        categorical_feature=list(columns.categorical),
        params={"verbosity": -1, "min_data_in_bin": 11, "num_threads": 1},
    )
    booster = lgb.train(parameters, rows, num_boost_round=_TREES)
    return Propensity(design=design, intercepts=intercepts, coefficients=coefficients, start=start, booster=booster)


def _ridge_multinomial(main: Array, arm: IntArray, barred: Array, start: Array) -> tuple[Array, Array]:
    """Return intercepts (arms,) and coefficients (arms, n_terms) of the penalised conditional logit.

    Library multinomials know no person-specific choice sets (McFadden 1974), hence the few lines of gradient.
    """
    arms, terms = barred.shape[1], main.shape[1]
    given = np.eye(arms)[arm]

    def loss(flat: Array) -> tuple[float, Array]:
        intercepts, coefficients = flat[:arms], flat[arms:].reshape(arms, terms)
        odds = main @ coefficients.T + intercepts + barred
        highest = odds.max(axis=1, keepdims=True)
        chance = np.exp(odds - highest)
        total = chance.sum(axis=1, keepdims=True)
        surprise = float(np.sum(np.log(total) + highest) - np.sum(odds * given))
        gap = chance / total - given
        gradient = np.concatenate([gap.sum(axis=0), (gap.T @ main + _RIDGE * coefficients).ravel()])
        return surprise + _RIDGE / 2 * float(np.sum(coefficients**2)), gradient

    first = np.concatenate([start, np.zeros(arms * terms)])
    found = minimize(loss, first, jac=True, method="L-BFGS-B", options={"maxiter": 500, "ftol": 1e-10})
    return found.x[:arms], found.x[arms:].reshape(arms, terms)
