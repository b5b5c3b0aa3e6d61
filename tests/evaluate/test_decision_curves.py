"""Acting on risk is worth what Vickers and Elkin's arithmetic says, also where follow-up ends early."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.evaluate.censoring import horizon_weights
from pipeline.evaluate.decision_curves import POINTS, decision_curves, net_benefit
from tests.evaluate.drawn_evidence import CONTROL, drawn

ONES = np.ones(100)
THRESHOLDS = np.array([0.1, 0.25, 0.5, 0.75])
RANGES = {"durable_control": (0.2, 0.8)}


def _points(risk: np.ndarray, is_bad: np.ndarray, thresholds: np.ndarray = THRESHOLDS) -> list[dict]:
    return net_benefit(risk, is_bad, np.ones(len(risk)), np.arange(len(risk)), thresholds)


def test_net_benefit_is_hits_less_false_alarms_at_the_price_of_the_threshold() -> None:
    # Of 100 people 20 have the outcome; 40 are flagged, 15 of them rightly. One look in vain costs a third of a hit.
    is_bad = np.arange(100) < 20
    risk = np.where((np.arange(100) >= 5) & (np.arange(100) < 45), 0.9, 0.0)
    point = _points(risk, is_bad, np.array([0.25]))[0]

    assert point["model"] == pytest.approx(15 / 100 - 25 / 100 / 3)
    assert point["all"] == pytest.approx(20 / 100 - 80 / 100 / 3)
    assert point["gain"] == pytest.approx(point["model"])  # acting for nobody, 0, is the better of the two others
    assert point["flagged"] == {"low": 0.4, "high": 0.4}


def test_a_perfect_model_is_worth_the_share_who_have_the_outcome_at_every_threshold() -> None:
    is_bad = np.arange(400) < 120
    points = _points(np.where(is_bad, 0.99, 0.01), is_bad)

    assert [point["model"] for point in points] == pytest.approx([0.3] * 4)
    assert all(point["better"] for point in points)


def test_a_useless_model_is_nowhere_better() -> None:
    rng = np.random.default_rng(1)
    better = 0
    for _ in range(40):
        is_bad = rng.random(500) < 0.3
        better += sum(point["better"] for point in _points(rng.random(500), is_bad))

    # Both paired differences must be clear, each with a chance of 0.05 at most; no risk helps where it tells nothing.
    assert better <= 2


def test_one_risk_for_everybody_is_acting_for_everybody_or_for_nobody() -> None:
    is_bad = np.arange(100) < 30
    points = _points(np.full(100, 0.3), is_bad)

    assert [point["gain"] <= 1e-12 for point in points] == [True] * 4
    assert points[0]["model"] == pytest.approx(points[0]["all"])
    assert points[3]["model"] == pytest.approx(0.0)


def test_censoring_is_weighed_away() -> None:
    rng = np.random.default_rng(4)
    n = 6000
    risk = rng.uniform(0.1, 0.9, n)
    months = rng.exponential(1.0, n) * -12.0 / np.log1p(-risk)  # chance of the event by 12 months is the risk
    lost = rng.exponential(14.0, n)
    seen, event = np.minimum(months, lost), (months <= lost).astype(int)
    weight = horizon_weights(seen, event, 12.0)
    groups = np.arange(n)
    full = net_benefit(risk, months <= 12, np.ones(n), groups, THRESHOLDS)
    found = net_benefit(risk, (event == 1) & (seen <= 12), weight, groups, THRESHOLDS)

    assert (weight == 0).mean() > 0.3
    for one, other in zip(full, found, strict=True):
        assert other["model"] == pytest.approx(one["model"], abs=0.03)
        assert other["all"] == pytest.approx(one["all"], abs=0.06)


@pytest.mark.parametrize(("flagged", "is_told"), [(0, True), (10, False), (11, True), (89, True), (90, False)])
def test_what_would_tell_of_one_to_ten_people_is_not_told(flagged: int, *, is_told: bool) -> None:
    risk = np.where(np.arange(100) < flagged, 0.9, 0.1)
    point = _points(risk, np.arange(100) % 2 == 0, np.array([0.5]))[0]

    assert (point["model"] is not None) is is_told
    assert (point["flagged"]["low"] == point["flagged"]["high"]) is is_told


def test_a_curve_stands_for_each_outcome_that_happens_or_not_and_has_a_range() -> None:
    people = drawn(900, 2)
    share = replace(CONTROL[0], name="treatment_free", kind="free_share")
    curves = decision_curves(people.evidence, (*CONTROL, share), RANGES | {"treatment_free": (0.1, 0.2)})

    assert [curve["outcome"] for curve in curves] == ["durable_control"]
    assert len(curves[0]["points"]) == POINTS
    assert curves[0]["risk"] == pytest.approx(1 - people.evidence.observed_utility.mean())
    assert decision_curves(people.evidence, CONTROL, {}) == []


def test_the_words_name_the_thresholds_at_which_it_is_better() -> None:
    people = drawn(4000, 2)
    curve = decision_curves(people.evidence, CONTROL, {"durable_control": (0.4, 0.6)})[0]
    better = [100 * point["threshold"] for point in curve["points"] if point["better"]]

    assert f"{better[0]:.3g}" in curve["words"]
    flat = replace(people.evidence, outcomes=np.full_like(people.evidence.outcomes, 0.5))
    assert "nowhere clearly better" in decision_curves(flat, CONTROL, RANGES)[0]["words"]
