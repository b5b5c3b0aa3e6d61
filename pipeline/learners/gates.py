"""Which arms have enough people, events and follow-up to be ranked, and which could not have been given?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.errors import NoOverlapError
from pipeline.learners.arguments import fewest
from pipeline.learners.design import SMALL_CELL
from pipeline.learners.targets import FollowUp, Target

IntArray = npt.NDArray[np.int64]

MIN_CASES = 40
MIN_EVENTS = 15
_LONGEST_CENSORED_SHARE = 0.5


@dataclass(frozen=True)
class ArmGate:
    """Why an arm is, or is not, ranked.

    Attributes
    ----------
    cases, events : int
        Training rows, and events of the first timed outcome by its horizon.
    censored_share : float
        Share censored before that horizon.
    reason : str or None
        None: ranked. Else the count that was too small, or `follow_up`.
    """

    cases: int
    events: int
    censored_share: float
    reason: str | None


def gate_arms(
    modality: pd.Series[str],
    follow_up: FollowUp,
    targets: Sequence[Target],
    min_cases: Mapping[str, int] | int,
    min_events: Mapping[str, int] | int,
    declared: Iterable[str] = (),
) -> dict[str, ArmGate]:
    """Return the gate of every arm that was given or declared, in alphabetical order.

    Parameters
    ----------
    modality : Series of str, one row per decision
    follow_up : FollowUp of the same rows
    targets : sequence of Target
        The first timed one gates.
    min_cases, min_events : mapping of str to int, or int
        Fewest per arm; arms that a mapping leaves out need 40 and 15.
    declared : iterable of str
        Arms that may have no row at all.
    """
    timed = next(target for target in targets if target.kind != "free_share")
    months, event = follow_up.months[timed.name], follow_up.event[timed.name]
    found: dict[str, ArmGate] = {}
    for name in sorted({*modality.unique(), *declared}):
        own = (modality == name).to_numpy()
        cases = int(own.sum())
        events = int(np.sum(own & (event == 1) & (months <= timed.horizon_months)))
        censored = float(np.mean((event[own] == 0) & (months[own] < timed.horizon_months))) if cases else 0.0
        least_cases = fewest(min_cases, name, MIN_CASES, "min_cases")
        least_events = fewest(min_events, name, MIN_EVENTS, "min_events")
        reason = None
        if cases < least_cases:
            reason = f"{_told(cases)} cases, wanted {least_cases}"
        elif censored > _LONGEST_CENSORED_SHARE:
            reason = f"follow_up: {100 * censored:.0f} % are censored before {timed.horizon_months} months"
        elif events < least_events:
            reason = f"{_told(events)} events, wanted {least_events}"
        found[str(name)] = ArmGate(cases=cases, events=events, censored_share=censored, reason=reason)
    return found


def ranked_arms(gates: Mapping[str, ArmGate]) -> tuple[str, ...]:
    """Return the arms without a reason against them.

    Raises
    ------
    NoOverlapError
        If there are fewer than two.
    """
    arms = tuple(arm for arm, gate in gates.items() if gate.reason is None)
    if len(arms) < 2:
        listed = "; ".join(f"{arm}: {gate.reason or 'enough'}" for arm, gate in gates.items())
        raise NoOverlapError(
            f"train: {len(arms)} modality(ies) have enough cases to be compared, wanted at least 2 ({listed}). "
            "Add records, or lower min_cases (in the modality files) if you can defend it."
        )
    return arms


def _told(count: int) -> str:
    return str(count) if count >= SMALL_CELL or count == 0 else f"<{SMALL_CELL}"


def structural_zeros(
    eligible: pd.DataFrame | None, rows: npt.NDArray[np.intp], arm: IntArray, arms: Sequence[str]
) -> tuple[npt.NDArray[np.bool_], dict[str, int]]:
    """Return which cells were impossible, shape (n, arms), and how many people got such an arm anyway.

    Parameters
    ----------
    eligible : DataFrame of bool or None
        One column per arm; an arm without a column was always possible.
    rows : array (n,) of int
        Positions of the rows in that table.
    arm : array (n,) of int
        What was given: never impossible, counted as a conflict instead.
    arms : sequence of str
    """
    blocked = np.zeros((len(rows), len(arms)), dtype=bool)
    if eligible is not None:
        for position, name in enumerate(arms):
            if name in eligible:
                blocked[:, position] = ~eligible[name].to_numpy(dtype=bool)[rows]
    given = blocked[np.arange(len(rows)), arm]
    conflicts = {name: int(given[arm == k].sum()) for k, name in enumerate(arms)}
    blocked[np.arange(len(rows)), arm] = False
    return blocked, conflicts
