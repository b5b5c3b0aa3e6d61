"""Can two runs ever hold one lock?"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline.errors import LockedError
from pipeline.store import locked
from pipeline.store.locks import acquire, release

HOLDER = """
import sys, time
from pathlib import Path
from pipeline.store.locks import acquire
acquire(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""

FORKING = HOLDER.replace("print(", "import os\nif os.fork() == 0:\n    sys.stdin.read()\n    os._exit(0)\nprint(")


def _holder(lock: Path, program: str = HOLDER) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, str(lock)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_runner_is_refused_with_the_owner_named_and_a_dead_owner_is_not_waited_for(tmp_path: Path) -> None:
    lock = tmp_path / "out" / "_lock"
    with _holder(lock) as holder:
        with pytest.raises(LockedError, match=f"locked by process {holder.pid} on") as refused, locked(lock):
            pass
        assert refused.value.exit_code == 17
        holder.send_signal(signal.SIGKILL)
        holder.wait()

        with locked(lock):
            assert lock.exists()
    assert not lock.exists()


def test_the_same_process_cannot_take_a_lock_twice(tmp_path: Path) -> None:
    with locked(tmp_path / "_lock"), pytest.raises(LockedError), locked(tmp_path / "_lock"):
        pass


def test_a_waiter_gets_the_lock_when_it_is_given_back(tmp_path: Path) -> None:
    handle = acquire(tmp_path / "_lock")
    threading.Timer(0.2, release, (tmp_path / "_lock", handle)).start()
    begun = time.monotonic()
    with locked(tmp_path / "_lock", wait_seconds=30):
        assert time.monotonic() - begun >= 0.15


def test_many_takers_never_overlap(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def take() -> None:
        for _ in range(20):
            with locked(tmp_path / "_lock", wait_seconds=60):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0)
                inside.pop()

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(most) == 120
    assert max(most) == 1


def test_a_lock_file_removed_by_its_last_holder_meanwhile_is_not_mistaken_for_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "_lock"
    flock, calls = fcntl.flock, []

    def late(handle: int, operation: int) -> None:
        calls.append(operation)
        if len(calls) == 1:
            lock.unlink()
        flock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    handle = acquire(lock, wait_seconds=5)

    assert len(calls) == 2
    assert os.path.samestat(os.fstat(handle), lock.stat())
    release(lock, handle)


def test_a_worker_that_outlives_its_killed_parent_does_not_keep_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "_lock"
    with _holder(lock, FORKING) as holder:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with locked(lock, wait_seconds=5):  # the worker may not have run yet
            assert holder.stdin is not None
            holder.stdin.close()
