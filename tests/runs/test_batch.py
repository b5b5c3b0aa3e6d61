"""Is a batch the same for any number of processes, of parts read at once and of interruptions?"""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.errors import ConfigError, DamagedModelError, ModelMismatchError, PipelineError
from pipeline.prediction_rows import Detail, Extent
from pipeline.runs import predict as predicting
from pipeline.runs import workers
from pipeline.runs.model_dir import Loaded
from pipeline.runs.predict import Batch, asked_detail, predict
from pipeline.runs.reading import open_known, read_known
from pipeline.runs.reporting import Quiet
from pipeline.runs.workers import Scoring
from pipeline.store import part_of, predictions_schema, read_predictions
from tests.conftest import ROOT, Journey

pytestmark = pytest.mark.xdist_group("journey")
Scored = Callable[..., Batch]


@pytest.fixture
def scored(journey: Journey) -> Scored:
    """Return `predict` on the new records, twenty decisions a part."""

    def call(out: Path, **options: Any) -> Batch:
        return predict(journey.fresh, journey.loaded, out, Quiet(), **{"decisions_per_part": 20, **options})

    return call


def files(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_parts_and_named_decisions_are_read_as_the_whole_is(journey: Journey) -> None:
    setup = journey.loaded.setup
    whole = read_known(journey.fresh, setup, training=False, reporter=Quiet())
    reading = open_known(journey.fresh, setup, training=False, reporter=Quiet(), memory_limit="300MB")
    for size in (1, 7, 60):
        parts = [reading.part(start, start + size) for start in range(0, min(60, 4 * size), size)]
        for name in ("features", "facts", "candidates", "preferences", "points"):
            got = pd.concat([getattr(part, name) for part in parts], ignore_index=name != "facts")
            pd.testing.assert_frame_equal(got, getattr(whole, name).head(len(got)), check_exact=True)
    named = list(whole.features["decision_id"].iloc[[3, 40]])
    some = reading.of(["nobody's", *reversed(named)])
    assert list(some.features["decision_id"]) == list(some.facts.index) == named
    assert reading.of([]).features.dtypes.to_dict() == whole.features.dtypes.to_dict()


def test_parts_of_any_size_hold_the_same_rows(scored: Scored, tmp_path: Path) -> None:
    for size in (1, 7, 60):
        scored(tmp_path / f"by{size}", decisions_per_part=size)
    by = {size: read_predictions(tmp_path / f"by{size}") for size in (1, 7, 60)}
    # numpy adds up a matrix product in another order for another number of rows.
    rounded = ["suitability_low", "suitability_high", "support"]

    for size in (1, 7):
        assert by[size].drop(columns=rounded).to_json() == by[60].drop(columns=rounded).to_json()
        np.testing.assert_allclose(by[size][rounded].to_numpy(), by[60][rounded].to_numpy(), rtol=1e-12)


@pytest.mark.slow
def test_two_processes_write_the_bytes_of_one(scored: Scored, tmp_path: Path) -> None:
    scored(tmp_path / "one")
    scored(tmp_path / "two", processes=2)

    assert files(tmp_path / "one") == files(tmp_path / "two")


@pytest.mark.parametrize(
    ("parts", "cores", "processes"),
    [(0, 8, 1), (1, 8, 1), (5, 2, 1), (6, 2, 2), (9, 16, 3), (11, 16, 3), (900, 16, 16)],
)
def test_a_process_is_started_only_for_three_parts(parts: int, cores: int, processes: int) -> None:
    assert predicting.worthwhile(parts, cores) == processes


@pytest.mark.parametrize(
    ("size", "asked", "expected"), [(20, None, 1), (10, None, 2), (5, None, 4), (20, 2, 2), (20, 5, 3)]
)
def test_how_many_score_is_as_asked_or_as_pays(
    scored: Scored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, asked: int | None, expected: int
) -> None:
    told: list[int] = []

    def noted(tasks: Any, scoring: Scoring, adviser: Any, processes: int) -> Any:
        told.append(processes)
        return workers.scored(tasks, scoring, adviser, 1)

    monkeypatch.setattr(predicting, "scored", noted)
    monkeypatch.setattr(predicting, "cores", lambda: 4)
    scored(tmp_path / "out", decisions_per_part=size, processes=asked)

    assert told == [expected]


@pytest.mark.parametrize(("asked", "ready"), [(1, []), (2, ["ready"])])
def test_what_workers_start_from_is_begun_before_features_are_built_and_only_for_several(
    scored: Scored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: int, ready: list[str]
) -> None:
    told: list[str] = []
    build = predicting.build_features

    def built(*given: Any, **named: Any) -> Any:
        told.append("features")
        return build(*given, **named)

    monkeypatch.setattr(predicting, "make_ready", lambda: told.append("ready"))
    monkeypatch.setattr(predicting, "build_features", built)
    monkeypatch.setattr(predicting, "scored", lambda *given: workers.scored(*given[:3], 1))
    scored(tmp_path / "out", processes=asked)

    assert told == [*ready, "features"]


INTERRUPTED = """
import os, signal, time
from multiprocessing import forkserver
from pipeline.runs.workers import make_ready
if __name__ == "__main__":
    signal.signal(signal.SIGINT, lambda *_: None)
    os.setpgid(0, 0)
    make_ready()
    os.killpg(0, signal.SIGINT)  # as a terminal does on Ctrl-C
    print("heard" if not signal.pthread_sigmask(signal.SIG_BLOCK, set()) else "deaf")
    time.sleep(0.5)
    print(os.waitpid(forkserver._forkserver._forkserver_pid, os.WNOHANG))
"""


@pytest.mark.slow
def test_what_workers_start_from_lives_through_an_interrupt_that_all_hear(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, str(script)]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)

    assert (done.stdout.splitlines(), done.stderr) == (["heard", "(0, 0)"], "")


WORKER = """
import sys
from pathlib import Path
from pipeline.prediction_rows import Detail
from pipeline.runs.workers import Scoring, work
from pipeline.runs.model_dir import load_directory
class Told:
    def recv(self):
        raise EOFError
    def send(self, told):
        print(told)
home = Path(sys.argv[1])
work(Told(), Scoring(home, load_directory(home).adviser.model_version, Detail("all", 3), "parquet"))
print([name for name in ("mlflow", "shap", "matplotlib", "pytest") if name in sys.modules])
"""


@pytest.mark.slow
def test_a_worker_imports_neither_mlflow_nor_shap(journey: Journey) -> None:
    words = [sys.executable, "-c", WORKER, str(journey.loaded.directory)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["[]"]


def test_a_worker_refuses_another_model_than_the_run_began_with(journey: Journey) -> None:
    scoring = Scoring(journey.loaded.directory, "0" * 16, Detail("all", 3), "parquet")

    with pytest.raises(DamagedModelError, match="holds another model than when the run began"):
        scoring.adviser()


def ending(processes: int, how: Callable[[Any], tuple[Callable[[Any], Any], Any]]) -> dict[Any, Any]:
    """Start processes that end as they are told to, in place of workers; `how` gives what runs, and on what."""
    context, started = get_context("spawn"), {}
    for _ in range(processes):
        here, there = context.Pipe()
        end, given = how(there)
        process = context.Process(target=end, args=(given,))
        process.start()
        there.close()
        started[here] = process
    return started


@pytest.mark.parametrize(
    ("end", "given", "said"), [(os._exit, 3, "exit code 3"), (signal.raise_signal, signal.SIGKILL, "signal SIGKILL")]
)
def test_a_worker_that_dies_is_told_and_the_batch_goes_on(
    scored: Scored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: Any, given: int, said: str
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(workers, "_started", lambda _, processes: ending(processes, lambda _there: (end, given)))
        with pytest.raises(PipelineError, match=f"ended early .{said}.*--resume"):
            scored(tmp_path / "out", processes=2)
    scored(tmp_path / "out", resume=True)
    scored(tmp_path / "whole")
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def cut(connection: Any) -> None:
    """Send half of a message, and end as the kernel ends a process that takes too much memory."""
    os.write(connection.fileno(), (5_000_000).to_bytes(4, "big") + b"half")
    signal.raise_signal(signal.SIGKILL)


@pytest.mark.slow
def test_a_worker_that_dies_while_it_hands_over_a_part_is_told(
    scored: Scored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_started", lambda _, processes: ending(processes, lambda there: (cut, there)))
    with pytest.raises(PipelineError, match=r"ended early .signal SIGKILL.*--resume"):
        scored(tmp_path / "out", processes=2)


class Severed:
    """A pipe whose other end is gone in the middle of a message."""

    def recv(self) -> None:
        raise OSError("got end of file during message")


def test_a_worker_leaves_quietly_when_its_parent_dies_in_the_middle_of_a_shard(journey: Journey) -> None:
    heard = signal.getsignal(signal.SIGINT)
    try:
        version = journey.loaded.adviser.model_version
        workers.work(Severed(), Scoring(journey.loaded.directory, version, Detail("all", 3), "parquet"))  # type: ignore[arg-type]
    finally:
        signal.signal(signal.SIGINT, heard)


@pytest.mark.slow
def test_workers_end_with_a_run_that_fails_elsewhere(
    scored: Scored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_given: Any) -> None:
        assert len(active_children()) == 2
        raise PipelineError("the disk is full")

    monkeypatch.setattr("pipeline.store.batch.BatchWriter.write_part", full)
    with pytest.raises(PipelineError, match="the disk is full") as kept:
        scored(tmp_path / "out", processes=2)

    assert (active_children(), kept.tb is not None) == ([], True)  # with all that the failure holds still there


class Listening(Quiet):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def test_an_interrupted_batch_is_gone_on_with_and_counts_all_its_parts(
    journey: Journey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = predict(journey.fresh, journey.loaded, tmp_path / "whole", Quiet(), decisions_per_part=20)

    def interrupted(*given: Any) -> Iterator[Any]:
        yield next(workers.scored(*given))
        raise KeyboardInterrupt

    reporter = Listening()
    with monkeypatch.context() as patched:
        patched.setattr(predicting, "scored", interrupted)
        with pytest.raises(KeyboardInterrupt):
            predict(journey.fresh, journey.loaded, tmp_path / "out", reporter, decisions_per_part=20)
    assert reporter.said == ["stopped: 1 of 3 parts stand; go on with --resume"]
    resumed = predict(journey.fresh, journey.loaded, tmp_path / "out", Quiet(), decisions_per_part=20, resume=True)

    assert files(tmp_path / "out") == files(tmp_path / "whole")
    assert resumed.statuses == whole.statuses
    assert Counter(read_predictions(tmp_path / "out", ["status"])["status"]) == resumed.statuses
    again = predict(journey.fresh, journey.loaded, tmp_path / "out", Quiet(), decisions_per_part=20, resume=True)
    assert again.statuses == whole.statuses


@pytest.mark.parametrize(
    "changed", [{"detail": Detail("top", 8)}, {"detail": Detail("all", 1)}, {"kind": "csv"}, {"decisions_per_part": 30}]
)
def test_options_cannot_change_in_the_middle(scored: Scored, tmp_path: Path, changed: dict[str, Any]) -> None:
    scored(tmp_path / "out", detail=Detail("all", 8))

    with pytest.raises(ModelMismatchError, match="changed since its first part was written"):
        scored(tmp_path / "out", resume=True, **{"detail": Detail("all", 8), **changed})


@pytest.mark.parametrize("extent", ["top", "none"])
def test_less_explanation_changes_nothing_else(scored: Scored, tmp_path: Path, extent: Extent) -> None:
    scored(tmp_path / "all", detail=Detail("all", 2))
    scored(tmp_path / "less", detail=Detail(extent, 2))
    whole, less = (read_predictions(tmp_path / name) for name in ("all", "less"))
    told = ["baseline", "reasons", "versus_next"]

    pd.testing.assert_frame_equal(less.drop(columns=told), whole.drop(columns=told))
    explained = less["reasons"].map(len) > 0
    assert (less.loc[~explained, "baseline"].isna() & less.loc[~explained, "versus_next"].isna()).all()
    if extent == "none":
        assert not explained.any()
        return
    assert explained.sum() == less.loc[less["rank"].notna(), "decision_id"].nunique()
    assert (less.loc[explained, "rank"] == 1).all()
    assert less.loc[explained].to_json() == whole.loc[explained].to_json()
    items = less.loc[explained, "reasons"]
    assert items.map(len).max() == 2 + len(("burden", "all_other"))


def test_reasons_add_up_however_many_are_named(scored: Scored, tmp_path: Path) -> None:
    for k in (0, 20):
        scored(tmp_path / str(k), detail=Detail("all", k))
        rows = read_predictions(tmp_path / str(k)).dropna(subset=["suitability"])
        told = rows["baseline"] + rows["reasons"].map(lambda items: sum(item["contribution"] for item in items))
        assert np.abs(told - rows["suitability"]).max() < 1e-6


def test_csv_says_what_parquet_says(scored: Scored, tmp_path: Path) -> None:
    scored(tmp_path / "parquet")
    scored(tmp_path / "csv", kind="csv")
    wanted = read_predictions(tmp_path / "parquet")
    rows: list[dict[str, str]] = []
    for path in sorted((tmp_path / "csv").glob("part-*")):
        with path.open(newline="") as stream:
            rows += csv.DictReader(stream)

    assert len(rows) == len(wanted)
    assert list(rows[0]) == predictions_schema().names
    assert [row["decision_id"] for row in rows] == list(wanted["decision_id"])
    assert [row["suitability"] for row in rows if row["suitability"]] == [
        repr(value).removesuffix(".0") for value in wanted["suitability"].dropna()
    ]
    reasons = [[{**item} for item in items] for items in wanted["reasons"]]
    assert [json.loads(row["reasons"]) for row in rows] == reasons


def test_the_command_line_hands_every_option_on(journey: Journey, tmp_path: Path) -> None:
    words = ["predict", str(journey.fresh), "--model", str(journey.trained.run_directory), "--out", str(tmp_path / "o")]
    words += ["--explain", "top", "--top-reasons", "1", "--format", "csv", "--processes", "1", "--memory", "1GB"]
    done = CliRunner().invoke(app, words)
    manifest = json.loads((tmp_path / "o" / "_manifest.json").read_text())

    assert done.exit_code == 0, done.output
    assert {name: manifest["identity"][name] for name in ("explain", "top_reasons", "format")} == {
        "explain": "top",
        "top_reasons": 1,
        "format": "csv",
    }
    assert [path.name for path in (tmp_path / "o").glob("part-*")] == ["part-00000.csv"]


def test_rows_set_aside_while_reading_are_told_with_where_to_look(journey: Journey, tmp_path: Path) -> None:
    odd, told = tmp_path / "odd", {}
    shutil.copytree(journey.fresh, odd)
    (odd / "manifest.json").unlink()
    measurements = pd.read_parquet(odd / "measurements.parquet")
    measurements.loc[:6, "unit"] = "furlongs"
    measurements.to_parquet(odd / "measurements.parquet")
    for records in (journey.fresh, odd):
        listening = Listening()
        open_known(records, journey.loaded.setup, training=False, reporter=listening)
        told[records] = [line for line in listening.said if "set aside" in line]

    assert told[journey.fresh] == []
    assert told[odd] == [
        "7 rows of the records set aside while reading; `mmrank check` with the same records tells which and why"
    ]


def test_a_memory_limit_that_is_none_is_refused(scored: Scored, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="memory limit: got 'much', wanted a number with its unit such as 512MB"):
        scored(tmp_path / "out", memory_limit="much")


def test_too_little_memory_is_told_with_what_to_do(scored: Scored, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--memory 1MB did not suffice .* Give more, such as --memory 2GB"):
        scored(tmp_path / "out", memory_limit="1MB")
    assert not (tmp_path / "out").exists()


def test_the_configured_number_of_reasons_holds_where_none_is_given(journey: Journey) -> None:
    loaded: Loaded = journey.loaded

    assert asked_detail(loaded, "all", None) == Detail("all", loaded.setup.config.settings.top_reasons)
    assert asked_detail(loaded, "top", 0) == Detail("top", 0)


def test_no_decision_gives_a_part_without_rows() -> None:
    part = part_of(predictions_schema().empty_table())

    assert (part.decisions, part.rows, part.ends, part.statuses) == (0, 0, [], {})


@pytest.mark.parametrize(("given", "kept"), [("1GB", 100_000_000), ("90MB", 90_000_000)])
def test_while_parts_are_scored_tables_keep_little_memory(journey: Journey, given: str, kept: int) -> None:
    reading = open_known(journey.fresh, journey.loaded.setup, training=False, reporter=Quiet(), memory_limit=given)
    whole = reading.part(0, 60).features
    reading.hold_less()
    limit = "select parse_formatted_bytes(current_setting('memory_limit'))"

    assert reading.connection.execute(limit).fetchall()[0][0] == pytest.approx(kept, rel=0.001)
    pd.testing.assert_frame_equal(reading.part(0, 60).features, whole)
