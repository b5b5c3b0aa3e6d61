"""Who faced a choice, when, between which modalities?

One decision is one row. Time zero is the decision date for every modality: a person
who waits for CAR T and dies before infusion stays in `car_t`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from pipeline.config import CohortConfig
from pipeline.errors import SchemaError
from pipeline.schema import Step


@dataclass(frozen=True)
class CohortReport:
    """What became of the recorded decisions.

    Attributes
    ----------
    steps : tuple of Step
        Rows in, rows out and why, in order.
    decisions, patients : int
        What is left.
    """

    steps: tuple[Step, ...]
    decisions: int
    patients: int


_PRIOR_LINES = """
    select d.decision_id as decision_id, count(l.patient_id) as prior_lines
    from decisions d
    left join lines l on l.patient_id = d.patient_id and l.start_date < d.decision_date and l.known_at < d.decision_date
    group by d.decision_id
"""


def _filters(settings: CohortConfig, modalities: Sequence[str], *, training: bool) -> list[tuple[str, str, str]]:
    listed = ", ".join(f"'{name}'" for name in modalities)
    filters = [
        (
            "old enough",
            f"p.birth_date is null or p.birth_date + interval {settings.minimum_age} year <= d.decision_date",
            f"younger than {settings.minimum_age} years at the decision",
        ),
        (
            "relapse",
            f"d.prior_lines >= {settings.minimum_prior_lines}",
            f"fewer than {settings.minimum_prior_lines} line(s) known to have started before the decision",
        ),
    ]
    if training:
        filters += [
            ("a modality was given", "d.modality is not null", "no modality is recorded"),
            ("a declared modality", f"d.modality in ({listed})", "the modality given is not one of those declared"),
            (
                "time zero is the decision",
                "not exists (select 1 from findings f where f.patient_id = d.patient_id and f.code = 'leukapheresis' "
                "and f.value = 'present' and f.found_at < d.treatment_start_date "
                "and d.decision_date = d.treatment_start_date and f.found_at >= d.decision_date - interval 180 day)",
                "the decision date is the infusion date although an earlier leukapheresis is known",
            ),
        ]
    return filters


def decision_points(
    connection: duckdb.DuckDBPyConnection, settings: CohortConfig, modalities: Sequence[str], *, training: bool
) -> CohortReport:
    """Make the tables `decision_points` and `candidates` from the standardised records.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Holds the typed tables of the records contract.
    settings : CohortConfig
    modalities : sequence of str
        Ids of the declared modalities.
    training : bool
        True keeps only decisions whose given modality is recorded and declared.

    Returns
    -------
    CohortReport
        Attrition by named step. `decision_points` has one row per decision; `candidates`
        one row per (decision, modality) with `available` (null: not recorded) and `wait_days`.

    Raises
    ------
    SchemaError
        If no decision is left.
    """
    connection.execute(
        "create or replace temp table cohort_pool as "
        "select d.decision_id, d.patient_id, d.decision_date, d.site_id, d.modality, d.product, "
        "d.treatment_start_date, n.prior_lines "
        "from decisions d join patients p on p.patient_id = d.patient_id "
        f"join ({_PRIOR_LINES}) n on n.decision_id = d.decision_id"
    )
    steps: list[Step] = []
    left = _count(connection, "cohort_pool")
    for name, condition, reason in _filters(settings, modalities, training=training):
        connection.execute(
            "create or replace temp table cohort_kept as select d.* from cohort_pool d "
            "join patients p on p.patient_id = d.patient_id "
            f"where {condition}"
        )
        connection.execute("create or replace temp table cohort_pool as select * from cohort_kept")
        kept = _count(connection, "cohort_pool")
        steps.append(Step(step=name, rows_in=left, rows_out=kept, reason=reason))
        left = kept
    if left == 0:
        listed = "; ".join(f"{step.step}: {step.rows_in} in, {step.rows_out} out" for step in steps)
        raise SchemaError(
            f"decisions: no decision is left for the cohort ({listed}). "
            "Wanted at least 1; check decision dates, lines and the modality codes in the source configuration."
        )
    connection.execute(
        "create or replace temp table decision_points as select decision_id, patient_id, decision_date, site_id, "
        "modality, product, treatment_start_date from cohort_pool order by decision_id"
    )
    named = ", ".join(f"('{name}')" for name in modalities)
    connection.execute(
        "create or replace temp table candidates as select d.decision_id, m.modality, a.available, "
        "cast(a.wait_days as double) as wait_days "
        f"from decision_points d cross join (values {named}) as m(modality) "
        "left join availability a on a.decision_id = d.decision_id and a.modality = m.modality "
        "order by d.decision_id, m.modality"
    )
    patients = _count(connection, "(select distinct patient_id from decision_points)")
    return CohortReport(steps=tuple(steps), decisions=left, patients=patients)


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    row = connection.execute(f"select count(*) from {table}").fetchone()
    return int(row[0]) if row else 0
