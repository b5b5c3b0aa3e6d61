"""What do the records hold, and what was known at each decision?

Everything that grows with the records stays in DuckDB, which spills to disk; frames are made of as many
decisions as are asked for.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import duckdb
import pandas as pd

from pipeline.advice import Shard
from pipeline.cohort import CohortReport, cell_therapy, decision_points
from pipeline.errors import counted
from pipeline.features import Gathered, facts, gather, matrix_of
from pipeline.features.matrix import EVERY, POINTS_TABLE, between
from pipeline.guardrails import Overrides
from pipeline.records import RecordsReport, missingness, raise_on_errors, standardise, summary
from pipeline.runs.reporting import Reporter
from pipeline.runs.setup import Setup
from pipeline.store import keep_at_most, open_records, within

_WHILE_SCORING = "100MB"


@dataclass(frozen=True)
class Known:
    """Records read to the contract, and the features of each decision, or of some.

    Attributes
    ----------
    connection : DuckDBPyConnection
        Holds the typed tables.
    records : RecordsReport
    cohort : CohortReport
    features : DataFrame, one row per decision
    facts : DataFrame, one row per decision, indexed by decision_id
    points, candidates, preferences : DataFrame
    """

    connection: duckdb.DuckDBPyConnection
    records: RecordsReport
    cohort: CohortReport
    features: pd.DataFrame
    facts: pd.DataFrame
    points: pd.DataFrame
    candidates: pd.DataFrame
    preferences: pd.DataFrame

    def races(self, features: pd.DataFrame) -> pd.Series:
        """Return the race on record of each decision's person: for subgroup tables, never a model input."""
        table = self.connection.execute("select patient_id, race from patients").df()
        return features["patient_id"].map(table.set_index("patient_id")["race"])

    def rule_dates(self, features: pd.DataFrame) -> pd.Series:
        """Return the days by which rules are in force, by decision_id; missing where dates are no calendar dates."""
        dates = features.set_index("decision_id")["decision_date"]
        return dates if self.records.calendar else dates.where(dates.isna())


def _standardised(connection: duckdb.DuckDBPyConnection, setup: Setup) -> RecordsReport:
    config = setup.config
    drugs, modalities = tuple(config.drugs.by_name), config.modality_ids
    return standardise(connection, setup.contract, setup.source, known_drugs=drugs, modalities=modalities)


def check_records(records: Path, setup: Setup) -> tuple[RecordsReport, dict[str, Any]]:
    """Return what the records hold and break, and the same as plain values for check.json."""
    connection = open_records(records)
    report = _standardised(connection, setup)
    coverage = missingness(connection, setup.contract, setup.config.modality_ids) if report.passed else ()
    return report, summary(report, coverage)


@dataclass(frozen=True)
class Opened:
    """Records read to the contract, and who decides in them.

    Attributes
    ----------
    connection : DuckDBPyConnection
        Holds the typed tables, `decision_points` and `candidates`.
    records : RecordsReport
    cohort : CohortReport
    """

    connection: duckdb.DuckDBPyConnection
    records: RecordsReport
    cohort: CohortReport


@dataclass(frozen=True)
class Reading:
    """Records read to the contract, with what was known at each decision kept as tables.

    Attributes
    ----------
    connection : DuckDBPyConnection
        Holds the typed tables, and those of `Gathered` and of this class, keyed by the ordinal of the decision.
    records : RecordsReport
    cohort : CohortReport
    gathered : Gathered
    """

    connection: duckdb.DuckDBPyConnection
    records: RecordsReport
    cohort: CohortReport
    gathered: Gathered

    @property
    def decisions(self) -> int:
        """How many decisions the cohort has."""
        return self.gathered.decisions

    @property
    def people(self) -> int:
        """How many patients these decisions are of."""
        counted = self.connection.execute(f"select count(distinct patient_id) from {POINTS_TABLE}").fetchall()
        return int(counted[0][0])

    def hold_less(self) -> None:
        """Keep at most 100 MB of the tables in memory from now on: parts are read once each, one after the other."""
        with within(_WHILE_SCORING):
            keep_at_most(self.connection, _WHILE_SCORING)

    def features(self, start: int, stop: int) -> pd.DataFrame:
        """Return the features alone of the decisions of some places, as `part` counts them."""
        return matrix_of(self.gathered, between(start, stop))

    def every(self) -> Known:
        """Return what was known at every decision."""
        return self._known(EVERY)

    def part(self, start: int, stop: int) -> Known:
        """Return what was known at the decisions of some places in `decision_id` order, from 0, the last left out."""
        return self._known(between(start, stop))

    def of(self, decisions: Collection[str]) -> Known:
        """Return what was known at those of some decisions that are in the cohort."""
        query = f"select decision_key from {POINTS_TABLE} where decision_id in (select unnest(?)) order by decision_key"
        keys = [str(row[0]) for row in self.connection.execute(query, [list(decisions)]).fetchall()]
        return self._known(f"decision_key in ({', '.join(keys)})" if keys else "false")

    def _known(self, chosen: str) -> Known:
        features = matrix_of(self.gathered, chosen)
        tables = {name: self._table(name, order, chosen) for name, order in _KEYED.items()}
        return Known(
            connection=self.connection,
            records=self.records,
            cohort=self.cohort,
            features=features,
            facts=facts(features, self.gathered.spec),
            points=tables["decision_points"],
            candidates=tables["candidates"],
            preferences=tables["preferences"],
        )

    def _table(self, name: str, order: str, chosen: str) -> pd.DataFrame:
        query = f"select * exclude (decision_key) from keyed_{name} where {chosen} order by decision_key{order}"
        frame = self.connection.execute(query).df()
        return frame.astype({column: "str" for column in _TEXTS if column in frame})


_TEXTS = ("decision_id", "patient_id", "site_id", "modality", "product", "outcome")
"""Columns of these tables that are text even where no row says so."""

_KEYED: dict[Literal["decision_points", "candidates", "preferences"], str] = {
    "decision_points": "",
    "candidates": ", modality",
    "preferences": ", outcome",
}
"""Tables that are handed on by decision, and what orders the rows of one decision."""


def open_known(
    records: Path,
    setup: Setup,
    *,
    training: bool,
    reporter: Reporter,
    memory_limit: str | None = None,
) -> Reading:
    """Return the records, read and checked, with what was known at each decision.

    Parameters
    ----------
    records : path
    setup : Setup
    training : bool
        Whether only decisions whose modality is recorded stay.
    reporter : Reporter
    memory_limit : str or None
        Of DuckDB, such as `2GB`; what does not fit spills to a private temporary folder.

    Raises
    ------
    SchemaError
        If the records break their contract, or no decision is left.
    ConfigError
        If the memory limit cannot be read, or is too little.
    """
    opened = open_cohort(records, setup, training=training, reporter=reporter, memory_limit=memory_limit)
    return build_features(opened, setup, reporter=reporter, memory_limit=memory_limit)


def open_cohort(
    records: Path,
    setup: Setup,
    *,
    training: bool,
    reporter: Reporter,
    memory_limit: str | None = None,
) -> Opened:
    """Return the records, read and checked, with who decides in them; arguments and errors as of `open_known`."""
    with reporter.stage("Reading and checking records"):
        connection = open_records(records, memory_limit=memory_limit)
        with within(memory_limit):
            report = _standardised(connection, setup)
            raise_on_errors(report)
            wanted, cells = setup.config.settings.cohort, cell_therapy(setup.config)
            modalities = setup.config.modality_ids
            cohort = decision_points(connection, wanted, modalities, training=training, cells=cells)
    if report.set_aside:
        reporter.say(
            f"{counted(report.set_aside, 'row')} of the records set aside while reading; `mmrank check` with the same "
            "records tells which and why"
        )
    return Opened(connection, report, cohort)


def build_features(opened: Opened, setup: Setup, *, reporter: Reporter, memory_limit: str | None = None) -> Reading:
    """Return what was known at each decision of opened records; arguments and errors as of `open_known`."""
    with reporter.stage("Building features as of each decision date"), within(memory_limit):
        return known_of(opened, setup)


def known_of(opened: Opened, setup: Setup) -> Reading:
    """Return what was known at each decision of opened records."""
    config, connection = setup.config, opened.connection
    definition = config.settings.refractory_definition
    gathered = gather(connection, setup.spec, config.drugs, config.modalities, definition)
    selected = {"decision_points": "*", "candidates": "*", "preferences": "decision_id, outcome, weight"}
    for name, order in _KEYED.items():
        connection.execute(
            f"create or replace table keyed_{name} as select k.decision_key, t.* from "
            f"(select {selected[name]} from {name}) t join {POINTS_TABLE} k on k.decision_id = t.decision_id "
            f"order by k.decision_key{order}"
        )
    return Reading(connection, opened.records, opened.cohort, gathered)


def read_known(records: Path, setup: Setup, *, training: bool, reporter: Reporter) -> Known:
    """Return the features of every decision of the cohort; see `open_known`."""
    return open_known(records, setup, training=training, reporter=reporter).every()


def shard_of(known: Known, features: pd.DataFrame, overrides: Overrides | None = None) -> Shard:
    """Return the tables of all decisions, or of the rows of some."""
    ids = set(features["decision_id"])
    return Shard(
        features=features,
        facts=known.facts if features is known.features else known.facts.loc[features["decision_id"]],
        candidates=known.candidates[known.candidates["decision_id"].isin(ids)],
        preferences=known.preferences[known.preferences["decision_id"].isin(ids)],
        records_digest=known.records.digest,
        dates=known.rule_dates(features),
        overrides=overrides or Overrides(),
    )
