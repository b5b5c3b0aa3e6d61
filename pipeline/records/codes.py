"""Is each measurement in a known code, a known unit and a plausible range, and if not, what becomes of it?

Units are converted or the row is set aside and counted; they are never guessed from the size of a value.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import duckdb

from pipeline.records.mapping import Notes, count_of
from pipeline.records.report import SET_ASIDE
from pipeline.schema import Step, TableSchema
from pipeline.schema.checks import finding
from pipeline.schema.sql import literal, quoted

_WORDS = {
    "unknown_code": "have a code that the contract does not list; they are set aside. Map local codes in the source.",
    "missing_unit": "have no unit, and {code} is never read without one (a tenfold error hides there); they are set "
    "aside. Give the unit ({unit}), or declare it as a constant in the source.",
    "unknown_unit": "have a unit that {code} is not read in; they are set aside. Wanted {unit} or {others}; "
    "map local spellings in the source.",
    "implausible": "of {code} lie outside {low:g} to {high:g} {unit}; they are set aside. Check the unit first.",
}


def unit_key(unit: str) -> str:
    """Return the spelling under which a unit is looked up: lower case, no spaces, micro as u, powers of ten as 10^n."""
    plain = unit.lower().replace(" ", "").replace("\u00b5", "u").replace("\u03bc", "u").replace("\u00d7", "x")
    return re.sub(r"^x?10(?:\*\*|[*^e])([0-9])", r"10^\1", plain)


def _unit_key_sql(expression: str) -> str:
    """Return SQL for `unit_key`."""
    plain = f"replace(lower({expression}), ' ', '')"
    for mark, letter in (("\u00b5", "u"), ("\u03bc", "u"), ("\u00d7", "x")):
        plain = f"replace({plain}, '{mark}', '{letter}')"
    return rf"regexp_replace({plain}, '^x?10(?:\*\*|[*^e])([0-9])', '10^\1')"


def _values(rows: Sequence[tuple[str, ...]], names: str) -> str:
    listed = ", ".join(f"({', '.join(row)})" for row in rows)
    return f"(SELECT * FROM (VALUES {listed}) AS listed({names}))"


def _code_tables(table: TableSchema) -> tuple[str, str]:
    """Return SQL for the codes (unit, range, what an empty unit means) and for the units each is read in."""
    codes, factors = [], []
    for name, code in table.codes.items():
        low, high = code.bounds or (float("-inf"), float("inf"))
        unit = code.unit or ""
        refused = "true" if code.missing_unit == "refused" else "false"
        codes.append((literal(name), literal(unit), f"'{low}'::DOUBLE", f"'{high}'::DOUBLE", refused))
        readings = {unit_key(unit): (1.0, 1.0)}
        readings |= {unit_key(other): (factor, 1.0) for other, factor in code.times.items()}
        readings |= {unit_key(other): (1.0, factor) for other, factor in code.over.items()}
        factors += [
            (literal(name), literal(key), f"'{times}'::DOUBLE", f"'{over}'::DOUBLE")
            for key, (times, over) in readings.items()
        ]
    return (
        _values(codes, "code, canonical_unit, low, high, unit_needed"),
        _values(factors, "code, unit_key, times, over"),
    )


def convert_measurements(connection: duckdb.DuckDBPyConnection, stage: str, table: TableSchema, notes: Notes) -> None:
    """Put measurements into canonical units, and set aside in `measurements_set_aside` what cannot be.

    The stage table keeps its columns; `value` and `unit` become canonical, `raw_value` and `raw_unit` are added.

    Parameters
    ----------
    connection : DuckDBPyConnection
    stage : str
        Stage table of `measurements`, one row per measurement.
    table : TableSchema
    notes : Notes
        One finding per code and reason, and one step.
    """
    codes, factors = _code_tables(table)
    name = quoted(stage)
    kept = ", ".join(quoted(column) for column in table.columns if column not in ("value", "unit"))
    reason = (
        "CASE WHEN code IS NULL OR value IS NULL THEN NULL WHEN canonical_unit IS NULL THEN 'unknown_code' "
        "WHEN unit IS NULL AND unit_needed THEN 'missing_unit' WHEN unit IS NOT NULL AND times IS NULL "
        "THEN 'unknown_unit' WHEN converted < low OR converted > high THEN 'implausible' END"
    )
    connection.execute(
        f"CREATE OR REPLACE TABLE {name} AS SELECT row_ordinal, {kept}, converted AS value, "
        f"coalesce(canonical_unit, unit) AS unit, value AS raw_value, unit AS raw_unit, {reason} AS reason "
        f"FROM (SELECT stage.*, canonical_unit, unit_needed, low, high, times, "
        f"CASE WHEN stage.unit IS NULL THEN value ELSE value * times / over END AS converted FROM {name} AS stage "
        f"LEFT JOIN {codes} AS codes ON codes.code = stage.code LEFT JOIN {factors} AS factors "
        f"ON factors.code = stage.code AND factors.unit_key = {_unit_key_sql('stage.unit')})"
    )
    _note_reasons(connection, stage, table, notes)
    connection.execute(
        f"CREATE OR REPLACE TABLE measurements_set_aside AS SELECT row_ordinal, patient_id, code, raw_value, raw_unit, "
        f"measured_at, known_at, reason FROM {name} WHERE reason IS NOT NULL"
    )
    words = "unknown code or unit, unit missing where it is needed, or implausible value"
    _leave_out(connection, stage, "reason IS NOT NULL", table, words, notes)


def _leave_out(
    connection: duckdb.DuckDBPyConnection, stage: str, unread: str, table: TableSchema, reason: str, notes: Notes
) -> None:
    """Delete the rows that cannot be read, and note how many there were, if any."""
    before = count_of(connection, stage)
    connection.execute(f"DELETE FROM {quoted(stage)} WHERE {unread}")
    after = count_of(connection, stage)
    if after != before:
        notes.attrition.append(Step(step=f"{table.name}: {SET_ASIDE}", rows_in=before, rows_out=after, reason=reason))


def _note_reasons(connection: duckdb.DuckDBPyConnection, stage: str, table: TableSchema, notes: Notes) -> None:
    total = count_of(connection, stage)
    query = (
        f"SELECT reason, CASE WHEN reason <> 'unknown_code' THEN code END AS known, count(*), min(row_ordinal, 5) "
        f"FROM {quoted(stage)} WHERE reason IS NOT NULL GROUP BY ALL ORDER BY reason, known"
    )
    for rule, name, count, ordinals in connection.execute(query).fetchall():
        words = _WORDS[rule]
        if name is not None:
            code = table.codes[name]
            low, high = code.bounds or (float("-inf"), float("inf"))
            others = ", ".join([*code.times, *code.over]) or "no other"
            words = words.format(code=name, unit=code.unit, others=others, low=low, high=high)
        column = {"unknown_code": "code", "implausible": "value"}.get(rule, "unit")
        counts = (int(count), total)
        notes.findings.append(finding("warning", "measurements", column, rule, counts, ordinals, words))
    listed = ", ".join(literal(name) for name, code in table.codes.items() if code.unit not in ("score", "grade"))
    bare = f"raw_unit IS NULL AND reason IS NULL AND code IN ({listed})"
    query = f"SELECT count(*), min(row_ordinal, 5) FROM {quoted(stage)} WHERE {bare}"
    assumed, ordinals = connection.execute(query).fetchall()[0]
    if assumed:
        words = "have no unit and are read as the canonical one. Export the unit column to be sure."
        counts = (int(assumed), total)
        notes.findings.append(finding("info", "measurements", "unit", "unit_assumed", counts, ordinals, words))


def set_aside_findings(connection: duckdb.DuckDBPyConnection, stage: str, table: TableSchema, notes: Notes) -> None:
    """Set aside findings with an unknown code (a warning); a value its code does not allow is an error.

    Parameters
    ----------
    connection : DuckDBPyConnection
    stage : str
        Stage table of `findings`, one row per coded fact.
    table : TableSchema
    notes : Notes
    """
    total = count_of(connection, stage)
    names = ", ".join(literal(name) for name in table.codes)
    unknown = f"code NOT IN ({names})"
    allowed = _values(
        [(literal(name), literal(value)) for name, code in table.codes.items() for value in code.values], "code, value"
    )
    query = (
        f"SELECT code, count(*), min(row_ordinal, 5) FROM {quoted(stage)} AS here ANTI JOIN {allowed} AS allowed "
        f"USING (code, value) WHERE code IN ({names}) AND value IS NOT NULL GROUP BY code ORDER BY code"
    )
    for name, count, ordinals in connection.execute(query).fetchall():
        values = ", ".join(table.codes[name].values)
        words = f"of {name} hold another value than {values}. Map local values in the source; leave out unknown ones."
        notes.findings.append(finding("error", "findings", "value", "enum", (int(count), total), ordinals, words))
    query = f"SELECT count(*), min(row_ordinal, 5) FROM {quoted(stage)} WHERE {unknown}"
    count, ordinals = connection.execute(query).fetchall()[0]
    if count:
        words = _WORDS["unknown_code"]
        counts = (int(count), total)
        notes.findings.append(finding("warning", "findings", "code", "unknown_code", counts, ordinals, words))
    connection.execute(
        "CREATE OR REPLACE TABLE findings_set_aside AS SELECT row_ordinal, patient_id, code, value, found_at, "
        f"known_at, 'unknown_code' AS reason FROM {quoted(stage)} WHERE {unknown}"
    )
    _leave_out(connection, stage, unknown, table, "unknown code", notes)


def name_unknown_drugs(
    connection: duckdb.DuckDBPyConnection, stage: str, known: Collection[str] | None, notes: Notes
) -> None:
    """Call a drug that the catalogue does not list `other`, and warn.

    Parameters
    ----------
    connection : DuckDBPyConnection
    stage : str
        Stage table of `drugs`, one row per course.
    known : collection of str or None
        Generic names of the drug catalogue; None skips the check.
    notes : Notes
    """
    if known is None:
        return
    listed = ", ".join(literal(name) for name in sorted({*known, "other"}))
    unknown = f"drug NOT IN ({listed})"
    query = f"SELECT count(*) FILTER (WHERE {unknown}), count(*), min(row_ordinal, 5) FILTER (WHERE {unknown}) "
    count, total, ordinals = connection.execute(f"{query} FROM {quoted(stage)}").fetchall()[0]
    if count:
        words = "name a drug that the catalogue does not list; they are kept as `other`. Add it, or map its local name."
        counts = (int(count), int(total))
        notes.findings.append(finding("warning", "drugs", "drug", "unknown_drug", counts, ordinals, words))
        connection.execute(f"UPDATE {quoted(stage)} SET drug = 'other' WHERE {unknown}")
