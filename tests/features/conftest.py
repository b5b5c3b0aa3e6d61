"""Typed tables drawn in a test, and the features that follow from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from pipeline import features
from pipeline.declared import parse_yaml
from pipeline.features import FeatureSpec
from pipeline.vocabulary import Drug, DrugCatalogue
from tests.drawn import drawn

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
MODALITIES = ("adc", "bispecific", "car_t", "standard_triplet")

COLUMNS: Mapping[str, Mapping[str, str]] = {
    "patients": {
        "patient_id": "varchar",
        "birth_date": "date",
        "sex": "varchar",
        "race": "varchar",
        "ethnicity": "varchar",
        "diagnosis_date": "date",
        "site_id": "varchar",
    },
    "lines": {
        "patient_id": "varchar",
        "line_number": "integer",
        "start_date": "date",
        "end_date": "date",
        "end_reason": "varchar",
        "best_response": "varchar",
        "progression_date": "date",
        "known_at": "date",
        "end_visible_at": "date",
        "progression_visible_at": "date",
    },
    "drugs": {
        "patient_id": "varchar",
        "drug": "varchar",
        "start_date": "date",
        "end_date": "date",
        "line_number": "integer",
        "known_at": "date",
        "end_visible_at": "date",
    },
    "measurements": {
        "patient_id": "varchar",
        "code": "varchar",
        "value": "double",
        "measured_at": "date",
        "unit": "varchar",
        "known_at": "date",
    },
    "findings": {
        "patient_id": "varchar",
        "code": "varchar",
        "value": "varchar",
        "found_at": "date",
        "resolved_at": "date",
        "known_at": "date",
        "resolved_visible_at": "date",
    },
    "decision_points": {
        "decision_id": "varchar",
        "patient_id": "varchar",
        "decision_date": "date",
        "site_id": "varchar",
        "modality": "varchar",
        "product": "varchar",
    },
    "candidates": {"decision_id": "varchar", "modality": "varchar", "available": "boolean", "wait_days": "double"},
}

VISIBLE_WITH: Mapping[str, Mapping[str, str]] = {
    "lines": {"known_at": "start_date", "end_visible_at": "end_date", "progression_visible_at": "progression_date"},
    "drugs": {"known_at": "start_date", "end_visible_at": "end_date"},
    "measurements": {"known_at": "measured_at"},
    "findings": {"known_at": "found_at", "resolved_visible_at": "resolved_at"},
}
"""Without a date of its own, a fact becomes visible on the day of its event (a lag of 0 days)."""

DECISION = "decision_id | patient_id | decision_date | site_id\n d1 | p1 | 2024-03-10 | s1"


def whole(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with every column of its contract; what is not given is empty."""
    return pd.DataFrame({column: table.get(column, None) for column in COLUMNS[name]}, index=table.index, dtype=object)


def filled(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with each visibility date that is empty filled in."""
    full = whole(name, table)
    for column, event in VISIBLE_WITH.get(name, {}).items():
        full[column] = full[column].where(full[column].notna(), full[event])
    return full


def load(connection: duckdb.DuckDBPyConnection, tables: Mapping[str, pd.DataFrame]) -> None:
    """Make the typed tables of the contract; a table that is not given is empty."""
    for name, columns in COLUMNS.items():
        given = whole(name, tables.get(name, pd.DataFrame()))
        connection.register("given", given.assign(row_ordinal=range(1, len(given) + 1)))
        casts = ", ".join(f"cast({column} as {kind}) as {column}" for column, kind in columns.items())
        connection.execute(f"create or replace temp table {name} as select {casts}, row_ordinal from given")
        connection.unregister("given")


@pytest.fixture(scope="session")
def drugs() -> DrugCatalogue:
    """Return the drug catalogue that is shipped."""
    listed = parse_yaml((CONFIGS / "drugs.yaml").read_text(encoding="utf-8"), "drugs.yaml")["drugs"]
    return DrugCatalogue(tuple(Drug.model_validate(entry) for entry in listed))


@pytest.fixture(scope="session")
def spec(drugs: DrugCatalogue) -> FeatureSpec:
    """Return the feature specification that is shipped."""
    mapping = parse_yaml((CONFIGS / "features.yaml").read_text(encoding="utf-8"), "features.yaml")
    return features.parse_spec(mapping, drugs, "features.yaml")


@pytest.fixture(scope="session")
def connection() -> duckdb.DuckDBPyConnection:
    """Return one in-memory database for all tests of this folder."""
    return duckdb.connect(config={"threads": 2})


Seen = Callable[..., pd.DataFrame]


@pytest.fixture(scope="session")
def seen(connection: duckdb.DuckDBPyConnection, spec: FeatureSpec, drugs: DrugCatalogue) -> Seen:
    """Return a function from drawn tables to the feature matrix, indexed by decision.

    Without a drawing of decisions there is one, `d1` of `p1` on 2024-03-10.
    """

    def build(definition: str = "imwg", **pictures: str) -> pd.DataFrame:
        given = {"decision_points": DECISION, **pictures}
        tables = {name: filled(name, drawn(picture)) for name, picture in given.items()}
        load(connection, tables)
        frame = features.build(connection, spec, drugs, MODALITIES, refractory_definition=definition)  # type: ignore[arg-type]
        return frame.set_index("decision_id", drop=False)

    return build
