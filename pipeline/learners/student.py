"""What is deployed: which shallow trees speak for the committee, and what is their exact explanation?

Per outcome, one LightGBM regression for the prognosis shared by all arms and one per arm for the
difference from it, on the probability scale, fitted on the committee's predictions over training
rows and rows mixed feature-wise from pairs. Prognosis then cancels from every "A rather than B".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from queue import SimpleQueue

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
from joblib import Parallel, delayed

from pipeline.config import LearnerConfig
from pipeline.learners.design import within_the_many
from pipeline.learners.targets import Target
from pipeline.learners.tree_tables import TreeTables
from pipeline.learners.tree_text import tree_tables

Array = npt.NDArray[np.float64]

ALL_CORES = 0
"""LightGBM shares rows between cores; each row's prediction is the same for any number."""


@dataclass(frozen=True)
class Part:
    """One shallow model and how much of it each arm's outcome takes.

    Attributes
    ----------
    target, name : str
    loadings : tuple of float
        One per arm.
    booster : Booster
    """

    target: str
    name: str
    loadings: tuple[float, ...]
    booster: lgb.Booster


@dataclass(frozen=True)
class Students:
    """The deployed models: outcome = sum over parts of loading x part, plus a constant per arm.

    Attributes
    ----------
    targets : tuple of str
    parts : tuple of Part
    constants : array (arms, targets)
    """

    targets: tuple[str, ...]
    parts: tuple[Part, ...]
    constants: Array

    def outcomes(self, matrix: Array) -> Array:
        """Return the outcome vector, shape (n, arms, targets); not clipped to [0, 1]."""
        total = np.repeat(self.constants[None], len(matrix), axis=0)
        for part, value in zip(self.parts, self._predictions(matrix), strict=True):
            total[:, :, self.targets.index(part.target)] += value[:, None] * np.asarray(part.loadings)[None, :]
        return total

    def contributions(self, matrix: Array, weights: Array) -> tuple[Array, Array]:
        """Return exact TreeSHAP of the weighted sum of targets.

        Parameters
        ----------
        matrix : array (n, n_columns)
        weights : array (n, targets)
            Signed utility weights over their total, per person.

        Returns
        -------
        baseline : array (n, arms)
        contributions : array (n, arms, n_columns)
            `baseline + contributions.sum(-1)` is the weighted outcome of each arm.
        """
        total = np.zeros((len(matrix), len(self.constants), matrix.shape[1]))
        baseline = weights @ self.constants.T
        for part, (mean, added) in zip(self.parts, self._explanations(matrix), strict=True):
            weight = weights[:, self.targets.index(part.target)]
            for arm in np.flatnonzero(part.loadings):
                amount = weight * part.loadings[arm]
                total[:, arm] += added.T * amount[:, None]
                baseline[:, arm] += mean * amount
        return baseline, total

    @cached_property
    def _tables(self) -> TreeTables | None:
        return tree_tables([part.booster.model_to_string() for part in self.parts])

    def _predictions(self, matrix: Array) -> Iterable[Array]:
        """Return what each part predicts, (n,); LightGBM's own where trees are too large for tables."""
        if self._tables is not None:
            return self._tables.predictions(self._tables.ways(matrix))
        return (np.asarray(part.booster.predict(matrix, num_threads=ALL_CORES)) for part in self.parts)

    def _explanations(self, matrix: Array) -> Iterable[tuple[float, Array]]:
        """Return each part's mean and what every column adds to it, (n_columns, n)."""
        if self._tables is not None:
            return self._tables.contributions(self._tables.ways(matrix), matrix.shape[1])
        return (_walked(part.booster, matrix) for part in self.parts)


def _walked(booster: lgb.Booster, matrix: Array) -> tuple[float, Array]:
    """Return the mean and what every column adds to it, as LightGBM finds it by walking each tree with each row."""
    if not len(matrix):
        return 0.0, np.zeros((matrix.shape[1], 0))
    found = np.asarray(booster.predict(matrix, pred_contrib=True, num_threads=ALL_CORES))
    return float(found[0, -1]), found[:, :-1].T


def mixed_rows(matrix: Array, settings: LearnerConfig) -> Array:
    """Return rows mixed feature-wise from pairs of training rows, some values hidden, shape (rows, n_columns)."""
    rng = np.random.default_rng([settings.seed, 7])
    rows = max(settings.student_rows - len(matrix), settings.student_rows // 2)
    first, second = rng.integers(0, len(matrix), size=(2, rows))
    swap = rng.random((rows, matrix.shape[1])) < settings.swap_probability
    mixed = np.where(swap, matrix[second], matrix[first])
    hidden = rng.random(mixed.shape) < settings.missing_dropout
    return np.where(hidden, np.nan, mixed)


def _fit_part(binned: SimpleQueue[lgb.Dataset], label: Array, settings: LearnerConfig) -> lgb.Booster:
    """Return one part, fitted on whichever of the equal binned tables is free."""
    rows = binned.get()
    parameters = {
        "objective": "regression",
        "learning_rate": 0.08,
        "num_leaves": settings.student_leaves,
        "min_data_in_leaf": 20,
        "feature_fraction": 0.7,
        "seed": settings.seed + 2,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }
    booster = lgb.train(parameters, rows.set_label(label), num_boost_round=settings.student_trees)
    binned.put(rows)
    return booster.free_dataset()


def _binned(rows: Array, categorical: Sequence[int], copies: int) -> SimpleQueue[lgb.Dataset]:
    """Return the rows, binned once for each worker."""
    found: SimpleQueue[lgb.Dataset] = SimpleQueue()
    for _ in range(copies):
        parameters = {"verbosity": -1, "min_data_in_bin": 11, "num_threads": 1}
        table = lgb.Dataset(
            rows,
            label=np.zeros(len(rows)),
            categorical_feature=list(categorical),
            params=parameters,
            free_raw_data=True,
        )
        found.put(table.construct())
    return found


def fit_students(
    matrix: Array,
    committee: Callable[[Array], Array],
    categorical: Sequence[int],
    targets: Sequence[Target],
    time_limited: Sequence[bool],
    settings: LearnerConfig,
    advance: Callable[[int], None] | None = None,
) -> Students:
    """Fit the students to what the committee predicts.

    Parameters
    ----------
    matrix : array (n, n_columns)
        Training rows.
    committee : callable
        Rows to outcome vectors, shape (n, arms, targets).
    categorical : sequence of int
    targets : sequence of Target
    time_limited : sequence of bool
        Per arm; the free share of other arms is the constant 0.
    settings : LearnerConfig
    advance : callable or None
        Called with 1 after each model.

    Returns
    -------
    Students
        A part whose label does not vary becomes a constant.
    """
    matrix = within_the_many(matrix, categorical)
    rows = np.concatenate([matrix, mixed_rows(matrix, settings)])
    wanted = committee(rows)
    arms = len(time_limited)
    constants = np.zeros((arms, len(targets)))
    plans: list[tuple[str, str, Array, Array, int]] = []
    for k, target in enumerate(targets):
        if target.kind == "free_share":
            plans += [
                (target.name, f"level_{a}", np.eye(arms)[a], wanted[:, a, k], k) for a in range(arms) if time_limited[a]
            ]
            continue
        prognosis = wanted[:, :, k].mean(axis=1)
        plans.append((target.name, "prognosis", np.ones(arms), prognosis, k))
        plans += [(target.name, f"contrast_{a}", np.eye(arms)[a], wanted[:, a, k] - prognosis, k) for a in range(arms)]
    varying = [plan for plan in plans if float(np.ptp(plan[3])) > 1e-9]
    for _, _, loadings, label, k in plans:
        if float(np.ptp(label)) <= 1e-9:
            constants[:, k] += loadings * float(label[0])
    pool = Parallel(n_jobs=settings.threads, prefer="threads", return_as="generator")
    parts = []
    binned = _binned(rows, categorical, min(settings.threads, len(varying)))
    fitted = pool(delayed(_fit_part)(binned, plan[3], settings) for plan in varying)
    for (target_name, name, loadings, _, _), booster in zip(varying, fitted, strict=True):
        parts.append(Part(target=target_name, name=name, loadings=tuple(map(float, loadings)), booster=booster))
        if advance is not None:
            advance(1)
    return Students(targets=tuple(t.name for t in targets), parts=tuple(parts), constants=constants)
