"""Does a table that the program itself made keep its contract?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pipeline.errors import SchemaError, counted
from pipeline.schema.tables import FieldSpec, TableSchema


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple | np.ndarray)


def _type_breaks(column: pd.Series, field: FieldSpec) -> int:
    """Return how many filled cells are not of the declared type."""
    filled = column[column.notna()]
    kind = pd.api.types
    match field.type:
        case "array":
            return int((~filled.map(_is_list)).astype(bool).sum())
        case "object":
            return int((~filled.map(lambda value: isinstance(value, Mapping))).astype(bool).sum())
        case "string":
            if isinstance(column.dtype, pd.CategoricalDtype) or (
                kind.is_string_dtype(column) and column.dtype != object
            ):
                return 0
            return int((~filled.map(lambda value: isinstance(value, str))).astype(bool).sum())
        case "boolean":
            return int((~filled.map(lambda value: isinstance(value, bool | np.bool_))).astype(bool).sum())
        case "date":
            if kind.is_datetime64_any_dtype(column):
                return 0
            return int(pd.to_datetime(filled, errors="coerce", format="ISO8601").isna().sum())
        case _:
            numbers = pd.to_numeric(filled, errors="coerce")
            broken = numbers.isna() | filled.map(lambda value: isinstance(value, str | bool | np.bool_)).astype(bool)
            if field.type == "integer":
                broken |= numbers % 1 != 0
            return int(broken.sum())


def _field_problems(column: pd.Series, field: FieldSpec) -> list[str]:
    total = len(column)
    empty, wrong = int(column.isna().sum()), _type_breaks(column, field)
    problems = []
    if field.constraints.required and empty:
        problems.append(f"{field.name}: {empty:,} of {total:,} rows are empty; a value is required")
    if wrong:
        return [*problems, f"{field.name}: {wrong:,} of {total:,} rows are not of type {field.type}"]
    if field.constraints.enum:
        strange = int((column.notna() & ~column.isin(list(field.constraints.enum))).sum())
        if strange:
            listed = ", ".join(field.constraints.enum)
            problems.append(f"{field.name}: {strange:,} of {total:,} rows hold another value than {listed}")
    if field.type in ("number", "integer") and (field.low is not None or field.high is not None):
        numbers = pd.to_numeric(column).astype("Float64")
        low = float(field.low) if field.low is not None else -np.inf
        high = float(field.high) if field.high is not None else np.inf
        outside = int(((numbers < low) | (numbers > high)).fillna(False).sum())
        if outside:
            problems.append(f"{field.name}: {outside:,} of {total:,} rows are outside {field.low} to {field.high}")
    return problems


def checked(frame: pd.DataFrame, table: TableSchema) -> pd.DataFrame:
    """Return the frame with its columns in declared order, once it is shown to keep its contract.

    Parameters
    ----------
    frame : DataFrame
        One row per `table.one_row_per`.
    table : TableSchema

    Returns
    -------
    DataFrame, one row per `table.one_row_per`
        The same cells and dtypes.

    Raises
    ------
    SchemaError
        With every broken rule and its count: missing or undeclared columns, types, empty required
        cells, values outside a list or range, repeated keys.
    """
    names = [str(name) for name in frame.columns]
    problems = [f"{name}: column is missing" for name in table.columns if name not in names]
    problems += [f"{name}: column is not declared" for name in names if name not in table.by_name]
    twice = sorted({name for name in names if names.count(name) > 1})
    problems += [f"{name}: column occurs more than once" for name in twice]
    if not problems:
        for field in table.fields:
            problems += _field_problems(frame[field.name], field)
        if table.primary_key and not problems:
            repeats = int(frame.duplicated(list(table.primary_key)).sum())
            if repeats:
                key = ", ".join(table.primary_key)
                problems.append(f"{key}: {repeats:,} of {len(frame):,} rows repeat the key of an earlier row")
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise SchemaError(f"{table.name}: {counted(len(problems), 'problem')} with a table made here\n{listed}")
    return frame[table.columns]
