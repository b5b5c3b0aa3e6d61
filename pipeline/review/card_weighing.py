"""What must a card hold so that a reader can weigh the outcomes anew?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from scipy.stats import norm

from pipeline.explain import ALL_OTHER, AVERAGE_DIFFERENCE
from pipeline.review.card_order import BEFORE_THE_RULES
from pipeline.review.case import CaseCard, Row, name_of, nearness, rank_of
from pipeline.review.numerals import percent
from pipeline.review.reading import mappings_in, number_in, text_in
from pipeline.review.wording import outcome_label

_DIGITS = 12
"""Decimals of contributions: a hundred of them then add up within 1e-10."""


def weighing(rows: Sequence[Row], card: CaseCard) -> dict[str, Any] | None:
    """Return the numbers and words from which a page ranks and explains for any weights; None where there are none.

    Parameters
    ----------
    rows : sequence of mappings
        In displayed order.
    card : CaseCard

    Returns
    -------
    dict or None
        Plain values only; identifiers and dates are not among them.
    """
    parts = card.unweighed
    if parts is None:
        return None
    names = [*parts.targets, "burden"]
    declared = {text_in(entry.get("outcome")): entry for entry in mappings_in(list(card.estimands))}
    told = (*parts.names, "burden", ALL_OTHER, AVERAGE_DIFFERENCE)
    values: Mapping[str, str | None] = dict(zip(parts.names, parts.values, strict=True))
    return {
        "outcomes": [
            {
                "name": name,
                "label": text_in(declared.get(name, {}).get("label")) or outcome_label(name),
                "sign": sign,
                "weight": number_in(card.weights.get(name)) or 0.0,
                "fallback": number_in(card.default_weights.get(name)) or 0.0,
            }
            for name, sign in zip(names, [*parts.signs, -1.0], strict=True)
        ],
        "modalities": [_modality(line, card) for line in rows],
        "root": parts.root.tolist(),
        "arms": list(parts.arms),
        "level": percent(card.interval_level),
        "quantile": float(norm.ppf(0.5 + card.interval_level / 2)),
        "facts": [[card.fact(name), card.compared(name, values.get(name))] for name in told],
        "named": card.top_reasons,
        "before": BEFORE_THE_RULES,
    }


def _modality(line: Row, card: CaseCard) -> dict[str, Any]:
    """Return one modality: what it is called, whether it can have a rank, and what its suitability is made of."""
    name, parts = name_of(line), card.unweighed
    found: dict[str, Any] = {"name": name, "label": card.modality(name), "ranked": rank_of(line) is not None}
    found["nearness"] = nearness(line)
    if parts is None or name not in parts.arms:
        return found
    arm = parts.arms.index(name)
    return found | {
        "arm": arm,
        "outcomes": parts.outcomes[arm].tolist(),
        "burden": number_in(line.get("burden")) or 0.0,
        "baseline": parts.baseline[arm].tolist(),
        "contributions": [[round(float(x), _DIGITS) or 0 for x in target] for target in parts.contributions[arm]],
    }


def embedded(document: Mapping[str, Any]) -> Markup:
    """Return a document as JSON that can stand in a script element: nothing in it can end the element."""
    text = json.dumps(document, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)
