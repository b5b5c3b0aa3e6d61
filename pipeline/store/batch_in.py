"""What does a finished batch of predictions hold, and is it as it was written?"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import SchemaError
from pipeline.store.files import sha256

FORMAT = 3
MANIFEST, SUCCESS = "_manifest.json", "_SUCCESS"
PART = re.compile(r"part-\d{5}\.(parquet|csv)")


def read_predictions(directory: str | Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Return a finished batch, after checking every part against the manifest.

    Parameters
    ----------
    directory : path
    columns : sequence of str or None
        Which to read; None reads all.

    Returns
    -------
    DataFrame, one row per decision and modality
        Columns of `predictions_schema`, or those asked for.

    Raises
    ------
    SchemaError
        If the batch is unfinished or CSV, or a part is missing, changed or added.
    """
    home = Path(directory)
    manifest = manifest_of(home)
    if manifest["identity"].get("format") != "parquet":
        raise SchemaError(f"{home}: got a batch of CSV, wanted Parquet. Score with `--format parquet`.")
    parts = {entry.name for entry in home.iterdir() if entry.name[0] not in "._"}
    if parts != set(manifest["parts"]):
        raise SchemaError(f"{home}: got {len(parts)} parts, the manifest lists {len(manifest['parts'])}. Score again.")
    tables = []
    for name, noted in sorted(manifest["parts"].items()):
        content = (home / name).read_bytes()
        if sha256(content) != noted["sha256"]:
            raise SchemaError(f"{home}: {name} is not the file that was written. Score again.")
        tables.append(pq.read_table(pa.BufferReader(content), columns=None if columns is None else list(columns)))
    frame: pd.DataFrame = pa.concat_tables(tables).to_pandas()
    return frame


def batch_identity(directory: str | Path) -> dict[str, Any]:
    """Return by what a finished batch was scored: digests of model, rules, records and overrides, and its options.

    Raises
    ------
    SchemaError
        If the batch is unfinished, or its manifest changed.
    """
    return dict(manifest_of(Path(directory))["identity"])


def manifest_of(home: Path) -> dict[str, Any]:
    """Return the manifest of a finished batch.

    Raises
    ------
    SchemaError
        If the batch is unfinished, or its manifest changed.
    """
    try:
        said = (home / SUCCESS).read_text().strip()
        content = (home / MANIFEST).read_bytes()
    except (OSError, ValueError):
        raise SchemaError(
            f"{home}: got no finished batch of predictions. Run `mmrank predict`, or resume it."
        ) from None
    if sha256(content) != said:
        raise SchemaError(f"{home}: {MANIFEST} is not the one that was written. Score again into another folder.")
    return document_of(home / MANIFEST)


def document_of(path: Path) -> dict[str, Any]:
    """Return what stands in a manifest or a note of progress.

    Raises
    ------
    SchemaError
        If it is damaged or of another version.
    """
    with contextlib.suppress(OSError, ValueError, RecursionError):
        document = json.loads(path.read_bytes())
        if isinstance(document, dict) and document.get("format") == FORMAT:
            parts, identity = document.get("parts"), document.get("identity")
            if isinstance(parts, dict) and isinstance(identity, dict) and all(map(PART.fullmatch, parts)):
                return document
    raise SchemaError(f"{path}: damaged, or of another version. Score again into another folder.")
