"""Which case cards are in a folder, and what does each say first?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.review.card_order import headline
from pipeline.review.case import CaseCard, in_display_order, name_of, rank_of
from pipeline.review.numerals import listed
from pipeline.review.reading import text_in
from pipeline.review.templating import rendered, strict_policy


@dataclass(frozen=True)
class IndexLine:
    """One card of a folder.

    Attributes
    ----------
    file : str
        Name of the card, which tells nothing of the patient.
    who, headline, first : str
        Decision and day where they are asked for; the result; the modalities in first place.
    left : tuple of (label, status in words)
        Modalities without a rank.
    """

    file: str
    who: str
    headline: str
    first: str
    left: tuple[tuple[str, str], ...]


def index_line(file: str, card: CaseCard) -> IndexLine:
    """Return what the index tells of a card."""
    rows = in_display_order(card)
    told, left = headline(rows, card)
    first = listed(tuple(card.modality(name_of(line)) for line in rows if rank_of(line) == 1))
    who = f"{text_in(card.decision_id)} · {text_in(card.decision_date)}" if card.show_identifiers else ""
    return IndexLine(file, who, told, first or "none", left)


def card_index(lines: Sequence[IndexLine], *, simulated: bool) -> str:
    """Return the index of a folder of cards as one HTML text without scripts or outside references."""
    content = {"lines": list(lines), "simulated": simulated, "content_policy": strict_policy()}
    return rendered("card_index.html.j2", content)
