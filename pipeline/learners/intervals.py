"""How uncertain is a suitability, and a difference of two?

The model carries deviations of the outcome vector: posterior draws of the linear teacher, which
vary from person to person, and one constant factor for the teachers' disagreement on form. Any
weights turn them into a variance, in Python or in a page. Widths are scaled on held-out
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
from pipeline.learners.stack import stacked
from pipeline.learners.targets import Target

Array = npt.NDArray[np.float64]

LEVEL = 0.90
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

    def deviations(self, matrix: Array) -> Array:
        """Return draws less their mean, divided by the root of their number less one, shape (n, draws, arms, targets).

        The sum of squares over draws is the variance.
        """
        shares = self.free.predict(matrix)
        drawn = []
        for draw in range(self.count):
            hazards: dict[str, dict[int, Array]] = {}
            for (target, cause), fitted in self.linear.items():
                key = (target, cause)
                log_hazard = fitted.log_hazard(matrix, self.coefficients[key][draw], float(self.intercepts[key][draw]))
                hazards.setdefault(target, {})[cause] = np.exp(log_hazard)
            drawn.append(expectations(hazards, shares, self.targets))
        values = np.stack(drawn, axis=1)
        return np.asarray((values - values.mean(axis=1, keepdims=True)) / np.sqrt(self.count - 1))


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


def form_factor(teachers: Mapping[str, Array], weights: Mapping[str, float]) -> Array:
    """Return a factor of the teachers' mean squared disagreement on contrasts, shape (rank, arms, targets).

    Its sum of squares over `rank` is the mean over people of the weighted covariance of the teachers'
    contrasts around their blend.
    """
    blended = stacked(teachers, weights)
    arms, targets = blended.shape[1:]
    covariance = np.zeros((arms * targets, arms * targets))
    for name, weight in weights.items():
        gap = teachers[name] - blended
        flat = (gap - gap.mean(axis=1, keepdims=True)).reshape(len(gap), -1)
        covariance += weight * flat.T @ flat / len(flat)
    values, vectors = np.linalg.eigh(covariance)
    kept = values > max(values.max(initial=0.0), 1e-12) * 1e-6
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
    return np.asarray((vectors * signs * np.sqrt(np.clip(values, 0, None)))[:, kept].T.reshape(-1, arms, targets))


@dataclass(frozen=True)
class Spread:
    """Everything that turns weights into intervals.

    Attributes
    ----------
    draws : Draws
    form : array (rank, arms, targets)
    scale : float
        Width multiplier from held-out doubly-robust contrasts.
    """

    draws: Draws
    form: Array
    scale: float

    def deviations(self, matrix: Array, signed_weights: Array) -> Array:
        """Return deviations of suitability, shape (n, draws + rank, arms).

        Parameters
        ----------
        matrix : array (n, n_columns)
        signed_weights : array (n, targets)
            Signed utility weights over their total, per person.
        """
        parts = []
        for start in range(0, len(matrix), _CHUNK):
            rows = slice(start, start + _CHUNK)
            own = np.einsum("ndak,nk->nda", self.draws.deviations(matrix[rows]), signed_weights[rows])
            shared = np.einsum("rak,nk->nra", self.form, signed_weights[rows])
            parts.append(np.concatenate([own, shared], axis=1))
        if not parts:
            return np.zeros((0, self.draws.count + len(self.form), self.form.shape[1]))
        return self.scale * np.concatenate(parts)


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


def clearly_better(suitability: Array, deviations: Array) -> npt.NDArray[np.bool_]:
    """Return whether arm a is clearly better than arm b, shape (n, arms, arms): its interval lies above 0.

    Parameters
    ----------
    suitability : array (n, arms)
    deviations : array (n, k, arms)
    """
    arms = suitability.shape[1]
    better = np.zeros((len(suitability), arms, arms), dtype=bool)
    for a in range(arms):
        for b in range(arms):
            if a != b:
                width = half_width(deviations[:, :, a] - deviations[:, :, b])
                better[:, a, b] = suitability[:, a] - suitability[:, b] > width
    return better


def signed_weights(weights: Array, names: Sequence[str], targets: Sequence[Target]) -> Array:
    """Return signed weights of the targets over the total weight, shape (n, targets).

    `weights` has one column per name of `names`; names that are neither a target nor `burden` do not count.
    """
    signs = {target.name: target.sign for target in targets} | {"burden": -1.0}
    kept = [i for i, name in enumerate(names) if name in signs]
    total = weights[:, kept].sum(axis=1, keepdims=True)
    columns = [weights[:, list(names).index(target.name)] * target.sign for target in targets]
    return np.asarray(np.stack(columns, axis=1) / np.maximum(total, 1e-12))
