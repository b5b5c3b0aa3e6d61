"""How does a case card tell the order of the modalities and what to expect of each?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pipeline.review.blocks import Cell, Column, Table, columns, row
from pipeline.review.case import CaseCard, Row, name_of, rank_of, undecided_facts
from pipeline.review.charts import Estimate, axis_strip, hundred_dots, interval_strip, months_row, scale_over, share_bar
from pipeline.review.numerals import decimal, general, listed, of_hundred, ordinal, span
from pipeline.review.reading import count_in, mapping_in, mappings_in, number_in, text_in, texts_in
from pipeline.review.small_cells import masked_line
from pipeline.review.wording import (
    Badge,
    assessed_badge,
    drafts_not_run,
    outcome_label,
    plain_name,
    status_badge,
    status_sentence,
)
from pipeline.vocabulary import HIGHER_IS_BETTER, OUTCOMES, UNRANKABLE_VERDICTS

_BURDEN_DAYS = 90
BEFORE_THE_RULES = "Before rules and availability the model alone had it {}."


@dataclass(frozen=True)
class Place:
    """One modality in the displayed order.

    Attributes
    ----------
    name, rank : str
        The modality's id; `1`, `2`, or a dash where there is none.
    label, sentence, aside : str
        Name, status in words, and what the model alone would say where that differs.
    status, verdict : Badge
    unrun : str
        How many draft rules on the products behind the verdict were not run.
    strip : Markup
        The estimate on the shared scale.
    value, interval : str
    ranked : bool
    """

    name: str
    rank: str
    label: str
    sentence: str
    aside: str
    status: Badge
    verdict: Badge
    unrun: str
    strip: Markup
    value: str
    interval: str
    ranked: bool


@dataclass(frozen=True)
class Order:
    """All modalities in displayed order, and their shared scale."""

    places: tuple[Place, ...]
    axis: Markup


def sentence_of(line: Row, card: CaseCard) -> str:
    """Return a row's status in words."""
    modality = name_of(line)
    return status_sentence(
        text_in(line.get("status")),
        rank=rank_of(line),
        tied_with=[card.modality(other) for other in texts_in(line.get("tied_with"))],
        missing=[card.fact(fact) for fact in _needed(line, card)],
        reason=text_in(line.get("abstain_reason")),
        cases=count_in(card.arm_evidence.get(modality)),
    )


def _needed(line: Row, card: CaseCard) -> tuple[str, ...]:
    """Return the fewest facts that decide a modality, else all that its undecided rules wait for."""
    found = card.settling.get(name_of(line))
    return found.facts if found else undecided_facts(line) or texts_in(line.get("missing_facts"))


def headline(rows: Sequence[Row], card: CaseCard) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return the result in one sentence, and (label, status in words) of the modalities without a rank."""
    first = tuple(card.modality(name_of(line)) for line in rows if rank_of(line) == 1)
    left = tuple((card.modality(name_of(line)), sentence_of(line, card)) for line in rows if rank_of(line) is None)
    if not first:
        told = "No modality could be ranked for this patient."
    elif len(first) == 1:
        told = f"{first[0]} comes first."
    else:
        told = f"{listed(first)} share the first place: the records cannot tell them apart for this patient."
    return told, left


def remarks(rows: Sequence[Row], card: CaseCard) -> tuple[tuple[str, str], ...]:
    """Return (label, what a reader of the result alone would miss), in displayed order.

    That is: of a ranked modality only one product is left, or a rule was set aside.
    """
    found = []
    for line in rows:
        label, products = card.modality(name_of(line)), mappings_in(line.get("products"))
        left = [entry for entry in products if text_in(entry.get("verdict")) not in UNRANKABLE_VERDICTS]
        if rank_of(line) is not None and len(left) == 1 < len(products):
            only = card.product(text_in(left[0].get("product")))
            found.append((label, f"the rules leave only {only} of its {len(products)} products"))
        found += [(label, _set_aside(entry, line, card)) for entry in mappings_in(line.get("overrides"))]
    return tuple(found)


def _set_aside(override: Row, line: Row, card: CaseCard) -> str:
    rule_id = text_in(override.get("rule_id"))
    said = [entry for entry in mappings_in(line.get("rules")) if text_in(entry.get("rule_id")) == rule_id]
    waits = any(text_in(entry.get("verdict")) == "indeterminate" for entry in said)
    title = text_in(mapping_in(card.rules.get(rule_id)).get("title")) or plain_name(rule_id)
    role = text_in(override.get("by_role")) or "somebody whose role is not recorded"
    return f"{'an undecided block' if waits else 'a block'} was set aside by {role}: {title}"


def order_view(rows: Sequence[Row], card: CaseCard) -> Order:
    """Return the displayed order with one interval per modality on a shared scale."""
    ends = [number_in(line.get(key)) for line in rows for key in ("suitability", "suitability_low", "suitability_high")]
    scale = scale_over(ends)
    places = []
    for line in rows:
        value, low, high = (number_in(line.get(key)) for key in ("suitability", "suitability_low", "suitability_high"))
        rank, label = rank_of(line), card.modality(name_of(line))
        told = f"{label}: suitability {decimal(value)}, interval {span(low, high)}"
        estimate = Estimate(label, decimal(value), value, low, high, "quiet" if rank is None else "main")
        places.append(
            Place(
                name=name_of(line),
                rank="–" if rank is None else str(rank),
                label=label,
                sentence=sentence_of(line, card),
                aside=_aside(line, rank),
                status=status_badge(text_in(line.get("status"))),
                verdict=modality_badge(line, card),
                unrun=unrun_beside(line, card),
                strip=interval_strip(told, estimate, scale=scale),
                value=decimal(value),
                interval=span(low, high) if value is not None else "",
                ranked=rank is not None,
            )
        )
    axis = axis_strip("Scale of suitability, from -1 (worst) to 1 (best)", scale, "suitability, higher is better")
    return Order(tuple(places), axis)


def modality_badge(line: Row, card: CaseCard) -> Badge:
    """Return the badge of a modality's verdict."""
    return assessed_badge(text_in(line.get("verdict")), len(_drafts_behind(line, card)))


def unrun_beside(line: Row, card: CaseCard) -> str:
    """Return how many draft rules were not run, for a verdict whose badge does not say it."""
    told = text_in(line.get("verdict")) in ("not_assessed", *UNRANKABLE_VERDICTS)
    return "" if told else drafts_not_run(len(_drafts_behind(line, card)))


def _drafts_behind(line: Row, card: CaseCard) -> set[str]:
    """Return the draft rules that were not run on the products that give a modality its verdict."""
    verdict = line.get("verdict")
    best = [
        text_in(entry.get("product")) for entry in mappings_in(line.get("products")) if entry.get("verdict") == verdict
    ]
    return {rule for product in best for rule in card.not_run.get((name_of(line), product), ())}


def _aside(line: Row, rank: int | None) -> str:
    alone = count_in(line.get("model_rank"))
    return BEFORE_THE_RULES.format(ordinal(alone)) if alone is not None and rank is None else ""


def outcome_table(rows: Sequence[Row], card: CaseCard) -> Table | None:
    """Return the outcomes of every modality side by side, in natural frequencies; None where there are none."""
    declared = {text_in(entry.get("outcome")): entry for entry in mappings_in(list(card.estimands))}
    names = [name for name in (*OUTCOMES, "burden") if any(number_in(line.get(name)) is not None for line in rows)]
    shown = [line for line in rows if any(number_in(line.get(name)) is not None for name in names)]
    if not shown:
        return None
    lines = []
    for name in names:
        entry = declared.get(name, {})
        months = number_in(entry.get("horizon_months"))
        within = f"within {general(months)} months" if months is not None else ""
        side = "more is better" if HIGHER_IS_BETTER[name] else "fewer is better"
        detail = " · ".join(part for part in (within if name != "burden" else "first 6 months", side) if part)
        head = Cell(text_in(entry.get("label")) or outcome_label(name), detail, "strong")
        lines.append((head, *(_outcome_cell(name, number_in(line.get(name)), months) for line in shown)))
    heads = tuple(Column(card.modality(name_of(line)), "picture") for line in shown)
    return Table("Each row an outcome, each column a modality", (Column("Outcome"), *heads), tuple(lines))


def _outcome_cell(name: str, value: float | None, months: float | None) -> Cell:
    tone = "good" if HIGHER_IS_BETTER[name] else "bad"
    if name == "treatment_free":
        year = round(months) if months is not None and 1 <= months <= 60 else 12
        told = "not estimated" if value is None else f"about {decimal(value * year, 1)} of {year} months"
        return Cell(told, picture=months_row(value, year, tone))
    if name == "burden":
        told = "not estimated" if value is None else f"about {round(value * _BURDEN_DAYS)} days"
        return Cell(told, picture=share_bar(f"{told} of at most {_BURDEN_DAYS} counted", value, tone))
    return Cell(of_hundred(value), picture=hundred_dots(value, tone))


def evidence_table(rows: Sequence[Row], card: CaseCard) -> Table:
    """Return how much experience stands behind each modality."""
    lines = []
    for line in rows:
        modality, support = name_of(line), number_in(line.get("support"))
        cases = masked_line([count_in(card.arm_evidence.get(modality))])[0].text
        told = "not estimated" if support is None else of_hundred(support)
        lines.append(
            row(
                Cell(card.modality(modality), tone="strong"),
                cases,
                Cell(told, picture=share_bar(told, support, "main")),
            )
        )
    labels = ("Modality", "Past cases in training", "Similar patients here who were given it")
    heads = columns(labels, numbers=(labels[1],), pictures=(labels[2],))
    return Table("One row per modality", heads, tuple(lines))
