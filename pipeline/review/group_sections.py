"""What does the review page say about groups of people, and about acting on predicted risk?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.review.blocks import Block, Cell, Figure, Panel, Section, Table, Words, columns, heat, row
from pipeline.review.charts import BenefitPoint, Estimate, Scale, benefit_plot, interval_strip, scale_over
from pipeline.review.cohort_sections import modality_label
from pipeline.review.numerals import decimal, percent, signed, span, with_span
from pipeline.review.people_sections import bounded_share
from pipeline.review.reading import count_in, mapping_in, mappings_in, number_in, text_in
from pipeline.review.small_cells import MASKED
from pipeline.review.wording import Badge, outcome_label, plain_name

Entry = Mapping[str, Any]

_TOO_FEW = "too little data"
_OFF = Badge("blocked", "!", "clearly off", "Beyond the margin, with all groups tested at once taken into account.")
_WORSE = Badge("blocked", "!", "clearly worse", "Below 0, with all groups tested at once taken into account.")
_BAD: Mapping[str, str] = {
    "durable_control": "Loss of control",
    "severe_toxicity": "Severe toxicity",
    "early_death": "Early death",
}


def subgroups_section(evaluation: Entry) -> Section:
    """Return value, calibration, order, ties and first choices in each group of people."""
    found = mapping_in(evaluation.get("subgroups"))
    groups = mappings_in(found.get("groups"))
    title, question = "Groups of people", "Does the model serve each group of people, or only people on average?"
    if not groups:
        return Section("subgroups", title, question)
    rows = [mapping_in(found.get("everybody")), *groups]
    blocks: list[Block] = [Words(text_in(found.get("words")), "note")] if text_in(found.get("words")) else []
    blocks += [_estimates(found, rows), _first_choices(evaluation, rows), _how(found)]
    return Section("subgroups", title, question, tuple(blocks))


def _how(found: Entry) -> Words:
    alarm, fewest = number_in(found.get("false_alarm")), count_in(found.get("fewest_people"))
    return Words(
        "Value: what the model's choices would have been worth less what clinicians chose, on the same people. "
        f"Calibration: observed less predicted chance of {outcome_label(text_in(found.get('outcome'))).lower()} under "
        "the modality given; below 0, too much was promised. Intervals are 90 %, clustered by patient, each for "
        "itself: of twenty groups two miss by chance alone. A group is called clearly off or worse only by a test that "
        f"takes all groups into account, with a false alarm in at most {percent(alarm)} of runs. Groups of under "
        f"{fewest} people are not judged. No "
        "value is told where a group's weights rest on too few people. A group that is not flagged is not shown to be "
        "served well: look at how wide its interval is. Race is as recorded, and no input of the model.",
        "small",
    )


def _label(entry: Entry) -> Cell:
    level, subgroup = plain_name(text_in(entry.get("level"))), plain_name(text_in(entry.get("subgroup")))
    return Cell(level.capitalize() if level == subgroup else level, "" if level == subgroup else subgroup, "strong")


def _estimates(found: Entry, rows: Sequence[Entry]) -> Table:
    margin = number_in(found.get("margin")) or 0.0
    scales = [
        scale_over([number_in(e.get(f"{key}{end}")) for e in rows for end in ("", "_low", "_high")], include=include)
        for key, include in (("difference", (0.0,)), ("in_the_large", (-margin, margin)))
    ]
    lines = []
    for entry in rows:
        count = count_in(entry.get("decisions"))
        lines.append(
            row(
                _label(entry),
                MASKED if count is None else f"{count:,}",
                _strip(entry, "difference", scales[0], _WORSE if entry.get("worse") else None),
                _strip(entry, "in_the_large", scales[1], _OFF if entry.get("off") else None),
                _order(entry),
                bounded_share(entry.get("tied"))[0],
                bounded_share(entry.get("abstained"))[0],
            )
        )
    labels = ("Value against clinicians", "Observed less predicted")
    numbers = ("Decisions", "C-index", "First place shared", "Some modality without a rank")
    heads = columns(("Group", "Decisions", *labels, *numbers[1:]), numbers=numbers, pictures=labels)
    caption = "One row per group, out of fold; dashed lines are 0. Ties and missing ranks are of a sample of decisions"
    return Table(caption, heads, tuple(lines), stacked=True)


def _strip(entry: Entry, key: str, scale: Scale, flag: Badge | None) -> Cell:
    value, low, high = (number_in(entry.get(f"{key}{end}")) for end in ("", "_low", "_high"))
    if value is None:
        reason = text_in(entry.get("vetoed")) if key == "difference" else ""
        return Cell("no value" if reason else _absent(entry), reason, "muted")
    told, ends = signed(value, 3), span(low, high, 3)
    drawn = interval_strip(f"{told} ({ends})", Estimate("", told, value, low, high), scale=scale, reference=0.0)
    return Cell(told, ends, picture=drawn, badge=flag)


def _absent(entry: Entry) -> str:
    return decimal(None) if entry.get("judged") else _TOO_FEW


def _order(entry: Entry) -> str:
    ends = [number_in(entry.get(f"c_index{end}")) for end in ("", "_low", "_high")]
    return _absent(entry) if ends[0] is None else with_span(*ends)


def _first_choices(evaluation: Entry, rows: Sequence[Entry]) -> Table:
    names = list(dict.fromkeys(text_in(name) for entry in rows for name in mapping_in(entry.get("first_choice"))))
    lines = []
    for entry in rows:
        shares = [number_in(mapping_in(entry.get("first_choice")).get(name)) for name in names]
        told = (Cell(MASKED if share is None else percent(share), tone=heat(share)) for share in shares)
        lines.append(row(_label(entry), *told))
    labels = [modality_label(evaluation, name) for name in names]
    caption = "What the model puts first among what was possible, share of each group, out of fold"
    return Table(caption, columns(("Group", *labels), numbers=labels), tuple(lines))


def decision_curves_section(evaluation: Entry) -> Section:
    """Return net benefit of acting on predicted risk, beside acting for everybody and for nobody."""
    curves = [curve for curve in mappings_in(evaluation.get("decision_curves")) if mappings_in(curve.get("points"))]
    title = "Acting on predicted risk"
    question = (
        "Does looking again at people whose predicted risk is high do more good than looking again at everybody, or at "
        "nobody?"
    )
    if not curves:
        return Section("decision-curves", title, question)
    told = [f"{_bad(curve)}: {text_in(curve.get('words'))}" for curve in curves if text_in(curve.get("words"))]
    blocks: list[Block] = [Words(text, "note") for text in told]
    blocks += [_curve_figure(curve) for curve in curves]
    return Section("decision-curves", title, question, (*blocks, _ACTING))


_ACTING = Words(
    "Acting means: before a modality is given, the team looks again at people whose predicted risk of the bad outcome "
    "under it is at or above a threshold. The threshold says what a look in vain may cost: at 10 %, nine looks in vain "
    "for one person found; at 50 %, one. Net benefit is people found, less the looks in vain at that price, per 100 "
    "people. It counts finding, not preventing: whether looking again helps, and whether another modality would have "
    "gone better, is not answered here. Risks are out of fold, under the modality given, weighted against censoring; "
    "intervals are 90 %, each threshold for itself.",
    "small",
)


def _bad(curve: Entry) -> str:
    name = text_in(curve.get("outcome"))
    return _BAD.get(name, outcome_label(name))


def _curve_figure(curve: Entry) -> Figure:
    drawn, lines = [], []
    for point in mappings_in(curve.get("points")):
        threshold, everybody, model = (number_in(point.get(key)) for key in ("threshold", "all", "model"))
        if threshold is None or everybody is None:
            continue
        gain, low, high = (number_in(point.get(key)) for key in ("gain", "low", "high"))
        other = max(everybody, 0.0)
        ends = [None if end is None else other + end for end in (low, high)]
        drawn.append(BenefitPoint(threshold, model, ends[0], ends[1], everybody))
        lines.append(
            row(
                f"{decimal(100 * threshold, 1)}%",
                bounded_share(point.get("flagged"))[0],
                MASKED if model is None else decimal(100 * model, 1),
                decimal(100 * everybody, 1),
                MASKED if gain is None else _per_hundred(gain, low, high),
            )
        )
    bad, risk = _bad(curve), percent(number_in(curve.get("risk")))
    months = count_in(curve.get("horizon_months"))
    picture = benefit_plot(f"{bad}: net benefit by threshold, by risk, for everybody and for nobody", drawn)
    labels = ("Looked at again", "By risk", "Everybody", "Gain over the better of everybody and nobody")
    twin = Table(
        "Net benefit per 100 people, one row per threshold; for nobody it is 0",
        columns(("Threshold", *labels), numbers=labels),
        tuple(lines),
    )
    reading = (
        f"{risk} had it within {months} months. Up: net benefit per 100 people. Dots: by predicted risk, with the "
        "interval of the gain; grey line: everybody; dashed line: nobody. Higher is better."
    )
    return Figure(f"{bad} within {months} months", reading, (Panel("", picture),), twin)


def _per_hundred(gain: float, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return signed(100 * gain, 1)
    return f"{signed(100 * gain, 1)} ({span(100 * low, 100 * high, 1)})"
