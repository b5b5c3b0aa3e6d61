"""Between which values must a score lie when some of its inputs are missing?

A score is determined where its bounds meet. Nothing is imputed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.features.kleene import Floats, floats

COMPUTED, BOUNDED, RECORDED, NOT_COMPUTABLE = "computed", "bounded", "recorded", "not_computable"
"""All inputs known; determined although some are missing; taken from the record; neither."""


@dataclass(frozen=True)
class Score:
    """A score of every row.

    Attributes
    ----------
    value : array (n_rows,)
        NaN unless determined.
    lower, upper : array (n_rows,)
        Bounds over what the missing inputs could be; NaN where there is no bound.
    status : array (n_rows,) of str
        computed, bounded, recorded or not_computable.
    missing : mapping of input name to boolean array (n_rows,)
    """

    value: Floats
    lower: Floats
    upper: Floats
    status: npt.NDArray[np.str_]
    missing: Mapping[str, npt.NDArray[np.bool_]]

    def missing_inputs(self, row: int) -> tuple[str, ...]:
        """Return the names of the inputs that a row lacks."""
        return tuple(name for name, mask in self.missing.items() if mask[row])


def missing_of(**inputs: Any) -> dict[str, npt.NDArray[np.bool_]]:
    """Return, per named input, which rows lack it."""
    arrays = np.broadcast_arrays(*(np.isnan(floats(values)) for values in inputs.values()))
    return dict(zip(inputs, (np.array(mask) for mask in arrays), strict=True))


def scored(value: Any, lower: Any, upper: Any, missing: Mapping[str, npt.NDArray[np.bool_]]) -> Score:
    """Return a score with its status, from a value that is NaN where it is not determined."""
    values = floats(value)
    complete = ~np.any(list(missing.values()), axis=0)
    determined = ~np.isnan(values)
    status = np.where(determined, np.where(complete, COMPUTED, BOUNDED), NOT_COMPUTABLE)
    return Score(values, floats(lower), floats(upper), status.astype(np.str_), dict(missing))


def bounded(lower: Any, upper: Any, missing: Mapping[str, npt.NDArray[np.bool_]]) -> Score:
    """Return a score that is determined where its bounds meet."""
    low, high = floats(lower), floats(upper)
    return scored(np.where(low == high, low, np.nan), low, high, missing)


def truth_score(value: Any, missing: Mapping[str, npt.NDArray[np.bool_]]) -> Score:
    """Return a three-valued score; unknown lies between false and true."""
    values = floats(value)
    unknown = np.isnan(values)
    return scored(values, np.where(unknown, 0.0, values), np.where(unknown, 1.0, values), missing)


def or_recorded(score: Score, recorded: Any) -> Score:
    """Return the score, with the recorded value where it cannot be computed."""
    values, _ = np.broadcast_arrays(floats(recorded), score.value)
    taken = np.isnan(score.value) & ~np.isnan(values)
    return Score(
        np.where(taken, values, score.value),
        np.where(taken, values, score.lower),
        np.where(taken, values, score.upper),
        np.where(taken, RECORDED, score.status).astype(np.str_),
        score.missing,
    )


def points_of(truth: Any, points: float) -> tuple[Floats, Floats]:
    """Return lowest and highest points that a truth value can give."""
    values = floats(truth)
    unknown = np.isnan(values)
    return np.where(unknown, 0.0, values * points), np.where(unknown, points, values * points)


def steps_passed(values: Any, limits: tuple[float, ...], *, inclusive: bool) -> tuple[Floats, Floats]:
    """Return lowest and highest number of limits passed (reached, where inclusive)."""
    numbers = floats(values)
    unknown = np.isnan(numbers)
    passed = sum(((numbers >= limit) if inclusive else (numbers > limit)).astype(np.float64) for limit in limits)
    steps = floats(passed)
    return np.where(unknown, 0.0, steps), np.where(unknown, float(len(limits)), steps)
