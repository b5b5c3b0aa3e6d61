"""Who holds this output or store, and may we have it?

The lock is the kernel's (flock), so it dies with its owner however that ends; the
owner's process and host are written into the file only to name them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import LockedError, PipelineError
from pipeline.store.files import make_folder, reported_by

POLL_SECONDS = 0.05
_held: set[int] = set()


def _forget_in_child() -> None:
    """Close inherited locks after a fork: a worker must not keep what its dead parent held."""
    for handle in _held:
        with contextlib.suppress(OSError):
            os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_forget_in_child)


@contextlib.contextmanager
def locked(path: Path, *, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold the lock file at `path` while the block runs, and remove it afterwards.

    Parameters
    ----------
    path : path
        The lock file; its folder is made.
    wait_seconds : float, seconds
        How long to wait for another holder; 0 refuses at once.

    Raises
    ------
    LockedError
        If another process, or another part of this one, holds it.
    """
    handle = acquire(path, wait_seconds=wait_seconds)
    try:
        yield
    finally:
        release(path, handle)


def acquire(path: Path, *, of: Path | None = None, wait_seconds: float = 0.0) -> int:
    """Take the lock and return its handle for `release`; see `locked`. `of` is what is said to be locked.

    Raises
    ------
    LockedError
        If another holder keeps it for longer than `wait_seconds`.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        make_folder(path.parent)  # each time: its last holder may have removed it
        handle = _try_lock(path)
        if handle is not None:
            _held.add(handle)
            return handle
        if time.monotonic() >= deadline:
            place = of or path.parent
            raise LockedError(
                f"{place}: locked by {_owner(path)}. Wait until that run ends, stop it, or choose another place."
            )
        time.sleep(POLL_SECONDS)


def release(path: Path, handle: int) -> None:
    """Give the lock back and remove its file (while still holding it, so nobody else's file is removed)."""
    if handle not in _held:
        return
    _held.discard(handle)
    with contextlib.suppress(OSError):
        path.unlink()
    os.close(handle)


def _try_lock(path: Path) -> int | None:
    """Return the handle of the lock, or None if somebody else holds it."""
    with reported_by(path):
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:  # its folder was just removed by its last holder
            return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not _is_at(handle, path):
            os.close(handle)
            return None
        owner = json.dumps({"host": socket.gethostname(), "pid": os.getpid()})
        os.ftruncate(handle, 0)
        os.pwrite(handle, owner.encode(), 0)
    except OSError as problem:
        os.close(handle)
        if problem.errno in (errno.EAGAIN, errno.EACCES):
            return None
        raise PipelineError(
            f"{path}: could not be locked ({problem.strerror}). Choose a folder on a file system with locks."
        ) from None
    return handle


def _is_at(handle: int, path: Path) -> bool:
    """Tell whether the locked file is still the one of that name, not one just removed by its last holder."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(handle), there)


def _owner(path: Path) -> str:
    try:
        owner = json.loads(path.read_text())
        return f"process {int(owner['pid'])} on {owner['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
