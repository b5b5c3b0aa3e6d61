"""Which outcomes can be learned, and what does each person's follow-up say of them?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.learners.arguments import numbers

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

INTERVAL_MONTHS = 3
QUARTERS = 4
KINDS = ("event_free", "incidence", "free_share")


@dataclass(frozen=True)
class Target:
    """One outcome as the learner sees it.

    Attributes
    ----------
    name : str
    kind : {'event_free', 'incidence', 'free_share'}
        Probability of no event by the horizon; cumulative incidence of event 1 by the horizon;
        or expected share of time off treatment while event-free (needs `durable_control`).
    horizon_months : int, months
        A multiple of three: hazards are constant within three months.
    sign : float
        +1 where more is better, -1 where less is.

    Raises
    ------
    ValueError
        If a part is none of these.
    """

    name: str
    kind: Literal["event_free", "incidence", "free_share"]
    horizon_months: int
    sign: float

    def __post_init__(self) -> None:
        """Refuse what no hazard could be learned for."""
        if self.kind not in KINDS:
            raise ValueError(f"target {self.name}: kind {self.kind}, wanted one of {', '.join(KINDS)}")
        if not self.horizon_months > 0 or self.horizon_months % INTERVAL_MONTHS:
            raise ValueError(
                f"target {self.name}: a horizon of {self.horizon_months} months, wanted a multiple of "
                f"{INTERVAL_MONTHS}; take the next one, or count time in another unit"
            )
        if self.sign not in (-1, 1):
            raise ValueError(f"target {self.name}: sign {self.sign}, wanted 1 (more is better) or -1 (less is)")

    @property
    def intervals(self) -> int:
        """Number of three-month intervals up to the horizon."""
        return self.horizon_months // INTERVAL_MONTHS


@dataclass(frozen=True)
class FollowUp:
    """Follow-up of n decisions in arrays.

    Attributes
    ----------
    months : mapping of outcome to array (n,)
        Time to event, competing event or censoring, months.
    event : mapping of outcome to array (n,)
        0 censored, 1 event, 2 competing event.
    free : array (n, 4)
        Share of each quarter off treatment, NaN where not observed; all NaN where not recorded.
    """

    months: Mapping[str, Array]
    event: Mapping[str, IntArray]
    free: Array

    def take(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> FollowUp:
        """Return the follow-up of the chosen rows."""
        return FollowUp(
            months={name: values[rows] for name, values in self.months.items()},
            event={name: values[rows] for name, values in self.event.items()},
            free=self.free[rows],
        )


def as_targets(given: Any) -> tuple[Target, ...]:
    """Return what was given as targets; none is an empty tuple.

    Raises
    ------
    ValueError
        If one stands in place of a list, or something else than a Target in it.
    """
    if isinstance(given, Target | str | Mapping) or not isinstance(given, Iterable):
        raise ValueError(f"targets: {type(given).__name__}, wanted a list of Target. Put it in [ ].")
    found = tuple(given)
    if others := sorted({type(entry).__name__ for entry in found if not isinstance(entry, Target)}):
        raise ValueError(f"targets: {', '.join(others)} in the list, wanted Target(name, kind, horizon_months, sign)")
    return found


def read_follow_up(outcomes: pd.DataFrame, targets: Sequence[Target]) -> FollowUp:
    """Return follow-up arrays from the outcomes table.

    Parameters
    ----------
    outcomes : DataFrame, one row per decision
        `<outcome>_months` and `<outcome>_event` for each timed target; `treatment_free_q1 .. _q4` for the share.
    targets : sequence of Target

    Returns
    -------
    FollowUp

    Raises
    ------
    ValueError
        If a column is missing or holds no numbers, a time is not positive, an event code is not 0, 1 or 2, or the
        targets do not go together.
    """
    problems = _disagreements(targets)
    months: dict[str, Array] = {}
    event: dict[str, IntArray] = {}
    for target in targets:
        if target.kind == "free_share":
            continue
        columns = [f"{target.name}_months", f"{target.name}_event"]
        missing = [column for column in columns if column not in outcomes]
        if missing:
            problems.append(f"outcomes: missing column(s) {', '.join(missing)} for target {target.name}")
            continue
        try:
            time = numbers(outcomes[columns[0]], f"outcomes.{columns[0]}", "months above 0")
            code = numbers(outcomes[columns[1]], f"outcomes.{columns[1]}", "0, 1 or 2")
        except ValueError as problem:
            problems.append(str(problem))
            continue
        if not np.all(time > 0):
            problems.append(f"outcomes.{columns[0]}: {int(np.sum(~(time > 0)))} row(s) not above 0 months")
        if not np.all(np.isin(code, (0, 1, 2))):
            problems.append(f"outcomes.{columns[1]}: {int(np.sum(~np.isin(code, (0, 1, 2))))} row(s) not 0, 1 or 2")
        months[target.name], event[target.name] = time, np.nan_to_num(code).astype(np.int64)
    shares = [f"treatment_free_q{quarter + 1}" for quarter in range(QUARTERS)]
    absent = [column for column in shares if column not in outcomes]
    for target in targets:
        if target.kind == "free_share" and absent:
            problems.append(f"outcomes: missing column(s) {', '.join(absent)} for target {target.name}")
    if problems:
        raise ValueError("; ".join(problems))
    free = np.full((len(outcomes), QUARTERS), np.nan)
    if not absent:
        free = numbers(outcomes[shares], "outcomes.treatment_free_q1 to _q4", "shares from 0 to 1, gaps as NaN")
    return FollowUp(months=months, event=event, free=free)


def _disagreements(targets: Sequence[Target]) -> list[str]:
    """Return what is wrong with these targets together."""
    problems = []
    names = [target.name for target in targets]
    if len(set(names)) < len(names):
        problems.append("targets: one name stands twice")
    if all(target.kind == "free_share" for target in targets):
        problems.append("targets: none has a time and an event, wanted at least one")
    is_shared = any(target.kind == "free_share" for target in targets)
    control = [target for target in targets if target.name == "durable_control" and target.kind == "event_free"]
    if is_shared and not any(target.intervals <= QUARTERS for target in control):
        problems.append(f"targets: a free share needs durable_control, event_free, of at most {3 * QUARTERS} months")
    return problems


def causes(follow_up: FollowUp, target: Target) -> tuple[int, ...]:
    """Return the event codes that occur for a target; each has its own hazard."""
    found = follow_up.event[target.name][follow_up.months[target.name] <= target.horizon_months]
    return tuple(code for code in (1, 2) if code == 1 or bool(np.any(found == code)))


def exposure(months: Array, intervals: int) -> Array:
    """Return months at risk in each three-month interval, shape (n, intervals)."""
    starts = INTERVAL_MONTHS * np.arange(intervals)
    return np.clip(months[:, None] - starts[None, :], 0.0, INTERVAL_MONTHS)


def event_interval(months: Array, event: IntArray, cause: int, intervals: int) -> IntArray:
    """Return 1 in the interval (start, end] in which the cause's event fell, shape (n, intervals)."""
    ends = INTERVAL_MONTHS * np.arange(1, intervals + 1)
    inside = (months[:, None] <= ends[None, :]) & (months[:, None] > ends[None, :] - INTERVAL_MONTHS)
    return np.asarray(inside & (event == cause)[:, None], dtype=np.int64)


def event_free(hazards: Mapping[int, Array]) -> Array:
    """Return S at the interval ends, shape (..., intervals + 1) with S(0) = 1.

    `hazards` holds a monthly hazard per cause, shape (..., intervals), constant within an interval.
    """
    total = np.sum(np.stack(list(hazards.values())), axis=0)
    cumulative = np.cumsum(total * INTERVAL_MONTHS, axis=-1)
    return np.concatenate([np.ones((*cumulative.shape[:-1], 1)), np.exp(-cumulative)], axis=-1)


def incidence(hazards: Mapping[int, Array]) -> Array:
    """Return the cumulative incidence of cause 1 at the interval ends, shape (..., intervals + 1).

    Notes
    -----
    With constant cause-specific hazards in an interval, the increment is
    S(start) * h1 / h * (1 - exp(-h * width)), h the sum over causes.
    """
    survival = event_free(hazards)
    total = np.sum(np.stack(list(hazards.values())), axis=0)
    share = hazards[1] / np.maximum(total, 1e-12)
    increments = survival[..., :-1] * share * -np.expm1(-total * INTERVAL_MONTHS)
    return np.concatenate([np.zeros((*increments.shape[:-1], 1)), np.cumsum(increments, axis=-1)], axis=-1)


def at_time(curve: Array, months: Array) -> Array:
    """Return a curve known at interval ends, read linearly at each row's own time, shape (n,)."""
    position = np.clip(months / INTERVAL_MONTHS, 0.0, curve.shape[1] - 1)
    low = np.minimum(np.floor(position).astype(np.intp), curve.shape[1] - 2)
    rows = np.arange(len(curve))
    return np.asarray(curve[rows, low] + (position - low) * (curve[rows, low + 1] - curve[rows, low]))
