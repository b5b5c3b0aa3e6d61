"""How does a batch of predictions end up complete, once, or not at all?

Parts are written into `_unfinished/parts/` one by one, each flushed, read back and noted in
`progress.json` before it counts. When all are there the manifest is written, the parts are
moved beside it, whole files one after the other, and `_SUCCESS` says that everything stands.
Names that begin with an underscore are skipped by pandas and pyarrow, so an unfinished batch
reads as empty; only who reads without looking for `_SUCCESS`, in the moment of the moves, can
find some of the parts.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
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
from pipeline.store.prediction_tables import Kind, Part, part_of, predictions_schema

FORMAT = 3
LOCK, UNFINISHED, MANIFEST, SUCCESS = "_lock", "_unfinished", "_manifest.json", "_SUCCESS"
PARTS, PROGRESS = "parts", "progress.json"
BESIDE = ("_shift.json", "_shift.html")
"""What may be written beside the parts; pandas and pyarrow skip names that begin with an underscore."""
MOST_PARTS = 100_000
_PART = re.compile(r"part-\d{5}\.(parquet|csv)")
_TEMPORARY = re.compile(r"__(manifest\.json|SUCCESS|shift\.json|shift\.html)\..*\.tmp")


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
    kind : {'parquet', 'csv'}
        Belongs to the identity too.
    resume : bool
        Go on with what is there.

    Attributes
    ----------
    done_parts : frozenset of int
        Parts that are on the disk and need not be scored again.
    decisions : int
    statuses : dict of status to count of rows
    abstained : dict of abstain reason to count of rows
        All of the parts that are on the disk.
    finished : bool
        The whole batch stands already; there is nothing to do.

    Raises
    ------
    LockedError
        If another run writes there.
    ConfigError
        If the path is no folder, or one that holds anything else, or a batch and `resume` is not asked for.
    ModelMismatchError
        If model, rules, records or options differ from those of the parts already there.
    """

    def __init__(
        self,
        out: str | Path,
        *,
        identity: Mapping[str, Any],
        decisions_per_part: int,
        kind: Kind = "parquet",
        resume: bool = False,
    ) -> None:
        if decisions_per_part < 1:
            raise ConfigError(f"decisions per part: got {decisions_per_part}, wanted at least 1.")
        self._out = Path(out)
        self._kind = kind
        self._unfinished = self._out / UNFINISHED
        whole = {**identity, "decisions_per_part": decisions_per_part, "format": kind}
        self._identity: dict[str, Any] = json.loads(canonical_json(whole))
        self._parts: dict[str, dict[str, Any]] = {}
        self.finished = False
        _refuse_files(self._out)
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

    @property
    def decisions(self) -> int:
        """Decisions in the parts that are on the disk."""
        return self._totals()["decisions"]

    @property
    def statuses(self) -> dict[str, int]:
        """Rows of each status, over the parts that are on the disk."""
        return self._counted("statuses")

    @property
    def abstained(self) -> dict[str, int]:
        """Rows of each abstain reason, over the parts that are on the disk."""
        return self._counted("abstained")

    def _counted(self, key: str) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for part in self._parts.values():
            counts.update(part[key])
        return dict(counts)

    def write_part(self, index: int, part: Part) -> None:
        """Write one part: whole decisions, those of part 0 before those of part 1 by decision_id.

        Raises
        ------
        ValueError
            If the part was written before, or is of another kind than the batch.
        PipelineError
            If the disk fails; the part then does not count.
        """
        if self._lock is None or self.finished or index in self.done_parts:
            raise ValueError(f"part {index}: got a second or late write, wanted each part once while the batch is open")
        if not 0 <= index < MOST_PARTS:
            raise ValueError(f"part {index}: wanted a number from 0 to {MOST_PARTS - 1}")
        if part.kind != self._kind:
            raise ValueError(f"part {index}: got {part.kind}, wanted {self._kind}")
        name = f"part-{index:05d}.{self._kind}"
        digest = sha256(part.content)
        path = self._unfinished / PARTS / name
        write_bytes(path, part.content)
        with reported_by(path):
            back = file_sha256(path)
        if back != digest:
            path.unlink()
            raise PipelineError(f"{path}: read back other bytes than were written. Mend the disk, then resume.")
        self._parts[name] = {
            "bytes": len(part.content), "decisions": part.decisions, "rows": part.rows, "sha256": digest,
            "statuses": dict(part.statuses), "abstained": dict(part.abstained), "ends": part.ends,
        }  # fmt: skip
        try:
            self._note_progress()
        except BaseException:
            del self._parts[name]
            raise

    def finish(self, parts: int, beside: Mapping[str, bytes] | None = None) -> Path:
        """Publish the batch: what stands beside it, manifest, parts, `_SUCCESS`, in this order.

        Parameters
        ----------
        parts : int
            How many parts the batch has; 0 gives one empty part, so that a reader finds the columns.
        beside : mapping of file name to bytes, or None
            Names of `BESIDE`.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        ValueError
            If a part is missing or not of this batch, decisions are not in order across parts, or something else is
            to stand beside them.
        PipelineError
            If the disk fails; resume then publishes.
        """
        if self.finished:
            return self._out
        if parts == 0 and not self._parts:
            self.write_part(0, part_of(predictions_schema().empty_table(), self._kind))
        wanted = frozenset(range(max(parts, 1)))
        if self.done_parts != wanted:
            raise ValueError(
                f"batch: got {len(self.done_parts & wanted)} of {len(wanted)} parts; write the others first"
            )
        self._check_order()
        if strangers := sorted(set(beside or {}) - set(BESIDE)):
            raise ValueError(f"batch: {', '.join(strangers)}: wanted only {', '.join(BESIDE)} beside the parts")
        for name, bytes_beside in sorted((beside or {}).items()):
            write_bytes(self._out / name, bytes_beside)
        # The first and last decision of a part are noted while it matters; the manifest holds no identifier.
        parts_told = {name: {key: part[key] for key in part if key != "ends"} for name, part in self._parts.items()}
        manifest = {"format": FORMAT, "identity": self._identity, "parts": parts_told, **self._totals()}
        content = write_json(self._out / MANIFEST, manifest)
        with reported_by(self._out):
            for name in sorted(self._parts):
                (self._unfinished / PARTS / name).replace(self._out / name)
            flush_folder(self._unfinished / PARTS)
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
        published = SUCCESS in names
        begun = (self._unfinished / PROGRESS).exists()
        moved = {name for name in names if _PART.fullmatch(name)} if published or begun else set()
        if names - moved - ({UNFINISHED, MANIFEST, SUCCESS, *BESIDE} if published or begun else {UNFINISHED}):
            raise ConfigError(
                f"{self._out}: got a folder with {len(names)} entries that are no batch, wanted a new or empty one. "
                "Choose another folder."
            )
        if (published or begun) and not resume:
            state, rest = ("a finished", "check it") if published else ("an unfinished", "go on")
            raise ConfigError(f"{self._out}: holds {state} batch. Choose another folder, or {rest} with --resume.")
        if published:
            manifest = _manifest(self._out)
            self._adopt(manifest, self._out)
            if damaged := sorted(manifest["parts"].keys() - self._parts.keys()):
                raise SchemaError(
                    f"{self._out}: finished, but {', '.join(damaged[:5])} of {len(manifest['parts'])} parts "
                    f"{'is' if len(damaged) == 1 else 'are'} not as written. Score into another folder."
                )
            self.finished = True
        elif begun:
            with reported_by(self._out):
                make_folder(self._unfinished / PARTS)
                for name in sorted(moved):
                    (self._out / name).replace(self._unfinished / PARTS / name)
            self._adopt(_document(self._unfinished / PROGRESS), self._unfinished / PARTS)
        for name in temporary:
            (self._out / name).unlink(missing_ok=True)
        if self.finished:
            shutil.rmtree(self._unfinished, ignore_errors=True)
            return
        make_folder(self._unfinished / PARTS)
        for entry in (self._unfinished / PARTS).iterdir():
            if entry.name not in self._parts:
                entry.unlink()
        self._note_progress()

    def _adopt(self, found: dict[str, Any], place: Path) -> None:
        """Take over the parts that are on the disk as noted, if they are of the same batch."""
        before = found["identity"]
        changed = sorted(key for key in {*before, *self._identity} if before.get(key) != self._identity.get(key))
        if changed:
            raise ModelMismatchError(
                f"{self._out}: {', '.join(changed)} changed since its first part was written. "
                "Resume with what it was begun with, or choose another folder."
            )
        for name, noted in found["parts"].items():
            if (place / name).is_file() and file_sha256(place / name) == noted["sha256"]:
                self._parts[name] = noted

    def _note_progress(self) -> None:
        progress = {"format": FORMAT, "identity": self._identity, "parts": self._parts}
        write_json(self._unfinished / PROGRESS, progress)

    def _totals(self) -> dict[str, int]:
        return {key: sum(part[key] for part in self._parts.values()) for key in ("decisions", "rows")}

    def _check_order(self) -> None:
        """Refuse a decision that stands in two parts: parts must follow each other by decision_id."""
        filled = [(name, self._parts[name]["ends"]) for name in sorted(self._parts) if self._parts[name]["ends"]]
        for (_, ahead), (name, ends) in pairwise(filled):
            if ends[0] <= ahead[1]:
                raise ValueError(
                    f"batch: {name} begins before the part ahead of it ends; sort decisions by decision_id"
                )


def _refuse_files(out: Path) -> None:
    """Refuse a path on which, or above which, a file stands."""
    standing = next(place for place in (out, *out.absolute().parents) if place.exists())
    if not standing.is_dir():
        raise ConfigError(f"{standing}: got a file, wanted a folder to write predictions into. Choose another path.")


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
    manifest = _manifest(home)
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
    return dict(_manifest(Path(directory))["identity"])


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
