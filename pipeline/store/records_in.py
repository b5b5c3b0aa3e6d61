"""What did the institution hand over: which tables, as which text?

Every column comes in as text, in file order, so that casting is the contract's business
and CSV, Parquet and DuckDB give the same tables. Nothing a library says about a file is
repeated: its messages quote the rows.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import json
import re
import zlib
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import duckdb

from pipeline.errors import PipelineError, SchemaError
from pipeline.store.files import decoded, file_sha256, read_bytes
from pipeline.store.private_database import private_database, within

ORDINAL = "row_ordinal"
MANIFEST = "manifest.json"
PREFIX = "extract_"
STAMP_TABLE = "records_stamp"
_SUFFIXES: dict[str, Literal["csv", "parquet"]] = {".csv": "csv", ".csv.gz": "csv", ".parquet": "parquet"}
_HEADER_LIMIT = 1_000_000
_CSV_OPTIONS = (
    "all_varchar = true, header = true, auto_detect = false, delim = ',', quote = '\"', escape = '\"', "
    "strict_mode = true, null_padding = false, ignore_errors = false"
)
_AS_TEXT = (
    (re.compile(r"VARCHAR|ENUM.*"), "nullif({c}::VARCHAR, '')"),
    (re.compile(r'"?NULL"?'), "NULL::VARCHAR"),
    (re.compile(r"FLOAT|DOUBLE"), "case when isfinite({c}) then {c}::VARCHAR end"),
    (re.compile(r"DATE"), "case when isfinite({c}) then strftime({c}, '%Y-%m-%d') end"),
    (
        re.compile(r"TIMESTAMP(_S|_MS|_NS)?|TIMESTAMP WITH TIME ZONE"),
        "case when not isfinite({t}) then null when {t} = date_trunc('day', {t}) then strftime({t}, '%Y-%m-%d') "
        "when microsecond({t}) % 1000000 = 0 then strftime({t}, '%Y-%m-%dT%H:%M:%S') "
        "else strftime({t}, '%Y-%m-%dT%H:%M:%S.%f') end",
    ),
    (re.compile(r"BOOLEAN|U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|DECIMAL.*|UUID|TIME"), "{c}::VARCHAR"),
)


@dataclass(frozen=True)
class _Extract:
    """One table as handed over."""

    stem: str
    where: str
    path: Path
    kind: Literal["csv", "parquet", "duckdb"]
    scan: str
    columns: tuple[tuple[str, str], ...]


def open_records(
    path: str | Path, *, memory_limit: str | None = None, threads: int | None = None
) -> duckdb.DuckDBPyConnection:
    """Return a database with one table of text per table of the records.

    Parameters
    ----------
    path : path
        A directory of `*.csv`, `*.csv.gz` and `*.parquet` files, or one `.duckdb` file (read only).
    memory_limit : str, optional
        As DuckDB writes it, for example `4GB`; what does not fit spills to a private temporary folder.
    threads : int, optional

    Returns
    -------
    DuckDB connection
        Tables `extract_<file stem>`: every column VARCHAR (empty text, NaN and infinities are NULL; dates and
        timestamps are ISO text, a midnight is its date), and `row_ordinal` BIGINT, 1-based, in file order.
        `records_stamp` (key, value) holds what `write_records` stamped on them. The connection cannot reach
        files, the network or extensions any more; hand it frames with `register`.

    Raises
    ------
    SchemaError
        If there is nothing to read, a file is of unknown kind, cut, ragged, not UTF-8 or damaged, a column is
        nested, binary, unnamed or doubled, or a count differs from `manifest.json`. Never a value of a row.
    ConfigError
        If the memory limit cannot be read, or it or the disk is too little.
    """
    source = Path(path)
    manifest = _manifest(source)
    connection = private_database(memory_limit, threads)
    try:
        with within(memory_limit):
            _take_in(source, manifest, connection)
    except PipelineError:
        connection.close()
        raise
    return connection


def _take_in(source: Path, manifest: dict[str, Any], connection: duckdb.DuckDBPyConnection) -> None:
    """Make the tables of a database from an extract, and shut it off from files."""
    extracts = _extracts(source, connection)
    seen: dict[str, str] = {}
    for extract in extracts:
        other = seen.setdefault(extract.stem.lower(), extract.where)
        if other != extract.where:
            raise SchemaError(f"{extract.where}: names the same table as {other}. Keep one of the two.")
        _load(connection, extract)
    _compare_counts(source, manifest, extracts, connection)
    _stamp(connection, manifest)
    if source.is_file():
        connection.execute("DETACH handed_over")
    connection.execute("SET enable_external_access = false")


def read_stamp(path: str | Path) -> dict[str, str]:
    """Return what `write_records` stamped on a directory of records; empty where nothing did.

    Raises
    ------
    SchemaError
        If there is a manifest and it is not readable.
    """
    return {str(key): str(value) for key, value in _manifest(Path(path)).get("stamp", {}).items()}


def read_table_rows(path: str | Path) -> list[dict[Hashable, Any]]:
    """Return the rows of one CSV or Parquet file as text, in file order, read as strictly as records are.

    Raises
    ------
    SchemaError
        As `open_records`.
    """
    place = Path(path)
    kind = _kind(place)
    if kind is None:
        raise SchemaError(f"{place}: got no CSV or Parquet file. Check the path.")
    connection = private_database(None, None)
    try:
        with within(None):
            extract = _csv_extract(place) if kind == "csv" else _parquet_extract(place, connection)
            _load(connection, extract)
        table = connection.execute(f"SELECT * FROM {_name(PREFIX + extract.stem)} ORDER BY {ORDINAL}")
        names = [column[0] for column in table.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in table.fetchall()]
    finally:
        connection.close()
    return [{name: row[name] for name in names if name != ORDINAL} for row in rows]


def _extracts(source: Path, connection: duckdb.DuckDBPyConnection) -> list[_Extract]:
    if source.is_dir():
        return _directory_extracts(source, connection)
    if source.is_file() and source.suffix == ".duckdb":
        return _database_extracts(source, connection)
    found = "a file of another kind" if source.exists() else "no such path"
    raise SchemaError(f"{source}: got {found}, wanted a directory of CSV or Parquet tables, or a .duckdb file.")


def _directory_extracts(source: Path, connection: duckdb.DuckDBPyConnection) -> list[_Extract]:
    kinds = {entry: _kind(entry) for entry in sorted(source.iterdir()) if not _is_aside(entry)}
    unknown = [entry.name for entry, kind in kinds.items() if kind is None]
    if unknown:
        raise SchemaError(
            f"{source}: {len(unknown)} entries are not tables, first {unknown[0]!r}; wanted only *.csv, "
            "*.csv.gz or *.parquet files. Move them away, or save them as CSV or Parquet."
        )
    if not kinds:
        raise SchemaError(f"{source}: got no tables, wanted *.csv, *.csv.gz or *.parquet files. Check the path.")
    globbed = [str(entry) for entry in kinds if re.search(r"[*?\[\]]", str(entry.resolve()))]
    if globbed:
        raise SchemaError(f"{globbed[0]}: the path has one of * ? [ ]. Rename the file or its folder.")
    return [
        _csv_extract(entry) if kind == "csv" else _parquet_extract(entry, connection) for entry, kind in kinds.items()
    ]


def _is_aside(entry: Path) -> bool:
    """Tell whether a file stands beside the tables: hidden, the manifest, a readme or a licence."""
    name = entry.name.lower()
    return name[0] in "._" or name == MANIFEST or name.startswith(("readme", "license", "licence"))


def _kind(entry: Path) -> Literal["csv", "parquet"] | None:
    name = entry.name.lower()
    return next((kind for suffix, kind in _SUFFIXES.items() if name.endswith(suffix) and entry.is_file()), None)


def _stem(path: Path) -> str:
    return re.sub(r"\.(csv|csv\.gz|parquet)$", "", path.name, flags=re.IGNORECASE)


def _csv_extract(path: Path) -> _Extract:
    columns = tuple((name, "VARCHAR") for name in _header(path))
    named = ", ".join(f"{_quoted(f'c{index}')}: 'VARCHAR'" for index in range(len(columns)))
    scan = f"read_csv({_quoted(str(path))}, {_CSV_OPTIONS}, columns = {{{named}}})"
    return _Extract(_stem(path), str(path), path, "csv", scan, columns)


def _header(path: Path) -> list[str]:
    """Return the column names of a CSV file, read apart from its rows so that no name is guessed."""
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with opener(path, "rb") as stream:
            start: bytes = stream.readline(_HEADER_LIMIT).rstrip(b"\r\n")
    except (OSError, EOFError, zlib.error):
        raise SchemaError(f"{path}: cannot be read to its first line. Export the file again.") from None
    if not start.strip():
        raise SchemaError(f"{path}: got an empty file, wanted a header line. Export the file again.")
    if b"\x00" in start:
        raise SchemaError(f"{path}: the header is not UTF-8 text. Save the file as UTF-8 CSV.")
    try:
        names = next(csv.reader([decoded(start, path, SchemaError)], strict=True))
    except csv.Error:
        raise SchemaError(
            f"{path}: the header line is not CSV. Separate by commas, quote with double quotes."
        ) from None
    if len(names) == 1 and re.search(r"[;\t|]", names[0]):
        raise SchemaError(f"{path}: got one column, wanted columns separated by commas. Export the file with commas.")
    return names


def _parquet_extract(path: Path, connection: duckdb.DuckDBPyConnection) -> _Extract:
    scan = f"read_parquet({_quoted(str(path))}, file_row_number = true)"
    with _reported(str(path)):
        described = connection.execute(f"DESCRIBE SELECT * FROM {scan}").fetchall()
    columns = tuple((str(row[0]), str(row[1])) for row in described if row[0] != "file_row_number")
    return _Extract(_stem(path), str(path), path, "parquet", scan, columns)


def _database_extracts(source: Path, connection: duckdb.DuckDBPyConnection) -> list[_Extract]:
    with _reported(str(source)):
        connection.execute(f"ATTACH {_quoted(str(source))} AS handed_over (READ_ONLY)")
        found = connection.execute(
            "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'handed_over' AND NOT internal "
            "ORDER BY schema_name, table_name"
        ).fetchall()
        extracts = []
        for schema, table in found:
            scan = f"handed_over.{_name(schema)}.{_name(table)}"
            described = connection.execute(f"DESCRIBE {scan}").fetchall()
            columns = tuple((str(row[0]), str(row[1])) for row in described)
            extracts.append(_Extract(table, f"{source}: {table}", source, "duckdb", scan, columns))
    if not extracts:
        raise SchemaError(f"{source}: got a database without tables, wanted the tables of the records.")
    return extracts


def _load(connection: duckdb.DuckDBPyConnection, extract: _Extract) -> None:
    _check_columns(extract)
    texts = []
    for index, (name, kind) in enumerate(extract.columns):
        source = f"c{index}" if extract.kind == "csv" else name
        texts.append(f"{_text_of(_name(source), kind)} AS {_name(name)}")
    ordinal = {"csv": "row_number() OVER ()", "parquet": "file_row_number + 1", "duckdb": "row_number() OVER ()"}
    selected = ", ".join([*texts, f"({ordinal[extract.kind]})::BIGINT AS {ORDINAL}"])
    with _reported(extract.where):
        connection.execute(f"CREATE TABLE {_name(PREFIX + extract.stem)} AS SELECT {selected} FROM {extract.scan}")


def _check_columns(extract: _Extract) -> None:
    names = [name for name, _ in extract.columns]
    empty = sum(1 for name in names if not name.strip())
    if empty:
        raise SchemaError(f"{extract.where}: {empty} of {len(names)} columns have no name. Name or drop them.")
    folded = [name.lower() for name in names]
    doubled = [position for position, name in enumerate(folded, start=1) if folded.count(name) > 1]
    if doubled:
        twin = folded.index(folded[doubled[0] - 1], doubled[0]) + 1
        raise SchemaError(
            f"{extract.where}: {len(doubled)} columns share a name, first columns {doubled[0]} and {twin}. Rename "
            "them, or add the header line if there is none."
        )
    if ORDINAL in folded:
        raise SchemaError(f"{extract.where}: a column is named {ORDINAL!r}, which the program needs. Rename it.")
    for name, kind in extract.columns:
        if not any(pattern.fullmatch(kind) for pattern, _ in _AS_TEXT):
            raise SchemaError(
                f"{extract.where}: column {name!r} has type {kind}, wanted text, numbers or dates. Save it so."
            )


def _text_of(column: str, kind: str) -> str:
    template = next(template for pattern, template in _AS_TEXT if pattern.fullmatch(kind))
    return "(" + template.format(c=column, t=f"{column}::TIMESTAMP") + ")"


def _manifest(source: Path) -> dict[str, Any]:
    """Return the manifest of a directory: `{"files": {name: {"rows": n, "sha256": ...}}, "stamp": {key: value}}`."""
    path = source / MANIFEST
    if not source.is_dir() or not path.exists():
        return {}
    with contextlib.suppress(ValueError, RecursionError):
        document = json.loads(decoded(read_bytes(path, SchemaError), path, SchemaError))
        if isinstance(document, dict) and all(isinstance(document.get(key, {}), dict) for key in ("files", "stamp")):
            files = document.get("files", {})
            if all(isinstance(entry, dict) and type(entry.get("rows")) is int for entry in files.values()):
                return document
    raise SchemaError(f'{path}: wanted {{"files": {{"patients.csv": {{"rows": 705}}}}}}. Write it so, or remove it.')


def _compare_counts(
    source: Path, manifest: dict[str, Any], extracts: list[_Extract], connection: duckdb.DuckDBPyConnection
) -> None:
    present = {extract.path.name: extract for extract in extracts}
    for name, expected in manifest.get("files", {}).items():
        if name not in present:
            raise SchemaError(f"{source}: {MANIFEST} lists {name}, which is missing. Copy the directory again.")
        extract = present[name]
        counted = connection.execute(f"SELECT count(*) FROM {_name(PREFIX + extract.stem)}").fetchone()
        rows = counted[0] if counted else 0
        if rows != expected["rows"]:
            raise SchemaError(
                f"{extract.where}: got {rows} rows, {MANIFEST} says {expected['rows']}. Copy the file again."
            )
        if "sha256" in expected and file_sha256(extract.path) != expected["sha256"]:
            raise SchemaError(f"{extract.where}: its content is not what {MANIFEST} says. Copy the file again.")


def _stamp(connection: duckdb.DuckDBPyConnection, manifest: dict[str, Any]) -> None:
    connection.execute(f"CREATE TABLE {STAMP_TABLE} (key VARCHAR, value VARCHAR)")
    for key, value in sorted(manifest.get("stamp", {}).items()):
        connection.execute(f"INSERT INTO {STAMP_TABLE} VALUES (?, ?)", [str(key), str(value)])


@contextlib.contextmanager
def _reported(where: str) -> Iterator[None]:
    """Re-raise what DuckDB says about a file without the row that it quotes; want of room goes on as it is."""
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as problem:
        if "No space left" in str(problem):
            raise
        raise SchemaError(_sentence(where, str(problem))) from None


def _sentence(where: str, said: str) -> str:
    """Return our words for DuckDB's; only whole numbers are taken from its message."""
    line = re.search(r"CSV Error on Line: (\d+)", said)
    spot = f" line {line[1]}" if line else ""
    columns = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", said)
    if columns:
        cells = f"got {columns[2]} cells, wanted {columns[1]}"
        return f"{where}:{spot}: {cells}; the line is cut or ragged. Export the file again, quoting commas."
    if "unterminated quote" in said:
        return f"{where}:{spot}: a quoted cell does not end; the file is cut. Export the file again."
    if "unicode" in said.lower() or "utf-8" in said.lower():
        return f"{where}:{spot}: not UTF-8. Save the file as UTF-8."
    if "GZIP" in said:
        return f"{where}: the gzip stream ends early or is damaged. Copy the file again."
    if "maximum line size" in said.lower():
        return f"{where}:{spot}: a line is longer than 2 MB; a quote may be missing. Export the file again."
    if line or "CSV" in said:
        return (
            f"{where}:{spot}: not CSV as agreed (commas, double quotes, one kind of line end). Export the file again."
        )
    return f"{where}: cannot be read; it is damaged, in use, or not of the kind its name says. Copy the file again."


def _name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
