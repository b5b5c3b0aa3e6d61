"""How large are the pages, and how long are they made? Review, model card, one case card, a folder of cards.

`make bench` prints the table. `MMRANK_BENCH_RUN` names a trained run directory and `MMRANK_BENCH_RECORDS` records to
explain (else small ones are made); `MMRANK_BENCH_REPEATS` says how often each page is made; medians are printed.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.runs.cards import explain_case, explain_cases
from pipeline.runs.institution import write_institution
from pipeline.runs.model_dir import load_model
from pipeline.runs.reporting import Quiet
from pipeline.runs.reviews import write_review
from pipeline.simulate import SimulationSettings
from tests.benchmarks.small_run import small_run

ROOT = Path(__file__).parents[2]
REPEATS = int(os.environ.get("MMRANK_BENCH_REPEATS", "3"))
CARDS = 20
LARGEST = {"review.html": 2_000_000, "case.html": 300_000}
"""Bytes that a page may have."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a trained run: a given one, or a small one trained here."""
    if "MMRANK_BENCH_RUN" in os.environ:
        return Path(os.environ["MMRANK_BENCH_RUN"])
    return small_run(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return records of new decisions."""
    if "MMRANK_BENCH_RECORDS" in os.environ:
        return Path(os.environ["MMRANK_BENCH_RECORDS"])
    home = tmp_path_factory.mktemp("new")
    write_institution(SimulationSettings(decisions=CARDS, seed=6), home / "records")
    return home / "records"


def timed(make: Callable[[Path], object], home: Path) -> float:
    """Return the median of processor seconds, each time into a new folder."""
    seconds = []
    for number in range(REPEATS):
        start = time.process_time()
        make(home / str(number))
        seconds.append(time.process_time() - start)
    return statistics.median(seconds)


def test_pages_stay_small_and_quick(run: Path, fresh: Path, tmp_path: Path) -> None:
    loaded = load_model(str(run), tmp_path)
    makers: dict[str, Callable[[Path], object]] = {
        "review.html": lambda home: write_review(str(run), tmp_path, home / "review.html"),
        "case.html": lambda home: explain_case(fresh, loaded, "D000001", home / "case.html", Quiet()),
        "cards": lambda home: explain_cases(fresh, loaded, None, home, Quiet()),
    }
    seconds = {name: timed(make, tmp_path / name.partition(".")[0]) for name, make in makers.items()}
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "review" / "0").glob("*.html")}
    sizes["case.html"] = (tmp_path / "case" / "0" / "case.html").stat().st_size
    cards = [path.stat().st_size for path in (tmp_path / "cards" / "0").glob("card-*.html")]

    print(f"\n{'page':24s} {'kB':>8s} {'CPU s':>8s}")
    for name, size in sorted(sizes.items()):
        print(f"{name:24s} {size / 1e3:8.1f} {seconds.get(name, float('nan')):8.2f}")
    print(f"{f'{len(cards)} cards, largest':24s} {max(cards) / 1e3:8.1f} {seconds['cards']:8.2f}")
    for name, most in LARGEST.items():
        assert sizes[name] < most
    assert max(cards) < LARGEST["case.html"]
