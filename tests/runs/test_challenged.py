"""A trained institution has been put to every test that its data allow, and says what came out."""

from __future__ import annotations

import json
import re

import pytest

from tests.conftest import Journey

pytestmark = pytest.mark.xdist_group("journey")


def test_a_source_with_dates_is_judged_on_later_decisions(journey: Journey) -> None:
    found = journey.trained.evaluation["temporal"]
    policies = {row["policy"] for row in found["policies"]}

    assert found["applicable"]
    assert policies == {"clinicians", "random", "one_best_arm", "model"}
    assert found["trained_on"] + found["held_out"] + found["left_out"] <= 700
    assert 100 <= found["held_out"] <= 175
    assert 0.5 < found["calibration"]["c_index"] < 1


def test_the_recorded_facts_carry_what_came_before_the_decision(journey: Journey) -> None:
    # The simulator writes down every reason for a choice unless told otherwise.
    found = journey.trained.evaluation["negative_control"]

    assert len(found["pairs"]) == 6
    assert found["largest_z"] <= found["threshold"]


def test_every_pair_is_balanced_and_weighed_against_an_unrecorded_reason(journey: Journey) -> None:
    evaluation = journey.trained.evaluation

    assert len(evaluation["balance"]["pairs"]) == 6
    assert len(evaluation["sensitivity"]["sweep"]) == 3
    survives = [entry["survives"] for entry in evaluation["sensitivity"]["sweep"]]
    assert survives == sorted(survives, reverse=True)


@pytest.mark.parametrize("part", ["balance", "temporal", "negative_control", "sensitivity"])
def test_no_day_and_no_identifier_is_in_these_parts(journey: Journey, part: str) -> None:
    text = json.dumps(journey.trained.evaluation[part])

    assert not re.search(r"\d{4}-\d{2}-\d{2}", text.replace("Years from 2000-01-01", ""))
    assert not re.search(r"\b[PD]\d{6}\b", text)


def test_the_checks_point_to_their_sections(journey: Journey) -> None:
    found = {check["code"]: check for check in journey.trained.evaluation["checks"]}

    assert [found[code]["section"] for code in ("C14", "C15", "C16", "C17")] == [
        "balance",
        "temporal",
        "controls",
        "controls",
    ]
    assert found["C17"]["result"] == "not_applicable"
