"""How do Spark's executors score the parts of a batch?

The driver reads, checks and digests the records, hands each part to a task of its own, a few ahead of those that are
being scored, and takes finished parts back in order: what it holds does not grow with the number of decisions. A task
raises nothing, since Spark would write its traceback into the logs of the cluster.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import shutil
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.errors import ConfigError, PipelineError
from pipeline.guardrails import Overrides
from pipeline.runs.rewording import Reworded, told_again
from pipeline.runs.shifting import Watch
from pipeline.runs.spark_parts import (
    TABLES,
    Order,
    Parcels,
    Verified,
    at_home,
    scored_parcel,
    versions,
)
from pipeline.runs.workers import Scoring
from pipeline.store import Part
from pipeline.store.travel import appended, packed_model, private_log

LARGEST_PARCEL = 100_000_000
"""Bytes of a part on its way to an executor; Spark keeps several copies of it in the driver's memory."""

_TYPES = {"number": "bigint", "overrides": "string", **dict.fromkeys(TABLES, "binary")}
_ANSWER = "number bigint, kind string, words string, content binary, told string"
_NAMES = tuple(field.split()[0] for field in _ANSWER.split(", "))
_OURS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.io.encryption.enabled": "true",
    "spark.rpc.message.maxSize": "512",
    "spark.python.worker.reuse": "true",
}
"""Where the institution's own settings say nothing: no open page, no patient's row in the clear in temporary files."""
_ALONE = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
_ENDING = (signal.SIGINT, signal.SIGTERM)
_VERIFIED = Verified()
Answer = tuple[int, Part, dict[str, Any] | None]


@dataclass(frozen=True)
class Divided:
    """How a batch is divided.

    Attributes
    ----------
    size : int
        Decisions per part.
    parts : int
    done : frozenset of int
        Parts that stand already.
    memory_limit : str
        Of DuckDB, for the tables of one part.
    """

    size: int
    parts: int
    done: frozenset[int]
    memory_limit: str

    @property
    def left(self) -> int:
        """How many parts are still to be scored."""
        return self.parts - len(self.done)


@dataclass(frozen=True)
class Spark:
    """Which cluster scores.

    Attributes
    ----------
    master : str or None
        Such as `local[4]`, `spark://host:7077` or `yarn`; None: as spark-defaults.conf says, else this machine.
    at_once : int or None
        How many parts are scored at a time; None: one per core of the cluster.
    """

    master: str | None = None
    at_once: int | None = None


@dataclass(frozen=True)
class Cluster:
    """A running Spark.

    Attributes
    ----------
    session : SparkSession
    at_once : int
        How many parts are scored at a time.
    log : Path
        What Spark itself says.
    """

    session: Any
    at_once: int
    log: Path


@contextmanager
def started(spark: Spark) -> Iterator[Cluster]:
    """Open Spark until the block ends; what it says goes into a private file that is kept only if the block fails.

    Parameters
    ----------
    spark : Spark

    Raises
    ------
    ConfigError
        If pyspark or Java is missing.
    PipelineError
        If Spark does not start.
    """
    with private_log("mmrank-spark-") as log, _quiet():
        gateway = None
        try:
            with _told("Spark did not start", log):
                with _undisturbed():
                    gateway = _gateway(log)
                session = _session(spark, gateway)
                at_once = spark.at_once or int(session.sparkContext.defaultParallelism)
            yield Cluster(session, at_once, log)
        finally:
            if gateway is not None:
                _end(gateway)


def scored_on_spark(
    parcels: Parcels, overrides: Overrides, scoring: Scoring, watch: Watch, batch: Divided, spark: Spark
) -> Generator[tuple[int, Part], None, None]:
    """Yield the parts that are not done, in their order; all are counted.

    Parameters
    ----------
    parcels : Parcels
    overrides : Overrides
    scoring : Scoring
    watch : Watch
    batch : Divided
    spark : Spark

    Yields
    ------
    (number, Part)

    Raises
    ------
    PipelineError
        As scoring does; or if Spark gives up.
    """
    parcels.lay_out(batch.size)
    for number in sorted(batch.done):
        watch.see(parcels.features(number))
    left = (parcels.parcel(number, overrides) for number in range(batch.parts) if number not in batch.done)
    if len(batch.done) == batch.parts:
        return
    order = Order(scoring, at_home(parcels.records), batch.memory_limit, versions())
    with started(spark) as cluster:
        for number, part, tally in _streamed(left, order, cluster):
            watch.hear(tally)
            yield number, part


def _streamed(parcels: Iterable[Mapping[str, Any]], order: Order, cluster: Cluster) -> Iterator[Answer]:
    """Yield the answers to parcels in their order, a few parcels ahead of the tasks."""
    files = cluster.session.sparkContext.broadcast(packed_model(order.scoring.directory))
    pool = ThreadPoolExecutor(cluster.at_once, thread_name_prefix="spark-part")
    waiting: deque[Future[Answer]] = deque()
    try:
        for parcel in parcels:
            waiting.append(pool.submit(_one, cluster, _row(parcel), order, files))
            if len(waiting) > cluster.at_once:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
        if waiting:
            _without_complaint(cluster.session.sparkContext.cancelAllJobs)
        pool.shutdown()


def answers(batches: Iterable[pa.RecordBatch], order: Order, files: Any) -> Iterator[pa.RecordBatch]:
    """Yield one row per parcel, the finished part or what went wrong: what a task runs.

    Parameters
    ----------
    batches : iterable of RecordBatch, one row per parcel
    order : Order
    files : broadcast of a packed model
    """
    for batch in batches:
        for row in batch.to_pylist():
            content, told = b"", "{}"
            with Reworded() as problem:
                content, told = scored_parcel(row, order, _VERIFIED.model(files, order))
            cells = [row["number"], problem.kind, problem.words, content, told]
            yield pa.RecordBatch.from_pylist([dict(zip(_NAMES, cells, strict=True))])


def _one(cluster: Cluster, row: pa.Table, order: Order, files: Any) -> Answer:
    """Return one part, scored by one task of a Spark job of its own."""

    def task(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return answers(batches, order, files)

    with _told("Spark gave a part up", cluster.log):
        found = cluster.session.createDataFrame(row).mapInArrow(task, _ANSWER).toArrow().to_pylist()
    if len(found) != 1:
        raise PipelineError(f"predict: Spark gave {len(found)} answers for a part, wanted one. Go on with --resume.")
    answer = found[0]
    if answer["kind"]:
        raise told_again(answer["kind"], answer["words"])
    told = json.loads(answer["told"])
    part = Part(content=bytes(answer["content"]), kind=order.scoring.kind, **told["part"])
    return answer["number"], part, told["tally"]


def _row(parcel: Mapping[str, Any]) -> pa.Table:
    size = sum(len(parcel[name]) for name in TABLES)
    if size > LARGEST_PARCEL:
        raise ConfigError(
            f"predict: a part takes {size / 1e6:,.0f} MB of records along, wanted at most "
            f"{LARGEST_PARCEL / 1e6:,.0f}. Score these records with --engine local."
        )
    kinds = {"bigint": pa.int64(), "string": pa.string(), "binary": pa.binary()}
    return pa.table({name: pa.array([parcel[name]], type=kinds[kind]) for name, kind in _TYPES.items()})


def refuse_missing() -> None:
    """Refuse a machine without pyspark or Java, before the records are read."""
    if find_spec("pyspark") is None:
        raise ConfigError(
            "predict: --engine spark needs pyspark, which is not installed. Install mmrank with its extra `spark` "
            "(pip install 'pyspark>=4.1,<5'), or score with --engine local."
        )
    home = os.environ.get("JAVA_HOME")
    if shutil.which("java", path=str(Path(home) / "bin") if home else None) is None:
        where = f"in JAVA_HOME ({home})" if home else "on the PATH"
        raise ConfigError(
            f"predict: --engine spark needs Java 17 or newer; found none {where}. Install one (on Debian: apt-get "
            "install openjdk-17-jre-headless), or score with --engine local."
        )


def _session(spark: Spark, gateway: Any) -> Any:
    """Return a session, with the institution's own settings where there are any."""
    from pyspark import SparkConf, SparkContext
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    settings = SparkConf(_jvm=gateway.jvm).setAppName("mmrank")
    if spark.master is not None:
        settings.setMaster(spark.master)
    settings.setIfMissing("spark.master", "local[*]")
    alone = _ALONE if str(settings.get("spark.master")).startswith("local") else {}
    for name, value in (_OURS | alone).items():
        settings.setIfMissing(name, value)
    with _own_handlers():
        return SparkSession(SparkContext(conf=settings, gateway=gateway))


@contextmanager
def _own_handlers() -> Iterator[None]:
    """Keep what this program does on a signal: Spark would hear Ctrl-C by a handler of its own, nohup or not."""
    kept = {number: signal.getsignal(number) for number in _ENDING}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in kept.items():
                if signal.getsignal(number) is not signal.SIG_IGN:  # as it is once one of them was heard
                    signal.signal(number, handler)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Hear of signals only once the block is over: a process that is being started would be lost and live on."""
    came: list[int] = []
    with _own_handlers():
        if threading.current_thread() is threading.main_thread():
            for number in _ENDING:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    signal.signal(number, lambda heard, _frame: came.append(heard))
        yield
    for heard in came[:1]:
        signal.raise_signal(heard)


def _end(gateway: Any) -> None:
    """End what runs in the Java process, and the process, so that neither outlives the batch."""
    from pyspark import SparkContext

    if SparkContext._active_spark_context is not None:
        _without_complaint(SparkContext._active_spark_context.stop)
    _without_complaint(gateway.shutdown)
    gateway.proc.stdin.close()
    gateway.proc.terminate()
    gateway.proc.wait()
    SparkContext._gateway = SparkContext._jvm = None
    gc.collect()  # its sockets, while warnings are off


def _without_complaint(end: Callable[[], Any]) -> None:
    """End something that may have ended by itself."""
    from py4j.protocol import Py4JError

    with suppress(Py4JError, OSError):
        end()


def _gateway(log: Path) -> Any:
    """Return the Java process of the driver, which writes into our file instead of the terminal."""
    from pyspark import SparkConf
    from pyspark.java_gateway import launch_gateway

    # Out of memory, Java would otherwise keep the driver waiting for ever.
    settings = SparkConf(loadDefaults=False).set("spark.driver.defaultJavaOptions", "-XX:+ExitOnOutOfMemoryError")
    with appended(log) as stream:
        return launch_gateway(settings, popen_kwargs={"stdout": stream, "stderr": stream})


@contextmanager
def _told(what: str, log: Path) -> Iterator[None]:
    """Say in one sentence, without Spark's words, which may hold rows, that it failed."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (Py4JError, PySparkException, OSError) as problem:
        lacking = "; mmrank is not installed where it scores" if "No module named 'pipeline'" in str(problem) else ""
        raise PipelineError(
            f"predict: {what} ({type(problem).__name__}{lacking}). What Spark says is in {log}; the parts written so "
            "far stand. Go on with --resume, with any engine."
        ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep off the screen Spark's warnings of pandas 3, and py4j's tracebacks of what is told in our own words."""
    before = logging.root.manager.disable
    logging.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
