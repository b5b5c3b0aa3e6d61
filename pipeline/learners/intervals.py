"""How uncertain is a suitability, and a difference of two?

The model carries deviations of the outcome vector: posterior draws of the linear teacher, shrunk
as its word is; the error of that shrinkage; and a constant factor for the teachers' disagreement.
Any weights turn them into a variance, in Python or in a page. Widths are scaled on held-out
doubly-robust contrasts; docs/ranking.md reports what they cover on worlds with known truth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from pipeline.learners.committee import Committee, FreeShare, expectations
from pipeline.learners.linear_hazard import LinearHazard
from pipeline.learners.stack import Kinds, stacked
from pipeline.learners.targets import Target

Array = npt.NDArray[np.float64]

LEVEL = 0.90
_SHARED_ERROR = 1.4
"""Teachers that are wrong alike do not disagree: their spread is taken this many times (docs/decisions.md, 18)."""
_BINS = 8
_CHUNK = 2000


@dataclass(frozen=True)
class Draws:
    """Posterior draws of the linear teacher.

    Attributes
    ----------
    targets : tuple of Target
    linear : mapping of (target, cause) to LinearHazard
    intercepts : mapping of (target, cause) to array (draws,)
    coefficients : mapping of (target, cause) to array (draws, n_terms)
    free : FreeShare
    """

    targets: tuple[Target, ...]
    linear: Mapping[tuple[str, int], LinearHazard]
    intercepts: Mapping[tuple[str, int], Array]
    coefficients: Mapping[tuple[str, int], Array]
    free: FreeShare

    @property
    def count(self) -> int:
        """Number of draws."""
        return len(next(iter(self.intercepts.values())))

    def outcomes(self, matrix: Array) -> Array:
        """Return the outcome vector by each draw, shape (n, draws, arms, targets)."""
        shares = self.free.predict(matrix)
        hazards: list[dict[str, dict[int, Array]]] = [{} for _ in range(self.count)]
        for key, fitted in self.linear.items():
            found = fitted.log_hazards(matrix, self.coefficients[key], self.intercepts[key])
            for own, log_hazard in zip(hazards, found, strict=True):
                own.setdefault(key[0], {})[key[1]] = np.exp(log_hazard)
        return np.stack([expectations(own, shares, self.targets) for own in hazards], axis=1)


def draw_linear(committee: Committee, draws: int, seed: int) -> Draws:
    """Return posterior draws of the committee's linear teacher."""
    rng = np.random.default_rng([seed, 11])
    drawn = {key: fitted.draw(rng, draws) for key, fitted in committee.linear.items()}
    return Draws(
        targets=committee.targets,
        linear=committee.linear,
        intercepts={key: values[0] for key, values in drawn.items()},
        coefficients={key: values[1] for key, values in drawn.items()},
        free=committee.free,
    )


def form_factor(teachers: Mapping[str, Array], weights: Mapping[str, float], factor: float, kinds: Kinds) -> Array:
    """Return a factor of the teachers' squared disagreement on contrasts, shape (rank, arms, targets).

    Its sum of squares over `rank` is the covariance of the teachers' contrasts around their blend: of their
    averages over people by the stack's weights, and of their individual parts, as far as these are kept, by equal
    weights, for least squares often listens to one teacher alone and would then see no disagreement.

    Parameters
    ----------
    teachers : mapping of teacher to array (n, arms, targets)
        Out of fold.
    weights : mapping of teacher to float
    factor : float
        Share of the individual contrast that is kept.
    kinds : Kinds
    """
    blended = stacked(teachers, weights)
    arms, targets = blended.shape[1:]
    average, individual = np.zeros((2, arms * targets, arms * targets))
    for name, weight in weights.items():
        gap = teachers[name] - blended
        flat = (gap - kinds.prognosis(gap)).reshape(len(gap), -1)
        middle = flat.mean(axis=0)
        average += weight * np.outer(middle, middle)
        individual += (flat - middle).T @ (flat - middle) / (len(flat) * len(weights))
    values, vectors = np.linalg.eigh(average + factor**2 * individual)
    kept = values > max(values.max(initial=0.0), 1e-12) * 1e-6
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
    root = _SHARED_ERROR * vectors * signs * np.sqrt(np.clip(values, 0, None))
    return np.asarray(root[:, kept].T.reshape(-1, arms, targets))


@dataclass(frozen=True)
class Spread:
    """Everything that turns weights into intervals.

    Attributes
    ----------
    draws : Draws
    centre : array (draws, arms, targets)
        Mean over training rows of each draw's contrast less the mean draw's.
    middle : array (arms, targets)
        Mean over training rows of the mean draw's contrast.
    factor, factor_error : float
        Share of the individual contrast that is kept, and its standard error (at most 1).
    form : array (rank, arms, targets)
    scale : float
        Width multiplier from held-out doubly-robust contrasts.
    """

    draws: Draws
    centre: Array
    middle: Array
    factor: float
    factor_error: float
    form: Array
    scale: float

    def deviations(self, matrix: Array, signed_weights: Array) -> Array:
        """Return deviations of suitability, shape (n, draws + 1 + rank, arms); their squares sum to the variance.

        Parameters
        ----------
        matrix : array (n, n_columns)
        signed_weights : array (n, targets)
            Signed utility weights over their total, per person.
        """
        parts = [np.zeros((0, self.draws.count + 1 + len(self.form), self.form.shape[1]))]
        for start in range(0, len(matrix), _CHUNK):
            rows = slice(start, start + _CHUNK)
            own = np.einsum("ndak,nk->nda", self._of_outcomes(matrix[rows]), signed_weights[rows])
            shared = np.einsum("rak,nk->nra", self.form, signed_weights[rows])
            parts.append(np.concatenate([own, shared], axis=1))
        return self.scale * np.concatenate(parts)

    def _of_outcomes(self, matrix: Array) -> Array:
        """Return the draws' deviations, their individual contrast shrunk, and that of the shrinkage itself."""
        whole, contrast, mean_contrast = _taken_apart(self.draws, matrix)
        shrunk = whole - contrast + self.centre + self.factor * (contrast - self.centre)
        of_shrinkage = self.factor_error * (mean_contrast - self.middle)
        return np.concatenate([shrunk, of_shrinkage[:, None]], axis=1)


def _taken_apart(draws: Draws, matrix: Array) -> tuple[Array, Array, Array]:
    """Return the draws' deviations, those of their contrasts, both (n, draws, arms, targets), and the mean contrast.

    The sum of squares of deviations over draws is the variance.
    """
    drawn = draws.outcomes(matrix)
    has_prognosis = np.array([target.kind != "free_share" for target in draws.targets])
    contrast = drawn - np.where(has_prognosis, drawn.mean(axis=2, keepdims=True), 0.0)
    mean, mean_contrast = drawn.mean(axis=1), contrast.mean(axis=1)
    root = np.sqrt(draws.count - 1)
    return (drawn - mean[:, None]) / root, (contrast - mean_contrast[:, None]) / root, mean_contrast


def spread_of(draws: Draws, form: Array, factor: float, factor_error: float, matrix: Array) -> Spread:
    """Return the spread of a shrunk model, not yet scaled; at most 2,000 training rows, evenly taken, centre it."""
    sample = matrix[:: -(-len(matrix) // _CHUNK)]
    _, contrast, mean_contrast = _taken_apart(draws, sample)
    return Spread(
        draws=draws,
        centre=contrast.mean(axis=0),
        middle=mean_contrast.mean(axis=0),
        factor=factor,
        factor_error=min(factor_error, 1.0),
        form=form,
        scale=1.0,
    )


def half_width(deviations: Array) -> Array:
    """Return the half-width of the 90 % interval, from deviations along axis 1."""
    return np.asarray(norm.ppf(0.5 + LEVEL / 2) * np.sqrt(np.sum(deviations**2, axis=1)))


def width_scale(predicted: Array, scores: Array, deviations: Array) -> float:
    """Return how much wider intervals must be for held-out doubly-robust contrasts to fit them.

    Parameters
    ----------
    predicted, scores : arrays (n, arms)
        Out-of-fold suitability and doubly-robust scores.
    deviations : array (n, k, arms)
        Unscaled deviations of suitability.

    Returns
    -------
    float
        At least 1. People are binned by predicted contrast for every pair of arms; the excess of the
        squared mean residual over its sampling variance is compared with the mean squared width.
    """
    excess, variance = [], []
    arms = predicted.shape[1]
    for a in range(arms):
        for b in range(a + 1, arms):
            gap = predicted[:, a] - predicted[:, b]
            residual = scores[:, a] - scores[:, b] - gap
            width = np.sum((deviations[:, :, a] - deviations[:, :, b]) ** 2, axis=1)
            for rows in np.array_split(np.argsort(gap, kind="stable"), _BINS):
                if len(rows) < 2:
                    continue
                excess.append(float(residual[rows].mean() ** 2 - residual[rows].var(ddof=1) / len(rows)))
                variance.append(float(width[rows].mean()))
    if not variance or np.mean(variance) <= 0:
        return 1.0
    ratio = max(float(np.mean(excess)), 0.0) / float(np.mean(variance))
    return float(np.clip(np.sqrt(ratio), 1.0, 3.0))


def pair_half_widths(deviations: Array) -> Array:
    """Return the half-width of every pairwise difference, shape (n, arms, arms), from deviations (n, k, arms)."""
    arms = deviations.shape[2]
    found = np.zeros((len(deviations), arms, arms))
    for a in range(arms):
        for b in range(a):
            found[:, a, b] = found[:, b, a] = half_width(deviations[:, :, a] - deviations[:, :, b])
    return found


def clearly_better(suitability: Array, deviations: Array) -> npt.NDArray[np.bool_]:
    """Return whether arm a is clearly better than arm b, shape (n, arms, arms): its interval lies above 0.

    Parameters
    ----------
    suitability : array (n, arms)
    deviations : array (n, k, arms)
    """
    better = suitability[:, :, None] - suitability[:, None, :] > pair_half_widths(deviations)
    return np.asarray(better)


def signed_weights(weights: Array, names: Sequence[str], targets: Sequence[Target]) -> Array:
    """Return signed weights of the targets over the total weight, shape (n, targets).

    `weights` has one column per name of `names`; names that are neither a target nor `burden` do not count.
    """
    signs = {target.name: target.sign for target in targets} | {"burden": -1.0}
    kept = [i for i, name in enumerate(names) if name in signs]
    total = weights[:, kept].sum(axis=1, keepdims=True)
    columns = [weights[:, list(names).index(target.name)] * target.sign for target in targets]
    return np.asarray(np.stack(columns, axis=1) / np.maximum(total, 1e-12))
