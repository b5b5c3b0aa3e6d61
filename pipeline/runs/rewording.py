"""How is an error told to another system, whose logs are read by many, without a value of anybody in it?"""

from __future__ import annotations

import traceback
from pathlib import PurePath
from types import TracebackType

from pipeline import errors
from pipeline.errors import PipelineError


class Reworded:
    """Keeps an error of the block, in words that hold no value: tracebacks of a cluster are read by many."""

    def __init__(self, where: str = "predict") -> None:
        self._where = where
        self.kind = ""
        self.words = ""

    def __enter__(self) -> Reworded:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if kind is None or not issubclass(kind, Exception):
            return False
        if isinstance(problem, PipelineError):
            self.kind, self.words = kind.__name__, str(problem)
        else:
            places = [f"{PurePath(at.filename).name}:{at.lineno}" for at in traceback.extract_tb(trace)]
            self.kind = PipelineError.__name__
            self.words = f"{self._where}: a bug, {kind.__name__} at {' > '.join(places[-4:])}."
        return True


def told_again(kind: str, words: str) -> PipelineError:
    """Return the error that a task kept."""
    named = getattr(errors, kind, PipelineError)
    return named(words) if isinstance(named, type) and issubclass(named, PipelineError) else PipelineError(words)
