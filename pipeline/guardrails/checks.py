"""Does a rule do what its author says? Its examples are run, and every situation is tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pipeline.declared import did_you_mean
from pipeline.guardrails.conditions import LABEL_FACTS, LABEL_PREFIX, Condition, Fact, facts_of
from pipeline.guardrails.grid import LARGEST, TRUE, grid_of, lowest_values
from pipeline.guardrails.kleene import FactColumns, Truth, evaluate

KINDS = ("trips the rule", "passes it", "leaves it unknown")


def check_behaviour(
    condition: Condition, effect: str, where: str, catalogue: Mapping[str, Fact], problems: list[str]
) -> None:
    """Add a problem if a rule can never fire, always fires, or is a block that lets an unknown pass.

    Parameters
    ----------
    condition : Condition
    effect : {'block', 'action_required', 'caution'}
    where : str
    catalogue : mapping of fact name to Fact
    problems : list of str
    """
    grid = grid_of(condition, lowest_values(condition, catalogue))
    if grid is None:
        problems.append(f"{where}: when: has more than {LARGEST:,} situations; split it into rules of fewer facts")
        return
    values = grid.values()
    if not (values == TRUE).any():
        problems.append(f"{where}: when: can never be true, whatever the facts; check ranges and repeated facts")
    elif (values == TRUE).all():
        problems.append(f"{where}: when: is always true; a rule that always fires says nothing about a patient")
    if effect == "block" and grid.passes_an_unknown():
        problems.append(f"{where}: when: an unknown fact would pass this block; do not guard a block with 'known'")


def check_examples(
    condition: Condition,
    fired_verdict: str,
    when_unknown: str,
    examples: Sequence[tuple[Mapping[str, Any], str]],
    where: str,
    catalogue: Mapping[str, Fact],
    problems: list[str],
) -> None:
    """Run a rule's examples; add a problem per wrong one and per kind that is missing.

    Parameters
    ----------
    condition : Condition
    fired_verdict, when_unknown : str
        Verdict where the condition is true, and where it is unknown.
    examples : sequence of (given facts, verdict)
    where : str
    catalogue : mapping of fact name to Fact
    problems : list of str
    """
    kinds = set()
    for number, (given, verdict) in enumerate(examples):
        spot = f"{where}: examples[{number}]"
        found = len(problems)
        _check_given(condition, given, spot, catalogue, problems)
        if len(problems) > found:
            continue
        truth = truth_of_one(condition, given)
        kind = KINDS[0] if truth.true[0] else KINDS[1] if truth.known[0] else KINDS[2]
        kinds.add(kind)
        gives = {KINDS[0]: fired_verdict, KINDS[1]: "clear", KINDS[2]: when_unknown}[kind]
        if gives != verdict:
            problems.append(
                f"{spot}: the rule gives '{gives}' here, the example says '{verdict}'; one of them is wrong"
            )
    for kind in KINDS:
        if kind not in kinds:
            problems.append(f"{where}: examples: none {kind}; give at least one that does")


def truth_of_one(condition: Condition, given: Mapping[str, Any]) -> Truth:
    """Return the truth of a condition for one set of facts, as arrays of one row."""
    frame = pd.DataFrame({fact: pd.Series([given.get(fact)], dtype="object") for fact in facts_of(condition)})
    return evaluate(condition, FactColumns(frame).truth)


def _check_given(
    condition: Condition, given: Mapping[str, Any], spot: str, catalogue: Mapping[str, Fact], problems: list[str]
) -> None:
    read = facts_of(condition)
    for fact in read:
        if fact not in given:
            problems.append(f"{spot}.given: '{fact}' is missing; write null where it is unknown")
    for fact, value in given.items():
        if fact not in read:
            problems.append(f"{spot}.given: the rule does not read '{fact}'{did_you_mean(str(fact), list(read))}")
        elif value is not None and not _fits(fact, value, catalogue):
            problems.append(f"{spot}.given.{fact}: got {value!r}, wanted {_wanted(fact, catalogue)}, or null")


def _fits(fact: str, value: Any, catalogue: Mapping[str, Fact]) -> bool:
    if fact.startswith(LABEL_PREFIX):
        return value in LABEL_FACTS[fact.removeprefix(LABEL_PREFIX)]
    kind = catalogue[fact].type
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return value in (catalogue[fact].levels or ())


def _wanted(fact: str, catalogue: Mapping[str, Fact]) -> str:
    if fact.startswith(LABEL_PREFIX):
        return f"one of {', '.join(LABEL_FACTS[fact.removeprefix(LABEL_PREFIX)])}"
    entry = catalogue[fact]
    return {"boolean": "true or false", "number": "a number"}.get(entry.type, f"one of {', '.join(entry.levels or ())}")
