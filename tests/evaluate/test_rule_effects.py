"""What rules did, per group of people, adds up; rare races and sites are told together; a batch is told in counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluate import batch_effects, subgroups
from pipeline.evaluate.rule_effects import rule_effects
from pipeline.guardrails import RuleSet, apply_rules
from tests.guardrails.shipped import MODALITIES, PRODUCTS, RULES, facts_of_people

ECOG = "g21-car-t-ecog-3-or-worse"


def people(**columns: list[object]) -> pd.DataFrame:
    n = len(next(iter(columns.values())))
    names = [f"d{place:03d}" for place in range(n)]
    frame = pd.DataFrame({"decision_id": names, "patient_id": [f"p{name}" for name in names], "site_id": "A"})
    return frame.assign(**columns)


@pytest.mark.parametrize(
    ("column", "values", "subgroup", "levels"),
    [
        ("age", [69.0, 70.0, np.nan], "age", ["under 70", "70 and over", None]),
        ("egfr", [44.9, 45.0, np.nan], "kidney function", ["eGFR under 45", "eGFR 45 and over", None]),
        ("frail", [1.0, 0.0, np.nan], "frailty", ["frail", "not frail", None]),
        ("imwg_high_risk", [1.0, 0.0, np.nan], "cytogenetic risk", ["high risk", "standard risk", None]),
        ("sex", ["female", "male", "unknown"], "sex", ["female", "male", "unknown"]),
    ],
)
def test_groups_divide_at_their_limits_and_an_unknown_is_in_neither(column, values, subgroup, levels):
    found = subgroups(people(**{column: values}))[subgroup]

    assert [None if pd.isna(level) else level for level in found] == levels


def test_races_and_sites_of_fewer_than_eleven_people_are_told_together_and_sites_are_not_named():
    frame = people(site_id=["Zqx Hamlet"] * 10 + ["Large"] * 12 + ["Larger"] * 13)
    race = pd.Series(["rare"] * 10 + ["common"] * 24 + [None])
    found = subgroups(frame, race)

    assert found["race"].astype("object").fillna("-").tolist() == ["other"] * 10 + ["common"] * 24 + ["-"]
    assert found["site"].tolist() == ["other sites"] * 10 + ["site 2"] * 12 + ["site 1"] * 13


def test_eleven_decisions_of_one_person_do_not_make_a_race():
    frame = people(site_id=["A"] * 23).assign(patient_id=["one"] * 11 + [f"p{place}" for place in range(12)])

    assert set(subgroups(frame, pd.Series(["rare"] * 11 + ["common"] * 12))["race"]) == {"other", "common"}


def world(effective_from: str | None = None) -> tuple[dict, pd.DataFrame]:
    """Return what one rule did to six decisions: ECOG 3, 3, unknown, 1, 1, 1; four female, two male."""
    rule = next(rule for rule in RULES.rules if rule.id == ECOG)
    if effective_from:
        rule = replace(rule, effective_from=pd.Timestamp(effective_from).date())
    rules = RuleSet((rule,), "test")
    names = [f"d{place}" for place in range(6)]
    facts = facts_of_people(dict(zip(names, [{"ecog": e} for e in (3.0, 3.0, None, 1.0, 1.0, 1.0)], strict=True)))
    dates = pd.Series(pd.to_datetime(["2020-01-01"] * 3 + ["2022-01-01"] * 3), index=names)
    verdicts = apply_rules(facts, rules, PRODUCTS, MODALITIES, decision_dates=dates)
    status = dict(zip(verdicts.modalities["decision_id"] + verdicts.modalities["modality"], verdicts.modalities["verdict"], strict=True))  # fmt: skip  # noqa: E501
    rows = [
        {"decision_id": name, "modality": "car_t", "model_rank": 1 if name != "d1" else 2,
         "status": {"clear": "ranked"}.get(status[f"{name}car_t"], status[f"{name}car_t"])}
        for name in names
    ]  # fmt: skip
    predictions = pd.DataFrame(rows).astype({"model_rank": "Int64"})
    groups = pd.DataFrame({"sex": pd.Categorical(["female"] * 4 + ["male"] * 2)}, index=names)
    return rule_effects(verdicts, rules, predictions, groups, dates), predictions


def counts(entry: dict) -> tuple[int, ...]:
    return tuple(entry[name] for name in ("fired", "undecided", "clear", "removed_first_choice"))


def test_a_rule_is_told_for_everybody_and_for_each_group():
    told, _ = world()

    assert [counts(entry) for entry in told["firings"]] == [(2, 1, 3, 2)]
    by_level = {(e["subgroup"], e["level"]): e for e in told["subgroups"]}
    assert list(by_level) == [("all", "all"), ("sex", "female"), ("sex", "male")]
    assert counts(by_level["sex", "female"]["rules"][0]) == (2, 1, 1, 2)  # d0 blocked and d2 undecided at rank 1
    assert counts(by_level["sex", "male"]["rules"][0]) == (0, 0, 2, 0)
    assert [by_level[key]["removed_first_choice"] for key in by_level] == [2, 2, 0]


def test_decisions_before_a_rule_was_in_force_are_neither_fired_on_nor_clear():
    told, _ = world("2021-01-01")
    by_level = {(e["subgroup"], e["level"]): e for e in told["subgroups"]}

    assert counts(told["firings"][0]) == (0, 0, 3, 0)
    assert counts(by_level["sex", "female"]["rules"][0]) == (0, 0, 1, 0)
    assert by_level["sex", "female"]["decisions"] == 4


def test_a_batch_counts_an_override_once_per_decision_however_many_modalities_it_touches():
    entry = {"rule_id": ECOG, "reason": "because", "by_role": "Attending  physician", "date": "2026-11-20"}
    batch = pd.DataFrame(
        {
            "decision_id": ["a", "a", "b", "b"],
            "modality": ["adc", "car_t"] * 2,
            "status": ["ranked", "tied", "ranked", "ranked"],
            "overrides": [[entry], [entry], [{**entry, "by_role": "attending physician"}], []],
        }
    )
    told = batch_effects(batch, RULES, ["Attending physician"])

    assert told["decisions"] == 2
    assert told["overridden"] == 2
    assert [(e["rule_id"], e["count"]) for e in told["overrides"]] == [(ECOG, 2)]
    assert told["roles"] == [{"role": "Attending physician", "count": 2}]
    assert sum(entry["count"] for entry in told["statuses"]) == 4
    assert "because" not in str(told)


def test_a_role_that_is_not_declared_is_never_told_however_often_it_was_typed():
    rules = [
        {"rule_id": f"r{n}", "reason": "because", "by_role": "Dr Example", "date": "2026-11-20"} for n in range(12)
    ]
    batch = pd.DataFrame({"decision_id": ["a"], "modality": ["adc"], "status": ["ranked"], "overrides": [rules]})
    told = batch_effects(batch, RULES, ["attending physician"])

    assert told["roles"] == [{"role": "other roles", "count": 1}]
    assert "Example" not in str(told)
