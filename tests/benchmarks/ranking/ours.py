"""What does mmrank itself say, with its intervals, on the same people?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.learners import ModalityRanker, pair_half_widths
from tests.benchmarks.ranking.data import Task
from tests.benchmarks.ranking.measures import chances, clear_first, covered, regret, top_choice

Array = npt.NDArray[np.float64]


def fitted(task: Task) -> ModalityRanker:
    """Return the estimator as `mmrank train` builds it, on one thread."""
    config, settings = task.setup.config, task.setup.config.settings
    people = task.train
    declared = people.products.where(people.products.isin([entry.id for entry in config.products]))
    return ModalityRanker(
        targets=task.targets,
        weights=task.weights,
        time_limited={entry.id: entry.time_limited for entry in config.modalities},
        min_cases={entry.id: entry.min_cases for entry in config.modalities},
        min_events={entry.id: entry.min_events for entry in config.modalities},
        features=task.names,
        propensity_features=task.propensity_names,
        modifiers=[entry.name for entry in task.setup.spec.features if entry.modifier],
        settings=settings.learner.model_copy(update={"threads": 1}),
        gates=settings.gates,
    ).fit(
        people.features,
        people.modality,
        people.labels,
        groups=people.patients,
        eligible=~people.impossible,
        products=declared if people.products.notna().any() else None,
    )


def utility(task: Task, ranker: ModalityRanker) -> Array:
    """Return utility of test rows without burden, shape (n, all arms); arms that are not ranked are never chosen."""
    return _everywhere(task, ranker, ranker.suitability(task.test.features)[list(ranker.arms_)].to_numpy())


def _everywhere(task: Task, ranker: ModalityRanker, values: Array) -> Array:
    full = np.full((len(values), len(task.arms)), -np.inf)
    full[:, [task.arms.index(name) for name in ranker.arms_]] = values
    return full


def more(task: Task, ranker: ModalityRanker, burden: Array) -> dict[str, Any]:
    """Return what only ours can show: coverage, clear and tied decisions, committee against students."""
    columns = [task.arms.index(name) for name in ranker.arms_]
    possible = ~task.test.impossible.to_numpy(dtype=bool)
    truth, own = task.test.truth, possible[:, columns]
    both = own.sum(axis=1) >= 2
    values = utility(task, ranker) - burden
    widths = pair_half_widths(ranker.deviations(task.test.features))
    model = ranker.model_
    unscaled = replace(model, spread=replace(model.spread, scale=1.0))
    signed = np.repeat(ranker._signed(ranker.weights)[None], len(truth), axis=0)
    raw = pair_half_widths(unscaled.deviations(task.test.features, signed))
    after = covered(truth[:, columns], values[:, columns], widths, own)
    before = covered(truth[:, columns], values[:, columns], raw, own)
    clear = clear_first(values[:, columns], widths, own)
    right = top_choice(truth, chances(values, possible), possible)
    spoken = ranker.committee_outcomes(task.test.features) @ ranker._signed(ranker.weights)
    committee = _everywhere(task, ranker, spoken) - burden
    return {
        "coverage": after[0],
        "half_width": after[1],
        "coverage_before": before[0],
        "half_width_before": before[1],
        "scale": float(model.spread.scale),
        "clear": float(clear[both].mean()),
        "right_if_clear": _mean(right[both & clear]),
        "right_if_tied": _mean(right[both & ~clear]),
        "regret_committee": regret(truth, chances(committee, possible), possible),
        "shrinkage": float(ranker.shrinkage_.factor),
        "weights": {name: round(float(weight), 4) for name, weight in ranker.blend_.weights.items()},
        "not_ranked": sorted(set(task.arms) - set(ranker.arms_)),
    }


def _mean(values: Array) -> float | None:
    return float(values.mean()) if len(values) else None
