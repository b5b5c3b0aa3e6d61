"""One fitted estimator for the tests that only read it."""

from __future__ import annotations

import pytest

from pipeline.learners import ModalityRanker
from tests.learners.worlds import World, ranker, world


@pytest.fixture(scope="session")
def people() -> World:
    """Return 900 people of a confounded world."""
    return world(900, 1)


@pytest.fixture(scope="session")
def fitted(people: World) -> ModalityRanker:
    """Return an estimator that has seen them."""
    return ranker().fit(people.features, people.modality, people.outcomes)
