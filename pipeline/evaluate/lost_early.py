"""Does the comparison of modalities rest on how those lost to follow-up were counted?

What a person lost before the horizon would have had is completed by the cross-fitted hazards. Here the
people who were followed stand in for them instead, weighted by arm-wise Kaplan-Meier; where the two
disagree, the comparison leans on a model of the unseen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from pipeline.evaluate.by_group import holm
from pipeline.evaluate.censoring import horizon_weights
from pipeline.evaluate.contrasts import Z95, Contrast, pair_contrast
from pipeline.learners import Evidence, FollowUp, Target, doubly_robust_scores

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

LARGEST_MOVE = 0.02
_FALSE_ALARM = 0.05


def weighted_outcome(follow_up: FollowUp, target: Target, arm: IntArray, predicted: Array) -> Array:
    """Return an outcome under the arm given with the followed standing in for the lost, shape (n,).

    Parameters
    ----------
    follow_up : FollowUp of n rows
    target : Target
        One with a time of its own.
    arm : array (n,) of int
    predicted : array (n,)
        Cross-fitted mean prediction under the arm given.

    Returns
    -------
    array (n,)
        m + w (y - m): the prediction for the lost (w = 0), more than the outcome for those who stand for them. Its
        mean is that of the outcome where loss within an arm depends on nothing that matters.

    Notes
    -----
    w = 1(decided by the horizon) / G_a(min(T, horizon)), G_a the Kaplan-Meier chance of not being lost in arm a.
    """
    months, event = follow_up.months[target.name], follow_up.event[target.name]
    had = (event > 0 if target.kind == "event_free" else event == 1) & (months <= target.horizon_months)
    outcome = np.where(had, 0.0, 1.0) if target.kind == "event_free" else had.astype(float)
    weight = np.zeros(len(arm))
    for own in (arm == number for number in np.unique(arm)):
        weight[own] = horizon_weights(months[own], event[own], target.horizon_months)
    return np.asarray(predicted + weight * (outcome - predicted))


def lost_early(
    evidence: Evidence,
    possible: BoolArray,
    signed: Array,
    arms: Sequence[str],
    labels: Mapping[str, str],
    targets: Sequence[Target],
    floor: float,
    residual_clip: float,
) -> dict[str, Any]:
    """Return each pair's average difference in utility counted both ways, and whether any clearly moves.

    Parameters
    ----------
    evidence : Evidence of n rows
    possible : bool array (n, arms)
    signed : array (targets,)
        Signed utility weights over their total.
    arms : sequence of str
    labels : mapping of modality to words
    targets : sequence of Target
        A share of time has no single time at which it is decided: it stays completed.
    floor, residual_clip : float
        As for doubly-robust scores.

    Returns
    -------
    dict
        `pairs` (`first, second, people, completed, weighted, moved, moved_se, low, high, clear`; suitability without
        burden, `moved` = weighted - completed with its 95 % interval), `tolerance`, `words`.

    Notes
    -----
    A pair moves clearly where the change beyond `LARGEST_MOVE` is (normal, patient-clustered, Holm over pairs, 5 %).
    """
    completed, weighted = (np.zeros(possible.shape) for _ in range(2))
    for k, target in enumerate(targets):
        predicted = np.mean([values[..., k] for values in evidence.fold.teachers.values()], axis=0)
        seen = evidence.fold.observed[:, k]
        others = seen
        if target.kind != "free_share":
            own = predicted[np.arange(len(seen)), evidence.arm]
            others = weighted_outcome(evidence.follow_up, target, evidence.arm, own)
        for total, outcome in ((completed, seen), (weighted, others)):
            rest = (evidence.arm, evidence.fold.propensity, floor, residual_clip)
            total += signed[k] * doubly_robust_scores(predicted, outcome, *rest)
    pairs = []
    for first, second in combinations(range(len(arms)), 2):
        own, change = (
            pair_contrast(scores, first, second, evidence.groups, possible)
            for scores in (completed, weighted - completed)
        )
        if own is not None and change is not None:
            pairs.append(_pair(arms[first], arms[second], own.value, change))
    beyond = [(abs(row["moved"]) - LARGEST_MOVE) / max(row["moved_se"], 1e-12) for row in pairs]
    for row, is_clear in zip(
        pairs, holm([float(norm.sf(z)) for z in beyond], _FALSE_ALARM) if pairs else (), strict=True
    ):
        row["clear"] = bool(is_clear)
    return {"pairs": pairs, "tolerance": LARGEST_MOVE, "words": _words(pairs, labels)}


def _pair(first: str, second: str, completed: float, change: Contrast) -> dict[str, Any]:
    low, high = change.interval(Z95)
    return {
        "first": first,
        "second": second,
        "people": change.people,
        "completed": completed,
        "weighted": completed + change.value,
        "moved": change.value,
        "moved_se": change.error,
        "low": low,
        "high": high,
        "clear": False,
    }


def _words(pairs: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> str:
    if not pairs:
        return "Nobody could have had two modalities."
    moved = [
        f"{labels.get(row['first'], row['first'])} less {labels.get(row['second'], row['second'])} moves by "
        f"{row['moved']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"
        for row in pairs
        if row["clear"]
    ]
    if moved:
        return f"Counted by the people who were followed, {'; '.join(moved)}."
    furthest = max(pairs, key=lambda row: abs(row["moved"]))
    return (
        f"No comparison moves clearly by more than {LARGEST_MOVE:g} when the people who were followed stand in for "
        f"those lost; the furthest moves by {furthest['moved']:+.3f} "
        f"({furthest['low']:+.3f} to {furthest['high']:+.3f})."
    )
