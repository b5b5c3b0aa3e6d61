"""Which values were measured when, in which unit, and which were not measured at all?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.simulate.patients import Array, People, rows
from pipeline.simulate.settings import SimulationSettings
from pipeline.simulate.writing import iso, known_later, numbered, table, words

_OFTEN = (-165, -115, -75, -40, -7)
_MONTHLY = (-150, -95, -50, -12)
_TWICE = (-75, -10)
_AFTER = (40, 95)
_REMEMBERED = (-30,)


@dataclass(frozen=True)
class Assay:
    """How one measurement is taken and lost.

    Attributes
    ----------
    days : tuple of int
        Usual days relative to the decision.
    unit : str
        Canonical unit of the records contract; empty where there is none.
    missing : float
        Share of decisions without it at `missingness` 1 (working assumptions of the evidence file, section 6.1,
        lowered where the default would leave nothing to learn from).
    mnar : float
        Change of the log chance of being missing per standard deviation of its own value: below 0, the worse
        the value the likelier it is measured.
    noise : float
        Spread of a repeat: relative where `relative`, else in units.
    drift : float
        Change per 30 days before the decision, in units or relative; `tempo_drift` adds per unit of hidden tempo.
    digits : int
        Decimals written.
    other : tuple of (unit, factor) or None
        Unit used by some sites, and what a canonical value is multiplied by.
    """

    days: tuple[int, ...]
    unit: str = ""
    missing: float = 0.05
    mnar: float = 0.0
    noise: float = 0.0
    relative: bool = True
    drift: float = 0.0
    tempo_drift: float = 0.0
    digits: int = 2
    other: tuple[str, float] | None = None
    after: tuple[int, ...] = ()


_COUNT = "10^9/L"
TESTS: dict[str, Assay] = {
    "hemoglobin": Assay(_OFTEN, "g/dL", 0.02, 0, 0.025, True, -0.010, -0.012, 1, ("g/L", 10.0), _AFTER),
    "platelets": Assay(_OFTEN, _COUNT, 0.02, 0, 0.06, True, -0.02, -0.02, 0, None, _AFTER),
    "anc": Assay(_OFTEN, _COUNT, 0.05, 0, 0.10, True, -0.01, 0, 2, None, _AFTER),
    "alc": Assay(_OFTEN[2:], _COUNT, 0.05, 0, 0.08, True, 0, 0, 2, None, _AFTER),
    "creatinine": Assay(_OFTEN, "mg/dL", 0.02, 0, 0.04, True, 0.01, 0.015, 2, ("umol/L", 88.4), _AFTER),
    "calcium": Assay(_MONTHLY[2:], "mg/dL", 0.05, -0.3, 0.015, True, 0, 0, 2, ("mmol/L", 0.2495)),
    "bilirubin": Assay(_TWICE, "mg/dL", 0.05, 0, 0.08, True, 0, 0, 2, ("umol/L", 17.104)),
    "albumin": Assay(_MONTHLY, "g/dL", 0.05, 0, 0.02, True, -0.005, -0.006, 2, ("g/L", 10.0)),
    "beta2_microglobulin": Assay(_TWICE, "mg/L", 0.30, -0.35, 0.05, True, 0.02, 0.02, 2),
    "ldh": Assay(_MONTHLY[1:], "U/L", 0.12, -0.35, 0.05, True, 0.02, 0.03, 0),
    "alt": Assay(_TWICE, "U/L", 0.05, 0, 0.08, True, 0, 0, 0),
    "ast": Assay(_TWICE, "U/L", 0.05, 0, 0.08, True, 0, 0, 0),
    "crp": Assay(_TWICE, "mg/L", 0.35, -0.40, 0.15, True, 0, 0, 2, ("mg/dL", 0.1)),
    "ferritin": Assay(_TWICE, "ng/mL", 0.35, -0.45, 0.10, True, 0.02, 0.02, 0),
    "igg": Assay(_MONTHLY[1:], "mg/dL", 0.15, 0, 0.05, True, 0, 0, 0, ("g/L", 0.01), _AFTER[:1]),
    "m_protein_serum": Assay(_MONTHLY, "g/dL", 0.10, -0.20, 0.04, True, 0.10, 0.08, 2, ("g/L", 10.0), _AFTER),
    "m_protein_urine_24h": Assay(_TWICE[1:], "mg", 0.40, -0.20, 0.10, True, 0, 0, 0),
    "flc_kappa": Assay(_MONTHLY[1:], "mg/L", 0.10, 0, 0.08, True, 0.05, 0.04, 2, ("mg/dL", 0.1)),
    "flc_lambda": Assay(_MONTHLY[1:], "mg/L", 0.10, 0, 0.08, True, 0.05, 0.04, 2, ("mg/dL", 0.1)),
    "bone_marrow_plasma_cells": Assay((-25,), "%", 0.30, -0.20, 0.08, True, 0, 0, 0),
    "lvef": Assay((-60,), "%", 0.30, 0.15, 2.0, False, 0, 0, 0),
    "spo2": Assay((-8,), "%", 0.25, 0.10, 0.5, False, 0, 0, 0),
    "weight": Assay((-170, -70, -10), "kg", 0.05, 0, 0.01, True, -0.002, -0.004, 1),
    "height": Assay(_REMEMBERED, "cm", 0.05, 0, 0, True, 0, 0, 0),
    "ecog": Assay((-60, -6), "", 0.15, 0.20, 0, False, 0, 0, 0),
    "karnofsky": Assay((-12,), "", 0.50, 0, 0, False, 0, 0, 0),
    "charlson": Assay(_REMEMBERED, "", 0.10, 0, 0, False, 0, 0, 0),
    "adl": Assay((-20,), "", 0.70, 0, 0, False, 0, 0, 0),
    "iadl": Assay((-20,), "", 0.70, 0, 0, False, 0, 0, 0),
    "neuropathy_grade": Assay((-14,), "", 0.25, -0.25, 0, False, 0, 0, 0),
    "del17p_fraction": Assay((-45,), "%", 0.20, 0, 2.0, False, 0, 0, 0),
    "plasmacytoma_area": Assay((-16,), "cm2", 0.30, 0, 0.05, True, 0, 0, 1),
    "distance_km": Assay(_REMEMBERED, "km", 0.15, 0, 0, True, 0, 0, 1),
}
LIMITS: dict[str, tuple[float, float]] = {"ldh": (240.0, 5.0), "alt": (45.0, 5.0), "ast": (40.0, 5.0)}
"""Upper limit of normal and its step per site; bilirubin's is 1.2 everywhere."""

_NEVER_IF_ABSENT = ("del17p_fraction", "plasmacytoma_area")
_OTHER_UNIT_SITES = np.array([0.02, 0.05, 0.60, 0.10])
_CODES = [*TESTS, *(f"{name}_uln" for name in LIMITS), "bilirubin_uln"]


def missing_tests(people: People, settings: SimulationSettings) -> dict[str, Array]:
    """Return, per measurement, which decisions lack it (blood counts and pairs are lost together)."""
    rng = settings.stream("missing tests")
    n = rows(people)
    draws = {code: rng.random(n) for code in TESTS}
    for follower, leader in (("flc_lambda", "flc_kappa"), ("platelets", "hemoglobin"), ("iadl", "adl")):
        draws[follower] = draws[leader]
    lost = {}
    for code, test in TESTS.items():
        value = np.asarray(people[code], dtype=float)
        spread = np.std(value)
        score = (value - value.mean()) / spread if spread > 0 else np.zeros(n)
        chance = settings.missingness * test.missing * np.exp(np.clip(test.mnar * score, -1.5, 1.5))
        lost[code] = draws[code] < np.minimum(chance, 0.97)
    return lost


def measurement_table(people: People, settings: SimulationSettings) -> pd.DataFrame:
    """Return the measurements, one row per measurement, of all decisions.

    The last value before a decision is the true one plus the noise of a repeat, earlier ones drift towards it
    (faster in fast disease). After the decision a few values follow, which nothing may use.
    """
    rng = settings.stream("measurements")
    lost = missing_tests(people, settings)
    chunks: list[People] = []
    for code, test in TESTS.items():
        other = rng.random(rows(people)) < _OTHER_UNIT_SITES[people["site"]]
        for day in test.days + test.after:
            chunk = _taken(code, test, day, people, lost[code], settings, rng)
            chunk["unit"] = np.full(len(chunk["row"]), _CODES.index(code))
            if test.other is not None:
                foreign = other[chunk["row"]]
                chunk["value"] = np.where(foreign, chunk["value"] * test.other[1], chunk["value"])
                chunk["unit"] = np.where(foreign, -1 - chunk["unit"], chunk["unit"])
            chunks.append(chunk)
            if code in LIMITS and day == test.days[-1]:
                chunks.append(_limit(code, chunk, people))
            if code == "bilirubin" and day == test.days[-1]:
                limit = {**chunk, "value": np.full(len(chunk["row"]), 1.2)}
                chunks.append(limit | {"code": np.full(len(chunk["row"]), _CODES.index("bilirubin_uln"))})
                chunks[-1]["unit"] = np.full(len(chunk["row"]), _CODES.index("bilirubin"))
    return _as_table({name: np.concatenate([c[name] for c in chunks]) for name in chunks[0]}, people, rng)


def _taken(
    code: str,
    test: Assay,
    day: int,
    people: People,
    lost: Array,
    settings: SimulationSettings,
    rng: np.random.Generator,
) -> People:
    n = rows(people)
    jitter = rng.integers(-5, 6, n)
    measured = people["decision_day"] + day + jitter
    if day == test.days[-1]:
        measured = np.minimum(measured, people["decision_day"] - 1)
    noise = rng.normal(size=n) * test.noise
    skipped = rng.random(n) < np.where(day == test.days[-1], 0.0, min(0.15 * settings.missingness, 0.9))
    keep = ~lost & ~skipped & (measured <= people["end_of_contact"])
    keep &= measured < np.where(day < 0, people["decision_day"], 10**7)
    keep &= measured > np.maximum(people["diagnosis_day"], people["previous_day"])
    if day > 0:
        keep &= measured < people["progression_day"]
    if code in _NEVER_IF_ABSENT:
        keep &= people[code] > 0
    value = np.asarray(people[code], dtype=float)
    months_before = np.maximum(-(day + jitter) / 30.0, 0.0)
    drift = (test.drift + test.tempo_drift * people["tempo"]) * months_before
    value = value * np.exp(noise - drift) if test.relative else value + noise - drift
    if day > 0:
        value = value * np.where(code == "m_protein_serum", 0.5, 1.0)
    if test.unit == "%":
        value = np.clip(value, 0, 100)
    row = np.flatnonzero(keep)
    return {
        "row": row,
        "code": np.full(len(row), _CODES.index(code)),
        "value": np.round(value[row], test.digits),
        "measured": measured[row],
    }


def _limit(code: str, chunk: People, people: People) -> People:
    normal, step = LIMITS[code]
    count = len(chunk["row"])
    return chunk | {
        "value": normal + step * (people["site"][chunk["row"]] - 1.0),
        "code": np.full(count, _CODES.index(f"{code}_uln")),
        "unit": np.full(count, _CODES.index(code)),
    }


def _as_table(pooled: People, people: People, rng: np.random.Generator) -> pd.DataFrame:
    canonical = [TESTS[code].unit if code in TESTS else "" for code in _CODES]
    foreign = [(TESTS[code].other or ("",))[0] if code in TESTS else "" for code in _CODES]
    unit = np.where(pooled["unit"] < 0, len(_CODES) - 1 - pooled["unit"], pooled["unit"])
    names = canonical + foreign
    unit = np.where(np.array([name == "" for name in names])[unit], -1, unit)
    patients = np.unique(people["patient"])
    ids = numbered("P", patients + 1).tolist()
    frame_order = np.lexsort((pooled["measured"], pooled["code"], people["patient"][pooled["row"]]))
    pooled = {name: values[frame_order] for name, values in pooled.items()}
    unit = unit[frame_order]
    measured = pooled["measured"]
    return table(
        {
            "patient_id": words(np.searchsorted(patients, people["patient"][pooled["row"]]), ids),
            "code": words(pooled["code"], _CODES),
            "value": np.round(pooled["value"], 4),
            "measured_at": iso(measured),
            "unit": words(unit, names),
            "known_at": iso(known_later(measured, rng, 2, 0.06, 16)),
        },
        [],
    )
