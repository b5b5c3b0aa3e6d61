"""How do single facts move the predictions, over many people?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.review.blocks import Block, Cell, Figure, Panel, Table, Words, columns, row
from pipeline.review.charts import Scale, scale_over
from pipeline.review.cohort_sections import modality_label
from pipeline.review.numerals import percent, signed, span
from pipeline.review.reading import count_in, mapping_in, mappings_in, number_in, text_in
from pipeline.review.reason_charts import SwarmBin, ValueBin, dependence_plot, swarm_plot
from pipeline.review.small_cells import masked_line
from pipeline.review.wording import DERIVED_ITEMS, plain_name

_FIFTHS = ("lowest fifth", "second fifth", "middle fifth", "fourth fifth", "highest fifth")
_LEVEL_DEPENDENCE = 3
_SWARM_READING = (
    "Across: contribution, dashed line 0. Each box is at least eleven people; taller (by the square root) is more of "
    "them. Colour: their mean value, from low to high; grey: mostly not recorded, or without an order."
)
_DEPENDENCE_READING = (
    "Left to right: lower to higher values, at least eleven people each, at rounded quantiles; grey: not recorded. Up: "
    "contribution; dot: mean, band: middle half of people."
)


def reason_blocks(evaluation: Mapping[str, Any]) -> list[Block]:
    """Return binned beeswarms and dependences of the contrast of the first two modalities, then of each level."""
    pictures = mapping_in(evaluation.get("shap_pictures"))
    views = mappings_in(pictures.get("views"))
    if not views:
        return []
    decisions = masked_line([count_in(pictures.get("decisions"))])[0].text
    told = f"From an even sample of {decisions} decisions. Nobody is drawn alone: beeswarm and dependence are binned."
    blocks: list[Block] = [Words(told, "small")]
    contrasts = [view for view in views if text_in(view.get("kind")) == "contrast"]
    levels = [view for view in views if text_in(view.get("kind")) == "level"]
    for view in contrasts:
        name = " rather than ".join(modality_label(evaluation, text_in(view.get(key))) for key in ("first", "second"))
        blocks += _figures(f"Why {name}", [(name, view)], len(mappings_in(view.get("features"))))
    if levels:
        named = [(modality_label(evaluation, text_in(view.get("first"))), view) for view in levels]
        blocks += _figures("What moves the suitability of each modality", named, _LEVEL_DEPENDENCE)
    return blocks


def shap_check_words(evaluation: Mapping[str, Any]) -> list[Block]:
    """Return whether another implementation finds the same contributions."""
    words = text_in(mapping_in(evaluation.get("shap_check")).get("words"))
    return [Words(f"Check C20: {words}", "note")] if words else []


def _figures(title: str, views: Sequence[tuple[str, Mapping[str, Any]]], most: int) -> list[Block]:
    swarms = [(name, _named_bins(view)) for name, view in views]
    scale = _swarm_scale([bins for _, rows in swarms for _, bins in rows])
    panels = tuple(
        Panel(
            name if len(views) > 1 else "",
            swarm_plot(f"{name}: contribution of each feature", rows, scale=scale, axis="contribution to suitability"),
        )
        for name, rows in swarms
    )
    blocks: list[Block] = [Figure(title, _SWARM_READING, panels, _swarm_twin(swarms), pairs=len(views) > 1)]
    values = [(name, feature, bins) for name, view in views for feature, bins in _value_bins(view)[:most]]
    if values:
        blocks.append(_dependence(title, values, several=len(views) > 1))
    return blocks


def _feature_name(entry: Mapping[str, Any]) -> str:
    name = text_in(entry.get("feature"))
    return DERIVED_ITEMS.get(name) or text_in(entry.get("meaning")) or plain_name(name)


def _named_bins(view: Mapping[str, Any]) -> list[tuple[str, list[SwarmBin]]]:
    return [
        (_feature_name(entry), [found for bin in mappings_in(entry.get("swarm")) if (found := _swarm_bin(bin))])
        for entry in mappings_in(view.get("features"))
    ]


def _swarm_bin(entry: Mapping[str, Any]) -> SwarmBin | None:
    low, high, share = (number_in(entry.get(key)) for key in ("low", "high", "share"))
    if low is None or high is None or share is None or share <= 0 or high <= low:
        return None
    return SwarmBin(low, high, share, count_in(entry.get("tone")))


def _value_bins(view: Mapping[str, Any]) -> list[tuple[str, list[ValueBin]]]:
    found = []
    for entry in mappings_in(view.get("features")):
        bins = [made for bin in mappings_in(entry.get("dependence")) if (made := _value_bin(bin))]
        if bins:
            found.append((_feature_name(entry), bins))
    return found


def _value_bin(entry: Mapping[str, Any]) -> ValueBin | None:
    share, mean, low, high = (number_in(entry.get(key)) for key in ("share", "mean", "low", "high"))
    if share is None or mean is None or low is None or high is None:
        return None
    label = text_in(entry.get("label"))
    return ValueBin(label, share, mean, low, high, label == "not recorded")


def _swarm_scale(rows: Sequence[Sequence[SwarmBin]]) -> Scale:
    return scale_over([end for bins in rows for bin in bins for end in (bin.low, bin.high)], include=(0.0,))


def _swarm_twin(views: Sequence[tuple[str, Sequence[tuple[str, Sequence[SwarmBin]]]]]) -> Table:
    lines = []
    for name, rows in views:
        for feature, bins in rows:
            for entry in bins:
                fifth = "no order, or not recorded" if entry.tone is None else _FIFTHS[min(4, entry.tone)]
                first = Cell(feature, name if len(views) > 1 else "")
                lines.append(
                    row(first, f"{signed(entry.low, 3)} to {signed(entry.high, 3)}", percent(entry.share), fifth)
                )
    labels = ("Contribution", "Decisions")
    heads = columns(("Feature", *labels, "Mean value lies in the"), numbers=labels)
    return Table("One row per box", heads, tuple(lines))


def _dependence(title: str, values: Sequence[tuple[str, str, Sequence[ValueBin]]], *, several: bool) -> Figure:
    ends = [end for _, _, bins in values for entry in bins for end in (entry.low, entry.high, entry.mean)]
    scale = scale_over(ends, include=(0.0,))
    panels, lines = [], []
    for name, feature, bins in values:
        label = f"{name}: {feature}" if several else feature
        panels.append(Panel(label, dependence_plot(f"{name}: contribution by {feature}", bins, scale=scale)))
        lines += [
            row(
                Cell(feature, name if several else ""),
                entry.label,
                percent(entry.share),
                signed(entry.mean, 3),
                span(entry.low, entry.high, 3),
            )
            for entry in bins
        ]
    labels = ("Decisions", "Mean contribution", "Middle half")
    heads = columns(("Feature", "Value", *labels), numbers=labels)
    twin = Table("One row per group of values", heads, tuple(lines))
    return Figure(f"{title}: by value", _DEPENDENCE_READING, tuple(panels), twin)
