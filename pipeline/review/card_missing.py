"""How does a case card tell what is missing: the fewest facts that decide a modality, and how to obtain them?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.review.case import CaseCard, Row, Settling, name_of, undecided_facts
from pipeline.review.numerals import listed
from pipeline.review.reading import mappings_in, text_in, texts_in


@dataclass(frozen=True)
class Decider:
    """What a modality waits for.

    Attributes
    ----------
    label, sentence : str
        The modality, and in one sentence what the facts decide.
    facts : tuple of (fact in words, how to obtain it)
    reach : str
        How far they decide.
    """

    label: str
    sentence: str
    facts: tuple[tuple[str, str], ...]
    reach: str


@dataclass(frozen=True)
class MissingFact:
    """A fact nobody recorded, what to order or ask, and whom it concerns."""

    fact: str
    obtain: str
    concerns: str


def waiting(rows: Sequence[Row], card: CaseCard) -> tuple[tuple[Row, Settling], ...]:
    """Return the rows that wait for facts, in displayed order; what is not available waits for nothing."""
    return tuple(
        (line, card.settling[name_of(line)])
        for line in rows
        if name_of(line) in card.settling and text_in(line.get("status")) != "unavailable"
    )


def deciders(rows: Sequence[Row], card: CaseCard) -> tuple[Decider, ...]:
    """Return the fewest facts that decide each modality that waits for some, in displayed order."""
    return tuple(_decider(card.modality(name_of(line)), found, card) for line, found in waiting(rows, card))


def _decider(label: str, found: Settling, card: CaseCard) -> Decider:
    product = card.product(found.product) if found.product in card.product_labels else label
    many = "these facts decide" if len(found.facts) > 1 else "this fact decides"
    asked = {
        "indeterminate": f"{many} whether {product} may be given",
        "action_required": f"{many} whether something must be done before {product}",
    }[found.verdict]
    whole = f"Any answer settles what the rules say of {label}; nothing else needs to be known for that."
    partly = "Any answer settles what the rules say of this product; another product may still wait for other facts."
    facts = tuple((card.fact(fact), card.how_to_obtain(fact)) for fact in found.facts)
    return Decider(label, asked, facts, whole if found.decides_modality else partly)


def missing_facts(rows: Sequence[Row], card: CaseCard) -> tuple[MissingFact, ...]:
    """Return every other missing fact once; those that an undecided rule waits for come first."""
    told = {fact for _, found in waiting(rows, card) for fact in found.facts}
    settles: dict[str, list[str]] = {}
    other: dict[str, list[str]] = {}
    for line in rows:
        label = card.modality(name_of(line))
        for fact in undecided_facts(line):
            settles.setdefault(fact, []).append(label)
        by_rule = [fact for rule in mappings_in(line.get("rules")) for fact in texts_in(rule.get("missing_facts"))]
        for fact in dict.fromkeys([*by_rule, *texts_in(line.get("missing_facts"))]):
            other.setdefault(fact, []).append(label)
    return tuple(
        MissingFact(card.fact(fact), card.how_to_obtain(fact), _concerns(fact, settles, other, card))
        for fact in dict.fromkeys([*settles, *other])
        if fact not in told
    )


def _concerns(fact: str, settles: dict[str, list[str]], other: dict[str, list[str]], card: CaseCard) -> str:
    labels = listed(tuple(settles.get(fact) or other[fact]))
    if fact not in settles:
        return f"concerns {labels}"
    return f"another product or rule of {labels} waits for it" if card.settling else f"would settle {labels}"
