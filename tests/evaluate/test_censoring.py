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


def plainly(months: np.ndarray, event: np.ndarray, risk: np.ndarray, horizon: float) -> float:
    """Return Wolbers' concordance pair by pair, with the censoring curve multiplied out at each time."""

    def kept_before(when: float) -> float:
        curve = 1.0
        for time in sorted(set(months[(event == 0) & (months < when)])):
            lost = np.sum((months == time) & (event == 0))
            curve *= 1 - lost / np.sum((months > time) | (months == time) & (event == 0))
        return max(curve, 0.05)

    above = below = 0.0
    for i in range(len(months)):
        if event[i] != 1 or months[i] > horizon:
            continue
        for j in range(len(months)):
            outlives = months[j] > months[i] or (months[j] == months[i] and event[j] == 0)
            competed = event[j] == 2 and months[j] <= months[i]
            if not outlives and not competed:
                continue
            weight = 1 / (kept_before(months[i]) * kept_before(months[j] if competed else months[i]))
            above += weight * (1.0 if risk[i] > risk[j] else 0.5 if risk[i] == risk[j] else 0.0)
            below += weight
    return above / below


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("horizon", [6.0, 100.0])
def test_with_competing_events_it_is_the_plain_definition_ties_and_all(seed: int, horizon: float) -> None:
    rng = np.random.default_rng(seed)
    months, event = rng.integers(1, 13, 60).astype(float), rng.integers(0, 3, 60)
    risk = rng.integers(0, 5, 60).astype(float)
    found = concordance(months, event, risk, horizon)

    assert found is not None
    assert found.value == pytest.approx(plainly(months, event, risk, horizon))


def test_censoring_leaves_the_concordance_of_competing_events_where_it_was() -> None:
    rng = np.random.default_rng(7)
    risk = rng.normal(size=6000)
    own, other = rng.exponential(10 * np.exp(-0.7 * risk)), rng.exponential(8 * np.exp(0.5 * risk))
    months, event = np.minimum(own, other), np.where(own <= other, 1, 2)
    lost = rng.uniform(0, 20, 6000)
    whole = concordance(months, event, risk, 12.0)
    seen = concordance(np.minimum(months, lost), np.where(lost < months, 0, event), risk, 12.0)

    assert whole is not None
    assert seen is not None
    assert seen.low < whole.value < seen.high
    assert seen.value == pytest.approx(whole.value, abs=0.01)


def test_who_had_the_competing_event_first_weighs_by_the_loss_up_to_then() -> None:
    # Cases at 3 against the competing event at 1; between them one of the two left to be lost is lost.
    months, event = np.array([1.0, 2.0, 3.0, 4.0]), np.array([2, 0, 1, 1])
    found = concordance(months, event, np.array([0.0, 0.0, 1.0, 2.0]), 12.0)

    # G(1) = 1, G(3) = G(4) = 2/3. Pairs: 3-1 and 4-1 weigh 3/2 each and agree; 3-4 weighs 9/4 and disagrees.
    assert found is not None
    assert found.value == pytest.approx(3 / (3 + 9 / 4))
