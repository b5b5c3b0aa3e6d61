"""When did what happen after the decision, and until when did anyone look?"""

from __future__ import annotations

import numpy as np

from pipeline.simulate.hazards import CAUSES, EDGES, hazards, modifiers
from pipeline.simulate.histories import NEVER
from pipeline.simulate.patients import Array, People, rows, take
from pipeline.simulate.settings import MODALITIES, SimulationSettings
from pipeline.simulate.truth import DAYS_PER_MONTH, NOT_MADE, WAIT_SPREAD, wait_factor

AFTER_ALL = 10**7
"""A day count no follow-up reaches."""


def first_times(rates: Array, rng: np.random.Generator) -> Array:
    """Return one waiting time per decision from its piecewise-constant hazard, in months.

    Parameters
    ----------
    rates : array (n, 5), per month
        Hazards on the periods that start at EDGES.
    rng : Generator
        One exponential draw per decision.
    """
    target = rng.exponential(size=len(rates))
    widths = np.diff(EDGES)
    reached = np.concatenate([np.zeros((len(rates), 1)), np.cumsum(rates[:, :-1] * widths, axis=1)], axis=1)
    period = (target[:, None] >= reached).sum(axis=1) - 1
    row = np.arange(len(rates))
    return np.asarray(EDGES[period] + (target - reached[row, period]) / rates[row, period])


def factual_hazards(people: People, settings: SimulationSettings) -> dict[str, Array]:
    """Return the hazards under the modality and product that each decision really got."""
    result = {cause: np.zeros((rows(people), len(EDGES))) for cause in CAUSES}
    for index, modality in enumerate(MODALITIES):
        for product in sorted(set(people["product"][people["chosen"] == index])):
            who = np.flatnonzero((people["chosen"] == index) & (people["product"] == product))
            for cause, rates in hazards(take(people, who), modality, product, settings).items():
                result[cause][who] = rates
    return result


def follow(people: People, settings: SimulationSettings, wave: str) -> People:
    """Return the people with everything that happens after the decision, as day numbers.

    Adds `progression_day, death_day, toxicity_day, next_day, start_day, stop_day, end_of_contact` (days since
    1970-01-01; AFTER_ALL or NEVER where it does not happen). Progression is NEVER-free of censoring here;
    `end_of_contact` is what records can show. The death hazard without progression goes on until the next
    treatment, so that the next treatment is independent censoring for toxicity.
    """
    rng = settings.stream(f"outcomes {wave}")
    n = rows(people)
    rates = factual_hazards(people, settings)
    latent = {cause: _days(first_times(rates[cause], rng)) for cause in CAUSES}
    gap = np.ceil(5 + rng.gamma(2.0, 14.0, n)).astype(int)
    progressed = latent["progression"] < latent["death"]
    next_after = np.where(progressed, latent["progression"] + gap, AFTER_ALL)
    next_after = np.where(next_after < latent["death"], next_after, AFTER_ALL)
    later_death = next_after + _days(rng.exponential(1.0, n) * 26 * np.exp(-0.3 * people["frailty"]))
    death = np.where(next_after < AFTER_ALL, later_death, latent["death"])
    toxicity = np.where(latent["toxicity"] <= np.minimum(latent["death"], next_after), latent["toxicity"], AFTER_ALL)
    day = people["decision_day"]
    followed = people | {
        "term_draw": rng.random(n),
        "progression_day": np.where(progressed, day + latent["progression"], AFTER_ALL),
        "death_day": day + death,
        "toxicity_day": np.where(toxicity < AFTER_ALL, day + toxicity, AFTER_ALL),
        "next_day": np.where(next_after < AFTER_ALL, day + next_after, AFTER_ALL),
    }
    followed |= _treatment(followed, settings, rng)
    followed["end_of_contact"] = np.minimum(_end_of_contact(followed, settings), followed["death_day"])
    return followed


def _days(months: Array) -> Array:
    return np.asarray(np.minimum(np.ceil(months * DAYS_PER_MONTH), AFTER_ALL).astype(int).clip(1))


def _treatment(people: People, settings: SimulationSettings, rng: np.random.Generator) -> People:
    """Return when therapy began (NEVER = it did not) and when the last dose of a continuous therapy was."""
    n, day = rows(people), people["decision_day"]
    is_car_t = people["chosen"] == 0
    delays = np.array([0, 9, 9, 5])[people["chosen"]]
    usual = np.ceil(1 + rng.gamma(2.0, delays / 2.0 + 0.01, n)).astype(int)
    factor = np.array([wait_factor(product, settings) for product in people["product"]])
    wait = np.exp(np.log(people["wait_car_t"] * factor) + WAIT_SPREAD * rng.normal(size=n))
    start = day + np.where(is_car_t, np.maximum(np.round(wait), 1).astype(int), usual)
    made = ~is_car_t | (rng.random(n) >= NOT_MADE)
    over = np.minimum(people["progression_day"], people["death_day"])
    began = made & (start < over)
    early = ~is_car_t & (rng.random(n) < 0.12)
    stopped = start + np.ceil(rng.gamma(2.0, 110.0, n)).astype(int)
    stop = np.where(early, np.minimum(stopped, over), over)
    return {
        "start_day": np.where(began, start, NEVER),
        "stop_day": np.where(is_car_t & began, start, stop),
        "stopped_early": early & (stopped < over),
    }


def _end_of_contact(people: People, settings: SimulationSettings) -> Array:
    """Return the last day on which anything about the patient can be recorded.

    Loss depends on recorded facts only (distance, fitness, age), so that it is independent given them.
    """
    facts = modifiers(people)
    rate = settings.loss_per_month * np.exp(
        0.35 * facts["frail"] + 0.30 * np.log(people["distance_km"] / 55.0) - 0.25 * people["caregiver"]
    )
    lost = np.where(rate > 0, people["loss_drive"] / np.maximum(rate, 1e-12), np.inf)
    lost_day = people["decision_day"] + np.minimum(np.ceil(lost * DAYS_PER_MONTH), AFTER_ALL).astype(int)
    return np.asarray(np.minimum(lost_day, settings.cut_day))


def observed(people: People, day: str) -> Array:
    """Return whether a day fell on or before the end of contact."""
    return np.asarray(people[day] <= people["end_of_contact"])
