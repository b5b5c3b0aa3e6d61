"""A second reading of a rule's `when`, straight from the file: slow, plain, and sharing nothing with the program.

The answer is True, False or None (unknown).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Mapping
from typing import Any

SIGNS = {"lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge, "equals": operator.eq}


def answer(when: Mapping[str, Any], facts: Mapping[str, Any], label: Mapping[str, Any] | None = None) -> bool | None:
    """Return what a condition says of one person."""
    if "all" in when:
        return _all([answer(part, facts, label) for part in when["all"]])
    if "any" in when:
        return _not(_all([_not(answer(part, facts, label)) for part in when["any"]]))
    if "not" in when:
        return _not(answer(when["not"], facts, label))
    if "at_least" in when:
        answers = [answer(part, facts, label) for part in when["of"]]
        low = sum(each is True for each in answers)
        high = low + sum(each is None for each in answers)
        return True if low >= when["at_least"] else False if high < when["at_least"] else None
    value = _value(facts.get(when["fact"]) if "fact" in when else (label or {}).get(when["label"]))
    if "known" in when:
        return (value is not None) is when["known"]
    return _compared(when, value, facts)


def leaves(when: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every comparison of a condition."""
    for part in [*when.get("all", []), *when.get("any", []), *when.get("of", [])]:
        yield from leaves(part)
    if "not" in when:
        yield from leaves(when["not"])
    if "fact" in when or "label" in when:
        yield dict(when)


def _compared(when: Mapping[str, Any], value: Any, facts: Mapping[str, Any]) -> bool | None:
    factor = _value(facts.get(when["times"])) if "times" in when else 1
    if value is None or factor is None:
        return None
    for sign, holds in SIGNS.items():
        if sign in when:
            return bool(holds(value, when[sign] * factor))
    if "between" in when:
        return bool(when["between"][0] * factor <= value <= when["between"][1] * factor)
    if "in" in when:
        return value in [each if isinstance(each, str) else each * factor for each in when["in"]]
    return bool(value == when["is"])


def _value(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _not(value: bool | None) -> bool | None:
    return None if value is None else not value


def _all(answers: list[bool | None]) -> bool | None:
    return False if False in answers else None if None in answers else True
