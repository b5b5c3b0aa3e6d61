"""A small file of rows reads the same from CSV, Parquet, JSON and YAML; when it is wrong, no word of a row is told."""

from __future__ import annotations

import datetime
from pathlib import Path

import pandas as pd
import pytest

from pipeline.errors import ConfigError, RuleError
from pipeline.store import read_rows

ROW = {"decision_id": "0012", "reason": 'fit, "again"', "date": "2026-11-20"}


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "rows.parquet", "rows.json", "rows.yaml", "rows.YML"])
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    table = pd.DataFrame([ROW, {**ROW, "decision_id": "no"}])
    if ".csv" in name:
        table.to_csv(path, index=False)
    elif name.endswith("parquet"):
        table.assign(date=pd.to_datetime(table["date"]).dt.date).to_parquet(path)
    elif name.endswith("json"):
        table.to_json(path, orient="records")
    else:
        path.write_text("# by hand\n" + "".join(
            f"- decision_id: '{row['decision_id']}'\n  reason: 'fit, \"again\"'\n  date: {row['date']}\n"
            for row in table.to_dict("records")
        ))  # fmt: skip

    rows = [{**row, "date": str(row["date"])} for row in read_rows(path, RuleError)]
    assert rows == [ROW, {**ROW, "decision_id": "no"}]


def test_numbers_of_a_table_are_text_and_empty_cells_are_none(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pd.DataFrame({"decision_id": [12, 13], "date": [datetime.date(2026, 11, 20), None]}).to_parquet(path)

    assert read_rows(path, RuleError) == [
        {"decision_id": "12", "date": "2026-11-20"},
        {"decision_id": "13", "date": None},
    ]


SECRET = "D-SECRET-4711"


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("rows.txt", SECRET, "another kind"),
        ("rows.csv", f"decision_id;rule_id\n{SECRET};x\n", "one column"),
        ("rows.csv", f'decision_id,rule_id\n"{SECRET},x\n', "does not end"),
        ("rows.csv", f"decision_id,rule_id\n{SECRET}\n", "got 1 cells, wanted 2"),
        ("rows.parquet", SECRET, "damaged"),
        ("rows.json", f'[{{"decision_id": "{SECRET}"', "not JSON"),
        ("rows.json", f'{{"decision_id": "{SECRET}"}}', "wanted a list"),
        ("rows.json", f'["{SECRET}"]', "wanted a list"),
        ("rows.json", f'[{{"a": "{SECRET}", "a": "{SECRET}"}}]', "same key twice"),
        ("rows.json", "[" * 100_000, "rows inside rows"),
        ("rows.yaml", f"decision_id: {SECRET}\n", "wanted a list"),
        ("rows.yaml", f"- {SECRET}\n", "wanted a list"),
        ("rows.yaml", f"- a: &x {SECRET}\n- a: *x\n", "line 2, column 6"),
        ("rows.yaml", f"- a: {SECRET}\n  a: {SECRET}\n", "line 2, column 3: not strict YAML"),
        ("rows.yaml", "", "wanted a list"),
    ],
)
def test_what_is_no_list_of_rows_is_refused_without_a_word_of_it(
    tmp_path: Path, name: str, text: str, told: str
) -> None:
    path = tmp_path / name
    path.write_text(text)

    with pytest.raises(RuleError, match=told) as refused:
        read_rows(path, RuleError)
    assert SECRET not in str(refused.value)


def test_a_missing_file_is_a_matter_of_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        read_rows(tmp_path / "none.csv", RuleError)


def test_a_yaml_list_may_be_written_on_one_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.yaml"
    path.write_text("[{decision_id: d1, rule_id: r1}]\n")

    assert read_rows(path, RuleError) == [{"decision_id": "d1", "rule_id": "r1"}]
