"""Which blend do some rows ask for, and what would it have said of each fold had nothing of that fold made it?

Weights, shrinkage, arm averages and level are fitted on the other folds' rows: a policy must not be
valued by the scores that shaped it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pipeline.learners.crossfit import OutOfFold
from pipeline.learners.stack import (
    Blend,
    Kinds,
    Shrinkage,
    arm_averages,
    blend,
    recalibrated_level,
    shrinkage,
    stack_weights,
    stacked,
)

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def fit_blend(
    fold: OutOfFold,
    rows: npt.NDArray[np.bool_],
    arm: IntArray,
    groups: IntArray,
    scores: Array,
    signed: Array,
    floor: float,
    kinds: Kinds,
    centred_on: Mapping[str, Array] | None = None,
) -> tuple[Blend, Shrinkage]:
    """Return the blend that some rows' out-of-fold predictions ask for, and how far they support persons.

    Parameters
    ----------
    fold : OutOfFold of n rows
    rows : bool array (n,)
        The rows that weigh, shrink and recalibrate.
    arm, groups, scores, signed, floor, kinds
        As `blended_out_of_fold` takes them, of all n rows.
    centred_on : mapping of teacher to array (m, arms, targets), or None
        Predictions whose average contrasts the blend is centred on; None takes those of `rows`.
    """
    seen = {name: values[rows] for name, values in fold.teachers.items()}
    weights = stack_weights({name: values @ signed for name, values in seen.items()}, scores[rows])
    values = stacked(seen, weights)
    found = shrinkage(values @ signed, scores[rows], groups[rows])
    averages = arm_averages(values, fold.observed[rows], arm[rows], fold.propensity[rows], signed, floor, kinds)
    level = recalibrated_level(values, fold.observed[rows], arm[rows], kinds)
    made = blend(seen if centred_on is None else centred_on, weights, averages, found.factor, level, kinds)
    return made, found


def blended_out_of_fold(
    fold: OutOfFold,
    arm: IntArray,
    groups: IntArray,
    scores: Array,
    signed: Array,
    floor: float,
    kinds: Kinds,
) -> Array:
    """Return the blend's outcome vectors, shape (n, arms, targets), each fold's fitted on the others.

    Parameters
    ----------
    fold : OutOfFold of n rows
    arm, groups : arrays (n,)
    scores : array (n, arms)
        Doubly-robust scores of utility.
    signed : array (targets,)
        Signed utility weights over their total.
    floor : float
        Smallest propensity used.
    kinds : Kinds
    """
    first = next(iter(fold.teachers.values()))
    made = np.zeros_like(first)
    for number in np.unique(fold.fold):
        outside = fold.fold == number
        fitted, _ = fit_blend(fold, ~outside, arm, groups, scores, signed, floor, kinds)
        made[outside] = fitted.apply({name: values[outside] for name, values in fold.teachers.items()})
    return made
