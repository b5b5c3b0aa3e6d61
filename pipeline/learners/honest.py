"""What would the blend have said of each fold, had nothing of that fold been used to make it?

Weights, shrinkage, arm averages and level are fitted on the other folds' rows: a policy must not be
valued by the scores that shaped it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.learners.crossfit import OutOfFold
from pipeline.learners.stack import Kinds, arm_averages, blend, recalibrated_level, shrinkage, stack_weights, stacked

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


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
        inside, outside = fold.fold != number, fold.fold == number
        seen = {name: values[inside] for name, values in fold.teachers.items()}
        weights = stack_weights({name: values @ signed for name, values in seen.items()}, scores[inside])
        values = stacked(seen, weights)
        factor = shrinkage(values @ signed, scores[inside], groups[inside]).factor
        averages = arm_averages(
            values, fold.observed[inside], arm[inside], fold.propensity[inside], signed, floor, kinds
        )
        level = recalibrated_level(values, fold.observed[inside], arm[inside], kinds)
        fitted = blend(seen, weights, averages, factor, level, kinds)
        made[outside] = fitted.apply({name: values[outside] for name, values in fold.teachers.items()})
    return made
