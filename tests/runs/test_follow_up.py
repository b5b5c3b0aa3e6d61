"""A cohort that only its events kept is refused."""

from __future__ import annotations

import pytest

from pipeline.errors import NoOverlapError
from pipeline.runs.train import _refuse_lost_follow_up
from pipeline.schema import Step


@pytest.mark.parametrize(("followed", "is_refused"), [(100, False), (50, False), (49, True), (0, True)])
def test_most_decisions_must_have_follow_up(followed: int, is_refused: bool) -> None:
    step = Step(step="followed", rows_in=100, rows_out=followed, reason="none")
    if is_refused:
        with pytest.raises(NoOverlapError, match="chosen by its outcome; add the events table"):
            _refuse_lost_follow_up(step)
    else:
        _refuse_lost_follow_up(step)
