"""What became of people who were not learned from, as far as their follow-up and the committee can tell?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipeline.learners.committee import Committee, Hazards, completed
from pipeline.learners.targets import FollowUp, Target

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def observed_outcomes(
    committee: Committee,
    matrix: Array,
    arm: IntArray,
    follow_up: FollowUp,
    time_limited: Sequence[bool],
    targets: Sequence[Target],
    threads: int,
) -> Array:
    """Return outcomes under the arm given, or what the committee expects of them where censored.

    Parameters
    ----------
    committee : Committee
        Fitted on other people.
    matrix : array (n, n_columns)
    arm : array (n,) of int
    follow_up : FollowUp of the same rows
    time_limited : sequence of bool
        Per arm; nobody has time off a continuous therapy.
    targets : sequence of Target
    threads : int

    Returns
    -------
    array (n, targets)
    """
    found = mean_given(list(committee.hazards(matrix, threads).values()), arm)
    shares = committee.free.predict(matrix)[np.arange(len(arm)), arm]
    is_limited = np.array(time_limited)[arm]
    known = FollowUp(follow_up.months, follow_up.event, np.where(is_limited[:, None], follow_up.free, 0.0))
    return completed(known, found, shares, targets)


def mean_given(teachers: Sequence[Hazards], arm: IntArray) -> dict[str, dict[int, Array]]:
    """Return the teachers' mean hazards under the arm given: target, cause, array (n, intervals)."""
    rows = np.arange(len(arm))
    return {
        target: {cause: np.mean([own[target][cause][rows, arm] for own in teachers], axis=0) for cause in by_cause}
        for target, by_cause in teachers[0].items()
    }
