"""What could be given, how likely was each choice, and what was chosen?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.simulate.hazards import high_risk
from pipeline.simulate.patients import Array, People, choose, rows
from pipeline.simulate.regimens import PRODUCTS
from pipeline.simulate.settings import MODALITIES, SimulationSettings, day_of

_BISPECIFIC_TRIALS = day_of("2021-10-01")
_BISPECIFIC_LABEL = day_of("2022-10-25")
_CAR_T_ACCESS = np.array([0.86, 0.76, 0.24, 0.08])
_LEVELS = np.array([1.25, 0.95, 0.18, 0.80])
_WITH_CAR_T = np.array([0.0, -1.85, -0.35, -0.40])
"""Where CAR T can be had, bispecifics are used less often."""
_SMALL = np.array([0.5, -2.3, -2.6, 0.5])


@dataclass(frozen=True)
class Prescribing:
    """How each decision came to its modality and product; arrays with one row per decision.

    Attributes
    ----------
    available : array (n, 4) of bool
    propensities : array (n, 4)
        True probabilities of the choice; 0 exactly where it could not be made.
    chosen : array (n,)
        Index into MODALITIES.
    product_shares : mapping of modality to array (n, n_products)
        Probability of each product if the modality is given.
    product : array (n,)
        Product id of the chosen modality.
    """

    available: Array
    propensities: Array
    chosen: Array
    product_shares: dict[str, Array]
    product: Array


def announced_wait(people: People, settings: SimulationSettings, wave: str) -> Array:
    """Return the wait in days that each patient is told for CAR T: slots differ by site and by chance."""
    rng = settings.stream(f"slots {wave}")
    middle = (settings.cilta_cel_wait_days + settings.ide_cel_wait_days) / 2
    by_site = np.array([-1.5, 0.0, 3.0, 4.5])[people["site"]]
    slots = np.clip(rng.normal(0, 5.5, rows(people)), -12, 20)
    return np.asarray(np.round(np.maximum(middle + by_site + slots, 0.5 * middle)))


def prescribe(people: People, settings: SimulationSettings, wave: str) -> Prescribing:
    """Return availability, true propensities, the choice and the product.

    The choice is a multinomial logit on fitness, age, disease, history and preference for established use;
    every prognostic term is multiplied by `settings.confounding`.
    """
    rng = settings.stream(f"prescribing {wave}")
    available = _available(people, rng)
    logits = _LEVELS + _WITH_CAR_T * available[:, :1]
    logits = logits + _era(people) + settings.confounding * _reasons(people)
    logits[:, 0] += settings.unmeasured_confounder * 0.90 * people["unmeasured"]
    logits[:, 1] -= settings.unmeasured_confounder * 0.50 * people["unmeasured"]
    if settings.small_arms:
        logits = logits + _SMALL
    odds = np.exp(logits) * available
    thinned = people["ecog"] >= settings.no_overlap_from_ecog
    odds[:, 0] *= np.where(thinned, settings.overlap, 1.0)
    propensities = odds / odds.sum(axis=1, keepdims=True)
    chosen = choose(rng, propensities)
    shares = {modality: _product_shares(people, modality) for modality in MODALITIES}
    product = np.empty(rows(people), dtype=object)
    for index, modality in enumerate(MODALITIES):
        names = np.array(list(PRODUCTS[modality]), dtype=object)
        drawn = names[choose(rng, shares[modality])]
        product = np.where(chosen == index, drawn, product)
    return Prescribing(available, propensities, chosen, shares, product)


def _available(people: People, rng: np.random.Generator) -> Array:
    n, day = rows(people), people["decision_day"]
    car_t = rng.random(n) < _CAR_T_ACCESS[people["site"]]
    tested = (day >= _BISPECIFIC_TRIALS) & (people["site"] <= 1)
    bispecific = (tested | (day >= _BISPECIFIC_LABEL)) & (rng.random(n) < 0.97)
    adc = rng.random(n) < 0.93
    return np.column_stack([car_t, bispecific, adc, np.ones(n, dtype=bool)])


def _era(people: People) -> Array:
    years = (people["decision_day"] - day_of("2024-01-01")) / 365.25
    trend = np.clip(years, -2.8, 2.5)[:, None]
    return np.asarray(trend * np.array([0.10, 0.16, 0.06, -0.08]))


def _reasons(people: People) -> Array:
    """Return the prognostic reasons on the logit scale, (n, 4), each centred near 0."""
    old = (people["age"] - 66) / 9.5
    unfit = (people["ecog"] >= 2) - 0.26
    ill = people["charlson"] - 1.05
    risk = high_risk(people) - 0.57
    emd = people["extramedullary_disease"] - 0.24
    rapid = people["rapid_progression"] - 0.20
    bcma = people["prior_bcma"] - 0.17
    lines = people["prior_lines"] - 3.2
    first = (people["prior_lines"] == 1) - 0.2
    cd38 = people["cd38_refractory"] - 0.60
    cornea = people["corneal_disease"] - 0.10
    weak_heart = (people["lvef"] < 45) - 0.03
    alone = ~people["caregiver"] - 0.2
    inflamed = (np.log(people["ferritin"]) - 5.9) / 0.85
    car_t = -0.65 * unfit - 0.45 * old - 0.14 * ill - 0.15 * rapid - 0.35 * bcma - 0.9 * weak_heart - 0.5 * alone
    car_t = car_t - 0.45 * first + 0.25 * cd38 - 0.10 * emd - 0.15 * inflamed
    bispecific = 0.25 * unfit + 0.16 * old + 0.65 * risk + 0.32 * emd + 0.40 * rapid - 0.35 * bcma
    bispecific = bispecific + 0.12 * lines - 0.50 * first + 0.35 * cd38
    adc = 0.20 * old + 0.10 * unfit - 1.3 * cornea - 0.7 * bcma - 0.15 * emd - 0.20 * people["neuropathy_grade"] + 0.15
    triplet = -0.26 * lines + 0.45 * first - 0.55 * cd38 - 0.25 * risk - 0.15 * rapid - 0.10 * emd
    return np.column_stack([car_t, bispecific, adc, triplet])


def _product_shares(people: People, modality: str) -> Array:
    offers = PRODUCTS[modality].values()
    stage = np.digitize(people["prior_lines"], [2, 4])
    weights = np.array([offer.weights for offer in offers]).T[stage]
    started = people["decision_day"][:, None] >= np.array([offer.first_day for offer in offers])
    shares = weights * started
    for column, offer in enumerate(offers):
        for drug in offer.agents:
            if f"ref {drug}" in people:
                shares[:, column] *= np.where(people[f"ref {drug}"], 0.15, 1.0)
    nothing = shares.sum(axis=1) <= 0
    shares[nothing] = np.eye(shares.shape[1])[0]
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))
