"""Is a condition true, false or unknown? Three-valued logic (Kleene) over whole columns at once.

A comparison with a missing fact is unknown, and unknown is carried: `not unknown` is
unknown, `false and unknown` is false, `true or unknown` is true. The tables are those
of the HL7 Clinical Quality Language, where null stands for unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import RuleError
from pipeline.guardrails.conditions import AllOf, AnyOf, AtLeast, Compare, Condition, Known, Leaf, NotOf, Scalar

Mask = NDArray[np.bool_]
Values = NDArray[np.float64] | NDArray[np.object_] | Mask

NUMBERS, TEXT, FLAGS, NOTHING, OTHER = "numbers", "text", "yes and no", "nothing", "something else"
"""What a column can hold."""
DTYPES: Mapping[str, Any] = {NUMBERS: "Float64", TEXT: "string", FLAGS: "boolean"}
READ_AS = {NUMBERS: "a number", TEXT: "text", FLAGS: "yes or no", OTHER: "a fact"}
INFERRED = {
    **dict.fromkeys(("floating", "integer", "mixed-integer-float"), NUMBERS),
    "string": TEXT,
    "boolean": FLAGS,
    "empty": NOTHING,
}
"""What a column holds, by the name that pandas gives it."""


@dataclass(frozen=True)
class Truth:
    """One truth value per row.

    Attributes
    ----------
    true : array of bool, (n_rows,)
        False wherever unknown.
    known : array of bool, (n_rows,)
    """

    true: Mask
    known: Mask

    @property
    def false(self) -> Mask:
        """Known not to hold."""
        return self.known & ~self.true

    @property
    def unknown(self) -> Mask:
        """Neither known to hold nor known not to."""
        return ~self.known


def invert(part: Truth) -> Truth:
    """Return NOT: unknown stays unknown."""
    return Truth(part.false, part.known)


def both(left: Truth, right: Truth) -> Truth:
    """Return AND: false if either is false, whatever the other."""
    true = left.true & right.true
    return Truth(true, true | left.false | right.false)


def either(left: Truth, right: Truth) -> Truth:
    """Return OR: true if either is true, whatever the other."""
    true = left.true | right.true
    return Truth(true, true | (left.false & right.false))


def exclusive(left: Truth, right: Truth) -> Truth:
    """Return XOR: unknown if either is unknown."""
    known = left.known & right.known
    return Truth(known & (left.true != right.true), known)


def implies(left: Truth, right: Truth) -> Truth:
    """Return IMPLIES: (not left) or right."""
    return either(invert(left), right)


def at_least(count: int, parts: Sequence[Truth]) -> Truth:
    """Return whether at least `count` parts are true; unknown while the unknown ones could decide."""
    sure = np.sum([part.true for part in parts], axis=0)
    possible = sure + np.sum([part.unknown for part in parts], axis=0)
    true = sure >= count
    return Truth(true, true | (possible < count))


def evaluate(condition: Condition, truth_of: Callable[[Leaf], Truth]) -> Truth:
    """Return a condition's truth, given the truth of its comparisons.

    Parameters
    ----------
    condition : Condition
    truth_of : callable
        Truth of one comparison, one value per row; called at most once per occurrence.
    """
    match condition:
        case Compare() | Known():
            return truth_of(condition)
        case NotOf(part):
            return invert(evaluate(part, truth_of))
        case AtLeast(count, parts):
            return at_least(count, [evaluate(part, truth_of) for part in parts])
        case AllOf(parts):
            truth = evaluate(parts[0], truth_of)
            for part in parts[1:]:
                truth = both(truth, evaluate(part, truth_of))
            return truth
        case AnyOf(parts):
            truth = evaluate(parts[0], truth_of)
            for part in parts[1:]:
                truth = either(truth, evaluate(part, truth_of))
            return truth


def wrong_kind(fact: str, holds: str, read: str) -> RuleError:
    """Return what is said where a column holds something else than a rule reads; the same for masks and SQL."""
    return RuleError(
        f"facts: column '{fact}' holds {holds}, a rule reads it as {READ_AS[read]}. "
        "Check its type in the feature specification."
    )


def no_yes_or_no(fact: str, wrong: int, rows: int) -> RuleError:
    """Return what is said of numbers that are read as yes or no and are not 1 or 0; the same for masks and SQL."""
    return RuleError(
        f"facts: column '{fact}' has {wrong} of {rows} values other than 1 and 0, a rule reads it as yes or no. "
        "Check its type in the feature specification."
    )


def no_column(fact: str) -> RuleError:
    """Return what is said where a column is missing; the same for masks and SQL."""
    return RuleError(f"facts: no column '{fact}', which a rule reads. Declare it in the feature specification.")


def kind_of(column: pd.Series) -> str:
    """Return what a column holds: numbers, text, yes and no, nothing or something else. Text is never a number."""
    values = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column
    return INFERRED.get(pd.api.types.infer_dtype(values, skipna=True), OTHER)


class FactColumns:
    """The facts of many decisions, read once per comparison.

    Parameters
    ----------
    frame : DataFrame, one row per decision
        Missing, NaN and infinite values are unknown. Booleans may be 1.0 and 0.0.
    constants : mapping of fact name to value
        Categories that are the same in every row, such as a product's label; None is unknown.
    """

    def __init__(self, frame: pd.DataFrame, constants: Mapping[str, Scalar | None] | None = None) -> None:
        self._frame = frame
        self._constants = dict(constants or {})
        self._columns: dict[tuple[str, str], tuple[Values, Mask]] = {}
        self._truths: dict[Leaf, Truth] = {}

    def given(self, constants: Mapping[str, Scalar | None]) -> FactColumns:
        """Return the same facts with others that are the same in every row."""
        return FactColumns(self._frame, {**self._constants, **constants}) if constants else self

    def known(self, fact: str) -> Mask:
        """Return where a fact is on record.

        Raises
        ------
        RuleError
            If the facts lack the column, or it holds something else than numbers, text or yes and no.
        """
        if fact in self._constants:
            return np.full(len(self._frame), self._constants[fact] is not None)
        column = self._series(fact)
        kind = kind_of(column)
        if kind == OTHER:
            raise wrong_kind(fact, kind, OTHER)
        return self._numbers(fact)[1] if kind == NUMBERS else column.notna().to_numpy(dtype=bool)

    def truth(self, leaf: Leaf) -> Truth:
        """Return one comparison's truth per row.

        Raises
        ------
        RuleError
            If the facts lack a column or hold another type than the rule asks of it.
        """
        if leaf not in self._truths:
            self._truths[leaf] = self._compared(leaf)
        return self._truths[leaf]

    def _series(self, fact: str) -> pd.Series:
        if fact not in self._frame.columns:
            raise no_column(fact)
        return self._frame[fact]

    def _compared(self, leaf: Leaf) -> Truth:
        if isinstance(leaf, Known):
            known = self.known(leaf.fact)
            return Truth(known == leaf.known, np.ones(len(known), dtype=bool))
        if isinstance(leaf.values[0], bool):
            flags, known = self._flags(leaf.fact)
            return Truth(known & (flags == leaf.values[0]), known)
        if isinstance(leaf.values[0], str):
            if leaf.fact in self._constants:
                known = self.known(leaf.fact)
                return Truth(known & (self._constants[leaf.fact] in leaf.values), known)
            words, known = self._read(leaf.fact, TEXT)
            return Truth(known & np.any([words == value for value in leaf.values], axis=0), known)
        return self._ordered(leaf)

    def _ordered(self, leaf: Compare) -> Truth:
        numbers, known = self._numbers(leaf.fact)
        limits = [np.full(len(numbers), float(value)) for value in leaf.values]
        if leaf.times is not None:
            factor, factor_known = self._numbers(leaf.times)
            limits = [limit * factor for limit in limits]
            known = known & factor_known
        with np.errstate(invalid="ignore"):
            match leaf.op:
                case "lt":
                    true = numbers < limits[0]
                case "le":
                    true = numbers <= limits[0]
                case "gt":
                    true = numbers > limits[0]
                case "ge":
                    true = numbers >= limits[0]
                case "between":
                    true = (numbers >= limits[0]) & (numbers <= limits[1])
                case _:
                    true = np.any([numbers == limit for limit in limits], axis=0)
        return Truth(known & true, known)

    def _numbers(self, fact: str) -> tuple[NDArray[np.float64], Mask]:
        values, known = self._read(fact, NUMBERS)
        return values.astype(np.float64), known

    def _flags(self, fact: str) -> tuple[Values, Mask]:
        """Return yes and no; as numbers they are 1 and 0, where pandas would read every other number as yes."""
        if kind_of(self._series(fact)) != NUMBERS:
            return self._read(fact, FLAGS)
        numbers, known = self._numbers(fact)
        wrong = int(np.sum(known & (numbers != 0) & (numbers != 1)))
        if wrong:
            raise no_yes_or_no(fact, wrong, len(numbers))
        return numbers == 1, known

    def _read(self, fact: str, kind: str) -> tuple[Values, Mask]:
        if (fact, kind) not in self._columns:
            column = self._series(fact)
            holds = kind_of(column)
            if holds not in (kind, NOTHING):
                raise wrong_kind(fact, holds, kind)
            cast: Any = column.astype(DTYPES[kind])
            known = cast.notna().to_numpy(dtype=bool)
            if kind == NUMBERS:
                numbers = cast.to_numpy(dtype=float, na_value=np.nan)
                self._columns[fact, kind] = numbers, known & np.isfinite(numbers)
            else:
                self._columns[fact, kind] = cast.to_numpy(dtype=object, na_value=""), known
        return self._columns[fact, kind]
