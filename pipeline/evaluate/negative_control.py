"""Do modalities differ in something that no modality can have changed?

A quantity that was fixed before the decision is treated as if it were an outcome, and left out of the
adjustment for this purpose. Its doubly-robust difference between modalities should be 0; what is found
beyond chance is confounding that the other facts do not carry.

A second control is a run on shuffled outcomes: permuted within modality they hold no individual
differences, so that choosing by person must gain nothing over one best modality for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import norm
from sklearn.linear_model import Ridge

from pipeline.config import LearnerConfig
from pipeline.evaluate.contrasts import Z95, pair_contrast
from pipeline.evaluate.league import logged_of
from pipeline.evaluate.policies import best
from pipeline.learners import SMALL_CELL, Evidence, doubly_robust_scores
from pipeline.learners.design import Columns, fit_linear_design
from pipeline.learners.policy_value import paired, valued
from pipeline.learners.propensity import fit_propensity

Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

_RIDGE = 10.0
_FALSE_ALARM = 0.05


def negative_control(
    evidence: Evidence,
    features: pd.DataFrame,
    columns: Columns,
    arms: Sequence[str],
    names: Sequence[str],
    meanings: Mapping[str, str],
    settings: LearnerConfig,
    floor: float,
    residual_clip: float,
) -> dict[str, Any]:
    """Return doubly-robust differences of a quantity fixed before the decision, per pair of modalities.

    Parameters
    ----------
    evidence : Evidence of n rows
    features : DataFrame, the same rows
    columns : Columns
        What the propensity reads.
    arms : sequence of str
    names : sequence of str
        The quantity, then what is nearly the same and is left out of the adjustment with it.
    meanings : mapping of feature to words
    settings : LearnerConfig
        Of the propensity.
    floor, residual_clip : float
        As for doubly-robust scores; the quantity is standardised, so that both mean the same as elsewhere.

    Returns
    -------
    dict
        `outcome, meaning, left_out, people, pairs` (first, second, people, difference, se, low, high: 95 %
        intervals, in standard deviations; `raw` is the difference without adjustment), `largest_z`,
        `threshold` (of z, Bonferroni over pairs), `words`.
    """
    quantity = names[0] if names else ""
    if quantity not in features or quantity in columns.levels:
        return _nothing(quantity, "not recorded here as a number")
    values = features[quantity].to_numpy(dtype=float)
    known = ~np.isnan(values)
    counts = np.bincount(evidence.arm[known], minlength=len(arms))
    if counts.min() < 2 * SMALL_CELL or np.ptp(values[known]) == 0:
        return _nothing(quantity, "known too rarely, or the same for everybody")
    standard = (values[known] - values[known].mean()) / values[known].std()
    kept = [position for position, name in enumerate(columns.names) if name not in names]
    used = Columns(tuple(columns.names[k] for k in kept), {n: v for n, v in columns.levels.items() if n not in names})
    scores, possible = _scores(
        evidence, used, used.matrix(features)[known], standard, known, settings, floor, residual_clip
    )
    pairs = _pairs(scores, standard, evidence.arm[known], evidence.groups[known], possible, arms)
    largest = max((abs(pair["difference"]) / pair["se"] for pair in pairs if pair["se"] > 0), default=0.0)
    threshold = float(norm.isf(_FALSE_ALARM / 2 / max(len(pairs), 1)))
    meaning = meanings.get(quantity, quantity)
    verdict = (
        "The recorded facts carry its imbalance: no pair differs beyond chance."
        if largest <= threshold
        else "At least one pair differs beyond chance: some reason for the choice is not carried by the recorded facts."
    )
    return {
        "outcome": quantity,
        "meaning": meaning,
        "left_out": [name for name in names[1:] if name in columns.names],
        "people": int(known.sum()),
        "pairs": pairs,
        "largest_z": largest,
        "threshold": threshold,
        "words": f"No modality can have changed what came before it: {meaning}. {verdict}",
    }


def _nothing(quantity: str, reason: str) -> dict[str, Any]:
    words = f"Not applicable: {quantity or 'no quantity'} is {reason if quantity else 'configured'}."
    return {"outcome": quantity, "pairs": [], "largest_z": None, "threshold": None, "words": words}


def _scores(
    evidence: Evidence,
    columns: Columns,
    matrix: Array,
    values: Array,
    known: BoolArray,
    settings: LearnerConfig,
    floor: float,
    residual_clip: float,
) -> tuple[Array, BoolArray]:
    """Return cross-fitted doubly-robust scores of the quantity, shape (n, arms), and what was possible."""
    arm, fold = evidence.arm[known], evidence.fold.fold[known]
    possible = evidence.fold.propensity[known] > 0
    predicted, propensity = np.zeros(possible.shape), np.zeros(possible.shape)
    for number in np.unique(fold):
        inside, outside = fold != number, fold == number
        design = fit_linear_design(matrix[inside], columns)
        main = design.transform(matrix)
        for code in range(possible.shape[1]):
            own = inside & (arm == code)
            predicted[outside, code] = Ridge(alpha=_RIDGE).fit(main[own], values[own]).predict(main[outside])
        model = fit_propensity(matrix[inside], columns, arm[inside], ~possible[inside], settings)
        propensity[outside] = model.predict(matrix[outside], ~possible[outside])
    return doubly_robust_scores(predicted, values, arm, propensity, floor, residual_clip), possible


def _pairs(
    scores: Array,
    values: Array,
    arm: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64],
    possible: BoolArray,
    arms: Sequence[str],
) -> list[dict[str, Any]]:
    found = []
    for a, b in combinations(range(len(arms)), 2):
        contrast = pair_contrast(scores, a, b, groups, possible)
        if contrast is None or contrast.people < SMALL_CELL:
            continue
        low, high = contrast.interval(Z95)
        found.append(
            {
                "first": arms[a],
                "second": arms[b],
                "people": contrast.people,
                "difference": contrast.value,
                "se": contrast.error,
                "low": low,
                "high": high,
                "raw": float(values[arm == a].mean() - values[arm == b].mean()),
            }
        )
    return found


def shuffled_within(modality: pd.Series[str], outcomes: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the outcomes permuted among those given the same modality, whole rows at a time.

    Averages per modality, censoring and ties between outcomes stay; what a person's facts say of them goes.

    Parameters
    ----------
    modality : Series of str, one row per decision
    outcomes : DataFrame, the same rows
        Outcome columns only.
    seed : int
    """
    rng = np.random.default_rng(seed)
    order = np.arange(len(outcomes))
    given = modality.to_numpy(dtype=str)
    for name in np.unique(given):
        own = np.flatnonzero(given == name)
        order[own] = rng.permutation(own)
    return outcomes.iloc[order].set_axis(outcomes.index)


def shuffled_finding(evidence: Evidence, signed: Array, is_impossible: BoolArray, floor: float) -> dict[str, Any]:
    """Return what choosing by person gains over one best modality, learned from shuffled outcomes.

    Parameters
    ----------
    evidence : Evidence of n rows
        Of an estimator fitted on shuffled outcomes.
    signed : array (targets,)
        Signed utility weights over their total; burden is left out, since it differs between people in truth.
    is_impossible : bool array (n, arms)
    floor : float
        Smallest propensity used in a weight.

    Returns
    -------
    dict
        `gain, se, words`.
    """
    fold = evidence.fold.fold
    averages = np.zeros_like(evidence.scores)
    logged = logged_of(evidence, averages, signed, floor)
    for number in np.unique(fold):
        averages[fold == number] = evidence.scores[fold != number].mean(axis=0)
    one, own = (valued(best(values, is_impossible), logged).values for values in (averages, evidence.utility))
    gain = paired(own, one, evidence.groups)
    is_nothing = abs(gain.difference) <= 2 * gain.se
    verdict = "as it should be" if is_nothing else "beyond two standard errors, which points to a leak or a bias"
    return {
        "gain": gain.difference,
        "se": gain.se,
        "words": f"With outcomes shuffled within each modality, choosing by person gains {gain.difference:+.4f} "
        f"(standard error {gain.se:.4f}) over one best modality: {verdict}.",
    }
