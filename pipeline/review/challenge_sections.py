"""What does the review page say about the tests that the model could have failed?

Later decisions, quantities that no modality can have changed, reasons that nobody recorded, people lost early.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.review.blocks import Block, Cell, Section, Table, Words, columns, row
from pipeline.review.cohort_sections import modality_label
from pipeline.review.numerals import NOT_ESTIMATED, decimal, percent, signed, span, with_span
from pipeline.review.reading import count_in, mapping_in, mappings_in, number_in, text_in
from pipeline.review.small_cells import masked_line
from pipeline.review.wording import outcome_label


def _note(found: Mapping[str, Any]) -> list[Block]:
    return [Words(text_in(found.get("words")), "note")] if text_in(found.get("words")) else []


def temporal_section(evaluation: Mapping[str, Any]) -> Section:
    """Return how a model made of earlier decisions would have chosen for later ones."""
    found = mapping_in(evaluation.get("temporal"))
    question = (
        "Would a model that knew only the earlier decisions, as they were followed up then, have chosen well for those "
        "that came later?"
    )
    blocks = _note(found)
    policies = mappings_in(found.get("policies"))
    if policies:
        blocks += [_sizes(found), _policy_table(policies)]
    calibration = mapping_in(found.get("calibration"))
    if calibration:
        blocks.append(_calibration_table(calibration))
    return Section("temporal", "Later decisions", question, tuple(blocks))


def _sizes(found: Mapping[str, Any]) -> Words:
    counts = masked_line([count_in(found.get(key)) for key in ("trained_on", "held_out", "left_out")])
    trained, held, left = (cell.text for cell in counts)
    return Words(
        f"Learned from {trained} decisions up to {text_in(found.get('cut'))}, judged on {held} later ones, of which "
        f"{percent(number_in(found.get('followed_up')))} have a known outcome at the horizon. {left} earlier decisions "
        "of patients who were decided for again later are in neither."
    )


def _policy_table(policies: list[Mapping[str, Any]]) -> Table:
    lines = []
    for entry in policies:
        value, low, high = (number_in(entry.get(key)) for key in ("value", "low", "high"))
        difference, error = number_in(entry.get("difference")), number_in(entry.get("difference_se"))
        told = "–" if difference is None else f"{signed(difference, 3)} (SE {decimal(error, 3)})"
        told = "–" if text_in(entry.get("policy")) == "clinicians" else told
        weighted = number_in(entry.get("snipw"))
        name = Cell(text_in(entry.get("label")), text_in(entry.get("vetoed")), "strong")
        lines.append(row(name, with_span(value, low, high, digits=3), told, decimal(weighted, 3)))
    labels = ("Value (interval)", "Against clinicians", "By weighting alone")
    return Table("One row per policy, later decisions only", columns(("Policy", *labels), numbers=labels), tuple(lines))


def _calibration_table(entry: Mapping[str, Any]) -> Table:
    slope = with_span(*(number_in(entry.get(key)) for key in ("slope", "slope_low", "slope_high")))
    c_index = with_span(*(number_in(entry.get(key)) for key in ("c_index", "c_index_low", "c_index_high")))
    labels = ("Slope (interval)", "Intercept", "C-index (interval)")
    line = row(outcome_label(text_in(entry.get("outcome"))), slope, decimal(number_in(entry.get("intercept"))), c_index)
    caption = "Did the earlier model's chances come true for later decisions?"
    return Table(caption, columns(("Outcome", *labels), numbers=labels), (line,))


def controls_section(evaluation: Mapping[str, Any]) -> Section:
    """Return what is found where nothing can be: before the decision, and in shuffled outcomes."""
    found = mapping_in(evaluation.get("negative_control"))
    shuffled = mapping_in(evaluation.get("shuffled"))
    question = (
        "Does the method find something where there is nothing? A quantity fixed before the decision cannot depend on "
        "the modality, and shuffled outcomes hold no individual differences."
    )
    blocks = _note(found)
    pairs = mappings_in(found.get("pairs"))
    if pairs:
        blocks.append(_control_table(evaluation, pairs, text_in(found.get("meaning"))))
    blocks += _note(shuffled)
    return Section("controls", "Where nothing is to be found", question, tuple(blocks))


def _control_table(evaluation: Mapping[str, Any], pairs: list[Mapping[str, Any]], meaning: str) -> Table:
    lines = []
    for pair in pairs:
        first, second = (modality_label(evaluation, text_in(pair.get(key))) for key in ("first", "second"))
        difference, low, high = (number_in(pair.get(key)) for key in ("difference", "low", "high"))
        adjusted = NOT_ESTIMATED if difference is None else f"{signed(difference)} ({span(low, high)})"
        lines.append(row(Cell(first, f"less {second}", "strong"), signed(number_in(pair.get("raw"))), adjusted))
    labels = ("Unadjusted", "Adjusted (95% interval)")
    caption = f"{meaning}: difference between modalities in standard deviations; adjusted, it should be 0"
    return Table(caption, columns(("Pair", *labels), numbers=labels), tuple(lines), stacked=True)


def sensitivity_section(evaluation: Mapping[str, Any]) -> Section:
    """Return how strong an unrecorded reason would have to be to change the first choice."""
    found = mapping_in(evaluation.get("sensitivity"))
    question = (
        "How strong would a reason that nobody recorded have to be to change the first choice? Nothing in the records "
        "can rule one out."
    )
    blocks = _note(found)
    sweep = mappings_in(found.get("sweep"))
    if sweep:
        lines = tuple(
            row(
                Cell(f"{decimal(number_in(entry.get('bias')))} of suitability", tone="strong"),
                percent(number_in(entry.get("survives"))),
            )
            for entry in sweep
        )
        heads = columns(("Unrecorded reason worth", "First choices that stay"), numbers=("First choices that stay",))
        blocks.append(Table("One row per strength, between first and second choice", heads, lines))
    pair = mapping_in(found.get("pair"))
    if pair:
        blocks.append(_pair_table(evaluation, pair))
    return Section("sensitivity", "Unrecorded reasons", question, tuple(blocks))


def lost_early_section(evaluation: Mapping[str, Any]) -> Section:
    """Return how far each comparison moves when the followed stand in for those lost before the horizon."""
    found = mapping_in(evaluation.get("lost_early"))
    question = (
        "What people lost before the horizon would have had is completed by the model. Do the comparisons stay where "
        "those who were followed stand in for them instead?"
    )
    blocks = _note(found)
    lines = []
    for entry in mappings_in(found.get("pairs")):
        first, second = (modality_label(evaluation, text_in(entry.get(key))) for key in ("first", "second"))
        completed, weighted, moved, low, high = (
            number_in(entry.get(key)) for key in ("completed", "weighted", "moved", "low", "high")
        )
        change = with_span(moved, low, high, digits=3)
        lines.append(row(Cell(first, f"less {second}", "strong"), signed(completed, 3), signed(weighted, 3), change))
    if lines:
        labels = ("Lost completed", "Lost stood in for", "Moves by (95%)")
        caption = "One row per pair: average difference in suitability, burden left out"
        blocks.append(Table(caption, columns(("Pair", *labels), numbers=labels), tuple(lines), stacked=True))
    return Section("lost-early", "People lost to follow-up", question, tuple(blocks))


def _pair_table(evaluation: Mapping[str, Any], pair: Mapping[str, Any]) -> Table:
    first, second = (modality_label(evaluation, text_in(pair.get(key))) for key in ("first", "second"))
    ratio = with_span(*(number_in(pair.get(key)) for key in ("risk_ratio", "low", "high")))
    risks = tuple(percent(number_in(pair.get(key))) for key in ("risk_first", "risk_second"))
    values = tuple(decimal(number_in(pair.get(key))) for key in ("e_value", "e_value_limit"))
    labels = ("Lose control: first", "Lose control: second", "Risk ratio (95%)", "E-value", "Of the interval")
    line = row(Cell(first, f"against {second}", "strong"), *risks, ratio, *values)
    caption = "The two modalities that most often share the first two places"
    return Table(caption, columns(("Pair", *labels), numbers=labels), (line,), stacked=True)
