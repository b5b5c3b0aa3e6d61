"""A simulated evaluation and a simulated decision, as the pages receive them."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.review import CaseCard

LABELS = {
    "car_t": "CAR T-cell therapy",
    "bispecific": "Bispecific antibody",
    "adc": "Antibody-drug conjugate",
    "standard_triplet": "Standard triplet",
}
ARMS = {"car_t": 412, "bispecific": 655, "adc": 389, "standard_triplet": 1544}
OUTCOMES = ("durable_control", "treatment_free", "severe_toxicity", "early_death")
WEIGHTS = {
    "durable_control": 0.40,
    "treatment_free": 0.15,
    "severe_toxicity": 0.20,
    "early_death": 0.20,
    "burden": 0.05,
}


def estimands() -> list[dict[str, Any]]:
    return [
        _estimand(
            "durable_control", "Durable control", "No progression, next treatment or death", 12, "none", "higher"
        ),
        _estimand(
            "treatment_free",
            "Time off treatment",
            "Share of the year progression-free and off drugs",
            12,
            "none",
            "higher",
        ),
        _estimand(
            "severe_toxicity", "Severe toxicity", "First listed event of grade 3 or more", 6, "death competes", "lower"
        ),
        _estimand("early_death", "Early death", "Death without prior progression", 6, "progression competes", "lower"),
    ]


def _estimand(outcome: str, label: str, definition: str, months: int, competing: str, better: str) -> dict[str, Any]:
    return {
        "outcome": outcome,
        "label": label,
        "definition": definition,
        "horizon_months": months,
        "competing": competing,
        "better": better,
    }


def _calibration() -> list[dict[str, Any]]:
    levels = {"durable_control": (0.62, 0.51, 0.44, 0.38), "severe_toxicity": (0.31, 0.35, 0.22, 0.12)}
    levels["early_death"] = (0.09, 0.08, 0.06, 0.05)
    entries = []
    for outcome, means in levels.items():
        for (modality, n), mean in zip(ARMS.items(), means, strict=True):
            bins = []
            for step in range(5):
                predicted = mean * (0.5 + 0.25 * step)
                observed = max(0.0, predicted + 0.03 * ((step * 7 + len(modality)) % 3 - 1))
                count = n // 5 if (modality, step) != ("adc", 4) else 7
                bins.append(
                    {
                        "predicted": predicted,
                        "observed": observed,
                        "low": max(0.0, observed - 0.07),
                        "high": min(1.0, observed + 0.07),
                        "n": count,
                    }
                )
            entries.append(
                {
                    "outcome": outcome,
                    "modality": modality,
                    "n": n,
                    "slope": 0.93,
                    "slope_low": 0.71,
                    "slope_high": 1.15,
                    "intercept": -0.02,
                    "c_index": 0.66,
                    "c_index_low": 0.62,
                    "c_index_high": 0.70,
                    "brier": 0.201,
                    "bins": bins,
                }
            )
    entries[-1].update(slope=float("nan"), slope_low=None, slope_high=None, c_index=None)
    return entries


def _overlap() -> dict[str, Any]:
    shapes = {
        "car_t": [1210, 640, 402, 281, 190, 122, 84, 47, 19, 5],
        "bispecific": [402, 788, 720, 489, 290, 170, 84, 38, 14, 5],
        "adc": [1502, 804, 390, 170, 81, 33, 14, 6, 0, 0],
        "standard_triplet": [88, 190, 280, 349, 402, 441, 470, 412, 260, 108],
    }
    arms = [
        _overlap_arm("car_t", [0.03, 0.11, 0.22, 0.39, 0.66], 188.2, 0.021),
        _overlap_arm("bispecific", [0.06, 0.15, 0.24, 0.36, 0.58], 401.0, 0.011),
        _overlap_arm("adc", [0.02, 0.06, 0.11, 0.19, 0.37], 92.4, 0.064),
        _overlap_arm("standard_triplet", [0.13, 0.34, 0.53, 0.70, 0.88], 1290.0, 0.003),
    ]
    words = "Every modality was plausible for most patients. Conjugates were hardly ever given to the fittest."
    return {"arms": arms, "edges": [step / 10 for step in range(11)], "histogram": shapes, "words": words}


def _overlap_arm(modality: str, quantiles: list[float], effective: float, weight: float) -> dict[str, Any]:
    return {
        "modality": modality,
        "n": ARMS[modality],
        "quantiles": quantiles,
        "effective_sample_size": effective,
        "largest_weight_share": weight,
        "clipped": 14,
    }


def _league() -> list[dict[str, Any]]:
    rows = [
        ("model", "This model", 0.214, 0.011, 0.031, 0.012, 0.221, 0.019, ""),
        ("clinicians", "Clinicians' own choices", 0.183, 0.007, 0.0, 0.0, 0.186, 0.054, "reference"),
        (
            "one_best",
            "One best modality for everybody",
            0.197,
            0.012,
            0.014,
            0.013,
            0.201,
            0.039,
            "Bispecific antibody",
        ),
        ("imitation", "Imitation of clinicians", 0.186, 0.008, 0.003, 0.004, 0.188, 0.052, ""),
        ("random", "Random choice", 0.142, 0.009, -0.041, 0.010, 0.149, 0.091, ""),
    ]
    names = ("policy", "label", "value", "se", "difference", "difference_se", "true_value", "true_regret", "note")
    table = [dict(zip(names, row, strict=True)) for row in rows]
    return [{**row, "low": row["value"] - 1.64 * row["se"], "high": row["value"] + 1.64 * row["se"]} for row in table]


def _features() -> list[tuple[str, str, float, float, float | None]]:
    return [
        ("refractory_anti_cd38", "Refractory to an anti-CD38 antibody", 0.041, 0.029, -0.81),
        ("exposed_bcma_target", "Exposed to a BCMA-directed drug", 0.037, 0.034, -0.77),
        ("simplified_frailty", "Simplified frailty score", 0.033, 0.018, -0.64),
        ("n_prior_lines", "Prior lines of therapy", 0.029, 0.011, -0.72),
        ("extramedullary_disease", "Extramedullary disease", 0.027, 0.006, -0.9),
        ("log2_easix", "EASIX (log2)", 0.024, 0.012, -0.5),
        ("age", "Age", 0.021, 0.014, -0.44),
        ("lvef", "Left ventricular ejection fraction", 0.012, 0.009, 0.31),
        ("distance_km", "Distance to the centre", 0.010, 0.009, 0.05),
        ("m_protein_serum_trend", "Trend of serum M-protein", 0.008, 0.002, None),
    ]


def _missingness() -> list[dict[str, Any]]:
    shares = {
        "lvef": (0.34, 0.05, 0.31, 0.42, 0.48),
        "log2_easix": (0.18, 0.11, 0.16, 0.2, 0.21),
        "age": (0, 0, 0, 0, 0),
    }
    shares |= {"extramedullary_disease": (0.41, 0.22, 0.38, 0.45, 0.52), "distance_km": (0.05, 0.01, 0.04, 0.06, 0.07)}
    meanings = {feature: meaning for feature, meaning, *_ in _features()}
    return [
        {
            "feature": name,
            "meaning": meanings[name],
            "overall": row[0],
            "by_modality": dict(zip(ARMS, row[1:], strict=True)),
        }
        for name, row in shares.items()
    ]


def _rules() -> dict[str, Any]:
    def firing(
        rule_id: str, title: str, effect: str, where: list[str], counts: tuple[int, int, int, int]
    ) -> dict[str, Any]:
        fired, undecided, clear, removed = counts
        told = {"rule_id": rule_id, "title": title, "status": "active", "effect": effect, "applies_to": where}
        return {**told, "fired": fired, "undecided": undecided, "clear": clear, "removed_first_choice": removed}

    return {
        "decisions": 3000,
        "firings": [
            firing("G13", "Active uncontrolled infection", "block", ["car_t", "bispecific"], (212, 341, 2447, 61)),
            firing("G24a", "Left ventricular ejection fraction under 40 %", "block", ["car_t"], (48, 1020, 1932, 22)),
            firing("G19", "Never offer in pregnancy", "block", ["all"], (3, 40, 2957, 0)),
            firing("G26", "Kidney function under 30 mL/min", "action_required", ["car_t"], (164, 12, 2824, 0)),
        ],
    }


def _checks() -> list[dict[str, Any]]:
    def check(
        code: str, title: str, result: str, value: Any, threshold: Any, detail: str, section: str
    ) -> dict[str, Any]:
        told = {"code": code, "title": title, "result": result, "value": value, "threshold": threshold}
        return {**told, "detail": detail, "section": section}

    return [
        check(
            "V1",
            "Better than clinicians' own choices",
            "pass",
            0.031,
            "> 0",
            "Lower end of the 90% interval: 0.011",
            "league",
        ),
        check(
            "O1",
            "Every ranked modality has an effective sample of 100",
            "issue",
            92.4,
            100,
            "Antibody-drug conjugate",
            "overlap",
        ),
        check(
            "C1", "Calibration slope between 0.8 and 1.25", "pass", 0.93, "0.8 to 1.25", "All outcomes", "calibration"
        ),
        check("S1", "Small model follows the committee", "pass", 0.91, 0.85, "Same first choice", "learner"),
        check("L1", "No fact gives away the choice", "pass", 0.83, 0.95, "One feature reported", "leaks"),
        check("T1", "Temporal hold-out", "not_applicable", None, None, "The source has no calendar dates", ""),
        check("C2", "Calibration of early death in each arm", "too_little_data", 14, 30, "Events", "calibration"),
    ]


@pytest.fixture
def evaluation() -> dict[str, Any]:
    """A complete, simulated evaluation."""
    events = {"durable_control": 201, "severe_toxicity": 97, "early_death": 31}
    arms = [
        {
            "modality": modality,
            "label": LABELS[modality],
            "decisions": n,
            "patients": n - 20,
            "events": events,
            "censored_before_horizon": {"durable_control": 0.12, "severe_toxicity": 0.08},
            "ranked": True,
            "reason": None,
        }
        for modality, n in ARMS.items()
    ]
    celmod = {
        "modality": "celmod",
        "label": "Cereblon E3 ligase modulator",
        "decisions": 6,
        "patients": 6,
        "ranked": False,
    }
    arms.append(
        {**celmod, "events": dict.fromkeys(events, 2), "censored_before_horizon": {}, "reason": "too_few_cases"}
    )
    arms[2]["events"] = {**events, "early_death": 9}
    statuses = {"ranked": (610, 1204, 702, 1480), "tied": (1402, 1511, 1688, 1420), "abstained": (60, 12, 340, 0)}
    statuses |= {"indeterminate": (702, 270, 266, 97), "blocked": (226, 3, 4, 3)}
    return {
        "simulated": True,
        "model_version": "mmrank-7",
        "ruleset_version": "rules-2f9c1ab0",
        "records_digest": "9b1c44e0a7d2f6538e21",
        "created": "2027-01-14T09:30:00Z",
        "software": {"lightgbm": "4.7.0", "mmrank": "0.1.0", "scikit-learn": "1.9.1"},
        "seed": 20270114,
        "estimands": estimands(),
        "weights": WEIGHTS,
        "cohort": {
            "attrition": [
                {"step": "decisions_read", "rows_in": 3421, "rows_out": 3421, "reason": "all decisions in the records"},
                {"step": "relapsed", "rows_in": 3421, "rows_out": 3120, "reason": "line 2 or later"},
                {"step": "dated", "rows_in": 3120, "rows_out": 3116, "reason": "the decision has a date"},
                {
                    "step": "known_modality",
                    "rows_in": 3116,
                    "rows_out": 3006,
                    "reason": "one of the declared modalities was chosen",
                },
            ],
            "patients": 1911,
            "decisions": 3006,
            "modalities": arms,
        },
        "missingness": _missingness(),
        "overlap": _overlap(),
        "league": _league(),
        "calibration": _calibration(),
        "learner": {
            "weights": {"causal_forest": 0.42, "doubly_robust": 0.37, "hazard_boosting": 0.21},
            "shrinkage": 0.64,
            "shrinkage_se": 0.11,
            "words": "The committee agrees on the order; differences between patients are trusted to two thirds.",
            "student": {
                "rows": 3000,
                "rms_distance": 0.009,
                "median_half_width": 0.052,
                "top_choice_agreement": 0.91,
                "fidelity": [
                    {"outcome": name, "modality": modality, "r2_level": 0.94, "r2_contrast": 0.81}
                    for name in OUTCOMES[:2]
                    for modality in ARMS
                ],
                "passed": True,
            },
        },
        "intervals": {"level": 0.9, "scale": 1.18, "words": "Intervals were widened by 18 %.", "true_coverage": 0.893},
        "global_shap": [
            {
                "feature": name,
                "meaning": meaning,
                "mean_abs": level,
                "by_modality": {modality: level * (0.6 + 0.2 * place) for place, modality in enumerate(ARMS)},
                "contrast_mean_abs": contrast,
                "direction": direction,
            }
            for name, meaning, level, contrast, direction in _features()
        ],
        "rules": _rules(),
        "statuses": [
            {"modality": modality, "status": status, "count": counts[place]}
            for place, modality in enumerate(ARMS)
            for status, counts in statuses.items()
        ],
        "leak_audit": {
            "stopped": [],
            "reported": [{"feature": "lvef", "modality": "car_t", "auc": 0.83}],
            "features_checked": 164,
        },
        "checks": _checks(),
        "verdict": {
            "result": "review",
            "words": "The model is better than clinicians' choices here, but one arm has thin support.",
        },
        "published": [
            {
                "quantity": "12-month durable control",
                "modality": "car_t",
                "simulated": 0.71,
                "published": 0.73,
                "source": "CARTITUDE-4, table 2",
            },
            {
                "quantity": "Days to infusion",
                "modality": "car_t",
                "simulated": 46.2,
                "published": 44.0,
                "source": "KarMMa-3",
            },
        ],
    }


def _reason(feature: str, value: str | None, contribution: float) -> dict[str, Any]:
    return {"feature": feature, "value": value, "contribution": contribution}


def _row(modality: str, status: str, **known: Any) -> dict[str, Any]:
    keys = ("rank", "model_rank", "suitability", "suitability_low", "suitability_high", *OUTCOMES, "burden", "support")
    row: dict[str, Any] = dict.fromkeys((*keys, "baseline", "versus_next", "abstain_reason"))
    row |= {"decision_id": "decision-4711", "patient_id": "patient-0815", "modality": modality, "status": status}
    row |= {
        "tied_with": [],
        "rules": [],
        "products": [],
        "overrides": [],
        "reasons": [],
        "missing_facts": [],
        "verdict": "clear",
    }
    row |= {"model_version": "mmrank-7", "ruleset_version": "rules-2f9c1ab0", "records_digest": "9b1c44e0a7d2f6538e21"}
    return {**row, **known}


def _rows() -> list[dict[str, Any]]:
    bispecific = [
        _reason("exposed_bcma_target", "0.0", 0.048),
        _reason("extramedullary_disease", "1.0", -0.036),
        _reason("simplified_frailty", "2.0", -0.021),
        _reason("log2_easix", "0.8300000190734863", 0.015),
        _reason("burden", None, -0.006),
        _reason("all_other", None, 0.011),
    ]
    adc = [
        _reason("simplified_frailty", "2.0", 0.019),
        _reason("refractory_anti_cd38", None, -0.033),
        _reason("burden", None, -0.002),
        _reason("all_other", None, 0.004),
    ]
    triplet = [_reason("refractory_anti_cd38", None, -0.071), _reason("all_other", None, -0.010)]
    versus = [_reason("exposed_bcma_target", "0.0", 0.031), _reason("simplified_frailty", "2.0", -0.018)]
    versus += [_reason("all_other", None, 0.040)]
    return [
        _row(
            "standard_triplet",
            "ranked",
            rank=3,
            model_rank=4,
            suitability=0.069,
            suitability_low=0.041,
            suitability_high=0.097,
            durable_control=0.36,
            treatment_free=0.02,
            severe_toxicity=0.14,
            early_death=0.05,
            burden=0.13,
            support=0.52,
            verdict="not_assessed",
            baseline=0.150,
            reasons=triplet,
            products=[{"product": "dara_pom_dex", "verdict": "not_assessed"}],
        ),
        _row(
            "bispecific",
            "tied",
            rank=1,
            model_rank=2,
            tied_with=["adc"],
            suitability=0.231,
            suitability_low=0.174,
            suitability_high=0.288,
            durable_control=0.62,
            treatment_free=0.18,
            severe_toxicity=0.34,
            early_death=0.07,
            burden=0.31,
            support=0.24,
            verdict="action_required",
            baseline=0.220,
            reasons=bispecific,
            versus_next={"modality": "adc", "items": versus},
            rules=[{"rule_id": "G15", "verdict": "action_required", "missing_facts": ["hbsag"]}],
            products=[
                {"product": "teclistamab", "verdict": "action_required"},
                {"product": "talquetamab", "verdict": "blocked"},
            ],
            missing_facts=["distance_km", "hbsag"],
        ),
        _row(
            "adc",
            "tied",
            rank=1,
            model_rank=3,
            tied_with=["bispecific"],
            suitability=0.178,
            suitability_low=0.101,
            suitability_high=0.255,
            durable_control=0.47,
            treatment_free=0.06,
            severe_toxicity=0.21,
            early_death=0.05,
            burden=0.17,
            support=0.11,
            verdict="caution",
            baseline=0.190,
            reasons=adc,
            rules=[{"rule_id": "G33", "verdict": "caution", "missing_facts": []}],
            overrides=[
                {"rule_id": "G33", "reason": "Seen by ophthalmology", "by_role": "attending", "date": "2027-01-11"}
            ],
        ),
        _row(
            "car_t",
            "indeterminate",
            model_rank=1,
            suitability=0.262,
            suitability_low=0.180,
            suitability_high=0.344,
            durable_control=0.68,
            treatment_free=0.61,
            severe_toxicity=0.38,
            early_death=0.09,
            burden=0.42,
            support=0.16,
            verdict="indeterminate",
            rules=[{"rule_id": "G24a", "verdict": "indeterminate", "missing_facts": ["lvef"]}],
            products=[{"product": "cilta_cel", "verdict": "indeterminate"}],
            missing_facts=["lvef"],
        ),
        _row("celmod", "too_few_cases", verdict="not_assessed"),
    ]


@pytest.fixture
def card() -> CaseCard:
    """A complete, simulated decision."""
    meanings = {feature: (meaning, "") for feature, meaning, *_ in _features()}
    meanings |= {
        "exposed_bcma_target": ("Exposed to a BCMA-directed drug", "boolean"),
        "distance_km": ("Distance to the centre", "km"),
    }
    meanings |= {
        "extramedullary_disease": ("Extramedullary disease", "boolean"),
        "simplified_frailty": ("Simplified frailty", "points"),
    }
    meanings |= {"lvef": ("left ventricular ejection fraction", "%"), "hbsag": ("hepatitis B surface antigen", "")}
    rules = {
        "G15": {
            "title": "Test for hepatitis B before T-cell redirecting therapy",
            "reason": "Reactivation of hepatitis B can be fatal.",
            "action": "Test; if positive start antiviral prophylaxis with hepatology.",
            "source": {"document": "US prescribing information", "section": "5.4"},
            "status": "active",
        },
        "G24a": {
            "title": "Left ventricular ejection fraction under 40 % blocks CAR T",
            "reason": "Cytokine release strains the heart.",
            "action": "Echocardiogram.",
            "source": "trial exclusion threshold; to be set by the institution",
            "status": "active",
        },
        "G33": {
            "title": "Corneal disease",
            "reason": "Ocular toxicity.",
            "action": "Eye examination.",
            "source": None,
            "status": "draft",
        },
    }
    return CaseCard(
        decision_id="decision-4711",
        decision_date="2027-01-12",
        rows=_rows(),
        modality_labels={**LABELS, "celmod": "Cereblon E3 ligase modulator"},
        product_labels={
            "cilta_cel": "Ciltacabtagene autoleucel",
            "teclistamab": "Teclistamab",
            "talquetamab": "Talquetamab",
        },
        feature_meanings=meanings,
        rules=rules,
        obtain={
            "lvef": "Order an echocardiogram.",
            "hbsag": "Order hepatitis B serology.",
            "distance_km": "Ask for the home address.",
        },
        weights=WEIGHTS,
        estimands=estimands(),
        model_version="mmrank-7",
        ruleset_version="rules-2f9c1ab0",
        simulated=True,
        arm_evidence={"car_t": 412, "bispecific": 655, "adc": 389, "standard_triplet": 1544, "celmod": 6},
    )
