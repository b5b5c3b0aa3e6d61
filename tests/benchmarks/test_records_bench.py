"""What does a whole check of a million measurements cost, beside a bare scan and beside pandas?

All three read the same CSV file, in turns, and must agree on what they keep. Nothing here fails on time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import duckdb
import numpy as np
import pandas as pd
import pytest

from pipeline.records import standardise
from pipeline.records.codes import unit_key
from pipeline.runs.setup import Setup
from pipeline.schema import Contract
from pipeline.simulate import SimulationSettings, simulate
from pipeline.store import open_records

ROWS = 1_000_000
ROUNDS = 3


@dataclass(frozen=True)
class Outcome:
    """What one way of reading kept, and the sum of its canonical values."""

    kept: int
    set_aside: dict[str, int]
    total: float


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return CSV tables with a million simulated measurements of whole people, some in units and codes to set aside."""
    tables = dict(simulate(SimulationSettings(decisions=15_000, seed=77)).tables)
    measurements = tables["measurements"].head(ROWS).copy()
    assert len(measurements) == ROWS
    rng = np.random.default_rng(5)
    for column, value in (("unit", "furlong"), ("code", "phlogiston"), ("unit", None)):
        measurements.loc[rng.choice(ROWS, 2_000, replace=False), column] = value
    folder = tmp_path_factory.mktemp("million")
    measurements.to_csv(folder / "measurements.csv", index=False)
    tables["patients"].to_csv(folder / "patients.csv", index=False)
    for name in ("lines", "drugs", "decisions"):
        tables[name].head(1).to_csv(folder / f"{name}.csv", index=False)
    return folder


def bare(records: Path) -> int:
    """Scan the file and cast its columns; no row is looked at."""
    with duckdb.connect() as connection:
        connection.execute(
            "create table measurements as select patient_id, code, try_cast(value as double) as value, "
            "try_cast(measured_at as date) as measured_at, unit, try_cast(known_at as date) as known_at "
            f"from read_csv('{records / 'measurements.csv'}', all_varchar = true)"
        )
        counted = connection.execute("select count(value) from measurements").fetchone()
    return int(counted[0]) if counted else 0


def ours(records: Path, setup: Setup) -> Outcome:
    connection = open_records(records)
    report = standardise(connection, setup.contract, setup.source)
    assert report.passed, report.errors
    total = connection.execute("select sum(value) from measurements").fetchall()[0][0]
    query = "select reason, count(*) from measurements_set_aside group by reason"
    aside = {str(reason): int(count) for reason, count in connection.execute(query).fetchall()}
    connection.close()
    return Outcome(report.rows["measurements"], aside, float(total))


def by_pandas(records: Path, contract: Contract) -> Outcome:
    """Do the same checks in pandas: types, required, references, order, repeats, units, ranges, digest."""
    frame = pd.read_csv(records / "measurements.csv", dtype="str", keep_default_na=False, na_values=[""])
    patients = pd.read_csv(records / "patients.csv", dtype="str")
    value = pd.to_numeric(frame["value"], errors="coerce")
    measured, known = (
        pd.to_datetime(frame[name], format="%Y-%m-%d", errors="coerce") for name in ("measured_at", "known_at")
    )
    required = ["patient_id", "code", "value", "measured_at"]
    broken = {
        "required": frame[required].isna().any(axis=1),
        "type": (value.isna() & frame["value"].notna())
        | (measured.isna() & frame["measured_at"].notna())
        | (known.isna() & frame["known_at"].notna()),
        "length": frame[["patient_id", "code", "unit"]].apply(lambda column: column.str.len() > 10_000).any(axis=1),
        "known_at": known < measured,
        "reference": ~frame["patient_id"].isin(patients["patient_id"]),
    }
    assert not any(rows.any() for rows in broken.values())
    frame.duplicated().sum()
    aside, converted = _converted(frame, value, contract)
    kept = frame.assign(value=converted, measured_at=measured, known_at=known)[aside == ""]
    pd.util.hash_pandas_object(kept, index=False).sort_values().to_numpy().tobytes()
    counts = {str(reason): int(count) for reason, count in aside[aside != ""].value_counts().items()}
    return Outcome(len(kept), counts, float(kept["value"].sum()))


def _converted(frame: pd.DataFrame, value: pd.Series, contract: Contract) -> tuple[pd.Series, pd.Series]:
    """Return why each row is set aside (empty: it is kept) and its value in the canonical unit."""
    codes = contract["measurements"].codes
    factors: dict[tuple[str, str], tuple[float, float]] = {}
    bounds: dict[str, tuple[float, float]] = {}
    refused: set[str] = set()
    for name, code in codes.items():
        readings = {code.unit or "": (1.0, 1.0)} | {unit: (factor, 1.0) for unit, factor in code.times.items()}
        readings |= {unit: (1.0, factor) for unit, factor in code.over.items()}
        factors |= {(name, unit_key(unit)): pair for unit, pair in readings.items()}
        bounds[name] = code.bounds or (-np.inf, np.inf)
        if code.missing_unit == "refused":
            refused.add(name)
    keys = frame["unit"].map({unit: unit_key(unit) for unit in frame["unit"].dropna().unique()})
    listed = pd.DataFrame(
        [(*key, *pair) for key, pair in factors.items()], columns=["code", "unit_key", "times", "over"]
    )
    read = frame[["code"]].assign(unit_key=keys).merge(listed, on=["code", "unit_key"], how="left")
    has_unit = frame["unit"].notna()
    converted = value.where(~has_unit, value * read["times"] / read["over"])
    low, high = (frame["code"].map({name: ends[side] for name, ends in bounds.items()}) for side in (0, 1))
    reason = np.select(
        [
            ~frame["code"].isin(codes),
            ~has_unit & frame["code"].isin(refused),
            has_unit & read["times"].isna(),
            (converted < low) | (converted > high),
        ],
        ["unknown_code", "missing_unit", "unknown_unit", "implausible"],
        default="",
    )
    return pd.Series(reason, index=frame.index), converted


def timed(work: Callable[[], object]) -> tuple[object, float, float]:
    """Return the result, wall seconds and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def test_a_million_measurements_are_checked_beside_a_bare_scan_and_beside_pandas(
    records: Path, base_setup: Setup, capsys: pytest.CaptureFixture[str]
) -> None:
    ways: dict[str, Callable[[], object]] = {
        "bare DuckDB scan and cast": lambda: bare(records),
        "mmrank: read, check, convert, digest": lambda: ours(records, base_setup),
        "pandas: the same checks": lambda: by_pandas(records, base_setup.contract),
    }
    walls: dict[str, list[float]] = {name: [] for name in ways}
    cpus: dict[str, list[float]] = {name: [] for name in ways}
    results: dict[str, object] = {}
    for _ in range(ROUNDS):
        for name, work in ways.items():
            results[name], wall, cpu = timed(work)
            walls[name].append(wall)
            cpus[name].append(cpu)

    own, twin = results["mmrank: read, check, convert, digest"], results["pandas: the same checks"]
    assert isinstance(own, Outcome) and isinstance(twin, Outcome)
    assert (own.kept, own.set_aside) == (twin.kept, twin.set_aside)
    assert own.total == pytest.approx(twin.total, rel=1e-9)
    assert results["bare DuckDB scan and cast"] == ROWS
    assert {"unknown_unit", "unknown_code"} <= set(own.set_aside)

    least = median(walls["bare DuckDB scan and cast"])
    with capsys.disabled():
        print(f"\n\n{ROWS:,} measurements from one CSV file, median of {ROUNDS} rounds taken in turns")
        print(f"{'':42}{'wall s':>9}{'CPU s':>9}{'x bare':>9}")
        for name in ways:
            wall = median(walls[name])
            print(f"{name:42}{wall:9.2f}{median(cpus[name]):9.2f}{wall / least:9.1f}")
        print(f"set aside by both: {own.set_aside}; kept {own.kept:,}")
