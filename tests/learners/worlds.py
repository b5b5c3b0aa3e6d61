"""Small worlds with known truth, drawn in numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.config import LearnerConfig
from pipeline.learners import ModalityRanker, Target

Array = npt.NDArray[np.float64]

ARMS = ("adc", "bispecific", "car_t")
TARGETS = (
    Target("durable_control", "event_free", 12, 1.0),
    Target("severe_toxicity", "incidence", 6, -1.0),
)
WEIGHTS = {"durable_control": 0.4, "severe_toxicity": 0.2, "burden": 0.0}
QUICK = LearnerConfig(
    folds=2, ridge_alphas=(0.01,), trees_at_1000=120, student_trees=80, student_rows=1500, draws=8, threads=2
)


@dataclass(frozen=True)
class World:
    """A table, what was given and seen, and the true utility of each arm (in the order of ARMS)."""

    features: pd.DataFrame
    modality: pd.Series
    outcomes: pd.DataFrame
    truth: Array

    def regret(self, chosen: npt.NDArray[np.intp]) -> float:
        """Return the mean utility lost against each person's best arm."""
        return float((self.truth.max(axis=1) - self.truth[np.arange(len(chosen)), chosen]).mean())


def world(n: int, seed: int, *, confounding: float = 1.0, effect: float = 1.0) -> World:
    """Return people whose first fact drives prognosis and choice, and whose second and third tell who gains."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 6))
    risk = np.log(0.06) + 0.6 * x[:, 0]
    contrast = effect * np.stack([0.5 * x[:, 1], 0.5 * x[:, 2] - 0.1, -0.5 - 0.3 * x[:, 1]], axis=1)
    hazard = np.exp(risk[:, None] + contrast)
    toxic = np.exp(np.log(0.03) + 0.3 * x[:, [3]] + np.array([[0.0, 0.3, 0.5]]))
    logits = confounding * np.stack([0.8 * x[:, 0], 0.3 * x[:, 0], -0.8 * x[:, 0]], axis=1)
    chance = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    arm = np.array([rng.choice(3, p=p) for p in chance])
    rows = np.arange(n)
    fails, reacts, lost = (rng.exponential(1 / h) for h in (hazard[rows, arm], toxic[rows, arm], np.full(n, 0.03)))
    table = pd.DataFrame(x, columns=[f"x{k}" for k in range(6)])
    table["site"] = pd.Categorical(np.where(rng.random(n) < 0.5, "north", "south"), categories=["north", "south"])
    outcomes = pd.DataFrame(
        {
            "durable_control_months": np.minimum(fails, lost),
            "durable_control_event": (fails <= lost).astype(int),
            "severe_toxicity_months": np.minimum(reacts, lost),
            "severe_toxicity_event": (reacts <= lost).astype(int),
        }
    )
    truth = (0.4 * np.exp(-12 * hazard) - 0.2 * -np.expm1(-6 * toxic)) / 0.6
    return World(table, pd.Series(np.array(ARMS)[arm]), outcomes, truth)


def ranker(settings: LearnerConfig = QUICK, **more: object) -> ModalityRanker:
    """Return an estimator with the true modifiers declared."""
    return ModalityRanker(
        targets=TARGETS,
        weights=WEIGHTS,
        modifiers=("x1", "x2", "x3"),
        settings=settings,
        **more,  # type: ignore[arg-type]
    )
