"""Teachers S and T: how do hazards move when trees may bend and combine the facts?

S is one LightGBM hazard with the arm as a feature; T is one per arm. Both read person-period
rows (interval as a feature) with the log exposure as offset. There is no early stopping by
likelihood: likelihood-best trees are not ranking-best (docs/ranking.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from pipeline.config import LearnerConfig
from pipeline.learners.targets import event_interval, exposure

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_HIGHEST_LOG_HAZARD = 1.5
_LOWEST_RATE = 1e-5


def tree_parameters(settings: LearnerConfig, seed: int) -> dict[str, Any]:
    """Return LightGBM parameters that give the same bytes for any number of threads."""
    return {
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves,
        "lambda_l2": settings.l2,
        "feature_fraction": settings.feature_fraction,
        "bagging_fraction": settings.bagging_fraction,
        "bagging_freq": 1,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }


def tree_count(settings: LearnerConfig, decisions: int) -> int:
    """Return the number of trees: `trees_at_1000` x sqrt(n / 1000), between 120 and 500."""
    return int(np.clip(settings.trees_at_1000 * np.sqrt(decisions / 1000), 120, 500))


@dataclass(frozen=True)
class BoostedHazard:
    """A fitted hazard of one arm, or of all arms with the arm as a feature.

    Attributes
    ----------
    booster : Booster
    base : float
        Log of the overall monthly rate, added to every raw score.
    intervals : int
    has_arm : bool
        Whether the arm is the last feature.
    """

    booster: lgb.Booster
    base: float
    intervals: int
    has_arm: bool

    def hazard(self, matrix: Array, arm: int) -> Array:
        """Return monthly hazards if given `arm`, shape (n, intervals)."""
        rows = np.repeat(matrix, self.intervals, axis=0)
        extra = [np.tile(np.arange(self.intervals, dtype=float), len(matrix))]
        if self.has_arm:
            extra.append(np.full(len(rows), float(arm)))
        raw = np.asarray(self.booster.predict(np.column_stack([rows, *extra]), raw_score=True, num_threads=1))
        return np.asarray(np.exp(np.minimum(self.base + raw, _HIGHEST_LOG_HAZARD))).reshape(-1, self.intervals)


def fit_boosted_hazard(
    matrix: Array,
    categorical: tuple[int, ...],
    arm: IntArray | None,
    months: Array,
    event: IntArray,
    cause: int,
    intervals: int,
    settings: LearnerConfig,
    smallest_leaf: int,
    trees: int,
) -> BoostedHazard:
    """Fit one cause-specific hazard by boosting.

    Parameters
    ----------
    matrix : array (n, n_columns)
    categorical : tuple of int
        Positions of categorical columns.
    arm : array (n,) of int, or None
        Given: the arm becomes a feature (teacher S). None: rows are of one arm (teacher T).
    months, event : arrays (n,)
    cause, intervals : int
    settings : LearnerConfig
    smallest_leaf, trees : int

    Returns
    -------
    BoostedHazard
    """
    at_risk = exposure(months, intervals)
    died = event_interval(months, event, cause, intervals)
    owner, interval = np.nonzero(at_risk > 0)
    label = died[owner, interval].astype(float)
    if not label.any():
        label += _LOWEST_RATE  # no event in these rows: a hazard of next to nothing, not an error
    time = at_risk[owner, interval]
    parts = [matrix[owner], interval[:, None].astype(float)]
    kinds = list(categorical)
    if arm is not None:
        kinds.append(matrix.shape[1] + 1)
        parts.append(arm[owner, None].astype(float))
    base = float(np.log(max(label.sum() / time.sum(), _LOWEST_RATE)))
    parameters = tree_parameters(settings, settings.seed) | {"objective": "poisson", "min_data_in_leaf": smallest_leaf}
    rows = lgb.Dataset(
        np.concatenate(parts, axis=1),
        label=label,
        init_score=base + np.log(time),
        categorical_feature=kinds,
        params={"verbosity": -1, "min_data_in_bin": 11, "num_threads": 1},
        free_raw_data=True,
    )
    booster = lgb.train(parameters, rows, num_boost_round=trees)
    return BoostedHazard(booster=booster, base=base, intervals=intervals, has_arm=arm is not None)
