"""The shipped rules do what they say, and no mutant of theirs goes unseen."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from pipeline.declared import parse_yaml
from pipeline.errors import RuleError
from pipeline.guardrails import describe, evidence_table, in_words, parse_rules, rules_table
from pipeline.guardrails.checks import truth_of_one
from pipeline.guardrails.conditions import AnyOf, Compare, leaves_of
from pipeline.guardrails.grid import FALSE, TRUE, UNKNOWN, grid_of
from pipeline.guardrails.plan import label_facts, plan
from pipeline.guardrails.rules import AppliesTo, Rule, RuleSet
from pipeline.vocabulary import VERDICTS, Drug, DrugCatalogue, LabelFacts
from tests.guardrails import plainly
from tests.guardrails.shipped import CATALOGUE, CONFIGS, FILES, MODALITIES, PRODUCTS, RULES, modality

BY_ID = {rule.id: rule for rule in RULES.rules}
every_rule = pytest.mark.parametrize("rule", RULES.rules, ids=lambda rule: rule.id)


@every_rule
def test_a_file_is_named_after_its_rule(rule):
    assert f"{rule.id}.yaml" in FILES


@every_rule
def test_examples_show_both_sides_of_every_threshold(rule):
    for leaf in leaves_of(rule.condition):
        if (
            isinstance(leaf, Compare)
            and leaf.fact in CATALOGUE
            and CATALOGUE[leaf.fact].type == "number"
            and not leaf.times
        ):
            shown = {example.given[leaf.fact] for example in rule.examples}
            for limit in leaf.values:
                assert limit in shown
                assert any(value is not None and value < limit for value in shown)
                assert any(value is not None and value > limit for value in shown)


@every_rule
def test_no_unknown_passes_a_block_in_any_situation(rule):
    """Every cell of facts x (each level, each interval, unknown), against all its completions, the slow way."""
    grid = grid_of(rule.condition)
    shape = grid.states.shape
    sizes = [size - 1 for size in shape]
    for cell in itertools.product(*[range(size) for size in shape]):
        free = [axis for axis, at in enumerate(cell) if at == sizes[axis]]
        completions = itertools.product(
            *[range(sizes[axis]) if axis in free else [cell[axis]] for axis in range(len(cell))]
        )
        answers = {int(grid.states[complete]) for complete in completions}
        state = int(grid.states[cell])
        if rule.effect == "block":
            assert not (state == FALSE and TRUE in answers), f"{rule.id}: an unknown clears the block"
        if state == UNKNOWN:
            assert free, f"{rule.id}: unknown without an unknown fact"


@every_rule
def test_a_block_says_indeterminate_where_unknown(rule):
    order = {name: place for place, name in enumerate(VERDICTS)}
    if rule.effect == "block":
        assert rule.when_unknown == "indeterminate"
    assert order[rule.when_unknown] >= order["caution"]


@every_rule
def test_nothing_recalled_is_active(rule):
    assert not (rule.status == "active" and rule.evidence == "recalled")


def parts_dropped(when: Any) -> Iterator[Any]:
    """Yield the condition with one part of one list left out."""
    for kind in ("all", "any"):
        if kind in when:
            for place, part in enumerate(when[kind]):
                rest = [*when[kind][:place], *when[kind][place + 1 :]]
                if rest:
                    yield {kind: rest}
                for changed in parts_dropped(part):
                    yield {kind: [*when[kind][:place], changed, *when[kind][place + 1 :]]}


def leaves_changed(when: Any) -> Iterator[Any]:
    """Yield the condition with one comparison changed: operator flipped, constant moved, answer turned."""
    flips = {"lt": "le", "le": "lt", "gt": "ge", "ge": "gt", "equals": "ge"}
    for kind in ("all", "any"):
        if kind in when:
            yield {"any" if kind == "all" else "all": when[kind]} if len(when[kind]) > 1 else {"not": when}
            for place, part in enumerate(when[kind]):
                for changed in leaves_changed(part):
                    yield {kind: [*when[kind][:place], changed, *when[kind][place + 1 :]]}
    if "not" in when:
        yield when["not"]
    if "fact" in when:
        for operator, flipped in flips.items():
            if operator in when:
                rest = {key: value for key, value in when.items() if key != operator}
                yield {**rest, flipped: when[operator]}
                yield {**when, operator: when[operator] + 1}
                yield {**when, operator: when[operator] - 1}
        for operator in ("is", "known"):
            if isinstance(when.get(operator), bool):
                yield {**when, operator: not when[operator]}


def mutants(file: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, when in enumerate(parts_dropped(file["when"])):
        yield f"clause {number} dropped", {**file, "when": when}
    for number, when in enumerate(leaves_changed(file["when"])):
        yield f"comparison {number} changed", {**file, "when": when}
    for effect in {"block", "action_required", "caution"} - {file["effect"]}:
        changed = {key: value for key, value in file.items() if key != "overridable"}
        unknown = "indeterminate" if effect == "block" else file["when_unknown"]
        yield f"effect {effect}", {**changed, "effect": effect, "when_unknown": unknown}
    for unknown in {"caution", "action_required", "indeterminate"} - {file["when_unknown"]}:
        yield f"unknown {unknown}", {**file, "when_unknown": unknown}


@pytest.mark.parametrize("name", sorted(FILES))
def test_every_mutant_of_a_rule_is_refused_by_its_own_examples(name):
    survivors, tried = [], 0
    for what, mutant in mutants(copy.deepcopy(FILES[name])):
        tried += 1
        try:
            parse_rules({name: mutant}, CATALOGUE, PRODUCTS)
        except RuleError:
            continue
        survivors.append(what)

    assert survivors == []
    assert tried >= 4


@pytest.mark.parametrize(("identity", "jurisdiction"), [
    ("g01-us-cilta-cel-label", "us"), ("g02-us-ide-cel-label", "us"), ("g03-us-teclistamab-label", "us"),
    ("g04-us-teclistamab-daratumumab-label", "us"), ("g07-us-bispecific-labels", "us"),
    ("g08a-eu-bispecific-labels", "eu"), ("g08b-eu-linvoseltamab-label", "eu"), ("g09-us-belantamab-bvd-label", "us"),
])  # fmt: skip
def test_label_rules_ask_what_the_label_table_says(identity, jurisdiction):
    rule = BY_ID[identity]
    assert isinstance(rule.condition, AnyOf)
    asked = {(part.fact, part.op, part.values) for part in rule.condition.parts if isinstance(part, Compare)}
    for product in PRODUCTS:
        if rule.applies_to.covers(product):
            assert asked == expected_of(product.labels[jurisdiction])


def expected_of(label: LabelFacts) -> set[tuple[str, str, tuple[Any, ...]]]:
    asked: set[tuple[str, str, tuple[Any, ...]]] = {("n_prior_lines", "lt", (label.min_prior_lines,))}
    asked |= {(f"exposed_{name}", "is", (False,)) for name in label.classes_exposed}
    asked |= {(f"refractory_{name}", "is", (False,)) for name in label.refractory_to}
    if label.requires_progression_on_last_line:
        asked.add(("progression_on_last_line", "is", (False,)))
    return asked


@pytest.mark.parametrize(("lists", "covered"), [
    ({"product": ("ide_cel",)}, "ide_cel"),
    ({"modality": ("car_t",)}, "cilta_cel ide_cel"),
    ({"safety_class": ("adc", "car_t")}, "belantamab_bpd belantamab_bvd cilta_cel ide_cel"),
    ({"target": ("slamf7",)}, "elo_pom_dex"),
    ({"target": ("fcrh5",)}, ""),
    ({"agent": ("teclistamab", "selinexor")}, "sel_bort_dex teclistamab teclistamab_daratumumab"),
    ({"modality": ("adc",), "agent": ("bortezomib",)}, "belantamab_bvd"),
    ({}, " ".join(product.id for product in PRODUCTS)),
])  # fmt: skip
def test_a_rule_covers_products_that_match_every_list_it_gives(lists, covered):
    applies_to = AppliesTo(**lists, everything=not lists)

    assert applies_to.lists() == lists
    assert " ".join(product.id for product in PRODUCTS if applies_to.covers(product)) == covered


def test_a_rule_may_cover_a_target_or_an_agent_of_no_or_some_product():
    name = "g21-car-t-ecog-3-or-worse.yaml"
    for lists in ({"target": ["fcrh5"]}, {"target": ["bcma"], "agent": ["idecabtagene vicleucel"]}):
        assert len(parse_rules({name: {**FILES[name], "applies_to": lists}}, CATALOGUE, PRODUCTS).rules) == 1


@pytest.mark.parametrize("jurisdiction", ["us", "eu"])
def test_active_rules_of_a_jurisdiction_run_in_the_order_of_their_names(jurisdiction):
    turned = RuleSet(tuple(reversed(RULES.rules)), "turned")
    own = [file for file in FILES.values() if file["jurisdiction"] in (jurisdiction, "any")]

    assert [rule.id for rule in turned.running(jurisdiction, include_drafts=True)] == sorted(file["id"] for file in own)
    active = sorted(file["id"] for file in own if file["status"] == "active")
    assert [rule.id for rule in turned.running(jurisdiction)] == active


def test_the_facts_of_all_rules_are_those_their_files_name():
    leaves = [leaf for file in FILES.values() for leaf in plainly.leaves(file["when"])]
    named = {leaf[key] for leaf in leaves for key in ("fact", "times") if key in leaf}

    assert RULES.facts() == tuple(sorted(named))
    assert any("label" in leaf for leaf in leaves)


@pytest.mark.parametrize("drafts", [False, True])
@pytest.mark.parametrize("jurisdiction", ["us", "eu"])
def test_a_plan_puts_a_rule_once_to_every_product_it_covers_with_its_label(jurisdiction, drafts):
    planned = plan(RULES, PRODUCTS, MODALITIES, jurisdiction=jurisdiction, include_drafts=drafts)
    products = [product for _, product in planned.offered]

    assert planned.modalities == tuple(each.id for each in MODALITIES)
    assert [name for name, _ in planned.offered] == [product.modality for product in products]
    assert [products[place].modality for place in planned.products_of("adc")] == ["adc", "adc"]
    asked = [(group.rule.id, place, group.label) for group in planned.asked for place in group.products]
    wanted = [
        (rule.id, place, label_facts(product, jurisdiction) if "label." in str(rule.facts) else {})
        for rule in RULES.running(jurisdiction, include_drafts=drafts)
        for place, product in enumerate(products)
        if rule.applies_to.covers(product)
    ]
    assert sorted(asked, key=str) == sorted(wanted, key=str)
    assert len({(group.rule.id, str(group.label)) for group in planned.asked}) == len(planned.asked)


def test_a_plan_leaves_out_rules_that_cover_nothing_offered_and_drafts():
    lone = modality("other", products=(), safety_classes=("adc",))
    named = modality("named", products=(), agents=("selinexor",))
    planned = plan(RULES, PRODUCTS, (lone, named), jurisdiction="us")

    assert [(product.id, product.agents, product.safety_classes) for _, product in planned.offered] == [
        ("other", ("other",), ("adc",)),
        ("named", ("selinexor",), ()),
    ]
    assert all(group.products for group in planned.asked)
    assert {group.rule.id for group in planned.asked} < {rule.id for rule in planned.running}
    assert all(rule.status == "active" for rule in planned.running)


def test_the_set_of_rules_has_one_digest_whatever_the_order_of_files():
    turned = {f"{90 - place}/{name}": FILES[name] for place, name in enumerate(FILES)}

    assert parse_rules(turned, CATALOGUE, PRODUCTS) == RULES
    assert len(RULES.digest) == 64


def test_an_age_is_asked_for_as_the_fact_it_dates_and_once():
    asked = ["age", "ecog_age_days", "ecog", "hemoglobin_age_days", "hiv", "hiv"]

    assert RULES.questions(asked) == ("age", "ecog", "hemoglobin", "hiv")
    assert RULES.questions([]) == ()
    real = parse_rules(FILES, real_catalogue(), PRODUCTS)
    assert real.questions(asked) == RULES.questions(asked)
    assert {name: f"{fact}_age_days" for name, fact in real.dated.items()} == {name: name for name in real.dated}


def test_any_change_of_a_rule_changes_the_digest():
    changed = {
        **FILES,
        "g21-car-t-ecog-3-or-worse.yaml": {**FILES["g21-car-t-ecog-3-or-worse.yaml"], "owner": "someone"},
    }

    assert parse_rules(changed, CATALOGUE, PRODUCTS).digest != RULES.digest


def test_the_evidence_table_tells_what_became_of_all_52_candidates():
    rows = {row["evidence_id"]: row for row in evidence_table(RULES)}

    assert len(rows) == 52
    assert {name for name, row in rows.items() if row["state"] == "fact unavailable"} == {"G51"}
    assert {name for name, row in rows.items() if row["state"] == "draft"} == {
        "G24",
        "G26",
        "G27",
        "G28",
        "G29",
        "G34",
    }
    assert all(row["note"] for row in rows.values() if row["state"] == "fact unavailable")


def test_a_rule_reads_as_a_sentence():
    assert in_words(BY_ID["g21-car-t-ecog-3-or-worse"]) == (
        "Blocks safety class car_t when ECOG is at least 3. Where unknown: indeterminate. "
        "A clinician may override it with a reason."
    )
    assert "age is below 60 years" in in_words(BY_ID["g19a-pregnancy"])
    assert "prior lines is below 1 or not exposed to proteasome inhibitor" in in_words(BY_ID["g01-us-cilta-cel-label"])


def test_the_rule_table_has_a_row_per_rule():
    assert [row["id"] for row in rules_table(RULES)] == sorted(BY_ID)


def real_catalogue() -> dict[str, Any]:
    features = pytest.importorskip("pipeline.features", reason="the feature module is not there")
    path = CONFIGS / "features.yaml"
    if not path.exists() or not hasattr(features, "catalogue"):
        pytest.skip("configs/features.yaml or features.catalogue is not there")
    listed = parse_yaml((CONFIGS / "drugs.yaml").read_text("utf-8"), "drugs.yaml")["drugs"]
    drugs = DrugCatalogue(tuple(Drug.model_validate(entry) for entry in listed))
    spec = features.parse_spec(parse_yaml(path.read_text("utf-8"), "features.yaml"), drugs)
    facts: dict[str, Any] = features.catalogue(spec, drugs, ["car_t", "bispecific", "adc", "standard_triplet"])
    return facts


def test_the_real_catalogue_has_every_fact_in_the_unit_that_rules_declare():
    assert parse_rules(FILES, real_catalogue(), PRODUCTS).rules == RULES.rules


def test_every_agent_of_a_product_is_a_known_drug():
    listed = parse_yaml((CONFIGS / "drugs.yaml").read_text("utf-8"), "drugs.yaml")["drugs"]
    known = {entry["drug"] for entry in listed}

    assert {agent for product in PRODUCTS for agent in product.agents} <= known


def test_the_printed_rule_book_is_current():
    printed = (CONFIGS.parent / "docs" / "guardrails.md").read_text("utf-8")

    assert printed == describe(RULES, PRODUCTS, real_catalogue())


def test_an_example_is_read_as_one_row():
    rule: Rule = BY_ID["g21-car-t-ecog-3-or-worse"]

    assert truth_of_one(rule.condition, {"ecog": 3}).true.tolist() == [True]
