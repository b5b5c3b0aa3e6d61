"""How is a whole trained model damaged? Drawn: bytes, files, names, kinds of files, the manifest.

Each damage changes a copy of a model directory. Most leave a manifest that no longer fits; `rehashed` makes it fit
again, as somebody would who can write the directory and knows how it is made.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.store.files import canonical_json, sha256
from pipeline.store.model_files import MANIFEST

Damage = Callable[[Path, Path, np.random.Generator], str]
"""Gets the directory, another valid model of the same files, and chance; returns the file that it hurt."""
PARSERS = ("json.loads", "numpy.load", "lightgbm.Booster")
BLOCK = 4096


class ParserTouchedError(BaseException):
    """Something of the model was parsed; no handler of errors takes it for an expected one."""


@contextmanager
def tripwires(*names: str) -> Iterator[None]:
    """Make parsers raise as soon as they are asked; reading the manifest itself stays allowed."""
    real = json.loads

    def stop(*_: Any, **__: Any) -> Any:
        raise ParserTouchedError

    def loads(text: Any, **more: Any) -> Any:
        if sys._getframe(1).f_globals["__name__"] != "pipeline.store.model_files":
            raise ParserTouchedError
        return real(text, **more)

    with pytest.MonkeyPatch.context() as patch:
        for name in names or PARSERS:
            patch.setattr(name, loads if name == "json.loads" else stop)
        yield


def files_of(home: Path) -> list[str]:
    """Return the names of the files of a model, the manifest among them."""
    return sorted(entry.name for entry in home.iterdir())


def rehashed(home: Path) -> None:
    """Write a manifest that fits what now is in the directory."""
    held = {name: (home / name).read_bytes() for name in files_of(home) if name != MANIFEST}
    listed = {name: {"bytes": len(content), "sha256": sha256(content)} for name, content in held.items()}
    (home / MANIFEST).write_bytes(canonical_json({"format": 1, "files": listed}))


def damaged(source: Path, home: Path, other: Path, kind: str, seed: int) -> str:
    """Make a damaged copy of a model and return the file that was hurt; a draw that changes nothing is drawn again."""
    rng = np.random.default_rng([seed, list(DAMAGES).index(kind)])
    while True:
        shutil.copytree(source, home)
        hurt = DAMAGES[kind](home, other, rng)
        if state_of(home) != state_of(source):
            return hurt
        shutil.rmtree(home)


def state_of(home: Path) -> dict[str, bytes | str]:
    """Return what a directory holds: bytes of files, and what the rest is."""
    return {
        entry.name: entry.read_bytes() if entry.is_file() and not entry.is_symlink() else "no file"
        for entry in home.iterdir()
    }


def _drawn(home: Path, rng: np.random.Generator) -> Path:
    """Return one of the files, the manifest among them."""
    return home / str(rng.choice(files_of(home)))


def _two(home: Path, rng: np.random.Generator) -> tuple[Path, Path]:
    first, second = rng.choice(files_of(home), 2, replace=False)
    return home / str(first), home / str(second)


def _bytes(change: Callable[[bytearray, int, np.random.Generator], bytearray]) -> Damage:
    """Return a damage of one file's bytes at a random place."""

    def hurt(home: Path, _: Path, rng: np.random.Generator) -> str:
        path = _drawn(home, rng)
        content = bytearray(path.read_bytes())
        path.write_bytes(change(content, int(rng.integers(len(content))), rng))
        return path.name

    return hurt


def _bit_flipped(content: bytearray, spot: int, rng: np.random.Generator) -> bytearray:
    content[spot] ^= 1 << int(rng.integers(8))
    return content


def _digit_changed(content: bytearray, spot: int, rng: np.random.Generator) -> bytearray:
    """Change a digit near the place: the file stays well-formed and says another number."""
    digits = [place for place in range(spot, len(content)) if chr(content[place]).isdigit()] or [spot]
    content[digits[0]] = ord("0") + (content[digits[0]] - ord("0") + int(rng.integers(1, 10))) % 10
    return content


def _block_zeroed(content: bytearray, spot: int, _: np.random.Generator) -> bytearray:
    start = spot - spot % BLOCK
    content[start : start + BLOCK] = bytes(len(content[start : start + BLOCK]))
    return content


def _block_doubled(content: bytearray, spot: int, _: np.random.Generator) -> bytearray:
    start = spot - spot % BLOCK
    content[start:start] = content[start : start + BLOCK]
    return content


def _cut(content: bytearray, spot: int, _: np.random.Generator) -> bytearray:
    return content[:spot]


def _emptied(content: bytearray, *_: object) -> bytearray:
    return content[:0]


def _byte_inserted(content: bytearray, spot: int, rng: np.random.Generator) -> bytearray:
    content.insert(spot, int(rng.integers(256)))
    return content


def _byte_added(content: bytearray, _: int, rng: np.random.Generator) -> bytearray:
    content.append(int(rng.choice([0, 10, 32, 65])))
    return content


def _swapped(home: Path, _: Path, rng: np.random.Generator) -> str:
    first, second = _two(home, rng)
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    return first.name


def _copied_over(home: Path, _: Path, rng: np.random.Generator) -> str:
    first, second = _two(home, rng)
    first.write_bytes(second.read_bytes())
    return first.name


def _foreign_file(home: Path, other: Path, rng: np.random.Generator) -> str:
    path = _drawn(home, rng)
    path.write_bytes((other / path.name).read_bytes())
    return path.name


def _foreign_part(home: Path, other: Path, rng: np.random.Generator) -> str:
    """Take the head of a file and the rest of the same file of another model."""
    path = _drawn(home, rng)
    own, foreign = path.read_bytes(), (other / path.name).read_bytes()
    spot = int(rng.integers(1, len(own)))
    path.write_bytes(own[:spot] + foreign[spot:])
    return path.name


def _removed(home: Path, _: Path, rng: np.random.Generator) -> str:
    path = _drawn(home, rng)
    path.unlink()
    return path.name


def _renamed(home: Path, _: Path, rng: np.random.Generator) -> str:
    path = _drawn(home, rng)
    path.rename(home / f"{path.name}.{rng.choice(['bak', 'old', 'tmp', 'txt'])}")
    return path.name


def _added(home: Path, _: Path, rng: np.random.Generator) -> str:
    name = str(rng.choice(["extra.pkl", ".hidden", "student_99.txt", "MODEL.JSON", "a b", "arrays.npy"]))
    (home / name).write_bytes(_drawn(home, rng).read_bytes())
    return name


def _special(make: Callable[[Path, Path], object]) -> Damage:
    """Return a damage that puts something else in a file's place."""

    def hurt(home: Path, _: Path, rng: np.random.Generator) -> str:
        path = _drawn(home, rng)
        aside = home.parent / f"{home.name}-{path.name}"
        path.rename(aside)
        make(path, aside)
        return path.name

    return hurt


def _manifest(change: Callable[[dict[str, Any], str, np.random.Generator], object]) -> Damage:
    """Return a damage of one entry of the manifest, written as manifests are."""

    def hurt(home: Path, _: Path, rng: np.random.Generator) -> str:
        document = json.loads((home / MANIFEST).read_bytes())
        change(document, str(rng.choice(sorted(document["files"]))), rng)
        (home / MANIFEST).write_bytes(canonical_json(document))
        return MANIFEST

    return hurt


def _other_size(document: dict[str, Any], name: str, rng: np.random.Generator) -> None:
    document["files"][name]["bytes"] += int(rng.choice([-1, 1, 10**15]))


def _other_hash(document: dict[str, Any], name: str, rng: np.random.Generator) -> None:
    document["files"][name]["sha256"] = sha256(rng.bytes(8))


def _entry_dropped(document: dict[str, Any], name: str, _: np.random.Generator) -> None:
    del document["files"][name]


def _entry_renamed(document: dict[str, Any], name: str, _: np.random.Generator) -> None:
    document["files"][f"x{name}"] = document["files"].pop(name)


def _entry_elsewhere(document: dict[str, Any], name: str, rng: np.random.Generator) -> None:
    document["files"][f"{rng.choice(['../', '/', './', 'sub/'])}{name}"] = document["files"].pop(name)


def _other_format(document: dict[str, Any], _: str, rng: np.random.Generator) -> None:
    document["format"] = int(rng.choice([0, 2, -1]))


def _respelled(home: Path, _: Path, rng: np.random.Generator) -> str:
    document = json.loads((home / MANIFEST).read_bytes())
    (home / MANIFEST).write_text(json.dumps(document, indent=int(rng.integers(0, 9)), sort_keys=bool(rng.integers(2))))
    return MANIFEST


CONTENTS: dict[str, Damage] = {
    "a bit flipped": _bytes(_bit_flipped),
    "a digit changed": _bytes(_digit_changed),
    "a block zeroed": _bytes(_block_zeroed),
    "a block doubled": _bytes(_block_doubled),
    "cut": _bytes(_cut),
    "emptied": _bytes(_emptied),
    "a byte inserted": _bytes(_byte_inserted),
    "a byte added": _bytes(_byte_added),
    "two swapped": _swapped,
    "one over another": _copied_over,
    "a foreign file": _foreign_file,
    "half a foreign file": _foreign_part,
}
"""Damages after which every name is still there."""
NAMES: dict[str, Damage] = {"removed": _removed, "renamed": _renamed, "added": _added}
DAMAGES: dict[str, Damage] = {
    **CONTENTS,
    **NAMES,
    "a link": _special(lambda path, aside: path.symlink_to(aside)),
    "a link to nothing": _special(lambda path, aside: path.symlink_to(aside / "nothing")),
    "a folder": _special(lambda path, _: path.mkdir()),
    "a pipe": _special(lambda path, _: os.mkfifo(path)),
    "manifest: a size": _manifest(_other_size),
    "manifest: a hash": _manifest(_other_hash),
    "manifest: an entry dropped": _manifest(_entry_dropped),
    "manifest: an entry renamed": _manifest(_entry_renamed),
    "manifest: an entry elsewhere": _manifest(_entry_elsewhere),
    "manifest: another format": _manifest(_other_format),
    "manifest: other spelling": _respelled,
}
