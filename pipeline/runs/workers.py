"""How do several processes score parts, each with its own model and one thread?

The parent hands one shard at a time to each worker through a pipe, so that as many shards are in memory as there
are workers and two more; a worker whose parent is gone reads the end of its pipe and leaves.
"""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import forkserver, get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pyarrow as pa
from threadpoolctl import threadpool_limits

from pipeline.advice import Adviser, Shard, score
from pipeline.errors import DamagedModelError, PipelineError
from pipeline.prediction_rows import Detail
from pipeline.runs.model_dir import load_directory
from pipeline.store import Kind, Part, part_of
from pipeline.store.batch import MOST_PARTS

PATIENCE_SECONDS = 10.0
Task = tuple[int, Shard]
Done = tuple[int, Part]


@dataclass(frozen=True)
class Scoring:
    """What is done with every shard.

    Attributes
    ----------
    directory : Path
        Of the model.
    model_version : str
        That the directory must still hold.
    detail : Detail
    kind : {'parquet', 'csv'}
    """

    directory: Path
    model_version: str
    detail: Detail
    kind: Kind

    def adviser(self) -> Adviser:
        """Return the model, verified anew.

        Raises
        ------
        DamagedModelError
            If the directory holds another model than the run began with, or a damaged one.
        """
        adviser = load_directory(self.directory).adviser
        if adviser.model_version != self.model_version:
            raise DamagedModelError(f"{self.directory}: holds another model than when the run began. Start it again.")
        return adviser

    def part(self, adviser: Adviser, shard: Shard) -> Part:
        """Return the part of a shard; the same bytes in any process."""
        return part_of(score(adviser, shard, self.detail), self.kind)


def scored(tasks: Iterable[Task], scoring: Scoring, adviser: Adviser, processes: int) -> Generator[Done, None, None]:
    """Yield the parts of numbered shards, in their order.

    Parameters
    ----------
    tasks : iterable of (number, Shard)
        Taken one by one as workers become free.
    scoring : Scoring
    adviser : Adviser
        The model in this process, used where no other is asked for.
    processes : int
        1 scores in this process.

    Yields
    ------
    (number, Part)

    Raises
    ------
    PipelineError
        As scoring does; or if a worker ends before its work.
    """
    if processes > 1:
        yield from _by_workers(iter(tasks), scoring, processes)
        return
    with threadpool_limits(limits=1):
        for number, shard in tasks:
            yield number, scoring.part(adviser, shard)


def make_ready() -> None:
    """Begin in the background what every worker starts from: a fresh interpreter that reads the program once.

    It never hears Ctrl-C, which a terminal sends to all: half imported, it would answer with a traceback. It ends with
    this process.
    """
    get_context("forkserver").set_forkserver_preload([__name__])
    resource_tracker.ensure_running()  # which forkserver asks for too, and which unblocks what is blocked here
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def work(connection: Connection, scoring: Scoring) -> None:
    """Score what comes through the pipe until it ends: what a worker process runs.

    An interrupt from the keyboard is the parent's business, which ends its workers.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pa.set_cpu_count(1)
    try:
        with threadpool_limits(limits=1):
            adviser = scoring.adviser()
            while True:
                number, shard = connection.recv()
                connection.send((number, scoring.part(adviser, shard)))
    except PipelineError as problem:
        connection.send(problem)
    except (EOFError, OSError):  # the parent is gone, perhaps in the middle of a message
        return


def _by_workers(tasks: Iterator[Task], scoring: Scoring, processes: int) -> Iterator[Done]:
    workers = _started(scoring, processes)
    try:
        busy: dict[int, Connection] = {}
        ready: dict[int, Part] = {}
        ahead = next(tasks, None)
        while ahead or busy:
            free = [connection for connection in workers if connection not in busy.values()]
            if ahead and free and len(busy) + len(ready) < 2 * processes:
                _send(free[0], ahead, workers)
                busy[ahead[0]] = free[0]
                ahead = next(tasks, None)
                continue
            for connection in wait(list(busy.values())):
                number, part = _received(connection, workers)
                del busy[number]
                ready[number] = part
            while ready and min(ready) < min(busy, default=MOST_PARTS):
                number = min(ready)
                yield number, ready.pop(number)
    finally:
        for connection, process in workers.items():
            connection.close()
            process.terminate()
        for process in workers.values():
            process.join(PATIENCE_SECONDS)


def _started(scoring: Scoring, processes: int) -> dict[Any, BaseProcess]:
    """Return processes by the pipe to each; nothing of this one, locks included, is inherited."""
    make_ready()
    context = get_context("forkserver")
    workers: dict[Any, BaseProcess] = {}
    for _ in range(processes):
        here, there = context.Pipe()
        process = context.Process(target=work, args=(there, scoring), daemon=True)
        process.start()
        there.close()
        workers[here] = process
    return workers


def _send(connection: Connection, task: Task, workers: dict[Any, BaseProcess]) -> None:
    try:
        connection.send(task)
    except OSError:
        _received(connection, workers)


def _received(connection: Any, workers: dict[Any, BaseProcess]) -> Done:
    """Return what a worker sends; raise what it raised."""
    try:
        told: Done | PipelineError = connection.recv()
    except (EOFError, OSError):  # an end in the middle of a message is an OSError
        process = workers[connection]
        process.join(PATIENCE_SECONDS)
        raise PipelineError(
            f"predict: a scoring process ended early ({_ending(process.exitcode)}); the parts written so far stand. "
            "If memory is short, use fewer with --processes. Go on with --resume."
        ) from None
    if isinstance(told, PipelineError):
        raise told
    return told


def _ending(code: int | None) -> str:
    """Return how a process ended, in words."""
    if code is None:
        return "no exit code"
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
