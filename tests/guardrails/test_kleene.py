"""Three-valued logic: the HL7 CQL tables, and comparisons with nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import RuleError
from pipeline.guardrails.conditions import AllOf, AnyOf, AtLeast, Compare, Known, NotOf
from pipeline.guardrails.kleene import FactColumns, Truth, at_least, both, either, evaluate, exclusive, implies, invert

T, F, N = True, False, None


def truth(*values: bool | None) -> Truth:
    return Truth(np.array([v is True for v in values]), np.array([v is not None for v in values]))


def value(answer: Truth) -> bool | None:
    return bool(answer.true[0]) if answer.known[0] else None


# HL7 Clinical Quality Language 1.5, logical operators, one row per case: left, right, and, or, xor, implies
CQL = [
    (T, T, T, T, F, T),
    (T, F, F, T, T, F),
    (T, N, N, T, N, N),
    (F, T, F, T, T, T),
    (F, F, F, F, F, T),
    (F, N, F, N, N, T),
    (N, T, N, T, N, T),
    (N, F, F, N, N, N),
    (N, N, N, N, N, N),
]
BINARY = [
    (name, operator, left, right, row[place])
    for place, (name, operator) in enumerate([("and", both), ("or", either), ("xor", exclusive), ("implies", implies)])
    for left, right, *row in CQL
]


@pytest.mark.parametrize(("name", "operator", "left", "right", "expected"), BINARY)
def test_binary_operators_give_the_published_tables(name, operator, left, right, expected):
    assert value(operator(truth(left), truth(right))) is expected


@pytest.mark.parametrize(("part", "expected"), [(T, F), (F, T), (N, N)])
def test_not_gives_the_published_table(part, expected):
    assert value(invert(truth(part))) is expected


def test_the_published_tables_have_39_cases():
    assert len(BINARY) + 3 == 39


YES, NO, OPEN = (Known(name, known=True) for name in ("yes", "no", "open"))
JOINED = [
    (NO, F),
    (NotOf(YES), F),
    (AllOf((YES, YES, OPEN)), N),
    (AllOf((YES, NO, OPEN)), F),
    (AllOf((NO, YES)), F),
    (AllOf((YES, YES)), T),
    (AnyOf((NO, NO, OPEN)), N),
    (AnyOf((NO, YES, OPEN)), T),
    (AnyOf((YES, NO)), T),
    (AnyOf((NO, NO)), F),
    (AtLeast(1, (YES, NO, OPEN)), T),
    (AtLeast(2, (YES, NO, OPEN)), N),
    (AtLeast(2, (YES, NO, NO)), F),
]


@pytest.mark.parametrize(("condition", "expected"), JOINED)
def test_a_condition_is_as_true_as_its_parts_joined(condition, expected):
    assert value(evaluate(condition, lambda leaf: truth({"yes": T, "no": F, "open": N}[leaf.fact]))) is expected


COMPARISONS = [
    # operator, constants, below, equal, above
    ("lt", (3,), T, F, F),
    ("le", (3,), T, T, F),
    ("gt", (3,), F, F, T),
    ("ge", (3,), F, T, T),
    ("equals", (3,), F, T, F),
    ("in", (3, 7), F, T, F),
    ("between", (3, 5), F, T, T),
    ("between", (1, 3), T, T, F),
]


@pytest.mark.parametrize(("operator", "constants", "below", "equal", "above"), COMPARISONS)
def test_a_comparison_is_right_on_both_sides_and_unknown_without_a_value(operator, constants, below, equal, above):
    frame = pd.DataFrame({"ecog": [2.0, 3.0, 4.0, None, np.nan, np.inf]}, index=list("abcdef"))

    answer = FactColumns(frame).truth(Compare("ecog", operator, constants))

    assert [value(Truth(answer.true[i : i + 1], answer.known[i : i + 1])) for i in range(6)] == [
        below,
        equal,
        above,
        N,
        N,
        N,
    ]


@pytest.mark.parametrize("dtype", ["Float64", "float64", "Int64", "object"])
def test_numbers_are_read_from_any_column_type_of_numbers(dtype):
    column = pd.Series([2, 3, None], dtype="Float64").astype(dtype)

    answer = FactColumns(pd.DataFrame({"ecog": column})).truth(Compare("ecog", "ge", (3,)))

    assert answer.true.tolist() == [F, T, F]
    assert answer.known.tolist() == [T, T, F]


@pytest.mark.parametrize("dtype", ["boolean", "float64", "Float64", "Int64", "object"])
def test_yes_and_no_are_read_from_booleans_and_from_one_and_zero(dtype):
    column = pd.Series([True, False, None], dtype="boolean").astype("Float64" if "loat" in dtype else dtype)
    frame = pd.DataFrame({"hiv": column.astype(dtype)})

    yes = FactColumns(frame).truth(Compare("hiv", "is", (True,)))
    no = FactColumns(frame).truth(Compare("hiv", "is", (False,)))

    assert yes.true.tolist() == [T, F, F]
    assert no.true.tolist() == [F, T, F]
    assert yes.known.tolist() == no.known.tolist() == [T, T, F]


def test_levels_are_compared_and_a_missing_level_is_unknown():
    frame = pd.DataFrame({"sex": pd.Series(["female", "male", None], dtype="str")})

    answer = FactColumns(frame).truth(Compare("sex", "in", ("female", "unknown")))

    assert answer.true.tolist() == [T, F, F]
    assert answer.known.tolist() == [T, T, F]


@pytest.mark.parametrize(
    "values",
    [
        pd.array([1.0, None], "Float64"),
        np.array([1.0, np.nan]),
        np.array([1.0, np.inf]),
        pd.array([True, None], "boolean"),
        np.array(["x", None], object),
    ],
)
def test_known_is_never_unknown(values):
    answer = FactColumns(pd.DataFrame({"lvef": values})).truth(Known("lvef", known=False))

    assert answer.true.tolist() == [F, T]
    assert answer.known.tolist() == [T, T]


def test_a_multiple_of_a_missing_upper_limit_is_unknown():
    frame = pd.DataFrame({"alt": [161.0, 160.0, 500.0], "alt_uln": [40.0, 40.0, np.nan]})

    answer = FactColumns(frame).truth(Compare("alt", "gt", (4,), times="alt_uln"))

    assert answer.true.tolist() == [T, F, F]
    assert answer.known.tolist() == [T, T, F]


def test_a_missing_column_is_named_in_the_error():
    with pytest.raises(RuleError, match="no column 'lvef'"):
        FactColumns(pd.DataFrame({"ecog": [1.0]})).truth(Compare("lvef", "lt", (40,)))


def test_a_column_of_another_type_is_named_without_its_values():
    with pytest.raises(RuleError, match="column 'hiv' holds text, a rule reads it as yes or no") as problem:
        FactColumns(pd.DataFrame({"hiv": ["secret-token"]})).truth(Compare("hiv", "is", (True,)))
    assert "secret-token" not in str(problem.value)


def test_what_a_label_says_is_the_same_in_every_row():
    facts = FactColumns(pd.DataFrame({"ecog": [1.0, 2.0]})).given({"label.status": "approved", "label.price": None})
    asked = {
        Compare("label.status", "in", ("approved", "conditional")): T,
        Compare("label.status", "is", ("conditional",)): F,
        Compare("label.price", "is", ("approved",)): N,
        Known("label.status", known=True): T,
        Known("label.price", known=True): F,
    }
    for leaf, expected in asked.items():
        answer = facts.truth(leaf)
        assert [value(Truth(answer.true[i : i + 1], answer.known[i : i + 1])) for i in (0, 1)] == [expected] * 2


def test_yes_and_no_are_not_read_from_other_numbers():
    for dtype in ("float64", "Float64"):
        with pytest.raises(RuleError, match="column 'hiv' has 2 of 5 values other than 1 and 0"):
            FactColumns(pd.DataFrame({"hiv": [2.0, 1.0, None, 0.0, -1.0]}, dtype=dtype)).truth(
                Compare("hiv", "is", (True,))
            )


@pytest.mark.parametrize("dtype", ["float64", "Float64"])
def test_an_infinite_number_is_neither_yes_nor_no(dtype):
    column = pd.Series([np.inf, -np.inf, 1.0, 0.0], dtype=dtype)

    answer = FactColumns(pd.DataFrame({"hiv": column})).truth(Compare("hiv", "is", (True,)))

    assert answer.true.tolist() == [F, F, T, F]
    assert answer.known.tolist() == [F, F, T, T]


three = st.sampled_from([T, F, N])


@settings(max_examples=500)
@given(st.lists(three, min_size=1, max_size=5), st.integers(1, 5))
def test_counts_agree_with_counting_over_every_completion(parts, count):
    answer = value(at_least(count, [truth(part) for part in parts]))

    free = parts.count(N)
    outcomes = {sum(part is T for part in parts) + extra >= count for extra in range(free + 1)}
    assert answer is (outcomes.pop() if len(outcomes) == 1 else None)


@settings(max_examples=500)
@given(three, three)
def test_knowing_more_never_changes_an_answer_already_known(left, right):
    for operator in (both, either, exclusive, implies):
        answer = value(operator(truth(left), truth(right)))
        for known_left in [left] if left is not None else [T, F]:
            for known_right in [right] if right is not None else [T, F]:
                assert answer in (None, value(operator(truth(known_left), truth(known_right))))
