"""Is each thing that was handed to the estimator of the kind it must be, and does it fit the rows and columns of X?

Errors say where, what was got and what was wanted, and what to do next; they name columns and counts, never a value.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.learners.design import Columns

Array = npt.NDArray[np.float64]


def same_rows(table: Any, rows: int, what: str, index: pd.Index[Any] | None = None) -> None:
    """Refuse a table with other rows than X.

    Parameters
    ----------
    table : anything with a length
    rows : int
        Of X.
    what : str
        How the table is called.
    index : Index or None
        Of X, where X is a DataFrame. Rows are matched by position; other labels altogether are no matter.

    Raises
    ------
    ValueError
        If the number of rows differs, or the same labels stand in another order.
    """
    if not hasattr(table, "__len__"):
        raise ValueError(f"{what}: {type(table).__name__}, wanted {rows} row(s) as in X")
    if len(table) != rows:
        raise ValueError(f"{what}: {len(table)} row(s), wanted {rows} as in X")
    own = getattr(table, "index", None)
    if not isinstance(own, pd.Index) or index is None or own.equals(index):
        return
    if own.is_unique and index.is_unique and bool(own.isin(index).all()):
        raise ValueError(
            f"{what}: the index has the labels of X.index in another order, while rows are matched by position. "
            "Reindex to X.index; or reset_index(drop=True) if row i is the same decision in both."
        )


def numbers(given: Any, where: str, wanted: str) -> Array:
    """Return what was given as floats, gaps (also pd.NA) as NaN.

    Raises
    ------
    ValueError
        If it holds something else than numbers.
    """
    try:
        if isinstance(given, pd.DataFrame | pd.Series):
            kinds = given.dtypes if isinstance(given, pd.DataFrame) else [given.dtype]
            if not any(pd.api.types.is_datetime64_any_dtype(k) or k.kind == "m" for k in kinds):
                return np.asarray(given.to_numpy(dtype=float, na_value=np.nan))
        else:
            return np.asarray(given, dtype=float)
    except (TypeError, ValueError):
        pass
    raise ValueError(f"{where}: {_kinds(given)}, wanted {wanted}. Turn it into numbers first.")


def _kinds(given: Any) -> str:
    if isinstance(given, pd.DataFrame):
        return ", ".join(sorted({str(kind) for kind in given.dtypes}))
    kind = getattr(given, "dtype", None)
    if str(kind) != "object":
        return type(given).__name__ if kind is None else str(kind)
    return " and ".join(sorted({type(value).__name__ for value in pd.Series(np.ravel(given)).dropna()}))


def fewest(limit: Any, arm: str, otherwise: int, what: str) -> int:
    """Return the fewest that an arm needs, from one whole number or a mapping of arm to one.

    Raises
    ------
    ValueError
        If it is no whole number.
    """
    least = limit.get(arm, otherwise) if isinstance(limit, Mapping) else limit
    if isinstance(least, bool) or not isinstance(least, Integral):
        raise ValueError(f"{what}: {type(least).__name__}, wanted a whole number (int), or a mapping of arm to one")
    return int(least)


def eligibility(given: Any, rows: int, index: pd.Index[Any] | None, arms: Iterable[str]) -> pd.DataFrame | None:
    """Return who could have been given what, as bool under the arms' names; None where nothing was said.

    Parameters
    ----------
    given : DataFrame of bool (or 0 and 1) or None
        An arm without a column was always possible.
    rows, index
        Of X.
    arms : iterable of str
        Arms given or declared.

    Raises
    ------
    ValueError
        If it is no such table; naming columns that are no arm, and how many rows of a column are gaps or not 0 or 1.
    """
    if given is None:
        return None
    if not isinstance(given, pd.DataFrame):
        raise ValueError(f"eligible: {type(given).__name__}, wanted a DataFrame of bool, one column per arm")
    same_rows(given, rows, "eligible", index)
    names, known = [str(name) for name in given.columns], list(arms)
    problems = []
    if unknown := sorted({name for name in names if name not in known}):
        problems.append(
            f"eligible: {len(unknown)} column(s) are no arm ({', '.join(unknown)}); known: {', '.join(known)}. "
            "Mend or drop them, or declare the arm in `time_limited`"
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        problems.append(f"eligible: {', '.join(twice)} occur(s) twice")
    for position, name in enumerate(names):
        column = given.iloc[:, position]
        gaps, odd = int(column.isna().sum()), int((column.notna() & ~column.isin([0, 1])).sum())
        if gaps or odd:
            problems.append(
                f"eligible.{name}: {gaps} of {rows} row(s) are gaps and {odd} not True or False ({column.dtype}); "
                "wanted bool, or 0 and 1, without gaps. Say True where you do not know"
            )
    if problems:
        raise ValueError("; ".join(problems))
    return pd.DataFrame({name: given.iloc[:, k].to_numpy(dtype=bool) for k, name in enumerate(names)})


def kinds_as_learned(table: pd.DataFrame, *read: Columns) -> None:
    """Refuse categories where numbers were learned and the reverse; warn of levels unknown to training.

    Columns without any value are gaps of either kind. An unknown level reads as a gap.

    Raises
    ------
    ValueError
        Naming each column and both kinds.
    """
    problems: dict[str, str] = {}
    unknown: dict[str, int] = {}
    for columns in read:
        for name in columns.names:
            column, levels = table[name], columns.levels.get(name)
            is_category = isinstance(column.dtype, pd.CategoricalDtype)
            if is_category == (levels is not None):
                if levels is not None and (count := int((column.notna() & ~column.isin(levels)).sum())):
                    unknown[name] = count
            elif column.notna().any():
                got, wanted = ("a category", "numbers") if is_category else (str(column.dtype), "a category")
                problems[name] = f"X.{name}: {got}, learned as {wanted}. Hand it in as in fit"
    if problems:
        raise ValueError("; ".join(problems.values()))
    if unknown:
        told = ", ".join(f"{name} ({count} row(s))" for name, count in unknown.items())
        warnings.warn(f"X: levels unknown to training are read as gaps: {told}", UserWarning, stacklevel=4)
