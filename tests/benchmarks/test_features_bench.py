"""What do all features of twenty thousand decisions cost, beside the last values alone in pandas?

Both read the same typed tables, in turns, and must agree on every last value. Nothing here fails on time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import duckdb
import numpy as np
import pandas as pd
import pytest

from pipeline.cohort import cell_therapy, decision_points
from pipeline.features import build
from pipeline.features.spec import Feature
from pipeline.records import standardise
from pipeline.runs.setup import Setup
from pipeline.simulate import SimulationSettings, simulate
from pipeline.store import open_records, write_records

DECISIONS = 20_000
MEASUREMENTS = 600_000
ROUNDS = 3


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory, base_setup: Setup) -> duckdb.DuckDBPyConnection:
    """Return typed tables of twenty thousand simulated decisions and six hundred thousand measurements."""
    tables = dict(simulate(SimulationSettings(decisions=DECISIONS, seed=78)).tables)
    tables["measurements"] = tables["measurements"].sample(MEASUREMENTS, random_state=3).sort_index()
    folder: Path = tmp_path_factory.mktemp("twenty-thousand") / "records"
    write_records(tables, folder)
    opened = open_records(folder)
    report = standardise(opened, base_setup.contract, base_setup.source)
    assert report.passed
    decision_points(
        opened,
        base_setup.config.settings.cohort,
        base_setup.config.modality_ids,
        training=True,
        cells=cell_therapy(base_setup.config),
    )
    return opened


def last_values(points: pd.DataFrame, measurements: pd.DataFrame, features: Sequence[Feature]) -> pd.DataFrame:
    """Return the last visible value of each feature, by merge_asof.

    The row wanted is the one measured last among those reported before the decision day. Rows are taken in the
    order of their reports; the best so far is a running maximum; the decision finds the last report before it.
    """
    codes = {entry.source_code for entry in features}
    rows = measurements[measurements["code"].isin(codes)]
    rows = rows.sort_values(["measured_at", "known_at", "value"], kind="stable").reset_index(drop=True)
    reported = rows.assign(place=np.arange(len(rows))).sort_values(["known_at", "place"], kind="stable")
    reported["best"] = reported.groupby(["patient_id", "code"], sort=False)["place"].cummax()
    asked = points.merge(pd.DataFrame({"code": sorted(codes)}), how="cross")
    asked = asked.sort_values("decision_date", kind="stable")
    found = pd.merge_asof(
        asked,
        reported[["patient_id", "code", "known_at", "best"]],
        left_on="decision_date",
        right_on="known_at",
        by=["patient_id", "code"],
        allow_exact_matches=False,
    )
    is_found = found["best"].notna()
    best = found.loc[is_found, "best"].astype(int).to_numpy()
    found.loc[is_found, "value"] = rows["value"].to_numpy()[best]
    found.loc[is_found, "measured_at"] = rows["measured_at"].to_numpy()[best]
    by_code = {str(code): part.set_index("decision_id") for code, part in found.groupby("code")}
    columns = {}
    for entry in features:
        part = by_code[entry.source_code].reindex(points["decision_id"])
        value = part["value"]
        if entry.window_days is not None:
            earliest = part["decision_date"] - pd.to_timedelta(entry.window_days, unit="D")
            value = value.where(part["measured_at"] >= earliest)
        columns[entry.name] = value.to_numpy(dtype=float)
    return pd.DataFrame(columns)


def timed(work: Callable[[], pd.DataFrame]) -> tuple[pd.DataFrame, float, float]:
    """Return the result, wall seconds and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def test_all_features_are_built_beside_last_values_in_pandas(
    connection: duckdb.DuckDBPyConnection, base_setup: Setup, capsys: pytest.CaptureFixture[str]
) -> None:
    config, spec = base_setup.config, base_setup.spec
    last = [entry for entry in spec.features if entry.kind == "measurement" and entry.aggregate == "last"]

    def by_pandas() -> pd.DataFrame:
        # Handing the tables over is part of the work: the records live in the database either way.
        points = connection.execute(
            "select decision_id, patient_id, decision_date from decision_points order by decision_id"
        ).df()
        measurements = connection.execute(
            "select patient_id, code, value, measured_at, known_at from measurements"
        ).df()
        return last_values(points, measurements, last)

    ways: dict[str, Callable[[], pd.DataFrame]] = {
        f"mmrank: {len(spec.features)} features and their ages": lambda: build(
            connection, spec, config.drugs, config.modalities
        ),
        f"pandas merge_asof: {len(last)} last values": by_pandas,
    }
    walls: dict[str, list[float]] = {name: [] for name in ways}
    cpus: dict[str, list[float]] = {name: [] for name in ways}
    results: dict[str, pd.DataFrame] = {}
    for _ in range(ROUNDS):
        for name, work in ways.items():
            results[name], wall, cpu = timed(work)
            walls[name].append(wall)
            cpus[name].append(cpu)

    whole, twin = results.values()
    assert len(last) > 25 and len(whole) > 0.9 * DECISIONS
    for entry in last:
        np.testing.assert_array_equal(whole[entry.name].to_numpy(), twin[entry.name].to_numpy(), err_msg=entry.name)
    filled = int(twin.notna().sum().sum())
    assert filled > 50_000

    with capsys.disabled():
        print(f"\n\n{len(whole):,} decisions, {MEASUREMENTS:,} measurements, median of {ROUNDS} rounds taken in turns")
        print(f"{'':44}{'wall s':>9}{'CPU s':>9}{'us a cell':>11}")
        for name, frame in results.items():
            cells = len(frame) * frame.select_dtypes(["number", "category"]).shape[1]
            print(
                f"{name:44}{median(walls[name]):9.2f}{median(cpus[name]):9.2f}{1e6 * median(walls[name]) / cells:11.2f}"
            )
        print(f"equal values: {filled:,} in {len(last)} columns")
