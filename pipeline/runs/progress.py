"""How does the terminal show how far a long run is, how fast it goes and how long it still takes?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

_ESTIMATE_SECONDS = 3600.0
"""A rate is taken over the last hour: a part of a batch may take a minute."""

_LINE_SECONDS = 60.0
"""Away from a terminal, a stage tells where it is this often at most."""


class _Rate(ProgressColumn):
    """Steps per second."""

    def render(self, task: Task) -> Text:
        """Return the rate, once two steps are made."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.1f}/s" if speed < 10 else f"{speed:,.0f}/s")


class Shown:
    """Shows stages as progress bars on a terminal; elsewhere as a line when one begins, and one a minute.

    Parameters
    ----------
    console : Console or None
        None: standard error.
    clock : callable
        Seconds from any fixed moment.
    """

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = monotonic) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self._clock = clock

    def say(self, text: str) -> None:
        """Show one line."""
        self.console.print(text, markup=False)

    @contextmanager
    def stage(self, title: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Show a stage while it works; one whose steps are counted with its rate and the time left."""
        if not self.console.is_terminal:
            self.say(f"{title} ..." if total is None else f"{title}: {total:,} ...")
            yield self._lines(title, total)
            return
        columns = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
        counted = [] if total is None else [_Rate(), TimeRemainingColumn()]
        shown = Progress(
            *columns, TimeElapsedColumn(), *counted, console=self.console, speed_estimate_period=_ESTIMATE_SECONDS
        )
        with shown as progress:
            task = progress.add_task(title, total=total)
            yield lambda steps: progress.update(task, advance=steps)
            if total is None:
                done = max(int(progress.tasks[0].completed), 1)
                progress.update(task, total=done, completed=done)

    def _lines(self, title: str, total: int | None) -> Callable[[int], None]:
        """Return what is told of each step away from a terminal: a line a minute, for a log."""
        begun = told = self._clock()
        done = 0

        def advance(steps: int) -> None:
            nonlocal told, done
            done += steps
            now = self._clock()
            if now - told < _LINE_SECONDS:
                return
            told = now
            if total is None:
                return self.say(f"{title}: {done:,} steps after {_spell(now - begun)}")
            rate = done / (now - begun)
            left = f", {_spell((total - done) / rate)} left" if 0 < done <= total else ""
            self.say(f"{title}: {done:,} of {total:,}, {rate:,.1f}/s{left}")

        return advance


def _spell(seconds: float) -> str:
    """Return a time in the largest two units that a person would say."""
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min" if minutes else "under 1 min"
