"""Which questions do a model's trees ask, and which answers lead to each leaf? Read from LightGBM's own text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from pipeline.learners.tree_tables import CATEGORICAL, MOST_SPLITS, Leaves, Questions, TreeTables

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
_FIELDS = (
    "num_leaves",
    "split_feature",
    "threshold",
    "decision_type",
    "left_child",
    "right_child",
    "leaf_value",
    "leaf_count",
    "internal_count",
)
_WORD = 32


@dataclass(frozen=True)
class _Trees:
    """The trees of some models side by side, those with fewer splits filled up with 0.

    Attributes
    ----------
    splits : array (trees,)
        How many each tree has.
    column, left, right, rows : arrays (trees, most splits)
        What a split reads; its children, leaves as ~number; its training rows.
    leaf_value, leaf_rows : arrays (trees, most splits + 1)
    """

    splits: IntArray
    column: IntArray
    left: IntArray
    right: IntArray
    rows: Array
    leaf_value: Array
    leaf_rows: Array


def tree_tables(texts: Sequence[str]) -> TreeTables | None:
    """Return the tables of some models, one text of `Booster.model_to_string` each.

    Returns
    -------
    TreeTables or None
        None if some tree has more than eight splits: its table would be more work than walking it.
    """
    blocks = [[_fields(block) for block in text.split("\nTree=")[1:]] for text in texts]
    every = [block for model in blocks for block in model]
    fields = {name: [block.get(name, "") for block in every] for name in _FIELDS}
    splits = np.array(fields["num_leaves"], dtype=np.int64) - 1
    most = max(1, int(splits.max(initial=0)))
    if most > MOST_SPLITS:
        return None
    trees = _Trees(
        splits=splits,
        column=_filled(fields["split_feature"], most).astype(np.int64),
        left=_filled(fields["left_child"], most).astype(np.int64),
        right=_filled(fields["right_child"], most).astype(np.int64),
        rows=_filled(fields["internal_count"], most),
        leaf_value=_filled(fields["leaf_value"], most + 1),
        leaf_rows=_filled(fields["leaf_count"], most + 1),
    )
    kind = _filled(fields["decision_type"], most).astype(np.int64)
    threshold = _filled(fields["threshold"], most)
    categories = [_categories(block) for block in every]
    questions, asks = _questions(trees, kind, threshold, categories)
    asked, wanted = _paths(trees)
    leaves, entries = _leaves(trees, asked, wanted)
    ways = np.arange(2 ** trees.column.shape[1])
    values = np.zeros((len(splits), len(ways)))
    for number in range(trees.leaf_value.shape[1]):
        leads = (ways & asked[:, [number]]) == wanted[:, [number]]
        exists = number <= splits[:, None]
        values = np.where(leads & exists, trees.leaf_value[:, [number]], values)
    total = trees.leaf_rows.sum(axis=1)
    return TreeTables(
        questions=questions,
        asks=asks,
        values=values,
        baselines=(trees.leaf_value * trees.leaf_rows).sum(axis=1) / total,
        starts=tuple(int(start) for start in np.cumsum([0, *map(len, blocks)])),
        leaves=leaves,
        entries=entries,
    )


def _filled(lines: Sequence[str], width: int) -> Array:
    """Return lines of numbers as rows of one array, filled up with 0."""
    rows = [line.split() for line in lines]
    table = np.zeros((len(rows), width))
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    table[np.arange(width) < lengths[:, None]] = np.array([number for row in rows for number in row], dtype=float)
    return table


def _fields(block: str) -> dict[str, str]:
    """Return the named lines of one tree."""
    named = (line.partition("=") for line in block.partition("\n\n")[0].split("\n"))
    return {name: rest for name, is_named, rest in named if is_named}


def _categories(block: Mapping[str, str]) -> list[tuple[int, ...]]:
    """Return the sets of categories that a tree's splits name, in LightGBM's order."""
    bounds = [int(bound) for bound in block.get("cat_boundaries", "").split()]
    words = [int(word) for word in block.get("cat_threshold", "").split()]
    found = []
    for start, stop in pairwise(bounds):
        own = words[start:stop]
        found.append(tuple(code for code in range(_WORD * len(own)) if own[code // _WORD] >> code % _WORD & 1))
    return found


def _questions(
    trees: _Trees, kind: IntArray, threshold: Array, categories: Sequence[Sequence[tuple[int, ...]]]
) -> tuple[tuple[Questions, ...], IntArray]:
    """Return every question once, by column, and which one each split asks; -1 where there is no split."""
    is_split = np.arange(trees.column.shape[1])[None, :] < trees.splits[:, None]
    named: dict[tuple[int, ...], int] = {}
    asked = threshold.copy()
    for tree, split in np.argwhere(is_split & (kind & CATEGORICAL > 0)):
        asked[tree, split] = named.setdefault(categories[tree][int(threshold[tree, split])], len(named))
    sets = list(named)
    every = np.column_stack([trees.column[is_split], kind[is_split], asked[is_split]])
    distinct, which = np.unique(every, axis=0, return_inverse=True)
    asks = np.full(trees.column.shape, -1, dtype=np.int64)
    asks[is_split] = which.reshape(-1)
    starts = np.flatnonzero(np.any(np.diff(distinct[:, :2], axis=0, prepend=-1.0), axis=1))
    questions = []
    for start, stop in pairwise([*starts, len(distinct)]):
        column, own = int(distinct[start, 0]), int(distinct[start, 1])
        limits = distinct[start:stop, 2]
        chosen = tuple(sets[int(limit)] for limit in limits) if own & CATEGORICAL else ()
        questions.append(Questions(column, own, limits, chosen))
    return tuple(questions), asks


def _paths(trees: _Trees) -> tuple[IntArray, IntArray]:
    """Return which splits lead to each leaf, and how they answer, as bits, arrays (trees, leaves)."""
    count, most = trees.column.shape
    asked, wanted = np.zeros((2, count, most), dtype=np.int64)
    leaf_asked, leaf_wanted = np.zeros((2, count, most + 1), dtype=np.int64)
    for split in range(most):  # LightGBM numbers a split before those below it
        for child, answer in ((trees.left[:, split], 1), (trees.right[:, split], 0)):
            here = split < trees.splits
            above, towards = asked[:, split] | 1 << split, wanted[:, split] | answer << split
            inner, outer = np.flatnonzero(here & (child >= 0)), np.flatnonzero(here & (child < 0))
            asked[inner, child[inner]], wanted[inner, child[inner]] = above[inner], towards[inner]
            leaf_asked[outer, ~child[outer]], leaf_wanted[outer, ~child[outer]] = above[outer], towards[outer]
    return leaf_asked, leaf_wanted


def _shares(trees: _Trees) -> Array:
    """Return which share of a split's training rows goes right, and which left, shape (2, trees, splits)."""
    number = np.arange(len(trees.splits))[:, None]
    found = []
    for child in (trees.right, trees.left):
        inner, outer = trees.rows[number, np.maximum(child, 0)], trees.leaf_rows[number, ~np.minimum(child, -1)]
        found.append(np.where(child >= 0, inner, outer) / np.maximum(trees.rows, 1.0))
    return np.stack(found)


def _leaves(trees: _Trees, asked: IntArray, wanted: IntArray) -> tuple[tuple[Leaves, ...], IntArray]:
    """Return the leaves by how many columns their paths read, and tree and column of each explanation.

    A column of a tree is held where the tree's first split that reads it is.
    """
    count, most = trees.column.shape
    shares, number = _shares(trees), np.arange(count)
    is_split = np.arange(most)[None, :] < trees.splits[:, None]
    first = ((trees.column[:, :, None] == trees.column[:, None, :]) & is_split[:, None, :]).argmax(axis=2)
    share = np.ones((count, most, most + 1))
    own_asked, own_wanted = np.zeros((2, count, most, most + 1), dtype=np.int64)
    for split in range(most):
        here, bit = first[:, split], 1 << split
        left = (wanted & bit) > 0
        towards = np.where(left, shares[1][:, [split]], shares[0][:, [split]])
        share[number, here] *= np.where(asked & bit, towards, 1.0)
        own_asked[number, here] |= asked & bit
        own_wanted[number, here] |= wanted & bit
    entries = np.argwhere(is_split & (first == np.arange(most)[None, :]))
    entry_of = np.zeros((count, most), dtype=np.int64)
    entry_of[tuple(entries.T)] = np.arange(len(entries))
    size = (own_asked > 0).sum(axis=1)
    found = []
    for columns in range(1, most + 1):
        tree, leaf = np.nonzero(size == columns)
        if not len(tree):
            continue
        on_path = own_asked[tree, :, leaf] > 0
        places = np.argsort(~on_path, axis=1, kind="stable")[:, :columns]
        cell = (tree[:, None], places, leaf[:, None])
        found.append(
            Leaves(
                tree=tree,
                number=leaf,
                value=trees.leaf_value[tree, leaf],
                share=share[cell],
                asked=own_asked[cell],
                wanted=own_wanted[cell],
                entry=entry_of[tree[:, None], places],
            )
        )
    return tuple(found), np.column_stack([entries[:, 0], trees.column[tuple(entries.T)]])
