"""How do facts move the predictions, drawn without showing anybody?

A beeswarm has a dot per person and a dependence plot a person's value beside it. Here both are bins of at least
eleven people: contributions on a round grid, values between rounded quantiles, open at both ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.explain import Explanation
from pipeline.learners import SMALL_CELL
from pipeline.ranker import Standing

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

TONES = 5
"""A bin is coloured by which fifth its mean feature value falls in; finer would tell too much of eleven people."""
_GRID = 30
_FEATURES = 8
_DEPENDENCE = 4
_MOST_VALUE_BINS = 8
_FEW_VALUES = 6


def shap_pictures(
    explanation: Explanation, standing: Standing, features: pd.DataFrame, meanings: Mapping[str, str]
) -> dict[str, Any]:
    """Return binned beeswarms and dependences of every modality's level and of the contrast of the first two.

    Parameters
    ----------
    explanation : Explanation of n decisions
    standing : Standing
        Of the same decisions.
    features : DataFrame, one row per decision
        With `patient_id`; bins count people, not decisions.
    meanings : mapping of feature to meaning

    Returns
    -------
    dict
        `decisions`, and `views`: for each `kind` (contrast or level), `first`, `second` (None for a level) and
        `features`, largest mean absolute contribution first, with `swarm` bins (`low, high` of the contribution,
        `share` of decisions, `tone` 0 to 4 or None) and, for the first four, `dependence` bins (`label` of the
        values, `share`, `mean`, `low`, `high`: mean and quartiles of the contribution).
    """
    people = np.asarray(pd.factorize(features["patient_id"])[0], dtype=np.int64)
    has_model = ~np.isnan(explanation.baseline).any(axis=0)
    positions = [int(k) for k in np.flatnonzero(has_model)] if len(people) else []
    views: list[dict[str, Any]] = []
    if len(positions) >= 2:
        a, b = _first_two(standing.suitability[:, positions])
        first, second = positions[a], positions[b]
        gap = explanation.contributions[:, first] - explanation.contributions[:, second]
        names = {"first": standing.modalities[first], "second": standing.modalities[second]}
        views.append(
            {"kind": "contrast", **names, "features": _moving(explanation.names, gap, features, people, meanings)}
        )
    for k in positions:
        own = explanation.contributions[:, k]
        found = _moving(explanation.names, own, features, people, meanings)
        views.append({"kind": "level", "first": standing.modalities[k], "second": None, "features": found})
    return {"decisions": len(people), "views": views}


def _first_two(suitability: Array) -> tuple[int, int]:
    """Return the two columns that most often hold the first two places, the more frequent winner first."""
    top = np.argsort(-suitability, axis=1, kind="stable")[:, :2]
    together = np.zeros((suitability.shape[1],) * 2, dtype=np.int64)
    np.add.at(together, (top[:, 0], top[:, 1]), 1)
    either = np.triu(together + together.T, 1)
    a, b = (int(k) for k in np.unravel_index(either.argmax(), either.shape))
    return (a, b) if together[a, b] >= together[b, a] else (b, a)


def _moving(
    names: Sequence[str], contributions: Array, features: pd.DataFrame, people: IntArray, meanings: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return the features with the largest mean absolute contribution, shape of contributions (n, names)."""
    size = np.abs(contributions).mean(axis=0)
    order = [int(k) for k in np.argsort(-size, kind="stable")[:_FEATURES] if size[k] > 0]
    found = []
    for place, k in enumerate(order):
        own, name = contributions[:, k], names[k]
        values = features.get(name)
        drawn = {"swarm": density_bins(own, people, _standing_of(values))}
        if place < _DEPENDENCE and values is not None:
            drawn["dependence"] = value_bins(values, own, people)
        found.append({"feature": name, "meaning": meanings.get(name, name), "mean_abs": float(size[k]), **drawn})
    return found


def _standing_of(values: pd.Series | None) -> Array | None:
    """Return where each value stands between lowest (0) and highest (1), NaN where missing; None without an order."""
    if values is None or not pd.api.types.is_numeric_dtype(values):
        return None
    known = values.astype(float)
    if known.nunique() <= 2:
        low, high = known.min(), known.max()
        return np.asarray((known - low) / (high - low) if high > low else known * np.nan, dtype=np.float64)
    rank = known.rank(method="average")
    return np.asarray((rank - 0.5) / known.notna().sum(), dtype=np.float64)


def density_bins(contribution: Array, people: IntArray, standing: Array | None) -> list[dict[str, Any]]:
    """Return where contributions lie, in bins of at least eleven people between round numbers.

    Parameters
    ----------
    contribution : array (n,)
    people : array (n,) of int
        Whose each row is.
    standing : array (n,) or None
        The feature's value from 0 (lowest) to 1 (highest), NaN where missing; None where it has no order.

    Returns
    -------
    list of dict
        `low, high, share, tone`, lowest first; no bin where there are fewer than eleven people.
    """
    reach = float(np.ptp(contribution)) if len(contribution) else 0.0
    step = round_step(max(reach, 1e-6) / _GRID)
    cell = np.floor(contribution / step + 1e-9).astype(np.int64)
    groups = _merged([int(k) for k in np.unique(cell)], lambda cells: len(np.unique(people[np.isin(cell, cells)])))
    bins = []
    for cells in groups:
        inside = np.isin(cell, cells)
        low, high = round(cells[0] * step, 9), round((cells[-1] + 1) * step, 9)
        bins.append({"low": low, "high": high, "share": float(inside.mean()), "tone": _tone(standing, inside)})
    return bins


def round_step(rough: float) -> float:
    """Return the smallest of 1, 2 or 5 times a power of ten that is not below a positive number."""
    power = 10.0 ** np.floor(np.log10(rough))
    return float(next(power * lead for lead in (1.0, 2.0, 5.0, 10.0) if power * lead >= rough * 0.999))


def _merged(cells: list[int], people_in: Callable[[list[int]], int]) -> list[list[int]]:
    """Return neighbouring cells in groups of at least eleven people; what is left over joins the last one."""
    groups: list[list[int]] = []
    open_group: list[int] = []
    for cell in cells:
        open_group = [*open_group, cell]
        if people_in(open_group) >= SMALL_CELL:
            groups.append(open_group)
            open_group = []
    if open_group and groups:
        groups[-1] = [*groups[-1], *open_group]
    return groups


def _tone(standing: Array | None, inside: npt.NDArray[np.bool_]) -> int | None:
    if standing is None:
        return None
    own = standing[inside]
    known = own[~np.isnan(own)]
    return None if 2 * len(known) < len(own) else min(TONES - 1, int(TONES * known.mean()))


def value_bins(values: pd.Series, contribution: Array, people: IntArray) -> list[dict[str, Any]]:
    """Return the contribution by value, in bins of at least eleven people: mean and quartiles.

    Parameters
    ----------
    values : Series of n rows
        Numbers, truth values as 0 and 1, or categories.
    contribution : array (n,)
    people : array (n,) of int

    Returns
    -------
    list of dict
        `label, share, mean, low, high`; missing values stand last, if eleven people lack the fact.
    """
    gap = values.isna().to_numpy()
    if isinstance(values.dtype, pd.CategoricalDtype):
        text = values.astype("object")
        parts = [(str(level), (text == level).to_numpy()) for level in values.cat.categories]
    else:
        parts = _value_parts(values.to_numpy(dtype=float), people)
    found = []
    for label, inside in [*parts, ("not recorded", gap)]:
        if len(np.unique(people[inside])) < SMALL_CELL:
            continue
        low, high = (float(q) for q in np.quantile(contribution[inside], [0.25, 0.75]))
        told = {"mean": float(contribution[inside].mean()), "low": low, "high": high}
        found.append({"label": label, "share": float(inside.mean()), **{k: round(v, 5) for k, v in told.items()}})
    return found


def _value_parts(values: Array, people: IntArray) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    """Return the parts of a number's range: single values where there are few, else between rounded quantiles."""
    known = values[~np.isnan(values)]
    distinct = np.unique(known)
    if set(distinct) <= {0.0, 1.0}:
        return [("no", values == 0), ("yes", values == 1)]
    is_few = len(distinct) <= _FEW_VALUES
    if is_few:
        cell = np.where(np.isnan(values), -1, np.searchsorted(distinct, values))
        edges = distinct
    else:
        parts = min(_MOST_VALUE_BINS, len(np.unique(people[~np.isnan(values)])) // (2 * SMALL_CELL))
        cuts = np.quantile(known, np.linspace(0, 1, max(parts, 1) + 1)[1:-1])
        edges = np.unique([float(f"{cut:.2g}") for cut in cuts])
        cell = np.where(np.isnan(values), -1, np.searchsorted(edges, values, side="left"))
    present = [int(k) for k in np.unique(cell) if k >= 0]
    groups = _merged(present, lambda cells: len(np.unique(people[np.isin(cell, cells)])))
    return [((_single if is_few else _between)(edges, cells), np.isin(cell, cells)) for cells in groups]


def _single(distinct: Array, cells: list[int]) -> str:
    first, last = distinct[cells[0]], distinct[cells[-1]]
    return f"{first:,.4g}" if first == last else f"{first:,.4g} to {last:,.4g}"


def _between(edges: Array, cells: list[int]) -> str:
    low = None if cells[0] == 0 else edges[cells[0] - 1]
    high = None if cells[-1] >= len(edges) else edges[cells[-1]]
    if low is None and high is None:
        return "any value"
    if low is None:
        return f"at most {high:,.4g}"
    return f"over {low:,.4g}" if high is None else f"over {low:,.4g} to {high:,.4g}"
