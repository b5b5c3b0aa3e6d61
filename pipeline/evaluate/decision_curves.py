"""At which thresholds would acting on the predicted risk do more good than acting for everybody or for nobody?

Acting means: before a modality is given, the team looks again at people whose predicted risk of the bad outcome
under it is at or above a threshold. The threshold says what a look in vain is worth: at 10 %, one person found is
worth nine looks in vain. Net benefit is people found, less the looks in vain at that price, per person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.evaluate.censoring import followed, horizon_weights, weighted_mean
from pipeline.evaluate.small_counts import is_small, share_bounds
from pipeline.learners import Evidence, Target
from pipeline.learners.policy_value import Z90

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

POINTS = 13
"""Thresholds per curve, evenly spaced over the declared range."""


def decision_curves(
    evidence: Evidence, targets: Sequence[Target], ranges: Mapping[str, tuple[float, float]]
) -> list[dict[str, Any]]:
    """Return one decision curve per outcome that either happens or does not, out of fold, under the modality given.

    Parameters
    ----------
    evidence : Evidence of n rows
    targets : sequence of Target
    ranges : mapping of outcome to (lowest, highest) threshold
        Of the risk of the bad outcome; an outcome without a range has no curve.

    Returns
    -------
    list of dict
        `outcome`, `horizon_months`, `risk` (weighted share who had the bad outcome), `points` as `net_benefit` tells
        them, `words`.
    """
    curves = []
    for k, target in enumerate(targets):
        if target.kind == "free_share" or target.name not in ranges:
            continue
        seen = followed(evidence, k, target)
        weight = arm_weights(seen.months, seen.event, target.horizon_months, evidence.arm)
        points = net_benefit(seen.risk, seen.is_bad, weight, evidence.groups, np.linspace(*ranges[target.name], POINTS))
        curves.append(
            {
                "outcome": target.name,
                "horizon_months": target.horizon_months,
                "risk": float(weight @ seen.is_bad / weight.sum()),
                "points": points,
                "words": _words(points),
            }
        )
    return curves


def arm_weights(months: Array, event: IntArray, horizon: float, arm: IntArray) -> Array:
    """Return weights against censoring before the horizon, estimated within each arm, shape (n,)."""
    weight = np.zeros(len(arm))
    for code in np.unique(arm):
        own = arm == code
        weight[own] = horizon_weights(months[own], event[own], horizon)
    return weight


def net_benefit(
    risk: Array, is_bad: BoolArray, weight: Array, groups: IntArray, thresholds: Array
) -> list[dict[str, Any]]:
    """Return net benefit of acting by risk, and for everybody, at each threshold; for nobody it is 0.

    Parameters
    ----------
    risk : array (n,)
        Predicted chance of the bad outcome.
    is_bad : bool array (n,)
        Who had it by the horizon.
    weight : array (n,)
        Against censoring; 0 where the outcome is not known.
    groups : array (n,) of int
        Patient of each row.
    thresholds : array of float in (0, 1)

    Returns
    -------
    list of dict
        `threshold`; `flagged` (bounds of the share at or above it); `model`, `all`; `gain` over the better of acting
        for everybody and for nobody, with its paired 90 % interval `low`, `high`; `better`: both paired differences are
        clearly above 0. None where 1 to 10 people, or all but 1 to 10, would be flagged.

    Notes
    -----
    NB(t) = sum w (1[r >= t] (y - (1 - y) t / (1 - t))) / sum w, higher is better. Standard errors are of the
    linearised ratio, clustered by patient, weights taken as known.

    References
    ----------
    Vickers and Elkin, Medical Decision Making 2006; 26: 565-574, doi 10.1177/0272989X06295361.
    Vickers et al., BMC Medical Informatics and Decision Making 2008; 8: 53, doi 10.1186/1472-6947-8-53.
    """
    total, points = float(weight.sum()), []
    for threshold in thresholds:
        is_flagged = risk >= threshold
        worth = np.where(is_bad, 1.0, -threshold / (1.0 - threshold))
        flagged, people = int(is_flagged.sum()), len(risk)
        everybody = float(weight @ worth / total)
        point: dict[str, Any] = {
            "threshold": round(float(threshold), 4),
            "flagged": share_bounds(flagged, people),
            "all": everybody,
        }
        point |= {"model": None, "gain": None, "low": None, "high": None, "better": False}
        if not (is_small(flagged) or is_small(people - flagged)):
            over_nobody = weighted_mean(is_flagged * worth, weight, groups)
            over_everybody = weighted_mean((is_flagged - 1.0) * worth, weight, groups)
            gain, error = over_everybody if everybody > 0 else over_nobody
            point |= {"model": over_nobody[0], "gain": gain, "low": gain - Z90 * error, "high": gain + Z90 * error}
            point["better"] = all(value - Z90 * se > 0 for value, se in (over_nobody, over_everybody))
        points.append(point)
    return points


def _words(points: Sequence[Mapping[str, Any]]) -> str:
    runs = [list(run) for is_better, run in groupby(points, key=lambda point: point["better"]) if is_better]
    if not runs:
        return "Acting by predicted risk is nowhere clearly better than acting for everybody or for nobody."
    ends = [(100 * run[0]["threshold"], 100 * run[-1]["threshold"]) for run in runs]
    told = " and ".join(f"{low:.3g} %" if low == high else f"{low:.3g} to {high:.3g} %" for low, high in ends)
    return (
        f"Acting by predicted risk is clearly better than acting for everybody or for nobody at thresholds of {told}."
    )
