"""Policy values against a world whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.evaluate.league import league, policies
from pipeline.learners import ModalityRanker
from tests.learners.worlds import ARMS, WEIGHTS, World, ranker, world

pytestmark = pytest.mark.xdist_group("league")


@pytest.fixture(scope="module")
def people() -> World:
    """Return 1,500 people of a confounded world."""
    return world(1500, 21)


@pytest.fixture(scope="module")
def fitted(people: World) -> ModalityRanker:
    """Return an estimator fitted on them."""
    return ranker().fit(people.features, people.modality, people.outcomes)


@pytest.fixture(scope="module")
def table(people: World, fitted: ModalityRanker) -> dict[str, dict[str, float]]:
    """Return the league table, by policy."""
    nothing = np.zeros((1500, 3))
    signed = fitted._signed(WEIGHTS)
    found = policies(fitted.evidence_, nothing, signed, nothing.astype(bool))
    rows = league(fitted.evidence_, nothing, found, {"suitability": people.truth})
    return {row["policy"]: row for row in rows}


@pytest.mark.parametrize("policy", ["clinicians", "random", "one_best_arm", "imitation", "model"])
def test_the_estimated_value_lies_near_the_true_one(table: dict[str, dict[str, float]], policy: str) -> None:
    row = table[policy]

    assert abs(row["value"] - row["true_value"]) < 4 * row["se"]


def test_what_clinicians_did_is_worth_what_was_observed(
    people: World, fitted: ModalityRanker, table: dict[str, dict[str, float]]
) -> None:
    own = people.modality.map({arm: k for k, arm in enumerate(ARMS)}).to_numpy()

    # A doubly-robust score of one's own choice would weigh people by 1 / propensity: not what was done.
    assert table["clinicians"]["value"] == pytest.approx(fitted.evidence_.observed_utility.mean())
    assert table["clinicians"]["true_value"] == pytest.approx(people.truth[np.arange(1500), own].mean())
    assert table["clinicians"]["difference"] == 0.0
    assert table["clinicians"]["difference_se"] == 0.0


def test_the_model_leads_one_best_arm_which_leads_chance(table: dict[str, dict[str, float]]) -> None:
    assert table["model"]["value"] > table["one_best_arm"]["value"] > table["random"]["value"]
    assert table["model"]["true_regret"] < table["one_best_arm"]["true_regret"] < table["clinicians"]["true_regret"]


def test_an_impossible_arm_is_never_chosen(fitted: ModalityRanker) -> None:
    impossible = np.zeros((1500, 3), dtype=bool)
    impossible[:, 2] = True
    found = policies(fitted.evidence_, np.zeros((1500, 3)), fitted._signed(WEIGHTS), impossible)

    assert all(choice.chance[:, 2].sum() == 0 for choice in found if choice.policy != "clinicians")
