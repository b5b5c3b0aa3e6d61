"""What does the review page say about the records: who is in, what is missing, who could have got what?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.review.blocks import Block, Cell, Column, Figure, Panel, Section, Table, Words, columns, heat, row
from pipeline.review.charts import histogram, share_bar, spread_strip
from pipeline.review.numerals import decimal, percent, span
from pipeline.review.reading import count_in, list_in, mapping_in, mappings_in, number_in, text_in
from pipeline.review.small_cells import (
    MASKED,
    ShownCount,
    masked_counts,
    masked_line,
    masked_part,
    masked_share,
    masked_steps,
)
from pipeline.review.wording import STATUS_BADGES, Badge, outcome_label, plain_name, reason_words, status_badge

_MOST_FEATURES = 30


def modality_label(evaluation: Mapping[str, Any], modality: str) -> str:
    """Return the label the run declares for a modality, or its name in words."""
    for entry in mappings_in(mapping_in(evaluation.get("cohort")).get("modalities")):
        if text_in(entry.get("modality")) == modality and text_in(entry.get("label")):
            return text_in(entry.get("label"))
    return plain_name(modality)


def shown_decisions(evaluation: Mapping[str, Any]) -> dict[str, ShownCount]:
    """Return how many decisions chose each modality, as every section may show it.

    One rule for the whole page: a count hidden in one table must not stand in another.
    """
    arms = mappings_in(mapping_in(evaluation.get("cohort")).get("modalities"))
    counts = masked_line([count_in(arm.get("decisions")) for arm in arms], adds_up=True)
    return {text_in(arm.get("modality")): count for arm, count in zip(arms, counts, strict=True)}


def shown_cases(evaluation: Mapping[str, Any], modality: str, count: Any) -> ShownCount:
    """Return a count of cases of one modality; hidden where the modality's decisions are hidden."""
    whole = shown_decisions(evaluation).get(modality)
    cases = masked_line([count_in(count)])[0]
    hidden = whole is not None and whole.text == MASKED and cases.count is not None
    return ShownCount(MASKED, None) if hidden else cases


def decisions_of(evaluation: Mapping[str, Any], modality: str) -> int | None:
    """Return how many decisions of the cohort chose a modality."""
    for entry in mappings_in(mapping_in(evaluation.get("cohort")).get("modalities")):
        if text_in(entry.get("modality")) == modality:
            return count_in(entry.get("decisions"))
    return None


def cohort_section(evaluation: Mapping[str, Any]) -> Section:
    """Return who is in the cohort and who left it at which step."""
    cohort = mapping_in(evaluation.get("cohort"))
    patients, decisions = masked_line([count_in(cohort.get("patients")), count_in(cohort.get("decisions"))])
    blocks: list[Block] = []
    if patients.count is not None or decisions.count is not None:
        blocks.append(Words(f"The model learned from {decisions.text} decisions of {patients.text} patients."))
    steps = mappings_in(cohort.get("attrition"))
    if steps:
        blocks.append(_attrition_table(steps))
    return Section("cohort", "Cohort and attrition", "Who is in, and who left at which step and why?", tuple(blocks))


def _attrition_table(steps: list[Mapping[str, Any]]) -> Table:
    shown = masked_steps([(count_in(step.get("rows_in")), count_in(step.get("rows_out"))) for step in steps])
    lines = []
    for step, (came, removed, left) in zip(steps, shown, strict=True):
        added = (count_in(step.get("rows_out")) or 0) > (count_in(step.get("rows_in")) or 0)
        change = f"{removed.text} added" if added and removed.count else removed.text
        kept = None if not came.count or left.count is None else left.count / came.count
        name, reason = plain_name(text_in(step.get("step"))), text_in(step.get("reason"))
        told = "not shown" if kept is None else percent(kept)
        bar = Cell(told) if kept is None else Cell(told, picture=share_bar(f"{told} kept", kept, "main"))
        lines.append(row(Cell(name, reason, "strong"), came.text, change, left.text, bar))
    heads = columns(
        ("Step and reason", "Rows in", "Removed", "Rows out", "Kept"),
        numbers=("Rows in", "Removed", "Rows out"),
        pictures=("Kept",),
    )
    return Table("One row per step, in order", heads, tuple(lines))


def arms_section(evaluation: Mapping[str, Any]) -> Section:
    """Return how many decisions, patients and events each modality has, and whether it is ranked."""
    arms = mappings_in(mapping_in(evaluation.get("cohort")).get("modalities"))
    question = "How much experience is there with each modality, and is it enough to rank it?"
    if not arms:
        return Section("arms", "Modalities", question)
    names = _outcome_names(arms, "events")
    sizes = masked_counts(
        [[count_in(arm.get(key)) for key in ("decisions", "patients")] for arm in arms], adds_up="columns"
    )
    events = [[_shown_events(arm, name) for name in names] for arm in arms]
    lines = []
    for arm, size, counts in zip(arms, sizes, events, strict=True):
        ranked = bool(arm.get("ranked"))
        badge = STATUS_BADGES["ranked"] if ranked else Badge("plain", "–", "not ranked", "Listed, never scored.")
        why = "" if ranked else reason_words(text_in(arm.get("reason")))
        label = text_in(arm.get("label")) or plain_name(text_in(arm.get("modality")))
        lines.append(
            row(
                Cell(label, tone="strong"),
                size[0].text,
                size[1].text,
                *(c.text for c in counts),
                Cell(why, badge=badge),
            )
        )
    event_heads = [f"{outcome_label(name)}: events" for name in names]
    heads = columns(
        ("Modality", "Decisions", "Patients", *event_heads, "Ranked here"),
        numbers=("Decisions", "Patients", *event_heads),
    )
    blocks: list[Block] = [Table("One row per modality", heads, tuple(lines))]
    if any(mapping_in(arm.get("censored_before_horizon")) for arm in arms):
        blocks.append(_censoring_table(arms))
    return Section("arms", "Modalities", question, tuple(blocks))


def _shown_events(arm: Mapping[str, Any], outcome: str) -> ShownCount:
    return masked_part(count_in(mapping_in(arm.get("events")).get(outcome)), count_in(arm.get("decisions")))


def _outcome_names(arms: list[Mapping[str, Any]], key: str) -> list[str]:
    return list(dict.fromkeys(text_in(name) for arm in arms for name in mapping_in(arm.get(key))))


def _censoring_table(arms: list[Mapping[str, Any]]) -> Table:
    names = _outcome_names(arms, "censored_before_horizon")
    lines = []
    for arm in arms:
        cells = []
        for name in names:
            share = number_in(mapping_in(arm.get("censored_before_horizon")).get(name))
            told, drawn = masked_share(share, count_in(arm.get("decisions")))
            cells.append(Cell(told, tone=heat(drawn)))
        lines.append(
            row(Cell(text_in(arm.get("label")) or plain_name(text_in(arm.get("modality"))), tone="strong"), *cells)
        )
    labels = [outcome_label(name) for name in names]
    caption = "Share of decisions whose follow-up ended before the horizon; over half means: not ranked"
    return Table(caption, columns(("Modality", *labels), numbers=labels), tuple(lines))


def missingness_section(evaluation: Mapping[str, Any]) -> Section:
    """Return which features are missing how often, overall and by the modality that was given."""
    features = mappings_in(evaluation.get("missingness"))
    question = (
        "Which facts were unknown at the decision? A fact that is missing far more often in one modality "
        "hints at how patients were chosen for it."
    )
    if not features:
        return Section("missingness", "Missing facts", question)
    ordered = sorted(features, key=lambda entry: -(number_in(entry.get("overall")) or 0.0))
    gaps = [entry for entry in ordered if _any_missing(entry)]
    names = list(dict.fromkeys(text_in(name) for entry in ordered for name in mapping_in(entry.get("by_modality"))))
    blocks: list[Block] = [Words(f"{len(ordered) - len(gaps)} of {len(ordered)} features are never missing.")]
    if gaps:
        caption = "Share of decisions in which a feature was unknown"
        blocks.append(_missing_table(evaluation, gaps[:_MOST_FEATURES], names, f"{caption}, most often missing first"))
    if len(gaps) > _MOST_FEATURES:
        rest = len(gaps) - _MOST_FEATURES
        blocks.append(Words(f"{rest} further features are missing less often; all are in evaluation.json.", "note"))
    return Section("missingness", "Missing facts", question, tuple(blocks))


def _any_missing(entry: Mapping[str, Any]) -> bool:
    shares = [number_in(entry.get("overall")), *map(number_in, mapping_in(entry.get("by_modality")).values())]
    return any(share is not None and share > 0 for share in shares)


def _missing_table(
    evaluation: Mapping[str, Any], features: list[Mapping[str, Any]], names: list[str], caption: str
) -> Table:
    total = count_in(mapping_in(evaluation.get("cohort")).get("decisions"))
    lines = []
    for entry in features:
        cells = []
        told, drawn = masked_share(number_in(entry.get("overall")), total)
        cells.append(Cell(told, tone=heat(drawn)))
        for name in names:
            share = number_in(mapping_in(entry.get("by_modality")).get(name))
            told, drawn = masked_share(share, decisions_of(evaluation, name))
            cells.append(Cell(told, tone=heat(drawn)))
        meaning, feature = text_in(entry.get("meaning")), text_in(entry.get("feature"))
        lines.append(row(Cell(meaning or plain_name(feature), feature if meaning else ""), *cells))
    labels = [modality_label(evaluation, name) for name in names]
    heads = (Column("Feature"), Column("All", "number"), *(Column(label, "number") for label in labels))
    return Table(caption, heads, tuple(lines))


def overlap_section(evaluation: Mapping[str, Any]) -> Section:
    """Return how far each modality could plausibly have been given to everybody."""
    overlap = mapping_in(evaluation.get("overlap"))
    question = (
        "Could the same patient plausibly have been given each modality? Where nobody similar was given one, "
        "no method can say how it would have gone."
    )
    blocks: list[Block] = []
    if text_in(overlap.get("words")):
        blocks.append(Words(text_in(overlap.get("words")), "note"))
    arms = mappings_in(overlap.get("arms"))
    if arms:
        blocks.append(_overlap_table(evaluation, arms))
    figure = _overlap_figure(evaluation, overlap)
    if figure is not None:
        blocks.append(figure)
    return Section("overlap", "Overlap between modalities", question, tuple(blocks))


def _overlap_table(evaluation: Mapping[str, Any], arms: list[Mapping[str, Any]]) -> Table:
    lines = []
    for arm in arms:
        quantiles = [number_in(value) for value in list_in(arm.get("quantiles"))]
        complete = len(quantiles) == 5 and None not in quantiles
        told = (
            f"median {decimal(quantiles[2])}, 5th to 95th {span(quantiles[0], quantiles[4])}"
            if complete
            else "not estimated"
        )
        effective, weight = number_in(arm.get("effective_sample_size")), number_in(arm.get("largest_weight_share"))
        lines.append(
            row(
                Cell(modality_label(evaluation, text_in(arm.get("modality"))), tone="strong"),
                shown_cases(evaluation, text_in(arm.get("modality")), arm.get("n")).text,
                Cell(told, picture=spread_strip(f"Chance of being given it: {told}", quantiles)),
                decimal(effective, 0) if effective is None or effective >= 11 else "<11",
                percent(weight),
                _clipped(arm.get("clipped"), count_in(arm.get("n"))),
            )
        )
    labels = ("Modality", "Given to", "Chance of being given it", "Effective sample", "Largest weight", "Clipped")
    heads = columns(
        labels, numbers=("Given to", "Effective sample", "Largest weight", "Clipped"), pictures=(labels[2],)
    )
    return Table("One row per modality", heads, tuple(lines))


def _clipped(value: Any, total: int | None) -> str:
    """Return how many propensities were clipped, given as a count or as a share below 1."""
    found = number_in(value)
    if found is not None and 0 < found < 1:
        return masked_share(found, total)[0]
    return masked_line([count_in(value)])[0].text


def _overlap_figure(evaluation: Mapping[str, Any], overlap: Mapping[str, Any]) -> Figure | None:
    edges = [value for value in map(number_in, list_in(overlap.get("edges"))) if value is not None]
    bins = len(edges) - 1
    shown: dict[str, tuple[ShownCount, ...]] = {}
    for name, counts in mapping_in(overlap.get("histogram")).items():
        line = [count_in(count) for count in list_in(counts)]
        if bins > 0 and len(line) == bins:
            shown[text_in(name)] = masked_line(line, adds_up=True)
    if not shown:
        return None
    labels = [modality_label(evaluation, name) for name in shown]
    panels = tuple(
        Panel(label, histogram(f"Estimated chance of being given {label}, over all decisions", cells, edges))
        for label, cells in zip(labels, shown.values(), strict=True)
    )
    lines = tuple(
        row(span(edges[place], edges[place + 1]), *(cells[place].text for cells in shown.values()))
        for place in range(bins)
    )
    twin = Table("Decisions per range of the estimated chance", columns(("Chance", *labels), numbers=labels), lines)
    reading = (
        "Across: the estimated chance of being given this modality; up: how many decisions. Bars near 0 are patients "
        "who would hardly ever be given it. Hatched stubs are counts that may not be shown."
    )
    return Figure("Estimated chance of being given each modality", reading, panels, twin)


def statuses_section(evaluation: Mapping[str, Any]) -> Section:
    """Return how often each modality was ranked, tied or left without a rank, and why."""
    entries = mappings_in(evaluation.get("statuses"))
    question = "What would the users see: how often is each modality ranked, tied, or left without a rank?"
    if not entries:
        return Section("statuses", "Statuses", question)
    names = list(dict.fromkeys(text_in(entry.get("modality")) for entry in entries))
    found = list(dict.fromkeys(text_in(entry.get("status")) for entry in entries))
    statuses = [name for name in STATUS_BADGES if name in found] + [n for n in found if n not in STATUS_BADGES]
    counts = {(text_in(e.get("modality")), text_in(e.get("status"))): count_in(e.get("count")) for e in entries}
    table = [[counts.get((name, status), 0) for status in statuses] for name in names]
    shown = masked_counts(table, adds_up="both")
    lines = []
    for name, known, cells in zip(names, table, shown, strict=True):
        total = sum(count or 0 for count in known) or 1
        told = [Cell(cell.text, tone=heat(None if cell.count is None else cell.count / total)) for cell in cells]
        lines.append(row(Cell(modality_label(evaluation, name), tone="strong"), *told))
    labels = [status_badge(status).word for status in statuses]
    meanings = "; ".join(f"{status_badge(s).word}: {status_badge(s).meaning.rstrip('.').lower()}" for s in statuses)
    caption = "Decisions per modality and status; the shade is the share of the row"
    return Section(
        "statuses",
        "Statuses",
        question,
        (Table(caption, columns(("Modality", *labels), numbers=labels), tuple(lines)), Words(meanings + ".", "small")),
    )
