"""The tests that a model could have failed are told in full, with a table for every picture, and nothing slips in."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.review import review_page, review_sections
from pipeline.review.blocks import Figure, Section, Table, Words
from pipeline.review.trust_sections import ANCHORS
from tests.review.reading_back import read_page
from tests.review.test_review_page import PAYLOADS, with_every_part_removed, with_every_text

ANCHORED = ("balance", "temporal", "controls", "sensitivity", "lost-early")


def _policy(policy: str, label: str, value: float | None) -> dict[str, Any]:
    told = {"policy": policy, "label": label, "value": value, "vetoed": None if value else "the policy rests on few"}
    ends = {"low": None, "high": None} if value is None else {"low": value - 0.02, "high": value + 0.02}
    gap = None if value is None else value - 0.16
    return told | ends | {"difference": gap, "difference_se": 0.009, "snipw": value}


def challenges() -> dict[str, Any]:
    """Return the parts of an evaluation that these sections draw."""
    term = {"feature": "lvef", "meaning": "Ejection fraction", "part": "missing", "before": 0.41, "after": None}
    other = {"feature": "age", "meaning": "Age", "part": "", "before": 0.32, "after": 0.08}
    pair = {"first": "car_t", "second": "adc", "n_first": 412, "n_second": 7, "standard_error": 0.09, "terms": 160}
    pair |= {"over_before": 71, "over_after": 60, "expected_over": 62.4, "clear_over": 1, "worst": [term, other]}
    contrast = {
        "first": "car_t",
        "second": "adc",
        "people": 700,
        "difference": 0.04,
        "low": -0.1,
        "high": 0.18,
        "raw": 0.4,
    }
    calibration = {"outcome": "durable_control", "n": 499, "slope": 1.1, "slope_low": 0.87, "slope_high": 1.32}
    calibration |= {"intercept": 0.03, "c_index": 0.71, "c_index_low": 0.68, "c_index_high": 0.74}
    ratio = {"first": "car_t", "second": "adc", "risk_first": 0.44, "risk_second": 0.59, "risk_ratio": 0.75}
    ratio |= {"low": 0.61, "high": 0.93, "e_value": 2.0, "e_value_limit": 1.36}
    gone = {"people": 700, "moved": -0.028, "moved_se": 0.01, "low": -0.0476, "high": -0.0084, "clear": False}
    policies = [_policy("clinicians", "Clinicians' own choices", 0.16), _policy("model", "mmrank earlier", 0.2)]
    policies.append(_policy("one_best_arm", "One best arm, earlier", None))
    return {
        "balance": {"threshold": 0.1, "pairs": [pair], "features": [term, other], "words": "427 before, 297 after."},
        "temporal": {
            "applicable": True,
            "cut": "2025-04",
            "trained_on": 1455,
            "held_out": 499,
            "left_out": 7,
            "followed_up": 0.46,
            "policies": policies,
            "calibration": calibration,
            "words": "Learned from earlier decisions.",
        },
        "negative_control": {
            "outcome": "x",
            "meaning": "Days before",
            "pairs": [contrast],
            "words": "No pair differs.",
        },
        "shuffled": {"gain": 0.001, "se": 0.002, "words": "Shuffled outcomes gain nothing."},
        "sensitivity": {
            "sweep": [{"bias": 0.05, "survives": 0.37}],
            "pair": ratio,
            "words": "An unrecorded reason could change it.",
        },
        "lost_early": {
            "pairs": [{"first": "car_t", "second": "adc", "completed": 0.18, "weighted": 0.152} | gone],
            "words": "No comparison moves clearly.",
        },
    }


def _sections(evaluation: dict[str, Any]) -> dict[str, Section]:
    return {section.anchor: section for section in review_sections(evaluation)}


@pytest.fixture
def challenged(evaluation: dict[str, Any]) -> dict[str, Any]:
    """An evaluation with every challenge."""
    return evaluation | challenges()


@pytest.mark.parametrize(
    ("anchor", "told"),
    [
        (
            "balance",
            ["427 before, 297 after.", "Ejection fraction: missing", "160", "71", "60", "62", "0.41 → not estimated"],
        ),
        (
            "temporal",
            [
                "up to 2025-04",
                "1,455",
                "499",
                "46%",
                "<11",
                "+0.040 (SE 0.009)",
                "the policy rests on few",
                "1.10 (0.87 to 1.32)",
            ],
        ),
        ("controls", ["Days before", "+0.40", "+0.04 (−0.10 to 0.18)", "Shuffled outcomes gain nothing."]),
        ("sensitivity", ["0.05 of suitability", "37%", "44%", "0.75 (0.61 to 0.93)", "1.36"]),
        ("lost-early", ["No comparison moves clearly.", "+0.180", "+0.152", "−0.028 (−0.048 to −0.008)"]),
    ],
)
def test_each_section_tells_its_numbers(challenged: dict[str, Any], anchor: str, told: list[str]) -> None:
    text = read_page(review_page(challenged)).text

    assert _sections(challenged)[anchor].blocks
    for words in told:
        assert words in text, words


def test_counts_of_people_under_eleven_are_not_told(challenged: dict[str, Any]) -> None:
    temporal = _sections(challenged)["temporal"].blocks

    assert any(isinstance(block, Words) and "<11 earlier decisions" in block.text for block in temporal)
    tables = [block for block in _sections(challenged)["balance"].blocks if isinstance(block, Table)]
    assert not any(cell.text == "7" for table in tables for line in table.rows for cell in line)


def test_the_love_plot_has_a_table_with_the_same_features(challenged: dict[str, Any]) -> None:
    figure = next(block for block in _sections(challenged)["balance"].blocks if isinstance(block, Figure))

    assert [line[0].text for line in figure.twin.rows] == ["Ejection fraction: missing", "Age"]
    assert [cell.text for cell in figure.twin.rows[1][1:]] == ["0.32", "0.08"]


def test_checks_may_point_to_each_section(challenged: dict[str, Any]) -> None:
    assert set(ANCHORED) <= set(ANCHORS)
    assert set(ANCHORED) <= set(_sections(challenged))


@pytest.mark.parametrize("replacement", [None, [], {}, "words", float("nan"), -1])
def test_a_part_that_is_missing_or_wrong_breaks_nothing(evaluation: dict[str, Any], replacement: Any) -> None:
    for changed in with_every_part_removed(challenges(), replacement):
        assert len(_sections(evaluation | changed)) >= len(ANCHORED)


def test_without_them_the_sections_are_empty(evaluation: dict[str, Any]) -> None:
    found = _sections({key: value for key, value in evaluation.items() if key not in challenges()})

    assert not any(found[anchor].blocks for anchor in ANCHORED)


@pytest.mark.parametrize("payload", PAYLOADS[:4])
def test_hostile_text_stays_text(challenged: dict[str, Any], payload: str) -> None:
    plain = read_page(review_page(with_every_text(challenged, lambda text: text + " x")))
    hostile = read_page(review_page(with_every_text(challenged, lambda text: text + " " + payload)))

    assert hostile.tags == plain.tags
