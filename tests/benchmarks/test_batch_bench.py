"""Scoring batches of growing size: seconds, peak memory, bytes; against the floor; one process against two.

`make bench` prints the tables. `MMRANK_BENCH_BATCH=10000,100000,1000000` says how many decisions,
`MMRANK_BENCH_MODEL` names a trained run to score with (else a small one is trained), `MMRANK_BENCH_EXPLAIN` how much
is explained (all, top or none), and `MMRANK_BENCH_REPEATS` how often each is run; medians are printed. Each run is a
process of its own, so that its peak memory is its own. More than 10,000 decisions are copies of 10,000 simulated
ones: other identifiers, and every copy of a patient moved by days of its own.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from pipeline.runs.institution import write_institution
from pipeline.runs.model_dir import load_directory
from pipeline.runs.predict import MEMORY_LIMIT, asked_detail, predict
from pipeline.runs.reading import open_known
from pipeline.runs.reporting import Quiet
from pipeline.simulate import SimulationSettings
from tests.benchmarks.floor import By, least
from tests.benchmarks.small_run import small_run

ROOT = Path(__file__).parents[2]
SIZES = [int(size) for size in os.environ.get("MMRANK_BENCH_BATCH", "1000,2000").split(",")]
REPEATS = int(os.environ.get("MMRANK_BENCH_REPEATS", "1"))
PART = int(os.environ.get("MMRANK_BENCH_PART", "5000"))
MEMORY = os.environ.get("MMRANK_BENCH_MEMORY", MEMORY_LIMIT)
EXPLAIN = os.environ.get("MMRANK_BENCH_EXPLAIN", "all")
SIMULATED = 10_000
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


class Family:
    """Watches this process and all that it has started: peak memory of all together, CPU seconds of each."""

    def __init__(self) -> None:
        self.peak, self.cpu = 0.0, dict[int, float]()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Family:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            found = {one: _status(one) for one in _descendants(os.getpid())}
            self.peak = max(self.peak, sum(megabytes for megabytes, _ in found.values()))
            self.cpu |= {one: seconds for one, (_, seconds) in found.items()}


def _descendants(process: int) -> list[int]:
    """Return a process and all below it."""
    found = [process]
    for one in found:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                found += [int(child) for child in children.read_text().split()]
            except OSError:
                continue
    return found


def _status(process: int) -> tuple[float, float]:
    """Return the resident megabytes and the CPU seconds of a process, 0 where it has ended."""
    try:
        resident = int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0, 0.0
    return resident, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(records: str, model: str, out: str, processes: str) -> None:
    """Score, and print seconds and megabytes as JSON."""
    watch, loaded = Stopwatch(), load_directory(Path(model))
    detail = asked_detail(loaded, EXPLAIN, None)  # type: ignore[arg-type]
    wall, cpu = time.perf_counter(), _cpu()
    with Family() as family:
        batch = predict(
            Path(records), loaded, Path(out), watch,
            processes=int(processes), decisions_per_part=PART, memory_limit=MEMORY, detail=detail,
        )  # fmt: skip
    others = sum(seconds for process, seconds in family.cpu.items() if process != os.getpid())
    own = resource.getrusage(resource.RUSAGE_SELF)
    used = (time.perf_counter() - wall, own.ru_utime + own.ru_stime + others - cpu)
    written = sum(path.stat().st_size for path in Path(out).rglob("*.parquet"))
    told = {"whole": used, "stages": watch.stages, "peak": max(family.peak, own.ru_maxrss / 1e3), "others": others}
    print(json.dumps({**told, "bytes": written / batch.decisions, "decisions": batch.decisions}))


def floor(records: str, model: str, by: By) -> None:
    """Print the CPU seconds of prediction, intervals and exact SHAP alone, on ready matrices of one part each."""
    loaded = load_directory(Path(model))
    learned = loaded.adviser.model
    reading = open_known(Path(records), loaded.setup, training=False, reporter=Quiet(), memory_limit=MEMORY)
    signed = np.array([target.sign / len(learned.targets) for target in learned.targets])
    used = 0.0
    with threadpool_limits(limits=1):
        for start in range(0, reading.decisions, PART):
            matrix = learned.columns.matrix(reading.features(start, start + PART))
            weights, cpu = np.tile(signed, (len(matrix), 1)), _cpu()
            least(learned, matrix, weights, by, explained=EXPLAIN != "none")
            used += _cpu() - cpu
    print(json.dumps({"whole": (used, used), "decisions": reading.decisions}))


def copied(base: Path, out: Path, copies: int) -> None:
    """Write records of as many copies: other identifiers, every copy of a patient moved back by up to 699 days."""
    out.mkdir()
    connection = duckdb.connect(config={"threads": 1, "memory_limit": "2GB"})
    connection.execute(f"create table who as select decision_id, patient_id from '{base}/decisions.parquet'")
    for path in sorted(base.glob("*.parquet")):
        if path.stem == "truth":
            continue
        names = [row[0] for row in connection.execute(f"describe select * from '{path}'").fetchall()]
        times, source = f"range({copies}) as r(copy)", f"'{path}' as t"
        if path.stem == "simulated":
            times = "range(1) as r(copy)"
        elif "patient_id" not in names:
            source = f"(select x.*, who.patient_id as patient from '{path}' as x join who using (decision_id)) as t"
        patient = "t.patient_id" if "patient_id" in names else "t.patient"
        days = f"(case when copy = 0 then 0 else (hash({patient} || ':' || copy) % 700)::integer end)"
        cells = {
            **dict.fromkeys(("patient_id", "decision_id"), "left({c}, 1) || printf('%03d', copy) || substr({c}, 2)"),
            **{
                name: f"strftime({{c}}::date - {days}, '%Y-%m-%d')" for name in names if name.endswith(("_date", "_at"))
            },
        }
        listed = ", ".join(f"{cells.get(name, '{c}').format(c=f't.{name}')} as {name}" for name in names)
        connection.execute(f"copy (select {listed} from {times}, {source}) to '{out / path.name}' (format parquet)")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a model: a given one, or a small one trained here."""
    if "MMRANK_BENCH_MODEL" in os.environ:
        return Path(os.environ["MMRANK_BENCH_MODEL"]) / "model"
    return small_run(tmp_path_factory.mktemp("model")) / "model"


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Return a maker of simulated records, which are kept."""
    home, made = tmp_path_factory.mktemp("records"), {}

    def make(decisions: int) -> Path:
        if decisions not in made:
            made[decisions] = home / str(decisions)
            copies, rest = divmod(decisions, SIMULATED)
            if copies > 1 and rest == 0:
                copied(make(SIMULATED), made[decisions], copies)
            else:
                write_institution(SimulationSettings(decisions=decisions, seed=5), made[decisions])
        return made[decisions]

    return make


def told(*words: Path | int | str) -> Figures:
    """Return the figures of one run of this file, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    line = [sys.executable, __file__, *map(str, words)]
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def middle(found: list[Figures], of: int = 1) -> Figures:
    """Return the figures of median CPU (1) or wall (0) time."""
    wanted = statistics.median_low([one["whole"][of] for one in found])
    return next(one for one in found if one["whole"][of] == wanted)


@pytest.mark.slow
def test_time_grows_with_the_decisions_and_memory_does_not(
    model: Path, records: Callable[[int], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        f"{'decisions':>10}{'wall s':>9}{'CPU s':>9}{'CPU ms each':>13}{'peak MB':>9}{'bytes each':>12}  CPU s by stage"
    ]
    for size in SIZES:
        found = middle([told(records(size), model, tmp_path / f"{size}-{repeat}", 1) for repeat in range(REPEATS)])
        wall, cpu = found["whole"]
        stages = ", ".join(f"{title.split()[0].lower()} {used:.1f}" for title, (_, used) in found["stages"].items())
        count = found["decisions"]
        each = f"{1e3 * cpu / count:13.2f}{found['peak']:9,.0f}{found['bytes']:12.0f}"
        lines.append(f"{count:10,}{wall:9.1f}{cpu:9.1f}{each}  {stages}")
    with capsys.disabled():
        print(f"\nbatches, one process, one thread, memory limit of queries {MEMORY}, explained: {EXPLAIN}")
        print("\n".join(lines))


@pytest.mark.slow
def test_two_processes_against_one(
    model: Path, records: Callable[[int], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found: dict[int, list[Figures]] = {1: [], 2: []}
    for repeat in range(REPEATS):
        for processes, own in found.items():
            own.append(told(records(SIZES[0]), model, tmp_path / f"{processes}-{repeat}", processes))
    one, two = (middle(own, of=0) for own in found.values())
    first, second = (sorted((tmp_path / f"{processes}-0").rglob("*.*")) for processes in (1, 2))

    with capsys.disabled():
        print(f"\n{one['decisions']:,} decisions, {PART:,} a part, {os.cpu_count()} cores")
        for title, figures in (("one process", one), ("two processes", two)):
            wall, cpu = figures["stages"]["Scoring decisions"][0], figures["whole"][1]
            print(f"{title:16} scoring wall {wall:7.1f} s, CPU of all {cpu:7.1f} s, peak {figures['peak']:,.0f} MB")
        ratio = one["stages"]["Scoring decisions"][0] / two["stages"]["Scoring decisions"][0]
        print(f"scoring, start of the workers included: {ratio:.2f} times as fast")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


@pytest.mark.slow
def test_a_batch_costs_little_more_than_prediction_intervals_and_exact_explanations_alone(
    model: Path, records: Callable[[int], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wholes, floors = list[Figures](), dict[By, list[Figures]](tables=[], lightgbm=[])
    for repeat in range(REPEATS):
        for by, own in floors.items():
            own.append(told(records(SIZES[0]), model, by))
        wholes.append(told(records(SIZES[0]), model, tmp_path / str(repeat), 1))
    whole = middle(wholes)
    shown = {f"floor by {by}": middle(own) for by, own in floors.items()} | {"whole batch": whole}
    with capsys.disabled():
        print(f"\n{whole['decisions']:,} decisions, explained: {EXPLAIN}, one thread, CPU seconds, {REPEATS} in turn")
        for title, found in shown.items():
            rate = found["decisions"] / found["whole"][1]
            print(f"{title:20}{found['whole'][1]:9.1f} s{rate:9.0f} decisions a CPU second")
        for by, own in floors.items():
            ratio = statistics.median(a["whole"][1] / b["whole"][1] for a, b in zip(wholes, own, strict=True))
            print(f"the batch costs {ratio:.2f} times the floor by {by} (goal: at most 1.3, everything explained)")
    assert {found["decisions"] for found in shown.values()} == {whole["decisions"]}


if __name__ == "__main__":
    (run if len(sys.argv) == 5 else floor)(*sys.argv[1:])
