"""The case card tells order, reasons, rules and gaps, adds up, and keeps identifiers to itself."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from pipeline.review import CaseCard, case_card
from pipeline.review.case import in_display_order
from pipeline.vocabulary import STATUSES, VERDICTS
from tests.review.reading_back import drawings_in, read_page
from tests.review.test_review_page import PAYLOADS, with_every_text


def changed(card: CaseCard, modality: str, **values: Any) -> CaseCard:
    rows = [{**row, **values} if row["modality"] == modality else row for row in card.rows]
    return dataclasses.replace(card, rows=rows)


def text_of(card: CaseCard) -> str:
    return read_page(case_card(card)).text


def test_rows_are_shown_by_rank_then_suitability_then_nearest_to_a_rank(card: CaseCard) -> None:
    assert [row["modality"] for row in in_display_order(card)] == [
        "bispecific",
        "adc",
        "standard_triplet",
        "car_t",
        "celmod",
    ]


def test_statuses_are_told_in_words(card: CaseCard) -> None:
    text = text_of(card)

    assert "1st, tied with Antibody-drug conjugate" in text
    assert "unknown: needs left ventricular ejection fraction" in text
    assert "not ranked: too few cases (<11)" in text
    assert "Bispecific antibody and Antibody-drug conjugate share the first place" in text


@pytest.mark.parametrize("cases", [0, 10, 11])
def test_too_few_cases_tells_the_count_unless_it_is_small(card: CaseCard, cases: int) -> None:
    shown = "<11" if cases == 10 else str(cases)

    assert f"too few cases ({shown})" in text_of(dataclasses.replace(card, arm_evidence={"celmod": cases}))


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("verdict", VERDICTS)
def test_every_status_and_verdict_makes_a_card(card: CaseCard, status: str, verdict: str) -> None:
    text = text_of(changed(card, "car_t", status=status, verdict=verdict))

    assert f"{status} {verdict}" not in text
    assert "action_required" not in text
    assert "too_few_cases" not in text


def test_outcomes_are_natural_frequencies(card: CaseCard) -> None:
    text = text_of(card)

    for words in ("about 62 of 100", "about 7.3 of 12 months", "about 38 of 100", "about 28 days"):
        assert words in text


def test_baseline_and_reasons_add_up_to_the_suitability_shown(card: CaseCard) -> None:
    text = text_of(card)

    assert "Baseline +0.220, reasons +0.011: suitability +0.231." in text
    assert "do not add up" not in text


@pytest.mark.parametrize(("off_by", "told"), [(0.5e-6, False), (2e-6, True)])
def test_reasons_that_do_not_add_up_are_called_out(card: CaseCard, off_by: float, told: bool) -> None:
    assert ("do not add up" in text_of(changed(card, "standard_triplet", baseline=0.150 + off_by))) is told


def test_the_contrast_adds_up_to_the_gap(card: CaseCard) -> None:
    text = text_of(card)

    assert "Bispecific antibody rather than Antibody-drug conjugate" in text
    assert "0.231 against 0.178: a gap of +0.053; the items add up to +0.053." in text


def test_reasons_show_value_and_unit_and_say_when_a_value_is_not_known(card: CaseCard) -> None:
    text = text_of(card)

    assert "Simplified frailty 2 points" in text
    assert "Exposed to a BCMA-directed drug no" in text
    assert "Refractory to an anti-CD38 antibody not known" in text
    assert re.search(r"EASIX \(log2\) 0\.83 ", text)


def test_rules_come_with_reason_action_source_status_and_what_to_obtain(card: CaseCard) -> None:
    text = text_of(card)

    assert "Needs left ventricular ejection fraction: Order an echocardiogram." in text
    assert "Source: US prescribing information, section 5.4" in text
    assert "draft, not yet clinically reviewed" in text
    assert "Overridden by attending: Seen by ophthalmology" in text


def test_missing_facts_that_settle_a_rule_come_first(card: CaseCard) -> None:
    text = text_of(card)

    assert text.index("would settle CAR T-cell therapy") < text.index("concerns Bispecific antibody")
    assert "Ask for the home address." in text


def test_identifiers_and_dates_are_shown_only_when_asked(card: CaseCard) -> None:
    hidden, shown = case_card(card), case_card(dataclasses.replace(card, show_identifiers=True))

    for secret in ("decision-4711", "patient-0815", "2027-01-12", "2027-01-11"):
        assert secret not in hidden
        assert secret in shown


def test_the_card_says_what_it_is_and_that_it_is_simulated(card: CaseCard) -> None:
    assert "Decision support, not a prescription." in case_card(card)
    assert "Simulated data." in case_card(card)
    assert "Simulated data." not in case_card(dataclasses.replace(card, simulated=False))


def test_versions_and_digests_are_named(card: CaseCard) -> None:
    text = text_of(card)

    for version in ("mmrank-7", "rules-2f9c1ab0", "9b1c44e0a7d2f6538e21"):
        assert version in text


@pytest.mark.parametrize("payload", PAYLOADS)
def test_hostile_text_anywhere_on_the_card_stays_text(card: CaseCard, payload: str) -> None:
    def poisoned(text: str) -> CaseCard:
        fields = {field.name: getattr(card, field.name) for field in dataclasses.fields(card)}
        kept = {name: fields.pop(name) for name in ("rows", "weights", "arm_evidence", "estimands")}
        rows = [dict(row) for row in kept["rows"]]
        for row in rows:
            for key in ("reasons", "rules", "products", "overrides", "missing_facts", "versus_next", "tied_with"):
                row[key] = with_every_text(row[key], lambda old: old + text)
            row |= {"abstain_reason": text, "patient_id": text, "records_digest": text, "verdict": text}
        rows[0] |= {"status": text, "modality": text}
        words = with_every_text(fields, lambda old: old + text)
        estimands = [{**entry, "label": text, "definition": text, "competing": text} for entry in kept["estimands"]]
        return CaseCard(**{**words, **kept, "rows": rows, "estimands": estimands, "show_identifiers": True})

    plain, hostile = read_page(case_card(poisoned(" x"))), read_page(case_card(poisoned(" " + payload)))

    assert hostile.tags == plain.tags
    assert [sorted(attrs) for _, attrs in hostile.elements] == [sorted(attrs) for _, attrs in plain.elements]


@pytest.mark.parametrize("nothing", [None, float("nan"), [], ""])
def test_a_row_with_nothing_in_it_still_makes_a_card(card: CaseCard, nothing: Any) -> None:
    keep = ("modality", "status")
    rows = [{key: value if key in keep else nothing for key, value in row.items()} for row in card.rows]
    page = case_card(
        dataclasses.replace(card, rows=rows, estimands=(), weights={}, rules={}, obtain={}, feature_meanings={})
    )

    assert "No modality could be ranked" in page
    assert not re.search(r">[^<]*\b(?:nan|None|inf)\b[^<]*<", page.split("</style>")[1])


def test_no_rows_at_all_still_make_a_card(card: CaseCard) -> None:
    assert "not available in this run" in case_card(dataclasses.replace(card, rows=[]))


def test_the_same_card_gives_the_same_bytes_whatever_the_order_of_rows(card: CaseCard) -> None:
    assert case_card(card) == case_card(dataclasses.replace(card, rows=list(reversed(card.rows))))


def test_every_drawing_of_the_card_is_well_formed_and_the_card_is_small(card: CaseCard) -> None:
    page = case_card(card)

    assert len(drawings_in(page)) > 25
    assert len(page.encode()) < 300_000
