"""What is said of each decision and modality?

One pure function turns a shard of decisions into prediction rows: outcomes, suitability with
interval, rules, rank and reasons. It reads no outcome and no file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from pipeline.config import Config
from pipeline.explain import Explanation, explain
from pipeline.guardrails import Overrides, RuleSet, Verdicts, apply_rules, structural_zero
from pipeline.learners import SuitabilityModel
from pipeline.prediction_rows import Detail, prediction_rows, predictions_frame
from pipeline.ranker import Circumstances, Standing, personal_weights, stand


@dataclass(frozen=True)
class Adviser:
    """Everything besides records that advice needs.

    Attributes
    ----------
    model : SuitabilityModel
    config : Config
    rules : RuleSet
    model_version, ruleset_version : str
        Digests written in every row.
    """

    model: SuitabilityModel
    config: Config
    rules: RuleSet
    model_version: str
    ruleset_version: str


@dataclass(frozen=True)
class Shard:
    """The tables of some decisions, in the same order.

    Attributes
    ----------
    features : DataFrame, one row per decision
        As `features.build` returns it.
    facts : DataFrame, one row per decision, indexed by decision_id
    candidates : DataFrame, one row per (decision_id, modality)
    preferences : DataFrame, one row per (decision_id, outcome)
    records_digest : str
    dates : Series, indexed by decision_id
        Days by which rules are in force or not yet; missing where the source has no calendar dates.
    overrides : Overrides
        Rules that clinicians set aside, of these decisions and of others.
    """

    features: pd.DataFrame
    facts: pd.DataFrame
    candidates: pd.DataFrame
    preferences: pd.DataFrame
    records_digest: str
    dates: pd.Series
    overrides: Overrides = field(default_factory=Overrides)


@dataclass(frozen=True)
class Advice:
    """What is said, and what it rests on.

    Attributes
    ----------
    predictions : DataFrame, one row per decision x modality
        The predictions contract (data_schema/predictions.yaml).
    standing : Standing
    explanation : Explanation
    verdicts : Verdicts
    """

    predictions: pd.DataFrame
    standing: Standing
    explanation: Explanation
    verdicts: Verdicts


def judge(
    config: Config,
    rules: RuleSet,
    facts: pd.DataFrame,
    decision_dates: pd.Series,
    overrides: Overrides | None = None,
) -> Verdicts:
    """Return what the configured guardrails say of every decision.

    Parameters
    ----------
    config : Config
        Products, modalities, jurisdiction, and whether drafts run.
    rules : RuleSet
    facts : DataFrame, one row per decision, indexed by decision_id
    decision_dates : Series, indexed by decision_id
        A rule judges decisions on or after its `effective_from`; those without a date are judged by all.
    overrides : Overrides or None
    """
    return apply_rules(
        facts,
        rules,
        config.products,
        config.modalities,
        decision_dates=decision_dates,
        jurisdiction=config.settings.jurisdiction,
        include_drafts=config.settings.include_draft_rules,
        overrides=overrides,
    )


def availability(candidates: pd.DataFrame, decisions: Sequence[str], modalities: Sequence[str]) -> npt.NDArray[Any]:
    """Return 1 available, 0 not, NaN not recorded; shape (n, m)."""
    wide = candidates.assign(value=candidates["available"].astype("boolean").astype("Float64"))
    table = wide.pivot(index="decision_id", columns="modality", values="value").reindex(
        index=list(decisions), columns=list(modalities)
    )
    return table.to_numpy(dtype=float, na_value=np.nan)


def circumstances(adviser: Adviser, shard: Shard, verdicts: Verdicts) -> Circumstances:
    """Return availability, verdicts, structural zeros and permitted training cases, arrays (n, m)."""
    ids = adviser.config.modality_ids
    decisions = list(shard.features["decision_id"])
    shape = (len(decisions), len(ids))
    is_available = availability(shard.candidates, decisions, ids)
    verdict = verdicts.modalities["verdict"].to_numpy(dtype=str).reshape(shape)
    zero = structural_zero(verdicts).reindex(index=decisions, columns=list(ids)).to_numpy(dtype=bool)
    permitted = np.full(shape, -1, dtype=np.int64)
    if adviser.model.product_cases:
        table = verdicts.products
        cases = table["product"].map(lambda name: adviser.model.product_cases.get(name, 0)).to_numpy(dtype=np.int64)
        usable = ~table["verdict"].isin(["blocked", "indeterminate"]).to_numpy()
        summed = (
            table.assign(cases=cases * usable)
            .pivot_table(index="decision_id", columns="modality", values="cases", aggfunc="sum", sort=False)
            .reindex(index=decisions, columns=list(ids))
        )
        counted = [
            not set(entry.products).isdisjoint(adviser.model.product_cases) for entry in adviser.config.modalities
        ]
        permitted = np.where(np.array(counted)[None, :], summed.to_numpy(dtype=np.int64), -1)
    return Circumstances(
        is_available=is_available,
        verdict=verdict,
        is_impossible=(is_available == 0) | zero,
        permitted_cases=permitted,
    )


def score(adviser: Adviser, shard: Shard, detail: Detail) -> pa.Table:
    """Return the prediction rows of a shard; the same rows whatever the shard they come in.

    Ends of intervals and support may differ in the last digits between shards of other sizes (within 1e-12), since
    numpy sums matrix products in an order that hangs on the number of rows.

    Parameters
    ----------
    adviser : Adviser
    shard : Shard
    detail : Detail
        How much is explained.

    Returns
    -------
    pyarrow.Table, one row per decision x modality
        Columns of the predictions contract (data_schema/predictions.yaml).

    Raises
    ------
    PipelineError
        If an explanation does not add up to its suitability.
    """
    judged = _judged(adviser, shard)
    explanation = None if detail.extent == "none" else _explained(adviser, shard, judged)
    return _rows(adviser, shard, judged, explanation, detail)


def advise(adviser: Adviser, shard: Shard) -> Advice:
    """Return what is said of a few decisions, all of it explained, and what it rests on.

    Parameters
    ----------
    adviser : Adviser
    shard : Shard

    Returns
    -------
    Advice
        Its predictions are those of `score`.

    Raises
    ------
    PipelineError
        If an explanation does not add up to its suitability.
    """
    judged = _judged(adviser, shard)
    explanation = _explained(adviser, shard, judged)
    rows = _rows(adviser, shard, judged, explanation, configured_detail(adviser))
    return Advice(predictions_frame(rows), judged.standing, explanation, judged.verdicts)


def configured_detail(adviser: Adviser) -> Detail:
    """Return how much is explained where nobody says otherwise: everything, with as many reasons as configured."""
    return Detail(extent="all", top_reasons=adviser.config.settings.top_reasons)


@dataclass(frozen=True)
class _Judged:
    """What the rules say of a shard, the weights of each decision, what was available, and how modalities stand."""

    verdicts: Verdicts
    weights: pd.DataFrame
    is_available: npt.NDArray[Any]
    standing: Standing


def _judged(adviser: Adviser, shard: Shard) -> _Judged:
    config = adviser.config
    verdicts = judge(config, adviser.rules, shard.facts, shard.dates, shard.overrides)
    targets = [target.name for target in adviser.model.targets]
    weights = personal_weights(list(shard.features["decision_id"]), config.weights(targets), shard.preferences)
    around = circumstances(adviser, shard, verdicts)
    floor = config.settings.gates.propensity_floor
    standing = stand(adviser.model, shard.features, config.modalities, weights, around, floor)
    return _Judged(verdicts, weights, around.is_available, standing)


def _explained(adviser: Adviser, shard: Shard, judged: _Judged) -> Explanation:
    return explain(adviser.model, shard.features, judged.standing, judged.weights)


def _rows(adviser: Adviser, shard: Shard, judged: _Judged, explanation: Explanation | None, detail: Detail) -> pa.Table:
    return prediction_rows(
        shard.features,
        judged.is_available,
        judged.standing,
        explanation,
        judged.verdicts,
        targets=[target.name for target in adviser.model.targets],
        detail=detail,
        versions={
            "model_version": adviser.model_version,
            "ruleset_version": adviser.ruleset_version,
            "records_digest": shard.records_digest,
        },
    )
