"""How often would we claim a difference of CAR T where there is none, and what would counting the infused claim?

Simulated worlds without any effect and with a 45-day wait for CAR T; every other knob as shipped, so choices are
confounded and values missing. `TIME_ZERO_WORLDS=60 make bench ARGS='-k time_zero -s'` repeats it more often.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from scipy.stats import binom

from pipeline.runs.setup import Setup
from tests.evaluate.waiting_worlds import OTHERS, Claims, claims

WORLDS = int(os.environ.get("TIME_ZERO_WORLDS", "24"))
DECISIONS = 1000
FIRST_SEED = 700
_PROMISED = 0.95
_RARE = 0.005


def table(found: list[Claims]) -> str:
    """Return coverage of 0, mean claim and its standard error, per way of counting and modality, as text."""
    lines = [f"{len(found)} worlds of {DECISIONS} decisions, no effect, 45-day wait; CAR T less each modality"]
    for name, way in (("from the decision", "ours"), ("infused only", "infused_only")):
        for other in OTHERS:
            contrasts = [getattr(claim, way)[other] for claim in found if other in getattr(claim, way)]
            covered = sum(c.interval()[0] <= 0 <= c.interval()[1] for c in contrasts)
            values = np.array([c.value for c in contrasts])
            lines.append(
                f"{name:18} {other:18} covers 0 in {covered:3} of {len(contrasts):3}; "
                f"claims {values.mean():+.3f} (SE {values.std(ddof=1) / np.sqrt(len(values)):.3f})"
            )
    return "\n".join(lines)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, base_setup: Setup) -> list[Claims]:
    """Return the claims of each world."""
    home = tmp_path_factory.mktemp("worlds")
    return [claims(home / str(k), base_setup, FIRST_SEED + k, DECISIONS) for k in range(WORLDS)]


@pytest.mark.slow
def test_our_intervals_cover_nothing_as_often_as_they_promise(found: list[Claims]) -> None:
    print("\n" + table(found))
    for other in OTHERS:
        contrasts = [claim.ours[other] for claim in found if other in claim.ours]
        covered = sum(c.interval()[0] <= 0 <= c.interval()[1] for c in contrasts)
        assert covered >= binom.ppf(_RARE, len(contrasts), _PROMISED), other


@pytest.mark.slow
def test_counting_the_infused_credits_car_t_with_the_wait(found: list[Claims]) -> None:
    more = np.array([np.mean([c.infused_only[k].value - c.ours[k].value for k in c.infused_only]) for c in found])

    assert more.mean() > 2 * more.std(ddof=1) / np.sqrt(len(more))
