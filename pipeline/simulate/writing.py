"""How do day numbers and indices become the text of a record?"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import pandas as pd
from pandas.api.extensions import ExtensionArray

from pipeline.simulate.histories import NEVER
from pipeline.simulate.patients import Array

_FIRST = np.datetime64("1900-01-01")
_LAST = np.datetime64("2060-01-01")


@lru_cache(maxsize=1)
def _calendar() -> ExtensionArray:
    days = np.arange(_FIRST, _LAST)
    return pd.array(np.datetime_as_string(days).astype(object), dtype="str")


def iso(days: Array) -> ExtensionArray:
    """Return days since 1970-01-01 as ISO text; NEVER becomes missing."""
    days = np.asarray(days).astype(np.int64)
    offset = int((_FIRST - np.datetime64("1970-01-01")) / np.timedelta64(1, "D"))
    index = np.where(days == NEVER, -1, days - offset)
    return _calendar().take(index, allow_fill=True)


def words(index: Array, names: list[str]) -> ExtensionArray:
    """Return one of `names` per index; a negative index becomes missing."""
    known = pd.array(np.array(names, dtype=object), dtype="str")
    return known.take(np.where(np.asarray(index) < 0, -1, index), allow_fill=True)


def numbered(prefix: str, numbers: Array) -> Array:
    """Return ids such as P000123."""
    return np.array([f"{prefix}{number:06d}" for number in np.asarray(numbers).tolist()], dtype=object)


def known_later(days: Array, rng: np.random.Generator, usual: int, share_late: float, latest: int) -> Array:
    """Return the day a fact became visible: 0 to `usual` days later, up to `latest` for a share, unstated for some.

    A twentieth has no date of its own (NEVER), so that the source's declared lag is used.
    """
    n = len(days)
    lag = rng.integers(0, usual + 1, n)
    lag = np.where(rng.random(n) < share_late, rng.integers(usual, latest + 1, n), lag)
    return np.where(rng.random(n) < 0.05, NEVER, days + lag)


def blanked(values: Array, hidden: Array) -> Array:
    """Return words with some of them missing."""
    result = np.asarray(values).astype(object)
    result[hidden] = None
    return result


def table(columns: Mapping[str, Array | ExtensionArray], order: list[str]) -> pd.DataFrame:
    """Return a table of strings, numbers and booleans, sorted by `order` (none: as it is), with a fresh index."""
    frame = pd.DataFrame(
        {
            name: pd.Series(values, dtype="str")
            if isinstance(values, np.ndarray) and values.dtype.kind == "O"
            else values
            for name, values in columns.items()
        }
    )
    return frame.sort_values(order, kind="stable").reset_index(drop=True) if order else frame
