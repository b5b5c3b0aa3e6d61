"""What does a table look like as CSV that a spreadsheet cannot mistake for formulas?

Text that begins like a formula gets an apostrophe before it, as spreadsheets themselves write it; numbers stay
numbers. Lists and records are JSON text.
"""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

FORMULA = r"^[\s\x00]*[=+\-@\x{FF1D}\x{FF0B}\x{FF0D}\x{FF20}]|^[\t\r\n]"
"""How a cell begins that a spreadsheet may run: the four signs, also full-width and after blanks; tab, line ends."""

NUMBER = r"^[+\-]?[0-9]+(\.[0-9]+)?([eE][+\-]?[0-9]+)?$"


def csv_bytes(table: pa.Table, *, header: bool = True) -> bytes:
    """Return a table as UTF-8 CSV: the same rows give the same bytes.

    Parameters
    ----------
    table : pyarrow.Table
        Lists and records become JSON text; nothing becomes an empty cell.
    header : bool
        Whether the first line names the columns.
    """
    sink = pa.BufferOutputStream()
    cells = pa.table({name: _cells(table[name]) for name in table.column_names})
    pyarrow.csv.write_csv(cells, sink, pyarrow.csv.WriteOptions(include_header=header))
    return bytes(sink.getvalue())


def inert(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return texts of which none begins like a formula, unless it is a number."""
    runs = pc.and_(pc.match_substring_regex(texts, FORMULA), pc.invert(pc.match_substring_regex(texts, NUMBER)))
    return pc.if_else(runs, pc.binary_join_element_wise("'", texts, ""), texts)


def _cells(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_nested(column.type):
        said = [None if cell is None else json.dumps(cell, ensure_ascii=False) for cell in column.to_pylist()]
        return pa.chunked_array([pa.array(said, type=pa.string())])
    return inert(column) if pa.types.is_string(column.type) else column
