"""Censoring weights and concordance against lifelines and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from lifelines import KaplanMeierFitter
from lifelines.utils import concordance_index

from pipeline.evaluate.censoring import censoring_survival, concordance, horizon_weights


def test_the_censoring_curve_is_kaplan_meiers_of_being_censored() -> None:
    rng = np.random.default_rng(1)
    months, event = rng.exponential(8, 400), rng.integers(0, 2, 400)
    oracle = KaplanMeierFitter().fit(months, 1 - event)
    just_before = np.sort(months) - 1e-9

    assert censoring_survival(months, event, just_before) == pytest.approx(
        oracle.survival_function_at_times(just_before).to_numpy()
    )


def test_weights_stand_in_for_those_lost() -> None:
    rng = np.random.default_rng(2)
    time, lost = rng.exponential(10, 20_000), rng.exponential(15, 20_000)
    months, event = np.minimum(time, lost), (time <= lost).astype(int)
    weight = horizon_weights(months, event, 12.0)
    failed = (event == 1) & (months <= 12)

    assert weight @ failed / weight.sum() == pytest.approx(1 - np.exp(-1.2), abs=0.015)
    assert np.all(weight[(event == 0) & (months < 12)] == 0)


def test_without_censoring_concordance_is_harrells() -> None:
    rng = np.random.default_rng(3)
    months = rng.exponential(10, 300)
    risk = -np.log(months) + rng.normal(0, 1, 300)
    found = concordance(months, np.ones(300, dtype=int), risk, np.inf)

    assert found is not None
    assert found.value == pytest.approx(concordance_index(months, -risk))
    assert found.low < found.value < found.high


def test_its_interval_covers_chance_ninety_times_in_a_hundred() -> None:
    rng = np.random.default_rng(4)
    covered = 0
    for _ in range(200):
        months, lost = rng.exponential(10, 120), rng.exponential(15, 120)
        seen = np.minimum(months, lost)
        found = concordance(seen, (months <= lost).astype(int), rng.normal(size=120), 12.0)
        covered += found is not None and found.low <= 0.5 <= found.high

    assert 165 <= covered <= 195


@pytest.mark.parametrize(("risk", "wanted"), [([3, 2, 1], 1.0), ([1, 2, 3], 0.0), ([1, 1, 1], 0.5), ([3, 1, 1], 5 / 6)])
def test_pairs_are_counted_by_hand(risk: list[float], wanted: float) -> None:
    found = concordance(np.array([1.0, 2.0, 3.0]), np.array([1, 1, 1]), np.array(risk, dtype=float), 12.0)

    assert found is not None
    assert found.value == pytest.approx(wanted)


def test_a_competing_event_outlives_everyone() -> None:
    found = concordance(np.array([2.0, 1.0]), np.array([1, 2]), np.array([1.0, 0.0]), 12.0)

    assert found is not None
    assert found.value == 1.0


def test_no_event_gives_no_concordance() -> None:
    assert concordance(np.array([1.0, 2.0]), np.array([0, 0]), np.array([1.0, 2.0]), 12.0) is None
