"""What is odd about the rules as a set is found by trying every situation, and said in a sentence."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.declared import parse_yaml
from pipeline.errors import RuleError
from pipeline.guardrails import Inconsistency, RuleSet, consistency, parse_rules
from pipeline.guardrails.conditions import Compare, Known, facts_of, parse_condition
from pipeline.guardrails.grid import FACTORS
from pipeline.guardrails.situations import find, samples_of, truth_in
from pipeline.vocabulary import LabelFacts, Product
from tests.guardrails import plainly
from tests.guardrails.shipped import CATALOGUE, MODALITIES, PRODUCTS, RULES, SmallFact, modality
from tests.guardrails.test_sql import SMALL, conditions

SHIPPED = consistency(RULES, PRODUCTS, MODALITIES, CATALOGUE)


def test_the_shipped_rules_have_no_error():
    assert [said.message for said in SHIPPED if said.severity == "error"] == []


def test_what_is_expected_of_the_shipped_rules_is_this_and_nothing_else_is_remarked():
    approved = (
        "cilta_cel, ide_cel, elranatamab, linvoseltamab, talquetamab, teclistamab, teclistamab_daratumumab, "
        "belantamab_bvd"
    )
    in_eu = "elranatamab, talquetamab, teclistamab, belantamab_bpd, belantamab_bvd"
    pair = "wherever the first fires the second does too, with a stronger effect, for cilta_cel, ide_cel"
    drafts = f"g28a-car-t-cytopenia-caution (draft) and g28b-car-t-cytopenia-action (draft): {pair}"
    pace = f"g36a-car-t-rapid-progression-caution and g36b-car-t-rapid-progression-action: {pair}"
    g10, g12a, g12b = "g10-us-belantamab-bpd-not-labelled", "g12a-us-no-approval-found", "g12b-eu-no-approval-found"

    assert [(said.severity, said.kind, said.jurisdiction, said.message) for said in SHIPPED] == [
        ("expected", "always_fires", "eu", f"{g12b} always fires for teclistamab_daratumumab with the eu label"),
        ("expected", "never_fires", "eu", f"{g12b} never fires for {in_eu} with the eu label"),
        ("expected", "never_offered", "eu", f"teclistamab_daratumumab can never be offered in eu: {g12b}"),
        ("expected", "redundant", "eu", drafts),
        ("expected", "redundant", "eu", pace),
        ("expected", "always_fires", "us", f"{g10} always fires for belantamab_bpd with the us label"),
        ("expected", "never_fires", "us", f"{g12a} never fires for {approved} with the us label"),
        ("expected", "never_offered", "us", f"belantamab_bpd can never be offered in us: {g10}"),
        ("expected", "redundant", "us", drafts),
        ("expected", "redundant", "us", pace),
    ]


def test_only_the_jurisdictions_asked_for_are_looked_at():
    assert {said.jurisdiction for said in consistency(RULES, PRODUCTS, MODALITIES, CATALOGUE, ["eu"])} == {"eu"}


SHELL = """\
title: A rule made for a test
applies_to: {applies_to}
jurisdiction: any
when: {when}
reason: Because a test asks.
action: Look again.
source: {{document: a test, section: "1"}}
evidence: verified
owner: clinical-safety
review_by: 2027-05-23
"""
EXAMPLES = {
    "ecog": [1, 2, 3, 4, None],
    "hiv": [False, True, None],
    "lvef": [60, 30, None],
    "sex": ["female", "male", None],
}


def ruleset(
    *rows: tuple[str, str, str],
    products: tuple[Product, ...] = PRODUCTS,
    letter: str = "g",
    given: Any = None,
    **more: str,
) -> Any:
    """Return rules drawn as (applies_to, when, effect), named g01-x, g02-x ...; `more` sets every rule's fields."""
    files = {}
    for number, (applies_to, when, effect) in enumerate(rows, start=1):
        name = f"{letter}{number:02d}"
        unknown = "indeterminate" if effect == "block" else "caution"
        text = SHELL.format(applies_to=applies_to, when=when)
        fields = {
            "status": "active",
            "effective_from": "2000-01-01",
            **{k: v for k, v in more.items() if not k.startswith("g")},
        }
        fields |= dict([more[name].split(": ")]) if name in more else {}
        text += "".join(f"{key}: {value}\n" for key, value in fields.items())
        text += f"id: {name}-x\nevidence_id: {name.upper()}\neffect: {effect}\nwhen_unknown: {unknown}\n"
        where = f"{name}-x.yaml"
        files[where] = parse_yaml(text + "examples: []\n", where, RuleError)
        files[where]["examples"] = examples_of(files[where]) if given is None else examples_given(files[where], given)
    return parse_rules(files, CATALOGUE, products)


def examples_of(file: dict[str, Any]) -> list[dict[str, Any]]:
    """Return examples that trip, pass and leave unknown, found by trying."""
    when = file["when"]
    names = sorted({leaf["fact"] for leaf in plainly.leaves(when) if "fact" in leaf})
    verdicts = {
        True: {"block": "blocked"}.get(file["effect"], file["effect"]),
        False: "clear",
        None: file["when_unknown"],
    }
    found: dict[Any, dict[str, Any]] = {}
    if "label" in when:
        given = [{"label.approval_status": value} for value in ("approved", "not_approved", None)]
        return [
            {"given": g, "verdict": verdicts[plainly.answer(when, {}, {"approval_status": g["label.approval_status"]})]}
            for g in given
        ]
    for values in itertools.product(*[EXAMPLES[name] for name in names]):
        given = dict(zip(names, values, strict=True))
        found.setdefault(plainly.answer(when, given), given)
    return [{"given": given, "verdict": verdicts[answer]} for answer, given in found.items()]


def examples_given(file: dict[str, Any], given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return examples of some facts, labels among them."""
    verdicts = {True: "blocked", False: "clear", None: "indeterminate"}
    status = "label.approval_status"
    return [
        {"given": facts, "verdict": verdicts[plainly.answer(file["when"], facts, {"approval_status": facts[status]})]}
        for facts in given
    ]


def said(
    rules: Any, *kinds: str, products: tuple[Product, ...] = PRODUCTS, modalities: Any = MODALITIES
) -> list[Inconsistency]:
    found = consistency(rules, products, modalities, CATALOGUE, ["us"])
    return [each for each in found if each.kind in kinds] if kinds else found


CAR_T, CILTA, ALL = "{safety_class: [car_t]}", "{product: [cilta_cel]}", "{everything: true}"
BAD, GOOD = "{fact: ecog, ge: 3, unit: score}", "{fact: ecog, lt: 3, unit: score}"
HIV, NO_HIV = "{fact: hiv, is: true}", "{fact: hiv, is: false}"


def test_sound_rules_give_nothing_to_say():
    assert said(ruleset((CAR_T, BAD, "block"), (CAR_T, HIV, "caution"))) == []


def test_two_blocks_that_leave_no_way_contradict_and_the_product_can_never_be_offered():
    found = said(ruleset((CAR_T, BAD, "block"), (CILTA, GOOD, "block")))

    assert [(each.severity, each.kind, each.rules, each.products) for each in found] == [
        ("error", "contradiction", ("g01-x", "g02-x"), ("cilta_cel",)),
        ("error", "never_offered", ("g01-x", "g02-x"), ("cilta_cel",)),
    ]
    assert found[0].message == (
        "g01-x and g02-x contradict each other: whatever the facts, one of them fires for cilta_cel"
    )
    assert found[1].message == "cilta_cel can never be offered in us: g01-x and g02-x"


def test_a_rule_that_asks_for_what_another_blocks_is_an_error():
    found = said(ruleset((CAR_T, HIV, "block"), (CILTA, NO_HIV, "action_required")), "contradiction")

    assert [(each.severity, each.rules, each.products) for each in found] == [
        ("error", ("g01-x", "g02-x"), ("cilta_cel",))
    ]


def test_two_cautions_of_which_one_always_fires_are_a_note_and_the_product_is_never_clear():
    found = said(ruleset((CILTA, HIV, "caution"), (CILTA, NO_HIV, "action_required")))

    assert [(each.severity, each.kind) for each in found] == [("note", "contradiction"), ("note", "never_clear")]
    assert found[1].message == "cilta_cel can never be clear in us: g01-x and g02-x"


def test_rules_of_different_products_do_not_contradict():
    assert said(ruleset((CILTA, BAD, "block"), ("{product: [ide_cel]}", GOOD, "block"))) == []


def test_three_blocks_can_leave_no_way_although_no_two_contradict():
    middle = "{all: [{fact: ecog, lt: 3, unit: score}, {fact: hiv, is: false}]}"
    found = said(
        ruleset(
            (CILTA, BAD, "block"),
            (CILTA, middle, "block"),
            (CILTA, HIV, "block"),
            (CILTA, '{fact: lvef, lt: 40, unit: "%"}', "block"),
        )
    )

    assert [(each.kind, each.rules) for each in found] == [("never_offered", ("g01-x", "g02-x", "g03-x"))]


@pytest.mark.parametrize(
    ("weak", "strong", "more", "found"),
    [
        ((CILTA, "{fact: ecog, ge: 4, unit: score}", "caution"), (CAR_T, BAD, "block"), {}, True),
        ((CILTA, BAD, "caution"), (CAR_T, BAD, "action_required"), {}, True),
        ((CILTA, BAD, "caution"), (CILTA, BAD, "action_required"), {}, True),  # covers the same
        ((CILTA, "{fact: ecog, ge: 2, unit: score}", "caution"), (CAR_T, BAD, "block"), {}, False),  # fires more often
        ((CAR_T, BAD, "caution"), (CILTA, BAD, "block"), {}, False),  # covers more
        ((CILTA, BAD, "block"), (CAR_T, BAD, "caution"), {}, False),  # the other is weaker
        ((CILTA, BAD, "caution"), (CAR_T, BAD, "caution"), {}, False),  # as strong
        ((CILTA, BAD, "block"), (CAR_T, BAD, "block"), {}, False),  # as strong
        ((CILTA, BAD, "block"), (CAR_T, BAD, "block"), {"g01": "overridable: true"}, True),  # the other holds
        ((CILTA, BAD, "caution"), (CAR_T, BAD, "block"), {"g02": "status: draft"}, False),  # may not run
        ((CILTA, BAD, "caution"), (CAR_T, BAD, "block"), {"g01": "status: draft"}, True),
        ((CILTA, BAD, "caution"), (CAR_T, BAD, "block"), {"g02": "effective_from: 2001-01-01"}, False),  # later
        ((CILTA, BAD, "caution"), (CAR_T, BAD, "block"), {"g01": "effective_from: 2001-01-01"}, True),
    ],
)
def test_a_rule_is_redundant_where_a_stronger_one_always_speaks_first(weak, strong, more, found):
    redundant = said(ruleset(weak, strong, **more), "redundant")

    assert [(each.severity, each.rules, each.products) for each in redundant] == (
        [("note", ("g01-x", "g02-x"), ("cilta_cel",))] if found else []
    )


def labelled(status: str | None) -> tuple[Product, ...]:
    label = None if status is None else LabelFacts(approval_status=status, as_of="2026-11-23", source="a test", evidence="verified")  # type: ignore[arg-type]  # fmt: skip  # noqa: E501
    own = {} if label is None else {"us": label, "eu": label}
    return tuple(p.model_copy(update={"labels": own}) if p.id == "cilta_cel" else p for p in PRODUCTS)


LABEL = "{label: approval_status, is: not_approved}"


@pytest.mark.parametrize(
    ("status", "kinds"),
    [
        ("not_approved", ["always_fires", "never_offered"]),
        ("approved", ["never_fires"]),
    ],
)
@pytest.mark.parametrize(("letter", "severity"), [("g", "expected"), ("p", "note")])
def test_a_label_that_settles_a_rule_is_expected_of_the_evidence_base_and_noted_of_a_rule_of_ones_own(
    status, kinds, letter, severity
):
    products = labelled(status)
    found = said(ruleset((CILTA, LABEL, "block"), products=products, letter=letter), products=products)

    assert [(each.severity, each.kind) for each in found] == [(severity, kind) for kind in kinds]
    assert {each.what_to_do.split("; else ")[0] for each in found} == {"nothing, if the label is meant to decide"}


def test_a_product_that_two_labels_forbid_is_noted_if_one_of_the_rules_is_ones_own():
    products = labelled("approved")
    not_so, other = "{not: {fact: ecog, ge: 3, unit: score}}", "{label: approval_status, is: approved}"
    both = f"{{all: [{other}, {BAD}]}}", f"{{all: [{other}, {not_so}]}}"
    given = [{"ecog": ecog, "label.approval_status": "approved"} for ecog in (2, 3, None)]
    first, second = (
        ruleset((CILTA, when, "block"), products=products, letter=letter, given=given).rules[0]
        for when, letter in zip(both, "gp", strict=True)
    )

    for rules, severity in (((first, second), "note"), ((first, replace(second, evidence_id="G02")), "expected")):
        found = said(RuleSet(rules, "two labels"), "never_offered", products=products)
        assert [(each.severity, each.rules) for each in found] == [(severity, ("g01-x", "p01-x"))]


def test_an_error_is_never_said_to_be_meant():
    rules = ruleset((CILTA, BAD, "block"), (CILTA, GOOD, "block"))

    found = said(rules, "never_offered")
    assert [(each.severity, each.what_to_do) for each in found] == [
        (
            "error",
            "move a limit of the rules named, or narrow applies_to, so that somebody may be given the product",
        )
    ]


def test_two_effects_of_one_piece_of_evidence_are_expected_to_go_together():
    rules = ruleset((CILTA, BAD, "caution"), (CAR_T, BAD, "block"))
    paired = RuleSet((rules.rules[0], replace(rules.rules[1], evidence_id="G01")), "paired")

    found = said(paired, "redundant")
    assert [(each.severity, each.rules) for each in found] == [("expected", ("g01-x", "g02-x"))]
    assert found[0].what_to_do == "keep both only if the weaker one tells something more; else drop it"


def test_a_rule_on_a_label_that_is_not_there_is_always_undecided():
    products = labelled(None)
    found = said(ruleset((CILTA, LABEL, "block"), products=products, status="draft"), products=products)

    assert [(each.severity, each.kind, each.message) for each in found] == [
        ("error", "undecidable", "g01-x (draft) is always undecided for cilta_cel: no label in us")
    ]


def test_a_block_by_label_does_not_make_other_rules_of_the_product_redundant():
    products = labelled("not_approved")
    rules = ruleset((CILTA, LABEL, "block"), (CILTA, BAD, "caution"), products=products)

    assert said(rules, "redundant", "contradiction", products=products) == []


def test_a_rule_that_its_label_keeps_quiet_is_not_called_redundant():
    products = labelled("approved")
    rules = ruleset((CILTA, LABEL, "caution"), (CILTA, BAD, "block"), products=products)

    assert said(rules, "redundant", products=products) == []


def test_a_rule_that_covers_nothing_offered_is_a_note():
    found = said(ruleset((CILTA, BAD, "block")), modalities=(modality("bispecific"),))

    assert [(each.severity, each.kind, each.products) for each in found] == [("note", "covers_nothing", ())]
    assert found[0].message == "g01-x covers no product that is offered in us"


def test_a_rule_that_asks_for_every_level_of_a_category_always_fires():
    rule = ruleset((CILTA, "{fact: sex, is: male}", "caution")).rules[0]
    every = RuleSet((replace(rule, condition=Compare("sex", "in", ("female", "male", "unknown"))),), "every level")

    found = said(every)

    assert [(each.severity, each.kind) for each in found] == [("error", "always_fires"), ("note", "never_clear")]
    assert found[0].message == "g01-x always fires for cilta_cel"


# --- the solver behind it


def brute(wanted: list[tuple[Any, bool]], samples: Any, given: Any) -> bool:
    """Return whether some whole situation answers as wanted, by trying all."""
    names = [name for name in samples if given.get(name) is None]
    return any(
        all(
            truth_in(condition, {**given, **dict(zip(names, values, strict=True))}) is answer
            for condition, answer in wanted
        )
        for values in itertools.product(*[samples[name] for name in names])
    )


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(conditions, st.booleans()), min_size=1, max_size=3), st.sampled_from(["approved", "conditional"])
)
def test_what_the_solver_finds_is_there_and_what_it_does_not_find_is_not(written, status):
    problems: list[str] = []
    parsed = [(parse_condition(when, "when", SMALL, problems), answer) for when, answer in written]
    wanted = [(condition, answer) for condition, answer in parsed if condition is not None]
    samples = samples_of([condition for condition, _ in wanted], SMALL)
    label = {"label.approval_status": status}

    found = find(wanted, samples, label)

    size = 1
    for values in samples.values():
        size *= len(values)
    if found is not None:
        whole = {name: found.get(name, values[0]) for name, values in samples.items()} | label
        assert all(truth_in(condition, whole) is answer for condition, answer in wanted)
    elif size <= 20_000:
        assert not brute(wanted, samples, label)


@settings(max_examples=300, deadline=None)
@given(conditions, st.integers(0, 2**32 - 1))
def test_the_samples_meet_every_answer_that_any_values_give(when, seed):
    problems: list[str] = []
    condition = parse_condition(when, "when", SMALL, problems)
    assert condition is not None
    samples = samples_of([condition], SMALL)
    values = {"ecog": [-7.0, 0.5, 1.0, 2.2, 2.5, 2.7, 99.0], "alt": [1.0, 17.0], "alt_uln": [0.5, 5.0], "hiv": [True, False], 'it\'s "odd"': [True, False], "sex": ["female", "male", "it's"]}  # fmt: skip  # noqa: E501
    for place in range(20):
        facts = {
            name: options[(seed + place * 7 + i) % len(options)] for i, (name, options) in enumerate(values.items())
        }
        answer = plainly.answer(when, facts, {"approval_status": "approved"})
        if answer is not None:
            assert find([(condition, answer)], samples, {"label.approval_status": "approved"}) is not None


def test_samples_stand_below_on_between_and_above_every_threshold():
    ecog = [Compare("ecog", "ge", (3,)), Compare("ecog", "lt", (1,))]

    assert samples_of(ecog, {})["ecog"] == (0.0, 1.0, 2.0, 3.0, 4.0)
    assert samples_of(ecog, {"ecog": SmallFact("ecog", "number", minimum=1)})["ecog"] == (1.0, 2.0, 3.0, 4.0)
    assert samples_of([Compare("ecog", "lt", (5,))], {"ecog": SmallFact("ecog", "number", minimum=1)})["ecog"] == (
        1.0,
        4.0,
        5.0,
        6.0,
    )


def test_samples_of_levels_have_one_other_level_if_there_is_one():
    asked = [Compare("sex", "is", ("female",))]

    assert samples_of(asked, CATALOGUE)["sex"] == ("female", "male")
    assert samples_of([Compare("sex", "in", ("female", "male", "unknown"))], CATALOGUE)["sex"] == (
        "female",
        "male",
        "unknown",
    )
    assert samples_of(asked, {})["sex"] == ("female",)


def test_samples_of_what_is_only_asked_about_or_multiplied_by():
    asked = [Compare("alt", "gt", (4,), times="alt_uln"), Known("hiv", known=True)]
    samples = samples_of(asked, CATALOGUE)

    assert samples["alt_uln"] == FACTORS
    assert set(samples["alt"]) >= {4e-6, 4.0, 4e6}
    assert set(facts_of(asked[0])) == {"alt", "alt_uln"}
    assert len(samples["hiv"]) >= 1


@pytest.mark.parametrize(("absent", "answer"), [((), None), (("lvef",), False)])
def test_whether_a_fact_is_known_counts_as_settled_unless_it_stays_absent(absent, answer):
    condition = parse_condition(
        {"all": [{"fact": "lvef", "known": True}, {"fact": "lvef", "lt": 40, "unit": "%"}]}, "when", CATALOGUE, []
    )
    assert condition is not None

    assert truth_in(condition, {}, absent) is answer
