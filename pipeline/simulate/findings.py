"""Which coded facts were recorded as present or absent, and which were never asked?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.simulate.histories import NEVER
from pipeline.simulate.patients import Array, People, rows
from pipeline.simulate.settings import SimulationSettings
from pipeline.simulate.writing import iso, known_later, numbered, table, words

_VALUES = ["absent", "present", "I", "II", "III", "monoallelic", "biallelic"]


@dataclass(frozen=True)
class Question:
    """How one fact is asked about.

    Attributes
    ----------
    missing : float
        Share of decisions at which it was not asked, at `missingness` 1 (working assumptions).
    before : int, days
        About how long before the decision it was found.
    late : int, days
        Longest usual delay of the report.
    mnar : float
        Change of the log chance of being missing where the fact is true.
    """

    missing: float
    before: int = 20
    late: int = 2
    mnar: float = 0.0


QUESTIONS: dict[str, Question] = {
    "del17p": Question(0.18, 45, 14),
    "t4_14": Question(0.20, 45, 14),
    "t14_16": Question(0.25, 45, 14),
    "t14_20": Question(0.55, 45, 14),
    "gain1q": Question(0.28, 45, 14),
    "tp53_mutation": Question(0.70, 45, 21),
    "extramedullary_disease": Question(0.15, 16, 3, -0.5),
    "paraskeletal_plasmacytoma": Question(0.20, 16, 3, -0.5),
    "rapid_progression": Question(0.20, 8, 1, -0.7),
    "recurrent_infection": Question(0.15, 25, 2, -0.5),
    "active_infection": Question(0.10, 4, 0, -1.0),
    "corneal_disease": Question(0.25, 40, 2, -0.4),
    "caregiver": Question(0.30, 12),
    "near_centre": Question(0.25, 12),
    "hospital_access": Question(0.20, 12),
    "eye_care_access": Question(0.30, 12),
    "hbsag": Question(0.22, 60, 4),
    "anti_hbc": Question(0.26, 60, 4),
    "hiv": Question(0.28, 60, 4),
    "hcv_rna": Question(0.34, 60, 4),
    "autoimmune_disease": Question(0.25, 90),
    "live_vaccine": Question(0.40, 20),
    "contact_lenses": Question(0.55, 30),
    "fine_vision_occupation": Question(0.60, 30),
    "parkinsonism": Question(0.30, 60),
    "guillain_barre": Question(0.35, 60),
    "prior_severe_crs": Question(0.30, 60),
    "bleeding": Question(0.20, 8),
    "pulmonary_disease": Question(0.20, 60),
    "dysphagia": Question(0.40, 20),
    "weight_loss": Question(0.30, 10),
    "gilbert": Question(0.35, 300),
    "bortezomib_intolerance": Question(0.25, 90),
    "plasma_cell_leukaemia": Question(0.10, 12),
    "amyloidosis": Question(0.15, 200),
    "poems": Question(0.15, 200),
    "cns_myeloma": Question(0.25, 14),
}
_WOMEN_ONLY = {"childbearing_potential": Question(0.08, 10), "pregnancy": Question(0.20, 5)}
_CODES = [
    *QUESTIONS,
    *_WOMEN_ONLY,
    "del1p32",
    "iss_stage",
    "r_iss_stage",
    "measurable_disease",
    "progression_documented",
    "eye_exam",
    "leukapheresis",
    "bridging_effective",
]


def finding_table(people: People, settings: SimulationSettings) -> pd.DataFrame:
    """Return the findings, one row per coded fact and date, of all decisions; no row means never asked."""
    rng = settings.stream("findings")
    n = rows(people)
    chunks = [
        _asked(code, question, people, people[code].astype(int), settings, rng) for code, question in QUESTIONS.items()
    ]
    chunks.append(_asked("del1p32", Question(0.60, 45, 14), people, _deletion_words(people), settings, rng))
    for code, question in _WOMEN_ONLY.items():
        chunk = _asked(code, question, people, people[code].astype(int), settings, rng)
        who = people["female"] if code == "childbearing_potential" else people["childbearing_potential"]
        chunks.append({name: values[who[chunk["row"]]] for name, values in chunk.items()})
    iss, r_iss = stages(people)
    chunks.append(_asked("iss_stage", Question(0.25, 30), people, iss + 1, settings, rng))
    chunks.append(_asked("r_iss_stage", Question(0.35, 30, 14), people, r_iss + 1, settings, rng))
    measurable = (people["m_protein_serum"] >= 0.5) | people["light_chain_only"]
    chunks.append(_asked("measurable_disease", Question(0.10, 12), people, measurable.astype(int), settings, rng))
    documented = (rng.random(n) < 0.96).astype(int)
    chunks.append(_asked("progression_documented", Question(0.06, 5, 0), people, documented, settings, rng))
    chunks += _around_treatment(people, settings, rng)
    pooled = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
    pooled = _within_contact(pooled, people)
    ids = numbered("P", np.arange(people["patient"].max() + 1) + 1).tolist()
    return table(
        {
            "patient_id": words(people["patient"][pooled["row"]], ids),
            "code": words(pooled["code"], _CODES),
            "value": words(pooled["value"], _VALUES),
            "found_at": iso(pooled["found"]),
            "resolved_at": iso(pooled["resolved"]),
            "known_at": iso(pooled["known"]),
        },
        ["patient_id", "found_at", "code"],
    )


def stages(people: People) -> tuple[Array, Array]:
    """Return ISS and R-ISS (1 to 3) from the true values of the decision day, as a clinic would grade them."""
    b2m = people["beta2_microglobulin"]
    iss = np.where(b2m >= 5.5, 3, np.where((b2m < 3.5) & (people["albumin"] >= 3.5), 1, 2))
    risk = people["del17p"] | people["t4_14"] | people["t14_16"]
    high_ldh = people["ldh"] > 240 + 5 * (people["site"] - 1.0)
    r_iss = np.where((iss == 3) & (risk | high_ldh), 3, np.where((iss == 1) & ~risk & ~high_ldh, 1, 2))
    return iss, r_iss


def _deletion_words(people: People) -> Array:
    return np.array([0, 5, 6])[people["del1p32"]]


def _asked(
    code: str, question: Question, people: People, value: Array, settings: SimulationSettings, rng: np.random.Generator
) -> People:
    n = rows(people)
    true = (value == 1) | (value >= 4)
    chance = settings.missingness * question.missing * np.where(true, np.exp(question.mnar), 1.0)
    asked = rng.random(n) >= np.minimum(chance, 0.97)
    spread = max(question.before // 3, 1)
    found = people["decision_day"] - question.before + rng.integers(-spread, spread + 1, n)
    found = np.minimum(np.maximum(found, people["birth_day"]), people["decision_day"] - 1)
    known = known_later(found, rng, question.late, 0.04, question.late + 10)
    resolved = np.full(n, NEVER)
    if code == "active_infection":
        over = found + rng.integers(3, 40, n)
        resolved = np.where((value == 1) & (rng.random(n) < 0.6), over, NEVER)
    row = np.flatnonzero(asked)
    return {
        "row": row,
        "code": np.full(len(row), _CODES.index(code)),
        "value": value[row],
        "found": found[row],
        "resolved": resolved[row],
        "known": known[row],
    }


def _around_treatment(people: People, settings: SimulationSettings, rng: np.random.Generator) -> list[People]:
    """Facts that belong to the modality given: recorded on or after the decision day, so no feature may see them."""
    n, day = rows(people), people["decision_day"]
    some_eye_exam = rng.random(n) < 0.10

    def chunk(code: str, who: Array, found: Array, value: Array) -> People:
        row = np.flatnonzero(who)
        return {
            "row": row,
            "code": np.full(len(row), _CODES.index(code)),
            "value": value[row],
            "found": found[row],
            "resolved": np.full(len(row), NEVER),
            "known": found[row] + rng.integers(0, 3, len(row)),
        }

    one = np.ones(n, dtype=int)
    car_t, adc = people["chosen"] == 0, people["chosen"] == 2
    return [
        chunk("eye_exam", adc, day + rng.integers(0, 9, n), one),
        chunk("eye_exam", some_eye_exam, day - rng.integers(20, 200, n), one),
        chunk("leukapheresis", car_t, day, one),
        chunk("bridging_effective", car_t & (rng.random(n) < 0.7), day + 30, (rng.random(n) < 0.6).astype(int)),
    ]


def _within_contact(pooled: People, people: People) -> People:
    last = people["end_of_contact"][pooled["row"]]
    seen = {name: values[pooled["found"] <= last] for name, values in pooled.items()}
    last = people["end_of_contact"][seen["row"]]
    return seen | {
        "resolved": np.where(seen["resolved"] > last, NEVER, seen["resolved"]),
        "known": np.where(seen["known"] < seen["found"], NEVER, seen["known"]),
    }
