"""A table drawn in a test, as text: what the reader sees is what the program gets."""

from __future__ import annotations

import pandas as pd


def drawn(picture: str) -> pd.DataFrame:
    """Return the table that a picture shows, every cell as text, an empty cell as None.

    The first line names the columns, a line of dashes may follow, cells are parted by `|`.
    """
    lines = [line.strip() for line in picture.strip().splitlines() if line.strip()]
    rows = [[cell.strip() or None for cell in line.split("|")] for line in lines if set(line) - set("-+ ")]
    header, body = rows[0], rows[1:]
    wrong = [number for number, row in enumerate(body, start=1) if len(row) != len(header)]
    if wrong:
        raise ValueError(f"drawn table: row(s) {wrong} do not have {len(header)} cells")
    return pd.DataFrame(body, columns=[str(name) for name in header], dtype=object)
