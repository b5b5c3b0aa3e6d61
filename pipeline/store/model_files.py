"""Is this model, byte for byte, the one that was saved?

A model directory is flat: files, and `manifest.json` with the size and SHA-256 of each.
Everything is checked before anything is parsed, and what is parsed is what was checked.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError, DamagedModelError, counted
from pipeline.store.files import (
    canonical_json,
    flush_folder,
    new_folder,
    reported_by,
    sha256,
    write_bytes,
)

MANIFEST = "manifest.json"
FORMAT = 1
MANIFEST_LIMIT_BYTES = 1_000_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")
_MEND = "Nothing in it was parsed; take the model from its registry or train it again."


def write_model(directory: str | Path, files: Mapping[str, bytes]) -> str:
    """Write a model directory wholly or not at all.

    Parameters
    ----------
    directory : path
        New or empty.
    files : mapping of file name to bytes
        At least one; plain names without folders.

    Returns
    -------
    str
        The model's digest: the SHA-256 of its manifest, which holds the SHA-256 of every file.

    Raises
    ------
    ConfigError
        If the directory holds something.
    ValueError
        If a file name is not plain, or there is no file.
    """
    wrong = [name for name in files if not _NAME.fullmatch(name) or name == MANIFEST]
    if wrong or not files:
        raise ValueError(
            f"model files: got {len(files)} files, {len(wrong)} of them not plain names; wanted plain names"
        )
    target = Path(directory)
    new_folder(target)
    listed = {name: {"bytes": len(content), "sha256": sha256(content)} for name, content in files.items()}
    manifest = canonical_json({"format": FORMAT, "files": listed})
    with reported_by(target):
        staging = Path(tempfile.mkdtemp(prefix=f"_{target.name}.", suffix=".tmp", dir=target.parent))
    try:
        for name, content in sorted(files.items()):
            write_bytes(staging / name, content)
        write_bytes(staging / MANIFEST, manifest)
        with reported_by(target):
            staging.chmod(target.stat().st_mode)
            staging.replace(target)
            flush_folder(target.parent)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return sha256(manifest)


def read_model(directory: str | Path) -> dict[str, bytes]:
    """Return the files of a model directory after checking every one of them.

    Parameters
    ----------
    directory : path
        As written by `write_model`.

    Returns
    -------
    dict of file name to bytes
        Without the manifest. Parse these bytes; never open the files again.

    Raises
    ------
    DamagedModelError
        If the manifest or a file is missing, changed, cut, swapped, added or not a regular file.
    """
    home = Path(directory)
    manifest = _parsed_manifest(home, _manifest_bytes(home))
    entries = {entry.name: entry for entry in os.scandir(home)}
    extra = sorted(set(entries) - set(manifest) - {MANIFEST})
    if extra:
        told = counted(len(extra), "file")
        raise DamagedModelError(f"{home}: {told} not in the manifest, first {extra[0]!r}. {_MEND}")
    files: dict[str, bytes] = {}
    for name, expected in manifest.items():
        if name not in entries:
            raise DamagedModelError(f"{home}: {name} is missing. {_MEND}")
        files[name] = _checked_bytes(home / name, expected["bytes"], expected["sha256"])
    return files


def model_digest(directory: str | Path) -> str:
    """Return the digest of a model directory, after checking its files.

    Raises
    ------
    DamagedModelError
        As `read_model`.
    """
    before = _manifest_bytes(Path(directory))
    read_model(directory)
    if _manifest_bytes(Path(directory)) != before:
        raise DamagedModelError(f"{directory}: {MANIFEST} changed while it was read. {_MEND}")
    return sha256(before)


def find_model(place: str | Path) -> Path:
    """Return the model directory that `place` is, or has as `model/`.

    Raises
    ------
    ConfigError
        If it is neither.
    """
    home = Path(place)
    for candidate in (home / "model", home):
        if (candidate / MANIFEST).is_file():
            return candidate
    found = "a folder without a model" if home.is_dir() else "no such folder"
    raise ConfigError(
        f"{home}: got {found}, wanted a run directory (with model/{MANIFEST}), a model directory "
        "or a name such as models:/mmrank@champion. Run `mmrank train`, or check the path."
    )


def _manifest_bytes(home: Path) -> bytes:
    path = home / MANIFEST
    try:
        size = path.lstat().st_size
    except OSError:
        raise DamagedModelError(f"{home}: {MANIFEST} is missing. {_MEND}") from None
    if size > MANIFEST_LIMIT_BYTES:
        raise DamagedModelError(f"{home}: {MANIFEST} has {size} bytes, wanted a manifest. {_MEND}")
    return _regular_bytes(path, size)


def _parsed_manifest(home: Path, content: bytes) -> dict[str, dict[str, Any]]:
    """Return size and hash by file name; only the one canonical spelling of a manifest is accepted."""
    with contextlib.suppress(ValueError, RecursionError):
        document = json.loads(content)
        if isinstance(document, dict) and isinstance(document.get("format"), int) and document["format"] != FORMAT:
            raise DamagedModelError(f"{home}: {MANIFEST} has format {document['format']}, wanted {FORMAT}. {_MEND}")
        if isinstance(document, dict) and canonical_json(document) == content and _is_manifest(document):
            files: dict[str, dict[str, Any]] = document["files"]
            return files
    raise DamagedModelError(f"{home}: {MANIFEST} is damaged. {_MEND}")


def _is_manifest(document: dict[str, Any]) -> bool:
    files = document.get("files")
    return (
        set(document) == {"format", "files"}
        and document["format"] is not True
        and isinstance(files, dict)
        and bool(files)
        and all(
            _NAME.fullmatch(name)
            and isinstance(entry, dict)
            and set(entry) == {"bytes", "sha256"}
            and type(entry["bytes"]) is int
            and isinstance(entry["sha256"], str)
            for name, entry in files.items()
        )
    )


def _checked_bytes(path: Path, size: int, digest: str) -> bytes:
    content = _regular_bytes(path, size)
    if len(content) != size or sha256(content) != digest:
        raise DamagedModelError(f"{path.parent}: {path.name} is not the file that was saved. {_MEND}")
    return content


def _regular_bytes(path: Path, size: int) -> bytes:
    """Return at most `size` + 1 bytes of a regular file; links, folders and pipes are refused unopened."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        raise DamagedModelError(f"{path.parent}: {path.name} is not a readable, regular file. {_MEND}") from None
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)
        raise DamagedModelError(f"{path.parent}: {path.name} is not a readable, regular file. {_MEND}")
    with os.fdopen(handle, "rb") as stream:
        # A manifest may claim any size; no more memory is asked for than the file has bytes.
        return stream.read(min(size, found.st_size) + 1)
