"""Every status, verdict and number has words that a reader can act on."""

from __future__ import annotations

import math

import pytest

from pipeline.review.numerals import (
    decimal,
    general,
    listed,
    of_hundred,
    ordinal,
    percent,
    recorded_value,
    signed,
    with_span,
)
from pipeline.review.reading import list_in, number_in, text_in
from pipeline.review.wording import ABSTAIN_REASONS, STATUS_BADGES, VERDICT_BADGES, status_sentence, verdict_badge
from pipeline.vocabulary import STATUSES, VERDICTS


def test_every_status_and_verdict_of_the_vocabulary_has_a_badge_with_its_own_words() -> None:
    assert set(STATUS_BADGES) == set(STATUSES)
    assert set(VERDICT_BADGES) == set(VERDICTS)
    assert len({badge.word for badge in VERDICT_BADGES.values()}) == len(VERDICTS)
    assert all(badge.sign and badge.meaning for badge in [*STATUS_BADGES.values(), *VERDICT_BADGES.values()])


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_has_a_sentence_even_when_nothing_else_is_known(status: str) -> None:
    assert "_" not in status_sentence(status)
    assert len(status_sentence(status)) > 3


@pytest.mark.parametrize(
    ("status", "known", "sentence"),
    [
        ("ranked", {"rank": 2}, "2nd"),
        ("tied", {"rank": 1, "tied_with": ["CAR T", "ADC"]}, "1st, tied with CAR T and ADC"),
        ("too_few_cases", {"cases": 0}, "not ranked: too few cases (0)"),
        ("too_few_cases", {"cases": 7}, "not ranked: too few cases (<11)"),
        (
            "too_few_cases",
            {"cases": 12, "reason": "follow_up"},
            "not ranked: too few cases (12), " + ABSTAIN_REASONS["follow_up"],
        ),
        ("indeterminate", {"missing": ["LVEF"]}, "unknown: needs LVEF"),
        ("abstained", {"reason": "shifted"}, "no rank given: " + ABSTAIN_REASONS["shifted"]),
        ("a_later_status", {}, "a later status"),
    ],
)
def test_a_status_is_told_in_words(status: str, known: dict[str, object], sentence: str) -> None:
    assert status_sentence(status, **known) == sentence  # type: ignore[arg-type]


def test_not_assessed_is_never_told_as_clear() -> None:
    assert verdict_badge("not_assessed").word == "not assessed"
    assert verdict_badge("not_assessed").tone != verdict_badge("clear").tone


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (decimal(None), "not estimated"),
        (decimal(-0.001), "0.00"),
        (decimal(-0.25), "−0.25"),
        (signed(0.25), "+0.25"),
        (signed(0.0), "0.00"),
        (with_span(0.3, None, 0.4), "0.30"),
        (with_span(0.3, 0.2, 0.4), "0.30 (0.20 to 0.40)"),
        (percent(0.004), "under 1%"),
        (percent(0.998), "over 99%"),
        (percent(1.0), "100%"),
        (of_hundred(0.62), "about 62 of 100"),
        (of_hundred(0.001), "fewer than 1 of 100"),
        (of_hundred(0.999), "more than 99 of 100"),
        (of_hundred(None), "not estimated"),
        (general(3000.0), "3,000"),
        (general(0.031), "0.031"),
        (general(92.44), "92.4"),
        (recorded_value("0.8300000190734863"), "0.83"),
        (recorded_value("female"), "female"),
        (ordinal(11), "11th"),
        (ordinal(22), "22nd"),
        (listed(("a", "b", "c")), "a, b and c"),
    ],
)
def test_a_number_is_written_for_a_reader(told: str, expected: str) -> None:
    assert told == expected


@pytest.mark.parametrize("nothing", [None, float("nan"), float("inf"), "0.5", object(), [1]])
def test_what_is_not_a_finite_number_is_no_number(nothing: object) -> None:
    assert number_in(nothing) is None


def test_arrays_are_lists_and_text_is_not() -> None:
    class Array:
        def tolist(self) -> list[int]:
            return [1, 2]

    assert list_in(Array()) == [1, 2]
    assert list_in("abc") == []
    assert list_in(None) == []


def test_characters_that_hide_or_turn_text_become_visible() -> None:
    assert text_in("a\u202eb\x00c") == "a�b�c"
    assert text_in(math.nan) == ""
