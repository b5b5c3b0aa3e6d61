"""How does a case card tell how people alike were treated here, and what became of them?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from pipeline.review.blocks import Cell, Figure, Panel, Table, columns, row
from pipeline.review.case import CaseCard, Row, name_of
from pipeline.review.numerals import percent
from pipeline.review.reading import count_in, list_in, mapping_in, mappings_in, number_in, text_in
from pipeline.review.svg import drawing, element

_RAW = (
    "Raw curves of what was recorded, not adjusted: people given one modality differed from those given another. "
    "They show what happened here; the estimates above take the differences into account."
)
_HIDDEN = "<11, or masked"
_STEP = 3
_ALIKE = "At least 60 people the model learned from share with this patient:"
_ALL = "All people the model learned from; they are too few to tell groups apart."


@dataclass(frozen=True)
class Alike:
    """People alike: who they are, how they were treated, and their curves.

    Attributes
    ----------
    words : str
        Who is called alike.
    common : tuple of str
        What they have in common with the patient.
    table : Table
    figure : Figure or None
    """

    words: str
    common: tuple[str, ...]
    table: Table
    figure: Figure | None


def alike_view(rows: Sequence[Row], card: CaseCard) -> Alike | None:
    """Return how people alike were treated, in displayed order of modalities; None where the model does not tell."""
    counts, curves = mapping_in(card.similar.get("people")), mapping_in(card.similar.get("curves"))
    if not counts:
        return None
    names = [name_of(line) for line in rows if name_of(line) in counts]
    lines = [row(Cell(card.modality(name), tone="strong"), _count(counts[name])) for name in names]
    labels = ("Modality", "People alike who were given it")
    table = Table("One row per modality given", columns(labels, numbers=(labels[1],)), tuple(lines))
    months = count_in(card.similar.get("horizon_months")) or 0
    read = {name: [number_in(share) for share in list_in(curves.get(name))] for name in names}
    told = {name: [share for share in shares if share is not None] for name, shares in read.items()}
    told = {name: shares for name, shares in told.items() if len(shares) > 1}
    common = tuple(_answer(question, card) for question in mappings_in(card.similar.get("alike")))
    return Alike(_ALIKE if common else _ALL, common, table, _figure(told, months, card) if told and months else None)


def _count(value: Any) -> str:
    count = count_in(value)
    return _HIDDEN if count is None else f"{count:,}"


def _answer(question: Mapping[str, Any], card: CaseCard) -> str:
    name, is_yes = text_in(question.get("feature")), bool(question.get("answer"))
    fact, over = card.fact(name), number_in(question.get("over"))
    gap = "" if question.get("known") else " (not known of this patient; the typical value is taken)"
    if over is None:
        level = text_in(question.get("is"))
        return f"{fact}: {level if is_yes else f'not {level}'}{gap}"
    if card.value(name, "1") == "yes":
        return f"{fact}: {'yes' if is_yes else 'no'}{gap}"
    return f"{fact} {'over' if is_yes else 'at most'} {card.value(name, f'{over:g}')}{gap}"


def _figure(curves: Mapping[str, Sequence[float]], months: int, card: CaseCard) -> Figure:
    panels = tuple(Panel(card.modality(name), _curve(card.modality(name), shares, months))
                   for name, shares in curves.items())  # fmt: skip
    lines = []
    for month in range(0, months + 1, _STEP):
        cells = [percent(shares[month]) if month < len(shares) else "too few followed" for shares in curves.values()]
        lines.append(row(Cell(str(month), tone="strong"), *cells))
    labels = ("Months after the decision", *(card.modality(name) for name in curves))
    table = Table(
        "Share without progression, next treatment or death", columns(labels, numbers=labels[1:]), tuple(lines)
    )
    reading = f"Share without progression, next treatment or death, of at least 30 people each. {_RAW}"
    return Figure("What became of people alike", reading, panels, table, squares=True)


def _curve(label: str, shares: Sequence[float], months: int) -> Markup:
    """Return a curve in steps from everybody at the decision to those still under control."""
    left, top, wide, high = 36.0, 8.0, 128.0, 96.0

    def x(month: float) -> float:
        return left + wide * month / months

    def y(share: float) -> float:
        return top + high * (1 - min(1.0, max(0.0, share)))

    points = [(x(0), y(shares[0]))]
    for month, share in enumerate(shares[1:], start=1):
        points += [(x(month), points[-1][1]), (x(month), y(share))]
    parts = [
        element("line", {"x1": left, "y1": y(share), "x2": left + wide, "y2": y(share), "class": "grid"})
        for share in (0.0, 0.5, 1.0)
    ]
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    parts.append(element("polyline", {"points": path, "class": "curve"}))
    for share, told in ((0.0, "0"), (0.5, "50%"), (1.0, "100%")):
        parts.append(element("text", {"x": left - 5, "y": y(share) + 4, "class": "tick", "text-anchor": "end"}, told))
    for month, told in ((0, "0"), (months, f"{months} mo")):
        anchor = "middle" if month == 0 else "end"
        place: dict[str, str | float] = {
            "x": x(month) + (8 if month else 0),
            "y": top + high + 16,
            "class": "tick",
            "text-anchor": anchor,
        }
        parts.append(element("text", place, told))
    last = len(shares) - 1
    title = f"{label}: {percent(shares[last])} without the event after {last} months"
    return drawing(title, 126, parts, width="178", style="square")
