"""What is the true expectation of every outcome, had this decision gone to this modality?

Computed from the hazards by definitions.md, not from draws. Within a period of constant hazards the incidences
have closed forms; the treatment-free share is integrated over days with the distribution of the wait.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import ndtr

from pipeline.simulate.hazards import EDGES, hazards
from pipeline.simulate.patients import Array, People, rows
from pipeline.simulate.regimens import PRODUCTS
from pipeline.simulate.settings import MODALITIES, SimulationSettings

DAYS_PER_MONTH = 365.25 / 12
WAIT_SPREAD = 0.22
"""Standard deviation of the log wait around its median."""
NOT_MADE = 0.012
"""Share of CAR T decisions whose product is never made or released (published: 0 to 1 %, 3 of 254)."""
_STEP_DAYS = 2.5


def cumulative(rates: Array, months: float) -> Array:
    """Return the cumulative hazard to `months`, one per decision."""
    ends = np.append(EDGES[1:], np.inf)
    inside = np.clip(np.minimum(ends, months) - EDGES, 0, None)
    return np.asarray(rates @ inside)


def incidence(rates: Array, competing: Array, months: float) -> Array:
    """Return the probability of the event by `months` while `competing` (a hazard of the same shape) may prevent it."""
    total = rates + competing
    result = np.zeros(len(rates))
    for period, start in enumerate(EDGES):
        if start >= months:
            break
        end = min(EDGES[period + 1] if period + 1 < len(EDGES) else np.inf, months)
        alive = np.exp(-cumulative(total, float(start)))
        share = rates[:, period] / total[:, period]
        result += share * alive * -np.expm1(-total[:, period] * (end - start))
    return result


def treatment_free_share(leaving: Array, median_wait: Array) -> Array:
    """Return the expected share of 12 months alive, progression-free and off drugs, for one infusion after a wait.

    Parameters
    ----------
    leaving : array (n, 5), per month
        Hazard of progression or death.
    median_wait : array (n,), days
        The wait is log-normal around it; until the day after infusion the patient counts as on a drug.
    """
    middles = np.arange(_STEP_DAYS / 2, 365.25, _STEP_DAYS)
    total = np.zeros(len(leaving))
    for day in middles:
        free = np.exp(-cumulative(leaving, day / DAYS_PER_MONTH))
        infused = ndtr((np.log(max(day - 1.0, 1e-9)) - np.log(median_wait)) / WAIT_SPREAD)
        total += free * infused
    return np.asarray((1 - NOT_MADE) * total / len(middles))


def burden(people: People, modality: str, settings: SimulationSettings) -> Array:
    """Return the declared share of the first 6 months taken by hospital and visits (definitions.md)."""
    hospital, visits = settings.schedules[modality]
    return np.asarray(np.minimum(1.0, (hospital + visits * (1 + people["distance_km"] / 400)) / 90))


def outcomes_under(people: People, modality: str, product: str | None, settings: SimulationSettings) -> People:
    """Return the four outcomes' true expectations under one modality and product, one per decision."""
    rates = hazards(people, modality, product, settings)
    leaving = rates["progression"] + rates["death"]
    free = np.zeros(rows(people))
    if modality not in settings.continuous:
        free = treatment_free_share(leaving, people["wait_car_t"] * wait_factor(product, settings))
    return {
        "durable_control": np.exp(-cumulative(leaving, 12.0)),
        "treatment_free": free,
        "severe_toxicity": incidence(rates["toxicity"], rates["death"], 6.0),
        "early_death": incidence(rates["death"], rates["progression"], 6.0),
    }


def wait_factor(product: str | None, settings: SimulationSettings) -> float:
    """Return how a product's wait compares with the wait announced for CAR T."""
    named = {"cilta_cel": settings.cilta_cel_wait_days, "ide_cel": settings.ide_cel_wait_days}
    announced = (settings.cilta_cel_wait_days + settings.ide_cel_wait_days) / 2
    return named.get(product or "", announced) / announced


def truth_table(
    people: People, product_shares: dict[str, Array], propensities: Array, settings: SimulationSettings
) -> pd.DataFrame:
    """Return the truth, one row per decision x modality, in decision order.

    `product_shares` gives, per modality, the probability of each product (columns as in PRODUCTS): the truth of a
    modality is the expectation over the products that this decision could have got. `propensity` is the true
    probability that the modality was chosen, 0 where it could not be.
    """
    n = rows(people)
    columns: dict[str, list[Array]] = {}
    for position, modality in enumerate(MODALITIES):
        blended: People = {}
        for column, product in enumerate(PRODUCTS[modality]) if modality == "car_t" else [(-1, None)]:
            share = np.ones(n) if product is None else product_shares[modality][:, column]
            for name, values in outcomes_under(people, modality, product, settings).items():
                blended[name] = blended.get(name, np.zeros(n)) + share * values
        blended["burden"] = burden(people, modality, settings)
        blended["suitability"] = utility(blended, settings)
        blended["propensity"] = propensities[:, position]
        blended["modality"] = np.full(n, modality, dtype=object)
        blended["decision_id"] = people["decision_id"]
        for name, values in blended.items():
            columns.setdefault(name, []).append(values)
    interleaved = {name: np.stack(parts, axis=1).ravel() for name, parts in columns.items()}
    ordered = ["decision_id", "modality", "durable_control", "treatment_free", "severe_toxicity", "early_death"]
    table = pd.DataFrame({name: interleaved[name] for name in [*ordered, "burden", "suitability", "propensity"]})
    table[["decision_id", "modality"]] = table[["decision_id", "modality"]].astype("str")
    table["simulated"] = True
    return table


def utility(outcomes: People, settings: SimulationSettings) -> Array:
    """Return the linear suitability of definitions.md, in [-1, 1]."""
    w = settings.weights
    gained = w["durable_control"] * outcomes["durable_control"] + w["treatment_free"] * outcomes["treatment_free"]
    lost = sum(w[name] * outcomes[name] for name in ("severe_toxicity", "early_death", "burden"))
    return np.asarray((gained - lost) / sum(w.values()))
