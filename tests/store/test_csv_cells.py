"""Can a cell of a CSV file run as a formula, and does its text come back?"""

from __future__ import annotations

import csv
import io

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.store.csv_cells import csv_bytes

SIGNS = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"


def cells(*texts: str | None) -> list[str]:
    """Return the cells of a column as a reader of CSV finds them."""
    content = csv_bytes(pa.table({"text": pa.array(texts, type=pa.string()), "n": [1] * len(texts)})).decode()
    return [row["text"] for row in csv.DictReader(io.StringIO(content, newline=""))]


@pytest.mark.parametrize(
    "text", ["=1+1", "+x", "-x", "@a", "\ta", "\ra", "\na", " =1", "\uff1d1", "-", "=", "-1+1", "+1e"]
)
def test_text_that_begins_like_a_formula_gets_an_apostrophe(text: str) -> None:
    assert cells(text) == ["'" + text]


@pytest.mark.parametrize("text", ["-5", "+5.25", "-1e-7", "a=1", "a\nb", 'say "x", y', "", "é"])
def test_numbers_and_plain_text_stay_as_they_are(text: str) -> None:
    assert cells(text) == [text]


@given(st.lists(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12), max_size=5))
def test_no_cell_begins_with_a_sign_unless_it_is_a_number_and_no_text_is_lost(texts: list[str]) -> None:
    for given_, cell in zip(texts, cells(*texts), strict=True):
        assert cell in (given_, "'" + given_)
        if cell[:1] and cell[0] in SIGNS:
            float(cell)


def test_lists_and_records_are_json_text_and_nothing_is_an_empty_cell() -> None:
    table = pa.table(
        {
            "list": [[{"feature": "=x", "value": None}], []],
            "record": pa.array([None, {"modality": "é"}]),
            "number": [None, -0.5],
        }
    )
    rows = list(csv.reader(io.StringIO(csv_bytes(table).decode())))

    assert rows[1:] == [['[{"feature": "=x", "value": null}]', "", ""], ["[]", '{"modality": "é"}', "-0.5"]]
