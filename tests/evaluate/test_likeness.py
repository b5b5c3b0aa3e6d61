"""People alike: groups of sixty, counts that tell of nobody, curves as survival analysis has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines import KaplanMeierFitter

from pipeline.evaluate.likeness import (
    FEWEST_ALIKE,
    FEWEST_IN_CURVE,
    free_of_event,
    group_of,
    likeness,
    two_digits,
    typical_values,
)
from pipeline.learners import SMALL_CELL

ARMS = ("adc", "car_t", "rare")
LEVELS = {"sex": ("female", "male")}
Drawn = dict[str, Any]


def drawn(seed: int, rows: int = 420) -> Drawn:
    """Return decisions of about two thirds as many people, with gaps and an arm that few were given."""
    rng = np.random.default_rng(seed)
    patients = pd.Series([f"P{k}" for k in rng.integers(0, rows * 2 // 3, rows)])
    features = pd.DataFrame(
        {
            "age": np.where(rng.random(rows) < 0.1, np.nan, rng.normal(68, 9, rows)),
            "egfr": np.where(rng.random(rows) < 0.6, np.nan, rng.gamma(6, 12, rows)),
            "frail": np.where(rng.random(rows) < 0.2, np.nan, rng.integers(0, 2, rows)),
            "hardly_known": np.where(rng.random(rows) < 0.02, 7.25, np.nan),
            "sex": pd.Categorical(rng.choice(LEVELS["sex"], rows), categories=LEVELS["sex"]),
        }
    )
    given_arm = pd.Series(rng.choice(ARMS, rows, p=[0.48, 0.5, 0.02]))
    level = 0.01 * features["age"].fillna(68) + 0.2 * features["frail"].fillna(0) + 0.1 * (features["sex"] == "male")
    suitability = np.column_stack([level, level + 0.3 * (features["egfr"].fillna(60) > 60)])
    months = rng.exponential(14, rows)
    labels = pd.DataFrame({"durable_control_months": months, "durable_control_event": rng.random(rows) < 0.7})
    typical = typical_values(features, list(features), LEVELS, patients)
    document = likeness(
        features, LEVELS, typical, suitability, given_arm, labels.astype({"durable_control_event": int}), patients,
        ARMS, 12,
    )  # fmt: skip
    return {"features": features, "patients": patients, "given": given_arm, "labels": labels} | {
        "typical": typical,
        "document": document,
    }


def groups_of(found: Drawn) -> list[Drawn]:
    return [group_of(found["document"], found["features"].iloc[[row]], found["typical"]) for row in range(420)]


def told(group: Drawn) -> str:
    return repr([(q["feature"], q.get("over"), q.get("is"), q["answer"]) for q in group["alike"]])


@pytest.mark.parametrize("seed", range(5))
def test_people_alike_are_at_least_sixty_and_counted_as_they_are_found_again(seed: int) -> None:
    found = drawn(seed)
    groups = groups_of(found)
    leaf = pd.Series([told(group) for group in groups])
    for key, group in {told(group): group for group in groups}.items():
        for arm in ARMS:
            people = found["patients"][(leaf == key) & (found["given"] == arm)].nunique()
            assert group["people"][arm] in (people, None)
            assert (arm in group["curves"]) is (people >= FEWEST_IN_CURVE)

    assert found["patients"].groupby(leaf).nunique().min() >= FEWEST_ALIKE
    assert leaf.nunique() == len(found["document"]["groups"]) > 1


@pytest.mark.parametrize("seed", range(5))
def test_no_count_of_one_to_ten_can_be_read_or_worked_out(seed: int) -> None:
    table = pd.DataFrame([group["people"] for group in drawn(seed)["document"]["groups"]])

    assert not ((table > 0) & (table < SMALL_CELL)).any(axis=None)
    assert 1 not in {*table.isna().sum(axis=1), *table.isna().sum(axis=0)}
    assert table["rare"].isna().any()


def questions(node: Drawn) -> list[Drawn]:
    return [] if "group" in node else [node, *questions(node["no"]), *questions(node["yes"])]


@pytest.mark.parametrize("seed", range(5))
def test_every_threshold_is_round_and_sets_eleven_people_apart(seed: int) -> None:
    found = drawn(seed)
    for node in questions(found["document"]["tree"]):
        if "over" in node:
            values = found["features"][node["feature"]]
            sides = (values[values > node["over"]], values[values <= node["over"]])
            assert min(found["patients"][side.index].nunique() for side in sides) >= SMALL_CELL
            assert node["over"] == two_digits(node["over"])


def test_typical_values_are_rounded_medians_and_usual_answers_of_eleven_people() -> None:
    found = drawn(3)

    assert found["typical"]["age"] == two_digits(found["features"]["age"].median())
    assert found["typical"]["frail"] in (0.0, 1.0)
    assert found["typical"]["sex"] in LEVELS["sex"]
    assert "hardly_known" not in found["typical"]


def test_few_people_make_one_group() -> None:
    rows = 80
    document = likeness(
        pd.DataFrame({"age": np.arange(rows, dtype=float)}),
        {},
        {"age": 40.0},
        np.zeros((rows, 2)),
        pd.Series(["adc"] * rows),
        pd.DataFrame(index=range(rows)),
        pd.Series([f"P{k}" for k in range(rows)]),
        ARMS,
        12,
    )

    assert document["tree"] == {"group": 0}
    assert document["groups"] == [{"people": {"adc": 80, "car_t": 0, "rare": 0}, "curves": {}}]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0.1, 30), st.booleans()), min_size=30, max_size=120))
def test_curves_are_kaplan_meier_until_fewer_than_eleven_are_followed(people: list[tuple[float, bool]]) -> None:
    months, is_event = np.array([m for m, _ in people]), np.array([e for _, e in people])
    curve = free_of_event(months, is_event, 12)
    fitted = KaplanMeierFitter().fit(months, is_event)

    np.testing.assert_allclose(curve, fitted.predict(np.arange(len(curve), dtype=float)), atol=0.00501)
    assert curve[0] == 1.0
    assert all((months >= month).sum() >= SMALL_CELL for month in range(len(curve)))
    assert len(curve) == 13 or (months >= len(curve)).sum() < SMALL_CELL
