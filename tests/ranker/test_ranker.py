"""Ranks, ties and statuses: definitions as drawn cases and invariants."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.learners import clearly_better, signed_weights
from pipeline.learners.targets import Target
from pipeline.ranker import _ranks, _tied, burden, personal_weights
from pipeline.vocabulary import Modality

TARGETS = (Target("durable_control", "event_free", 12, 1.0), Target("severe_toxicity", "incidence", 6, -1.0))


def _modality(hospital: float, visits: float) -> Modality:
    return Modality.model_validate(
        {
            "id": "m",
            "label": "M",
            "agents": ["x"],
            "time_limited": False,
            "burden": {"hospital_days": hospital, "visit_days": visits, "source": "test"},
        }
    )


@pytest.mark.parametrize(
    ("hospital", "visits", "distance", "wanted"),
    [
        (0, 18, 0, 0.2),
        (0, 18, 400, 0.4),
        (9, 18, np.nan, 0.3),
        (45, 45, 0, 1.0),
        (90, 90, 400, 1.0),
    ],
)
def test_burden_is_days_of_ninety_with_travel(hospital: float, visits: float, distance: float, wanted: float) -> None:
    assert burden([_modality(hospital, visits)], np.array([distance]))[0, 0] == pytest.approx(wanted)


def test_stated_preferences_replace_their_weights_and_the_others_stay() -> None:
    stated = pd.DataFrame({"decision_id": ["b", "c", "x"], "outcome": ["burden"] * 3, "weight": [0.5, 0.0, 9.0]})
    weights = personal_weights(["a", "b", "c"], {"durable_control": 0.4, "burden": 0.1}, stated)

    assert weights["burden"].tolist() == [0.1, 0.5, 0.0]
    assert weights["durable_control"].tolist() == [0.4, 0.4, 0.4]


def test_preferences_that_leave_nothing_fall_back_to_the_defaults() -> None:
    stated = pd.DataFrame({"decision_id": ["a", "a"], "outcome": ["durable_control", "burden"], "weight": [0.0, 0.0]})
    weights = personal_weights(["a"], {"durable_control": 0.4, "burden": 0.1}, stated)

    assert weights.loc["a"].tolist() == [0.4, 0.1]


def test_an_outcome_that_the_source_lacks_leaves_numerator_and_denominator() -> None:
    names = ["durable_control", "treatment_free", "severe_toxicity", "burden"]
    signed = signed_weights(np.array([[0.4, 0.3, 0.4, 0.2]]), names, TARGETS)

    assert signed[0] == pytest.approx([0.4, -0.4])


values = st.lists(st.floats(-1, 1), min_size=4, max_size=4)
widths = st.lists(st.floats(0.0, 0.5), min_size=4, max_size=4)
masks = st.lists(st.booleans(), min_size=4, max_size=4)


def _better(value: list[float], width: list[float]) -> np.ndarray:
    deviations = np.diag(width)[None]
    return clearly_better(np.array([value]), deviations)


@given(values, widths, masks)
@settings(max_examples=500)
def test_the_order_of_the_rest_does_not_depend_on_a_modality_that_is_not_ranked(
    value: list[float], width: list[float], ranked: list[bool]
) -> None:
    better = _better(value, width)
    kept = np.array(ranked)
    with_all = _ranks(better, kept[None])[0][kept]
    alone = _ranks(better[:, kept][:, :, kept], np.ones((1, kept.sum()), dtype=bool))[0]

    assert with_all.tolist() == alone.tolist()


@given(values, widths, masks)
@settings(max_examples=500)
def test_removing_a_modality_never_makes_another_rank_worse(
    value: list[float], width: list[float], ranked: list[bool]
) -> None:
    better = _better(value, width)
    everyone = _ranks(better, np.ones((1, 4), dtype=bool))[0]
    fewer = _ranks(better, np.array([ranked]))[0]
    kept = np.array(ranked)

    assert np.all(fewer[kept] <= everyone[kept])
    assert np.isnan(fewer[~kept]).all()


@given(values, widths)
@settings(max_examples=500)
def test_clearly_better_is_never_mutual_and_ties_are(value: list[float], width: list[float]) -> None:
    better = _better(value, width)
    tied = _tied(better, np.ones((1, 4), dtype=bool))

    assert not np.any(better & np.swapaxes(better, 1, 2))
    assert np.array_equal(tied, np.swapaxes(tied, 1, 2))
    assert not tied[0].diagonal().any()
    assert np.all(tied | better | np.swapaxes(better, 1, 2) | np.eye(4, dtype=bool))


@given(values)
@settings(max_examples=500)
def test_without_uncertainty_only_equals_share_a_rank(value: list[float]) -> None:
    rank = _ranks(_better(value, [0.0] * 4), np.ones((1, 4), dtype=bool))[0]

    assert [int(r) for r in rank] == [1 + sum(other > own for other in value) for own in value]


def test_the_best_is_first_and_the_clearly_worse_are_counted() -> None:
    rank = _ranks(_better([0.5, 0.45, 0.1, -0.4], [0.05] * 4), np.ones((1, 4), dtype=bool))[0]

    assert rank.tolist() == [1, 1, 3, 4]
