"""What would settle the matter: the facts to obtain, how, within which age, and the fewest that decide a modality."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.guardrails import RuleSet, apply_rules, parse_overrides, settling_facts, what_to_obtain
from pipeline.guardrails.conditions import AllOf, AnyOf, Compare, Known
from pipeline.guardrails.grid import UNKNOWN, grid_of
from pipeline.vocabulary import VERDICTS
from tests.guardrails import plainly
from tests.guardrails.random_facts import NEAR
from tests.guardrails.shipped import (
    CATALOGUE,
    FILES,
    MODALITIES,
    PRODUCTS,
    RULES,
    SmallFact,
    days_of,
    facts_of_people,
    modality,
)
from tests.guardrails.test_overrides import GOOD

ECOG, INFECTION = "g21-car-t-ecog-3-or-worse", "g13a-t-cell-redirecting-active-infection"


def judge(people, *, rules=RULES, jurisdiction="us", drafts=False, overrides=None, modalities=MODALITIES):
    facts = facts_of_people(people)
    verdicts = apply_rules(
        facts,
        rules,
        PRODUCTS,
        modalities,
        decision_dates=days_of(facts),
        jurisdiction=jurisdiction,
        include_drafts=drafts,
        overrides=overrides,
    )
    return verdicts, facts


def settling(people, *, rules=RULES, jurisdiction="us", **more) -> dict[str, tuple[str, tuple[str, ...], bool]]:
    verdicts, facts = judge(people, rules=rules, jurisdiction=jurisdiction, **more)
    table = settling_facts(verdicts, facts, rules, PRODUCTS, CATALOGUE, jurisdiction=jurisdiction)
    return {
        f"{row.decision_id} {row.modality}": (row.product, row.facts, row.whole_modality)
        for row in table.itertuples(index=False)
    }


# --- what to obtain


def test_each_missing_fact_comes_once_with_meaning_test_and_age():
    infection = SmallFact("active_infection", "boolean", None, None, "Active infection", 14, "Look for it")
    exam = SmallFact("eye_exam", "boolean", None, None, "Eye examination", None, "Arrange one")
    catalogue = {**CATALOGUE, "active_infection": infection, "eye_exam": exam}
    verdicts, _ = judge({"a": {"active_infection": None, "eye_exam": None, "contact_lenses": None}})
    table = what_to_obtain(verdicts.findings, catalogue)

    assert table["fact"].tolist() == ["active_infection", "eye_exam"]  # lenses only caution
    assert table["meaning"].tolist() == ["Active infection", "Eye examination"]
    assert table["obtain"].tolist() == ["Look for it", "Arrange one"]
    assert table["within_days"].tolist() == [14.0, pd.NA]
    assert table["verdict"].tolist() == ["indeterminate", "action_required"]
    assert table["rules"].tolist() == [
        ("g13a-t-cell-redirecting-active-infection", "g13b-belantamab-active-infection"),
        ("g42-belantamab-eye-examination",),
    ]


def test_the_worst_verdict_comes_first_and_then_the_order_of_the_catalogue():
    verdicts, _ = judge({"a": {"hcv_rna": None, "hiv": None}, "b": {"ecog": None, "active_infection": None}})

    table = what_to_obtain(verdicts.findings, CATALOGUE)
    assert table["fact"].tolist() == ["ecog", "active_infection", "hiv", "hcv_rna"]
    turned = what_to_obtain(verdicts.findings, dict(reversed(list(CATALOGUE.items()))))
    assert turned["fact"].tolist() == ["active_infection", "ecog", "hcv_rna", "hiv"]


def test_a_fact_that_the_catalogue_lacks_is_listed_without_words():
    verdicts, _ = judge({"a": {"hiv": None}})
    table = what_to_obtain(verdicts.findings, {})

    assert table[["fact", "meaning", "obtain"]].to_numpy().tolist() == [["hiv", "", ""]]


def test_nothing_is_to_be_obtained_where_nothing_waits():
    fired, _ = judge({"a": {"ecog": 3.0, "hiv": True}})
    overrides = parse_overrides([{**GOOD, "rule_id": ECOG}], RULES)
    aside, _ = judge(
        {"a": {"ecog": None}}, overrides=overrides, rules=RuleSet(tuple(r for r in RULES.rules if r.id == ECOG), "x")
    )

    assert what_to_obtain(fired.findings, CATALOGUE).empty
    assert len(aside.findings)
    assert what_to_obtain(aside.findings, CATALOGUE).empty
    assert what_to_obtain(fired.findings, CATALOGUE).columns.tolist() == [
        "fact",
        "meaning",
        "obtain",
        "within_days",
        "verdict",
        "rules",
    ]


# --- the fewest facts that settle a modality

INFECTION_UNKNOWN, LEN_AND_ECOG = {"active_infection": None}, {"refractory_lenalidomide": None, "ecog": None}
ONE_LINE, EYES = {**LEN_AND_ECOG, "n_prior_lines": 1.0}, {"corneal_disease": None, "eye_exam": None}
UNTESTED = {"age": 40.0, "childbearing_potential": True, "pregnancy": None}
LABELS = {"n_prior_lines": None, "exposed_anti_cd38": None}
APART = {"n_prior_lines": 2.0, "refractory_lenalidomide": None, "exposed_anti_cd38": None}
GALLERY = [
    # case | facts that differ from FIT | modality | product | the fewest facts | whether they settle the modality
    ("infection unknown", INFECTION_UNKNOWN, "car_t", "cilta_cel", "active_infection", True),
    ("infection unknown", INFECTION_UNKNOWN, "bispecific", "elranatamab", "active_infection", True),
    ("ide-cel waits for less than cilta-cel", LEN_AND_ECOG, "car_t", "ide_cel", "ecog", True),
    ("one line: only cilta-cel is left", ONE_LINE, "car_t", "cilta_cel", "refractory_lenalidomide ecog", True),
    ("two rules wait for one test", UNTESTED, "standard_triplet", "dara_bort_dex", "pregnancy", True),
    ("eyes never looked at", EYES, "adc", "belantamab_bvd", "corneal_disease", True),
    ("each waits for its own label", LABELS, "bispecific", "teclistamab_daratumumab", "n_prior_lines", True),
    ("each product has its own question", APART, "car_t", "cilta_cel", "refractory_lenalidomide", False),
]


@pytest.mark.parametrize(("changed", "name", "product", "facts", "whole"), [row[1:] for row in GALLERY], ids=[row[0] for row in GALLERY])  # fmt: skip  # noqa: E501
def test_the_fewest_facts_that_settle_a_modality(changed, name, product, facts, whole):
    assert settling({"a": changed})[f"a {name}"] == (product, tuple(facts.split()), whole)


def test_only_indeterminate_modalities_are_told_in_the_order_of_decisions():
    people = {"b": {"active_infection": None}, "c": {}, "a": {"ecog": None}}

    assert list(settling(people)) == ["b car_t", "b bispecific", "a car_t"]


def test_a_product_that_is_undecided_beside_a_clear_one_waits_for_nothing():
    assert settling({"a": {"refractory_lenalidomide": None}}) == {}


def test_an_overridden_rule_waits_for_nothing():
    overrides = parse_overrides([{**GOOD, "rule_id": ECOG}], RULES)
    people = {"a": {"ecog": None, "active_infection": None}, "b": {"ecog": None, "active_infection": None}}
    found = settling(people, overrides=overrides)

    assert found["a car_t"] == ("cilta_cel", ("active_infection",), True)
    assert found["b car_t"] == ("cilta_cel", ("active_infection", "ecog"), True)


def test_an_age_that_nobody_knows_is_asked_for_as_its_fact_and_counts_once():
    recent = Compare("live_vaccine_age_days", "lt", (28,), "days")
    vaccinated = Compare("live_vaccine", "is", (True,))
    hiv, hcv = Compare("hiv", "is", (True,)), Compare("hcv_rna", "is", (True,))
    either = AnyOf((AllOf((vaccinated, recent)), AllOf((hiv, hcv))))
    rules = replace(RULES, rules=(block("g01-x", either),))
    person = {"live_vaccine": None, "live_vaccine_age_days": None, "hiv": None, "hcv_rna": False}

    assert settling({"a": person}, rules=rules)["a car_t"] == ("cilta_cel", ("live_vaccine",), True)
    old = {**person, "live_vaccine_age_days": 60.0}  # an answer too old to count
    assert "a car_t" not in settling({"a": old}, rules=rules)
    only_age = replace(RULES, rules=(block("g01-x", recent),))
    assert settling({"a": person}, rules=only_age)["a car_t"] == ("cilta_cel", ("live_vaccine",), True)


def block(identity: str, condition: Any) -> Any:
    model = next(rule for rule in RULES.rules if rule.id == INFECTION)
    return replace(model, id=identity, condition=condition)


def test_one_answer_can_settle_two_rules_of_which_the_second_alone_would_need_two():
    hiv, hcv = Compare("hiv", "is", (True,)), Compare("hcv_rna", "is", (True,))
    rules = RuleSet((block("g01-x", hiv), block("g02-x", AllOf((hiv, hcv)))), "x")

    assert settling({"a": {"hiv": None, "hcv_rna": None}}, rules=rules)["a car_t"] == ("cilta_cel", ("hiv",), True)


def test_one_answer_can_settle_two_rules_that_ask_for_action():
    hiv, hcv = Compare("hiv", "is", (True,)), Compare("hcv_rna", "is", (True,))
    asking = [block("g01-x", hiv), block("g02-x", AllOf((hiv, hcv)))]
    action = "action_required"
    rules = RuleSet(tuple(replace(rule, effect=action, when_unknown=action) for rule in asking), "x")
    verdicts, facts = judge({"a": {"hiv": None, "hcv_rna": None}}, rules=rules)
    table = settling_facts(verdicts, facts, rules, PRODUCTS, CATALOGUE, verdict=action)

    assert table.set_index("modality").loc["car_t", "facts"] == ("hiv",)


def test_the_fewest_facts_are_found_even_where_leaving_out_one_by_one_keeps_more():
    one, two, three = (Compare(fact, "is", (True,)) for fact in ("hiv", "hcv_rna", "hbsag"))
    rules = RuleSet((block("g01-x", AnyOf((AllOf((one, two)), AllOf((one, three))))),), "x")
    people = {"a": {"hiv": None, "hcv_rna": None, "hbsag": False}, "b": {"hiv": False, "hcv_rna": None, "hbsag": None}}

    assert settling(people, rules=rules)["a car_t"] == ("cilta_cel", ("hiv", "hcv_rna"), True)
    assert "b car_t" not in settling(people, rules=rules)


def test_decisions_that_wait_for_the_same_rule_but_know_different_facts_are_told_apart():
    both = AllOf((Compare("hiv", "is", (True,)), Compare("hcv_rna", "is", (True,))))
    rules = RuleSet((block("g01-x", both),), "x")
    people = {"a": {"hiv": None, "hcv_rna": None}, "b": {"hiv": None, "hcv_rna": True}}

    found = settling(people, rules=rules)
    assert found["a car_t"] == ("cilta_cel", ("hiv", "hcv_rna"), True)
    assert found["b car_t"] == ("cilta_cel", ("hiv",), True)


@pytest.mark.parametrize(("few", "many", "found"), [(1, 2, 1), (2, 3, 2), (3, 4, 3), (4, 5, 5)])
def test_up_to_three_facts_are_found_behind_a_larger_set_that_would_do_as_well(few, many, found):
    names = [fact for fact, entry in CATALOGUE.items() if entry.type == "boolean"][: few + many]
    parts = [AnyOf(tuple(Known(fact, known=False) for fact in side)) for side in (names[:many], names[many:])]
    rules = RuleSet((block("g01-x", AllOf((*parts, Compare("label.approval_status", "is", ("not_approved",))))),), "x")
    new = modality("novel", products=(), agents=("anitocabtagene autoleucel",), safety_classes=("t_cell_redirecting",))

    product, asked, whole = settling({"a": dict.fromkeys(names)}, rules=rules, modalities=(new,))["a novel"]
    assert (product, asked, whole) == ("novel", tuple(names[many:] if found == few else names[:many]), True)


def test_a_rule_that_is_unknown_without_a_block_is_not_waited_for():
    asking = replace(next(r for r in RULES.rules if r.id == "g17-car-t-hiv"), when_unknown="indeterminate")
    rules = RuleSet((asking,), "x")

    assert settling({"a": {"hiv": None}}, rules=rules)["a car_t"] == ("cilta_cel", ("hiv",), True)


def test_a_modality_that_waits_for_a_label_has_no_row():
    label = Compare("label.approval_status", "is", ("not_approved",))
    rules = RuleSet((block("g01-x", label),), "x")
    new = modality("novel", products=(), agents=("anitocabtagene autoleucel",), safety_classes=("t_cell_redirecting",))

    verdicts, _ = judge({"a": {}}, rules=rules, modalities=(new,))
    assert verdicts.modalities["verdict"].tolist() == ["indeterminate"]
    assert settling({"a": {}}, rules=rules, modalities=(new,)) == {}


def test_a_label_that_is_there_is_read_and_not_asked_for():
    label = Compare("label.approval_status", "is", ("approved",))
    rules = RuleSet((block("g01-x", AllOf((label, Compare("hiv", "is", (True,))))),), "x")

    found = settling({"a": {"hiv": None}}, rules=rules)
    assert found["a car_t"] == ("cilta_cel", ("hiv",), True)
    assert "a bispecific" not in found  # elranatamab's approval is accelerated, so its rule is false


def test_where_no_jurisdiction_is_named_the_us_label_is_read():
    label = Compare("label.approval_status", "is", ("approved",))
    rules = RuleSet((block("g01-x", AllOf((label, Compare("hiv", "is", (True,))))),), "x")
    verdicts, facts = judge({"a": {"hiv": None}}, rules=rules)

    table = settling_facts(verdicts, facts, rules, PRODUCTS, CATALOGUE)
    assert table.set_index("modality").loc["car_t", "facts"] == ("hiv",)


def answers(fact: str) -> list[Any]:
    kind = CATALOGUE[fact].type
    return [True, False] if kind == "boolean" else list(NEAR[fact]) if kind == "number" else ["female", "male"]


def settles(person: Mapping[str, Any], asked: tuple[str, ...], product: str, jurisdiction: str) -> bool:
    """Return whether a product is decided whatever the answers, by judging every one of them afresh."""
    options = [answers(fact) for fact in asked]
    people = {
        f"p{i}": {**person, **dict(zip(asked, values, strict=True))}
        for i, values in enumerate(itertools.product(*options))
    }
    verdicts, _ = judge(people, jurisdiction=jurisdiction)
    table = verdicts.products[verdicts.products["product"] == product]
    return not (table["verdict"] == "indeterminate").any()


BLOCKING = sorted({leaf["fact"] for file in FILES.values() if file["effect"] == "block" and file["status"] == "active" for leaf in plainly.leaves(file["when"]) if "fact" in leaf})  # fmt: skip  # noqa: E501


@pytest.mark.parametrize("jurisdiction", ["us", "eu"])
def test_the_facts_are_enough_whatever_the_answers_and_no_smaller_set_is(jurisdiction):
    rng = np.random.default_rng(3)
    people = {
        f"d{i}": dict.fromkeys(rng.choice(BLOCKING, rng.integers(1, 5), replace=False).tolist()) for i in range(25)
    }
    found = settling(people, jurisdiction=jurisdiction)
    verdicts, _ = judge(people, jurisdiction=jurisdiction)
    open_products = verdicts.products[verdicts.products["verdict"] == "indeterminate"]

    assert len(found) > 10
    for key, (product, asked, _) in found.items():
        decision, name = key.split()
        person = people[decision]
        assert settles(person, asked, product, jurisdiction)
        rivals = open_products[(open_products["decision_id"] == decision) & (open_products["modality"] == name)]
        for rival in rivals["product"]:
            for fewer in itertools.combinations(person, len(asked) - 1):
                assert not settles(person, fewer, rival, jurisdiction), (key, rival, fewer)


@pytest.mark.parametrize(
    "unknown", [("alt",), ("alt_uln",), ("alt", "alt_uln", "bilirubin"), ("alt_uln", "ast_uln", "gilbert")]
)
def test_the_missing_facts_of_a_rule_with_multiples_settle_it_whatever_the_limits_turn_out_to_be(unknown):
    person = {"alt": 30.0, "ast": 25.0, "bilirubin": 3.0} | dict.fromkeys(unknown)
    rule = next(rule for rule in RULES.rules if rule.id == "g27-car-t-liver")
    verdicts, _ = judge({"a": person}, drafts=True)
    missing = verdicts.findings.set_index(["rule_id", "product"]).loc[(rule.id, "ide_cel"), "missing_facts"]

    values = {"gilbert": [True, False]}
    for chosen in itertools.product(*[values.get(fact, [1.0, 7.5, 400.0]) for fact in missing]):
        given = facts_of_people({"a": {**person, **dict(zip(missing, chosen, strict=True))}}).iloc[0]
        plain = {name: None if pd.isna(value) else value for name, value in given.items()}
        assert plainly.answer(FILES[f"{rule.id}.yaml"]["when"], plain) is not None


def test_the_verdicts_have_a_worst_and_a_best():
    assert VERDICTS[0] == "clear"
    assert grid_of(Compare("hiv", "is", (True,))).states[-1] == UNKNOWN  # type: ignore[union-attr]
