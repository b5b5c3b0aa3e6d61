"""Observed less predicted is told with an interval that knows which rows are one person's."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.evaluate.calibration import calibration, come_true, in_the_large, slope_of
from pipeline.evaluate.censoring import concordance, horizon_weights
from tests.evaluate.drawn_evidence import ARMS, CONTROL, drawn

TWICE = np.repeat(np.arange(60), 2)


def test_calibration_in_the_large_is_the_weighted_mean_of_what_is_known_less_what_was_said() -> None:
    # Known: 1 - 0.5 (weight 1) and 0 - 0.5 (weight 3); the mean is (0.5 - 1.5) / 4.
    found = in_the_large(np.full(3, 0.5), np.array([1.0, 0.0, np.nan]), np.array([1.0, 3.0, 0.0]))

    assert found is not None
    assert found.value == pytest.approx(-0.25)
    # Deviations 0.75 and -0.25, weighted 0.75 and -0.75.
    assert found.se == pytest.approx(np.sqrt(2 * 0.75**2) / 4)
    assert in_the_large(np.full(3, 0.5), np.zeros(3), np.zeros(3)) is None


def test_a_person_counted_twice_narrows_no_interval() -> None:
    rng = np.random.default_rng(1)
    predicted, months = rng.random(60), rng.exponential(10, 60)
    event = (rng.random(60) < 0.7).astype(int)
    weight = horizon_weights(months, event, 12.0)
    observed = (months > 12).astype(float)
    once = (predicted, observed, weight)
    doubled = tuple(values[TWICE] for values in once)

    assert slope_of(*doubled, TWICE) == pytest.approx(slope_of(*once))
    both, blind, plain = in_the_large(*doubled, TWICE), in_the_large(*doubled), in_the_large(*once)
    assert both is not None and blind is not None and plain is not None
    assert (both.value, both.se) == pytest.approx((plain.value, plain.se))
    assert blind.se == pytest.approx(plain.se / np.sqrt(2))
    two = concordance(months[TWICE], event[TWICE], predicted[TWICE], 12.0, TWICE)
    one = concordance(months, event, predicted, 12.0)
    assert two is not None and one is not None
    assert (two.value, two.low, two.high) == pytest.approx((one.value, one.low, one.high))


def test_a_person_counted_twice_narrows_no_bin() -> None:
    rng, person = np.random.default_rng(3), np.arange(400)
    predicted, months = rng.random(400), rng.exponential(20, 400)
    event, weight = np.ones(400, dtype=int), np.ones(400)

    def bins(rows: np.ndarray) -> list[tuple[float, float]]:
        timed_by = (months[rows], event[rows])
        observed = (months > 12).astype(float)[rows]
        found = come_true(predicted[rows], observed, weight[rows], person[rows], CONTROL[0], timed_by)
        return [(row["low"], row["high"]) for row in found["bins"]]

    # Eight bins of 50 people, or of 100 rows: the same people are in each.
    assert np.allclose(bins(person), bins(np.repeat(person, 2)))


def test_ninety_of_a_hundred_intervals_hold_what_is_right_when_people_come_back() -> None:
    rng, held = np.random.default_rng(2), 0
    for _ in range(400):
        person = np.repeat(np.arange(80), 2)
        chance = np.clip(0.5 + 0.2 * rng.normal(size=80), 0.05, 0.95)[person]
        same = rng.random(80)[person]  # both decisions of a person share their luck
        found = in_the_large(np.full(160, 0.5), (same < chance).astype(float), np.ones(160), person)
        assert found is not None
        held += abs(found.value) <= 1.645 * found.se

    assert 0.86 <= held / 400 <= 0.94  # 0.90 by more than two and a half binomial standard errors


def test_each_row_tells_its_interval_and_a_right_model_is_inside() -> None:
    rows = calibration(drawn(3000, 3).evidence, ARMS, CONTROL, {})

    assert [row["modality"] for row in rows] == list(ARMS)
    for row in rows:
        assert row["in_the_large_low"] < row["in_the_large"] < row["in_the_large_high"]
        assert abs(row["in_the_large"]) < 0.04
