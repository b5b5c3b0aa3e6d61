"""What would each way of choosing have given to the training rows?

Every policy is made out of fold: nothing of a person's own fold, nor the scores that value it, shapes
what that person is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import pandas as pd
from joblib import Parallel, delayed

from pipeline.config import LearnerConfig
from pipeline.evaluate.published_rule import PublishedRule
from pipeline.learners import TEACHER_LABELS, Evidence
from pipeline.learners.stack import stack_weights

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

REFERENCE, BEST_ARM, MODEL = "clinicians", "one_best_arm", "model"

_GRADES = 16
_RANKER_TREES = 60
_OUTER = 0.01


@dataclass(frozen=True)
class Choices:
    """What a policy gives each person, as probabilities, shape (n, arms).

    Attributes
    ----------
    policy, label : str
    chance : array (n, arms) or None
        None where the policy does not apply here; the note says why.
    note : str
    """

    policy: str
    label: str
    chance: Array | None
    note: str = ""


@dataclass(frozen=True)
class Setting:
    """What policies choose from, for n training rows.

    Attributes
    ----------
    evidence : Evidence
    arms : tuple of str
    burden : array (n, arms)
        Weighted burden, to be subtracted from utility.
    signed : array (targets,)
        Signed utility weights over their total.
    is_impossible : bool array (n, arms)
    features : DataFrame
    matrix : array (n, n_columns)
        What the learner reads.
    categorical : tuple of int
    """

    evidence: Evidence
    arms: tuple[str, ...]
    burden: Array
    signed: Array
    is_impossible: BoolArray
    features: pd.DataFrame
    matrix: Array
    categorical: tuple[int, ...]


def best(values: Array, is_impossible: BoolArray) -> Array:
    """Return the arm with the highest value among the possible, one-hot, shape (n, arms)."""
    allowed = np.where(is_impossible, -np.inf, values)
    return np.asarray(np.eye(values.shape[1])[allowed.argmax(axis=1)])


def one_best_arm(scores: Array, fold: IntArray, is_impossible: BoolArray) -> Array:
    """Return the arm with the best mean score in the other folds, per person (the next best where impossible)."""
    chosen = np.zeros_like(scores)
    for number in np.unique(fold):
        inside = fold == number
        means = np.repeat(scores[~inside].mean(axis=0)[None], int(inside.sum()), axis=0)
        chosen[inside] = best(means, is_impossible[inside])
    return chosen


def _stacked(evidence: Evidence, signed: Array) -> Array:
    """Return the unshrunk stack's utility, shape (n, arms); each fold's weights come from the others."""
    utilities = {name: values @ signed for name, values in evidence.fold.teachers.items()}
    found = np.zeros_like(evidence.scores)
    for number in np.unique(evidence.fold.fold):
        inside = evidence.fold.fold == number
        weights = stack_weights({name: u[~inside] for name, u in utilities.items()}, evidence.scores[~inside])
        found[inside] = sum(weight * utilities[name][inside] for name, weight in weights.items())
    return found


def graded(values: Array) -> IntArray:
    """Return values as relevance grades 1 to 16, evenly spaced between the outer percentiles; 0 where unknown."""
    low, high = np.nanquantile(values, [_OUTER, 1 - _OUTER])
    share = np.nan_to_num((values - low) / max(float(high - low), 1e-12))
    grades = 1 + np.clip(np.floor(share * _GRADES), 0, _GRADES - 1)
    return np.where(np.isnan(values), 0, grades).astype(np.int64)


def only_given(observed: Array, arm: IntArray, arms: int) -> Array:
    """Return what was seen under the arm given and NaN under every other, as a log of clicks has it, (n, arms)."""
    values = np.full((len(arm), arms), np.nan)
    values[np.arange(len(arm)), arm] = observed
    return values


def _long(matrix: Array, arms: int) -> Array:
    """Return one row per person and arm, with the arm as the last column."""
    codes = np.tile(np.arange(arms, dtype=float), len(matrix))
    return np.column_stack([np.repeat(matrix, arms, axis=0), codes])


def _ranked(setting: Setting, values: Array, number: int, seed: int) -> Array:
    """Return LambdaRank scores of one fold, learned on the others."""
    inside = setting.evidence.fold.fold == number
    arms = len(setting.arms)
    parameters = {
        "objective": "lambdarank",
        "label_gain": list(range(_GRADES + 1)),
        "learning_rate": 0.1,
        "num_leaves": 8,
        "min_data_in_leaf": 25,
        "lambda_l2": 5.0,
        "feature_fraction": 0.5,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }
    rows = lgb.Dataset(
        _long(setting.matrix[~inside], arms),
        label=graded(values[~inside]).ravel(),
        group=np.full(int((~inside).sum()), arms),
        categorical_feature=[*setting.categorical, setting.matrix.shape[1]],
        params={"verbosity": -1, "num_threads": 1},
    )
    booster = lgb.train(parameters, rows, num_boost_round=_RANKER_TREES)
    return np.asarray(booster.predict(_long(setting.matrix[inside], arms), num_threads=1)).reshape(-1, arms)


def lambdarank(setting: Setting, labels: Sequence[Array], settings: LearnerConfig) -> list[Array]:
    """Return out-of-fold scores of LightGBM LambdaRank over each person's arms, one array per labelling.

    Parameters
    ----------
    setting : Setting
    labels : sequence of arrays (n, arms)
        How good each arm was, NaN where unknown; graded on the training rows of each fold.
    settings : LearnerConfig

    Returns
    -------
    list of array (n, arms)
        The same for any number of threads.
    """
    fold = setting.evidence.fold.fold
    jobs = [(k, number) for k in range(len(labels)) for number in np.unique(fold)]
    pool = Parallel(n_jobs=settings.threads, prefer="threads")
    made = pool(delayed(_ranked)(setting, labels[k], number, settings.seed + 5) for k, number in jobs)
    found = [np.zeros(values.shape) for values in labels]
    for (k, number), scores in zip(jobs, made, strict=True):
        found[k][fold == number] = scores
    return found


def _published(rule: PublishedRule | None, setting: Setting) -> list[Choices]:
    if rule is None:
        return []
    reason = rule.missing(setting.arms, setting.features)
    if reason:
        return [Choices("published_rule", rule.label, None, reason)]
    note = f"draft, waits for clinical review. {rule.about}" if rule.is_draft else rule.about
    return [
        Choices("published_rule", rule.label, rule.chance(setting.features, setting.arms, setting.is_impossible), note)
    ]


def policies(setting: Setting, settings: LearnerConfig, rule: PublishedRule | None = None) -> list[Choices]:
    """Return what each policy would have given, clinicians first and the model last.

    Parameters
    ----------
    setting : Setting
    settings : LearnerConfig
    rule : PublishedRule or None

    Returns
    -------
    list of Choices
    """
    evidence, impossible, cost = setting.evidence, setting.is_impossible, setting.burden
    scores = evidence.scores - cost
    arms = scores.shape[1]
    allowed = ~impossible
    given = cost[np.arange(len(evidence.arm)), evidence.arm]
    labels = [only_given(evidence.observed_utility - given, evidence.arm, arms), scores]
    naive, robust = (best(values, impossible) for values in lambdarank(setting, labels, settings))
    return [
        Choices(REFERENCE, "Clinicians' own choices", np.eye(arms)[evidence.arm]),
        Choices("random", "Random among the possible", allowed / allowed.sum(axis=1, keepdims=True)),
        Choices(BEST_ARM, "One best arm for all", one_best_arm(scores, evidence.fold.fold, impossible)),
        *_published(rule, setting),
        Choices("imitation", "Imitation of clinicians", best(evidence.fold.propensity, impossible)),
        Choices("lambdarank_naive", "LambdaRank on observed outcomes", naive),
        Choices("lambdarank_dr", "LambdaRank on doubly-robust scores", robust),
        *(
            Choices(name, TEACHER_LABELS[name], best(values @ setting.signed - cost, impossible))
            for name, values in evidence.fold.teachers.items()
        ),
        Choices("stack", "Stack, not shrunk", best(_stacked(evidence, setting.signed) - cost, impossible)),
        Choices(MODEL, "mmrank: stack, shrunk (out of fold)", best(evidence.utility - cost, impossible)),
    ]
