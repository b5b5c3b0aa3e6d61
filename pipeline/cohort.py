"""Who faced a choice, when, between which modalities?

One decision is one row. Time zero is the decision date for every modality: a person
who waits for CAR T and dies before infusion stays in `car_t`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import duckdb

from pipeline.config import CohortConfig, Config
from pipeline.errors import SchemaError, counted
from pipeline.schema import Step
from pipeline.schema.sql import literal
from pipeline.vocabulary import Modality, Product

CAR_T = "car_t"
"""The safety class of drugs, products and modalities that wait for the patient's own cells to be made."""


@dataclass(frozen=True)
class CellTherapy:
    """Which declared names are CAR T-cell therapy.

    Attributes
    ----------
    modalities : frozenset of str
        Those with a CAR T product, or made of such a drug where there are no products.
    products : frozenset of str
        CAR T products.
    others : frozenset of str
        Declared products that are not: named, they overrule their modality.
    """

    modalities: frozenset[str] = frozenset()
    products: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()


def cell_therapy(config: Config) -> CellTherapy:
    """Return which modalities and products are CAR T-cell therapy, by their own safety class or by a drug's."""
    drugs = {entry.drug for entry in config.drugs.drugs if CAR_T in entry.safety_classes}
    named: tuple[Product | Modality, ...] = (*config.products, *config.modalities)
    own = {entry.id: CAR_T in entry.safety_classes or not drugs.isdisjoint(entry.agents) for entry in named}
    products = frozenset(entry.id for entry in config.products if own[entry.id])
    return CellTherapy(
        modalities=frozenset(
            entry.id for entry in config.modalities if own[entry.id] or not products.isdisjoint(entry.products)
        ),
        products=products,
        others=frozenset(entry.id for entry in config.products) - products,
    )


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


def _among(column: str, names: Collection[str]) -> str:
    """Return the SQL condition that a column holds one of the names; false, never null, where it is empty."""
    return f"coalesce({column} in ({', '.join(map(literal, sorted(names)))}), false)" if names else "false"


def _is_cells(cells: CellTherapy) -> str:
    """Return the SQL condition that a decision chose CAR T: by its product, else by its modality."""
    by_modality = f"{_among('d.modality', cells.modalities)} and not {_among('d.product', cells.others)}"
    return f"{_among('d.product', cells.products)} or {by_modality}"


def _filters(
    settings: CohortConfig, modalities: Sequence[str], cells: CellTherapy, *, training: bool
) -> list[tuple[str, str, str]]:
    filters = [
        (
            "not known to be too young",
            f"p.birth_date is null or p.birth_date + interval {settings.minimum_age} year <= d.decision_date",
            f"younger than {settings.minimum_age} years at the decision; an unknown age stays and is told by the check",
        ),
        (
            "relapse",
            f"d.prior_lines >= {settings.minimum_prior_lines}",
            f"fewer than {counted(settings.minimum_prior_lines, 'line')} known to have started before the decision",
        ),
    ]
    if training:
        filters += [
            ("a modality was given", "d.modality is not null", "no modality is recorded"),
            (
                "a declared modality",
                _among("d.modality", modalities),
                "the modality given is not one of those declared",
            ),
            (
                "time zero is the decision",
                f"not ({_is_cells(cells)}) or d.decision_date is distinct from d.treatment_start_date "
                "or not exists (select 1 from findings f where f.patient_id = d.patient_id "
                "and f.code = 'leukapheresis' and f.value = 'present' and f.found_at < d.decision_date "
                "and f.found_at >= d.decision_date - interval 180 day)",
                "the decision for CAR T is dated at infusion although an earlier leukapheresis is known",
            ),
        ]
    return filters


def decision_points(
    connection: duckdb.DuckDBPyConnection,
    settings: CohortConfig,
    modalities: Sequence[str],
    *,
    training: bool,
    cells: CellTherapy,
) -> CohortReport:
    """Make the tables `decision_points` and `candidates` from the standardised records.

    Only somebody known to be younger than `minimum_age` is left out. Without a birth date a person stays: registries
    often withhold it, and no rule takes an unknown age for an adult one (every guardrail that reads `age` is
    three-valued). How many decisions that concerns is a warning of the records check.

    A decision for CAR T dated at infusion although a leukapheresis of the 180 days before is known has the wrong time
    zero (it hides whoever died waiting), and leaves; cells collected for somebody who then chose otherwise do not
    matter.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Holds the typed tables of the records contract.
    settings : CohortConfig
    modalities : sequence of str
        Ids of the declared modalities.
    training : bool
        True keeps only decisions whose given modality is recorded and declared.
    cells : CellTherapy
        Whose decisions must not be dated at infusion; see `cell_therapy`.

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
        "create or replace table cohort_pool as "
        "select d.decision_id, d.patient_id, d.decision_date, d.site_id, d.modality, d.product, "
        "d.treatment_start_date, n.prior_lines "
        "from decisions d join patients p on p.patient_id = d.patient_id "
        f"join ({_PRIOR_LINES}) n on n.decision_id = d.decision_id"
    )
    steps: list[Step] = []
    left = _count(connection, "cohort_pool")
    for name, condition, reason in _filters(settings, modalities, cells, training=training):
        connection.execute(
            "create or replace table cohort_kept as select d.* from cohort_pool d "
            "join patients p on p.patient_id = d.patient_id "
            f"where {condition}"
        )
        connection.execute("create or replace table cohort_pool as select * from cohort_kept")
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
        "create or replace table decision_points as select decision_id, patient_id, decision_date, site_id, "
        "modality, product, treatment_start_date from cohort_pool order by decision_id"
    )
    named = ", ".join(f"({literal(name)})" for name in modalities)
    connection.execute(
        "create or replace table candidates as select d.decision_id, m.modality, a.available, "
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
