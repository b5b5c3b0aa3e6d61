"""Whatever rules and availability say, they never lift a modality over one the model held clearly better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.learners import clearly_better
from pipeline.learners.targets import Target
from pipeline.ranker import Circumstances, Standing, stand
from pipeline.vocabulary import UNRANKABLE_VERDICTS, VERDICTS, Modality

ARMS = ("a", "b", "c", "d")
TARGETS = (Target("durable_control", "event_free", 12, 1.0),)


@dataclass(frozen=True)
class _Contract:
    def reasons(self, features: pd.DataFrame, columns: Any) -> list[str | None]:
        return [None] * len(features)


@dataclass(frozen=True)
class FixedModel:
    """A model that holds what it is told: suitability, its spread and support, one row of each."""

    value: tuple[float, ...]
    spread: tuple[float, ...]
    propensity: tuple[float, ...]
    arms: tuple[str, ...] = ARMS
    targets: tuple[Target, ...] = TARGETS
    contract: _Contract = _Contract()
    columns: None = None

    def outcomes(self, features: pd.DataFrame) -> np.ndarray:
        return np.array(self.value)[None, :, None]

    def support(self, features: pd.DataFrame, is_impossible: np.ndarray) -> np.ndarray:
        left = np.where(is_impossible, 0.0, np.array(self.propensity)[None])
        return left / np.maximum(left.sum(axis=1, keepdims=True), 1e-12)

    def deviations(self, features: pd.DataFrame, signed: np.ndarray) -> np.ndarray:
        return np.diag(self.spread)[None]


def modality(name: str) -> Modality:
    burden = {"hospital_days": 0, "visit_days": 0, "source": "a test"}
    return Modality.model_validate(
        {"id": name, "label": name, "agents": ["x"], "time_limited": False, "burden": burden}
    )


def standing(model: FixedModel, verdict: list[str], available: list[float], permitted: list[int]) -> Standing:
    zero = [absent == 0 for absent in available]
    circumstances = Circumstances(
        is_available=np.array([available]),
        verdict=np.array([verdict]),
        is_impossible=np.array([zero]),
        permitted_cases=np.array([permitted]),
    )
    features = pd.DataFrame({"decision_id": ["x"], "distance_km": [0.0]})
    weights = pd.DataFrame({"durable_control": [1.0], "burden": [0.0]}, index=["x"])
    return stand(model, features, [modality(name) for name in ARMS], weights, circumstances, 0.02)  # type: ignore[arg-type]


four = {"min_size": 4, "max_size": 4}
models = st.builds(
    FixedModel,
    value=st.lists(st.floats(-1, 1), **four).map(tuple),
    spread=st.lists(st.floats(0, 0.3), **four).map(tuple),
    propensity=st.lists(st.floats(0.001, 1), **four).map(tuple),
)
verdicts = st.lists(st.sampled_from(VERDICTS), **four)
available = st.lists(st.sampled_from([0.0, 1.0, np.nan]), **four)
permitted = st.lists(st.sampled_from([-1, 0, 39, 40, 400]), **four)
FREE: tuple[list[str], list[float], list[int]] = (["clear"] * 4, [np.nan] * 4, [-1] * 4)


def better(model: FixedModel) -> np.ndarray:
    return clearly_better(np.array([model.value]), np.diag(model.spread)[None])[0]


@given(models, verdicts, available, permitted)
@settings(max_examples=150, deadline=None)
def test_no_rule_lifts_a_modality_to_or_over_the_rank_of_one_the_model_held_clearly_better(
    model: FixedModel, said: list[str], offered: list[float], cases: list[int]
) -> None:
    ruled = standing(model, said, offered, cases).rank[0]
    is_better = better(model)

    for i, j in zip(*np.nonzero(is_better), strict=True):
        if not np.isnan(ruled[i]) and not np.isnan(ruled[j]):
            assert ruled[i] < ruled[j], "what was clearly better must stay ahead of what was clearly worse"


@given(models, verdicts, available, permitted)
@settings(max_examples=150, deadline=None)
def test_blocked_undecided_and_unavailable_modalities_are_never_ranked(
    model: FixedModel, said: list[str], offered: list[float], cases: list[int]
) -> None:
    ruled = standing(model, said, offered, cases)

    for place in range(4):
        if said[place] in UNRANKABLE_VERDICTS or offered[place] == 0:
            assert np.isnan(ruled.rank[0, place])
            assert ruled.status[0, place] not in ("ranked", "tied")


@given(models, verdicts, available, permitted)
@settings(max_examples=150, deadline=None)
def test_rules_never_give_a_rank_to_what_had_none_and_never_touch_the_models_own_order(
    model: FixedModel, said: list[str], offered: list[float], cases: list[int]
) -> None:
    free, ruled = standing(model, *FREE), standing(model, said, offered, cases)

    assert not np.any(np.isnan(free.rank) & ~np.isnan(ruled.rank))
    assert np.array_equal(free.model_rank, ruled.model_rank)
    assert np.array_equal(free.suitability, ruled.suitability)


@given(models, verdicts)
@settings(max_examples=150, deadline=None)
def test_a_rank_improves_only_by_as_many_as_were_taken_away_from_before_it(model: FixedModel, said: list[str]) -> None:
    free, ruled = standing(model, *FREE).rank[0], standing(model, said, *FREE[1:]).rank[0]
    is_better = better(model)

    for place in np.flatnonzero(~np.isnan(ruled)):
        gone = int((is_better[:, place] & np.isnan(ruled) & ~np.isnan(free)).sum())
        assert ruled[place] == free[place] - gone


@given(models, verdicts)
@settings(max_examples=100, deadline=None)
def test_cautions_and_actions_leave_every_rank_as_it_was(model: FixedModel, said: list[str]) -> None:
    mild = ["caution" if verdict in UNRANKABLE_VERDICTS else verdict for verdict in said]

    free, ruled = standing(model, *FREE), standing(model, mild, *FREE[1:])
    assert np.array_equal(free.rank, ruled.rank, equal_nan=True)
    assert np.array_equal(free.status, ruled.status)
