"""How fast does each thing happen to this patient under each modality?

Piecewise-constant cause-specific hazards per month on 0-3, 3-6, 6-9, 9-12 and after 12 months from the
decision, for progression, death without progression, and the first severe toxicity:
`log hazard = arm and period level + shared prognosis + heterogeneity x arm-specific effect`.
Numbers are invented and calibrated to published rates (docs/simulator.md); they are not estimates of anything.
"""

from __future__ import annotations

import numpy as np

from pipeline.simulate.patients import Array, People
from pipeline.simulate.settings import MODALITIES, SimulationSettings

EDGES = np.array([0.0, 3.0, 6.0, 9.0, 12.0])
"""Starts of the periods, months from the decision; the last is open."""
CAUSES = ("progression", "death", "toxicity")

Effects = dict[str, dict[str, float]]

_LEVELS: dict[str, dict[str, tuple[float, float, float, float, float]]] = {
    "car_t": {
        "progression": (0.024, 0.032, 0.033, 0.032, 0.027),
        "death": (0.011, 0.0105, 0.006, 0.005, 0.005),
        "toxicity": (0.088, 0.04, 0.018, 0.012, 0.008),
    },
    "bispecific": {
        "progression": (0.056, 0.036, 0.026, 0.022, 0.02),
        "death": (0.0080, 0.0065, 0.0055, 0.0050, 0.0045),
        "toxicity": (0.050, 0.034, 0.028, 0.024, 0.020),
    },
    "adc": {
        "progression": (0.042, 0.036, 0.034, 0.032, 0.030),
        "death": (0.007, 0.0065, 0.0055, 0.005, 0.0045),
        "toxicity": (0.070, 0.060, 0.045, 0.036, 0.030),
    },
    "standard_triplet": {
        "progression": (0.092, 0.09, 0.082, 0.075, 0.068),
        "death": (0.0065, 0.0055, 0.005, 0.0045, 0.004),
        "toxicity": (0.040, 0.030, 0.026, 0.024, 0.020),
    },
}
_PRODUCT_EFFECT = {"cilta_cel": -0.2, "ide_cel": 0.45}
"""Log hazard ratio of progression after the wait (published: HR 0.48, 0.36 to 0.63, cilta-cel against ide-cel)."""

_PROGNOSIS: Effects = {
    "progression": {
        "burden": 0.20,
        "high_risk": 0.28,
        "emd": 0.22,
        "lines": 0.09,
        "rapid": 0.18,
        "ferritin": 0.08,
        "albumin": -0.08,
    },
    "death": {"frail": 0.45, "ferritin": 0.15, "burden": 0.15, "albumin": -0.15, "lines": 0.06},
    "toxicity": {"frail": 0.14, "infections": 0.22, "alc": -0.06, "lines": 0.03},
}

_LINEAR: dict[str, Effects] = {
    "car_t": {
        "progression": {
            "emd": 0.45,
            "prior_bcma": 0.95,
            "ferritin": 0.48,
            "platelets": -0.32,
            "burden": 0.15,
            "len_refractory": -0.15,
        },
        "wait": {"rapid": 0.95, "wait": 0.15},
        "death": {"frail": 0.75, "ferritin": 0.45, "emd": 0.35, "platelets": -0.25},
        "toxicity": {"frail": 0.50, "ferritin": 0.42, "emd": 0.30, "platelets": -0.25},
    },
    "bispecific": {
        "progression": {
            "prior_bcma": 0.70,
            "burden": 0.36,
            "alc": -0.55,
            "ferritin": 0.05,
            "emd": 0.25,
            "lines": -0.18,
        },
        "wait": {"rapid": -0.35},
        "death": {"infections": 0.60, "alc": -0.25},
        "toxicity": {"infections": 0.70, "igg": -0.35, "alc": -0.25},
    },
    "adc": {
        "progression": {
            "prior_bcma": 1.10,
            "bort_refractory": 0.60,
            "high_risk": -0.50,
            "frail": -0.30,
            "rapid": 0.35,
            "ferritin": -0.10,
        },
        "wait": {},
        "death": {"frail": -0.20},
        "toxicity": {"corneal": 1.00, "neuropathy": 0.32, "platelets": -0.28, "frail": -0.15},
    },
    "standard_triplet": {
        "progression": {
            "len_refractory": 0.50,
            "cd38_refractory": 0.75,
            "lines": 0.14,
            "high_risk": 0.40,
            "emd": 0.15,
            "ferritin": -0.20,
            "frail": -0.15,
            "burden": -0.10,
        },
        "wait": {"rapid": -0.25},
        "death": {"renal": 0.25, "frail": -0.10},
        "toxicity": {"renal": 0.40, "neuropathy": 0.25, "heart": 0.45},
    },
}

_TREE: dict[str, Effects] = {
    "car_t": {
        "progression": {
            "hematotox": 1.40,
            "emd_large": 1.10,
            "prior_bcma_recent": 1.50,
            "fit": -0.55,
            "late_and_light": -0.30,
            "everyone": 0.14,
        },
        "wait": {"rapid_and_heavy": 1.20},
        "death": {"frail_and_inflamed": 1.60, "over_75": 0.70},
        "toxicity": {"hematotox": 1.00, "frail_and_inflamed": 0.90},
    },
    "bispecific": {
        "progression": {"lymphopenia": 1.00, "prior_bcma_recent": 0.85, "heavy": 0.85, "late_and_light": -0.90},
        "wait": {"rapid_and_heavy": -0.60},
        "death": {"lymphopenia": 0.60},
        "toxicity": {"low_igg_and_infections": 1.20, "lymphopenia": 0.35},
    },
    "adc": {
        "progression": {
            "prior_bcma_recent": 1.30,
            "bort_or_heavy": 0.90,
            "middle_burden": -0.80,
            "not_fit": -0.60,
            "everyone": -0.08,
        },
        "wait": {},
        "death": {"over_75": -0.40},
        "toxicity": {"corneal": 1.00, "neuropathy_and_old": 0.80},
    },
    "standard_triplet": {
        "progression": {"double_refractory": 1.20, "first_relapse": -0.90, "high_risk_late": 0.80, "hematotox": -0.50},
        "wait": {"rapid_and_heavy": -0.40},
        "death": {"renal_or_heart": 0.50},
        "toxicity": {"renal_or_heart": 0.80, "neuropathy_and_old": 0.40},
    },
}


def modifiers(people: People) -> dict[str, Array]:
    """Return the facts that move hazards, centred so that the average patient is near 0.

    All are functions of facts that a clinic can record; nothing hidden modifies a contrast.
    """
    frail = 0.45 * (people["ecog"] - 1.05) + 0.30 * (people["charlson"] - 1.05) + 0.30 * (people["age"] - 66) / 9.5
    burden = (
        0.40 * (np.log(people["beta2_microglobulin"]) - 1.37) / 0.5
        + 0.35 * (np.log(people["ldh"]) - 5.33) / 0.32
        + 0.35 * (people["bone_marrow_plasma_cells"] - 32) / 18
    )
    return {
        "frail": frail,
        "burden": burden,
        "emd": people["extramedullary_disease"] - 0.24,
        "high_risk": high_risk(people) - 0.57,
        "lines": people["prior_lines"] - 3.2,
        "rapid": people["rapid_progression"] - 0.20,
        "ferritin": (np.log(people["ferritin"]) - 5.9) / 0.85,
        "albumin": (people["albumin"] - 3.75) / 0.4,
        "alc": (np.log(people["alc"]) + 0.07) / 0.5,
        "platelets": (np.log(people["platelets"]) - 5.12) / 0.47,
        "igg": (np.log(people["igg"]) - 6.25) / 0.6,
        "infections": people["recurrent_infection"] - 0.13,
        "prior_bcma": people["prior_bcma"] - 0.17,
        "len_refractory": people["lenalidomide_refractory"] - 0.73,
        "cd38_refractory": people["cd38_refractory"] - 0.60,
        "bort_refractory": people["bortezomib_refractory"] - 0.36,
        "corneal": people["corneal_disease"] - 0.10,
        "neuropathy": people["neuropathy_grade"] - 0.75,
        "renal": (people["creatinine"] > 1.5) - 0.07,
        "heart": (people["lvef"] < 50) - 0.08,
        "wait": (people["wait_car_t"] - 47.0) / 10.0,
        "age": people["age"],
    }


def high_risk(people: People) -> Array:
    """Return whether any of del(17p), t(4;14), t(14;16), t(14;20) or gain of 1q is truly present."""
    names = ("del17p", "t4_14", "t14_16", "t14_20", "gain1q")
    return np.asarray(np.logical_or.reduce([people[name] for name in names]).astype(float))


def _thresholds(people: People, facts: dict[str, Array]) -> dict[str, Array]:
    """Return the branches of the `tree` world, each centred at about its own frequency."""
    inflamed = people["ferritin"] > 650
    marrow_poor = (people["platelets"] < 120).astype(int) + (people["anc"] < 1.5) + (people["hemoglobin"] < 9)
    heavy = facts["burden"] > 0.8
    rapid = people["rapid_progression"]
    poor_heart_or_kidney = (people["creatinine"] > 1.5) | (people["lvef"] < 50)
    branches = {
        "hematotox": (inflamed.astype(int) + marrow_poor) >= 2,
        "emd_large": people["extramedullary_disease"] & (people["plasmacytoma_area"] > 10),
        "prior_bcma_recent": people["prior_bcma"],
        "fit": (facts["frail"] < -0.3) & ~inflamed,
        "not_fit": facts["frail"] > 0.3,
        "rapid_and_heavy": rapid & (facts["burden"] > 0.2),
        "frail_and_inflamed": (facts["frail"] > 0.2) & (people["ferritin"] > 450),
        "over_75": people["age"] > 75,
        "lymphopenia": people["alc"] < 0.7,
        "heavy": heavy,
        "late_and_light": (people["prior_lines"] >= 4) & (facts["burden"] < 0.0),
        "low_igg_and_infections": (people["igg"] < 400) | people["recurrent_infection"],
        "bort_or_heavy": people["bortezomib_refractory"] | heavy,
        "middle_burden": np.abs(facts["burden"]) < 0.5,
        "corneal": people["corneal_disease"],
        "neuropathy_and_old": (people["neuropathy_grade"] >= 1) & (people["age"] > 65),
        "double_refractory": people["lenalidomide_refractory"] & people["cd38_refractory"],
        "first_relapse": people["prior_lines"] == 1,
        "high_risk_late": (high_risk(people) > 0) & (people["prior_lines"] >= 2),
        "renal_or_heart": poor_heart_or_kidney,
        "everyone": np.ones(len(people["age"]), dtype=bool),
    }
    return {name: branch.astype(float) - _BRANCH_SHARE[name] for name, branch in branches.items()}


_BRANCH_SHARE = {  # `everyone` stays uncentred: it keeps arm averages near those of the linear world
    "hematotox": 0.17,
    "emd_large": 0.18,
    "prior_bcma_recent": 0.17,
    "fit": 0.27,
    "not_fit": 0.30,
    "rapid_and_heavy": 0.15,
    "frail_and_inflamed": 0.17,
    "over_75": 0.17,
    "lymphopenia": 0.28,
    "heavy": 0.23,
    "late_and_light": 0.17,
    "low_igg_and_infections": 0.40,
    "bort_or_heavy": 0.48,
    "middle_burden": 0.36,
    "corneal": 0.10,
    "neuropathy_and_old": 0.30,
    "double_refractory": 0.47,
    "first_relapse": 0.20,
    "high_risk_late": 0.45,
    "renal_or_heart": 0.14,
    "everyone": 0.0,
}


def _weighted(effects: dict[str, float], facts: dict[str, Array], n: int) -> Array:
    total = np.zeros(n)
    for name, effect in effects.items():
        total = total + effect * facts[name]
    return total


def hazards(people: People, modality: str, product: str | None, settings: SimulationSettings) -> dict[str, Array]:
    """Return the monthly hazards of every decision under one modality, whatever was given.

    Parameters
    ----------
    people : one row per decision
        As `patients.examine` and `histories` leave them, with `wait_car_t` in days.
    modality : str
        One of MODALITIES.
    product : str or None
        Only CAR T products differ; None means no product effect.
    settings : SimulationSettings
        Heterogeneity, form, unmeasured confounder, zero-effect world.

    Returns
    -------
    dict of cause to array (n_decisions, 5), events per month
    """
    n = len(people["age"])
    facts = modifiers(people)
    table, branches = (_LINEAR, facts) if settings.form == "linear" else (_TREE, _thresholds(people, facts))
    rates = {}
    for cause in CAUSES:
        shared = _weighted(_PROGNOSIS[cause], facts, n)
        if cause != "toxicity":
            shared = shared - settings.unmeasured_confounder * 0.50 * people["unmeasured"]
        if settings.wait_without_effect:
            levels = np.mean([_LEVELS[name][cause] for name in MODALITIES], axis=0)
            rates[cause] = levels * np.exp(np.clip(shared, -3, 3))[:, None]
            continue
        own = settings.heterogeneity * _weighted(table[modality][cause], branches, n)
        log_ratio = np.tile((shared + own)[:, None], (1, len(EDGES)))
        if cause == "progression":
            log_ratio[:, 0] += settings.heterogeneity * _weighted(table[modality]["wait"], branches, n)
            log_ratio[:, 1:] += _PRODUCT_EFFECT.get(product or "", 0.0)
        rates[cause] = np.array(_LEVELS[modality][cause]) * np.exp(np.clip(log_ratio, -3.5, 3.5))
    return rates
