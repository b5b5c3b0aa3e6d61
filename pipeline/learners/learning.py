"""How do the parts become one model? Stack, shrink and recalibrate; refit; teach the students; say how sure.

Everything that weighs, shrinks or widens is fitted on out-of-fold predictions of the one cross-fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pipeline.config import GateConfig, LearnerConfig
from pipeline.learners.committee import Cases, Committee, arms_with_events, fit_committee
from pipeline.learners.crossfit import OutOfFold
from pipeline.learners.honest import blended_out_of_fold, fit_blend
from pipeline.learners.intervals import Spread, draw_linear, form_factor, pair_half_widths, spread_of, width_scale
from pipeline.learners.stack import (
    Blend,
    Kinds,
    Shrinkage,
    doubly_robust_scores,
)
from pipeline.learners.student import Students, fit_students
from pipeline.learners.targets import FollowUp, Target

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Evidence:
    """Everything evaluation needs, of the training rows of ranked arms; out of fold.

    Attributes
    ----------
    rows : array (n,) of int
        Positions in the table given to `fit`.
    arm, groups : arrays (n,) of int
    follow_up : FollowUp
    fold : OutOfFold
    outcomes : array (n, arms, targets)
        The blend's out-of-fold outcome vector.
    utility : array (n, arms)
        Its utility at the default weights, without burden.
    observed_utility : array (n,)
    scores : array (n, arms)
        Doubly-robust scores of utility.
    committee_outcomes : array (n, arms, targets)
        The blend of the committee fitted on all rows (in sample).
    """

    rows: npt.NDArray[np.intp]
    arm: IntArray
    groups: IntArray
    follow_up: FollowUp
    fold: OutOfFold
    outcomes: Array
    utility: Array
    observed_utility: Array
    scores: Array
    committee_outcomes: Array


@dataclass(frozen=True)
class Blended:
    """The committee fitted on all rows, and how its word is blended.

    Attributes
    ----------
    committee : Committee
    blend : Blend
    shrinkage : Shrinkage
    evidence : Evidence
    """

    committee: Committee
    blend: Blend
    shrinkage: Shrinkage
    evidence: Evidence

    def outcomes(self, matrix: Array, threads: int) -> Array:
        """Return the blend's outcome vector of any rows, shape (n, arms, targets)."""
        return self.blend.apply(self.committee.expectations(matrix, threads))


@dataclass(frozen=True)
class Deployed:
    """What is saved and speaks, and what it says of the training rows (in sample; for fidelity only).

    Attributes
    ----------
    students : Students
    spread : Spread
    outcomes : array (n, arms, targets)
        The students' predictions.
    half_widths : array (n,)
        Mean half-width of pairwise intervals of suitability.
    """

    students: Students
    spread: Spread
    outcomes: Array
    half_widths: Array


def learn(
    cases: Cases,
    fold: OutOfFold,
    rows: npt.NDArray[np.intp],
    targets: Sequence[Target],
    signed: Array,
    settings: LearnerConfig,
    gates: GateConfig,
    advance: Callable[[int], None] | None = None,
) -> Blended:
    """Weigh, shrink and recalibrate on out-of-fold predictions, and refit the committee on all rows.

    Parameters
    ----------
    cases : Cases of n rows
    fold : OutOfFold
        Their cross-fit.
    rows : array (n,) of int
        Their positions in the table given to `fit`.
    targets : sequence of Target
    signed : array (targets,)
        Signed utility weights over their total.
    settings : LearnerConfig
    gates : GateConfig
    advance : callable or None
        Progress: called with 1 after each fitted model.

    Returns
    -------
    Blended
    """
    observed = fold.observed @ signed
    plain = np.mean([values @ signed for values in fold.teachers.values()], axis=0)
    floor = gates.propensity_floor
    scores = doubly_robust_scores(plain, observed, cases.arm, fold.propensity, floor, gates.residual_clip)
    kinds = Kinds.of(targets, cases.time_limited)
    held_out = blended_out_of_fold(fold, cases.arm, cases.groups, scores, signed, floor, kinds)
    committee = fit_committee(cases, targets, settings, arms_with_events(cases, targets), advance)
    on_training = committee.expectations(cases.matrix, settings.threads)
    everyone = np.ones(len(rows), dtype=bool)
    made, found = fit_blend(fold, everyone, cases.arm, cases.groups, scores, signed, floor, kinds, on_training)
    evidence = Evidence(
        rows=rows,
        arm=cases.arm,
        groups=cases.groups,
        follow_up=cases.follow_up,
        fold=fold,
        outcomes=held_out,
        utility=held_out @ signed,
        observed_utility=observed,
        scores=scores,
        committee_outcomes=made.apply(on_training),
    )
    return Blended(committee=committee, blend=made, shrinkage=found, evidence=evidence)


def deploy(
    cases: Cases,
    blended: Blended,
    targets: Sequence[Target],
    signed: Array,
    settings: LearnerConfig,
    advance: Callable[[int], None] | None = None,
) -> Deployed:
    """Teach the students what the blend says, and settle how wide intervals are.

    Parameters
    ----------
    cases : Cases
    blended : Blended
    targets : sequence of Target
    signed : array (targets,)
    settings : LearnerConfig
    advance : callable or None

    Returns
    -------
    Deployed
    """
    committee, evidence = blended.committee, blended.evidence

    def speak(matrix: Array) -> Array:
        return blended.outcomes(matrix, settings.threads)

    students = fit_students(
        cases.matrix, speak, cases.columns.categorical, targets, cases.time_limited, settings, advance
    )
    draws = draw_linear(committee, settings.draws, settings.seed)
    made, found = blended.blend, blended.shrinkage
    form = form_factor(evidence.fold.teachers, made.weights, made.factor, made.kinds)
    unscaled = spread_of(draws, form, found.factor, found.standard_error, cases.matrix)
    deviations = unscaled.deviations(cases.matrix, np.repeat(signed[None], len(cases.arm), axis=0))
    scale = max(settings.interval_widening, width_scale(evidence.utility, evidence.scores, deviations))
    return Deployed(
        students=students,
        spread=replace(unscaled, scale=scale),
        outcomes=students.outcomes(cases.matrix),
        half_widths=_mean_half_width(scale * deviations),
    )


def _mean_half_width(deviations: Array) -> Array:
    arms, widths = deviations.shape[2], pair_half_widths(deviations)
    return np.asarray(np.mean([widths[:, a, b] for a in range(arms) for b in range(a + 1, arms)], axis=0))
