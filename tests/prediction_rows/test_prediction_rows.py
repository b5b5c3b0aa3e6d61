"""Do columns made whole say what a loop over every cell says?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.explain import Explanation, next_displayed
from pipeline.guardrails import Verdicts
from pipeline.prediction_rows import Detail, Extent, prediction_rows, predictions_frame
from pipeline.ranker import Standing, display_order
from pipeline.store import prediction_table
from pipeline.vocabulary import OUTCOMES, STATUSES, VERDICTS

MODALITIES = ("car_t", "adc", "bispecific")
PRODUCTS = (("car_t", "one"), ("car_t", "two"), ("adc", "three"), ("bispecific", "bispecific"))
RULES = ("G01", "G02", "G10")
FACTS = ("age", "eye_exam", "distance_km", "available_adc")
NUMBERS = ("age", "creatinine", "distance_km", "flag")
TARGETS = ("durable_control", "early_death")
VERSIONS = {"model_version": "m", "ruleset_version": "r", "records_digest": "d"}


@dataclass(frozen=True)
class Drawn:
    """What a shard is made of."""

    features: pd.DataFrame
    is_available: np.ndarray
    standing: Standing
    explanation: Explanation
    verdicts: Verdicts


def some_of(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Return numbers with equal sizes, zeros, large and small ones among them."""
    choice = rng.choice([0.0, 0.25, -0.25, 1.0 / 3.0, 1e-9, 5e5], size=shape)
    return np.where(rng.random(shape) < 0.5, choice, rng.normal(size=shape))


def holes(rng: np.random.Generator, values: np.ndarray, share: float = 0.3) -> np.ndarray:
    return np.where(rng.random(values.shape) < share, np.nan, values)


def drawn(seed: int, n: int) -> Drawn:
    rng = np.random.default_rng(seed)
    m, decisions = len(MODALITIES), tuple(f"d{number:03d}" for number in range(n))
    has_model = np.array([True, True, rng.random() < 0.5])
    columns: dict[str, Any] = {name: holes(rng, some_of(rng, n)) for name in NUMBERS}
    levels = ["female", "male", "unknown"]
    columns["sex"] = pd.Categorical.from_codes(rng.integers(-1, 3, n), categories=levels)
    features = pd.DataFrame({"decision_id": list(decisions), "patient_id": [f"p{i % 3}" for i in range(n)], **columns})
    rank = np.where(has_model, holes(rng, rng.integers(1, 4, (n, m)).astype(float)), np.nan)
    suitability = np.where(has_model, rng.normal(size=(n, m)), np.nan)
    standing = Standing(
        decisions=decisions,
        modalities=MODALITIES,
        outcomes=np.where(has_model[:, None], rng.normal(0.5, 0.5, (n, m, len(TARGETS))), np.nan),
        burden=rng.random((n, m)),
        suitability=suitability,
        half_widths=np.where(has_model, rng.random((n, m)), np.nan),
        support=holes(rng, rng.random((n, m))),
        deviations=np.zeros((n, 1, m)),
        status=rng.choice(STATUSES, (n, m)),
        verdict=rng.choice(VERDICTS, (n, m)),
        rank=rank,
        model_rank=np.where(has_model, np.ones((n, m)), np.nan),
        tied=rng.random((n, m, m)) < 0.3,
        abstain_reason=rng.choice(["", "outside_experience", "shifted"], (n, m)),
    )
    names = (*NUMBERS, "sex", "burden")
    explanation = Explanation(
        names=names,
        baseline=np.where(has_model, rng.normal(size=(n, m)), np.nan),
        contributions=np.where(has_model[:, None], some_of(rng, n, m, len(names)), np.nan),
    )
    is_available = rng.choice([0.0, 1.0, np.nan], (n, m))
    return Drawn(features, is_available, standing, explanation, drawn_verdicts(rng, decisions))


def drawn_verdicts(rng: np.random.Generator, decisions: tuple[str, ...]) -> Verdicts:
    products = [(d, m, p, str(rng.choice(VERDICTS))) for d in decisions for m, p in PRODUCTS]
    findings, named = [], []
    for decision in decisions:
        aside = {rule for rule in RULES if rng.random() < 0.2}
        named += [(decision, rule, f"why {rule}", "role", "2026-01-01", True) for rule in sorted(aside)]
        for modality, product in PRODUCTS:
            for rule in rng.permutation(RULES)[: rng.integers(0, 4)]:
                facts = tuple(str(fact) for fact in rng.permutation(FACTS)[: rng.integers(0, 4)])
                verdict = str(rng.choice(VERDICTS[2:]))
                findings.append((decision, modality, product, str(rule), verdict, facts, str(rule) in aside))
    kinds = {"decision_id": "str", "modality": "str", "product": "str", "rule_id": "str", "verdict": "str"}
    found = pd.DataFrame(findings, columns=[*kinds, "missing_facts", "overridden"]).astype(
        {**kinds, "overridden": bool}
    )
    texts = ["decision_id", "rule_id", "reason", "by_role", "date"]
    return Verdicts(
        products=pd.DataFrame(products, columns=["decision_id", "modality", "product", "verdict"]).astype("str"),
        modalities=pd.DataFrame(),
        findings=found,
        assessed=pd.DataFrame(),
        overrides=pd.DataFrame(named, columns=[*texts, "applied"]).astype(dict.fromkeys(texts, "str")),
    )


def rows_of(given: Drawn, detail: Detail, rows: slice = slice(None)) -> pa.Table:
    """Return the rows of some decisions as `prediction_rows` makes them."""
    kept = given.standing.decisions[rows]
    arrays = {
        name: value[rows] if isinstance(value, np.ndarray) else value for name, value in vars(given.standing).items()
    }
    standing = Standing(**{**arrays, "decisions": kept})
    tables = {
        name: table[table["decision_id"].isin(kept)].reset_index(drop=True) if "decision_id" in table else table
        for name, table in vars(given.verdicts).items()
    }
    explanation = given.explanation
    own = Explanation(explanation.names, explanation.baseline[rows], explanation.contributions[rows])
    return prediction_rows(
        given.features.iloc[rows].reset_index(drop=True),
        given.is_available[rows],
        standing,
        None if detail.extent == "none" else own,
        Verdicts(**tables),
        targets=TARGETS,
        detail=detail,
        versions=VERSIONS,
    )


def top(explanation: Explanation, values: list[str | None], own: np.ndarray, k: int) -> list[dict[str, Any]]:
    order = sorted(range(len(own) - 1), key=lambda place: -abs(own[place]))
    chosen = [place for place in order[:k] if own[place] != 0.0]
    names = explanation.names
    items = [{"feature": names[i], "value": values[i], "contribution": float(own[i])} for i in chosen]
    rest = np.array([own[i] for i in range(len(own) - 1) if i not in chosen])
    items.append({"feature": "burden", "value": None, "contribution": float(own[-1])})
    items.append({"feature": "all_other", "value": None, "contribution": float(rest.sum())})
    return items


def number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def spoken(found: pd.DataFrame) -> list[dict[str, Any]]:
    rules: dict[str, dict[str, Any]] = {}
    for row in found.itertuples():
        entry = rules.setdefault(row.rule_id, {"rule_id": row.rule_id, "verdict": row.verdict, "missing_facts": []})
        entry["verdict"] = max(entry["verdict"], row.verdict, key=VERDICTS.index)
        if not row.overridden:
            entry["missing_facts"] += [fact for fact in row.missing_facts if fact not in entry["missing_facts"]]
    return sorted(rules.values(), key=lambda entry: (-VERDICTS.index(entry["verdict"]), entry["rule_id"]))


def plainly(given: Drawn, detail: Detail) -> list[dict[str, Any]]:
    """Return the rows by a loop over every cell."""
    standing, explanation, found = given.standing, given.explanation, given.verdicts.findings
    following, order, rows = next_displayed(standing), display_order(standing), []
    for i, decision in enumerate(standing.decisions):
        values = [
            None if pd.isna(value) else value if isinstance(value, str) else f"{value:.6g}"
            for value in (given.features[name].iloc[i] for name in explanation.names[:-1])
        ]
        for j, modality in enumerate(MODALITIES):
            own = found[(found["decision_id"] == decision) & (found["modality"] == modality)]
            rules, aside = spoken(own), set(own.loc[own["overridden"], "rule_id"])
            told = given.verdicts.overrides
            facts = [fact for rule in rules for fact in rule["missing_facts"]]
            facts += ["distance_km"] if np.isnan(given.features["distance_km"].iloc[i]) else []
            partly = not np.isnan(given.is_available[i]).all()
            facts += [f"available_{modality}"] if partly and np.isnan(given.is_available[i, j]) else []
            first = order[i, 0] == j and not np.isnan(standing.rank[i, j])
            speaks = not np.isnan(explanation.baseline[i, j]) and (detail.extent == "all" or first)
            speaks = speaks and detail.extent != "none"
            whole, base, nearest = explanation.contributions[i], explanation.baseline[i], following[i, j]
            contrast = None
            if speaks and nearest >= 0:
                average = {"feature": "average_difference", "value": None, "contribution": base[j] - base[nearest]}
                items = top(explanation, values, whole[j] - whole[nearest], detail.top_reasons)
                contrast = {"modality": MODALITIES[nearest], "items": [average, *items]}
            value, half = standing.suitability[i, j], standing.half_widths[i, j]
            outcomes = {name: number(np.clip(standing.outcomes[i, j, k], 0, 1)) for k, name in enumerate(TARGETS)}
            rank, place = number(standing.rank[i, j]), number(standing.model_rank[i, j])
            rows.append(
                {
                    "decision_id": decision,
                    "patient_id": given.features["patient_id"].iloc[i],
                    "modality": modality,
                    "status": standing.status[i, j],
                    "rank": None if rank is None else int(rank),
                    "model_rank": None if place is None else int(place),
                    "tied_with": [name for k, name in enumerate(MODALITIES) if standing.tied[i, j, k]],
                    "suitability": number(value),
                    "suitability_low": number(value - half),
                    "suitability_high": number(value + half),
                    **{name: outcomes.get(name) for name in OUTCOMES},
                    "burden": standing.burden[i, j],
                    "support": number(standing.support[i, j]),
                    "verdict": standing.verdict[i, j],
                    "rules": rules,
                    "products": [
                        {"product": row.product, "verdict": row.verdict}
                        for row in given.verdicts.products.itertuples()
                        if (row.decision_id, row.modality) == (decision, modality)
                    ],
                    "overrides": [
                        {"rule_id": row.rule_id, "reason": row.reason, "by_role": row.by_role, "date": row.date}
                        for row in told.itertuples()
                        if row.decision_id == decision and row.rule_id in aside
                    ],
                    "baseline": number(base[j]) if speaks else None,
                    "reasons": top(explanation, values, whole[j], detail.top_reasons) if speaks else [],
                    "versus_next": contrast,
                    "abstain_reason": standing.abstain_reason[i, j] or None,
                    "missing_facts": list(dict.fromkeys(facts)),
                    **VERSIONS,
                }
            )
    return rows


DETAILS = st.builds(Detail, extent=st.sampled_from(["all", "top", "none"]), top_reasons=st.integers(0, 20))


@given(seed=st.integers(0, 10_000), n=st.integers(0, 4), detail=DETAILS)
@settings(max_examples=60, deadline=None)
def test_columns_made_whole_are_the_rows_of_a_loop(seed: int, n: int, detail: Detail) -> None:
    given_ = drawn(seed, n)

    assert prediction_table(rows_of(given_, detail)).to_pylist() == plainly(given_, detail)


@given(seed=st.integers(0, 10_000), n=st.integers(1, 9), size=st.integers(1, 9), detail=DETAILS)
@settings(max_examples=30, deadline=None)
def test_a_decision_has_the_same_row_to_the_bit_in_any_shard(seed: int, n: int, size: int, detail: Detail) -> None:
    given_ = drawn(seed, n)
    parts = [rows_of(given_, detail, slice(start, start + size)) for start in range(0, n, size)]

    assert pa.concat_tables(parts).combine_chunks().equals(rows_of(given_, detail))


@pytest.mark.parametrize("extent", ["all", "top"])
def test_baseline_and_reasons_are_the_explanation_whatever_is_named(extent: Extent) -> None:
    given_ = drawn(5, 40)
    wanted = given_.explanation.baseline + given_.explanation.contributions.sum(axis=2)
    for k in (0, 1, 20):
        rows = rows_of(given_, Detail(extent, k)).to_pylist()
        told = [row["baseline"] for row in rows if row["reasons"]]
        for row, value in zip(rows, wanted.ravel(), strict=True):
            if row["reasons"]:
                added = math.fsum(item["contribution"] for item in row["reasons"])
                assert row["baseline"] + added == pytest.approx(value, rel=1e-9, abs=1e-9)
        assert None not in told and len(told) > 10


def test_only_the_one_shown_first_is_explained_where_the_top_is_asked_for() -> None:
    rows = rows_of(drawn(3, 30), Detail("top", 3)).to_pylist()
    explained = [row["decision_id"] for row in rows if row["reasons"]]

    assert len(explained) == len(set(explained)) > 10
    assert all(row["rank"] is not None for row in rows if row["reasons"])
    assert all(row["versus_next"] is None and row["baseline"] is None for row in rows if not row["reasons"])


def test_a_frame_of_any_height_has_the_same_types() -> None:
    frames = [predictions_frame(rows_of(drawn(1, n), Detail("all", 2))) for n in (0, 1, 5)]

    assert frames[0].dtypes.to_dict() == frames[1].dtypes.to_dict() == frames[2].dtypes.to_dict()
    assert isinstance(frames[1]["reasons"].iloc[0], list)
