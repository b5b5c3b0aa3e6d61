"""Do the dates of one patient fit together across tables?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import duckdb

from pipeline.schema import Finding

_FIRST = 5


@dataclass(frozen=True)
class _Order:
    table: str
    column: str
    rule: str
    severity: Literal["error", "warning"]
    broken: str
    words: str


_ORDERS = (
    _Order(
        "decisions",
        "decision_date",
        "before_birth",
        "error",
        "SELECT d.row_ordinal FROM decisions AS d JOIN patients AS p ON p.patient_id = d.patient_id "
        "WHERE d.decision_date < p.birth_date",
        "lie before the birth of their patient",
    ),
    _Order(
        "decisions",
        "decision_date",
        "before_diagnosis",
        "warning",
        "SELECT d.row_ordinal FROM decisions AS d JOIN patients AS p ON p.patient_id = d.patient_id "
        "WHERE d.decision_date < p.diagnosis_date",
        "lie before the diagnosis of their patient",
    ),
    _Order(
        "decisions",
        "decision_date",
        "after_death",
        "error",
        "SELECT d.row_ordinal FROM decisions AS d JOIN (SELECT patient_id, min(event_date) AS died FROM events "
        "WHERE event = 'death' GROUP BY patient_id) AS e ON e.patient_id = d.patient_id WHERE d.decision_date > e.died",
        "lie after the death of their patient",
    ),
    _Order(
        "events",
        "event_date",
        "before_birth",
        "error",
        "SELECT e.row_ordinal FROM events AS e JOIN patients AS p ON p.patient_id = e.patient_id "
        "WHERE e.event_date < p.birth_date",
        "lie before the birth of their patient",
    ),
)


def chronology_findings(connection: duckdb.DuckDBPyConnection) -> list[Finding]:
    """Return what is impossible between the dates of one patient's rows, in counts and row ordinals.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Holds the typed tables.
    """
    found = []
    for order in _ORDERS:
        ordinals = [int(row[0]) for row in connection.execute(f"{order.broken} ORDER BY 1").fetchall()]
        if not ordinals:
            continue
        total = int(connection.execute(f"SELECT count(*) FROM {order.table}").fetchall()[0][0])
        message = (
            f"{order.table}.{order.column}: {len(ordinals):,} of {total:,} rows {order.words} (first at row "
            f"{ordinals[0]:,}). Wanted dates in order; mend the extract or the date mapping of the source."
        )
        found.append(
            Finding(
                severity=order.severity,
                table=order.table,
                column=order.column,
                rule=order.rule,
                count=len(ordinals),
                total=total,
                ordinals=tuple(ordinals[:_FIRST]),
                message=message,
            )
        )
    return found
