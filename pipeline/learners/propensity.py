"""How likely was each modality to be given to this person?

The mean of a ridge multinomial and a LightGBM multinomial, with structural zeros: a modality
that was not available, or that a non-overridable rule blocks, has propensity 0 and the rest
is rescaled. A person who got it anyway cancels the zero and is counted as a conflict.
"""

from __future__ import annotations

from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from pipeline.config import LearnerConfig
from pipeline.learners.boosted_hazard import tree_parameters
from pipeline.learners.design import Columns, LinearDesign, fit_linear_design, within_the_many

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Propensity:
    """A fitted propensity model.

    Attributes
    ----------
    design : LinearDesign
    intercepts : array (arms,)
    coefficients : array (arms, n_terms)
    booster : Booster
    """

    design: LinearDesign
    intercepts: Array
    coefficients: Array
    booster: lgb.Booster

    def predict(self, matrix: Array, is_impossible: BoolArray) -> Array:
        """Return propensities, shape (n, arms); rows sum to 1, impossible cells are 0.

        Where every arm is impossible the zeros are lifted, since some arm was or will be given.
        """
        linear = softmax(self.design.transform(matrix) @ self.coefficients.T + self.intercepts, axis=1)
        boosted = np.asarray(self.booster.predict(matrix, num_threads=1)).reshape(linear.shape)
        allowed = ~is_impossible | is_impossible.all(axis=1, keepdims=True)
        mean = (linear + boosted) / 2 * allowed
        return np.asarray(mean / np.maximum(mean.sum(axis=1, keepdims=True), 1e-12))


def fit_propensity(matrix: Array, columns: Columns, arm: IntArray, arms: int, settings: LearnerConfig) -> Propensity:
    """Fit both multinomials.

    Parameters
    ----------
    matrix : array (n, n_columns)
        Columns with role `propensity`.
    columns : Columns
    arm : array (n,) of int
    arms : int
    settings : LearnerConfig

    Returns
    -------
    Propensity
    """
    design = fit_linear_design(matrix, columns)
    main = design.transform(matrix)
    model = LogisticRegression(C=0.05, max_iter=500, tol=1e-5).fit(main, arm)
    intercepts, coefficients = np.full(arms, -30.0), np.zeros((arms, main.shape[1]))
    if arms == 2 and len(model.classes_) == 2:
        intercepts[:] = (0.0, float(model.intercept_[0]))
        coefficients[1] = model.coef_[0]
    else:
        intercepts[model.classes_] = model.intercept_
        coefficients[model.classes_] = model.coef_
    parameters = tree_parameters(settings, settings.seed + 1) | {
        "objective": "multiclass",
        "num_class": arms,
        "num_leaves": 6,
        "min_data_in_leaf": 25,
    }
    rows = lgb.Dataset(
        within_the_many(matrix, columns.categorical),
        label=arm.astype(float),
        categorical_feature=list(columns.categorical),
        params={"verbosity": -1, "min_data_in_bin": 11, "num_threads": 1},
    )
    return Propensity(
        design=design,
        intercepts=intercepts,
        coefficients=coefficients,
        booster=lgb.train(parameters, rows, num_boost_round=80),
    )
