"""How far should anyone trust this? All the numbers of one training run, in one document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.advice import Advice
from pipeline.config import Config
from pipeline.evaluate.balance import balance
from pipeline.evaluate.by_group import by_group, seen_of
from pipeline.evaluate.calibration import calibration
from pipeline.evaluate.characteristics import Described, characteristics
from pipeline.evaluate.checks import checks, verdict
from pipeline.evaluate.coverage import intervals, true_utility
from pipeline.evaluate.decision_curves import decision_curves
from pipeline.evaluate.discrimination import discrimination
from pipeline.evaluate.league import Arms, abstention_curve, confidence, league, logged_of, student_choices
from pipeline.evaluate.lost_early import lost_early
from pipeline.evaluate.missing_by import missing_by, site_and_year
from pipeline.evaluate.negative_control import negative_control
from pipeline.evaluate.overlap import overlap
from pipeline.evaluate.policies import MODEL, Setting, policies
from pipeline.evaluate.published_rule import PublishedRule
from pipeline.evaluate.published_trials import PublishedTrials, published_trials
from pipeline.evaluate.reading import global_shap, missingness, student_fidelity
from pipeline.evaluate.rule_effects import rule_effects
from pipeline.evaluate.sensitivity import sensitivity
from pipeline.evaluate.shap_check import shap_check
from pipeline.evaluate.shap_pictures import shap_pictures
from pipeline.evaluate.stability import Variation, clear_of, draws_finding, stability, steadiness, weight_variations
from pipeline.evaluate.support import lacking
from pipeline.evaluate.weighing import outcome_weights, schedule_burden, weighted_burden
from pipeline.guardrails import RuleSet, Verdicts
from pipeline.learners import ModalityRanker, pair_half_widths
from pipeline.schema import Step
from pipeline.vocabulary import HIGHER_IS_BETTER

Array = npt.NDArray[np.float64]

_UNTOLD = {"site_id", "calendar_time"}
"""Site and calendar time are never named in a rule about people."""


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
    people : DataFrame of categories, indexed by decision_id
        Groups of people to tell what rules do to them; as `subgroups` returns them.
    rule_dates : Series of dates, indexed by decision_id
        By which rules are in force; missing where every rule judges.
    meanings, units : mapping of feature to meaning, and to unit where it has one
    attrition : sequence of Step
    leak_audit : mapping
    truth : DataFrame or None, one row per (decision_id, modality)
        True outcomes; simulated records only.
    temporal, shuffled : mapping
        What learning again from earlier decisions, and from shuffled outcomes, found; empty where not asked for.
    published_rule : PublishedRule or None
        A policy to compare with.
    published_trials : PublishedTrials or None
        Figures that look-alikes stand beside.
    learned_again : sequence of Variation
        What models of other seeds, or by another definition, say.
    not_learned_again : sequence of str
        Which of these there are not, and why.
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
    people: pd.DataFrame
    rule_dates: pd.Series
    meanings: Mapping[str, str]
    attrition: Sequence[Step]
    leak_audit: Mapping[str, Any]
    truth: pd.DataFrame | None
    temporal: Mapping[str, Any]
    shuffled: Mapping[str, Any]
    published_rule: PublishedRule | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    published_trials: PublishedTrials | None = None
    learned_again: Sequence[Variation] = ()
    not_learned_again: Sequence[str] = ()


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
    rows = material.features.iloc[evidence.rows]
    signed, cost = outcome_weights(config, targets), weighted_burden(config, targets, rows, ranker.arms_)
    impossible = material.is_impossible[list(ranker.arms_)].to_numpy(dtype=bool)[evidence.rows].copy()
    impossible[np.arange(len(impossible)), evidence.arm] = False
    setting = Setting(
        evidence=evidence,
        arms=ranker.arms_,
        burden=cost,
        signed=signed,
        is_impossible=impossible,
        features=rows,
        matrix=ranker.model_.columns.matrix(rows),
        categorical=ranker.model_.columns.categorical,
    )
    truth = true_utility(material.truth, rows["decision_id"], ranker.arms_, weights, cost)
    limited = {entry.id: entry.time_limited for entry in config.modalities}
    deviations = ranker.deviations(rows)
    result: dict[str, Any] = {
        "estimands": _estimands(config, [target.name for target in targets]),
        "weights": weights,
        "cohort": _cohort(material, labels),
        "missingness": missingness(
            material.features, ranker.model_.columns.names, material.labels["modality"], material.meanings
        ),
        **_people(material, labels),
        **_valuation(material, setting, labels, truth, deviations),
        "calibration": calibration(evidence, ranker.arms_, targets, limited),
        "discrimination": discrimination(evidence, rows, targets),
        "decision_curves": decision_curves(evidence, targets, config.settings.evaluation.decision_thresholds),
        "learner": {
            "weights": dict(ranker.blend_.weights),
            "shrinkage": ranker.shrinkage_.factor,
            "shrinkage_se": _finite(ranker.shrinkage_.standard_error),
            "words": ranker.shrinkage_.words,
            "student": student_fidelity(
                evidence, ranker.deployed_, ranker.arms_, targets, signed, ranker.shrinkage_.factor, gates
            ),
        },
        "intervals": intervals(ranker, rows, truth),
        "global_shap": global_shap(
            material.sample.explanation, material.sample.standing, material.sample_features, material.meanings
        ),
        "rules": rule_effects(
            material.verdicts, material.rules, material.sample.predictions, material.people, material.rule_dates
        ),
        "statuses": _statuses(material.sample.predictions),
        "leak_audit": dict(material.leak_audit),
        "conflicts": dict(ranker.conflicts_),
        **_challenges(material, setting, labels),
        **_reasons(material, setting, labels),
        "stability": _stability(material, setting, deviations),
    }
    result["checks"] = checks(result, gates)
    result["verdict"] = verdict(result["checks"])
    return result


def _valuation(
    material: Material,
    setting: Setting,
    labels: Mapping[str, str],
    truth: Mapping[str, Array] | None,
    deviations: Array,
) -> dict[str, Any]:
    """Return overlap, league table, abstention curve and subgroups of the training rows."""
    ranker, settings = material.ranker, material.config.settings
    evidence, floor = setting.evidence, settings.gates.propensity_floor
    names = [name for name in ranker.model_.propensity_columns.names if name not in _UNTOLD]
    missing = lacking(
        evidence.fold.propensity,
        evidence.arm,
        setting.is_impossible,
        setting.arms,
        setting.features,
        names,
        floor,
        material.meanings,
    )
    found = policies(setting, settings.learner, material.published_rule)
    logged = logged_of(evidence, setting.burden, setting.signed, floor, missing.cells)
    arms = Arms(setting.arms, tuple(labels[name] for name in setting.arms), missing.regions)
    students = student_choices(setting, ranker.deployed_.outcomes)
    sureness = confidence(evidence.utility - setting.burden, pair_half_widths(deviations), setting.is_impossible)
    chosen = next(choice.chance for choice in found if choice.policy == MODEL)
    return {
        "overlap": overlap(evidence, setting.arms, labels, missing, floor),
        "league": league(setting, logged, found, students, arms, truth),
        "abstention_curve": [] if chosen is None else abstention_curve(chosen, logged, sureness),
        "subgroups": by_group(
            seen_of(evidence, chosen, logged, ranker.model_.targets),
            material.people,
            material.sample.predictions,
            setting.arms,
            settings.gates,
        ),
    }


def _people(material: Material, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return who was given what, and where and when facts were not recorded."""
    ranker, settings = material.ranker, material.config.settings
    groups = site_and_year(material.people["site"], material.rule_dates, material.patients)
    return {
        "characteristics": characteristics(
            material.features,
            material.labels["modality"],
            settings.evaluation.characteristics,
            Described(material.meanings, material.units, labels),
            ranker.evidence_,
            ranker.arms_,
            settings.gates.propensity_floor,
        ),
        "missing_by": missing_by(material.features, ranker.model_.columns.names, groups, material.meanings),
    }


def _challenges(material: Material, setting: Setting, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return the tests that a model of confounded records can fail."""
    ranker, settings = material.ranker, material.config.settings
    evidence, gates, columns = setting.evidence, settings.gates, ranker.model_.propensity_columns
    floor, clip = gates.propensity_floor, gates.residual_clip
    names, meanings = settings.evaluation.negative_control, material.meanings
    possible, utility = ~setting.is_impossible, evidence.utility - setting.burden
    targets = ranker.model_.targets
    return {
        "balance": balance(evidence, setting.features, columns, setting.arms, labels, meanings, floor),
        "temporal": dict(material.temporal),
        "negative_control": negative_control(
            evidence, setting.features, columns, setting.arms, names, meanings, settings.learner, floor, clip
        ),
        "shuffled": dict(material.shuffled),
        "sensitivity": sensitivity(evidence, utility, possible, setting.arms, labels, targets, floor, clip),
        "lost_early": lost_early(evidence, possible, setting.signed, setting.arms, labels, targets, floor, clip),
    }


def _reasons(material: Material, setting: Setting, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return what moves the predictions, whether another tree walk finds the same, and trials beside look-alikes."""
    model, sample, rows = material.ranker.model_, material.sample, material.sample_features
    return {
        "shap_pictures": shap_pictures(sample.explanation, sample.standing, rows, material.meanings),
        "shap_check": shap_check(model, rows, setting.signed),
        "published_trials": published_trials(
            material.published_trials,
            setting.features,
            setting.evidence,
            setting.arms,
            model.targets,
            labels,
            material.meanings,
        ),
    }


def _stability(material: Material, setting: Setting, deviations: Array) -> dict[str, Any]:
    """Return whether first choices stay with other seeds, definitions, weights and draws."""
    ranker, config, impossible = material.ranker, material.config, setting.is_impossible
    said = ranker.deployed_.outcomes
    own = said @ setting.signed - setting.burden
    clear = clear_of(own, deviations, impossible)
    targets = ranker.model_.targets
    weights = config.weights([target.name for target in targets])
    schedule = schedule_burden(config, setting.features, setting.arms)
    signs = {target.name: target.sign for target in targets}
    names = {name: entry.label for name, entry in config.settings.outcomes.items()}
    varied = [*material.learned_again, *weight_variations(said, schedule, weights, signs, names)]
    rows = [steadiness(variation, clear, impossible) for variation in varied]
    drawn = draws_finding(own, deviations, clear, impossible, config.settings.learner.seed)
    return stability([*rows, drawn], clear, material.not_learned_again)


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


def _statuses(predictions: pd.DataFrame) -> list[dict[str, Any]]:
    counted = predictions.groupby(["modality", "status"], observed=True).size().reset_index(name="count")
    return [
        {"modality": str(row["modality"]), "status": str(row["status"]), "count": int(row["count"])}
        for row in counted.to_dict("records")
    ]
