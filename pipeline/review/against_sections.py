"""What does the review page say about what changed against the champion?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.review.blocks import Block, Cell, Section, Table, Words, columns, row
from pipeline.review.cohort_sections import modality_label
from pipeline.review.numerals import decimal, listed, signed
from pipeline.review.reading import count_in, list_in, mapping_in, mappings_in, number_in, text_in, texts_in
from pipeline.review.small_cells import ShownCount, masked_line, masked_part
from pipeline.review.wording import DERIVED_ITEMS, check_badge, plain_name

_MOST_KEYS = 40
_MOST_REASONS = 12
_PARTS = (("features", "Features the model reads"), ("modalities", "Modalities it ranks"), ("rules", "Guardrail rules"))


def against_section(evaluation: Mapping[str, Any]) -> Section:
    """Return what is different from the champion: settings, features, rules, cohort, figures, cases that flip."""
    found = mapping_in(evaluation.get("against"))
    question = "What changed against the champion, and for how many people does another modality come first?"
    if not found:
        return Section("against", "Against the champion", question)
    names = tuple(text_in(found.get(key)) for key in ("new", "old"))
    blocks: list[Block] = [
        Words(f"This model: {names[0]}. Champion: {names[1]}. " + " ".join(texts_in(found.get("words"))))
    ]
    blocks = _flips(evaluation, mapping_in(found.get("flips"))) + blocks
    metrics = mappings_in(found.get("metrics"))
    if metrics:
        blocks.append(_metrics_table(metrics))
    blocks += [*_checks(mappings_in(found.get("checks"))), *_cohort(evaluation, mapping_in(found.get("cohort")))]
    blocks += _changes(found)
    return Section("against", "Against the champion", question, tuple(blocks))


def _flips(evaluation: Mapping[str, Any], found: Mapping[str, Any]) -> list[Block]:
    if not found:
        told = "No case was compared: name records with --records to see for whom the first place flips."
        return [Words(told, "note")]
    if text_in(found.get("words")):
        return [Words(text_in(found.get("words")), "note")]
    whole = count_in(found.get("decisions"))
    flipped = masked_part(count_in(found.get("flipped")), whole).text
    clear = count_in(found.get("clear_both"))
    firm = masked_part(count_in(found.get("clear_flipped")), clear).text
    scored = masked_line([whole, clear])
    blocks: list[Block] = [
        Words(
            f"Of {scored[0].text} decisions scored by both, {flipped} have another modality in the first place; of the "
            f"{scored[1].text} whose first place is clear by both, {firm}.",
            "note",
        )
    ]
    alone = masked_line([count_in(found.get(key)) for key in ("only_old", "only_new")])
    if any(cell.text not in ("0", "not recorded") for cell in alone):
        told = f"In the champion's cohort only: {alone[0].text}; in this model's only: {alone[1].text} (not compared)."
        blocks.append(Words(told, "small"))
    blocks += [*_matrix(evaluation, found), *_reasons(mappings_in(found.get("reasons")))]
    blocks.append(Words("The cases themselves are in flips.csv, beside this page and not part of it.", "small"))
    return blocks


def _place(evaluation: Mapping[str, Any], name: str) -> str:
    return "No modality has a rank" if name == "none" else modality_label(evaluation, name)


def _matrix(evaluation: Mapping[str, Any], found: Mapping[str, Any]) -> list[Block]:
    places = texts_in(found.get("places"))
    counts = [[count_in(value) for value in list_in(line)] for line in list_in(found.get("matrix"))]
    if not places or [len(line) for line in counts] != [len(places)] * len(places):
        return []
    shown = _masked(counts)
    kept = [k for k in range(len(places)) if any(counts[k]) or any(line[k] for line in counts)]
    labels = [f"now {_place(evaluation, places[k])}" for k in kept]
    lines = tuple(
        row(Cell(_place(evaluation, places[k]), "first by the champion", "strong"), *_line(shown[k], kept, k))
        for k in kept
    )
    table = Table(
        "Decisions by first place: champion down, this model across", columns(("", *labels), numbers=labels), lines
    )
    return [table]


def _masked(counts: list[list[int | None]]) -> list[list[ShownCount]]:
    """Return the table as it may be shown: those who flip add up to a number on the page, and so do the others."""
    size = range(len(counts))
    off = [(i, j) for i in size for j in size if i != j]
    flipped = dict(zip(off, masked_line([counts[i][j] for i, j in off], adds_up=True), strict=True))
    stayed = masked_line([counts[k][k] for k in size], adds_up=True)
    return [[stayed[i] if i == j else flipped[i, j] for j in size] for i in size]


def _line(cells: Sequence[ShownCount], kept: Sequence[int], own: int) -> list[Cell]:
    return [Cell(cells[k].text, tone="muted" if k == own else "strong" if cells[k].text != "0" else "") for k in kept]


def _reasons(reasons: Sequence[Mapping[str, Any]]) -> list[Block]:
    if not reasons:
        return []
    shown = masked_line([count_in(entry.get("count")) for entry in reasons], adds_up=True)
    lines = tuple(
        row(_reason(text_in(entry.get("reason"))), cell.text) for entry, cell in zip(reasons, shown, strict=True)
    )[:_MOST_REASONS]
    heads = columns(("What moved most towards the new first place", "Decisions"), numbers=("Decisions",))
    return [Table("Top reason of the difference, decisions that flip", heads, lines)]


def _reason(name: str) -> str:
    known = {"interval": "Only the interval changed", "status": "Nothing had, or has, a rank"}
    return known.get(name) or DERIVED_ITEMS.get(name) or plain_name(name)


def _metrics_table(metrics: Sequence[Mapping[str, Any]]) -> Table:
    lines = []
    for entry in metrics:
        old, new, error = (number_in(entry.get(key)) for key in ("old", "new", "se"))
        change = None if old is None or new is None else new - old
        told = _told(change, error)
        lines.append(
            row(
                Cell(text_in(entry.get("label")), tone="strong"),
                decimal(old, 3),
                decimal(new, 3),
                "–" if change is None else signed(change, 3),
                told,
            )
        )
    labels = ("Champion", "This model", "Change")
    return Table(
        "Figures side by side", columns(("Figure", *labels, "In words"), numbers=labels), tuple(lines), stacked=True
    )


def _told(change: float | None, error: float | None) -> str:
    if change is None:
        return "one of the two has no such figure"
    if change == 0:
        return "the same"
    if error is None or error <= 0:
        return "no standard error"
    for reach, words in ((1, "within one standard error"), (2, "within two standard errors")):
        if abs(change) / error <= reach:
            return words
    return "beyond two standard errors"


def _checks(checks: Sequence[Mapping[str, Any]]) -> list[Block]:
    if not checks:
        return []
    lines = tuple(
        row(
            Cell(text_in(entry.get("title")), text_in(entry.get("code")), "strong"),
            Cell(badge=check_badge(text_in(entry.get("old")))),
            Cell(badge=check_badge(text_in(entry.get("new")))),
        )
        for entry in checks
    )
    return [Table("Checks with another result", columns(("Check", "Champion", "This model")), lines)]


def _cohort(evaluation: Mapping[str, Any], found: Mapping[str, Any]) -> list[Block]:
    if not found:
        return []
    sides = [mapping_in(found.get(key)) for key in ("old", "new")]
    counts = [mapping_in(side.get("modalities")) for side in sides]
    names = list(dict.fromkeys([*counts[0], *counts[1]]))
    shown = [masked_line([count_in(side.get(name)) for name in names], adds_up=True) for side in counts]
    totals = [masked_line([count_in(side.get(key)) for key in ("decisions", "patients")]) for side in sides]
    lines = [row(label, totals[0][k].text, totals[1][k].text) for k, label in enumerate(("Decisions", "Patients"))]
    lines += [row(modality_label(evaluation, name), *(side[k].text for side in shown)) for k, name in enumerate(names)]
    same = "the same records" if found.get("same_records") else "other records"
    labels = ("Champion", "This model")
    heads = columns(("Cohort", *labels), numbers=labels)
    return [Table(f"Who they learned from: {same}", heads, tuple(lines))]


def _changes(found: Mapping[str, Any]) -> list[Block]:
    blocks: list[Block] = []
    settings = mappings_in(found.get("settings"))
    lines = tuple(
        row(Cell(text_in(entry.get("key")), tone="code"), text_in(entry.get("old")), text_in(entry.get("new")))
        for entry in settings[:_MOST_KEYS]
    )
    if lines:
        blocks.append(
            Table("Settings that differ", columns(("Setting", "Champion", "This model")), lines, stacked=True)
        )
    if len(settings) > _MOST_KEYS:
        blocks.append(Words(f"{len(settings) - _MOST_KEYS} further settings differ.", "small"))
    rows = [_names(label, mapping_in(found.get(key))) for key, label in (*_PARTS, ("files", "Other files"))]
    heads = columns(("What", "Only in this model", "Only in the champion", "Not the same in both"))
    blocks.append(Table("What was added, removed and changed", heads, tuple(rows), stacked=True))
    return blocks


def _names(label: str, found: Mapping[str, Any]) -> tuple[Cell, ...]:
    told = [listed(texts_in(found.get(key))) or "–" for key in ("added", "removed", "changed")]
    digests = [text_in(found.get(key)) for key in ("old", "new")]
    detail = f"digest {digests[1]}, was {digests[0]}" if all(digests) and digests[0] != digests[1] else ""
    return row(Cell(label, detail or ("same digest" if all(digests) else ""), "strong"), *told)
