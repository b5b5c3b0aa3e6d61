"""A wait without effect makes no difference when counted from the decision, and one when the infused are counted."""

from __future__ import annotations

import pytest

from pipeline.runs.setup import Setup
from tests.evaluate.waiting_worlds import OTHERS, Claims, claims

pytestmark = pytest.mark.xdist_group("time-zero")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, base_setup: Setup) -> Claims:
    """Return the contrasts of one world with a 45-day wait; `make bench` repeats it over many."""
    return claims(tmp_path_factory.mktemp("waiting") / "records", base_setup, seed=1, decisions=800)


@pytest.mark.parametrize("other", OTHERS)
def test_our_contrast_of_car_t_covers_nothing(found: Claims, other: str) -> None:
    low, high = found.ours[other].interval()

    assert low < 0 < high


def test_counting_the_infused_from_infusion_credits_car_t_with_the_wait(found: Claims) -> None:
    # Over worlds the credit is some 3 points with a spread of 5; in this one it is larger and told apart.
    credit = [found.infused_only[other].value - found.ours[other].value for other in OTHERS]

    assert min(credit) > 0
    assert 0.03 < sum(credit) / len(credit) < 0.15
