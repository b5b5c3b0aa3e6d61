"""A table that the program made is checked before it leaves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import SchemaError
from pipeline.schema import checked, parse_table


@pytest.fixture(scope="module")
def table():
    problems: list[str] = []
    made = parse_table(
        {
            "one_row_per": ["decision_id", "modality"],
            "primaryKey": ["decision_id", "modality"],
            "fields": [
                {"name": "decision_id", "type": "string", "constraints": {"required": True}, "x-meaning": "Decision"},
                {"name": "modality", "type": "string", "constraints": {"enum": ["a", "b"]}, "x-meaning": "Modality"},
                {"name": "rank", "type": "integer", "constraints": {"minimum": 1}, "x-meaning": "Rank"},
                {"name": "score", "type": "number", "x-range": [-1, 1], "x-meaning": "Score"},
                {"name": "ok", "type": "boolean", "x-meaning": "Flag"},
                {"name": "day", "type": "date", "x-meaning": "Day"},
                {"name": "rules", "type": "array", "x-meaning": "Rules"},
                {"name": "next", "type": "object", "x-meaning": "Next"},
            ],
        },
        "shown.yaml",
        problems,
    )
    assert made is not None, problems
    return made


def good():
    return pd.DataFrame(
        {
            "decision_id": ["d1", "d1"],
            "modality": pd.Categorical(["a", "b"]),
            "rank": pd.array([1, None], dtype="Int64"),
            "score": [1.0, np.nan],
            "ok": pd.array([True, None], dtype="boolean"),
            "day": pd.to_datetime(["2019-01-01", None]),
            "rules": [["r"], np.array([])],
            "next": [{"modality": "b"}, None],
        }
    )


def test_a_good_frame_comes_back_in_declared_order_unchanged(table):
    back = checked(good()[table.columns[::-1]], table)

    pd.testing.assert_frame_equal(back, good())


def test_a_frame_without_rows_keeps_its_contract(table):
    assert len(checked(good().head(0), table)) == 0


@pytest.mark.parametrize(
    "column, values, problem",
    [
        ("decision_id", ["d1", None], "decision_id: 1 of 2 rows are empty; a value is required"),
        ("decision_id", ["d1", 7], "decision_id: 1 of 2 rows are not of type string"),
        ("modality", ["a", "zq"], "modality: 1 of 2 rows hold another value than a, b"),
        ("modality", ["a", "a"], "decision_id, modality: 1 of 2 rows repeat the key of an earlier row"),
        ("rank", [1.5, 2.0], "rank: 1 of 2 rows are not of type integer"),
        ("rank", [0, 1], "rank: 1 of 2 rows are outside 1.0 to None"),
        ("score", [1.0001, -1.0], "score: 1 of 2 rows are outside -1.0 to 1.0"),
        ("score", ["high", 1.0], "score: 1 of 2 rows are not of type number"),
        ("ok", ["yes", True], "ok: 1 of 2 rows are not of type boolean"),
        ("day", ["2019-01-01", "soon"], "day: 1 of 2 rows are not of type date"),
        ("rules", ["r", ["r"]], "rules: 1 of 2 rows are not of type array"),
        ("next", [["b"], {"b": 1}], "next: 1 of 2 rows are not of type object"),
    ],
)
def test_each_broken_rule_is_told_with_counts_and_without_values(table, column, values, problem):
    frame = good()
    frame[column] = pd.Series(values, dtype=object)

    with pytest.raises(SchemaError) as raised:
        checked(frame, table)
    assert str(raised.value) == f"shown: 1 problem with a table made here\n  - {problem}"


def test_missing_and_undeclared_columns_are_told_together(table):
    with pytest.raises(SchemaError) as raised:
        checked(good().rename(columns={"rank": "rang"}), table)

    assert "  - rank: column is missing\n  - rang: column is not declared" in str(raised.value)
