"""What does the review page say about value: of each policy, and of deciding only where the model is sure?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from pipeline.learners.policy_value import Z90
from pipeline.review.blocks import Block, Cell, Figure, Panel, Section, Table, Words, columns, row
from pipeline.review.charts import Estimate, Scale, interval_plot, scale_over
from pipeline.review.numerals import decimal, general, percent, signed, span, with_span
from pipeline.review.reading import count_in, mapping_in, mappings_in, number_in, text_in
from pipeline.review.small_cells import SMALLEST_SHOWN, UNDER, masked_line, masked_share
from pipeline.review.svg import dot, drawing, line, words
from pipeline.review.wording import plain_name

_NO_VALUE = "no value"
_NOT_APPLICABLE = "not applicable"
_HEIGHT = 170.0
_MASS = (0.9, 1.1)


def league_section(evaluation: Mapping[str, Any]) -> Section:
    """Return what following each policy would be worth, beside what clinicians did, and what that rests on."""
    league = mappings_in(evaluation.get("league"))
    question = (
        "Would following the model have gone better than what clinicians chose, than one modality for everybody, "
        "and than chance? Value is the expected suitability; higher is better."
    )
    if not league:
        return Section("league", "League table", question)
    ordered = sorted(league, key=_best_first)
    clinicians = next(
        (number_in(e.get("value")) for e in ordered if text_in(e.get("policy")).startswith("clinic")), None
    )
    rows = [_estimate(entry) for entry in ordered]
    ends = [value for entry in rows for value in (entry.value, entry.low, entry.high, entry.mark)]
    truth = any(entry.mark is not None for entry in rows)
    reading = "Dot: estimated value; bar: its 90 % interval; dashed line: clinicians' own choices."
    reading += " Diamond: the true value, known because the data are simulated." if truth else ""
    picture = interval_plot(
        "Estimated value of each policy with its interval",
        rows,
        scale=scale_over(ends),
        axis="value",
        reference=clinicians,
    )
    blocks: list[Block] = [*_no_value_of_the_model(ordered)]
    blocks.append(Figure("Value of each policy", reading, (Panel("", picture),), _value_table(ordered, truth)))
    if any(number_in(entry.get("mass")) is not None for entry in ordered):
        blocks += [_support_table(ordered, count_in(mapping_in(evaluation.get("cohort")).get("decisions"))), _HOW]
    return Section("league", "League table", question, tuple(blocks))


_HOW = Words(
    "Value: switch doubly-robust estimate, out of fold, of the same rows for every policy; where what was chosen was "
    "rarely given (propensity under 0.2), the outcome model stands alone. Self-normalised: the mean outcome of those "
    "who were given what the policy chooses, weighted by one over how likely that was. The mean weight should be near "
    "1. No value is told where a modality rests on an effective sample of under 30 people, one person holds over 5% "
    "of the weight, or over 5% of people would be given what was practically never given to people like them.",
    "small",
)


def _no_value_of_the_model(league: Sequence[Mapping[str, Any]]) -> tuple[Words, ...]:
    reasons = [text_in(entry.get("vetoed")) for entry in league if text_in(entry.get("policy")) == "model"]
    told = "What the model chooses has no value here, so it can be called neither better nor worse than others"
    return tuple(Words(f"{told}: {reason}.", "note") for reason in reasons if reason)


def _best_first(entry: Mapping[str, Any]) -> tuple[bool, float]:
    value = number_in(entry.get("value"))
    return value is None, -(value or 0.0)


def _policy_label(entry: Mapping[str, Any]) -> str:
    return text_in(entry.get("label")) or plain_name(text_in(entry.get("policy")))


def _absence(entry: Mapping[str, Any]) -> str:
    """Return why there is no number, in two words."""
    if text_in(entry.get("vetoed")):
        return _NO_VALUE
    return _NOT_APPLICABLE if "mass" in entry and number_in(entry.get("mass")) is None else decimal(None)


def _estimate(entry: Mapping[str, Any]) -> Estimate:
    value, low, high = (number_in(entry.get(key)) for key in ("value", "low", "high"))
    tone = "main" if text_in(entry.get("policy")).startswith("model") else "quiet"
    shown = _absence(entry) if value is None else decimal(value, 3)
    return Estimate(_policy_label(entry), shown, value, low, high, tone, number_in(entry.get("true_value")))


def _against(entry: Mapping[str, Any], key: str) -> str:
    difference, error = number_in(entry.get(key)), number_in(entry.get(f"{key}_se"))
    if difference is None:
        return "–"
    return signed(difference, 3) + (f" (SE {decimal(error, 3)})" if error is not None else "")


def _value_table(league: Sequence[Mapping[str, Any]], truth: bool) -> Table:
    """Return the numbers of the picture; the reason stands under a policy that has none."""
    has_best = any(number_in(entry.get("ahead_of_best_arm")) is not None for entry in league)
    lines = []
    for entry in league:
        value, low, high = (number_in(entry.get(key)) for key in ("value", "low", "high"))
        told = _absence(entry) if value is None else with_span(value, low, high, digits=3)
        cells = [told, _against(entry, "difference")]
        cells += [_against(entry, "ahead_of_best_arm")] if has_best else []
        if truth:
            cells += [decimal(number_in(entry.get(key)), 3) for key in ("true_value", "true_regret")]
        note = ". ".join(text for text in (text_in(entry.get("vetoed")), text_in(entry.get("note"))) if text)
        lines.append(row(Cell(_policy_label(entry), note, "strong"), *cells))
    labels = ["Value (90 % interval)", "Against clinicians", *(["Against one best modality"] if has_best else [])]
    labels += ["True value", "True regret"] if truth else []
    caption = "One row per policy, best estimate first"
    return Table(caption, columns(("Policy", *labels), numbers=labels), tuple(lines), stacked=True)


def _support_table(league: Sequence[Mapping[str, Any]], people: int | None) -> Table:
    """Return what each value rests on: the other estimator, the weights, and whether both agree."""
    lines = []
    for entry in league:
        mass = number_in(entry.get("mass"))
        if mass is None:
            continue
        size = number_in(entry.get("effective_sample_size"))
        lines.append(
            row(
                Cell(_policy_label(entry), tone="strong"),
                _NO_VALUE if text_in(entry.get("vetoed")) else with_span(*_ends(entry, "snipw", "snipw_se"), digits=3),
                _agreement(entry),
                decimal(mass),
                UNDER if size is not None and size < SMALLEST_SHOWN else decimal(size, 0),
                masked_share(number_in(entry.get("largest_weight_share")), None)[0],
                masked_line([count_in(entry.get("clipped"))])[0].text,
                masked_share(number_in(entry.get("modelled_share")), people)[0],
            )
        )
    counts = ("Mean weight", "Effective sample", "Largest weight", "Clipped", "By outcome model alone")
    other = "Self-normalised (90 % interval)"
    heads = columns(("Policy", other, "Estimators", *counts), numbers=(other, *counts))
    return Table("What each value rests on", heads, tuple(lines), stacked=True)


def _agreement(entry: Mapping[str, Any]) -> str:
    if text_in(entry.get("vetoed")):
        return "–"
    if entry.get("disagree") is not True:
        return "agree"
    mass = number_in(entry.get("mass")) or 0.0
    return "! disagree" if _MASS[0] <= mass <= _MASS[1] else "! weights do not add up"


def abstention_section(evaluation: Mapping[str, Any]) -> Section:
    """Return what is gained when the model decides only where it is surest and leaves the rest to clinicians."""
    curve = mappings_in(evaluation.get("abstention_curve"))
    question = (
        "How much of the gain comes from the decisions the model is surest of? People are sorted by the interval of "
        "first minus second choice; the others are left as clinicians chose. What was chosen for good should gain."
    )
    points = [entry for entry in curve if number_in(entry.get("kept")) is not None]
    if not points:
        return Section("abstention", "Deciding only where sure", question)
    lines = []
    for entry in sorted(points, key=_kept):
        value, low, high = _ends(entry, "value", "se")
        gain, least, most = _ends(entry, "difference", "difference_se")
        reason = text_in(entry.get("vetoed"))
        told = with_span(value, low, high, digits=3) if value is not None else _absence(entry)
        ahead = "–" if gain is None else f"{signed(gain, 3)} ({span(least, most, 3)})"
        lines.append(row(Cell(percent(_kept(entry)), reason, "strong"), told, ahead))
    labels = ("Value (90 % interval)", "Against clinicians (90 % interval)")
    twin = Table(
        "One row per share of people for whom the model decides",
        columns(("Decided by the model", *labels), numbers=labels),
        tuple(lines),
    )
    reading = "Across: share decided by the model, surest first; up: gain over clinicians' own choices, with interval."
    figure = Figure("Gain by share decided", reading, (Panel("", _curve(points)),), twin)
    return Section("abstention", "Deciding only where sure", question, (figure,))


def _kept(entry: Mapping[str, Any]) -> float:
    return number_in(entry.get("kept")) or 0.0


def _ends(entry: Mapping[str, Any], key: str, error_key: str) -> tuple[float | None, float | None, float | None]:
    value, error = number_in(entry.get(key)), number_in(entry.get(error_key))
    if value is None or error is None:
        return value, None, None
    return value, value - Z90 * error, value + Z90 * error


def _curve(points: Sequence[Mapping[str, Any]]) -> Markup:
    """Return the gain over clinicians by share decided, with intervals; the dashed line is no gain."""
    drawn = []
    for entry in sorted(points, key=_kept):
        value, low, high = _ends(entry, "difference", "difference_se")
        if value is not None:
            drawn.append((_kept(entry), value, value if low is None else low, value if high is None else high))
    scale = scale_over([end for point in drawn for end in point[1:]], include=[0.0])
    across = Scale(0.0, 1.08, (0.2, 0.4, 0.6, 0.8, 1.0))

    def x(share: float) -> float:
        return 8 + 0.92 * across.at(share)

    def y(value: float) -> float:
        return 6 + _HEIGHT * (1 - scale.at(value) / 100)

    parts = []
    for tick in scale.ticks:
        parts += [line(8, y(tick), 100, y(tick), "grid"), words(0, y(tick) + 4, general(round(tick, 10)), "tick")]
    parts.append(line(8, y(0.0), 100, y(0.0), "reference"))
    for (share, value, _, _), (later, higher, _, _) in pairwise(drawn):
        parts.append(line(x(share), y(value), x(later), y(higher), "trace"))
    for share, value, low, high in drawn:
        parts += [line(x(share), y(low), x(share), y(high), "whisker"), dot(x(share), y(value), 4.5, "point main")]
    parts += [words(x(tick), _HEIGHT + 26, percent(tick), "tick", "middle") for tick in across.ticks]
    parts.append(words(8, _HEIGHT + 46, "share decided by the model", "axis-title"))
    return drawing("Gain over clinicians' own choices by share decided, with intervals", int(_HEIGHT) + 52, parts)
