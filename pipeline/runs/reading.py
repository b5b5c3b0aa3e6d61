"""What do the records hold, and what was known at each decision?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from pipeline.cohort import CohortReport, cell_therapy, decision_points
from pipeline.features import build, facts
from pipeline.records import RecordsReport, missingness, raise_on_errors, standardise, summary
from pipeline.runs.reporting import Reporter
from pipeline.runs.setup import Setup
from pipeline.store import open_records


@dataclass(frozen=True)
class Known:
    """Records read to the contract, and the features of each decision.

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


def read_known(records: Path, setup: Setup, *, training: bool, reporter: Reporter) -> Known:
    """Return the features of every decision of the cohort.

    Raises
    ------
    SchemaError
        If the records break their contract, or no decision is left.
    """
    with reporter.stage("Reading and checking records"):
        connection = open_records(records)
        report = _standardised(connection, setup)
        raise_on_errors(report)
    with reporter.stage("Building features as of each decision date"):
        config = setup.config
        wanted, cells = config.settings.cohort, cell_therapy(config)
        cohort = decision_points(connection, wanted, config.modality_ids, training=training, cells=cells)
        definition = config.settings.refractory_definition
        matrix = build(connection, setup.spec, config.drugs, config.modalities, definition)
    return Known(
        connection=connection,
        records=report,
        cohort=cohort,
        features=matrix,
        facts=facts(matrix, setup.spec),
        points=connection.execute("select * from decision_points order by decision_id").df(),
        candidates=connection.execute("select * from candidates order by decision_id, modality").df(),
        preferences=connection.execute(
            "select p.decision_id, p.outcome, p.weight from preferences p "
            "join decision_points d on d.decision_id = p.decision_id order by p.decision_id, p.outcome"
        ).df(),
    )
