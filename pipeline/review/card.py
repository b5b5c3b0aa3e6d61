"""Which modality for this patient, why, and what stands in the way? One decision's case card."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from pipeline.review.card_likeness import alike_view
from pipeline.review.card_missing import deciders, missing_facts
from pipeline.review.card_order import evidence_table, headline, order_view, outcome_table, remarks
from pipeline.review.card_reasons import blank_contrast, contrasts, reason_views, rule_views
from pipeline.review.card_weighing import embedded, weighing
from pipeline.review.case import CaseCard, Row, in_display_order, name_of
from pipeline.review.numerals import percent
from pipeline.review.reading import text_in
from pipeline.review.templating import rendered, script, strict_policy
from pipeline.review.trust_sections import estimands_table
from pipeline.review.wording import NOT_AVAILABLE


def case_card(card: CaseCard) -> str:
    """Return one decision's case card as one self-contained HTML text.

    Parameters
    ----------
    card : CaseCard

    Returns
    -------
    str
        HTML without outside references; the same card gives the same text. It runs one script, its own, if the
        card holds what suitabilities are made of, and can be read without it.
        Without `show_identifiers` it holds no decision, patient or date.
    """
    rows = in_display_order(card)
    document = weighing(rows, card)
    code = "" if document is None else script("card.js")
    return rendered(
        "card.html.j2",
        {
            "content_policy": strict_policy(code),
            "weighing": document,
            "embedded": "" if document is None else embedded(document),
            "script": Markup(code),
            "comparable": [(name_of(line), card.modality(name_of(line))) for line in rows if _has_model(line, card)],
            "blank": blank_contrast(),
            "has_typical": bool(card.typical),
            "headline": headline(rows, card),
            "remarks": remarks(rows, card),
            "who": _who(card, rows),
            "simulated": card.simulated,
            "level": percent(card.interval_level),
            "order": order_view(rows, card),
            "outcomes": outcome_table(rows, card),
            "reasons": reason_views(rows, card),
            "contrasts": contrasts(rows, card),
            "rules": rule_views(rows, card),
            "deciders": deciders(rows, card),
            "facts": missing_facts(rows, card),
            "evidence": evidence_table(rows, card),
            "alike": alike_view(rows, card),
            "estimands": estimands_table(list(card.estimands), card.weights),
            "versions": (
                ("Model version", text_in(card.model_version) or NOT_AVAILABLE),
                ("Rule set version", text_in(card.ruleset_version) or NOT_AVAILABLE),
                ("Records digest", _first(rows, "records_digest") or NOT_AVAILABLE),
            ),
        },
    )


def _has_model(line: Row, card: CaseCard) -> bool:
    return card.unweighed is not None and name_of(line) in card.unweighed.arms


def _first(rows: Sequence[Row], key: str) -> str:
    return next((text for text in (text_in(line.get(key)) for line in rows) if text), "")


def _who(card: CaseCard, rows: Sequence[Row]) -> str:
    if not card.show_identifiers:
        return "Identifiers and dates withheld"
    patient = _first(rows, "patient_id")
    parts = [f"Decision {text_in(card.decision_id)}", f"patient {patient}" if patient else ""]
    parts.append(f"decided on {text_in(card.decision_date)}" if card.decision_date else "")
    return " · ".join(part for part in parts if part)
