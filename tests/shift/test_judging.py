"""Differences are issues if they are large and clear; unchanged worlds seldom raise one."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, chi2_contingency, fisher_exact

from pipeline.shift.judging import NOT_ASKED, Measured, judged, margin_test, people_needed, share_test, spread, together

COUNTS = st.lists(st.integers(20, 400), min_size=2, max_size=8)


def test_the_index_is_what_its_formula_says() -> None:
    # 50 and 50 % then, 80 and 20 % now: 0.3 ln 1.6 + (-0.3) ln 0.4 = 0.4159; half a person hardly moves 20,000.
    found = spread(np.array([1e4, 1e4]), np.array([1.6e4, 4e3]), 0.25, in_order=True)

    assert found.psi == pytest.approx(0.3 * log(1.6) - 0.3 * log(0.4), abs=1e-3)
    assert found.ks == pytest.approx(0.3)
    assert found.floor == pytest.approx(1e-4)
    assert found.test.is_large


@given(then=COUNTS, seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_the_chance_is_that_of_a_table_of_two_rows(then: list[int], seed: int) -> None:
    now = np.random.default_rng(seed).integers(20, 400, len(then)).astype(float)
    found = spread(np.array(then, dtype=float), now, 0.25, in_order=True)

    if found.bins == len(then):  # no bin was joined to a neighbour
        assert found.test.chance == pytest.approx(chi2_contingency([then, now], correction=False).pvalue, abs=1e-9)


def test_the_floor_is_what_an_unchanged_world_has_on_average() -> None:
    rng, shares = np.random.default_rng(0), np.full(10, 0.1)
    found = [
        spread(
            rng.multinomial(600, shares).astype(float), rng.multinomial(200, shares).astype(float), 0.25, in_order=True
        )
        for _ in range(400)
    ]

    assert np.mean([one.psi for one in found if one.psi is not None]) == pytest.approx(found[0].floor, rel=0.12)


def test_nothing_known_is_not_asked() -> None:
    assert spread(np.zeros(4), np.ones(4), 0.25, in_order=True).test == NOT_ASKED
    assert share_test(0, 0, 3, 10, 0.1) == NOT_ASKED
    assert margin_test(None, None, 50, -0.1, 0.1, 0.1) == NOT_ASKED


@given(k=st.integers(0, 40), k0=st.integers(0, 60))
@settings(max_examples=30, deadline=None)
def test_the_chance_of_a_share_is_twice_the_smaller_tail_of_fishers(k: int, k0: int) -> None:
    table = [[k, 40 - k], [k0, 60 - k0]]
    tails = [fisher_exact(table, alternative=side).pvalue for side in ("less", "greater")]

    assert share_test(k, 40, k0, 60, 0.1).chance == pytest.approx(min(1.0, 2 * min(tails)), abs=1e-9)


@pytest.mark.parametrize(("now", "is_large"), [(30, True), (29, False), (10, True), (11, False)])
def test_a_share_is_large_from_its_margin_on(now: int, is_large: bool) -> None:
    assert share_test(now, 100, 200, 1000, 0.1).is_large is is_large


def test_a_share_at_its_margin_is_told_by_many_and_not_by_one() -> None:
    assert share_test(0, 1, 0, 800, 0.1).at_threshold == 1.0
    assert share_test(40, 400, 80, 800, 0.1).at_threshold < 1e-4
    assert share_test(390, 400, 780, 800, 0.1).at_threshold < 1e-4  # downwards, where no more can be missing


@pytest.mark.parametrize(("value", "beyond"), [(0.11, True), (0.10, False), (-0.10, False), (-0.11, True)])
def test_an_estimate_is_large_beyond_its_margin(value: float, beyond: bool) -> None:
    assert margin_test(value, 0.01, 100, -0.1, 0.1, 0.1).is_large is beyond


def test_an_estimate_on_its_margin_is_clear_once_in_two() -> None:
    assert margin_test(0.1, 0.02, 500, -0.1, 0.1, 0.1).chance == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("test", "result"),
    [
        (Measured(1e-9, is_large=True, at_threshold=1e-9), "issue"),
        (Measured(1e-9, is_large=False, at_threshold=1e-9), "pass"),
        (Measured(0.5, is_large=True, at_threshold=1e-9), "pass"),
        (Measured(0.5, is_large=True, at_threshold=0.5), "too_little_data"),
        (Measured(0.5, is_large=False, at_threshold=0.06), "too_little_data"),
        (Measured(1e-9, is_large=True, at_threshold=0.5), "issue"),
        (NOT_ASKED, "too_little_data"),
    ],
)
def test_large_and_clear_is_an_issue(test: Measured, result: str) -> None:
    assert judged([test], 0.05) == [result]


@pytest.mark.parametrize(
    ("results", "whole"),
    [
        (["pass", "pass", "issue"], "issue"),
        (["pass", "too_little_data"], "pass"),
        (["pass", "too_little_data", "too_little_data"], "too_little_data"),
        (["too_little_data"], "too_little_data"),
    ],
)
def test_a_check_is_told_by_half_of_what_it_compares(results: list[str], whole: str) -> None:
    assert together(results) == whole


@pytest.mark.parametrize("people", [30, 60, 400])
def test_an_unchanged_world_raises_an_issue_seldom_however_few_are_seen(people: int) -> None:
    rng, draws, alarms = np.random.default_rng(people), 100, 0
    shares = [rng.dirichlet(np.full(rng.integers(2, 10), 2.0)) for _ in range(25)]
    for _ in range(draws):
        tests = []
        for share in shares:
            then, now = (rng.multinomial(n, share).astype(float) for n in (500, people))
            tests += [
                spread(then, now, 0.25, in_order=True).test,
                share_test(now[0], people, then[0], 500, 0.1),
            ]
        alarms += "issue" in judged(tests, 0.05)

    assert alarms <= binom.isf(0.001, draws, 0.05)


def test_as_many_people_as_are_needed_tell_the_threshold_and_one_less_does_not() -> None:
    needed = people_needed(0.25, 10, 600, 0.05 / 200)
    shares = np.full(10, 0.1)

    at = [spread(600 * shares, n * shares, 0.25, in_order=True).test.at_threshold for n in (needed + 1, needed - 1)]

    assert at[0] <= 0.05 / 200 < at[1]
    assert people_needed(0.25, 10, 60, 0.05 / 200) == float("inf")
