"""How does another system's table of features become prediction rows?

The table has one row per decision: identifiers, every declared feature that is no score, its age where it ages, what
was available and the person's own weights. Scores are formed here, so that they fit what they are formed from. What
is refused is told by column and count; no value and no identifier is repeated.
"""

from __future__ import annotations

import datetime
import json
import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from threadpoolctl import threadpool_limits

from pipeline.advice import Shard, availability, configured_detail, score
from pipeline.config import UTILITY_NAMES
from pipeline.errors import ConfigError, SchemaError
from pipeline.features import facts, framed
from pipeline.features.spec import Feature
from pipeline.prediction_rows import Detail, Extent
from pipeline.runs.model_dir import Loaded, canary_rows, load_directory
from pipeline.runs.predict import DECISIONS_PER_PART
from pipeline.runs.reading import Known, open_known
from pipeline.runs.reporting import Reporter
from pipeline.runs.rewording import Reworded, told_again
from pipeline.runs.setup import Setup
from pipeline.store import prediction_table, predictions_schema
from pipeline.store.flavour import Flavour, python_model
from pipeline.store.travel import write_table

AVAILABLE, WEIGHT = "available_", "weight_"
SERVED = "served"
"""Stands in `records_digest`: no records were read."""

Layout = Literal["rows", "decisions"]
_IDENTIFIERS, _DATE, _SITE = ("decision_id", "patient_id"), "decision_date", "site_id"
_MOST_REASONS, _HEAVIEST = 20, 1000.0
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Columns:
    """The columns of the table, by what is asked of them.

    Attributes
    ----------
    features : tuple of Feature
        Those that are no score.
    ages : tuple of str
    availability, weights : mapping of column to modality, or to outcome
        All of a kind or none.
    """

    features: tuple[Feature, ...]
    ages: tuple[str, ...]
    availability: Mapping[str, str]
    weights: Mapping[str, str]

    @property
    def required(self) -> tuple[str, ...]:
        """Columns that must be there; a cell of a feature may be empty."""
        return (*_IDENTIFIERS, *(entry.name for entry in self.features), *self.ages)

    @property
    def names(self) -> tuple[str, ...]:
        """Every column."""
        return (*self.required, _DATE, _SITE, *self.availability, *self.weights)


def columns_of(setup: Setup) -> Columns:
    """Return the columns of the table that a configuration asks for."""
    return Columns(
        features=tuple(entry for entry in setup.spec.features if entry.kind != "score"),
        ages=tuple(setup.spec.age_columns.values()),
        availability={f"{AVAILABLE}{name}": name for name in setup.config.modality_ids},
        weights={f"{WEIGHT}{name}": name for name in UTILITY_NAMES},
    )


def shard_from(table: pd.DataFrame, loaded: Loaded) -> Shard:
    """Return the shard that a table of features tells, by decision_id.

    Parameters
    ----------
    table : DataFrame, one row per decision
        Columns of `columns_of`.
    loaded : Loaded

    Raises
    ------
    SchemaError
        If a column is missing or holds what does not fit. Columns, counts and places of rows only.
    """
    columns, spec = columns_of(loaded.setup), loaded.setup.spec
    _refuse_missing(table, columns)
    rows, problems = table.reset_index(drop=True), _Problems()
    keys = pd.DataFrame({name: problems.texts(rows[name], name) for name in _IDENTIFIERS})
    keys["decision_date"] = problems.dates(rows[_DATE]) if _DATE in rows else pd.NaT
    keys[_SITE] = problems.texts(rows[_SITE], _SITE, may_be_missing=True) if _SITE in rows else None
    repeated = int(keys["decision_id"].dropna().duplicated().sum())
    if repeated:
        problems.found.append(f"decision_id: {repeated} of {len(rows)} rows repeat one, wanted each once")
    values = {entry.name: problems.feature(rows[entry.name], entry) for entry in columns.features}
    values |= {name: problems.numbers(rows[name], name, least=0.0) for name in columns.ages}
    available = {
        modality: problems.numbers(rows[name], name, among=(0.0, 1.0))
        for name, modality in columns.availability.items()
        if name in rows
    }
    weights = {
        outcome: problems.numbers(rows[name], name, least=0.0, most=_HEAVIEST)
        for name, outcome in columns.weights.items()
        if name in rows
    }
    problems.refuse()
    order = np.argsort(keys["decision_id"].to_numpy(dtype=object), kind="stable")
    sorted_keys = keys.iloc[order].reset_index(drop=True)
    features = framed(spec, sorted_keys, {name: column[order] for name, column in values.items()})
    candidates = _long(keys["decision_id"], available, "modality", "available")
    return Shard(
        features=features,
        facts=facts(features, spec),
        candidates=candidates.astype({"available": "boolean"}),
        preferences=_long(keys["decision_id"], weights, "outcome", "weight").dropna(subset="weight"),
        records_digest=SERVED,
        dates=features.set_index("decision_id")["decision_date"],
    )


def _long(decisions: pd.Series, columns: Mapping[str, Floats], key: str, value: str) -> pd.DataFrame:
    """Return one row per decision and column, NaN as missing."""
    tables = [pd.DataFrame({"decision_id": decisions, key: name, value: given}) for name, given in columns.items()]
    empty = pd.DataFrame({"decision_id": pd.Series(dtype="str"), key: pd.Series(dtype="str"), value: np.zeros(0)})
    return pd.concat(tables, ignore_index=True) if tables else empty


def _refuse_missing(table: pd.DataFrame, columns: Columns) -> None:
    missing = [name for name in columns.required if name not in table]
    for group in (columns.availability, columns.weights):
        given = [name for name in group if name in table]
        missing += [name for name in group if given and name not in table]
    if missing:
        raise SchemaError(
            f"features: {len(missing)} columns are missing, first {', '.join(missing[:5])}. `mmrank features` writes a "
            "table that has them all; empty cells are welcome where nothing is known."
        )


class _Problems:
    """Reads columns and keeps what does not fit, by column and count."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def refuse(self) -> None:
        """Raise what was found, if anything was."""
        if self.found:
            raise SchemaError("features: " + "; ".join(self.found[:20]) + ". Mend the table; nothing was scored.")

    def texts(self, column: pd.Series, name: str, *, may_be_missing: bool = False) -> pd.Series:
        """Return a column of texts."""
        given = column.astype("object")
        fits = given.map(lambda cell: isinstance(cell, str) and bool(cell.strip())).astype(bool)
        self._note(name, ~(fits | (given.isna() & may_be_missing)), "hold no text")
        return given.where(fits, None).astype("str")

    def numbers(
        self,
        column: pd.Series,
        name: str,
        *,
        least: float = -np.inf,
        most: float = np.inf,
        among: Sequence[float] | None = None,
    ) -> Floats:
        """Return a column of numbers, NaN where it is empty; true and false are 1 and 0."""
        given = column.astype("object")
        is_number = given.map(lambda cell: isinstance(cell, numbers.Real | np.bool_)).astype(bool)
        self._note(name, ~(is_number | given.isna()), "hold no number")
        values = np.array([float(cell) for cell in given.where(is_number & given.notna(), np.nan)], dtype=np.float64)
        known = ~np.isnan(values)
        self._note(name, known & ~np.isfinite(values), "are infinite")
        if among is not None:
            self._note(name, known & ~np.isin(values, among), "are neither true nor false (1, 0)")
        self._note(name, known & ((values < least) | (values > most)), f"are not from {least:g} to {most:g}")
        return values

    def feature(self, column: pd.Series, entry: Feature) -> Floats:
        """Return a feature as `framed` takes it: a category as the place of its level."""
        if entry.dtype != "category":
            return self.numbers(column, entry.name, among=(0.0, 1.0) if entry.dtype == "boolean" else None)
        given = column.astype("object")
        places = pd.Index(list(entry.categories), dtype="object").get_indexer(pd.Index(given, dtype="object"))
        self._note(entry.name, (places < 0) & given.notna().to_numpy(), f"are none of {', '.join(entry.categories)}")
        return np.where(places < 0, np.nan, places).astype(np.float64)

    def dates(self, column: pd.Series) -> pd.Series:
        """Return a column of days: dates, timestamps or ISO text."""
        found = pd.to_datetime(column.astype("object").map(_day), errors="coerce", format="ISO8601")
        self._note(_DATE, (found.isna() & column.notna()).to_numpy(), "are no ISO date")
        return found.dt.normalize().astype("datetime64[us]")

    def _note(self, name: str, wrong: Any, words: str) -> None:
        places = np.flatnonzero(np.asarray(wrong))
        if len(places):
            self.found.append(f"{name}: {len(places)} of {len(wrong)} rows {words}, first row {places[0] + 1}")


def _day(cell: Any) -> Any:
    return cell if isinstance(cell, str | datetime.date | np.datetime64) else None


def answered(table: pd.DataFrame, loaded: Loaded, asked: Mapping[str, Any]) -> pd.DataFrame:
    """Return what is said of a table of features.

    Parameters
    ----------
    table : DataFrame, one row per decision
    loaded : Loaded
    asked : mapping
        `explain`, `top_reasons` and `layout`, each as configured where it is left out.

    Returns
    -------
    DataFrame
        Layout `rows`: one row per decision and modality by decision_id, columns of the predictions contract, lists
        and records as JSON text. Layout `decisions`: one row per row of the table, in its order, `decision_id` and
        `predictions`, the rows of the decision as JSON text.

    Raises
    ------
    SchemaError
        If the table does not fit.
    ConfigError
        If something is asked that there is not.
    """
    detail, layout = _asked(loaded, asked)
    with threadpool_limits(limits=1):
        rows = prediction_table(score(loaded.adviser, shard_from(table, loaded), detail))
    if layout == "rows":
        return pd.DataFrame({name: _plain(rows[name]) for name in rows.column_names})
    said: dict[str, list[dict[str, Any]]] = {}
    for row in rows.to_pylist():
        said.setdefault(row["decision_id"], []).append(row)
    ids = [str(name) for name in table["decision_id"]]
    texts = [json.dumps(said[name], ensure_ascii=False) for name in ids]
    return pd.DataFrame({"decision_id": ids, "predictions": texts}, dtype="object")


def _plain(column: pa.ChunkedArray) -> pd.Series:
    """Return a column as MLflow carries it: text, numbers, None (a NaN would be no JSON); lists as JSON text."""
    if pa.types.is_nested(column.type):
        texts = [None if cell is None else json.dumps(cell, ensure_ascii=False) for cell in column.to_pylist()]
        return pd.Series(texts, dtype="object")
    return pd.Series(column.to_pylist(), dtype="object")


def _asked(loaded: Loaded, asked: Mapping[str, Any]) -> tuple[Detail, Layout]:
    configured = configured_detail(loaded.adviser)
    extent, layout = asked.get("explain", configured.extent), asked.get("layout", "rows")
    k = asked.get("top_reasons", configured.top_reasons)
    if extent not in get_args(Extent) or layout not in get_args(Layout) or not 0 <= int(k) <= _MOST_REASONS:
        raise ConfigError(
            f"params: wanted explain one of {', '.join(get_args(Extent))}, layout one of "
            f"{', '.join(get_args(Layout))}, top_reasons from 0 to {_MOST_REASONS}."
        )
    return Detail(extent, int(k)), layout


def served_model() -> Any:
    """Return the model as MLflow takes it from code; the files beside the code are verified when it is loaded."""
    return python_model(_service)


def _service(directory: Path) -> Callable[[pd.DataFrame, Mapping[str, Any]], pd.DataFrame]:
    loaded = load_directory(directory)

    def answer(table: pd.DataFrame, asked: Mapping[str, Any]) -> pd.DataFrame:
        with Reworded("features") as problem:
            return answered(table, loaded, asked)
        raise told_again(problem.kind, problem.words)

    return answer


def flavour_of(loaded: Loaded) -> Flavour:
    """Return what MLflow is told of a model: columns, what may be asked, and a row that is nobody's."""
    columns, spoken = columns_of(loaded.setup), predictions_schema()
    return Flavour(
        columns=columns.names,
        answers={field.name: "double" if _is_number(field.type) else "string" for field in spoken},
        asked={"explain": "all", "top_reasons": configured_detail(loaded.adviser).top_reasons, "layout": "rows"},
        example=example_row(loaded, columns),
    )


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def example_row(loaded: Loaded, columns: Columns) -> dict[str, Any]:
    """Return a row of the table that is nobody's: the middle of each feature's range, and ages of one day."""
    middle = canary_rows(loaded.adviser.model).iloc[2]
    row: dict[str, Any] = {"decision_id": "example", "patient_id": "nobody"}
    for entry in columns.features:
        value = middle.get(entry.name)
        if entry.dtype == "category":
            row[entry.name] = entry.categories[0] if entry.categories else None
        elif entry.dtype == "boolean" or value is None or pd.isna(value):
            row[entry.name] = 0.0 if entry.dtype == "boolean" else None
        else:
            row[entry.name] = round(float(value), 2)
    for name, age in loaded.setup.spec.age_columns.items():
        row[age] = None if row[name] is None else 1.0
    row |= {_DATE: "2026-01-15", _SITE: None}
    return row | dict.fromkeys(columns.availability, 1.0) | dict.fromkeys(columns.weights)


def write_features(records: Path, loaded: Loaded, out: Path, reporter: Reporter, *, memory_limit: str) -> int:
    """Write the table of features of records, one row per decision, as `shard_from` reads it.

    Parameters
    ----------
    records : path
    loaded : Loaded
    out : path
        A file that ends in .parquet or .csv.
    reporter : Reporter
    memory_limit : str
        For records and features.

    Returns
    -------
    int
        How many decisions.

    Raises
    ------
    SchemaError
        If the records break their contract.
    """
    reading = open_known(records, loaded.setup, training=False, reporter=reporter, memory_limit=memory_limit)
    columns = columns_of(loaded.setup)

    def tables(advance: Callable[[int], None]) -> Iterator[pa.Table]:
        for start in range(0, reading.decisions, DECISIONS_PER_PART):
            known = reading.part(start, start + DECISIONS_PER_PART)
            advance(len(known.features))
            yield pa.Table.from_pandas(features_table(known, columns), preserve_index=False)

    with reporter.stage("Writing features", reading.decisions) as advance:
        write_table(out, tables(advance))
    return reading.decisions


def features_table(known: Known, columns: Columns) -> pd.DataFrame:
    """Return the table of features of some decisions, with what was available to them and their own weights."""
    features = known.features
    ids = features["decision_id"]
    table = {name: features[name] for name in columns.required}
    for entry in columns.features:
        if entry.dtype == "category":
            table[entry.name] = features[entry.name].astype("str")
    table[_DATE] = known.rule_dates(features).reset_index(drop=True).astype("datetime64[us]")
    table[_SITE] = features[_SITE].astype("str")
    wide = availability(known.candidates, list(ids), list(columns.availability.values()))
    table |= {name: pd.Series(wide[:, place]) for place, name in enumerate(columns.availability)}
    given = known.preferences.pivot(index="decision_id", columns="outcome", values="weight").reindex(index=ids)
    for name, outcome in columns.weights.items():
        weights = given[outcome] if outcome in given else pd.Series(np.nan, index=ids)
        table[name] = weights.astype("float64").reset_index(drop=True)
    return pd.DataFrame(table)[list(columns.names)]
