"""How does a file come in whole, and go out whole or not at all?

A file is written to a temporary neighbour, flushed to the disk, closed, renamed and
its folder flushed, so that a reader sees the old content or the new, never a part.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pipeline.errors import ConfigError, PipelineError


def read_text(path: str | Path, error: type[PipelineError] = ConfigError) -> str:
    """Return the text of a UTF-8 file (a byte-order mark is dropped).

    Parameters
    ----------
    path : path
        The file.
    error : type of PipelineError
        What to raise.

    Raises
    ------
    PipelineError
        `error`, if there is no such file, it cannot be read or is not UTF-8.
    """
    return decoded(read_bytes(path, error), path, error)


def read_bytes(path: str | Path, error: type[PipelineError] = ConfigError) -> bytes:
    """Return the bytes of a file.

    Raises
    ------
    PipelineError
        `error`, if there is no such file or it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise error(f"{path}: no such file. Check the path, and the folder it is relative to.") from None
    except OSError as problem:
        raise error(f"{path}: cannot be read ({problem.strerror}). Give a readable file.") from None


def decoded(content: bytes, where: str | Path, error: type[PipelineError] = ConfigError) -> str:
    """Return UTF-8 bytes as text.

    Raises
    ------
    PipelineError
        `error`, with the position of the first byte that is not UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise error(f"{where}: byte {problem.start + 1} is not UTF-8. Save the file as UTF-8.") from None


def write_text(path: str | Path, text: str) -> None:
    """Write text as UTF-8, wholly or not at all; see `write_bytes`."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file wholly or not at all; missing folders above it are made.

    Raises
    ------
    ConfigError
        If there is a folder of that name, or it stands in no folder that can be written.
    PipelineError
        If the disk is full, fails or forbids it. The old file, if any, is then unchanged.
    """
    target = file_to_write(path)
    make_folder(target.parent)
    with reported_by(target):
        handle, name = tempfile.mkstemp(prefix=f"_{target.name}.", suffix=".tmp", dir=target.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as stream:
                os.fchmod(stream.fileno(), 0o666 & ~_umask())
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        flush_folder(target.parent)


def file_to_write(path: str | Path) -> Path:
    """Return a path at which a file may be written, replacing the one that is there.

    Raises
    ------
    ConfigError
        If there is a folder of that name, or it stands in no folder that can be written.
    """
    target = Path(path)
    if target.is_dir():
        raise ConfigError(f"{target}: got a folder, wanted a file name. Add the name of a file, such as {target}/NAME.")
    _check_place(target)
    return target


def folder_to_write(path: str | Path) -> Path:
    """Return a path at which a folder is, or may be made.

    Raises
    ------
    ConfigError
        If there is a file of that name, or it stands in no folder that can be written.
    """
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: got a file, wanted a folder to write into. Choose another path.")
    _check_place(folder)
    return folder


def _check_place(target: Path) -> None:
    place = next(folder for folder in target.absolute().parents if folder.exists())
    if not place.is_dir():
        raise ConfigError(f"{target}: {place.name} is a file, wanted a folder. Choose another path.")
    if not os.access(place, os.W_OK):
        raise ConfigError(f"{target}: the folder above it may not be written. Choose another path.")


def write_json(path: str | Path, document: dict[str, Any]) -> bytes:
    """Write a mapping as JSON in its one canonical spelling and return the bytes written."""
    content = canonical_json(document)
    write_bytes(path, content)
    return content


def canonical_json(document: dict[str, Any]) -> bytes:
    """Return the one spelling of a mapping: sorted keys, two spaces, no NaN, a final line feed."""
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def sha256(content: bytes) -> str:
    """Return the SHA-256 of some bytes in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal, read in bounded memory."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def declared_folder(folder: str | Path) -> dict[str, str]:
    """Return the text of every `*.yaml` directly in a folder, by path, sorted.

    Raises
    ------
    ConfigError
        If the folder does not exist or holds no such file.
    """
    home = Path(folder)
    if not home.is_dir():
        raise ConfigError(f"{home}: got no such folder, wanted a folder of *.yaml files. Check the path.")
    texts = {str(path): read_text(path) for path in sorted(home.glob("*.yaml")) if path.is_file()}
    if not texts:
        raise ConfigError(f"{home}: got 0 *.yaml files, wanted at least one. Check the folder.")
    return texts


def shipped(kind: Literal["configs", "data_schema"]) -> Path:
    """Return the folder of files shipped with the program: inside the installed package, or beside it."""
    package = Path(__file__).resolve().parents[1]
    inside = package / kind
    return inside if inside.is_dir() else package.parent / kind


def new_folder(path: str | Path) -> Path:
    """Return a folder that exists and is empty.

    Raises
    ------
    ConfigError
        If something is there already.
    """
    folder = folder_to_write(path)
    make_folder(folder)
    count = sum(1 for _ in folder.iterdir())
    if count:
        raise ConfigError(f"{folder}: got a folder with {count} entries, wanted a new or empty one. Choose another.")
    return folder


def replaced_folder(path: str | Path, marker: str, words: str) -> Path:
    """Return an empty folder but for a marker file, clearing what an earlier call with the same marker made.

    Parameters
    ----------
    path : path
    marker : str
        Name of the file that says a folder may be cleared.
    words : str
        What the file says to people.

    Returns
    -------
    Path

    Raises
    ------
    ConfigError
        If the folder holds anything and no such marker.
    """
    folder = Path(path)
    if (folder / marker).is_file():
        with reported_by(folder):
            shutil.rmtree(folder)
    home = new_folder(folder)
    write_text(home / marker, words)
    return home


def write_tables(page: Path, files: Mapping[str, str], words: str) -> None:
    """Write the tables of a page into `<page>-tables`, which is cleared first.

    Parameters
    ----------
    page : path
    files : mapping of file name to text
    words : str
        What the folder says of itself to people.

    Raises
    ------
    ConfigError
        If the folder holds anything that this did not write.
    """
    home = replaced_folder(page.with_name(f"{page.stem}-tables"), "ABOUT.txt", words)
    for name, text in files.items():
        write_text(home / name, text)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, each flushed into its parent.

    Raises
    ------
    PipelineError
        If the disk forbids it.
    """
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    with reported_by(folder):
        for place in reversed(missing):
            place.mkdir(exist_ok=True)
            flush_folder(place.parent)


def flush_folder(folder: Path) -> None:
    """Flush a folder, so that the names in it survive a loss of power."""
    flush(folder, os.O_DIRECTORY)


def flush(path: Path, kind: int = 0) -> None:
    """Flush what was written at a path; `kind` is a flag that opening it must have."""
    handle = os.open(path, os.O_RDONLY | kind)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def reported_by(path: Path) -> Iterator[None]:
    """Turn an error of the operating system while writing `path` into one sentence.

    Raises
    ------
    PipelineError
        In place of an OSError.
    """
    try:
        yield
    except OSError as problem:
        reason = problem.strerror or type(problem).__name__
        raise PipelineError(
            f"{path}: could not be written ({reason}); nothing is left half written. Make room or mend the disk, then "
            "run it again."
        ) from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
