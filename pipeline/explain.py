"""Which facts moved each score?

Exact TreeSHAP of the deployed students, weighted as suitability is. `baseline + sum of reasons =
suitability` in every row, or the batch fails; a contrast of two modalities is the difference of
their explanations, in which the shared prognosis cancels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.errors import PipelineError
from pipeline.learners import signed_weights
from pipeline.learners.model import SuitabilityModel
from pipeline.ranker import Standing, burden_share, display_order

Array = npt.NDArray[np.float64]
Item = dict[str, Any]

ADDITIVITY_TOLERANCE = 1e-6
AVERAGE_DIFFERENCE = "average_difference"
ALL_OTHER = "all_other"


@dataclass(frozen=True)
class Explanation:
    """Contributions of n decisions.

    Attributes
    ----------
    names : tuple of str
        Features, then `burden`.
    values : list of lists of str or None
        The value of each feature as shown; None where it is missing.
    baseline : array (n, m)
        NaN where the modality has no model.
    contributions : array (n, m, n_features + 1)
    """

    names: tuple[str, ...]
    values: list[list[str | None]]
    baseline: Array
    contributions: Array


def explain(model: SuitabilityModel, features: pd.DataFrame, standing: Standing, weights: pd.DataFrame) -> Explanation:
    """Return what moved every suitability.

    Parameters
    ----------
    model : SuitabilityModel
    features : DataFrame, one row per decision
    standing : Standing
    weights : DataFrame, one row per decision

    Returns
    -------
    Explanation

    Raises
    ------
    PipelineError
        If baseline and contributions do not add up to suitability within 1e-6 in some row.
    """
    position = [standing.modalities.index(arm) for arm in model.arms]
    signed = signed_weights(weights.to_numpy(dtype=float), list(weights.columns), model.targets)
    matrix = model.columns.matrix(features)
    baseline, own = model.students.contributions(matrix, signed)
    n, m = standing.suitability.shape
    names = (*model.columns.names, "burden")
    whole, base = np.full((n, m, len(names)), np.nan), np.full((n, m), np.nan)
    base[:, position] = baseline
    whole[:, position, :-1] = own
    whole[:, position, -1] = -burden_share(weights, model)[:, None] * standing.burden[:, position]
    gap = np.abs(base + whole.sum(axis=2) - standing.suitability)[:, position]
    if not (gap <= ADDITIVITY_TOLERANCE).all():
        raise PipelineError(
            f"explain: {int((~(gap <= ADDITIVITY_TOLERANCE)).sum())} of {gap.size} explanations do not add up to "
            f"suitability within {ADDITIVITY_TOLERANCE}; the batch is not written. Report this as a bug."
        )
    return Explanation(names=names, values=_shown(features, model), baseline=base, contributions=whole)


def _shown(features: pd.DataFrame, model: SuitabilityModel) -> list[list[str | None]]:
    columns = []
    for name in model.columns.names:
        if name in model.columns.levels:
            columns.append([None if pd.isna(value) else str(value) for value in features[name]])
        else:
            columns.append([None if np.isnan(v) else f"{v:.6g}" for v in features[name].to_numpy(dtype=float)])
    return [list(row) for row in zip(*columns, strict=True)] if columns else [[] for _ in range(len(features))]


def _top(names: Sequence[str], values: Sequence[str | None], contributions: Array, k: int) -> list[Item]:
    """Return the k largest contributions, then burden, then the sum of all other features."""
    own = contributions[:-1]
    order = np.argsort(-np.abs(own), kind="stable")
    chosen = [int(i) for i in order[:k] if own[i] != 0.0]
    items: list[Item] = [{"feature": names[i], "value": values[i], "contribution": float(own[i])} for i in chosen]
    rest = np.ones(len(own), dtype=bool)
    rest[chosen] = False
    items.append({"feature": "burden", "value": None, "contribution": float(contributions[-1])})
    items.append({"feature": ALL_OTHER, "value": None, "contribution": float(own[rest].sum())})
    return items


def reasons(explanation: Explanation, row: int, modality: int, k: int) -> list[Item]:
    """Return the reasons of one cell: top k features, burden and `all_other`; with the baseline they are suitability.

    Parameters
    ----------
    explanation : Explanation
    row, modality : int
        Position of the decision and of the modality.
    k : int
        How many features are named.
    """
    if np.isnan(explanation.baseline[row, modality]):
        return []
    return _top(explanation.names, explanation.values[row], explanation.contributions[row, modality], k)


def versus(explanation: Explanation, row: int, first: int, second: int, k: int) -> list[Item]:
    """Return why `first` rather than `second`: items that add up to the difference of their suitabilities.

    Parameters
    ----------
    explanation : Explanation
    row : int
        Position of the decision.
    first, second : int
        Positions of two modalities that have a model.
    k : int
        How many features are named.
    """
    gap = explanation.contributions[row, first] - explanation.contributions[row, second]
    average = float(explanation.baseline[row, first] - explanation.baseline[row, second])
    items = _top(explanation.names, explanation.values[row], gap, k)
    return [{"feature": AVERAGE_DIFFERENCE, "value": None, "contribution": average}, *items]


def next_displayed(standing: Standing) -> npt.NDArray[np.int64]:
    """Return for each cell the next displayed rankable modality, shape (n, m); -1 where there is none."""
    order = display_order(standing)
    following = np.full(standing.rank.shape, -1, dtype=np.int64)
    rows = np.arange(len(order))
    for place in range(order.shape[1] - 1):
        here, there = order[:, place], order[:, place + 1]
        both = standing.is_rankable[rows, here] & standing.is_rankable[rows, there]
        following[rows[both], here[both]] = there[both]
    return following
