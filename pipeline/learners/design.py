"""How does a feature table become numbers for trees and for the linear model?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

Array = npt.NDArray[np.float64]

SMALL_CELL = 11
"""What fewer than this many people define is not stored."""

_RARE_GAP = 0.02
_LIMIT = 4.0


@dataclass(frozen=True)
class Columns:
    """The columns a model reads, in order, and the declared levels of the categorical ones."""

    names: tuple[str, ...]
    levels: Mapping[str, tuple[str, ...]]

    @property
    def categorical(self) -> tuple[int, ...]:
        """Positions of the categorical columns."""
        return tuple(i for i, name in enumerate(self.names) if name in self.levels)

    def matrix(self, features: pd.DataFrame) -> Array:
        """Return features as floats, shape (n, n_columns): categories as level codes, gaps and unknown levels NaN."""
        columns = []
        for name in self.names:
            if name in self.levels:
                codes = pd.Index(self.levels[name]).get_indexer(pd.Index(features[name].astype("object")))
                columns.append(np.where(codes < 0, np.nan, codes.astype(float)))
            else:
                columns.append(features[name].to_numpy(dtype=float))
        return np.column_stack(columns) if columns else np.empty((len(features), 0))


def columns_of(features: pd.DataFrame, names: Sequence[str]) -> Columns:
    """Return the columns to read, taking levels from the table's declared categories."""
    levels = {
        name: tuple(str(level) for level in features[name].cat.categories)
        for name in names
        if isinstance(features[name].dtype, pd.CategoricalDtype)
    }
    return Columns(names=tuple(names), levels=levels)


def within_the_many(matrix: Array, categorical: Sequence[int]) -> Array:
    """Return the matrix with numbers held between the column's eleventh smallest and largest known value.

    A saved tree writes down the ends of each column and thresholds between its values; so held, none of them
    is one person's. A column that fewer than 22 people have becomes all gaps.
    """
    held = matrix.copy()
    for position in sorted(set(range(matrix.shape[1])) - set(categorical)):
        known = np.sort(matrix[~np.isnan(matrix[:, position]), position])
        if len(known) < 2 * SMALL_CELL:
            held[:, position] = np.nan
        else:
            held[:, position] = np.clip(matrix[:, position], known[SMALL_CELL - 1], known[-SMALL_CELL])
    return held


@dataclass(frozen=True)
class LinearDesign:
    """Standardised columns, one-hot levels and gap indicators of the linear model.

    Attributes
    ----------
    numeric, indicated : tuple of int
        Columns used as numbers; those of them that also get a gap indicator.
    middle, spread : arrays
        Median and scale of each numeric column, from training rows.
    categorical : tuple of (column, n_levels)
    """

    numeric: tuple[int, ...]
    middle: Array
    spread: Array
    indicated: tuple[int, ...]
    categorical: tuple[tuple[int, int], ...]

    def transform(self, matrix: Array) -> Array:
        """Return the linear design, shape (n, n_terms); every term is finite and within 4 spreads."""
        values = matrix[:, list(self.numeric)]
        scaled = np.where(np.isnan(values), 0.0, (values - self.middle) / self.spread)
        parts = [np.clip(scaled, -_LIMIT, _LIMIT), np.isnan(matrix[:, list(self.indicated)]).astype(float)]
        parts += [(matrix[:, [column]] == np.arange(n_levels)).astype(float) for column, n_levels in self.categorical]
        return np.concatenate(parts, axis=1)


def fit_linear_design(matrix: Array, columns: Columns) -> LinearDesign:
    """Return the design learned from training rows: medians, spreads and which gaps are worth an indicator."""
    numeric = []
    for position in range(matrix.shape[1]):
        known = matrix[~np.isnan(matrix[:, position]), position]
        if position not in columns.categorical and len(known) >= 2 * SMALL_CELL and np.ptp(known) > 0:
            numeric.append(position)
    values = matrix[:, numeric]
    gaps = np.isnan(values).mean(axis=0) if len(numeric) else np.empty(0)
    indicated: list[int] = []
    seen: set[bytes] = set()
    for position, share in zip(numeric, gaps, strict=True):
        pattern = np.isnan(matrix[:, position]).tobytes()
        if _RARE_GAP < share < 1 - _RARE_GAP and pattern not in seen:
            indicated.append(position)
            seen.add(pattern)
    spread = np.nanstd(values, axis=0) if len(numeric) else np.empty(0)
    return LinearDesign(
        numeric=tuple(numeric),
        middle=np.nanmedian(values, axis=0) if len(numeric) else np.empty(0),
        spread=np.where(spread > 0, spread, 1.0),
        indicated=tuple(indicated),
        categorical=tuple((i, len(columns.levels[columns.names[i]])) for i in columns.categorical),
    )
