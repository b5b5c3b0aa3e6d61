"""What can a rule ask? Comparisons of facts, joined by all, any, not and counts; data, never an expression."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeGuard

from pipeline.declared import did_you_mean

Scalar = bool | int | float | str
Operator = Literal["is", "equals", "lt", "le", "gt", "ge", "in", "between"]
OPERATORS: tuple[Operator, ...] = ("is", "equals", "lt", "le", "gt", "ge", "in", "between")

LABEL_PREFIX = "label."
LABEL_FACTS: Mapping[str, tuple[str, ...]] = {
    "approval_status": ("approved", "accelerated", "conditional", "not_approved"),
}
"""What a rule may ask of the assessed product's own label, and the answers."""

DEEPEST = 6


class Fact(Protocol):
    """What the catalogue of facts says of one fact (made by `features.catalogue`)."""

    @property
    def type(self) -> str:
        """'boolean', 'number' or 'category'."""

    @property
    def unit(self) -> str | None:
        """Canonical unit of a number."""

    @property
    def levels(self) -> Sequence[str] | None:
        """Levels of a category."""

    @property
    def meaning(self) -> str:
        """One sentence."""

    @property
    def max_age_days(self) -> float | None:
        """Older than this, the fact counts as unknown."""

    @property
    def obtain(self) -> str | None:
        """What to order or ask where the fact is missing."""


@dataclass(frozen=True)
class Compare:
    """One fact against one or more constants; `times` multiplies the constants by another fact."""

    fact: str
    op: Operator
    values: tuple[Scalar, ...]
    unit: str | None = None
    times: str | None = None


@dataclass(frozen=True)
class Known:
    """Whether a fact is on record at all; the only question that is never unknown."""

    fact: str
    known: bool


@dataclass(frozen=True)
class AllOf:
    """True where every part is true."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class AnyOf:
    """True where some part is true."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class NotOf:
    """True where the part is false."""

    part: Condition


@dataclass(frozen=True)
class AtLeast:
    """True where at least `count` parts are true."""

    count: int
    parts: tuple[Condition, ...]


Leaf = Compare | Known
Condition = Compare | Known | AllOf | AnyOf | NotOf | AtLeast


def leaves_of(condition: Condition) -> tuple[Leaf, ...]:
    """Return the distinct comparisons of a condition, in reading order."""
    if isinstance(condition, Compare | Known):
        return (condition,)
    parts = (condition.part,) if isinstance(condition, NotOf) else condition.parts
    return tuple(dict.fromkeys(leaf for part in parts for leaf in leaves_of(part)))


def facts_of(condition: Condition) -> tuple[str, ...]:
    """Return the distinct facts a condition reads, in reading order."""
    names: dict[str, None] = {}
    for leaf in leaves_of(condition):
        names[leaf.fact] = None
        if isinstance(leaf, Compare) and leaf.times is not None:
            names[leaf.times] = None
    return tuple(names)


def parse_condition(
    written: Any, where: str, catalogue: Mapping[str, Fact], problems: list[str], depth: int = 0
) -> Condition | None:
    """Return the condition that parsed YAML declares, or None after adding every problem to `problems`.

    Parameters
    ----------
    written : mapping
        One of `{all: [...]}`, `{any: [...]}`, `{not: {...}}`, `{at_least: n, of: [...]}`,
        `{fact: name, <operator>: value, unit: u}`, `{fact: name, known: true}`, `{label: name, is: value}`.
    where : str
        File and field, for messages.
    catalogue : mapping of fact name to Fact
    problems : list of str
        One line per problem is appended.
    depth : int
        How deep this part is nested.
    """
    if depth > DEEPEST:
        problems.append(f"{where}: nested deeper than {DEEPEST}; split the rule in two")
        return None
    if not isinstance(written, Mapping):
        problems.append(
            f"{where}: got {type(written).__name__}{_shown(written)}, wanted a mapping such as "
            "{fact: ecog, ge: 3}; rules are data, expressions are not read"
        )
        return None
    kinds = [kind for kind in ("all", "any", "not", "at_least", "fact", "label") if kind in written]
    if len(kinds) != 1:
        problems.append(f"{where}: wanted exactly one of all, any, not, at_least, fact, label; got {_listed(written)}")
        return None
    kind = kinds[0]
    if kind in ("fact", "label"):
        return _parse_leaf(written, kind, where, catalogue, problems)
    extra = [str(key) for key in written if key not in {kind, *(["of"] if kind == "at_least" else [])}]
    if extra:
        problems.append(f"{where}: unknown setting {', '.join(extra)} beside '{kind}'")
        return None
    if kind == "not":
        part = parse_condition(written["not"], f"{where}.not", catalogue, problems, depth + 1)
        return None if part is None else NotOf(part)
    return _parse_list(written, kind, where, catalogue, problems, depth)


def _parse_list(
    written: Mapping[str, Any],
    kind: str,
    where: str,
    catalogue: Mapping[str, Fact],
    problems: list[str],
    depth: int,
) -> Condition | None:
    name = "of" if kind == "at_least" else kind
    listed = written.get(name)
    if not isinstance(listed, Sequence) or isinstance(listed, str) or not listed:
        problems.append(f"{where}.{name}: wanted a list of at least one condition")
        return None
    parts = [
        parse_condition(item, f"{where}.{name}[{i}]", catalogue, problems, depth + 1) for i, item in enumerate(listed)
    ]
    sound = tuple(part for part in parts if part is not None)
    if len(sound) < len(parts):
        return None
    if kind == "all":
        return AllOf(sound)
    if kind == "any":
        return AnyOf(sound)
    count = written["at_least"]
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= len(sound):
        problems.append(f"{where}.at_least: got {count!r}, wanted a whole number from 1 to {len(sound)}")
        return None
    return AtLeast(count, sound)


def _parse_leaf(
    written: Mapping[str, Any], kind: str, where: str, catalogue: Mapping[str, Fact], problems: list[str]
) -> Leaf | None:
    name = written[kind]
    known_names = list(LABEL_FACTS) if kind == "label" else list(catalogue)
    if not isinstance(name, str) or name not in known_names:
        hint = did_you_mean(str(name), known_names)
        problems.append(
            f"{where}.{kind}: unknown {kind} {name!r}{hint}; facts are declared in the feature specification"
        )
        return None
    asked = [key for key in written if key not in {kind, "unit", "times"}]
    if len(asked) > 1 and all(key in OPERATORS for key in asked):
        problems.append(
            f"{where}: more than one operator, {' and '.join(asked)}, in one comparison; write one comparison for each "
            "under all:, or between: [low, high]"
        )
        return None
    if len(asked) != 1 or asked[0] not in {*OPERATORS, "known"}:
        problems.append(f"{where}: wanted exactly one of {', '.join(OPERATORS)}, known; got {_listed(written)}")
        return None
    fact_name = f"{LABEL_PREFIX}{name}" if kind == "label" else name
    if asked[0] == "known":
        if not isinstance(written["known"], bool) or len(written) > 2:
            problems.append(f"{where}.known: wanted true or false and nothing else beside it")
            return None
        return Known(fact_name, written["known"])
    if kind == "label":
        return _parse_levels(fact_name, asked[0], written, LABEL_FACTS[name], where, problems)
    return _parse_compare(name, asked[0], written, catalogue, where, problems)


def _parse_compare(
    name: str,
    op: str,
    written: Mapping[str, Any],
    catalogue: Mapping[str, Fact],
    where: str,
    problems: list[str],
) -> Compare | None:
    fact = catalogue[name]
    if fact.type == "number":
        return _parse_number(name, op, written, catalogue, where, problems)
    if fact.type == "category":
        return _parse_levels(name, op, written, tuple(fact.levels or ()), where, problems)
    if op != "is" or not isinstance(written[op], bool) or len(written) > 2:
        problems.append(
            f"{where}.{op}: '{name}' is yes or no, got {written[op]!r}; wanted {{fact: {name}, is: true}} or is: false"
        )
        return None
    return Compare(name, "is", (written[op],))


def _parse_levels(
    name: str, op: str, written: Mapping[str, Any], levels: Sequence[str], where: str, problems: list[str]
) -> Compare | None:
    raw = written[op]
    values = raw if op == "in" else [raw]
    if op not in ("is", "in") or (op == "in" and not isinstance(raw, list | tuple)) or len(written) > 2 or not values:
        problems.append(f"{where}.{op}: '{name}' is a category; wanted is: one level, or in: a list of levels")
        return None
    for value in values:
        if not isinstance(value, str) or value not in levels:
            hint = did_you_mean(str(value), list(levels))
            problems.append(f"{where}.{op}: unknown level {value!r} of '{name}'{hint}; levels are {', '.join(levels)}")
            return None
    return Compare(name, "in" if op == "in" else "is", tuple(values))


def _parse_number(
    name: str,
    op: str,
    written: Mapping[str, Any],
    catalogue: Mapping[str, Fact],
    where: str,
    problems: list[str],
) -> Compare | None:
    raw = written[op]
    values = list(raw) if op in ("in", "between") and isinstance(raw, list | tuple) else [raw]
    found = len(problems)
    if op == "is" or not values or not all(_is_number(value) for value in values):
        problems.append(
            f"{where}.{op}: '{name}' is a number, got {raw!r}{_no_number(values)}; "
            f"wanted for example {{fact: {name}, ge: 3}}"
        )
    elif op == "between" and (len(values) != 2 or values[0] > values[1]):
        problems.append(
            f"{where}.between: wanted [low, high] with low at most high, got {raw!r}; both ends belong to it"
        )
    _check_unit(name, written.get("unit"), catalogue[name].unit, where, problems)
    times = written.get("times")
    if times is not None:
        numbers = [fact for fact, entry in catalogue.items() if entry.type == "number"]
        if not isinstance(times, str) or times not in numbers:
            hint = did_you_mean(str(times), numbers)
            problems.append(f"{where}.times: wanted the name of a number, got {times!r}{hint}")
        elif catalogue[times].unit != catalogue[name].unit:
            problems.append(
                f"{where}.times: '{times}' is in {catalogue[times].unit}, '{name}' in {catalogue[name].unit}"
            )
    if len(problems) > found:
        return None
    operator: Operator = next(known for known in OPERATORS if known == op)
    return Compare(name, operator, tuple(values), written.get("unit"), times)


def _check_unit(name: str, got: Any, wanted: str | None, where: str, problems: list[str]) -> None:
    if wanted and got is None:
        problems.append(f"{where}.unit: missing; write unit: {wanted}, the unit of '{name}'")
    elif wanted and got != wanted:
        problems.append(
            f"{where}.unit: got {got!r}, but '{name}' is in {wanted}; convert the threshold and write {wanted}"
        )
    elif not wanted and got is not None:
        problems.append(f"{where}.unit: got {got!r}, but '{name}' has no unit; leave it out")


def _is_number(value: Any) -> TypeGuard[int | float]:
    """Return whether a value is a finite number that a column of floats can hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _no_number(values: Sequence[Any]) -> str:
    """Return why digits are not read as a number, where that is easily overlooked."""
    padded = [value for value in values if isinstance(value, str) and re.fullmatch(r"[-+]?0[0-9]+", value)]
    return f", which begins with 0 and so could be a code or octal: write {int(padded[0])}" if padded else ""


def _shown(value: Any) -> str:
    return f" {value!r}" if isinstance(value, str | int | float | bool) else ""


def _listed(written: Mapping[str, Any]) -> str:
    return ", ".join(str(key) for key in written) or "nothing"
