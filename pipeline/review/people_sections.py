"""What does the review page say about who was given what, and about where and when facts were not recorded?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.review.blocks import Block, Cell, Figure, Panel, Section, Table, Words, columns, row
from pipeline.review.charts import HeatCell, heat_map
from pipeline.review.cohort_sections import modality_label
from pipeline.review.numerals import NOT_ESTIMATED, decimal, general, percent
from pipeline.review.reading import count_in, list_in, mapping_in, mappings_in, number_in, text_in, texts_in
from pipeline.review.small_cells import MASKED
from pipeline.review.wording import plain_name

_FAR = 10.0
_CROWDED = 6
_KINDS: Mapping[str, tuple[str, str]] = {
    "site": ("Site", "Missing facts by site"),
    "year": ("Year of decision", "Missing facts by year of decision"),
}
_TOLD = Words(
    "What people were like when the modality was chosen. Shares are of those with a known value (of all where it is "
    "unknown for 1 to 10). A count of 1 to 10 people, or one that would tell such a "
    "count, is masked; medians and quartiles are rounded. Differences are standardised mean differences, the largest "
    "over all pairs of ranked modalities (and over the levels of a category). They describe who was given what; they "
    "say nothing of whether that was right.",
    "small",
)
_MISSING_TOLD = Words(
    "The features that differ most; those missing in nearly the same people are told once. A fact that one site or one "
    "era records and another does not can stand for the site or the era. A difference here is a matter of recording, "
    "seldom of people. Shares are in whole percent; those of 1 to 10 people are bounds.",
    "small",
)


def bounded_share(entry: Any) -> tuple[str, float | None]:
    """Return a share given by its ends as text, and as a number to draw where it is told exactly."""
    low, high = (number_in(mapping_in(entry).get(key)) for key in ("low", "high"))
    if low is None or high is None:
        return MASKED, None
    if low == high:
        return percent(low), low
    return (f"under {percent(high)}" if low == 0 else f"over {percent(low)}"), None


def characteristics_section(evaluation: Mapping[str, Any]) -> Section:
    """Return table 1: characteristics by modality given, with their largest differences."""
    found = mapping_in(evaluation.get("characteristics"))
    title, question = "Characteristics", "Who was given what, and in what did people given different modalities differ?"
    entries = mappings_in(found.get("rows"))
    if not entries:
        return Section("characteristics", title, question)
    names = texts_in(found.get("modalities"))
    lines = [line for entry in entries for line in _characteristic(entry, names)]
    labels = [modality_label(evaluation, name) for name in names]
    difference = "Largest difference, before → after weighting"
    heads = columns(("Characteristic", *labels, difference), numbers=(*labels, difference))
    caption = "Median (quartiles) of numbers; for the rest, people and their share"
    blocks: list[Block] = [Words(text_in(found.get("words")), "note")] if text_in(found.get("words")) else []
    blocks += [Table(caption, heads, tuple(lines)), _TOLD]
    absent = texts_in(found.get("absent"))
    if absent:
        blocks.append(Words(f"Not in these records: {', '.join(plain_name(name) for name in absent)}.", "small"))
    return Section("characteristics", title, question, tuple(blocks))


def _characteristic(entry: Mapping[str, Any], names: tuple[str, ...]) -> list[tuple[Cell, ...]]:
    """Return the row of a characteristic, and one row per level where it has several."""
    apart = Cell(f"{_difference(entry.get('before'))} → {_difference(entry.get('after'))}")
    meaning = text_in(entry.get("meaning")) or plain_name(text_in(entry.get("feature")))
    unit = text_in(entry.get("unit"))
    head = Cell(meaning, "" if unit.lower() in meaning.lower() else unit, "strong")
    missing = [_missing(mapping_in(entry.get("missing")).get(name)) for name in names]
    kind, parts = text_in(entry.get("kind")), mappings_in(entry.get("parts"))
    if kind == "number":
        told = [_quartiles(mapping_in(entry.get("numbers")).get(name)) for name in names]
        return [(head, *(Cell(text, gap) for text, gap in zip(told, missing, strict=True)), apart)]
    if kind == "yes":
        told = [_people(parts[0], name) if parts else NOT_ESTIMATED for name in names]
        return [(head, *(Cell(text, gap) for text, gap in zip(told, missing, strict=True)), apart)]
    levels = [
        (Cell(f"– {plain_name(text_in(part.get('part')))}"), *(Cell(_people(part, n)) for n in names), Cell())
        for part in parts
    ]
    return [(head, *(Cell("", gap) for gap in missing), apart), *levels]


def _difference(value: Any) -> str:
    found = number_in(value)
    return "–" if found is None else f"over {_FAR:.0f}" if found >= _FAR else decimal(found)


def _missing(bounds: Any) -> str:
    text, share = bounded_share(bounds)
    return "" if share == 0 else f"missing: {text}"


def _quartiles(value: Any) -> str:
    ends = [number_in(end) for end in list_in(value)]
    if len(ends) != 3 or None in ends:
        return MASKED
    middle, low, high = (general(end or 0.0) for end in ends)
    return f"{middle} ({low} to {high})"


def _people(part: Mapping[str, Any], name: str) -> str:
    count, share = (mapping_in(part.get(key)).get(name) for key in ("counts", "shares"))
    found = count_in(count)
    if found is None:
        return MASKED
    return f"{found:,}" if number_in(share) is None else f"{found:,} ({percent(number_in(share))})"


def missing_by_section(evaluation: Mapping[str, Any]) -> Section:
    """Return where and when facts were not recorded, as heat maps by site and by year."""
    found = mapping_in(evaluation.get("missing_by"))
    title = "Missing facts by site and time"
    question = "Are facts recorded at one site or in one year and not in another?"
    blocks: list[Block] = []
    for kind, (_, heading) in _KINDS.items():
        table = mapping_in(found.get(kind))
        groups, entries = texts_in(table.get("groups")), mappings_in(table.get("features"))
        if not groups:
            continue
        if text_in(table.get("words")):
            blocks.append(Words(text_in(table.get("words")), "note"))
        if entries:
            blocks.append(_heat_figure(heading, groups, entries))
    blocks = [*blocks, _MISSING_TOLD] if blocks else []
    return Section("missing-by", title, question, tuple(blocks))


def _heat_figure(heading: str, groups: tuple[str, ...], entries: list[Mapping[str, Any]]) -> Figure:
    rows, lines = [], []
    for entry in entries:
        shares = [bounded_share(share) for share in list_in(entry.get("shares"))][: len(groups)]
        shares += [(MASKED, None)] * (len(groups) - len(shares))
        meaning = text_in(entry.get("meaning")) or plain_name(text_in(entry.get("feature")))
        alike = count_in(entry.get("alike")) or 0
        more = f"and {alike} missing alike" if alike else ""
        beyond = "beyond chance" if entry.get("clear") else "within chance"
        rows.append((meaning, [HeatCell(_short(text), share) for text, share in shares]))
        overall = bounded_share(entry.get("overall"))[0]
        lines.append(row(Cell(meaning, more, "strong"), overall, *(text for text, _ in shares), beyond))
    picture = heat_map(f"{heading}: share of decisions without each fact", _heads(groups), rows)
    labels = ("All", *groups)
    twin = Table(
        "One row per feature, most different between groups first",
        columns(("Feature", *labels, "Differs"), numbers=labels),
        tuple(lines),
    )
    reading = "One line per feature, one cell per group: share of decisions in which it was not known; darker is more."
    return Figure(heading, reading, (Panel("", picture),), twin)


def _heads(groups: tuple[str, ...]) -> list[str]:
    """Return names that fit over narrow cells where there are many."""
    if len(groups) <= _CROWDED:
        return list(groups)
    return [f"’{group[2:]}" if group.startswith("20") else group.replace("other sites", "others") for group in groups]


def _short(text: str) -> str:
    return text.replace("under ", "<").replace("over ", ">").replace(MASKED, "·")
