"""What do three teachers that fail differently say of every person under every arm?

P (ridge, declared modifiers), S (boosted, arm as a feature) and T (boosted per arm) each give
cause-specific hazards; the outcome vector follows from them by arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from joblib import Parallel, delayed

from pipeline.config import LearnerConfig
from pipeline.learners.boosted_hazard import BoostedHazard, fit_boosted_hazard, tree_count
from pipeline.learners.design import Columns, LinearDesign, fit_linear_design
from pipeline.learners.linear_hazard import LinearHazard, fit_linear_hazard, ridge_shares
from pipeline.learners.targets import (
    QUARTERS,
    FollowUp,
    Target,
    at_time,
    causes,
    event_free,
    incidence,
)

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Rows = npt.NDArray[np.intp] | npt.NDArray[np.bool_]
Hazards = Mapping[str, Mapping[int, Array]]
"""target -> cause -> monthly hazards, shape (n, arms, intervals)."""

TEACHERS = ("linear", "single", "per_arm")
TEACHER_LABELS = {
    "linear": "P: ridge hazard, declared modifiers",
    "single": "S: boosted hazard, arm as a feature",
    "per_arm": "T: boosted hazard per arm",
}
_T_NEEDS_EVENTS = 150


@dataclass(frozen=True)
class Cases:
    """Training rows as arrays.

    Attributes
    ----------
    matrix : array (n, n_columns)
    columns : Columns
    modifiers : tuple of str
    arm : array (n,) of int
        Position of the modality given.
    time_limited : tuple of bool
        Per arm: whether time off treatment is estimated (else it is the constant 0).
    follow_up : FollowUp
    groups : array (n,) of int
        Patient.
    """

    matrix: Array
    columns: Columns
    modifiers: tuple[str, ...]
    arm: IntArray
    time_limited: tuple[bool, ...]
    follow_up: FollowUp
    groups: IntArray

    @property
    def arms(self) -> int:
        """Number of arms."""
        return len(self.time_limited)

    def take(self, rows: Rows) -> Cases:
        """Return the chosen rows."""
        return Cases(
            matrix=self.matrix[rows],
            columns=self.columns,
            modifiers=self.modifiers,
            arm=self.arm[rows],
            time_limited=self.time_limited,
            follow_up=self.follow_up.take(rows),
            groups=self.groups[rows],
        )


@dataclass(frozen=True)
class FreeShare:
    """Ridge regressions of the off-treatment share of each quarter, per time-limited arm."""

    design: LinearDesign
    intercepts: Array
    slopes: Array

    def predict(self, matrix: Array) -> Array:
        """Return shares in [0, 1], shape (n, arms, 4); continuous arms are 0."""
        main = self.design.transform(matrix)
        raw = np.einsum("np,aqp->naq", main, self.slopes) + self.intercepts[None]
        return np.asarray(np.clip(raw, 0.0, 1.0))


@dataclass(frozen=True)
class Committee:
    """Three teachers fitted on the same rows.

    Attributes
    ----------
    targets : tuple of Target
    linear, single : mapping of (target, cause) to a hazard
    per_arm : mapping of (target, cause) to one hazard per arm
        None where the arm has too few such events; S stands in there. Empty where that is so everywhere: T is
        then no teacher.
    free : FreeShare
    """

    targets: tuple[Target, ...]
    arms: int
    linear: Mapping[tuple[str, int], LinearHazard]
    single: Mapping[tuple[str, int], BoostedHazard]
    per_arm: Mapping[tuple[str, int], tuple[BoostedHazard | None, ...]]
    free: FreeShare

    @property
    def teachers(self) -> tuple[str, ...]:
        """Who speaks: P and S, and T where some arm has events enough."""
        return TEACHERS if self.per_arm else TEACHERS[:2]

    def hazards(self, matrix: Array, threads: int = 1) -> dict[str, dict[str, dict[int, Array]]]:
        """Return each teacher's hazards: teacher -> target -> cause -> array (n, arms, intervals)."""
        keys = list(self.linear)
        boosted = [(key, arm) for key in keys for arm in range(self.arms)]
        pool = Parallel(n_jobs=threads, prefer="threads")
        single = dict(zip(boosted, pool(delayed(self.single[k].hazard)(matrix, a) for k, a in boosted), strict=True))

        def own(key: tuple[str, int], arm: int) -> Array:
            fitted = self.per_arm[key][arm]
            return single[key, arm] if fitted is None else fitted.hazard(matrix, arm)

        per_arm = dict(zip(boosted, pool(delayed(own)(k, a) for k, a in boosted), strict=True)) if self.per_arm else {}
        found: dict[str, dict[str, dict[int, Array]]] = {teacher: {} for teacher in self.teachers}
        for key in keys:
            target, cause = key
            found["linear"].setdefault(target, {})[cause] = self.linear[key].hazard(matrix)
            for teacher, boosted_hazards in (("single", single), ("per_arm", per_arm)):
                if boosted_hazards:
                    stacked = np.stack([boosted_hazards[key, arm] for arm in range(self.arms)], axis=1)
                    found[teacher].setdefault(target, {})[cause] = stacked
        return found

    def expectations(self, matrix: Array, threads: int = 1) -> dict[str, Array]:
        """Return each teacher's outcome vector, teacher -> array (n, arms, targets)."""
        shares = self.free.predict(matrix)
        hazards = self.hazards(matrix, threads)
        return {teacher: expectations(found, shares, self.targets) for teacher, found in hazards.items()}


def expectations(hazards: Hazards, shares: Array, targets: Sequence[Target]) -> Array:
    """Return the outcome vector that hazards imply, shape (..., arms, targets), each on its natural scale.

    Notes
    -----
    `treatment_free` is the sum over quarters of the mean of S at the quarter's two ends times the
    expected share of the quarter off treatment, divided by 4.
    """
    columns = []
    for target in targets:
        if target.kind == "event_free":
            columns.append(event_free(hazards[target.name])[..., -1])
        elif target.kind == "incidence":
            columns.append(incidence(hazards[target.name])[..., -1])
        else:
            survival = event_free(hazards["durable_control"])
            alive = (survival[..., :-1] + survival[..., 1:]) / 2
            columns.append(np.sum(alive * shares[..., : alive.shape[-1]], axis=-1) / QUARTERS)
    return np.stack(columns, axis=-1)


def completed(follow_up: FollowUp, own: Hazards, shares: Array, targets: Sequence[Target]) -> Array:
    """Return each person's outcome under the arm given, or its conditional expectation where censored.

    Parameters
    ----------
    follow_up : FollowUp of n rows
    own : mapping of target to cause to array (n, intervals)
        Cross-fitted hazards under the arm given.
    shares : array (n, 4)
        Expected off-treatment share of each quarter under the arm given.
    targets : sequence of Target

    Returns
    -------
    array (n, targets)
        0 or 1 where the event is decided by the horizon; a probability where censored before it.
    """
    columns = []
    for target in targets:
        if target.kind == "free_share":
            columns.append(_completed_share(follow_up, own, shares))
            continue
        months, event = follow_up.months[target.name], follow_up.event[target.name]
        decided = (event > 0) & (months <= target.horizon_months)
        is_past = months >= target.horizon_months
        survival = event_free(own[target.name])
        at_censoring = np.maximum(at_time(survival, months), 1e-9)
        if target.kind == "event_free":
            observed, expected = (event == 0).astype(float), survival[:, -1] / at_censoring
            observed = np.where(is_past & ~decided, 1.0, observed)
        else:
            curve = incidence(own[target.name])
            observed = (event == 1).astype(float)
            observed = np.where(is_past & ~decided, 0.0, observed)
            expected = (curve[:, -1] - at_time(curve, months)) / at_censoring
        columns.append(np.where(decided | is_past, observed, np.clip(expected, 0.0, 1.0)))
    return np.stack(columns, axis=-1)


def _completed_share(follow_up: FollowUp, own: Hazards, shares: Array) -> Array:
    months, event = follow_up.months["durable_control"], follow_up.event["durable_control"]
    survival = event_free(own["durable_control"])
    at_censoring = np.maximum(at_time(survival, months), 1e-9)
    total = np.zeros(len(months))
    for quarter in range(survival.shape[1] - 1):
        low = 3.0 * quarter
        seen = np.clip(months - low, 0.0, 3.0) / 3.0
        share = np.where(np.isnan(follow_up.free[:, quarter]), shares[:, quarter], follow_up.free[:, quarter])
        alive = (survival[:, quarter] + survival[:, quarter + 1]) / 2 / at_censoring
        to_come = np.where(event == 0, (1.0 - seen) * np.minimum(alive, 1.0) * shares[:, quarter], 0.0)
        total += seen * share + to_come
    return total / QUARTERS


def arms_with_events(cases: Cases, targets: Sequence[Target]) -> dict[tuple[str, int], tuple[bool, ...]]:
    """Return, per (target, cause), which arms have the 150 events that a model of their own needs.

    Parameters
    ----------
    cases : Cases
        All training rows, so that every fold has the same teachers.
    targets : sequence of Target
    """
    found: dict[tuple[str, int], tuple[bool, ...]] = {}
    for target in targets:
        if target.kind == "free_share":
            continue
        months, event = cases.follow_up.months[target.name], cases.follow_up.event[target.name]
        for cause in causes(cases.follow_up, target):
            had = (event == cause) & (months <= target.horizon_months)
            counts = np.bincount(cases.arm[had], minlength=cases.arms)
            found[target.name, cause] = tuple(bool(count >= _T_NEEDS_EVENTS) for count in counts)
    return found


def fit_committee(
    cases: Cases,
    targets: Sequence[Target],
    settings: LearnerConfig,
    own_models: Mapping[tuple[str, int], tuple[bool, ...]],
    advance: Callable[[int], None] | None = None,
) -> Committee:
    """Fit the three teachers on the same rows.

    Parameters
    ----------
    cases : Cases
    targets : sequence of Target
    settings : LearnerConfig
    own_models : mapping of (target, cause) to one bool per arm
        Where T fits a model of the arm alone (`arms_with_events`).
    advance : callable or None
        Called with 1 after each fitted model, for a progress bar.

    Returns
    -------
    Committee
        The same for any number of threads.
    """
    by_name = {target.name: target for target in targets}
    keys = [(by_name[name], cause) for name, cause in own_models]
    trees = tree_count(settings, len(cases.arm))
    jobs: list[tuple[str, tuple[str, int], int, Any]] = []
    for target, cause in keys:
        months, event = cases.follow_up.months[target.name], cases.follow_up.event[target.name]
        key = (target.name, cause)
        jobs.append(("linear", key, -1, delayed(_linear)(cases, target, cause, settings)))
        boosted = (cases.columns.categorical, cases.arm, months, event, cause, target.intervals, settings, 25, trees)
        jobs.append(("single", key, -1, delayed(fit_boosted_hazard)(cases.matrix, *boosted)))
        for arm in range(cases.arms):
            own = cases.arm == arm
            if not own_models[key][arm]:
                continue
            leaf = int(max(10, min(25, own.sum() / 20)))
            rest = (cases.columns.categorical, None, months[own], event[own], cause, target.intervals, settings, leaf)
            jobs.append(("per_arm", key, arm, delayed(fit_boosted_hazard)(cases.matrix[own], *rest, trees)))
    linear: dict[tuple[str, int], LinearHazard] = {}
    single: dict[tuple[str, int], BoostedHazard] = {}
    per_arm: dict[tuple[str, int], list[BoostedHazard | None]] = {(t.name, c): [None] * cases.arms for t, c in keys}
    results = Parallel(n_jobs=settings.threads, prefer="threads", return_as="generator")(job[3] for job in jobs)
    for (kind, key, arm, _), fitted in zip(jobs, results, strict=True):
        if kind == "linear":
            linear[key] = fitted
        elif kind == "single":
            single[key] = fitted
        else:
            per_arm[key][arm] = fitted
        if advance is not None:
            advance(1)
    return Committee(
        targets=tuple(targets),
        arms=cases.arms,
        linear=linear,
        single=single,
        per_arm={key: tuple(f) for key, f in per_arm.items()} if any(map(any, own_models.values())) else {},
        free=_free_share(cases),
    )


def _linear(cases: Cases, target: Target, cause: int, settings: LearnerConfig) -> LinearHazard:
    return fit_linear_hazard(
        cases.matrix,
        cases.columns,
        cases.modifiers,
        cases.arm,
        cases.arms,
        cases.follow_up.months[target.name],
        cases.follow_up.event[target.name],
        cause,
        target.intervals,
        cases.groups,
        settings.ridge_alphas,
    )


def _free_share(cases: Cases) -> FreeShare:
    design = fit_linear_design(cases.matrix, cases.columns)
    main = design.transform(cases.matrix)
    intercepts = np.zeros((cases.arms, QUARTERS))
    slopes = np.zeros((cases.arms, QUARTERS, main.shape[1]))
    for arm, is_limited in enumerate(cases.time_limited):
        own = cases.arm == arm
        if is_limited and own.any():
            intercepts[arm], slopes[arm] = ridge_shares(main[own], cases.follow_up.free[own])
    return FreeShare(design=design, intercepts=intercepts, slopes=slopes)
