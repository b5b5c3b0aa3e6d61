"""Rules that say the same, are due for review or not yet in force; and what decides an action that may be required."""

from __future__ import annotations

import datetime
from typing import get_args

import pytest

from pipeline.guardrails import apply_rules, out_of_date, settling_facts
from pipeline.guardrails.consistency import BY_LABEL, WHAT_TO_DO, Inconsistency, Kind
from tests.guardrails.shipped import CATALOGUE, MODALITIES, PRODUCTS, RULES, days_of, facts_of_people
from tests.guardrails.test_consistency import BAD, CAR_T, CILTA, GOOD, HIV, LABEL, labelled, ruleset, said


@pytest.mark.parametrize(
    ("first", "second", "more", "products"),
    [
        ((CILTA, BAD, "caution"), (CILTA, BAD, "caution"), {}, ("cilta_cel",)),
        ((CILTA, BAD, "block"), (CAR_T, BAD, "block"), {}, ("cilta_cel",)),  # what both cover
        ((CAR_T, BAD, "block"), (CILTA, "{not: {fact: ecog, lt: 3, unit: score}}", "block"), {}, ("cilta_cel",)),
        ((CILTA, BAD, "block"), (CILTA, BAD, "block"), {"g01": "overridable: true"}, None),  # one holds, one yields
        ((CILTA, BAD, "caution"), (CILTA, BAD, "action_required"), {}, None),  # another effect
        ((CILTA, BAD, "caution"), (CILTA, HIV, "caution"), {}, None),
        ((CILTA, BAD, "caution"), (CILTA, "{fact: ecog, ge: 2, unit: score}", "caution"), {}, None),  # one fires more
        ((CILTA, "{fact: ecog, ge: 2, unit: score}", "caution"), (CILTA, BAD, "caution"), {}, None),
        ((CILTA, BAD, "caution"), ("{product: [ide_cel]}", BAD, "caution"), {}, None),  # of different products
    ],
)
def test_rules_as_strong_that_fire_in_the_same_situations_are_duplicates(first, second, more, products):
    found = said(ruleset(first, second, **more), "duplicate")

    wanted = [] if products is None else [("note", ("g01-x", "g02-x"), products)]
    assert [(each.severity, each.rules, each.products) for each in found] == wanted


@pytest.mark.parametrize("status", ["approved", "not_approved"])
def test_two_rules_that_a_label_decides_are_not_called_duplicates(status):
    products = labelled(status)
    rules = ruleset((CILTA, LABEL, "block"), (CILTA, LABEL, "block"), products=products)

    assert said(rules, "duplicate", products=products) == []


def test_every_kind_of_remark_says_what_to_do():
    assert set(WHAT_TO_DO) == set(get_args(Kind))
    assert all(WHAT_TO_DO.values())


@pytest.mark.parametrize("kind", get_args(Kind))
@pytest.mark.parametrize("severity", ["error", "note", "expected"])
def test_nothing_is_to_be_done_only_where_a_label_may_be_meant_to_decide(kind, severity):
    told = Inconsistency(severity, kind, "us", (), (), "").what_to_do

    assert told.endswith(WHAT_TO_DO[kind])
    by_label = kind in ("never_fires", "always_fires", "never_offered")
    assert told.startswith("nothing, if the label is meant to decide; else ") is (by_label and severity != "error")
    assert set(BY_LABEL) == {"never_fires", "always_fires", "never_offered"}


@pytest.mark.parametrize(
    ("today", "kinds"),
    [
        ("2025-12-31", ["not_yet_in_force"]),
        ("2026-01-01", []),
        ("2027-05-23", []),
        ("2027-05-24", ["review_overdue"]),
    ],
)
def test_the_calendar_tells_what_is_overdue_and_what_is_to_come(today, kinds):
    rules = ruleset((CILTA, GOOD, "caution"), effective_from="2026-01-01")
    found = out_of_date(rules, datetime.date.fromisoformat(today))

    assert [(each.severity, each.kind, each.rules) for each in found] == [("note", kind, ("g01-x",)) for kind in kinds]


def settling(person, verdict):
    facts = facts_of_people({"a": person})
    verdicts = apply_rules(facts, RULES, PRODUCTS, MODALITIES, decision_dates=days_of(facts))
    table = settling_facts(verdicts, facts, RULES, PRODUCTS, CATALOGUE, verdict=verdict)
    return {row.modality: (row.product, row.facts, row.whole_modality) for row in table.itertuples(index=False)}


def test_the_fewest_facts_tell_whether_action_is_required():
    found = settling({"hiv": None, "hcv_rna": None}, "action_required")

    assert found["car_t"] == ("cilta_cel", ("hiv", "hcv_rna"), True)
    assert settling({"hiv": None, "hcv_rna": None}, "indeterminate") == {}


def test_where_a_rule_has_asked_for_action_no_fact_spares_it():
    assert "car_t" not in settling({"hiv": None, "hbsag": True}, "action_required")  # hepatitis B asks by itself


def test_a_modality_that_could_be_blocked_is_decided_first():
    found = settling({"hiv": None, "ecog": None}, "action_required")

    assert "car_t" not in found  # it is indeterminate
    assert "ecog" in settling({"hiv": None, "ecog": None}, "indeterminate")["car_t"][1]
