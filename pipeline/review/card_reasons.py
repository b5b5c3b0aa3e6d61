"""How does a case card tell why: reasons that add up, and rules that spoke?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.review.blocks import Cell, Table, columns, row
from pipeline.review.card_order import modality_badge
from pipeline.review.case import CaseCard, Row, name_of
from pipeline.review.charts import signed_bar
from pipeline.review.numerals import decimal, signed
from pipeline.review.reading import mapping_in, mappings_in, number_in, text_in, texts_in
from pipeline.review.trust_sections import plain_value
from pipeline.review.wording import Badge, assessed_badge, drafts_not_run, plain_name, set_aside_badge, verdict_badge

_TOLERANCE = 1e-6
_UNDECIDED = "Not known whether it applies"
_DIGITS = 3
_LABELS = ("Fact and value", "Lowers · raises", "Contribution")
_COLUMNS = columns(_LABELS, numbers=(_LABELS[2],), pictures=(_LABELS[1],))
_DIFFERENCE = "What makes the difference"


@dataclass(frozen=True)
class Reasons:
    """Why a modality has its suitability, or one modality stands before another.

    Attributes
    ----------
    name, label : str
        Id and words of the modality, or of the two.
    table : Table
        Facts with value and signed contribution.
    sum_line : str
        The arithmetic in words and numbers.
    adds_up : bool
        Whether the unrounded numbers agree within one millionth.
    """

    name: str
    label: str
    table: Table
    sum_line: str
    adds_up: bool


def reason_views(rows: Sequence[Row], card: CaseCard) -> tuple[Reasons, ...]:
    """Return the reasons of every modality that has some, in displayed order."""
    most = _largest([item for line in rows for item in mappings_in(line.get("reasons"))])
    views = []
    for line in rows:
        items, baseline = mappings_in(line.get("reasons")), number_in(line.get("baseline"))
        if not items or baseline is None:
            continue
        total, suitability = (
            sum(number_in(item.get("contribution")) or 0.0 for item in items),
            number_in(line.get("suitability")),
        )
        adds_up = suitability is not None and abs(baseline + total - suitability) <= _TOLERANCE
        told = f"Baseline {signed(baseline, _DIGITS)}, reasons {signed(total, _DIGITS)}: "
        told += f"suitability {signed(suitability, _DIGITS)}." + _agreement(adds_up)
        table = _items_table("What moved the estimate away from the baseline", items, most, card)
        views.append(Reasons(name_of(line), card.modality(name_of(line)), table, told, adds_up))
    return tuple(views)


def blank_contrast() -> Table:
    """Return the table of a contrast without items, for a page that fills it."""
    return Table(_DIFFERENCE, _COLUMNS, ())


def contrasts(rows: Sequence[Row], card: CaseCard) -> tuple[Reasons, ...]:
    """Return why each modality stands before the next displayed one, where the predictions say so."""
    by_name = {name_of(line): line for line in rows}
    pairs = [(line, mapping_in(line.get("versus_next"))) for line in rows]
    most = _largest([item for _, versus in pairs for item in mappings_in(versus.get("items"))])
    views = []
    for line, versus in pairs:
        items, other = mappings_in(versus.get("items")), text_in(versus.get("modality"))
        if not items or not other:
            continue
        first, second = number_in(line.get("suitability")), number_in(by_name.get(other, {}).get("suitability"))
        total = sum(number_in(item.get("contribution")) or 0.0 for item in items)
        gap = None if first is None or second is None else first - second
        adds_up = gap is not None and abs(gap - total) <= _TOLERANCE
        told = f"{decimal(first, _DIGITS)} against {decimal(second, _DIGITS)}: a gap of {signed(gap, _DIGITS)}; "
        told += f"the items add up to {signed(total, _DIGITS)}." + _agreement(adds_up)
        label = f"{card.modality(name_of(line))} rather than {card.modality(other)}"
        table = _items_table(_DIFFERENCE, items, most, card)
        views.append(Reasons(f"{name_of(line)},{other}", label, table, told, adds_up))
    return tuple(views)


def _agreement(adds_up: bool) -> str:
    return "" if adds_up else " These numbers do not add up; do not rely on the reasons."


def _largest(items: Sequence[Row]) -> float:
    return max((abs(number_in(item.get("contribution")) or 0.0) for item in items), default=0.0)


def _items_table(caption: str, items: Sequence[Row], most: float, card: CaseCard) -> Table:
    lines = []
    for item in items:
        feature, contribution = text_in(item.get("feature")), number_in(item.get("contribution"))
        told = signed(contribution, _DIGITS)
        bar = signed_bar(f"Contribution {told}", contribution, most)
        lines.append(row(Cell(card.fact(feature), card.compared(feature, item.get("value"))), Cell(picture=bar), told))
    return Table(caption, _COLUMNS, tuple(lines))


@dataclass(frozen=True)
class SpokenRule:
    """A rule that had something to say about a modality, of which products, and what to do about it."""

    badge: Badge
    title: str
    products: str
    reason: str
    action: str
    source: str
    note: str
    needs: tuple[tuple[str, str], ...]
    override: str


@dataclass(frozen=True)
class RuleView:
    """What the rules say of one modality and of each of its products.

    Attributes
    ----------
    label : str
    badge : Badge
    products : tuple of (label, verdict, how many draft rules were not run)
    rules : tuple of SpokenRule
    drafts : str
        How many draft rules on the modality were not run.
    unrun : tuple of (title, rule id and products)
        Those draft rules.
    """

    label: str
    badge: Badge
    products: tuple[tuple[str, Badge, str], ...]
    rules: tuple[SpokenRule, ...]
    drafts: str
    unrun: tuple[tuple[str, str], ...]


def rule_views(rows: Sequence[Row], card: CaseCard) -> tuple[RuleView, ...]:
    """Return what the rules say, modality by modality in displayed order."""
    return tuple(_rule_view(line, card) for line in rows)


def _rule_view(line: Row, card: CaseCard) -> RuleView:
    name, products = name_of(line), [text_in(entry.get("product")) for entry in mappings_in(line.get("products"))]
    verdicts = [text_in(entry.get("verdict")) for entry in mappings_in(line.get("products"))]
    drafts = [tuple(card.not_run.get((name, product), ())) for product in products]
    waiting: dict[str, list[str]] = {}
    for product, rules in zip(products, drafts, strict=True):
        for rule in rules:
            waiting.setdefault(rule, []).append(product)
    return RuleView(
        label=card.modality(name),
        badge=modality_badge(line, card),
        products=tuple(
            (
                card.product(product),
                assessed_badge(verdict, len(rules)),
                "" if verdict in ("not_assessed", "blocked") else drafts_not_run(len(rules)),
            )
            for product, verdict, rules in zip(products, verdicts, drafts, strict=True)
        ),
        rules=tuple(dict.fromkeys(_spoken(entry, line, card) for entry in mappings_in(line.get("rules")))),
        drafts=drafts_not_run(len(waiting)),
        unrun=tuple(
            (_title(rule, card), f"{rule} · {_of_products(of, products, card)}") for rule, of in waiting.items()
        ),
    )


def _spoken(entry: Row, line: Row, card: CaseCard) -> SpokenRule:
    rule_id = text_in(entry.get("rule_id"))
    declared = mapping_in(card.rules.get(rule_id))
    status = text_in(declared.get("status"))
    note = rule_id + (f" · {status}" if status else "")
    note += ", not yet clinically reviewed" if status == "draft" else ""
    verdict, missing = text_in(entry.get("verdict")), texts_in(entry.get("missing_facts"))
    override, title = _override(rule_id, line, card), _title(rule_id, card)
    every = [text_in(product.get("product")) for product in mappings_in(line.get("products"))]
    return SpokenRule(
        badge=set_aside_badge(verdict) if override else verdict_badge(verdict),
        title=f"{_UNDECIDED}: {title}" if verdict == "indeterminate" or missing else title,
        products=_of_products(card.spoken_of.get((name_of(line), rule_id), ()), every, card),
        reason=text_in(declared.get("reason")),
        action=text_in(declared.get("action")),
        source=_source(declared.get("source")),
        note=note,
        needs=tuple((card.fact(fact), card.how_to_obtain(fact)) for fact in missing),
        override=override,
    )


def _title(rule_id: str, card: CaseCard) -> str:
    return text_in(mapping_in(card.rules.get(rule_id)).get("title")) or plain_name(rule_id)


def _of_products(spoken_of: Sequence[str], every: Sequence[str], card: CaseCard) -> str:
    """Return the products that a rule speaks of: by name, or all; nothing where that is not known."""
    if len(every) > 1 and set(spoken_of) >= set(every):
        return f"all {len(every)} products"
    return ", ".join(card.product(product) for product in spoken_of)


def _source(source: Any) -> str:
    declared = mapping_in(source)
    document = text_in(declared.get("document"))
    if document:
        rest = {key: value for key, value in declared.items() if key != "document" and value not in (None, "")}
        return ", ".join([document, plain_value(rest)] if rest else [document])
    text = plain_value(source) if source is not None else ""
    return "" if text == "–" else text


def _override(rule_id: str, line: Row, card: CaseCard) -> str:
    for entry in mappings_in(line.get("overrides")):
        if text_in(entry.get("rule_id")) == rule_id:
            when = f" on {text_in(entry.get('date'))}" if card.show_identifiers and text_in(entry.get("date")) else ""
            role = text_in(entry.get("by_role")) or "role not recorded"
            return f"Overridden by {role}{when}: {text_in(entry.get('reason')) or 'no reason recorded'}"
    return ""
