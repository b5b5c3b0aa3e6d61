"""What may the top file of a configuration say?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Literal

from pydantic import Field, field_validator

from pipeline.declared import Declared
from pipeline.vocabulary import OUTCOMES, Jurisdiction

UTILITY_NAMES = (*OUTCOMES, "burden")


class CohortConfig(Declared):
    """Who gets a decision point.

    Attributes
    ----------
    minimum_prior_lines : int
        Fewest lines of therapy started before the decision; 1 means first relapse.
    minimum_age : int, years
    data_cut_date : str or None, ISO date
        Follow-up is censored here; None takes each patient's own last contact.
    """

    minimum_prior_lines: int = Field(default=1, ge=0)
    minimum_age: int = Field(default=18, ge=0, le=120)
    data_cut_date: str | None = None

    @field_validator("data_cut_date")
    @classmethod
    def _is_a_day(cls, text: str | None) -> str | None:
        try:
            return None if text is None else date.fromisoformat(text).isoformat()
        except ValueError:
            raise ValueError("not a day of the calendar; wanted an ISO date such as 2024-06-30, or null") from None


class OutcomeConfig(Declared):
    """One outcome of the vector.

    Attributes
    ----------
    label : str
        How it is named on pages.
    definition : str
        The estimand in one sentence.
    horizon_months : int, months
        Follow-up from the decision in which it is judged; a multiple of 3, at most 12.
    competing : str
        What competes or censors.
    terms : tuple of str
        Toxicity terms that count (severe_toxicity only).
    minimum_grade : int
        Lowest grade that counts (severe_toxicity only).
    """

    label: str
    definition: str
    horizon_months: int = Field(ge=3, le=12, multiple_of=3)
    competing: str
    terms: tuple[str, ...] = ()
    minimum_grade: int = Field(default=3, ge=1, le=5)


class LearnerConfig(Declared):
    """How suitability is learned (docs/ranking.md says why).

    Attributes
    ----------
    seed : int
    folds : int or None
        Patient-grouped folds of the one cross-fit; None takes 5 under 2,000 decisions, else 3.
    ridge_alphas : tuple of float
        Candidate ridge strengths of the linear teacher.
    learning_rate, leaves, l2, feature_fraction, bagging_fraction
        Of the boosted teachers.
    trees_at_1000 : int
        Trees at 1,000 decisions; grows with the square root, between 120 and 500.
    student_trees, student_leaves, student_rows : int
        Of the deployed students; rows include feature-wise mixed ones.
    swap_probability : float
        Chance that a mixed row takes a feature from its partner.
    missing_dropout : float
        Share of values hidden in mixed rows, so that the direction of a gap is learned.
    draws : int
        Posterior draws that carry the covariance of the outcomes.
    interval_widening : float
        Least factor on interval widths; 1.1 is what simulated worlds needed (docs/ranking.md). Held-out
        doubly-robust contrasts may widen more, never less.
    threads : int
        Worker threads; results are the same for any number.
    """

    seed: int = Field(default=20260101, ge=0)
    folds: int | None = Field(default=None, ge=2, le=10)
    ridge_alphas: tuple[float, ...] = (0.003, 0.01, 0.03)
    learning_rate: float = Field(default=0.05, gt=0, le=1)
    leaves: int = Field(default=8, ge=2, le=64)
    trees_at_1000: int = Field(default=170, ge=10, le=2000)
    l2: float = Field(default=5.0, ge=0)
    feature_fraction: float = Field(default=0.5, gt=0, le=1)
    bagging_fraction: float = Field(default=0.8, gt=0, le=1)
    student_trees: int = Field(default=400, ge=10, le=2000)
    student_leaves: int = Field(default=8, ge=2, le=16)
    student_rows: int = Field(default=12000, ge=1000, le=100000)
    swap_probability: float = Field(default=0.3, gt=0, lt=1)
    missing_dropout: float = Field(default=0.03, ge=0, lt=0.5)
    draws: int = Field(default=32, ge=8, le=200)
    interval_widening: float = Field(default=1.1, ge=1, le=5)
    threads: int = Field(default=2, ge=1, le=64)


class GateConfig(Declared):
    """When is a number good enough to be used?

    Attributes
    ----------
    propensity_floor : float
        Below it a modality is outside experience for that person; doubly-robust weights are clipped here.
    residual_clip : float
        Largest doubly-robust residual.
    leak_auc_stop, leak_auc_report : float
        A single clinical feature that tells the modality given with an AUC above these stops training, or is reported.
    student_distance : float
        Largest root mean square distance of student to committee, as a share of the median interval half-width.
    student_agreement : float
        Smallest share of people for whom student and committee put the same modality first.
    subgroup_people : int
        Fewest people of a group that is judged alone.
    subgroup_margin : float
        How far calibration-in-the-large may be off in a group of people.
    subgroup_false_alarm : float
        Chance that a check over all groups raises an issue where no group is beyond its threshold.
    """

    propensity_floor: float = Field(default=0.03, gt=0, lt=0.5)
    residual_clip: float = Field(default=8.0, gt=0)
    leak_auc_stop: float = Field(default=0.95, gt=0.5, le=1)
    leak_auc_report: float = Field(default=0.80, gt=0.5, le=1)
    student_distance: float = Field(default=0.25, gt=0)
    student_agreement: float = Field(default=0.85, gt=0, le=1)
    subgroup_people: int = Field(default=30, ge=11)
    subgroup_margin: float = Field(default=0.10, gt=0, lt=1)
    subgroup_false_alarm: float = Field(default=0.05, gt=0, lt=0.5)


class StabilityConfig(Declared):
    """With what else to learn again, to see whether first choices stay; each costs about half of learning.

    Attributes
    ----------
    seeds : int, how many other seeds
    refractory : bool, whether with the other definition of refractory
    """

    seeds: int = Field(default=1, ge=0, le=10)
    refractory: bool = True


class EvaluationConfig(Declared):
    """Which tests of a trained model cost another look at the data?

    Attributes
    ----------
    temporal_holdout : bool
        Learn once more from the earlier three quarters of decision dates and judge the choices for the rest;
        needs calendar dates and a quarter to half the time of learning again.
    shuffled_run : bool
        Learn once more from outcomes shuffled within each modality, in which nothing is to be found.
    negative_control : tuple of str
        A number fixed before the decision, whose adjusted difference between modalities should be 0; further
        features that are nearly the same, left out of the adjustment with it. Empty for none.
    characteristics : tuple of str
        Features of the first table, by modality, in order; those that a source lacks are told.
    decision_thresholds : mapping of outcome to (lowest, highest)
        Risks of the bad outcome at which acting on the prediction is judged; no curve for other outcomes.
    stability : StabilityConfig
    """

    temporal_holdout: bool = True
    shuffled_run: bool = False
    negative_control: tuple[str, ...] = ("last_line_duration_days",)
    characteristics: tuple[str, ...] = (
        *("age", "sex", "months_since_diagnosis", "n_prior_lines", "triple_class_exposed", "triple_class_refractory"),
        *("penta_drug_refractory", "refractory_lenalidomide", "refractory_anti_cd38", "exposed_bcma_target"),
        *("imwg_high_risk", "iss", "extramedullary_disease", "ecog", "frail", "egfr", "hemoglobin", "platelets"),
        *("ldh", "distance_km"),
    )
    decision_thresholds: Mapping[str, tuple[float, float]] = Field(
        default={"durable_control": (0.2, 0.8), "severe_toxicity": (0.05, 0.65), "early_death": (0.02, 0.2)}
    )
    stability: StabilityConfig = StabilityConfig()

    @field_validator("decision_thresholds")
    @classmethod
    def _ranges_are_of_risks(cls, ranges: Mapping[str, tuple[float, float]]) -> Mapping[str, tuple[float, float]]:
        unknown = sorted(set(ranges) - set(OUTCOMES))
        wrong = sorted(name for name, (low, high) in ranges.items() if not 0 < low < high < 1)
        problems = [f"unknown outcome {', '.join(unknown)}; known are {', '.join(OUTCOMES)}"] if unknown else []
        problems += [f"{name}: wanted a lowest and a higher highest risk, both between 0 and 1" for name in wrong]
        if problems:
            raise ValueError(". ".join(problems))
        return ranges


class ShiftConfig(Declared):
    """When have decisions changed so much since training that somebody should look? (docs/monitoring.md)

    Attributes
    ----------
    bins : int
        Most bins of a number, each of as many training decisions.
    psi_watch, psi_issue : float
        Population stability index that is worth a look, and that is an issue. 0.1 and 0.25 are the field's rule of
        thumb, without a derivation.
    missing_margin : float
        Difference of the share missing that is an issue.
    abstain_margin : float
        Further share of people left without a rank for one reason, or of modalities outside experience.
    calibration_margin : float
        How far the mean prediction may be from what happened.
    slope_low : float
        Least calibration slope: below it the model sees differences that are not there.
    false_alarm : float
        Chance that any check of one run raises an issue where nothing has changed.
    """

    bins: int = Field(default=10, ge=2, le=50)
    psi_watch: float = Field(default=0.10, gt=0, lt=5)
    psi_issue: float = Field(default=0.25, gt=0, lt=5)
    missing_margin: float = Field(default=0.10, gt=0, lt=1)
    abstain_margin: float = Field(default=0.10, gt=0, lt=1)
    calibration_margin: float = Field(default=0.10, gt=0, lt=1)
    slope_low: float = Field(default=0.5, gt=0, lt=1)
    false_alarm: float = Field(default=0.05, gt=0, lt=0.5)


ROLES = (
    "treating haematologist",
    "transplant physician",
    "clinical pharmacist",
    "nurse specialist",
    "multidisciplinary team",
)
"""Who may be told on a review page to have set rules aside."""


class Settings(Declared):
    """The top file of a configuration.

    Attributes
    ----------
    modalities, products, guardrails : str
        Folders, relative to this file; every `*.yaml` directly in them is read. The last two may be null.
    features, drugs, source : str
        Files, relative to this file.
    published_rule, published_trials : str or None
        Files, relative to this file: a rule of choice to compare with, and figures that look-alikes stand beside.
    jurisdiction : {'us', 'eu'}
        Whose labels the guardrails read.
    include_draft_rules : bool
        Whether rules with status `draft` run (and are shown as draft).
    outcomes : mapping of outcome name to OutcomeConfig
    weights : mapping of outcome name, or `burden`, to float
        Default utility weights.
    override_roles : tuple of str
        Roles that a review page may name; any other text of an override counts among `other roles`.
    """

    title: str
    modalities: str
    products: str | None = None
    guardrails: str | None = None
    features: str
    drugs: str
    source: str
    published_rule: str | None = None
    published_trials: str | None = None
    jurisdiction: Jurisdiction = "us"
    include_draft_rules: bool = False
    refractory_definition: Literal["imwg", "next_line"] = "imwg"
    cohort: CohortConfig = CohortConfig()
    outcomes: Mapping[str, OutcomeConfig]
    weights: Mapping[str, float]
    learner: LearnerConfig = LearnerConfig()
    gates: GateConfig = GateConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    shift: ShiftConfig = ShiftConfig()
    override_roles: tuple[str, ...] = ROLES
    top_reasons: int = Field(default=8, ge=1, le=100)

    @field_validator("outcomes")
    @classmethod
    def _outcomes_fit(cls, outcomes: Mapping[str, OutcomeConfig]) -> Mapping[str, OutcomeConfig]:
        unknown = sorted(set(outcomes) - set(OUTCOMES))
        problems = []
        if unknown or not outcomes:
            named = f"unknown outcome {', '.join(unknown)}" if unknown else "no outcome"
            problems.append(f"{named}; known are {', '.join(OUTCOMES)}")
        if "treatment_free" in outcomes and "durable_control" not in outcomes:
            problems.append("treatment_free needs durable_control, whose time it divides")
        timed = ("durable_control", "treatment_free") if "treatment_free" in outcomes else ()
        problems += [
            f"{name}.horizon_months is {outcomes[name].horizon_months}, wanted 12: treatment_free counts the four "
            "quarters of the first year under control; leave it out to judge control earlier"
            for name in timed
            if name in outcomes and outcomes[name].horizon_months != 12
        ]
        if problems:
            raise ValueError(". ".join(problems))
        return outcomes

    @field_validator("weights")
    @classmethod
    def _weights_are_known(cls, weights: Mapping[str, float]) -> Mapping[str, float]:
        unknown = sorted(set(weights) - set(UTILITY_NAMES))
        if unknown:
            raise ValueError(f"unknown outcome {', '.join(unknown)}; known are {', '.join(UTILITY_NAMES)}")
        if min(weights.values(), default=0.0) < 0 or sum(weights.values()) <= 0:
            raise ValueError("weights must not be negative and must not all be 0")
        return weights
