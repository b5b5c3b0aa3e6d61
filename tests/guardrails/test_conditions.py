"""What a rule may ask, and what it is told when it asks wrongly: whole conditions and whole messages."""

from __future__ import annotations

import sys

import pytest

from pipeline.guardrails.checks import truth_of_one
from pipeline.guardrails.conditions import (
    AllOf,
    AnyOf,
    AtLeast,
    Compare,
    Known,
    NotOf,
    facts_of,
    leaves_of,
    parse_condition,
)
from pipeline.guardrails.situations import truth_in
from tests.guardrails.shipped import SmallFact

FACTS = {
    "ecog": SmallFact("ecog", "number", "score"),
    "alt": SmallFact("alt", "number", "U/L"),
    "alt_uln": SmallFact("alt_uln", "number", "U/L"),
    "ratio": SmallFact("ratio", "number"),
    "hiv": SmallFact("hiv", "boolean"),
    "sex": SmallFact("sex", "category", levels=("female", "male")),
    "blank": SmallFact("blank", "category"),
}
HIV, ECOG = {"fact": "hiv", "is": True}, {"fact": "ecog", "ge": 3, "unit": "score"}
IS_HIV, IS_ECOG = Compare("hiv", "is", (True,)), Compare("ecog", "ge", (3,), "score")
TWO_OR_FOUR = {"fact": "ecog", "in": [2, 4], "unit": "score"}
RANGE = {"fact": "ecog", "between": [1, 2], "unit": "score"}
KINDS = "wanted exactly one of all, any, not, at_least, fact, label; got "
ONE_EACH = "in one comparison; write one comparison for each under all:, or between: [low, high]"
PADDED = ", which begins with 0 and so could be a code or octal: write"
ASKED = "wanted exactly one of is, equals, lt, le, gt, ge, in, between, known; got "
DECLARED = "facts are declared in the feature specification"
LEVELS = "'sex' is a category; wanted is: one level, or in: a list of levels"
YES_NO = "wanted {fact: hiv, is: true} or is: false"
NUMBER = "wanted for example {fact: ecog, ge: 3}"
ENDS = "wanted [low, high] with low at most high, got"
DEEP = "nested deeper than 6; split the rule in two"
MALE = "of 'sex'; did you mean 'male'?; levels are female, male"
UNIT = "convert the threshold and write score"
MAPPING = "wanted a mapping such as {fact: ecog, ge: 3}; rules are data, expressions are not read"


def nested(depth, inner=HIV):
    return inner if depth == 0 else {"not": nested(depth - 1, inner)}


SOUND = [
    (HIV, IS_HIV),
    ({"fact": "hiv", "is": False}, Compare("hiv", "is", (False,))),
    (ECOG, IS_ECOG),
    *[({"fact": "ratio", op: 2.5}, Compare("ratio", op, (2.5,))) for op in ("equals", "lt", "le", "gt", "ge", "in")],
    ({"fact": "ratio", "lt": sys.float_info.max}, Compare("ratio", "lt", (sys.float_info.max,))),
    ({"fact": "ratio", "in": [1, 2]}, Compare("ratio", "in", (1, 2))),
    (RANGE, Compare("ecog", "between", (1, 2), "score")),
    ({**RANGE, "between": [2, 2]}, Compare("ecog", "between", (2, 2), "score")),
    ({"fact": "alt", "gt": 4, "times": "alt_uln", "unit": "U/L"}, Compare("alt", "gt", (4,), "U/L", "alt_uln")),
    ({"fact": "sex", "is": "male"}, Compare("sex", "is", ("male",))),
    ({"fact": "sex", "in": ["male", "female"]}, Compare("sex", "in", ("male", "female"))),
    ({"fact": "hiv", "known": False}, Known("hiv", known=False)),
    ({"label": "approval_status", "is": "approved"}, Compare("label.approval_status", "is", ("approved",))),
    ({"label": "approval_status", "known": True}, Known("label.approval_status", known=True)),
    ({"all": [HIV, ECOG]}, AllOf((IS_HIV, IS_ECOG))),
    ({"any": [HIV]}, AnyOf((IS_HIV,))),
    ({"not": HIV}, NotOf(IS_HIV)),
    ({"at_least": 1, "of": [HIV, ECOG]}, AtLeast(1, (IS_HIV, IS_ECOG))),
    ({"at_least": 2, "of": [HIV, ECOG]}, AtLeast(2, (IS_HIV, IS_ECOG))),
    (nested(6), NotOf(NotOf(NotOf(NotOf(NotOf(NotOf(IS_HIV))))))),
]


@pytest.mark.parametrize(("written", "condition"), SOUND)
def test_a_sound_condition_is_read_as_written(written, condition):
    problems = []

    assert parse_condition(written, "when", FACTS, problems) == condition
    assert problems == []


WRONG = [
    (nested(7), f"when{'.not' * 7}: {DEEP}"),
    ({"all": [nested(6)]}, f"when.all[0]{'.not' * 6}: {DEEP}"),
    ({"any": [{"at_least": 1, "of": [nested(5)]}]}, f"when.any[0].of[0]{'.not' * 5}: {DEEP}"),
    ("ecog >= 3", f"when: got str 'ecog >= 3', {MAPPING}"),
    (3, f"when: got int 3, {MAPPING}"),
    ([HIV], f"when: got list, {MAPPING}"),
    (None, f"when: got NoneType, {MAPPING}"),
    ({}, f"when: {KINDS}nothing"),
    ({"all": [HIV], "any": [HIV]}, f"when: {KINDS}all, any"),
    ({"all": [HIV], "note": 1, "of": 2}, "when: unknown setting note, of beside 'all'"),
    ({"at_least": 1, "of": [HIV], "note": 1}, "when: unknown setting note beside 'at_least'"),
    ({"not": HIV, "note": 1}, "when: unknown setting note beside 'not'"),
    ({"all": []}, "when.all: wanted a list of at least one condition"),
    ({"any": "hiv"}, "when.any: wanted a list of at least one condition"),
    ({"any": HIV}, "when.any: wanted a list of at least one condition"),
    ({"at_least": 1}, "when.of: wanted a list of at least one condition"),
    *[
        ({"at_least": count, "of": [HIV, ECOG]}, f"when.at_least: got {count!r}, wanted a whole number from 1 to 2")
        for count in (0, 3, True, 1.0, "1")
    ],
    ({"fact": "hvi", "is": True}, f"when.fact: unknown fact 'hvi'; did you mean 'hiv'?; {DECLARED}"),
    ({"fact": ["hiv"], "is": True}, f"when.fact: unknown fact ['hiv']; did you mean 'hiv'?; {DECLARED}"),
    ({"label": "hiv", "is": True}, f"when.label: unknown label 'hiv'; {DECLARED}"),
    ({"fact": "hiv"}, f"when: {ASKED}fact"),
    ({"fact": "hiv", "above": 3}, f"when: {ASKED}fact, above"),
    ({"fact": "ratio", "ge": 3, "le": 4}, f"when: more than one operator, ge and le, {ONE_EACH}"),
    ({**ECOG, "lt": 5, "in": [3]}, f"when: more than one operator, ge and lt and in, {ONE_EACH}"),
    ({"fact": "ratio", "ge": 3, "known": True}, f"when: {ASKED}fact, ge, known"),
    ({"fact": "ratio", "ge": 3, "above": 4}, f"when: {ASKED}fact, ge, above"),
    ({"fact": "hiv", "known": "yes"}, "when.known: wanted true or false and nothing else beside it"),
    ({"fact": "ecog", "known": True, "unit": "score"}, "when.known: wanted true or false and nothing else beside it"),
    ({"fact": "hiv", "ge": 3}, f"when.ge: 'hiv' is yes or no, got 3; {YES_NO}"),
    ({"fact": "hiv", "ge": True}, f"when.ge: 'hiv' is yes or no, got True; {YES_NO}"),
    ({"fact": "hiv", "is": 1}, f"when.is: 'hiv' is yes or no, got 1; {YES_NO}"),
    ({"fact": "hiv", "is": True, "unit": "x"}, f"when.is: 'hiv' is yes or no, got True; {YES_NO}"),
    ({"fact": "sex", "ge": "male"}, f"when.ge: {LEVELS}"),
    ({"fact": "sex", "in": "male"}, f"when.in: {LEVELS}"),
    ({"fact": "sex", "in": []}, f"when.in: {LEVELS}"),
    ({"fact": "sex", "is": "male", "unit": "x"}, f"when.is: {LEVELS}"),
    ({"fact": "sex", "is": ["male"]}, f"when.is: unknown level ['male'] {MALE}"),
    ({"fact": "sex", "is": "mael"}, f"when.is: unknown level 'mael' {MALE}"),
    ({"fact": "sex", "in": ["male", 3]}, "when.in: unknown level 3 of 'sex'; levels are female, male"),
    ({"fact": "blank", "is": "x"}, "when.is: unknown level 'x' of 'blank'; levels are "),
    ({**ECOG, "ge": "3"}, f"when.ge: 'ecog' is a number, got '3'; {NUMBER}"),
    ({**ECOG, "ge": "03"}, f"when.ge: 'ecog' is a number, got '03'{PADDED} 3; {NUMBER}"),
    ({**ECOG, "ge": "-012"}, f"when.ge: 'ecog' is a number, got '-012'{PADDED} -12; {NUMBER}"),
    ({**ECOG, "ge": "+09"}, f"when.ge: 'ecog' is a number, got '+09'{PADDED} 9; {NUMBER}"),
    ({**ECOG, "ge": "0"}, f"when.ge: 'ecog' is a number, got '0'; {NUMBER}"),
    ({**ECOG, "ge": "00x"}, f"when.ge: 'ecog' is a number, got '00x'; {NUMBER}"),
    ({**ECOG, "ge": True}, f"when.ge: 'ecog' is a number, got True; {NUMBER}"),
    ({**ECOG, "ge": [3]}, f"when.ge: 'ecog' is a number, got [3]; {NUMBER}"),
    ({"fact": "ecog", "is": 3, "unit": "score"}, f"when.is: 'ecog' is a number, got 3; {NUMBER}"),
    ({"fact": "ecog", "in": [], "unit": "score"}, f"when.in: 'ecog' is a number, got []; {NUMBER}"),
    ({"fact": "ecog", "in": [1, "2"], "unit": "score"}, f"when.in: 'ecog' is a number, got [1, '2']; {NUMBER}"),
    ({**TWO_OR_FOUR, "in": [1, "02", "04"]}, f"when.in: 'ecog' is a number, got [1, '02', '04']{PADDED} 2; {NUMBER}"),
    ({**RANGE, "between": 3}, f"when.between: {ENDS} 3; both ends belong to it"),
    ({**RANGE, "between": [1, 2, 3]}, f"when.between: {ENDS} [1, 2, 3]; both ends belong to it"),
    ({**RANGE, "between": [2, 1]}, f"when.between: {ENDS} [2, 1]; both ends belong to it"),
    ({"fact": "ecog", "ge": 3}, "when.unit: missing; write unit: score, the unit of 'ecog'"),
    ({**ECOG, "unit": "kg"}, f"when.unit: got 'kg', but 'ecog' is in score; {UNIT}"),
    ({"fact": "ratio", "ge": 3, "unit": "kg"}, "when.unit: got 'kg', but 'ratio' has no unit; leave it out"),
    ({**ECOG, "times": "blank"}, "when.times: wanted the name of a number, got 'blank'"),
    ({**ECOG, "times": ["alt"]}, "when.times: wanted the name of a number, got ['alt']; did you mean 'alt'?"),
    ({**ECOG, "ge": 10**400}, f"when.ge: 'ecog' is a number, got {10**400}; {NUMBER}"),
    ({**ECOG, "ge": float("inf")}, f"when.ge: 'ecog' is a number, got inf; {NUMBER}"),
    ({**ECOG, "times": "ratoi"}, "when.times: wanted the name of a number, got 'ratoi'; did you mean 'ratio'?"),
    ({**ECOG, "times": "alt"}, "when.times: 'alt' is in U/L, 'ecog' in score"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "problem"), WRONG)
def test_a_wrong_condition_is_told_its_place_what_was_got_and_what_was_wanted(written, problem):
    problems = []

    assert parse_condition(written, "when", FACTS, problems) is None
    assert problems == [problem]


@pytest.mark.parametrize("kind", ["all", "any", "of"])
def test_every_wrong_part_of_a_list_is_told_and_the_list_is_not_read(kind):
    problems = []
    written = {kind: [HIV, 3, {}], **({"at_least": 3} if kind == "of" else {})}

    assert parse_condition(written, "when", FACTS, problems) is None
    assert problems == [f"when.{kind}[1]: got int 3, {MAPPING}", f"when.{kind}[2]: {KINDS}nothing"]


def test_problems_of_other_rules_do_not_spoil_a_number():
    assert parse_condition(ECOG, "when", FACTS, ["another rule is wrong"]) == IS_ECOG


def test_leaves_and_facts_come_once_in_reading_order():
    alt = Compare("alt", "gt", (4,), "U/L", "alt_uln")
    known = Known("ecog", known=True)
    condition = AllOf((alt, NotOf(IS_HIV), AnyOf((IS_HIV, known)), AtLeast(1, (IS_ECOG, alt))))

    assert leaves_of(condition) == (alt, IS_HIV, known, IS_ECOG)
    assert facts_of(condition) == ("alt", "alt_uln", "hiv", "ecog")


@pytest.mark.parametrize(
    ("value", "answer"), [(1.5, False), (2.0, True), (3.0, True), (4.0, True), (4.5, False), (None, None)]
)
def test_a_range_is_both_ends_and_all_between_them(value, answer):
    condition = Compare("ecog", "between", (2, 4), "score")
    truth = truth_of_one(condition, {"ecog": value})

    assert truth_in(condition, {"ecog": value}) is answer
    assert (bool(truth.true[0]), bool(truth.known[0])) == (answer is True, answer is not None)
