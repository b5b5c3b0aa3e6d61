"""What would each person's prediction have been, had the person not been in training?

One patient-grouped, arm-stratified cross-fit is shared by everything that needs honest
predictions: doubly-robust scores, stack, shrinkage, calibration and the league table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedGroupKFold

from pipeline.config import LearnerConfig
from pipeline.learners.committee import Cases, arms_with_events, completed, expectations, fit_committee
from pipeline.learners.design import Columns
from pipeline.learners.propensity import fit_propensity
from pipeline.learners.targets import Target
from pipeline.learners.unseen import mean_given

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class OutOfFold:
    """Out-of-fold predictions of n training rows.

    Attributes
    ----------
    fold : array (n,) of int
    teachers : mapping of teacher to array (n, arms, targets)
    observed : array (n, targets)
        Outcome under the arm given; its conditional expectation where censored.
    propensity : array (n, arms)
    """

    fold: IntArray
    teachers: Mapping[str, Array]
    observed: Array
    propensity: Array


def fold_of(arm: IntArray, groups: IntArray, folds: int, seed: int) -> IntArray:
    """Return each row's fold; all rows of a patient share one, and arms are spread evenly.

    Raises
    ------
    ValueError
        If there are fewer patients than folds.
    """
    if (found := len(np.unique(groups))) < folds:
        raise ValueError(
            f"groups: {found} patient(s) were given a ranked arm, wanted at least {folds}, one per fold of the "
            "cross-fit. Add people, lower `folds` of `settings`, or look whether `groups` tells patients apart."
        )
    assigned = np.zeros(len(arm), dtype=np.int64)
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed % 2**32)
    for number, (_, outside) in enumerate(splitter.split(arm, arm, groups)):
        assigned[outside] = number
    return assigned


def cross_fit(
    cases: Cases,
    propensity_matrix: Array,
    propensity_columns: Columns,
    is_impossible: BoolArray,
    targets: Sequence[Target],
    settings: LearnerConfig,
    advance: Callable[[int], None] | None = None,
) -> OutOfFold:
    """Fit everything once per fold and predict the rows left out.

    Parameters
    ----------
    cases : Cases of n rows
    propensity_matrix, propensity_columns
        What the propensity model reads.
    is_impossible : array (n, arms) of bool
        Structural zeros.
    targets : sequence of Target
    settings : LearnerConfig
    advance : callable or None
        Progress.

    Returns
    -------
    OutOfFold
    """
    folds = settings.folds or (5 if len(cases.arm) < 2000 else 3)
    fold = fold_of(cases.arm, cases.groups, folds, settings.seed)
    shape = (len(cases.arm), cases.arms, len(targets))
    own_models = arms_with_events(cases, targets)
    teachers: dict[str, Array] = {}
    observed, propensity = np.zeros((shape[0], shape[2])), np.zeros(shape[:2])
    for number in range(folds):
        outside = np.flatnonzero(fold == number)
        inside = np.flatnonzero(fold != number)
        committee = fit_committee(cases.take(inside), targets, settings, own_models, advance)
        left_out = cases.take(outside)
        hazards = committee.hazards(left_out.matrix, settings.threads)
        shares = committee.free.predict(left_out.matrix)
        for name in committee.teachers:
            teachers.setdefault(name, np.zeros(shape))[outside] = expectations(hazards[name], shares, targets)
        own_shares = shares[np.arange(len(outside)), left_out.arm]
        own = mean_given(list(hazards.values()), left_out.arm)
        observed[outside] = completed(left_out.follow_up, own, own_shares, targets)
        model = fit_propensity(
            propensity_matrix[inside], propensity_columns, cases.arm[inside], is_impossible[inside], settings
        )
        propensity[outside] = model.predict(propensity_matrix[outside], is_impossible[outside])
    return OutOfFold(fold=fold, teachers=teachers, observed=observed, propensity=propensity)
