"""How often is each fact known when a decision is made, overall and by modality?"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import duckdb

from pipeline.schema import Contract
from pipeline.schema.sql import literal

ALL = "all"
"""Stands for all modalities together."""


@dataclass(frozen=True)
class Coverage:
    """How many decisions have a visible row of one code.

    Attributes
    ----------
    table, code : str
    modality : str
        A modality given, `unknown` where none is recorded, `undeclared`, or `all`.
    decisions, known : int
        Decisions, and those with at least one row of the code visible strictly before the decision date.
    """

    table: str
    code: str
    modality: str
    decisions: int
    known: int

    @property
    def share_missing(self) -> float:
        """Share of decisions without a visible row, in [0, 1]; NaN without decisions."""
        return 1 - self.known / self.decisions if self.decisions else math.nan


def missingness(
    connection: duckdb.DuckDBPyConnection, contract: Contract, modalities: Collection[str] | None = None
) -> tuple[Coverage, ...]:
    """Return how often each measurement and finding is known at the decision.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Holds the typed tables that `standardise` made.
    contract : Contract
    modalities : collection of str or None
        The declared modalities; any other is counted as `undeclared`, since its name is a recorded value.
        None names them all.

    Returns
    -------
    tuple of Coverage, one per (table, code, modality) and per (table, code) for all
        In contract order of the codes, all modalities first. A code that no row has is listed with 0.
    """
    sizes: dict[str, int] = {ALL: 0}
    named = _named(modalities)
    query = f"SELECT {named} AS arm, count(*) FROM decisions GROUP BY arm ORDER BY arm"
    for arm, count in connection.execute(query).fetchall():
        sizes[arm] = int(count)
        sizes[ALL] += int(count)
    entries = []
    for table in ("measurements", "findings"):
        known = _known(connection, table, named)
        for code in contract[table].codes:
            entries += [Coverage(table, code, arm, size, known.get((code, arm), 0)) for arm, size in sizes.items()]
    return tuple(entries)


def _named(modalities: Collection[str] | None) -> str:
    """Return the SQL of the name under which a decision is counted."""
    if modalities is None:
        return "coalesce(modality, 'unknown')"
    listed = ", ".join(literal(name) for name in sorted(modalities))
    return f"CASE WHEN modality IS NULL THEN 'unknown' WHEN modality IN ({listed}) THEN modality ELSE 'undeclared' END"


def _known(connection: duckdb.DuckDBPyConnection, table: str, named: str) -> dict[tuple[str, str], int]:
    first_seen = f"SELECT patient_id, code, min(known_at) AS known_at FROM {table} GROUP BY patient_id, code"
    query = (
        f"SELECT code, coalesce(arm, {literal(ALL)}), count(*) FROM ("
        f"SELECT first_seen.code, {named} AS arm FROM decisions "
        f"JOIN ({first_seen}) AS first_seen ON first_seen.patient_id = decisions.patient_id "
        "AND first_seen.known_at < decisions.decision_date) GROUP BY GROUPING SETS ((code, arm), (code))"
    )
    return {(str(code), str(arm)): int(count) for code, arm, count in connection.execute(query).fetchall()}
