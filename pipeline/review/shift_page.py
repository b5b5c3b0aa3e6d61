"""Has the world changed since the model was trained? The page beside a batch, and that of monitoring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.review.blocks import Block, Cell, Figure, Panel, Section, Table, Words, columns, row
from pipeline.review.charts import bar_plot
from pipeline.review.cohort_sections import modality_label
from pipeline.review.model_sections import calibration_section
from pipeline.review.numerals import decimal, percent, signed, with_span
from pipeline.review.reading import count_in, mapping_in, mappings_in, number_in, text_in, texts_in
from pipeline.review.small_cells import masked_line
from pipeline.review.templating import rendered
from pipeline.review.trust_sections import check_totals, checks_section
from pipeline.review.wording import NOT_AVAILABLE, Badge, check_badge, reason_words

_VERDICTS: Mapping[str, Badge] = {
    "as_trained": Badge("clear", "✓", "As in training", "No check found a change."),
    "changed": Badge("blocked", "!", "Something has changed", "At least one check raises an issue."),
    "unclear": Badge("unknown", "?", "Too little is known to tell", "No issue, but some checks have too little data."),
    "not_applicable": Badge("plain", "–", "Not compared", "The model keeps nothing to compare with."),
}
_WATCHED = Badge("caution", "!", "watch", "A smaller change than an issue, worth a look.")
_MOST_DRAWN = 6
_MOST_LISTED = 16
_ANCHORS = ("checks", "value", "calibration", "given", "unspoken", "spread", "recorded")


def shift_page(found: Mapping[str, Any]) -> str:
    """Return the page as one self-contained HTML text.

    Parameters
    ----------
    found : mapping
        As `shift.summary` returns it, with digests; only declared keys are read. With `estimates` it is that of
        monitoring.

    Returns
    -------
    str
        HTML without scripts or outside references; the same mapping gives the same text.
    """
    verdict = mapping_in(found.get("verdict"))
    is_monitored = "estimates" in found
    sections = [
        checks_section(found, _ANCHORS, ", and beyond chance"),
        _value(found),
        calibration_section(mapping_in(found.get("estimates"))),
        _given(found),
        _unspoken(found),
        _spread(found),
        _recorded(found),
        _method(found),
    ]
    decisions, people = masked_line([count_in(found.get("decisions")), count_in(found.get("people"))])
    since = text_in(found.get("since"))
    about = f"{decisions.text} decisions of {people.text} people" + (f" from {since} on" if since else "")
    return rendered(
        "shift.html.j2",
        {
            "title": "Does the model still hold?" if is_monitored else "Are these decisions like those learned from?",
            "eyebrow": "monitoring" if is_monitored else "a scored batch",
            "about": about,
            "model_version": text_in(found.get("model_version")) or NOT_AVAILABLE,
            "verdict": _VERDICTS.get(text_in(verdict.get("result")), check_badge(text_in(verdict.get("result")))),
            "verdict_words": text_in(verdict.get("words")),
            "totals": check_totals(found),
            "steps": [step.replace("`", "") for step in texts_in(found.get("next"))],
            "sections": [section for section in sections if section.blocks],
            "simulated": bool(found.get("simulated")),
        },
    )


def _spread(found: Mapping[str, Any]) -> Section:
    features = mappings_in(found.get("features"))
    question = (
        "Do known values fall in the same bins as in training? PSI, the population stability index, is 0 where they "
        "do, and a little more by chance alone. KS is the largest difference of cumulative shares."
    )
    changed = [entry for entry in features if text_in(entry.get("spread")) in ("issue", "watch")]
    panels = tuple(_drawn(entry) for entry in changed[:_MOST_DRAWN])
    table = _features_table(features, f"One row per fact, the most changed first ({len(features)})")
    shown = _features_table(features[:_MOST_LISTED], "The most changed facts")
    blocks: list[Block] = []
    if panels:
        twin = _bins_table(changed[:_MOST_DRAWN])
        reading = "Upper bar: share in training; lower, hatched bar: share now. A masked share has no bar."
        blocks.append(Figure("Where they fall", reading, panels, twin, pairs=len(panels) > 1))
    if features:
        blocks += [shown, *([table] if len(features) > _MOST_LISTED else [])]
    return Section("spread", "Spread of facts", question, tuple(blocks))


def _drawn(entry: Mapping[str, Any]) -> Panel:
    label = text_in(entry.get("meaning"))
    rows = [
        (text_in(part.get("bin")), (number_in(part.get("then")), number_in(part.get("now"))))
        for part in mappings_in(entry.get("bins"))
    ]
    return Panel(
        label, bar_plot(f"{label}: shares in training and now", rows, keys=("in training", "now"), shown=_share)
    )


def _bins_table(entries: list[Mapping[str, Any]]) -> Table:
    lines = tuple(
        row(text_in(entry.get("meaning")), text_in(part.get("bin")), _share(part.get("then")), _share(part.get("now")))
        for entry in entries
        for part in mappings_in(entry.get("bins"))
    )
    return Table("One row per bin", columns(("Fact", "Value", "Training", "Now"), numbers=("Training", "Now")), lines)


def _share(value: Any) -> str:
    share = number_in(value)
    return "masked" if share is None else percent(share)


def _badge(result: str) -> Badge:
    return _WATCHED if result == "watch" else check_badge(result)


def _features_table(features: list[Mapping[str, Any]], caption: str) -> Table:
    lines = tuple(
        row(
            Cell(text_in(entry.get("meaning")), text_in(entry.get("feature")), "strong"),
            Cell(badge=_badge(text_in(entry.get("spread")))),
            *(decimal(number_in(entry.get(key)), 2) for key in ("psi", "floor")),
            "–" if entry.get("ks") is None else decimal(number_in(entry.get("ks"))),
        )
        for entry in features
    )
    labels = ("PSI", "By chance", "KS")
    return Table(caption, columns(("Fact", "Result", *labels), numbers=labels), lines, stacked=True)


def _recorded(found: Mapping[str, Any]) -> Section:
    features = [entry for entry in mappings_in(found.get("features")) if mapping_in(entry.get("missing"))]
    question = "Is each fact missing as often as in training?"

    def order(entry: Mapping[str, Any]) -> tuple[bool, float]:
        told = mapping_in(entry.get("missing"))
        return text_in(told.get("result")) != "issue", -abs(_middle(told.get("now")) - _middle(told.get("then")))

    lines = []
    for entry in sorted(features, key=order):
        told = mapping_in(entry.get("missing"))
        lines.append(
            row(
                Cell(text_in(entry.get("meaning")), text_in(entry.get("feature")), "strong"),
                Cell(badge=check_badge(text_in(told.get("result")))),
                _bounds(told.get("then")),
                _bounds(told.get("now")),
            )
        )
    heads = columns(
        ("Fact", "Result", "Missing in training", "Missing now"), numbers=("Missing in training", "Missing now")
    )
    blocks: list[Block] = []
    if lines:
        blocks.append(
            Table("The facts whose share missing changed most", heads, tuple(lines[:_MOST_LISTED]), stacked=True)
        )
    if len(lines) > _MOST_LISTED:
        blocks.append(Table(f"All facts ({len(lines)})", heads, tuple(lines), stacked=True))
    return Section("recorded", "Missing facts", question, tuple(blocks))


def _middle(value: Any) -> float:
    bounds = mapping_in(value)
    ends = [number_in(bounds.get(end)) for end in ("low", "high")]
    return sum(end or 0.0 for end in ends) / 2


def _bounds(value: Any) -> str:
    bounds = mapping_in(value)
    low, high = number_in(bounds.get("low")), number_in(bounds.get("high"))
    if low is None or high is None:
        return "masked"
    if low == high:
        return percent(low)
    return f"under {percent(high)}" if low == 0 else f"over {percent(low)}"


def _unspoken(found: Mapping[str, Any]) -> Section:
    lines = tuple(
        row(
            Cell(reason_words(text_in(entry.get("name"))), tone="strong"),
            Cell(badge=check_badge(text_in(entry.get("result")))),
            _bounds(entry.get("then")),
            _bounds(entry.get("now")),
        )
        for entry in mappings_in(found.get("unspoken"))
    )
    question = (
        "For how many is there no rank because the model has no basis? Each such row of the predictions says why. The "
        "last line counts modalities, of those that no rule or availability removes."
    )
    heads = columns(("Reason", "Result", "Training", "Now"), numbers=("Training", "Now"))
    table = Table("One row per reason", heads, lines, stacked=True)
    return Section("unspoken", "No basis to rank", question, (table,) if lines else ())


def _given(found: Mapping[str, Any]) -> Section:
    estimates = mapping_in(found.get("estimates"))
    lines = tuple(
        row(
            Cell(modality_label(estimates, text_in(part.get("modality"))), tone="strong"),
            _share(part.get("then")),
            _share(part.get("now")),
        )
        for entry in mappings_in(found.get("given"))
        for part in mappings_in(entry.get("rows"))
    )
    heads = columns(("Modality", "Training", "Now"), numbers=("Training", "Now"))
    question = "Is each modality given as often as in training?"
    return Section("given", "What is given", question, (Table("One row per modality", heads, lines),) if lines else ())


def _value(found: Mapping[str, Any]) -> Section:
    estimates = mapping_in(found.get("estimates"))
    question = (
        "Would the model's first choices have gone better than what was chosen, as far as what followed can tell? "
        "Value is the expected suitability; higher is better."
    )
    rows = mappings_in(estimates.get("league"))
    lines = tuple(
        row(
            Cell(text_in(entry.get("label")), text_in(entry.get("vetoed")), "strong"),
            with_span(*(number_in(entry.get(key)) for key in ("value", "low", "high")), digits=3),
            signed(number_in(entry.get("difference")), 3),
            decimal(number_in(entry.get("difference_se")), 3),
            decimal(number_in(entry.get("effective_sample_size")), 0) if entry.get("value") is not None else "–",
        )
        for entry in rows
    )
    labels = ("Value (90 %)", "Less what was chosen", "Standard error", "Effective sample")
    blocks: list[Block] = [Words(text_in(word), "note") for word in texts_in(estimates.get("value_words"))]
    if lines:
        blocks.append(
            Table("One row per way of choosing", columns(("Choices", *labels), numbers=labels), lines, stacked=True)
        )
    return Section("value", "Value of the order", question, tuple(blocks))


def _method(found: Mapping[str, Any]) -> Section:
    then = mapping_in(found.get("trained_on"))
    decisions, people = masked_line([count_in(then.get("decisions")), count_in(then.get("people"))])
    tests, alarm = count_in(found.get("tests")), number_in(found.get("false_alarm"))
    if tests is None or alarm is None:
        return Section("method", "How this is judged", "", ())
    told = (
        f"Compared with {decisions.text} decisions of {people.text} people that the model learned from. {tests} "
        "differences are tested together, so that in an unchanged world the chance of any issue is at most "
        f"{100 * alarm:.0f} % (Holm). An issue is both beyond its threshold and beyond chance; where so few people are "
        "seen that a difference at the threshold would not be clear, the result is too little data. PSI 0.1 and 0.25 "
        "are a rule of thumb of credit scoring, not a law."
    )
    question = "What makes a difference an issue?"
    return Section("method", "How this is judged", question, (Words(told),))
