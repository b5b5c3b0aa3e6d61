"""Teacher P: how do hazards move linearly with the facts, and which declared facts change the contrast?

A ridge piecewise-exponential model: log hazard = interval + arm + facts + arm x declared modifiers,
fitted by Poisson regression on person-period rows with log-exposure offset (as weights on the rate).
Letting every fact interact with the arm costs as much as a third of the data (docs/ranking.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from sklearn.linear_model import PoissonRegressor
from sklearn.model_selection import GroupKFold

from pipeline.learners.design import Columns, LinearDesign, fit_linear_design
from pipeline.learners.targets import event_interval, exposure

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_FREE = 3.0
"""Interval and arm terms are scaled up, so that the ridge hardly touches them."""
_MODIFYING = 2.0
"""Arm x modifier terms too, less so: at 1 contrasts came out 1.45 times too small (docs/decisions.md)."""
_HIGHEST_LOG_HAZARD = 1.5
_LOWEST_RATE = 1e-5


@dataclass(frozen=True)
class LinearHazard:
    """One fitted cause-specific hazard.

    Attributes
    ----------
    design : LinearDesign
        Main effects.
    modifiers : tuple of int
        Columns of the design that interact with the arm.
    arms, intervals : int
    intercept : float
    coefficients : array (n_terms,)
        Order: intervals, arms, main effects, then modifiers of each arm.
    root : array (n_terms + 1, n_terms + 1)
        Lower Cholesky factor of the posterior precision, intercept first.
    alpha : float
        Ridge strength that cross-validation chose.
    """

    design: LinearDesign
    modifiers: tuple[int, ...]
    arms: int
    intervals: int
    intercept: float
    coefficients: Array
    root: Array
    alpha: float

    def log_hazards(self, matrix: Array, coefficients: Array, intercepts: Array) -> Iterator[Array]:
        """Yield log monthly hazards, shape (n, arms, intervals), for each row of coefficients and its intercept."""
        main = self.design.transform(matrix)
        interacting = _MODIFYING * main[:, list(self.modifiers)]
        j, a, m = self.intervals, self.arms, main.shape[1]
        for weights, start in zip(coefficients, intercepts, strict=True):
            by_interval, by_arm = _FREE * weights[:j], _FREE * weights[j : j + a]
            shared = main @ weights[j + a : j + a + m]
            own = interacting @ weights[j + a + m :].reshape(a, len(self.modifiers)).T
            eta = start + shared[:, None] + own + by_arm[None, :]
            yield np.minimum(eta[:, :, None] + by_interval[None, None, :], _HIGHEST_LOG_HAZARD)

    def hazard(self, matrix: Array) -> Array:
        """Return monthly hazards, shape (n, arms, intervals)."""
        (found,) = self.log_hazards(matrix, self.coefficients[None], np.array([self.intercept]))
        return np.asarray(np.exp(found))

    def draw(self, rng: np.random.Generator, draws: int) -> tuple[Array, Array]:
        """Return posterior draws: intercepts (draws,) and coefficients (draws, n_terms)."""
        noise = rng.standard_normal((len(self.root), draws))
        steps = solve_triangular(self.root, noise, lower=True, trans="T")
        centre = np.concatenate([[self.intercept], self.coefficients])
        drawn = centre[:, None] + steps
        return drawn[0], drawn[1:].T


@dataclass(frozen=True)
class _Rows:
    design: Array
    rate: Array
    weight: Array
    owner: npt.NDArray[np.intp]


def _person_period(
    main: Array, modifiers: Sequence[int], arm: IntArray, arms: int, months: Array, event: IntArray, cause: int, j: int
) -> _Rows:
    at_risk = exposure(months, j)
    died = event_interval(months, event, cause, j)
    owner, interval = np.nonzero(at_risk > 0)
    weight = at_risk[owner, interval]
    interacting = _MODIFYING * main[:, list(modifiers)]
    own = np.zeros((len(main), arms * len(modifiers)))
    for code in range(arms):
        rows = arm == code
        own[rows, code * len(modifiers) : (code + 1) * len(modifiers)] = interacting[rows]
    design = np.concatenate(
        [_FREE * np.eye(j)[interval], _FREE * np.eye(arms)[arm[owner]], main[owner], own[owner]], axis=1
    )
    rate = died[owner, interval] / weight
    return _Rows(design=design, rate=rate if rate.any() else rate + _LOWEST_RATE, weight=weight, owner=owner)


def _fit(rows: _Rows, *alphas: float) -> Iterator[PoissonRegressor]:
    """Yield the same estimator, fitted with each ridge strength in turn, starting from where the last one ended."""
    model = PoissonRegressor(solver="newton-cholesky", max_iter=100, tol=1e-6, warm_start=True)
    for alpha in alphas:
        yield model.set_params(alpha=alpha).fit(rows.design, rows.rate, sample_weight=rows.weight)


def _best_alpha(rows: _Rows, groups: IntArray, alphas: Sequence[float]) -> float:
    """Return the ridge strength with the least held-out Poisson deviance over three patient-grouped folds."""
    owner_groups = groups[rows.owner]
    if len(alphas) == 1 or len(np.unique(owner_groups)) < 3:
        return float(alphas[len(alphas) // 2])
    losses = np.zeros(len(alphas))
    for inside, outside in GroupKFold(n_splits=3).split(rows.design, groups=owner_groups):
        if not np.any(rows.rate[inside] > 0):
            return float(max(alphas))
        fitted_on = _Rows(rows.design[inside], rows.rate[inside], rows.weight[inside], rows.owner[inside])
        for k, model in enumerate(_fit(fitted_on, *alphas)):
            expected = np.clip(model.predict(rows.design[outside]), 1e-9, None)
            rate, weight = rows.rate[outside], rows.weight[outside]
            losses[k] += float(np.sum(weight * (expected - rate * np.log(expected))))
    return float(alphas[int(np.argmin(losses))])


def fit_linear_hazard(
    matrix: Array,
    columns: Columns,
    modifiers: Sequence[str],
    arm: IntArray,
    arms: int,
    months: Array,
    event: IntArray,
    cause: int,
    intervals: int,
    groups: IntArray,
    alphas: Sequence[float],
) -> LinearHazard:
    """Fit one cause-specific hazard.

    Parameters
    ----------
    matrix : array (n, n_columns)
    columns : Columns
    modifiers : sequence of str
        Declared effect modifiers; those that are not numeric columns of the design are left out.
    arm : array (n,) of int
        Position of the modality given.
    arms, intervals : int
    months, event : arrays (n,)
        Time (months) and event code.
    cause : int
        Event code whose hazard is fitted.
    groups : array (n,) of int
        Patient of each row.
    alphas : sequence of float
        Candidate ridge strengths, chosen by patient-grouped cross-validation.

    Returns
    -------
    LinearHazard
    """
    design = fit_linear_design(matrix, columns)
    main = design.transform(matrix)
    wanted = {columns.names.index(name) for name in modifiers if name in columns.names}
    interacting = tuple(k for k, column in enumerate(design.numeric) if column in wanted)
    rows = _person_period(main, interacting, arm, arms, months, event, cause, intervals)
    alpha = _best_alpha(rows, groups, alphas)
    (fitted,) = _fit(rows, alpha)
    expected = fitted.predict(rows.design) * rows.weight
    terms = np.concatenate([np.ones((len(rows.design), 1)), rows.design], axis=1)
    precision = terms.T @ (terms * expected[:, None])
    ridge = np.full(len(precision), float(np.sum(rows.weight)) * alpha)
    ridge[0] = 1e-6
    root = np.linalg.cholesky(precision + np.diag(ridge))
    return LinearHazard(
        design=design,
        modifiers=interacting,
        arms=arms,
        intervals=intervals,
        intercept=float(fitted.intercept_),
        coefficients=np.asarray(fitted.coef_, dtype=float),
        root=root,
        alpha=alpha,
    )


def ridge_shares(main: Array, quarter_values: Array, strength: float = 50.0) -> tuple[Array, Array]:
    """Return intercepts (4,) and slopes (4, n_terms) of ridge regressions of each quarter's off-treatment share."""
    intercepts, slopes = np.zeros(quarter_values.shape[1]), np.zeros((quarter_values.shape[1], main.shape[1]))
    for quarter in range(quarter_values.shape[1]):
        seen = ~np.isnan(quarter_values[:, quarter])
        if not seen.any():
            continue
        share = quarter_values[seen, quarter]
        rows = main[seen]
        centre = rows.mean(axis=0)
        gram = (rows - centre).T @ (rows - centre) + strength * np.eye(main.shape[1])
        slopes[quarter] = cho_solve(cho_factor(gram), (rows - centre).T @ (share - share.mean()))
        intercepts[quarter] = share.mean() - centre @ slopes[quarter]
    return intercepts, slopes
