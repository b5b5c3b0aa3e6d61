"""A wrong rule file never runs: it gets an error that names file, field and what was wanted."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import pytest

from pipeline.declared import parse_yaml, read_declared
from pipeline.errors import RuleError, counted
from pipeline.guardrails import parse_rules
from pipeline.guardrails.checks import check_behaviour, check_examples
from pipeline.guardrails.conditions import AllOf, Compare, Known
from pipeline.guardrails.lines import line_of
from pipeline.guardrails.rules import RuleFile
from tests.guardrails.shipped import CATALOGUE, PRODUCTS, SmallFact

GOOD = """\
id: g21-car-t-ecog-3-or-worse
evidence_id: G21
title: CAR T-cells at ECOG 3 or worse
status: active
applies_to: {safety_class: [car_t]}
jurisdiction: any
when: {fact: ecog, ge: 3, unit: score}
effect: block
overridable: true
when_unknown: indeterminate
reason: Trials took ECOG 0 to 1.
action: Assess performance status.
source:
  document: EBMT/EHA CAR T recommendations
  section: Table 1
evidence: verified
owner: clinical-safety
effective_from: 2000-01-01
review_by: 2027-05-23
examples:
  - {given: {ecog: 2}, verdict: clear}
  - {given: {ecog: 3}, verdict: blocked}
  - {given: {ecog: null}, verdict: indeterminate}
"""
WHEN = "when: {fact: ecog, ge: 3, unit: score}"
HIV = "{fact: hiv, is: true}"
ECOG = "{fact: ecog, ge: 3, unit: score}"
PASSES = "an unknown fact would pass this block"
CLASS = "{safety_class: [car_t]}"


def file_of(text: str) -> str:
    """Return the name that the file of a rule must have."""
    return f"{re.search(r'^id: (.*)', text, re.MULTILINE)[1]}.yaml" if "id: " in text else "bad.yaml"


def read(text: str) -> Any:
    where = file_of(text)
    return parse_rules({where: parse_yaml(text, where, RuleError)}, CATALOGUE, PRODUCTS)


def test_the_rule_that_the_others_spoil_is_good():
    assert len(read(GOOD).rules) == 1


HOSTILE = [
    # what is spoiled | text replaced | by | words of the message
    ("alias", WHEN, "when: &a {fact: ecog, ge: 3, unit: score}\nnot: *a", "aliases"),
    ("tag", "owner: clinical-safety", "owner: !!python/name:os.system x", "tag"),
    ("duplicate key", "status: active", "status: active\nstatus: draft", "duplicate key 'status'"),
    ("duplicate key inside", WHEN, "when: {fact: ecog, fact: age, ge: 3}", "duplicate key 'fact'"),
    ("no is not false", "overridable: true", "overridable: no", "overridable: write true or false; .*got 'no'"),
    ("yes is not true", "overridable: true", "overridable: yes", "overridable: write true or false; .*got 'yes'"),
    ("1 is not true", "overridable: true", "overridable: 1", "overridable: write true or false; .*got 1"),
    ("012 is not a number", "ge: 3", "ge: 012", "got '012', which begins with 0 and so could be .* octal: write 12;"),
    ("03 in a list", "ge: 3", "in: [1, -03]", r"got \[1, '-03'\], which begins with 0 .* write -3; wanted for example"),
    ("0x3 is not a number", "ge: 3", "ge: 0x3", "when.ge: 'ecog' is a number, got '0x3'; wanted for example"),
    ("not a number", "ge: 3", "ge: .nan", "when.ge: 'ecog' is a number"),
    ("yes-no against a number", "ge: 3", "ge: true", "when.ge: 'ecog' is a number"),
    ("expression", WHEN, 'when: "ecog >= 3"', "when: .*wanted a mapping.*expressions are not read"),
    ("call in a name", "fact: ecog", 'fact: "__import__(1)"', r"when.fact: unknown fact '__import__\(1\)'"),
    ("attribute in a name", "fact: ecog", "fact: ecog.__class__", "when.fact: unknown fact 'ecog.__class__'"),
    ("misspelt fact", "fact: ecog", "fact: ecgo", "unknown fact 'ecgo'; did you mean 'ecog'"),
    ("fact is a list", "fact: ecog", "fact: [ecog]", "when.fact: unknown fact"),
    ("unknown operator", "ge: 3", "above: 3", "wanted exactly one of is, equals"),
    ("two operators", "ge: 3", "ge: 3, le: 4", r"operator, ge and le, in one .* under all:, or between: \[low"),
    ("an operator and known", "ge: 3", "ge: 3, known: true", "wanted exactly one of is, equals"),
    ("no unit", ", unit: score", "", "when.unit: missing; write unit: score"),
    ("wrong unit", "unit: score", "unit: mg/dL", "when.unit: got 'mg/dL', but 'ecog' is in score"),
    ("wrong type", WHEN, "when: {fact: hiv, ge: 3}", "when.ge: 'hiv' is yes or no"),
    ("word against yes or no", WHEN, "when: {fact: hiv, is: no}", "when.is: 'hiv' is yes or no, got 'no'"),
    ("unknown level", WHEN, "when: {fact: sex, is: mael}", "unknown level 'mael' of 'sex'; did you mean 'male'"),
    ("low above high", "ge: 3", "between: [4, 3]", "when.between: wanted .low, high."),
    ("below the smallest", "ge: 3", "lt: 0", "can never be true"),
    ("contradicts itself", WHEN, f"when: {{all: [{{fact: ecog, lt: 2, unit: score}}, {ECOG}]}}", "can never be true"),
    ("always true", "ge: 3", "ge: 0", "is always true"),
    ("empty list", WHEN, "when: {all: []}", "when.all: wanted a list"),
    ("two kinds", WHEN, f"when: {{all: [{HIV}], any: [{HIV}]}}", "exactly one of all, any"),
    ("count too high", WHEN, f"when: {{at_least: 2, of: [{HIV}]}}", "at_least: got 2, wanted a whole number"),
    ("too deep", WHEN, "when: " + "{not: " * 9 + "{fact: hiv, is: true}" + "}" * 9, "nested deeper"),
    ("known guards a block", WHEN, f"when: {{all: [{{fact: ecog, known: true}}, {ECOG}]}}", PASSES),
    ("not known passes", WHEN, f"when: {{all: [{{fact: hiv, known: true}}, {ECOG}]}}", PASSES),
    ("weak unknown", "when_unknown: indeterminate", "when_unknown: caution", "of a block must be indeterminate"),
    ("clear unknown", "when_unknown: indeterminate", "when_unknown: clear", "may never count as clear; write indet"),
    ("misspelt unknown", "when_unknown: indeterminate", "when_unknown: unclear", "when_unknown: input should be"),
    ("no condition", f"{WHEN}\n", "", "when: missing"),
    ("an id that is a list", "id: g21-car-t-ecog-3-or-worse", "id: [g21-x]", "id: "),
    ("a day that is no day", "effective_from: 2000-01-01", "effective_from: 2000-02-30", "effective_from: wanted"),
    ("review on the first day", "review_by: 2027-05-23", "review_by: 2000-01-01", "review_by must be later"),
    ("evidence before 1", "evidence_id: G21", "evidence_id: G00", "evidence_id: "),
    ("no source", "source:\n  document: EBMT/EHA CAR T recommendations\n  section: Table 1\n", "", "source: missing"),
    ("empty source", "section: Table 1", 'section: ""', "source.section"),
    ("no owner", "owner: clinical-safety\n", "", "owner: missing"),
    ("bad date", "review_by: 2027-05-23", "review_by: 2027-13-01", "review_by: wanted an ISO date"),
    ("date as number", "effective_from: 2000-01-01", "effective_from: 2000", "effective_from: wanted an ISO date"),
    ("review before start", "review_by: 2027-05-23", "review_by: 1999-01-01", "review_by must be later"),
    ("recalled and active", "evidence: verified", "evidence: recalled", "may not rest on recalled evidence"),
    ("unknown safety class", "[car_t]", "[cart]", "no product has the safety_class 'cart'; did you mean 'car_t'"),
    ("unknown product", CLASS, "{product: [cilta]}", "product 'cilta'; did you mean 'cilta_cel'"),
    ("unknown modality", CLASS, "{modality: [cart]}", "no product has the modality 'cart'"),
    ("applies to nothing", CLASS, "{}", "applies_to: wanted either everything"),
    ("everything and more", CLASS, "{everything: true, product: [ide_cel]}", "applies_to: wanted either everything"),
    ("list as a word", CLASS, "{safety_class: car_t}", "applies_to.safety_class"),
    ("unknown setting", "owner: clinical-safety", "owner: clinical-safety\nseverity: high", "severity: unknown"),
    ("misspelt setting", "overridable: true", "overidable: true", "did you mean 'overridable'"),
    ("unknown status", "status: active", "status: live", "status: "),
    ("id of another rule", "id: g21-", "id: g22-", "id must begin with its evidence id"),
    ("id with a path", "id: g21-car-t-ecog-3-or-worse", "id: ../g21", "id: "),
    ("evidence beyond 52", "evidence_id: G21", "evidence_id: G53", "evidence_id: "),
    ("wrong example", "{ecog: 2}", "{ecog: 3}", r"examples\[0\]: the rule gives 'blocked' here"),
    ("no unknown example", "  - {given: {ecog: null}, verdict: indeterminate}\n", "", "none leaves it unknown"),
    ("no tripping example", "  - {given: {ecog: 3}, verdict: blocked}\n", "", "examples: none trips the rule"),
    ("example of another fact", "{ecog: 2}", "{ecog: 2, lvef: 3}", "does not read 'lvef'"),
    ("example without the fact", "{ecog: 2}", "{}", "'ecog' is missing; write null"),
    ("example of another type", "{ecog: 2}", '{ecog: "2"}', r"examples\[0\].given.ecog: got '2', wanted a number"),
    ("override of a caution", "effect: block", "effect: caution", "overridable belongs to blocks"),
    ("not a mapping", GOOD, "- a\n- b\n", "wanted a mapping"),
    ("not YAML", WHEN, "when: {fact: ecog, ge: 3", "line"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), [row[1:] for row in HOSTILE], ids=[row[0] for row in HOSTILE])
def test_a_hostile_rule_file_is_refused_with_file_field_and_what_was_wanted(old, new, message):
    assert old in GOOD
    with pytest.raises(RuleError, match=message) as problem:
        read(GOOD.replace(old, new, 1))
    assert file_of(GOOD.replace(old, new, 1)) in str(problem.value)


SHORTEST = [("title", 8), ("reason", 8), ("action", 4), ("owner", 3), ("source.document", 3), ("source.section", 1)]


@pytest.mark.parametrize(("field", "shortest"), SHORTEST)
def test_words_may_be_as_short_as_this_and_no_shorter(field, shortest):
    def problems_at(number: int) -> list[str]:
        problems: list[str] = []
        line = rf"(?m)^( *{field.removeprefix('source.')}): .*$"
        written = re.sub(line, rf'\g<1>: "{"x" * number}"', GOOD)
        read_declared(RuleFile, parse_yaml(written, "bad.yaml"), "bad.yaml", problems)
        return problems

    assert problems_at(shortest) == []
    assert [problem.split(": ")[:2] for problem in problems_at(shortest - 1)] == [["bad.yaml", field]]


@pytest.mark.parametrize("evidence", ["G01", "G09", "G10", "G49", "G52", "P00", "P50"])
def test_a_rule_is_of_one_of_52_candidates_or_of_your_own(evidence):
    text = GOOD.replace("G21", evidence).replace("g21", evidence.lower())

    assert read(text).rules[0].id == f"{evidence.lower()}-car-t-ecog-3-or-worse"


def told(text: str) -> list[str]:
    """Return the problems of a rule, without the name of the file."""
    try:
        read(text)
    except RuleError as problem:
        heading, *lines = str(problem).splitlines()
        assert heading == f"guardrails: {counted(len(lines), 'problem')}"
        return [line.removeprefix(f"  - {file_of(text)}: ") for line in lines]
    return []


@pytest.mark.parametrize(("product", "jurisdiction", "status", "problems"), [
    ("cilta_cel", "us", "active", []),
    ("cilta_cel", "eu", "active", ["eu recalled"]),
    ("cilta_cel", "any", "active", ["eu recalled"]),
    ("cilta_cel", "any", "draft", []),
    ("elranatamab", "any", "active", []),
    ("dara_len_dex", "any", "active", ["us missing", "eu missing"]),
    ("dara_len_dex", "us", "active", ["us missing"]),
])  # fmt: skip
def test_an_active_rule_reads_verified_labels_of_its_jurisdiction_only(product, jurisdiction, status, problems):
    text = GOOD.replace(CLASS, f"{{product: [{product}]}}").replace("status: active", f"status: {status}")
    text = text.replace("jurisdiction: any", f"jurisdiction: {jurisdiction}")
    text = text.replace(WHEN, "when: {label: approval_status, is: not_approved}")
    for ecog, label in (("2", "approved"), ("3", "not_approved"), ("null", "null")):
        text = text.replace(f"{{ecog: {ecog}}}", f"{{label.approval_status: {label}}}")

    assert told(text) == [
        f"applies_to: the {where} label of '{product}' is {what}; an active rule reads verified labels only"
        for where, what in (problem.split() for problem in problems)
    ]


NONE_TRIPS = "examples: none trips the rule; give at least one that does"
NONE_PASSES = "examples: none passes it; give at least one that does"
NONE_UNKNOWN = "examples: none leaves it unknown; give at least one that does"
GIVES = "the rule gives '{}' here, the example says '{}'; one of them is wrong"
WRONG_EXAMPLES = [
    # example | in its place | what is told | its kind, that is then missing
    ("{ecog: 3}", '{ecog: "3"}', "[1].given.ecog: got '3', wanted a number, or null", NONE_TRIPS),
    ("{ecog: 2}", "{}", "[0].given: 'ecog' is missing; write null where it is unknown", NONE_PASSES),
    ("{ecog: 2}", "{ecog: 2, ecgo: 1}", "[0].given: the rule does not read 'ecgo'; did you mean 'ecog'?", NONE_PASSES),
    ("{ecog: 2}", "{ecog: 3}", f"[0]: {GIVES.format('blocked', 'clear')}", NONE_PASSES),
    ("{ecog: 3}", "{ecog: 2}", f"[1]: {GIVES.format('clear', 'blocked')}", NONE_TRIPS),
    ("{ecog: null}", "{ecog: 2}", f"[2]: {GIVES.format('clear', 'indeterminate')}", NONE_UNKNOWN),
    ("{ecog: 2}", "{ecog: null}", f"[0]: {GIVES.format('indeterminate', 'clear')}", NONE_PASSES),
]


@pytest.mark.parametrize(("old", "new", "problem", "missing"), WRONG_EXAMPLES)
def test_a_wrong_example_is_told_once_and_is_not_counted(old, new, problem, missing):
    assert told(GOOD.replace(old, new)) == [f"examples{problem}", missing]


ASKED_OF = {
    "hiv": Compare("hiv", "is", (True,)),
    "ecog": Compare("ecog", "ge", (3,), "score"),
    "sex": Compare("sex", "is", ("male",)),
    "blank": Compare("blank", "is", ("x",)),
    "label.approval_status": Compare("label.approval_status", "is", ("approved",)),
}
STATUSES = "one of approved, accelerated, conditional, not_approved"


@pytest.mark.parametrize(("fact", "value", "wanted"), [
    ("hiv", True, None), ("hiv", False, None), ("hiv", None, None), ("hiv", 1, "true or false"),
    ("hiv", "yes", "true or false"), ("ecog", 3, None), ("ecog", 2.5, None), ("ecog", True, "a number"),
    ("ecog", "3", "a number"), ("sex", "male", None), ("sex", "mael", "one of female, male, unknown"),
    ("label.approval_status", "approved", None), ("label.approval_status", "yes", STATUSES), ("blank", "x", "one of "),
])  # fmt: skip
def test_an_example_gives_values_of_the_facts_own_kind(fact, value, wanted):
    problems: list[str] = []
    catalogue = {**CATALOGUE, "blank": SmallFact("blank", "category")}

    check_examples(ASKED_OF[fact], "blocked", "indeterminate", [({fact: value}, "")], "x", catalogue, problems)

    given = [problem for problem in problems if "given" in problem]
    wrong = f"x: examples[0].given.{fact}: got {value!r}, wanted {wanted}, or null"
    assert given == ([] if wanted is None else [wrong])


KNOWN_AND_BAD = AllOf((Known("ecog", known=True), ASKED_OF["ecog"]))
NEVER = "can never be true, whatever the facts; check ranges and repeated facts"
ALWAYS = "is always true; a rule that always fires says nothing about a patient"


@pytest.mark.parametrize(("condition", "effect", "problem"), [
    (ASKED_OF["ecog"], "block", None),
    (KNOWN_AND_BAD, "caution", None),
    (KNOWN_AND_BAD, "block", f"{PASSES}; do not guard a block with 'known'"),
    (Compare("ecog", "lt", (0,), "score"), "caution", NEVER),
    (Compare("ecog", "ge", (0,), "score"), "caution", ALWAYS),
])  # fmt: skip
def test_a_rule_can_fire_and_stay_quiet_and_a_block_lets_no_unknown_pass(condition, effect, problem):
    problems: list[str] = []

    check_behaviour(condition, effect, "x", CATALOGUE, problems)

    assert problems == ([] if problem is None else [f"x: when: {problem}"])


def test_the_digest_is_of_the_rules_alone_however_their_keys_are_ordered():
    text = GOOD.replace("CAR T-cells at ECOG 3 or worse", "CAR T-cells at ECOG \u2265 3")
    turned = text.replace(WHEN, "when: {unit: score, ge: 3, fact: ecog}")
    rules = read(text)
    canonical = json.dumps([dict(rules.rules[0].text)], sort_keys=True, separators=(",", ":"))

    assert "\\u2265" in canonical
    assert rules.digest == read(turned).digest == hashlib.sha256(canonical.encode("ascii")).hexdigest()


def test_all_problems_of_all_files_are_told_at_once():
    files = {
        "one.yaml": parse_yaml(GOOD.replace("fact: ecog", "fact: egoc").replace("owner: clinical-safety\n", ""), "one"),
        "two.yaml": parse_yaml(GOOD.replace("unit: score", "unit: kg"), "two"),
    }

    with pytest.raises(RuleError) as problem:
        parse_rules(files, CATALOGUE, PRODUCTS)

    for words in ("one.yaml: when.fact", "one.yaml: owner", "two.yaml: when.unit", "two.yaml: id: the file holds"):
        assert words in str(problem.value)


@pytest.mark.parametrize(("where", "problem"), [
    ("g21-car-t-ecog-3-or-worse.yaml", None),
    ("guardrails/g21-car-t-ecog-3-or-worse.yaml", None),
    ("g21.yaml", "g21.yaml: id: the file holds 'g21-car-t-ecog-3-or-worse'; name the file g21-car-t-ecog-3-or-"),
    ("g21-car-t-ecog-3-or-worse.yml", "id: the file holds"),
    ("x-g21-car-t-ecog-3-or-worse.yaml", "id: the file holds"),
])  # fmt: skip
def test_a_file_is_named_by_the_id_it_holds(where, problem):
    mapping = {where: parse_yaml(GOOD, where)}
    if problem is None:
        assert len(parse_rules(mapping, CATALOGUE, PRODUCTS).rules) == 1
    else:
        with pytest.raises(RuleError, match=problem):
            parse_rules(mapping, CATALOGUE, PRODUCTS)


def test_an_active_rule_on_a_recalled_label_is_refused():
    text = GOOD.replace(CLASS, "{product: [cilta_cel]}").replace("jurisdiction: any", "jurisdiction: eu")
    text = text.replace(WHEN, "when: {label: approval_status, is: not_approved}")

    with pytest.raises(RuleError, match="the eu label of 'cilta_cel' is recalled"):
        read(text)


def test_a_rule_of_too_many_facts_is_refused():
    many = [name for name, fact in CATALOGUE.items() if fact.type == "boolean"][:10]
    parts = ", ".join(f"{{fact: {name}, is: true}}" for name in many)

    with pytest.raises(RuleError, match="more than 50,000 situations"):
        read(GOOD.replace(WHEN, f"when: {{any: [{parts}]}}"))


def with_lines(text: str) -> str:
    where = file_of(text)
    mapping = parse_yaml(text, where, RuleError)
    with pytest.raises(RuleError) as problem:
        parse_rules({where: mapping}, CATALOGUE, PRODUCTS, {where: text})
    return str(problem.value).replace(where, "bad.yaml")


NESTED = """\
when:
  all:
    - {fact: hiv, is: true}
    - any:
        - {fact: hcv_rna, is: true}
        - fact: lvef
          lt: 40
          unit: mg/dL
"""
COUNTED = """\
when:
  at_least: 1
  of:
    - {fact: hiv, is: true}
    - {fact: egoc, ge: 3}
"""
LINES = [
    # what is spoiled | text replaced | by | where it is
    ("a value", "status: active", "status: live", "bad.yaml:4: status: "),
    ("the first line", "id: g21-", "id: G21-", "bad.yaml:1: id: "),
    ("a nested unit", WHEN, NESTED.rstrip(), "bad.yaml:14: when.all[1].any[1].unit: got 'mg/dL'"),
    ("one of those counted", WHEN, COUNTED.rstrip(), "bad.yaml:11: when.of[1].fact: unknown fact 'egoc'"),
    ("a part that is not there", WHEN, "when: {fact: ecog, ge: 3}", "bad.yaml:7: when.unit: missing"),
    ("the section of the source", "  section: Table 1", '  section: ""', "bad.yaml:15: source.section: "),
    ("an example", "{ecog: 2}", "{ecog: 3}", "bad.yaml:21: examples[0]: the rule gives"),
    ("an example's fact", "{ecog: 3}", '{ecog: "3"}', "bad.yaml:22: examples[1].given.ecog: got '3'"),
    ("the list of examples", "  - {given: {ecog: null}, verdict: indeterminate}\n", "", "bad.yaml:20: examples: none"),
    ("a setting that is missing", "owner: clinical-safety\n", "", "bad.yaml: owner: missing"),
]


@pytest.mark.parametrize(("old", "new", "where"), [row[1:] for row in LINES], ids=[row[0] for row in LINES])
def test_a_problem_tells_the_line_where_its_field_stands(old, new, where):
    assert old in GOOD
    assert where in with_lines(GOOD.replace(old, new, 1))


def test_a_file_whose_text_is_not_given_keeps_its_problems_without_lines():
    mapping = parse_yaml(GOOD.replace("fact: ecog", "fact: egoc"), "bad.yaml", RuleError)
    with pytest.raises(RuleError, match=r"bad\.yaml: when\.fact: unknown"):
        parse_rules({"bad.yaml": mapping}, CATALOGUE, PRODUCTS, {"other.yaml": GOOD})


@pytest.mark.parametrize(
    ("path", "line"), [("a", 1), ("a[0]", 2), ("a[1].b", 3), ("a[2]", 1), ("a[x]", 1), ("c", None)]
)
def test_the_line_is_that_of_the_deepest_part_that_the_text_has(path, line):
    assert line_of("a:\n  - 1\n  - b: 2\n", path) == line


def test_the_lists_hold_at_least_forty_hostile_files():
    assert len({row[0] for row in HOSTILE}) == len(HOSTILE) >= 60
