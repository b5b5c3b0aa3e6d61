"""How do patients, choices and events become the tables of the records contract?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipeline.simulate.findings import finding_table
from pipeline.simulate.histories import NEVER, REASONS, RESPONSES, History
from pipeline.simulate.measurements import measurement_table
from pipeline.simulate.outcomes import AFTER_ALL, observed
from pipeline.simulate.patients import SITES, Array, People, race_names, rows, take
from pipeline.simulate.settings import MODALITIES, NOTE, SimulationSettings
from pipeline.simulate.toxicities import toxicity_events
from pipeline.simulate.writing import blanked, iso, known_later, numbered, table, words

_OUTCOMES = ["durable_control", "treatment_free", "severe_toxicity", "early_death", "burden"]
_WAITS = np.array([0.0, 8.0, 8.0, 3.0])


def record_tables(people: People, history: History, settings: SimulationSettings) -> dict[str, pd.DataFrame]:
    """Return every table of the contract by name, and `simulated` with its note.

    Parameters
    ----------
    people : one row per decision
        With patients renumbered from 0 without gaps and `decision_id` given.
    history : History
        Lines and courses of exactly these patients, before and after their decisions.
    settings : SimulationSettings
        Missingness and weights; each table draws from its own stream.
    """
    last = np.zeros(people["patient"].max() + 1, dtype=np.int64)
    np.maximum.at(last, people["patient"], people["end_of_contact"])
    return {
        "patients": _patients(people, settings),
        "lines": _lines(history, last, settings),
        "drugs": _drugs(history, last, settings),
        "measurements": measurement_table(people, settings),
        "findings": finding_table(people, settings),
        "decisions": _decisions(people),
        "availability": _availability(people, settings),
        "preferences": _preferences(people, settings),
        "events": _events(people, settings),
        "simulated": pd.DataFrame({"note": pd.array([NOTE], dtype="str")}),
    }


def _patients(people: People, settings: SimulationSettings) -> pd.DataFrame:
    first = take(people, np.flatnonzero(~people["second"]))
    rng = settings.stream("patients")
    ethnicity = np.where(first["hispanic"], "hispanic", "not_hispanic").astype(object)
    n = rows(first)
    hidden = rng.random(n) < 0.04 * settings.missingness
    return table(
        {
            "patient_id": numbered("P", first["patient"] + 1),
            "birth_date": iso(first["birth_day"]),
            "sex": np.where(first["female"], "female", "male").astype(object),
            "race": blanked(race_names(first), hidden),
            "ethnicity": blanked(ethnicity, hidden),
            "diagnosis_date": iso(first["diagnosis_day"]),
            "site_id": np.array(SITES, dtype=object)[first["site"]],
        },
        ["patient_id"],
    )


def _pooled(chunks: list[People]) -> People:
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def _lines(history: History, last: Array, settings: SimulationSettings) -> pd.DataFrame:
    rng = settings.stream("line records")
    lines = _pooled(history.lines)
    contact = last[lines["patient"]]
    lines = take(lines, np.flatnonzero(lines["start"] <= contact))
    contact, n = last[lines["patient"]], rows_of(lines)
    ended = lines["end"] <= contact
    seen = ended & (rng.random(n) >= 0.07 * settings.missingness)
    progression = np.where((lines["progression"] <= contact), lines["progression"], NEVER)
    dated = rng.random(n) >= 0.05 * settings.missingness
    return table(
        {
            "patient_id": numbered("P", lines["patient"] + 1),
            "line_number": lines["line_number"].astype(np.int64),
            "start_date": iso(lines["start"]),
            "end_date": iso(np.where(ended, lines["end"], NEVER)),
            "end_reason": words(np.where(ended, lines["reason"], -1), REASONS.tolist()),
            "best_response": words(np.where(seen, lines["response"], -1), RESPONSES.tolist()),
            "progression_date": iso(np.where(dated, progression, NEVER)),
            "known_at": iso(known_later(lines["start"], rng, 3, 0.02, 12)),
        },
        ["patient_id", "line_number"],
    )


def rows_of(columns: People) -> int:
    """Return the length of the first column."""
    return len(next(iter(columns.values())))


def _drugs(history: History, last: Array, settings: SimulationSettings) -> pd.DataFrame:
    rng = settings.stream("drug records")
    courses = _pooled(history.courses)
    courses = take(courses, np.flatnonzero(courses["start"] <= last[courses["patient"]]))
    ended = courses["end"] <= last[courses["patient"]]
    return table(
        {
            "patient_id": numbered("P", courses["patient"] + 1),
            "drug": courses["drug"],
            "start_date": iso(courses["start"]),
            "end_date": iso(np.where(ended, courses["end"], NEVER)),
            "line_number": courses["line_number"].astype(np.int64),
            "known_at": iso(known_later(courses["start"], rng, 2, 0.02, 10)),
        },
        ["patient_id", "start_date", "line_number", "drug"],
    )


def _decisions(people: People) -> pd.DataFrame:
    started = np.where(people["start_day"] <= people["end_of_contact"], people["start_day"], NEVER)
    return table(
        {
            "decision_id": people["decision_id"],
            "patient_id": numbered("P", people["patient"] + 1),
            "decision_date": iso(people["decision_day"]),
            "site_id": np.array(SITES, dtype=object)[people["site"]],
            "modality": np.array(MODALITIES, dtype=object)[people["chosen"]],
            "product": people["product"],
            "treatment_start_date": iso(started),
        },
        ["decision_id"],
    )


def _availability(people: People, settings: SimulationSettings) -> pd.DataFrame:
    rng = settings.stream("availability records")
    n = rows(people)
    waits = np.tile(_WAITS, (n, 1)) + rng.integers(0, 4, (n, 4))
    waits[:, 0] = people["wait_car_t"]
    waits = np.where(people["available"], waits, np.nan)
    unasked = (rng.random((n, 4)) < 0.03 * settings.missingness) & people["available"]
    keep = ~unasked.ravel()
    return table(
        {
            "decision_id": np.repeat(people["decision_id"], 4)[keep],
            "modality": np.tile(np.array(MODALITIES, dtype=object), n)[keep],
            "available": people["available"].ravel()[keep],
            "wait_days": waits.ravel()[keep],
        },
        ["decision_id", "modality"],
    )


def _preferences(people: People, settings: SimulationSettings) -> pd.DataFrame:
    rng = settings.stream("preferences")
    n = rows(people)
    base = np.array([settings.weights[name] for name in _OUTCOMES])
    weights = np.round(base * np.exp(0.6 * rng.normal(size=(n, len(_OUTCOMES)))), 2)
    stated = (rng.random(n) < 0.15)[:, None] & (rng.random((n, len(_OUTCOMES))) < 0.7)
    return table(
        {
            "decision_id": np.repeat(people["decision_id"], len(_OUTCOMES))[stated.ravel()],
            "outcome": np.tile(np.array(_OUTCOMES, dtype=object), n)[stated.ravel()],
            "weight": weights.ravel()[stated.ravel()],
        },
        ["decision_id", "outcome"],
    )


def _events(people: People, settings: SimulationSettings) -> pd.DataFrame:
    """Return what follow-up saw; contact for a first decision ends with the next treatment that led to a second."""
    kinds = (("progression", "progression_day"), ("next_treatment", "next_day"), ("death", "death_day"))
    chunks = []
    for event, column in kinds:
        happened = (people[column] < AFTER_ALL) & observed(people, column)
        who = np.flatnonzero(happened)
        chunks.append(_event(event, people["patient"][who], people[column][who]))
    final = np.flatnonzero(~people["has_second"])
    chunks.append(_event("last_contact", people["patient"][final], people["end_of_contact"][final]))
    chunks.append(toxicity_events(people, settings))
    pooled = _pooled(chunks)
    return table(
        {
            "patient_id": numbered("P", pooled["patient"] + 1),
            "event": pooled["event"],
            "event_date": iso(pooled["day"]),
            "term": blanked(pooled["term"], pooled["term"] == ""),
            "grade": pd.array(blanked(pooled["grade"], pooled["grade"] == 0), dtype="Int64"),
        },
        ["patient_id", "event_date", "event", "term"],
    )


def _event(event: str, patient: Array, day: Array) -> People:
    count = len(patient)
    return {
        "patient": patient,
        "event": np.full(count, event, dtype=object),
        "day": day,
        "term": np.full(count, "", dtype=object),
        "grade": np.zeros(count, dtype=int),
    }
