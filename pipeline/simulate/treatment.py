"""Which lines and drug courses follow from the decision?"""

from __future__ import annotations

import numpy as np

from pipeline.simulate.histories import NEVER, History, mark_status, status_of
from pipeline.simulate.outcomes import AFTER_ALL
from pipeline.simulate.patients import Array, People, rows, take
from pipeline.simulate.regimens import BRIDGING, PRODUCTS, SALVAGE
from pipeline.simulate.settings import MODALITIES, SimulationSettings

_RESPONSE_SHIFT = np.array([1.25, 0.55, 0.55, 0.0])


def decided_lines(people: People, settings: SimulationSettings, wave: str) -> tuple[History, People, Array]:
    """Return the line that each decision started, what it leaves behind, and its best response.

    Returns
    -------
    History
        One line per decision with its drug courses; `end` and courses still running are capped later.
    dict
        Exposure and refractoriness after the line (for a later decision).
    array (n,)
        Best response as an index of `histories.RESPONSES`; -1 where it was too early to say.
    """
    rng = settings.stream(f"treatment {wave}")
    history = History()
    status = status_of(people)
    response = _responses(people, rng)
    number = people["prior_lines"] + 1
    for index, modality in enumerate(MODALITIES):
        for product, offer in PRODUCTS[modality].items():
            got = (people["chosen"] == index) & (people["product"] == product) & (people["start_day"] > NEVER)
            who = np.flatnonzero(got)
            for drug in offer.agents:
                start, end = people["start_day"][who], people["stop_day"][who]
                history.add_course(drug, people["patient"][who], number[who], start, end)
                progression = _progression(people)[who]
                mark_status(status, drug, who, end, progression, response[who])
    _bridge(people, rng, history, status, response)
    history.lines.append(
        {
            "patient": people["patient"],
            "line_number": number,
            "start": np.where(people["chosen"] == 0, people["decision_day"], _started(people)),
            "end": np.maximum(people["stop_day"], _started(people)),
            "progression": _progression(people),
            "response": response,
            "reason": _reason(people),
        }
    )
    history.lines[-1] = take(history.lines[-1], np.flatnonzero(has_line(people)))
    return history, status, response


def has_line(people: People) -> Array:
    """Return whether the decision left a line: CAR T always (apheresis and bridging), others once begun."""
    return np.asarray((people["chosen"] == 0) | (people["start_day"] > NEVER))


def _started(people: People) -> Array:
    return np.where(people["start_day"] > NEVER, people["start_day"], people["decision_day"])


def _progression(people: People) -> Array:
    return np.where(people["progression_day"] < AFTER_ALL, people["progression_day"], NEVER)


def _reason(people: People) -> Array:
    progressed = people["progression_day"] < people["death_day"]
    reason = np.where(people["stopped_early"], 1, np.where(progressed, 0, 4))
    return np.where((people["chosen"] == 0) & (people["start_day"] > NEVER), 2, reason)


def _responses(people: People, rng: np.random.Generator) -> Array:
    """Return best responses that agree with how long control lasted; none for those never treated."""
    lasted = np.minimum(people["progression_day"], people["death_day"]) - people["decision_day"]
    months = np.maximum(lasted, 1) / 30.4375
    score = 0.40 * np.log(months / 8.0) + _RESPONSE_SHIFT[people["chosen"]] + rng.normal(size=rows(people))
    response = np.digitize(score, [-1.5, -0.75, -0.6, 0.0, 0.6, 1.2])
    response = np.where((months < 2.5) & (response > 3), 3, response)
    unassessed = (people["start_day"] == NEVER) | (months < 1.0)
    return np.where(unassessed, -1, response)


def _bridge(people: People, rng: np.random.Generator, history: History, status: People, response: Array) -> None:
    """Add a holding or bridging course from the CAR T decision to the day before infusion, and lymphodepletion."""
    car_t = np.flatnonzero(people["chosen"] == 0)
    infused = people["start_day"][car_t] > NEVER
    last = np.where(infused, people["start_day"][car_t] - 1, people["stop_day"][car_t])
    which = rng.integers(0, len(BRIDGING), len(car_t))
    for index, drugs in enumerate(BRIDGING):
        chosen = np.flatnonzero(which == index)
        who = car_t[chosen]
        for drug in drugs:
            start = people["decision_day"][who]
            number = people["prior_lines"][who] + 1
            end = np.maximum(last[chosen], start)
            history.add_course(drug, people["patient"][who], number, start, end)
            mark_status(status, drug, who, end, _progression(people)[who], response[who])
    who = car_t[infused]
    number = people["prior_lines"][who] + 1
    early = np.maximum(people["start_day"][who] - 5, people["decision_day"][who])
    late = np.maximum(people["start_day"][who] - 3, people["decision_day"][who])
    for drug in ("fludarabine", "cyclophosphamide"):
        history.add_course(drug, people["patient"][who], number, early, late)


def later_lines(people: People, settings: SimulationSettings) -> History:
    """Return the line after the last simulated decision, for those who had a next treatment."""
    rng = settings.stream("later lines")
    history = History()
    who = np.flatnonzero(people["next_day"] < AFTER_ALL)
    which = rng.integers(0, len(SALVAGE), len(who))
    line_number = people["prior_lines"][who] + 1 + has_line(people)[who]
    months = rng.gamma(1.5, 4.0, len(who)) + 0.5
    end = np.minimum(people["next_day"][who] + np.ceil(months * 30.4375).astype(int), people["death_day"][who])
    died = end >= people["death_day"][who]
    for index, drugs in enumerate(SALVAGE):
        given = np.flatnonzero(which == index)
        for drug in drugs:
            start = people["next_day"][who][given]
            history.add_course(drug, people["patient"][who][given], line_number[given], start, end[given])
    history.lines.append(
        {
            "patient": people["patient"][who],
            "line_number": line_number,
            "start": people["next_day"][who],
            "end": end,
            "progression": np.where(died, NEVER, end),
            "response": np.digitize(rng.normal(size=len(who)), [-0.8, 0.0, 0.1, 0.9, 1.5]),
            "reason": np.where(died, 4, 0),
        }
    )
    return history
