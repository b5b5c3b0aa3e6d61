"""A group that the model serves badly is found, and none is made up where all are served alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipeline.config import GateConfig
from pipeline.evaluate.by_group import by_group, holm, seen_of
from pipeline.evaluate.league import logged_of
from pipeline.evaluate.policies import best
from tests.evaluate.drawn_evidence import ARMS, CONTROL, FLOOR, Drawn, drawn

GATES = GateConfig()


def _groups(n: int, seed: int) -> pd.DataFrame:
    """Return eight groups of three kinds, the smallest of which has a twentieth of the people."""
    rng = np.random.default_rng(seed)
    table = {
        "age": pd.Categorical(np.where(rng.random(n) < 0.4, "old", "young"), categories=["young", "old"]),
        "site": pd.Categorical(rng.choice(["site 1", "site 2", "site 3"], n, p=[0.5, 0.3, 0.2])),
        "race": pd.Categorical(rng.choice(["a", "b", "c"], n, p=[0.8, 0.15, 0.05])),
    }
    return pd.DataFrame(table, index=pd.Index([f"D{k}" for k in range(n)], name="decision_id"))


def _predictions(people: pd.DataFrame, tied: np.ndarray | None = None) -> pd.DataFrame:
    first = np.zeros(len(people), dtype=bool) if tied is None else tied
    rows = {"decision_id": people.index, "status": np.where(first, "tied", "ranked"), "rank": 1}
    return pd.DataFrame(rows).astype({"rank": "Int64"})


def _found(people: Drawn, groups: pd.DataFrame, chance: np.ndarray | None = None, gates: GateConfig = GATES) -> dict:
    logged = logged_of(people.evidence, np.zeros_like(people.truth), np.ones(1), FLOOR)
    chosen = best(people.truth, np.zeros(people.truth.shape, dtype=bool)) if chance is None else chance
    return by_group(seen_of(people.evidence, chosen, logged, CONTROL), groups, _predictions(groups), ARMS, gates)


def _row(found: dict, level: str) -> dict:
    return next(row for row in found["groups"] if row["level"] == level)


def _shifted(people: Drawn, inside: np.ndarray, by: float) -> Drawn:
    """Return the same people with predictions that promise more to some of them."""
    outcomes = people.evidence.outcomes + np.where(inside, by, 0.0)[:, None, None]
    return replace(people, evidence=replace(people.evidence, outcomes=outcomes))


def test_a_planted_miscalibration_of_one_group_is_found_and_named() -> None:
    groups = _groups(2000, 1)
    inside = (groups["race"] == "b").to_numpy()
    found = _found(_shifted(drawn(2000, 1), inside, 0.25), groups)

    assert [row["level"] for row in found["groups"] if row["off"]] == ["b"]
    assert _row(found, "b")["in_the_large"] == pytest.approx(-0.25, abs=0.06)
    assert "race: b" in found["words"]


def test_a_miscalibration_within_the_margin_is_left_alone() -> None:
    groups = _groups(2000, 1)
    found = _found(_shifted(drawn(2000, 1), np.ones(2000, dtype=bool), 0.05), groups)

    assert not any(row["off"] for row in found["groups"])
    assert "None of 8 groups is clearly off" in found["words"]


def test_false_alarms_are_as_rare_as_promised_even_where_every_group_stands_at_the_margin() -> None:
    alarms = 0
    for seed in range(25):
        people = _shifted(drawn(200, seed), np.ones(200, dtype=bool), GATES.subgroup_margin)
        logged = logged_of(people.evidence, np.zeros_like(people.truth), np.ones(1), FLOOR)
        groups = _groups(200, seed + 100)
        found = by_group(seen_of(people.evidence, None, logged, CONTROL), groups, _predictions(groups), ARMS, GATES)
        alarms += any(row["off"] for row in found["groups"])

    assert alarms <= 5  # at most 0.05 each: more than 5 of 25 has a chance of 0.002


def test_a_group_for_whom_the_choices_are_worse_is_found() -> None:
    people, groups = drawn(1500, 2, confounding=0.3, effect=-0.35), _groups(1500, 2)
    inside = (groups["site"] == "site 2").to_numpy()
    chance = np.where(inside[:, None], np.eye(3)[2], best(people.truth, np.zeros((1500, 3), dtype=bool)))
    found = _found(people, groups, chance)

    # Two thirds of the group would get an arm that is worse by 0.35.
    assert _row(found, "site 2")["difference"] == pytest.approx(-0.35 * 2 / 3, abs=0.08)
    assert [row["level"] for row in found["groups"] if row["worse"]] == ["site 2"]
    assert not any(row["worse"] for row in _found(people, groups)["groups"])


def test_a_group_of_too_few_people_is_not_judged_and_small_counts_are_not_written() -> None:
    groups = _groups(500, 3)
    few = np.where(np.arange(500) < 29, "few", np.where(np.arange(500) < 36, "fewer", "many"))
    groups = groups[["age"]].assign(kind=pd.Categorical(few))
    found = _found(drawn(500, 3), groups)
    told = _row(found, "few")

    assert not told["judged"]
    assert all(told[key] is None for key in ("difference", "in_the_large", "c_index"))
    # The seven could be worked out from all and the other two.
    assert [_row(found, level)["decisions"] for level in ("few", "fewer", "many")] == [None, None, 464]
    assert "2 of under 30 people are not judged" in found["words"]
    assert _row(_found(drawn(500, 3), groups, gates=GateConfig(subgroup_people=29)), "few")["judged"]


def test_people_of_whom_it_is_not_known_are_a_group_of_their_own() -> None:
    groups = _groups(400, 4)
    groups.loc[groups.index[:100], "age"] = np.nan
    found = _found(drawn(400, 4), groups)

    assert [row["level"] for row in found["groups"][:3]] == ["young", "old", "unknown"]
    assert _row(found, "unknown")["decisions"] == 100


def test_shared_first_places_are_counted_in_the_sample_by_group() -> None:
    people, groups = drawn(400, 5), _groups(400, 5)
    tied = (groups["age"] == "old").to_numpy()
    logged = logged_of(people.evidence, np.zeros_like(people.truth), np.ones(1), FLOOR)
    found = by_group(seen_of(people.evidence, None, logged, CONTROL), groups, _predictions(groups, tied), ARMS, GATES)

    assert _row(found, "old")["tied"] == {"low": 1.0, "high": 1.0}
    assert _row(found, "young")["tied"] == {"low": 0.0, "high": 0.0}


def test_without_a_value_for_everybody_no_group_has_one() -> None:
    # One arm is chosen for 72 people, of whom a third were given it; all arms together have support in each group.
    chance = np.eye(3)[np.where(np.arange(1200) % 100 < 6, 2, 0)]
    found = _found(drawn(1200, 6, confounding=0.0), _groups(1200, 6), chance)

    assert found["everybody"]["vetoed"]
    assert all(row["difference"] is None for row in found["groups"])
    assert all(row["in_the_large"] is not None for row in found["groups"] if row["judged"])


@pytest.mark.parametrize(
    ("chances", "wanted"),
    [
        # Holm at 0.05 with four tests: 0.0125, 0.0167, 0.025, 0.05 in order of size, until the first that fails.
        ([0.01, 0.04, 0.03, 0.005], [True, False, False, True]),
        ([0.0126, 0.0001, 0.9, 0.9], [True, True, False, False]),
        ([0.02, 0.02, 0.02, 0.02], [False] * 4),
        ([0.01, 0.01, 0.01, 0.01], [True] * 4),
        ([], []),
    ],
)
def test_holm_rejects_from_the_smallest_until_the_first_that_does_not(chances: list[float], wanted: list[bool]) -> None:
    assert holm(chances, 0.05).tolist() == wanted
