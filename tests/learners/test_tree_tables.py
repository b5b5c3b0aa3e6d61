"""Do look-up tables say what LightGBM says of the same trees, whatever the values?"""

from __future__ import annotations

from itertools import combinations
from math import factorial

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.learners.student import Part, Students
from pipeline.learners.tree_tables import TreeTables
from pipeline.learners.tree_text import tree_tables

Array = npt.NDArray[np.float64]

COLUMNS = 5
CATEGORY = 4
"""Column with categories; the others are numbers."""
TINY = float(np.float32(1e-35))
NO_END = 1e300
"""As which `dump_model` writes a threshold of infinity."""
ODD = [0.0, -0.0, 1e-36, -1e-36, 1e-35, TINY, -TINY, 2e-35, -2e-35, np.inf, -np.inf, np.nan, NO_END]


def drawn_booster(seed: int, trees: int = 12, **settings: object) -> lgb.Booster:
    """Return a model of few rows with gaps, zeros, categories and values on both sides of 0."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(200, COLUMNS)).round(1)
    rows[rng.random(rows.shape) < 0.2] = np.nan
    rows[rng.random(rows.shape) < 0.2] = 0.0
    rows[:, CATEGORY] = np.where(rng.random(200) < 0.1, np.nan, rng.integers(0, 40, 200))
    known = np.nan_to_num(rows)
    label = known[:, 0] * np.isnan(rows[:, 1]) + known[:, 2] + (rows[:, CATEGORY] == 3) + rng.normal(size=200) * 0.1
    parameters: dict[str, object] = {"num_leaves": 8, "min_data_in_leaf": 5, "verbosity": -1, "num_threads": 1}
    parameters |= {"cat_smooth": 1.0, "min_data_per_group": 5, "max_cat_to_onehot": 1}
    data = lgb.Dataset(rows, label=label, categorical_feature=[CATEGORY], params={**parameters, **settings})
    return lgb.train({**parameters, **settings}, data, num_boost_round=trees)


def drawn_values(tables: TreeTables, seed: int, rows: int) -> Array:
    """Return values at thresholds, next to them, missing, tiny, without end, and categories never seen."""
    rng = np.random.default_rng(seed)
    limits = [own.thresholds for own in tables.questions if not own.categories]
    choices = np.concatenate([[0.0], *limits])
    values = rng.choice(choices, size=(rows, COLUMNS))
    nearby = np.nextafter(values, rng.choice([-np.inf, np.inf], values.shape))
    values = np.where(rng.random(values.shape) < 0.4, nearby, values)
    values = np.where(rng.random(values.shape) < 0.3, rng.choice(ODD, values.shape), values)
    values[:, CATEGORY] = rng.choice([np.nan, -1.0, -0.5, 0.5, 33.0, 99.0, *range(40)], rows)
    return values


def built(*boosters: lgb.Booster) -> TreeTables:
    """Return their tables."""
    found = tree_tables([booster.model_to_string() for booster in boosters])
    assert found is not None
    return found


@given(
    seed=st.integers(0, 10_000),
    leaves=st.integers(2, 9),
    zero_as_missing=st.booleans(),
    use_missing=st.booleans(),
    least=st.sampled_from([5, 40, 150]),
)
def test_tables_are_lightgbm(seed: int, leaves: int, zero_as_missing: bool, use_missing: bool, least: int) -> None:
    settings = {"zero_as_missing": zero_as_missing, "use_missing": use_missing, "min_data_in_leaf": least}
    booster = drawn_booster(seed, num_leaves=leaves, **settings)
    tables = built(booster)
    values = drawn_values(tables, seed, 60)
    ways = tables.ways(values)
    np.testing.assert_array_equal(tables.predictions(ways)[0], booster.predict(values, num_threads=1))
    ((mean, added),) = tables.contributions(ways, COLUMNS)
    wanted = np.asarray(booster.predict(values, pred_contrib=True, num_threads=1))
    np.testing.assert_allclose(added.T, wanted[:, :-1], rtol=0, atol=1e-13)
    assert mean == pytest.approx(wanted[0, -1], abs=1e-13)


def test_what_is_drawn_asks_every_kind_of_question() -> None:
    kinds = set()
    for zero_as_missing, use_missing in ((False, True), (True, True), (False, False)):
        booster = drawn_booster(1, zero_as_missing=zero_as_missing, use_missing=use_missing)
        kinds |= {own.kind for own in built(booster).questions}
    assert {kind & 1 for kind in kinds} == {0, 1}
    assert {kind & 2 for kind in kinds} == {0, 2}
    assert {kind & 12 for kind in kinds if not kind & 1} == {0, 4, 8}


def test_a_threshold_at_zero_is_met_by_what_lightgbm_reads_as_zero() -> None:
    """LightGBM writes 0 as a threshold of 1e-35 and reads values up to that as 0, so -1e-35 is not below -1e-35."""
    tables = built(drawn_booster(2, trees=60))
    limits = np.concatenate([own.thresholds for own in tables.questions if not own.categories])
    assert {TINY, -TINY} <= set(limits)


@pytest.mark.parametrize("seed", range(3))
def test_one_tree_explained_by_the_definition(seed: int) -> None:
    """A column's part is the mean over orders of what knowing it adds, unknown splits averaged by training rows."""
    booster = drawn_booster(seed, trees=1)
    tables, tree = built(booster), booster.dump_model()["tree_info"][0]["tree_structure"]
    values = drawn_values(tables, seed, 40)
    read = sorted({column for _, column in tables.entries.tolist()})
    ((_, added),) = tables.contributions(tables.ways(values), COLUMNS)
    for row, value in enumerate(values):
        expected = {
            known: _expected(tree, value, frozenset(known))
            for size in range(len(read) + 1)
            for known in combinations(read, size)
        }
        for column in read:
            others = [other for other in read if other != column]
            part = 0.0
            for size in range(len(others) + 1):
                weight = factorial(size) * factorial(len(read) - size - 1) / factorial(len(read))
                for known in combinations(others, size):
                    part += weight * (expected[tuple(sorted((*known, column)))] - expected[known])
            assert added[column, row] == pytest.approx(part, abs=1e-12)


def _expected(node: dict[str, object], value: Array, known: frozenset[int]) -> float:
    """Return the mean of a tree where only some columns are known."""
    if "split_index" not in node:
        return float(node["leaf_value"])  # type: ignore[arg-type]
    sides = [node["left_child"], node["right_child"]]
    rows = [float(side.get("internal_count", side.get("leaf_count"))) for side in sides]  # type: ignore[attr-defined]
    means = [_expected(side, value, known) for side in sides]  # type: ignore[arg-type]
    if int(node["split_feature"]) not in known:  # type: ignore[call-overload]
        return float(np.average(means, weights=rows))
    return means[0] if _goes_left(node, value) else means[1]


def _goes_left(node: dict[str, object], value: Array) -> bool:
    """Return what LightGBM's documentation says of one split."""
    own = float(value[int(node["split_feature"])])  # type: ignore[call-overload]
    if node["decision_type"] == "==":
        codes = [int(code) for code in str(node["threshold"]).split("||")]
        return not np.isnan(own) and int(own) in codes
    limit = float(str(node["threshold"]))
    limit = np.inf if limit >= NO_END else limit
    if np.isnan(own) and node["missing_type"] == "NaN":
        return bool(node["default_left"])
    return (0.0 if np.isnan(own) or abs(own) <= TINY else own) <= limit


def test_a_row_gets_the_same_bits_alone_and_among_many() -> None:
    tables = built(drawn_booster(3), drawn_booster(4, trees=7))
    values = drawn_values(tables, 3, 1300)
    ways = tables.ways(values)
    predictions, explained = tables.predictions(ways), list(tables.contributions(ways, COLUMNS))
    for rows in (slice(0, 1), slice(499, 501), slice(700, 732), slice(700, 733), slice(0, 0)):
        np.testing.assert_array_equal(tables.ways(values[rows]), ways[:, rows])
        np.testing.assert_array_equal(tables.predictions(ways[:, rows]), predictions[:, rows])
        for (mean, added), (_, among_many) in zip(tables.contributions(ways[:, rows], COLUMNS), explained, strict=True):
            assert np.isfinite(mean)
            np.testing.assert_array_equal(added, among_many[:, rows])


def test_models_side_by_side_are_each_their_own() -> None:
    stump = drawn_booster(5, trees=3, min_data_in_leaf=150)
    boosters = [drawn_booster(6), stump, drawn_booster(7, trees=5, num_leaves=3)]
    assert all("leaf_value" in tree["tree_structure"] for tree in stump.dump_model()["tree_info"])
    tables = built(*boosters)
    values = drawn_values(tables, 5, 50)
    for predicted, booster in zip(tables.predictions(tables.ways(values)), boosters, strict=True):
        np.testing.assert_array_equal(predicted, booster.predict(values, num_threads=1))
    ((_, added),) = built(stump).contributions(built(stump).ways(values), COLUMNS)
    assert not added.any()


@pytest.mark.parametrize("leaves", [9, 10, 16])
def test_students_of_larger_trees_are_explained_by_lightgbm_itself(leaves: int) -> None:
    booster = drawn_booster(8, num_leaves=leaves)
    has_tables = tree_tables([booster.model_to_string()]) is not None
    assert has_tables == (leaves <= 9)
    students = Students(
        targets=("a", "b"),
        parts=(Part("a", "prognosis", (1.0, 1.0), booster), Part("b", "contrast_1", (0.0, 2.0), booster)),
        constants=np.array([[0.0, 0.5], [0.25, 0.0]]),
    )
    values = np.random.default_rng(8).normal(size=(40, COLUMNS))
    own = np.asarray(booster.predict(values, num_threads=1))
    outcomes = students.outcomes(values)
    np.testing.assert_allclose(outcomes[:, 0], np.stack([own, np.full(40, 0.5)], axis=1), rtol=0, atol=1e-15)
    np.testing.assert_allclose(outcomes[:, 1], np.stack([own + 0.25, 2 * own], axis=1), rtol=0, atol=1e-15)
    weights = np.random.default_rng(9).normal(size=(40, 2))
    baseline, added = students.contributions(values, weights)
    weighed = np.einsum("nat,nt->na", outcomes, weights)
    np.testing.assert_allclose(baseline + added.sum(axis=2), weighed, rtol=0, atol=1e-12)
