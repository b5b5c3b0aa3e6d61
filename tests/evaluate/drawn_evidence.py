"""Evidence of a world whose nuisances and truth are known, without fitting anything."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.learners import Evidence, FollowUp, Target, doubly_robust_scores
from pipeline.learners.crossfit import OutOfFold
from pipeline.learners.design import Columns, columns_of

Array = npt.NDArray[np.float64]

ARMS = ("adc", "bispecific", "car_t")
LABELS = {"adc": "Conjugate", "bispecific": "Bispecific", "car_t": "CAR T"}
CONTROL = (Target("durable_control", "event_free", 12, 1.0),)
FLOOR, CLIP = 0.03, 8.0


@dataclass(frozen=True)
class Drawn:
    """People of three arms.

    `features` has the reason for the choice (`reason`), what came before it (`before`, moved by the reason), a
    fact with gaps, a category and an idle fact; `truth` is the chance of control under each arm.
    """

    evidence: Evidence
    features: pd.DataFrame
    truth: Array

    def columns(self, *without: str) -> Columns:
        """Return the columns that are adjusted for."""
        return columns_of(self.features, [name for name in self.features if name not in without])


def drawn(n: int, seed: int, *, confounding: float = 1.0, effect: float = 0.0) -> Drawn:
    """Return n people; `confounding` moves the choice, `effect` the chance of control of the third arm."""
    rng = np.random.default_rng(seed)
    reason = rng.normal(size=n)
    logits = confounding * np.stack([np.zeros(n), 0.5 * reason, -reason], axis=1)
    propensity = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    arm = (rng.random(n)[:, None] > propensity.cumsum(axis=1)).sum(axis=1).clip(0, 2)
    truth = np.clip(0.5 + 0.15 * np.tanh(reason)[:, None] + effect * np.array([0.0, 0.0, 1.0]), 0.02, 0.98)
    rows = np.arange(n)
    controlled = (rng.random(n) < truth[rows, arm]).astype(float)
    months = np.where(controlled == 1, 12.0, rng.uniform(0.5, 11.9, n))
    features = pd.DataFrame(
        {
            "reason": reason,
            "before": 0.8 * reason + rng.normal(size=n),
            "patchy": np.where(rng.random(n) < 0.3, np.nan, rng.normal(size=n)),
            "site": pd.Categorical(np.where(rng.random(n) < 0.5, "north", "south"), categories=["north", "south"]),
            "idle": rng.normal(size=n),
        }
    )
    teacher = truth[:, :, None]
    scores = doubly_robust_scores(truth, controlled, arm, propensity, FLOOR, CLIP)
    evidence = Evidence(
        rows=rows,
        arm=arm,
        groups=rows,
        follow_up=FollowUp(
            {"durable_control": months}, {"durable_control": 1 - controlled.astype(int)}, np.zeros((n, 4))
        ),
        fold=OutOfFold(
            fold=rng.integers(0, 3, n),
            teachers={"linear": teacher},
            observed=controlled[:, None],
            propensity=propensity,
        ),
        outcomes=teacher,
        utility=truth,
        observed_utility=controlled,
        scores=scores,
        committee_outcomes=teacher,
    )
    return Drawn(evidence, features, truth)
