"""What does the review page say about the model: its calibration, its parts, its reasons?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.review.blocks import Block, Cell, Column, Figure, Panel, Section, Table, Words, columns, heat, row
from pipeline.review.charts import CalibrationPoint, bar_plot, calibration_plot
from pipeline.review.cohort_sections import modality_label, shown_cases
from pipeline.review.numerals import decimal, percent, signed, span, with_span
from pipeline.review.reading import count_in, mapping_in, mappings_in, number_in, text_in, texts_in
from pipeline.review.reason_sections import reason_blocks, shap_check_words
from pipeline.review.small_cells import SMALLEST_SHOWN, UNDER, ShownCount, masked_line
from pipeline.review.wording import outcome_label, plain_name

_MOST_REASONS = 20


def calibration_section(evaluation: Mapping[str, Any]) -> Section:
    """Return whether the predicted chances came true, per outcome and modality."""
    entries = mappings_in(evaluation.get("calibration"))
    question = (
        "When the model says 60 of 100, does it happen to about 60 of 100? Slope 1 is right, under 1 is overconfident. "
        "The C-index tells how well patients are put in order: 0.5 is chance, 1 is perfect. Intervals are 90 %."
    )
    if not entries:
        return Section("calibration", "Calibration", question)
    blocks: list[Block] = [*_how_far_off(evaluation, entries), _calibration_table(evaluation, entries)]
    compared = mappings_in(evaluation.get("discrimination"))
    if compared:
        blocks.append(_discrimination_table(compared))
    for outcome in dict.fromkeys(text_in(entry.get("outcome")) for entry in entries):
        figure = _calibration_figure(evaluation, outcome, [e for e in entries if text_in(e.get("outcome")) == outcome])
        if figure is not None:
            blocks.append(figure)
    return Section("calibration", "Calibration", question, tuple(blocks))


def _how_far_off(evaluation: Mapping[str, Any], entries: list[Mapping[str, Any]]) -> list[Block]:
    """Return how many intervals hold what is right, and where the prediction is furthest off."""
    large = [e for e in entries if number_in(e.get("in_the_large")) is not None]
    if not large:
        return []
    kept = sum(_holds(e, "in_the_large", 0.0) for e in large)
    slopes = [e for e in entries if number_in(e.get("slope")) is not None]
    right = sum(_holds(e, "slope", 1.0) for e in slopes)
    worst = max(large, key=lambda e: abs(number_in(e.get("in_the_large")) or 0.0))
    names = outcome_label(text_in(worst.get("outcome"))), modality_label(evaluation, text_in(worst.get("modality")))
    told = (
        f"On average the prediction is right within its interval for {kept} of {len(large)} pairs of outcome and "
        f"modality, furthest off for {names[0]}, {names[1]} ({signed(number_in(worst.get('in_the_large')), 3)}). The "
        f"interval of the slope holds 1 for {right} of {len(slopes)}. Of twenty 90 % intervals two miss by chance."
    )
    return [Words(told, "note")]


def _holds(entry: Mapping[str, Any], key: str, wanted: float) -> bool:
    low, high = number_in(entry.get(f"{key}_low")), number_in(entry.get(f"{key}_high"))
    return low is not None and high is not None and low <= wanted <= high


def _calibration_table(evaluation: Mapping[str, Any], entries: list[Mapping[str, Any]]) -> Table:
    lines = []
    for entry in entries:
        slope = with_span(*(number_in(entry.get(key)) for key in ("slope", "slope_low", "slope_high")))
        c_index = with_span(*(number_in(entry.get(key)) for key in ("c_index", "c_index_low", "c_index_high")))
        lines.append(
            row(
                Cell(
                    outcome_label(text_in(entry.get("outcome"))),
                    modality_label(evaluation, text_in(entry.get("modality"))),
                ),
                shown_cases(evaluation, text_in(entry.get("modality")), entry.get("n")).text,
                _off_by(entry),
                slope,
                c_index,
                decimal(number_in(entry.get("brier")), 3),
            )
        )
    labels = ("Decisions", "Observed less predicted", "Slope (interval)", "C-index (interval)", "Brier")
    heads = columns(("Outcome, modality", *labels), numbers=labels)
    judged = text_in(evaluation.get("judged_on")) or "out of fold"
    return Table(f"One row per outcome and modality, {judged}", heads, tuple(lines), stacked=True)


def _off_by(entry: Mapping[str, Any]) -> str:
    value, low, high = (number_in(entry.get(f"in_the_large{end}")) for end in ("", "_low", "_high"))
    if value is None or low is None or high is None:
        return decimal(value)
    return f"{signed(value, 3)} ({span(low, high, 3)})"


def _discrimination_table(compared: list[Mapping[str, Any]]) -> Table:
    """Return the C-index of all modalities together, beside that of the baseline facts alone."""
    lines = []
    for entry in compared:
        own, simple = (
            with_span(*(number_in(entry.get(f"{name}{end}")) for end in ("", "_low", "_high")))
            for name in ("model", "baseline")
        )
        facts = " and ".join(plain_name(name) for name in texts_in(entry.get("baseline_features")))
        lines.append(
            row(Cell(outcome_label(text_in(entry.get("outcome"))), facts and f"baseline: {facts}"), own, simple)
        )
    labels = ["C-index of the model", "C-index of the baseline"]
    caption = "One row per outcome, all modalities together, out of fold"
    return Table(caption, columns(("Outcome", *labels), numbers=labels), tuple(lines))


def _calibration_figure(evaluation: Mapping[str, Any], outcome: str, entries: list[Mapping[str, Any]]) -> Figure | None:
    reach = _reach(entries)
    panels: list[Panel] = []
    lines: list[tuple[Cell, ...]] = []
    for entry in entries:
        bins = mappings_in(entry.get("bins"))
        modality = text_in(entry.get("modality"))
        label = modality_label(evaluation, modality)
        counts = _bin_counts(evaluation, modality, [count_in(group.get("n")) for group in bins])
        points = [_point(group) for group, count in zip(bins, counts, strict=True) if count.text != UNDER]
        title = f"{outcome_label(outcome)}, {label}: observed against predicted"
        panels.append(Panel(label, calibration_plot(title, [point for point in points if point is not None], reach)))
        lines.extend(_bin_row(label, group, count) for group, count in zip(bins, counts, strict=True))
    if not lines:
        return None
    labels = ("Predicted", "Observed (interval)", "Decisions")
    heads = columns(("Modality", *labels), numbers=labels)
    twin = Table("One row per group of similar predictions", heads, tuple(lines))
    reading = "Across: predicted; up: observed, with interval. On the dashed line the prediction came true."
    return Figure(f"{outcome_label(outcome)}: predicted and observed", reading, tuple(panels), twin, squares=True)


def _bin_counts(evaluation: Mapping[str, Any], modality: str, counts: list[int | None]) -> tuple[ShownCount, ...]:
    if shown_cases(evaluation, modality, SMALLEST_SHOWN).count is None:
        return tuple(shown_cases(evaluation, modality, count) for count in counts)
    return masked_line(counts, adds_up=True)


def _reach(entries: list[Mapping[str, Any]]) -> float:
    keys = ("predicted", "observed", "high")
    bins = [group for entry in entries for group in mappings_in(entry.get("bins"))]
    most = max((number_in(group.get(key)) or 0.0 for group in bins for key in keys), default=1.0)
    return next((edge for edge in (0.1, 0.2, 0.3, 0.5) if most <= edge), 1.0)


def _point(group: Mapping[str, Any]) -> CalibrationPoint | None:
    predicted, observed = number_in(group.get("predicted")), number_in(group.get("observed"))
    if predicted is None or observed is None:
        return None
    return CalibrationPoint(predicted, observed, number_in(group.get("low")), number_in(group.get("high")))


def _bin_row(label: str, group: Mapping[str, Any], count: ShownCount) -> tuple[Cell, ...]:
    told = with_span(*(number_in(group.get(key)) for key in ("observed", "low", "high")))
    return row(
        label, decimal(number_in(group.get("predicted"))), "not shown" if count.text == UNDER else told, count.text
    )


def learner_section(evaluation: Mapping[str, Any]) -> Section:
    """Return how the model is put together and how true its fast copy is."""
    learner = mapping_in(evaluation.get("learner"))
    question = "Which learners does the model listen to, how far does it trust differences between patients?"
    blocks: list[Block] = []
    if text_in(learner.get("words")):
        blocks.append(Words(text_in(learner.get("words")), "note"))
    shrinkage, error = number_in(learner.get("shrinkage")), number_in(learner.get("shrinkage_se"))
    if shrinkage is not None:
        told = f" (standard error {decimal(error)})" if error is not None else ""
        blocks.append(
            Words(
                f"Shrinkage: {decimal(shrinkage)}{told}. 1 trusts the individual differences fully; "
                "0 gives everybody the average of their modality."
            )
        )
    weights = [(text_in(name), number_in(weight)) for name, weight in mapping_in(learner.get("weights")).items()]
    if weights:
        lines = tuple(row(Cell(plain_name(name), tone="strong"), decimal(weight)) for name, weight in weights)
        blocks.append(
            Table("Weight of each learner in the stack", columns(("Learner", "Weight"), numbers=("Weight",)), lines)
        )
    blocks.extend(_student_blocks(evaluation, mapping_in(learner.get("student"))))
    return Section("learner", "Learner", question, tuple(blocks))


def _student_blocks(evaluation: Mapping[str, Any], student: Mapping[str, Any]) -> list[Block]:
    if not student:
        return []
    distance, width = number_in(student.get("rms_distance")), number_in(student.get("median_half_width"))
    agreement = number_in(student.get("top_choice_agreement"))
    rows = masked_line([count_in(student.get("rows"))])[0].text
    passed = "passed its gate" if student.get("passed") else "did not pass its gate"
    told = (
        f"The small model that scores and explains {passed}: on {rows} rows its typical distance to the committee is "
        f"{decimal(distance, 3)} (median interval half-width {decimal(width, 3)}), and it names the same first choice "
        f"in {percent(agreement)}."
    )
    blocks: list[Block] = [Words(told)]
    fidelity = mappings_in(student.get("fidelity"))
    if fidelity:
        blocks.append(_fidelity_table(evaluation, fidelity))
    return blocks


def _fidelity_table(evaluation: Mapping[str, Any], fidelity: list[Mapping[str, Any]]) -> Table:
    lines = []
    for entry in fidelity:
        same, level, contrast = (number_in(entry.get(key)) for key in ("same_best", "r2_level", "r2_contrast"))
        name = modality_label(evaluation, text_in(entry.get("modality")))
        lines.append(
            row(
                Cell(outcome_label(text_in(entry.get("outcome"))), name, "strong"),
                decimal(number_in(entry.get("rms")), 3),
                decimal(number_in(entry.get("largest")), 3),
                "–" if same is None else percent(same),
                "constant" if level is None else decimal(level),
                "constant" if contrast is None else decimal(contrast),
            )
        )
    labels = ("Typical distance (RMS)", "Largest distance", "Same best modality", "R² of level", "R² of contrast")
    caption = (
        "How far the small model is from the committee, per outcome and modality; same best: where the committee puts "
        "this modality first by this outcome alone"
    )
    return Table(caption, columns(("Outcome, modality", *labels), numbers=labels), tuple(lines), stacked=True)


def intervals_section(evaluation: Mapping[str, Any]) -> Section:
    """Return how wide the intervals are and whether they hold what they promise."""
    intervals = mapping_in(evaluation.get("intervals"))
    question = "Do the intervals hold the truth as often as they say?"
    blocks: list[Block] = []
    if text_in(intervals.get("words")):
        blocks.append(Words(text_in(intervals.get("words")), "note"))
    level, scale = number_in(intervals.get("level")), number_in(intervals.get("scale"))
    coverage = number_in(intervals.get("true_coverage"))
    lines = []
    if level is not None:
        lines.append(row("Promised coverage", percent(level)))
    if scale is not None:
        lines.append(row("Widening by calibration", f"× {decimal(scale)}"))
    if lines:
        told = "known only on simulated data" if coverage is None else percent(coverage)
        lines.append(row("Coverage of the simulated truth", told))
        blocks.append(Table("Intervals", columns(("Quantity", "Value"), numbers=("Value",)), tuple(lines)))
    return Section("intervals", "Intervals", question, tuple(blocks))


def shap_section(evaluation: Mapping[str, Any]) -> Section:
    """Return which features move the suitability, and which move the order."""
    features = mappings_in(evaluation.get("global_shap"))
    question = (
        "Which facts move the predictions? The level moves all modalities alike; the contrast between modalities is "
        "what changes the order. A contribution is how the model uses a fact, not what the fact causes."
    )
    if not features:
        return Section("shap", "What the model looks at", question)
    ordered = sorted(features, key=lambda entry: -(number_in(entry.get("mean_abs")) or 0.0))[:_MOST_REASONS]
    keys = ("level", "contrast")
    rows = [
        (_feature_label(entry), (number_in(entry.get("mean_abs")), number_in(entry.get("contrast_mean_abs"))))
        for entry in ordered
    ]
    picture = bar_plot("Mean absolute contribution of each feature, level and contrast", rows, keys=keys)
    reading = "Solid bar: mean absolute contribution to the level; hatched bar: to the contrast between modalities."
    figure = Figure("Mean absolute contribution", reading, (Panel("", picture),), _shap_table(evaluation, ordered))
    blocks: list[Block] = [figure]
    if len(features) > len(ordered):
        blocks.append(Words(f"{len(features) - len(ordered)} further features matter less.", "small"))
    blocks = [*shap_check_words(evaluation), *blocks, *reason_blocks(evaluation)]
    return Section("shap", "What the model looks at", question, tuple(blocks))


def _feature_label(entry: Mapping[str, Any]) -> str:
    return text_in(entry.get("meaning")) or plain_name(text_in(entry.get("feature")))


def _shap_table(evaluation: Mapping[str, Any], features: list[Mapping[str, Any]]) -> Table:
    names = list(dict.fromkeys(text_in(name) for entry in features for name in mapping_in(entry.get("by_modality"))))
    values = [number_in(value) for entry in features for value in mapping_in(entry.get("by_modality")).values()]
    most = max((value for value in values if value is not None), default=0.0) or 1.0
    lines = []
    for entry in features:
        per_arm = [number_in(mapping_in(entry.get("by_modality")).get(name)) for name in names]
        told = [Cell(decimal(value, 3), tone=heat(None if value is None else value / most * 0.8)) for value in per_arm]
        lines.append(
            row(
                Cell(_feature_label(entry), text_in(entry.get("feature"))),
                decimal(number_in(entry.get("mean_abs")), 3),
                decimal(number_in(entry.get("contrast_mean_abs")), 3),
                _direction(number_in(entry.get("direction"))),
                *told,
            )
        )
    labels = [modality_label(evaluation, name) for name in names]
    heads = (Column("Feature"), Column("Level", "number"), Column("Contrast", "number"), Column("Higher value means"))
    caption = "Mean absolute contribution to suitability, largest first"
    return Table(caption, (*heads, *(Column(label, "number") for label in labels)), tuple(lines))


def _direction(correlation: float | None) -> str:
    if correlation is None:
        return "no single direction"
    if abs(correlation) < 0.2:
        return f"mixed ({signed(correlation)})"
    return f"{'higher' if correlation > 0 else 'lower'} suitability ({signed(correlation)})"


def published_section(evaluation: Mapping[str, Any]) -> Section:
    """Return how the simulated institution compares with published trials and registries."""
    entries = mappings_in(evaluation.get("published"))
    question = "Simulated institution only: do its rates look like the published ones?"
    lines = tuple(
        row(
            Cell(text_in(e.get("quantity")), modality_label(evaluation, text_in(e.get("modality"))), "strong"),
            _rate(e.get("simulated")),
            _rate(e.get("published")),
            text_in(e.get("source")),
        )
        for e in entries
    )
    labels = ("Simulated", "Published")
    heads = columns(("Quantity", *labels, "Source"), numbers=labels)
    table = Table("One row per published figure", heads, lines, stacked=True)
    return Section("published", "Simulated against published", question, (table,) if lines else ())


def _rate(value: Any) -> str:
    found = number_in(value)
    return (text_in(value) or "not given") if found is None else decimal(found, 2 if abs(found) < 10 else 1)
