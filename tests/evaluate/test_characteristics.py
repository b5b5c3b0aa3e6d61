"""Table 1 tells who was given what, with differences that a hand can check, and of nobody alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.evaluate.balance import balance
from pipeline.evaluate.characteristics import LARGEST, Described, characteristics
from tests.evaluate.drawn_evidence import ARMS, FLOOR, LABELS, drawn

DESCRIBED = Described({"reason": "The reason"}, {"reason": "points"}, LABELS)


def _table(features: pd.DataFrame, modality: np.ndarray, names: list[str], propensity: Any = None) -> dict[str, Any]:
    """Return the table of people given these modalities, with equal propensities unless others are given."""
    n, people = len(features), drawn(len(features), 1)
    fold = replace(people.evidence.fold, propensity=np.full((n, 3), 1 / 3) if propensity is None else propensity)
    arm = np.array([ARMS.index(name) for name in modality])
    evidence = replace(people.evidence, arm=arm, fold=fold)
    return characteristics(features, pd.Series(modality), names, DESCRIBED, evidence, ARMS, FLOOR)


SIXTY = np.repeat(ARMS, 20)


def test_the_difference_is_the_largest_over_pairs_in_pooled_standard_deviations() -> None:
    # Means 2, 3 and 2, variance 20 / 19 in each arm of twenty.
    values = np.concatenate([[1.0, 3.0] * 10, [2.0, 4.0] * 10, [1.0, 3.0] * 10]) + 0.5
    row = _table(pd.DataFrame({"x": np.append(values[:-1], values[-1])}), SIXTY, ["x"])["rows"][0]

    assert row["before"] == pytest.approx(1 / np.sqrt(20 / 19), abs=1e-3)
    assert row["after"] == row["before"]  # equal weights change nothing


def test_people_who_do_not_overlap_at_all_are_told_as_that() -> None:
    row = _table(pd.DataFrame({"x": np.repeat([1.0, 0.0, 0.0], 20)}), SIXTY, ["x"])["rows"][0]

    assert row["before"] == LARGEST


def test_it_tells_the_same_differences_as_the_balance_table() -> None:
    people = drawn(2000, 3)
    modality = pd.Series(np.array(ARMS)[people.evidence.arm])
    names = ["reason", "patchy", "site"]
    found = characteristics(people.features, modality, names, DESCRIBED, people.evidence, ARMS, FLOOR)
    told = balance(people.evidence, people.features, people.columns(), ARMS, LABELS, {}, FLOOR)["features"]
    wanted = next(entry for entry in told if entry["feature"] == "reason")

    assert found["rows"][0]["before"] == pytest.approx(wanted["before"], abs=1e-3)
    assert found["rows"][0]["after"] == pytest.approx(wanted["after"], abs=1e-3)
    assert "Most apart before: The reason" in found["words"]
    assert found["rows"][0]["unit"] == "points"


@pytest.mark.parametrize(
    ("values", "kind", "parts"),
    [
        (np.tile([0.0, 1.0], 60), "yes", ["yes"]),
        (np.tile([1.0, 2.0, 3.0], 40), "levels", ["1", "2", "3"]),
        (np.tile([1.0, 2.5], 60), "number", []),
        (np.arange(120.0), "number", []),
        (pd.Categorical(np.tile(["a", "b"], 60), categories=["a", "b", "c"]), "levels", ["a", "b"]),
    ],
)
def test_each_kind_of_fact_is_told_as_it_should_be(values: Any, kind: str, parts: list[str]) -> None:
    row = _table(pd.DataFrame({"x": values}), np.repeat(ARMS, 40), ["x"])["rows"][0]

    assert row["kind"] == kind
    assert [part["part"] for part in row["parts"]] == parts  # a level that nobody has is left out


def test_a_number_is_told_by_rounded_quartiles_and_not_of_ten_people() -> None:
    values = np.linspace(50.123, 89.987, 120)
    values[np.flatnonzero(np.repeat(ARMS, 40) == "car_t")[10:]] = np.nan
    row = _table(pd.DataFrame({"x": values}), np.repeat(ARMS, 40), ["x"])["rows"][0]

    assert row["numbers"]["car_t"] is None
    assert row["numbers"]["adc"] == [57.0, 53.0, 60.0]
    assert row["missing"]["car_t"] == {"low": 0.72, "high": 1.0}  # all but ten of forty


@example([(30, 0, 5), (30, 30, 0), (30, 30, 0)])
@given(st.lists(st.tuples(*[st.integers(0, 25)] * 3), min_size=3, max_size=3))
def test_nobody_can_be_told_from_who_has_it_and_of_whom_it_is_unknown(counts: list[tuple[int, ...]]) -> None:
    values = np.concatenate([np.repeat([1.0, 0.0, np.nan], sizes) for sizes in counts])
    modality = np.repeat(ARMS, [sum(sizes) for sizes in counts])
    if len(modality) < 3:
        return
    row = _table(pd.DataFrame({"x": values}), modality, ["x"])["rows"][0]
    told = row["parts"][0]["counts"] if row["parts"] else {}
    for name, (yes, no, gap) in zip(ARMS, counts, strict=True):
        if told.get(name) is None:
            continue
        assert told[name] == yes
        assert not 0 < yes < 11
        bounds = row["missing"][name]
        is_gap_known = bounds["low"] is not None and bounds["low"] == bounds["high"]
        rest = no if is_gap_known else no + gap
        assert not 0 < rest < 11  # what is left of the modality's people


def test_a_modality_whose_size_is_hidden_is_told_nowhere() -> None:
    modality = np.array(["adc"] * 60 + ["bispecific"] * 7 + ["car_t"] * 30)
    found = _table(pd.DataFrame({"x": np.tile([0.0, 1.0], 49)[:97]}), modality, ["x"])
    counts = found["rows"][0]["parts"][0]["counts"]

    assert counts["adc"] == 30
    assert (counts["bispecific"], counts["car_t"]) == (None, None)  # 30 of car_t would tell the seven


def test_a_feature_that_a_source_lacks_is_named() -> None:
    found = _table(pd.DataFrame({"x": np.arange(60.0)}), SIXTY, ["iss", "x"])

    assert (found["absent"], len(found["rows"])) == (["iss"], 1)
    assert _table(pd.DataFrame({"x": np.arange(60.0)}), SIXTY, [])["rows"] == []
