"""Where does a batch stand, where is it made, and can the one take the place of the other?"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from pathlib import Path

from pipeline.errors import ConfigError


def staging_of(out: str | Path) -> Path:
    """Return the folder in which the batch of a place is made: hidden, beside it, on the same file system."""
    home = Path(os.path.realpath(out))
    return home.with_name(f".{home.name}.unfinished")


def refuse_what_stays(out: Path, home: Path) -> None:
    """Refuse a folder that cannot be replaced by a rename."""
    if home.is_mount() or home == Path(os.path.realpath(".")):
        place = "a mount point" if home.is_mount() else "the folder that this runs in"
        raise ConfigError(
            f"{out}: got {place}, wanted a folder that a finished batch can replace. Add a name below it."
        )


def close_alike(place: Path, home: Path, out: Path) -> None:
    """Give a folder the group and mode of the empty one that waits where the batch is to stand, if one does.

    Parameters
    ----------
    place : path
        A folder in which the batch is made.
    home, out : path
        Where it is to stand: resolved, and as it was asked for.

    Raises
    ------
    ConfigError
        If this user may not.
    """
    if not home.is_dir():
        return
    try:
        waiting = home.stat()
        os.chown(place, -1, waiting.st_gid)
        place.chmod(stat.S_IMODE(waiting.st_mode))
    except OSError:
        raise ConfigError(
            f"{out}: got a folder of a group that this user cannot give to the one that replaces it. Remove it, or "
            "choose another folder."
        ) from None


def emptied(folder: Path, but: str) -> None:
    """Remove what stands in a folder but for one file, as far as the disk lets it."""
    with contextlib.suppress(OSError):
        for entry in folder.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.name != but:
                entry.unlink()
