"""How does one seed become a whole institution with known truth?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.simulate.comparison import PublishedRate, compare
from pipeline.simulate.histories import NEVER, History, after_first, draw_histories
from pipeline.simulate.outcomes import AFTER_ALL, follow
from pipeline.simulate.patients import Array, People, draw_people, examine, join, relapse_again, rows, take
from pipeline.simulate.prescribing import announced_wait, prescribe
from pipeline.simulate.regimens import PRODUCTS
from pipeline.simulate.settings import MODALITIES, SimulationSettings, day_of
from pipeline.simulate.tables import record_tables
from pipeline.simulate.treatment import decided_lines, has_line, later_lines
from pipeline.simulate.truth import truth_table
from pipeline.simulate.writing import numbered

_SECOND_DECISION = 0.40
"""Share of observed next treatments that become a second decision of the same patient."""


@dataclass(frozen=True)
class Institution:
    """An invented institution: records as a hospital would have them, and what only the simulator knows.

    Attributes
    ----------
    settings : SimulationSettings
    tables : dict of table name to DataFrame
        The records contract, dates as ISO text, plus `simulated` with its note.
    truth : DataFrame, one row per decision x modality
        True expectation of every outcome, `burden`, `suitability` at the declared weights, true `propensity`.
    comparison : DataFrame, one row per published figure
        See `comparison.compare`; empty where no published figures were handed in.
    hidden : dict of fact to array, one row per decision, sorted by decision_id
        Everything the mechanism used. For tests and diagnosis; it is never written with the records.
    """

    settings: SimulationSettings
    tables: dict[str, pd.DataFrame]
    truth: pd.DataFrame
    comparison: pd.DataFrame
    hidden: People


def simulate(settings: SimulationSettings, published: Sequence[PublishedRate] = ()) -> Institution:
    """Return an institution with exactly `settings.decisions` decisions.

    Parameters
    ----------
    settings : SimulationSettings
    published : sequence of PublishedRate
        Figures to compare with (configs/published.yaml, read by `published_rates`).

    Returns
    -------
    Institution
        The same settings give the same bytes. Pure: nothing is read or written.
    """
    first = draw_people(settings.decisions, settings)
    history, first = draw_histories(first, settings)
    first, status, lines = _encounter(first, settings, "first")
    again = _second_decisions(first, settings)
    kept, again = _exactly(settings.decisions, again)
    first = take(first, np.arange(kept)) | {"has_second": again[:kept]}
    first["end_of_contact"] = np.where(first["has_second"], first["next_day"], first["end_of_contact"])
    who = np.flatnonzero(first["has_second"])
    second = _second_people(take(first, who), take(status, who), settings)
    people = first
    history.extend(lines)
    if len(who):
        second, _, second_lines = _encounter(second, settings, "second")
        history.extend(second_lines)
        people = join(first, {name: second[name] for name in first})
    people = _numbered(people)
    history.extend(later_lines(take(people, np.flatnonzero(~people["has_second"])), settings))
    history = _of_patients(history, kept)
    shares = {modality: people[f"shares {modality}"] for modality in MODALITIES}
    truth = truth_table(people, shares, people["propensity"], settings)
    tables = record_tables(people, history, settings)
    return Institution(settings, tables, truth, compare(people, published), people)


def _encounter(people: People, settings: SimulationSettings, wave: str) -> tuple[People, People, History]:
    """Examine, choose, treat and follow; returns people, what the line leaves behind, and the lines."""
    people = examine(people, settings, wave)
    people["wait_car_t"] = announced_wait(people, settings, wave)
    choice = prescribe(people, settings, wave)
    people |= {
        "available": choice.available,
        "propensity": choice.propensities,
        "chosen": choice.chosen,
        "product": choice.product,
    }
    people |= {f"shares {modality}": choice.product_shares[modality] for modality in PRODUCTS}
    people = follow(people, settings, wave)
    history, status, response = decided_lines(people, settings, wave)
    people["response"] = response
    return people, status, history


def _second_decisions(people: People, settings: SimulationSettings) -> Array:
    """Return who comes back: an observed next treatment, early enough, some of them by chance."""
    rng = settings.stream("second decisions")
    latest = day_of(settings.last_decision) - 1
    eligible = (people["next_day"] < AFTER_ALL) & (people["next_day"] < people["end_of_contact"] - 1)
    eligible &= (people["next_day"] <= latest) & has_line(people)
    return np.asarray(eligible & (rng.random(rows(people)) < _SECOND_DECISION))


def _exactly(wanted: int, again: Array) -> tuple[int, Array]:
    """Return how many patients to keep so that decisions number exactly `wanted`, and who has a second."""
    total = np.cumsum(1 + again)
    kept = int(np.searchsorted(total, wanted)) + 1
    if total[kept - 1] > wanted:
        again = again.copy()
        again[kept - 1] = False
    return kept, again


def _second_people(first: People, status: People, settings: SimulationSettings) -> People:
    people = after_first(first, status)
    people = relapse_again(people, settings, first["next_day"] + 1)
    return people | {"has_second": np.zeros(rows(first), dtype=bool)}


def _numbered(people: People) -> People:
    """Sort by patient and date, and give decision ids in that order."""
    order = np.lexsort((people["decision_day"], people["patient"]))
    people = take(people, order)
    return people | {"decision_id": numbered("D", np.arange(rows(people)) + 1)}


def _of_patients(history: History, kept: int) -> History:
    def only(chunks: list[People]) -> list[People]:
        return [take(chunk, np.flatnonzero(chunk["patient"] < kept)) for chunk in chunks]

    return History(only(history.lines), only(history.courses))


__all__ = ["NEVER", "Institution", "simulate"]
