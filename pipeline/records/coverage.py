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
        A modality given, `unknown` where none is recorded, or `all`.
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
    modalities : collection of str, optional
        Those declared; decisions with another word are counted as `undeclared`, and the word is not repeated.

    Returns
    -------
    tuple of Coverage, one per (table, code, modality) and per (table, code) for all
        In contract order of the codes, all modalities first. A code that no row has is listed with 0.
    """
    sizes: dict[str, int] = {ALL: 0}
    arms = _arm(modalities)
    query = f"SELECT {arms} AS arm, count(*) FROM decisions GROUP BY arm ORDER BY arm"
    for arm, count in connection.execute(query).fetchall():
        sizes[arm] = int(count)
        sizes[ALL] += int(count)
    entries = []
    for table in ("measurements", "findings"):
        known = _known(connection, table, arms)
        for code in contract[table].codes:
            entries += [Coverage(table, code, arm, size, known.get((code, arm), 0)) for arm, size in sizes.items()]
    return tuple(entries)


def _arm(modalities: Collection[str] | None) -> str:
    """Return SQL for the modality of a decision in declared words."""
    if modalities is None:
        return "coalesce(decisions.modality, 'unknown')"
    listed = ", ".join(literal(name) for name in modalities)
    return (
        "CASE WHEN decisions.modality IS NULL THEN 'unknown' "
        f"WHEN decisions.modality IN ({listed}) THEN decisions.modality ELSE 'undeclared' END"
    )


def _known(connection: duckdb.DuckDBPyConnection, table: str, arms: str) -> dict[tuple[str, str], int]:
    first_seen = f"SELECT patient_id, code, min(known_at) AS known_at FROM {table} GROUP BY patient_id, code"
    query = (
        f"SELECT code, coalesce(arm, {literal(ALL)}), count(*) FROM ("
        f"SELECT first_seen.code, {arms} AS arm FROM decisions "
        f"JOIN ({first_seen}) AS first_seen ON first_seen.patient_id = decisions.patient_id "
        "AND first_seen.known_at < decisions.decision_date) GROUP BY GROUPING SETS ((code, arm), (code))"
    )
    return {(str(code), str(arm)): int(count) for code, arm, count in connection.execute(query).fetchall()}
