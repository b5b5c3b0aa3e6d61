"""Every table of the review page, and the twin of every picture, is also a file that programs read."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from pipeline.review import CaseCard, card_tables, case_card, review_page, review_sections, review_tables
from pipeline.review.blocks import Figure, Table
from tests.review.reading_back import read_page


def rows_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def test_every_table_and_every_pictures_twin_is_a_csv_and_a_json_with_the_same_rows(
    evaluation: Mapping[str, Any],
) -> None:
    blocks = [block for section in review_sections(evaluation) for block in section.blocks]
    tables = [
        block.twin if isinstance(block, Figure) else block for block in blocks if isinstance(block, Figure | Table)
    ]
    found = review_tables(evaluation)
    documents = {name: json.loads(text) for name, text in found.items() if name.endswith(".json")}

    assert len(documents) == len(tables) == len(found) / 2
    assert {entry["figure"] for entry in documents.values()} >= {b.title for b in blocks if isinstance(b, Figure)}
    for (name, document), table in zip(documents.items(), tables, strict=True):
        read = rows_of(found[name.replace(".json", ".csv")])
        assert document["caption"] == table.caption
        assert read[0] == document["columns"]
        assert len(read) - 1 == len(document["rows"]) == len(table.rows)
        assert {len(row) for row in read} == {len(document["columns"])}


def test_an_interval_and_an_error_have_columns_of_their_own_and_are_numbers(evaluation: Mapping[str, Any]) -> None:
    table = pd.read_csv(io.StringIO(review_tables(evaluation)["league-1.csv"])).set_index("Policy")
    label = next(name for name in table.columns if name.startswith("Value") and "," not in name)
    one = evaluation["league"][0]
    shown = table.loc[one["label"]]

    assert shown[label] == round(one["value"], 3)
    assert shown[f"{label}, low"] == pytest.approx(one["low"], abs=0.0005)
    assert shown[f"{label}, high"] == pytest.approx(one["high"], abs=0.0005)
    assert shown["Against clinicians, SE"] == pytest.approx(one["difference_se"], abs=0.0005)


def test_shares_are_fractions_and_minus_signs_are_ascii(evaluation: Mapping[str, Any]) -> None:
    shares = pd.read_csv(io.StringIO(review_tables(evaluation)["missingness-1.csv"]))
    league = pd.read_csv(io.StringIO(review_tables(evaluation)["league-1.csv"])).set_index("Policy")

    assert sorted(shares["All"]) == sorted(
        round(entry["overall"], 2) for entry in evaluation["missingness"] if entry["overall"]
    )
    assert league.loc["Random choice", "Against clinicians"] == -0.041


def test_what_the_page_masks_the_files_mask(evaluation: Mapping[str, Any]) -> None:
    """Six celmod decisions hide the next smallest arm, of 389 decisions."""
    assert "masked" in read_page(review_page(evaluation)).text
    for text in review_tables(evaluation).values():
        for row in rows_of(text):
            assert "389" not in row
    assert "<11" in review_tables(evaluation)["arms-1.csv"]


@pytest.mark.parametrize(
    "formula", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", " =1+1", "\t=1+1", "\r=1+1", "\uff1d1+1", "=cmd|' /C calc'!A0"]
)
def test_no_spreadsheet_takes_a_cell_for_a_formula(evaluation: Mapping[str, Any], formula: str) -> None:
    checks = [{**check, "title": formula, "detail": formula, "code": formula} for check in evaluation["checks"]]
    cells = [cell for row in rows_of(review_tables({**evaluation, "checks": checks})["checks-1.csv"]) for cell in row]

    assert sum("1+1" in cell or "SUM" in cell or "calc" in cell for cell in cells) >= 3 * len(checks)
    assert [cell for cell in cells if cell.strip()[:1] in set("=+-@\uff1d") and not _is_number(cell)] == []


def test_the_files_are_the_same_each_time_and_a_run_without_numbers_has_none(evaluation: Mapping[str, Any]) -> None:
    assert review_tables(evaluation) == review_tables(evaluation)
    assert not any("-1.csv" in name for name in review_tables({}) if name.startswith("league"))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def test_a_card_has_its_tables_as_files_that_say_what_the_card_says(card: CaseCard) -> None:
    found = card_tables(card)
    page = read_page(case_card(card))
    order = pd.read_csv(io.StringIO(found["order.csv"])).set_index("Modality")
    told = {card.modality(str(row["modality"])): row for row in card.rows}

    assert {name.rsplit(".", 1)[1] for name in found} == {"csv", "json"}
    assert set(order.index) == set(told)
    for label, row in told.items():
        said = order.loc[label, ["Suitability", "Suitability, low", "Suitability, high"]]
        known = [row["suitability"], row["suitability_low"], row["suitability_high"]]
        if known[0] is None:
            assert said.iloc[0] == "not estimated"
        else:
            assert said.astype(float).tolist() == pytest.approx(known, abs=0.0051)
    for name in (name for name in found if name.startswith("reasons-") and name.endswith(".csv")):
        table = pd.read_csv(io.StringIO(found[name]))
        row = next(row for row in card.rows if f"reasons-{row['modality']}.csv" == name)
        assert table["Contribution"].sum() == pytest.approx(
            row["suitability"] - row["baseline"], abs=0.0005 * len(table)
        )
        assert list(table.columns) == ["Fact and value", "Fact and value, detail", "Contribution"]
    for fact in pd.read_csv(io.StringIO(found["missing.csv"]))["Fact"]:
        assert fact in page.text


def test_a_cards_tables_name_nobody_unless_the_page_would(card: CaseCard) -> None:
    told = "".join(card_tables(replace(card, show_identifiers=False)).values())

    assert card.decision_id not in told
    assert str(card.decision_date) not in told
