"""Another TreeSHAP is really another one, and a wrong contribution is seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest

from pipeline.evaluate.shap_check import recomputed, shap_check
from pipeline.evaluate.weighing import outcome_weights
from pipeline.learners import SuitabilityModel
from pipeline.learners.student import Array, Students
from pipeline.runs.model_dir import canary_rows
from tests.conftest import Journey

pytestmark = pytest.mark.xdist_group("journey")


@pytest.fixture(scope="module")
def rows(journey: Journey) -> pd.DataFrame:
    """Return rows of nobody, with every category and with gaps."""
    model = journey.loaded.adviser.model
    table = canary_rows(model)
    numbers = [name for name in table if name not in model.columns.levels]
    table.loc[1, numbers[::3]] = np.nan
    table.loc[2, list(model.columns.levels)] = None
    return table


def _signed(journey: Journey) -> Array:
    return outcome_weights(journey.setup.config, journey.loaded.adviser.model.targets)


def test_both_find_the_same_also_for_gaps_and_every_category(journey: Journey, rows: pd.DataFrame) -> None:
    found = shap_check(journey.loaded.adviser.model, rows, _signed(journey))

    assert found["rows"] == len(rows)
    assert 0 < found["largest_difference"] < 1e-12


def test_the_other_does_not_ask_lightgbm(journey: Journey, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("LightGBM was asked")

    model = journey.loaded.adviser.model
    monkeypatch.setattr(lgb.Booster, "predict", refuse)
    _, contributions = recomputed(model, model.columns.matrix(rows), _signed(journey))

    assert np.abs(contributions).max() > 0.001


class _Wrong(Students):
    """Students whose first contribution is a hair off, as a changed library might make it."""

    def contributions(self, matrix: Array, weights: Array) -> tuple[Array, Array]:
        baseline, total = super().contributions(matrix, weights)
        total[-1, 0, 0] += 1e-5
        return baseline, total


def test_a_planted_mismatch_is_seen(journey: Journey, rows: pd.DataFrame) -> None:
    model: SuitabilityModel = journey.loaded.adviser.model
    own = model.students
    wrong = replace(model, students=_Wrong(targets=own.targets, parts=own.parts, constants=own.constants))
    found = shap_check(wrong, rows, _signed(journey))

    assert found["largest_difference"] == pytest.approx(1e-5, rel=1e-6)
    assert found["largest_difference"] > found["tolerance"]


def test_every_training_run_has_the_check(journey: Journey) -> None:
    check = next(c for c in journey.trained.evaluation["checks"] if c["code"] == "C20")

    assert (check["result"], check["section"]) == ("pass", "shap")
    assert float(check["value"]) < 1e-6


def test_nobody_is_not_checked(journey: Journey, rows: pd.DataFrame) -> None:
    assert shap_check(journey.loaded.adviser.model, rows[:0], _signed(journey))["largest_difference"] is None
