"""Which rows break the contract, how many, and at which ordinals?

Checks run in DuckDB on a *stage* table: per column its typed reading under the column's
name and, where it is no text, what could not be read under `text:<name>`, plus `row_ordinal`. One scan
per table answers every row rule. A finding holds counts and ordinals, never a value or an identifier.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import duckdb

from pipeline.schema.sql import LONGEST_TEXT, literal, not_finite, quoted
from pipeline.schema.tables import FieldSpec, Severity, TableSchema

SHOWN = 5
"""Row ordinals kept per finding."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One rule that some rows of one table break.

    Attributes
    ----------
    severity : {'error', 'warning', 'info'}
    table, column, rule : str
        `column` is empty where the whole table is meant.
    count, total : int
        Rows concerned, of rows looked at.
    ordinals : tuple of int
        The first five, counted from 1 in the source's table.
    message : str
        Where, what, got, wanted, next step.
    """

    severity: Severity
    table: str
    column: str
    rule: str
    count: int
    total: int
    ordinals: tuple[int, ...]
    message: str


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of the attrition table.

    Attributes
    ----------
    step : str
    rows_in, rows_out : int
    reason : str
    """

    step: str
    rows_in: int
    rows_out: int
    reason: str


def finding(
    severity: Severity,
    table: str,
    column: str,
    rule: str,
    counts: tuple[int, int],
    ordinals: Sequence[int] | None,
    words: str,
) -> Finding:
    """Return a finding whose message begins with where, how many of how many, and which rows.

    Parameters
    ----------
    severity, table, column, rule : str
    counts : (count, total)
    ordinals : sequence of int or None
    words : str
        What is wrong, what was wanted, what to do next.
    """
    count, total = counts
    rows = tuple(ordinals or ())
    where = f"{table}.{column}" if column else table
    shown = f" (row {', '.join(str(row) for row in rows)}{', ...' if count > len(rows) else ''})" if rows else ""
    message = f"{where}: {count:,} of {total:,} rows{shown} {words}"
    return Finding(
        severity=severity,
        table=table,
        column=column,
        rule=rule,
        count=count,
        total=total,
        ordinals=rows,
        message=message,
    )


@dataclass(frozen=True)
class _Check:
    severity: Severity
    column: str
    rule: str
    broken: str
    words: str


_WANTED = {
    "string": "text",
    "integer": "a whole number",
    "number": "a plain decimal number",
    "date": "an ISO date such as 2024-03-01",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
}


def _field_checks(field: FieldSpec) -> list[_Check]:
    value, unread = quoted(field.name), quoted(f"text:{field.name}")
    unreal = not_finite(unread, field)
    checks = []
    if field.constraints.required:
        words = "are empty. A value is required; complete it, or leave the row out and say so in the source."
        empty = f"{value} IS NULL" if field.type == "string" else f"({value} IS NULL AND {unread} IS NULL)"
        checks.append(_Check("error", field.name, "required", f"({empty} OR {unreal})", words))
    elif unreal != "false":
        words = "hold NaN, an infinity or NaT; they are read as empty. Export an empty cell instead."
        checks.append(_Check("info", field.name, "not_finite", unreal, words))
    if field.type != "string":
        broken = f"({unread} IS NOT NULL AND NOT {unreal})"
        words = f"cannot be read. Wanted {_WANTED[field.type]}; mend the file, or map the column in the source."
        checks.append(_Check("error", field.name, "type", broken, words))
    else:
        words = f"are longer than {LONGEST_TEXT:,} characters. The file looks damaged or shifted; export it again."
        checks.append(_Check("error", field.name, "length", f"length({value}) > {LONGEST_TEXT}", words))
    if field.constraints.enum:
        listed = ", ".join(literal(word) for word in field.constraints.enum)
        words = f"hold another value than {', '.join(field.constraints.enum)}. Map local values in the source."
        checks.append(_Check("error", field.name, "enum", f"{value} NOT IN ({listed})", words))
    checks += _range_checks(field, value)
    return checks


def _range_checks(field: FieldSpec, value: str) -> list[_Check]:
    low, high = field.low, field.high
    if low is None and high is None:
        return []
    cast = "DATE " if field.type == "date" else ""
    parts = []
    if low is not None:
        parts.append(f"{value} < {cast}{literal(str(low)) if cast else low}")
    if high is not None:
        parts.append(f"{value} > {cast}{literal(str(high)) if cast else high}")
    wanted = f"{low if low is not None else 'any'} to {high if high is not None else 'any'}"
    words = f"are out of range. Wanted {wanted}{' ' + field.unit if field.unit else ''}; leave unknown values empty."
    return [_Check("error", field.name, "range", f"({' OR '.join(parts)})", words)]


def _order_checks(table: TableSchema) -> list[_Check]:
    checks = []
    for pair in table.order:
        broken = f"{quoted(pair.later)} < {quoted(pair.earlier)}"
        words = f"have {pair.later} before {pair.earlier}. Swap or mend the dates, or leave the unknown one empty."
        checks.append(_Check("error", pair.later, "order", broken, words))
    if table.event_date and "known_at" in table.by_name:
        broken = f"known_at < {quoted(table.event_date)}"
        words = (
            f"have known_at before {table.event_date}. A fact cannot be known before it happens; "
            "mend known_at, or leave it empty and declare lag_days in the source."
        )
        checks.append(_Check("error", "known_at", "known_at", broken, words))
    return checks


def row_findings(
    connection: duckdb.DuckDBPyConnection,
    stage: str,
    table: TableSchema,
    expected: Collection[str] = (),
    missing: Collection[str] = (),
) -> list[Finding]:
    """Return every row rule that the stage table breaks, in declared order.

    Parameters
    ----------
    connection : DuckDBPyConnection
    stage : str
        Name of the stage table, one row per row of `table`.
    table : TableSchema
    expected : collection of str
        Columns that were to be filled; one of them without any value is noted.
    missing : collection of str
        Columns that the extract lacks, of which that is said already; nothing more is.
    """
    checks = [check for field in table.fields for check in _field_checks(field)] + _order_checks(table)
    checks = [check for check in checks if check.column not in missing]
    parts = ["count(*)"]
    for check in checks:
        parts.append(f"count(*) FILTER (WHERE {check.broken})")
        parts.append(f"min(row_ordinal, {SHOWN}) FILTER (WHERE {check.broken})")
    parts += [f"count({quoted(name)})" for name in table.columns]
    row = connection.execute(f"SELECT {', '.join(parts)} FROM {quoted(stage)}").fetchall()[0]
    total = int(row[0])
    found = []
    for position, check in enumerate(checks):
        count, ordinals = int(row[1 + 2 * position]), row[2 + 2 * position]
        if count:
            found.append(
                finding(check.severity, table.name, check.column, check.rule, (count, total), ordinals, check.words)
            )
    filled = row[1 + 2 * len(checks) :]
    for name, count in zip(table.columns, filled, strict=True):
        if total and not count and name in expected:
            words = "are empty: the column says nothing. Check that the export includes it."
            found.append(finding("info", table.name, name, "all_null", (total, total), None, words))
    return found


def key_findings(
    connection: duckdb.DuckDBPyConnection, stage: str, table: TableSchema, key: Sequence[str]
) -> list[Finding]:
    """Return the finding that rows repeat the key, if any do; an empty part of a key is left to `required`.

    Parameters
    ----------
    connection : DuckDBPyConnection
    stage : str
    table : TableSchema
    key : sequence of str
        Columns of the stage table that must be unique together.
    """
    if not key:
        return []
    names = ", ".join(quoted(name) for name in key)
    present = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in key)
    numbered = (
        f"SELECT row_ordinal, row_number() OVER (PARTITION BY {names} ORDER BY row_ordinal) AS occurrence "
        f"FROM {quoted(stage)} WHERE {present}"
    )
    query = (
        f"SELECT count(*) FILTER (WHERE occurrence > 1), count(*), "
        f"min(row_ordinal, {SHOWN}) FILTER (WHERE occurrence > 1) FROM ({numbered})"
    )
    count, total, ordinals = connection.execute(query).fetchall()[0]
    if not count:
        return []
    shown = ", ".join(table.primary_key)
    words = f"repeat the key ({shown}) of an earlier row. One row per {shown} is wanted; remove or merge the repeats."
    return [finding("error", table.name, shown, "key", (int(count), int(total)), ordinals, words)]


def reference_findings(
    connection: duckdb.DuckDBPyConnection, stages: dict[str, str], table: TableSchema, unread: Collection[str] = ()
) -> list[Finding]:
    """Return one finding per foreign key that points at rows which do not exist.

    Parameters
    ----------
    connection : DuckDBPyConnection
    stages : dict of table name to stage table name
    table : TableSchema
    unread : collection of str
        Tables of which no row could be read, of which that is said already; what points at them is not looked up.
    """
    found = []
    for foreign in table.foreign_keys:
        if foreign.reference.resource in unread:
            continue
        here = [f"here.{quoted(name)}" for name in foreign.fields]
        pairs = zip(here, foreign.reference.fields, strict=True)
        matched = " AND ".join(f"{mine} = there.{quoted(theirs)}" for mine, theirs in pairs)
        present = " AND ".join(f"{mine} IS NOT NULL" for mine in here)
        query = (
            f"SELECT count(*), min(row_ordinal, {SHOWN}) FROM {quoted(stages[table.name])} AS here "
            f"ANTI JOIN {quoted(stages[foreign.reference.resource])} AS there ON {matched} WHERE {present}"
        )
        count, ordinals = connection.execute(query).fetchall()[0]
        total = connection.execute(f"SELECT count(*) FROM {quoted(stages[table.name])}").fetchall()[0][0]
        if count:
            column, target = ", ".join(foreign.fields), foreign.reference.resource
            words = f"have no row in {target}. Add the missing {target} rows, or leave these rows out of the export."
            counts = (int(count), int(total))
            found.append(finding(foreign.severity, table.name, column, "reference", counts, ordinals, words))
    return found
