"""Verdicts of rules, products and modalities, drawn case by case."""

from __future__ import annotations

import datetime
import itertools
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import RuleError
from pipeline.guardrails import (
    RuleSet,
    Verdicts,
    answer_rules,
    apply_rules,
    apply_rules_in_chunks,
    firings,
    not_run,
    parse_overrides,
    plan,
    products_offered,
    structural_zero,
)
from pipeline.guardrails.conditions import AllOf, Compare, Known
from pipeline.guardrails.grid import UNKNOWN, grid_of
from pipeline.guardrails.kleene import FactColumns
from pipeline.guardrails.verdicts import missing_facts
from pipeline.vocabulary import VERDICTS
from tests.guardrails.random_facts import random_facts
from tests.guardrails.shipped import CATALOGUE, FIT, MODALITIES, PRODUCTS, RULES, days_of, facts_of_people, modality

BLOCKED, UNDECIDED, ACTION, CAUTION, CLEAR = "blocked", "indeterminate", "action_required", "caution", "clear"


def judge(people, *, jurisdiction="us", drafts=False, rules=RULES, modalities=MODALITIES, day="2026-11-23") -> Verdicts:
    facts = facts_of_people(people)
    return apply_rules(
        facts,
        rules,
        PRODUCTS,
        modalities,
        decision_dates=days_of(facts, day),
        jurisdiction=jurisdiction,
        include_drafts=drafts,
    )


def of_product(verdicts: Verdicts, product: str) -> str:
    return verdicts.products.set_index("product")["verdict"][product]


def of_modality(verdicts: Verdicts, name: str) -> str:
    return verdicts.modalities.set_index("modality")["verdict"][name]


def only(*rule_ids: str) -> RuleSet:
    return RuleSet(tuple(rule for rule in RULES.rules if rule.id in rule_ids), "test")


def test_a_fit_person_in_fourth_relapse_is_clear_everywhere_but_unlabelled_products():
    verdicts = judge({"a": {}})

    assert set(verdicts.modalities["verdict"]) == {CLEAR}
    worse = verdicts.products[verdicts.products["verdict"] != CLEAR]
    assert dict(zip(worse["product"], worse["verdict"], strict=True)) == {"belantamab_bpd": BLOCKED}


BISPECIFIC = {"exposed_bcma_target": True, "exposed_bcma_bispecific": True}
CAR_T = {"exposed_bcma_target": True, "exposed_bcma_car_t": True}
COULD_BE_PREGNANT = {"age": 40.0, "childbearing_potential": True, "pregnancy": None}
NOT_ASKED = {"childbearing_potential": None, "pregnancy": None}
LEN_SENSITIVE, LEN_UNKNOWN = {"n_prior_lines": 1.0, "refractory_lenalidomide": False}, {"refractory_lenalidomide": None}
NO_PROGRESSION = {"n_prior_lines": 3.0, "progression_on_last_line": False}
EYES_BAD, EYES_UNKNOWN = {"corneal_disease": True, "eye_exam": False}, {"corneal_disease": None, "eye_exam": None}
AT_4_MONTHS, AT_7_MONTHS = ({**BISPECIFIC, "days_since_bcma_target": days} for days in (120.0, 210.0))
CAR_T_8_MONTHS, CD38 = {**CAR_T, "days_since_bcma_car_t": 240.0}, {"refractory_anti_cd38": True}
DAY, INFECTION, PREGNANCY = ("days_since_bcma_target",), ("active_infection",), ("pregnancy", "childbearing_potential")
EYES_MISSING = {"g41": ("corneal_disease",), "g42": ("eye_exam",)}
BOTH_RULES = {"g19a": ("pregnancy",), "p01": ("pregnancy",)}

GALLERY = [
    # case | what differs from FIT | where | product or modality | verdict | rules that speak, with the facts they miss
    ("ECOG 3", {"ecog": 3.0}, "us", "cilta_cel", BLOCKED, {"g21": ()}),
    ("ECOG 3", {"ecog": 3.0}, "us", "talquetamab", CAUTION, {"g23": ()}),
    ("ECOG 2", {"ecog": 2.0}, "us", "ide_cel", CAUTION, {"g22": ()}),
    ("ECOG not assessed", {"ecog": None}, "us", "ide_cel", UNDECIDED, {"g21": ("ecog",), "g22": ("ecog",)}),
    ("one prior line", {"n_prior_lines": 1.0}, "us", "teclistamab_daratumumab", CLEAR, {}),
    ("one prior line", {"n_prior_lines": 1.0}, "us", "teclistamab", BLOCKED, {"g03": ()}),
    ("one prior line", {"n_prior_lines": 1.0}, "us", "belantamab_bvd", BLOCKED, {"g09": ()}),
    ("one prior line", {"n_prior_lines": 1.0}, "us", "cilta_cel", CLEAR, {}),
    ("sensitive to lenalidomide", LEN_SENSITIVE, "us", "cilta_cel", BLOCKED, {"g01": ()}),
    ("refractoriness unknown", LEN_UNKNOWN, "us", "cilta_cel", UNDECIDED, {"g01": ("refractory_lenalidomide",)}),
    ("BCMA bispecific 4 months ago", AT_4_MONTHS, "us", "cilta_cel", CAUTION, {"g30": (), "g31": ()}),
    ("BCMA bispecific 7 months ago", AT_7_MONTHS, "us", "cilta_cel", CAUTION, {"g31": ()}),
    ("BCMA bispecific, day unknown", BISPECIFIC, "us", "cilta_cel", ACTION, {"g30": DAY, "g31": ()}),
    ("BCMA CAR T 8 months ago", CAR_T_8_MONTHS, "us", "elranatamab", CAUTION, {"g32": ()}),
    ("BCMA CAR T 8 months ago", CAR_T_8_MONTHS, "us", "talquetamab", CLEAR, {}),
    ("active infection", {"active_infection": True}, "us", "ide_cel", BLOCKED, {"g13a": ()}),
    ("active infection", {"active_infection": True}, "us", "teclistamab", BLOCKED, {"g13a": ()}),
    ("active infection", {"active_infection": True}, "us", "belantamab_bvd", CAUTION, {"g13b": ()}),
    ("active infection", {"active_infection": True}, "us", "dara_carf_dex", CLEAR, {}),
    ("infection not known", {"active_infection": None}, "us", "teclistamab", UNDECIDED, {"g13a": INFECTION}),
    ("corneal disease, no eye exam", EYES_BAD, "us", "belantamab_bvd", BLOCKED, {"g41": (), "g42": ()}),
    ("eyes never looked at", EYES_UNKNOWN, "us", "belantamab_bvd", UNDECIDED, EYES_MISSING),
    ("could be pregnant", COULD_BE_PREGNANT, "us", "dara_carf_dex", UNDECIDED, {"g19a": ("pregnancy",)}),
    ("could be pregnant", COULD_BE_PREGNANT, "us", "dara_pom_dex", UNDECIDED, BOTH_RULES),
    ("pregnant", {**COULD_BE_PREGNANT, "pregnancy": True}, "us", "dara_pom_dex", BLOCKED, {"g19a": (), "p01": ()}),
    ("a man, nobody asked", {"sex": "male", **NOT_ASKED}, "us", "dara_pom_dex", CLEAR, {}),
    ("aged 60, nobody asked", {"age": 60.0, **NOT_ASKED}, "us", "dara_pom_dex", CLEAR, {}),
    ("aged 59, nobody asked", {"age": 59.0, **NOT_ASKED}, "us", "dara_carf_dex", UNDECIDED, {"g19a": PREGNANCY}),
    ("pregnant, recorded as male", {"sex": "male", "pregnancy": True}, "us", "dara_carf_dex", ACTION, {"g19b": ()}),
    ("three prior lines", {"n_prior_lines": 3.0}, "us", "teclistamab", BLOCKED, {"g03": ()}),
    ("three prior lines", {"n_prior_lines": 3.0}, "eu", "teclistamab", CLEAR, {}),
    ("three prior lines, EU, no progression", NO_PROGRESSION, "eu", "teclistamab", BLOCKED, {"g08a": ()}),
    ("belantamab with pomalidomide", {}, "us", "belantamab_bpd", BLOCKED, {"g10": ()}),
    ("belantamab with pomalidomide", {}, "eu", "belantamab_bpd", CLEAR, {}),
    ("teclistamab-daratumumab in the EU", {}, "eu", "teclistamab_daratumumab", BLOCKED, {"g12b": ()}),
    ("refractory to daratumumab", CD38, "us", "dara_pom_dex", BLOCKED, {"p02": ()}),
    ("refractory to daratumumab", CD38, "us", "teclistamab_daratumumab", CAUTION, {"g05": ()}),
    ("refractory to daratumumab", CD38, "us", "pom_bort_dex", CLEAR, {}),
    ("neuropathy grade 2", {"neuropathy_grade": 2.0}, "us", "belantamab_bvd", CAUTION, {"g44c": ()}),
    ("aged 75", {"age": 75.0}, "us", "isa_carf_dex", CAUTION, {"p11": ()}),
    ("oxygen 91 %", {"spo2": 91.0}, "us", "ide_cel", ACTION, {"g25": ()}),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "where", "product", "verdict", "speaking"), [row[1:] for row in GALLERY], ids=[f"{row[0]}: {row[3]} {row[2]}" for row in GALLERY])  # fmt: skip  # noqa: E501
def test_the_case_gallery(changed, where, product, verdict, speaking):
    verdicts = judge({"a": changed}, jurisdiction=where)

    assert of_product(verdicts, product) == verdict
    found = verdicts.findings[verdicts.findings["product"] == product]
    said = {name.split("-")[0]: missing for name, missing in zip(found["rule_id"], found["missing_facts"], strict=True)}
    assert said == speaking


MODALITY_GALLERY = [
    # case | what differs from FIT | modality | verdict: its best product's
    ("ECOG 3", {"ecog": 3.0}, "car_t", BLOCKED),
    ("ECOG 3", {"ecog": 3.0}, "bispecific", CAUTION),
    ("one prior line: the combination is labelled", {"n_prior_lines": 1.0}, "bispecific", CLEAR),
    ("one prior line: cilta-cel is labelled", {"n_prior_lines": 1.0}, "car_t", CLEAR),
    ("one prior line: no belantamab in the US", {"n_prior_lines": 1.0}, "adc", BLOCKED),
    ("refractory to daratumumab: other triplets remain", {"refractory_anti_cd38": True}, "standard_triplet", CLEAR),
    ("infection unknown", {"active_infection": None}, "car_t", UNDECIDED),
    ("infection unknown", {"active_infection": None}, "adc", ACTION),
]


@pytest.mark.parametrize(("changed", "name", "verdict"), [row[1:] for row in MODALITY_GALLERY], ids=[row[0] for row in MODALITY_GALLERY])  # fmt: skip  # noqa: E501
def test_a_modality_is_as_good_as_its_best_product(changed, name, verdict):
    assert of_modality(judge({"a": changed}), name) == verdict


def test_drafts_run_only_when_asked_and_are_shown_as_draft():
    unknown = {"a": {"lvef": None}}

    assert of_product(judge(unknown), "cilta_cel") == CLEAR
    with_drafts = judge(unknown, drafts=True)
    assert of_product(with_drafts, "cilta_cel") == UNDECIDED
    found = with_drafts.findings[with_drafts.findings["product"] == "cilta_cel"]
    assert dict(zip(found["rule_id"], found["status"], strict=True)) == {
        "g24b-car-t-lvef-below-40": "draft",
        "g24a-car-t-lvef-below-45": "draft",
    }


@pytest.mark.parametrize(("day", "verdict"), [("2026-03-05", CLEAR), ("2026-03-06", BLOCKED), ("2026-03-07", BLOCKED)])
def test_a_rule_judges_decisions_from_its_first_day(day, verdict):
    rule = replace(only("g21-car-t-ecog-3-or-worse").rules[0], effective_from=datetime.date(2026, 3, 6))
    always = only("g22-car-t-ecog-2").rules
    verdicts = judge({"a": {"ecog": 3.0}}, rules=RuleSet((rule, *always), "test"), day=day)

    assert of_product(verdicts, "cilta_cel") == verdict


def test_a_rule_not_yet_in_force_covers_nothing():
    rule = replace(only("g21-car-t-ecog-3-or-worse").rules[0], effective_from=datetime.date(2026, 3, 6))
    verdicts = judge({"a": {"ecog": 3.0}}, rules=RuleSet((rule,), "test"), day="2026-03-05")

    assert of_product(verdicts, "cilta_cel") == "not_assessed"
    assert verdicts.findings.empty
    assert firings(verdicts, RuleSet((rule,), "test"))[["fired", "undecided", "clear"]].to_numpy().tolist() == [
        [0, 0, 0]
    ]


def test_a_product_stays_covered_by_one_rule_where_another_is_not_yet_in_force():
    first, second = only("g21-car-t-ecog-3-or-worse", "g22-car-t-ecog-2").rules
    later = replace(second, effective_from=datetime.date(2026, 3, 6))
    verdicts = judge({"a": {}}, rules=RuleSet((first, later), "test"), day="2026-03-05")

    assert of_product(verdicts, "cilta_cel") == CLEAR


def test_a_decision_without_a_date_is_judged_by_every_rule():
    facts = facts_of_people({"a": {"ecog": 3.0}})
    verdicts = apply_rules(facts, RULES, PRODUCTS, MODALITIES, decision_dates=days_of(facts, "NaT"))

    assert of_product(verdicts, "cilta_cel") == BLOCKED


def test_an_age_that_is_not_known_is_missing_as_the_fact_it_dates_and_once():
    ages = {f"{fact}_age_days": None for fact in ("ecog", "hemoglobin", "platelets", "creatinine")}
    unknown = {"a": {"live_vaccine": None, "live_vaccine_age_days": None}, "b": {**ages, "ecog": None}}
    found = judge(unknown).findings.drop_duplicates(["decision_id", "rule_id"]).set_index(["decision_id", "rule_id"])

    assert found.loc[("a", "g20a-bispecific-live-vaccine"), "missing_facts"] == ("live_vaccine",)
    stale = found.loc[("b", "g52-values-older-than-30-days"), "missing_facts"]
    assert stale == ("ecog", "hemoglobin", "platelets", "creatinine")
    undated = judge(unknown, rules=replace(RULES, dated={})).findings
    assert undated.loc[undated["rule_id"] == "g20a-bispecific-live-vaccine", "missing_facts"].iloc[0] == (
        "live_vaccine",
        "live_vaccine_age_days",
    )


def test_a_product_that_only_drafts_cover_is_not_assessed_and_says_which_were_not_run():
    rules = only(
        "p05-other-cd38-triplet-refractory", "p08-carfilzomib-triplet-refractory", "g42-belantamab-eye-examination"
    )
    asked = {"jurisdiction": "us"}

    assert of_product(judge({"a": {"refractory_carfilzomib": True}}, rules=rules), "dara_carf_dex") == "not_assessed"
    told = {
        key: [rule.id.split("-")[0] for rule in listed]
        for key, listed in not_run(rules, PRODUCTS, MODALITIES, **asked).items()
    }
    assert told == {
        ("standard_triplet", "dara_carf_dex"): ["p05", "p08"],
        ("standard_triplet", "dara_len_dex"): ["p05"],
        ("standard_triplet", "isa_carf_dex"): ["p05", "p08"],
        ("standard_triplet", "isa_pom_dex"): ["p05"],
    }
    assert not_run(rules, PRODUCTS, MODALITIES, include_drafts=True, **asked) == {}


def test_a_product_that_an_active_rule_covers_is_clear_although_drafts_were_not_run():
    waiting = not_run(RULES, PRODUCTS, MODALITIES, jurisdiction="eu")

    assert of_product(judge({"a": {}}, jurisdiction="eu"), "linvoseltamab") == CLEAR
    assert "g08b-eu-linvoseltamab-label" in {rule.id for rule in waiting["bispecific", "linvoseltamab"]}
    assert "g08b-eu-linvoseltamab-label" not in {
        rule.id for listed in not_run(RULES, PRODUCTS, MODALITIES, jurisdiction="us").values() for rule in listed
    }


def test_a_product_that_no_rule_covers_is_not_assessed_rather_than_clear():
    verdicts = judge({"a": {}}, rules=only("g41-belantamab-corneal-disease"))

    assert of_product(verdicts, "cilta_cel") == "not_assessed"
    assert of_product(verdicts, "belantamab_bvd") == CLEAR


def test_without_rules_nothing_is_assessed():
    verdicts = judge({"a": {"active_infection": True}}, rules=RuleSet((), "test"))

    assert set(verdicts.modalities["verdict"]) == {"not_assessed"}
    assert verdicts.findings.empty
    assert firings(verdicts, RuleSet((), "test")).empty
    assert not structural_zero(verdicts).to_numpy().any()


def test_a_modality_without_products_inherits_the_rules_of_its_safety_class():
    new = modality("celmod", products=(), agents=("mezigdomide",), safety_classes=("cereblon_binder",))
    pregnant = {"age": 40.0, "childbearing_potential": True, "pregnancy": True}
    verdicts = judge({"a": pregnant}, modalities=(new,))

    assert verdicts.products[["modality", "product", "verdict"]].to_numpy().tolist() == [["celmod", "celmod", BLOCKED]]
    assert "p01-imid-pregnancy" in set(verdicts.findings["rule_id"])


def test_a_modality_that_names_a_missing_product_is_an_error():
    with pytest.raises(RuleError, match="no product file for tebentafusp"):
        products_offered(PRODUCTS, [modality("car_t", products=("tebentafusp",))])


def test_a_decision_without_an_entry_among_the_dates_is_an_error():
    facts = facts_of_people({"a": {}, "b": {}})
    with pytest.raises(RuleError, match="missing for 1 of 2 decisions"):
        apply_rules(facts, RULES, PRODUCTS, MODALITIES, decision_dates=days_of(facts).iloc[:1])


def test_repeated_decisions_are_an_error():
    facts = pd.concat([facts_of_people({"a": {}})] * 2)
    with pytest.raises(RuleError, match="facts: 1 decision ids repeat; wanted one row per decision"):
        apply_rules(facts, RULES, PRODUCTS, MODALITIES, decision_dates=days_of(facts.iloc[:1]))


def test_the_structural_zero_is_a_fired_block_that_nobody_may_override():
    people = {"infected": {"active_infection": True}, "unknown": {"active_infection": None}, "frail": {"ecog": 4.0}}
    zero = structural_zero(judge(people))

    assert zero.columns.tolist() == ["car_t", "bispecific", "adc", "standard_triplet"]
    assert zero.loc["infected"].tolist() == [True, True, False, False]
    assert zero.loc["unknown"].tolist() == [False, False, False, False]
    assert zero.loc["frail"].tolist() == [False, False, False, False]


def test_one_product_that_can_be_given_cancels_the_structural_zero_of_its_modality():
    zero = structural_zero(judge({"a": {"active_infection": False}}, jurisdiction="eu"))

    assert not zero.loc["a", "bispecific"]


def test_firings_add_up_to_the_decisions_judged():
    people = {"a": {"ecog": 3.0}, "b": {"ecog": None}, "c": {}, "d": {}}
    table = firings(judge(people), RULES).set_index("rule_id")

    assert table.loc["g21-car-t-ecog-3-or-worse", ["fired", "undecided", "clear"]].tolist() == [1, 1, 2]
    assert (table[["fired", "undecided", "clear"]].sum(axis=1) == 4).all()
    assert "g24b-car-t-lvef-below-40" not in table.index


def test_firings_tell_of_each_rule_what_it_is_and_what_it_did():
    rules = RuleSet(tuple(rule for rule in RULES.rules if rule.id == "g21-car-t-ecog-3-or-worse"), "one")
    table = firings(judge({"a": {"ecog": 3.0}, "b": {"ecog": None}, "c": {}}, rules=rules), rules)

    assert table.to_dict("records") == [
        {
            "rule_id": "g21-car-t-ecog-3-or-worse",
            "title": rules.rules[0].title,
            "status": "active",
            "effect": "block",
            "applies_to": "safety class car_t",
            "fired": 1,
            "undecided": 1,
            "clear": 1,
        }
    ]
    assert firings(judge({"a": {}}, rules=RuleSet((), "none")), rules).columns.tolist() == table.columns.tolist()


def test_a_rule_that_reads_no_label_is_asked_once_and_one_that_does_once_per_label():
    asked = plan(RULES, PRODUCTS, MODALITIES, jurisdiction="us", include_drafts=True).asked
    by_rule: dict[str, list[dict[str, object]]] = {}
    for entry in asked:
        by_rule.setdefault(entry.rule.id, []).append(dict(entry.label))

    for rule in RULES.rules:
        labels = by_rule.get(rule.id, [])
        assert rule.reads_label or labels in ([], [{}])
        assert not rule.reads_label or all(set(label) == {"label.approval_status"} for label in labels)


def test_the_missing_facts_of_a_rule_with_too_many_situations_are_all_that_are_unknown():
    names = [f"f{place}" for place in range(10)]
    condition = AllOf(tuple(Compare(name, "is", (True,)) for name in names))
    frame = pd.DataFrame(True, index=list("abc"), columns=names).astype("boolean")
    frame.loc["a", ["f2", "f7"]] = pd.NA
    frame.loc["c", ["f9"]] = pd.NA

    missing = missing_facts(condition, FactColumns(frame), frame.isna().any(axis=1).to_numpy(), RULES)
    assert missing.tolist() == [("f2", "f7"), (), ("f9",)]


def test_a_fact_that_need_not_be_known_is_not_missing():
    condition = AllOf((Compare("a", "is", (True,)), Known("b", known=False)))
    frame = pd.DataFrame({"a": [pd.NA], "b": [pd.NA]}, dtype="boolean")

    assert missing_facts(condition, FactColumns(frame), np.array([True]), RULES).tolist() == [("a",)]


def test_findings_come_worst_first_then_by_rule():
    verdicts = judge({"b": {"ecog": 2.0, "spo2": None, "active_infection": True}, "a": {}})
    found = verdicts.findings[verdicts.findings["product"] == "cilta_cel"]

    assert found["decision_id"].tolist() == ["b", "b", "b"]
    assert found["rule_id"].str.split("-").str[0].tolist() == ["g13a", "g25", "g22"]


def test_findings_are_sorted_by_decision_product_severity_and_rule():
    facts = random_facts(30, seed=2)
    verdicts = apply_rules(
        facts, RULES, PRODUCTS, MODALITIES, decision_dates=facts["decision_date"], include_drafts=True
    )
    offered = [product.id for _, product in products_offered(PRODUCTS, MODALITIES)]
    found = verdicts.findings
    columns = (found[name] for name in ("decision_id", "product", "verdict", "rule_id"))
    keys = [
        (facts.index.get_loc(decision), offered.index(product), -VERDICTS.index(verdict), rule)
        for decision, product, verdict, rule in zip(*columns, strict=True)
    ]

    assert len(keys) > 1000
    assert keys == sorted(keys)


def test_nothing_is_judged_where_there_are_no_decisions():
    facts = facts_of_people({"a": {}}).iloc[:0]
    verdicts = apply_rules(facts, RULES, PRODUCTS, MODALITIES, decision_dates=days_of(facts))

    filled = judge({"a": {"ecog": 3.0}})
    for name in ("products", "modalities", "findings"):
        assert getattr(verdicts, name).empty
        assert (getattr(verdicts, name).dtypes == getattr(filled, name).dtypes).all()
    assert structural_zero(verdicts).empty


def test_without_modalities_nothing_is_judged():
    facts = facts_of_people({"a": {"ecog": 3.0}})
    answers = answer_rules(facts, plan(RULES, PRODUCTS, (), jurisdiction="us"), decision_dates=days_of(facts))

    assert answers.products.shape == answers.modalities.shape == (0, 1)
    assert judge({"a": {"ecog": 3.0}}, modalities=()).modalities.empty


def people_at_random(number: int, seed: int) -> dict[str, dict[str, object]]:
    """Return people whose every fact is drawn near the thresholds, a third of them unknown."""
    rng = np.random.default_rng(seed)
    values = {
        "boolean": [True, False, None],
        "category": ["female", "male", None],
        "number": [None, None, 0.0, 1.0, 2.0, 3.0, 14.0, 50.0, 183.0, 400.0],
    }
    choose = {name: rng.integers(len(values[fact.type]), size=number) for name, fact in CATALOGUE.items()}
    return {
        f"d{i}": {name: values[fact.type][choose[name][i]] for name, fact in CATALOGUE.items()} for i in range(number)
    }


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["us", "eu"]))
def test_the_order_of_rules_and_of_people_changes_nothing(seed, jurisdiction):
    people = people_at_random(30, seed)
    rules = [RULES.rules[i] for i in np.random.default_rng(seed).permutation(len(RULES.rules))]
    turned = dict(reversed(list(people.items())))

    plain = judge(people, jurisdiction=jurisdiction, drafts=True)
    mixed = judge(turned, jurisdiction=jurisdiction, drafts=True, rules=replace(RULES, rules=tuple(rules)))

    for name in ("products", "modalities", "findings"):
        left, right = (getattr(side, name).sort_values("decision_id", kind="stable") for side in (plain, mixed))
        pd.testing.assert_frame_equal(left.reset_index(drop=True), right.reset_index(drop=True))


@pytest.mark.parametrize("jurisdiction", ["us", "eu"])
def test_answering_the_missing_facts_leaves_nothing_undecided(jurisdiction):
    people = people_at_random(500, seed=11)
    before = judge(people, jurisdiction=jurisdiction).findings
    rng = np.random.default_rng(12)
    answered = {"boolean": [True, False], "category": ["female", "male"], "number": [0.0, 2.0, 60.0, 300.0]}

    for identity, missing in before.loc[~before["fired"], ["decision_id", "missing_facts"]].itertuples(index=False):
        assert missing
        ages = [age for age, dated in RULES.dated.items() if dated in missing]
        for name in [*(fact for fact in missing if fact in CATALOGUE), *ages]:
            choices = answered[CATALOGUE[name].type]
            if people[identity][name] is None:
                people[identity][name] = choices[rng.integers(len(choices))]

    assert judge(people, jurisdiction=jurisdiction).findings["fired"].all()


@pytest.mark.parametrize("rule", RULES.rules, ids=lambda rule: rule.id)
def test_the_missing_facts_are_enough_and_none_is_superfluous(rule):
    grid = grid_of(rule.condition)
    sizes = [size - 1 for size in grid.states.shape]
    for cell in np.flatnonzero(grid.states == UNKNOWN):
        place = np.unravel_index(cell, grid.states.shape)
        needed = [grid.facts.index(name) for name in grid.settling(int(cell))]
        assert all(place[axis] == sizes[axis] for axis in needed)

        def settled(answered, place=place):
            return all(
                grid.states[completion] != UNKNOWN
                for completion in itertools.product(
                    *[range(sizes[axis]) if axis in answered else [at] for axis, at in enumerate(place)]
                )
            )

        assert settled(needed)
        assert not any(settled([kept for kept in needed if kept != axis]) for axis in needed)


@pytest.mark.parametrize("jurisdiction", ["us", "eu"])
def test_forgetting_facts_never_makes_a_blocked_product_one_that_may_be_ranked(jurisdiction):
    rng = np.random.default_rng(13)
    full = {
        name: {fact: FIT[fact] if value is None else value for fact, value in person.items()}
        for name, person in people_at_random(1000, seed=14).items()
    }
    less = {
        name: {fact: None if rng.random() < 0.3 else value for fact, value in person.items()}
        for name, person in full.items()
    }
    before, after = (judge(people, jurisdiction=jurisdiction).products["verdict"] for people in (full, less))

    assert set(after[before == BLOCKED]) <= {BLOCKED, UNDECIDED}
    assert (before == BLOCKED).sum() > 1000


@pytest.mark.parametrize("chunk", [0, 1, 7, 40, 41])
def test_pieces_put_together_are_the_whole(chunk):
    facts = random_facts(40, seed=4)
    overrides = parse_overrides(
        [
            {"decision_id": f"d{i:06d}", "rule_id": rule, "reason": "r", "by_role": "r", "date": "2026-11-20"}
            for i in (0, 17, 39)
            for rule in ("g21-car-t-ecog-3-or-worse", "g02-us-ide-cel-label")
        ],
        RULES,
    )
    days = facts["decision_date"]
    whole = apply_rules(facts, RULES, PRODUCTS, MODALITIES, decision_dates=days, overrides=overrides)
    pieces = list(
        apply_rules_in_chunks(facts, RULES, PRODUCTS, MODALITIES, decision_dates=days, overrides=overrides, chunk=chunk)
    )

    assert len(pieces) == -(-40 // max(chunk, 1))
    for name in ("products", "modalities", "findings"):
        together = pd.concat([getattr(piece, name) for piece in pieces], ignore_index=True)
        pd.testing.assert_frame_equal(together, getattr(whole, name))
    summed = sum(piece.assessed.set_index("rule_id")["decisions"] for piece in pieces)
    assert summed.tolist() == whole.assessed["decisions"].tolist()
    assert sum(len(piece.overrides) for piece in pieces) == len(whole.overrides) == 6


@pytest.mark.parametrize("jurisdiction", ["us", "eu"])
def test_the_answers_are_those_of_the_tables_however_they_are_cut(jurisdiction, monkeypatch):
    facts = random_facts(60, seed=8)
    asked = plan(RULES, PRODUCTS, MODALITIES, jurisdiction=jurisdiction)
    whole = answer_rules(facts, asked, decision_dates=facts["decision_date"])
    monkeypatch.setattr("pipeline.guardrails.answers.CHUNK", 7)
    cut = answer_rules(facts, asked, decision_dates=facts["decision_date"])
    tables = apply_rules(
        facts, RULES, PRODUCTS, MODALITIES, decision_dates=facts["decision_date"], jurisdiction=jurisdiction
    )

    np.testing.assert_array_equal(whole.states, cut.states)
    words = np.array(VERDICTS)
    assert words[cut.products.T.ravel()].tolist() == tables.products["verdict"].tolist()
    assert words[cut.modalities.T.ravel()].tolist() == tables.modalities["verdict"].tolist()


def test_a_date_given_twice_is_an_error():
    facts = facts_of_people({"a": {}})
    with pytest.raises(RuleError, match="decision_dates: 1 decision ids repeat"):
        apply_rules(facts, RULES, PRODUCTS, MODALITIES, decision_dates=pd.concat([days_of(facts)] * 2))


def test_three_thousand_decisions_take_a_moment():
    rng = np.random.default_rng(7)
    one = facts_of_people({"a": {}})
    facts = pd.concat([one] * 3000).set_axis([f"d{i:05d}" for i in range(3000)])
    for name in facts.columns:
        facts.loc[rng.random(3000) < 0.3, name] = pd.NA
    apply_rules(facts.iloc[:50], RULES, PRODUCTS, MODALITIES, decision_dates=days_of(facts))

    start = time.perf_counter()
    verdicts = apply_rules(facts, RULES, PRODUCTS, MODALITIES, decision_dates=days_of(facts), include_drafts=True)
    structural_zero(verdicts)
    firings(verdicts, RULES)

    assert time.perf_counter() - start < 5
    assert set(verdicts.modalities["verdict"]) <= set(VERDICTS)


def test_drafts_do_not_run_unless_asked_for() -> None:
    facts = facts_of_people({"d1": {}, "d2": {}})
    drafts = {rule.id for rule in RULES.rules if rule.status == "draft"}
    given = (facts, RULES, PRODUCTS, MODALITIES)
    whole = apply_rules(*given, decision_dates=days_of(facts)).findings
    parts = [part.findings for part in apply_rules_in_chunks(*given, decision_dates=days_of(facts), chunk=1)]
    asked = apply_rules(*given, decision_dates=days_of(facts), include_drafts=True).findings

    assert drafts & set(asked["rule_id"])
    assert not drafts & set(whole["rule_id"])
    assert not drafts & set(pd.concat(parts)["rule_id"])
