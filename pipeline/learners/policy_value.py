"""What would following a policy have been worth, and do the data support an answer at all?

Two estimators stand side by side: switch doubly-robust scores, and self-normalised inverse propensity
weighting. Both are means of one number per row, so that policies are compared pair by pair with
patient-clustered standard errors. Where the chosen actions lack support there is no value.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.learners.design import SMALL_CELL

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

TAU = 5.0
"""Largest inverse propensity that a doubly-robust score may use."""

SMALLEST_SAMPLE = 30.0
"""Smallest effective sample size of each arm chosen."""

LARGEST_WEIGHT = 0.05
"""Largest share of all weights that one row may hold."""

LARGEST_UNSUPPORTED = 0.05
"""Largest share of people whose chosen arm may have a propensity under the floor."""

MASS = (0.9, 1.1)
"""Where the mean of 1(A = policy) / e may lie."""

Z90 = 1.645
"""Half the width of a 90 % interval, in standard errors."""

_RARELY_CHOSEN = 0.05


def switch_scores(utility_model: Array, observed: Array, arm: IntArray, propensity: Array, tau: float = TAU) -> Array:
    """Return switch doubly-robust scores of every arm, shape (n, arms).

    Parameters
    ----------
    utility_model : array (n, arms)
        Cross-fitted utility of every arm.
    observed : array (n,)
        Utility seen under the arm given, or its conditional expectation where censored.
    arm : array (n,) of int
    propensity : array (n, arms)
    tau : float
        Infinite: plain doubly-robust scores.

    Notes
    -----
    psi_a = m_a + 1(A = a) 1(1 / e_a <= tau) (y - m_a) / e_a: the outcome model alone where the weight would
    exceed tau (SWITCH-DR of Wang, Agarwal and Dudik, ICML 2017, with the switch on 1 / e, so that the scores
    are the same for every policy; for a policy that is not random this is their weight ratio).
    """
    rows = np.arange(len(arm))
    own = propensity[rows, arm]
    weight = np.where(own * tau >= 1.0, 1.0 / np.maximum(own, 1e-12), 0.0)
    scores = utility_model.copy()
    scores[rows, arm] += weight * (observed - utility_model[rows, arm])
    return scores


def clustered_error(values: Array, groups: IntArray) -> float:
    """Return the standard error of a mean of values that are correlated within patients."""
    _, codes = np.unique(groups, return_inverse=True)
    sums = np.bincount(codes, weights=values - values.mean())
    return float(np.sqrt(np.sum(sums**2)) / len(values))


@dataclass(frozen=True)
class Paired:
    """A mean difference of two policies on the same rows, and its clustered standard error."""

    difference: float
    se: float


def paired(values: Array, others: Array, groups: IntArray) -> Paired:
    """Return the mean difference of two policies' numbers per row, shape (n,) each."""
    gap = values - others
    return Paired(float(gap.mean()), clustered_error(gap, groups))


@dataclass(frozen=True)
class Logged:
    """What was recorded of n rows, and what the nuisance models make of it.

    Attributes
    ----------
    utility_model : array (n, arms)
        Cross-fitted utility of every arm.
    observed : array (n,)
    arm, groups : arrays (n,) of int
    propensity : array (n, arms)
    floor, tau : float
        Smallest propensity used in a weight; largest inverse propensity of a doubly-robust score.
    is_lacking : bool array (n, arms) or None
        Who was practically never given the arm; None: those with a propensity under the floor.
    """

    utility_model: Array
    observed: Array
    arm: IntArray
    groups: IntArray
    propensity: Array
    floor: float
    tau: float = TAU
    is_lacking: BoolArray | None = None

    @property
    def scores(self) -> Array:
        """Switch doubly-robust scores, shape (n, arms)."""
        return switch_scores(self.utility_model, self.observed, self.arm, self.propensity, self.tau)


@dataclass(frozen=True)
class Valued:
    """A policy, row by row; both estimators are the mean of their column.

    Attributes
    ----------
    values : array (n,)
        Switch doubly-robust scores of what the policy chooses; what was seen where it leaves things as they were.
    normalised : array (n,)
        Of the self-normalised estimator (linearised).
    weights : array (n,)
        chance of the arm given / max(e, floor); 1 where things are left as they were.
    clipped : int
        Rows that count and whose propensity was below the floor.
    modelled : float
        Share of the policy's choices valued by the outcome model alone.
    unsupported : array (arms,)
        Share of people who would get the arm although it was practically never given to people like them.
    chosen : array (arms,)
        Share of choices per arm.
    """

    values: Array
    normalised: Array
    weights: Array
    clipped: int
    modelled: float
    unsupported: Array
    chosen: Array


def valued(chance: Array, logged: Logged, is_kept: BoolArray | None = None) -> Valued:
    """Return a policy's numbers per row.

    Parameters
    ----------
    chance : array (n, arms)
        Probability with which the policy gives each arm; one-hot where it is not random.
    logged : Logged
    is_kept : bool array (n,) or None
        False where the policy leaves the choice as it was made; None: it decides everywhere.

    Returns
    -------
    Valued

    Notes
    -----
    Self-normalised: v = sum w y / sum w (Swaminathan and Joachims, NeurIPS 2015); its row is
    v + w (y - v) / mean(w), the linearisation of the ratio, whose mean is v.
    """
    rows = np.arange(len(logged.arm))
    kept = np.ones(len(rows), dtype=bool) if is_kept is None else is_kept
    own = logged.propensity[rows, logged.arm]
    taken = chance[rows, logged.arm]
    weights = np.where(kept, taken / np.maximum(own, logged.floor), 1.0)
    total = float(weights.mean())
    ratio = float((weights * logged.observed).mean() / total) if total > 0 else float("nan")
    with np.errstate(invalid="ignore"):
        normalised = ratio + weights * (logged.observed - ratio) / total if total > 0 else np.full(len(rows), np.nan)
    decided = chance * kept[:, None]
    lacking = logged.propensity < logged.floor if logged.is_lacking is None else logged.is_lacking
    return Valued(
        values=np.where(kept, np.sum(chance * logged.scores, axis=1), logged.observed),
        normalised=np.asarray(normalised),
        weights=weights,
        clipped=int(np.sum(kept & (taken > 0) & (own < logged.floor))),
        modelled=float(np.sum(decided * (logged.propensity * logged.tau < 1.0)) / len(rows)),
        unsupported=np.mean(decided * lacking, axis=0),
        chosen=decided.mean(axis=0),
    )


def effective_sample_size(weights: Array) -> float:
    """Return (sum w)^2 / sum w^2, 0 without weights."""
    squares = float(np.sum(weights**2))
    return float(weights.sum() ** 2 / squares) if squares > 0 else 0.0


@dataclass(frozen=True)
class Support:
    """Whether the chosen actions have support.

    Attributes
    ----------
    effective_sample_size : float
        The smallest over arms chosen for at least 5 % of people, of rows given what the policy chooses.
    thinnest : int or None
        That arm.
    largest_weight_share : float
        Of the total weight.
    mass : float
        Mean of 1(A = policy) / e.
    """

    effective_sample_size: float
    thinnest: int | None
    largest_weight_share: float
    mass: float


def support(found: Valued, arm: IntArray) -> Support:
    """Return what the policy's weights rest on; arms chosen for under 5 % of people are not judged alone."""
    sizes = {
        code: effective_sample_size(found.weights[arm == code])
        for code in np.flatnonzero(found.chosen >= _RARELY_CHOSEN)
    }
    thinnest = min(sizes, key=lambda code: sizes[code], default=None)
    total = float(found.weights.sum())
    return Support(
        effective_sample_size=effective_sample_size(found.weights) if thinnest is None else sizes[thinnest],
        thinnest=None if thinnest is None else int(thinnest),
        largest_weight_share=float(found.weights.max() / total) if total > 0 else 1.0,
        mass=float(found.weights.mean()),
    )


def veto(found: Valued, rests_on: Support, name: str = "an arm") -> str | None:
    """Return why the policy has no value, or None; `name` is how the thinnest arm is called."""
    lacking, size = float(found.unsupported.sum()), rests_on.effective_sample_size
    if lacking > LARGEST_UNSUPPORTED:
        few = round(lacking * len(found.weights)) < SMALL_CELL
        share = "A few" if few else f"{100 * lacking:.0f} % of"
        return f"{share} people would be given what was practically never given to people like them"
    if size < SMALLEST_SAMPLE:
        told = f"under {SMALL_CELL}" if size < SMALL_CELL else f"{size:.0f}"
        return (
            f"{name} rests on an effective sample of {told} people who were given what the policy chooses, "
            f"wanted {SMALLEST_SAMPLE:.0f}"
        )
    if rests_on.largest_weight_share > LARGEST_WEIGHT:
        return f"one person holds {100 * rests_on.largest_weight_share:.0f} % of the total weight"
    return None


def disagree(found: Valued, rests_on: Support, groups: IntArray) -> bool:
    """Return whether the estimators differ by two standard errors of their paired difference, or mass leaves 0.9-1.1.

    Parameters
    ----------
    found : Valued
    rests_on : Support
    groups : array (n,) of int
    """
    gap = paired(found.values, found.normalised, groups)
    apart = not abs(gap.difference) <= 2 * gap.se + 1e-12
    return bool(apart or not MASS[0] <= rests_on.mass <= MASS[1])


@dataclass(frozen=True)
class PolicyValue:
    """What following a policy would have been worth.

    Attributes
    ----------
    value, se, low, high : float or None
        Switch doubly-robust estimate and 90 % interval; None where vetoed.
    difference, difference_se : float or None
        Paired, against what was observed under the choices made.
    snipw, snipw_se : float or None
        Self-normalised inverse propensity weighting.
    mass, effective_sample_size, largest_weight_share : float
    clipped : int
    modelled_share : float
        Share of choices valued by the outcome model alone (1 / e above tau).
    vetoed : str or None
        Why there is no value.
    disagree : bool
        The two estimators differ by two standard errors, or mass leaves 0.9 to 1.1.
    """

    value: float | None
    se: float | None
    low: float | None
    high: float | None
    difference: float | None
    difference_se: float | None
    snipw: float | None
    snipw_se: float | None
    mass: float
    effective_sample_size: float
    largest_weight_share: float
    clipped: int
    modelled_share: float
    vetoed: str | None
    disagree: bool


def summary(found: Valued, logged: Logged, name: str = "an arm", rests_on: Support | None = None) -> PolicyValue:
    """Return the estimates of a policy from its rows.

    `name` is how what has least support is called; `rests_on` is what the veto judges, by default each arm chosen.
    """
    rests_on = support(found, logged.arm) if rests_on is None else rests_on
    reason = veto(found, rests_on, name)
    value, error = float(found.values.mean()), clustered_error(found.values, logged.groups)
    ahead = paired(found.values, logged.observed, logged.groups)

    def told(number: float) -> float | None:
        return number if reason is None else None

    return PolicyValue(
        value=told(value),
        se=told(error),
        low=told(value - Z90 * error),
        high=told(value + Z90 * error),
        difference=told(ahead.difference),
        difference_se=told(ahead.se),
        snipw=told(float(found.normalised.mean())),
        snipw_se=told(clustered_error(found.normalised, logged.groups)),
        mass=rests_on.mass,
        effective_sample_size=rests_on.effective_sample_size,
        largest_weight_share=rests_on.largest_weight_share,
        clipped=found.clipped,
        modelled_share=found.modelled,
        vetoed=reason,
        disagree=disagree(found, rests_on, logged.groups),
    )


def policy_value(
    chance: Array,
    utility_model: Array,
    observed: Array,
    arm: IntArray,
    propensity: Array,
    groups: IntArray,
    floor: float,
    tau: float = TAU,
) -> PolicyValue:
    """Return what following a policy would have been worth, from arrays alone.

    Parameters
    ----------
    chance : array (n, arms)
        Probability with which the policy gives each arm; one-hot where it is not random.
    utility_model : array (n, arms)
        Utility of every arm, from models that have not seen the row.
    observed : array (n,)
        Utility under the arm given.
    arm : array (n,) of int
    propensity : array (n, arms)
    groups : array (n,) of int
        Patient of each row.
    floor : float
        Smallest propensity used in a weight.
    tau : float
        Where 1 / e exceeds it, the outcome model alone.

    Returns
    -------
    PolicyValue

    Raises
    ------
    ValueError
        If the shapes do not fit, or a row's chances do not add up to 1.
    """
    shape = (len(arm), chance.shape[-1])
    wrong = [
        f"{name} has shape {array.shape}, wanted {wanted}"
        for name, array, wanted in (
            ("chance", chance, shape),
            ("utility_model", utility_model, shape),
            ("propensity", propensity, shape),
            ("observed", observed, shape[:1]),
            ("groups", groups, shape[:1]),
        )
        if array.shape != wanted
    ]
    if wrong:
        raise ValueError("policy_value: " + "; ".join(wrong))
    off = int(np.sum(np.abs(chance.sum(axis=1) - 1.0) > 1e-6))
    if off:
        raise ValueError(f"policy_value: chances of {off} of {shape[0]} row(s) do not add up to 1")
    logged = Logged(utility_model, observed, arm, groups, propensity, floor, tau)
    return summary(valued(chance, logged), logged)
