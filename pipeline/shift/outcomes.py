"""Did what was predicted happen, and would the model's choices have gone better than those made?

Later people were never learned from, so the deployed model stands as it is: its predictions are out of sample, its
outcome model serves the doubly-robust value. Those whose follow-up ended early are stood in for by weighting.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.config import ShiftConfig
from pipeline.evaluate.calibration import FEWEST_KNOWN, calibration, come_true, in_the_large_told, slope_and_order
from pipeline.evaluate.decision_curves import arm_weights
from pipeline.evaluate.league import logged_of, summary_of_few
from pipeline.evaluate.policies import best
from pipeline.evaluate.small_counts import writable_counts
from pipeline.learners import Evidence, FollowUp, Target
from pipeline.learners.committee import completed
from pipeline.learners.crossfit import OutOfFold
from pipeline.learners.policy_value import Z90, PolicyValue, valued
from pipeline.shift.differences import Difference
from pipeline.shift.judging import NOT_ASKED, margin_test

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

EVERYBODY = "everybody"
_TOLD = ("value", "se", "low", "high", "difference", "difference_se", "effective_sample_size", "vetoed")


@dataclass(frozen=True)
class Later:
    """n later decisions for which a modality that the model ranks was given, and what followed.

    Attributes
    ----------
    arms : tuple of str
    targets : tuple of Target
    arm, groups : arrays (n,) of int
        What was given; whose decision it was.
    follow_up : FollowUp
    predicted : array (n, arms, targets)
        By the deployed model.
    propensity : array (n, arms)
        How likely each was to be given.
    burden : array (n, arms)
        Weighted, to be subtracted from utility.
    signed : array (targets,)
        Signed utility weights over their total.
    is_impossible : bool array (n, arms)
    time_limited : mapping of arm to bool
    floor : float
        Smallest propensity used in a weight.
    """

    arms: tuple[str, ...]
    targets: tuple[Target, ...]
    arm: IntArray
    groups: IntArray
    follow_up: FollowUp
    predicted: Array
    propensity: Array
    burden: Array
    signed: Array
    is_impossible: BoolArray
    time_limited: Mapping[str, bool]
    floor: float

    def timed(self, target: Target) -> tuple[Array, IntArray]:
        """Return months and event by which an outcome is known; the share of time off goes with durable control."""
        name = "durable_control" if target.kind == "free_share" else target.name
        return self.follow_up.months[name], self.follow_up.event[name]


def estimates(later: Later, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return calibration of each outcome and the value of the model's first choices, as `calibration` and `league`.

    Parameters
    ----------
    later : Later
    labels : mapping of arm to label

    Returns
    -------
    dict
        `calibration`: one row per outcome and modality, and one per outcome for everybody, None where too little is
        known; `league`: what was chosen and the model's first choices; `cohort` names the modalities; counts under
        eleven are None.

    Notes
    -----
    An outcome y censored before its horizon enters the value as p + w (y - p): p the model's prediction under the
    modality given, w the inverse probability of censoring weight within that modality, 0 where y is not known. Its mean
    is right if either the prediction or the model of censoring is.
    """
    evidence = _evidence(later)
    by_arm = calibration(evidence, later.arms, later.targets, dict(later.time_limited))
    order = [target.name for target in later.targets]
    rows = sorted(
        [*_pooled(evidence, later), *(_kept(row, later) for row in by_arm)], key=lambda r: order.index(r["outcome"])
    )
    counts = [int((later.arm == code).sum()) for code in range(len(later.arms))]
    shown = dict(zip(later.arms, writable_counts([counts], "rows")[0], strict=True))
    for row in rows:
        row["n"] = shown.get(row["modality"], len(later.arm))
    return {
        "judged_on": "later decisions",
        "calibration": rows,
        "league": _league(evidence, later),
        "cohort": {
            "modalities": [
                {"modality": EVERYBODY, "label": "Everybody", "decisions": len(later.arm)},
                *({"modality": name, "label": labels[name], "decisions": shown[name]} for name in later.arms),
            ]
        },
    }


def outcome_differences(found: Mapping[str, Any], later: Later, config: ShiftConfig) -> list[Difference]:
    """Return the differences of what followed from what was predicted, and of the model's choices from those made.

    Parameters
    ----------
    found : mapping
        As `estimates` returns it.
    later : Later
    config : ShiftConfig

    Returns
    -------
    list of Difference
        `S08` calibration-in-the-large of each row; `S09` slope over all modalities, of which alone enough is soon
        known; `S10` the value. A slope above 1 is no issue: the model was timid from the start.
    """
    told: list[Difference] = []
    labels = {row["modality"]: row["label"] for row in found["cohort"]["modalities"]}
    margin = config.calibration_margin
    for row in found["calibration"]:
        name = f"{row['outcome'].replace('_', ' ')}, {labels[row['modality']].lower()}"
        people = len(np.unique(later.groups[_own(row, later)]))
        error = None if row["in_the_large"] is None else (row["in_the_large_high"] - row["in_the_large"]) / Z90
        told.append(Difference("S08", name, margin_test(row["in_the_large"], error, people, -margin, margin, margin)))
        if row["modality"] == EVERYBODY:
            error = None if row["slope"] is None else (row["slope_high"] - row["slope"]) / Z90
            lowest = config.slope_low
            told.append(Difference("S09", name, margin_test(row["slope"], error, people, lowest, np.inf, lowest)))
    model = next(row for row in found["league"] if row["policy"] == "model")
    people = len(np.unique(later.groups))
    test = NOT_ASKED
    if model["vetoed"] is None:
        test = margin_test(model["difference"], model["difference_se"], people, 0.0, np.inf, 0.0)
    told.append(
        Difference("S10", "order", test, {key: model[key] for key in ("difference", "difference_se", "vetoed")})
    )
    return told


def _own(row: Mapping[str, Any], later: Later) -> BoolArray:
    """Return the decisions of a row of calibration whose outcome is known."""
    target = next(target for target in later.targets if target.name == row["outcome"])
    months, event = later.timed(target)
    is_known = (event > 0) & (months <= target.horizon_months) | (months >= target.horizon_months)
    if row["modality"] == EVERYBODY:
        return np.asarray(is_known)
    return np.asarray(is_known & (later.arm == later.arms.index(row["modality"])))


def _kept(row: dict[str, Any], later: Later) -> dict[str, Any]:
    """Return a row of calibration; without what fewer than forty known outcomes say."""
    if int(_own(row, later).sum()) >= FEWEST_KNOWN:
        return row
    empty = {key: None for key in row if key not in ("outcome", "modality", "bins")}
    return {**row, **empty, "bins": []}


def _evidence(later: Later) -> Evidence:
    """Return the later decisions in the shape that evaluation reads: the model's word is out of sample."""
    n = len(later.arm)
    nothing = {
        target.name: {1: np.zeros((n, target.intervals))} for target in later.targets if target.kind != "free_share"
    }
    own = later.predicted[np.arange(n), later.arm]
    is_limited = np.array([later.time_limited.get(name, False) for name in later.arms])[later.arm]
    shares = np.zeros((n, 4))
    for k, target in enumerate(later.targets):
        if target.kind == "free_share":
            shares = np.repeat(own[:, [k]], 4, axis=1)
    follow_up = later.follow_up
    known = FollowUp(follow_up.months, follow_up.event, np.where(is_limited[:, None], follow_up.free, 0.0))
    observed = completed(known, nothing, shares, later.targets)
    stood_in = own.copy()
    for k, target in enumerate(later.targets):
        weight = arm_weights(*later.timed(target), target.horizon_months, later.arm)
        stood_in[:, k] += weight * (np.where(weight > 0, observed[:, k], 0.0) - own[:, k] * (weight > 0))
    utility = later.predicted @ later.signed
    return Evidence(
        rows=np.arange(n),
        arm=later.arm,
        groups=later.groups,
        follow_up=follow_up,
        fold=OutOfFold(np.zeros(n, dtype=np.int64), {"model": later.predicted}, observed, later.propensity),
        outcomes=later.predicted,
        utility=utility,
        observed_utility=stood_in @ later.signed,
        scores=utility,
        committee_outcomes=later.predicted,
    )


def _pooled(evidence: Evidence, later: Later) -> list[dict[str, Any]]:
    """Return calibration and order of each timed outcome over all modalities given."""
    rows = []
    everyone = np.arange(len(later.arm))
    for k, target in enumerate(later.targets):
        if target.kind == "free_share":
            continue
        months, event = later.timed(target)
        predicted, observed = later.predicted[everyone, later.arm, k], evidence.fold.observed[:, k]
        weight = arm_weights(months, event, target.horizon_months, later.arm)
        head: dict[str, Any] = {"outcome": target.name, "modality": EVERYBODY, "n": None, "brier": None, "bins": []}
        if int((weight > 0).sum()) < FEWEST_KNOWN:
            rows.append({**head, **slope_and_order(None, None), **in_the_large_told(None)})
            continue
        rows.append({**head, **come_true(predicted, observed, weight, later.groups, target, (months, event))})
    return rows


def _league(evidence: Evidence, later: Later) -> list[dict[str, Any]]:
    logged = logged_of(evidence, later.burden, later.signed, later.floor)
    untouched = np.zeros(len(later.arm), dtype=bool)
    made = valued(np.eye(len(later.arms))[later.arm], logged, untouched)
    ordered = valued(best(evidence.utility - later.burden, later.is_impossible), logged)
    return [
        _row("clinicians", "What was chosen", summary_of_few(made, logged, "what was chosen")),
        _row("model", "The model's first choices", summary_of_few(ordered, logged, "the order")),
    ]


def _row(policy: str, label: str, found: PolicyValue) -> dict[str, Any]:
    return {"policy": policy, "label": label, **{key: getattr(found, key) for key in _TOLD}}
