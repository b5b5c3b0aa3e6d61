"""How is a text column read as its declared type, in SQL?"""

from __future__ import annotations

from pipeline.schema.tables import FieldSpec

_INTEGER = r"[+-]?[0-9]{1,18}([.]0*)?"
_NUMBER = r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?"
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?)?"
_NOT_FINITE = "('nan', '-nan', 'inf', '-inf', '+inf', 'infinity', '-infinity', '+infinity', 'nat', '<na>')"
LONGEST_TEXT = 1000
"""Characters; longer text in a contract column is a damaged file, not a value."""


def quoted(name: str) -> str:
    """Return a column or table name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return text as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def trimmed(expression: str) -> str:
    """Return SQL for text without surrounding white space; NULL where nothing is left.

    Text that begins and ends after the space in Unicode has none, and is taken as it is: that is a third of the time.
    """
    cut = f"nullif(trim({expression}, chr(32) || chr(9) || chr(10) || chr(13)), '')"
    return f"CASE WHEN {expression} >= '!' AND right({expression}, 1) >= '!' THEN {expression} ELSE {cut} END"


def not_finite(expression: str, field: FieldSpec) -> str:
    """Return SQL that says whether text is a NaN, an infinity or a not-a-time where a number or date belongs."""
    if field.type in ("integer", "number", "date"):
        return f"coalesce(lower({expression}) IN {_NOT_FINITE}, false)"
    return "false"


def typed(expression: str, field: FieldSpec) -> str:
    """Return SQL for trimmed text read as the column's type; NULL where it cannot be.

    Only plain decimal numbers, ISO dates (a time of day is cut off) and true/false/1/0 are
    read; what a database would guess (2.5 as 3, 1_000, 2024-3-1) is not.
    """
    match field.type:
        case "integer":
            cut = f"regexp_replace({expression}, '[.]0*$', '')"
            return f"CASE WHEN regexp_full_match({expression}, '{_INTEGER}') THEN TRY_CAST({cut} AS BIGINT) END"
        case "number":
            number = f"TRY_CAST({expression} AS DOUBLE)"
            finite = f"CASE WHEN isfinite({number}) THEN {number} + 0.0 END"
            return f"CASE WHEN regexp_full_match({expression}, '{_NUMBER}') THEN {finite} END"
        case "date":
            day = f"TRY_CAST(left({expression}, 10) AS DATE)"
            bare = f"length({expression}) = 10 AND CAST({day} AS VARCHAR) = {expression}"  # a third of a pattern's time
            return f"CASE WHEN {bare} THEN {day} WHEN regexp_full_match({expression}, '{_DATE}') THEN {day} END"
        case "boolean":
            yes, no = "('true', '1', '1.0')", "('false', '0', '0.0')"
            return f"CASE WHEN lower({expression}) IN {yes} THEN true WHEN lower({expression}) IN {no} THEN false END"
        case _:
            return f"lower({expression})" if field.lower else expression
