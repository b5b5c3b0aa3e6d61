"""What is handed to the estimator is read right or refused in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.learners import Target
from pipeline.learners.tables import (
    chances,
    feature_table,
    known_propensity,
    labels,
    one_outcome,
    readable,
    refuse_later_facts,
    utility_weights,
)
from pipeline.learners.targets import read_follow_up

ARMS = ("a", "b", "c")
CONTROL = Target("durable_control", "event_free", 12, 1.0)
TOXICITY = Target("severe_toxicity", "incidence", 6, -1.0)


def test_columns_of_an_array_are_numbered() -> None:
    assert list(feature_table(np.ones((2, 3)))) == ["x0", "x1", "x2"]


def test_whole_number_categories_are_read_by_their_names() -> None:
    table = readable(pd.DataFrame({"ward": pd.Categorical([3, 7, 3])}), ["ward"])

    assert list(table["ward"]) == ["3", "7", "3"]


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([1, None], dtype="Int64"),
        pd.Series([True, None], dtype="boolean"),
        pd.Series([True, False]),
        pd.Series([1.5, None], dtype=object),
        pd.Series(["a", "b"], dtype="category"),
    ],
)
def test_numbers_truths_gaps_and_categories_can_be_learned_from(column: pd.Series) -> None:
    readable(pd.DataFrame({"x": column}), ["x"])


def test_every_column_that_cannot_be_learned_from_is_named_at_once() -> None:
    table = pd.DataFrame(
        {"text": ["u", "v"], "day": pd.to_datetime(["2024-01-01", None]), "high": [np.inf, 1.0], "unused": ["u", "v"]}
    )
    with pytest.raises(ValueError, match=r"X\.text: .*X\.day: .*X\.high: 1 infinite.*X\.gone: no such column") as found:
        readable(table, ["text", "day", "high", "gone"])
    assert "unused" not in str(found.value)


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match=r"occur twice \(x\)"):
        feature_table(pd.DataFrame(np.ones((2, 2)), columns=["x", "x"]))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["a", "b"], "2 row.s., wanted 3 as in X"),
        (["a", None, "b"], "1 of 3 row.s. are missing"),
        (np.ones((3, 2)), "2 dimension"),
    ],
)
def test_labels_are_one_per_row(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"modality: {message}"):
        labels(given, 3, "modality")


def test_arms_may_be_numbers_and_are_read_as_text() -> None:
    assert list(labels(np.array([0, 2]), 2, "modality")) == ["0", "2"]


@pytest.mark.parametrize(
    "given",
    [
        pd.DataFrame({"months": [3.0, 7.5], "event": [1, 0]}),
        pd.DataFrame({"months": [3, 7.5], "event": [True, False], "site": ["n", "s"]}),
        np.array([(True, 3.0), (False, 7.5)], dtype=[("event", bool), ("time", float)]),
        np.array([(True, 3.0), (False, 7.5)], dtype=[("cens", "?"), ("survived", "f4")]),
    ],
)
def test_one_outcome_is_a_time_and_an_event_as_a_table_or_as_scikit_survival_has_it(given: Any) -> None:
    assert one_outcome(given).to_dict("list") == {"event_free_months": [3.0, 7.5], "event_free_event": [1.0, 0.0]}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (pd.DataFrame({"time": [1.0], "event": [1]}), "got time, event; wanted .*months and event"),
        (pd.DataFrame({"months": [1.0], "event": [2]}), r"1 row\(s\) not 0 or 1; for competing events, give `targets`"),
        (pd.DataFrame({"months": [1.0], "event": [np.nan]}), r"1 row\(s\) not 0 or 1"),
        (np.array([(3.0, True)], dtype=[("time", float), ("event", bool)]), "wanted a bool .* in this order"),
        (np.array([1.0]), "got ndarray"),
    ],
)
def test_one_outcome_that_is_none_is_refused(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"outcomes.*{message}"):
        one_outcome(given)


@pytest.mark.parametrize(("known", "is_refused"), [(-1.0, False), (0.0, False), (0.1, True), (np.nan, True)])
def test_a_feature_known_after_the_decision_is_refused(known: float, is_refused: bool) -> None:
    refuse_later_facts({"cd4": known}, ["age"])  # not learned from: no matter
    if is_refused:
        with pytest.raises(ValueError, match="became known after the decision: cd4"):
            refuse_later_facts({"cd4": known}, ["age", "cd4"])
    else:
        refuse_later_facts({"cd4": known}, ["age", "cd4"])


def test_an_outcome_without_a_weight_drops_out_of_numerator_and_denominator() -> None:
    targets = (CONTROL, TOXICITY)

    assert utility_weights({"severe_toxicity": 0.2}, targets) == pytest.approx([0.0, -1.0])
    assert utility_weights({"durable_control": 0.4, "burden": 0.1}, targets) == pytest.approx([0.8, 0.0])
    assert utility_weights(None, targets) == pytest.approx([0.5, -0.5])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"toxicity": 1.0}, "unknown toxicity; known: durable_control, severe_toxicity, burden"),
        ({}, "wanted finite weights"),
        ({"burden": 1.0}, "one of durable_control, severe_toxicity above 0"),
        ({"durable_control": -1.0}, "from 0 on"),
        ({"durable_control": float("nan")}, "finite"),
    ],
)
def test_weights_that_mean_nothing_are_refused(weights: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=f"weights: .*{message}"):
        utility_weights(weights, (CONTROL, TOXICITY))


def test_a_policy_is_an_arm_or_chances_per_row() -> None:
    assert chances(["b", "a"], ARMS, 2).tolist() == [[0, 1, 0], [1, 0, 0]]
    assert chances(pd.DataFrame({"c": [0.25, 1.0], "a": [0.75, 0.0]}), ARMS, 2).tolist() == [[0.75, 0, 0.25], [0, 0, 1]]


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (["b", "z"], r"1 arm\(s\) not ranked \(z\); known: a, b, c"),
        (pd.DataFrame({"a": [1.0, 0.6]}), "probabilities of 1 of 2"),
        (pd.DataFrame({"a": [1.0, 2.0], "b": [0.0, -1.0]}), "probabilities of 1 of 2"),
    ],
)
def test_a_policy_that_is_none_is_refused(policy: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"policy: {message}"):
        chances(policy, ARMS, 2)


@pytest.mark.parametrize(
    "propensity",
    [
        {"a": 0.1, "b": 0.3, "c": 0.4, "never_ranked": 0.2},
        pd.DataFrame({"c": [0.4], "b": [0.3], "a": [0.1]}),
        np.array([[0.1, 0.3, 0.4]]),
    ],
)
def test_known_propensities_are_taken_among_the_ranked_arms(propensity: Any) -> None:
    assert known_propensity(propensity, ARMS, 1)[0] == pytest.approx([0.125, 0.375, 0.5])


@pytest.mark.parametrize(
    ("propensity", "message"),
    [
        ({"a": 0.5, "b": 0.5}, "no column for c"),
        (np.array([[0.5, 0.5]]), r"shape \(1, 2\), wanted \(1, 3\)"),
        (np.array([[0.5, 0.5, 0.5]]), "1 of 1 row"),
        (np.array([[-0.1, 0.5, 0.5]]), "1 of 1 row"),
    ],
)
def test_propensities_that_are_none_are_refused(propensity: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"propensity: {message}"):
        known_propensity(propensity, ARMS, 1)


@pytest.mark.parametrize(
    ("kind", "horizon", "sign", "message"),
    [
        ("event_free", 10, 1, "a horizon of 10 months, wanted a multiple of 3"),
        ("event_free", 0, 1, "a horizon of 0 months"),
        ("event_free", -3, 1, "a horizon of -3 months"),
        ("survival", 12, 1, "kind survival, wanted one of event_free, incidence, free_share"),
        ("incidence", 6, 0.5, "sign 0.5, wanted 1"),
    ],
)
def test_a_target_that_no_hazard_could_give_is_refused(kind: Any, horizon: int, sign: float, message: str) -> None:
    with pytest.raises(ValueError, match=f"target t: {message}"):
        Target("t", kind, horizon, sign)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ((CONTROL, CONTROL), "one name stands twice"),
        ((Target("f", "free_share", 12, 1),), "none has a time and an event"),
        ((Target("f", "free_share", 12, 1), TOXICITY), "a free share needs durable_control"),
        ((Target("f", "free_share", 12, 1), Target("durable_control", "event_free", 15, 1)), "at most 12 months"),
    ],
)
def test_targets_that_do_not_go_together_are_refused(targets: tuple[Target, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_follow_up(pd.DataFrame(), targets)
