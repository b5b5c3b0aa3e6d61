"""What is said of each decision and modality?

One pure function turns a shard of decisions into prediction rows: outcomes, suitability with
interval, rules, rank and reasons. It reads no outcome and no file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.config import Config
from pipeline.explain import Explanation, explain, next_displayed, reasons, versus
from pipeline.guardrails import Overrides, RuleSet, Verdicts, apply_rules, structural_zero
from pipeline.learners import SuitabilityModel
from pipeline.ranker import Circumstances, Standing, personal_weights, stand
from pipeline.vocabulary import OUTCOMES, VERDICTS

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

_VERDICT_ORDER = {name: place for place, name in enumerate(VERDICTS)}


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


def advise(adviser: Adviser, shard: Shard) -> Advice:
    """Return the predictions of a shard; the same rows whatever the shard they come in.

    Parameters
    ----------
    adviser : Adviser
    shard : Shard

    Returns
    -------
    Advice

    Raises
    ------
    PipelineError
        If an explanation does not add up to its suitability.
    """
    config = adviser.config
    verdicts = judge(config, adviser.rules, shard.facts, shard.dates, shard.overrides)
    targets = [target.name for target in adviser.model.targets]
    weights = personal_weights(list(shard.features["decision_id"]), config.weights(targets), shard.preferences)
    standing = stand(
        adviser.model,
        shard.features,
        config.modalities,
        weights,
        circumstances(adviser, shard, verdicts),
        config.settings.gates.propensity_floor,
    )
    explanation = explain(adviser.model, shard.features, standing, weights)
    return Advice(
        predictions=_rows(adviser, shard, standing, explanation, verdicts),
        standing=standing,
        explanation=explanation,
        verdicts=verdicts,
    )


def _spoken(verdicts: Verdicts) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Return the rules that spoke of each (decision, modality): worst verdict and all missing facts, worst first.

    A rule that was set aside stays listed with what it said; it waits for nothing.
    """
    spoken: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    found = verdicts.findings
    columns = (found[name] for name in ("decision_id", "modality", "rule_id", "verdict", "missing_facts", "overridden"))
    for decision, modality, rule, verdict, missing, is_aside in zip(*columns, strict=True):
        rules = spoken.setdefault((decision, modality), {})
        entry = rules.setdefault(rule, {"rule_id": rule, "verdict": verdict, "missing_facts": []})
        if _VERDICT_ORDER[verdict] > _VERDICT_ORDER[entry["verdict"]]:
            entry["verdict"] = verdict
        if not is_aside:
            entry["missing_facts"] += [fact for fact in missing if fact not in entry["missing_facts"]]
    return {
        key: sorted(rules.values(), key=lambda entry: (-_VERDICT_ORDER[entry["verdict"]], entry["rule_id"]))
        for key, rules in spoken.items()
    }


def _set_aside(verdicts: Verdicts) -> dict[tuple[str, str], list[dict[str, str]]]:
    """Return the overrides of the rules that had spoken of each (decision, modality), by rule id."""
    spoke = verdicts.findings.loc[verdicts.findings["overridden"], ["decision_id", "modality", "rule_id"]]
    table = spoke.drop_duplicates().merge(verdicts.overrides, on=["decision_id", "rule_id"]).sort_values("rule_id")
    found: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in table.to_dict("records"):
        told = {name: str(row[name]) for name in ("rule_id", "reason", "by_role", "date")}
        found.setdefault((row["decision_id"], row["modality"]), []).append(told)
    return found


def _products(verdicts: Verdicts) -> dict[tuple[str, str], list[dict[str, str]]]:
    found: dict[tuple[str, str], list[dict[str, str]]] = {}
    columns = (verdicts.products[name] for name in ("decision_id", "modality", "product", "verdict"))
    for decision, modality, product, verdict in zip(*columns, strict=True):
        found.setdefault((decision, modality), []).append({"product": product, "verdict": verdict})
    return found


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _rank(value: float) -> int | None:
    return None if np.isnan(value) else int(value)


def _missing(rules: list[dict[str, Any]], unknown: Mapping[str, bool]) -> list[str]:
    facts = [fact for rule in rules for fact in rule["missing_facts"]]
    return list(dict.fromkeys([*facts, *(name for name, is_unknown in unknown.items() if is_unknown)]))


def _rows(
    adviser: Adviser, shard: Shard, standing: Standing, explanation: Explanation, verdicts: Verdicts
) -> pd.DataFrame:
    spoken, products, aside = _spoken(verdicts), _products(verdicts), _set_aside(verdicts)
    following = next_displayed(standing)
    is_available = availability(shard.candidates, standing.decisions, standing.modalities)
    targets = [target.name for target in adviser.model.targets]
    shown = np.clip(standing.outcomes, 0.0, 1.0)  # suitability and its reasons add up on the unclipped values
    k = adviser.config.settings.top_reasons
    patients = shard.features["patient_id"].to_list()
    no_distance = shard.features["distance_km"].isna().to_list() if "distance_km" in shard.features else None
    rows = []
    for i, decision in enumerate(standing.decisions):
        partly_known = not np.isnan(is_available[i]).all()
        for j, modality in enumerate(standing.modalities):
            rules = spoken.get((decision, modality), [])
            value, half = standing.suitability[i, j], standing.half_widths[i, j]
            outcomes = dict.fromkeys(OUTCOMES) | {
                name: _number(shown[i, j, place]) for place, name in enumerate(targets)
            }
            nearest = int(following[i, j])
            unknown = {
                "distance_km": no_distance is not None and no_distance[i],
                f"available_{modality}": partly_known and bool(np.isnan(is_available[i, j])),
            }
            rows.append(
                {
                    "decision_id": decision,
                    "patient_id": patients[i],
                    "modality": modality,
                    "status": str(standing.status[i, j]),
                    "rank": _rank(standing.rank[i, j]),
                    "model_rank": _rank(standing.model_rank[i, j]),
                    "tied_with": [standing.modalities[o] for o in np.flatnonzero(standing.tied[i, j])],
                    "suitability": _number(value),
                    "suitability_low": _number(value - half),
                    "suitability_high": _number(value + half),
                    **outcomes,
                    "burden": float(standing.burden[i, j]),
                    "support": _number(standing.support[i, j]),
                    "verdict": str(standing.verdict[i, j]),
                    "rules": rules,
                    "products": products.get((decision, modality), []),
                    "overrides": aside.get((decision, modality), []),
                    "baseline": _number(explanation.baseline[i, j]),
                    "reasons": reasons(explanation, i, j, k),
                    "versus_next": None
                    if nearest < 0
                    else {"modality": standing.modalities[nearest], "items": versus(explanation, i, j, nearest, k)},
                    "abstain_reason": str(standing.abstain_reason[i, j]) or None,
                    "missing_facts": _missing(rules, unknown),
                    "model_version": adviser.model_version,
                    "ruleset_version": adviser.ruleset_version,
                    "records_digest": shard.records_digest,
                }
            )
    return pd.DataFrame(rows, columns=list(_TYPES)).astype(_TYPES)
