"""Is the model card whole, and does it say only what somebody said: the run, the software, the institution?"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ConfigError
from pipeline.review import review_sections
from pipeline.review.model_card import (
    INSTITUTION,
    OPEN,
    RUN,
    Answered,
    CardList,
    Part,
    Statements,
    card_parts,
    model_card,
    model_card_markdown,
)
from pipeline.review.model_card_facts import ANSWERS
from pipeline.runs.model_cards import card_lists, read_statements

HTI_1, TRIPOD_AI = card_lists()


def items_of(declared: CardList) -> list[Any]:
    return [item for group in declared.groups for item in group.items]


def parts_of(evaluation: dict[str, Any], **statements: str) -> tuple[Part, ...]:
    sections = {section.anchor: section.title for section in review_sections(evaluation)}
    said = Statements(statements={name.replace("_", "-"): text for name, text in statements.items()})
    return card_parts((HTI_1, TRIPOD_AI), said, evaluation, sections)


def entries_of(parts: tuple[Part, ...]) -> dict[str, Answered]:
    return {entry.item.id: entry for part in parts for _, entries in part.groups for entry in entries}


def run_text(entry: Answered) -> str:
    return " ".join(answer.text for answer in entry.answers if answer.origin is RUN)


# --- the lists


def test_the_card_asks_for_all_31_source_attributes_by_their_official_numbers() -> None:
    # 45 CFR 170.315(b)(11)(iv)(B): paragraphs (1) to (9) with this many parts each.
    parts = {1: 4, 2: 4, 3: 2, 4: 4, 5: 2, 6: 4, 7: 5, 8: 4, 9: 2}
    roman = ("i", "ii", "iii", "iv", "v")
    expected = [f"({number})({roman[place]})" for number, count in parts.items() for place in range(count)]

    assert [item.number for item in items_of(HTI_1)] == expected
    assert len(expected) == 31


def test_the_card_asks_for_all_27_items_of_tripod_ai_with_their_52_parts() -> None:
    # Collins and others, BMJ 2024; 385: e078378: how many parts each item has, 1 where it has none.
    split = {3: 3, 5: 2, 6: 3, 8: 3, 9: 3, 12: 7, 18: 6, 20: 3, 23: 2, 27: 3}
    expected = [
        f"{item}{'abcdefg'[place] if item in split else ''}"
        for item in range(1, 28)
        for place in range(split.get(item, 1))
    ]

    assert [item.number for item in items_of(TRIPOD_AI)] == expected
    assert len(expected) == 52


@pytest.mark.parametrize("declared", [HTI_1, TRIPOD_AI], ids=lambda declared: declared.title)
def test_a_list_that_lost_a_question_is_refused(declared: CardList) -> None:
    short = declared.model_dump()
    short["groups"][0]["items"] = short["groups"][0]["items"][1:]

    with pytest.raises(ValueError, match=f"{declared.expected - 1} questions"):
        CardList.model_validate(short)


def test_every_answer_of_a_run_is_asked_for_somewhere() -> None:
    asked = {item.run for declared in (HTI_1, TRIPOD_AI) for item in items_of(declared)}

    assert asked - {None} == set(ANSWERS)


def test_links_lead_to_sections_that_the_review_page_has(evaluation: dict[str, Any]) -> None:
    anchors = {section.anchor for section in review_sections(evaluation)}
    wanted = {anchor for declared in (HTI_1, TRIPOD_AI) for item in items_of(declared) for anchor in item.see}

    assert wanted <= anchors


def test_a_card_never_leads_to_a_section_that_its_review_page_lacks(evaluation: dict[str, Any]) -> None:
    parts = card_parts((HTI_1, TRIPOD_AI), Statements(), evaluation, {"league": "League table"})

    assert {link for entry in entries_of(parts).values() for link in entry.links} == {("league", "League table")}


# --- whose words


def test_a_run_that_says_nothing_is_never_quoted() -> None:
    entries = entries_of(parts_of({}))

    assert not any(answer.origin is RUN for entry in entries.values() for answer in entry.answers)
    assert all(entry.answers for entry in entries.values())
    assert entries["hti-7-i"].is_open


def test_an_evaluation_answers_what_it_can_and_leaves_open_what_only_the_institution_knows(
    evaluation: dict[str, Any],
) -> None:
    entries = entries_of(parts_of(evaluation))

    assert "not a probability" in run_text(entries["hti-1-iii"])
    assert "0.214" in run_text(entries["hti-7-i"])
    for name in ("hti-1-ii", "hti-6-ii", "tripod-17", "tripod-18a"):
        assert [answer.origin for answer in entries[name].answers] == [OPEN]


def test_a_statement_of_the_institution_closes_its_question_and_is_marked_as_theirs(
    evaluation: dict[str, Any],
) -> None:
    before, after = parts_of(evaluation), parts_of(evaluation, hti_1_ii="Departmental funds", hti_1_iii="Also this")
    told = entries_of(after)

    assert [(answer.origin, answer.text) for answer in told["hti-1-ii"].answers] == [
        (INSTITUTION, "Departmental funds")
    ]
    assert [answer.origin for answer in told["hti-1-iii"].answers] == [RUN, INSTITUTION]
    assert after[0].totals == (31, before[0].totals[1] - 1)


def test_sex_and_age_are_told_as_inputs_and_race_only_where_it_is_one(evaluation: dict[str, Any]) -> None:
    said = {}
    for names in (("age", "sex"), ("age", "race")):
        evaluation["missingness"] = [{"feature": name, "overall": 0.1} for name in names]
        said[names] = run_text(entries_of(parts_of(evaluation))["hti-4-ii"]).split("Not inputs")

    assert "sex" in said["age", "sex"][0] and "race" in said["age", "sex"][1]
    assert "date of birth" not in said["age", "sex"][1]
    assert "race" in said["age", "race"][0] and "sex and" not in said["age", "race"][0]


@pytest.mark.parametrize(("count", "shown"), [(10, "<11"), (11, "11"), (0, "0")])
def test_small_counts_are_masked(evaluation: dict[str, Any], count: int, shown: str) -> None:
    levels = [("white", 900), ("black", 50), ("asian", count)]
    groups = [{"subgroup": "race", "level": name, "decisions": number} for name, number in levels]
    evaluation["rules"] = {"subgroups": groups}
    told = run_text(entries_of(parts_of(evaluation))["hti-4-iii"])

    assert f"asian {shown}" in told
    assert ("black masked" in told) == (count == 10)  # else 950 less the others would tell it


# --- the pages


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize(
    "payload", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "[x](javascript:alert(1))", "`</code>"]
)
def test_what_an_institution_writes_stays_text(evaluation: dict[str, Any], payload: str) -> None:
    evaluation["title"] = payload
    parts = parts_of(evaluation, hti_1_ii=payload)
    page = _Elements()
    page.feed(model_card(parts, evaluation, "review.html"))
    written = model_card_markdown(parts, evaluation, "review.html")

    assert {tag for tag, _ in page.found} & {"script", "img", "iframe", "object"} == set()
    assert not [name for _, given in page.found for name in given if name.startswith("on")]
    assert all((given.get("href") or "#").startswith(("#", "review.html")) for tag, given in page.found if tag == "a")
    assert not re.search(r"(?<!\\)<(script|img)|(?<!\\)\]\(javascript", written)


def test_both_forms_of_the_card_ask_every_question_once(evaluation: dict[str, Any]) -> None:
    parts = parts_of(evaluation)
    page, written = model_card(parts, evaluation, "r.html"), model_card_markdown(parts, evaluation, "r.html")

    for name in entries_of(parts):
        assert page.count(f'id="{name}"') == 1
        assert written.count(f"(`{name}`)") == 1


def test_statements_without_a_question_are_refused_with_the_nearest_one(tmp_path: Path) -> None:
    path = tmp_path / "said.yaml"
    path.write_text("statements: {hti-1-iix: Funds, tripod-17: Approved}\n")

    with pytest.raises(ConfigError, match="hti-1-iix: no question has this id; did you mean 'hti-1-ii'"):
        read_statements(path)
    path.write_text("statements: {tripod-17: Approved}\n")
    assert read_statements(path).statements == {"tripod-17": "Approved"}
    assert read_statements(None).statements == {}
