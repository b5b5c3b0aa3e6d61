"""What followed the decision, and is it censored?

Treatment-policy estimands from the decision date (docs/ranking.md lists them). Deaths while
waiting count; events on or after the patient's next decision belong to that decision, which
itself counts as a next treatment; the end of follow-up and the data cut censor.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.config import OutcomeConfig
from pipeline.schema import Step
from pipeline.schema.sql import literal
from pipeline.vocabulary import DrugCatalogue

DAYS_PER_MONTH = 365 / 12
"""So that a whole year of follow-up is 12 months and not censored just before them."""
QUARTERS = 4
_QUARTER_DAYS = 3 * DAYS_PER_MONTH
_SHORTEST_STEROID_DAYS = 8
_SHORTEST_PART_QUARTER_DAYS = 30
_SAME_DAY = 0.5


@dataclass(frozen=True)
class Labels:
    """The outcomes of each decision.

    Attributes
    ----------
    frame : DataFrame, one row per decision
        `decision_id, modality`, then for each outcome `<outcome>_months` (time to event or censoring,
        months) and `<outcome>_event` (0 censored, 1 the event, 2 a competing event), and
        `treatment_free_q1 .. _q4` (share of that quarter off treatment, NaN where not observed).
    steps : tuple of Step
        Attrition.
    """

    frame: pd.DataFrame
    steps: tuple[Step, ...]


def build_labels(
    connection: duckdb.DuckDBPyConnection,
    outcomes: Mapping[str, OutcomeConfig],
    drugs: DrugCatalogue,
    data_cut_date: str | None = None,
    *,
    given_once: Collection[str] = (),
) -> Labels:
    """Return what followed each decision of `decision_points`.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Holds `decision_points` and the typed tables `decisions`, `events`, `lines` and `drugs`.
    outcomes : mapping of outcome name to OutcomeConfig
    drugs : DrugCatalogue
        Says which courses are anti-myeloma treatment.
    data_cut_date : str or None, ISO date
        Censors follow-up.
    given_once : collection of str
        Drug classes of which a course is one day (an infusion of cells, a transplant), whether it has an end or not.

    Returns
    -------
    Labels

    Notes
    -----
    A course without an end counts as on treatment, also where it began before the decision: until the day before a
    later line of therapy starts or something of `given_once` is given, else until follow-up ends. Not knowing when a
    drug was stopped never makes time free of treatment.

    A toxicity without a grade is not counted as severe; the records check says how many there are.

    The next decision is the patient's next on a later day; two that name a modality on one day break the contract.
    """
    dates = _dates(connection, outcomes, data_cut_date)
    followed = dates[dates["end_days"] > 0].reset_index(drop=True)
    steps = (
        Step(
            step="followed after the decision",
            rows_in=len(dates),
            rows_out=len(followed),
            reason="no contact or event is recorded after the decision date",
        ),
    )
    frame = followed[["decision_id", "modality"]].copy()
    end = followed["end_days"].to_numpy(float)
    death = followed["death_days"].to_numpy(float)
    turn = np.fmin(followed["progression_days"].to_numpy(float), followed["next_days"].to_numpy(float))
    failure = np.fmin(turn, death)
    if "durable_control" in outcomes:
        _put(frame, "durable_control", failure, np.full_like(failure, np.nan), end)
    if "severe_toxicity" in outcomes:
        stop = np.fmin(followed["next_days"].to_numpy(float), end)
        _put(frame, "severe_toxicity", followed["toxicity_days"].to_numpy(float), death, stop)
    if "early_death" in outcomes:
        _put(frame, "early_death", np.where(turn <= death, np.nan, death), turn, end)
    if "treatment_free" in outcomes:
        shares = _free_shares(_courses(connection, drugs, given_once), followed, failure, end)
        for quarter in range(QUARTERS):
            frame[f"treatment_free_q{quarter + 1}"] = shares[:, quarter]
    return Labels(frame=frame, steps=steps)


def _put(
    frame: pd.DataFrame,
    outcome: str,
    event: npt.NDArray[np.float64],
    competing: npt.NDArray[np.float64],
    end: npt.NDArray[np.float64],
) -> None:
    """Write `<outcome>_months` and `<outcome>_event`; on the same day the event wins, then the competing one."""
    first = np.fmin(np.fmin(event, competing), end)
    code = np.where(event <= first, 1, np.where(competing <= first, 2, 0))
    frame[f"{outcome}_months"] = np.maximum(first, _SAME_DAY) / DAYS_PER_MONTH
    frame[f"{outcome}_event"] = code.astype(np.int64)


def _dates(
    connection: duckdb.DuckDBPyConnection, outcomes: Mapping[str, OutcomeConfig], data_cut_date: str | None
) -> pd.DataFrame:
    toxicity = outcomes.get("severe_toxicity")
    terms = ", ".join(literal(term.lower()) for term in toxicity.terms) if toxicity and toxicity.terms else "''"
    grade = toxicity.minimum_grade if toxicity else 5
    cut = f"date '{data_cut_date}'" if data_cut_date else "date '9999-12-31'"
    frame = connection.execute(
        f"""
        with later as (
            select d.decision_id, min(n.decision_date) as next_decision
            from decisions d left join decisions n
                on n.patient_id = d.patient_id and n.decision_date > d.decision_date
            group by d.decision_id
        ), own as (
            select d.decision_id, d.patient_id, d.modality, d.decision_date, d.treatment_start_date, l.next_decision
            from decision_points d join later l on l.decision_id = d.decision_id
        ), seen as (
            select o.*, e.event, e.event_date, e.term, e.grade,
                e.event_date <= {cut} and (o.next_decision is null or e.event_date < o.next_decision) as is_own
            from own o left join events e on e.patient_id = o.patient_id and e.event_date >= o.decision_date
        )
        select decision_id, patient_id, modality, decision_date,
            min(case when is_own and event = 'progression' and event_date > decision_date
                then event_date end) as progression,
            min(case when is_own and event = 'next_treatment' and event_date > decision_date
                and event_date is distinct from treatment_start_date then event_date end) as next_one,
            min(case when event = 'death' and event_date <= {cut} then event_date end) as death,
            min(case when is_own and event = 'toxicity' and event_date > decision_date
                and term in ({terms}) and grade >= {grade} then event_date end) as toxicity,
            max(case when event_date is not null then least(event_date, {cut}) end) as last_seen,
            min(case when next_decision <= {cut} then next_decision end) as next_decision
        from seen
        group by decision_id, patient_id, modality, decision_date
        order by decision_id
        """
    ).df()
    start = pd.to_datetime(frame["decision_date"])

    def days(column: str) -> pd.Series[float]:
        return (pd.to_datetime(frame[column]) - start).dt.days.astype(float)

    next_days = np.fmin(days("next_one").to_numpy(float), days("next_decision").to_numpy(float))
    died = days("death").to_numpy(float)
    death = np.where(np.isnan(next_days) | (died <= next_days), np.maximum(died, _SAME_DAY), np.nan)
    return pd.DataFrame(
        {
            "decision_id": frame["decision_id"],
            "patient_id": frame["patient_id"],
            "modality": frame["modality"],
            "decision_date": start,
            "progression_days": days("progression"),
            "next_days": next_days,
            "death_days": death,
            "toxicity_days": days("toxicity"),
            "end_days": np.fmax(days("next_decision").combine_first(days("last_seen")), death),
        }
    )


def _free_shares(
    courses: pd.DataFrame, followed: pd.DataFrame, failure: npt.NDArray[np.float64], end: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the share of each quarter spent off treatment, shape (n_decisions, 4), NaN where not observed."""
    days = int(np.ceil(QUARTERS * _QUARTER_DAYS))
    on_treatment = np.zeros((len(followed), days + 1), dtype=np.int32)
    position = pd.Series(np.arange(len(followed)), index=followed["decision_id"])
    joined = courses[courses["decision_id"].isin(position.index)]
    row = position.loc[joined["decision_id"]].to_numpy()
    first = joined["from_day"].clip(lower=0).to_numpy(float)
    last = joined["to_day"].to_numpy(dtype=float, na_value=np.inf)
    last = np.minimum(np.minimum(last, end[row]), days - 1)
    inside = (first <= last) & (first < days)
    np.add.at(on_treatment, (row[inside], first[inside].astype(int)), 1)
    np.add.at(on_treatment, (row[inside], last[inside].astype(int) + 1), -1)
    is_off = np.cumsum(on_treatment, axis=1)[:, :days] == 0
    off_until = np.concatenate([np.zeros((len(followed), 1)), np.cumsum(is_off, axis=1)], axis=1)
    stop = np.fmin(failure, end)
    shares = np.full((len(followed), QUARTERS), np.nan)
    for quarter in range(QUARTERS):
        low, high = quarter * _QUARTER_DAYS, (quarter + 1) * _QUARTER_DAYS
        until = np.clip(np.fmin(stop, high), low, high)
        seen = until - low
        is_seen = (seen >= high - low - 1) | (failure <= high) & (seen > 0) | (seen >= _SHORTEST_PART_QUARTER_DAYS)
        low_day, until_day = round(low), np.round(until).astype(int)
        width = np.maximum(until_day - low_day, 1)
        off = off_until[np.arange(len(followed)), np.minimum(until_day, days)] - off_until[:, low_day]
        shares[:, quarter] = np.where(is_seen, off / width, np.nan)
    return shares


def _courses(connection: duckdb.DuckDBPyConnection, drugs: DrugCatalogue, given_once: Collection[str]) -> pd.DataFrame:
    """Return anti-myeloma courses that touch the year after a decision, in days from it.

    The end of an open course is what the notes of `build_labels` say; null where only follow-up ends it.
    """
    names = {
        "treated": [entry.drug for entry in drugs.drugs if entry.antimyeloma],
        "steroids": [entry.drug for entry in drugs.drugs if entry.drug_class == "steroid"],
        "once": [entry.drug for entry in drugs.drugs if entry.drug_class in given_once],
    }
    treated, steroids, once = (f"({', '.join(map(literal, listed)) or 'null'})" for listed in names.values())
    return connection.execute(
        f"""
        with turns as (
            select patient_id, line_number, start_date as day from lines
            union all select patient_id, null, start_date from drugs where drug in {once}
        ), courses as (
            select d.patient_id, d.drug, d.start_date,
                case when d.drug in {once} then d.start_date
                    else coalesce(d.end_date, (select min(t.day) from turns t where t.patient_id = d.patient_id
                        and t.day > d.start_date and coalesce(t.line_number > d.line_number, true)) - 1) end as end_date
            from drugs d where d.drug in {treated}
        )
        select p.decision_id, date_diff('day', p.decision_date, c.start_date) as from_day,
            date_diff('day', p.decision_date, c.end_date) as to_day
        from decision_points p join courses c on c.patient_id = p.patient_id
        where c.start_date <= p.decision_date + interval 366 day
            and (c.end_date is null or c.end_date >= p.decision_date)
            and not coalesce(c.drug in {steroids}
                and date_diff('day', c.start_date, c.end_date) + 1 < {_SHORTEST_STEROID_DAYS}, false)
        """
    ).df()
