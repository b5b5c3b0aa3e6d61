"""How do the same rules read as SQL? Three-valued as DuckDB is, where null stands for unknown.

Nothing a rule file says reaches the text unquoted: facts become quoted identifiers, levels
quoted literals, numbers are written by this module, and every alias is made here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import pandas as pd

from pipeline.errors import RuleError
from pipeline.guardrails.answers import CLEAR, NOT_ASSESSED, OUTSIDE, Answers, codes_of
from pipeline.guardrails.conditions import (
    LABEL_PREFIX,
    AllOf,
    AnyOf,
    AtLeast,
    Compare,
    Condition,
    Known,
    NotOf,
    Scalar,
    leaves_of,
)
from pipeline.guardrails.grid import FALSE, TRUE, UNKNOWN
from pipeline.guardrails.kleene import FLAGS, NUMBERS, OTHER, TEXT, no_column, no_yes_or_no, wrong_kind
from pipeline.guardrails.plan import Plan
from pipeline.guardrails.rules import Rule

NUMBER_TYPES = (
    *("DOUBLE", "FLOAT", "TINYINT", "SMALLINT", "INTEGER", "BIGINT"),
    *("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"),
)
SIGNS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "equals": "=", "in": "="}


@dataclass(frozen=True)
class FactTable:
    """A table of facts in a database: one row per decision, with `decision_id` and, optionally, `decision_date`.

    Attributes
    ----------
    name : str
    types : mapping of column to DuckDB type
    """

    name: str
    types: Mapping[str, str]


def fact_table(connection: duckdb.DuckDBPyConnection, name: str) -> FactTable:
    """Return a table's columns and types.

    Parameters
    ----------
    connection : DuckDBPyConnection
    name : str
        Table or view.

    Returns
    -------
    FactTable

    Raises
    ------
    RuleError
        If the table has no column `decision_id`, or an id twice.
    """
    described = connection.execute(f"DESCRIBE {identifier(name)}").fetchall()
    types = {str(row[0]): str(row[1]) for row in described}
    if "decision_id" not in types:
        raise RuleError("facts: no column 'decision_id'; wanted one row per decision")
    repeated = connection.execute(f"SELECT count(*) - count(DISTINCT decision_id) FROM {identifier(name)}").fetchall()
    if repeated[0][0]:
        raise RuleError(f"facts: {repeated[0][0]} decision ids repeat or are missing; wanted one row per decision")
    return FactTable(name, types)


def identifier(name: str) -> str:
    """Return a name quoted as an SQL identifier, whatever it contains."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: Scalar | None) -> str:
    """Return a constant as SQL text: quoted where it is a word, a DOUBLE where it is a number."""
    if value is None:
        return "CAST(NULL AS VARCHAR)"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return f"CAST('{float(value)!r}' AS DOUBLE)"


def condition_sql(
    condition: Condition, types: Mapping[str, str], label: Mapping[str, Scalar | None] | None = None
) -> str:
    """Return a condition as an SQL expression that is TRUE, FALSE or, where unknown, NULL.

    Parameters
    ----------
    condition : Condition
    types : mapping of column to DuckDB type
        Of the table that the expression is put to.
    label : mapping of label fact to value, or None
        What the product's label says.

    Returns
    -------
    str

    Raises
    ------
    RuleError
        If a fact has no column, or one of another type than the rule reads.
    """
    match condition:
        case Known(fact, known):
            return f"({_fact(fact, types, label)} IS {'NOT ' if known else ''}NULL)"
        case Compare():
            return _compare(condition, types, label)
        case NotOf(part):
            return f"(NOT {condition_sql(part, types, label)})"
        case AllOf(parts):
            return f"({' AND '.join(condition_sql(part, types, label) for part in parts)})"
        case AnyOf(parts):
            return f"({' OR '.join(condition_sql(part, types, label) for part in parts)})"
        case AtLeast(count, parts):
            texts = [condition_sql(part, types, label) for part in parts]
            sure = " + ".join(f"CAST(coalesce({text}, FALSE) AS INTEGER)" for text in texts)
            possible = " + ".join(f"CAST(coalesce({text}, TRUE) AS INTEGER)" for text in texts)
            return f"(CASE WHEN {sure} >= {count:d} THEN TRUE WHEN {possible} < {count:d} THEN FALSE END)"


def rule_query(rule: Rule, table: FactTable, label: Mapping[str, Scalar | None] | None = None) -> str:
    """Return a query that says for which decisions a rule fires and for which it is undecided.

    Parameters
    ----------
    rule : Rule
    table : FactTable
    label : mapping of label fact to value, or None
        Of the assessed product; needed only by rules that read a label.

    Returns
    -------
    str
        A SELECT of `decision_id, fired, undecided`, sorted by decision_id. Its `effective_from` is not looked at.

    Raises
    ------
    RuleError
        If a fact has no column, or one of another type than the rule reads.
    """
    text = condition_sql(rule.condition, table.types, label)
    return (
        f"SELECT decision_id, coalesce({text}, FALSE) AS fired, {text} IS NULL AS undecided "
        f"FROM {identifier(table.name)} ORDER BY decision_id"
    )


def apply_rules_sql(connection: duckdb.DuckDBPyConnection, table: FactTable, asked: Plan) -> Answers:
    """Return the answers of all rules by one SQL query; equal to those by masks.

    Parameters
    ----------
    connection : DuckDBPyConnection
    table : FactTable
        Facts; without a column `decision_date`, every rule judges every decision.
    asked : Plan

    Returns
    -------
    Answers
        Decisions sorted by id; no overrides.

    Raises
    ------
    RuleError
        If a fact that a rule reads has no column, or values of another type.
    """
    _check_yes_or_no(connection, table, asked)
    found = connection.execute(verdict_query(table, asked)).fetchnumpy()
    decisions = pd.Index(found.pop("decision_id"), name="decision_id", dtype="str")

    def rows(prefix: str, number: int) -> np.ndarray[tuple[int, int], np.dtype[np.int8]]:
        columns = [np.asarray(found[f"{prefix}{place}"], dtype=np.int8) for place in range(number)]
        return np.array(columns, dtype=np.int8).reshape(number, len(decisions))

    return Answers(
        plan=asked,
        decisions=decisions,
        states=rows("r", len(asked.asked)),
        products=rows("p", len(asked.offered)),
        modalities=rows("m", len(asked.modalities)),
    )


def verdict_query(table: FactTable, asked: Plan) -> str:
    """Return the query of all rules: states `r0..`, product verdicts `p0..` and modality verdicts `m0..`.

    Parameters
    ----------
    table : FactTable
    asked : Plan

    Returns
    -------
    str
        One row per decision, sorted by decision_id; small whole numbers as in `Answers`.

    Raises
    ------
    RuleError
        If a fact that a rule reads has no column, or one of another type.
    """
    states = [f"{_state(entry.rule, entry.label, table)} AS r{place}" for place, entry in enumerate(asked.asked)]
    products = [f"{_worst(place, asked)} AS p{place}" for place in range(len(asked.offered))]
    modalities = []
    for place, name in enumerate(asked.modalities):
        own = ", ".join(f"p{product}" for product in asked.products_of(name))
        modalities.append(f"CAST(least({own}) AS TINYINT) AS m{place}")
    return (
        f"WITH states AS MATERIALIZED (SELECT {', '.join(['decision_id', *states])} FROM {identifier(table.name)}), "
        f"worst AS MATERIALIZED (SELECT {', '.join(['*', *products])} FROM states) "
        f"SELECT {', '.join(['*', *modalities])} FROM worst ORDER BY decision_id"
    )


def _state(rule: Rule, label: Mapping[str, Scalar | None], table: FactTable) -> str:
    truth = condition_sql(rule.condition, table.types, label)
    state = f"CASE {truth} WHEN TRUE THEN {TRUE} WHEN FALSE THEN {FALSE} ELSE {UNKNOWN} END"
    if "decision_date" in table.types:
        outside = f"CAST(decision_date AS DATE) < DATE '{rule.effective_from.isoformat()}'"
        state = f"CASE WHEN {outside} THEN {OUTSIDE} ELSE {state} END"
    return f"CAST({state} AS TINYINT)"


def _worst(product: int, asked: Plan) -> str:
    own = [(place, entry.rule) for place, entry in enumerate(asked.asked) if product in entry.products]
    if not own:
        return f"CAST({NOT_ASSESSED} AS TINYINT)"
    said = [
        f"CASE r{place} WHEN {TRUE} THEN {codes[TRUE]} WHEN {UNKNOWN} THEN {codes[UNKNOWN]} ELSE {CLEAR} END"
        for place, codes in ((place, codes_of(rule)) for place, rule in own)
    ]
    outside = " AND ".join(f"r{place} = {OUTSIDE}" for place, _ in own)
    return f"CAST(CASE WHEN {outside} THEN {NOT_ASSESSED} ELSE greatest({', '.join(said)}) END AS TINYINT)"


def _compare(leaf: Compare, types: Mapping[str, str], label: Mapping[str, Scalar | None] | None) -> str:
    value = _fact(leaf.fact, types, label, leaf.values[0])
    if isinstance(leaf.values[0], bool):
        return f"({value} = {literal(leaf.values[0])})"
    if isinstance(leaf.values[0], str):
        return f"({value} IN ({', '.join(literal(word) for word in leaf.values)}))"
    factor = "" if leaf.times is None else f" * {_fact(leaf.times, types, label, leaf.values[0])}"
    limits = [f"{literal(limit)}{factor}" for limit in leaf.values]
    if leaf.op == "between":
        return f"({value} >= {limits[0]} AND {value} <= {limits[1]})"
    return f"({' OR '.join(f'{value} {SIGNS[leaf.op]} {limit}' for limit in limits)})"


def _fact(
    fact: str, types: Mapping[str, str], label: Mapping[str, Scalar | None] | None, asked: Scalar | None = None
) -> str:
    """Return a fact's value as SQL, NULL where unknown, in the type that is asked of it (any, where None)."""
    if fact.startswith(LABEL_PREFIX):
        return literal((label or {}).get(fact))
    if fact not in types:
        raise no_column(fact)
    kind, name = _kind_of(types[fact]), identifier(fact)
    if kind == FLAGS and (asked is None or isinstance(asked, bool)):
        return name
    if kind == NUMBERS and not isinstance(asked, str):
        number = f"CAST({name} AS DOUBLE)"
        known = f"(CASE WHEN isfinite({number}) THEN {number} END)"
        return f"({known} = CAST('1.0' AS DOUBLE))" if isinstance(asked, bool) else known
    if kind == TEXT and (asked is None or isinstance(asked, str)):
        return f"CAST({name} AS VARCHAR)"
    raise wrong_kind(fact, kind, {bool: FLAGS, str: TEXT, type(None): OTHER}.get(type(asked), NUMBERS))


def _kind_of(column: str) -> str:
    """Return what a column of a type holds, as `kleene.kind_of` says of a pandas column."""
    if column in NUMBER_TYPES:
        return NUMBERS
    return FLAGS if column == "BOOLEAN" else TEXT if column == "VARCHAR" or column.startswith("ENUM") else OTHER


def _check_yes_or_no(connection: duckdb.DuckDBPyConnection, table: FactTable, asked: Plan) -> None:
    """Refuse a number where yes or no is read, unless it is 1 or 0."""
    leaves = {leaf for entry in asked.asked for leaf in leaves_of(entry.rule.condition)}
    flags = {leaf.fact for leaf in leaves if isinstance(leaf, Compare) and isinstance(leaf.values[0], bool)}
    counted: Sequence[str] = sorted(fact for fact in flags if table.types.get(fact) in NUMBER_TYPES)
    wrong = [f"count(*) FILTER (isfinite({q}) AND {q} NOT IN (0, 1))" for q in map(_as_double, counted)]
    found = connection.execute(f"SELECT {', '.join(['count(*)', *wrong])} FROM {identifier(table.name)}").fetchall()
    rows, *numbers = found[0]
    for fact, number in zip(counted, numbers, strict=True):
        if number:
            raise no_yes_or_no(fact, number, rows)


def _as_double(fact: str) -> str:
    return f"CAST({identifier(fact)} AS DOUBLE)"
