"""Would following the ranking have been better than what people would do instead?

Policies are compared on the same rows (paired, patient-clustered standard errors) by switch doubly-robust
scores, with self-normalised weighting beside them. Never by the model's own mean, nor by the outcomes of those
who happened to match; and not at all where the chosen actions lack support.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.evaluate.policies import BEST_ARM, MODEL, REFERENCE, Choices, Setting, best
from pipeline.evaluate.support import Region, share_told
from pipeline.learners import Evidence
from pipeline.learners.policy_value import (
    LARGEST_UNSUPPORTED,
    Logged,
    Paired,
    PolicyValue,
    Valued,
    effective_sample_size,
    paired,
    summary,
    support,
    valued,
)

Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

_KEPT = tuple(tenth / 10 for tenth in range(10, 0, -1))
_TOLD = (
    *("value", "se", "low", "high", "difference", "difference_se", "snipw", "snipw_se", "mass"),
    *("effective_sample_size", "largest_weight_share", "clipped", "modelled_share", "disagree"),
)
_STUDENT_NOTE = (
    "in sample, for fidelity only: the model's out-of-fold value, less what the students' other first choices lose "
    "on their own training rows by the out-of-fold outcome model; no test on new people"
)


@dataclass(frozen=True)
class Arms:
    """How arms are called, and whom each was practically never given to.

    Attributes
    ----------
    names, labels : tuple of str
    regions : mapping of arm to Region or None
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]
    regions: Mapping[str, Region | None]

    def lacking(self, found: Valued, people: int) -> str:
        """Return for each arm chosen without support whom the data do not show it for, in words."""
        told = []
        for name, label, share in zip(self.names, self.labels, found.unsupported, strict=True):
            if share <= LARGEST_UNSUPPORTED / 2:
                continue
            inside = self.regions.get(name)
            where = "for people whom no short rule describes"
            if inside is not None:
                where = f"where {inside.words}: {share_told(inside.share, people)} of people"
            told.append(f"{label} was practically never given {where}")
        return "; ".join(told)


def logged_of(
    evidence: Evidence, burden: Array, signed: Array, floor: float, is_lacking: BoolArray | None = None
) -> Logged:
    """Return the training rows as policies are valued on them: burden subtracted, nuisances out of fold.

    Parameters
    ----------
    evidence : Evidence
    burden : array (n, arms)
    signed : array (targets,)
    floor : float
    is_lacking : bool array (n, arms) or None
        Who was practically never given the arm; None: those with a propensity under the floor.

    Returns
    -------
    Logged
        Its outcome model is the plain mean of the teachers, which no stack weight or shrinkage has shaped.
    """
    utility = np.mean([values @ signed for values in evidence.fold.teachers.values()], axis=0)
    return Logged(
        utility_model=utility - burden,
        observed=evidence.observed_utility - burden[np.arange(len(evidence.arm)), evidence.arm],
        arm=evidence.arm,
        groups=evidence.groups,
        propensity=evidence.fold.propensity,
        floor=floor,
        is_lacking=is_lacking,
    )


def some_rows(logged: Logged, rows: BoolArray | IntArray) -> Logged:
    """Return some of the rows as policies are valued on them; rows as a mask or as places."""
    return replace(
        logged,
        utility_model=logged.utility_model[rows],
        observed=logged.observed[rows],
        arm=logged.arm[rows],
        groups=logged.groups[rows],
        propensity=logged.propensity[rows],
        is_lacking=None if logged.is_lacking is None else logged.is_lacking[rows],
    )


def summary_of_few(found: Valued, logged: Logged, name: str) -> PolicyValue:
    """Return a policy's estimates where rows are few: the veto judges the effective sample of all arms together."""
    together = effective_sample_size(found.weights)
    return summary(found, logged, name, replace(support(found, logged.arm), effective_sample_size=together))


def _valued(choice: Choices, logged: Logged) -> Valued | None:
    """Return a policy's numbers per row; what clinicians did is worth what was seen."""
    if choice.chance is None:
        return None
    untouched = np.zeros(len(logged.arm), dtype=bool)
    return valued(choice.chance, logged, untouched if choice.policy == REFERENCE else None)


def student_choices(setting: Setting, outcomes: Array) -> Choices:
    """Return what the deployed students choose on their own training rows, from outcomes (n, arms, targets)."""
    chance = best(outcomes @ setting.signed - setting.burden, setting.is_impossible)
    return Choices("student", "Deployed students (fidelity only)", chance, _STUDENT_NOTE)


def _taught(setting: Setting, logged: Logged, students: Choices, model: Valued) -> Valued | None:
    """Return the students' rows: the model's out-of-fold rows, moved by where students leave the committee.

    Committee and students have both seen the outcomes of these rows, so neither is valued by them: the move is read
    off the out-of-fold outcome model, and a mean gain is not counted.
    """
    if students.chance is None:
        return None
    committee = best(setting.evidence.committee_outcomes @ setting.signed - setting.burden, setting.is_impossible)
    change = np.sum((students.chance - committee) * logged.utility_model, axis=1)
    if change.mean() > 0:
        change = np.zeros_like(change)
    after = valued(students.chance, logged)
    return replace(after, values=model.values + change, normalised=model.normalised + change)


def league(
    setting: Setting,
    logged: Logged,
    found: Sequence[Choices],
    students: Choices | None,
    arms: Arms,
    truth: Mapping[str, Array] | None,
) -> list[dict[str, Any]]:
    """Return the league table, one row per policy: value, standard error, 90 % interval, paired differences.

    Parameters
    ----------
    setting : Setting
    logged : Logged
    found : sequence of Choices
        With what clinicians did, whose value is the mean of what was observed; the others are compared with it.
    students : Choices or None
        The deployed students' choices on their own training rows; told last, for fidelity only.
    arms : Arms
    truth : mapping with `suitability` (n, arms), or None
        True suitability, only where records are simulated.

    Returns
    -------
    list of dict
        `value` is the switch doubly-robust estimate, `snipw` the self-normalised one; both, and everything that
        follows from them, are None where `vetoed` says why the chosen actions lack support.
    """
    rows = {choice.policy: _valued(choice, logged) for choice in found}
    model = rows.get(MODEL)
    listed = list(found)
    if students is not None and model is not None:
        listed.append(students)
        rows[students.policy] = _taught(setting, logged, students, model)
    sums = {
        policy: None if row is None else summary(row, logged, _thinnest(row, logged, arms))
        for policy, row in rows.items()
    }
    best_row, best_sum = rows.get(BEST_ARM), sums.get(BEST_ARM)
    has_best = best_row is not None and best_sum is not None and best_sum.vetoed is None
    table = []
    for choice in listed:
        row, told = rows[choice.policy], sums[choice.policy]
        ahead = None
        if has_best and row is not None and best_row is not None and told is not None and told.vetoed is None:
            ahead = paired(row.values, best_row.values, logged.groups)
        table.append(_row(choice, row, told, ahead, logged, arms) | _true(choice.chance, truth))
    return table


def _thinnest(row: Valued, logged: Logged, arms: Arms) -> str:
    thinnest = support(row, logged.arm).thinnest
    return "the choice" if thinnest is None else arms.labels[thinnest]


def _row(
    choice: Choices,
    row: Valued | None,
    told: PolicyValue | None,
    ahead: Paired | None,
    logged: Logged,
    arms: Arms,
) -> dict[str, Any]:
    """Return one row of the table; every estimate None where the policy does not apply, or is vetoed."""
    vetoed = None if told is None else told.vetoed
    if told is not None and row is not None and vetoed is not None:
        lacking = arms.lacking(row, len(logged.arm))
        vetoed = f"{vetoed}: {lacking}" if lacking else vetoed
    return {
        "policy": choice.policy,
        "label": choice.label,
        **{key: None if told is None else getattr(told, key) for key in _TOLD},
        "ahead_of_best_arm": None if ahead is None else ahead.difference,
        "ahead_of_best_arm_se": None if ahead is None else ahead.se,
        "vetoed": vetoed,
        "note": choice.note,
    }


def _true(chance: Array | None, truth: Mapping[str, Array] | None) -> dict[str, float | None]:
    if truth is None or chance is None:
        return {"true_value": None, "true_regret": None}
    chosen = np.sum(chance * truth["suitability"], axis=1)
    return {
        "true_value": float(chosen.mean()),
        "true_regret": float((truth["suitability"].max(axis=1) - chosen).mean()),
    }


def confidence(utility: Array, half_widths: Array, is_impossible: BoolArray) -> Array:
    """Return how sure each person's first choice is, shape (n,): first minus second over their half-width.

    Parameters
    ----------
    utility : array (n, arms)
        Out of fold, burden subtracted.
    half_widths : array (n, arms, arms)
        Calibrated half-width of each pairwise difference.
    is_impossible : bool array (n, arms)
        A person with one possible arm has nothing to be unsure of: infinite.
    """
    allowed = np.where(is_impossible, -np.inf, utility)
    order = np.argsort(-allowed, axis=1, kind="stable")
    rows = np.arange(len(allowed))
    first, second = order[:, 0], order[:, 1]
    gap = allowed[rows, first] - allowed[rows, second]
    return np.asarray(gap / np.maximum(half_widths[rows, first, second], 1e-12))


def abstention_curve(chance: Array, logged: Logged, sureness: Array) -> list[dict[str, Any]]:
    """Return the value of deciding only the surest 100, 90 .. 10 % and leaving the rest as clinicians chose.

    Parameters
    ----------
    chance : array (n, arms)
        The model's choices, out of fold.
    logged : Logged
    sureness : array (n,)

    Returns
    -------
    list of dict
        `kept` (share decided), `value`, `se`, `difference` (paired, against clinicians), `difference_se`;
        the estimates are None where `vetoed` says why.
    """
    order = np.argsort(-sureness, kind="stable")
    curve = []
    for kept in _KEPT:
        is_kept = np.zeros(len(order), dtype=bool)
        is_kept[order[: round(kept * len(order))]] = True
        told = summary(valued(chance, logged, is_kept), logged)
        keys = ("value", "se", "difference", "difference_se", "vetoed")
        curve.append({"kept": kept, **{key: getattr(told, key) for key in keys}})
    return curve
