"""Which features carry the ranking, which are missing, and how far do the students follow the committee?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.config import GateConfig
from pipeline.explain import Explanation
from pipeline.learners import SMALL_CELL, Deployed, Evidence, Target
from pipeline.ranker import Standing

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def missingness(
    features: pd.DataFrame, names: Sequence[str], modality: pd.Series, meanings: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return the share of decisions without each feature, overall and by modality given; most missing first."""
    gaps = features[list(names)].isna()
    overall = gaps.mean()
    by_modality = gaps.groupby(modality.to_numpy(), observed=True).mean()
    rows = [
        {
            "feature": name,
            "meaning": meanings.get(name, name),
            "overall": float(overall[name]),
            "by_modality": {str(arm): float(by_modality.loc[arm, name]) for arm in by_modality.index},
        }
        for name in names
    ]
    return sorted(rows, key=lambda row: (-row["overall"], row["feature"]))


def global_shap(
    explanation: Explanation, standing: Standing, features: pd.DataFrame, meanings: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return the mean absolute contribution of each feature, to levels and to contrasts; largest contrast first.

    `direction` is the correlation of value and contribution, averaged over modalities, for numeric features.
    """
    has_model = ~np.isnan(explanation.baseline[0]) if len(explanation.baseline) else np.zeros(0, dtype=bool)
    positions = np.flatnonzero(has_model)
    levels = explanation.contributions[:, positions]
    contrasts = levels - levels.mean(axis=1, keepdims=True)
    rows = []
    for place, name in enumerate(explanation.names):
        size = np.abs(levels[:, :, place]).mean(axis=0)
        rows.append(
            {
                "feature": name,
                "meaning": meanings.get(name, name),
                "mean_abs": float(size.mean()),
                "by_modality": {standing.modalities[p]: float(s) for p, s in zip(positions, size, strict=True)},
                "contrast_mean_abs": float(np.abs(contrasts[:, :, place]).mean()),
                "direction": _direction(features, name, levels[:, :, place].mean(axis=1)),
            }
        )
    return sorted(rows, key=lambda row: (-row["contrast_mean_abs"], -row["mean_abs"], row["feature"]))


def _direction(features: pd.DataFrame, name: str, contribution: Array) -> float | None:
    if name not in features or not pd.api.types.is_numeric_dtype(features[name]):
        return None
    value = features[name].to_numpy(dtype=float)
    seen = ~np.isnan(value)
    if seen.sum() < 20 or np.ptp(value[seen]) == 0 or np.ptp(contribution[seen]) < 1e-12:
        return None
    return float(np.corrcoef(value[seen], contribution[seen])[0, 1])


def _r2(wanted: Array, got: Array) -> float | None:
    spread = float(np.sum((wanted - wanted.mean()) ** 2))
    return None if spread < 1e-12 else 1.0 - float(np.sum((wanted - got) ** 2)) / spread


def _closeness(wanted: Array, got: Array, arm: int, against: float, groups: IntArray) -> dict[str, float | None]:
    """Return how far students are from the committee in one outcome of one arm; `against` is 1 where less is better."""
    gap = got[:, arm] - wanted[:, arm]
    best, named = (np.argmin(against * values, axis=1) == arm for values in (wanted, got))
    is_told = len(np.unique(groups[best])) >= SMALL_CELL
    return {
        "rms": float(np.sqrt(np.mean(gap**2))),
        "largest": float(np.abs(gap).max()),
        "same_best": float(named[best].mean()) if is_told else None,
    }


def student_fidelity(
    evidence: Evidence,
    deployed: Deployed,
    arms: Sequence[str],
    targets: Sequence[Target],
    signed: Array,
    factor: float,
    gates: GateConfig,
) -> dict[str, Any]:
    """Return how well the students follow the committee on training rows, and whether that passes the gate.

    The gate: root mean square distance of suitability at most `student_distance` of the median half-width
    of pairwise intervals, and the same first choice for at least `student_agreement` of people (the latter
    not applied when no individual difference is kept). `outside_unit_interval` is the share of predicted
    outcomes below 0 or above 1, which are clipped only where they are shown. Per outcome and modality: `rms` and
    `largest` difference of the outcome, and `same_best`: of the rows for which the committee puts this modality
    first by this outcome alone, the share for which the students do (None of fewer than eleven people).
    """
    wanted, got = evidence.committee_outcomes, deployed.outcomes
    contrast_wanted = wanted - wanted.mean(axis=1, keepdims=True)
    contrast_got = got - got.mean(axis=1, keepdims=True)
    distance = float(np.sqrt(np.mean(((wanted - got) @ signed) ** 2)))
    half_width = float(np.median(deployed.half_widths))
    agreement = float(np.mean((wanted @ signed).argmax(axis=1) == (got @ signed).argmax(axis=1)))
    agrees = agreement >= gates.student_agreement or factor == 0.0
    return {
        "rows": len(wanted),
        "rms_distance": distance,
        "median_half_width": half_width,
        "top_choice_agreement": agreement,
        "outside_unit_interval": float(np.mean((got < 0.0) | (got > 1.0))),
        "passed": bool(distance <= gates.student_distance * half_width and agrees),
        "fidelity": [
            {
                "outcome": target.name,
                "modality": arm,
                "r2_level": _r2(wanted[:, a, k], got[:, a, k]),
                "r2_contrast": _r2(contrast_wanted[:, a, k], contrast_got[:, a, k]),
                **_closeness(wanted[:, :, k], got[:, :, k], a, -target.sign, evidence.groups),
            }
            for k, target in enumerate(targets)
            for a, arm in enumerate(arms)
        ],
    }
