"""Which facts are named as reasons of a cell, and of its contrast with the next?

The largest contributions, then burden, then the sum of all others, so that with the baseline they are suitability.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from pipeline.explain import ALL_OTHER, AVERAGE_DIFFERENCE
from pipeline.prediction_rows.lists import Places, listed, records, words

Array = npt.NDArray[np.float64]


class Shown:
    """The values of features, as text where they are asked for.

    Parameters
    ----------
    features : DataFrame, one row per decision
    names : sequence of str
        Features in the order of their contributions.
    """

    def __init__(self, features: pd.DataFrame, names: Sequence[str]) -> None:
        self._values = np.full((len(features), len(names)), np.nan)
        self._levels: dict[int, list[str]] = {}
        for place, name in enumerate(names):
            column = features[name]
            if pd.api.types.is_numeric_dtype(column.dtype):
                self._values[:, place] = column.to_numpy(dtype=float)
                continue
            codes, levels = pd.factorize(column)
            self._values[:, place] = np.where(codes < 0, np.nan, codes)
            self._levels[place] = [str(level) for level in levels]

    def texts(self, row: Places, feature: Places) -> pa.Array:
        """Return the value of a feature of a decision, null where it is unknown or the feature is none (-1)."""
        value = np.where(feature < 0, np.nan, self._values[row, feature])
        bits, which = np.unique(value.view(np.int64), return_inverse=True)
        texts = [None if np.isnan(number) else f"{number:.6g}" for number in bits.view(np.float64)]
        for place, levels in self._levels.items():
            here = (feature == place) & ~np.isnan(value)
            which[here] = len(texts) + value[here].astype(np.int64)
            texts += levels
        return words(texts, which)


def largest(own: Array, k: int) -> Places:
    """Return the k features that move each row most, largest first, -1 for those that move nothing, shape (n, k).

    Of equal ones the first in order goes ahead.
    """
    size, rows = np.abs(own), np.arange(len(own))
    chosen = np.full((len(own), min(k, own.shape[1])), -1, dtype=np.int64)
    for place in range(chosen.shape[1]):
        best = size.argmax(axis=1)
        chosen[:, place] = np.where(size[rows, best] > 0.0, best, -1)
        size[rows, best] = -1.0
    return chosen


def _others(own: Array, chosen: Places) -> Array:
    """Return the sum of what is not chosen; rows of as many chosen are summed together, each in the same order."""
    rest = np.ones(own.shape, dtype=bool)
    row, place = np.nonzero(chosen >= 0)
    rest[row, chosen[row, place]] = False
    count = (chosen >= 0).sum(axis=1)
    total = np.zeros(len(own))
    for number in np.unique(count):
        rows = count == number
        left = own[rows][rest[rows]].reshape(int(rows.sum()), own.shape[1] - int(number))
        total[rows] = left.sum(axis=1)
    return total


def item_lists(
    cell: Places,
    count: int,
    row: Places,
    contributions: Array,
    shown: Shown,
    names: Sequence[str],
    k: int,
    lead: Array | None = None,
) -> pa.Array:
    """Return one list of items per cell; empty for cells that are not asked for.

    Parameters
    ----------
    cell : array (r,), ascending
        Cells to give reasons of.
    count : int
        How many cells there are.
    row : array (r,)
        The decision of each.
    contributions : array (r, n_features + 1)
        Of features, then of burden.
    shown : Shown
    names : sequence of str
        Features.
    k : int
        How many features are named.
    lead : array (r,) or None
        The difference of baselines, which then comes first.
    """
    own = contributions[:, :-1]
    chosen = largest(own, k)
    tail = np.tile(np.array([len(names), len(names) + 1]), (len(own), 1))
    amounts = [np.take_along_axis(own, np.maximum(chosen, 0), axis=1)] if chosen.shape[1] else []
    amounts += [contributions[:, [-1]], _others(own, chosen)[:, None]]
    parts = [chosen, tail]
    if lead is not None:
        parts, amounts = [np.full((len(own), 1), len(names) + 2), *parts], [lead[:, None], *amounts]
    feature, amount = np.concatenate(parts, axis=1), np.concatenate(amounts, axis=1)
    kept = feature >= 0
    place = np.repeat(np.arange(len(own)), kept.sum(axis=1))
    code = feature[kept]
    items = records(
        {
            "feature": words([*names, "burden", ALL_OTHER, AVERAGE_DIFFERENCE], code),
            "value": shown.texts(row[place], np.where(code < len(names), code, -1)),
            "contribution": pa.array(amount[kept]),
        }
    )
    return listed(cell[place], count, items)
