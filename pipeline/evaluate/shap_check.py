"""Are the explanations what another implementation of TreeSHAP gives?

The model looks them up in tables of its trees; shap's own algorithm recomputes them on a sample. Left to itself
`shap.TreeExplainer` hands LightGBM models to LightGBM's `pred_contrib`, so its own tree walk is
asked for by name. shap reads the first category as half a bit; codes are moved up by one for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.explain import ADDITIVITY_TOLERANCE
from pipeline.learners import SuitabilityModel

Array = npt.NDArray[np.float64]

_ROWS = 40
_OWN_TREES = "internal"
_CATEGORICAL = 1


def shap_check(model: SuitabilityModel, features: pd.DataFrame, signed: Array) -> dict[str, Any]:
    """Return the largest difference between the model's explanations and shap's, on an even sample of rows.

    Parameters
    ----------
    model : SuitabilityModel
    features : DataFrame, one row per decision
        Of which 40 are taken.
    signed : array (targets,)
        Signed utility weights over their total.

    Returns
    -------
    dict
        `rows, parts, contributions` (how many were compared), `largest_difference` (of suitability; None without
        rows), `tolerance, words`.
    """
    even = np.linspace(0, len(features) - 1, min(len(features), _ROWS)).round().astype(np.intp)
    if not len(even):
        return {"rows": 0, "largest_difference": None, "tolerance": ADDITIVITY_TOLERANCE, "words": "No row to check."}
    matrix = model.columns.matrix(features.iloc[even])
    baseline, contributions = model.students.contributions(matrix, np.repeat(signed[None], len(even), axis=0))
    wanted_baseline, wanted = recomputed(model, matrix, signed)
    largest = max(float(np.abs(contributions - wanted).max()), float(np.abs(baseline - wanted_baseline).max()))
    return {
        "rows": len(even),
        "parts": len(model.students.parts),
        "contributions": int(contributions.size),
        "largest_difference": largest,
        "tolerance": ADDITIVITY_TOLERANCE,
        "words": f"{contributions.size:,} contributions of {len(even)} decisions, looked up in tables of the model's "
        "trees and computed again by the shap library's own tree walk: "
        f"largest difference {largest:.1e} of suitability.",
    }


def recomputed(model: SuitabilityModel, matrix: Array, signed: Array) -> tuple[Array, Array]:
    """Return baseline (n, arms) and contributions (n, arms, columns) of the weighted outcome, by shap's tree walk."""
    from shap import TreeExplainer

    students, moved = model.students, matrix.copy()
    moved[:, list(model.columns.categorical)] += 1
    total = np.zeros((len(matrix), len(model.arms), matrix.shape[1]))
    baseline = np.repeat((students.constants @ signed)[None], len(matrix), axis=0)
    for part in students.parts:
        explainer = TreeExplainer(part.booster)
        explainer.model.model_type = _OWN_TREES
        explainer.model.thresholds[explainer.model.threshold_types == _CATEGORICAL] *= 2
        loadings = signed[students.targets.index(part.target)] * np.asarray(part.loadings)
        values = np.asarray(explainer.shap_values(moved, check_additivity=False))
        total += values[:, None, :] * loadings[None, :, None]
        baseline += float(np.ravel(explainer.expected_value)[0]) * loadings[None, :]
    return baseline, total
