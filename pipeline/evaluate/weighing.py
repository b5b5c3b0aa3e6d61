"""How do outcomes and the schedule weigh in the suitability of these rows?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.config import Config
from pipeline.learners import Target, signed_weights
from pipeline.ranker import burden

Array = npt.NDArray[np.float64]


def outcome_weights(config: Config, targets: Sequence[Target]) -> Array:
    """Return the signed default weights of the outcomes over the total weight, shape (targets,)."""
    weights = config.weights([target.name for target in targets])
    return np.asarray(signed_weights(np.array([list(weights.values())]), list(weights), targets)[0])


def weighted_burden(config: Config, targets: Sequence[Target], rows: pd.DataFrame, arms: Sequence[str]) -> Array:
    """Return what the schedule costs in suitability, shape (n, arms); an unknown distance counts 0."""
    weights = config.weights([target.name for target in targets])
    return np.asarray(weights["burden"] / sum(weights.values()) * schedule_burden(config, rows, arms))


def schedule_burden(config: Config, rows: pd.DataFrame, arms: Sequence[str]) -> Array:
    """Return the burden of the schedule, unweighted, shape (n, arms); an unknown distance counts 0."""
    by_id = {entry.id: entry for entry in config.modalities}
    distance = rows["distance_km"].to_numpy(dtype=float) if "distance_km" in rows else np.full(len(rows), np.nan)
    return np.asarray(burden([by_id[arm] for arm in arms], distance))
