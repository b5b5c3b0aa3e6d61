"""For whom was a modality practically never given? Told as a short rule, never as people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import binom
from sklearn.tree import DecisionTreeRegressor

from pipeline.learners import SMALL_CELL

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_DEPTH = 2
_MOST_EDGES = 99
_PURE = 0.5
_REFUTED = 0.01
_LEAST_CHANCE = 0.01


@dataclass(frozen=True)
class Region:
    """People to whom a modality was practically never given.

    Attributes
    ----------
    words : str
        The rule, say "Age over 76 and Lives near the centre: no".
    share : float
        Of everyone, those whom the rule describes; at least eleven people.
    """

    words: str
    share: float


@dataclass(frozen=True)
class _Column:
    """One yes-or-no or graded column of the tree, and how its two sides are told."""

    codes: Array
    edges: tuple[float, ...]
    meaning: str
    above: str
    below: str

    def told(self, threshold: float, is_above: bool) -> str:
        if not self.edges:
            return f"{self.meaning}: {self.above if is_above else self.below}"
        edge = self.edges[int(np.floor(threshold))]
        return f"{self.meaning} {self.above if is_above else self.below} {edge:,.4g}"


def _rounded(value: float) -> float:
    """Return a number to two significant digits, so that a threshold is nobody's own value."""
    return float(f"{value:.2g}")


def _graded(meaning: str, values: Array) -> list[_Column]:
    known = values[~np.isnan(values)]
    if len(known) < 2 * SMALL_CELL or np.ptp(known) == 0:
        return []
    gap = np.isnan(values)
    is_told_missing = gap.sum() >= SMALL_CELL
    unknown = [_Column(gap.astype(np.float64), (), meaning, "not recorded", "recorded")] if is_told_missing else []
    if set(np.unique(known)) <= {0.0, 1.0}:
        otherwise = "no, or not recorded" if gap.any() else "no"
        return [_Column(np.nan_to_num(values), (), meaning, "yes", otherwise), *unknown]
    parts = min(_MOST_EDGES, len(known) // SMALL_CELL - 1)
    quantiles = np.quantile(known, np.linspace(0, 1, parts + 2)[1:-1])
    edges = np.unique([_rounded(float(q)) for q in quantiles])
    codes = np.searchsorted(edges, values, side="left").astype(float)
    codes[gap] = np.median(codes[~gap])
    return [_Column(codes, tuple(map(float, edges)), meaning, "over", "at most"), *unknown]


def _columns(features: pd.DataFrame, names: Sequence[str], meanings: Mapping[str, str]) -> list[_Column]:
    found: list[_Column] = []
    for name in names:
        meaning = meanings.get(name, name.replace("_", " "))
        values = features[name]
        if isinstance(values.dtype, pd.CategoricalDtype):
            text = values.astype("object")
            counts = text.value_counts()
            found += [
                _Column(np.where(text == level, 1.0, 0.0), (), meaning, str(level), f"not {level}")
                for level in sorted(map(str, counts[counts >= SMALL_CELL].index))
            ]
        else:
            found += _graded(meaning, values.to_numpy(dtype=float))
    return found


def region(
    features: pd.DataFrame, names: Sequence[str], is_lacking: BoolArray, meanings: Mapping[str, str]
) -> Region | None:
    """Return a short rule that describes most of those who lack support, or None where no such rule is found.

    Parameters
    ----------
    features : DataFrame of n rows
    names : sequence of str
        Columns that may be named.
    is_lacking : bool array (n,)
        Who has a propensity under the floor, structural zeros aside.
    meanings : mapping of feature to meaning

    Returns
    -------
    Region or None
        The leaf of a decision tree of depth 2 (each leaf holds at least eleven people) with most of them, if
        more than half of its people lack support. Thresholds are rounded quantiles, nobody's own value.
    """
    return _region(_columns(features, names, meanings), is_lacking)


def _grown(columns: Sequence[_Column], label: Array) -> tuple[DecisionTreeRegressor, BoolArray]:
    """Return a tree that tells a label, and who stands in each of its nodes, shape (n, nodes)."""
    matrix = np.column_stack([column.codes for column in columns])
    model = DecisionTreeRegressor(max_depth=_DEPTH, min_samples_leaf=SMALL_CELL, random_state=0).fit(matrix, label)
    return model, np.asarray(model.decision_path(matrix).toarray(), dtype=bool)


def _region(columns: Sequence[_Column], is_lacking: BoolArray) -> Region | None:
    count = int(is_lacking.sum())
    if count < SMALL_CELL or len(is_lacking) - count < SMALL_CELL or not columns:
        return None
    model, nodes = _grown(columns, is_lacking.astype(np.float64))
    inside, people = is_lacking.astype(np.int64) @ nodes, nodes.sum(axis=0)
    is_leaf = model.tree_.children_left < 0
    pure = np.flatnonzero(is_leaf & (inside > _PURE * people))
    if not len(pure):
        return None
    chosen = int(pure[inside[pure].argmax()])
    words = _path(model, columns, chosen)
    return Region(words, float(people[chosen]) / len(is_lacking)) if words else None


def _path(model: DecisionTreeRegressor, columns: Sequence[_Column], leaf: int) -> str:
    """Return the conditions on the way to a leaf; of two on one side of a column the later, tighter one."""
    tree = model.tree_
    parents = {int(child): int(node) for node in range(tree.node_count) for child in _children(tree, node)}
    steps: dict[tuple[int, bool], str] = {}
    node = leaf
    while node in parents:
        parent = parents[node]
        place, is_above = int(tree.feature[parent]), node == int(tree.children_right[parent])
        steps.setdefault((place, is_above), columns[place].told(float(tree.threshold[parent]), is_above))
        node = parent
    return " and ".join(reversed(steps.values()))


def _children(tree: object, node: int) -> list[int]:
    left, right = tree.children_left[node], tree.children_right[node]  # type: ignore[attr-defined]
    return [] if left < 0 else [int(left), int(right)]


def share_told(share: float, people: int) -> str:
    """Return a share of people as text; one of under eleven is given as a bound."""
    if round(share * people) < SMALL_CELL:
        return f"under {np.ceil(100 * SMALL_CELL / max(people, 1)):.0f} %"
    return f"{100 * share:.0f} %"


@dataclass(frozen=True)
class Lacking:
    """Who was practically never given which arm, structural zeros aside.

    Attributes
    ----------
    cells : bool array (n, arms)
    regions : mapping of arm to Region or None
        The rule that describes most of them.
    """

    cells: BoolArray
    regions: Mapping[str, Region | None]


def _never_given(columns: Sequence[_Column], is_given: BoolArray, chance: Array, floor: float) -> BoolArray:
    """Return who stands in a node where hardly anyone was given the arm, though the propensity says some were, (n,).

    A smooth propensity keeps a few per cent where the truth is none. The tree of depth 2 is grown on the Pearson
    residual of the arm given, so that it finds where the propensity is wrong; a node counts if so few were given the
    arm that a rate at the floor is refuted (binomial, one-sided 1 %).
    """
    if not columns:
        return np.zeros(len(is_given), dtype=bool)
    expected = np.clip(chance, _LEAST_CHANCE, 1 - _LEAST_CHANCE)
    residual = (is_given - expected) / np.sqrt(expected * (1 - expected))
    _, nodes = _grown(columns, residual)
    given = is_given.astype(np.int64) @ nodes
    return np.asarray(nodes[:, binom.cdf(given, nodes.sum(axis=0), floor) < _REFUTED].any(axis=1))


def lacking(
    propensity: Array,
    arm: IntArray,
    is_impossible: BoolArray,
    arms: Sequence[str],
    features: pd.DataFrame,
    names: Sequence[str],
    floor: float,
    meanings: Mapping[str, str],
) -> Lacking:
    """Return to whom each arm was practically never given, by the propensity and by the records themselves.

    Parameters
    ----------
    propensity : array (n, arms)
    arm : array (n,) of int
        What was given.
    is_impossible : bool array (n, arms)
        Structural zeros, which are not called unsupported.
    arms : sequence of str
    features : DataFrame of n rows
    names : sequence of str
        Columns that may be named.
    floor : float
        Propensities under it are practically none.
    meanings : mapping of feature to meaning

    Returns
    -------
    Lacking
    """
    cells = (propensity < floor) & ~is_impossible
    found: dict[str, Region | None] = {}
    for code, name in enumerate(arms):
        possible = ~is_impossible[:, code]
        people = features[possible]
        columns = _columns(people, names, meanings)
        cells[possible, code] |= _never_given(columns, (arm == code)[possible], propensity[possible, code], floor)
        inside = _region(columns, cells[possible, code])
        found[name] = None if inside is None else Region(inside.words, inside.share * float(possible.mean()))
    return Lacking(cells=cells, regions=found)
