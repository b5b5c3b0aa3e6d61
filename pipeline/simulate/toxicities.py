"""Which toxicities are recorded, of which term and grade?"""

from __future__ import annotations

import numpy as np

from pipeline.simulate.histories import NEVER
from pipeline.simulate.outcomes import observed
from pipeline.simulate.patients import Array, People, rows
from pipeline.simulate.settings import SimulationSettings

TERMS = np.array(
    ["infection", "crs", "icans", "delayed_neurotoxicity", "ocular", "bleeding", "organ_failure"], dtype=object
)
_BEFORE_INFUSION = np.array([0.72, 0, 0, 0, 0, 0.10, 0.18])
_AFTER_INFUSION = np.array([0.12, 0.46, 0.36, 0, 0, 0.02, 0.04])
_LATE_CAR_T = np.array([0.78, 0, 0, 0.12, 0, 0.04, 0.06])
_USUAL = np.array(
    [
        _LATE_CAR_T,
        [0.80, 0.02, 0.03, 0.0, 0.0, 0.05, 0.10],
        [0.34, 0.0, 0.0, 0.0, 0.50, 0.10, 0.06],
        [0.66, 0.0, 0.0, 0.0, 0.0, 0.12, 0.22],
    ]
)
_MILD: tuple[tuple[str, int, tuple[float, float, float, float], int, int], ...] = (
    ("crs", 2, (0.72, 0.54, 0.0, 0.0), 0, 9),
    ("icans", 1, (0.10, 0.06, 0.0, 0.0), 2, 12),
    ("infection", 2, (0.28, 0.34, 0.22, 0.28), 15, 170),
    ("delayed_neurotoxicity", 2, (0.075, 0.0, 0.0, 0.0), 30, 150),
    ("ocular", 2, (0.0, 0.0, 0.45, 0.02), 21, 120),
)
"""Grade 1 or 2 events: term, highest grade, chance by modality, first and last day after the start."""


def toxicity_events(people: People, settings: SimulationSettings) -> People:
    """Return the observed toxicity events: the first severe one as the hazards drew it, and milder ones.

    The date of the first grade 3 or worse event carries the truth. Its term follows from modality and time since
    infusion; it is grade 5 where the
    patient died without progression within 3 weeks and the term can kill.
    """
    rng = settings.stream("toxicities")
    severe = np.flatnonzero(observed(people, "toxicity_day"))
    soon_dead = (people["death_day"] - people["toxicity_day"] <= 21) & (people["progression_day"] > people["death_day"])
    term = toxicity_term(people)
    fatal = soon_dead & np.isin(term, ["infection", "organ_failure", "bleeding", "crs"])
    grade = np.where(fatal, 5, 3 + (rng.random(rows(people)) < 0.22))
    chunks = [_chunk(people, severe, term[severe], people["toxicity_day"][severe], grade[severe])]
    for name, highest, chances, first, last in _MILD:
        chance = np.array(chances)[people["chosen"]] * (people["start_day"] > NEVER)
        day = people["start_day"] + rng.integers(first, last + 1, rows(people))
        over = np.minimum(people["next_day"], people["death_day"])
        happened = (rng.random(rows(people)) < chance) & (day <= people["end_of_contact"]) & (day < over)
        who = np.flatnonzero(happened)
        mild = rng.integers(1, highest + 1, len(who))
        chunks.append(_chunk(people, who, np.full(len(who), name, dtype=object), day[who], mild))
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def toxicity_term(people: People) -> Array:
    """Return the term of each decision's first severe toxicity, from its own stored uniform draw."""
    weights = _USUAL[people["chosen"]]
    since = np.where(people["start_day"] > NEVER, people["toxicity_day"] - people["start_day"], -1)
    car_t = people["chosen"] == 0
    weights = np.where((car_t & (since < 0))[:, None], _BEFORE_INFUSION, weights)
    weights = np.where((car_t & (since >= 0) & (since <= 35))[:, None], _AFTER_INFUSION, weights)
    cumulative = np.cumsum(weights, axis=1)
    beyond = people["term_draw"][:, None] * cumulative[:, -1:] > cumulative
    return np.asarray(TERMS[beyond.sum(axis=1).clip(0, len(TERMS) - 1)])


def _chunk(people: People, who: Array, term: Array, day: Array, grade: Array) -> People:
    return {
        "patient": people["patient"][who],
        "event": np.full(len(who), "toxicity", dtype=object),
        "day": day,
        "term": term,
        "grade": grade.astype(int),
    }
