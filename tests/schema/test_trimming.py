"""Text is taken without the white space around it, and as it is where there is none."""

from __future__ import annotations

import duckdb
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.schema.sql import trimmed

MARKS = " \t\n\r!\x01\x1f\x7f\u00a0\u2003a\u00e9\U0001f600"


@settings(deadline=None, max_examples=40)
@given(st.lists(st.none() | st.text(MARKS, max_size=6), min_size=1, max_size=40))
def test_trimming_takes_off_spaces_tabs_and_line_ends_and_nothing_else(texts: list[str | None]) -> None:
    query = f"select {trimmed('text')} from (select unnest(?::varchar[]) as text)"
    got = [row[0] for row in duckdb.execute(query, [texts]).fetchall()]

    assert got == [None if text is None else text.strip(" \t\n\r") or None for text in texts]
