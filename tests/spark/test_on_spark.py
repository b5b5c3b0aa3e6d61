"""Does Spark write the bytes that this machine writes, and nothing about anybody anywhere else?"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.errors import ConfigError, DamagedModelError, ModelMismatchError, PipelineError
from pipeline.guardrails import Overrides
from pipeline.prediction_rows import Detail
from pipeline.runs import on_spark
from pipeline.runs.on_spark import Cluster, Spark, _one, _row, answers, started
from pipeline.runs.predict import predict
from pipeline.runs.reading import open_cohort
from pipeline.runs.reporting import Quiet
from pipeline.runs.rewording import Reworded, told_again
from pipeline.runs.spark_parts import TABLES, Order, Parcels, Verified, at_home, versions
from pipeline.runs.workers import Scoring
from pipeline.store import BatchWriter, Part, read_predictions, staging_of
from pipeline.store.travel import packed_model
from tests.conftest import ROOT, Journey

# pyspark says that its pandas functions, which we do not use, are new to pandas 3; py4j leaves sockets to be collected.
pytestmark = [
    pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
TOKEN = "PLANTED-4711"
SIZE = 20


@pytest.fixture(scope="module")
def cluster(cluster_master: str) -> Iterator[Cluster]:
    """Return one running cluster for the tests of this module, two parts at a time."""
    with started(Spark(cluster_master, 2)) as running:
        yield running


@pytest.fixture
def on_cluster(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Spark:
    """Return what makes `predict` use the running cluster instead of starting another."""

    @contextmanager
    def running(_: Spark) -> Iterator[Cluster]:
        yield cluster

    monkeypatch.setattr(on_spark, "started", running)
    return Spark()


def files(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def overrides_of(journey: Journey, predictions: Path) -> list[dict[str, str]]:
    """Return three overrides of rules that spoke and may be set aside."""
    may = {rule.id for rule in journey.setup.rules.rules if rule.overridable}
    rows = read_predictions(predictions)[["decision_id", "rules"]].itertuples(index=False)
    spoke = {(row.decision_id, rule["rule_id"]) for row in rows for rule in row.rules if rule["rule_id"] in may}
    told = {"reason": "seen at the board", "by_role": "treating haematologist", "date": "2026-01-05"}
    return [{"decision_id": decision, "rule_id": rule, **told} for decision, rule in sorted(spoke)[::7][:3]]


def test_a_cluster_writes_the_bytes_of_this_machine(journey: Journey, on_cluster: Spark, tmp_path: Path) -> None:
    predict(journey.fresh, journey.loaded, tmp_path / "plain", Quiet(), decisions_per_part=SIZE)
    aside = tmp_path / "overrides.json"
    aside.write_text(json.dumps(overrides_of(journey, tmp_path / "plain")))
    options: dict[str, Any] = {"overrides": aside, "decisions_per_part": SIZE}
    here = predict(journey.fresh, journey.loaded, tmp_path / "here", Quiet(), **options)
    there = predict(journey.fresh, journey.loaded, tmp_path / "there", Quiet(), spark=on_cluster, **options)

    assert (here.parts, here.decisions, here.overrides) == (3, 60, there.overrides)
    assert here.overrides is not None and here.overrides.total == 3
    assert files(tmp_path / "there") == files(tmp_path / "here") != files(tmp_path / "plain")


@pytest.mark.parametrize("begun_on_spark", [True, False])
def test_a_batch_without_tables_is_gone_on_with_by_the_other_engine(
    journey: Journey, on_cluster: Spark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun_on_spark: bool
) -> None:
    records, out = tmp_path / "records", tmp_path / "out"
    shutil.copytree(journey.fresh, records)
    for name in ("manifest.json", "findings.parquet", "measurements.parquet", "preferences.parquet", "events.parquet"):
        (records / name).unlink()
    options: dict[str, Any] = {"decisions_per_part": SIZE, "kind": "csv", "detail": Detail("top", 2)}
    predict(records, journey.loaded, tmp_path / "whole", Quiet(), **options)
    honest = BatchWriter.write_part

    def interrupted(writer: BatchWriter, number: int, part: Part) -> None:
        honest(writer, number, part)
        raise KeyboardInterrupt

    first, second = (on_cluster, None) if begun_on_spark else (None, on_cluster)
    with monkeypatch.context() as patched:
        patched.setattr(BatchWriter, "write_part", interrupted)
        with pytest.raises(KeyboardInterrupt):
            predict(records, journey.loaded, out, Quiet(), spark=first, **options)
    assert [path.name for path in (staging_of(out) / "whole").iterdir()] == ["part-00000.csv"]
    predict(records, journey.loaded, out, Quiet(), resume=True, spark=second, **options)

    assert files(out) == files(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.8, 4.0])
def test_a_signal_while_spark_starts_leaves_no_java_and_no_traceback(
    journey: Journey, cluster_master: str, tmp_path: Path, seconds: float
) -> None:
    words = ["predict", str(journey.fresh), "--model", str(journey.trained.run_directory), "--out", str(tmp_path / "o")]
    line = [sys.executable, "-m", "pipeline.cli", *words, "--engine", "spark", "--master", "local[1]"]
    with subprocess.Popen(line, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True) as run:
        assert run.stderr is not None
        while not run.stderr.readline().startswith("Scoring decisions"):
            pass
        time.sleep(seconds)
        run.send_signal(signal.SIGTERM)
        rest = run.stderr.read().splitlines()
    for _ in range(100):  # what Java had started ends a little after it
        left = [path for path in Path("/proc").glob("[0-9]*/stat") if _session_of(path) == run.pid]
        if not left:
            break
        time.sleep(0.1)

    assert (run.returncode, left) == (143, [])
    assert rest == ["stopped before any part stood; run it again", "stopped by SIGTERM", "(exit code 143)"]


def _session_of(stat: Path) -> int:
    """Return the session of a process, 0 where it is gone."""
    try:
        return int(stat.read_text().rpartition(")")[2].split()[3])
    except OSError:
        return 0


_DRIVER = """
import sys
from pathlib import Path
from pipeline.runs.model_dir import load_directory
from pipeline.runs.on_spark import Spark
from pipeline.runs.predict import predict
from pipeline.runs.reporting import Quiet
records, model, out, master = sys.argv[1:]
loaded = load_directory(Path(model))
predict(Path(records), loaded, Path(out), Quiet(), decisions_per_part=2, spark=Spark(master, 1))
"""


def test_a_driver_that_is_killed_leaves_whole_parts_which_this_machine_goes_on_from(
    journey: Journey, cluster_master: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = [sys.executable, "-c", _DRIVER, journey.fresh, journey.loaded.directory, out, "local-cluster[1,1,1024]"]
    silent = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(list(map(str, words)), cwd=ROOT, start_new_session=True, **silent) as driver:
        standing = staging_of(out) / "whole"
        until = time.monotonic() + 120
        while not (standing.is_dir() and any(standing.glob("part-*"))):
            assert driver.poll() is None and time.monotonic() < until
            time.sleep(0.05)
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
    assert driver.returncode == -signal.SIGKILL
    with pytest.raises(PipelineError):
        read_predictions(out)
    predict(journey.fresh, journey.loaded, tmp_path / "whole", Quiet(), decisions_per_part=2)
    predict(journey.fresh, journey.loaded, out, Quiet(), decisions_per_part=2, resume=True)

    assert files(out) == files(tmp_path / "whole")


def test_executors_import_neither_mlflow_nor_shap_and_no_port_shows_a_page(cluster: Cluster) -> None:
    def imported(batches: Any) -> Any:
        import sys

        import pyarrow

        from pipeline.runs import on_spark

        assert on_spark.answers
        for _ in batches:
            yield pyarrow.RecordBatch.from_pylist([{"names": ",".join(sys.modules)}])

    frame = cluster.session.createDataFrame(pa.table({"number": [1]}))
    names = frame.mapInArrow(imported, "names string").toArrow()["names"][0].as_py().split(",")

    assert "lightgbm" in names
    assert [name for name in ("mlflow", "shap", "matplotlib", "pytest") if name in names] == []
    assert cluster.session.sparkContext.uiWebUrl is None


def test_no_log_and_no_error_of_spark_holds_a_value(journey: Journey, cluster: Cluster) -> None:
    parcels = laid_out(journey, 60)
    row = parcels.parcel(0, Overrides()) | {"overrides": json.dumps([{"decision_id": TOKEN, "reason": TOKEN}])}
    files = cluster.session.sparkContext.broadcast(packed_model(journey.loaded.directory))
    with pytest.raises(PipelineError, match=r"a bug, ValidationError at .*spark_parts\.py") as told:
        _one(cluster, _row(row), order_of(journey, parcels), files)
    patient = parcels.features(0)["patient_id"].iloc[0]
    work = Path(str(find_spec("pyspark").origin)).parent / "work"  # type: ignore[union-attr]
    home = work / cluster.session.sparkContext.applicationId
    logs = [cluster.log, *home.glob("*/stderr"), *home.glob("*/stdout")]
    said = "".join(path.read_text(errors="replace") for path in logs)

    assert len(logs) >= 3
    assert TOKEN not in str(told.value) and TOKEN not in said and patient not in said
    shutil.rmtree(home, ignore_errors=True)


def test_what_spark_itself_says_of_a_failure_is_not_repeated(cluster: Cluster) -> None:
    def raising(_: Any) -> Any:
        raise ValueError("PLANTED-4711")

    frame = cluster.session.createDataFrame(pa.table({"number": [1]})).mapInArrow(raising, "number bigint")
    with (
        pytest.raises(PipelineError, match=r"Spark gave a part up \(PythonException\).*--resume") as told,
        on_spark._told("Spark gave a part up", cluster.log),
    ):
        frame.toArrow()

    assert TOKEN not in str(told.value)


# --- without Spark: what a task does, in this process


class Carried:
    """Stands for a broadcast."""

    def __init__(self, value: dict[str, bytes]) -> None:
        self.value = value


def laid_out(journey: Journey, size: int) -> Parcels:
    opened = open_cohort(journey.fresh, journey.loaded.setup, training=False, reporter=Quiet())
    parcels = Parcels(opened, journey.loaded.setup)
    parcels.lay_out(size)
    return parcels


def order_of(journey: Journey, parcels: Parcels) -> Order:
    scoring = Scoring(journey.loaded.directory, journey.loaded.adviser.model_version, Detail("all", 8), "parquet")
    return Order(scoring, at_home(parcels.records), "1GB", versions())


@pytest.mark.parametrize("size", [7, 60])
def test_a_task_returns_the_part_of_its_parcel(journey: Journey, tmp_path: Path, size: int) -> None:
    predict(journey.fresh, journey.loaded, tmp_path, Quiet(), decisions_per_part=size, detail=Detail("all", 8))
    parcels, model = laid_out(journey, size), Carried(packed_model(journey.loaded.directory))
    numbers = [0, -(-60 // size) - 1]
    rows = [_row(parcels.parcel(number, Overrides())).to_batches()[0] for number in numbers]
    told = [answer.to_pylist()[0] for answer in answers(rows, order_of(journey, parcels), model)]

    assert [(answer["number"], answer["kind"]) for answer in told] == [(number, "") for number in numbers]
    for number, answer in zip(numbers, told, strict=True):
        assert answer["content"] == (tmp_path / f"part-{number:05d}.parquet").read_bytes()


def test_a_parcel_takes_along_its_own_people_and_nothing_that_followed(journey: Journey) -> None:
    parcels = laid_out(journey, 1)
    asked = parcels.features(3)["patient_id"].to_list()
    row = parcels.parcel(3, Overrides())

    assert set(row) == {"number", "overrides", *TABLES} and "events" not in TABLES
    for name in ("patients", "lines", "drugs", "measurements", "findings"):
        with pa.ipc.open_stream(row[name]) as reader:
            assert set(reader.read_all()["patient_id"].to_pylist()) <= set(asked)


def test_an_executor_refuses_a_model_or_versions_that_are_not_those_of_the_driver(journey: Journey) -> None:
    whole, order = packed_model(journey.loaded.directory), order_of(journey, laid_out(journey, 60))
    torn = {name: content[:-1] if name == "about.json" else content for name, content in whole.items()}
    other = replace(order, scoring=replace(order.scoring, model_version="0" * 16))
    elsewhere = replace(order, versions={**order.versions, "duckdb": "0.1"})

    with pytest.raises(DamagedModelError, match=r"about\.json is not the file that was saved"):
        Verified().model(Carried(torn), order)
    with pytest.raises(DamagedModelError, match="another model than the run began with"):
        Verified().model(Carried(whole), other)
    with pytest.raises(ModelMismatchError, match=r"an executor has duckdb .* \(wanted 0\.1\)"):
        Verified().model(Carried(whole), elsewhere)


def test_an_error_of_a_task_keeps_its_kind_and_its_own_words_only() -> None:
    with Reworded() as ours:
        raise ModelMismatchError("model and records do not fit")
    with Reworded() as foreign:
        {}[TOKEN]

    assert isinstance(told_again(ours.kind, ours.words), ModelMismatchError)
    assert TOKEN not in foreign.words and "KeyError at test_on_spark.py:" in foreign.words
    assert type(told_again(foreign.kind, foreign.words)) is PipelineError


@pytest.mark.parametrize("lacking", ["pyspark", "java"])
def test_what_is_missing_is_told_before_the_records_are_read(
    journey: Journey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    monkeypatch.setattr(on_spark, "find_spec", lambda _: None if lacking == "pyspark" else object())
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    words = {"pyspark": r"needs pyspark, which is not installed.*spark", "java": r"needs Java 17.*openjdk-17"}

    with pytest.raises(ConfigError, match=words[lacking]):
        predict(tmp_path / "no-records", journey.loaded, tmp_path / "out", Quiet(), spark=Spark())


def test_a_part_that_is_too_large_is_refused_before_it_is_sent(
    journey: Journey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_spark, "LARGEST_PARCEL", 1000)

    with pytest.raises(ConfigError, match=r"wanted at most 0\. Score these records with --engine local"):
        _row(laid_out(journey, 60).parcel(0, Overrides()))


def test_a_master_belongs_to_spark(tmp_path: Path) -> None:
    words = ["predict", "records", "--model", "run", "--out", str(tmp_path), "--master", "local[1]"]

    assert CliRunner().invoke(app, words).exit_code == 2
