"""What does the review page say about whether people who got different modalities were alike?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.review.blocks import Block, Cell, Figure, Panel, Section, Table, Words, columns, row
from pipeline.review.charts import Estimate, interval_plot, scale_over
from pipeline.review.cohort_sections import modality_label
from pipeline.review.numerals import decimal
from pipeline.review.reading import count_in, mapping_in, mappings_in, number_in, text_in
from pipeline.review.wording import plain_name


def balance_section(evaluation: Mapping[str, Any]) -> Section:
    """Return the differences between modalities before and after weighting: a table per pair and a love plot."""
    balance = mapping_in(evaluation.get("balance"))
    threshold = number_in(balance.get("threshold"))
    question = (
        "Once weighted, were people who got different modalities alike in all that was recorded? A standardised "
        "difference above 0.1 is worth a look; with few people some are above it by chance."
    )
    pairs = mappings_in(balance.get("pairs"))
    if not pairs:
        return Section("balance", "Balance between modalities", question)
    blocks: list[Block] = [Words(text_in(balance.get("words")), "note")] if text_in(balance.get("words")) else []
    blocks.append(_pair_table(evaluation, pairs))
    features = mappings_in(balance.get("features"))
    if features:
        blocks.append(_love_plot(features, threshold))
    return Section("balance", "Balance between modalities", question, tuple(blocks))


def term_label(entry: Mapping[str, Any]) -> str:
    """Return a compared fact in words: its meaning, and the level or that it was missing."""
    part = text_in(entry.get("part"))
    name = text_in(entry.get("meaning")) or plain_name(text_in(entry.get("feature")))
    return f"{name}: {plain_name(part)}" if part else name


def _pair_table(evaluation: Mapping[str, Any], pairs: list[Mapping[str, Any]]) -> Table:
    lines = []
    for pair in pairs:
        first, second = (modality_label(evaluation, text_in(pair.get(key))) for key in ("first", "second"))
        worst = next(iter(mappings_in(pair.get("worst"))), {})
        value = decimal(number_in(worst.get("after"))) if worst else "–"
        lines.append(
            row(
                Cell(first, f"against {second}", "strong"),
                *(_whole(pair.get(key)) for key in ("terms", "over_before", "over_after")),
                decimal(number_in(pair.get("expected_over")), 0),
                _whole(pair.get("clear_over")),
                Cell(value, term_label(worst) if worst else ""),
            )
        )
    labels = ("Compared", "Over 0.1 before", "Over 0.1 after", "By chance", "Clearly over")
    heads = columns(("Pair", *labels, "Largest after"), numbers=labels)
    return Table(
        "One row per pair of modalities; numbers of features, levels and gaps", heads, tuple(lines), stacked=True
    )


def _whole(value: Any) -> str:
    found = count_in(value)
    return "–" if found is None else f"{found:,}"


def _love_plot(features: list[Mapping[str, Any]], threshold: float | None) -> Figure:
    rows, lines = [], []
    for entry in features:
        before, after = number_in(entry.get("before")), number_in(entry.get("after"))
        told = f"{decimal(before)} → {decimal(after)}"
        rows.append(Estimate(term_label(entry), told, after, mark=before))
        lines.append(row(Cell(term_label(entry), text_in(entry.get("feature"))), decimal(before), decimal(after)))
    ends = [value for line in rows for value in (line.value, line.mark)]
    picture = interval_plot(
        "Largest standardised difference of each feature over all pairs, before and after weighting",
        rows,
        scale=scale_over(ends, include=(0.0,)),
        axis="standardised mean difference (absolute)",
        reference=threshold,
    )
    labels = ("Before weighting", "After weighting")
    twin = Table(
        "One row per feature, largest after weighting first",
        columns(("Feature", *labels), numbers=labels),
        tuple(lines),
    )
    reading = (
        "Dot: after weighting; diamond: before; dashed line: 0.1. Each is the largest over all pairs of modalities."
    )
    return Figure("Differences before and after weighting", reading, (Panel("", picture),), twin)
