"""Which text is read as which date, and which is not read?"""

from __future__ import annotations

import re
from datetime import date

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.schema.sql import typed
from pipeline.schema.tables import FieldSpec

DAY = FieldSpec.model_validate({"name": "day", "type": "date", "x-meaning": "A day"})
LEAP, MARCH = date(2024, 2, 29), date(2024, 3, 1)


def read(texts: list[str]) -> list[date | None]:
    """Return what SQL reads, in order."""
    query = f"SELECT {typed('text', DAY)} FROM (SELECT unnest(?) AS text, unnest(?) AS place) ORDER BY place"
    return [row[0] for row in duckdb.execute(query, [texts, list(range(len(texts)))]).fetchall()]


def by_hand(text: str) -> date | None:
    """Return what the pattern in words says: a day, perhaps with a time of day behind it, that is in the calendar."""
    found = re.fullmatch(r"([0-9]{4}-[0-9]{2}-[0-9]{2})([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?)?", text)
    try:
        return date.fromisoformat(found[1]) if found else None
    except ValueError:
        return None


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2024-03-01", MARCH),
        ("2024-02-29", LEAP),
        ("2023-02-29", None),
        ("2024-03-01T00:00", MARCH),
        ("2024-03-01 23:59:59.999", MARCH),
        ("2024-03-01T", None),
        ("2024-03-01x", None),
        ("2024-3-1", None),
        ("2024-3-01", None),
        ("2024/03/01", None),
        ("20240301", None),
        ("2024-13-01", None),
        # What DuckDB itself takes for a date.
        ("infinity", None),
        ("-infinity", None),
        ("epoch", None),
        ("10000-01-01", None),
        ("0044-03-15 (BC)", None),
        ("-044-03-15", None),
    ],
)
def test_only_plain_iso_days_are_read_and_a_time_of_day_is_cut_off(text: str, wanted: date | None) -> None:
    assert read([text]) == [wanted]


_NEARLY = st.from_regex(r"[0-9]{1,5}[-/][0-9]{1,2}-[0-9]{1,2}([ T][0-9]{1,2}:[0-9]{2})?[x ]?", fullmatch=True)
_PLAIN = st.dates(min_value=date(1, 1, 1)).map(str)


@given(st.lists(st.one_of(_PLAIN, _NEARLY, st.text(max_size=12)), min_size=1, max_size=40))
def test_sql_reads_what_the_pattern_says(texts: list[str]) -> None:
    texts = [text for text in texts if "\x00" not in text and not text.startswith("0000")]  # the calendar has no year 0

    assert read(texts) == [by_hand(text) for text in texts]
