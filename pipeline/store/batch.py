"""How does a batch of predictions end up complete, once, or not at all?

Parts are written into `_unfinished/` one by one, each flushed, read back and noted in
`progress.json` before it counts. When all are there the manifest is written, the parts
are moved beside it, and `_SUCCESS` says that everything stands. Names that begin with
an underscore are skipped by pandas and pyarrow, so an unfinished batch reads as empty.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ConfigError, ModelMismatchError, PipelineError, SchemaError
from pipeline.store.files import (
    canonical_json,
    file_sha256,
    flush_folder,
    make_folder,
    reported_by,
    sha256,
    write_bytes,
    write_json,
)
from pipeline.store.locks import acquire, release
from pipeline.store.prediction_tables import parquet_bytes, prediction_table, predictions_schema

FORMAT = 1
LOCK, UNFINISHED, MANIFEST, SUCCESS = "_lock", "_unfinished", "_manifest.json", "_SUCCESS"
PROGRESS = "progress.json"
_PART = re.compile(r"part-\d{5}\.parquet")
_TEMPORARY = re.compile(r"_.*\.tmp")


class BatchWriter:
    """Writes the parts of one batch into one folder, holding its lock until closed.

    Parameters
    ----------
    out : path
        A new or empty folder, or with `resume` one that holds the same batch, begun or finished.
    identity : mapping
        What is scored by what: digests of model, rules and records, and the options. Kept in the manifest.
    decisions_per_part : int
        Belongs to the identity, because it decides which decision is in which part.
    resume : bool
        Go on with what is there.

    Attributes
    ----------
    done_parts : frozenset of int
        Parts that are on the disk and need not be scored again.
    finished : bool
        The whole batch stands already; there is nothing to do.

    Raises
    ------
    LockedError
        If another run writes there.
    ConfigError
        If the folder holds anything else, or a batch and `resume` is not asked for.
    ModelMismatchError
        If model, rules, records or options differ from those of the parts already there.
    """

    def __init__(
        self, out: str | Path, *, identity: Mapping[str, Any], decisions_per_part: int, resume: bool = False
    ) -> None:
        if decisions_per_part < 1:
            raise ConfigError(f"decisions per part: got {decisions_per_part}, wanted at least 1.")
        self._out = Path(out)
        self._unfinished = self._out / UNFINISHED
        self._identity: dict[str, Any] = json.loads(
            canonical_json({**identity, "decisions_per_part": decisions_per_part})
        )
        self._parts: dict[str, dict[str, Any]] = {}
        self.finished = False
        self._lock: int | None = acquire(self._out / LOCK)
        try:
            self._begin(resume)
        except BaseException:
            self.close()
            raise

    @property
    def done_parts(self) -> frozenset[int]:
        """Numbers of the parts that are on the disk, checked."""
        return frozenset(int(name[5:10]) for name in self._parts)

    def write_part(self, index: int, frame: pd.DataFrame) -> None:
        """Write the predictions of one part: whole decisions, those of part 0 before those of part 1 by decision_id.

        Raises
        ------
        ValueError
            If the frame breaks the predictions contract, or the part was written before.
        PipelineError
            If the disk fails; the part then does not count.
        """
        self.write_table(index, prediction_table(frame))

    def write_table(self, index: int, table: pa.Table) -> None:
        """Write one part that already is a table of `prediction_table`; see `write_part`.

        Raises
        ------
        ValueError
            If the table is not of the contract's types, or the part was written before.
        PipelineError
            If the disk fails; the part then does not count.
        """
        if self._lock is None or self.finished or index in self.done_parts:
            raise ValueError(f"part {index}: got a second or late write, wanted each part once while the batch is open")
        if not 0 <= index <= 99_999:
            raise ValueError(f"part {index}: wanted a number from 0 to 99999")
        if table.schema != predictions_schema():
            raise ValueError(f"part {index}: the table does not have the columns and types of the predictions contract")
        name = f"part-{index:05d}.parquet"
        content = parquet_bytes(table)
        digest = sha256(content)
        path = self._unfinished / name
        write_bytes(path, content)
        with reported_by(path):
            back = file_sha256(path)
        if back != digest:
            path.unlink()
            raise PipelineError(f"{path}: read back other bytes than were written. Mend the disk, then resume.")
        decisions = table["decision_id"].combine_chunks().unique()
        self._parts[name] = {
            "bytes": len(content), "decisions": len(decisions), "rows": table.num_rows, "sha256": digest,
        }  # fmt: skip
        try:
            self._note_progress()
        except BaseException:
            del self._parts[name]
            raise

    def finish(self, parts: int) -> Path:
        """Publish the batch: manifest, parts, `_SUCCESS`, in this order.

        Parameters
        ----------
        parts : int
            How many parts the batch has; 0 gives one empty part, so that a reader finds the columns.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        ValueError
            If a part is missing or not of this batch, or decisions are not in order across parts.
        PipelineError
            If the disk fails; resume then publishes.
        """
        if self.finished:
            return self._out
        if parts == 0 and not self._parts:
            self.write_table(0, predictions_schema().empty_table())
        wanted = frozenset(range(max(parts, 1)))
        if self.done_parts != wanted:
            raise ValueError(
                f"batch: got {len(self.done_parts & wanted)} of {len(wanted)} parts; write the others first"
            )
        self._check_order()
        manifest = {"format": FORMAT, "identity": self._identity, "parts": self._parts, **self._totals()}
        content = write_json(self._out / MANIFEST, manifest)
        with reported_by(self._out):
            for name in sorted(self._parts):
                if (self._unfinished / name).exists():
                    (self._unfinished / name).replace(self._out / name)
            flush_folder(self._out)
        write_bytes(self._out / SUCCESS, f"{sha256(content)}\n".encode())
        self.finished = True
        shutil.rmtree(self._unfinished, ignore_errors=True)
        return self._out

    def close(self) -> None:
        """Give the lock back. What is written stays, and can be resumed."""
        if self._lock is not None:
            release(self._out / LOCK, self._lock)
            self._lock = None

    def __enter__(self) -> BatchWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self, resume: bool) -> None:
        names = {entry.name for entry in self._out.iterdir()} - {LOCK}
        temporary = {name for name in names if _TEMPORARY.fullmatch(name)}
        names -= temporary
        foreign = [name for name in names if not _PART.fullmatch(name) and name not in (UNFINISHED, MANIFEST, SUCCESS)]
        published = SUCCESS in names
        begun = (self._unfinished / PROGRESS).exists()
        if foreign or (not published and not begun and names - {UNFINISHED}):
            raise ConfigError(
                f"{self._out}: got a folder with {len(names)} entries that are no batch, wanted a new or empty one. "
                "Choose another folder."
            )
        if (published or begun) and not resume:
            state = "a finished" if published else "an unfinished"
            raise ConfigError(f"{self._out}: holds {state} batch. Choose another folder, or go on with --resume.")
        if published:
            self._adopt(_manifest(self._out))
            self.finished = self.done_parts == frozenset(range(len(_manifest(self._out)["parts"])))
            if not self.finished:
                raise SchemaError(f"{self._out}: a part of the finished batch is damaged. Score into another folder.")
        elif begun:
            self._adopt(_document(self._unfinished / PROGRESS))
        for name in temporary:
            (self._out / name).unlink(missing_ok=True)
        if self.finished:
            shutil.rmtree(self._unfinished, ignore_errors=True)
            return
        make_folder(self._unfinished)
        for entry in self._unfinished.iterdir():
            if entry.name not in self._parts and entry.name != PROGRESS:
                entry.unlink()
        self._note_progress()

    def _adopt(self, found: dict[str, Any]) -> None:
        """Take over the parts that are on the disk as noted, if they are of the same batch."""
        before = found["identity"]
        changed = sorted(key for key in {*before, *self._identity} if before.get(key) != self._identity.get(key))
        if changed:
            raise ModelMismatchError(
                f"{self._out}: {', '.join(changed)} changed since its first part was written. "
                "Resume with what it was begun with, or choose another folder."
            )
        for name, noted in found["parts"].items():
            for place in (self._unfinished / name, self._out / name):
                if place.is_file() and file_sha256(place) == noted["sha256"]:
                    self._parts[name] = noted
                    break

    def _note_progress(self) -> None:
        progress = {"format": FORMAT, "identity": self._identity, "parts": self._parts}
        write_json(self._unfinished / PROGRESS, progress)

    def _totals(self) -> dict[str, int]:
        return {key: sum(part[key] for part in self._parts.values()) for key in ("decisions", "rows")}

    def _check_order(self) -> None:
        """Refuse a decision that stands in two parts: parts must follow each other by decision_id."""
        last: str | None = None
        for name in sorted(self._parts):
            path = next(place / name for place in (self._unfinished, self._out) if (place / name).exists())
            with reported_by(path):
                ids = pq.read_table(path, columns=["decision_id"])["decision_id"]
            if len(ids) == 0:
                continue
            if last is not None and ids[0].as_py() <= last:
                raise ValueError(
                    f"batch: {name} begins before the part ahead of it ends; sort decisions by decision_id"
                )
            last = ids[-1].as_py()


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
        If the batch is unfinished, or a part is missing, changed or added.
    """
    home = Path(directory)
    manifest = _manifest(home)
    present = {entry.name for entry in home.iterdir() if entry.name[0] not in "._"}
    if present != set(manifest["parts"]):
        raise SchemaError(
            f"{home}: got {len(present)} parts, the manifest lists {len(manifest['parts'])}. Score again."
        )
    tables = []
    for name, noted in sorted(manifest["parts"].items()):
        content = (home / name).read_bytes()
        if sha256(content) != noted["sha256"]:
            raise SchemaError(f"{home}: {name} is not the file that was written. Score again.")
        tables.append(pq.read_table(pa.BufferReader(content), columns=None if columns is None else list(columns)))
    frame: pd.DataFrame = pa.concat_tables(tables).to_pandas()
    return frame


def _manifest(home: Path) -> dict[str, Any]:
    try:
        said = (home / SUCCESS).read_text().strip()
        content = (home / MANIFEST).read_bytes()
    except (OSError, ValueError):
        raise SchemaError(
            f"{home}: got no finished batch of predictions. Run `mmrank predict`, or resume it."
        ) from None
    if sha256(content) != said:
        raise SchemaError(f"{home}: {MANIFEST} is not the one that was written. Score again into another folder.")
    return _document(home / MANIFEST)


def _document(path: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError, RecursionError):
        document = json.loads(path.read_bytes())
        if isinstance(document, dict) and document.get("format") == FORMAT:
            parts, identity = document.get("parts"), document.get("identity")
            if isinstance(parts, dict) and isinstance(identity, dict) and all(map(_PART.fullmatch, parts)):
                return document
    raise SchemaError(f"{path}: damaged, or of another version. Score again into another folder.")
