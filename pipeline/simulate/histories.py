"""What did each patient receive before: dated lines, drug courses, and what they became refractory to?"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pipeline.simulate.patients import LONG_AGO, Array, People, choose, rows, take
from pipeline.simulate.regimens import BCMA_DRUGS, CD38_DRUGS, REGIMENS, TRACKED
from pipeline.simulate.settings import SimulationSettings

NEVER = LONG_AGO
REFRACTORY_DAYS = 60
RESPONSES = np.array(["PD", "SD", "MR", "PR", "VGPR", "CR", "sCR"], dtype=object)
REASONS = np.array(["progression", "toxicity", "completed", "patient_choice", "death"], dtype=object)
_MEAN_MONTHS = np.array([34.0, 16.0, 11.0, 8.5, 7.0, 6.5])
_STOPS_EARLY = np.array([0.30, 0.22, 0.18, 0.16, 0.15, 0.15])


@dataclass
class History:
    """Lines and drug courses as column chunks; one entry per line or per course. Days, NEVER = none.

    Lines: `patient, line_number, start, end, progression, response (index of RESPONSES, -1 = not evaluated),
    reason (index of REASONS, -1 = ongoing)`. Courses: `patient, line_number, start, end, drug`.
    """

    lines: list[People] = field(default_factory=list)
    courses: list[People] = field(default_factory=list)

    def add_course(self, drug: str, patient: Array, line_number: Array, start: Array, end: Array) -> None:
        """Append one drug's courses; `end` is NEVER for a course still running at the last follow-up."""
        count = len(patient)
        self.courses.append(
            {
                "patient": patient,
                "line_number": np.broadcast_to(line_number, (count,)),
                "start": start,
                "end": end,
                "drug": np.full(count, drug, dtype=object),
            }
        )

    def extend(self, other: History) -> None:
        """Append all of another history."""
        self.lines += other.lines
        self.courses += other.courses


def draw_histories(people: People, settings: SimulationSettings) -> tuple[History, People]:
    """Return the history before the first decision, and the people with what it implies.

    Lines are dated backwards from the decision, regimens chosen forwards: one already given is not repeated,
    one with a drug the patient is refractory to is rare. Exposure and refractoriness follow from the dates by
    definitions.md (no response, or progression on or within 60 days of the last dose).
    """
    rng = settings.stream("histories")
    status = _blank_status(people)
    history = History()
    used = np.zeros((rows(people), len(REGIMENS)), dtype=bool)
    for number, line in enumerate(_dated_lines(people, rng), start=1):
        who = line["index"]
        weights = _regimen_weights(number, line["start"], used[who], take(status, who))
        regimen = choose(rng, weights)
        used[who, regimen] = True
        depth = np.array([entry.depth for entry in REGIMENS])[regimen]
        line["response"] = _responses(line["months"], depth, rng)
        history.lines.append(
            {
                "patient": people["patient"][who],
                "line_number": np.full(len(who), number),
                "start": line["start"],
                "end": line["last_dose"],
                "progression": line["progression"],
                "response": line["response"],
                "reason": line["reason"],
            }
        )
        for index, entry in enumerate(REGIMENS):
            chosen = np.flatnonzero(regimen == index)
            if len(chosen):
                _give(entry.drugs, number, people, take(line, chosen), status, history)
    diagnosis = history.lines[0]["start"] - rng.integers(7, 60, rows(people))
    return history, people | _summarised(status) | {"diagnosis_day": diagnosis}


def _dated_lines(people: People, rng: np.random.Generator) -> list[People]:
    """Return one dated line per line number, oldest first; `index` says whose it is."""
    n, prior = rows(people), people["prior_lines"]
    most = int(prior.max())
    next_start = people["decision_day"] - rng.integers(6, 40, n)
    dated: list[People] = []
    for back in range(most):
        who = np.flatnonzero(prior > back)
        number = prior[who] - back - 1
        mean = _MEAN_MONTHS[np.minimum(number, 5)] * np.exp(-0.15 * people["tempo"][who])
        months = np.clip(rng.gamma(2.0, mean / 2.0), 1.2, 170)
        progression = next_start[who] - rng.integers(6, 40, len(who)) * (back > 0)
        start = progression - np.floor(months * 30.4375).astype(int)
        early = rng.random(len(who)) < _STOPS_EARLY[np.minimum(number, 5)]
        stopped = start + np.floor((0.25 + 0.6 * rng.random(len(who))) * (progression - start)).astype(int)
        last_dose = np.where(early, stopped, progression + rng.integers(0, 6, len(who)) * (back > 0))
        reason = np.where(early, choose(rng, np.tile([0.0, 0.45, 0.45, 0.10], (len(who), 1))), 0)
        dated.append(
            {
                "index": who,
                "number": number + 1,
                "start": start,
                "progression": progression,
                "last_dose": last_dose,
                "months": months,
                "reason": reason,
            }
        )
        next_start = next_start.copy()
        next_start[who] = start
    pooled = {name: np.concatenate([line[name] for line in dated]) for name in dated[0]}
    order = np.argsort(pooled["index"], kind="stable")
    pooled = take(pooled, order)
    return [take(pooled, np.flatnonzero(pooled["number"] == number)) for number in range(1, most + 1)]


def _regimen_weights(number: int, start: Array, used: Array, status: People) -> Array:
    column = min(number, 4) - 1
    weights = np.tile([entry.weights[column] for entry in REGIMENS], (len(start), 1)).astype(float)
    for index, entry in enumerate(REGIMENS):
        names = {drug for drug, _, _ in entry.drugs}
        weights[:, index] *= np.where(start >= entry.first_day, 1.0, 0.0)
        for drug in TRACKED:
            if drug in names:
                weights[:, index] *= np.where(status[f"ref {drug}"], 0.25, 1.0)
        if names & BCMA_DRUGS:
            weights[:, index] *= np.where(status["last_bcma_day"] > NEVER, 0.35, 1.0)
    weights[used] = 0.0
    fallback = np.array([entry.weights[column] > 0 and entry.first_day == 0 for entry in REGIMENS], dtype=float)
    empty = weights.sum(axis=1) <= 0
    weights[empty] = fallback
    return weights


def _responses(months: Array, depth: Array, rng: np.random.Generator) -> Array:
    score = 0.45 * np.log(months / 6.0) + 0.6 * depth + rng.normal(size=len(months))
    response = np.digitize(score, [-1.7, -1.05, -0.85, 0.05, 0.75, 1.35])
    return np.where((months < 2.5) & (response > 3), 3, response)


def _give(
    drugs: tuple[tuple[str, int, int | None], ...],
    number: int,
    people: People,
    line: People,
    status: People,
    history: History,
) -> None:
    for drug, offset, days in drugs:
        start = line["start"] + offset
        planned = np.full(len(start), 10**7) if days is None else start + days - 1
        end = np.minimum(planned, line["last_dose"])
        given = np.flatnonzero((end >= start) & (start <= line["progression"]))
        who = line["index"][given]
        history.add_course(drug, people["patient"][who], np.full(len(who), number), start[given], end[given])
        mark_status(status, drug, who, end[given], line["progression"][given], line["response"][given])


def mark_status(status: People, drug: str, who: Array, last_dose: Array, progression: Array, response: Array) -> None:
    """Note in place that `who` had a drug, and whether that made them refractory to it.

    `progression` is NEVER where there was none; a response below MR (index under 2, and known) is no response.
    """
    near = (progression > NEVER) & (progression - last_dose <= REFRACTORY_DAYS)
    refractory = near | ((response >= 0) & (response < 2))
    if drug in TRACKED:
        status[f"exp {drug}"][who] = True
        status[f"ref {drug}"][who] |= refractory
    if drug in BCMA_DRUGS:
        status["last_bcma_day"][who] = np.maximum(status["last_bcma_day"][who], last_dose)
        status["ref bcma"][who] |= refractory
    if drug == "autologous_transplant":
        status["prior_transplant"][who] = True


def _blank_status(people: People) -> People:
    n = rows(people)
    flags = [f"{kind} {drug}" for kind in ("exp", "ref") for drug in TRACKED] + ["ref bcma", "prior_transplant"]
    return {name: np.zeros(n, dtype=bool) for name in flags} | {"last_bcma_day": np.full(n, NEVER)}


def status_of(people: People) -> People:
    """Return a copy of the part of the people that a history determines, to be marked further."""
    return {name: people[name].copy() for name in _blank_status(people)}


def _summarised(status: People) -> People:
    return status | {
        "cd38_refractory": np.logical_or.reduce([status[f"ref {drug}"] for drug in sorted(CD38_DRUGS)]),
        "cd38_exposed": np.logical_or.reduce([status[f"exp {drug}"] for drug in sorted(CD38_DRUGS)]),
        "lenalidomide_refractory": status["ref lenalidomide"],
        "bortezomib_refractory": status["ref bortezomib"],
        "pomalidomide_refractory": status["ref pomalidomide"],
        "prior_bcma": status["last_bcma_day"] > NEVER,
    }


def after_first(people: People, marked: People) -> People:
    """Return the people with the status a further line has left them in."""
    return people | _summarised(marked)
