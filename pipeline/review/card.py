"""Which modality for this patient, why, and what stands in the way? One decision's case card."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.review.card_missing import deciders, missing_facts
from pipeline.review.card_order import evidence_table, headline, order_view, outcome_table
from pipeline.review.card_reasons import contrasts, reason_views, rule_views
from pipeline.review.case import CaseCard, Row, in_display_order
from pipeline.review.numerals import percent
from pipeline.review.reading import text_in
from pipeline.review.templating import rendered
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
        HTML without scripts or outside references; the same card gives the same text.
        Without `show_identifiers` it holds no decision, patient or date.
    """
    rows = in_display_order(card)
    return rendered(
        "card.html.j2",
        {
            "headline": headline(rows, card),
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
            "estimands": estimands_table(list(card.estimands), card.weights),
            "versions": (
                ("Model version", text_in(card.model_version) or NOT_AVAILABLE),
                ("Rule set version", text_in(card.ruleset_version) or NOT_AVAILABLE),
                ("Records digest", _first(rows, "records_digest") or NOT_AVAILABLE),
            ),
        },
    )


def _first(rows: Sequence[Row], key: str) -> str:
    return next((text for text in (text_in(line.get(key)) for line in rows) if text), "")


def _who(card: CaseCard, rows: Sequence[Row]) -> str:
    if not card.show_identifiers:
        return "Identifiers and dates withheld"
    patient = _first(rows, "patient_id")
    parts = [f"Decision {text_in(card.decision_id)}", f"patient {patient}" if patient else ""]
    parts.append(f"decided on {text_in(card.decision_date)}" if card.decision_date else "")
    return " · ".join(part for part in parts if part)
