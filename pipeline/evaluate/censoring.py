"""How good are predicted probabilities when follow-up ends early?

Inverse probability of censoring weights (IPCW) stand in for those lost before the horizon.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.learners import Evidence, Target
from pipeline.learners.policy_value import Z90

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_SMALLEST_G = 0.05


@dataclass(frozen=True)
class Followed:
    """One outcome of n rows under the modality given, and what was predicted of it out of fold.

    Attributes
    ----------
    months, event : arrays (n,)
        Follow-up; event 1 is the outcome's own, 0 censored.
    predicted : array (n,)
        Of the outcome as it is named.
    risk : array (n,)
        Predicted chance of the bad end: of the event, whether its absence or itself is predicted.
    is_bad : bool array (n,)
        Who had the event by the horizon.
    """

    months: Array
    event: IntArray
    predicted: Array
    risk: Array
    is_bad: BoolArray


def followed(evidence: Evidence, k: int, target: Target) -> Followed:
    """Return the k-th outcome, one with a time of its own, under the modality given."""
    months, event = evidence.follow_up.months[target.name], evidence.follow_up.event[target.name]
    predicted = evidence.outcomes[np.arange(len(evidence.arm)), evidence.arm, k]
    risk = 1.0 - predicted if target.kind == "event_free" else predicted
    return Followed(months, event, predicted, risk, (event == 1) & (months <= target.horizon_months))


def censoring_survival(months: Array, event: IntArray, at: Array) -> Array:
    """Return the Kaplan-Meier probability of not being censored before each time `at`, shape like `at`.

    Events of any kind end follow-up without censoring; a censoring at the same time as an event
    counts after it.
    """
    order = np.lexsort((event == 0, months))
    time, lost = months[order], (event[order] == 0)
    at_risk = np.arange(len(time), 0, -1, dtype=float)
    survival = np.cumprod(np.where(lost, 1.0 - 1.0 / at_risk, 1.0))
    position = np.searchsorted(time, at, side="left")
    return np.where(position == 0, 1.0, survival[np.maximum(position - 1, 0)])


def horizon_weights(months: Array, event: IntArray, horizon: float) -> Array:
    """Return IPCW weights of the outcome at the horizon, shape (n,); 0 for those censored before it."""
    decided = (event > 0) & (months <= horizon)
    known = decided | (months >= horizon)
    g = np.maximum(censoring_survival(months, event, np.minimum(months, horizon)), _SMALLEST_G)
    return np.where(known, 1.0 / g, 0.0)


def summed(values: Array, groups: IntArray | None) -> Array:
    """Return the sums of values within each patient; the values themselves where everybody stands once."""
    if groups is None:
        return values
    return np.asarray(np.bincount(np.unique(groups, return_inverse=True)[1], weights=values), dtype=float)


def weighted_mean(values: Array, weight: Array, groups: IntArray | None) -> tuple[float, float]:
    """Return a weighted mean and its standard error, clustered by patient; weights are taken as known."""
    total = float(weight.sum())
    value = float(weight @ values / total)
    return value, float(np.sqrt(np.sum(summed(weight * (values - value), groups) ** 2)) / total)


def risk_table(months: Array, is_event: BoolArray) -> tuple[Array, Array, Array]:
    """Return the times of events, ascending, how many were still followed then, and how many had the event."""
    times = np.unique(months[is_event])
    at_risk = (months[None, :] >= times[:, None]).sum(axis=1).astype(float)
    failed = ((months[None, :] == times[:, None]) & is_event[None, :]).sum(axis=1).astype(float)
    return times, at_risk, failed


@dataclass(frozen=True)
class Concordance:
    """A concordance index with a 90 % interval; higher is better, 0.5 is chance."""

    value: float
    low: float
    high: float


def concordance(
    months: Array, event: IntArray, risk: Array, horizon: float, groups: IntArray | None = None
) -> Concordance | None:
    """Return the IPCW concordance of a risk score up to the horizon, or None without comparable pairs.

    Parameters
    ----------
    months : array (n,)
        Time to event, competing event or censoring, months.
    event : array (n,) of int
        0 censored, 1 event, 2 competing event.
    risk : array (n,)
        Higher means an earlier event.
    horizon : float, months
    groups : array (n,) of int or None
        Patient of each row, whose rows are correlated; None: every row is a person of its own.

    Notes
    -----
    Uno's C, and Wolbers' where a second event competes: over pairs in which i has event 1 at T_i <= horizon and
    j is either followed at least as long without an event by then (weight 1 / G(T_i)^2), or had the competing
    event before (weight 1 / (G(T_i) G(T_j))): who had it never has event 1 and stays in the risk set. G(t) is the
    chance of not being censored before t; tied risks count one half. The interval is the Hajek projection's
    (delta method, clustered by patient, G taken as known), level 90 %.

    References
    ----------
    Uno et al., Statistics in Medicine 2011; 30: 1105-1117.
    Wolbers et al., Biostatistics 2014; 15: 526-539.
    """
    cases = np.flatnonzero((event == 1) & (months <= horizon))
    if not len(cases):
        return None
    g = np.maximum(censoring_survival(months, event, months), _SMALLEST_G)
    concordant, comparable = np.zeros(len(months)), np.zeros(len(months))
    for row in cases:
        still_at_risk = (months > months[row]) | ((months == months[row]) & (event == 0))
        competed = (event == 2) & (months <= months[row])
        pair = (still_at_risk / g[row] + competed / g) / g[row]
        agree = np.where(risk[row] > risk, 1.0, np.where(risk[row] == risk, 0.5, 0.0)) * pair
        concordant += agree
        comparable += pair
        concordant[row] += agree.sum()
        comparable[row] += pair.sum()
    pairs = comparable.sum() / 2
    if pairs <= 0:
        return None
    value = float(concordant.sum() / 2 / pairs)
    error = float(np.sqrt(np.sum(summed(concordant - value * comparable, groups) ** 2)) / pairs)
    return Concordance(value=value, low=max(0.0, value - Z90 * error), high=min(1.0, value + Z90 * error))
