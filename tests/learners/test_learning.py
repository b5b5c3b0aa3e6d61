"""Learning gives the same bytes however many workers share it."""

from __future__ import annotations

import pytest

from pipeline.learners import ModalityRanker, model_files
from tests.learners.worlds import QUICK, World, ranker, world


def _learned(people: World, threads: int) -> dict[str, bytes]:
    settings = QUICK.model_copy(update={"threads": threads, "student_trees": 30, "trees_at_1000": 30})
    fitted: ModalityRanker = ranker(settings).fit(people.features, people.modality, people.outcomes)
    return model_files(fitted.model_)


@pytest.mark.parametrize("threads", [2, 4])
def test_any_number_of_threads_learns_what_one_learns(threads: int) -> None:
    people = world(400, 31)
    alone, together = _learned(people, 1), _learned(people, threads)

    assert alone.keys() == together.keys()
    assert [name for name in alone if alone[name] != together[name]] == []
