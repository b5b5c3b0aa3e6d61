"""How were people alike treated here, and what became of them?

People are alike if they stand in the same leaf of a small tree that tells what the model expects of each modality.
Told are counts per modality and raw survival curves, of at least sixty people a leaf and thirty a curve.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.tree import DecisionTreeRegressor

from pipeline.evaluate.censoring import risk_table
from pipeline.evaluate.small_counts import writable_counts
from pipeline.learners import SMALL_CELL

Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Document = dict[str, Any]

FEWEST_ALIKE, FEWEST_IN_CURVE = 60, 30
_LEAVES = 8
_DEPTH = 3
_EDGES = 19
_CONTROL = "durable_control"


def two_digits(value: float) -> float:
    """Return a number to two significant digits, so that it is nobody's own value."""
    return float(f"{value:.2g}")


def typical_values(
    features: pd.DataFrame, names: Sequence[str], levels: Mapping[str, Sequence[str]], patients: pd.Series[str]
) -> dict[str, float | str]:
    """Return what is usual of each feature: the rounded median, or the most frequent answer or category.

    Parameters
    ----------
    features : DataFrame, one row per training decision
    names : sequence of str
        Features that the model reads.
    levels : mapping of feature to levels
        Of the categorical ones.
    patients : Series of str, the same rows

    Returns
    -------
    dict of feature to float or str
        Features known of fewer than eleven people are left out, and answers and categories that fewer had.
    """
    found: dict[str, float | str] = {}
    for name in names:
        known = features[name].dropna()
        people = patients[known.index]
        if people.nunique() < SMALL_CELL:
            continue
        if name in levels or set(known.unique()) <= {0.0, 1.0}:
            usual: Any = known.value_counts().sort_index().idxmax()
            if people[known == usual].nunique() >= SMALL_CELL:
                found[name] = str(usual) if name in levels else float(usual)
        else:
            found[name] = two_digits(float(known.median()))
    return found


@dataclass(frozen=True)
class _Question:
    """A yes-or-no or graded column that people can be told apart by.

    Attributes
    ----------
    feature : str
    level : str or None
        Of a category: whether it is this one.
    edges : tuple of float
        Rounded thresholds; each has at least eleven people known on either side.
    codes : array (n,)
        How many edges lie below the value; a gap counts as the typical value.
    """

    feature: str
    level: str | None
    edges: tuple[float, ...]
    codes: Array


def _questions(
    features: pd.DataFrame, typical: Mapping[str, float | str], levels: Mapping[str, Sequence[str]], patients: pd.Series
) -> list[_Question]:
    found = []
    person = pd.factorize(patients)[0]
    for name, usual in typical.items():
        if name in levels:
            text = features[name].astype("object").fillna(usual)
            for level in levels[name]:
                is_it = (text == level).to_numpy()
                if _tells_apart(person, is_it, ~is_it):
                    found.append(_Question(name, level, (0.5,), is_it.astype(float)))
            continue
        values = features[name].to_numpy(dtype=float)
        known = values[~np.isnan(values)]
        rounded = np.unique([two_digits(float(q)) for q in np.quantile(known, np.linspace(0, 1, _EDGES + 2)[1:-1])])
        candidates = [0.5] if set(np.unique(known)) <= {0.0, 1.0} else rounded
        edges = tuple(float(e) for e in candidates if _tells_apart(person, values <= e, values > e))
        if edges:
            codes = np.searchsorted(edges, np.where(np.isnan(values), usual, values), side="left").astype(float)
            found.append(_Question(name, None, edges, codes))
    return found


def _tells_apart(person: npt.NDArray[np.int64], *sides: BoolArray) -> bool:
    """Return whether each side holds at least eleven people."""
    return all(len(np.unique(person[side])) >= SMALL_CELL for side in sides)


def likeness(
    features: pd.DataFrame,
    levels: Mapping[str, Sequence[str]],
    typical: Mapping[str, float | str],
    suitability: Array,
    given: pd.Series[str],
    labels: pd.DataFrame,
    patients: pd.Series[str],
    modalities: Sequence[str],
    horizon_months: int,
) -> Document:
    """Return groups of people alike, with how they were treated and how long control lasted.

    Parameters
    ----------
    features : DataFrame, one row per training decision
    levels : mapping of feature to levels
    typical : mapping of feature to value
        As `typical_values`, of the features by which people may be told apart; a gap stands where its value does.
    suitability : array (n, arms)
        What the model expects; people are alike if it expects alike of each arm.
    given : Series of str
    labels : DataFrame
        `durable_control_months` and `_event`, where the source has them.
    patients : Series of str
    modalities : sequence of str
        Declared ones; others are not told.
    horizon_months : int

    Returns
    -------
    dict
        `tree`: nested questions down to a number; `groups`: per number the people by modality, and rounded
        Kaplan-Meier curves by month. Counts of 1 to 10 are None, and so are others that would give them away.
    """
    features, given = features.reset_index(drop=True), given.reset_index(drop=True)
    labels, patients = labels.reset_index(drop=True), patients.reset_index(drop=True)
    questions = _questions(features, typical, levels, patients)
    people = int(patients.nunique())
    if not questions or people < 2 * FEWEST_ALIKE:
        tree: Document = {"group": 0}
        leaf = np.zeros(len(features), dtype=np.intp)
    else:
        tree, leaf = _grown(questions, suitability, patients, people)
    has_control = f"{_CONTROL}_months" in labels
    timed = labels if has_control else None
    leaves = [leaf == number for number in range(int(leaf.max()) + 1)]
    cells = [[inside & (given == name).to_numpy() for name in modalities] for inside in leaves]
    counts = writable_counts([[int(patients[own].nunique()) for own in line] for line in cells], "both")
    groups = []
    for line, shown in zip(cells, counts, strict=True):
        curves = {
            name: _curve(own, timed, patients, horizon_months) for name, own in zip(modalities, line, strict=True)
        }
        groups.append(
            {
                "people": dict(zip(modalities, shown, strict=True)),
                "curves": {name: curve for name, curve in curves.items() if curve},
            }
        )
    return {"tree": tree, "groups": groups, "horizon_months": horizon_months}


def _grown(
    questions: Sequence[_Question], suitability: Array, patients: pd.Series, people: int
) -> tuple[Document, npt.NDArray[np.intp]]:
    """Return the tree, and the group of each row.

    A person's decisions share one weight, so that a leaf of weight 60 holds at least sixty people.
    """
    codes = np.column_stack([question.codes for question in questions])
    model = DecisionTreeRegressor(
        max_depth=_DEPTH, max_leaf_nodes=_LEAVES, min_weight_fraction_leaf=FEWEST_ALIKE / people, random_state=0
    )
    weight = 1.0 / patients.groupby(patients).transform("size").to_numpy(dtype=float)
    model.fit(codes, suitability, sample_weight=weight)
    grown = model.tree_
    numbers: dict[int, int] = {}

    def node(at: int) -> Document:
        if grown.children_left[at] < 0:
            numbers[at] = len(numbers)
            return {"group": numbers[at]}
        question = questions[int(grown.feature[at])]
        asked: Document = {"feature": question.feature}
        asked |= (
            {"over": question.edges[int(np.floor(grown.threshold[at]))]}
            if question.level is None
            else {"is": question.level}
        )
        return asked | {"no": node(int(grown.children_left[at])), "yes": node(int(grown.children_right[at]))}

    tree = node(0)
    return tree, np.array([numbers[int(leaf)] for leaf in model.apply(codes)], dtype=np.intp)


def _curve(own: BoolArray, labels: pd.DataFrame | None, patients: pd.Series[str], horizon: int) -> list[float]:
    """Return the curve of some decisions, empty where they are of fewer than thirty people."""
    if labels is None or patients[own].nunique() < FEWEST_IN_CURVE:
        return []
    months, event = labels.loc[own, f"{_CONTROL}_months"], labels.loc[own, f"{_CONTROL}_event"]
    return free_of_event(months.to_numpy(dtype=float), event.to_numpy() == 1, horizon)


def free_of_event(months: Array, is_event: BoolArray, horizon: int) -> list[float]:
    """Return the Kaplan-Meier share without the event after 0, 1, ... months, to two digits.

    The curve ends at the horizon, or before fewer than eleven are still followed.
    """
    times, at_risk, failed = risk_table(months, is_event)
    share = np.concatenate([[1.0], np.cumprod(1.0 - failed / at_risk)])
    grid = np.arange(horizon + 1)
    still = (months[None, :] >= grid[:, None]).sum(axis=1) >= SMALL_CELL
    last = int(np.argmin(still)) if not still.all() else len(grid)
    return [round(float(share[np.searchsorted(times, month, side="right")]), 2) for month in grid[:last]]


def group_of(document: Mapping[str, Any], features: pd.DataFrame, typical: Mapping[str, float | str]) -> Document:
    """Return the people alike to one decision: the group, and what it has in common.

    Parameters
    ----------
    document : mapping
        As `likeness` gives it.
    features : DataFrame of one row
    typical : mapping of feature to value

    Returns
    -------
    dict
        The group with `horizon_months` and `alike`, the questions that lead to it with their answers, of which a
        tighter threshold replaces a looser one.
    """
    at: Mapping[str, Any] = document["tree"]
    alike: dict[tuple[str, bool, Any], Document] = {}
    while "group" not in at:
        name = str(at["feature"])
        value = features[name].iloc[0]
        known = not pd.isna(value)
        value = value if known else typical[name]
        is_yes = str(value) == at["is"] if "is" in at else float(value) > at["over"]
        key = (name, is_yes, at.get("is"))
        alike[key] = {**{k: at[k] for k in ("feature", "is", "over") if k in at}, "answer": is_yes, "known": known}
        at = at["yes" if is_yes else "no"]
    return {
        **document["groups"][at["group"]],
        "alike": list(alike.values()),
        "horizon_months": document["horizon_months"],
    }
