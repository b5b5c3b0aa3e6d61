"""How close is the invented institution to published rates, and what band was allowed?

Simulated figures are taken from what the institution gave and saw (observed arms, follow-up censored), as a
published series would; never from the truth. Published populations differ from trial to trial and from this
institution, so the bands are wide and say why (configs/published.yaml).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from pipeline.declared import Declared, did_you_mean, raise_if, read_declared
from pipeline.simulate.hazards import high_risk
from pipeline.simulate.histories import NEVER
from pipeline.simulate.outcomes import observed
from pipeline.simulate.patients import Array, People, take
from pipeline.simulate.settings import MODALITIES
from pipeline.simulate.toxicities import toxicity_term
from pipeline.simulate.truth import DAYS_PER_MONTH

_COLUMNS = ["quantity", "modality", "simulated", "published", "low", "high", "source", "mark", "within"]


class PublishedRate(Declared):
    """One published figure, and the band in which the simulated one must fall.

    Attributes
    ----------
    quantity : str
        A key of QUANTITIES.
    modality : str
        What it is about; a modality id.
    published : float
        Share 0 to 1, months, days or years of age, as the quantity says.
    low, high : float
        Band allowed to the simulation; wider than sampling error because populations differ.
    population, source, band_reason : str
    mark : {'V'}
        Only figures seen in a source may be targets.
    """

    quantity: str
    modality: str
    published: float
    low: float
    high: float
    population: str = Field(min_length=1)
    source: str = Field(min_length=1)
    band_reason: str = Field(min_length=1)
    mark: Literal["V"]

    @model_validator(mode="after")
    def _is_known(self) -> PublishedRate:
        if self.quantity not in QUANTITIES:
            raise ValueError(f"unknown quantity '{self.quantity}'{did_you_mean(self.quantity, list(QUANTITIES))}")
        if self.modality not in MODALITIES:
            raise ValueError(f"unknown modality '{self.modality}'{did_you_mean(self.modality, list(MODALITIES))}")
        if not self.low <= self.high:
            raise ValueError("low must not be above high")
        return self


def published_rates(mapping: Mapping[str, Any], where: str = "configs/published.yaml") -> tuple[PublishedRate, ...]:
    """Return the figures that a parsed file declares under `rates`.

    Raises
    ------
    ConfigError
        With every problem, if a figure is malformed, unknown or not marked as verified.
    """
    problems: list[str] = []
    entries = mapping.get("rates")
    if not isinstance(entries, list) or set(mapping) != {"rates"}:
        problems.append(f"{where}: wanted one list under 'rates'")
        entries = []
    rates = []
    for position, entry in enumerate(entries, start=1):
        spot = f"{where}: rates[{position}]"
        read = read_declared(PublishedRate, entry, spot, problems) if isinstance(entry, Mapping) else None
        if read is not None:
            rates.append(read)
        elif not isinstance(entry, Mapping):
            problems.append(f"{spot}: got {type(entry).__name__}, wanted a mapping")
    raise_if(problems, where)
    return tuple(rates)


def compare(people: People, published: Sequence[PublishedRate]) -> pd.DataFrame:
    """Return simulated beside published, one row per published figure, in the order given.

    `simulated` is missing, and `within` false, where fewer than 20 decisions carry the quantity.
    """
    rows = [
        {
            "quantity": rate.quantity,
            "modality": rate.modality,
            "simulated": (value := QUANTITIES[rate.quantity](people, MODALITIES.index(rate.modality))),
            "published": rate.published,
            "low": rate.low,
            "high": rate.high,
            "source": f"{rate.source} ({rate.population})",
            "mark": rate.mark,
            "within": bool(rate.low <= value <= rate.high),
        }
        for rate in published
    ]
    return pd.DataFrame(rows, columns=_COLUMNS)


Where = Callable[[People], Array]


def survival(days: Array, failed: Array, at: float) -> float:
    """Return the Kaplan-Meier survival at a day; NaN for fewer than 20 people."""
    if len(days) < 20:
        return float("nan")
    times, index = np.unique(days, return_inverse=True)
    events = np.bincount(index, weights=failed, minlength=len(times))
    at_risk = len(days) - np.concatenate([[0], np.cumsum(np.bincount(index, minlength=len(times)))[:-1]])
    return float(np.prod(np.where(times <= at, 1 - events / at_risk, 1.0)))


def _arm(people: People, modality: int, where: Where | None) -> People:
    keep = people["chosen"] == modality
    return take(people, np.flatnonzero(keep & where(people) if where else keep))


def _free(people: People, from_start: bool) -> tuple[Array, Array]:
    origin = people["start_day"] if from_start else people["decision_day"]
    over = np.minimum(people["progression_day"], people["death_day"])
    return np.minimum(over, people["end_of_contact"]) - origin, over <= people["end_of_contact"]


def _pfs_at(months: float, where: Where | None = None, from_start: bool = False) -> Callable[[People, int], float]:
    def quantity(people: People, modality: int) -> float:
        arm = _arm(people, modality, where)
        if from_start:
            arm = take(arm, np.flatnonzero((arm["start_day"] > NEVER) & observed(arm, "start_day")))
        days, failed = _free(arm, from_start)
        return survival(days, failed, months * DAYS_PER_MONTH)

    return quantity


def _pfs_median(where: Where) -> Callable[[People, int], float]:
    def quantity(people: People, modality: int) -> float:
        arm = _arm(people, modality, where)
        days, failed = _free(arm, False)
        grid = np.arange(0.25, 60, 0.25)
        below = [month for month in grid if survival(days, failed, month * DAYS_PER_MONTH) <= 0.5]
        return float(below[0]) if below else float("nan")

    return quantity


def _share(of: Where, where: Where | None = None) -> Callable[[People, int], float]:
    def quantity(people: People, modality: int) -> float:
        arm = _arm(people, modality, where)
        return float(np.mean(of(arm))) if len(arm["age"]) >= 20 else float("nan")

    return quantity


def _severe(terms: tuple[str, ...], where: Where | None = None) -> Callable[[People, int], float]:
    def of(people: People) -> Array:
        return observed(people, "toxicity_day") & np.isin(toxicity_term(people), terms)

    return _share(of, where)


def _death_within(months: float, where: Where) -> Callable[[People, int], float]:
    """Cumulative incidence of death without progression from the decision, by counting among those followed."""

    def quantity(people: People, modality: int) -> float:
        arm = _arm(people, modality, where)
        days, failed = _free(arm, False)
        died = failed & (arm["death_day"] < arm["progression_day"])
        order = np.argsort(days, kind="stable")
        days, failed, died = days[order], failed[order], died[order]
        at_risk = np.arange(len(days), 0, -1)
        before = np.concatenate([[1.0], np.cumprod(1 - failed / at_risk)[:-1]])
        return float(np.sum((before * died / at_risk)[days <= months * DAYS_PER_MONTH]))

    return quantity


def _waited(product: str) -> Callable[[People, int], float]:
    def quantity(people: People, modality: int) -> float:
        arm = _arm(people, modality, lambda one: (one["product"] == product) & (one["start_day"] > NEVER))
        return float(np.median(arm["start_day"] - arm["decision_day"]))

    return quantity


def _rate_ratio(exposed: Where) -> Callable[[People, int], float]:
    """Crude ratio of progression-or-death rates, exposed against not."""

    def quantity(people: People, modality: int) -> float:
        rates = []
        for who in (exposed, lambda one: ~exposed(one)):
            days, failed = _free(_arm(people, modality, who), False)
            rates.append(failed.sum() / days.sum())
        return float(rates[0] / rates[1])

    return quantity


def _started(people: People) -> Array:
    return np.asarray(people["start_day"] > NEVER)


def _cilta(people: People) -> Array:
    return np.asarray((people["product"] == "cilta_cel") & _started(people))


def _late(people: People) -> Array:
    return np.asarray(people["prior_lines"] >= 4)


def _early(people: People) -> Array:
    return np.asarray(people["prior_lines"] <= 3)


QUANTITIES: dict[str, Callable[[People, int], float]] = {
    "never_infused": _share(lambda one: ~_started(one)),
    "cilta_cel_wait_days": _waited("cilta_cel"),
    "ide_cel_wait_days": _waited("ide_cel"),
    "cilta_cel_pfs_12mo_from_infusion": _pfs_at(12, _cilta, from_start=True),
    "ide_cel_pfs_at_published_median": _pfs_at(
        8.8, lambda one: (one["product"] == "ide_cel") & _started(one), from_start=True
    ),
    "cilta_cel_crs_grade3": _severe(("crs",), _cilta),
    "cilta_cel_icans_grade3": _severe(("icans",), _cilta),
    "death_without_progression_12mo": _death_within(12, _started),
    "extramedullary_rate_ratio": _rate_ratio(lambda one: one["extramedullary_disease"]),
    "pfs_6mo_late": _pfs_at(6, _late),
    "pfs_6mo_late_prior_bcma": _pfs_at(6, lambda one: _late(one) & one["prior_bcma"]),
    "pfs_6mo_late_no_prior_bcma": _pfs_at(6, lambda one: _late(one) & ~one["prior_bcma"]),
    "infection_grade3": _severe(("infection",)),
    "pfs_12mo_early_no_prior_bcma": _pfs_at(12, lambda one: _early(one) & ~one["prior_bcma"]),
    "pfs_median_lenalidomide_refractory_early": _pfs_median(lambda one: _early(one) & one["lenalidomide_refractory"]),
    "pfs_median_cd38_sensitive_early": _pfs_median(lambda one: _early(one) & ~one["cd38_refractory"]),
    "pfs_median_late_cd38_refractory": _pfs_median(lambda one: (one["prior_lines"] >= 3) & one["cd38_refractory"]),
    "ecog_2_or_worse": _share(lambda one: one["ecog"] >= 2),
    "high_risk_cytogenetics": _share(lambda one: high_risk(one) > 0),
    "extramedullary_disease": _share(lambda one: one["extramedullary_disease"]),
    "mean_age": _share(lambda one: one["age"]),
    "without_car_t_access": _share(lambda one: ~one["available"][:, 0]),
    "prior_bcma": _share(lambda one: one["prior_bcma"]),
}
"""What can be compared: name to function of the people and the modality's position."""

__all__ = ["QUANTITIES", "PublishedRate", "compare", "published_rates", "survival"]
