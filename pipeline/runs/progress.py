"""How does the terminal show how far a long run is, how fast it goes and how long it still takes?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

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


class _Rate(ProgressColumn):
    """Steps per second."""

    def render(self, task: Task) -> Text:
        """Return the rate, once two steps are made."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.1f}/s" if speed < 10 else f"{speed:,.0f}/s")


class Shown:
    """Shows stages as progress bars on a terminal, and nothing of them elsewhere."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)

    def say(self, text: str) -> None:
        """Show one line."""
        self.console.print(text, markup=False)

    @contextmanager
    def stage(self, title: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Show a stage while it works; one whose steps are counted with its rate and the time left."""
        if not self.console.is_terminal:
            yield lambda _: None
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
