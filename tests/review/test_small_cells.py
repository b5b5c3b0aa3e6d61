"""Small counts stay hidden, also from a reader with a pencil."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.review.small_cells import masked_counts, masked_line, masked_part, masked_share, masked_steps

COUNTS = st.one_of(st.integers(0, 40), st.integers(0, 5000))


def texts(cells: object) -> list[str]:
    return [cell.text for cell in cells]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0"), (1, "<11"), (10, "<11"), (11, "11"), (12345, "12,345"), (None, "not recorded")],
)
def test_a_count_of_one_to_ten_is_shown_as_under_eleven(count: int | None, shown: str) -> None:
    assert masked_line([count])[0].text == shown


@pytest.mark.parametrize(
    ("counts", "shown"),
    [
        ([3, 20, 50], ["<11", "masked", "50"]),  # one hidden cell could be worked out: the next smallest goes too
        ([3, 4, 50], ["<11", "<11", "masked"]),  # two hidden cells of seven people together still tell of few
        ([6, 5, 50], ["<11", "<11", "50"]),  # eleven together: enough
        ([3, 0, 50], ["<11", "0", "masked"]),  # a zero hides nobody while something larger is there
        ([3, 0], ["<11", "masked"]),  # but it is taken when nothing else is left
        ([3], ["<11"]),
        ([30, 20], ["30", "20"]),
    ],
)
def test_a_line_with_a_shown_total_hides_enough_to_keep_the_secret(counts: list[int], shown: list[str]) -> None:
    assert texts(masked_line(counts, adds_up=True)) == shown


def test_without_a_shown_total_only_the_small_count_is_hidden() -> None:
    assert texts(masked_line([3, 20, 50])) == ["<11", "20", "50"]


def test_rows_and_columns_that_both_add_up_are_both_protected() -> None:
    shown = masked_counts([[3, 40, 60], [70, 30, 90], [80, 50, 20]], adds_up="both")
    hidden = [[cell.count is None for cell in row] for row in shown]

    assert all(sum(row) != 1 for row in hidden)
    assert all(sum(column) != 1 for column in zip(*hidden, strict=True))


@settings(max_examples=500, deadline=None)
@given(
    st.integers(1, 5).flatmap(
        lambda width: st.lists(st.lists(COUNTS, min_size=width, max_size=width), min_size=1, max_size=5)
    )
)
def test_no_line_that_adds_up_gives_away_fewer_than_eleven_people(table: list[list[int]]) -> None:
    shown = masked_counts(table, adds_up="both")
    lines = [list(zip(row, cells, strict=True)) for row, cells in zip(table, shown, strict=True)]
    lines += [list(line) for line in zip(*lines, strict=True)]

    assert all(cell.count is None for row in lines for count, cell in row if 0 < count < 11)
    for line in lines:
        hidden = [count for count, cell in line if cell.count is None]
        still_open = [count for count, cell in line if cell.count is not None and count > 0]
        assert not hidden or not still_open or (len(hidden) > 1 and sum(hidden) >= 11)


def test_rows_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rows of \[1, 2\] cells"):
        masked_counts([[1], [1, 2]])


@pytest.mark.parametrize(
    ("share", "total", "shown"),
    [
        (0.5, 400, "50%"),
        (0.0, 400, "0%"),
        (0.02, 400, "under 3%"),  # 8 people
        (0.0275, 400, "3%"),  # 11 people
        (0.99, 400, "over 97%"),  # all but 4
        (0.5, 10, "<11 cases"),
        (0.0, 10, "<11 cases"),
        (0.5, 21, "masked (few cases)"),
        (0.5, 22, "50%"),
        (None, 400, "not estimated"),
        (0.02, None, "2%"),
    ],
)
def test_a_share_never_tells_of_one_to_ten_people(share: float | None, total: int | None, shown: str) -> None:
    assert masked_share(share, total)[0] == shown


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [
        (395, 400, "masked"),
        (389, 400, "389"),
        (400, 400, "400"),
        (5, 400, "<11"),
        (5, None, "<11"),
        (None, 400, "not recorded"),
    ],
)
def test_all_but_a_few_is_as_telling_as_a_few(part: int | None, whole: int | None, shown: str) -> None:
    assert masked_part(part, whole).text == shown


def test_a_step_that_removes_few_hides_a_second_step_and_the_total_between() -> None:
    shown = masked_steps([(1000, 900), (900, 896), (896, 700)])

    assert [texts(step) for step in shown] == [
        ["1,000", "masked", "masked"],
        ["masked", "<11", "896"],
        ["896", "196", "700"],
    ]


def test_a_lone_step_that_removes_few_hides_the_total_before_it() -> None:
    assert [texts(step) for step in masked_steps([(1000, 996)])] == [["masked", "<11", "996"]]


def test_steps_of_different_tables_are_not_chained() -> None:
    shown = masked_steps([(1000, 500), (80, 76)])

    assert texts(shown[0]) == ["1,000", "500", "500"]
    assert texts(shown[1]) == ["masked", "<11", "76"]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=6), st.integers(100, 2000))
def test_no_removal_of_a_few_can_be_worked_out_from_the_attrition_table(removals: list[int], kept: int) -> None:
    totals = [kept + sum(removals[place:]) for place in range(len(removals) + 1)]
    shown = masked_steps(list(pairwise(totals)))

    for removed, (came, change, left) in zip(removals, shown, strict=True):
        if 0 < removed < 11:
            assert change.count is None
            assert came.count is None or left.count is None
