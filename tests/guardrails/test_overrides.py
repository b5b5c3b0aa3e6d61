"""A clinician may set an overridable block aside, with a reason; nothing else moves."""

from __future__ import annotations

import datetime
import hashlib
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import RuleError
from pipeline.guardrails import Overrides, RuleSet, answer_rules, apply_rules, parse_overrides, plan, structural_zero
from pipeline.guardrails.conditions import Compare
from pipeline.guardrails.rules import AppliesTo
from pipeline.vocabulary import VERDICTS
from tests.drawn import drawn
from tests.guardrails.random_facts import random_facts
from tests.guardrails.shipped import MODALITIES, PRODUCTS, RULES, days_of, facts_of_people

ECOG, LABEL, INFECTION = "g21-car-t-ecog-3-or-worse", "g02-us-ide-cel-label", "g13a-t-cell-redirecting-active-infection"
GOOD = {
    "decision_id": "a",
    "rule_id": ECOG,
    "reason": "fit again after transfusion",
    "by_role": "treating haematologist",
    "date": "2026-11-20",
}


def read(picture: str) -> Overrides:
    """Return overrides drawn as `decision_id | rule_id`, each with the same reason, role and date."""
    return parse_overrides([{**GOOD, **row} for row in drawn(picture).to_dict("records")], RULES)


def judge(people, overrides=None, rules=RULES, drafts=False):
    facts = facts_of_people(people)
    return apply_rules(
        facts,
        rules,
        PRODUCTS,
        MODALITIES,
        decision_dates=days_of(facts),
        include_drafts=drafts,
        overrides=overrides,
    )


def verdicts_of(verdicts, modality):
    table = verdicts.products[verdicts.products["modality"] == modality]
    return dict(zip(table["decision_id"] + " " + table["product"], table["verdict"], strict=True))


def test_an_overridden_block_no_longer_counts_for_that_decision_only():
    people = {"a": {"ecog": 3.0}, "b": {"ecog": 3.0}}
    verdicts = judge(people, read(f"decision_id | rule_id\n a | {ECOG}"))

    assert verdicts_of(verdicts, "car_t") == {
        "a cilta_cel": "clear",
        "a ide_cel": "clear",
        "b cilta_cel": "blocked",
        "b ide_cel": "blocked",
    }
    modalities = verdicts.modalities.set_index(["decision_id", "modality"])["verdict"]
    assert modalities["a", "car_t"] == "clear"
    assert modalities["b", "car_t"] == "blocked"


def test_the_finding_stays_on_record_with_its_verdict():
    verdicts = judge({"a": {"ecog": 3.0}}, read(f"decision_id | rule_id\n a | {ECOG}"))

    found = verdicts.findings[verdicts.findings["rule_id"] == ECOG]
    assert found[["product", "verdict", "fired", "overridden"]].to_numpy().tolist() == [
        ["cilta_cel", "blocked", True, True],
        ["ide_cel", "blocked", True, True],
    ]
    others = verdicts.findings[verdicts.findings["rule_id"] != ECOG]
    assert len(others) and not others["overridden"].any()


def test_an_undecided_overridable_block_can_be_set_aside_too():
    people = {"a": {"ecog": None}}

    assert verdicts_of(judge(people), "car_t")["a ide_cel"] == "indeterminate"
    lifted = judge(people, read(f"decision_id | rule_id\n a | {ECOG}"))
    assert verdicts_of(lifted, "car_t")["a ide_cel"] == "action_required"  # G22 still asks for the ECOG


def test_an_override_leaves_the_other_rules_of_the_decision_in_force():
    people = {"a": {"ecog": 3.0, "n_prior_lines": 1.0, "active_infection": None}}
    verdicts = judge(people, read(f"decision_id | rule_id\n a | {ECOG}"))

    assert verdicts_of(verdicts, "car_t") == {"a cilta_cel": "indeterminate", "a ide_cel": "blocked"}


def test_the_verdicts_tell_which_overrides_did_something():
    people = {"a": {"ecog": 3.0}, "b": {"ecog": 1.0}, "c": {"ecog": None}}
    overrides = read(f"""
        decision_id | rule_id
        ------------+--------
        c           | {ECOG}
        b           | {ECOG}
        elsewhere   | {ECOG}
        a           | {ECOG}
        a           | {LABEL}
    """)
    table = judge(people, overrides).overrides

    assert table[["decision_id", "rule_id", "applied"]].to_numpy().tolist() == [
        ["a", LABEL, False],
        ["a", ECOG, True],
        ["b", ECOG, False],
        ["c", ECOG, True],
    ]
    assert set(table["by_role"]) == {"treating haematologist"}
    assert table.columns.tolist() == ["decision_id", "rule_id", "reason", "by_role", "date", "applied"]
    assert overrides.strangers(["a", "b", "c"]) == 1


def test_an_override_of_a_draft_counts_only_where_drafts_run():
    draft = "g24b-car-t-lvef-below-40"
    overrides = read(f"decision_id | rule_id\n a | {draft}")
    people = {"a": {"lvef": 39.0}}

    assert judge(people, overrides).overrides["applied"].tolist() == [False]
    with_drafts = judge(people, overrides, drafts=True)
    assert with_drafts.overrides["applied"].tolist() == [True]
    assert verdicts_of(with_drafts, "car_t")["a ide_cel"] == "caution"  # G24a, below 45 %, remains


def test_an_override_of_a_rule_that_covers_the_decision_only_later_is_not_applied():
    rule = next(rule for rule in RULES.rules if rule.id == ECOG)
    later = RuleSet((replace(rule, effective_from=datetime.date(2027, 1, 1)),), "later")

    verdicts = judge({"a": {"ecog": 3.0}}, read(f"decision_id | rule_id\n a | {ECOG}"), rules=later)

    assert verdicts.overrides["applied"].tolist() == [False]
    assert verdicts_of(verdicts, "car_t")["a ide_cel"] == "not_assessed"


def test_an_override_counts_as_applied_if_the_rule_spoke_of_some_product_it_covers():
    rule = next(rule for rule in RULES.rules if rule.id == ECOG)
    label = Compare("label.approval_status", "is", ("not_approved",))
    both = AppliesTo(product=("belantamab_bvd", "belantamab_bpd"))
    rules = RuleSet((replace(rule, condition=label, applies_to=both),), "by label")

    verdicts = judge({"a": {}}, read(f"decision_id | rule_id\n a | {ECOG}"), rules=rules)

    assert verdicts.findings["product"].tolist() == ["belantamab_bpd"]
    assert verdicts.overrides["applied"].tolist() == [True]


def test_without_overrides_the_table_is_empty_and_typed():
    plain = judge({"a": {}})

    assert plain.overrides.empty
    assert str(plain.overrides["applied"].dtype) == "bool"
    assert not plain.findings["overridden"].any()


OVERRIDABLE = sorted(rule.id for rule in RULES.rules if rule.overridable)
HELD = sorted(rule.id for rule in RULES.rules if not rule.overridable)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["us", "eu"]), st.booleans())
def test_overriding_never_worsens_a_verdict_lifts_nothing_else_and_changes_no_other_decision(
    seed, jurisdiction, drafts
):
    facts = random_facts(60, seed, unknown=0.1)
    rng = np.random.default_rng(seed)
    pairs = {
        (facts.index[i], OVERRIDABLE[j])
        for i, j in zip(rng.integers(0, 30, 40), rng.integers(0, len(OVERRIDABLE), 40), strict=True)
    }
    overrides = parse_overrides([{**GOOD, "decision_id": one, "rule_id": rule} for one, rule in pairs], RULES)
    asked = plan(RULES, PRODUCTS, MODALITIES, jurisdiction=jurisdiction, include_drafts=drafts)

    before = answer_rules(facts, asked, decision_dates=facts["decision_date"])
    after = answer_rules(facts, asked, decision_dates=facts["decision_date"], overrides=overrides)

    touched = facts.index.isin({decision for decision, _ in pairs})
    for left, right in ((before.products, after.products), (before.modalities, after.modalities)):
        assert (right <= left).all()
        np.testing.assert_array_equal(left[:, ~touched], right[:, ~touched])
    held = plan(RuleSet(tuple(rule for rule in RULES.rules if not rule.overridable), "held"), PRODUCTS, MODALITIES, jurisdiction=jurisdiction, include_drafts=drafts)  # fmt: skip  # noqa: E501
    floor = answer_rules(facts, held, decision_dates=facts["decision_date"]).products
    worse = floor > VERDICTS.index("not_assessed")
    assert (after.products[worse] >= floor[worse]).all()


@pytest.mark.parametrize(
    ("date", "latest", "refused"),
    [
        ("2026-11-23", "2026-11-23", False),  # today
        ("2026-11-24", "2026-11-23", True),  # tomorrow
        ("2027-01-01", "2026-12-31", True),
        ("1999-12-31", "2026-11-23", False),
        ("2099-01-01", None, False),
    ],
)
def test_nothing_is_set_aside_on_a_day_to_come(date, latest, refused):
    day = None if latest is None else datetime.date.fromisoformat(latest)
    if refused:
        with pytest.raises(RuleError, match=r"date: lies in the future; write the day .* \(1 of 1 rows: 1\)"):
            parse_overrides([{**GOOD, "date": date}], RULES, day)
    else:
        assert parse_overrides([{**GOOD, "date": date}], RULES, day).rows[0].date == date


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", " =", "\t@"])
@pytest.mark.parametrize("field", ["reason", "by_role"])
def test_words_that_begin_as_a_formula_are_refused_without_being_repeated(field, sign):
    with pytest.raises(RuleError, match=f"{field}: begins with one of = \\+ - @, which a spreadsheet") as problem:
        parse_overrides([{**GOOD, field: f"{sign}HYPERLINK(secret)"}], RULES)
    assert "secret" not in str(problem.value)
    assert parse_overrides([{**GOOD, field: "fit = again"}], RULES).rows
    assert parse_overrides([{**GOOD, "decision_id": f"{sign}1"}], RULES).rows  # an id is never interpreted


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("g17-car-t-hiv", "it is a rule of effect action_required: it removes nothing, so that there is nothing to"),
        (
            "g22-car-t-ecog-2",
            "it is a rule of effect caution: it removes nothing, so that there is nothing to set aside",
        ),
        (INFECTION, "its block holds"),
    ],
)
def test_it_is_told_why_a_rule_may_not_be_overridden(rule, why):
    with pytest.raises(RuleError, match=f"'{rule}' may not be overridden; {why}"):
        parse_overrides([{**GOOD, "rule_id": rule}], RULES)


def test_a_structural_zero_cannot_be_overridden():
    people = {"a": {"active_infection": True, "ecog": 3.0}}
    zero = structural_zero(judge(people, read(f"decision_id | rule_id\n a | {ECOG}")))

    assert zero.loc["a", "car_t"]


@pytest.mark.parametrize("rule_id", [rule.id for rule in RULES.rules if rule.id in HELD and rule.effect == "block"])
def test_a_rule_that_may_not_be_overridden_refuses(rule_id):
    with pytest.raises(RuleError, match=rf"'{rule_id}' may not be overridden; its block holds \(1 of 1 rows: 1\)"):
        parse_overrides([{**GOOD, "rule_id": rule_id}], RULES)


@pytest.mark.parametrize("rule_id", OVERRIDABLE)
def test_a_rule_that_may_be_overridden_does_not(rule_id):
    assert parse_overrides([{**GOOD, "rule_id": rule_id}], RULES).rows[0].rule_id == rule_id


WRONG = [
    # what is wrong | field | value | words of the message
    ("no reason", "reason", None, "reason: missing"),
    ("blank reason", "reason", "  ", "reason: missing"),
    ("reason not a number", "reason", math.nan, "reason: missing"),
    ("no role", "by_role", "", "by_role: missing"),
    ("no decision", "decision_id", None, "decision_id: missing"),
    ("decision as number", "decision_id", 17, "decision_id: wanted text"),
    ("no rule", "rule_id", "", "rule_id: missing"),
    (
        "unknown rule",
        "rule_id",
        "g21-car-t-ecog-3-or-wors",
        "rule_id: no such rule; did you mean 'g21-car-t-ecog-3-or-worse'",
    ),
    ("no date", "date", pd.NaT, "date: missing"),
    ("no cell", "date", pd.NA, "date: missing"),
    ("date of another kind", "date", "20.11.2026", "date: wanted an ISO date such as"),
    ("date without dashes", "date", "20261120", "date: wanted an ISO date such as"),
    ("no such day", "date", "2026-02-30", "date: wanted an ISO date such as"),
    ("date as a list", "date", ["2026-11-20"], "date: wanted text"),
    ("unknown column", "by_name", "x", "unknown column; wanted decision_id, rule_id, reason, by_role, date"),
]


@pytest.mark.parametrize(("field", "value", "message"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_a_wrong_override_is_refused_by_row_number(field, value, message):
    rows = [GOOD, {**GOOD, "decision_id": "b", field: value}]
    with pytest.raises(RuleError) as problem:
        parse_overrides(rows, RULES)

    assert message in str(problem.value)
    assert "(1 of 2 rows: 2)" in str(problem.value)
    assert str(problem.value).startswith("overrides: 1 problem")


def test_all_problems_of_all_rows_are_told_at_once_and_no_row_is_quoted():
    secret = {"decision_id": "secret-decision", "reason": "secret-reason", "by_role": "secret-role"}
    rows = [{**GOOD, **secret, "rule_id": "secret-rule", "date": "secret-date"} for _ in range(7)]
    with pytest.raises(RuleError) as problem:
        parse_overrides([*rows, {}], RULES)

    assert "secret" not in str(problem.value)
    assert "rule_id: no such rule (7 of 8 rows: 1, 2, 3, 4, 5, ...)" in str(problem.value)
    assert "reason: missing (1 of 8 rows: 8)" in str(problem.value)
    assert "overrides: 7 problems" in str(problem.value)


def test_overriding_a_rule_twice_for_a_decision_is_refused():
    rows = [GOOD, {**GOOD, "rule_id": LABEL}, {**GOOD, "decision_id": "b"}, {**GOOD, "reason": "again"}]
    with pytest.raises(RuleError, match=r"overridden before; keep one row.* \(1 of 4 rows: 4\)"):
        parse_overrides(rows, RULES)


def test_five_rows_are_listed_in_full():
    with pytest.raises(RuleError, match=r"\(5 of 5 rows: 1, 2, 3, 4, 5\)"):
        parse_overrides([{**GOOD, "decision_id": str(number), "reason": ""} for number in range(5)], RULES)


def test_dates_may_be_dates_and_cells_may_have_spaces_around_them():
    row = {**GOOD, "rule_id": f" {ECOG} ", "date": datetime.date(2026, 11, 20)}

    assert parse_overrides([row], RULES) == parse_overrides([GOOD], RULES)
    assert parse_overrides([{**GOOD, "date": pd.Timestamp("2026-11-20")}], RULES).rows[0].date == "2026-11-20"


def test_the_digest_is_that_of_the_rows_as_json_with_sorted_names_and_no_spaces():
    text = (
        '[{"by_role":"treating haematologist","date":"2026-11-20","decision_id":"a",'
        f'"reason":"fit again after transfusion","rule_id":"{ECOG}"}}]'
    )

    assert parse_overrides([GOOD], RULES).digest == hashlib.sha256(text.encode()).hexdigest()


def test_the_digest_depends_on_what_is_overridden_and_not_on_the_order_of_rows():
    rows = [GOOD, {**GOOD, "decision_id": "b"}]

    one, turned = parse_overrides(rows, RULES), parse_overrides(rows[::-1], RULES)
    assert one.digest == turned.digest
    assert len(one.digest) == 64
    assert one.digest != parse_overrides([GOOD], RULES).digest
    assert one.digest != parse_overrides([GOOD, {**GOOD, "decision_id": "b", "reason": "other"}], RULES).digest
    assert Overrides().rows == ()
