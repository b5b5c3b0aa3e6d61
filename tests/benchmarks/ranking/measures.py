"""How good were the choices, and did the intervals cover the truth?"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


def chances(values: Array, possible: BoolArray) -> Array:
    """Return the chance that each arm is chosen, shape (n, arms): the largest value among possible arms, 1 for one.

    Ties share. Where no possible arm has a finite value, all possible arms share.
    """
    allowed = np.where(possible, values, -np.inf)
    best = allowed.max(axis=1, keepdims=True)
    is_best = possible & (allowed == best)
    return np.asarray(is_best / is_best.sum(axis=1, keepdims=True))


def as_policy(values: Array, possible: BoolArray) -> Array:
    """Return chances of choice among possible arms only, from chances over all arms."""
    kept = values * possible
    return np.asarray(kept / kept.sum(axis=1, keepdims=True))


def regret(truth: Array, policy: Array, possible: BoolArray) -> float:
    """Return the mean true utility lost against the best possible arm of each person."""
    best = np.where(possible, truth, -np.inf).max(axis=1)
    return float(np.mean(best - (policy * truth).sum(axis=1)))


def top_choice(truth: Array, policy: Array, possible: BoolArray) -> Array:
    """Return per person the chance that the arm chosen is the best possible one."""
    best = np.where(possible, truth, -np.inf).argmax(axis=1)
    return policy[np.arange(len(best)), best]


def covered(truth: Array, values: Array, half_widths: Array, possible: BoolArray) -> tuple[float, float]:
    """Return the share of true pairwise differences inside their interval, and the mean half-width.

    `half_widths` has shape (n, arms, arms). Every pair of arms counts where both are possible.
    """
    inside, width = [], []
    for a, b in combinations(range(truth.shape[1]), 2):
        rows = possible[:, a] & possible[:, b]
        gap = (values[:, a] - values[:, b] - truth[:, a] + truth[:, b])[rows]
        inside.append(np.abs(gap) <= half_widths[rows, a, b])
        width.append(half_widths[rows, a, b])
    return float(np.concatenate(inside).mean()), float(np.concatenate(width).mean())


def clear_first(values: Array, half_widths: Array, possible: BoolArray) -> BoolArray:
    """Return whether the first choice's interval against every other possible arm lies above 0, per person."""
    allowed = np.where(possible, values, -np.inf)
    first = allowed.argmax(axis=1)
    rows = np.arange(len(values))
    lead = allowed[rows, first][:, None] - allowed - half_widths[rows, first]
    lead[rows, first] = np.inf
    return np.asarray((lead > 0).all(axis=1))
