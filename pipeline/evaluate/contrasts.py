"""By how much do two modalities differ on average, for the people who could have had either?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.learners.policy_value import paired

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

Z95 = 1.959964


@dataclass(frozen=True)
class Contrast:
    """An average difference of two modalities with its patient-clustered standard error.

    Attributes
    ----------
    people : int
        Decisions in which either could have been given.
    value, error : float
    """

    people: int
    value: float
    error: float

    def interval(self, z: float = Z95) -> tuple[float, float]:
        """Return value -/+ z standard errors."""
        return self.value - z * self.error, self.value + z * self.error


def pair_contrast(scores: Array, first: int, second: int, groups: IntArray, possible: BoolArray) -> Contrast | None:
    """Return the mean doubly-robust score of `first` less that of `second`; None where nobody could have either.

    Parameters
    ----------
    scores : array (n, arms)
    first, second : int
        Positions of the two arms.
    groups : array (n,) of int
        Patient of each row.
    possible : bool array (n, arms)
    """
    both = possible[:, first] & possible[:, second]
    if both.sum() < 2:
        return None
    found = paired(scores[both, first], scores[both, second], groups[both])
    return Contrast(people=int(both.sum()), value=found.difference, error=found.se)
