"""Does a single clinical feature give away which modality was given?

A feature that does is usually a consequence of the choice (an eye examination, an apheresis), dated
too early. Availability, waiting time, calendar time and site are exempt: they are causes of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import roc_auc_score

from pipeline.errors import GateError

_EXEMPT = ("wait_days_", "available_", "calendar_time", "site_id")
_FEWEST = 20


def _auc(is_given: npt.NDArray[np.bool_], score: npt.NDArray[np.float64]) -> float:
    if is_given.all() or not is_given.any() or np.ptp(score) == 0:
        return 0.5
    value = float(roc_auc_score(is_given, score))
    return max(value, 1.0 - value)


def leak_audit(
    features: pd.DataFrame, names: Sequence[str], modality: pd.Series, stop: float, report: float
) -> dict[str, Any]:
    """Return single features that tell the modality given, by AUC, by value or by being missing.

    Parameters
    ----------
    features : DataFrame, one row per decision
    names : sequence of str
        Features that a model reads.
    modality : Series
        What was given, same rows.
    stop, report : float
        AUC above `stop` stops training; above `report` is listed.

    Returns
    -------
    dict
        `stopped`, `reported` (feature, modality, auc) and `features_checked`.
    """
    found: list[dict[str, Any]] = []
    checked = [name for name in names if not name.startswith(_EXEMPT)]
    given = modality.to_numpy(dtype=str)
    for name in checked:
        column = features[name]
        codes = column.cat.codes.where(column.notna(), np.nan) if column.dtype.name == "category" else column
        values = np.asarray(codes, dtype=float)
        gap = np.isnan(values)
        for arm in np.unique(given):
            own = given == arm
            if own.sum() < _FEWEST:
                continue
            seen = ~gap
            by_value = _auc(own[seen], values[seen]) if seen.sum() >= _FEWEST else 0.5
            auc = max(by_value, _auc(own, gap.astype(float)))
            if auc > report:
                found.append({"feature": name, "modality": str(arm), "auc": round(auc, 4)})
    ordered = sorted(found, key=lambda row: (-row["auc"], row["feature"], row["modality"]))
    return {
        "stopped": [row for row in ordered if row["auc"] > stop],
        "reported": [row for row in ordered if row["auc"] <= stop],
        "features_checked": len(checked),
    }


def refuse_leaks(audit: dict[str, Any], stop: float) -> None:
    """Stop training on a leak.

    Raises
    ------
    GateError
        Naming each feature that tells the modality given.
    """
    if audit["stopped"]:
        listed = ", ".join(f"{row['feature']} (AUC {row['auc']:.2f} for {row['modality']})" for row in audit["stopped"])
        raise GateError(
            f"leak audit: {len(audit['stopped'])} feature(s) tell the modality given (AUC above {stop}): {listed}. "
            "Such a fact usually follows the choice; correct its known_at in the source, or drop it from the features."
        )
