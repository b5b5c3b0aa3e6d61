"""How far should each teacher, and the individual part of their word, be believed?

Doubly-robust scores weigh the teachers, shrink the heterogeneity and evaluate policies.
They are never the last stage of a learner (docs/ranking.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from pipeline.learners.targets import Target

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def doubly_robust_scores(
    predicted: Array, observed: Array, arm: IntArray, propensity: Array, floor: float, residual_clip: float
) -> Array:
    """Return doubly-robust scores of every arm, shape (n, arms).

    Parameters
    ----------
    predicted : array (n, arms)
        Cross-fitted utility of every arm.
    observed : array (n,)
        Utility seen under the arm given, or its conditional expectation where censored.
    arm : array (n,) of int
    propensity : array (n, arms)
    floor, residual_clip : float
        Smallest propensity and largest residual used.

    Notes
    -----
    psi_a = m_a + 1(A = a) / max(e_a, floor) * clip(y - m_a, -clip, clip), with `m` the cross-fitted
    mean prediction and `y` the observed utility or, where censored, its conditional expectation.
    """
    rows = np.arange(len(arm))
    residual = np.clip(observed - predicted[rows, arm], -residual_clip, residual_clip)
    scores = predicted.copy()
    scores[rows, arm] += residual / np.maximum(propensity[rows, arm], floor)
    return scores


def centred(values: Array) -> Array:
    """Return values less their mean over arms, shape (n, arms)."""
    return np.asarray(values - values.mean(axis=1, keepdims=True))


def stack_weights(teachers: Mapping[str, Array], scores: Array) -> dict[str, float]:
    """Return teacher weights: non-negative least squares of centred scores on centred predictions, normalised.

    All zero gives equal weights.
    """
    names = list(teachers)
    design = np.column_stack([centred(teachers[name]).ravel() for name in names])
    found, _ = nnls(design, centred(scores).ravel())
    if found.sum() <= 0:
        return {name: 1.0 / len(names) for name in names}
    return {name: float(value / found.sum()) for name, value in zip(names, found, strict=True)}


@dataclass(frozen=True)
class Shrinkage:
    """How much of the predicted heterogeneity the data support.

    Attributes
    ----------
    slope, standard_error : float
        Of the doubly-robust contrast on the predicted individual part; clustered by patient.
    factor : float
        The slope clipped to [0, 1]; multiplies the individual part of each contrast.
    """

    slope: float
    standard_error: float
    factor: float

    @property
    def words(self) -> str:
        """The finding in one sentence."""
        if self.factor == 0.0:
            return "Arm averages are shown: the data do not support individual differences."
        kept = f"{100 * self.factor:.0f} % of the predicted individual differences are kept"
        slope = f"doubly-robust slope {self.slope:.2f}, standard error {self.standard_error:.2f}"
        if self.slope < 2 * self.standard_error:
            return f"{kept}, but weakly supported ({slope})."
        return f"{kept} ({slope})."


def shrinkage(utility: Array, scores: Array, groups: IntArray) -> Shrinkage:
    """Return the slope of doubly-robust contrasts on predicted heterogeneity, with clustered standard error."""
    individual = centred(utility) - centred(utility).mean(axis=0)
    target = centred(scores) - centred(scores).mean(axis=0)
    spread = float(np.sum(individual**2))
    if spread < 1e-12:
        return Shrinkage(slope=0.0, standard_error=float("inf"), factor=0.0)
    slope = float(np.sum(individual * target) / spread)
    moments = np.sum(individual * (target - slope * individual), axis=1)
    _, codes = np.unique(groups, return_inverse=True)
    error = float(np.sqrt(np.sum(np.bincount(codes, weights=moments) ** 2)) / spread)
    return Shrinkage(slope=slope, standard_error=error, factor=float(np.clip(slope, 0.0, 1.0)))


@dataclass(frozen=True)
class Kinds:
    """Which outcomes have a prognosis that all arms share, and which are declared constants.

    Attributes
    ----------
    has_prognosis : bool array (targets,)
        False for time off treatment, which only time-limited arms have: it is all contrast.
    is_estimated : bool array (arms, targets)
        False where the outcome is the declared constant 0.
    """

    has_prognosis: npt.NDArray[np.bool_]
    is_estimated: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, targets: Sequence[Target], time_limited: Sequence[bool]) -> Kinds:
        """Return the kinds of some targets for some arms."""
        shared = np.array([target.kind != "free_share" for target in targets], dtype=bool)
        return cls(has_prognosis=shared, is_estimated=shared[None, :] | np.array(time_limited, dtype=bool)[:, None])

    def prognosis(self, values: Array) -> Array:
        """Return what all arms share, shape (n, 1, targets): the mean over arms, or 0."""
        return np.asarray(np.where(self.has_prognosis, values.mean(axis=1, keepdims=True), 0.0))


@dataclass(frozen=True)
class ArmAverages:
    """Doubly-robust mean contrast of each arm, and how far to move to it from the teachers' own mean.

    Attributes
    ----------
    contrast : array (arms, targets)
        Mean over people of the doubly-robust scores less their prognosis.
    trust : array (arms,)
        1 - (standard error / difference)^2, not below 0: the positive-part James-Stein weight, on utility.
    """

    contrast: Array
    trust: Array


def arm_averages(
    predicted: Array, observed: Array, arm: IntArray, propensity: Array, signed: Array, floor: float, kinds: Kinds
) -> ArmAverages:
    """Return doubly-robust arm averages of every outcome and the weight of each arm.

    Parameters
    ----------
    predicted : array (n, arms, targets)
        Cross-fitted outcome vectors.
    observed : array (n, targets)
    arm : array (n,)
    propensity : array (n, arms)
    signed : array (targets,)
        Signed utility weights; one weight per arm serves every outcome, so that linearity holds.
    floor : float
        Smallest propensity used.
    kinds : Kinds
        Declared constants are neither corrected nor counted.
    """
    rows = np.arange(len(arm))
    residual = np.where(kinds.is_estimated[arm], observed - predicted[rows, arm], 0.0)
    correction = np.zeros_like(predicted)
    correction[rows, arm] = residual / np.maximum(propensity[rows, arm], floor)[:, None]
    contrast = correction - kinds.prognosis(correction)
    utility = centred(contrast @ signed)
    difference = utility.mean(axis=0)
    variance = utility.var(axis=0) / len(utility)
    trust = np.clip(1.0 - variance / np.maximum(difference**2, 1e-12), 0.0, 1.0)
    plain = (predicted - kinds.prognosis(predicted)).mean(axis=0)
    return ArmAverages(contrast=plain + contrast.mean(axis=0), trust=trust)


@dataclass(frozen=True)
class Blend:
    """Turns the teachers' outcome vectors into one.

    Attributes
    ----------
    weights : mapping of teacher to float
    centre : array (arms, targets)
        Mean contrast of each arm as the teachers have it.
    average : array (arms, targets)
        Mean contrast of each arm as it is used.
    factor : float
        Share of the individual contrast that is kept.
    level : array (targets, 2)
        Intercept and slope of the recalibrated prognosis.
    kinds : Kinds
    """

    weights: Mapping[str, float]
    centre: Array
    average: Array
    factor: float
    level: Array
    kinds: Kinds

    def apply(self, teachers: Mapping[str, Array]) -> Array:
        """Return the blended outcome vector, shape (n, arms, targets); declared constants are exactly 0."""
        values = stacked(teachers, self.weights)
        prognosis = self.kinds.prognosis(values)
        contrast = self.average + self.factor * (values - prognosis - self.centre)
        blended = self.level[:, 0] + self.level[:, 1] * prognosis + contrast
        return np.asarray(np.where(self.kinds.is_estimated, blended, 0.0))


def stacked(teachers: Mapping[str, Array], weights: Mapping[str, float]) -> Array:
    """Return the weighted mean of the teachers' outcome vectors, shape (n, arms, targets)."""
    return np.asarray(sum(weight * teachers[name] for name, weight in weights.items()), dtype=float)


def blend(
    teachers: Mapping[str, Array],
    weights: Mapping[str, float],
    averages: ArmAverages,
    factor: float,
    level: Array,
    kinds: Kinds,
) -> Blend:
    """Return the blend of these predictions, its arm averages moved towards the doubly-robust ones."""
    values = stacked(teachers, weights)
    centre = (values - kinds.prognosis(values)).mean(axis=0)
    average = centre + averages.trust[:, None] * (averages.contrast - centre)
    return Blend(weights=dict(weights), centre=centre, average=average, factor=factor, level=level, kinds=kinds)


def recalibrated_level(values: Array, observed: Array, arm: IntArray, kinds: Kinds) -> Array:
    """Return intercept and slope of the prognosis per target, shape (targets, 2), from out-of-fold predictions.

    One pooled linear map per outcome that has a prognosis, fitted on the level only, so that contrasts are untouched.
    """
    rows = np.arange(len(arm))
    prognosis = values.mean(axis=1)
    contrast = values[rows, arm] - prognosis
    level = np.tile([0.0, 1.0], (values.shape[2], 1))
    for target in np.flatnonzero(kinds.has_prognosis):
        x, y = prognosis[:, target], observed[:, target] - contrast[:, target]
        variance = float(np.var(x))
        slope = float(np.clip(np.cov(x, y, bias=True)[0, 1] / variance, 0.5, 1.5)) if variance > 1e-10 else 1.0
        level[target] = (float(y.mean() - slope * x.mean()), slope)
    return level
