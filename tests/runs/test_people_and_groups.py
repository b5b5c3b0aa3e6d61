"""A trained institution tells who was given what and whom the model serves, and writes no count of 1 to 10."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Journey

NEW = ("characteristics", "missing_by", "decision_curves", "subgroups")


def _leaves(node: Any) -> Iterator[Any]:
    """Return every number of a part, and of its lists and mappings."""
    if isinstance(node, dict):
        for key, entry in node.items():
            if key not in {"horizon_months", "fewest_people", "alike", "clear", "compared", "numbers", "sampled"}:
                yield from _leaves(entry)
    elif isinstance(node, list):
        for entry in node:
            yield from _leaves(entry)
    elif isinstance(node, int) and not isinstance(node, bool):
        yield node


@pytest.mark.parametrize("part", NEW)
def test_no_count_of_one_to_ten_people_is_written(journey: Journey, part: str) -> None:
    found = journey.trained.evaluation[part]

    assert found
    assert not [count for count in _leaves(found) if 0 < count < 11]


def test_every_modality_and_group_is_told(journey: Journey) -> None:
    evaluation = journey.trained.evaluation
    arms = {row["modality"] for row in evaluation["cohort"]["modalities"] if row["decisions"]}
    kinds = {row["subgroup"] for row in evaluation["subgroups"]["groups"]}

    assert set(evaluation["characteristics"]["modalities"]) == arms
    assert evaluation["characteristics"]["absent"] == []
    assert kinds == {"age", "sex", "race", "kidney function", "frailty", "cytogenetic risk", "site"}
    assert set(evaluation["missing_by"]) == {"site", "year"}
    assert {"C18", "C19"} <= {check["code"] for check in evaluation["checks"]}
    assert evaluation["subgroups"]["everybody"]["in_the_large"] == pytest.approx(0, abs=0.1)


def test_the_value_of_everybody_is_that_of_the_league_table(journey: Journey) -> None:
    evaluation = journey.trained.evaluation
    model = next(row for row in evaluation["league"] if row["policy"] == "model")
    everybody = evaluation["subgroups"]["everybody"]

    assert everybody["difference"] == (None if model["difference"] is None else pytest.approx(model["difference"]))
    assert everybody["vetoed"] is None or model["vetoed"] is not None
