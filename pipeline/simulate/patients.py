"""Who are the patients: from hidden frailty, burden, tempo and fitness to what a clinic can measure?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.simulate.settings import SimulationSettings, day_of

Array = NDArray[Any]
People = dict[str, Array]
"""One entry per fact, one row per decision, all arrays of one length. Days count from 1970-01-01."""

SITES = ("SIM-A", "SIM-B", "SIM-C", "SIM-D")
"""Site ids say that they are simulated. A and B give CAR T, C refers some, D hardly any."""

LONG_AGO = -999_999
"""The day of something that has not happened."""

_SITE_SHARE = np.array([0.36, 0.28, 0.22, 0.14])
_SITE_TILT = np.array([-0.30, -0.05, 0.20, 0.30])
_PRIOR_LINES = np.array([0.22, 0.22, 0.20, 0.16, 0.12, 0.08])
_RACE = (("white", 0.70), ("black", 0.18), ("asian", 0.06), ("other", 0.06))
_ABNORMALITIES = {"t4_14": 0.13, "t14_16": 0.04, "t14_20": 0.012, "gain1q": 0.37, "tp53_mutation": 0.08}


def rows(people: People) -> int:
    """Return how many decisions there are."""
    return len(people["age"])


def take(people: People, index: Array) -> People:
    """Return the chosen rows of every fact."""
    return {name: values[index] for name, values in people.items()}


def join(first: People, second: People) -> People:
    """Stack two sets of decisions that have the same facts."""
    return {name: np.concatenate([values, second[name]]) for name, values in first.items()}


def choose(rng: np.random.Generator, weights: Array) -> Array:
    """Return one column index per row of a weight matrix (or n draws of one weight vector repeated by rows)."""
    cumulative = np.cumsum(weights, axis=1)
    draw = rng.random(len(weights)) * cumulative[:, -1]
    return np.asarray((draw[:, None] > cumulative).sum(axis=1).clip(0, weights.shape[1] - 1))


def draw_people(n: int, settings: SimulationSettings) -> People:
    """Return `n` patients at their first decision, one row each: who they are and their hidden state.

    Site ids depend on age and frailty only through `settings.confounding`, so that with 0 access is chance.
    """
    rng = settings.stream("people")
    age = np.clip(rng.normal(66.0, 9.5, n), 34, 91)
    prior = choose(rng, np.tile(_PRIOR_LINES, (n, 1))) + 1
    burden = rng.normal(size=n)
    tempo = 0.45 * burden + 0.89 * rng.normal(size=n)
    frailty = 0.45 * (age - 66) / 9.5 + 0.89 * rng.normal(size=n)
    tilt = np.exp(settings.confounding * frailty[:, None] * _SITE_TILT)
    span = day_of(settings.last_decision) - day_of(settings.first_decision)
    decided = day_of(settings.first_decision) + np.floor(span * rng.random(n) ** 0.8).astype(int)
    people: People = {
        "patient": np.arange(n),
        "second": np.zeros(n, dtype=bool),
        "decision_day": decided,
        "previous_day": np.full(n, LONG_AGO),
        "birth_day": np.floor(decided - age * 365.25).astype(int),
        "age": age,
        "female": rng.random(n) < 0.44,
        "race": choose(rng, np.tile([share for _, share in _RACE], (n, 1))),
        "hispanic": rng.random(n) < 0.10,
        "site": choose(rng, _SITE_SHARE * tilt),
        "prior_lines": prior,
        "burden": burden + 0.10 * (prior - 3),
        "tempo": tempo,
        "frailty": frailty,
        "immune": rng.normal(size=n) - 0.18 * (prior - 3),
        "unmeasured": rng.normal(size=n),
        "neuropathy_drive": rng.normal(size=n) + 0.15 * (prior - 3),
        "light_chain_only": rng.random(n) < 0.18,
        "kappa": rng.random(n) < 0.62,
        "del17p": rng.random(n) < 0.16,
        "del1p32": np.where(rng.random(n) < 0.10, np.where(rng.random(n) < 0.25, 2, 1), 0),
        "extramedullary_disease": rng.random(n) < 1 / (1 + np.exp(1.30 - 0.35 * burden - 0.25 * tempo)),
        "corneal_disease": rng.random(n) < 0.09 + 0.05 * (age > 72),
        "charlson": np.minimum(rng.poisson(np.exp(-0.10 + 0.45 * frailty)), 8),
        "height_drive": rng.normal(size=n),
        "mass_drive": rng.normal(size=n),
    }
    people |= {name: rng.random(n) < share for name, share in _ABNORMALITIES.items()}
    return people | _logistics(people, rng)


def race_names(people: People) -> Array:
    """Return the invented race of each patient in words."""
    return np.array([name for name, _ in _RACE], dtype=object)[people["race"]]


def _logistics(people: People, rng: np.random.Generator) -> People:
    n, site = rows(people), people["site"]
    distance = np.exp(np.log(np.array([55.0, 40.0, 70.0, 95.0]))[site] + 0.75 * rng.normal(size=n))
    return {
        "distance_km": np.clip(np.round(distance, 1), 1, 900),
        "caregiver": rng.random(n) < 0.80,
        "near_centre": rng.random(n) < np.where(distance < 120, 0.93, 0.55),
        "hospital_access": rng.random(n) < np.array([0.98, 0.97, 0.90, 0.82])[site],
        "eye_care_access": rng.random(n) < np.array([0.95, 0.92, 0.85, 0.80])[site],
        "loss_drive": rng.exponential(size=n),
    }


def relapse_again(people: People, settings: SimulationSettings, decision_day: Array) -> People:
    """Return the same patients at a later decision: older, frailer, with disease drawn anew around the old.

    `prior_lines` grows by one; facts of the history are updated by `histories.after_first`.
    """
    rng = settings.stream("relapse")
    n = rows(people)
    burden = 0.6 * people["burden"] + 0.75 * rng.normal(size=n) + 0.1
    tempo = 0.5 * people["tempo"] + 0.25 * burden + 0.75 * rng.normal(size=n)
    new_emd = rng.random(n) < 1 / (1 + np.exp(1.9 - 0.4 * burden))
    return people | {
        "second": np.ones(n, dtype=bool),
        "decision_day": decision_day,
        "previous_day": people["decision_day"],
        "loss_drive": rng.exponential(size=n),
        "age": (decision_day - people["birth_day"]) / 365.25,
        "prior_lines": people["prior_lines"] + 1,
        "burden": burden,
        "tempo": tempo,
        "frailty": people["frailty"] + 0.15 + 0.3 * rng.normal(size=n),
        "immune": people["immune"] - 0.15 + 0.3 * rng.normal(size=n),
        "neuropathy_drive": people["neuropathy_drive"] + 0.2,
        "del17p": people["del17p"] | (rng.random(n) < 0.05),
        "gain1q": people["gain1q"] | (rng.random(n) < 0.06),
        "extramedullary_disease": np.where(people["extramedullary_disease"], rng.random(n) < 0.8, new_emd),
        "charlson": np.minimum(people["charlson"] + (rng.random(n) < 0.15), 8),
    }


def examine(people: People, settings: SimulationSettings, wave: str) -> People:
    """Return the true clinical state on the decision day: laboratory values, grades and findings.

    Everything here follows from the hidden state plus noise; recording (what is written down, when and in
    which unit) happens in `measurements` and `findings`.
    """
    rng = settings.stream(f"examine {wave}")
    n = rows(people)
    fitness = 0.75 * people["frailty"] + 0.35 * people["burden"] + 0.45 * rng.normal(size=n)
    grades = {
        "ecog": np.digitize(fitness, [-0.65, 0.62, 1.55, 2.15]),
        "neuropathy_grade": np.digitize(people["neuropathy_drive"] + 0.2 * rng.normal(size=n), [-0.1, 1.0, 2.0]),
        "adl": np.clip(6 - np.digitize(people["frailty"], [1.0, 1.6, 2.1]), 0, 6),
        "iadl": np.clip(8 - np.digitize(people["frailty"], [0.7, 1.2, 1.6, 2.0]), 0, 8),
    }
    examined = people | grades | _blood(people, rng) | _body(people, rng)
    examined["karnofsky"] = np.clip(100 - 18 * grades["ecog"] - 10 * (rng.random(n) < 0.4), 20, 100) // 10 * 10
    return examined | _findings(examined, rng)


def _blood(people: People, rng: np.random.Generator) -> People:
    n = rows(people)
    b, t, f, i = (people[name] for name in ("burden", "tempo", "frailty", "immune"))
    late = people["prior_lines"] - 3
    emd = people["extramedullary_disease"]

    def noise(scale: float) -> Array:
        return scale * rng.normal(size=n)

    creatinine = np.exp(np.log(0.92) + 0.13 * b + 0.08 * f + 0.08 * ~people["female"] + noise(0.27))
    involved = np.exp(np.log(190) + 0.85 * b + noise(0.9))
    uninvolved = np.exp(np.log(8) + noise(0.5))
    protein = np.where(people["light_chain_only"], 0.0, np.clip(1.7 + 0.9 * b + noise(0.8), 0.1, 9))
    return {
        "hemoglobin": np.clip(11.3 - 0.75 * b - 0.45 * f - 0.4 * people["female"] + noise(0.8), 5.5, 17),
        "platelets": np.clip(np.exp(np.log(168) - 0.20 * b - 0.09 * late + 0.18 * i + noise(0.35)), 8, 600),
        "anc": np.clip(np.exp(np.log(2.8) - 0.08 * late + 0.10 * i + noise(0.38)), 0.1, 20),
        "alc": np.clip(np.exp(np.log(0.95) + 0.42 * i - 0.04 * late + noise(0.20)), 0.05, 10),
        "creatinine": np.clip(creatinine, 0.4, 11),
        "calcium": np.clip(9.4 + 0.15 * np.maximum(b, 0) + noise(0.45), 6.5, 15),
        "bilirubin": np.clip(np.exp(np.log(0.55) + noise(0.35)), 0.1, 6),
        "albumin": np.clip(3.75 - 0.25 * b - 0.12 * f + noise(0.3), 1.5, 5.3),
        "beta2_microglobulin": np.clip(3.9 * np.exp(0.42 * b + noise(0.18)) * (creatinine / 0.98) ** 0.4, 1, 55),
        "ldh": np.clip(np.exp(np.log(200) + 0.22 * b + 0.13 * t + 0.12 * emd + noise(0.18)), 90, 4000),
        "alt": np.clip(np.exp(np.log(21) + noise(0.4)), 5, 400),
        "ast": np.clip(np.exp(np.log(22) + noise(0.35)), 6, 400),
        "crp": np.clip(np.exp(np.log(5) + 0.4 * b + 0.2 * f + noise(0.9)), 0.2, 350),
        "ferritin": np.clip(np.exp(np.log(370) + 0.35 * b + 0.25 * t - 0.2 * i + noise(0.7)), 8, 30_000),
        "igg": np.clip(np.exp(np.log(520) + 0.35 * i + noise(0.5)), 60, 4500),
        "m_protein_serum": protein,
        "m_protein_urine_24h": np.where(rng.random(n) < 0.55, 0.0, np.exp(np.log(240) + 0.7 * b + noise(0.9))),
        "flc_kappa": np.where(people["kappa"], involved, uninvolved),
        "flc_lambda": np.where(people["kappa"], uninvolved, involved),
        "bone_marrow_plasma_cells": np.clip(100 / (1 + np.exp(0.9 - 0.8 * b + noise(0.5))), 1, 98),
    }


def _body(people: People, rng: np.random.Generator) -> People:
    n, f = rows(people), people["frailty"]
    height = np.where(people["female"], 162.0, 175.5) + 6.5 * people["height_drive"]
    del17p_fraction = np.clip(45 + 22 * rng.normal(size=n), 8, 98)
    plasmacytoma = np.exp(np.log(14) + 0.5 * people["burden"] + 0.7 * rng.normal(size=n))
    emd = people["extramedullary_disease"]
    return {
        "height": height,
        "weight": np.clip((26.5 + 4 * people["mass_drive"] - 0.8 * f) * (height / 100) ** 2, 38, 170),
        "lvef": np.clip(60 - 2.2 * f - 0.1 * (people["age"] - 66) + 5.5 * rng.normal(size=n), 22, 71),
        "spo2": np.clip(96.8 - 0.5 * f + 1.2 * rng.normal(size=n), 84, 100),
        "del17p_fraction": np.where(people["del17p"], del17p_fraction, 0.0),
        "plasmacytoma_area": np.where(emd, np.clip(plasmacytoma, 1, 200), 0.0),
    }


def _findings(people: People, rng: np.random.Generator) -> People:
    n, f, age = rows(people), people["frailty"], people["age"]

    def chance(share: Array | float) -> Array:
        return np.asarray(rng.random(n) < share)

    fertile = people["female"] & (age < 50)
    positive = chance(0.012)
    return {
        "rapid_progression": people["tempo"] + 0.25 * rng.normal(size=n) > 0.85,
        "paraskeletal_plasmacytoma": chance(0.17),
        "active_infection": chance(0.03 + 0.03 * (people["immune"] < -0.8)),
        "recurrent_infection": chance(1 / (1 + np.exp(2.0 + 0.7 * people["immune"]))),
        "hbsag": positive,
        "anti_hbc": positive | chance(0.06),
        "hiv": chance(0.006),
        "hcv_rna": chance(0.008),
        "autoimmune_disease": chance(0.035),
        "childbearing_potential": fertile,
        "pregnancy": fertile & chance(0.015),
        "live_vaccine": chance(0.01),
        "contact_lenses": chance(0.10),
        "fine_vision_occupation": chance(np.where(age < 66, 0.18, 0.05)),
        "parkinsonism": chance(0.008 + 0.012 * (f > 1)),
        "guillain_barre": chance(0.003),
        "bleeding": chance(0.015),
        "pulmonary_disease": chance(0.07 + 0.05 * (f > 1)),
        "dysphagia": chance(0.02),
        "weight_loss": chance(1 / (1 + np.exp(2.3 - 0.6 * people["burden"]))),
        "gilbert": chance(0.04),
        "bortezomib_intolerance": (people["neuropathy_grade"] >= 2) & chance(0.5),
        "plasma_cell_leukaemia": chance(1 / (1 + np.exp(5.0 - 0.8 * people["burden"]))),
        "amyloidosis": chance(0.03),
        "poems": chance(0.002),
        "cns_myeloma": people["extramedullary_disease"] & chance(0.03),
        "prior_severe_crs": people["prior_bcma"] & chance(0.03),
    }
