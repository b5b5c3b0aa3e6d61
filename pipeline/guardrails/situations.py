"""Is there a situation in which these conditions answer so? Every threshold cell is tried, dead ends are cut.

A situation gives every fact a value: one from each interval or level that the conditions tell
apart. Facts not yet given are unknown, so that Kleene's logic cuts a branch as soon as its answer is
settled. Facts are taken as independent: what medicine rules out (refractory, never exposed) is not.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence

from pipeline.guardrails.conditions import (
    LABEL_FACTS,
    LABEL_PREFIX,
    AllOf,
    AnyOf,
    AtLeast,
    Compare,
    Condition,
    Fact,
    Known,
    NotOf,
    Scalar,
    facts_of,
    leaves_of,
)
from pipeline.guardrails.grid import FACTORS

Samples = Mapping[str, tuple[Scalar, ...]]
Wanted = tuple[Condition, bool]


def samples_of(conditions: Sequence[Condition], catalogue: Mapping[str, Fact]) -> dict[str, tuple[Scalar, ...]]:
    """Return, per fact that some condition reads, one value from every interval or level they tell apart.

    Parameters
    ----------
    conditions : sequence of Condition
    catalogue : mapping of fact name to Fact
        Gives the levels of categories, and the smallest possible number where it has a `minimum`.

    Returns
    -------
    dict of fact to values
    """
    names = dict.fromkeys(fact for condition in conditions for fact in facts_of(condition))
    compared = [leaf for condition in conditions for leaf in leaves_of(condition) if isinstance(leaf, Compare)]
    factors = {leaf.times for leaf in compared if leaf.times is not None}
    samples: dict[str, tuple[Scalar, ...]] = {}
    for fact in sorted(names, key=lambda name: name not in factors):
        own = [leaf for leaf in compared if leaf.fact == fact]
        asked = [value for leaf in own for value in leaf.values]
        if fact.startswith(LABEL_PREFIX):
            samples[fact] = LABEL_FACTS[fact.removeprefix(LABEL_PREFIX)]
        elif asked and isinstance(asked[0], str):
            samples[fact] = _levels([str(value) for value in asked], catalogue.get(fact))
        elif any(isinstance(value, bool) for value in asked):
            samples[fact] = (True, False)
        else:
            limits = [_times(value, factor) for leaf in own for value in leaf.values for factor in _of(leaf, samples)]
            samples[fact] = _numbers(limits, getattr(catalogue.get(fact), "minimum", None))
    return samples


def truth_in(condition: Condition, given: Mapping[str, Scalar | None], absent: Collection[str] = ()) -> bool | None:
    """Return a condition's answer where some facts are given and the others are not; None while it is undecided.

    Parameters
    ----------
    condition : Condition
    given : mapping of fact to value
        Facts that are not among them, or None, are unknown.
    absent : collection of str
        Unknown facts that stay so. The others are yet to be given, and count as known where a condition asks
        whether they are.

    Returns
    -------
    bool or None
    """
    match condition:
        case Known(fact, known):
            return (fact not in absent) is known
        case Compare():
            return _compared(condition, given)
        case NotOf(part):
            inner = truth_in(part, given, absent)
            return None if inner is None else not inner
        case AllOf(parts):
            return _at_least(len(parts), parts, given, absent)
        case AnyOf(parts):
            return _at_least(1, parts, given, absent)
        case AtLeast(count, parts):
            return _at_least(count, parts, given, absent)


def find(
    wanted: Sequence[Wanted], samples: Samples, given: Mapping[str, Scalar | None]
) -> dict[str, Scalar | None] | None:
    """Return facts under which every condition has the wanted answer, or None if there are none.

    Parameters
    ----------
    wanted : sequence of (Condition, answer)
    samples : mapping of fact to values
        As `samples_of` returns them, for all conditions together.
    given : mapping of fact to value
        Facts that are settled, such as a product's label.

    Returns
    -------
    dict of fact to value, or None
        The facts that had to be given; the others may be anything.
    """
    still_open = []
    for condition, answer in wanted:
        truth = truth_in(condition, given)
        if truth is None:
            still_open.append((condition, answer))
        elif truth is not answer:
            return None
    if not still_open:
        return dict(given)
    fact = next(name for name in facts_of(still_open[0][0]) if given.get(name) is None)
    for value in samples[fact]:
        found = find(still_open, samples, {**given, fact: value})
        if found is not None:
            return found
    return None


def _at_least(
    count: int, parts: Sequence[Condition], given: Mapping[str, Scalar | None], absent: Collection[str]
) -> bool | None:
    answers = [truth_in(part, given, absent) for part in parts]
    if answers.count(True) >= count:
        return True
    return False if answers.count(True) + answers.count(None) < count else None


def _compared(leaf: Compare, given: Mapping[str, Scalar | None]) -> bool | None:
    value = given.get(leaf.fact)
    factor = 1.0 if leaf.times is None else given.get(leaf.times)
    if value is None or factor is None:
        return None
    if isinstance(value, str):
        return value in leaf.values
    limits = [_times(limit, factor) for limit in leaf.values]
    match leaf.op:
        case "lt":
            return value < limits[0]
        case "le":
            return value <= limits[0]
        case "gt":
            return value > limits[0]
        case "ge":
            return value >= limits[0]
        case "between":
            return limits[0] <= value <= limits[1]
        case _:
            return value in limits


def _times(value: Scalar, factor: Scalar) -> float:
    return float(value) * float(factor)


def _of(leaf: Compare, samples: Samples) -> tuple[Scalar, ...]:
    return (1.0,) if leaf.times is None else samples[leaf.times]


def _levels(asked: Sequence[str], fact: Fact | None) -> tuple[Scalar, ...]:
    others = [level for level in (fact.levels or () if fact is not None else ()) if level not in asked]
    return tuple(dict.fromkeys([*asked, *others[:1]]))


def _numbers(limits: Sequence[float], lowest: float | None) -> tuple[Scalar, ...]:
    ordered = sorted(set(limits))
    if not ordered:
        return FACTORS
    middles = [(low + high) / 2 for low, high in itertools.pairwise(ordered)]
    tried = {ordered[0] - 1, *ordered, *middles, ordered[-1] + 1}
    if lowest is not None:
        tried = {value for value in {*tried, float(lowest)} if value >= lowest}
    return tuple(sorted(tried))
