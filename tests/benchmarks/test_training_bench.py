"""Training 5,000 simulated decisions on four modalities with everything on: time, peak memory, the share of each stage.

`make bench` prints the table. The run is a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.learners import learning, modality_ranker
from pipeline.runs.institution import write_institution
from pipeline.runs.setup import read_setup
from pipeline.runs.train import train
from pipeline.simulate import SimulationSettings

ROOT = Path(__file__).parents[2]
DECISIONS = int(os.environ.get("MMRANK_BENCH_DECISIONS", "5000"))
GOAL_SECONDS = 300
WITHIN_LEARNING = (
    (modality_ranker, "cross_fit", "  cross-fit: committee, propensities, by fold"),
    (learning, "fit_committee", "  committee on all rows"),
    (learning, "fit_students", "  students"),
    (learning, "spread_of", "  intervals: draws centred"),
    (modality_ranker, "fit_propensity", "  propensity on all rows"),
)


class Stopwatch:
    """A reporter that notes how long each stage took."""

    def __init__(self) -> None:
        self.stages: dict[str, tuple[float, float]] = {}

    def say(self, text: str) -> None:
        """Say nothing."""

    @contextmanager
    def stage(self, title: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Time one stage."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield lambda _: None
        before = self.stages.get(title, (0.0, 0.0))
        self.stages[title] = (before[0] + time.perf_counter() - wall, before[1] + time.process_time() - cpu)

    def watch(self, module: Any, name: str, title: str) -> None:
        """Time every call of a function of a module, from now on."""
        original = getattr(module, name)

        def timed(*given: Any, **named: Any) -> Any:
            with self.stage(title):
                return original(*given, **named)

        setattr(module, name, timed)


def run(decisions: int) -> None:
    """Simulate, train, and print seconds and megabytes as JSON."""
    watch = Stopwatch()
    for module, name, title in WITHIN_LEARNING:
        watch.watch(module, name, title)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        write_institution(SimulationSettings(decisions=decisions, seed=5), home / "records")
        setup = read_setup(ROOT / "configs" / "base.yaml")
        wall, cpu = time.perf_counter(), time.process_time()
        train(home / "records", setup, home / "run", home / "workspace", watch)
        whole = (time.perf_counter() - wall, time.process_time() - cpu)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(json.dumps({"whole": whole, "stages": watch.stages, "peak": peak}))


@pytest.mark.slow
def test_training_is_told_by_stage(capsys: pytest.CaptureFixture[str]) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, str(Path(__file__)), str(DECISIONS)]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    wall, cpu = figures["whole"]

    with capsys.disabled():
        print(f"\ntraining: {DECISIONS:,} simulated decisions, 4 modalities, {os.cpu_count()} cores")
        print(f"{'stage':58}{'wall s':>8}{'CPU s':>8}{'share of CPU':>14}")
        for title, (seconds, used) in figures["stages"].items():
            print(f"{title:58}{seconds:8.1f}{used:8.1f}{100 * used / cpu:13.0f}%")
        print(f"{'everything':58}{wall:8.1f}{cpu:8.1f}{'':>13}  peak {figures['peak']:,.0f} MB")
        print(f"goal: under {GOAL_SECONDS} s on two cores: {'reached' if wall < GOAL_SECONDS else 'MISSED'}")
    assert figures["stages"]


if __name__ == "__main__":
    run(int(sys.argv[1]))
