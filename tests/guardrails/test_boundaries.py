"""Every number in every rule, just below, equal and just above, against the operator that the file declares.

The cases are made from the rule files. What must come out is worked out by `plainly`, which shares nothing with the
program; masks and SQL are then asked.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterator
from functools import cache
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from pipeline.guardrails import RuleSet, apply_rules, fact_table, rule_query
from tests.guardrails import plainly
from tests.guardrails.shipped import (
    CATALOGUE,
    FILES,
    FIT,
    MODALITIES,
    PRODUCTS,
    RULES,
    SmallFact,
    days_of,
    facts_of_people,
)

BY_ID = {rule.id: rule for rule in RULES.rules}
SIGNS = {"lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge, "equals": operator.eq}
EFFECTS = {"block": "blocked", "action_required": "action_required", "caution": "caution"}


def numeric_leaves() -> Iterator[tuple[str, dict[str, Any], str]]:
    for name, file in FILES.items():
        for leaf in plainly.leaves(file["when"]):
            for sign in SIGNS:
                if sign in leaf:
                    yield name, leaf, sign


LEAVES = list(numeric_leaves())
each_number = pytest.mark.parametrize(
    ("name", "leaf", "sign"), LEAVES, ids=[f"{n[:-5]} {x['fact']}" for n, x, _ in LEAVES]
)


@cache
def read_by(name: str) -> tuple[str, ...]:
    leaves = list(plainly.leaves(FILES[name]["when"]))
    named = [leaf["fact"] for leaf in leaves if "fact" in leaf] + [leaf["times"] for leaf in leaves if "times" in leaf]
    return tuple(dict.fromkeys(named))


def others(name: str, fact: str) -> Iterator[dict[str, Any]]:
    """Yield values of the rule's other facts: as in a fit person first, then everything else that tells them apart."""
    options = []
    for other in read_by(name):
        kind: SmallFact = CATALOGUE[other]
        tried: list[Any] = [FIT[other]]
        if kind.type == "boolean":
            tried += [True, False]
        elif kind.type == "category":
            tried += list(kind.levels or ())
        else:
            limits = [
                leaf[s]
                for leaf in plainly.leaves(FILES[name]["when"])
                for s in SIGNS
                if s in leaf and leaf["fact"] == other
            ]
            tried += [float(limit) + step for limit in limits for step in (-1, 0, 1)]
        options.append(
            [(other, value) for value in dict.fromkeys(tried) if value is not None]
            if other != fact
            else [(other, None)]
        )
    for chosen in itertools.product(*options):
        yield dict(chosen)


def decisive(name: str, leaf: dict[str, Any], sign: str) -> tuple[dict[str, Any], float]:
    """Return a situation in which the rule's answer hangs on one comparison, and the limit there."""
    when = FILES[name]["when"]
    for given in others(name, leaf["fact"]):
        limit = float(leaf[sign]) * (given[leaf["times"]] if "times" in leaf else 1.0)
        answers = {plainly.answer(when, {**given, leaf["fact"]: value}) for value in (limit - 1, limit, limit + 1)}
        if answers == {True, False}:
            return given, limit
    raise AssertionError(f"{name}: no situation hangs on {leaf['fact']}")


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


@each_number
def test_a_threshold_is_where_the_file_says_on_both_sides(name, leaf, sign, connection):
    given, limit = decisive(name, leaf, sign)
    values = [limit - 1, math.nextafter(limit, -math.inf), limit, math.nextafter(limit, math.inf), limit + 1]
    people = {f"d{place}": {**given, leaf["fact"]: value} for place, value in enumerate([*values, None])}
    facts = facts_of_people(people)
    rule = BY_ID[name.removesuffix(".yaml")]
    when, jurisdiction = FILES[name]["when"], "us" if rule.jurisdiction == "any" else rule.jurisdiction

    holds = [SIGNS[sign](value, limit) for value in values]
    expected = [plainly.answer(when, person) for person in people.values()]
    turned = expected[0] is not holds[0]  # the comparison stands under a `not`
    assert expected[:5] == [hold is not turned for hold in holds]
    assert len(set(holds)) == 2

    verdicts = apply_rules(facts, RuleSet((rule,), rule.id), PRODUCTS, MODALITIES, decision_dates=days_of(facts), jurisdiction=jurisdiction, include_drafts=True)  # fmt: skip  # noqa: E501
    worst = verdicts.products[verdicts.products["verdict"] != "not_assessed"].groupby("decision_id")["verdict"].agg(set)
    said = {True: EFFECTS[rule.effect], False: "clear", None: rule.when_unknown}
    assert worst.loc[list(people)].tolist() == [{said[answer]} for answer in expected]

    connection.register("arrow_facts", pa.Table.from_pandas(facts.reset_index()))
    rows = connection.execute(rule_query(rule, fact_table(connection, "arrow_facts"))).fetchall()
    assert [(fired, undecided) for _, fired, undecided in rows] == [(a is True, a is None) for a in expected]


def test_every_rule_with_a_number_is_tried():
    assert len(LEAVES) == 44
    assert {"lt", "gt", "ge", "equals"} <= {sign for _, _, sign in LEAVES}


@pytest.mark.parametrize("name", sorted(FILES))
def test_every_rule_is_shown_positive_negative_and_unknown(name):
    rule = BY_ID[name.removesuffix(".yaml")]
    label_of = [key for example in rule.examples for key in example.given if key.startswith("label.")]
    kinds = set()
    for example in FILES[name]["examples"]:
        label = {key.removeprefix("label."): value for key, value in example["given"].items() if key in label_of}
        answer = plainly.answer(FILES[name]["when"], example["given"], label)
        kinds.add(answer)
        assert example["verdict"] == {True: EFFECTS[rule.effect], False: "clear", None: rule.when_unknown}[answer]
    assert kinds == {True, False, None}
