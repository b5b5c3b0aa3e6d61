"""The case card says of rules what they cover, what is not known, what was set aside and what was not run."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from pipeline.review import CaseCard, Settling, case_card
from pipeline.review.card_missing import deciders, missing_facts
from pipeline.review.card_order import headline, modality_badge, order_view, remarks, unrun_beside
from pipeline.review.card_reasons import rule_views
from pipeline.review.wording import drafts_not_run, measured, set_aside_badge
from tests.review.reading_back import read_page

TITLES = {"R1": "Active infection", "R2": "Outside the label", "D1": "Refractory to a part", "D2": "A heart too weak"}
RULES = {name: {"title": title, "status": "draft" if name[0] == "D" else "active"} for name, title in TITLES.items()}


def spoke(rule: str, verdict: str, *missing: str) -> dict[str, Any]:
    return {"rule_id": rule, "verdict": verdict, "missing_facts": list(missing)}


def drawn(card: CaseCard, products: dict[str, str], rules: Any = (), **more: Any) -> CaseCard:
    """Return a card of one modality, with these products and rules that spoke."""
    offered = [{"product": product, "verdict": verdict} for product, verdict in products.items()]
    row = {"modality": "car_t", "status": "ranked", "rank": 1, "suitability": 0.3, "verdict": "clear"}
    given = {name: more.pop(name) for name in ("status", "rank", "verdict", "overrides") if name in more}
    rows = [{**row, "products": offered, "rules": list(rules), **given}]
    return dataclasses.replace(card, rows=rows, rules=RULES, settling={}, **more)


def text_of(card: CaseCard) -> str:
    return read_page(case_card(card)).text


@pytest.mark.parametrize(("verdict", "drafts", "words"), [
    ("not_assessed", 2, "not assessed: 2 draft rules were not run"),
    ("not_assessed", 1, "not assessed: 1 draft rule was not run"),
    ("not_assessed", 0, "not assessed"),
    ("clear", 2, "clear 2 draft rules were not run"),
    ("caution", 1, "caution 1 draft rule was not run"),
    ("clear", 0, "clear"),
])  # fmt: skip
def test_a_product_tells_how_many_draft_rules_on_it_were_not_run(
    card: CaseCard, verdict: str, drafts: int, words: str
) -> None:
    waiting = {("car_t", "a"): ("D1", "D2")[:drafts], ("adc", "a"): ("R1", "R2")}
    one = drawn(card, {"a": verdict}, verdict=verdict, not_run=waiting)
    view = rule_views(one.rows, one)[0]
    _, badge, unrun = view.products[0]

    assert f"{badge.word} {unrun}".strip() == words
    assert f"{modality_badge(one.rows[0], one).word} {unrun_beside(one.rows[0], one)}".strip() == words
    place = order_view(one.rows, one).places[0]
    assert f"{place.verdict.word} {place.unrun}".strip() == words
    assert view.drafts == drafts_not_run(drafts)
    assert [title for title, _ in view.unrun] == [TITLES[rule] for rule in ("D1", "D2")[:drafts]]
    text = " ".join(text_of(one).split())
    assert words in text
    assert not drafts or text.count(drafts_not_run(drafts)) == (4 if verdict == "not_assessed" else 3)


def test_a_modality_counts_the_drafts_on_the_products_behind_its_verdict_once(card: CaseCard) -> None:
    waiting = {("car_t", "a"): ("D1",), ("car_t", "b"): ("D1", "D2"), ("car_t", "c"): ("R1", "R2")}
    one = drawn(card, {"a": "clear", "b": "clear", "c": "blocked"}, not_run=waiting)
    view = rule_views(one.rows, one)[0]

    assert unrun_beside(one.rows[0], one) == "2 draft rules were not run"
    assert [unrun for _, _, unrun in view.products] == ["1 draft rule was not run", "2 draft rules were not run", ""]
    assert view.drafts == "4 draft rules were not run"
    assert view.unrun[0] == ("Refractory to a part", "D1 · a, b")


@pytest.mark.parametrize("verdict", ["blocked", "indeterminate"])
def test_what_is_removed_does_not_wait_for_drafts(card: CaseCard, verdict: str) -> None:
    one = drawn(card, {"a": verdict}, verdict=verdict, rank=None, status=verdict, not_run={("car_t", "a"): ("D1",)})

    assert unrun_beside(one.rows[0], one) == ""


@pytest.mark.parametrize(("products", "rank", "told"), [
    ({"a": "blocked", "b": "clear", "c": "indeterminate"}, 1, "the rules leave only b of its 3 products"),
    ({"a": "blocked", "b": "not_assessed"}, 2, "the rules leave only b of its 2 products"),
    ({"a": "caution", "b": "clear", "c": "blocked"}, 1, None),
    ({"a": "clear"}, 1, None),
    ({"a": "blocked", "b": "clear"}, None, None),
    ({"a": "blocked", "b": "indeterminate"}, None, None),
    ({"a": "blocked", "b": "indeterminate"}, 1, None),
])  # fmt: skip
def test_the_headline_names_the_only_product_that_is_left(
    card: CaseCard, products: dict[str, str], rank: int | None, told: str | None
) -> None:
    one = drawn(card, products, rank=rank)

    assert remarks(one.rows, one) == (() if told is None else (("CAR T-cell therapy", told),))
    if told is not None:
        text = text_of(one)
        assert text.index(headline(one.rows, one)[0]) < text.index(told) < text.index("The order")


@pytest.mark.parametrize(("rule", "undecided"), [
    (spoke("R1", "indeterminate", "lvef"), True),
    (spoke("R1", "action_required", "lvef"), True),
    (spoke("R1", "caution", "lvef"), True),
    (spoke("R1", "indeterminate"), True),  # it waits for a label
    (spoke("R1", "blocked"), False),
    (spoke("R1", "action_required"), False),
])  # fmt: skip
def test_the_title_of_an_undecided_rule_does_not_read_as_a_fact(
    card: CaseCard, rule: dict[str, Any], undecided: bool
) -> None:
    one = drawn(card, {"a": "clear"}, [rule])

    assert rule_views(one.rows, one)[0].rules[0].title == (
        "Not known whether it applies: Active infection" if undecided else "Active infection"
    )


ASIDE = [{"rule_id": "R2", "reason": "Agreed at the board", "by_role": "haematologist", "date": "2026-11-20"}]


@pytest.mark.parametrize(("verdict", "what", "said"), [
    ("blocked", "a block", "blocked"),
    ("indeterminate", "an undecided block", "undecided"),
])  # fmt: skip
def test_a_rule_that_was_set_aside_is_no_block_any_more_and_the_headline_says_so(
    card: CaseCard, verdict: str, what: str, said: str
) -> None:
    one = drawn(card, {"a": "clear"}, [spoke("R2", verdict), spoke("R1", "blocked")], overrides=ASIDE)
    rules = rule_views(one.rows, one)[0].rules

    assert [rule.badge.word for rule in rules] == ["set aside", "blocked"]
    assert rules[0].badge.tone != rules[1].badge.tone
    assert rules[0].override == "Overridden by haematologist: Agreed at the board"
    assert set_aside_badge(verdict).meaning == f"The rule says {said}; a clinician set it aside for this decision."
    assert remarks(one.rows, one) == (
        ("CAR T-cell therapy", f"{what} was set aside by haematologist: Outside the label"),
    )
    nameless = drawn(card, {"a": "clear"}, [], overrides=[{"rule_id": "other_rule"}])
    assert remarks(nameless.rows, nameless)[0][1] == (
        "a block was set aside by somebody whose role is not recorded: other rule"
    )


@pytest.mark.parametrize(("of", "told"), [
    (("a",), "A cell"), (("a", "b"), "all 2 products"), (("b", "a"), "all 2 products"), (("b",), "b"), ((), ""),
])  # fmt: skip
def test_a_rule_names_the_products_it_speaks_of(card: CaseCard, of: tuple[str, ...], told: str) -> None:
    named = {"spoken_of": {("car_t", "R1"): of, ("adc", "R1"): ("c",)}, "product_labels": {"a": "A cell"}}
    one = drawn(card, {"a": "clear", "b": "clear"}, [spoke("R1", "caution")], **named)

    assert rule_views(one.rows, one)[0].rules[0].products == told
    assert (f"Speaks of {told}" in text_of(one)) is bool(told)


def test_a_rule_on_the_only_product_names_it(card: CaseCard) -> None:
    one = drawn(card, {"a": "clear"}, [spoke("R1", "caution")], spoken_of={("car_t", "R1"): ("a",)})

    assert rule_views(one.rows, one)[0].rules[0].products == "a"


@pytest.mark.parametrize("whole", [True, False])
def test_what_decides_a_modality_is_told_apart_from_what_cannot_change_it(card: CaseCard, whole: bool) -> None:
    waits = [spoke("R1", "indeterminate", "lvef"), spoke("R2", "indeterminate", "hbsag")]
    one = drawn(card, {"a": "indeterminate", "b": "indeterminate"}, waits, rank=None, status="indeterminate")
    one = dataclasses.replace(one, settling={"car_t": Settling("indeterminate", "a", ("lvef",), whole)})

    reach = deciders(one.rows, one)[0].reach
    assert reach == (
        "Any answer settles what the rules say of CAR T-cell therapy; nothing else needs to be known for that."
        if whole
        else "Any answer settles what the rules say of this product; another product may still wait for other facts."
    )
    others = missing_facts(one.rows, one)
    assert [fact.concerns for fact in others] == ["another product or rule of CAR T-cell therapy waits for it"]
    assert "What else is missing follows." in text_of(one)


@pytest.mark.parametrize(("number", "unit", "told"), [
    ("1", "group", "1"), ("2", "stage", "2"), ("1", "score", "1"), ("180", "10^9/L", "180 10⁹/L"),
    ("1", "lines", "1 line"), ("2", "lines", "2 lines"), ("1", "points", "1 point"), ("1", "U/L", "1 U/L"),
    ("62", "mL/min/1.73m2", "62 mL/min/1.73 m²"), ("1", "kg", "1 kg"), ("55", "%", "55 %"), ("0.3", "", "0.3"),
    ("0.1", "10^9/L per 30 d", "0.1 10⁹/L per 30 days"), ("1", "mg/L", "1 mg/L"), ("1", "count", "1 time"),
])  # fmt: skip
def test_units_are_written_as_a_clinician_writes_them(number: str, unit: str, told: str) -> None:
    assert measured(number, unit) == told


def test_no_declared_unit_is_a_word_that_only_the_machine_uses(card: CaseCard) -> None:
    meanings = {"r2_iss_group": ("R2-ISS group", "group"), "alc": ("Lymphocytes", "10^9/L")}
    one = dataclasses.replace(card, feature_meanings=meanings)

    assert one.value("r2_iss_group", "1.0") == "1"
    assert one.value("alc", "0.25") == "0.25 10⁹/L"
