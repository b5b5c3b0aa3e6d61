"""What is true, what is false, and what is simply not known?

Truth values are float64 arrays: 1.0 true, 0.0 false, NaN unknown (Kleene's strong three-valued logic).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def floats(values: Any) -> Floats:
    """Return values as float64, unknown as NaN."""
    return np.asarray(values, dtype=np.float64)


def from_condition(condition: npt.NDArray[np.bool_], known: npt.NDArray[np.bool_]) -> Floats:
    """Return the truth of a condition where it is known."""
    return np.where(known, condition.astype(np.float64), np.nan)


def at_least(values: Any, limit: float) -> Floats:
    """Return whether values reach a limit; unknown where missing."""
    numbers = floats(values)
    return from_condition(numbers >= limit, ~np.isnan(numbers))


def below(values: Any, limit: float) -> Floats:
    """Return whether values are under a limit; unknown where missing."""
    return negation(at_least(values, limit))


def above(values: Any, limit: Any) -> Floats:
    """Return whether values exceed a limit (number or array); unknown where either is missing."""
    numbers, limits = np.broadcast_arrays(floats(values), floats(limit))
    return from_condition(numbers > limits, ~(np.isnan(numbers) | np.isnan(limits)))


def negation(truth: Any) -> Floats:
    """Return `not`."""
    return 1.0 - floats(truth)


def disjunction(*truths: Any) -> Floats:
    """Return `or`: true where any is true, else unknown where any is unknown, else false."""
    stacked = np.stack(np.broadcast_arrays(*(floats(truth) for truth in truths)))
    unknown = np.where(np.isnan(stacked).any(axis=0), np.nan, 0.0)
    return np.where((stacked == 1.0).any(axis=0), 1.0, unknown)


def conjunction(*truths: Any) -> Floats:
    """Return `and`: false where any is false, else unknown where any is unknown, else true."""
    return negation(disjunction(*(negation(truth) for truth in truths)))


def at_least_count(count: int, *truths: Any) -> Floats:
    """Return whether at least `count` of the truths hold."""
    stacked = np.stack(np.broadcast_arrays(*(floats(truth) for truth in truths)))
    sure = (stacked == 1.0).sum(axis=0)
    possible = sure + np.isnan(stacked).sum(axis=0)
    return np.where(sure >= count, 1.0, np.where(possible < count, 0.0, np.nan))
