"""Which of many differences are issues, so that in an unchanged world the whole verdict is seldom a false alarm?

A difference is an issue if it is both large (beyond its threshold) and clear (Holm over everything that the verdict
rests on). One that is not clear, with so few people that one at its threshold would not be, is too little data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc, chdtri, stdtr
from scipy.stats import hypergeom

from pipeline.evaluate.by_group import holm

Array = npt.NDArray[np.float64]

FEWEST_EXPECTED = 5.0
"""Bins are joined until this many are expected in each sample (Cochran, Biometrics 1954; 10: 417-451)."""


_ROUNDING = 1e-9


@dataclass(frozen=True)
class Measured:
    """One difference from training.

    Attributes
    ----------
    chance : float or None
        Probability of one at least as large where nothing has changed; None where it cannot be asked.
    is_large : bool
        Beyond its threshold.
    at_threshold : float
        The probability that one just at its threshold (or as far again beyond a margin) would have.
    """

    chance: float | None
    is_large: bool
    at_threshold: float


NOT_ASKED = Measured(None, is_large=False, at_threshold=1.0)


def judged(tests: Sequence[Measured], level: float) -> list[str]:
    """Return the result of each test: `issue`, `pass` or `too_little_data`.

    Parameters
    ----------
    tests : sequence of Measured
        All that one verdict rests on.
    level : float
        Chance of any issue where nothing has changed, at most.
    """
    asked = [test.chance for test in tests if test.chance is not None]
    clear = iter(holm(asked, level)) if asked else iter(())
    results = []
    for test in tests:
        is_clear = test.chance is not None and bool(next(clear))
        could_tell = test.chance is not None and test.at_threshold <= level / len(asked)
        results.append("issue" if is_clear and test.is_large else "pass" if could_tell else "too_little_data")
    return results


def together(results: Sequence[str]) -> str:
    """Return the result of a check over several tests: any issue, else whether at least half could be told."""
    if "issue" in results:
        return "issue"
    return "pass" if 2 * results.count("pass") >= max(len(results), 1) else "too_little_data"


@dataclass(frozen=True)
class Spread:
    """How differently two samples fall in the same bins.

    Attributes
    ----------
    psi : float or None
        Population stability index; None where one sample has no known value.
    floor : float
        What it is on average where nothing has changed: (bins - 1) (1 / n + 1 / m).
    ks : float or None
        Largest difference of cumulative shares at the bins' edges; None for categories.
    bins : int
        After joining.
    test : Measured
    """

    psi: float | None
    floor: float
    ks: float | None
    bins: int
    test: Measured


def spread(then: Array, now: Array, threshold: float, *, in_order: bool) -> Spread:
    """Return how differently two samples fall in the same bins.

    Parameters
    ----------
    then, now : arrays (bins,)
        Counts, of people rather than of decisions where people are decided on more than once.
    threshold : float
        Of the index.
    in_order : bool
        Whether bins are an order, as those of numbers are.

    Notes
    -----
    PSI = sum (p - q) ln(p / q) over bins, p and q the shares now and then, half a person added to each bin. Where
    nothing has changed it is about (1 / n + 1 / m) times a chi-squared of bins - 1 degrees of freedom (Yurdakul,
    Statistical properties of population stability index, Western Michigan University 2018, dissertation 3208), as
    Pearson's statistic is, from which the chance is taken.
    """
    n, m = float(now.sum()), float(then.sum())
    if n <= 0 or m <= 0:
        return Spread(None, 0.0, None, 0, NOT_ASKED)
    ks = float(np.abs(np.cumsum(now) / n - np.cumsum(then) / m).max()) if in_order else None
    both = _joined(np.stack([now, then]), min(n, m) / (n + m))
    bins = both.shape[1]
    noise = 1 / n + 1 / m
    at_threshold = float(chdtrc(max(bins - 1, 1), threshold / noise))
    if bins < 2:
        return Spread(0.0, 0.0, ks, bins, Measured(1.0, is_large=False, at_threshold=at_threshold))
    shares = (both + 0.5) / (both + 0.5).sum(axis=1, keepdims=True)
    psi = float(np.sum((shares[0] - shares[1]) * np.log(shares[0] / shares[1])))
    expected = both.sum(axis=0) * np.array([[n], [m]]) / (n + m)
    chance = float(chdtrc(bins - 1, np.sum((both - expected) ** 2 / expected)))
    return Spread(psi, (bins - 1) * noise, ks, bins, Measured(chance, psi >= threshold, at_threshold))


def people_needed(threshold: float, bins: int, then: float, level: float) -> float:
    """Return how many people must be seen now for a PSI at the threshold to be clear at a level; infinite for none."""
    room = threshold / float(chdtri(max(bins - 1, 1), level)) - 1 / then
    return 1 / room if room > 0 else float("inf")


def _joined(both: Array, smaller: float) -> Array:
    """Return bins joined to neighbours until enough are expected in the smaller sample, shape (2, fewer bins)."""
    joined: list[Array] = []
    pending = np.zeros(2)
    for column in both.T:
        pending = pending + column
        if pending.sum() * smaller >= FEWEST_EXPECTED:
            joined.append(pending)
            pending = np.zeros(2)
    if not joined:
        return pending[:, None]
    joined[-1] = joined[-1] + pending
    return np.stack(joined, axis=1)


def share_test(part: float, whole: float, part_then: float, whole_then: float, margin: float) -> Measured:
    """Return whether a share differs from that of training: Fisher's exact test, doubled; large beyond the margin.

    Parameters
    ----------
    part, whole : float
        People who have it now, of those asked; fractions are rounded.
    part_then, whole_then : float
        In training.
    margin : float
    """
    k, n, k0, m = (round(count) for count in (part, whole, part_then, whole_then))
    if n < 1 or m < 1:
        return NOT_ASKED
    share, before = part / whole, part_then / whole_then
    at = before + margin if before + margin <= 1 else before - margin
    at_margin = math.floor(at * n + _ROUNDING) if at > before else math.ceil(at * n - _ROUNDING)
    is_large = abs(share - before) >= margin - _ROUNDING
    return Measured(_fisher(k, n, k0, m), is_large, _fisher(at_margin, n, k0, m))


def _fisher(k: int, n: int, k0: int, m: int) -> float:
    """Return twice the smaller tail of Fisher's exact test of k of n against k0 of m, at most 1."""
    drawn = (n + m, k + k0, n)
    return min(1.0, 2 * float(min(hypergeom.cdf(k, *drawn), hypergeom.sf(k - 1, *drawn))))


def margin_test(
    value: float | None, error: float | None, people: int, low: float, high: float, reach: float
) -> Measured:
    """Return whether an estimate is clearly outside two ends: one-sided t, as far beyond as it is.

    Parameters
    ----------
    value, error : float or None
        Estimate and its standard error.
    people : int
        Whom it rests on.
    low, high : float
        Either may be infinite.
    reach : float
        How far beyond an end an estimate must stand to be missed if it were not clear; 0 asks for nothing.
    """
    if value is None or not error or people < 2:
        return NOT_ASKED
    beyond = max(low - value, value - high)
    told = float(stdtr(people - 1, -reach / error)) if reach else 0.0
    return Measured(float(stdtr(people - 1, -beyond / error)), beyond > 0, told)
