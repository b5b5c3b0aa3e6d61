"""How is one part of an evaluation or a prediction read when it may be missing, empty or not a number?

Tables handed over from Parquet carry NaN, null markers and arrays where Python would have None
and lists. Everything is made plain here, once, so that no page ever shows `nan`.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from typing import Any

_REPLACEMENT = "�"


def number_in(value: Any) -> float | None:
    """Return a finite float, or None for anything that is not one (null, NaN, infinity, words)."""
    if value is None or isinstance(value, str | bytes):
        return None
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def count_in(value: Any) -> int | None:
    """Return a whole number of rows or people, or None if there is none."""
    found = number_in(value)
    return None if found is None or found < 0 else round(found)


def text_in(value: Any) -> str:
    """Return printable text; hidden and direction-changing characters become a visible mark.

    Null and anything that is not a single thing (a list, a mapping) give an empty text, so
    that no structure is ever written out with whatever else it holds.
    """
    if (
        value is None
        or isinstance(value, Mapping | list | tuple | set)
        or (isinstance(value, float) and math.isnan(value))
    ):
        return ""
    text = value if isinstance(value, str) else str(value)
    if text in {"<NA>", "NaT"} and not isinstance(value, str):
        return ""
    return text if text.isprintable() else "".join(_printable(character) for character in text)


def _printable(character: str) -> str:
    if character in "\n\t":
        return " "
    hidden = unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn"} and character not in "\u200c\u200d\u00ad"
    return _REPLACEMENT if hidden else character


def list_in(value: Any) -> list[Any]:
    """Return a list; null, text and single things become an empty one, arrays become lists."""
    if value is None or isinstance(value, str | bytes | Mapping):
        return []
    if hasattr(value, "tolist"):
        value = value.tolist()
    return list(value) if isinstance(value, list | tuple | set | frozenset) else []


def mapping_in(value: Any) -> Mapping[str, Any]:
    """Return a mapping; anything else becomes an empty one."""
    return value if isinstance(value, Mapping) else {}


def mappings_in(value: Any) -> list[Mapping[str, Any]]:
    """Return the mappings of a list; anything else in it is left out."""
    return [entry for entry in list_in(value) if isinstance(entry, Mapping)]


def texts_in(value: Any) -> tuple[str, ...]:
    """Return the non-empty texts of a list."""
    return tuple(text for text in (text_in(entry) for entry in list_in(value)) if text)
