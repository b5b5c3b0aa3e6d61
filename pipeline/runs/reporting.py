"""How does a long run tell where it is?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Reporter(Protocol):
    """What a run tells while it works; the command line shows it, a program may ignore it."""

    def say(self, text: str) -> None:
        """Show one line."""

    def stage(self, title: str, total: int | None = None) -> AbstractContextManager[Callable[[int], None]]:
        """Return a context whose value advances a progress bar."""
        ...


class Quiet:
    """Tells nothing."""

    def say(self, text: str) -> None:
        """Show nothing."""

    @contextmanager
    def stage(self, title: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Yield a callable that does nothing."""
        yield lambda _: None
