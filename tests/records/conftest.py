from __future__ import annotations

from pathlib import Path

import duckdb
import pandas as pd
import pytest

from pipeline.declared import parse_yaml
from pipeline.records import RecordsReport, Source, parse_source, standardise
from pipeline.schema import RECORD_TABLES, Contract, parse_contract
from tests.drawn import drawn

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def contract() -> Contract:
    files = [ROOT / "data_schema" / f"{name}.yaml" for name in RECORD_TABLES]
    return parse_contract({file.name: parse_yaml(file.read_text("utf-8"), file.name) for file in files})


@pytest.fixture(scope="session")
def contract_source(contract: Contract) -> Source:
    file = ROOT / "configs/sources/contract.yaml"
    return parse_source(parse_yaml(file.read_text("utf-8"), file.name), file.name, contract)


BASIC = {
    "patients": drawn("""
        patient_id | birth_date | sex    | diagnosis_date
        -----------+------------+--------+---------------
        p1         | 1950-05-01 | female | 2018-01-10
        p2         | 1944-02-03 | male   | 2016-06-01
    """),
    "lines": drawn("""
        patient_id | line_number | start_date | end_date   | best_response | progression_date
        -----------+-------------+------------+------------+---------------+-----------------
        p1         | 1           | 2018-02-01 | 2019-02-01 | VGPR          | 2019-03-01
        p2         | 1           | 2016-07-01 |            |               |
    """),
    "drugs": drawn("""
        patient_id | drug         | start_date | end_date   | line_number
        -----------+--------------+------------+------------+------------
        p1         | bortezomib   | 2018-02-01 | 2019-02-01 | 1
        p2         | lenalidomide | 2016-07-01 |            | 1
    """),
    "decisions": drawn("""
        decision_id | patient_id | decision_date | modality
        ------------+------------+---------------+---------
        d1          | p1         | 2019-04-01    | adc
        d2          | p2         | 2019-05-01    | car_t
    """),
}


class Reader:
    """Reads drawn tables as an extract: BASIC records, with some tables replaced, added or (None) left out."""

    def __init__(self, contract: Contract, source: Source) -> None:
        self.contract, self.source = contract, source

    def connection(self, tables: dict[str, pd.DataFrame | None]) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(config={"threads": 1})
        for name, frame in tables.items():
            if frame is None:
                continue
            columns = ", ".join(f'"{column}" VARCHAR' for column in frame.columns)
            connection.execute(f'CREATE TABLE "extract_{name}" (row_ordinal BIGINT, {columns})')
            marks = ", ".join("?" * (len(frame.columns) + 1))
            rows = [[number, *row] for number, row in enumerate(frame.to_numpy().tolist(), start=1)]
            if rows:
                connection.executemany(f'INSERT INTO "extract_{name}" VALUES ({marks})', rows)
        return connection

    def __call__(
        self,
        known_drugs: list[str] | None = None,
        source: Source | None = None,
        basic: bool = True,
        **tables: pd.DataFrame | None,
    ) -> tuple[duckdb.DuckDBPyConnection, RecordsReport]:
        connection = self.connection({**(BASIC if basic else {}), **tables})
        report = standardise(connection, self.contract, source or self.source, known_drugs=known_drugs)
        return connection, report


@pytest.fixture(scope="session")
def read(contract: Contract, contract_source: Source) -> Reader:
    return Reader(contract, contract_source)


@pytest.fixture(scope="session")
def basic() -> dict[str, pd.DataFrame]:
    return BASIC
