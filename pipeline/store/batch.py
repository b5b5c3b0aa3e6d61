"""How does a batch of predictions end up complete, once, or not at all?

All of it is made in a hidden folder beside the place where it will stand, `.NAME.unfinished`: parts one by one, each
flushed, read back and noted in `progress.json` before it counts; then what stands beside them, the manifest and
`_SUCCESS`. One rename of the whole folder then publishes it, so that whoever reads the place, with or without looking
for `_SUCCESS`, finds the whole batch or no folder (or the empty one that stood there).
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from collections.abc import Collection, Mapping
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.errors import ConfigError, ModelMismatchError, PipelineError, SchemaError
from pipeline.store.batch_in import FORMAT, MANIFEST, PART, SUCCESS, document_of, manifest_of
from pipeline.store.batch_place import close_alike, emptied, refuse_what_stays, staging_of
from pipeline.store.files import (
    canonical_json,
    file_sha256,
    flush_folder,
    folder_to_write,
    make_folder,
    reported_by,
    sha256,
    write_bytes,
    write_json,
)
from pipeline.store.locks import acquire, release
from pipeline.store.prediction_tables import Kind, Part, part_of, predictions_schema

LOCK, PROGRESS, WHOLE = "_lock", "progress.json", "whole"
BESIDE = ("_shift.json", "_shift.html")
"""What may be written beside the parts; pandas and pyarrow skip names that begin with an underscore."""
MOST_PARTS = 100_000


class BatchWriter:
    """Writes the parts of one batch into one folder, holding its lock until closed.

    Parameters
    ----------
    out : path
        A new or empty folder, or with `resume` one whose batch is the same, begun or finished. No mount point, nor the
        folder that the program runs in, since neither can be renamed into place.
    identity : mapping
        What is scored by what: digests of model, rules and records, and the options. Kept in the manifest.
    later : collection of str
        Names of what belongs to the identity and is known only once the records are read; `learn` gives them.
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
        If the path cannot become a folder of predictions, or holds anything else, or a batch was begun or finished
        there and `resume` is not asked for.
    ModelMismatchError
        If model, rules, records or options differ from those of the parts already there.
    """

    def __init__(
        self,
        out: str | Path,
        *,
        identity: Mapping[str, Any],
        later: Collection[str] = (),
        decisions_per_part: int,
        kind: Kind = "parquet",
        resume: bool = False,
    ) -> None:
        if decisions_per_part < 1:
            raise ConfigError(f"decisions per part: got {decisions_per_part}, wanted at least 1.")
        self._out = folder_to_write(out)
        self._home = Path(os.path.realpath(out))
        refuse_what_stays(self._out, self._home)
        self._staging = staging_of(out)
        self._whole = self._staging / WHOLE
        self._kind = kind
        whole = {**identity, "decisions_per_part": decisions_per_part, "format": kind}
        self._identity: dict[str, Any] = json.loads(canonical_json(whole))
        self._later = frozenset(later)
        self._before: dict[str, Any] | None = None
        self._parts: dict[str, dict[str, Any]] = {}
        self.finished = False
        self._made = [place for place in self._home.parents if not place.exists()]
        self._lock: int | None = acquire(self._staging / LOCK, of=self._out)
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

    def learn(self, identity: Mapping[str, Any]) -> None:
        """Take what is known only once the records are read.

        Parameters
        ----------
        identity : mapping
            All that was announced as `later`.

        Raises
        ------
        ValueError
            If it is anything else.
        ModelMismatchError
            If it differs from that of the parts already there.
        """
        if identity.keys() != self._later:
            raise ValueError(f"batch: got {sorted(identity)}, wanted {sorted(self._later)}")
        self._identity |= json.loads(canonical_json({**identity}))
        self._later = frozenset()
        self._refuse_changes()

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
        if self._later:
            raise ValueError(f"part {index}: {sorted(self._later)} not known yet; wanted before the first part")
        if not 0 <= index < MOST_PARTS:
            raise ValueError(f"part {index}: wanted a number from 0 to {MOST_PARTS - 1}")
        if part.kind != self._kind:
            raise ValueError(f"part {index}: got {part.kind}, wanted {self._kind}")
        name = f"part-{index:05d}.{self._kind}"
        digest = sha256(part.content)
        path = self._whole / name
        self._make_place()
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
        """Publish the batch by one rename, once what stands beside it, manifest and `_SUCCESS` are on the disk too.

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
        self._refuse_lost()
        noted = {}
        for name, bytes_beside in sorted((beside or {}).items()):
            write_bytes(self._whole / name, bytes_beside)
            noted[name] = {"bytes": len(bytes_beside), "sha256": sha256(bytes_beside)}
        # The first and last decision of a part are noted while it matters; the manifest holds no identifier.
        parts_told = {name: {key: part[key] for key in part if key != "ends"} for name, part in self._parts.items()}
        manifest = {
            "format": FORMAT, "identity": self._identity, "parts": parts_told, "beside": noted, **self._totals(),
        }  # fmt: skip
        content = write_json(self._whole / MANIFEST, manifest)
        write_bytes(self._whole / SUCCESS, f"{sha256(content)}\n".encode())
        with reported_by(self._out):
            self._whole.replace(self._home)
            flush_folder(self._home.parent)
        self.finished = True
        emptied(self._staging, but=LOCK)
        return self._out

    def close(self) -> None:
        """Give the lock back. What is written stays, and can be resumed."""
        if self._lock is not None:
            release(self._staging / LOCK, self._lock)
            self._lock = None
            with contextlib.suppress(OSError):  # it stays where parts wait to be gone on with
                for place in (self._staging, *self._made):
                    place.rmdir()

    def __enter__(self) -> BatchWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self, resume: bool) -> None:
        names = {entry.name for entry in self._home.iterdir()} if self._home.is_dir() else set()
        published = SUCCESS in names
        strangers = {name for name in names if not PART.fullmatch(name)} - {MANIFEST, SUCCESS, *BESIDE}
        if strangers or (names and not published):
            raise ConfigError(
                f"{self._out}: got a folder with {len(names)} entries that are no batch, wanted a new or empty one. "
                "Choose another folder."
            )
        if published and not self._whole.exists():  # nothing else than a run killed right after its rename leaves this
            emptied(self._staging, but=LOCK)
        begun = (self._staging / PROGRESS).exists()
        if published and not resume:
            raise ConfigError(f"{self._out}: holds a finished batch. Choose another folder, or check it with --resume.")
        if begun and not resume:
            raise ConfigError(
                f"{self._out}: holds an unfinished batch, in {self._staging.name} beside it. Choose another folder, or "
                "go on with --resume."
            )
        if published:
            self._adopt(manifest_of(self._home), self._home)
            self.finished = True
            return
        if begun:
            self._adopt(document_of(self._staging / PROGRESS), self._whole)
        if self._home.is_dir() and not os.access(self._home, os.W_OK):
            raise ConfigError(f"{self._out}: got a folder that may not be written. Choose another.")
        close_alike(self._staging, self._home, self._out)
        with reported_by(self._out):
            for entry in self._whole.iterdir() if self._whole.is_dir() else ():
                if entry.name not in self._parts:
                    entry.unlink()

    def _adopt(self, found: dict[str, Any], place: Path) -> None:
        """Take over the parts that are on the disk as noted, if they are of the same batch."""
        self._before = found["identity"]
        self._refuse_changes()
        for name, noted in found["parts"].items():
            if _is_as_noted(place / name, noted):
                self._parts[name] = noted
        if place != self._home:
            return
        beside = found.get("beside", {})
        files = {*found["parts"], *beside}
        whole = {*self._parts, *(name for name, noted in beside.items() if _is_as_noted(place / name, noted))}
        if damaged := sorted(files - whole):
            raise SchemaError(
                f"{self._out}: finished, but {', '.join(damaged[:5])} of {len(files)} files "
                f"{'is' if len(damaged) == 1 else 'are'} not as written. Score into another folder."
            )

    def _refuse_changes(self) -> None:
        """Refuse a batch that was begun by another identity, as far as this one is known."""
        if self._before is None:
            return
        keys = {*self._before, *self._identity} - self._later
        if changed := sorted(key for key in keys if self._before.get(key) != self._identity.get(key)):
            raise ModelMismatchError(
                f"{self._out}: {', '.join(changed)} changed since its first part was written. "
                "Resume with what it was begun with, or choose another folder."
            )

    def _make_place(self) -> None:
        """Make the folder that becomes the batch, no more open to others than an empty one that waits in its place."""
        make_folder(self._whole)
        close_alike(self._whole, self._home, self._out)

    def _refuse_lost(self) -> None:
        """Refuse to publish where a part has gone or changed its size since it was written."""
        with reported_by(self._whole):
            there = {entry.name: entry.stat().st_size for entry in self._whole.iterdir()}
        lost = sorted(name for name, noted in self._parts.items() if there.get(name) != noted["bytes"])
        if lost:
            raise PipelineError(
                f"{self._whole}: {', '.join(lost[:5])} {'is' if len(lost) == 1 else 'are'} no longer as written. "
                "Keep others out of that folder, then go on with --resume."
            )

    def _note_progress(self) -> None:
        progress = {"format": FORMAT, "identity": self._identity, "parts": self._parts}
        write_json(self._staging / PROGRESS, progress)

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


def _is_as_noted(path: Path, noted: Mapping[str, Any]) -> bool:
    return path.is_file() and file_sha256(path) == noted["sha256"]
