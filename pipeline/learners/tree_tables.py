"""What does each way through a small tree answer, and what did every column add to that answer?

A tree of k splits asks a row k questions with two answers each, whatever the values: so its prediction and its exact
explanation (path-dependent TreeSHAP) are tables of 2^k columns. Made once per model, they cost a row its answers and
one look-up per tree. LightGBM computes the same by walking trees row by row; predictions are equal to it to the bit,
explanations within rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import factorial

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Ways = npt.NDArray[np.uint8]
"""Bit s is 1 where the tree's split s sends a row left; shape (trees, rows)."""

MOST_SPLITS = 8
"""A way is one byte."""

_FEW = 32
_ROWS_AT_ONCE = 500

_ZERO = float(np.float32(1e-35))
"""LightGBM reads what is this small as 0, and writes thresholds between 0 and others as this."""
CATEGORICAL, _MISSING_LEFT, _ZERO_IS_MISSING, _NAN_IS_MISSING = 1, 2, 4, 8


@dataclass(frozen=True)
class Questions:
    """What splits ask of one column: is a value at most a threshold, or is it one of some categories?

    Attributes
    ----------
    column : int
    kind : int
        LightGBM's bits: categorical; a missing value goes left; 0 is missing; NaN is missing.
    thresholds : array (questions,)
    categories : tuple of tuple of int
        Of each question; empty for numbers.
    """

    column: int
    kind: int
    thresholds: Array
    categories: tuple[tuple[int, ...], ...]

    def sends_left(self, values: Array) -> npt.NDArray[np.bool_]:
        """Return which rows each question sends left, shape (questions, n), as LightGBM decides it."""
        is_missing = np.isnan(values)
        if self.kind & CATEGORICAL:
            codes = np.trunc(np.where(is_missing, -1.0, values))
            return np.stack([np.isin(codes, chosen) for chosen in self.categories])
        if not self.kind & _NAN_IS_MISSING:
            values = np.where(is_missing, 0.0, values)
            is_missing = (values == 0) & bool(self.kind & _ZERO_IS_MISSING)
        known = np.where(is_missing, -np.inf if self.kind & _MISSING_LEFT else np.nan, values)
        return np.asarray(known[None, :] <= self.thresholds[:, None])


@dataclass(frozen=True)
class Leaves:
    """The leaves whose paths read the same number d of columns, of all trees.

    Attributes
    ----------
    tree, number : arrays (leaves,)
        `number` counts the leaves of a tree.
    value : array (leaves,)
    share : array (leaves, d)
        Which share of the training rows that come to the column's splits go on towards the leaf.
    asked, wanted : arrays (leaves, d)
        The splits of the column, as bits of a way, and how they must answer to lead here.
    entry : array (leaves, d)
        Row of the explanation table.
    """

    tree: IntArray
    number: IntArray
    value: Array
    share: Array
    asked: IntArray
    wanted: IntArray
    entry: IntArray


@dataclass(frozen=True)
class TreeTables:
    """All trees of some models, answered for every way.

    Attributes
    ----------
    questions : tuple of Questions
        Each question once, however many splits ask it.
    asks : array (trees, splits)
        The number of the question that every split asks; -1 where a tree has fewer.
    values : array (trees, 2 ** splits)
    baselines : array (trees,)
        Mean over training rows.
    starts : tuple of int
        The first tree of each model, and the number of trees.
    leaves : tuple of Leaves
    entries : array (entries, 2)
        Tree and column of each row of the explanation table, in this order.
    """

    questions: tuple[Questions, ...]
    asks: IntArray
    values: Array
    baselines: Array
    starts: tuple[int, ...]
    leaves: tuple[Leaves, ...]
    entries: IntArray

    def ways(self, matrix: Array) -> Ways:
        """Return how every tree answers every row, shape (trees, n), from a matrix (n, n_columns)."""
        ways = np.zeros((len(self.asks), len(matrix)), dtype=np.uint8)
        for start in range(0, len(matrix), _ROWS_AT_ONCE):
            columns = np.ascontiguousarray(matrix[start : start + _ROWS_AT_ONCE].T)
            columns = np.where(np.abs(columns) <= _ZERO, 0.0, columns)
            answers = [own.sends_left(columns[own.column]).view(np.uint8) for own in self.questions]
            answered = np.concatenate([*answers, np.zeros((1, columns.shape[1]), dtype=np.uint8)])
            here = ways[:, start : start + _ROWS_AT_ONCE]
            for split in range(self.asks.shape[1]):
                here |= answered[self.asks[:, split]] << np.uint8(split)
        return ways

    def predictions(self, ways: Ways) -> Array:
        """Return every model's prediction, shape (models, n): its trees added in order, as LightGBM does."""
        found = np.zeros((len(self.starts) - 1, ways.shape[1]))
        for model, (first, last) in enumerate(pairwise(self.starts)):
            for tree in range(first, last):
                found[model] += self.values[tree].take(ways[tree])
        return found

    def contributions(self, ways: Ways, columns: int) -> Iterator[tuple[float, Array]]:
        """Yield for each model its mean and what every column adds to it, shape (columns, n)."""
        add = self._added_at_once if ways.shape[1] <= _FEW else self._added_by_tree
        for first, last in pairwise(self.starts):
            found = np.zeros((columns, ways.shape[1]))
            add(found, ways, first, last)
            yield float(self.baselines[first:last].sum()), found

    def _added_by_tree(self, found: Array, ways: Ways, first: int, last: int) -> None:
        bounds = np.searchsorted(self.entries[:, 0], np.arange(first, last + 1))
        for tree, (start, stop) in zip(range(first, last), pairwise(bounds), strict=True):
            given = self._table[start:stop].take(ways[tree].astype(np.intp), axis=1)
            for column, amount in zip(self.entries[start:stop, 1], given, strict=True):
                found[column] += amount

    def _added_at_once(self, found: Array, ways: Ways, first: int, last: int) -> None:
        """Add what few rows get in one step; in the same order, so to the same bits."""
        own = slice(*np.searchsorted(self.entries[:, 0], [first, last]))
        trees, columns = self.entries[own].T
        given = np.take_along_axis(self._table[own], ways[trees].astype(np.intp), axis=1)
        cells = columns[:, None] * found.shape[1] + np.arange(found.shape[1])
        found += np.bincount(cells.ravel(), weights=given.ravel(), minlength=found.size).reshape(found.shape)

    @cached_property
    def _table(self) -> Array:
        """What each tree's columns get, shape (entries, 2 ** splits)."""
        every = np.arange(self.values.shape[1])
        table = np.zeros((len(self.entries), len(every)))
        by_leading = [_shapley(leaves.share, leaves.value) for leaves in self.leaves]
        for number in range(self.asks.shape[1] + 1):
            for leaves, found in zip(self.leaves, by_leading, strict=True):
                rows = np.flatnonzero(leaves.number == number)
                leading = np.zeros((len(rows), len(every)), dtype=np.int64)
                for place, (asked, wanted) in enumerate(zip(leaves.asked[rows].T, leaves.wanted[rows].T, strict=True)):
                    leading |= ((every & asked[:, None]) == wanted[:, None]).astype(np.int64) << place
                table[leaves.entry[rows]] += np.take_along_axis(found[rows], leading[:, None, :], axis=2)
        return table


def _shapley(share: Array, value: Array) -> Array:
    """Return what each column of a leaf's path gets, by which of them lead to the leaf, shape (leaves, d, 2 ** d).

    Notes
    -----
    A leaf pays `value` times the product over columns of 1 (known, leads here), 0 (known, leads elsewhere) or the
    share of rows that go its way (unknown). A column's part is the mean, over the orders in which columns become
    known, of what it adds (Lundberg et al. 2020, Nature Machine Intelligence 2, 56-67). Sets of known columns count
    by their size alone, so the others are taken in one after the other, with the sum for each size.
    """
    size = share.shape[1]
    leads = np.arange(2**size)[:, None] >> np.arange(size) & 1
    of_others = (np.arange(2 ** (size - 1))[:, None] >> np.arange(size - 1) & 1).astype(float)
    orders = [factorial(known) * factorial(size - known - 1) / factorial(size) for known in range(size)]
    found = np.empty((*share.shape, 2**size))
    for own in range(size):
        others = [other for other in range(size) if other != own]
        by_size = [np.ones((len(share), len(of_others)))]
        for place, other in enumerate(others):
            unknown, known = share[:, other, None], of_others[:, place]
            fewer = [part * unknown for part in by_size]
            more = [part * known for part in by_size]
            by_size = [fewer[0], *(left + right for left, right in zip(fewer[1:], more, strict=False)), more[-1]]
        total = by_size[0] * orders[0]
        for part, weight in zip(by_size[1:], orders[1:], strict=True):
            total += part * weight
        which = leads[:, others] @ (1 << np.arange(size - 1))
        found[:, own] = value[:, None] * (leads[:, own] - share[:, own, None]) * total[:, which]
    return found
