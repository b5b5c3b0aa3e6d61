"""What does every peer get: arrays, labels for the censored, nuisances?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.learners import Target
from tests.benchmarks.ranking.data import People, Task

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

FEWEST_CASES = 20


@dataclass(frozen=True)
class Answer:
    """What a method says of test rows.

    Attributes
    ----------
    values : array (n, arms)
    kind : {'utility', 'score', 'policy'}
        Utility without burden; a number that only orders arms; or the chance of choosing each arm.
    """

    values: Array
    kind: Literal["utility", "score", "policy"] = "utility"


@dataclass(frozen=True)
class Arrays:
    """A task in arrays, with the arms that a peer learns.

    Attributes
    ----------
    train, test : arrays (n, columns), categories as codes, gaps NaN
    own, own_test : arrays, columns of the propensity
    arm : array (n,) of int
        Position in `learned`; rows of other arms are left out of everything here.
    learned : array of int
        Positions of the learned arms among all arms.
    rows : array (n,) of int
        Positions of these rows in the task.
    groups : array (n,) of int
    possible : array (n, learned) of bool
    labels : DataFrame
    targets : tuple of Target
    signed : array (targets,)
    limited : array (learned,) of bool, time-limited arms
    arms : int, number of all arms
    """

    train: Array
    test: Array
    own: Array
    own_test: Array
    arm: IntArray
    learned: IntArray
    rows: npt.NDArray[np.intp]
    groups: IntArray
    possible: BoolArray
    labels: pd.DataFrame
    targets: tuple[Target, ...]
    signed: Array
    limited: BoolArray
    arms: int

    def everywhere(self, values: Array) -> Array:
        """Return values of learned arms, shape (n, learned), as (n, arms); arms not learned are never chosen."""
        full = np.full((len(values), self.arms), -np.inf)
        full[:, self.learned] = values
        return full


def arrays(task: Task) -> Arrays:
    """Return the task in arrays."""
    codes = pd.Categorical(task.train.modality, categories=list(task.arms)).codes.astype(np.int64)
    learned = np.flatnonzero(np.bincount(codes, minlength=len(task.arms)) >= FEWEST_CASES)
    rows = np.flatnonzero(np.isin(codes, learned))
    levels = _levels(task)
    limited = {entry.id: entry.time_limited for entry in task.setup.config.modalities}
    total = sum(task.weights.values())
    return Arrays(
        train=_numbers(task.train, task.names, levels)[rows],
        test=_numbers(task.test, task.names, levels),
        own=_numbers(task.train, task.propensity_names, levels)[rows],
        own_test=_numbers(task.test, task.propensity_names, levels),
        arm=np.searchsorted(learned, codes[rows]),
        learned=learned,
        rows=rows,
        groups=np.asarray(pd.factorize(task.train.patients.iloc[rows])[0], dtype=np.int64),
        possible=~task.train.impossible.to_numpy(dtype=bool)[np.ix_(rows, learned)],
        labels=task.train.labels.iloc[rows].reset_index(drop=True),
        targets=task.targets,
        signed=np.array([target.sign * task.weights[target.name] / total for target in task.targets]),
        limited=np.array([limited[task.arms[position]] for position in learned]),
        arms=len(task.arms),
    )


def _levels(task: Task) -> dict[str, list[Any]]:
    found = {}
    for name in dict.fromkeys([*task.names, *task.propensity_names]):
        if isinstance(task.train.features[name].dtype, pd.CategoricalDtype):
            found[name] = list(task.train.features[name].cat.categories)
    return found


def _numbers(people: People, names: Sequence[str], levels: Mapping[str, list[Any]]) -> Array:
    columns = []
    for name in names:
        values = people.features[name]
        if name in levels:
            codes = pd.Index(levels[name]).get_indexer(pd.Index(values.astype("object")))
            columns.append(np.where(codes < 0, np.nan, codes.astype(float)))
        else:
            columns.append(values.to_numpy(dtype=float, na_value=np.nan))
    return np.column_stack(columns)


def complete(train: Array, *others: Array) -> list[Array]:
    """Return tables without gaps for those who need it: standardised, median for a gap, indicators of common gaps.

    Medians and scales are those of `train`, which comes first in the list returned. Columns that do not vary go.
    """
    with np.errstate(all="ignore"):
        known = np.isfinite(train).sum(axis=0) > 0
        middle = np.array([np.nanmedian(train[:, k]) if known[k] else 0.0 for k in range(train.shape[1])])
        spread = np.array([np.nanstd(train[:, k]) if known[k] else 0.0 for k in range(train.shape[1])])
    kept = np.flatnonzero(spread > 0)
    gaps = np.isnan(train)
    share = gaps.mean(axis=0)
    indicated, seen = [], set()
    for position in np.flatnonzero((share > 0.02) & (share < 0.98)):
        pattern = gaps[:, position].tobytes()
        if pattern not in seen:
            seen.add(pattern)
            indicated.append(position)
    tables = []
    for table in (train, *others):
        scaled = (table[:, kept] - middle[kept]) / spread[kept]
        scaled = np.clip(np.nan_to_num(scaled), -4.0, 4.0)
        tables.append(np.concatenate([scaled, np.isnan(table[:, indicated]).astype(float)], axis=1))
    return tables


# --- labels


@dataclass(frozen=True)
class Label:
    """One outcome of each person: value, whether it was decided, and when it was decided or censored (months)."""

    value: Array
    decided: BoolArray
    time: Array


def label(data: Arrays, target: Target) -> Label:
    """Return the observed outcome at its horizon; the value of the undecided is 0."""
    if target.kind == "free_share":
        return _free_share(data)
    months = data.labels[f"{target.name}_months"].to_numpy(dtype=float)
    event = data.labels[f"{target.name}_event"].to_numpy(dtype=float)
    happened = (event > 0) & (months <= target.horizon_months)
    decided = happened | (months >= target.horizon_months)
    own = (event == 1) & (months <= target.horizon_months)
    value = np.where(decided & (~own if target.kind == "event_free" else own), 1.0, 0.0)
    return Label(value, decided, np.minimum(months, target.horizon_months))


def _free_share(data: Arrays) -> Label:
    """Return the share of 12 months alive, progression-free and off treatment; 0 for continuous arms."""
    months = data.labels["durable_control_months"].to_numpy(dtype=float)
    failed = data.labels["durable_control_event"].to_numpy(dtype=float) == 1
    shares = data.labels[[f"treatment_free_q{quarter}" for quarter in (1, 2, 3, 4)]].to_numpy(dtype=float)
    low = 3.0 * np.arange(4)
    inside = np.clip(np.minimum(months, 12.0)[:, None] - low, 0.0, 3.0)
    seen = ~np.isnan(shares) | (inside <= 0)
    decided = (failed & (months <= 12.0) | (months >= 12.0)) & seen.all(axis=1)
    value = np.where(inside > 0, np.nan_to_num(shares) * inside, 0.0).sum(axis=1) / 12.0
    continuous = ~data.limited[data.arm]
    return Label(
        np.where(continuous | ~decided, 0.0, value),
        decided | continuous,
        np.where(continuous, 0.0, np.minimum(months, 12.0)),
    )


def uncensored(time: Array, censored: BoolArray, floor: float) -> Array:
    """Return the Kaplan-Meier chance of not being censored before each person's own time."""
    order = np.argsort(time, kind="stable")
    moments, first = np.unique(time[order], return_index=True)
    at_risk = len(time) - first
    lost = np.add.reduceat(censored[order].astype(float), first)
    after = np.cumprod(1 - lost / at_risk)
    before = np.concatenate([[1.0], after[:-1]])
    return np.asarray(np.maximum(before[np.searchsorted(moments, time)], floor))


def weights(data: Arrays, own: Label, floor: float) -> Array:
    """Return each person's inverse probability of censoring weight within the arm; 0 for the undecided."""
    found = np.zeros(len(data.arm))
    for position in range(len(data.learned)):
        rows = data.arm == position
        found[rows] = own.decided[rows] / uncensored(own.time[rows], ~own.decided[rows], floor)
    return found


def one_number(data: Arrays, floor: float) -> Array:
    """Return one utility per person, without burden (protocol.yaml, labels.one_number)."""
    total = np.zeros(len(data.arm))
    for target, weight in zip(data.targets, data.signed, strict=True):
        own = label(data, target)
        inverse = weights(data, own, floor)
        for position in range(len(data.learned)):
            rows = data.arm == position
            mean = np.average(own.value[rows], weights=inverse[rows]) if inverse[rows].sum() > 0 else 0.0
            total[rows] += weight * (mean + inverse[rows] * (own.value[rows] - mean))
    return total


# --- LightGBM as our teachers use it


def boosted(protocol: Mapping[str, Any], decisions: int, cases: int | None = None) -> dict[str, Any]:
    """Return settings of LightGBM for a model of `cases` rows (an arm), or of all decisions."""
    own = protocol["boosting"]
    trees = round(own["trees_at_1000"] * np.sqrt(decisions / 1000))
    return {
        "n_estimators": int(np.clip(trees, own["fewest_trees"], own["most_trees"])),
        "learning_rate": own["learning_rate"],
        "num_leaves": own["leaves"],
        "min_child_samples": own["leaf_rows"] if cases is None else int(np.clip(cases / 20, 10, own["leaf_rows"])),
        "reg_lambda": own["l2"],
        "colsample_bytree": own["feature_fraction"],
        "subsample": own["bagging_fraction"],
        "subsample_freq": 1,
        "random_state": 1,
        "n_jobs": 1,
        "verbosity": -1,
    }


def folds_of(data: Arrays, folds: int) -> IntArray:
    """Return a fold per row; a patient has one fold, and arms are spread evenly."""
    from sklearn.model_selection import StratifiedGroupKFold

    fold = np.zeros(len(data.arm), dtype=np.int64)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=1)
    for number, (_, held) in enumerate(splitter.split(data.arm, data.arm, data.groups)):
        fold[held] = number
    return fold


def propensities(data: Arrays, protocol: Mapping[str, Any]) -> Array:
    """Return cross-fitted LightGBM propensities of the learned arms, 0 where impossible."""
    fold = folds_of(data, protocol["labels"]["folds"])
    found = np.zeros((len(data.arm), len(data.learned)))
    for number in range(protocol["labels"]["folds"]):
        rows = fold != number
        model = lgb.LGBMClassifier(**boosted(protocol, int(rows.sum()))).fit(data.own[rows], data.arm[rows])
        found[np.ix_(~rows, model.classes_)] = model.predict_proba(data.own[~rows])
    found = found * data.possible
    return np.asarray(found / np.maximum(found.sum(axis=1, keepdims=True), 1e-12))


def doubly_robust(data: Arrays, protocol: Mapping[str, Any]) -> Array:
    """Return doubly-robust scores of utility, shape (n, learned), with LightGBM nuisances of three folds."""
    number = one_number(data, protocol["labels"]["least_uncensored"])
    fold = folds_of(data, protocol["labels"]["folds"])
    expected = np.zeros((len(data.arm), len(data.learned)))
    for held in range(protocol["labels"]["folds"]):
        for position in range(len(data.learned)):
            rows = (fold != held) & (data.arm == position)
            model = lgb.LGBMRegressor(**boosted(protocol, int((fold != held).sum()), int(rows.sum())))
            expected[fold == held, position] = model.fit(data.train[rows], number[rows]).predict(
                data.train[fold == held]
            )
    chance = np.maximum(propensities(data, protocol), protocol["labels"]["propensity_floor"])
    every = np.arange(len(data.arm))
    scores = expected.copy()
    scores[every, data.arm] += (number - expected[every, data.arm]) / chance[every, data.arm]
    return scores
