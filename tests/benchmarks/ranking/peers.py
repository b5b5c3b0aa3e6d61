"""What would a data scientist use instead? Each function learns from training rows and answers on test rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from pipeline.learners import Target
from tests.benchmarks.ranking.data import Task
from tests.benchmarks.ranking.preparing import (
    Answer,
    Arrays,
    arrays,
    boosted,
    complete,
    doubly_robust,
    folds_of,
    label,
    one_number,
    propensities,
    weights,
)

Array = npt.NDArray[np.float64]
Protocol = Mapping[str, Any]

REFERENCE = "standard_triplet"


def _settings(protocol: Protocol, method: str) -> dict[str, Any]:
    return dict(protocol["methods"][method].get("settings", {}))


def _reference(task: Task, data: Arrays) -> int:
    """Return the learned arm that effects are measured against: the established one, else the commonest."""
    usual = task.arms.index(REFERENCE)
    found = np.flatnonzero(data.learned == usual)
    return int(found[0]) if len(found) else int(np.bincount(data.arm).argmax())


def _with_reference(effects: Array, reference: int) -> Array:
    """Return effects of the other arms, shape (n, arms - 1), with the reference's zero put in its place."""
    return np.insert(effects, reference, 0.0, axis=1)


def _floor(protocol: Protocol) -> float:
    return float(protocol["labels"]["least_uncensored"])


# --- econml


def causal_forest(task: Task, protocol: Protocol) -> Answer:
    """Return effects by econml's CausalForestDML, which wants tables without gaps."""
    from econml.dml import CausalForestDML

    data, own = arrays(task), _settings(protocol, "causal_forest")
    reference = _reference(task, data)
    order = [reference, *[k for k in range(len(data.learned)) if k != reference]]
    treatment = np.array([order.index(k) for k in data.arm])
    train, test = complete(data.train, data.test)
    beyond = _beyond(task, data)
    extra = None if beyond is None else complete(beyond)[0]
    forest = CausalForestDML(
        model_y=lgb.LGBMRegressor(**boosted(protocol, len(data.arm))),
        model_t=lgb.LGBMClassifier(**boosted(protocol, len(data.arm))),
        discrete_treatment=True,
        categories=list(range(len(order))),
        cv=own["folds"],
        n_estimators=own["trees"],
        min_samples_leaf=own["leaf_rows"],
        n_jobs=1,
        random_state=1,
    )
    number = one_number(data, _floor(protocol))
    forest.fit(number, treatment, X=train, W=extra, groups=data.groups, inference=None)
    effects = np.asarray(forest.const_marginal_effect(test)).reshape(len(test), -1)
    return Answer(data.everywhere(_with_reference(effects, reference)))


def dr_learner(task: Task, protocol: Protocol) -> Answer:
    """Return effects by econml's DRLearner with LightGBM throughout."""
    from econml.dr import DRLearner
    from sklearn.model_selection import GridSearchCV

    data, own = arrays(task), _settings(protocol, "dr_learner")
    reference = _reference(task, data)
    order = [reference, *[k for k in range(len(data.learned)) if k != reference]]
    treatment = np.array([order.index(k) for k in data.arm])
    shallow = boosted(protocol, len(data.arm)) | {
        "num_leaves": own["final_leaves"],
        "min_child_samples": own["final_leaf_rows"],
    }
    final = GridSearchCV(
        lgb.LGBMRegressor(**shallow),
        {"n_estimators": own["final_trees"]},
        scoring="neg_mean_squared_error",
        cv=own["folds"],
    )
    learner = DRLearner(
        model_propensity=lgb.LGBMClassifier(**boosted(protocol, len(data.arm))),
        model_regression=lgb.LGBMRegressor(**boosted(protocol, len(data.arm))),
        model_final=final,
        categories=list(range(len(order))),
        min_propensity=protocol["labels"]["propensity_floor"],
        cv=own["folds"],
        allow_missing=True,
        random_state=1,
    )
    number = one_number(data, _floor(protocol))
    learner.fit(number, treatment, X=data.train, W=_beyond(task, data), groups=data.groups)
    effects = np.asarray(learner.const_marginal_effect(data.test)).reshape(len(data.test), -1)
    return Answer(data.everywhere(_with_reference(effects, reference)))


def _beyond(task: Task, data: Arrays) -> Array | None:
    """Return the columns of the propensity that the outcome table lacks."""
    extra = [k for k, name in enumerate(task.propensity_names) if name not in task.names]
    return data.own[:, extra] if extra else None


# --- causalml


def causalml_t(task: Task, protocol: Protocol) -> Answer:
    """Return effects by causalml's T-learner."""
    from causalml.inference.meta import BaseTRegressor

    data = arrays(task)
    reference = _reference(task, data)
    learner = BaseTRegressor(learner=_plain(protocol, data), control_name=reference)
    learner.fit(data.train, data.arm, one_number(data, _floor(protocol)))
    return Answer(data.everywhere(_with_reference(np.asarray(learner.predict(data.test)), reference)))


def causalml_x(task: Task, protocol: Protocol) -> Answer:
    """Return effects by causalml's X-learner, given propensities."""
    from causalml.inference.meta import BaseXRegressor

    data = arrays(task)
    reference = _reference(task, data)
    others = [k for k in range(len(data.learned)) if k != reference]
    chance = np.maximum(propensities(data, protocol), protocol["labels"]["propensity_floor"])
    model = lgb.LGBMClassifier(**boosted(protocol, len(data.arm))).fit(data.own, data.arm)
    later = np.maximum(model.predict_proba(data.own_test), protocol["labels"]["propensity_floor"])
    learner = BaseXRegressor(learner=_plain(protocol, data), control_name=reference)
    against = {k: chance[:, k] / (chance[:, k] + chance[:, reference]) for k in others}
    learner.fit(data.train, data.arm, one_number(data, _floor(protocol)), p=against)
    against = {k: later[:, k] / (later[:, k] + later[:, reference]) for k in others}
    return Answer(data.everywhere(_with_reference(np.asarray(learner.predict(data.test, p=against)), reference)))


def _plain(protocol: Protocol, data: Arrays) -> lgb.LGBMRegressor:
    smallest = int(np.bincount(data.arm).min())
    return lgb.LGBMRegressor(**boosted(protocol, len(data.arm), smallest))


# --- one model per arm and outcome


def lightgbm_t(task: Task, protocol: Protocol) -> Answer:
    """Return utilities by one weighted LightGBM per arm and outcome."""
    data = arrays(task)
    values = np.zeros((len(data.test), len(data.learned)))
    for target, weight in zip(data.targets, data.signed, strict=True):
        own = label(data, target)
        inverse = weights(data, own, _floor(protocol))
        for position in range(len(data.learned)):
            if target.kind == "free_share" and not data.limited[position]:
                continue
            rows = (data.arm == position) & own.decided
            values[:, position] += weight * _expected(data, rows, own.value, inverse, target, protocol)
    return Answer(data.everywhere(values))


def _expected(
    data: Arrays, rows: npt.NDArray[np.bool_], value: Array, inverse: Array, target: Target, protocol: Protocol
) -> Array:
    if rows.sum() < 2 or np.ptp(value[rows]) == 0:
        return np.full(len(data.test), float(value[rows].mean()) if rows.any() else 0.0)
    settings = boosted(protocol, len(data.arm), int(rows.sum()))
    if target.kind == "free_share":
        model = lgb.LGBMRegressor(**settings).fit(data.train[rows], value[rows], sample_weight=inverse[rows])
        return np.asarray(model.predict(data.test))
    chance = lgb.LGBMClassifier(**settings).fit(data.train[rows], value[rows], sample_weight=inverse[rows])
    return np.asarray(chance.predict_proba(data.test)[:, 1])


def cox(task: Task, protocol: Protocol) -> Answer:
    """Return utilities by penalised Cox models per arm and cause (lifelines)."""
    data, own = arrays(task), _settings(protocol, "cox")
    train, test = complete(data.train, data.test)
    penalty = _penalty(data, train, own)
    values = np.zeros((len(test), len(data.learned)))
    for target, weight in zip(data.targets, data.signed, strict=True):
        for position in range(len(data.learned)):
            rows = data.arm == position
            if target.kind != "free_share":
                values[:, position] += weight * _cox_outcome(data, train, test, rows, target, penalty)
            elif data.limited[position]:
                values[:, position] += weight * _ridge_share(data, train, test, rows, target, protocol)
    return Answer(data.everywhere(values))


def _cox(table: Array, months: Array, event: Array, penalty: float) -> Any:
    """Return a fitted model, or None where it cannot be fitted: too few events, or no convergence."""
    import pandas as pd
    from lifelines import CoxPHFitter
    from lifelines.exceptions import ConvergenceError

    if event.sum() < 5:
        return None
    frame = pd.DataFrame(table, columns=[f"x{k}" for k in range(table.shape[1])])
    frame = frame.loc[:, frame.std() > 0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return CoxPHFitter(penalizer=penalty, l1_ratio=0.0).fit(
                frame.assign(months=months, event=event), duration_col="months", event_col="event"
            )
        except ConvergenceError:
            return None


def _cumulative(model: Any, months: Array, event: Array, test: Array, grid: Array) -> Array:
    """Return cumulative hazards of test rows on a grid; of everybody alike (Nelson-Aalen) where there is no model."""
    import pandas as pd

    if model is None:
        at_risk = (months[None, :] >= months[:, None]).sum(axis=1)
        steps = np.array([np.sum((event / at_risk)[months <= time]) for time in grid])
        return np.repeat(steps[None], len(test), axis=0)
    base = model.baseline_cumulative_hazard_.iloc[:, 0]
    steps = np.interp(grid, base.index.to_numpy(), base.to_numpy(), left=0.0)
    frame = pd.DataFrame(test, columns=[f"x{k}" for k in range(test.shape[1])])
    risk = np.exp(np.clip(model.predict_log_partial_hazard(frame[list(model.params_.index)]).to_numpy(), -6, 6))
    return np.asarray(risk[:, None] * steps[None])


def _cox_outcome(
    data: Arrays, train: Array, test: Array, rows: npt.NDArray[np.bool_], target: Target, penalty: float
) -> Array:
    months = data.labels[f"{target.name}_months"].to_numpy(dtype=float)[rows]
    event = data.labels[f"{target.name}_event"].to_numpy(dtype=float)[rows]
    grid = np.linspace(0, target.horizon_months, 61)
    causes = [
        _cumulative(
            _cox(train[rows], months, (event == code).astype(float), penalty), months, event == code, test, grid
        )
        for code in (1, 2)
        if (event == code).any()
    ]
    if not causes:
        return np.full(len(test), 1.0 if target.kind == "event_free" else 0.0)
    survival = np.exp(-np.sum(causes, axis=0))
    if target.kind == "event_free":
        return np.asarray(survival[:, -1])
    if not (event == 1).any():
        return np.zeros(len(test))
    return np.asarray((survival[:, :-1] * -np.expm1(-np.diff(causes[0], axis=1))).sum(axis=1).clip(0, 1))


def _penalty(data: Arrays, train: Array, own: Mapping[str, Any]) -> float:
    """Return the ridge strength with the best held-out partial likelihood of durable control over arms."""
    import pandas as pd

    target = next(target for target in data.targets if target.kind == "event_free")
    months = data.labels[f"{target.name}_months"].to_numpy(dtype=float)
    event = (data.labels[f"{target.name}_event"].to_numpy(dtype=float) == 1).astype(float)
    fold = folds_of(data, own["folds"])
    totals = dict.fromkeys(own["penalties"], 0.0)
    for position in range(len(data.learned)):
        for held in range(own["folds"]):
            fit, out = (data.arm == position) & (fold != held), (data.arm == position) & (fold == held)
            if event[out].sum() < 5:
                continue
            frame = pd.DataFrame(train[out], columns=[f"x{k}" for k in range(train.shape[1])])
            frame = frame.assign(months=months[out], event=event[out])
            for penalty in totals:
                model = _cox(train[fit], months[fit], event[fit], penalty)
                if model is not None:
                    kept = [*model.params_.index, "months", "event"]
                    totals[penalty] += model.score(frame[kept], "log_likelihood") * float(out.sum())
                else:
                    totals[penalty] -= 1e9
    return float(max(totals, key=lambda penalty: totals[penalty]))


def _ridge_share(
    data: Arrays, train: Array, test: Array, rows: npt.NDArray[np.bool_], target: Target, protocol: Protocol
) -> Array:
    from sklearn.linear_model import RidgeCV

    own = label(data, target)
    inverse = weights(data, own, _floor(protocol))
    kept = rows & own.decided
    if kept.sum() < 10:
        return np.full(len(test), float(own.value[kept].mean()) if kept.any() else 0.0)
    model = RidgeCV(alphas=(10.0, 30.0, 100.0, 300.0)).fit(train[kept], own.value[kept], sample_weight=inverse[kept])
    return np.asarray(model.predict(test))


# --- learning to rank, and imitation


def lambdarank_dr(task: Task, protocol: Protocol) -> Answer:
    """Return scores of LightGBM's ranker on ranks of doubly-robust scores."""
    data = arrays(task)
    scores = doubly_robust(data, protocol)
    relevance = scores.argsort(axis=1).argsort(axis=1)
    return _ranked(data, relevance, None, protocol)


def lambdarank_naive(task: Task, protocol: Protocol) -> Answer:
    """Return scores of LightGBM's ranker on whether the arm given did well or badly."""
    data = arrays(task)
    number = one_number(data, _floor(protocol))
    relevance = np.ones((len(data.arm), len(data.learned)), dtype=np.int64)
    relevance[np.arange(len(data.arm)), data.arm] = np.where(number > np.median(number), 2, 0)
    decided = np.all([label(data, target).decided for target in data.targets], axis=0)
    return _ranked(data, relevance, decided, protocol)


def _ranked(
    data: Arrays, relevance: npt.NDArray[np.int64], keep: npt.NDArray[np.bool_] | None, protocol: Protocol
) -> Answer:
    arms = len(data.learned)
    rows = np.arange(len(data.arm)) if keep is None else np.flatnonzero(keep)

    def pairs(table: Array) -> Array:
        return np.column_stack([np.repeat(table, arms, axis=0), np.tile(np.arange(arms), len(table))])

    model = lgb.LGBMRanker(**boosted(protocol, len(data.arm)))
    model.fit(
        pairs(data.train[rows]),
        relevance[rows].ravel(),
        group=np.full(len(rows), arms),
        categorical_feature=[data.train.shape[1]],
    )
    return Answer(data.everywhere(np.asarray(model.predict(pairs(data.test))).reshape(-1, arms)), "score")


def imitation(task: Task, protocol: Protocol) -> Answer:
    """Return the chance that clinicians give each arm."""
    data = arrays(task)
    model = lgb.LGBMClassifier(**boosted(protocol, len(data.arm))).fit(data.own, data.arm)
    return Answer(data.everywhere(model.predict_proba(data.own_test)), "score")


# --- no individual


def best_arm_naive(task: Task, protocol: Protocol) -> Answer:
    """Return each arm's mean utility, burden included, among those who got it."""
    data = arrays(task)
    number = one_number(data, _floor(protocol))
    means = [number[data.arm == position].mean() for position in range(len(data.learned))]
    return _same_for_all(task, data, np.array(means))


def best_arm_dr(task: Task, protocol: Protocol) -> Answer:
    """Return each arm's mean doubly-robust score, burden included."""
    data = arrays(task)
    return _same_for_all(task, data, doubly_robust(data, protocol).mean(axis=0))


def _same_for_all(task: Task, data: Arrays, means: Array) -> Answer:
    total = sum(task.weights.values())
    means = means - task.weights.get("burden", 0.0) / total * task.train.burden[:, data.learned].mean(axis=0)
    return Answer(data.everywhere(np.repeat(means[None], len(data.test), axis=0)), "score")


def at_random(task: Task, protocol: Protocol) -> Answer:
    """Return the same chance for every arm."""
    return Answer(np.ones((len(task.test.features), len(task.arms))), "policy")


def clinicians(task: Task, protocol: Protocol) -> Answer:
    """Return what was given."""
    given = task.test.modality.to_numpy(dtype=object)
    return Answer(np.equal.outer(given, np.array(task.arms, dtype=object)).astype(float), "policy")


PEERS: dict[str, Callable[[Task, Protocol], Answer]] = {
    "causal_forest": causal_forest,
    "dr_learner": dr_learner,
    "causalml_t": causalml_t,
    "causalml_x": causalml_x,
    "lightgbm_t": lightgbm_t,
    "cox": cox,
    "lambdarank_dr": lambdarank_dr,
    "lambdarank_naive": lambdarank_naive,
    "imitation": imitation,
    "best_arm_naive": best_arm_naive,
    "best_arm_dr": best_arm_dr,
    "random": at_random,
    "clinicians": clinicians,
}
