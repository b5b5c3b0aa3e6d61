"""How is a list column made from flat values, without a loop over its rows?

A cell is one decision and modality; its number is `decision * modalities + modality`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Places = npt.NDArray[np.int64]


def listed(cells: Places, count: int, values: pa.Array) -> pa.ListArray:
    """Return one list per cell.

    Parameters
    ----------
    cells : array (k,), ascending
        The cell that each value belongs to.
    count : int
        How many cells there are.
    values : pyarrow.Array (k,)
    """
    offsets = np.zeros(count + 1, dtype=np.int32)
    np.cumsum(np.bincount(cells, minlength=count), out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), values)


def records(fields: Mapping[str, pa.Array]) -> pa.StructArray:
    """Return one record per place of some columns of equal length."""
    return pa.StructArray.from_arrays(list(fields.values()), names=list(fields))


def words(texts: Sequence[str | None], places: Places) -> pa.Array:
    """Return texts by their places among some; null where the text is None."""
    return pa.array(texts, type=pa.string()).take(pa.array(places))


def numbers(values: npt.NDArray[np.float64]) -> pa.Array:
    """Return numbers, null where they are NaN."""
    flat = np.ascontiguousarray(values, dtype=np.float64).ravel()
    return pa.array(flat, mask=np.isnan(flat))


def whole_numbers(values: npt.NDArray[np.float64]) -> pa.Array:
    """Return whole numbers, null where they are NaN."""
    flat = np.ascontiguousarray(values, dtype=np.float64).ravel()
    missing = np.isnan(flat)
    return pa.array(np.where(missing, 0.0, flat).astype(np.int64), mask=missing)


def first_of_each(keys: Places) -> Places:
    """Return the places at which each key stands for the first time, ascending."""
    return np.sort(np.unique(keys, return_index=True)[1])
