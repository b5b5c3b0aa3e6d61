"""How is a batch hurt: killed at a random moment, or failed at one call to the disk?

A batch of cheap parts, five files of two decisions; whatever is done to it, a reader must find all of it or nothing,
and resuming must give the bytes of a run that nobody hurt.
"""

from __future__ import annotations

import errno
import itertools
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from pipeline.errors import PipelineError, SchemaError
from pipeline.store import BatchWriter, read_predictions, staging_of
from tests.store.conftest import part, rows_of_decisions

ROOT = Path(__file__).parents[2]
PARTS = tuple((f"d{number:02d}a", f"d{number:02d}b") for number in range(5))
ROWS = 2 * sum(len(decisions) for decisions in PARTS)
IDENTITY = {"model": "m1", "records": "d1"}
CALLS = ("write", "fsync", "close", "replace", "mkdir", "open")
ERRORS = (errno.ENOSPC, errno.EIO)


def score(out: Path) -> None:
    """Write the batch, or what is left of it."""
    with BatchWriter(out, identity=IDENTITY, decisions_per_part=2, resume=True) as batch:
        for index, decisions in enumerate(PARTS):
            if index not in batch.done_parts:
                batch.write_part(index, part(rows_of_decisions(*decisions)))
        batch.finish(len(PARTS))


def held(out: Path) -> dict[str, bytes]:
    """Return every file of a batch, and of the folder in which it is made."""
    return {str(path.relative_to(out.parent)).replace(out.name, "NAME"): path.read_bytes() for path in _files(out)}


def _files(out: Path) -> list[Path]:
    return [path for home in (out, staging_of(out)) for path in home.rglob("*") if path.is_file()]


def seen(out: Path) -> set[str]:
    """Return what readers find: `complete`, `absent`, or how it is broken."""
    return {_checked(out), _plain(out)}


def _checked(out: Path) -> str:
    try:
        return _verdict(read_predictions(out))
    except SchemaError:
        return "absent"


def _plain(out: Path) -> str:
    """Return what somebody finds who reads the folder and looks for nothing else."""
    try:
        return _verdict(pd.read_parquet(out))
    except FileNotFoundError:
        return "absent"


def _verdict(frame: pd.DataFrame) -> str:
    if len(frame) == 0:
        return "absent"
    if frame.duplicated(["decision_id", "modality"]).any():
        return "doubled"
    return "complete" if len(frame) == ROWS else "lost"


def torn(out: Path) -> int:
    """Return how many files that count are not whole Parquet files."""
    count = 0
    for path in _parts(out):
        try:
            pq.ParquetFile(path).read()
        except Exception:  # noqa: BLE001 - whatever a reader may raise of a torn file
            count += 1
    return count


def _parts(out: Path) -> list[Path]:
    return [path for path in _files(out) if path.match("part-*.parquet")]


def judged(out: Path, whole: dict[str, bytes]) -> Counter[str]:
    """Return what a reader finds of a hurt batch, and what resuming makes of it."""
    found = Counter(f"reader: {state}" for state in seen(out))
    found["torn"] += torn(out)
    score(out)
    found["resumed to the same bytes" if held(out) == whole else "RESUMED TO OTHER BYTES"] += 1
    return found


class Disk:
    """Counts calls to the disk that write a batch, and fails one of them."""

    def __init__(self, out: Path, fail_at: int = 0, error: int = errno.EIO, *, before: bool = True) -> None:
        self.out, self.fail_at, self.error, self.before = out, fail_at, error, before
        self.calls: list[str] = []

    def failing(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return a call of the operating system that fails when its turn comes: before or after it did its work."""

        def call(*given: Any, **named: Any) -> Any:
            if not self._is_ours(given[0]):
                return original(*given, **named)
            self.calls.append(name)
            fails = len(self.calls) == self.fail_at
            if fails and self.before:
                raise OSError(self.error, os.strerror(self.error))
            done = original(*given, **named)
            if fails:
                raise OSError(self.error, os.strerror(self.error))
            return done

        return call

    def _is_ours(self, target: Any) -> bool:
        if isinstance(target, int):
            try:
                target = os.readlink(f"/proc/self/fd/{target}")
            except OSError:
                return False
        place = Path(target)
        return place == self.out.parent or not {self.out, staging_of(self.out)}.isdisjoint((place, *place.parents))


class _Stream:
    """A file stream whose write and close go through the disk that may fail."""

    def __init__(self, stream: Any, disk: Disk) -> None:
        self._stream, self._disk = stream, disk

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *_: object) -> None:
        handle = self._stream.fileno()
        self._disk.failing("close", lambda _: self._stream.close())(handle)

    def write(self, content: bytes) -> int:
        written: int = self._disk.failing("write", lambda _: self._stream.write(content))(self._stream.fileno())
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def failing(disk: Disk) -> Iterator[None]:
    """Put a disk that may fail under the store."""
    with pytest.MonkeyPatch.context() as patched:
        opened = os.fdopen
        patched.setattr(os, "fdopen", lambda *given, **named: _Stream(opened(*given, **named), disk))
        patched.setattr(os, "fsync", disk.failing("fsync", os.fsync))
        for name in ("replace", "mkdir"):
            patched.setattr(Path, name, disk.failing(name, getattr(Path, name)))
        patched.setattr(os, "open", disk.failing("open", os.open))
        yield


def calls_of_a_run(home: Path) -> list[str]:
    """Return the calls to the disk of a whole run, in order."""
    disk = Disk(home / "counted")
    with failing(disk):
        score(home / "counted")
    return disk.calls


def fail_each(home: Path, whole: dict[str, bytes], every: int = 1) -> Counter[str]:
    """Fail each call in turn (or every so many), with each error, before and after it did its work."""
    found: Counter[str] = Counter()
    names = calls_of_a_run(home)
    plans = [
        (at, error, before)
        for at, name in enumerate(names, start=1)
        for error in ERRORS
        for before in (True, False)
        if before == (name == "open") or name not in ("open", "close")
    ]
    for number, (at, error, before) in enumerate(plans[::every]):
        out = home / f"failed{number}"
        disk = Disk(out, at, error, before=before)
        with failing(disk):
            try:
                score(out)
                found["A FAULT PASSED UNNOTICED"] += 1
            except PipelineError:
                found["told as one sentence"] += 1
        found[f"faults: {names[at - 1]}"] += 1
        found += judged(out, whole)
    return found


def kill_at_random(home: Path, whole: dict[str, bytes], times: int, seed: int = 11) -> Counter[str]:
    """Kill a run by SIGKILL at random moments, look as a reader, and resume; as often as asked."""
    found: Counter[str] = Counter()
    context = get_context("forkserver")  # a server that holds the modules; each run is forked from it
    context.set_forkserver_preload([__name__])
    for name in ("first", "timed"):
        begun = time.monotonic()
        run = context.Process(target=score, args=(home / name,))
        run.start()
        run.join()
    lasts = time.monotonic() - begun
    for number, moment in enumerate(islice(_spread(seed, lasts), times)):
        out = home / f"killed{number}"
        run = context.Process(target=score, args=(out,))
        run.start()
        time.sleep(moment)
        found["reader while it ran: " + "/".join(sorted(seen(out)))] += 1
        run.kill()
        run.join()
        found[f"killed with {len(_parts(out))} of {len(PARTS)} parts on the disk"] += 1
        found["killed" if run.exitcode == -signal.SIGKILL else "ended before"] += 1
        found += judged(out, whole)
    return found


def _spread(seed: int, lasts: float) -> Iterator[float]:
    """Yield moments spread over the seconds that a run takes."""
    for number in itertools.count(seed):
        yield (number * 0.6180339887498949) % 1.0 * lasts


def wait_and_score() -> None:
    """Say that all is loaded, wait for a word, then write the batch: what a process to be hurt from outside runs."""
    print("ready", flush=True)
    sys.stdin.readline()
    score(Path(sys.argv[1]))


def shown(title: str, found: Counter[str]) -> str:
    """Return counts as lines."""
    return "\n".join([title, *(f"  {name:44}{count:6}" for name, count in sorted(found.items()))])
