"""Does the model tell people apart better than the two facts everyone has?

Concordance of out-of-fold predictions under the modality given, all modalities together, beside
a hazard model of ISS stage and number of prior lines alone, cross-fitted on the same folds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.evaluate.censoring import Concordance, concordance, followed
from pipeline.learners import Evidence, Target
from pipeline.learners.design import columns_of
from pipeline.learners.linear_hazard import fit_linear_hazard
from pipeline.learners.targets import event_free

Array = npt.NDArray[np.float64]

BASELINE = ("iss", "n_prior_lines")
_ALPHA = 0.001


def discrimination(evidence: Evidence, features: pd.DataFrame, targets: Sequence[Target]) -> list[dict[str, Any]]:
    """Return one row per timed outcome: C-index of the model and of the baseline, each with a 90 % interval.

    Parameters
    ----------
    evidence : Evidence of n rows
    features : DataFrame, the same rows
    targets : sequence of Target

    Returns
    -------
    list of dict
        `outcome, n, events, model, model_low, model_high, baseline, baseline_low, baseline_high`; None where
        there is nothing to compare, or the source has neither baseline fact.
    """
    known = [name for name in BASELINE if name in features and features[name].notna().any()]
    table = []
    for k, target in enumerate(targets):
        if target.kind == "free_share":
            continue
        seen, horizon = followed(evidence, k, target), target.horizon_months
        own = concordance(seen.months, seen.event, seen.risk, horizon, evidence.groups)
        simple = _baseline_risk(evidence, features, target, known) if known else None
        other = None if simple is None else concordance(seen.months, seen.event, simple, horizon, evidence.groups)
        row = {"outcome": target.name, "n": len(evidence.arm), "events": int(seen.is_bad.sum())}
        row |= {"baseline_features": list(known)}
        table.append(row | _ends("model", own) | _ends("baseline", other))
    return table


def _ends(name: str, found: Concordance | None) -> dict[str, float | None]:
    return {
        name: None if found is None else found.value,
        f"{name}_low": None if found is None else found.low,
        f"{name}_high": None if found is None else found.high,
    }


def _baseline_risk(evidence: Evidence, features: pd.DataFrame, target: Target, names: Sequence[str]) -> Array | None:
    """Return cross-fitted risk by the baseline facts alone, shape (n,)."""
    columns = columns_of(features, names)
    matrix = columns.matrix(features)
    months, event = evidence.follow_up.months[target.name], evidence.follow_up.event[target.name]
    one_arm = np.zeros(len(matrix), dtype=np.int64)
    risk = np.zeros(len(matrix))
    for number in np.unique(evidence.fold.fold):
        inside = evidence.fold.fold != number
        if not np.any(event[inside] == 1):
            return None
        fitted = fit_linear_hazard(
            matrix[inside],
            columns,
            (),
            one_arm[inside],
            1,
            months[inside],
            event[inside],
            1,
            target.intervals,
            evidence.groups[inside],
            (_ALPHA,),
        )
        risk[~inside] = 1.0 - event_free({1: fitted.hazard(matrix[~inside])[:, 0]})[:, -1]
    return risk
