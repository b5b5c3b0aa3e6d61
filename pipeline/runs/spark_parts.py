"""What does a part of a batch need to be scored on another machine, and how is it scored there?

The records have been read, checked and digested here. A part takes along the rows of its own people: what was known
at a decision depends on nobody else's. There the same SQL is run over them by DuckDB, and the same function scores.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import pandas as pd
import pyarrow as pa
from threadpoolctl import threadpool_limits

from pipeline.cohort import CohortReport
from pipeline.errors import DamagedModelError, ModelMismatchError
from pipeline.guardrails import Overrides
from pipeline.guardrails.overrides import Override
from pipeline.records import RecordsReport
from pipeline.runs.model_dir import Loaded, load_directory
from pipeline.runs.reading import Known, Opened, known_of, shard_of
from pipeline.runs.setup import Setup
from pipeline.runs.shifting import Watch
from pipeline.runs.workers import Scoring
from pipeline.store import within
from pipeline.store.travel import packed, unpacked_model, unpacked_tables

_BY_PATIENT = ("patients", "lines", "drugs", "measurements", "findings")
_BY_DECISION = ("decision_points", "candidates", "preferences")
TABLES = (*_BY_DECISION, *_BY_PATIENT)
"""What travels with a part; `events` holds what followed and stays."""

_SAME = ("mmrank", "duckdb", "lightgbm", "numpy", "pandas", "pyarrow")
"""Packages that decide a byte of a part."""


def versions() -> dict[str, str]:
    """Return the version of Python and of each package that decides what is written."""
    return {"python": ".".join(map(str, sys.version_info[:2])), **{name: version(name) for name in _SAME}}


@dataclass(frozen=True)
class Order:
    """What is done with every part, wherever it is scored.

    Attributes
    ----------
    scoring : Scoring
    records : RecordsReport
        Digest and kind of dates; its account of the tables stays at home.
    memory_limit : str
        Of DuckDB, for the tables of one part.
    versions : mapping of name to version
        Of Python and packages where the order was given.
    """

    scoring: Scoring
    records: RecordsReport
    memory_limit: str
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Parcels:
    """Opened records, from which the tables of each part are taken.

    Attributes
    ----------
    opened : Opened
    setup : Setup
    """

    opened: Opened
    setup: Setup

    @property
    def records(self) -> RecordsReport:
        """The account of the reading."""
        return self.opened.records

    @property
    def decisions(self) -> int:
        """How many decisions the cohort has."""
        return self.opened.cohort.decisions

    @property
    def people(self) -> int:
        """How many patients these decisions are of."""
        return self.opened.cohort.patients

    def features(self, number: int) -> pd.DataFrame:
        """Return the features alone of one part; `lay_out` must have been called."""
        return self._known("parcel", number).features

    def of(self, decisions: Collection[str]) -> Known:
        """Return what was known at those of some decisions that are in the cohort."""
        asked = "select 0 as part, * from decision_points where decision_id in (select unnest(?))"
        self._lay("asked", asked, [list(decisions)])
        return self._known("asked", 0)

    def lay_out(self, size: int) -> None:
        """Sort what every part takes along by part, of so many decisions each, in `decision_id` order."""
        self._lay(
            "parcel",
            f"select (row_number() over (order by decision_id) - 1) // {int(size)} as part, * from decision_points",
        )

    def parcel(self, number: int, overrides: Overrides) -> dict[str, Any]:
        """Return one part as a row for `scored_parcel`; `lay_out` must have been called.

        Parameters
        ----------
        number : int
        overrides : Overrides
            Of these decisions and of others.
        """
        tables = {name: self._table("parcel", name, number) for name in TABLES}
        own = set(tables["decision_points"]["decision_id"].to_pylist()) if overrides.rows else set()
        told = [row.model_dump() for row in overrides.rows if row.decision_id in own]
        return {
            "number": number,
            "overrides": json.dumps(told),
            **{name: packed(table) for name, table in tables.items()},
        }

    def _lay(self, prefix: str, points: str, given: list[Any] | None = None) -> None:
        """Make a table of each kind with the part of every row, by part; a person of two parts is in both."""
        tables = {
            "decision_points": points,
            "people": f"select distinct part, patient_id from {prefix}_decision_points",
        }
        for name in TABLES[1:]:
            keys, key = ("people", "patient_id") if name in _BY_PATIENT else ("decision_points", "decision_id")
            matched = f"{name} t join {prefix}_{keys} k on k.{key} = t.{key}"
            tables[name] = f"select k.part, t.* from {matched} order by k.part"
        for name, query in tables.items():
            self.opened.connection.execute(f"create or replace table {prefix}_{name} as {query}", given)
            given = None

    def _table(self, prefix: str, name: str, number: int) -> pa.Table:
        query = f"select * exclude (part) from {prefix}_{name} where part = {int(number)}"
        return self.opened.connection.sql(query).to_arrow_table()

    def _known(self, prefix: str, number: int) -> Known:
        tables = {name: packed(self._table(prefix, name, number)) for name in TABLES}
        return _known(tables, self.setup, self.records, None)


def _known(tables: Mapping[str, bytes], setup: Setup, records: RecordsReport, memory_limit: str | None) -> Known:
    connection = unpacked_tables(tables, memory_limit=memory_limit, threads=1)
    decisions = connection.execute("select count(*), count(distinct patient_id) from decision_points").fetchall()[0]
    return known_of(Opened(connection, records, CohortReport((), *decisions)), setup).every()


def at_home(records: RecordsReport) -> RecordsReport:
    """Return the account of a reading without what each table held, which no task needs."""
    return replace(records, findings=(), attrition=(), rows={})


def scored_parcel(row: Mapping[str, Any], order: Order, loaded: Loaded) -> tuple[bytes, str]:
    """Return the part of a parcel, the same bytes as scoring at home gives, and JSON of what was counted in it.

    Parameters
    ----------
    row : mapping
        As `Parcels.parcel` made it.
    order : Order
    loaded : Loaded
    """
    pa.set_cpu_count(1)
    with threadpool_limits(limits=1), within(order.memory_limit):
        known = _known({name: row[name] for name in TABLES}, loaded.setup, order.records, order.memory_limit)
        overrides = Overrides(tuple(Override(**told) for told in json.loads(row["overrides"])))
        part = order.scoring.part(loaded.adviser, shard_of(known, known.features, overrides))
        watch = Watch(loaded)
        watch.see(known.features)
    counted = {name: value for name, value in vars(part).items() if name not in ("content", "kind")}
    return part.content, json.dumps({"part": counted, "tally": watch.told()})


class Verified:
    """The one model of this process, unpacked and verified when it is first asked for."""

    def __init__(self) -> None:
        self._loaded: Loaded | None = None

    def model(self, files: Any, order: Order) -> Loaded:
        """Return the model of an order.

        Parameters
        ----------
        files : object with `value`
            A packed model, fetched only where it is needed.
        order : Order

        Raises
        ------
        DamagedModelError
            If it is not the model that the order names, or not whole.
        ModelMismatchError
            If other versions are installed here, which could write other numbers.
        """
        if self._loaded is None or self._loaded.adviser.model_version != order.scoring.model_version:
            here = versions()
            wanted = order.versions.items()
            other = [f"{name} {here[name]} (wanted {told})" for name, told in wanted if here[name] != told]
            if other:
                raise ModelMismatchError(
                    f"predict: an executor has {', '.join(other)}. Install the same versions on every node."
                )
            with unpacked_model(files.value) as folder:
                loaded = load_directory(folder)
            if loaded.adviser.model_version != order.scoring.model_version:
                raise DamagedModelError("predict: an executor got another model than the run began with. Start again.")
            self._loaded = loaded
        return self._loaded
