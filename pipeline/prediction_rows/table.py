"""What is written of every decision and modality?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from pipeline.explain import Explanation, next_displayed
from pipeline.guardrails import Verdicts
from pipeline.prediction_rows.lists import Places, listed, numbers, whole_numbers, words
from pipeline.prediction_rows.reasons import Shown, item_lists
from pipeline.prediction_rows.spoken import Cells, overrides, products, rules
from pipeline.ranker import Standing, display_order
from pipeline.vocabulary import OUTCOMES

Array = npt.NDArray[np.float64]
Extent = Literal["all", "top", "none"]

_TYPES = {
    **dict.fromkeys(("decision_id", "patient_id", "modality", "status"), "str"),
    **dict.fromkeys(("rank", "model_rank"), "Int64"),
    "tied_with": "object",
    **dict.fromkeys(("suitability", "suitability_low", "suitability_high", *OUTCOMES, "burden", "support"), "float64"),
    "verdict": "str",
    **dict.fromkeys(("rules", "products", "overrides"), "object"),
    "baseline": "float64",
    **dict.fromkeys(("reasons", "versus_next"), "object"),
    "abstain_reason": "str",
    "missing_facts": "object",
    **dict.fromkeys(("model_version", "ruleset_version", "records_digest"), "str"),
}
"""Columns of the predictions contract, in order, with the type they have whatever the number of rows."""


@dataclass(frozen=True)
class Detail:
    """How much is explained.

    Attributes
    ----------
    extent : {'all', 'top', 'none'}
        Reasons of every modality that has a model; of the one displayed first, if it has a rank, and why it rather
        than the next; of none.
    top_reasons : int
        Features named in each.
    """

    extent: Extent
    top_reasons: int


def prediction_rows(
    features: pd.DataFrame,
    is_available: Array,
    standing: Standing,
    explanation: Explanation | None,
    verdicts: Verdicts,
    *,
    targets: Sequence[str],
    detail: Detail,
    versions: Mapping[str, str],
) -> pa.Table:
    """Return the predictions of a shard.

    Parameters
    ----------
    features : DataFrame, one row per decision
        In the order of `standing.decisions`.
    is_available : array (n, m)
        1 available, 0 not, NaN not recorded.
    standing : Standing
    explanation : Explanation or None
        None where nothing is explained.
    verdicts : Verdicts
    targets : sequence of str
        Outcomes of the model, in the order of `standing.outcomes`.
    detail : Detail
    versions : mapping
        `model_version`, `ruleset_version` and `records_digest`.

    Returns
    -------
    pyarrow.Table, one row per decision and modality
        Columns of the predictions contract.
    """
    cells = Cells(standing.decisions, standing.modalities)
    n, m = standing.suitability.shape
    row, modality = np.repeat(np.arange(n), m), np.tile(np.arange(m), n)
    spoken, missing = rules(verdicts, cells, _unknown(features, is_available, standing.modalities))
    explained = _explained(standing, explanation, detail.extent)
    reasons, versus = _reasons(features, standing, explanation, explained, detail.top_reasons)
    tied = np.nonzero(standing.tied.reshape(n * m, m))
    baseline = np.full((n, m), np.nan) if explanation is None else np.where(explained, explanation.baseline, np.nan)
    columns = {
        "decision_id": words(standing.decisions, row),
        "patient_id": words(features["patient_id"].to_list(), row),
        "modality": words(standing.modalities, modality),
        "status": _texts(standing.status),
        "rank": whole_numbers(standing.rank),
        "model_rank": whole_numbers(standing.model_rank),
        "tied_with": listed(tied[0], n * m, words(standing.modalities, tied[1])),
        "suitability": numbers(standing.suitability),
        "suitability_low": numbers(standing.suitability - standing.half_widths),
        "suitability_high": numbers(standing.suitability + standing.half_widths),
        **_outcomes(standing, targets),
        "burden": numbers(standing.burden),
        "support": numbers(standing.support),
        "verdict": _texts(standing.verdict),
        "rules": spoken,
        "products": products(verdicts, cells),
        "overrides": overrides(verdicts, cells),
        "baseline": numbers(baseline),
        "reasons": reasons,
        "versus_next": versus,
        "abstain_reason": _texts(standing.abstain_reason),
        "missing_facts": missing,
        **{name: pa.repeat(pa.scalar(version, pa.string()), n * m) for name, version in versions.items()},
    }
    return pa.table({name: columns[name] for name in _TYPES})


def predictions_frame(rows: pa.Table) -> pd.DataFrame:
    """Return prediction rows as a frame with lists and mappings in its cells; for a few decisions, not a batch."""
    return pd.DataFrame(rows.to_pylist(), columns=list(_TYPES)).astype(_TYPES)


def _texts(names: npt.NDArray[np.str_]) -> pa.Array:
    """Return a column of texts, null where they are empty."""
    texts, which = np.unique(names.ravel(), return_inverse=True)
    return words([str(text) or None for text in texts], which.ravel())


def _outcomes(standing: Standing, targets: Sequence[str]) -> dict[str, pa.Array]:
    """Return the columns of outcomes; suitability and its reasons add up on the unclipped values."""
    absent = np.full(standing.suitability.shape, np.nan)
    shown = {name: np.clip(standing.outcomes[:, :, place], 0.0, 1.0) for place, name in enumerate(targets)}
    return {name: numbers(shown.get(name, absent)) for name in OUTCOMES}


def _unknown(features: pd.DataFrame, is_available: Array, modalities: Sequence[str]) -> list[tuple[Places, str]]:
    """Return the cells that lack the distance, and those whose availability alone was not recorded."""
    m = len(modalities)
    missing = np.isnan(is_available)
    partly = missing & ~missing.all(axis=1, keepdims=True)
    found = [
        (np.flatnonzero(partly[:, place]) * m + place, f"available_{name}") for place, name in enumerate(modalities)
    ]
    if "distance_km" in features:
        far = np.repeat(features["distance_km"].isna().to_numpy(dtype=bool), m)
        found.insert(0, (np.flatnonzero(far), "distance_km"))
    return found


def _explained(standing: Standing, explanation: Explanation | None, extent: Extent) -> npt.NDArray[np.bool_]:
    """Return which cells are given reasons, shape (n, m)."""
    if explanation is None or extent == "none":
        return np.zeros(standing.suitability.shape, dtype=bool)
    has_model = ~np.isnan(explanation.baseline)
    if extent == "all":
        return has_model
    first = np.zeros(has_model.shape, dtype=bool)
    np.put_along_axis(first, display_order(standing)[:, :1], values=True, axis=1)
    return has_model & first & standing.is_rankable


def _reasons(
    features: pd.DataFrame,
    standing: Standing,
    explanation: Explanation | None,
    explained: npt.NDArray[np.bool_],
    k: int,
) -> tuple[pa.Array, pa.Array]:
    """Return the columns `reasons` and `versus_next`."""
    n, m = explained.shape
    names = () if explanation is None else explanation.names[:-1]
    shown = Shown(features, names)
    whole = np.zeros((n, m, 1)) if explanation is None else explanation.contributions
    base = np.zeros((n, m)) if explanation is None else explanation.baseline
    row, own = np.nonzero(explained)
    reasons = item_lists(row * m + own, n * m, row, whole[row, own], shown, names, k)
    following = next_displayed(standing)
    row, own = np.nonzero(explained & (following >= 0))
    other = following[row, own]
    gap, average = whole[row, own] - whole[row, other], base[row, own] - base[row, other]
    items = item_lists(row * m + own, n * m, row, gap, shown, names, k, lead=average)
    nearest = np.where(explained, following, -1).ravel()
    names_of = words([*standing.modalities, None], np.where(nearest < 0, m, nearest))
    absent = pa.array(nearest < 0)
    return reasons, pa.StructArray.from_arrays([names_of, items], names=["modality", "items"], mask=absent)
