"""Which identifiers are the same person?"""

from __future__ import annotations

from collections.abc import Mapping

import duckdb
import pandas as pd

from pipeline.records.mapping import Notes, count_of
from pipeline.schema import Contract, Step, TableSchema
from pipeline.schema.checks import finding
from pipeline.schema.sql import quoted


def roots_of(aliases: Mapping[str, str]) -> tuple[dict[str, str], frozenset[str]]:
    """Return the last identifier of every alias chain, and the aliases that only lead round in a circle.

    Parameters
    ----------
    aliases : mapping of alias to the identifier that replaces it
        An alias of itself says nothing and is its own root.
    """
    onward = {alias: target for alias, target in aliases.items() if alias != target}
    roots: dict[str, str] = {}
    circular: set[str] = set()
    for start in onward:
        path: list[str] = []
        seen: set[str] = set()
        at = start
        while at in onward and at not in seen and at not in roots and at not in circular:
            seen.add(at)
            path.append(at)
            at = onward[at]
        if at in seen or at in circular:
            circular.update(path)
        else:
            roots.update(dict.fromkeys(path, roots.get(at, at)))
    return roots, frozenset(circular)


def merge_aliases(connection: duckdb.DuckDBPyConnection, contract: Contract, notes: Notes) -> bool:
    """Replace every alias in the text tables by the patient it stands for; return whether any did.

    `text_patients` gains `recorded_id`, the identifier as it was, so that its rows can be joined later.

    Parameters
    ----------
    connection : DuckDBPyConnection
    contract : Contract
    notes : Notes
        Circular chains are an error; merged rows are counted.

    Returns
    -------
    bool
        Whether there was any alias.
    """
    connection.execute("ALTER TABLE text_patients ADD COLUMN recorded_id VARCHAR")
    connection.execute("UPDATE text_patients SET recorded_id = patient_id")
    query = "SELECT alias_id, patient_id, row_ordinal FROM text_patient_aliases ORDER BY row_ordinal"
    pairs = [row for row in connection.execute(query).fetchall() if row[0] is not None and row[1] is not None]
    if not pairs:
        return False
    onward: dict[str, str] = {}
    for alias, target, _ in pairs:
        onward.setdefault(str(alias), str(target))
    roots, circular = roots_of(onward)
    if circular:
        rows = [int(row[2]) for row in pairs if row[0] in circular]
        words = "lead round in a circle, so no patient stands at the end. Name one identifier as the patient."
        counts = (len(rows), len(pairs))
        notes.findings.append(finding("error", "patient_aliases", "alias_id", "alias_cycle", counts, rows[:5], words))
    connection.register("alias_frame", pd.DataFrame({"alias_id": list(roots), "root": list(roots.values())}, dtype=str))
    connection.execute("CREATE OR REPLACE TABLE alias_roots AS SELECT alias_id, root FROM alias_frame")
    connection.unregister("alias_frame")
    for table in contract.records:
        if "patient_id" in table.by_name:
            name = quoted("text_" + table.name)
            connection.execute(
                f"UPDATE {name} SET patient_id = alias_roots.root FROM alias_roots "
                f"WHERE {name}.patient_id = alias_roots.alias_id"
            )
    connection.execute("DROP TABLE alias_roots")
    _drop_twins(connection, contract, notes)
    return True


def _drop_twins(connection: duckdb.DuckDBPyConnection, contract: Contract, notes: Notes) -> None:
    """Drop rows of keyed tables that merging has made equal in every column, keeping the first."""
    for table in contract.records:
        if table.name == "patients" or "patient_id" not in table.primary_key:
            continue
        name = "text_" + table.name
        before = count_of(connection, name)
        columns = ", ".join(quoted(column) for column in table.columns)
        connection.execute(
            f"CREATE OR REPLACE TABLE {quoted(name)} AS "
            f"SELECT min(row_ordinal) AS row_ordinal, {columns} FROM {quoted(name)} GROUP BY {columns}"
        )
        reason = "the same row recorded under two identifiers of one patient"
        after = count_of(connection, name)
        if after != before:
            notes.attrition.append(Step(step=f"{table.name}: merge", rows_in=before, rows_out=after, reason=reason))


def join_patients(connection: duckdb.DuckDBPyConnection, stage: str, table: TableSchema, notes: Notes) -> None:
    """Join the rows of one person: the patient's own row first, gaps filled from the aliases' rows by identifier.

    Parameters
    ----------
    connection : DuckDBPyConnection
    stage : str
        Stage table of `patients`, with `recorded_id`.
    table : TableSchema
    notes : Notes
        Disagreements are a warning.
    """
    others = [name for name in table.columns if name != "patient_id"]
    before = count_of(connection, stage)
    differing = " OR ".join(f"count(DISTINCT {quoted(name)}) > 1" for name in others)
    query = (
        f"SELECT count(*) FILTER (WHERE differs), count(*), min(ordinal, 5) FILTER (WHERE differs) FROM "
        f"(SELECT min(row_ordinal) AS ordinal, {differing} AS differs FROM {quoted(stage)} GROUP BY patient_id)"
    )
    count, total, ordinals = connection.execute(query).fetchall()[0]
    if count:
        words = "disagree with the row of an alias; the patient's own row wins. Settle it at the source."
        counts = (int(count), int(total))
        notes.findings.append(finding("warning", "patients", "", "alias_conflict", counts, ordinals, words))
    picked = ", ".join(
        f"first({quoted(name)} ORDER BY turn) FILTER (WHERE {quoted(name)} IS NOT NULL) AS {quoted(name)}"
        for name in others
    )
    turn = "row_number() OVER (PARTITION BY patient_id ORDER BY recorded_id <> patient_id, recorded_id, row_ordinal)"
    connection.execute(
        f"CREATE OR REPLACE TABLE {quoted(stage)} AS SELECT min(row_ordinal) AS row_ordinal, patient_id, "
        f"any_value(patient_id) AS recorded_id, {picked} "
        f"FROM (SELECT *, {turn} AS turn FROM {quoted(stage)}) GROUP BY patient_id"
    )
    after = count_of(connection, stage)
    reason = "patient_aliases name one person"
    notes.attrition.append(Step(step="patients: merge", rows_in=before, rows_out=after, reason=reason))
