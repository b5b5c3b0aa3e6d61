"""What was known before each decision, as one table with one declared type per column?

One query per source table, run by DuckDB; scores are then formed from the columns. The same
function serves training and prediction.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

import duckdb
import numpy as np
import pandas as pd

from pipeline.errors import ConfigError, SchemaError
from pipeline.features.derived import inputs_of, score_columns
from pipeline.features.exposure import course_query, line_query
from pipeline.features.kleene import Floats
from pipeline.features.spec import Feature, FeatureSpec, RefractoryDefinition, for_modalities
from pipeline.features.sql import MACROS, Rendered, queries
from pipeline.vocabulary import DrugCatalogue, Modality

KEYS = ("decision_id", "patient_id", "decision_date", "site_id")
"""Columns before the features."""

_POINTS = "select decision_id, patient_id, decision_date, site_id from decision_points order by decision_id"


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


def _decisions(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Return the decisions in `decision_id` order, with fixed types."""
    table = connection.execute(_POINTS).df()
    repeated = int(table["decision_id"].duplicated().sum())
    if repeated:
        raise SchemaError(
            f"decision_points: {repeated} of {len(table)} rows repeat a decision_id, wanted one row per decision. "
            "Remove the repeated rows."
        )
    text = {name: table[name].astype("str") for name in ("decision_id", "patient_id", "site_id")}
    return pd.DataFrame({**text, "decision_date": table["decision_date"].astype("datetime64[us]")})[list(KEYS)]


def _filled(connection: duckdb.DuckDBPyConnection, rendered: Rendered, rows: int) -> dict[str, Floats]:
    """Run one query and return its columns, one value per decision, NaN where it says nothing."""
    text, names = rendered
    result = connection.execute(text).fetchnumpy()
    at = np.asarray(result["decision_key"], dtype=np.int64) - 1
    columns = {}
    for name in names:
        column = np.full(rows, np.nan)
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
    if refractory_definition not in get_args(RefractoryDefinition):
        known = " or ".join(get_args(RefractoryDefinition))
        raise ConfigError(f"refractory_definition: got '{refractory_definition}', wanted {known}.")
    spelled = for_modalities(spec, modalities)
    frame = _decisions(connection)
    connection.execute(MACROS["duckdb"])
    columns: dict[str, Floats] = {}
    for _, rendered in render(spelled, drugs, refractory_definition):
        columns |= _filled(connection, rendered, len(frame))
    typed = {entry.name: _typed(entry, columns[entry.name]) for entry in spelled.features if entry.kind != "score"}
    columns |= score_columns(spelled, inputs_of(columns, typed.get("sex"), spelled))
    ages = {name: pd.Series(columns[name], dtype="float64") for name in spelled.age_columns.values()}
    ordered = {
        entry.name: typed[entry.name] if entry.name in typed else _typed(entry, columns[entry.name])
        for entry in spelled.features
    }
    return pd.concat([frame, pd.DataFrame({**ordered, **ages}, index=frame.index)], axis=1)
