"""Which text tables, in the contract's columns, does an extract give?

Every contract table becomes `text_<table>`: `row_ordinal` and the contract's columns as trimmed text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import duckdb

from pipeline.records.source import Cell, Feeder, Filter, Source
from pipeline.schema import Contract, Finding, Step, TableSchema
from pipeline.schema.checks import finding
from pipeline.schema.sql import literal, quoted, trimmed
from pipeline.schema.tables import Severity

NOT_RUN = "Checks that need it were not run."
"""Ends an error of a table or column that is not there, so that one mistake is told once."""

_BESIDE_RECORDS = frozenset({"simulated", "truth"})
"""Extract tables that may stand beside records and are no part of them."""


@dataclass
class Notes:
    """What the reading of an extract has found so far."""

    findings: list[Finding] = field(default_factory=list)
    attrition: list[Step] = field(default_factory=list)
    filled: set[tuple[str, str]] = field(default_factory=set)
    """Contract (table, column) pairs that the extract was to fill."""
    missing: set[tuple[str, str]] = field(default_factory=set)
    """Contract (table, column) pairs that the extract was to fill and lacks; an error says so."""


def columns_of(connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    """Return a table's column names in order; empty where there is no such table."""
    query = "SELECT column_name FROM duckdb_columns() WHERE lower(table_name) = lower(?) ORDER BY column_index"
    return [str(row[0]) for row in connection.execute(query, [table]).fetchall()]


def count_of(connection: duckdb.DuckDBPyConnection, table: str, where: str = "true") -> int:
    """Return how many rows of a table meet a condition."""
    return int(connection.execute(f"SELECT count(*) FROM {quoted(table)} WHERE {where}").fetchall()[0][0])


def extract_names(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the names of the extract's tables, without the prefix `extract_`, sorted."""
    rows = connection.execute("SELECT table_name FROM duckdb_tables() UNION SELECT view_name FROM duckdb_views()")
    names = [str(row[0]) for row in rows.fetchall()]
    return sorted(name.removeprefix("extract_") for name in names if name.startswith("extract_"))


def _first_present(columns: tuple[str, ...]) -> str:
    parts = [trimmed(quoted(name)) for name in columns]
    return parts[0] if len(parts) == 1 else f"coalesce({', '.join(parts)})"


def _cell_sql(cell: Cell, source: Source) -> str:
    """Return SQL for the text of one contract column."""
    if cell.constant is not None:
        return literal(cell.constant)
    if cell.origin:
        return literal(str(source.origin))
    text = _first_present(cell.reads)
    if cell.days_from_origin:
        days = f"CAST(regexp_replace({text}, '[.]0*$', '') AS INTEGER)"
        shifted = f"CAST(DATE {literal(str(source.origin))} + {days} AS VARCHAR)"
        return f"CASE WHEN regexp_full_match({text}, '[+-]?[0-9]{{1,5}}([.]0*)?') THEN {shifted} ELSE {text} END"
    if cell.date_format:
        text = f"coalesce(CAST(CAST(try_strptime({text}, {literal(cell.date_format)}) AS DATE) AS VARCHAR), {text})"
    if cell.lower:
        text = f"lower({text})"
    if cell.values:
        pairs = " ".join(f"WHEN {literal(key)} THEN {_or_null(value)}" for key, value in cell.values.items())
        text = f"CASE {text} {pairs} ELSE {text if cell.unmapped == 'keep' else 'NULL'} END"
    return text


def _or_null(value: str | None) -> str:
    return "CAST(NULL AS VARCHAR)" if value is None else literal(value)


def _filter_sql(rule: Filter) -> str:
    text = trimmed(quoted(rule.column))
    if rule.among or rule.not_among:
        listed = ", ".join(literal(word) for word in rule.among or rule.not_among)
        return f"coalesce({text} IN ({listed}), false)" if rule.among else f"coalesce({text} NOT IN ({listed}), true)"
    if rule.present is not None:
        return f"({text} IS {'NOT ' if rule.present else ''}NULL)"
    return f"coalesce(TRY_CAST({text} AS DOUBLE) >= {rule.at_least}, false)"


def _missing_columns(
    connection: duckdb.DuckDBPyConnection, table: TableSchema, feeder: Feeder, notes: Notes
) -> set[str]:
    """Note extract columns that the source names and the extract lacks; return them in lower case."""
    held = {name.lower() for name in columns_of(connection, f"extract_{feeder.extract}")}
    named = {name for cell in feeder.columns.values() for name in cell.reads} | {rule.column for rule in feeder.where}
    missing = {name for name in named if name.lower() not in held}
    total = count_of(connection, f"extract_{feeder.extract}")
    for name in sorted(missing):
        message = (
            f"{table.name}: extract '{feeder.extract}' has no column '{name}', which the source configuration reads. "
            f"Export the column, or change the source configuration. {NOT_RUN}"
        )
        notes.findings.append(_whole("error", table.name, name, "missing_column", total, message))
    return {name.lower() for name in missing}


def _whole(severity: Severity, table: str, column: str, rule: str, total: int, message: str) -> Finding:
    return Finding(
        severity=severity,
        table=table,
        column=column,
        rule=rule,
        count=total,
        total=total,
        ordinals=(),
        message=message,
    )


def _feed(
    connection: duckdb.DuckDBPyConnection, table: TableSchema, feeder: Feeder, source: Source, notes: Notes
) -> None:
    """Append the rows that one feeder gives to `text_<table>`."""
    extract = f"extract_{feeder.extract}"
    if not columns_of(connection, extract):
        message = (
            f"{table.name}: the extract has no table '{feeder.extract}', which the source configuration reads. "
            f"Add the file, or choose the source configuration that fits. {NOT_RUN}"
        )
        notes.findings.append(_whole("error", table.name, "", "missing_table", 0, message))
        return
    missing = _missing_columns(connection, table, feeder, notes)
    kept = "true"
    rows = count_of(connection, extract)
    for rule in feeder.where:
        if rule.column.lower() in missing:
            continue
        kept = f"{kept} AND {_filter_sql(rule)}"
        left = count_of(connection, extract, kept)
        step = f"{table.name} from {feeder.extract}"
        notes.attrition.append(Step(step=step, rows_in=rows, rows_out=left, reason=rule.reason))
        rows = left
    selected = []
    for name in table.columns:
        cell = feeder.columns.get(name)
        usable = cell is not None and not any(column.lower() in missing for column in cell.reads)
        selected.append(f"CAST({_cell_sql(cell, source) if cell and usable else 'NULL'} AS VARCHAR) AS {quoted(name)}")
        if cell is not None and not usable:
            notes.missing.add((table.name, name))
        if cell is not None and usable:
            notes.filled.add((table.name, name))
            _note_cell(connection, table.name, name, cell, (extract, kept), notes)
    listed = ", ".join(["row_ordinal", *(quoted(name) for name in table.columns)])
    query = f"SELECT row_ordinal, {', '.join(selected)} FROM {quoted(extract)} WHERE {kept}"
    connection.execute(f"INSERT INTO {quoted('text_' + table.name)} ({listed}) {query}")


def _note_cell(
    connection: duckdb.DuckDBPyConnection, table: str, column: str, cell: Cell, rows: tuple[str, str], notes: Notes
) -> None:
    """Note how often a second-choice column was used, and how often a local value had no contract value."""
    checks: list[tuple[Severity, str, str, str]] = []
    if len(cell.reads) > 1:
        first, rest = trimmed(quoted(cell.reads[0])), _first_present(cell.reads[1:])
        words = f"have no {cell.reads[0]}; {' or '.join(cell.reads[1:])} is used instead, as the source declares."
        checks.append(("info", "repaired", f"{first} IS NULL AND {rest} IS NOT NULL", words))
    if cell.values and cell.unmapped == "null":
        text = _first_present(cell.reads)
        text = f"lower({text})" if cell.lower else text
        listed = ", ".join(literal(key) for key in cell.values)
        words = "hold a local value that the source does not map; it is read as empty. Add it to `values`."
        checks.append(("warning", "unmapped", f"{text} NOT IN ({listed})", words))
    extract, kept = rows
    for severity, rule, condition, words in checks:
        query = (
            f"SELECT count(*) FILTER (WHERE {condition}), count(*), min(row_ordinal, 5) FILTER (WHERE {condition}) "
            f"FROM {quoted(extract)} WHERE {kept}"
        )
        count, total, ordinals = connection.execute(query).fetchall()[0]
        if count:
            counts = (int(count), int(total))
            notes.findings.append(finding(severity, table, column, rule, counts, ordinals, words))


def _note_unread_columns(connection: duckdb.DuckDBPyConnection, source: Source, notes: Notes) -> None:
    """Note the columns of each mapped extract that no mapping reads; names only.

    Where a column that the source reads is missing, the first line may be data and not names, so nothing is told.
    """
    read: dict[str, set[str]] = {}
    for feeders in source.tables.values():
        for feeder in feeders:
            named = {name for cell in feeder.columns.values() for name in cell.reads}
            named |= {rule.column for rule in feeder.where}
            read.setdefault(feeder.extract.lower(), set()).update(name.lower() for name in named)
    for extract, names in sorted(read.items()):
        held = [name for name in columns_of(connection, f"extract_{extract}") if name.lower() != "row_ordinal"]
        unread = [name for name in held if name.lower() not in names]
        if unread and names and names <= {name.lower() for name in held}:
            message = (
                f"{extract}: {len(unread)} of {len(held)} columns are read by no mapping of the source: "
                f"{', '.join(unread)}. Map those that the contract asks for (docs/sources.md)."
            )
            total = count_of(connection, f"extract_{extract}")
            notes.findings.append(_whole("info", extract, "", "unread_columns", total, message))


def _identity(connection: duckdb.DuckDBPyConnection, table: TableSchema, notes: Notes) -> Feeder | None:
    """Return the feeder that reads a contract table from the extract of its own name, or None without such a table."""
    held = columns_of(connection, f"extract_{table.name}")
    if not held:
        return None
    spelled = {name.lower(): name for name in held}
    total = count_of(connection, f"extract_{table.name}")
    if not any(name in spelled for name in table.columns):
        message = (
            f"{table.name}: none of its columns is in the file's first line. Wanted {', '.join(table.columns)}; "
            f"put the column names in the first line, or map other names with a source configuration. {NOT_RUN}"
        )
        notes.findings.append(_whole("error", table.name, "", "no_header", total, message))
        return Feeder.model_construct(extract=table.name, columns={}, where=())
    unknown = [name for name in held if name.lower() not in table.by_name and name.lower() != "row_ordinal"]
    for name in unknown:
        message = f"{table.name}: column '{name}' is not in the contract and is ignored."
        notes.findings.append(_whole("info", table.name, name, "unknown_column", total, message))
    absent = [spec.name for spec in table.fields if spec.constraints.required and spec.name not in spelled]
    for name in absent:
        message = (
            f"{table.name}: required column '{name}' is missing. Wanted {', '.join(table.columns)}; "
            f"export it, or map another column with a source configuration. {NOT_RUN}"
        )
        notes.missing.add((table.name, name))
        notes.findings.append(_whole("error", table.name, name, "missing_column", total, message))
    cells: Mapping[str, Cell] = {name: Cell(column=(spelled[name],)) for name in table.columns if name in spelled}
    return Feeder.model_construct(extract=table.name, columns=cells, where=())


def read_text_tables(
    connection: duckdb.DuckDBPyConnection, contract: Contract, source: Source, notes: Notes
) -> frozenset[str]:
    """Make `text_<table>` for every record table and return the names of those that the extract fed.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Holds `extract_<name>` tables of text, each with `row_ordinal`.
    contract : Contract
    source : Source
    notes : Notes
        Findings, attrition and the columns filled are added.

    Returns
    -------
    frozenset of str
        Contract tables that an extract table was read for.
    """
    fed: set[str] = set()
    used = set(_BESIDE_RECORDS)
    for table in contract.records:
        columns = ", ".join(f"{quoted(name)} VARCHAR" for name in table.columns)
        connection.execute(f"CREATE OR REPLACE TABLE {quoted('text_' + table.name)} (row_ordinal BIGINT, {columns})")
        feeders = source.tables.get(table.name, ())
        if not feeders and source.identity and table.name not in source.derived_tables:
            own = _identity(connection, table, notes)
            feeders = (own,) if own is not None else ()
        for feeder in feeders:
            used.add(feeder.extract.lower())
            fed.add(table.name)
            _feed(connection, table, feeder, source, notes)
    _note_unread_columns(connection, source, notes)
    for name in extract_names(connection):
        if name.lower() not in used:
            message = f"{name}: no table of this name is read; it is ignored. Check the spelling if it should be."
            notes.findings.append(_whole("info", name, "", "unknown_table", 0, message))
    _forget_extracts(connection)
    return frozenset(fed)


def _forget_extracts(connection: duckdb.DuckDBPyConnection) -> None:
    """Drop the tables that were read, which are the size of the records, and those that nobody reads."""
    held = {str(row[0]) for row in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    for name in extract_names(connection):
        if f"extract_{name}" in held and name.lower() not in _BESIDE_RECORDS:
            connection.execute(f"DROP TABLE {quoted('extract_' + name)}")
