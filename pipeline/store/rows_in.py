"""Which rows does one small file hold, be it CSV, Parquet, JSON or YAML?"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

from pipeline.declared import parse_yaml
from pipeline.errors import ConfigError, PipelineError, SchemaError
from pipeline.store.files import decoded, read_bytes
from pipeline.store.records_in import read_table_rows

_TABLES = (".csv", ".csv.gz", ".parquet")
_ROWS = "rows"


def read_rows(path: str | Path, error: type[PipelineError]) -> list[Mapping[Hashable, Any]]:
    """Return the rows of a file by what its name ends in: `.csv`, `.csv.gz`, `.parquet`, `.json`, `.yaml` or `.yml`.

    Parameters
    ----------
    path : path
        A table, or a JSON or YAML list of mappings.
    error : type of PipelineError
        What to raise about the content.

    Returns
    -------
    list of mapping
        Cells of tables are text or None; those of JSON and YAML are as written, dates as text.

    Raises
    ------
    ConfigError
        If there is no such file.
    PipelineError
        `error`, if the file is of another kind, damaged, or not such a list. Never a value of a row.
    """
    name = str(path).lower()
    content = read_bytes(path)
    if name.endswith(_TABLES):
        try:
            return list(read_table_rows(path))
        except SchemaError as problem:
            raise error(str(problem)) from None
    if name.endswith(".json"):
        rows = _json(decoded(content, path, error), str(path), error)
    elif name.endswith((".yaml", ".yml")):
        rows = _yaml(decoded(content, path, error), str(path), error)
    else:
        raise error(f"{path}: got a file of another kind, wanted .csv, .parquet, .json or .yaml. Save it as one.")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise error(f"{path}: wanted a list, each entry a mapping of column to value. Write it so.")
    try:
        json.dumps(rows, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        raise error(f"{path}: holds half a character (a lone surrogate). Write the text as UTF-8.") from None
    return rows


def _json(text: str, where: str, error: type[PipelineError]) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as problem:
        spot = f"line {problem.lineno}, column {problem.colno}"
        raise error(f"{where}: {spot}: not JSON ({problem.msg}). Write a list of objects.") from None
    except (ValueError, RecursionError):
        raise error(f"{where}: a row has the same key twice, or rows inside rows. Write a list of objects.") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError
    return found


def _yaml(text: str, where: str, error: type[PipelineError]) -> Any:
    """Return the list that a text declares; strict YAML is read as a mapping, so the list is given a name first."""
    above, between = (0, " ") if text.lstrip().startswith("[") else (1, "\n")
    try:
        return parse_yaml(f"{_ROWS}:{between}{text.lstrip() if above == 0 else text}", where)[_ROWS]
    except ConfigError as problem:
        spot = re.match(r": line (\d+), column (\d+)", str(problem).removeprefix(where))
        place = f" line {int(spot[1]) - above}, column {spot[2]}:" if spot else ""
        raise error(f"{where}:{place} not strict YAML. Write a list of mappings, without tags or aliases.") from None
