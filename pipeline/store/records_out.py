"""How are simulated records written so that they read back as the same records?"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ConfigError, SchemaError
from pipeline.store.files import canonical_json, flush_folder, make_folder, reported_by, sha256, write_bytes
from pipeline.store.records_in import MANIFEST

MADE_BY = "mmrank"


def write_records(
    tables: Mapping[str, pd.DataFrame], out: str | Path, *, stamp: Mapping[str, str] | None = None
) -> None:
    """Write tables as `<name>.parquet` with a manifest of rows and SHA-256, wholly or not at all.

    Parameters
    ----------
    tables : mapping of table name to DataFrame
        Written as they are, without index; same tables, same bytes.
    out : path
        New, empty, or a directory that this function wrote earlier and nobody added to (it is replaced).
    stamp : mapping of str to str, optional
        Said about the whole, for example `{"simulated": "true"}`; kept in the manifest and in every file.

    Raises
    ------
    ConfigError
        If `out` holds anything else.
    """
    target = Path(out)
    _check_replaceable(target)
    said = dict(stamp or {})
    make_folder(target.parent)
    with reported_by(target):
        staging = Path(tempfile.mkdtemp(prefix=f"_{target.name}.", suffix=".tmp", dir=target.parent))
    try:
        listed = {}
        for name, frame in sorted(tables.items()):
            content = _parquet_bytes(frame, said)
            write_bytes(staging / f"{name}.parquet", content)
            listed[f"{name}.parquet"] = {"rows": len(frame), "sha256": sha256(content)}
        write_bytes(staging / MANIFEST, canonical_json({"made_by": MADE_BY, "stamp": said, "files": listed}))
        with reported_by(target):
            staging.chmod(0o755)
            if target.exists():
                shutil.rmtree(target)
            staging.replace(target)
            flush_folder(target.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _check_replaceable(target: Path) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise ConfigError(f"{target}: got a file, wanted a folder to write records into. Choose another path.")
    present = {entry.name for entry in target.iterdir()}
    if present and not (present <= _own_files(target) | {MANIFEST}):
        raise ConfigError(
            f"{target}: got a folder with {len(present)} entries that are not simulated records, "
            "wanted a new or empty one. Choose another folder."
        )


def _own_files(target: Path) -> set[str]:
    try:
        document: Any = json.loads((target / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return set()
    if not isinstance(document, dict) or document.get("made_by") != MADE_BY:
        return set()
    files = document.get("files")
    return set(files) if isinstance(files, dict) else set()


def _parquet_bytes(frame: pd.DataFrame, stamp: Mapping[str, str]) -> bytes:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    metadata = {key.encode(): value.encode() for key, value in sorted(stamp.items())}
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.replace_schema_metadata(metadata or None), sink, compression="zstd", row_group_size=122_880, version="2.6"
    )
    return bytes(sink.getvalue())


def read_table(records: str | Path, name: str) -> pd.DataFrame:
    """Return one table of records that `write_records` wrote.

    Raises
    ------
    SchemaError
        If there is no such table.
    """
    path = Path(records) / f"{name}.parquet"
    if not path.is_file():
        raise SchemaError(f"{path}: no such table. Write the records with `mmrank simulate`.")
    with reported_by(path):
        return pd.read_parquet(path)
