"""Is an outcome that nobody watched for told, and a rare one left alone?"""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.evaluate.checks import followed

LABELS = {"severe_toxicity": "Severe toxicity"}


def arm(decisions: int, events: int, lost: float | None = 0.1, ranked: bool = True) -> dict[str, Any]:
    return {
        "label": f"arm of {decisions}",
        "decisions": decisions,
        "events": {"severe_toxicity": events},
        "censored_before_horizon": {"severe_toxicity": lost},
        "ranked": ranked,
    }


@pytest.mark.parametrize(
    ("own", "result"),
    [
        (arm(100, 10), "pass"),
        (arm(100, 1), "pass"),
        # Others have 10 of 100: none of 29 has chance .9^29 = .047, none of 28 has .9^28 = .052.
        (arm(29, 0), "issue"),
        (arm(28, 0), "pass"),
        (arm(29, 0, ranked=False), "pass"),
        (arm(100, 10, lost=0.5), "pass"),
        (arm(100, 10, lost=0.51), "issue"),
        (arm(100, 10, lost=0.51, ranked=False), "pass"),
        (arm(100, 10, lost=None), "pass"),
    ],
)
def test_an_outcome_that_was_lost_or_never_recorded_is_an_issue(own: dict[str, Any], result: str) -> None:
    check = followed([own, arm(100, 10)], LABELS)

    assert (check["code"], check["result"], check["value"]) == ("C22", result, int(result == "issue"))
    assert ("Severe toxicity" in check["detail"]) is (result == "issue")


def test_without_a_ranked_modality_there_is_too_little_data() -> None:
    assert followed([arm(100, 10, ranked=False)], LABELS)["result"] == "too_little_data"


def test_one_modality_alone_has_nobody_to_be_held_against() -> None:
    assert followed([arm(100, 0)], LABELS)["result"] == "pass"
