"""Where do records lie while they are read, so that memory stays small and nothing of them stays behind?

In a database file of the process's own that has no name: it is unlinked once it is open, so the disk gives its room
back however the process ends. Its tables are compressed, and only the blocks in use are in memory. What a query
spills has a name, in a private folder that a lock ties to its owner; the next start removes the folders of the dead.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb

from pipeline.errors import ConfigError, LockedError, PipelineError
from pipeline.store.locks import acquire, release

FOLDER = "mmrank-records-"
_OWNER, _SPILL, _TABLES = "owner", "spill", "tables"
_ROWS_PER_GROUP = 122_880
"""How many rows are compressed at a time; each thread holds this many rows of all columns of a table it makes."""
_BYTES_PER_THREAD = 250_000_000
_BYTES = {"k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_LIMIT = re.compile(r"(\d+(?:\.\d+)?) ?([kmgt]i?)b?", re.IGNORECASE)


def memory_bytes(limit: str, where: str = "records: memory limit", least: str | None = None) -> int:
    """Return how many bytes a memory limit stands for.

    Parameters
    ----------
    limit : str
        Such as `512MB` or `2GB`; `GiB` is 2**30 bytes where `GB` is 10**9.
    where : str
        What the limit was given as.
    least : str, optional
        The smallest that is let through.

    Raises
    ------
    ConfigError
        If it is no such text, or less than the least.
    """
    found = _LIMIT.fullmatch(limit.strip())
    count = int(float(found[1]) * _BYTES[found[2].lower()]) if found else 0
    from_least = f", from {least} on" if least else ""
    if count < max(1, memory_bytes(least) if least else 0):
        raise ConfigError(f"{where}: got {limit!r}, wanted a number with its unit such as 512MB or 2GB{from_least}.")
    return count


def private_database(memory_limit: str | None = None, threads: int | None = None) -> duckdb.DuckDBPyConnection:
    """Return an empty database that no other process can find.

    Parameters
    ----------
    memory_limit : str or None
        As DuckDB writes it, for example `1GB`; what does not fit spills to the private folder.
    threads : int or None
        None: one per core; under a limit, at most one per 250 MB of it.

    Raises
    ------
    ConfigError
        If the limit or the number cannot be read, or the temporary folder cannot be written.
    """
    room = None if memory_limit is None else memory_bytes(memory_limit)
    if threads is not None and threads < 1:
        raise ConfigError(f"records: got {threads} threads, wanted at least one.")
    remove_folders_of_the_dead()
    folder, owner = _own_folder()
    settings: dict[str, Any] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "temp_directory": str(folder / _SPILL),
    }
    try:
        connection = duckdb.connect(":memory:", config=settings)
        weakref.finalize(connection, _remove, folder, owner)
        connection.execute("SET TimeZone = 'UTC'")
        if room is not None:
            connection.execute(f"SET memory_limit = '{room}B'")
            cores = connection.execute("SELECT current_setting('threads')").fetchall()[0][0]
            threads = threads or max(1, min(cores, room // _BYTES_PER_THREAD))
        if threads is not None:
            connection.execute(f"SET threads = {int(threads)}")
        connection.execute(
            f"ATTACH {_quoted(str(folder / _TABLES))} AS records "
            f"(RECOVERY_MODE no_wal_writes, ROW_GROUP_SIZE {_ROWS_PER_GROUP})"
        )
        connection.execute("USE records")
        (folder / _TABLES).unlink()
    except duckdb.Error:
        _remove(folder, owner)
        raise ConfigError(_no_room(memory_limit)) from None
    return connection


def keep_at_most(connection: duckdb.DuckDBPyConnection, memory_limit: str) -> None:
    """Lower the memory limit of a database; a lower one stays.

    Raises
    ------
    duckdb.OutOfMemoryException
        If what is in use cannot be given back.
    """
    room = memory_bytes(memory_limit)
    if connection.execute("SELECT parse_formatted_bytes(current_setting('memory_limit'))").fetchall()[0][0] > room:
        connection.execute(f"SET memory_limit = '{room}B'")


@contextlib.contextmanager
def within(memory_limit: str | None) -> Iterator[None]:
    """Raise a ConfigError, in one sentence, where a query does not fit into memory or onto the disk."""
    try:
        yield
    except (duckdb.OutOfMemoryException, duckdb.IOException):
        raise ConfigError(_no_room(memory_limit)) from None


def _no_room(memory_limit: str | None) -> str:
    if memory_limit is None:
        said, more = "the memory of this machine did not suffice for the records", "Close what else uses it"
    else:
        said, more = f"--memory {memory_limit} did not suffice for the records", "Give more, such as --memory 2GB"
    return f"{said}. {more}; if the disk is full, name a temporary folder (TMPDIR) that can be written and has room."


def _own_folder() -> tuple[Path, int]:
    """Return a new private folder and its lock; one that another start took for a dead process's is left to that."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=FOLDER))
        with contextlib.suppress(LockedError):
            return folder, acquire(folder / _OWNER)


def remove_folders_of_the_dead() -> None:
    """Remove the private folders, in the temporary folder, of processes of this user that have ended."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER}*"):
        owner = folder / _OWNER
        with contextlib.suppress(LockedError, PipelineError, OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid() or not owner.is_file():
                continue
            _remove(folder, acquire(owner))


def _remove(folder: Path, owner: int) -> None:
    """Remove a private folder, giving its lock back last."""
    shutil.rmtree(folder, ignore_errors=True)
    release(folder / _OWNER, owner)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
