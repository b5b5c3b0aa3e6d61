"""No count of 1 to 10 people is written down, nor can one be worked out from what is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluate.small_counts import share_bounds, writable_counts

CELLS = st.integers(min_value=0, max_value=40)
TABLES = st.integers(min_value=1, max_value=5).flatmap(
    lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=4)
)


@given(TABLES)
def test_what_is_hidden_of_a_line_tells_of_nobody_or_of_eleven_at_least(table: list[list[int]]) -> None:
    written = writable_counts(table, "both")
    lines = [*zip(table, written, strict=True)]
    lines += [([row[j] for row in table], [row[j] for row in written]) for j in range(len(table[0]))]

    assert not any(0 < count < 11 for row in written for count in row if count is not None)
    for counts, told in lines:
        hidden = [count for count, shown in zip(counts, told, strict=True) if shown is None]
        is_whole_line = len(hidden) == len(counts)
        assert not hidden or is_whole_line or (len(hidden) > 1 and sum(hidden) >= 11) or not any(c for c in told if c)


@pytest.mark.parametrize(
    ("part", "whole", "wanted"),
    [
        (0, 50, (0.0, 0.0)),
        (1, 50, (0.0, 0.22)),
        (10, 50, (0.0, 0.22)),
        (11, 50, (0.22, 0.22)),
        (39, 50, (0.78, 0.78)),
        (40, 50, (0.78, 1.0)),
        (50, 50, (1.0, 1.0)),
        (5, 21, (None, None)),
        (5, 22, (0.0, 0.5)),
        (0, 10, (None, None)),
    ],
)
def test_a_share_is_told_or_bounded_on_both_sides_of_the_limit(
    part: int, whole: int, wanted: tuple[float | None, float | None]
) -> None:
    assert tuple(share_bounds(part, whole).values()) == wanted
