"""How do the tables of a case card stand alone, as files that a spreadsheet or a program reads?"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.review.blocks import Table, columns, row
from pipeline.review.card_likeness import alike_view
from pipeline.review.card_missing import deciders, missing_facts
from pipeline.review.card_order import Order, evidence_table, order_view, outcome_table
from pipeline.review.card_reasons import RuleView, contrasts, reason_views, rule_views
from pipeline.review.case import CaseCard, Row, in_display_order
from pipeline.review.table_twins import table_files
from pipeline.review.trust_sections import estimands_table


def card_tables(card: CaseCard) -> dict[str, str]:
    """Return what a case card says as CSV and as JSON, by file name.

    Parameters
    ----------
    card : CaseCard

    Returns
    -------
    dict of str to str
        `order`, `outcomes`, `reasons-<modality>`, `contrast-<modality>-<modality>`, `missing`, `rules`, `evidence`,
        `alike`, `alike-curves` and `weights`, each `.csv` and `.json`; those without a row are left out. They tell one
        person's values as the card does, at the weights on record, and no identifier.
    """
    rows = in_display_order(card)
    alike = alike_view(rows, card)
    told: list[tuple[str, str, Table | None]] = [
        ("order", "The order", _order(order_view(rows, card))),
        ("outcomes", "What to expect of each", outcome_table(rows, card)),
        *((f"reasons-{why.name}", f"Why: {why.label}", why.table) for why in reason_views(rows, card)),
        *((f"contrast-{why.name.replace(',', '-')}", why.label, why.table) for why in contrasts(rows, card)),
        ("missing", "What is missing, and what to obtain", _missing(rows, card)),
        ("rules", "What the rules say", _rules(rule_views(rows, card))),
        ("evidence", "How much experience stands behind it", evidence_table(rows, card)),
        ("alike", "People alike, and how they were treated here", alike.table if alike else None),
        ("weights", "What is predicted, and how it is weighed", estimands_table(list(card.estimands), card.weights)),
    ]
    found: dict[str, str] = {}
    for name, title, table in told:
        if table is not None and table.rows:
            found |= table_files(name, table, title)
    if alike and alike.figure:
        found |= table_files("alike-curves", alike.figure.twin, "People alike", alike.figure.title)
    return found


def _order(order: Order) -> Table:
    labels = ("Modality", "Rank", "Suitability", "Status", "Rules", "In words")
    lines = []
    for place in order.places:
        rank = place.rank if place.ranked else ""
        value = f"{place.value} ({place.interval})" if place.interval else place.value
        lines.append(row(place.label, rank, value, place.status.word, place.verdict.word, place.sentence))
    return Table("One row per modality, in displayed order", columns(labels, numbers=labels[1:3]), tuple(lines))


def _missing(rows: Sequence[Row], card: CaseCard) -> Table:
    deciding = [
        row(fact, how, f"{found.label}: {found.sentence}")
        for found in deciders(rows, card)
        for fact, how in found.facts
    ]
    other = [row(entry.fact, entry.obtain, entry.concerns) for entry in missing_facts(rows, card)]
    labels = ("Fact", "To obtain", "What it concerns")
    return Table("One row per missing fact and what it concerns", columns(labels), (*deciding, *other))


def _rules(views: Sequence[RuleView]) -> Table:
    labels = ("Modality", "Rule", "Says", "Products", "Reason", "To do", "Set aside", "Source", "Id and status")
    lines = [
        row(
            view.label,
            rule.title,
            rule.badge.word,
            rule.products,
            rule.reason,
            rule.action,
            rule.override,
            rule.source,
            rule.note,
        )
        for view in views
        for rule in view.rules
    ]
    return Table("One row per modality and rule that spoke", columns(labels), tuple(lines))
