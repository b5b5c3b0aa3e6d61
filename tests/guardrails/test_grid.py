"""The situations that are tried: one value from every interval and level, and what settles an unknown."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from pipeline.guardrails.conditions import AllOf, AnyOf, AtLeast, Compare, Known, NotOf
from pipeline.guardrails.grid import (
    FACTORS,
    FALSE,
    LARGEST,
    OTHER_LEVEL,
    TRUE,
    UNKNOWN,
    grid_of,
    lowest_values,
    patterns,
)
from pipeline.guardrails.kleene import FactColumns
from pipeline.guardrails.situations import find, samples_of, truth_in
from tests.guardrails.shipped import SmallFact

A, B, C = (Compare(name, "is", (True,)) for name in "abc")
ECOG, ALT = Compare("ecog", "ge", (3,), "score"), Compare("alt", "gt", (4,), "U/L", "uln")
MALE = Compare("sex", "is", ("male",))
LABEL = Compare("label.approval_status", "is", ("approved",))
STATUSES = ("approved", "accelerated", "conditional", "not_approved")
CATALOGUE = {
    **{name: SmallFact(name, "boolean") for name in "abc"},
    "ecog": SmallFact("ecog", "number", "score", minimum=0),
    "grade": SmallFact("grade", "number", minimum=2.5),
    "alt": SmallFact("alt", "number", "U/L"),
    "uln": SmallFact("uln", "number", "U/L", minimum=1),
    "sex": SmallFact("sex", "category", levels=("female", "male", "other", "unknown")),
}

SAMPLES = [
    # condition, facts, what a rule's own grid tries, what is tried of several rules together
    (A, {"a": ((True, False), (True, False))}),
    (Compare("a", "is", (False,)), {"a": ((True, False), (True, False))}),
    (Known("a", known=True), {"a": ((True,), FACTORS)}),
    (ECOG, {"ecog": ((2.0, 3.0, 4.0), (0.0, 2.0, 3.0, 4.0))}),
    (Compare("ecog", "between", (1, 3)), {"ecog": ((0.0, 1.0, 2.0, 3.0, 4.0),) * 2}),
    (Compare("ecog", "in", (3, 1, 3)), {"ecog": ((0.0, 1.0, 2.0, 3.0, 4.0),) * 2}),
    (Compare("sex", "in", ("male", "female")), {"sex": (("male", "female", OTHER_LEVEL), ("male", "female", "other"))}),
    (AllOf((MALE, NotOf(MALE))), {"sex": (("male", OTHER_LEVEL), ("male", "female"))}),
    (LABEL, {"label.approval_status": (STATUSES, STATUSES)}),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "tried"), SAMPLES)
def test_one_value_of_every_interval_and_level_is_tried(condition, tried):
    grid = grid_of(condition)

    assert dict(zip(grid.facts, grid.samples, strict=True)) == {fact: own for fact, (own, _) in tried.items()}
    assert samples_of([condition], CATALOGUE) == {fact: together for fact, (_, together) in tried.items()}


def test_a_multiple_is_tried_at_and_between_every_product_of_limit_and_factor():
    grid = grid_of(ALT)

    assert dict(zip(grid.facts, grid.samples, strict=True)) == {"alt": (3.0, 4.0, 5.0), "uln": FACTORS}
    below = {**CATALOGUE, "uln": SmallFact("uln", "number", "U/L")}
    at = [4e-6, 4.0, 4e6]
    assert samples_of([ALT], below) == {
        "uln": FACTORS,
        "alt": (at[0] - 1, at[0], (at[0] + at[1]) / 2, at[1], (at[1] + at[2]) / 2, at[2], at[2] + 1),
    }


@pytest.mark.parametrize(
    ("lowest", "tried"),
    [(0.0, (0.0, 2.0, 3.0, 4.0)), (2.0, (2.0, 3.0, 4.0)), (2.5, (2.5, 3.0, 4.0)), (3.0, (3.0, 4.0)), (9.0, ())],
)
def test_nothing_below_the_smallest_possible_value_is_tried(lowest, tried):
    assert grid_of(ECOG, (("ecog", lowest),)).samples == (tried,)


def test_the_smallest_possible_values_come_from_the_catalogue_where_they_are_numbers():
    condition = AllOf((ECOG, ALT, A, Compare("grade", "ge", (3,)), Compare("gone", "ge", (1,))))
    catalogue = {**CATALOGUE, "alt": SmallFact("alt", "number", minimum=True)}

    assert lowest_values(condition, catalogue) == (("ecog", 0.0), ("uln", 1.0), ("grade", 2.5))


def test_states_have_one_axis_per_fact_with_unknown_last():
    both = grid_of(AllOf((A, ECOG)))

    assert both.facts == ("a", "ecog")
    assert both.states.tolist() == [
        [FALSE, TRUE, TRUE, UNKNOWN],
        [FALSE, FALSE, FALSE, FALSE],
        [FALSE, UNKNOWN, UNKNOWN, UNKNOWN],
    ]
    assert both.values().tolist() == [[FALSE, TRUE, TRUE], [FALSE, FALSE, FALSE]]


def test_a_pattern_tells_which_facts_are_known_and_which_comparisons_hold():
    frame = pd.DataFrame({"a": pd.array([True, False, None, None], "boolean"), "ecog": [3.0, 2.0, 3.0, np.nan]})

    codes = patterns(AllOf((A, ECOG)), FactColumns(frame))
    assert codes.tolist() == [0b1111, 0b0011, 0b1010, 0b0000]


def test_every_situation_is_found_again_by_its_pattern():
    condition = AnyOf((AllOf((A, ECOG)), AllOf((B, NotOf(A)))))
    grid = grid_of(condition)
    rows = list(itertools.product(*[(*values, None) for values in grid.samples]))
    frame = pd.DataFrame({f: pd.Series([row[i] for row in rows], dtype="object") for i, f in enumerate(grid.facts)})

    found = [grid.states.ravel()[grid.cells[code]] for code in patterns(condition, FactColumns(frame)).tolist()]
    assert found == grid.states.ravel().tolist()


SETTLING = [
    # condition, what is known, what settles it
    (AllOf((A, B)), {}, ("a", "b")),
    (AllOf((A, B)), {"a": True}, ("b",)),
    (AnyOf((AllOf((A, B)), AllOf((NotOf(A), B)))), {}, ("a", "b")),
    (AllOf((AnyOf((A, NotOf(A))), B)), {"a": True}, ("b",)),
    (AllOf((A, AnyOf((B, C)))), {"a": True}, ("b", "c")),
    (AllOf((A, AnyOf((B, C)))), {"a": True, "c": True}, ()),
    (AtLeast(2, (A, B, C)), {"a": True, "b": False}, ("c",)),
    (ECOG, {}, ("ecog",)),
]


@pytest.mark.parametrize(("condition", "known", "facts"), SETTLING)
def test_the_facts_that_settle_a_situation(condition, known, facts):
    grid = grid_of(condition)
    place = tuple(
        values.index(known[fact]) if fact in known else len(values)
        for fact, values in zip(grid.facts, grid.samples, strict=True)
    )

    assert grid.settling(int(np.ravel_multi_index(place, grid.states.shape))) == facts


PASSES = [
    (A, False),
    (AllOf((A, ECOG)), False),
    (AllOf((Known("a", known=True), A)), True),
    (AllOf((ECOG, Known("a", known=True))), True),
    (AllOf((Known("ecog", known=True), ECOG, B)), True),
    (AllOf((A, B, Known("c", known=True), C)), True),
    (AllOf((Known("a", known=True), A, B, C)), True),
    (AnyOf((Known("a", known=False), A)), False),
    (AllOf((Known("a", known=False), B)), False),
]


@pytest.mark.parametrize(("condition", "passes"), PASSES)
def test_an_unknown_that_passes_is_noticed(condition, passes):
    assert grid_of(condition).passes_an_unknown() is passes


def test_a_condition_of_more_than_fifty_thousand_situations_has_no_grid():
    names = [f"f{place}" for place in range(11)]
    nine = AllOf(tuple(Compare(name, "is", (True,)) for name in names[:9]))
    ten = AllOf(tuple(Compare(name, "is", (True,)) for name in names[:10]))

    assert 3**9 <= LARGEST < 3**10
    assert LARGEST == 50_000
    assert grid_of(nine).states.size == 3**9
    assert grid_of(ten) is None


@pytest.mark.parametrize(("largest", "has_one"), [(9, True), (8, False)])
def test_a_grid_may_be_as_large_as_the_limit_and_no_larger(largest, has_one, monkeypatch):
    monkeypatch.setattr("pipeline.guardrails.grid.LARGEST", largest)
    condition = AllOf(tuple(Compare(f"{name}{largest}", "is", (True,)) for name in "ab"))  # 3 x 3, never asked before

    assert (grid_of(condition) is not None) is has_one


# --- situations

ANSWERS = [
    # condition, given, absent, answer
    (A, {"a": True}, (), True),
    (A, {"a": False}, (), False),
    (A, {}, (), None),
    (A, {"a": 1.0}, (), True),
    (NotOf(A), {"a": True}, (), False),
    (NotOf(A), {}, (), None),
    (AllOf((A, B)), {"a": False}, (), False),
    (AllOf((A, B)), {"a": True}, (), None),
    (AllOf((A, B)), {"a": True, "b": True}, (), True),
    (AnyOf((A, B)), {"a": True}, (), True),
    (AnyOf((A, B)), {"a": False}, (), None),
    (AnyOf((A, B)), {"a": False, "b": False}, (), False),
    (AtLeast(2, (A, B, C)), {"a": True, "b": True}, (), True),
    (AtLeast(2, (A, B, C)), {"a": True, "b": False}, (), None),
    (AtLeast(2, (A, B, C)), {"a": False, "b": False}, (), False),
    (Known("a", known=True), {}, (), True),
    (Known("a", known=True), {}, ("a",), False),
    (Known("a", known=False), {}, ("a",), True),
    (NotOf(Known("a", known=True)), {}, ("a",), True),
    (AllOf((Known("a", known=True), B)), {"b": True}, ("a",), False),
    (AnyOf((Known("a", known=True), B)), {"b": False}, ("a",), False),
    (AtLeast(1, (Known("a", known=True), B)), {"b": False}, ("a",), False),
    (LABEL, {"label.approval_status": "approved"}, (), True),
    (LABEL, {"label.approval_status": None}, (), None),
    *[
        (Compare("ecog", op, values), {"ecog": value}, (), answer)
        for op, values, answers in [
            ("lt", (3,), (True, False, False)), ("le", (3,), (True, True, False)), ("gt", (3,), (False, False, True)),
            ("ge", (3,), (False, True, True)), ("equals", (3,), (False, True, False)),
            ("in", (4, 3), (False, True, True)), ("between", (3, 4), (False, True, True)),
            ("between", (2, 3), (True, True, False)),
        ]
        for value, answer in zip((2.0, 3.0, 4.0), answers, strict=True)
    ],
    (ALT, {"alt": 160.0, "uln": 40.0}, (), False),
    (ALT, {"alt": 161.0, "uln": 40.0}, (), True),
    (ALT, {"alt": 161.0}, (), None),
    (ALT, {"uln": 40.0}, (), None),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "given", "absent", "answer"), ANSWERS)
def test_a_condition_is_answered_as_far_as_facts_are_given(condition, given, absent, answer):
    assert truth_in(condition, given, absent) is answer


FOUND = [
    # wanted, given, found
    ([(A, True)], {}, {"a": True}),
    ([(A, False)], {}, {"a": False}),
    ([(A, True), (A, False)], {}, None),
    ([(A, True)], {"a": False}, None),
    ([(A, True)], {"a": True, "b": None}, {"a": True, "b": None}),
    ([(AllOf((A, ECOG)), True)], {}, {"a": True, "ecog": 3.0}),
    ([(AnyOf((A, B)), False), (ECOG, True)], {}, {"a": False, "b": False, "ecog": 3.0}),
    ([(AnyOf((A, B)), True), (A, False)], {"a": None}, {"a": False, "b": True}),
    ([], {"b": True}, {"b": True}),
]


@pytest.mark.parametrize(("wanted", "given", "found"), FOUND)
def test_a_situation_is_found_or_there_is_none(wanted, given, found):
    samples = samples_of([A, B, ECOG], CATALOGUE)

    assert find(wanted, samples, given) == found
