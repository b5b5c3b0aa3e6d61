"""What the rules do to the ranking, for everybody and per subgroup."""

from __future__ import annotations

import pandas as pd
import pytest

from pipeline.errors import RuleError
from pipeline.guardrails import apply_rules, firings, parse_overrides, removed_first_choices
from tests.drawn import drawn
from tests.guardrails.shipped import MODALITIES, PRODUCTS, RULES, days_of, facts_of_people
from tests.guardrails.test_overrides import GOOD

ECOG, INFECTION, REST = (
    "g21-car-t-ecog-3-or-worse",
    "g13a-t-cell-redirecting-active-infection",
    "g23-bispecific-ecog-3-or-worse",
)
PEOPLE = {
    "a": {"ecog": 3.0},  # CAR T first, blocked
    "b": {"ecog": 3.0},  # bispecific first: G21 speaks, takes nothing away
    "c": {"ecog": None},  # CAR T first, undecided
    "d": {"ecog": 3.0, "active_infection": True},  # CAR T first, blocked by two rules
    "e": {},  # CAR T first and given
}
PREDICTIONS = drawn("""
    decision_id | modality   | model_rank | status
    ------------+------------+------------+--------------
    a           | car_t      | 1          | blocked
    a           | bispecific | 2          | ranked
    b           | car_t      | 2          | blocked
    b           | bispecific | 1          | ranked
    c           | car_t      | 1          | indeterminate
    c           | bispecific |            | too_few_cases
    d           | car_t      | 1          | blocked
    d           | bispecific | 1          | blocked
    e           | car_t      | 1          | ranked
    e           | bispecific | 2          | ranked
""").astype({"decision_id": "str", "modality": "str", "status": "str", "model_rank": "Float64"}).astype({"model_rank": "Int64"})  # fmt: skip  # noqa: E501
SEX = pd.DataFrame({"sex": ["female", "male", "male", None, "female"]}, index=list("abcde")).astype({"sex": "category"})


def findings(overrides=None, people=PEOPLE):
    facts = facts_of_people(people)
    return apply_rules(facts, RULES, PRODUCTS, MODALITIES, decision_dates=days_of(facts), overrides=overrides).findings


def rows_of(table: pd.DataFrame, rule: str) -> list[list[object]]:
    return table[table["rule_id"] == rule].drop(columns="rule_id").to_numpy().tolist()


def test_firings_unknowns_and_removed_first_choices_are_counted_per_subgroup():
    table = removed_first_choices(PREDICTIONS, findings(), SEX)

    assert rows_of(table, ECOG) == [
        # subgroup, level, decisions, fired, undecided, removed
        ["all", "all", 5, 3, 1, 3],
        ["sex", "female", 2, 1, 0, 1],
        ["sex", "male", 2, 1, 1, 1],
        ["sex", "unknown", 1, 1, 0, 1],
    ]
    assert rows_of(table, INFECTION)[0] == ["all", "all", 5, 1, 0, 1]
    assert rows_of(table, REST)[0] == ["all", "all", 5, 3, 1, 0]  # only cautions
    assert table["rule_id"].is_monotonic_increasing
    assert [str(kind) for kind in table.dtypes] == ["str", "str", "str", "int64", "int64", "int64", "int64"]


def test_the_levels_of_a_category_keep_their_declared_order_and_empty_ones_are_left_out():
    bands = pd.Categorical(
        ["under 75", "75 or over", "under 75", "under 75", "75 or over"], ["under 75", "75 or over", "100 or over"]
    )
    table = removed_first_choices(PREDICTIONS, findings(), pd.DataFrame({"age": bands}, index=list("abcde")))

    assert [row[1] for row in rows_of(table, ECOG)] == ["all", "under 75", "75 or over"]
    words = SEX.astype({"sex": "str"})
    assert removed_first_choices(PREDICTIONS, findings(), words).equals(
        removed_first_choices(PREDICTIONS, findings(), SEX)
    )


def test_an_overridden_rule_removes_nothing():
    overrides = parse_overrides([GOOD], RULES)
    table = removed_first_choices(PREDICTIONS, findings(overrides), SEX)

    assert rows_of(table, ECOG)[0] == ["all", "all", 5, 3, 1, 2]


def test_a_rule_whose_verdict_is_not_the_modalitys_removes_nothing():
    people = {"a": {"ecog": None, "active_infection": True}}
    predictions = PREDICTIONS[(PREDICTIONS["decision_id"] == "a")]
    table = removed_first_choices(predictions, findings(people=people), SEX)

    assert rows_of(table, ECOG)[0] == ["all", "all", 1, 0, 1, 0]
    assert rows_of(table, INFECTION)[0] == ["all", "all", 1, 1, 0, 1]


def test_a_blocked_modality_without_a_rank_is_no_first_choice():
    unranked = PREDICTIONS.assign(model_rank=pd.array([None] * len(PREDICTIONS), "Int64"), status="blocked")
    table = removed_first_choices(unranked, findings(), SEX)

    assert table["fired"].any()
    assert not table["removed_first_choice"].any()


def test_only_predicted_decisions_count_and_rules_asked_for_are_told_even_if_silent():
    predictions = PREDICTIONS[PREDICTIONS["decision_id"].isin(["a", "e"])]
    table = removed_first_choices(predictions, findings(), SEX, rule_ids=[ECOG, "g17-car-t-hiv"])

    assert rows_of(table, "g17-car-t-hiv") == [["all", "all", 2, 0, 0, 0], ["sex", "female", 2, 0, 0, 0]]
    assert rows_of(table, ECOG) == [["all", "all", 2, 1, 0, 1], ["sex", "female", 2, 1, 0, 1]]


def test_without_findings_every_count_is_nothing():
    table = removed_first_choices(PREDICTIONS, findings().iloc[:0], SEX)
    assert table.empty
    asked = removed_first_choices(PREDICTIONS, findings().iloc[:0], SEX, rule_ids=[ECOG])
    assert rows_of(asked, ECOG)[0] == ["all", "all", 5, 0, 0, 0]


def test_a_decision_without_subgroups_is_an_error():
    with pytest.raises(RuleError, match="subgroups: missing for 2 of 5 decisions"):
        removed_first_choices(PREDICTIONS, findings(), SEX.iloc[:3])


def test_the_counts_for_everybody_are_those_of_firings():
    facts = facts_of_people(PEOPLE)
    verdicts = apply_rules(facts, RULES, PRODUCTS, MODALITIES, decision_dates=days_of(facts))
    counted = firings(verdicts, RULES).set_index("rule_id")
    table = removed_first_choices(PREDICTIONS, verdicts.findings, SEX)

    everybody = table[table["subgroup"] == "all"].set_index("rule_id")
    for name in ("fired", "undecided"):
        assert everybody[name].tolist() == counted.loc[everybody.index, name].tolist()
