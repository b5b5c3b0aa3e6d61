"""What was known before each decision, as one table with one declared type per column?

One query per source table, run by DuckDB, leaves a table in the connection; scores are then formed
from the columns of as many decisions as memory allows. The same functions serve training and prediction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import get_args

import duckdb
import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.errors import ConfigError, SchemaError
from pipeline.features.derived import inputs_of, score_columns
from pipeline.features.exposure import course_query, line_query
from pipeline.features.kleene import Floats
from pipeline.features.spec import Feature, FeatureSpec, RefractoryDefinition, for_modalities
from pipeline.features.sql import ASKED, MACROS, Rendered, queries
from pipeline.vocabulary import DrugCatalogue, Modality

KEYS = ("decision_id", "patient_id", "decision_date", "site_id")
"""Columns before the features."""

POINTS_TABLE = "feature_points"
"""The decisions by their ordinal, once gathered."""

EVERY = "true"
"""The condition that leaves no decision out."""

_AT_ONCE = 100_000

_POINTS = (
    "select row_number() over (order by decision_id) as decision_key, decision_id, patient_id, decision_date, site_id "
    "from decision_points order by decision_id"
)


def between(start: int, stop: int) -> str:
    """Return the condition on `decision_key` of some places in `decision_id` order, from 0, the last left out."""
    return f"decision_key > {int(start)} and decision_key <= {int(stop)}"


def render(
    spec: FeatureSpec, drugs: DrugCatalogue, definition: RefractoryDefinition = "imwg"
) -> tuple[tuple[str, Rendered], ...]:
    """Return every query and the columns that it fills, by the kind of feature it serves.

    Parameters
    ----------
    spec : FeatureSpec
        Already spelled out for the modalities.
    drugs : DrugCatalogue
    definition : {'imwg', 'next_line'}
        Which definition of refractory.

    Returns
    -------
    tuple of (kind, (SQL text, column names))
    """
    rendered = queries(spec)
    courses, lines = spec.of_kind("course"), spec.of_kind("line")
    if courses:
        rendered["course"] = course_query(courses, spec, drugs, definition)
    if lines:
        rendered["line"] = line_query(lines, spec, drugs)
    return tuple(rendered.items())


@dataclass(frozen=True)
class Gathered:
    """What the queries found of every decision, as tables in the connection, which spill to disk where memory ends.

    Attributes
    ----------
    connection : DuckDBPyConnection
        Holds `feature_points` (`decision_key`, the ordinal of the decision in `decision_id` order from 1, and the
        keys of the matrix) and one table per kind of feature, sorted by `decision_key`.
    spec : FeatureSpec
        Spelled out for the modalities.
    tables : tuple of (table name, column names)
    decisions : int
    """

    connection: duckdb.DuckDBPyConnection
    spec: FeatureSpec
    tables: tuple[tuple[str, tuple[str, ...]], ...]
    decisions: int


def gather(
    connection: duckdb.DuckDBPyConnection,
    spec: FeatureSpec,
    drugs: DrugCatalogue,
    modalities: Iterable[Modality | str],
    refractory_definition: RefractoryDefinition = "imwg",
) -> Gathered:
    """Run every query, for a hundred thousand decisions at a time: aggregates of more do not spill well.

    Parameters
    ----------
    connection, spec, drugs, modalities, refractory_definition
        As `build` takes them.

    Returns
    -------
    Gathered
        From which `matrix_of` forms the rows of some decisions.

    Raises
    ------
    ConfigError
        If the definition is not known.
    SchemaError
        If a decision is repeated.
    """
    if refractory_definition not in get_args(RefractoryDefinition):
        known = " or ".join(get_args(RefractoryDefinition))
        raise ConfigError(f"refractory_definition: got '{refractory_definition}', wanted {known}.")
    spelled = for_modalities(spec, modalities)
    connection.execute(f"create or replace table {POINTS_TABLE} as {_POINTS}")
    counted = f"select count(*), count(distinct decision_id) from {POINTS_TABLE}"
    rows, distinct = connection.execute(counted).fetchall()[0]
    if rows > distinct:
        raise SchemaError(
            f"decision_points: {rows - distinct} of {rows} rows repeat a decision_id, wanted one row per decision. "
            "Remove the repeated rows."
        )
    connection.execute(MACROS["duckdb"])
    rendered = {f"feature_{kind}": found for kind, found in render(spelled, drugs, refractory_definition)}
    for start in range(0, max(int(rows), 1), _AT_ONCE):
        some = f"select * from {POINTS_TABLE} where {between(start, start + _AT_ONCE)}"
        connection.execute(f"create or replace temp view {ASKED} as {some}")
        for table, (text, _) in rendered.items():
            kept = f"create or replace table {table} as" if start == 0 else f"insert into {table}"
            connection.execute(f"{kept} select * from ({text}) as found order by decision_key")
    return Gathered(connection, spelled, tuple((name, names) for name, (_, names) in rendered.items()), int(rows))


def matrix_of(gathered: Gathered, chosen: str = EVERY) -> pd.DataFrame:
    """Return the feature matrix of some decisions, as `build` returns that of all.

    Parameters
    ----------
    gathered : Gathered
    chosen : str
        SQL condition on `decision_key`.

    Raises
    ------
    ConfigError
        If a score or one of its inputs is not known.
    SchemaError
        If a value that divides is 0 or less.
    """
    spec = gathered.spec
    found = gathered.connection.execute(f"select * from {POINTS_TABLE} where {chosen} order by decision_key").df()
    keys = found["decision_key"].to_numpy(dtype=np.int64)
    columns: dict[str, Floats] = {}
    for table, names in gathered.tables:
        columns |= _filled(gathered.connection, table, names, chosen, keys)
    return framed(spec, found, columns)


def framed(spec: FeatureSpec, keys: pd.DataFrame, columns: Mapping[str, Floats]) -> pd.DataFrame:
    """Return the feature matrix of decisions whose features, but scores, are known.

    Parameters
    ----------
    spec : FeatureSpec
        Spelled out for the modalities.
    keys : DataFrame, one row per decision
        Columns of `KEYS`.
    columns : mapping of name to array (n,)
        Every feature that is no score, a category as the place of its level, and every age; NaN unknown.

    Raises
    ------
    ConfigError
        If a score or one of its inputs is not known.
    SchemaError
        If a value that divides is 0 or less.
    """
    typed = {entry.name: _typed(entry, columns[entry.name]) for entry in spec.features if entry.kind != "score"}
    columns = {**columns, **score_columns(spec, inputs_of(columns, typed.get("sex"), spec))}
    ages = {name: pd.Series(columns[name], dtype="float64") for name in spec.age_columns.values()}
    ordered = {
        entry.name: typed[entry.name] if entry.name in typed else _typed(entry, columns[entry.name])
        for entry in spec.features
    }
    text = {name: keys[name].astype("str") for name in ("decision_id", "patient_id", "site_id")}
    frame = pd.DataFrame({**text, "decision_date": keys["decision_date"].astype("datetime64[us]")})[list(KEYS)]
    return pd.concat([frame, pd.DataFrame({**ordered, **ages}, index=frame.index)], axis=1)


def _filled(
    connection: duckdb.DuckDBPyConnection, table: str, names: Iterable[str], chosen: str, keys: npt.NDArray[np.int64]
) -> dict[str, Floats]:
    """Return the columns of one table, one value per decision, NaN where it says nothing."""
    result = connection.execute(f"select * from {table} where {chosen}").fetchnumpy()
    at = np.searchsorted(keys, np.asarray(result["decision_key"], dtype=np.int64))
    columns = {}
    for name in names:
        column = np.full(len(keys), np.nan)
        column[at] = np.ma.filled(np.ma.asarray(result[name], dtype=np.float64), np.nan)
        columns[name] = column + 0.0
    return columns


def _typed(entry: Feature, values: Floats) -> pd.Series:
    """Return a column in its declared type."""
    if entry.dtype != "category":
        return pd.Series(values, dtype="float64")
    codes = np.where(np.isnan(values), -1, values).astype(np.int64)
    dtype = pd.CategoricalDtype(list(entry.categories))
    return pd.Series(pd.Categorical.from_codes(codes, dtype=dtype))


def build(
    connection: duckdb.DuckDBPyConnection,
    spec: FeatureSpec,
    drugs: DrugCatalogue,
    modalities: Iterable[Modality | str],
    refractory_definition: RefractoryDefinition = "imwg",
) -> pd.DataFrame:
    """Return the feature matrix: what was known strictly before each decision.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Holds the typed tables of the records contract, `decision_points` and `candidates`.
        A temporary macro `days_between` is made in it. `events`, and the modality and product
        of a decision, are never read.
    spec : FeatureSpec
    drugs : DrugCatalogue
    modalities : iterable of Modality or str
        Configured modalities, for their waiting times.
    refractory_definition : {'imwg', 'next_line'}
        No response or progression within 60 days of the last dose; or the next line within 60 days.

    Returns
    -------
    DataFrame, one row per decision of `decision_points`, sorted by `decision_id`
        `decision_id, patient_id, decision_date, site_id`, every feature in declared order, then the
        `<name>_age_days` columns. Numbers and truth values are float64 (NaN unknown), categories have
        declared levels, whatever the number of rows. Same bytes for any chunk or order of rows.

    Raises
    ------
    ConfigError
        If the definition, a score or one of its inputs is not known.
    SchemaError
        If a decision is repeated, or a value that divides is 0 or less.
    """
    return matrix_of(gather(connection, spec, drugs, modalities, refractory_definition))
