"""Scoring batches of growing size: seconds, peak memory, bytes; one process against two; the stages of one part.

`make bench` prints the tables. `MMRANK_BENCH_BATCH=10000,100000,1000000` says how many decisions,
`MMRANK_BENCH_MODEL` names a trained run to score with (else a small one is trained), and `MMRANK_BENCH_REPEATS` how
often each is run; medians are printed. Each run is a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.runs.institution import write_institution
from pipeline.runs.model_dir import load_directory
from pipeline.runs.predict import predict
from pipeline.runs.reporting import Quiet
from pipeline.runs.setup import read_setup
from pipeline.runs.train import train
from pipeline.simulate import SimulationSettings
from tests.conftest import quick

ROOT = Path(__file__).parents[2]
SIZES = [int(size) for size in os.environ.get("MMRANK_BENCH_BATCH", "1000,2000").split(",")]
REPEATS = int(os.environ.get("MMRANK_BENCH_REPEATS", "1"))
PART = int(os.environ.get("MMRANK_BENCH_PART", "5000"))
MEMORY = os.environ.get("MMRANK_BENCH_MEMORY", "2GB")
Figures = dict[str, Any]


class Stopwatch(Quiet):
    """Notes how long each stage took."""

    def __init__(self) -> None:
        self.stages: dict[str, tuple[float, float]] = {}

    @contextmanager
    def stage(self, title: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Time one stage."""
        wall, cpu = time.perf_counter(), _cpu()
        yield lambda _: None
        self.stages[title] = (time.perf_counter() - wall, _cpu() - cpu)


def _cpu() -> float:
    """Return CPU seconds of this process and of its children that ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def run(records: str, model: str, out: str, processes: str) -> None:
    """Score, and print seconds and megabytes as JSON."""
    watch, loaded = Stopwatch(), load_directory(Path(model))
    wall, cpu = time.perf_counter(), _cpu()
    batch = predict(
        Path(records), loaded, Path(out), watch, processes=int(processes), decisions_per_part=PART, memory_limit=MEMORY
    )
    used = (time.perf_counter() - wall, _cpu() - cpu)
    written = sum(path.stat().st_size for path in Path(out).rglob("*.parquet"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3
    told = {"whole": used, "stages": watch.stages, "peak": peak, "worker": worker}
    print(json.dumps({**told, "bytes": written / batch.decisions, "decisions": batch.decisions}))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a model: a given one, or a small one trained here."""
    if "MMRANK_BENCH_MODEL" in os.environ:
        return Path(os.environ["MMRANK_BENCH_MODEL"]) / "model"
    home = tmp_path_factory.mktemp("model")
    write_institution(SimulationSettings(decisions=700, seed=11), home / "records")
    setup = quick(read_setup(ROOT / "configs" / "base.yaml"))
    train(home / "records", setup, home / "run", home / "workspace", Quiet())
    return home / "run" / "model"


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Return a maker of simulated records, which are kept."""
    home, made = tmp_path_factory.mktemp("records"), {}

    def make(decisions: int) -> Path:
        if decisions not in made:
            made[decisions] = home / str(decisions)
            write_institution(SimulationSettings(decisions=decisions, seed=5), made[decisions])
        return made[decisions]

    return make


def figures(records: Path, model: Path, home: Path, processes: int) -> Figures:
    """Return the figures of the run of median CPU time."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    found = []
    for repeat in range(REPEATS):
        out = home / f"{records.name}-{processes}-{repeat}"
        words = [sys.executable, str(Path(__file__)), str(records), str(model), str(out), str(processes)]
        done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
    middle = statistics.median_low([one["whole"][1] for one in found])
    return next(one for one in found if one["whole"][1] == middle)


@pytest.mark.slow
def test_time_grows_with_the_decisions_and_memory_does_not(
    model: Path, records: Callable[[int], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        f"{'decisions':>10}{'wall s':>9}{'CPU s':>9}{'CPU ms each':>13}{'peak MB':>9}{'bytes each':>12}  CPU s by stage"
    ]
    for size in SIZES:
        found = figures(records(size), model, tmp_path, 1)
        wall, cpu = found["whole"]
        stages = ", ".join(f"{title.split()[0].lower()} {used:.1f}" for title, (_, used) in found["stages"].items())
        count = found["decisions"]
        each = f"{1e3 * cpu / count:13.2f}{found['peak']:9,.0f}{found['bytes']:12.0f}"
        lines.append(f"{count:10,}{wall:9.1f}{cpu:9.1f}{each}  {stages}")
    with capsys.disabled():
        print("\nbatches, one process, one thread, memory limit of records and features", MEMORY)
        print("\n".join(lines))


@pytest.mark.slow
def test_two_processes_against_one(
    model: Path, records: Callable[[int], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = records(SIZES[0])
    one, two = (figures(where, model, tmp_path, processes) for processes in (1, 2))
    first, second = (sorted((tmp_path / f"{where.name}-{processes}-0").rglob("*.*")) for processes in (1, 2))

    with capsys.disabled():
        print(f"\n{one['decisions']:,} decisions, {PART:,} a part, {os.cpu_count()} cores")
        for title, found in (("one process", one), ("two processes", two)):
            wall, cpu = found["stages"]["Scoring decisions"]
            print(f"{title:16} scoring wall {wall:7.1f} s, CPU {cpu:7.1f} s, peak {found['peak']:,.0f} MB")
        print(f"a worker holds {two['worker']:,.0f} MB at most")
        ratio = one["stages"]["Scoring decisions"][0] / two["stages"]["Scoring decisions"][0]
        print(f"scoring, start of the workers included: {ratio:.2f} times as fast")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


if __name__ == "__main__":
    run(*sys.argv[1:5])
