"""How is a number written for somebody who must act on it?"""

from __future__ import annotations

import re

NOT_ESTIMATED = "not estimated"
MINUS = "−"
_PLAIN_NUMBER = re.compile(r"^[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$")


def decimal(value: float | None, digits: int = 2) -> str:
    """Return `0.37`, with a true minus sign, or `not estimated`."""
    if value is None:
        return NOT_ESTIMATED
    text = f"{value:,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def signed(value: float | None, digits: int = 2) -> str:
    """Return `+0.37` or `−0.37`; zero has no sign."""
    text = decimal(value, digits)
    if value is None or text.startswith(MINUS) or not text.strip("0.,"):
        return text
    return f"+{text}"


def span(low: float | None, high: float | None, digits: int = 2) -> str:
    """Return `0.24 to 0.38`, or `not estimated` unless both ends are known."""
    if low is None or high is None:
        return NOT_ESTIMATED
    return f"{decimal(low, digits)} to {decimal(high, digits)}"


def with_span(value: float | None, low: float | None, high: float | None, *, digits: int = 2) -> str:
    """Return `0.31 (0.24 to 0.38)`; the bracket is dropped when an end is missing."""
    if value is None or low is None or high is None:
        return decimal(value, digits)
    return f"{decimal(value, digits)} ({span(low, high, digits)})"


def whole(value: int | None) -> str:
    """Return a count with thousands separators, or `not recorded`."""
    return "not recorded" if value is None else f"{value:,}"


def percent(share: float | None) -> str:
    """Return a share as a whole percentage; tiny and near-total shares are never rounded to none or all."""
    if share is None:
        return NOT_ESTIMATED
    if 0 < share < 0.005:
        return "under 1%"
    if 0.995 < share < 1:
        return "over 99%"
    return f"{decimal(100 * share, 0)}%"


def of_hundred(chance: float | None) -> str:
    """Return a chance as a natural frequency: `about 62 of 100`."""
    if chance is None:
        return NOT_ESTIMATED
    if chance < 0.005:
        return "fewer than 1 of 100"
    if chance > 0.995:
        return "more than 99 of 100"
    return f"about {round(100 * chance)} of 100"


def general(value: float) -> str:
    """Return any number to three significant figures, whole numbers whole."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}".replace("-", MINUS)
    if abs(value) >= 100:
        return decimal(value, 0)
    text = f"{value:.3g}"
    if "e" in text:
        return text.replace("-", MINUS)
    return text.replace("-", MINUS)


def recorded_value(text: str) -> str:
    """Return a recorded value as a reader would write it: long machine decimals are shortened, words stay."""
    return general(float(text)) if _PLAIN_NUMBER.match(text) and len(text) < 300 else text


def ordinal(place: int) -> str:
    """Return `1st`, `2nd`, `3rd`, `4th`."""
    if place % 100 in {11, 12, 13}:
        return f"{place}th"
    return f"{place}{({1: 'st', 2: 'nd', 3: 'rd'}).get(place % 10, 'th')}"


def listed(words: tuple[str, ...]) -> str:
    """Return `a`, `a and b`, `a, b and c`."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
