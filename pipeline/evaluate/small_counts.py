"""Which counts may be written down, when those of 1 to 10 people must not be?

Where the cells of a line add up to a total that is known elsewhere, a hidden cell could be worked out
from the others; then the next smallest is hidden too, until at least two are hidden and they hold at
least eleven people together. A zero tells of nobody and stays, unless it is the only cell left.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from pipeline.learners import SMALL_CELL

Counts = Sequence[Sequence[int | None]]
AddsUp = Literal["rows", "columns", "both", "neither"]


def is_small(count: int | None) -> bool:
    """Return whether a count speaks of 1 to 10 people."""
    return count is not None and 0 < count < SMALL_CELL


def hidden_cells(table: Counts, adds_up: AddsUp = "neither") -> set[tuple[int, int]]:
    """Return the positions (row, column) of a table of counts that must not be shown.

    Parameters
    ----------
    table : rows of counts
        None where a count is not recorded. All rows have the same length.
    adds_up : {'rows', 'columns', 'both', 'neither'}
        Which lines have a total that the reader knows from elsewhere.

    Raises
    ------
    ValueError
        If the rows have different lengths.
    """
    if len({len(row) for row in table}) > 1:
        raise ValueError(f"counts: rows of {sorted({len(row) for row in table})} cells, wanted one length")
    hidden = {(i, j) for i, row in enumerate(table) for j, count in enumerate(row) if is_small(count)}
    lines = _lines_that_add_up(table, adds_up)
    while True:
        more = {cell for line in lines for cell in _next_to_hide(table, line, hidden)}
        if not more:
            return hidden
        hidden |= more


def writable_counts(table: Counts, adds_up: AddsUp = "neither") -> list[list[int | None]]:
    """Return a table of counts with None in the place of those that must not be shown."""
    hidden = hidden_cells(table, adds_up)
    return [[None if (i, j) in hidden else count for j, count in enumerate(row)] for i, row in enumerate(table)]


def share_bounds(part: int, whole: int) -> dict[str, float | None]:
    """Return the ends between which a share may be told, in hundredths: both the same where it may be told itself.

    Parameters
    ----------
    part, whole : int
        People who have something, and all people. A share that would tell of 1 to 10 people, or of all but 1 to 10,
        is a bound; a group of under eleven, or one whose two bounds would leave nothing untold, has none.
    """
    if whole < SMALL_CELL:
        return {"low": None, "high": None}
    bound = math.ceil(100 * SMALL_CELL / whole) / 100
    if not (is_small(part) or is_small(whole - part)):
        share = round(part / whole, 2)
        return {"low": share, "high": share}
    if whole < 2 * SMALL_CELL:
        return {"low": None, "high": None}
    return {"low": 0.0, "high": bound} if is_small(part) else {"low": round(1.0 - bound, 2), "high": 1.0}


def _lines_that_add_up(table: Counts, adds_up: AddsUp) -> list[list[tuple[int, int]]]:
    height, width = len(table), len(table[0]) if table else 0
    rows = [[(i, j) for j in range(width)] for i in range(height)]
    columns = [[(i, j) for i in range(height)] for j in range(width)]
    return {"rows": rows, "columns": columns, "both": rows + columns}.get(adds_up, [])


def _next_to_hide(table: Counts, line: list[tuple[int, int]], hidden: set[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the cell that must join the hidden ones of a line, if they need it and there is one to choose."""
    counts = [(table[i][j] or 0, (i, j)) for i, j in line if table[i][j] is not None]
    already = [count for count, cell in counts if cell in hidden]
    open_cells = [entry for entry in counts if entry[1] not in hidden]
    above_zero = [entry for entry in open_cells if entry[0] > 0]
    if not already or (len(already) > 1 and (sum(already) >= SMALL_CELL or not above_zero)):
        return []
    return [min(above_zero or open_cells)[1]] if open_cells else []
