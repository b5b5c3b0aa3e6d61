"""What is a page made of: sections of words, tables, and figures that each have a table twin?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from pipeline.review.wording import Badge

NO_PICTURE = Markup("")
_MOST_ROWS = 16


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes
    ----------
    text : str
    detail : str
        Smaller words under the text.
    tone : str
        Style name from a fixed set (`heat-0` to `heat-5`, `muted`, `strong`); never taken from data.
    picture : Markup
        A small drawing beside the text, which says the same.
    badge : Badge or None
    anchor : str
        Name of a section of the same page that the text links to.
    """

    text: str = ""
    detail: str = ""
    tone: str = ""
    picture: Markup = NO_PICTURE
    badge: Badge | None = None
    anchor: str = ""


@dataclass(frozen=True)
class Column:
    """The head of a column; `number` columns are set flush right, `picture` columns take the free width."""

    label: str
    kind: str = "text"


@dataclass(frozen=True)
class Table:
    """A table whose first column names the row.

    Attributes
    ----------
    caption : str
        What one row is.
    columns : tuple of Column
    rows : tuple of rows of Cell
    stacked : bool
        On a phone each row becomes a small block of labelled lines.
    unfolded : bool
        Shown whole however many rows it has.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    stacked: bool = False
    unfolded: bool = False

    @property
    def is_long(self) -> bool:
        """Whether the table is folded behind its caption until somebody opens it."""
        return len(self.rows) > _MOST_ROWS and not self.unfolded


@dataclass(frozen=True)
class Panel:
    """One picture of a figure with its name."""

    label: str
    picture: Markup


@dataclass(frozen=True)
class Figure:
    """One picture or several small ones, and the table that says the same in numbers.

    Attributes
    ----------
    title, reading : str
        What is shown, and how to read it.
    panels : tuple of Panel
    twin : Table
    squares : bool
        The panels are small square plots, set close together.
    pairs : bool
        The panels need room for words: two beside each other on a desk.
    """

    title: str
    reading: str
    panels: tuple[Panel, ...]
    twin: Table
    squares: bool = False
    pairs: bool = False


@dataclass(frozen=True)
class Words:
    """A paragraph; `tone` is `plain`, `note` (a sentence that must be seen) or `small`."""

    text: str
    tone: str = "plain"


Block = Words | Table | Figure


@dataclass(frozen=True)
class Section:
    """One part of a page.

    Attributes
    ----------
    anchor : str
        Link target; a constant of this package.
    title : str
    question : str
        The question the section answers, with a hint how to read it.
    blocks : tuple of Block
        Empty where the run has nothing to say; the page then says so.
    """

    anchor: str
    title: str
    question: str
    blocks: tuple[Block, ...] = field(default=())


def kind_of(block: Block) -> str:
    """Return which template draws a block."""
    return {Words: "words", Table: "table", Figure: "figure"}[type(block)]


def row(*cells: str | Cell) -> tuple[Cell, ...]:
    """Return a table row; plain text becomes a cell."""
    return tuple(cell if isinstance(cell, Cell) else Cell(cell) for cell in cells)


def columns(labels: Sequence[str], *, numbers: Sequence[str] = (), pictures: Sequence[str] = ()) -> tuple[Column, ...]:
    """Return column heads in order; those named in `numbers` and `pictures` get that kind."""
    kinds = dict.fromkeys(numbers, "number") | dict.fromkeys(pictures, "picture")
    return tuple(Column(label, kinds.get(label, "text")) for label in labels)


def heat(share: float | None) -> str:
    """Return the background tone of a share, in six steps; the number in the cell says it exactly."""
    return "" if share is None else f"heat-{min(5, max(0, int(share * 6)))}"
