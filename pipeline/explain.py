"""Which facts moved each score?

Exact TreeSHAP of the deployed students, weighted as suitability is. `baseline + sum of reasons =
suitability` in every row, or the batch fails; a contrast of two modalities is the difference of
their explanations, in which the shared prognosis cancels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.errors import PipelineError
from pipeline.learners import signed_weights
from pipeline.learners.model import SuitabilityModel
from pipeline.ranker import Standing, burden_share, display_order

Array = npt.NDArray[np.float64]

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
    baseline : array (n, m)
        NaN where the modality has no model.
    contributions : array (n, m, n_features + 1)
    """

    names: tuple[str, ...]
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
    return Explanation(names=names, baseline=base, contributions=whole)


def _shown(features: pd.DataFrame, model: SuitabilityModel) -> tuple[str | None, ...]:
    """Return the values of one decision as text; None where missing."""
    found = {name: features[name].iloc[0] for name in model.columns.names}
    return tuple(
        None if pd.isna(value) else str(value) if name in model.columns.levels else f"{float(value):.6g}"
        for name, value in found.items()
    )


@dataclass(frozen=True)
class Unweighed:
    """What the suitabilities of one decision are made of before the outcomes are weighed.

    Suitability, its deviations, baseline and contributions are linear in the signed weights over their total, so
    these numbers give them for any weights, exactly.

    Attributes
    ----------
    arms, targets : tuple of str
    signs : tuple of float
        1 where more of the outcome is better, -1 where less is.
    names : tuple of str
        Features.
    values : tuple of str or None
        The value of each feature as shown; None where it is missing.
    outcomes, baseline : arrays (arms, targets)
    contributions : array (arms, targets, features)
    root : array (rows, arms, targets)
        Weighed and squared, its rows sum to the variance, as the model's deviations do; at most arms x targets rows.
    """

    arms: tuple[str, ...]
    targets: tuple[str, ...]
    signs: tuple[float, ...]
    names: tuple[str, ...]
    values: tuple[str | None, ...]
    outcomes: Array
    baseline: Array
    contributions: Array
    root: Array


def unweighed(model: SuitabilityModel, features: pd.DataFrame) -> Unweighed:
    """Return what one decision's suitabilities are made of.

    Parameters
    ----------
    model : SuitabilityModel
    features : DataFrame of one row
    """
    count = len(model.targets)
    repeated = features.iloc[np.zeros(count, dtype=np.intp)]
    baseline, own = model.students.contributions(model.columns.matrix(repeated), np.eye(count))
    deviations = model.deviations(repeated, np.eye(count))
    flat = deviations.transpose(1, 2, 0).reshape(deviations.shape[1], -1)
    root = np.linalg.qr(flat)[1] if len(flat) > flat.shape[1] else flat
    return Unweighed(
        arms=model.arms,
        targets=tuple(target.name for target in model.targets),
        signs=tuple(target.sign for target in model.targets),
        names=model.columns.names,
        values=_shown(features, model),
        outcomes=model.outcomes(features)[0],
        baseline=baseline.T,
        contributions=own.transpose(1, 0, 2),
        root=root.reshape(len(root), len(model.arms), count),
    )


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
