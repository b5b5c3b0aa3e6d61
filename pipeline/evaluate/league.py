"""Would following the ranking have been better than what people would do instead?

Policies are compared by doubly-robust scores of the same rows (paired, patient-clustered standard
errors). Never by the model's own mean, nor by the outcomes of those who happened to match.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.learners import TEACHER_LABELS, Evidence

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_Z90 = 1.645


@dataclass(frozen=True)
class Choices:
    """What a policy gives each person, as probabilities, shape (n, arms)."""

    policy: str
    label: str
    chance: Array
    note: str = ""


def _best(values: Array, is_impossible: BoolArray) -> Array:
    allowed = np.where(is_impossible, -np.inf, values)
    return np.asarray(np.eye(values.shape[1])[allowed.argmax(axis=1)])


def _one_best_arm(scores: Array, fold: IntArray, is_impossible: BoolArray) -> Array:
    """Return the arm with the best mean score in the other folds, per person (the next best where impossible)."""
    chosen = np.zeros_like(scores)
    for number in np.unique(fold):
        inside = fold == number
        means = np.repeat(scores[~inside].mean(axis=0)[None], int(inside.sum()), axis=0)
        chosen[inside] = _best(means, is_impossible[inside])
    return chosen


def policies(evidence: Evidence, burden: Array, signed: Array, is_impossible: BoolArray) -> list[Choices]:
    """Return what each policy would have given the training rows; nothing is chosen on a person's own fold.

    Parameters
    ----------
    evidence : Evidence of n rows
    burden : array (n, arms)
        Weighted burden, to be subtracted from utility.
    signed : array (targets,)
        Signed utility weights over their total.
    is_impossible : bool array (n, arms)
    """
    scores = evidence.scores - burden
    arms = scores.shape[1]
    allowed = ~is_impossible
    found = [
        Choices("clinicians", "Clinicians' own choices", np.eye(arms)[evidence.arm]),
        Choices("random", "Random among the possible", allowed / allowed.sum(axis=1, keepdims=True)),
        Choices("one_best_arm", "One best arm for all", _one_best_arm(scores, evidence.fold.fold, is_impossible)),
        Choices("imitation", "Imitation of clinicians", _best(evidence.fold.propensity, is_impossible)),
    ]
    found += [
        Choices(name, TEACHER_LABELS[name], _best(values @ signed - burden, is_impossible))
        for name, values in evidence.fold.teachers.items()
    ]
    model = _best(evidence.utility - burden, is_impossible)
    return [*found, Choices("model", "mmrank: stack, shrunk (out of fold)", model)]


def clustered_error(values: Array, groups: IntArray) -> float:
    """Return the standard error of a mean of values that are correlated within patients."""
    sums = np.bincount(groups, weights=values - values.mean())
    return float(np.sqrt(np.sum(sums**2)) / len(values))


def league(
    evidence: Evidence, burden: Array, found: list[Choices], truth: Mapping[str, Array] | None
) -> list[dict[str, Any]]:
    """Return the league table, one row per policy: value, standard error, 90 % interval, paired difference.

    Parameters
    ----------
    evidence : Evidence
    burden : array (n, arms)
    found : list of Choices
        The first is what clinicians did, whose value is the mean of what was observed; the others are
        compared with it.
    truth : mapping with `suitability` (n, arms), or None
        True suitability, only where records are simulated.
    """
    scores = evidence.scores - burden
    rows = np.arange(len(scores))
    reference = evidence.observed_utility - burden[rows, evidence.arm]
    table = []
    best = np.sum(next(c for c in found if c.policy == "one_best_arm").chance * scores, axis=1)
    for choice in found:
        values = reference if choice is found[0] else np.sum(choice.chance * scores, axis=1)
        error = clustered_error(values, evidence.groups)
        row: dict[str, Any] = {
            "policy": choice.policy,
            "label": choice.label,
            "value": float(values.mean()),
            "se": error,
            "low": float(values.mean() - _Z90 * error),
            "high": float(values.mean() + _Z90 * error),
            "difference": float((values - reference).mean()),
            "difference_se": clustered_error(values - reference, evidence.groups),
            "ahead_of_best_arm": float((values - best).mean()),
            "ahead_of_best_arm_se": clustered_error(values - best, evidence.groups),
            "true_value": None,
            "true_regret": None,
            "note": choice.note,
        }
        if truth is not None:
            chosen = np.sum(choice.chance * truth["suitability"], axis=1)
            row["true_value"] = float(chosen.mean())
            row["true_regret"] = float((truth["suitability"].max(axis=1) - chosen).mean())
        table.append(row)
    return table


def propensity_mass(evidence: Evidence, chance: Array, floor: float) -> float:
    """Return the mean of 1(A = policy) / e, which leaves 0.9 to 1.1 where overlap or the propensity fails."""
    rows = np.arange(len(evidence.arm))
    taken = chance[rows, evidence.arm]
    return float(np.mean(taken / np.maximum(evidence.fold.propensity[rows, evidence.arm], floor)))
