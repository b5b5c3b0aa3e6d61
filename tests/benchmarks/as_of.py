"""How is a feature table made of measurements, as of each decision: by mmrank, by polars, by pandas?

All three read the same two Parquet files and make the same columns: last visible values and their ages in days,
slopes, extremes. Each runs in a process of its own on one thread and tells its seconds, its peak memory and a digest of
each column.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
PART = 5000
MEMORY = "2GB"
KEYS = ("decision_id", "patient_id", "decision_date", "site_id")
Columns = dict[str, Any]


def made(folder: Path, decisions: int, measurements: int, features: list[dict[str, Any]], seed: int = 7) -> None:
    """Write decision points and measurements as Parquet, in no order; six times as many where slopes are asked for.

    Values are reported 0 to 10 days after they were measured, before and after the decisions, often twice a day.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(seed)
    patients = decisions * 6 // 7
    epoch = np.datetime64("2016-01-01", "D").astype(np.int32)
    first = epoch + rng.integers(0, 2600, patients).astype(np.int32)
    again = rng.choice(patients, decisions - patients, replace=False)
    days = np.concatenate([first, first[again] + rng.integers(100, 900, len(again)).astype(np.int32)])
    order = rng.permutation(decisions)
    who = pa.array([f"p{number:07d}" for number in range(patients)])
    points = {
        "decision_id": pa.array([f"d{number:07d}" for number in range(decisions)]).take(pa.array(order)),
        "patient_id": who.take(pa.array(np.concatenate([np.arange(patients), again])[order])),
        "decision_date": pa.array(days[order], pa.int32()).cast(pa.date32()),
        "site_id": pa.array(["site"] * decisions),
    }
    folder.mkdir(parents=True)
    pq.write_table(pa.table(points), folder / "decision_points.parquet")
    often = {entry["code"] for entry in features if entry["aggregate"] != "last"}
    codes = sorted({entry["code"] for entry in features})
    weights = np.array([6.0 if code in often else 1.0 for code in codes])
    named, writer = pa.array(codes), None
    for start in range(0, measurements, 1_000_000):
        count = min(1_000_000, measurements - start)
        person = rng.integers(0, patients, count)
        measured = first[person] + rng.integers(-500, 700, count).astype(np.int32)
        known = measured + rng.choice([0, 0, 0, 1, 1, 2, 3, 10], count).astype(np.int32)
        table = pa.table(
            {
                "patient_id": who.take(pa.array(person)),
                "code": named.take(pa.array(rng.choice(len(codes), count, p=weights / weights.sum()))),
                "value": np.round(np.exp(rng.normal(1.0, 1.0, count)), 2),
                "measured_at": pa.array(measured, pa.int32()).cast(pa.date32()),
                "known_at": pa.array(known, pa.int32()).cast(pa.date32()),
            }
        )
        writer = writer or pq.ParquetWriter(folder / "measurements.parquet", table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def by_mmrank(folder: Path, features: list[dict[str, Any]], part: int | None = None) -> Callable[[], Iterator[Columns]]:
    """Return our own way: the program's query and matrix, with a specification of measurements only."""
    import duckdb

    from pipeline.features import FeatureSpec, gather, matrix_of
    from pipeline.runs.setup import read_setup

    setup = read_setup(ROOT / "configs" / "base.yaml")
    wanted = tuple(entry for entry in setup.spec.of_kind("measurement"))
    spec = FeatureSpec(version=setup.spec.version, exposure=setup.spec.exposure, features=wanted)
    spill = tempfile.TemporaryDirectory()

    def work() -> Iterator[Columns]:
        settings = {"threads": 1, "memory_limit": MEMORY, "temp_directory": spill.name}
        with duckdb.connect(config=settings) as connection:
            for name in ("decision_points", "measurements"):
                connection.execute(f"create view {name} as select * from read_parquet('{folder / name}.parquet')")
            gathered = gather(connection, spec, setup.config.drugs, setup.config.modalities)
            for start in range(0, gathered.decisions, part or gathered.decisions):
                chosen = f"decision_key > {start} and decision_key <= {start + (part or gathered.decisions)}"
                frame = matrix_of(gathered, chosen)
                yield {name: frame[name].to_numpy() for name in frame if name not in KEYS}

    return work


def by_pandas(folder: Path, features: list[dict[str, Any]]) -> Callable[[], Iterator[Columns]]:
    """Return the way of merge_asof: one join per code, persons as whole numbers."""
    import pandas as pd

    def work() -> Iterator[Columns]:
        points = pd.read_parquet(folder / "decision_points.parquet", columns=list(KEYS[:3]), use_threads=False)
        points = points.sort_values("decision_id", ignore_index=True)
        people = pd.Index(points["patient_id"].unique())
        asked = pd.DataFrame(
            {
                "row": np.arange(len(points)),
                "person": people.get_indexer(points["patient_id"]),
                "day": pd.to_datetime(points["decision_date"]),
            }
        ).sort_values("day", kind="stable")
        rows = pd.read_parquet(folder / "measurements.parquet", use_threads=False)
        rows["code"] = rows["code"].astype("category")
        rows["person"] = people.get_indexer(rows.pop("patient_id"))
        for name in ("measured_at", "known_at"):
            rows[name] = pd.to_datetime(rows[name])
        found: Columns = {}
        for code, own in rows[rows["person"] >= 0].groupby("code", observed=True):
            mine = [entry for entry in features if entry["code"] == code]
            last = _last_in_pandas(asked, own)
            joined = _near_in_pandas(asked, own) if any(entry["aggregate"] != "last" for entry in mine) else None
            for entry in mine:
                found |= _column_in_pandas(entry, last, joined, len(asked))
        yield found

    return work


def _last_in_pandas(asked: Any, rows: Any) -> Any:
    """Return value and age of the row measured last among those reported before the day, by row of the decisions."""
    import pandas as pd

    rows = rows.sort_values(["measured_at", "known_at", "value"], kind="stable", ignore_index=True)
    reported = rows[["person", "known_at"]].assign(place=np.arange(len(rows)))
    reported = reported.sort_values(["known_at", "place"], kind="stable")
    reported["best"] = reported.groupby("person", sort=False)["place"].cummax()
    found = pd.merge_asof(
        asked,
        reported[["person", "known_at", "best"]],
        left_on="day",
        right_on="known_at",
        by="person",
        allow_exact_matches=False,
    ).sort_values("row")
    hit = found["best"].notna().to_numpy()
    best = found["best"].to_numpy()[hit].astype(np.int64)
    value, age = np.full(len(found), np.nan), np.full(len(found), np.nan)
    value[hit] = rows["value"].to_numpy()[best]
    age[hit] = (found["day"].to_numpy()[hit] - rows["measured_at"].to_numpy()[best]) / np.timedelta64(1, "D")
    return value, age


def _near_in_pandas(asked: Any, rows: Any) -> Any:
    joined = asked.merge(rows[["person", "value", "measured_at", "known_at"]], on="person")
    joined = joined[(joined["measured_at"] < joined["day"]) & (joined["known_at"] < joined["day"])]
    return joined.assign(ago=(joined["day"] - joined["measured_at"]).dt.days)[["row", "value", "ago"]]


def _column_in_pandas(entry: dict[str, Any], last: Any, joined: Any, count: int) -> Columns:
    days = entry["window_days"] or 1_000_000
    if entry["aggregate"] == "last":
        value, age = last
        inside = age <= days
        found = {entry["name"]: np.where(inside, value, np.nan)}
        return found | ({entry["age"]: np.where(inside, age, np.nan)} if entry["age"] else {})
    near = joined[joined["ago"] <= days]
    if entry["aggregate"] in ("min", "max"):
        series = near.groupby("row")["value"].agg(entry["aggregate"])
    else:
        exact = np.floor(near["value"] * 10000 + 0.5).astype(np.int64)
        parts = {"x": near["ago"], "xx": near["ago"] * near["ago"], "y": exact, "xy": near["ago"] * exact}
        sums = near[["row"]].assign(n=1, **parts).groupby("row").sum().astype(float)
        spread = sums["n"] * sums["xx"] - sums["x"] * sums["x"]
        sums, spread = sums[spread > 0], spread[spread > 0]
        series = (sums["x"] * sums["y"] - sums["n"] * sums["xy"]) / spread * 30.0 / 10000.0
    return {entry["name"]: series.reindex(np.arange(count)).to_numpy(dtype=float)}


def by_polars(folder: Path, features: list[dict[str, Any]]) -> Callable[[], Iterator[Columns]]:
    """Return the way of join_asof: one join per code, persons as whole numbers."""
    import polars as pl

    def work() -> Iterator[Columns]:
        points = pl.read_parquet(folder / "decision_points.parquet", columns=list(KEYS[:3])).sort("decision_id")
        people = points.select(pl.col("patient_id").unique()).with_row_index("person")
        asked = (
            points.with_row_index("row")
            .join(people, on="patient_id")
            .select("row", "person", day=pl.col("decision_date"))
            .sort("day", "row")
        )
        rows = (
            pl.scan_parquet(folder / "measurements.parquet")
            .with_columns(pl.col("code").cast(pl.Categorical))
            .join(people.lazy(), on="patient_id")
            .drop("patient_id")
            .collect()
        )
        found: Columns = {}
        for (code,), own in rows.partition_by("code", as_dict=True).items():
            mine = [entry for entry in features if entry["code"] == code]
            last = _last_in_polars(asked, own)
            is_near = any(entry["aggregate"] != "last" for entry in mine)
            joined = _near_in_polars(asked, own) if is_near else None
            for entry in mine:
                found |= _column_in_polars(entry, last, joined, len(asked))
        yield found

    return work


def _last_in_polars(asked: Any, rows: Any) -> Any:
    import polars as pl

    rows = rows.sort("measured_at", "known_at", "value").with_row_index("place")
    reported = (
        rows.select("person", "known_at", "place")
        .sort("known_at", "place")
        .with_columns(best=pl.col("place").cum_max().over("person"))
    )
    found = asked.join_asof(
        reported.select("person", "known_at", "best"),
        left_on="day",
        right_on="known_at",
        by="person",
        allow_exact_matches=False,
        check_sortedness=False,
    ).join(rows.select("place", "value", "measured_at"), left_on="best", right_on="place", how="left")
    return found.select("row", "value", age=(pl.col("day") - pl.col("measured_at")).dt.total_days()).sort("row")


def _near_in_polars(asked: Any, rows: Any) -> Any:
    import polars as pl

    joined = asked.lazy().join(rows.lazy(), on="person")
    joined = joined.filter(pl.col("measured_at") < pl.col("day"), pl.col("known_at") < pl.col("day"))
    return joined.select("row", "value", ago=(pl.col("day") - pl.col("measured_at")).dt.total_days()).collect()


def _column_in_polars(entry: dict[str, Any], last: Any, joined: Any, count: int) -> Columns:
    import polars as pl

    days = entry["window_days"] or 1_000_000
    if entry["aggregate"] == "last":
        inside = pl.col("age") <= days
        told = last.select(value=pl.when(inside).then("value"), age=pl.when(inside).then("age").cast(pl.Float64))
        found = {entry["name"]: told["value"].to_numpy()}
        return found | ({entry["age"]: told["age"].to_numpy()} if entry["age"] else {})
    near = joined.lazy().filter(pl.col("ago") <= days)
    if entry["aggregate"] in ("min", "max"):
        own = near.group_by("row").agg(getattr(pl.col("value"), entry["aggregate"])())
    else:
        exact, ago = (pl.col("value") * 10000 + 0.5).floor().cast(pl.Int64), pl.col("ago")
        sums = {"n": pl.len(), "x": ago.sum(), "xx": (ago * ago).sum(), "y": exact.sum(), "xy": (ago * exact).sum()}
        whole = near.group_by("row").agg(**sums).collect()
        n, x, xx, y, xy = (whole[name].cast(pl.Float64).to_numpy() for name in sums)
        spread = np.maximum(n * xx - x * x, 0.0)
        # polars divides by a number as it multiplies by its reciprocal, which rounds otherwise.
        with np.errstate(invalid="ignore", divide="ignore"):
            slope = (x * y - n * xy) / spread * 30.0 / 10000.0
        own = whole.lazy().select("row", value=pl.Series(np.where(spread > 0, slope, np.nan), nan_to_null=True))
    told = own.collect().drop_nulls()
    column = np.full(count, np.nan)
    column[told["row"].to_numpy()] = told["value"].to_numpy()
    return {entry["name"]: column}


WAYS: dict[str, Callable[[Path, list[dict[str, Any]]], Callable[[], Iterator[Columns]]]] = {
    "mmrank": by_mmrank,
    "mmrank, parts of 5,000": lambda folder, features: by_mmrank(folder, features, PART),
    "polars join_asof": by_polars,
    "pandas merge_asof": by_pandas,
}


def _megabytes(line: str) -> float:
    """Return a line of this process's memory account: VmHWM, the peak, or VmRSS."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(text.split(f"{line}:")[1].split()[0]) / 1e3


def run(way: str, folder: Path, features: list[dict[str, Any]]) -> dict[str, Any]:
    """Return seconds, megabytes and the digest of each column of one way."""
    work = WAYS[way](folder, features)
    held, digests, filled = _megabytes("VmRSS"), {}, 0
    hashed: dict[str, Any] = {}
    wall, cpu = time.perf_counter(), time.process_time()
    took = [0.0, 0.0]
    for columns in work():
        took = [took[0] + time.perf_counter() - wall, took[1] + time.process_time() - cpu]
        peak = _megabytes("VmHWM")
        for name, values in columns.items():
            plain = np.asarray(values, dtype=np.float64) + 0.0
            plain = np.where(np.isnan(plain), np.nan, plain)
            hashed.setdefault(name, hashlib.sha256()).update(plain.tobytes())
            filled += int((~np.isnan(plain)).sum())
        del columns
        wall, cpu = time.perf_counter(), time.process_time()
    digests = {name: total.hexdigest() for name, total in sorted(hashed.items())}
    return {"wall": took[0], "cpu": took[1], "peak": peak, "held": held, "filled": filled, "digests": digests}


if __name__ == "__main__":
    os.environ.update(OMP_NUM_THREADS="1", POLARS_MAX_THREADS="1")
    asked_way, place, listed = sys.argv[1:4]
    print(json.dumps(run(asked_way, Path(place), json.loads(listed))))
