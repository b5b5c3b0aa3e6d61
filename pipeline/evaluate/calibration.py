"""Do predicted probabilities happen as often as they say, per outcome and modality?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.evaluate.censoring import Concordance, concordance, horizon_weights, summed, weighted_mean
from pipeline.learners import Evidence, Target
from pipeline.learners.policy_value import Z90

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

FEWEST_KNOWN = 40


@dataclass(frozen=True)
class InTheLarge:
    """Observed less predicted on average, and its standard error; 0 is right, below 0 too much was promised."""

    value: float
    se: float


def in_the_large(predicted: Array, observed: Array, weight: Array, groups: IntArray | None = None) -> InTheLarge | None:
    """Return calibration-in-the-large as a difference of means; None where the outcome of nobody is known.

    Parameters
    ----------
    predicted, observed, weight : arrays (n,)
        Weight 0 where the outcome is not known.
    groups : array (n,) of int or None
        Patient of each row, by which the standard error is clustered; weights are taken as known.
    """
    if weight.sum() <= 0:
        return None
    return InTheLarge(*weighted_mean(np.where(weight > 0, observed - predicted, 0.0), weight, groups))


def slope_of(
    predicted: Array, observed: Array, weight: Array, groups: IntArray | None = None
) -> tuple[float, float, float] | None:
    """Return slope, its standard error (robust) and intercept of observed on predicted; None where there is too little.

    Parameters
    ----------
    predicted, observed, weight : arrays (n,)
        Weight 0 where the outcome is not known; at least 40 must be.
    groups : array (n,) of int or None
        Patient of each row, by which the standard error is clustered.
    """
    if int((weight > 0).sum()) < FEWEST_KNOWN:
        return None
    total = weight.sum()
    centre = float(weight @ predicted / total)
    spread = float(weight @ (predicted - centre) ** 2)
    if spread / total < 1e-8:
        return None
    mean = float(weight @ observed / total)
    slope = float(weight @ ((predicted - centre) * (observed - mean)) / spread)
    residual = observed - mean - slope * (predicted - centre)
    error = float(np.sqrt(np.sum(summed(weight * (predicted - centre) * residual, groups) ** 2)) / spread)
    return slope, error, mean - slope * centre


def _bins(predicted: Array, observed: Array, weight: Array, groups: IntArray) -> list[dict[str, Any]]:
    """Return observed by predicted in at most eight groups of at least 25 known outcomes, with 90 % ends by patient."""
    known = np.flatnonzero(weight > 0)
    count = int(np.clip(len(known) // 25, 1, 8))
    order = known[np.argsort(predicted[known], kind="stable")]
    rows = []
    for part in np.array_split(order, count):
        w = weight[part]
        if w.sum() <= 0:
            continue
        mean = float(w @ observed[part] / w.sum())
        error = float(np.sqrt(np.sum(summed(w * (observed[part] - mean), groups[part]) ** 2)) / w.sum())
        rows.append(
            {
                "predicted": float(w @ predicted[part] / w.sum()),
                "observed": mean,
                "low": max(0.0, mean - Z90 * error),
                "high": min(1.0, mean + Z90 * error),
                "n": len(part),
            }
        )
    return rows


def slope_and_order(found: tuple[float, float, float] | None, c_index: Concordance | None) -> dict[str, float | None]:
    """Return calibration and discrimination with 90 % intervals as evaluation.json has them; None where not estimated.

    Parameters
    ----------
    found : (slope, standard error, intercept) or None
        As `slope_of` returns it.
    c_index : Concordance or None
    """
    slope, error, intercept = (None, 0.0, None) if found is None else found
    return {
        "slope": slope,
        "slope_low": None if slope is None else slope - Z90 * error,
        "slope_high": None if slope is None else slope + Z90 * error,
        "intercept": intercept,
        "c_index": None if c_index is None else c_index.value,
        "c_index_low": None if c_index is None else c_index.low,
        "c_index_high": None if c_index is None else c_index.high,
    }


def in_the_large_told(found: InTheLarge | None) -> dict[str, float | None]:
    """Return calibration-in-the-large with its 90 % interval as evaluation.json has it; None where not estimated."""
    return {
        "in_the_large": None if found is None else found.value,
        "in_the_large_low": None if found is None else found.value - Z90 * found.se,
        "in_the_large_high": None if found is None else found.value + Z90 * found.se,
    }


def _one(evidence: Evidence, arm: int, k: int, target: Target, modality: str) -> dict[str, Any]:
    own = evidence.arm == arm
    predicted = evidence.outcomes[own, arm, k]
    timed = "durable_control" if target.kind == "free_share" else target.name
    months, event = evidence.follow_up.months[timed][own], evidence.follow_up.event[timed][own]
    weight = horizon_weights(months, event, target.horizon_months)
    observed = evidence.fold.observed[own, k]
    timed_by = (months, event)
    return {
        "outcome": target.name,
        "modality": modality,
        "n": int(own.sum()),
        **come_true(predicted, observed, weight, evidence.groups[own], target, timed_by),
    }


def come_true(
    predicted: Array,
    observed: Array,
    weight: Array,
    groups: npt.NDArray[np.int64],
    target: Target,
    timed_by: tuple[Array, npt.NDArray[np.int64]],
) -> dict[str, Any]:
    """Return calibration and discrimination of predictions of one outcome, as evaluation.json has them.

    Parameters
    ----------
    predicted, observed, weight : arrays (n,)
        The weight is 0 where the outcome is not known.
    groups : array (n,)
        Whose decision it was.
    target : Target
    timed_by : (months, event), arrays (n,)
        When the outcome was known.
    """
    months, event = timed_by
    found = slope_of(predicted, observed, weight, groups)
    risk = 1.0 - predicted if target.kind == "event_free" else predicted
    c_index = None if target.kind == "free_share" else concordance(months, event, risk, target.horizon_months, groups)
    enough = int((weight > 0).sum()) >= FEWEST_KNOWN
    return {
        **slope_and_order(found, c_index),
        **in_the_large_told(in_the_large(predicted, observed, weight, groups) if enough else None),
        "brier": float(weight @ (observed - predicted) ** 2 / weight.sum()) if weight.sum() > 0 else None,
        "bins": _bins(predicted, observed, weight, groups),
    }


def calibration(
    evidence: Evidence, arms: tuple[str, ...], targets: tuple[Target, ...], time_limited: dict[str, bool]
) -> list[dict[str, Any]]:
    """Return calibration and discrimination of out-of-fold predictions, one row per (outcome, modality).

    Slope and intercept are of a weighted linear regression of the outcome at the horizon on the prediction
    (1 and 0 are perfect), calibration-in-the-large is observed less predicted on average (0 is perfect); all are
    weighted against censoring; intervals are 90 %, clustered by patient. A declared constant has no row.
    """
    return [
        _one(evidence, arm, k, target, name)
        for k, target in enumerate(targets)
        for arm, name in enumerate(arms)
        if target.kind != "free_share" or time_limited.get(name, False)
    ]
