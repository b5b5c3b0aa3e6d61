"""Which columns is the estimator to learn from, and which of them may change what an arm does?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import pandas as pd

from pipeline.learners.design import Columns, columns_of
from pipeline.learners.tables import readable, refuse_later_facts


@dataclass(frozen=True)
class Learned:
    """The columns to learn from.

    Attributes
    ----------
    table : DataFrame, one row per decision
        With these columns fit to be learned from.
    columns, propensity_columns : Columns
        Of outcomes, and of choices.
    modifiers : tuple of str
        Declared effect modifiers.
    """

    table: pd.DataFrame
    columns: Columns
    propensity_columns: Columns
    modifiers: tuple[str, ...]


def learned_columns(
    table: pd.DataFrame,
    features: Sequence[str] | None,
    propensity_features: Sequence[str] | None,
    modifiers: Sequence[str] | None,
    known_months: Mapping[str, float] | None,
) -> Learned:
    """Return the columns to learn from.

    Parameters
    ----------
    table : DataFrame, one row per decision
    features, propensity_features, modifiers
        As `ModalityRanker` takes them; None is all columns of the table, or all features.
    known_months
        As `ModalityRanker.fit` takes it.

    Raises
    ------
    ValueError
        If a name is unknown, a column cannot be learned from, or it became known after the decision.
    """
    names = list(table.columns) if features is None else listed(features, "features")
    asked = list(table.columns)
    if propensity_features is not None:
        asked = listed(propensity_features, "propensity_features")
    refuse_unknown_columns(known_months, table.columns)
    refuse_later_facts(known_months, [*names, *asked])
    table = readable(table, list(dict.fromkeys([*names, *asked])))
    columns = columns_of(table, names)
    return Learned(table, columns, columns_of(table, asked), effect_modifiers(modifiers, columns))


def listed(names: Any, what: str) -> list[Any]:
    """Return names as a list.

    Raises
    ------
    ValueError
        If one text, or nothing that could be listed, stands in place of a list.
    """
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise ValueError(f"{what}: {type(names).__name__}, wanted a list of column names. Put it in [ ].")
    return list(names)


def effect_modifiers(given: Sequence[str] | None, columns: Columns) -> tuple[str, ...]:
    """Return the declared effect modifiers, all columns where none are declared.

    Raises
    ------
    ValueError
        Naming those that are no column to learn from, or a category: the linear teacher lets arms differ by numbers.
    """
    if given is None:
        return columns.names
    names = listed(given, "modifiers")
    problems = []
    if unknown := [str(name) for name in names if name not in columns.names]:
        problems.append(f"{', '.join(unknown)}: no column(s) to learn from. Mend the name, or add it to `features`")
    if categories := [str(name) for name in names if name in columns.levels]:
        problems.append(f"{', '.join(categories)}: a category, wanted numbers. Hand in one 0/1 column per level")
    if problems:
        raise ValueError("modifiers: " + "; ".join(problems))
    return tuple(names)


def refuse_unknown_columns(known_months: Any, names: Iterable[Any]) -> None:
    """Raise ValueError where a name is no column of X, or what is said of it is no number of months."""
    if known_months is None:
        return
    if not isinstance(known_months, Mapping):
        raise ValueError(f"known_months: {type(known_months).__name__}, wanted a mapping of column to months")
    known = set(names)
    unknown = [str(name) for name in known_months if name not in known]
    if unknown:
        raise ValueError(f"known_months: {', '.join(unknown)}: no such column(s) in X. Mend or drop the name.")
    for name, months in known_months.items():
        if not isinstance(months, Real):
            raise ValueError(f"known_months.{name}: {type(months).__name__}, wanted a number of months")
