"""Would a model made of earlier decisions have chosen well for those that came later?

The last quarter of decision dates is held out. A patient belongs to the side of the last decision: those
decided after the cut give their later rows to the test and their earlier rows to nobody. The model learns
from what was visible by the cut; what its choices are worth is judged by scores whose outcome and
propensity models never saw the person they judge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.evaluate.calibration import slope_and_order, slope_of
from pipeline.evaluate.censoring import concordance, horizon_weights
from pipeline.evaluate.league import some_rows, summary_of_few
from pipeline.evaluate.policies import best
from pipeline.learners import Evidence
from pipeline.learners.policy_value import (
    Logged,
    Valued,
    paired,
    support,
    valued,
)

Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

HELD_OUT = 0.25
"""Share of decision dates after the cut."""

FEWEST = 100
"""Fewest later decisions that are worth judging."""

_TOLD = (
    *("value", "se", "low", "high", "difference", "difference_se", "snipw", "mass"),
    *("effective_sample_size", "largest_weight_share", "modelled_share", "vetoed"),
)
_OUTCOME = "durable_control"
_NEVER = -1e6
_WEAK = 0.5
_LABELS = {
    "clinicians": "Clinicians' own choices",
    "random": "Random among the possible",
    "one_best_arm": "One best arm for all, chosen on earlier decisions",
    "model": "mmrank, learned from earlier decisions",
}


@dataclass(frozen=True)
class TemporalSplit:
    """Which decisions teach and which judge.

    Attributes
    ----------
    cut : Timestamp
        The last day of the earlier side.
    earlier, later : bool arrays (n,)
        Disjoint in patients; rows in neither are earlier decisions of patients decided again after the cut.
    """

    cut: pd.Timestamp
    earlier: BoolArray
    later: BoolArray


@dataclass(frozen=True)
class Earlier:
    """What a model of earlier decisions, as followed up at the cut, says of the held-out rows.

    Attributes
    ----------
    arms : tuple of str
        Those that had enough cases by then.
    trained_on : int
    utility : array (held, arms)
        Burden subtracted.
    averages : array (arms,)
        Mean doubly-robust score of its training rows, burden subtracted.
    control : array (held, arms) or None
        Chance of durable control; None where that was not learned.
    """

    arms: tuple[str, ...]
    trained_on: int
    utility: Array
    averages: Array
    control: Array | None


def temporal_split(decided: pd.Series, patients: pd.Series, share: float = HELD_OUT) -> TemporalSplit:
    """Return the split at the date that leaves `share` of the decisions after it (fewer where dates tie).

    Parameters
    ----------
    decided : Series of dates, one row per decision
    patients : Series, the same rows
    share : float
    """
    dates = pd.to_datetime(decided).reset_index(drop=True)
    cut = dates.sort_values().iloc[max(0, int(np.ceil((1 - share) * len(dates))) - 1)]
    last = dates.groupby(patients.to_numpy()).transform("max")
    return TemporalSplit(cut=cut, earlier=(last <= cut).to_numpy(), later=(dates > cut).to_numpy())


def not_applicable(reason: str) -> dict[str, Any]:
    """Return the finding of a run in which no later decisions can be held out."""
    return {"applicable": False, "words": f"Not applicable: {reason}."}


def temporal_finding(
    split: TemporalSplit,
    judge: Evidence,
    judge_arms: Sequence[str],
    logged: Logged,
    earlier: Earlier,
    is_impossible: BoolArray,
    horizon: int,
) -> dict[str, Any]:
    """Return what the earlier model's choices are worth to later patients, and whether its chances came true.

    Parameters
    ----------
    split : TemporalSplit
    judge : Evidence of n rows
        Of the cross-fit on all rows: each row's scores come from models fitted without that patient.
    judge_arms : sequence of str
    logged : Logged
        The n rows as policies are valued on them.
    earlier : Earlier
        Its rows are those of the n that lie after the cut, in order.
    is_impossible : bool array (n, judge arms)
    horizon : int, months
        Of durable control.

    Returns
    -------
    dict
        `applicable, cut` (year and month), `trained_on, held_out, left_out, followed_up` (share of held-out
        decisions with a known outcome at the horizon), `policies` (None where vetoed), `ahead_of_best_arm` and its
        `_se`, `calibration` (of durable control), `words`.

    Notes
    -----
    Values, errors and the veto are those of the league table, but for one thing: a quarter of the decisions is too
    few to ask for an effective sample of 30 for every arm chosen, which is asked on all rows (check C12). Here the
    policy as a whole must have it; `thinnest_sample` tells the arm with least.
    """
    held = np.flatnonzero(split.later[judge.rows])
    chances = _choices(judge_arms, earlier, ~is_impossible[held])
    seen = some_rows(logged, held)
    left_alone = valued(np.eye(len(judge_arms))[seen.arm], seen, np.zeros(len(held), dtype=bool))
    found = {"clinicians": left_alone} | {name: valued(chance, seen) for name, chance in chances.items()}
    policies = [_policy(name, row, seen) for name, row in found.items()]
    ahead = paired(found["model"].values, found["one_best_arm"].values, seen.groups)
    is_told = all(row["value"] is not None for row in policies if row["policy"] in ("model", "one_best_arm"))
    known = None if _OUTCOME not in judge.follow_up.months else _is_known(judge, held, horizon)
    result = {
        "applicable": True,
        "cut": f"{split.cut:%Y-%m}",
        "trained_on": earlier.trained_on,
        "held_out": len(held),
        "left_out": int((~split.earlier & ~split.later).sum()),
        "followed_up": None if known is None else float(known.mean()),
        "policies": policies,
        "ahead_of_best_arm": ahead.difference if is_told else None,
        "ahead_of_best_arm_se": ahead.se if is_told else None,
        "calibration": None if known is None else _calibration(judge, judge_arms, earlier, held, horizon),
    }
    return result | {"words": _words(result)}


def _policy(name: str, found: Valued, logged: Logged) -> dict[str, Any]:
    told = summary_of_few(found, logged, "the policy")
    return {
        "policy": name,
        "label": _LABELS[name],
        **{key: getattr(told, key) for key in _TOLD},
        "thinnest_sample": support(found, logged.arm).effective_sample_size,
    }


def _choices(judge_arms: Sequence[str], earlier: Earlier, possible: BoolArray) -> dict[str, Array]:
    """Return what each policy would give the held-out rows, over the judge's arms; no outcome of theirs is used."""
    predicted, averages = np.full(possible.shape, _NEVER), np.full(len(judge_arms), _NEVER)
    for here, name in enumerate(judge_arms):
        if name in earlier.arms:
            there = earlier.arms.index(name)
            predicted[:, here], averages[here] = earlier.utility[:, there], earlier.averages[there]
    return {
        "random": possible / possible.sum(axis=1, keepdims=True),
        "one_best_arm": best(np.broadcast_to(averages, possible.shape), ~possible),
        "model": best(predicted, ~possible),
    }


def _is_known(judge: Evidence, held: npt.NDArray[np.intp], horizon: int) -> BoolArray:
    months, event = judge.follow_up.months[_OUTCOME][held], judge.follow_up.event[_OUTCOME][held]
    return np.asarray((event > 0) & (months <= horizon) | (months >= horizon))


def _calibration(
    judge: Evidence, judge_arms: Sequence[str], earlier: Earlier, held: npt.NDArray[np.intp], horizon: int
) -> dict[str, Any] | None:
    """Return slope and C-index of the earlier model's chance of durable control under the modality given."""
    if earlier.control is None:
        return None
    position = np.array([earlier.arms.index(name) if name in earlier.arms else -1 for name in judge_arms])
    column = position[judge.arm[held]]
    spoken = np.flatnonzero(column >= 0)
    rows = held[spoken]
    predicted = earlier.control[spoken, column[spoken]]
    months, event = judge.follow_up.months[_OUTCOME][rows], judge.follow_up.event[_OUTCOME][rows]
    controlled = np.where((event > 0) & (months <= horizon), 0.0, 1.0)
    found = slope_of(predicted, controlled, horizon_weights(months, event, horizon), judge.groups[rows])
    c_index = concordance(months, event, 1.0 - predicted, horizon, judge.groups[rows])
    return {
        "outcome": _OUTCOME,
        "n": len(rows),
        **slope_and_order(found, c_index),
    }


def _words(found: Mapping[str, Any]) -> str:
    model = next(row for row in found["policies"] if row["policy"] == "model")
    told = (
        f"Learned from the decisions up to {found['cut']} as they were known then, the model's choices for later ones "
    )
    if model["value"] is None:
        told += f"cannot be valued: {model['vetoed']}."
    else:
        told += f"are worth {model['difference']:+.3f} against clinicians' own "
        told += f"(standard error {model['difference_se']:.3f})"
        ahead = found["ahead_of_best_arm"]
        told += (
            "."
            if ahead is None
            else (f" and {ahead:+.3f} against one best arm (standard error {found['ahead_of_best_arm_se']:.3f}).")
        )
    if found["followed_up"] is not None and found["followed_up"] < _WEAK:
        told += (
            f" Only {100 * found['followed_up']:.0f} % of them have been followed to the horizon; the others count "
            "with what their hazards lead to expect, so this is a weak test yet."
        )
    return told
