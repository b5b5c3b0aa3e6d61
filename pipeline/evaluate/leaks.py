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
from scipy.stats import rankdata

from pipeline.errors import GateError, counted

_EXEMPT = ("wait_days_", "available_", "calendar_time", "site_id")
_FEWEST = 20
_BINS = 20
_FOLDS = 5

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def _by_value(values: Array, given: npt.NDArray[np.bool_]) -> Array:
    """Return the AUC of the value for each arm, shape (arms,), from one ranking of the rows that have it.

    The larger of both directions; Mann and Whitney's U from rank sums, ties counted half.
    """
    seen = ~np.isnan(values)
    own = given[seen]
    size = own.sum(axis=0)
    pairs = size * (len(own) - size)
    if len(own) < _FEWEST:
        return np.full(given.shape[1], 0.5)
    ranks = rankdata(values[seen])
    auc = (ranks @ own - size * (size + 1) / 2) / np.maximum(pairs, 1)
    return np.where(pairs > 0, np.maximum(auc, 1 - auc), 0.5)


def _bins(values: Array) -> IntArray:
    """Return the bin of each row: a value of its own, or a twentieth of the rows; the last bin holds the gaps."""
    seen = values[~np.isnan(values)]
    levels = np.unique(seen)
    if len(levels) > _BINS:
        levels = np.unique(np.quantile(seen, np.arange(_BINS) / _BINS, method="lower"))
    place = np.searchsorted(levels, values, side="right") - 1
    return np.where(np.isnan(values), len(levels), place).astype(np.int64)


def _by_bin(values: Array, given: npt.NDArray[np.bool_]) -> Array:
    """Return the larger of two AUC for each arm, shape (arms,), that see any shape: middle levels, both ends, gaps.

    That of one bin against all others; and the cross-validated one of the share of the arm in a row's bin. The share
    is that of the other folds, so that chance in small bins does not look like a leak.
    """
    bins = _bins(values)
    size, arms = int(bins.max()) + 1, given.shape[1]
    cell = np.arange(len(values)) % _FOLDS * size + bins
    all_rows = np.bincount(cell, minlength=_FOLDS * size).astype(float)
    own = np.stack([np.bincount(cell[given[:, arm]], minlength=_FOLDS * size) for arm in range(arms)], axis=1)
    rest = all_rows[:, None] - own
    pairs = np.maximum(own.sum(axis=0) * rest.sum(axis=0), 1)
    of_own, of_rest = (part.reshape(_FOLDS, size, arms).sum(axis=0) / part.sum(axis=0).clip(1) for part in (own, rest))
    one_bin = 0.5 + 0.5 * np.abs(of_own - of_rest).max(axis=0)
    elsewhere = own.reshape(_FOLDS, size, arms).sum(axis=0) - own.reshape(_FOLDS, size, arms)
    around = all_rows.reshape(_FOLDS, size).sum(axis=0) - all_rows.reshape(_FOLDS, size)
    share = ((elsewhere + given.mean(axis=0)) / (around[..., None] + 1)).reshape(-1, arms)
    order = [own[:, k] @ np.sign(share[:, [k]] - share[:, k]) @ rest[:, k] for k in range(arms)]
    return np.asarray(np.maximum(one_bin, 0.5 + 0.5 * np.array(order) / pairs))


def leak_audit(
    features: pd.DataFrame, names: Sequence[str], modality: pd.Series, stop: float, report: float
) -> dict[str, Any]:
    """Return single features that tell the modality given, by AUC.

    The AUC is the largest of three: of the value as it is; of one level, one twentieth of the values or being missing
    against the rest; and of how often others with the same level or a like value, or none, were given the modality
    (cross-validated). The last two also see middle levels, both ends and gaps.

    Parameters
    ----------
    features : DataFrame, one row per decision
    names : sequence of str
        Features that a model reads.
    modality : Series
        What was given, same rows. A modality given fewer than 20 times is not looked for.
    stop, report : float
        AUC above `stop` stops training; above `report` is listed.

    Returns
    -------
    dict
        `stopped`, `reported` (feature, modality, auc) and `features_checked`.
    """
    found: list[dict[str, Any]] = []
    checked = [name for name in names if not name.startswith(_EXEMPT)]
    names_given, counts = np.unique(modality.to_numpy(dtype=str), return_counts=True)
    arms = names_given[counts >= _FEWEST]
    given = modality.to_numpy(dtype=str)[:, None] == arms[None, :]
    for name in checked if len(arms) else ():
        column = features[name]
        is_category = column.dtype.name == "category"
        codes = column.cat.codes.where(column.notna(), np.nan) if is_category else column
        values = np.asarray(codes, dtype=float)
        found += [
            {"feature": name, "modality": str(arm), "auc": round(float(auc), 4)}
            for arm, auc in zip(arms, np.maximum(_by_value(values, given), _by_bin(values, given)), strict=True)
            if auc > report
        ]
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
        told = counted(len(audit["stopped"]), "feature")
        raise GateError(
            f"leak audit: the modality given is told by {told} (AUC above {stop}): {listed}. "
            "Such a fact usually follows the choice; correct its known_at in the source, or drop it from the features."
        )
