"""What is saved, scored and explained?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.learners.design import SMALL_CELL, Columns
from pipeline.learners.intervals import Spread
from pipeline.learners.propensity import Propensity
from pipeline.learners.student import Students
from pipeline.learners.targets import Target

Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

_TOP_FEATURES = 10
_SAMPLE = 400


@dataclass(frozen=True)
class InputContract:
    """What a row must look like for the model to speak.

    Attributes
    ----------
    never_missing : tuple of str
        Features that no training row lacked.
    ranges : mapping of feature to (low, high)
        The eleventh smallest and largest training value, so that no one person's value is stored.
    top_features : tuple of str
        The features that move contrasts most; only these can make a row `shifted`.
    """

    never_missing: tuple[str, ...]
    ranges: Mapping[str, tuple[float, float]]
    top_features: tuple[str, ...]

    def reasons(self, features: pd.DataFrame, columns: Columns) -> list[str | None]:
        """Return for each row why the model should not speak of it, or None."""
        gap = features[list(self.never_missing)].isna().any(axis=1).to_numpy()
        unseen = np.zeros(len(features), dtype=bool)
        for name, levels in columns.levels.items():
            given = features[name].astype("object")
            unseen |= (given.notna() & ~given.isin(levels)).to_numpy()
        shifted = np.zeros(len(features), dtype=bool)
        for name in self.top_features:
            low, high = self.ranges[name]
            margin = 0.1 * (high - low)
            values = features[name].to_numpy(dtype=float)
            shifted |= (values < low - margin) | (values > high + margin)
        named = np.select([gap, unseen, shifted], ["unexpected_missing", "unseen_category", "shifted"], default="")
        return [str(reason) or None for reason in named]


@dataclass(frozen=True)
class SuitabilityModel:
    """The deployed model of the rankable arms.

    Attributes
    ----------
    arms : tuple of str
        Modality ids.
    targets : tuple of Target
    columns, propensity_columns : Columns
    students : Students
    spread : Spread
    propensity : Propensity
    contract : InputContract
    product_cases : mapping of product to int
        Training rows per product; counts under 11 are stored as 0.
    """

    arms: tuple[str, ...]
    targets: tuple[Target, ...]
    columns: Columns
    propensity_columns: Columns
    students: Students
    spread: Spread
    propensity: Propensity
    contract: InputContract
    product_cases: Mapping[str, int]

    def outcomes(self, features: pd.DataFrame) -> Array:
        """Return the outcome vector of every arm, shape (n, arms, targets)."""
        return self.students.outcomes(self.columns.matrix(features))

    def support(self, features: pd.DataFrame, is_impossible: BoolArray) -> Array:
        """Return propensities, shape (n, arms)."""
        return self.propensity.predict(self.propensity_columns.matrix(features), is_impossible)

    def deviations(self, features: pd.DataFrame, signed_weights: Array) -> Array:
        """Return deviations of suitability, shape (n, k, arms); their sum of squares over k is the variance."""
        return self.spread.deviations(self.columns.matrix(features), signed_weights)


def input_contract(
    table: pd.DataFrame, names: Sequence[str], levels: Mapping[str, Any], moving: Sequence[str]
) -> InputContract:
    """Return what rows must look like, from training rows; ranges end at the eleventh value from each side.

    Parameters
    ----------
    table : DataFrame, one row per training decision
    names : sequence of str
        Features that the model reads.
    levels : mapping
        Declared levels of the categorical ones.
    moving : sequence of str
        The features that move contrasts most, largest first.
    """
    never = tuple(name for name in names if not table[name].isna().any())
    ranges: dict[str, tuple[float, float]] = {}
    for name in names:
        if name in levels:
            continue
        known = np.sort(table[name].dropna().to_numpy(dtype=float))
        if len(known) >= 2 * SMALL_CELL:
            ranges[name] = (float(known[SMALL_CELL - 1]), float(known[-SMALL_CELL]))
    return InputContract(
        never_missing=never, ranges=ranges, top_features=tuple(name for name in moving if name in ranges)
    )


def moving_features(matrix: Array, columns: Columns, students: Students, signed: Array) -> list[str]:
    """Return the ten numeric features that move contrasts most, by mean absolute contribution, largest first.

    Parameters
    ----------
    matrix : array (n, n_columns)
        Training rows, of which an even sample of 400 is explained.
    columns : Columns
    students : Students
    signed : array (targets,)
        Signed utility weights over their total.
    """
    even = np.linspace(0, len(matrix) - 1, min(len(matrix), _SAMPLE)).round().astype(np.intp)
    _, shap = students.contributions(matrix[even], np.repeat(signed[None], len(even), axis=0))
    size = np.abs(shap - shap.mean(axis=1, keepdims=True)).mean(axis=(0, 1))
    order = [columns.names[k] for k in np.argsort(-size, kind="stable") if size[k] > 0]
    return [name for name in order if name not in columns.levels][:_TOP_FEATURES]
