"""How do the tables of the review page stand alone, as files that a spreadsheet or a program reads?"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.review.blocks import Cell, Figure, Section, Table, Words
from pipeline.review.numerals import MINUS
from pipeline.review.report import review_sections

Value = str | int | float
Piece = tuple[str, Value]

_FORMULA_STARTS = "=+-@\uff1d\uff0b\uff0d\uff20"
_NUMBER = r"[+-]?\d+(?:\.\d+)?%?"
_PARTS = {
    re.compile(rf"({_NUMBER})"): ("",),
    re.compile(rf"({_NUMBER}) \(({_NUMBER}) to ({_NUMBER})\)"): ("", ", low", ", high"),
    re.compile(rf"({_NUMBER}) \(SE ({_NUMBER})\)"): ("", ", SE"),
}


def review_tables(evaluation: Mapping[str, Any]) -> dict[str, str]:
    """Return every table of the review page, and the twin of every figure, as CSV and as JSON, by file name.

    Parameters
    ----------
    evaluation : mapping
        The content of `evaluation.json`.

    Returns
    -------
    dict of str to str
        `<section>-<number>.csv` and `.json`: what the page says, so what the page masks is masked here. In columns of
        numbers a share is written as a fraction, and an interval or standard error has columns of its own; words such
        as `<11`, `masked` and `not estimated` stay. Small print under a cell has a column too. A CSV cell that a
        spreadsheet could take for a formula has an apostrophe before it.
    """
    found: dict[str, str] = {}
    for section in review_sections(evaluation):
        for number, (table, figure) in enumerate(_tables(section), start=1):
            found |= table_files(f"{section.anchor}-{number}", table, section.title, figure)
    return found


def table_files(name: str, table: Table, title: str, figure: str | None = None) -> dict[str, str]:
    """Return a table as CSV and as JSON, by file name; a column that only draws is left out.

    Parameters
    ----------
    name : str
        Of the files, without its ending.
    table : Table
    title : str
        What the table tells.
    figure : str or None
        The figure that it says in numbers.
    """
    heads, rows = _spread(table)
    document = {"title": title, "figure": figure, "caption": table.caption, "columns": heads, "rows": rows}
    return {
        f"{name}.csv": csv_text([heads, *rows]),
        f"{name}.json": json.dumps(document, ensure_ascii=False, indent=1) + "\n",
    }


def _tables(section: Section) -> list[tuple[Table, str | None]]:
    """Return the tables of a section with the title of the figure whose twin they are."""
    kept = [block for block in section.blocks if not isinstance(block, Words)]
    return [(block.twin, block.title) if isinstance(block, Figure) else (block, None) for block in kept]


def _spread(table: Table) -> tuple[list[str], list[list[Value]]]:
    """Return heads and rows in which every cell holds one thing."""
    heads: list[str] = []
    spread: list[list[Value]] = [[] for _ in table.rows]
    for place, column in enumerate(table.columns):
        if column.kind == "picture" and table.rows and not any(cells[place].text for cells in table.rows):
            continue
        pieces = [dict(_pieces(cells[place], is_number=column.kind == "number")) for cells in table.rows]
        names = list(dict.fromkeys(name for cell in pieces for name in cell)) or [""]
        heads += [f"{column.label}{name}" for name in names]
        for row, cell in zip(spread, pieces, strict=True):
            row.extend(cell.get(name, "") for name in names)
    return heads, spread


def _pieces(cell: Cell, *, is_number: bool) -> list[Piece]:
    """Return what a cell says, each part with the name that its column is to have."""
    said = " ".join(part for part in (cell.badge.word if cell.badge else "", cell.text) if part)
    small: list[Piece] = [(", detail", cell.detail)] if cell.detail else []
    plain = said.replace(MINUS, "-").replace(",", "")
    for pattern, names in _PARTS.items():
        match = pattern.fullmatch(plain) if is_number else None
        if match:
            return [*zip(names, map(_number, match.groups()), strict=True), *small]
    return [("", said), *small]


def _number(text: str) -> int | float:
    """Return a number as the page rounded it; `77%` is 0.77."""
    if text.endswith("%"):
        return round(float(text[:-1]) / 100, 6)
    return float(text) if "." in text else int(text)


def csv_text(rows: Sequence[Sequence[Value]]) -> str:
    """Return rows as CSV in which no cell starts as a formula would; numbers stay numbers."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([[_inert(cell) for cell in row] for row in rows])
    return text.getvalue()


def _inert(cell: Value) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    if not isinstance(cell, str):
        return repr(cell)
    return f"'{cell}" if cell.strip()[:1] in tuple(_FORMULA_STARTS) else cell
