"""Which situations can a rule meet? Every interval and level of its facts, and unknown, tried once.

The grid proves at reading time that a rule can fire, can stay quiet and never lets an
unknown pass, and names at scoring time the facts that would settle an undecided rule.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.guardrails.conditions import (
    LABEL_FACTS,
    LABEL_PREFIX,
    Compare,
    Condition,
    Fact,
    Scalar,
    facts_of,
    leaves_of,
)
from pipeline.guardrails.kleene import FactColumns, evaluate

LARGEST = 50_000
FALSE, TRUE, UNKNOWN = 0, 1, 2
OTHER_LEVEL = "any other level"
FACTORS = (1e-6, 1.0, 1e6)
"""What is tried of a number that only multiplies a limit: so small, and so large, that either answer is met."""


@dataclass(frozen=True)
class Grid:
    """A condition's answer in every situation.

    Attributes
    ----------
    facts : tuple of str
    samples : tuple of tuple
        Per fact, one value from every interval or level the condition tells apart.
    states : array of int8, one axis per fact
        FALSE, TRUE or UNKNOWN; along each axis the samples in order, then unknown.
    cells : mapping of int to int
        From a situation's pattern (`patterns`) to its place in `states`, flattened.
    """

    facts: tuple[str, ...]
    samples: tuple[tuple[Scalar, ...], ...]
    states: NDArray[np.int8]
    cells: Mapping[int, int]

    def passes_an_unknown(self) -> bool:
        """Whether some situation with an unknown is false although a value of that unknown makes it true."""
        complete = tuple(slice(0, len(values)) for values in self.samples)
        possible = np.zeros(self.states.shape, dtype=bool)
        possible[complete] = self.states[complete] == TRUE
        for axis in range(possible.ndim):
            moved = np.moveaxis(possible, axis, 0)
            moved[-1] = moved[:-1].any(axis=0)
        return bool((possible & (self.states == FALSE)).any())

    def values(self) -> NDArray[np.int8]:
        """Answers in the situations without an unknown."""
        return self.states[tuple(slice(0, len(values)) for values in self.samples)]

    def settling(self, cell: int) -> tuple[str, ...]:
        """Return a smallest set of unknown facts that settles a situation, whatever their values turn out to be."""
        place = np.unravel_index(cell, self.states.shape)
        unknown = [axis for axis, at in enumerate(place) if at == len(self.samples[axis])]
        needed = list(unknown)
        for axis in reversed(unknown):
            fewer = [kept for kept in needed if kept != axis]
            if self._settled(place, fewer):
                needed = fewer
        return tuple(self.facts[axis] for axis in needed)

    def _settled(self, place: tuple[np.intp, ...], answered: list[int]) -> bool:
        index = tuple(
            slice(0, len(self.samples[axis])) if axis in answered else slice(int(at), int(at) + 1)
            for axis, at in enumerate(place)
        )
        return bool((self.states[index] != UNKNOWN).all())


@lru_cache(maxsize=4096)
def grid_of(condition: Condition, lowest: tuple[tuple[str, float], ...] = ()) -> Grid | None:
    """Return a condition's grid, or None if it has more than 50,000 situations.

    Parameters
    ----------
    condition : Condition
    lowest : tuple of (fact, value)
        Smallest possible value of some numbers; nothing below is tried.
    """
    facts = facts_of(condition)
    samples = tuple(_samples(fact, condition, dict(lowest).get(fact)) for fact in facts)
    shape = tuple(len(values) + 1 for values in samples)
    if int(np.prod(shape)) > LARGEST:
        return None
    rows = list(itertools.product(*[(*values, None) for values in samples]))
    frame = pd.DataFrame({fact: pd.Series([row[i] for row in rows], dtype="object") for i, fact in enumerate(facts)})
    columns = FactColumns(frame)
    truth = evaluate(condition, columns.truth)
    states = np.where(truth.true, TRUE, np.where(truth.known, FALSE, UNKNOWN)).astype(np.int8)
    seen = patterns(condition, columns)
    cells = dict(zip(seen.tolist(), range(len(rows)), strict=True))
    return Grid(facts, samples, states.reshape(shape), cells)


def patterns(condition: Condition, columns: FactColumns) -> NDArray[np.int64]:
    """Return one whole number per row that says which facts are known and which comparisons hold."""
    flags = [columns.known(fact) for fact in facts_of(condition)]
    flags += [columns.truth(leaf).true for leaf in leaves_of(condition)]
    code = np.zeros(len(flags[0]), dtype=np.int64)
    for bit, flag in enumerate(flags):
        code |= flag.astype(np.int64) << bit
    return code


def lowest_values(condition: Condition, catalogue: Mapping[str, Fact]) -> tuple[tuple[str, float], ...]:
    """Return the smallest possible value of each number a condition reads, where the catalogue has one."""
    found = []
    for fact in facts_of(condition):
        value = getattr(catalogue.get(fact), "minimum", None)
        if isinstance(value, int | float) and not isinstance(value, bool):
            found.append((fact, float(value)))
    return tuple(found)


def _samples(fact: str, condition: Condition, lowest: float | None) -> tuple[Scalar, ...]:
    compared = [leaf for leaf in leaves_of(condition) if isinstance(leaf, Compare)]
    asked = [value for leaf in compared if leaf.fact == fact for value in leaf.values]
    if fact.startswith(LABEL_PREFIX):
        return LABEL_FACTS[fact.removeprefix(LABEL_PREFIX)]
    if not asked:
        return FACTORS if any(leaf.times == fact for leaf in compared) else (True,)
    if isinstance(asked[0], bool):
        return (True, False)
    if isinstance(asked[0], str):
        return (*dict.fromkeys(asked), OTHER_LEVEL)
    limits = sorted({float(value) for value in asked if not isinstance(value, str)})
    middles = [(low + high) / 2 for low, high in itertools.pairwise(limits)]
    tried = {limits[0] - 1, *limits, *middles, limits[-1] + 1}
    if lowest is not None:
        tried = {lowest, *tried} if lowest < limits[0] else tried
        tried = {value for value in tried if value >= lowest}
    return tuple(sorted(tried))
