"""Rules, their tables and their examples read on paper as they are meant."""

from __future__ import annotations

import dataclasses

import pytest

from pipeline.guardrails import RuleSet, describe, evidence_table, in_words, rules_table
from pipeline.guardrails.conditions import AllOf, AnyOf, AtLeast, Compare, Known, NotOf
from pipeline.guardrails.rules import Example
from pipeline.guardrails.words import condition_in_words
from tests.guardrails.shipped import CATALOGUE, RULES, SmallFact

BY_ID = {rule.id: rule for rule in RULES.rules}
ECOG = BY_ID["g21-car-t-ecog-3-or-worse"]
HIV, LINES = Compare("hiv", "is", (True,)), Compare("n_prior_lines", "le", (3,), "lines")
READ = [
    (Compare("lvef", "lt", (40,), "%"), "LVEF is below 40 %"),
    (LINES, "prior lines is at most 3"),
    (Compare("alt", "gt", (3,), "U/L", "alt_uln"), "ALT is above 3 times ALT ULN U/L"),
    (Compare("neuropathy_grade", "equals", (2,), "grade"), "neuropathy grade is exactly 2"),
    (Compare("egfr", "between", (30, 45), "mL/min/1.73m2"), "eGFR is from 30 to 45 mL/min/1.73m2"),
    (Compare("alt", "between", (1, 3), "U/L", "alt_uln"), "ALT is from 1 to 3 times ALT ULN U/L"),
    (Compare("ecog", "in", (0, 1), "score"), "ECOG is 0 or 1"),
    (Compare("car_hematotox", "ge", (2,), "points"), "CAR hematotox is at least 2"),
    (Compare("alt", "in", (1, 2), "U/L", "alt_uln"), "ALT is 1 or 2 times ALT ULN U/L"),
    (Compare("sex", "in", ("female", "unknown")), "sex is female or unknown"),
    (HIV, "HIV is present"),
    (Compare("hiv", "is", (False,)), "HIV is absent"),
    (Compare("exposed_imid", "is", (True,)), "exposed to IMiD"),
    (Compare("refractory_anti_cd38", "is", (False,)), "not refractory to anti CD38"),
    (Compare("label.approval_status", "is", ("approved",)), "the product's approval status is approved"),
    (Known("ecog", known=True), "ECOG is known"),
    (Known("ecog", known=False), "ECOG is not known"),
    (NotOf(HIV), "not (HIV is present)"),
    (AllOf((HIV, AnyOf((HIV, LINES)))), "HIV is present and (HIV is present or prior lines is at most 3)"),
    (AnyOf((AllOf((HIV, LINES)), HIV)), "(HIV is present and prior lines is at most 3) or HIV is present"),
    (AtLeast(2, (HIV, LINES, HIV)), "at least 2 of (HIV is present; prior lines is at most 3; HIV is present)"),
]


@pytest.mark.parametrize(("condition", "words"), READ)
def test_a_condition_reads_so(condition, words):
    assert condition_in_words(condition) == words


WRITTEN = """
    ALT, ANC, AST, BMI, ECOG, GPRC5D, HBV DNA, anti HBc, HBsAg, HCV RNA, HIV, IgG, LVEF, POEMS, SpO2, eGFR, AST ULN,
    BCMA CAR T, anti CD38, CNS myeloma, prior severe CRS, IMiD
"""


def test_abbreviations_are_written_as_the_field_writes_them():
    for written in WRITTEN.replace("\n", " ").split(","):
        fact = written.strip().lower().replace(" ", "_")
        assert condition_in_words(Known(fact, known=True)) == f"{written.strip()} is known"


def test_every_candidate_is_listed_and_those_that_are_no_rule_say_why():
    rows = evidence_table(RuleSet((), "none"))

    assert [row["evidence_id"] for row in rows] == [f"G{number:02d}" for number in range(1, 53)]
    assert {row["state"] for row in rows} == {"fact unavailable"}
    assert [row["evidence_id"] for row in rows if row["note"]] == ["G36", "G46", "G49", "G51", "G52"]


@pytest.mark.parametrize(
    ("changed", "begins", "ends"),
    [
        ({}, "Blocks safety class car_t when ", "indeterminate. A clinician may override it with a reason."),
        ({"overridable": False, "jurisdiction": "eu"}, "Blocks safety class car_t (EU label) when ", "indeterminate."),
        (
            {"overridable": False, "effect": "action_required", "when_unknown": "action_required"},
            "Asks for action on safety class car_t when ",
            "Where unknown: action required.",
        ),
        (
            {"overridable": False, "effect": "caution", "when_unknown": "caution"},
            "Cautions about safety class car_t when ",
            "Where unknown: caution.",
        ),
    ],
)
def test_a_sentence_says_what_a_rule_does_to_whom_and_where(changed, begins, ends):
    sentence = in_words(dataclasses.replace(ECOG, **changed))

    assert sentence.startswith(begins)
    assert sentence.endswith(ends)


def test_the_listed_table_says_all_of_a_rule():
    assert rules_table(RuleSet((ECOG, BY_ID["g17-car-t-hiv"]), "two")) == [
        {
            "id": "g21-car-t-ecog-3-or-worse",
            "title": ECOG.title,
            "status": "active",
            "effect": "block",
            "applies_to": "safety class car_t",
            "jurisdiction": "any",
            "when": "ECOG is at least 3",
            "when_unknown": "indeterminate",
            "overridable": "yes",
            "evidence": "verified",
            "source": f"{ECOG.source.document}, {ECOG.source.section}",
        },
        {**rules_table(RULES)[[rule.id for rule in RULES.rules].index("g17-car-t-hiv")], "overridable": "no"},
    ]


def test_the_book_counts_rules_by_status_and_shows_values_as_words():
    examples = (
        Example(given={"hiv": True, "ecog": None}, verdict="blocked"),
        Example(given={"hiv": False, "ecog": 2.5}, verdict="action_required"),
    )
    drafts = [dataclasses.replace(ECOG, status=status, examples=examples) for status in ("draft", "reviewed", "draft")]
    facts = {**CATALOGUE, "ecog": SmallFact("ecog", "number", "score", meaning="a |\n b", max_age_days=30.0)}

    book = describe(RuleSet((ECOG, *drafts), "0123456789abcdef"), (), facts)

    assert "Rule set `0123456789ab`: 1 active, 1 reviewed, 2 draft." in book
    assert "* Example: HIV yes, ECOG unknown: blocked\n" in book
    assert "* Example: HIV no, ECOG 2.5: action required\n" in book
    assert "| ecog | a / b | 30 days |  |\n" in book
