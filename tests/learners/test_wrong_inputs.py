"""What is handed in wrong is refused in words, before anything is learned from it, and tells nobody's value."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

from pipeline.config import LearnerConfig
from pipeline.errors import NoOverlapError
from pipeline.learners import ModalityRanker, Target
from tests.learners.worlds import TARGETS, World, ranker, world

pytestmark = pytest.mark.xdist_group("learners")

SMALL = LearnerConfig(
    folds=2, ridge_alphas=(0.01,), trees_at_1000=10, student_trees=10, student_rows=1000, draws=8, threads=1
)
N = 120
PEOPLE = world(N, 51)
X, MODALITY, OUTCOMES = PEOPLE.features, PEOPLE.modality, PEOPLE.outcomes
ONE = pd.DataFrame({"months": OUTCOMES["durable_control_months"], "event": OUTCOMES["durable_control_event"]})
FREE = (*TARGETS, Target("treatment_free", "free_share", 12, 1.0))
BACKWARDS = np.arange(N)[::-1]
ALL = pd.DataFrame(True, index=X.index, columns=["adc", "bispecific", "car_t"])
VALUE = "secret"


def _fit(own: dict[str, Any] | None = None, **given: Any) -> ModalityRanker:
    """Fit a small estimator on the small world, with these arguments changed."""
    arguments = {"targets": TARGETS, "min_cases": 5, "min_events": 2, "settings": SMALL, "deploy": False} | (own or {})
    outcomes = OUTCOMES if arguments["targets"] else ONE
    tables = {"X": X, "modality": MODALITY, "outcomes": outcomes} | given
    return ModalityRanker(**arguments).fit(**tables)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"eligible": ALL.rename(columns={"adc": "acd", "car_t": 7})},
            r"2 column\(s\) are no arm \(7, acd\); known: adc,",
        ),
        ({"eligible": ALL.to_numpy()}, "eligible: ndarray, wanted a DataFrame of bool"),
        ({"eligible": ALL.astype(str)}, r"eligible.adc: 0 of 120 row\(s\) are gaps and 120 not True or False \(str\)"),
        ({"eligible": ALL.astype(float).mask(X["x0"] > 3).assign(adc=np.nan)}, r"eligible.adc: 120 of 120 .* gaps"),
        ({"eligible": ALL.assign(adc=0.5)}, "eligible.adc: 0 of 120 .* and 120 not True"),
        ({"eligible": pd.concat([ALL, ALL[["adc"]]], axis=1)}, r"eligible: adc occur\(s\) twice"),
        ({"eligible": ALL.head(7)}, r"eligible: 7 row\(s\), wanted 120"),
        ({"eligible": ALL.iloc[BACKWARDS]}, "eligible: the index has the labels of X.index in another order.*X.index"),
        ({"modality": MODALITY.iloc[BACKWARDS]}, "modality: the index"),
        ({"outcomes": OUTCOMES.iloc[BACKWARDS]}, "outcomes: the index"),
        ({"groups": pd.Series(range(N)).iloc[BACKWARDS]}, "groups: the index"),
        ({"products": MODALITY.iloc[BACKWARDS]}, "products: the index"),
        ({"products": MODALITY.head(3)}, r"products: 3 row\(s\), wanted 120"),
        ({"outcomes": None}, "outcomes: NoneType, wanted 120"),
        ({"outcomes": OUTCOMES.to_numpy()}, "outcomes: ndarray, wanted a DataFrame, since `targets` are given"),
        (
            {"outcomes": OUTCOMES.assign(durable_control_months=VALUE)},
            "durable_control_months: str, wanted months above 0",
        ),
        ({"outcomes": OUTCOMES.assign(severe_toxicity_event=VALUE)}, "severe_toxicity_event: str, wanted 0, 1 or 2"),
        (
            {"outcomes": OUTCOMES.assign(durable_control_months=pd.Timestamp("2024-01-01"))},
            "durable_control_months: datetime64.*wanted months above 0",
        ),
        (
            {"outcomes": OUTCOMES.assign(severe_toxicity_event=pd.Series([pd.NA] + [0] * (N - 1), dtype=object))},
            r"severe_toxicity_event: 1 row\(s\) not 0, 1 or 2",
        ),
        ({"groups": ["one"] * N}, r"groups: 1 patient\(s\) were given a ranked arm, wanted at least 2, one per fold"),
        ({"known_months": {"x0": 0.0, "aeg": 3.0}}, r"known_months: aeg: no such column\(s\) in X"),
        ({"known_months": {"x0": VALUE}}, "known_months.x0: str, wanted a number of months"),
        ({"known_months": ["x0"]}, "known_months: list, wanted a mapping"),
    ],
)
def test_a_table_that_is_none_is_refused_by_fit(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as found:
        _fit(**given)
    assert VALUE not in str(found.value)


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({"modifiers": ["x1", "x11", "x12"]}, r"modifiers: x11, x12: no column\(s\) to learn from"),
        ({"modifiers": ["x1"], "features": ["x0", "x2"]}, "modifiers: x1: no column.* add it to `features`"),
        ({"modifiers": ["site"]}, "modifiers: site: a category, wanted numbers"),
        ({"modifiers": "x1"}, r"modifiers: str, wanted a list of column names"),
        ({"features": "x1"}, "features: str, wanted a list"),
        ({"propensity_features": "x1"}, "propensity_features: str, wanted a list"),
        ({"min_cases": 40.0}, r"min_cases: float, wanted a whole number"),
        ({"min_cases": True}, "min_cases: bool, wanted a whole number"),
        ({"min_events": {"adc": "5"}}, "min_events: str, wanted a whole number"),
        ({"targets": TARGETS[0]}, r"targets: Target, wanted a list of Target. Put it in \[ \]"),
        ({"targets": [{"name": "control"}]}, "targets: dict in the list, wanted Target"),
        ({"targets": FREE}, "missing column.* treatment_free_q1, .*_q2, .*_q3, .*_q4 for target treatment_free"),
    ],
)
def test_an_argument_that_names_or_counts_nothing_is_refused_by_fit(own: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        _fit(own)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"event": VALUE}, "outcomes.event: str, wanted 0 or 1"),
        ({"months": VALUE}, "outcomes.months: str, wanted months above 0"),
        ({"months": 0.0}, r"outcomes.months: 120 row\(s\) not above 0 months"),
    ],
)
def test_one_outcome_is_refused_under_the_names_it_was_given(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as found:
        _fit({"targets": ()}, outcomes=ONE.assign(**changed))
    assert VALUE not in str(found.value)


def test_three_of_the_four_quarters_are_not_enough_for_a_share() -> None:
    with pytest.raises(ValueError, match=r"missing column\(s\) treatment_free_q4 for target treatment_free"):
        _fit({"targets": FREE}, outcomes=OUTCOMES.assign(**{f"treatment_free_q{k}": 0.5 for k in (1, 2, 3)}))


@pytest.fixture(scope="module")
def small() -> ModalityRanker:
    """Return an estimator of the small world."""
    return _fit()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"site": 1.0}, "X.site: float64, learned as a category"),
        ({"site": True}, "X.site: bool, learned as a category"),
        ({"x3": pd.Categorical([VALUE] * N)}, "X.x3: a category, learned as numbers"),
        ({"x3": pd.Categorical([1] * N)}, "X.x3: a category, learned as numbers"),
    ],
)
@pytest.mark.parametrize("method", ["predict", "suitability", "committee_outcomes"])
def test_a_column_of_another_kind_than_learned_is_refused(
    small: ModalityRanker, method: str, changed: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words) as found:
        getattr(small, method)(X.assign(**changed))
    assert VALUE not in str(found.value)


def test_a_level_unknown_to_training_reads_as_a_gap_with_a_warning_of_its_column_and_count(
    small: ModalityRanker,
) -> None:
    sites = X["site"].astype(object)
    other, gap = (X.assign(site=sites.mask(X.index < 3, by).astype("category")) for by in (VALUE, None))
    with pytest.warns(UserWarning, match=r"read as gaps: site \(3 row\(s\)\)$") as told:
        said = small.suitability(other)

    assert len(told) == 1
    assert told[0].filename == __file__
    assert np.array_equal(said, small.suitability(gap))


def test_gaps_of_every_kind_and_whole_numbers_of_numpy_are_read(small: ModalityRanker) -> None:
    holes = pd.Series([pd.NA, None, np.nan] + [1.0] * (N - 3), dtype=object)
    numbers = _fit({"min_cases": np.int64(5), "min_events": dict.fromkeys(MODALITY, np.int32(2))}, X=X.assign(x3=holes))
    floats = _fit(X=X.assign(x3=holes.where(holes.notna(), np.nan).astype(float)))
    empty = [X.assign(site=column, x3=column) for column in (np.nan, pd.Categorical([None] * N, categories=["a"]))]

    assert np.array_equal(numbers.predict(X), floats.predict(X))
    assert np.array_equal(*(small.predict(table) for table in empty))


def test_rows_are_matched_by_position_where_indexes_have_other_labels(small: ModalityRanker) -> None:
    renamed = X.set_axis([f"id{k}" for k in range(N)])

    assert np.array_equal(_fit(X=renamed, eligible=ALL.astype(int)).predict(X), small.predict(X))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"eligible": ALL.rename(columns={"adc": "acd"})}, r"1 column\(s\) are no arm \(acd\)"),
        ({"eligible": ALL.iloc[BACKWARDS]}, "eligible: the index"),
        ({"policy": MODALITY.iloc[BACKWARDS]}, "policy: the index"),
        ({"policy": ALL / 3 * np.array([1, 1, 1]), "groups": MODALITY.iloc[BACKWARDS]}, "groups: the index"),
        (
            {"policy": ALL.astype(object).assign(adc=VALUE)},
            "policy: object, .*wanted probabilities",
        ),
        ({"propensity": (ALL / 3).iloc[BACKWARDS]}, "propensity: the index"),
        ({"propensity": {"adc": VALUE, "bispecific": 0.2, "car_t": 0.2}}, "propensity: .*wanted chances from 0 to 1"),
    ],
)
def test_a_table_that_is_none_is_refused_by_policy_value(
    small: ModalityRanker, given: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words) as found:
        small.policy_value(X, MODALITY, OUTCOMES, **given)
    assert VALUE not in str(found.value)


def _stops(_: int) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("error", "fail"),
    [
        (ValueError, lambda model: model.fit(X, MODALITY, OUTCOMES.head(3))),
        (NoOverlapError, lambda model: model.fit(X, ["adc"] * N, OUTCOMES)),
        (KeyboardInterrupt, lambda model: model.fit(X, MODALITY, OUTCOMES, advance=_stops)),
    ],
)
def test_a_failed_refit_leaves_nothing_that_could_answer(
    error: type[BaseException], fail: Callable[[ModalityRanker], object]
) -> None:
    model = _fit({"deploy": True})
    with pytest.raises(error):
        fail(model)

    with pytest.raises(NotFittedError):
        model.predict(X)
    assert sorted(vars(model)) == sorted(model.get_params(deep=False))


def _half_offered(n: int, seed: int) -> tuple[World, pd.DataFrame, np.ndarray]:
    """Return people of whom half, by a slot that no column tells, could have arm A, which is better for everybody."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"m": rng.normal(size=n), "z": rng.normal(size=n)})
    slot = rng.random(n) < 0.5
    arm = np.where(rng.random(n) < np.where(slot, np.where(table["m"] > 0, 0.6, 0.9), 0.0), "A", "B")
    hazards = np.array([0.05, 0.08]) * np.exp(0.5 * table[["m"]].to_numpy())
    time = rng.exponential(1 / np.where(arm == "A", hazards[:, 0], hazards[:, 1]))
    seen = pd.DataFrame({"months": np.minimum(time, 24), "event": (time <= 24).astype(int)})
    return World(table, pd.Series(arm), seen, np.exp(-12 * hazards)), pd.DataFrame({"A": slot}), slot


def test_a_choice_among_what_was_possible_is_worth_what_it_truly_is() -> None:
    people, possible, _ = _half_offered(1000, 1)
    model = ModalityRanker(settings=SMALL, deploy=False)
    model.fit(people.features, people.modality, people.outcomes, eligible=possible)
    fresh, possible, slot = _half_offered(3000, 2)
    first = model.suitability(fresh.features).to_numpy().argmax(axis=1)
    truth = fresh.truth[np.arange(3000), np.where(slot, first, 1)].mean()
    tables = fresh.features, fresh.modality, fresh.outcomes
    worth, blind = model.policy_value(*tables, eligible=possible), model.policy_value(*tables)

    assert worth.value == pytest.approx(truth, abs=3 * worth.se)
    assert worth.mass == pytest.approx(1.0, abs=0.06)
    assert blind.vetoed or blind.value > truth + 3 * worth.se
    assert np.mean(~slot & (first == 0)) > 0.3  # else nothing was at stake


def test_eligibility_that_bars_nothing_changes_no_number() -> None:
    trial = world(400, 52)
    model = ranker(SMALL, deploy=False).fit(trial.features, trial.modality, trial.outcomes)
    tables = trial.features, trial.modality, trial.outcomes
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same = model.policy_value(*tables, eligible=pd.DataFrame({"adc": [1] * 400}))

    assert same == model.policy_value(*tables)
