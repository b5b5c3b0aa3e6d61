"""The features that come from measurements: mmrank beside polars join_asof and pandas merge_asof, equal to the bit.

`make bench` prints seconds and peak memory. `MMRANK_BENCH_AS_OF=500000x20000000` says how many decisions and
measurements, `MMRANK_BENCH_REPEATS` how often each way runs, in turns; medians are printed. polars is in the
environment of `make bench-ranking` only; without it its row is left out.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.runs.setup import Setup
from tests.benchmarks.as_of import ROOT, WAYS, made

DECISIONS, MEASUREMENTS = map(int, os.environ.get("MMRANK_BENCH_AS_OF", "20000x800000").split("x"))
REPEATS = int(os.environ.get("MMRANK_BENCH_REPEATS", "1"))
BENCH = ROOT / ".venv-bench" / "bin" / "python"


@pytest.fixture(scope="module")
def features(base_setup: Setup) -> list[dict[str, Any]]:
    """Return the shipped features of measurements, in plain words."""
    return [
        {
            "name": entry.name,
            "code": entry.source_code,
            "aggregate": entry.aggregate,
            "window_days": entry.window_days,
            "age": entry.age_column,
        }
        for entry in base_setup.spec.of_kind("measurement")
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, features: list[dict[str, Any]]) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("as-of") / "tables"
    made(home, DECISIONS, MEASUREMENTS, features)
    yield home
    shutil.rmtree(home)


def measured(way: str, folder: Path, features: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the figures of one way in a process of its own, None where its library is not at hand."""
    python = str(BENCH) if way.startswith("polars") else sys.executable
    if way.startswith("polars") and (
        not BENCH.exists() or subprocess.run([python, "-c", "import polars"], capture_output=True).returncode
    ):
        return None
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    words = [python, "-m", "tests.benchmarks.as_of", way, str(folder), json.dumps(features)]
    done = subprocess.run(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


@pytest.mark.slow
def test_every_way_makes_the_same_table_and_this_is_what_it_costs(
    folder: Path, features: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    found: dict[str, list[dict[str, Any]]] = {}
    for _ in range(REPEATS):
        for way in WAYS:
            if (figures := measured(way, folder, features)) is not None:
                found.setdefault(way, []).append(figures)

    first = found["mmrank"][0]
    with capsys.disabled():
        print(
            f"\n\n{DECISIONS:,} decisions, {MEASUREMENTS:,} measurements, {len(first['digests'])} columns, one thread"
        )
        print(f"{REPEATS} rounds in turns, medians{'wall s':>17}{'CPU s':>9}{'peak MB':>9}{'of which libraries':>20}")
        for way, runs in found.items():
            middle = {name: statistics.median([run[name] for run in runs]) for name in ("wall", "cpu", "peak", "held")}
            print(f"{way:32}{middle['wall']:10.1f}{middle['cpu']:9.1f}{middle['peak']:9,.0f}{middle['held']:20,.0f}")
        print(f"equal to the bit: {first['filled']:,} values and every gap")
    for way, runs in found.items():
        for run in runs:
            assert run["digests"] == first["digests"], [
                name for name, digest in run["digests"].items() if digest != first["digests"].get(name)
            ] or way
    assert first["filled"] > DECISIONS
