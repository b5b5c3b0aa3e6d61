"""Whatever a text field holds, it stays text on every page that people open, and hidden characters are seen."""

from __future__ import annotations

import dataclasses
import json
import re
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.review import CaseCard, case_card, review_figures, review_page, review_tables
from pipeline.review.card_index import card_index, index_line
from pipeline.review.model_card import Statements, card_parts, model_card, model_card_markdown
from pipeline.runs.model_cards import card_lists
from tests.review.payloads import HIDDEN, PAYLOADS
from tests.review.reading_back import PageReader, drawings_in, read_page
from tests.review.test_review_page import shortened

FREE_KEYS = {"by_modality", "histogram", "software", "events", "censored_before_horizon", "weights"}
"""Entries of an evaluation whose keys are names from records and configuration, not from our own contract."""
Change = Callable[[str], str]
Shape = list[tuple[str, tuple[tuple[str, str], ...]]]
TELLING = frozenset({"aria-label", "title", "data-label", "content", "aria-valuetext"})
"""Attributes that may hold words from outside; all others are ours and must not change."""


def everywhere(value: Any, change: Change) -> Any:
    """Change every text of nested lists, mappings and dataclasses, and the keys that are names from outside."""
    if isinstance(value, dict):
        return {
            key: {change(name): entry for name, entry in everywhere(inner, change).items()}
            if key in FREE_KEYS and isinstance(inner, dict)
            else everywhere(inner, change)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [everywhere(entry, change) for entry in value]
    if isinstance(value, tuple):
        return tuple(everywhere(entry, change) for entry in value)
    return change(value) if isinstance(value, str) else value


def hostile_card(card: CaseCard, payload: str) -> CaseCard:
    """Put the payload into every word of a card that a person or an institution wrote.

    That is labels, meanings, units, rules with their sources, instructions, values of features, versions,
    definitions, identifiers and dates, reasons and roles of overrides. Names by which tables are joined stay.
    """

    def after(text: str) -> str:
        return f"{text} {payload}"

    def row(entry: dict[str, Any]) -> dict[str, Any]:
        changed = dict(entry)
        for name in ("patient_id", "records_digest", "model_version", "ruleset_version", "abstain_reason"):
            if isinstance(changed.get(name), str):
                changed[name] = after(changed[name])
        changed["overrides"] = [
            {**told, **{name: after(told[name]) for name in ("reason", "by_role", "date")}}
            for told in entry.get("overrides", [])
        ]
        changed["reasons"] = [
            {**item, "value": after(item["value"]) if item["value"] is not None else None}
            for item in entry.get("reasons", [])
        ]
        return changed

    def after_all(mapping: Any) -> Any:
        return {key: everywhere(value, after) for key, value in mapping.items()}

    return dataclasses.replace(
        card,
        decision_id=after(card.decision_id),
        decision_date=after(str(card.decision_date)),
        rows=[row(dict(entry)) for entry in card.rows],
        modality_labels=after_all(card.modality_labels),
        product_labels=after_all(card.product_labels),
        feature_meanings=after_all(card.feature_meanings),
        rules={key: {name: everywhere(text, after) for name, text in rule.items()} for key, rule in card.rules.items()},
        obtain=after_all(card.obtain),
        estimands=[
            {**entry, "label": after(entry["label"]), "definition": after(entry["definition"])}
            for entry in card.estimands
        ],
        model_version=after(card.model_version),
        ruleset_version=after(card.ruleset_version),
        show_identifiers=True,
    )


def shape_of(page: str) -> Shape:
    """Return every element with its attributes; of attributes that hold words from outside, only that they exist.

    Shades are left out: names that hold line breaks are not found again among the shares.
    """
    reader: PageReader = read_page(re.sub(r"\bheat-\d", "", page))
    return [
        (tag, tuple(sorted((name, "" if name in TELLING else value) for name, value in attributes.items())))
        for tag, attributes in reader.elements
    ]


def visible_form(payload: str) -> str:
    """Return the first visible piece of a payload, which a reader must find on the page."""
    return max(("".join(c if c.isprintable() else "\n" for c in payload)).split("\n"), key=len).strip()


def test_there_are_at_least_thirty_payloads_and_all_differ() -> None:
    assert len(set(PAYLOADS)) == len(PAYLOADS) >= 30


@pytest.mark.parametrize("payload", PAYLOADS)
def test_the_review_page_has_the_elements_and_attributes_it_has_with_harmless_words(
    evaluation: dict[str, Any], payload: str
) -> None:
    small = shortened(evaluation)
    plain = review_page(everywhere(small, lambda text: f"{text} x"))
    hostile = review_page(everywhere(small, lambda text: f"{text} {payload}"))

    assert shape_of(hostile) == shape_of(plain)
    assert visible_form(payload).split()[0] in read_page(hostile).text
    drawings_in(hostile)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_the_case_card_has_the_elements_and_attributes_it_has_with_harmless_words(card: CaseCard, payload: str) -> None:
    plain, hostile = case_card(hostile_card(card, "x")), case_card(hostile_card(card, payload))

    assert shape_of(hostile) == shape_of(plain)
    assert hostile.count("</script") == plain.count("</script")
    drawings_in(hostile)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_the_index_of_a_folder_of_cards_has_the_elements_it_has_with_harmless_words(
    card: CaseCard, payload: str
) -> None:
    pages = [
        card_index([index_line("001.html", hostile_card(card, words))], simulated=True) for words in ("x", payload)
    ]

    assert shape_of(pages[1]) == shape_of(pages[0])
    assert visible_form(payload).split()[0] in read_page(pages[1]).text


@pytest.mark.parametrize("payload", PAYLOADS)
def test_the_model_card_has_the_elements_it_has_with_harmless_words(evaluation: dict[str, Any], payload: str) -> None:
    """The run's words and the institution's own statements; in Markdown no sign of markup is left unescaped."""
    lists = card_lists()
    ids = [item.id for entry in lists for group in entry.groups for item in group.items]
    pages, texts = [], []
    for words in ("x", payload):
        told = everywhere(shortened(evaluation), lambda text, words=words: f"{text} {words}")
        parts = card_parts(lists, Statements(statements=dict.fromkeys(ids, f"a {words}")), told, {})
        pages.append(model_card(parts, told, "review.html"))
        texts.append(model_card_markdown(parts, told, "review.html"))

    assert shape_of(pages[1]) == shape_of(pages[0])
    assert visible_form(payload).split()[0] in read_page(pages[1]).text
    assert [len(re.findall(r"(?<!\\)[<`]", text)) for text in texts] == [len(re.findall("`", texts[0]))] * 2


@pytest.mark.parametrize("payload", PAYLOADS)
def test_files_beside_the_page_are_well_formed_and_inert(evaluation: dict[str, Any], payload: str) -> None:
    hostile = everywhere(shortened(evaluation), lambda text: f"{text} {payload}")

    for name, text in review_tables(hostile).items():
        if name.endswith(".json"):
            json.loads(text)
    for text in review_figures(hostile).values():
        assert "<script" not in text
        assert len(drawings_in(text)) == 1


def test_every_kind_of_text_field_is_really_reached(card: CaseCard) -> None:
    """Each field gets a mark of its own; a field that no longer reaches the card would test nothing."""
    text = read_page(case_card(hostile_card(card, "MARK"))).text

    for words in (
        "CAR T-cell therapy MARK",
        "Teclistamab MARK",
        "Reactivation of hepatitis B can be fatal. MARK",
        "US prescribing information MARK",
        "Order hepatitis B serology. MARK",
        "Overridden by attending MARK on 2027-01-11 MARK: Seen by ophthalmology MARK",
        "Refractory to an anti-CD38 antibody MARK",
        "decision-4711 MARK",
        "mmrank-7 MARK",
        "No progression, next treatment or death MARK",
    ):
        assert words in text


@pytest.mark.parametrize("hidden", HIDDEN, ids=lambda character: f"U+{ord(character):04X}")
def test_hidden_and_direction_changing_characters_are_seen(
    evaluation: dict[str, Any], card: CaseCard, hidden: str
) -> None:
    pages = (
        review_page(everywhere(shortened(evaluation), lambda text: f"{text}{hidden}")),
        case_card(hostile_card(card, hidden)),
    )

    assert unicodedata.category(hidden) in {"Cf", "Cc", "Cs", "Co", "Cn"}
    for page in pages:
        assert hidden not in page
        assert "\ufffd" in page
