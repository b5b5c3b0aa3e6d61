"""The review page tells whom rules touch and which were set aside, and no count of one to ten people."""

from __future__ import annotations

import itertools
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.review.blocks import Section, Table
from pipeline.review.report import review_page, review_sections
from pipeline.review.rule_sections import batch_section, rule_groups_section


def tables(section: Section) -> list[Table]:
    return [block for block in section.blocks if isinstance(block, Table)]


def cells(table: Table) -> list[list[str]]:
    return [[" ".join(part for part in (cell.text, cell.detail) if part) for cell in line] for line in table.rows]


def group(subgroup: str, level: str, fired: int, undecided: int, clear: int, removed: int = 0) -> dict[str, Any]:
    rule = {"rule_id": "g21-x", "fired": fired, "undecided": undecided, "clear": clear, "removed_first_choice": removed}
    n = fired + undecided + clear
    return {
        "subgroup": subgroup,
        "level": level,
        "decisions": n,
        "sampled": n,
        "removed_first_choice": removed,
        "rules": [rule],
    }


def evaluation(*groups: dict[str, Any]) -> dict[str, Any]:
    return {"rules": {"decisions": 0, "firings": [{"rule_id": "g21-x", "title": "ECOG"}], "subgroups": list(groups)}}


def test_each_group_has_its_size_its_removed_first_choices_and_its_rules() -> None:
    told = evaluation(
        group("all", "all", 60, 40, 100, 50),
        group("sex", "female", 20, 30, 50, 20),
        group("sex", "male", 40, 10 + 1, 49, 30),
    )
    first, by_sex = tables(rule_groups_section(told))

    assert cells(first) == [["Everybody", "200", "25%"], ["female sex", "100", "20%"], ["male sex", "100", "30%"]]
    assert cells(by_sex) == [["ECOG g21-x", "20 fired 30 undecided", "40 fired 11 undecided"]]
    assert [column.label for column in by_sex.columns] == ["Rule", "female (100)", "male (100)"]


def test_a_rule_that_fires_on_everybody_divides_nobody_and_is_left_out() -> None:
    told = evaluation(group("all", "all", 60, 0, 0), group("sex", "female", 30, 0, 0), group("sex", "male", 30, 0, 0))

    assert tables(rule_groups_section(told))[1].rows == ()


level = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))


@given(st.lists(level, min_size=2, max_size=4))
@settings(max_examples=200, deadline=None)
def test_no_count_of_one_to_ten_stands_on_the_page_or_follows_from_what_does(levels: list[tuple[int, ...]]) -> None:
    whole = [sum(values) for values in zip(*levels, strict=True)]
    groups = [group("all", "all", *whole), *(group("sex", f"level {i}", *values) for i, values in enumerate(levels))]
    found = tables(rule_groups_section(evaluation(*groups)))
    shown = [re.findall(r"(\S+) (?:fired|undecided)", cell) for line in cells(found[1]) for cell in line[1:]]

    for text in itertools.chain.from_iterable(shown):
        assert text in ("<11", "masked") or int(text.replace(",", "")) == 0 or int(text.replace(",", "")) > 10
    for place in (0, 1):  # a single hidden level could be worked out from everybody's count
        hidden = [pair[place] for pair in shown if pair[place] in ("<11", "masked")]
        above_zero = [values[place] for values in levels if values[place]]
        assert len(hidden) != 1 or len(above_zero) == 1 or whole[place] <= 10


def batch(**more: Any) -> dict[str, Any]:
    told = {
        "decisions": 500,
        "statuses": [
            {"modality": "car_t", "status": "ranked", "count": 400},
            {"modality": "car_t", "status": "blocked", "count": 100},
        ],
        "overridden": 40,
        "overrides": [
            {"rule_id": "g21-x", "title": "ECOG", "count": 37},
            {"rule_id": "g22-x", "title": "Two", "count": 3},
        ],
        "roles": [
            {"role": "treating haematologist", "count": 31},
            {"role": "dr jane doe", "count": 5},
            {"role": "nurse", "count": 4},
        ],
    }
    return {"batch": {**told, **more}}


def test_overrides_are_counted_per_rule_and_role_and_rare_roles_are_not_named() -> None:
    section = batch_section(batch())
    _, by_rule, by_role = tables(section)

    assert section.blocks[0].text == "500 decisions; a rule was set aside in 8% of them."  # type: ignore[union-attr]
    assert cells(by_rule) == [["ECOG g21-x", "37"], ["Two g22-x", "<11"]]
    assert cells(by_role) == [["treating haematologist", "31"], ["roles with fewer than 11 overrides each", "<11"]]


def test_a_page_has_a_batch_only_where_one_was_handed_over() -> None:
    anchors = [section.anchor for section in review_sections({})]

    assert "batch" not in anchors
    assert "rule-groups" in anchors
    assert "batch" in [section.anchor for section in review_sections(batch())]


def test_words_of_roles_and_races_are_text_and_never_markup() -> None:
    script = "<script>alert(1)</script>"
    told = batch(roles=[{"role": script, "count": 40}]) | evaluation(
        group("all", "all", 60, 40, 100), group("race", script, 60, 40, 100)
    )

    assert script not in review_page(told)
