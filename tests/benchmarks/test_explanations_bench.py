"""Which exact TreeSHAP of our students is fastest at which batch size? CPU seconds on one core, values compared.

woodelf is not among the pinned packages, since nothing of ours uses it (docs/performance.md says why); without it
its column is skipped: `uv pip install woodelf_explainer==0.4.8 treelite==4.8.1`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest

from pipeline.config import LearnerConfig
from pipeline.learners.tree_tables import TreeTables
from pipeline.learners.tree_text import tree_tables

SIZES = (1, 100, 5_000, 10_000, 100_000)
"""Rows; a batch is scored in parts of 5,000."""
COLUMNS, CATEGORICAL = 100, 99
WAYS = {"pred_contrib": 0.0, "tables": 1e-12, "tables, made anew": 1e-12, "shap.TreeExplainer": 1e-9, "woodelf": 1e-5}
"""How far a contribution may be from pred_contrib's; woodelf's is the tolerance that it tests itself with."""
Explainer = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """Return rows with a fifth of the values missing; the last column is categorical."""
    rng = np.random.default_rng(5)
    matrix = rng.normal(size=(max(SIZES), COLUMNS))
    matrix[rng.random(matrix.shape) < 0.2] = np.nan
    matrix[:, CATEGORICAL] = rng.integers(0, 3, len(matrix))
    return matrix


@pytest.fixture(scope="module")
def students(rows: np.ndarray) -> dict[str, lgb.Booster]:
    """Return two parts of the shipped size, one of which splits a category."""
    settings = LearnerConfig()
    known = np.nan_to_num(rows[:8000])
    label = np.tanh(known[:, 0] + known[:, 1] * known[:, 2]) + 0.2 * known[:, 3:13].sum(axis=1)
    label += known[:, CATEGORICAL] == 1
    given = {"num_leaves": settings.student_leaves, "learning_rate": 0.08, "verbosity": -1, "num_threads": 1}

    def fitted(categorical: list[int]) -> lgb.Booster:
        table = lgb.Dataset(rows[:8000], label, categorical_feature=categorical)
        return lgb.train(given, table, num_boost_round=settings.student_trees)

    return {"numbers": fitted([]), "category": fitted([CATEGORICAL])}


def has_category(booster: lgb.Booster) -> bool:
    return "==" in set(booster.trees_to_dataframe()["decision_type"].dropna())


def tables_of(booster: lgb.Booster) -> TreeTables:
    """Return the tables of one part, as scoring makes them once per process."""
    found = tree_tables([booster.model_to_string()])
    assert found is not None
    return found


def looked_up(tables: TreeTables, matrix: np.ndarray) -> np.ndarray:
    ((_, added),) = tables.contributions(tables.ways(matrix), matrix.shape[1])
    return added.T


def explainer(way: str, booster: lgb.Booster) -> Explainer:
    """Return a function from rows to contributions, made anew as the scoring of a batch would."""
    if way == "pred_contrib":
        return lambda matrix: np.asarray(booster.predict(matrix, pred_contrib=True, num_threads=1))[:, :-1]
    if way == "tables":
        return partial(looked_up, tables_of(booster))
    if way == "tables, made anew":
        return lambda matrix: looked_up(tables_of(booster), matrix)
    if way == "shap.TreeExplainer":
        import shap

        return lambda matrix: np.asarray(shap.TreeExplainer(booster).shap_values(matrix))
    woodelf: Any = pytest.importorskip("woodelf")
    names = booster.feature_name()
    return lambda matrix: np.asarray(woodelf.WoodelfExplainer(booster).shap_values(pd.DataFrame(matrix, columns=names)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("size", SIZES)
def test_every_way_gives_the_same_values_and_this_is_what_each_costs(
    students: dict[str, lgb.Booster], rows: np.ndarray, size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    told, values = {}, {}
    for way in [way for way in WAYS if way != "woodelf" or find_spec("woodelf") is not None]:
        explained, took = explainer(way, students["numbers"]), []
        if way == "tables":
            explained(rows[:1])
        for _ in range(3 if size <= 100 else 1):
            started = time.process_time()
            values[way] = explained(rows[:size])
            took.append(time.process_time() - started)
        told[way] = min(took)
    apart = {way: float(np.abs(found - values["pred_contrib"]).max()) for way, found in values.items()}
    with capsys.disabled():
        print(
            f"\n{size:>7,} rows, CPU s of one part: "
            + ", ".join(
                f"{way} {cpu:.4f} ({cpu / told['pred_contrib']:.2f}x, {apart[way]:.0e} apart)"
                for way, cpu in told.items()
            )
        )

    assert all(apart[way] <= WAYS[way] for way in apart)


@pytest.mark.filterwarnings("ignore")
def test_woodelf_explains_no_tree_that_splits_a_category(students: dict[str, lgb.Booster], rows: np.ndarray) -> None:
    """Ours do (sex); the day this fails, woodelf is worth another look for large batches."""
    assert has_category(students["category"])
    with pytest.raises(ValueError, match="categorical"):
        explainer("woodelf", students["category"])(rows[:10])
