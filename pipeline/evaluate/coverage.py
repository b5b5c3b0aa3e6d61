"""Do intervals hold the truth, where it is known?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.learners import LEVEL, ModalityRanker, pair_half_widths
from pipeline.vocabulary import HIGHER_IS_BETTER

Array = npt.NDArray[np.float64]

_MOST_COVERED = 1000


def true_utility(
    truth: pd.DataFrame | None,
    decisions: pd.Series,
    arms: Sequence[str],
    weights: Mapping[str, float],
    weighted_burden: Array,
) -> dict[str, Array] | None:
    """Return true utility at the configured weights, without and with burden.

    Parameters
    ----------
    truth : DataFrame or None, one row per (decision_id, modality)
        True outcomes of simulated records.
    decisions : Series of n decision ids
    arms : sequence of str
    weights : mapping of outcome to weight
    weighted_burden : array (n, arms)

    Returns
    -------
    dict or None
        `utility`, and `suitability` with burden subtracted, each (n, arms); None where the truth is not known.
    """
    if truth is None or not set(arms) <= set(truth["modality"]):
        return None
    total = sum(weights.values())
    signed = {name: w if HIGHER_IS_BETTER[name] else -w for name, w in weights.items() if name != "burden"}
    value = sum(truth[name] * weight for name, weight in signed.items()) / total
    wide = truth.assign(utility=value).pivot(index="decision_id", columns="modality", values="utility")
    utility = wide.reindex(index=decisions, columns=list(arms)).to_numpy(dtype=float)
    return None if np.isnan(utility).any() else {"suitability": utility - weighted_burden, "utility": utility}


def intervals(ranker: ModalityRanker, rows: pd.DataFrame, truth: Mapping[str, Array] | None) -> dict[str, Any]:
    """Return what intervals promise and, where the truth is known, what they hold.

    Parameters
    ----------
    ranker : ModalityRanker
        Fitted.
    rows : DataFrame of the n rows of its evidence
    truth : mapping or None
        As `true_utility` returns it.

    Returns
    -------
    dict
        `level, scale, words, true_coverage` (None where the truth is not known).
    """
    scale = ranker.model_.spread.scale
    words = (
        f"Nominal {100 * LEVEL:.0f} % intervals of pairwise differences: posterior draws of the linear teacher plus "
        f"the teachers' disagreement, widened {scale:.2f} times. docs/ranking.md reports what they cover on "
        "simulated worlds."
    )
    covered = None if truth is None else _true_coverage(ranker, rows, truth["utility"])
    return {"level": LEVEL, "scale": scale, "words": words, "true_coverage": covered}


def _true_coverage(ranker: ModalityRanker, rows: pd.DataFrame, truth: Array) -> float:
    """Return the share of true pairwise differences of utility (without burden) inside their intervals."""
    some = slice(None, None, max(1, len(rows) // _MOST_COVERED))
    estimated, wanted = ranker.suitability(rows.iloc[some]).to_numpy(), truth[some]
    widths = pair_half_widths(ranker.deviations(rows.iloc[some]))
    arms = estimated.shape[1]
    inside = [
        np.abs(estimated[:, a] - estimated[:, b] - (wanted[:, a] - wanted[:, b])) <= widths[:, a, b]
        for a in range(arms)
        for b in range(a)
    ]
    return float(np.mean(inside))
