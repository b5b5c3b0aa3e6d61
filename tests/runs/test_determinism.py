"""Does the same input give the same bytes, however it is handed over and however many threads work?

Every training is compared with one baseline. The learner is smaller than in the journey, and its gates are
wide: what is learned is not looked at here, only whether it is learned again to the byte.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from pipeline.runs.institution import write_institution
from pipeline.runs.model_dir import CONFIGURATION, Loaded, load_model
from pipeline.runs.predict import predict
from pipeline.runs.reporting import Quiet
from pipeline.runs.setup import SETTINGS, Setup, setup_of
from pipeline.runs.train import train
from pipeline.simulate import SimulationSettings
from pipeline.store import read_model
from tests.conftest import quick

pytestmark = [pytest.mark.xdist_group("determinism"), pytest.mark.slow]

WIDE_GATES = "gates: {student_distance: 1000, student_agreement: 0.001}\n"


class Bench:
    """Past and new records in a folder, and trainings on them that share one workspace."""

    def __init__(self, home: Path, setup: Setup) -> None:
        self.home, self.setup = home, setup
        self.records, self.fresh = home / "records", home / "fresh"
        write_institution(SimulationSettings(decisions=420, seed=31), self.records)
        write_institution(SimulationSettings(decisions=40, seed=32), self.fresh)

    def train(self, name: str, records: Path, setup: Setup | None = None) -> Path:
        return train(records, setup or self.setup, self.home / name, self.home / "workspace", Quiet()).run_directory

    def load(self, run: Path) -> Loaded:
        return load_model(str(run), self.home / "workspace")

    def predicted(self, name: str, records: Path, run: Path) -> dict[str, bytes]:
        """Return every file of a batch, its success mark and manifest included."""
        out = self.home / name
        predict(records, self.load(run), out, Quiet(), decisions_per_part=15)
        return {file.name: file.read_bytes() for file in sorted(out.rglob("*")) if file.is_file()}


def small(setup: Setup, threads: int = 2) -> Setup:
    text = setup.texts[SETTINGS].replace("student_trees: 200", f"student_trees: 40\n  threads: {threads}")
    text = text.replace("student_rows: 4000", "student_rows: 1000")
    assert "student_trees: 40" in text and "student_rows: 1000" in text
    return setup_of({**setup.texts, SETTINGS: text + WIDE_GATES}, "determinism")


def shuffled_csv(records: Path, out: Path) -> Path:
    """Write the tables as CSV with rows and columns in another order."""
    out.mkdir()
    for file in sorted(records.glob("*.parquet")):
        table = pd.read_parquet(file).sample(frac=1, random_state=5)
        table[table.columns[::-1]].to_csv(out / f"{file.stem}.csv", index=False)
    return out


def database(records: Path, out: Path) -> Path:
    """Write the tables into one DuckDB file."""
    with duckdb.connect(str(out)) as connection:
        for file in sorted(records.glob("*.parquet")):
            connection.execute(f"create table {file.stem} as select * from read_parquet('{file}')")
    return out


def evaluation(run: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((run / "evaluation.json").read_text())
    return {name: value for name, value in document.items() if name != "created"}


def differing(left: Mapping[str, object], right: Mapping[str, object]) -> list[str]:
    """Return the names whose contents differ; naming them keeps a failure readable."""
    return [name for name in sorted({*left, *right}) if left.get(name) != right.get(name)]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, base_setup: Setup) -> Bench:
    return Bench(tmp_path_factory.mktemp("determinism"), small(quick(base_setup)))


@pytest.fixture(scope="module")
def baseline(bench: Bench) -> Path:
    return bench.train("baseline", bench.records)


@pytest.fixture(scope="module")
def batch(bench: Bench, baseline: Path) -> dict[str, bytes]:
    files = bench.predicted("predictions", bench.fresh, baseline)
    assert sum(name.endswith(".parquet") for name in files) == 3
    return files


def test_training_again_gives_the_same_model_files_and_the_same_evaluation(bench: Bench, baseline: Path) -> None:
    again = bench.train("again", bench.records)

    assert differing(read_model(baseline / "model"), read_model(again / "model")) == []
    assert differing(evaluation(baseline), evaluation(again)) == []


def test_rows_and_columns_in_another_order_give_the_same_model_and_predictions(
    bench: Bench, baseline: Path, batch: dict[str, bytes]
) -> None:
    run = bench.train("shuffled", shuffled_csv(bench.records, bench.home / "shuffled-csv"))

    assert differing(read_model(baseline / "model"), read_model(run / "model")) == []
    assert differing(evaluation(baseline), evaluation(run)) == []
    assert differing(batch, bench.predicted("by-shuffled", bench.fresh, run)) == []


def test_one_thread_learns_what_two_learn(bench: Bench, baseline: Path) -> None:
    one = bench.train("one-thread", bench.records, setup_of(_with_one_thread(bench.setup), "determinism"))

    # The number of threads is itself part of the saved configuration; everything that was learned is equal.
    assert differing(read_model(baseline / "model"), read_model(one / "model")) == [CONFIGURATION]
    assert differing(evaluation(baseline), evaluation(one)) == ["model_version"]


def _with_one_thread(setup: Setup) -> dict[str, str]:
    text = setup.texts[SETTINGS].replace("threads: 2", "threads: 1")
    assert text != setup.texts[SETTINGS]
    return {**setup.texts, SETTINGS: text}


def test_csv_parquet_and_duckdb_records_give_the_same_predictions(
    bench: Bench, baseline: Path, batch: dict[str, bytes]
) -> None:
    csv = shuffled_csv(bench.fresh, bench.home / "fresh-csv")
    duck = database(bench.fresh, bench.home / "fresh.duckdb")

    assert differing(batch, bench.predicted("from-csv", csv, baseline)) == []
    assert differing(batch, bench.predicted("from-duckdb", duck, baseline)) == []
