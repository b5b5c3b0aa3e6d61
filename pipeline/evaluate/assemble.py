"""How far should anyone trust this? All the numbers of one training run, in one document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.advice import Advice
from pipeline.config import Config
from pipeline.evaluate.calibration import calibration
from pipeline.evaluate.checks import checks, verdict
from pipeline.evaluate.discrimination import discrimination
from pipeline.evaluate.league import league, policies, propensity_mass
from pipeline.evaluate.overlap import overlap
from pipeline.evaluate.reading import global_shap, missingness, student_fidelity
from pipeline.guardrails import RuleSet, Verdicts, firings
from pipeline.learners import LEVEL, ModalityRanker, half_width
from pipeline.ranker import burden
from pipeline.schema import Step
from pipeline.vocabulary import HIGHER_IS_BETTER

Array = npt.NDArray[np.float64]

_MOST_COVERED = 1000


@dataclass(frozen=True)
class Material:
    """What an evaluation is made of; every table has the training decisions in the same order.

    Attributes
    ----------
    config : Config
    rules : RuleSet
    ranker : ModalityRanker
        Fitted.
    features, labels : DataFrame, one row per decision
    patients : Series
    is_impossible : bool array (n, modalities)
    verdicts : Verdicts
        Of all training decisions.
    sample : Advice
        Of some training decisions, for global explanations and statuses.
    sample_features : DataFrame
    meanings : mapping of feature to meaning
    attrition : sequence of Step
    leak_audit : mapping
    truth : DataFrame or None, one row per (decision_id, modality)
        True outcomes; simulated records only.
    """

    config: Config
    rules: RuleSet
    ranker: ModalityRanker
    features: pd.DataFrame
    labels: pd.DataFrame
    patients: pd.Series
    is_impossible: pd.DataFrame
    verdicts: Verdicts
    sample: Advice
    sample_features: pd.DataFrame
    meanings: Mapping[str, str]
    attrition: Sequence[Step]
    leak_audit: Mapping[str, Any]
    truth: pd.DataFrame | None


def evaluate(material: Material) -> dict[str, Any]:
    """Return everything measured on a training run: aggregated values only, as evaluation.json has them.

    Parameters
    ----------
    material : Material

    Returns
    -------
    dict
        Without versions and dates, which the run adds.
    """
    config, ranker = material.config, material.ranker
    evidence, targets, gates = ranker.evidence_, ranker.model_.targets, config.settings.gates
    labels = {entry.id: entry.label for entry in config.modalities}
    weights = config.weights([target.name for target in targets])
    total = sum(weights.values())
    signed = np.array([weights[t.name] * t.sign / total for t in targets])
    by_id = {entry.id: entry for entry in config.modalities}
    rows = material.features.iloc[evidence.rows]
    distance = rows["distance_km"].to_numpy(dtype=float) if "distance_km" in rows else np.full(len(rows), np.nan)
    weighted_burden = weights["burden"] / total * burden([by_id[arm] for arm in ranker.arms_], distance)
    impossible = material.is_impossible[list(ranker.arms_)].to_numpy(dtype=bool)[evidence.rows].copy()
    impossible[np.arange(len(impossible)), evidence.arm] = False
    found = policies(evidence, weighted_burden, signed, impossible)
    truth = _truth(material.truth, rows["decision_id"], ranker.arms_, weights, weighted_burden)
    limited = {entry.id: entry.time_limited for entry in config.modalities}
    result: dict[str, Any] = {
        "estimands": _estimands(config, [target.name for target in targets]),
        "weights": weights,
        "cohort": _cohort(material, labels),
        "missingness": missingness(
            material.features, ranker.model_.columns.names, material.labels["modality"], material.meanings
        ),
        "overlap": overlap(evidence, ranker.arms_, labels, gates.propensity_floor),
        "league": league(evidence, weighted_burden, found, truth),
        "calibration": calibration(evidence, ranker.arms_, targets, limited),
        "discrimination": discrimination(evidence, rows, targets),
        "learner": {
            "weights": dict(ranker.blend_.weights),
            "shrinkage": ranker.shrinkage_.factor,
            "shrinkage_se": _finite(ranker.shrinkage_.standard_error),
            "words": ranker.shrinkage_.words,
            "student": student_fidelity(
                evidence, ranker.deployed_, ranker.arms_, targets, signed, ranker.shrinkage_.factor, gates
            ),
        },
        "intervals": _intervals(ranker, rows, truth),
        "global_shap": global_shap(
            material.sample.explanation, material.sample.standing, material.sample_features, material.meanings
        ),
        "rules": _rules(material),
        "statuses": _statuses(material.sample.predictions),
        "leak_audit": dict(material.leak_audit),
        "conflicts": dict(ranker.conflicts_),
    }
    mass = propensity_mass(evidence, found[-1].chance, gates.propensity_floor)
    result["checks"] = checks(result, mass, gates)
    result["verdict"] = verdict(result["checks"])
    return result


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _estimands(config: Config, names: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {
            "outcome": name,
            "label": entry.label,
            "definition": entry.definition,
            "horizon_months": entry.horizon_months,
            "competing": entry.competing,
            "better": "higher" if HIGHER_IS_BETTER[name] else "lower",
        }
        for name, entry in ((name, config.settings.outcomes[name]) for name in names)
    ]


def _cohort(material: Material, labels: Mapping[str, str]) -> dict[str, Any]:
    ranker, frame = material.ranker, material.labels
    modality = frame["modality"].astype(str)
    rows = []
    for name, label in labels.items():
        own = (modality == name).to_numpy()
        gate = ranker.gates_[name]
        timed = [name.removesuffix("_event") for name in map(str, frame.columns) if name.endswith("_event")]
        rows.append(
            {
                "modality": name,
                "label": label,
                "decisions": gate.cases,
                "patients": int(material.patients[own].nunique()),
                "events": {outcome: int((frame.loc[own, f"{outcome}_event"] == 1).sum()) for outcome in timed},
                "censored_before_horizon": {
                    outcome: _censored(frame[own], outcome, material.config) for outcome in timed
                },
                "ranked": gate.reason is None,
                "reason": gate.reason,
            }
        )
    return {
        "attrition": [vars(step) for step in material.attrition],
        "patients": int(material.patients.nunique()),
        "decisions": len(frame),
        "modalities": rows,
    }


def _censored(frame: pd.DataFrame, outcome: str, config: Config) -> float | None:
    horizon = config.settings.outcomes[outcome].horizon_months
    if frame.empty:
        return None
    return float(((frame[f"{outcome}_event"] == 0) & (frame[f"{outcome}_months"] < horizon)).mean())


def _truth(
    truth: pd.DataFrame | None,
    decisions: pd.Series,
    arms: Sequence[str],
    weights: Mapping[str, float],
    weighted_burden: Array,
) -> dict[str, Array] | None:
    """Return true utility at the configured weights, without and with burden, shape (n, arms); None where unknown."""
    if truth is None or not set(arms) <= set(truth["modality"]):
        return None
    total = sum(weights.values())
    signed = {name: w if HIGHER_IS_BETTER[name] else -w for name, w in weights.items() if name != "burden"}
    value = sum(truth[name] * weight for name, weight in signed.items()) / total
    wide = truth.assign(utility=value).pivot(index="decision_id", columns="modality", values="utility")
    utility = wide.reindex(index=decisions, columns=list(arms)).to_numpy(dtype=float)
    return None if np.isnan(utility).any() else {"suitability": utility - weighted_burden, "utility": utility}


def _intervals(ranker: ModalityRanker, rows: pd.DataFrame, truth: Mapping[str, Array] | None) -> dict[str, Any]:
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
    deviations = ranker.deviations(rows.iloc[some])
    arms = estimated.shape[1]
    inside = [
        np.abs(estimated[:, a] - estimated[:, b] - (wanted[:, a] - wanted[:, b]))
        <= half_width(deviations[:, :, a] - deviations[:, :, b])
        for a in range(arms)
        for b in range(a)
    ]
    return float(np.mean(inside))


def _rules(material: Material) -> dict[str, Any]:
    table = firings(material.verdicts, material.rules)
    sample = material.sample.predictions
    first = sample[sample["model_rank"] == 1]
    removed: dict[str, int] = {}
    for rules, status in zip(first["rules"], first["status"], strict=True):
        if status in ("blocked", "indeterminate"):
            for rule in rules:
                if rule["verdict"] == status:
                    removed[rule["rule_id"]] = removed.get(rule["rule_id"], 0) + 1
    rows = [{**row, "removed_first_choice": removed.get(row["rule_id"], 0)} for row in table.to_dict("records")]
    return {"decisions": len(material.features), "sampled": len(material.sample_features), "firings": rows}


def _statuses(predictions: pd.DataFrame) -> list[dict[str, Any]]:
    counted = predictions.groupby(["modality", "status"], observed=True).size().reset_index(name="count")
    return [
        {"modality": str(row["modality"]), "status": str(row["status"]), "count": int(row["count"])}
        for row in counted.to_dict("records")
    ]
