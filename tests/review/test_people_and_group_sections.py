"""Table 1, gaps by site and year, decision curves and groups are told in full, and nothing slips in."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.review import review_page, review_sections
from pipeline.review.blocks import Figure, Section, Table, Words
from pipeline.review.group_sections import decision_curves_section, subgroups_section
from pipeline.review.people_sections import characteristics_section, missing_by_section
from pipeline.review.trust_sections import ANCHORS
from tests.review.reading_back import drawings_in, read_page
from tests.review.test_review_page import PAYLOADS, with_every_part_removed, with_every_text

ANCHORED = ("characteristics", "missing-by", "decision-curves", "subgroups")
SECTIONS = (characteristics_section, missing_by_section, decision_curves_section, subgroups_section)
ALL, NONE = {"low": 0.25, "high": 0.25}, {"low": None, "high": None}
FEW, MOST = {"low": 0.0, "high": 0.18}, {"low": 0.82, "high": 1.0}


def _group(subgroup: str, level: str, **known: Any) -> dict[str, Any]:
    keys = ("difference", "in_the_large", "c_index")
    row: dict[str, Any] = {f"{key}{end}": None for key in keys for end in ("", "_low", "_high")}
    row |= {"subgroup": subgroup, "level": level, "decisions": 300, "judged": True, "vetoed": None, "off": False}
    row |= {"worse": False, "tied": ALL, "abstained": FEW, "first_choice": {"car_t": 0.61, "adc": None}}
    return row | known


def parts() -> dict[str, Any]:
    """Return the parts of an evaluation that these sections draw."""
    age = {"feature": "age", "meaning": "Age", "unit": "years", "kind": "number", "before": 0.83, "after": 0.26}
    age |= {"missing": {"car_t": ALL, "adc": FEW}, "numbers": {"car_t": [63.0, 57.0, 69.0], "adc": None}, "parts": []}
    frail = {"feature": "frail", "meaning": "Frailty of 2 or more", "unit": "", "kind": "yes", "after": None}
    frail |= {"before": 10.0, "missing": {"car_t": {"low": 0.0, "high": 0.0}, "adc": NONE}, "numbers": {}}
    frail["parts"] = [{"part": "yes", "counts": {"car_t": 1143, "adc": None}, "shares": {"car_t": 0.44, "adc": None}}]
    sex = {"feature": "sex", "meaning": "Sex", "unit": "", "kind": "levels", "before": 0.1, "after": 0.2, "numbers": {}}
    sex |= {"missing": {}, "parts": [{"part": "female", "counts": {"car_t": 90}, "shares": {"car_t": 0.5}}]}
    gap = {"feature": "lvef", "meaning": "Ejection fraction", "alike": 2, "clear": True, "overall": ALL}
    gap |= {"shares": [FEW, MOST, NONE]}
    site = {"groups": ["site 1", "site 2", "other sites"], "features": [gap], "clear": 1, "words": "One fact differs."}
    years = {"groups": [str(2015 + k) for k in range(8)], "features": [gap | {"shares": [ALL] * 8}], "clear": 0}
    point = {"threshold": 0.1, "flagged": ALL, "model": 0.031, "all": 0.01, "gain": 0.021, "low": 0.012, "high": 0.03}
    untold = {"threshold": 0.2, "flagged": FEW, "model": None, "all": -4.0, "gain": None, "low": None, "high": None}
    curve = {"outcome": "early_death", "horizon_months": 6, "risk": 0.05, "points": [point, untold], "words": "Better."}
    site_2 = {"difference": -0.04, "difference_low": -0.07, "difference_high": -0.01, "worse": True}
    site_2 |= {"in_the_large": 0.21, "in_the_large_low": 0.15, "in_the_large_high": 0.27, "off": True}
    groups = [
        _group("site", "site 2", **site_2, c_index=0.7, c_index_low=0.6, c_index_high=0.8),
        _group("race", "other", decisions=None, judged=False, tied=NONE),
        _group("age", "70 and over", vetoed="one person holds 6 % of the weight", in_the_large=0.01),
    ]
    return {
        "characteristics": {
            "modalities": ["car_t", "adc"],
            "rows": [age, frail, sex],
            "absent": ["iss_stage"],
            "words": "Two of three differ.",
        },
        "missing_by": {"site": site, "year": years},
        "decision_curves": [curve],
        "subgroups": {
            "outcome": "durable_control",
            "fewest_people": 30,
            "margin": 0.1,
            "false_alarm": 0.05,
            "everybody": _group("everybody", "everybody"),
            "groups": groups,
            "words": "One group is off.",
        },
    }


def _sections(evaluation: dict[str, Any]) -> dict[str, Section]:
    return {section.anchor: section for section in review_sections(evaluation)}


@pytest.fixture
def peopled(evaluation: dict[str, Any]) -> dict[str, Any]:
    """An evaluation with all of them."""
    return evaluation | parts()


@pytest.mark.parametrize(
    ("anchor", "told"),
    [
        ("characteristics", ["63 (57 to 69)", "missing: 25%", "missing: under 18%", "1,143 (44%)", "0.83 → 0.26"]),
        ("characteristics", ["over 10 → –", "masked", "– female", "90 (50%)", "Not in these records: iss stage"]),
        ("missing-by", ["<18%", ">82%", "·", "under 18%", "over 82%", "and 2 missing alike", "beyond chance", "’15"]),
        (
            "decision-curves",
            ["Early death: Better.", "3.1", "1.0", "+2.1 (1.2 to 3.0)", "−400.0", "masked", "under 18%"],
        ),
        ("subgroups", ["clearly worse", "−0.070 to −0.010", "clearly off", "+0.210", "0.70 (0.60 to 0.80)", "61%"]),
        ("subgroups", ["too little data", "no value", "one person holds 6 %", "masked", "at most 5% of runs"]),
    ],
)
def test_each_section_tells_its_numbers(peopled: dict[str, Any], anchor: str, told: list[str]) -> None:
    text = read_page(review_page(peopled)).text

    assert _sections(peopled)[anchor].blocks
    for words in told:
        assert words in text, words


@pytest.mark.parametrize("anchor", ANCHORED)
def test_each_section_opens_with_its_answer(peopled: dict[str, Any], anchor: str) -> None:
    first = _sections(peopled)[anchor].blocks[0]

    assert isinstance(first, Words)
    assert first.tone == "note"


def test_calibration_opens_with_how_far_off_it_is(evaluation: dict[str, Any]) -> None:
    for place, entry in enumerate(evaluation["calibration"]):
        ends = (-0.02, 0.04) if place else (0.01, 0.07)
        entry |= {"in_the_large": sum(ends) / 2, "in_the_large_low": ends[0], "in_the_large_high": ends[1]}
    first = _sections(evaluation)["calibration"].blocks[0]

    assert isinstance(first, Words)
    assert "for 11 of 12 pairs" in first.text
    assert "CAR T-cell therapy (+0.040)" in first.text
    assert "holds 1 for 11 of 11" in first.text  # the twelfth slope is not estimated


def test_each_picture_has_a_table_with_the_same_rows(peopled: dict[str, Any]) -> None:
    figures = [b for name in ANCHORED for b in _sections(peopled)[name].blocks if isinstance(b, Figure)]

    assert [len(figure.twin.rows) for figure in figures] == [1, 1, 2]
    assert all(len(line) == len(figure.twin.columns) for figure in figures for line in figure.twin.rows)
    assert len(drawings_in(review_page(peopled))) >= len(figures)


def test_every_row_of_each_table_has_every_column(peopled: dict[str, Any]) -> None:
    tables = [b for name in ANCHORED for b in _sections(peopled)[name].blocks if isinstance(b, Table)]

    assert len(tables) == 3
    assert all(len(line) == len(table.columns) for table in tables for line in table.rows)


def test_checks_may_point_to_the_sections(peopled: dict[str, Any]) -> None:
    assert set(ANCHORED) <= set(ANCHORS)
    assert set(ANCHORED) <= set(_sections(peopled))


@pytest.mark.parametrize("replacement", [None, [], {}, "words", float("nan"), -1])
def test_a_part_that_is_missing_or_wrong_breaks_nothing(evaluation: dict[str, Any], replacement: Any) -> None:
    for changed in with_every_part_removed(parts(), replacement):
        for section in SECTIONS:
            assert section(evaluation | changed).anchor in ANCHORED


def test_without_them_the_sections_are_empty(evaluation: dict[str, Any]) -> None:
    found = _sections({key: value for key, value in evaluation.items() if key not in parts()})

    assert not any(found[anchor].blocks for anchor in ANCHORED)


@pytest.mark.parametrize("payload", PAYLOADS[:4])
def test_hostile_text_stays_text(peopled: dict[str, Any], payload: str) -> None:
    plain = read_page(review_page(with_every_text(peopled, lambda text: text + " x")))
    hostile = read_page(review_page(with_every_text(peopled, lambda text: text + " " + payload)))

    assert hostile.tags == plain.tags
