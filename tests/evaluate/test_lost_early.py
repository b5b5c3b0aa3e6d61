"""People lost before the horizon: counted by those who were followed, and where that disagrees with completion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.evaluate.checks import lost_early_check
from pipeline.evaluate.lost_early import LARGEST_MOVE, lost_early, weighted_outcome
from pipeline.learners import FollowUp, Target
from tests.evaluate.drawn_evidence import ARMS, CLIP, CONTROL, FLOOR, LABELS, drawn

SIGNED = np.array([1.0])


def lost_by_chance(n: int, seed: int, rates: tuple[float, float, float], completed: float | None = None):
    """Return people of whom some are lost, more in some arms, and what those lost are completed with (None: truth)."""
    people = drawn(n, seed, effect=0.2)
    evidence, rng = people.evidence, np.random.default_rng(seed + 1)
    months, event = evidence.follow_up.months["durable_control"], evidence.follow_up.event["durable_control"]
    leaving = rng.exponential(1 / np.array(rates)[evidence.arm])
    lost = leaving < months
    truth = people.truth[np.arange(n), evidence.arm]
    seen = np.where(lost, truth if completed is None else completed, evidence.fold.observed[:, 0])
    follow_up = FollowUp(
        {"durable_control": np.where(lost, leaving, months)},
        {"durable_control": np.where(lost, 0, event)},
        evidence.follow_up.free,
    )
    fold = replace(evidence.fold, observed=seen[:, None])
    return people, replace(evidence, follow_up=follow_up, fold=fold), lost


def told(evidence) -> dict:
    possible = np.ones((len(evidence.arm), 3), dtype=bool)
    return lost_early(evidence, possible, SIGNED, ARMS, LABELS, CONTROL, FLOOR, CLIP)


def test_the_followed_stand_in_for_the_lost_of_their_own_arm() -> None:
    people, evidence, _ = lost_by_chance(40_000, 3, (0.02, 0.02, 0.10))
    without_a_model = np.zeros(len(evidence.arm))
    found = weighted_outcome(evidence.follow_up, CONTROL[0], evidence.arm, without_a_model)

    for number in range(3):
        own = evidence.arm == number
        truth = people.truth[own, number].mean()
        # Four standard errors: a weighted mean of n draws has at most the spread of its values over sqrt(n).
        assert found[own].mean() == pytest.approx(truth, abs=4 * found[own].std() / np.sqrt(own.sum()))


@pytest.mark.parametrize(
    ("kind", "event", "months", "wanted"),
    [
        ("event_free", [1, 0, 2, 0], [3.0, 12.0, 4.0, 13.0], [0, 1, 0, 1]),
        ("incidence", [1, 0, 2, 0], [3.0, 12.0, 4.0, 13.0], [1, 0, 0, 0]),
        ("incidence", [1, 1, 2, 0], [12.0, 12.5, 12.5, 12.0], [1, 0, 0, 0]),
    ],
)
def test_where_nobody_is_lost_outcomes_are_what_was_seen(
    kind: str, event: list[int], months: list[float], wanted: list[int]
) -> None:
    follow_up = FollowUp({"x": np.array(months)}, {"x": np.array(event)}, np.zeros((4, 4)))
    found = weighted_outcome(follow_up, Target("x", kind, 12, 1.0), np.array([0, 0, 1, 1]), np.full(4, 0.4))

    assert found.tolist() == wanted


def test_where_nobody_is_lost_no_comparison_moves() -> None:
    evidence = drawn(2000, 5, effect=0.2).evidence
    found = told(evidence)

    assert [row["moved"] for row in found["pairs"]] == pytest.approx([0.0, 0.0, 0.0], abs=1e-12)
    assert [row["completed"] for row in found["pairs"]] == pytest.approx(
        [evidence.scores[:, a].mean() - evidence.scores[:, b].mean() for a, b in ((0, 1), (0, 2), (1, 2))]
    )
    assert lost_early_check(found)["result"] == "pass"


@pytest.mark.parametrize("seed", range(5))
def test_true_completion_and_loss_by_chance_agree(seed: int) -> None:
    _, evidence, lost = lost_by_chance(3000, seed, (0.03, 0.03, 0.08))
    found = told(evidence)

    assert lost.mean() > 0.2
    assert not any(row["clear"] for row in found["pairs"])
    assert "No comparison moves clearly" in found["words"]


def test_a_completion_that_flatters_one_modality_is_seen_and_named() -> None:
    _, evidence, lost = lost_by_chance(6000, 7, (1e-9, 1e-9, 0.08), completed=1.0)
    found = told(evidence)
    moved = {(row["first"], row["second"]): row for row in found["pairs"]}
    # Completed as controlled, those lost who would have lost control are counted wrongly, one each.
    would_fail = lost & (drawn(6000, 7, effect=0.2).evidence.fold.observed[:, 0] == 0)
    flattered = np.where(would_fail, 1 / evidence.fold.propensity[:, 2], 0.0).mean()

    for other in ("adc", "bispecific"):
        row = moved[other, "car_t"]
        assert row["clear"]
        assert row["moved"] == pytest.approx(flattered, abs=4 * row["moved_se"])
    assert not moved["adc", "bispecific"]["clear"]
    assert flattered > 2 * LARGEST_MOVE
    check = lost_early_check(found)
    assert (check["code"], check["result"], check["value"]) == ("C23", "issue", 2)
    assert "Conjugate less CAR T moves by" in found["words"]


def test_people_of_whom_nobody_could_have_two_modalities_are_told_as_such() -> None:
    evidence = drawn(200, 2).evidence
    found = lost_early(evidence, np.eye(3, dtype=bool)[evidence.arm], SIGNED, ARMS, LABELS, CONTROL, FLOOR, CLIP)

    assert found["pairs"] == []
    assert lost_early_check(found)["result"] == "too_little_data"
