"""What do the typed tables leave open that decides who is counted, and as what?"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import duckdb

from pipeline.schema import Finding
from pipeline.schema.checks import SHOWN, finding
from pipeline.schema.sql import literal
from pipeline.schema.tables import Severity


@dataclass(frozen=True)
class _Omission:
    severity: Severity
    table: str
    column: str
    rule: str
    concerned: str
    words: str


_OMISSIONS = (
    _Omission(
        "error",
        "decisions",
        "decision_date",
        "same_day",
        "modality IS NOT NULL AND (SELECT count(*) FROM decisions AS o WHERE o.patient_id = here.patient_id "
        "AND o.decision_date = here.decision_date AND o.modality IS NOT NULL) > 1",
        "name a modality on a day on which the same patient has another decision that does, so nobody can tell to "
        "which of them the events that follow belong. Keep the one that was carried out.",
    ),
    _Omission(
        "warning",
        "decisions",
        "patient_id",
        "unknown_age",
        "EXISTS (SELECT 1 FROM patients AS p WHERE p.patient_id = here.patient_id AND p.birth_date IS NULL)",
        "are of a patient without a birth date. They stay, for nobody is known to be a minor, and every rule that asks "
        "for age takes it as unknown. Add the birth date where it may be given.",
    ),
    _Omission(
        "warning",
        "events",
        "grade",
        "ungraded",
        "event = 'toxicity' AND grade IS NULL",
        "are a toxicity without a grade; none of them counts as severe, so severe toxicity may come out too low. "
        "Export the CTCAE grade.",
    ),
    _Omission(
        "warning",
        "events",
        "term",
        "unnamed",
        "event = 'toxicity' AND term IS NULL",
        "are a toxicity without a term; none of them counts as severe, so severe toxicity may come out too low. "
        "Export what happened.",
    ),
)


def _undeclared(table: str, modalities: Collection[str]) -> _Omission:
    declared = sorted(modalities)
    then = "training leaves them out" if table == "decisions" else "they are not read"
    return _Omission(
        "warning",
        table,
        "modality",
        "unknown_modality",
        f"modality NOT IN ({', '.join(map(literal, declared))})",
        f"name a modality that the configuration does not declare; {then}. Declared are {', '.join(declared)}; "
        "map local names in the source, or declare the modality.",
    )


def omission_findings(
    connection: duckdb.DuckDBPyConnection, modalities: Collection[str] | None = None
) -> list[Finding]:
    """Return what is not recorded, or not as declared, though it decides who is counted; counts and row ordinals.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Holds the typed tables.
    modalities : collection of str or None
        The declared modalities; None skips the question whether those recorded are among them.
    """
    asked = [*_OMISSIONS, *(_undeclared(table, modalities) for table in ("decisions", "availability") if modalities)]
    found = []
    for omission in asked:
        query = (
            f"SELECT count(*) FILTER (WHERE concerned), count(*), min(row_ordinal, {SHOWN}) FILTER (WHERE concerned) "
            f"FROM (SELECT row_ordinal, {omission.concerned} AS concerned FROM {omission.table} AS here)"
        )
        count, total, ordinals = connection.execute(query).fetchall()[0]
        if count:
            where = (omission.severity, omission.table, omission.column, omission.rule)
            found.append(finding(*where, (int(count), int(total)), ordinals, omission.words))
    return found
