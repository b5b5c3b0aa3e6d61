"""What does the review page say about what stays, and about trials beside this institution's look-alikes?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.review.blocks import Block, Cell, Section, Table, Words, columns, row
from pipeline.review.cohort_sections import modality_label, shown_cases
from pipeline.review.numerals import decimal, with_span
from pipeline.review.reading import count_in, mapping_in, mappings_in, number_in, text_in, texts_in
from pipeline.review.small_cells import masked_line, masked_share

_KINDS = {
    "seed": "learned again, same decisions",
    "refractory": "features rebuilt and learned again",
    "weights": "same model, weighed otherwise",
    "draws": "same model, moved within its intervals",
}


def stability_section(evaluation: Mapping[str, Any]) -> Section:
    """Return how many first choices stay when seed, definition, weights or draw change."""
    found = mapping_in(evaluation.get("stability"))
    question = (
        "Does the first choice stay when what is arbitrary changes? Clear: its interval lies above every other; what "
        "is tied may change places without meaning. Rules are left aside: the first choice among what was possible."
    )
    variations = mappings_in(found.get("variations"))
    if not variations:
        return Section("stability", "What stays", question)
    clear, tied = (count_in(found.get(key)) for key in ("clear", "tied"))
    shown = masked_line([clear, tied], adds_up=True)
    blocks: list[Block] = [Words(text_in(found.get("words")), "note")]
    blocks.append(
        Words(f"Of the first choices of all training decisions, {shown[0].text} are clear, {shown[1].text} tied.")
    )
    whole = None if clear is None or tied is None else clear + tied
    lines = tuple(_variation(entry, whole, clear, tied) for entry in variations)
    labels = ("All that stay", "Clear that stay", "Tied that stay", "Order (rank correlation)", "Largest change")
    heads = columns(("What changes", *labels), numbers=labels)
    blocks.append(Table("One row per variation: share of first choices that stay", heads, lines, stacked=True))
    blocks += _steady(variations, whole, clear, tied)
    blocks += [Words(f"Not tried. {reason}", "small") for reason in texts_in(found.get("not_done"))]
    blocks.append(Words(_HOW, "small"))
    return Section("stability", "What stays", question, tuple(blocks))


_HOW = (
    "Models learned again are compared committee against committee on the rows that they learned from; their students "
    "and intervals are not made again. Order: Spearman's correlation of the places of all modalities, averaged over "
    "decisions. Largest change: of the suitability of any possible modality in any decision."
)


def _share(value: Any, count: int | None) -> str:
    share = number_in(value)
    return "–" if share is None else masked_share(share, count)[0]


def _variation(entry: Mapping[str, Any], whole: int | None, clear: int | None, tied: int | None) -> tuple[Cell, ...]:
    change, kind = number_in(entry.get("largest_change")), text_in(entry.get("kind"))
    return row(
        Cell(text_in(entry.get("label")), _KINDS.get(kind, ""), "strong"),
        _share(entry.get("stays"), whole),
        _share(entry.get("stays_clear"), clear),
        _share(entry.get("stays_tied"), tied),
        decimal(number_in(entry.get("rank_correlation"))),
        "–" if change is None else decimal(change),
    )


def _steady(
    variations: list[Mapping[str, Any]], whole: int | None, clear: int | None, tied: int | None
) -> tuple[Words, ...]:
    """Return how many first choices stay in nine of ten draws."""
    drawn = next((entry for entry in variations if text_in(entry.get("kind")) == "draws"), None)
    if drawn is None:
        return ()
    everybody, of_clear, of_tied = (
        _share(drawn.get(key), count)
        for key, count in (("steady", whole), ("steady_clear", clear), ("steady_tied", tied))
    )
    told = (
        f"In at least 90% of draws the same first choice stays for {everybody} of decisions: {of_clear} of the clear, "
    )
    return (Words(f"{told}{of_tied} of the tied."),)


def trials_section(evaluation: Mapping[str, Any]) -> Section:
    """Return published figures beside what happened here to look-alikes, and what the model says of them."""
    found = mapping_in(evaluation.get("published_trials"))
    question = (
        "How do this institution's look-alikes of a published trial fare beside it? For orientation, not a test: "
        "trials choose whom they take in, and records tell only a part of their eligibility."
    )
    rows, unmatched = mappings_in(found.get("trials")), mappings_in(found.get("unmatched"))
    blocks: list[Block] = [Words(text_in(found.get("words")), "note")] if text_in(found.get("words")) else []
    if rows:
        labels = ("Published", "Observed here", "Predicted for them", "For all look-alikes", "Decisions")
        heads = columns(("Trial", *labels), numbers=labels)
        lines = tuple(_trial(evaluation, entry) for entry in rows)
        blocks.append(Table("One row per published figure, 95% intervals", heads, lines, stacked=True))
        blocks += [Words(_about(entry), "small") for entry in rows]
        blocks.append(Words(_TRIAL_HOW, "small"))
    blocks += [
        Words(f"{modality_label(evaluation, text_in(entry.get('modality')))}: {_said(entry)}") for entry in unmatched
    ]
    return Section("trials", "Beside published trials", question, tuple(blocks))


def _about(entry: Mapping[str, Any]) -> str:
    """Return in whom a figure was seen, who is like them here, and what is not alike."""
    people = " and ".join(texts_in(entry.get("eligibility")))
    told = {key: text_in(entry.get(key)) for key in ("trial", "population", "differs", "source")}
    return (
        f"{told['trial']}: {count_in(entry.get('people'))} people with {told['population']}. Look-alikes: {people}. "
        f"Not alike: {told['differs']}. Source: {told['source']}."
    )


_TRIAL_HOW = (
    "Observed: Kaplan-Meier share with durable control at the landmark, of look-alikes who were given the modality; "
    "predicted: mean out-of-fold prediction for the same people, then for all look-alikes whatever they were given."
)


def _said(entry: Mapping[str, Any]) -> str:
    source = text_in(entry.get("source"))
    return text_in(entry.get("words")) + (f" Source: {source}." if source else "")


def _trial(evaluation: Mapping[str, Any], entry: Mapping[str, Any]) -> tuple[Cell, ...]:
    modality, months = text_in(entry.get("modality")), count_in(entry.get("months"))
    detail = f"{modality_label(evaluation, modality)} · {text_in(entry.get('measure'))}, {months} months from "
    detail += text_in(entry.get("time_zero"))
    published = with_span(*(number_in(entry.get(key)) for key in ("published", "low", "high")))
    missing = text_in(entry.get("missing"))
    names = ("observed", "observed_low", "observed_high")
    observed = missing or with_span(*(number_in(entry.get(key)) for key in names))
    predicted, everybody = (
        "–" if number_in(entry.get(key)) is None else decimal(number_in(entry.get(key)))
        for key in ("predicted", "predicted_all")
    )
    given = shown_cases(evaluation, modality, entry.get("given")).text
    return row(
        Cell(text_in(entry.get("trial")), detail, "strong"),
        published,
        observed,
        predicted,
        everybody,
        given,
    )
