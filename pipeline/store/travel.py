"""What of records and models travels to another machine, and how is it made whole there?

Tables travel as compressed Arrow streams; a model as its own files and its manifest, so that it is verified where it
arrives as it is where it was saved. What is unpacked lies in private temporary folders and in memory.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import duckdb
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from pipeline.errors import ConfigError, PipelineError
from pipeline.store.csv_cells import csv_bytes
from pipeline.store.files import file_to_write, flush, flush_folder, make_folder, read_bytes, reported_by, write_bytes
from pipeline.store.model_files import MANIFEST, read_model
from pipeline.store.private_database import private_database


def packed(table: pa.Table) -> bytes:
    """Return a table as bytes that `unpacked_tables` reads."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def unpacked_tables(
    tables: Mapping[str, bytes], *, memory_limit: str | None = None, threads: int | None = None
) -> duckdb.DuckDBPyConnection:
    """Return a private database that holds packed tables.

    Parameters
    ----------
    tables : mapping of table name to bytes
        As `packed` made them.
    memory_limit : str, optional
        As of `open_records`.
    threads : int, optional

    Returns
    -------
    DuckDB connection
        It cannot reach files, the network or extensions.
    """
    connection = private_database(memory_limit, threads)
    for name, content in tables.items():
        with pa.ipc.open_stream(pa.BufferReader(content)) as reader:
            connection.register("arrived", reader.read_all())
        connection.execute(f'create table "{name}" as select * from arrived')
        connection.unregister("arrived")
    connection.execute("set enable_external_access = false")
    return connection


def packed_model(directory: str | Path) -> dict[str, bytes]:
    """Return every file of a model directory, its manifest included, after checking them.

    Raises
    ------
    DamagedModelError
        As `read_model`.
    """
    return {**read_model(directory), MANIFEST: read_bytes(Path(directory) / MANIFEST)}


@contextmanager
def unpacked_model(files: Mapping[str, bytes]) -> Iterator[Path]:
    """Open a folder that holds the files of a packed model, until the block ends; nothing in it is checked yet."""
    with tempfile.TemporaryDirectory(prefix="mmrank-") as folder:
        for name, content in files.items():
            write_bytes(Path(folder) / Path(name).name, content)
        yield Path(folder)


@contextmanager
def private_log(prefix: str) -> Iterator[Path]:
    """Open a private file for another program's words until the block ends; it stays if an error names it."""
    handle, name = tempfile.mkstemp(prefix=prefix, suffix=".log")
    os.close(handle)
    is_named = False
    try:
        yield Path(name)
    except PipelineError as problem:
        is_named = name in str(problem)
        raise
    finally:
        if not is_named:
            Path(name).unlink(missing_ok=True)


def appended(path: Path) -> IO[bytes]:
    """Return a file open for appending, for another program to write into."""
    return path.open("ab")


def table_to_write(path: str | Path) -> Path:
    """Return a path at which a table may be written, as `write_table` does.

    Raises
    ------
    ConfigError
        If its name ends neither in .parquet nor in .csv, or as of `file_to_write`.
    """
    target = file_to_write(path)
    if target.suffix not in (".parquet", ".csv"):
        raise ConfigError(f"{target}: got a name that ends in {target.suffix!r}, wanted one in .parquet or .csv.")
    return target


def write_table(path: str | Path, tables: Iterable[pa.Table]) -> None:
    """Write tables of one shape as one file, which is there whole or not at all: Parquet, or CSV without formulas.

    Parameters
    ----------
    path : path
        Its ending chooses: `.parquet` or `.csv`. A file that is there is replaced.
    tables : iterable of pyarrow.Table
        At least one.

    Raises
    ------
    ConfigError
        As `table_to_write`.
    PipelineError
        If the disk fails.
    """
    target = table_to_write(path)
    make_folder(target.parent)
    with reported_by(target), tempfile.TemporaryDirectory(prefix="_mmrank-", dir=target.parent) as folder:
        whole = Path(folder) / target.name
        if target.suffix == ".csv":
            with whole.open("wb") as stream:
                for number, table in enumerate(tables):
                    stream.write(csv_bytes(table, header=number == 0))
        else:
            writer: pq.ParquetWriter | None = None
            for table in tables:
                writer = writer or pq.ParquetWriter(whole, table.schema, compression="zstd")
                writer.write_table(table)
            if writer is not None:
                writer.close()
        if whole.exists():
            flush(whole)
            whole.replace(target)
        flush_folder(target.parent)
