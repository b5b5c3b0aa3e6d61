"""What would a data scientist write in an afternoon: a T-learner, SHAP per model, rules by hand?

The usual way: 500 trees of 31 leaves per modality and outcome, `shap.TreeExplainer` per model, rules as Python
conditions put to one row after the other, or by `DataFrame.eval` to all rows at once. The tuned way is what a careful
one makes of it: 200 trees of 15 leaves, one call of `pred_contrib` for prediction and explanation, rules as one SQL
query. Neither has intervals, ties, abstentions or support, and the rules of the first are two-valued, as comparisons
with NaN are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from pipeline.advice import Adviser, Shard
from pipeline.guardrails import Plan, apply_rules_sql, fact_table, plan
from pipeline.guardrails.answers import CLEAR, codes_of
from pipeline.guardrails.conditions import (
    LABEL_PREFIX,
    AllOf,
    AnyOf,
    AtLeast,
    Compare,
    Condition,
    Known,
    NotOf,
    facts_of,
)
from pipeline.guardrails.grid import TRUE
from pipeline.learners import Target, signed_weights
from pipeline.ranker import burden, burden_share, personal_weights
from pipeline.vocabulary import VERDICTS

Array = npt.NDArray[np.float64]
SIGNS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "equals": "==", "in": "==", "is": "=="}
REASONS = 5
RowRules = Callable[[pd.DataFrame, pd.Series], tuple[npt.NDArray[np.int8], list[list[str]]]]
"""From facts and dates to verdicts of products, (n, products), and the rules that fired."""


@dataclass(frozen=True)
class TLearner:
    """One booster per modality and outcome, on the probability scale, so that explanations add up to suitability.

    Attributes
    ----------
    arms : tuple of str
    targets : tuple of Target
    boosters : mapping of (arm, target) positions to Booster
        None where the outcome is declared 0: time off treatment under continuous therapy.
    """

    arms: tuple[str, ...]
    targets: tuple[Target, ...]
    boosters: Mapping[tuple[int, int], lgb.Booster]

    def outcomes(self, matrix: Array) -> Array:
        """Return predictions, shape (n, arms, targets)."""
        found = np.zeros((len(matrix), len(self.arms), len(self.targets)))
        for (arm, target), booster in self.boosters.items():
            found[:, arm, target] = booster.predict(matrix)
        return found

    @property
    def leaves(self) -> float:
        """Mean number of leaves of a tree."""
        counts = [
            tree["num_leaves"] for booster in self.boosters.values() for tree in booster.dump_model()["tree_info"]
        ]
        return float(np.mean(counts))


def label_of(labels: pd.DataFrame, target: Target) -> Array:
    """Return the outcome by its horizon, NaN where follow-up ended before it: such rows are left out, as is usual."""
    if target.kind == "free_share":
        quarters = labels[[f"treatment_free_q{quarter}" for quarter in (1, 2, 3, 4)]].to_numpy(dtype=float)
        return np.asarray(quarters.mean(axis=1))
    months = labels[f"{target.name}_months"].to_numpy(dtype=float)
    event = labels[f"{target.name}_event"].to_numpy(dtype=float)
    had = (event == 1) & (months <= target.horizon_months)
    settled = had | (event == 2) | (months >= target.horizon_months)
    value = had if target.kind == "incidence" else ~had
    return np.where(settled, value.astype(float), np.nan)


def t_learner(
    adviser: Adviser, features: pd.DataFrame, given: pd.Series, labels: pd.DataFrame, trees: int, leaves: int
) -> TLearner:
    """Return a T-learner of the model's own arms, outcomes and columns."""
    model, config = adviser.model, adviser.config
    limited = {entry.id: entry.time_limited for entry in config.modalities}
    matrix = model.columns.matrix(features)
    settings = {"objective": "regression", "num_leaves": leaves, "verbosity": -1, "num_threads": 1, "seed": 1}
    boosters = {}
    for arm, name in enumerate(model.arms):
        for place, target in enumerate(model.targets):
            if target.kind == "free_share" and not limited[name]:
                continue
            label = label_of(labels, target)
            rows = (given.to_numpy(dtype=object) == name) & ~np.isnan(label)
            table = lgb.Dataset(matrix[rows], label[rows], categorical_feature=list(model.columns.categorical))
            boosters[arm, place] = lgb.train(settings, table, num_boost_round=trees)
    return TLearner(model.arms, model.targets, boosters)


def asked_of(adviser: Adviser) -> Plan:
    """Return which rules are put to which products: the same for every way."""
    config = adviser.config
    return plan(
        adviser.rules,
        config.products,
        config.modalities,
        jurisdiction=config.settings.jurisdiction,
        include_drafts=config.settings.include_draft_rules,
    )


def plain_facts(facts: pd.DataFrame, asked: Plan) -> pd.DataFrame:
    """Return the facts that rules read as a data scientist holds them: numbers with NaN, words."""
    read = {name for entry in asked.asked for name in facts_of(entry.rule.condition)} & set(facts.columns)
    plain: dict[str, Any] = {}
    for name in sorted(read):
        column = facts[name]
        is_number = pd.api.types.is_numeric_dtype(column.dtype)
        as_floats = column.astype("Float64") if is_number else column
        plain[name] = as_floats.to_numpy(dtype=float, na_value=np.nan) if is_number else column.astype("object")
    return pd.DataFrame(plain, index=facts.index)


def written(condition: Condition, label: Mapping[str, Any], fact: str, words: tuple[str, str, str]) -> str:
    """Return a condition as Python text; `fact` spells a fact, `words` are those for and, or, not."""

    def part(inner: Condition) -> str:
        return written(inner, label, fact, words)

    both, either, negated = words
    match condition:
        case Known(name, known) if name.startswith(LABEL_PREFIX):
            return str((label.get(name) is not None) is known)
        case Known(name, known):
            return f"({fact.format(name)} {'==' if known else '!='} {fact.format(name)})"
        case NotOf(inner):
            return f"({negated} {part(inner)})"
        case AllOf(parts):
            return f"({f' {both} '.join(map(part, parts))})"
        case AnyOf(parts):
            return f"({f' {either} '.join(map(part, parts))})"
        case AtLeast(count, parts):
            return f"(({' + '.join(f'(1 * {part(inner)})' for inner in parts)}) >= {count})"
        case Compare():
            return _compared(condition, label, fact, both, either)


def _compared(leaf: Compare, label: Mapping[str, Any], fact: str, both: str, either: str) -> str:
    if leaf.fact.startswith(LABEL_PREFIX):
        return str(label.get(leaf.fact) in leaf.values)
    name, factor = fact.format(leaf.fact), "" if leaf.times is None else f" * {fact.format(leaf.times)}"
    limits = [f"{value!r}{factor}" for value in leaf.values]
    if leaf.op == "between":
        return f"(({name} >= {limits[0]}) {both} ({name} <= {limits[1]}))"
    return f"({f' {either} '.join(f'({name} {SIGNS[leaf.op]} {limit})' for limit in limits)})"


def row_rules(asked: Plan) -> RowRules:
    """Return rules by hand: Python conditions, put to one row after the other by DataFrame.apply."""
    ready = []
    for entry in asked.asked:
        text = written(entry.rule.condition, entry.label, "row[{!r}]", ("and", "or", "not"))
        test = eval(f"lambda row: {text}")
        ready.append((entry.rule.id, test, entry.products, codes_of(entry.rule)[TRUE], _day(entry.rule.effective_from)))

    def judged(row: pd.Series) -> tuple[list[int], list[str]]:
        verdicts, fired = [CLEAR] * len(asked.offered), []
        for name, test, products, code, since in ready:
            if (pd.isna(row["decision_date"]) or row["decision_date"] >= since) and test(row):
                fired.append(name)
                for product in products:
                    verdicts[product] = max(verdicts[product], int(code))
        return verdicts, fired

    def rules(facts: pd.DataFrame, dates: pd.Series) -> tuple[npt.NDArray[np.int8], list[list[str]]]:
        said = facts.assign(decision_date=dates.to_numpy()).apply(judged, axis=1)
        return np.array([verdicts for verdicts, _ in said], dtype=np.int8), [fired for _, fired in said]

    return rules


def eval_rules(asked: Plan) -> RowRules:
    """Return the same rules by DataFrame.eval, one rule after the other over all rows."""
    texts = [written(entry.rule.condition, entry.label, "`{}`", ("&", "|", "~")) for entry in asked.asked]

    def rules(facts: pd.DataFrame, dates: pd.Series) -> tuple[npt.NDArray[np.int8], list[list[str]]]:
        verdicts = np.full((len(facts), len(asked.offered)), CLEAR, dtype=np.int8)
        fired: list[list[str]] = [[] for _ in range(len(facts))]
        for entry, text in zip(asked.asked, texts, strict=True):
            since = dates.isna().to_numpy() | (dates >= _day(entry.rule.effective_from)).to_numpy()
            holds = since & np.asarray(facts.eval(text), dtype=bool)
            code = codes_of(entry.rule)[TRUE]
            for product in entry.products:
                verdicts[holds, product] = np.maximum(verdicts[holds, product], code)
            for row in np.flatnonzero(holds):
                fired[row].append(entry.rule.id)
        return verdicts, fired

    return rules


def _day(date: Any) -> pd.Timestamp:
    return pd.Timestamp(date)


def weighed(adviser: Adviser, shard: Shard, outcomes: Array) -> tuple[Array, Array, Array]:
    """Return suitability (n, arms), signed weights (n, targets) and burden's part of suitability (n, arms)."""
    model, config = adviser.model, adviser.config
    targets = [target.name for target in model.targets]
    weights = personal_weights(list(shard.features["decision_id"]), config.weights(targets), shard.preferences)
    signed = signed_weights(weights.to_numpy(dtype=float), list(weights.columns), model.targets)
    ids = list(config.modality_ids)
    carried = burden(config.modalities, shard.features["distance_km"].to_numpy(dtype=float))
    own = carried[:, [ids.index(arm) for arm in model.arms]]
    part = -burden_share(weights, model)[:, None] * own
    return np.einsum("nak,nk->na", outcomes, signed) + part, signed, part


def usual_advice(
    adviser: Adviser,
    learner: TLearner,
    explainers: Mapping[tuple[int, int], Any],
    rules: RowRules,
    asked: Plan,
    shard: Shard,
) -> pd.DataFrame:
    """Return the usual way's table, one row per decision and modality."""
    matrix = adviser.model.columns.matrix(shard.features)
    outcomes = learner.outcomes(matrix)
    suitability, signed, part = weighed(adviser, shard, outcomes)
    shap = np.zeros((len(matrix), len(learner.arms), matrix.shape[1]))
    for (arm, target), explainer in explainers.items():
        shap[:, arm] += signed[:, [target]] * np.asarray(explainer.shap_values(matrix))
    verdicts, fired = rules(plain_facts(shard.facts, asked), shard.dates.reindex(shard.facts.index))
    return _table(adviser, asked, learner, shard, outcomes, suitability, np.dstack([shap, part]), verdicts, fired)


def tuned_advice(adviser: Adviser, learner: TLearner, asked: Plan, shard: Shard) -> pd.DataFrame:
    """Return the tuned way's table, one row per decision and modality."""
    matrix = adviser.model.columns.matrix(shard.features)
    told = {key: np.asarray(booster.predict(matrix, pred_contrib=True)) for key, booster in learner.boosters.items()}
    outcomes = np.zeros((len(matrix), len(learner.arms), len(learner.targets)))
    for (arm, target), values in told.items():
        outcomes[:, arm, target] = values.sum(axis=1)
    suitability, signed, part = weighed(adviser, shard, outcomes)
    shap = np.zeros((len(matrix), len(learner.arms), matrix.shape[1]))
    for (arm, target), values in told.items():
        shap[:, arm] += signed[:, [target]] * values[:, :-1]
    facts = shard.facts.assign(decision_date=shard.dates.reindex(shard.facts.index)).reset_index()
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("arrow_facts", pa.Table.from_pandas(facts, preserve_index=False))
        connection.execute("create table facts as select * from arrow_facts")
        answers = apply_rules_sql(connection, fact_table(connection, "facts"), asked)
    place = answers.decisions.get_indexer(shard.facts.index)
    names = np.array([entry.rule.id for entry in asked.asked], dtype=object)
    fired = [list(names[states == TRUE]) for states in answers.states.T[place]]
    return _table(
        adviser, asked, learner, shard, outcomes, suitability, np.dstack([shap, part]), answers.products.T[place], fired
    )


def _table(
    adviser: Adviser,
    asked: Plan,
    learner: TLearner,
    shard: Shard,
    outcomes: Array,
    suitability: Array,
    shap: Array,
    verdicts: npt.NDArray[np.int8],
    fired: Sequence[list[str]],
) -> pd.DataFrame:
    """Return rows with outcomes, suitability, rank, verdicts, rules that fired, and the largest reasons."""
    n = len(suitability)
    best = np.stack([verdicts[:, list(asked.products_of(arm))].min(axis=1) for arm in learner.arms], axis=1)
    value = np.where(best < VERDICTS.index("indeterminate"), suitability, -np.inf)
    rank = 1 + (value[:, :, None] > value[:, None, :]).sum(axis=1)
    order = np.argsort(-np.abs(shap), axis=2)[:, :, :REASONS]
    names = [*adviser.model.columns.names, "burden"]
    reasons = [
        [(names[feature], float(shap[row, arm, feature])) for feature in order[row, arm]]
        for row in range(n)
        for arm in range(len(learner.arms))
    ]
    told = {target.name: outcomes[:, :, place].ravel() for place, target in enumerate(learner.targets)}
    return pd.DataFrame(
        {
            "decision_id": np.repeat(shard.features["decision_id"].to_numpy(), len(learner.arms)),
            "modality": np.tile(np.array(learner.arms, dtype=object), n),
            "suitability": suitability.ravel(),
            **told,
            "verdict": best.ravel(),
            "rank": np.where(np.isinf(value), np.nan, rank).ravel(),
            "rules": [names for names in fired for _ in learner.arms],
            "reasons": reasons,
        }
    )
