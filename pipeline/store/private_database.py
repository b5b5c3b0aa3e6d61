"""Where do records lie while they are read, so that memory stays small and nothing of them stays behind?

In a database file of the process's own that has no name: it is unlinked once it is open, so the disk gives its room
back however the process ends. Its tables are compressed, and only the blocks in use are in memory. What a query
spills has a name, in a private folder that a lock ties to its owner; the next start removes the folders of the dead.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import weakref
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
    remove_folders_of_the_dead()
    folder = Path(tempfile.mkdtemp(prefix=FOLDER))
    owner = acquire(folder / _OWNER)
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
        if memory_limit is not None:
            connection.execute(f"SET memory_limit = {_quoted(memory_limit)}")
            if threads is None:
                room = f"parse_formatted_bytes(current_setting('memory_limit')) // {_BYTES_PER_THREAD}"
                query = f"SELECT greatest(1, least(current_setting('threads'), {room}))"
                threads = connection.execute(query).fetchall()[0][0]
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
        raise ConfigError(
            f"records: got memory limit {memory_limit!r} and {threads} threads; wanted a limit such as '4GB', at "
            "least one thread, and a temporary folder (TMPDIR) that can be written."
        ) from None
    return connection


def keep_at_most(connection: duckdb.DuckDBPyConnection, memory_limit: str) -> None:
    """Lower the memory limit of a database; a lower one stays.

    Raises
    ------
    duckdb.OutOfMemoryException
        If what is in use cannot be given back.
    """
    query = "SELECT parse_formatted_bytes(current_setting('memory_limit')) > parse_formatted_bytes(?)"
    if connection.execute(query, [memory_limit]).fetchall()[0][0]:
        connection.execute(f"SET memory_limit = {_quoted(memory_limit)}")


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
