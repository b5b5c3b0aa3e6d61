"""How does an extract become the ten typed tables of the contract?"""

from __future__ import annotations

import hashlib
from collections.abc import Collection

import duckdb

from pipeline.records.aliases import join_patients, merge_aliases
from pipeline.records.chronology import chronology_findings
from pipeline.records.codes import convert_measurements, name_unknown_drugs, set_aside_findings
from pipeline.records.derive import derive
from pipeline.records.mapping import NOT_RUN, Notes, columns_of, count_of, extract_names, read_text_tables
from pipeline.records.omissions import omission_findings
from pipeline.records.report import RecordsReport
from pipeline.records.source import Source
from pipeline.schema import Contract, Finding, TableSchema, key_findings, reference_findings, row_findings
from pipeline.schema.checks import finding
from pipeline.schema.sql import quoted, typed

_CARRIED = {"patients": ("recorded_id",), "decisions": ("provenance",)}
"""Columns beyond the contract that a stage table takes over from its text table."""

_ABSENT = frozenset({"missing_table", "empty_table", "no_header"})
"""Rules of findings which say that nothing of a table could be read."""

_NOT_CONTENT = frozenset({"row_ordinal", "raw_value", "raw_unit"})


def _stage(connection: duckdb.DuckDBPyConnection, table: TableSchema) -> str:
    """Make the stage table: each column typed, and beside it, under `text:<name>`, the text that could not be read."""
    columns = []
    for field in table.fields:
        reading, text = typed(quoted(field.name), field), quoted(field.name)
        columns.append(f"{reading} AS {quoted(field.name)}")
        if field.type != "string":
            columns.append(f"CASE WHEN ({reading}) IS NULL THEN {text} END AS {quoted('text:' + field.name)}")
    columns += [quoted(name) for name in _CARRIED.get(table.name, ())]
    stage = "stage_" + table.name
    query = f"SELECT row_ordinal, {', '.join(columns)} FROM {quoted('text_' + table.name)}"
    connection.execute(f"CREATE OR REPLACE TABLE {quoted(stage)} AS {query}")
    return stage


def _finish(connection: duckdb.DuckDBPyConnection, stage: str, table: TableSchema, lag: int) -> None:
    """Give the stage as the typed table: visibility dates filled, without what could not be read; nothing is copied."""
    columns = ["row_ordinal"]
    for name in table.columns:
        if name == "known_at":
            columns.append(f"coalesce(known_at, {quoted(str(table.event_date))} + {lag}) AS known_at")
        else:
            columns.append(quoted(name))
    if table.event_date and "known_at" not in table.by_name:
        columns.append(f"{quoted(table.event_date)} + {lag} AS known_at")
    columns += [f"{quoted(date)} + {lag} AS {quoted(name)}" for name, date in table.visible.items()]
    columns += ["provenance"] if table.name == "decisions" else []
    columns += ["raw_value", "raw_unit"] if table.name == "measurements" else []
    connection.execute(
        f"CREATE OR REPLACE VIEW {quoted(table.name)} AS SELECT {', '.join(columns)} FROM {quoted(stage)}"
    )
    connection.execute(f"DROP TABLE {quoted('text_' + table.name)}")


def _presence(
    connection: duckdb.DuckDBPyConnection, table: TableSchema, fed: frozenset[str], notes: Notes
) -> Finding | None:
    """Return the error that a required table is missing or empty, if it is and nothing else says so."""
    stage = "text_" + table.name
    if not table.required or count_of(connection, stage):
        return None
    if any(found.table == table.name and found.rule in ("missing_table", "no_header") for found in notes.findings):
        return None
    rule = "empty_table" if table.name in fed else "missing_table"
    got = "the table has no row left" if rule == "empty_table" else "there is no such table"
    message = (
        f"{table.name}: {got}. Records need at least one row per {', '.join(table.one_row_per)}; "
        f"add {table.name}.csv or {table.name}.parquet, or choose the source configuration that fits. {NOT_RUN}"
    )
    return Finding(
        severity="error", table=table.name, column="", rule=rule, count=0, total=0, ordinals=(), message=message
    )


def _absent(notes: Notes) -> set[str]:
    """Return the tables of which nothing could be read."""
    return {found.table for found in notes.findings if found.rule in _ABSENT}


def _check(
    connection: duckdb.DuckDBPyConnection, contract: Contract, stages: dict[str, str], merged: bool, notes: Notes
) -> None:
    """Run every row rule, then join the rows of one patient, then check keys and references; empty tables keep all.

    What needs a table or column that is not there is left out.
    """
    missing = {name: {column for table, column in notes.missing if table == name} for name in stages}
    absent = _absent(notes)
    unread = absent | {name for name in stages if missing[name] & set(contract[name].primary_key)}
    read = [table for table in contract.records if table.name not in absent]
    filled = [table for table in read if count_of(connection, stages[table.name])]
    for table in filled:
        expected = {column for name, column in notes.filled if name == table.name}
        notes.findings += row_findings(connection, stages[table.name], table, expected, missing[table.name])
    patients = contract["patients"]
    notes.findings += key_findings(connection, stages["patients"], patients, ("recorded_id",))
    if merged:
        join_patients(connection, stages["patients"], patients, notes)
    for table in filled:
        if table.name != "patients":
            notes.findings += key_findings(connection, stages[table.name], table, table.primary_key)
        notes.findings += reference_findings(connection, stages, table, unread)


def _note_repeats(connection: duckdb.DuckDBPyConnection, stage: str, table: TableSchema, notes: Notes) -> None:
    """Note rows that are equal in every column, in tables without a key; they are kept and do no harm."""
    columns = ", ".join(quoted(name) for name in table.columns)
    hashed = f"SELECT hash({columns}) AS row_hash FROM {quoted(stage)}"
    alike = f"SELECT row_hash FROM ({hashed}) GROUP BY row_hash HAVING count(*) > 1"
    counted = f"SELECT count(*) AS times FROM {quoted(stage)} WHERE hash({columns}) IN ({alike}) GROUP BY {columns}"
    repeats = connection.execute(f"SELECT coalesce(sum(times - 1), 0) FROM ({counted})").fetchall()[0][0]
    if repeats:
        words = "repeat an earlier row in every column; they are kept. Check that the export does not double rows."
        counts = (int(repeats), count_of(connection, stage))
        notes.findings.append(finding("info", table.name, "", "repeated_row", counts, None, words))


def records_digest(connection: duckdb.DuckDBPyConnection, contract: Contract) -> str:
    """Return a digest of the typed tables' content, the same for any order of rows and any file format.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Holds the typed tables.
    contract : Contract

    Notes
    -----
    Each row is framed so that no two rows have one text, and hashed by SHA-256; of the first 128 bits of the hashes of
    a table, two sums of 64-bit numbers are kept, and the SHA-256 of all sums is the digest. A sum needs no sorting
    and no memory. It tells every change that happens; it is no defence against somebody who forges rows until two
    sums agree.
    """
    whole = hashlib.sha256()
    for table in contract.records:
        types = {name: kind for name, kind in _types_of(connection, table.name) if name not in _NOT_CONTENT}
        names = sorted(types)
        cells = [f"coalesce(CAST({quoted(name)} AS VARCHAR), '')" for name in names]
        lengths = [f"coalesce(length({quoted(name)}), -1)" for name in names if types[name] == "VARCHAR"]
        framed = f"concat_ws(chr(31), {', '.join([*cells, *lengths])})"
        sums = [f"sum(CAST('0x' || substr(row_hash, {start}, 16) AS UBIGINT))" for start in (1, 17)]
        hashed = f"SELECT sha256({framed}) AS row_hash FROM {quoted(table.name)}"
        counted = connection.execute(f"SELECT count(*), {', '.join(sums)} FROM ({hashed})").fetchall()[0]
        whole.update(f"{table.name}({','.join(names)}){counted};".encode())
    return whole.hexdigest()


def _types_of(connection: duckdb.DuckDBPyConnection, table: str) -> list[tuple[str, str]]:
    """Return the name and type of every column of a table."""
    query = "SELECT column_name, data_type FROM duckdb_columns() WHERE lower(table_name) = lower(?)"
    return [(str(name), str(kind)) for name, kind in connection.execute(query, [table]).fetchall()]


def standardise(
    connection: duckdb.DuckDBPyConnection,
    contract: Contract,
    source: Source,
    *,
    known_drugs: Collection[str] | None = None,
    modalities: Collection[str] | None = None,
) -> RecordsReport:
    """Make the ten typed tables of the contract from an extract, and account for every row.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Holds tables `extract_<name>`: text columns and `row_ordinal` (from 1).
    contract : Contract
    source : Source
    known_drugs : collection of str or None
        Generic names of the drug catalogue; another name becomes `other`, with a warning. None skips this.
    modalities : collection of str or None
        Declared modalities; a decision for another is warned of. None skips this.

    Returns
    -------
    RecordsReport
        Broken rules are findings, not exceptions; `raise_on_errors` turns them into one.

    Notes
    -----
    The connection afterwards holds one typed table per record table (empty where the extract has none),
    `measurements_set_aside` and `findings_set_aside`. `known_at` is filled with the event date plus the source's
    lag; a later date of a row has its own `*_visible_at`.
    """
    notes = Notes()
    fed = read_text_tables(connection, contract, source, notes)
    connection.execute("ALTER TABLE text_decisions ADD COLUMN provenance VARCHAR DEFAULT 'recorded'")
    merged = merge_aliases(connection, contract, notes)
    derive(connection, source, notes)
    for table in contract.records:
        absent = _presence(connection, table, fed | source.derived_tables, notes)
        notes.findings += [absent] if absent else []
    stages = {table.name: _stage(connection, table) for table in contract.records}
    _check(connection, contract, stages, merged, notes)
    partial = {name for name, _ in notes.missing} | _absent(notes)
    for table in contract.records:
        if not table.primary_key and table.name not in partial and count_of(connection, stages[table.name]):
            _note_repeats(connection, stages[table.name], table, notes)
    name_unknown_drugs(connection, stages["drugs"], known_drugs, notes)
    set_aside_findings(connection, stages["findings"], contract["findings"], notes)
    convert_measurements(connection, stages["measurements"], contract["measurements"], notes)
    for table in contract.records:
        _finish(connection, stages[table.name], table, source.lag_days.get(table.name, 0))
    notes.findings += [*chronology_findings(connection), *omission_findings(connection, modalities)]
    return RecordsReport(
        source=source.id,
        findings=_sorted(notes.findings, contract),
        attrition=tuple(notes.attrition),
        digest=records_digest(connection, contract),
        simulated=source.simulated or _stamped_simulated(connection),
        calendar=source.calendar,
        recorded_events=source.recorded_events,
        rows={table.name: count_of(connection, table.name) for table in contract.records},
    )


def _stamped_simulated(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return whether the extract says of itself that it was simulated, by a table of that name or a stamp."""
    if "simulated" in (name.lower() for name in extract_names(connection)):
        return True
    stamped = columns_of(connection, "records_stamp")
    return bool(stamped) and count_of(connection, "records_stamp", "key = 'simulated' AND lower(value) = 'true'") > 0


def _sorted(findings: list[Finding], contract: Contract) -> tuple[Finding, ...]:
    weight = {"error": 0, "warning": 1, "info": 2}
    place = {table.name: position for position, table in enumerate(contract.records)}
    return tuple(sorted(findings, key=lambda found: (weight[found.severity], place.get(found.table, len(place)))))
