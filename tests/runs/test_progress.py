"""Where a long run is, told in a log: when a stage begins, and once a minute at most."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from pipeline.runs.progress import Shown


class Clock:
    """A clock that is set by hand, in seconds."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def logged(total: int | None, steps: list[tuple[float, int]]) -> list[str]:
    """Return what a log holds of a stage whose steps came after so many seconds."""
    written, clock = StringIO(), Clock()
    with Shown(Console(file=written, width=120), clock).stage("Scoring", total) as advance:
        for seconds, done in steps:
            clock.now = 1000.0 + seconds
            advance(done)
    return written.getvalue().splitlines()


@pytest.mark.parametrize(
    ("total", "steps", "wanted"),
    [
        (None, [], ["Scoring ..."]),
        (10_000, [], ["Scoring: 10,000 ..."]),
        (10_000, [(20, 5000), (40, 5000)], ["Scoring: 10,000 ..."]),
        # 5,000 in 100 s are 50 a second, so 15,000 more take 300 s.
        (20_000, [(100, 5000)], ["Scoring: 20,000 ...", "Scoring: 5,000 of 20,000, 50.0/s, 5 min left"]),
        # The second step comes 50 s after the line before: no line; the third 110 s after: one.
        (
            20_000,
            [(100, 5000), (150, 5000), (210, 500)],
            ["Scoring: 20,000 ...", *("Scoring: " + told for told in (
                "5,000 of 20,000, 50.0/s, 5 min left", "10,500 of 20,000, 50.0/s, 3 min left"))],
        ),
        (1_000_000, [(100, 5000)], ["Scoring: 1,000,000 ...", "Scoring: 5,000 of 1,000,000, 50.0/s, 5 h 32 min left"]),
        (100, [(100, 100)], ["Scoring: 100 ...", "Scoring: 100 of 100, 1.0/s, under 1 min left"]),
        (100, [(100, 0)], ["Scoring: 100 ...", "Scoring: 0 of 100, 0.0/s"]),
        (None, [(100, 7)], ["Scoring ...", "Scoring: 7 steps after 2 min"]),
    ],
)  # fmt: skip
def test_a_log_says_where_a_stage_is_at_most_once_a_minute(
    total: int | None, steps: list[tuple[float, int]], wanted: list[str]
) -> None:
    assert logged(total, steps) == wanted


def test_a_terminal_shows_bars_and_no_lines() -> None:
    written = StringIO()
    console = Console(file=written, width=120, force_terminal=True)
    with Shown(console).stage("Scoring", 10) as advance:
        advance(10)

    assert "Scoring: 10 ..." not in written.getvalue()
    assert "10/10" in written.getvalue()
