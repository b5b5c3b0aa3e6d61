"""Which counts must not be shown because they speak of fewer than eleven people?

A count of 1 to 10 is shown as `<11`. Where the cells of a line add up to a total that
is also shown, hidden cells could be worked out from the others; then the next smallest
is hidden too and shown as `masked`, until at least two are hidden and they hold at
least eleven people together. A zero tells of nobody and stays, unless it is the only
cell left that can hide another.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.evaluate.small_counts import AddsUp, Counts, hidden_cells, is_small
from pipeline.review.numerals import NOT_ESTIMATED, percent

SMALLEST_SHOWN = 11
UNDER = f"<{SMALLEST_SHOWN}"
MASKED = "masked"
NOT_RECORDED = "not recorded"


@dataclass(frozen=True)
class ShownCount:
    """One count as it may be published.

    Attributes
    ----------
    text : str
        The count with thousands separators, `<11`, `masked` or `not recorded`.
    count : int or None
        The count itself, only where it may be shown; pictures draw this and nothing else.
    """

    text: str
    count: int | None


def masked_counts(table: Counts, *, adds_up: AddsUp = "neither") -> tuple[tuple[ShownCount, ...], ...]:
    """Return a table of counts as it may be published.

    Parameters
    ----------
    table : rows of counts
        None where a count is not recorded. All rows have the same length.
    adds_up : {'rows', 'columns', 'both', 'neither'}
        Which lines have a total that the reader sees elsewhere.

    Returns
    -------
    rows of ShownCount, same shape
        The hidden cells of a line that adds up are at least two and hold at least
        eleven people together, as long as the line has others to hide.

    Raises
    ------
    ValueError
        If the rows have different lengths.
    """
    hidden = hidden_cells(table, adds_up)
    return tuple(tuple(_shown(count, (i, j) in hidden) for j, count in enumerate(row)) for i, row in enumerate(table))


def masked_line(counts: Sequence[int | None], *, adds_up: bool = False) -> tuple[ShownCount, ...]:
    """Return one line of counts as it may be published; `adds_up` says that its total is shown."""
    return masked_counts([counts], adds_up="rows" if adds_up else "neither")[0]


def masked_part(part: int | None, whole: int | None) -> ShownCount:
    """Return how many of a shown whole had something; hidden too where all but 1 to 10 had it."""
    if part is not None and whole is not None and not is_small(part) and is_small(whole - part):
        return ShownCount(MASKED, None)
    return _shown(part, is_small(part))


def masked_share(share: float | None, total: int | None) -> tuple[str, float | None]:
    """Return a share of `total` people as text, and as a number to draw only where it may be shown.

    A share that would tell of 1 to 10 people (or of all but 1 to 10) is given as a
    bound instead; a group of under eleven has no share at all.
    """
    if share is None:
        return NOT_ESTIMATED, None
    if total is not None and total < SMALLEST_SHOWN:
        return f"{UNDER} cases", None
    if total is None or not 0 < share < 1:
        return percent(share), share
    if total < 2 * SMALLEST_SHOWN:
        return f"{MASKED} (few cases)", None
    bound = math.ceil(100 * SMALLEST_SHOWN / total)
    if round(share * total) < SMALLEST_SHOWN:
        return f"under {bound}%", None
    if round((1 - share) * total) < SMALLEST_SHOWN:
        return f"over {100 - bound}%", None
    return percent(share), share


def masked_steps(
    steps: Sequence[tuple[int | None, int | None]],
) -> tuple[tuple[ShownCount, ShownCount, ShownCount], ...]:
    """Return (in, removed, out) of each filtering step as it may be published.

    Steps whose rows in equal the rows out of the step before form a chain. When one
    step of a chain removes 1 to 10 rows, another step's removal is hidden with it, and
    so are the totals between them, from which the hidden ones could be worked out. If
    the chain has nothing else to hide, the totals before the step are hidden instead.

    Parameters
    ----------
    steps : sequence of (rows in, rows out)
    """
    shown: list[tuple[ShownCount, ShownCount, ShownCount]] = []
    for chain in _chains(steps):
        shown.extend(_masked_chain(chain))
    return tuple(shown)


def _chains(steps: Sequence[tuple[int | None, int | None]]) -> Iterable[list[tuple[int | None, int | None]]]:
    chain: list[tuple[int | None, int | None]] = []
    for step in steps:
        if chain and (step[0] is None or step[0] != chain[-1][1]):
            yield chain
            chain = []
        chain.append(step)
    if chain:
        yield chain


def _masked_chain(chain: list[tuple[int | None, int | None]]) -> list[tuple[ShownCount, ShownCount, ShownCount]]:
    removed = [None if a is None or b is None else abs(a - b) for a, b in chain]
    removals = masked_line(removed, adds_up=True)
    hidden = [i for i, cell in enumerate(removals) if removed[i] is not None and cell.count is None]
    first, last = (hidden[0], hidden[-1]) if hidden else (0, -1)
    derivable = len(hidden) == 1 or sum(removed[i] or 0 for i in hidden) < SMALLEST_SHOWN

    def total(count: int | None, boundary: int) -> ShownCount:
        return _shown(count, is_small(count) or (boundary <= last and (boundary > first or derivable)))

    return [
        (total(step[0], i), cell, total(step[1], i + 1))
        for i, (step, cell) in enumerate(zip(chain, removals, strict=True))
    ]


def _shown(count: int | None, hide: bool) -> ShownCount:
    if count is None:
        return ShownCount(NOT_RECORDED, None)
    if hide:
        return ShownCount(UNDER if is_small(count) else MASKED, None)
    return ShownCount(f"{count:,}", count)
