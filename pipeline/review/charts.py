"""Which pictures do the pages draw?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from pipeline.review.blocks import heat
from pipeline.review.numerals import decimal, general, of_hundred
from pipeline.review.small_cells import ShownCount
from pipeline.review.svg import box, diamond, dot, drawing, element, line, shortened, words

_LABEL_LENGTH = 46


@dataclass(frozen=True)
class Scale:
    """A stretch of numbers laid on a width.

    Attributes
    ----------
    low, high : float
        Ends of the stretch.
    ticks : tuple of float
        Round numbers inside it.
    """

    low: float
    high: float
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        """Return the position of a value, in percent, kept inside the width."""
        return min(100.0, max(0.0, 100 * (value - self.low) / (self.high - self.low)))


@dataclass(frozen=True)
class Estimate:
    """A labelled value with its interval; None where there is no estimate.

    Attributes
    ----------
    label, shown : str
        Words on the left and on the right of the row.
    value, low, high : float or None
    tone : {'main', 'quiet'}
        Style of the mark.
    mark : float or None
        A second value to compare with (a true or published one), drawn as a diamond.
    """

    label: str
    shown: str
    value: float | None
    low: float | None = None
    high: float | None = None
    tone: str = "main"
    mark: float | None = None


def scale_over(values: Sequence[float | None], *, include: Sequence[float] = ()) -> Scale:
    """Return a scale with round ticks that holds all values, with some air at both ends."""
    known = [value for value in [*values, *include] if value is not None] or [0.0, 1.0]
    low, high = min(known), max(known)
    reach = (high - low) or max(abs(high), 1.0) * 0.2
    low, high = (low, high) if high > low else (low - reach / 2, high + reach / 2)
    step = _round_step(reach / 5)
    low, high = low - 0.06 * reach, high + 0.06 * reach
    first, last = math.ceil(low / step), math.floor(high / step)
    return Scale(low, high, tuple(step * k for k in range(first, last + 1)))


def _round_step(rough: float) -> float:
    power: float = 10.0 ** math.floor(math.log10(rough))
    return next(power * lead for lead in (1.0, 2.0, 2.5, 5.0, 10.0) if power * lead >= rough * 0.999)


def interval_plot(
    title: str, rows: Sequence[Estimate], *, scale: Scale, axis: str, reference: float | None = None
) -> Markup:
    """Return one row per estimate: words above, a dot with its interval on a shared scale below."""
    bottom = 46 * len(rows) + 4
    parts = [line(scale.at(tick), 4, scale.at(tick), bottom, "grid") for tick in scale.ticks]
    if reference is not None:
        parts.append(line(scale.at(reference), 4, scale.at(reference), bottom, "reference"))
    for place, row in enumerate(rows):
        top = 46 * place
        parts.append(words(0, top + 15, shortened(row.label, _LABEL_LENGTH), "label halo"))
        parts.append(words(100, top + 15, row.shown, "figure-text halo", "end"))
        parts.extend(_estimate_marks(row, scale, top + 31))
    parts.extend(_axis(scale, bottom, axis))
    return drawing(title, bottom + 40, parts)


def interval_strip(title: str, row: Estimate, *, scale: Scale, reference: float | None = None) -> Markup:
    """Return one estimate alone, for a row of a table that carries the words."""
    parts = [line(0, 14, 100, 14, "track")]
    if reference is not None:
        parts.append(line(scale.at(reference), 2, scale.at(reference), 26, "reference"))
    return drawing(title, 28, [*parts, *_estimate_marks(row, scale, 14)], style="strip")


def axis_strip(title: str, scale: Scale, axis: str) -> Markup:
    """Return the shared scale under a column of strips."""
    return drawing(title, 40, _axis(scale, 2, axis), style="strip")


def _estimate_marks(row: Estimate, scale: Scale, y: float) -> list[Markup]:
    if row.value is None:
        return [line(0, y, 100, y, "track")]
    parts = []
    if row.low is not None and row.high is not None:
        parts.append(line(scale.at(row.low), y, scale.at(row.high), y, f"interval {row.tone}"))
    parts.append(dot(scale.at(row.value), y, 6, f"point {row.tone}"))
    if row.mark is not None:
        parts.append(diamond(scale.at(row.mark), y, 6))
    return parts


def _axis(scale: Scale, y: float, axis: str) -> list[Markup]:
    parts = [line(0, y, 100, y, "axis")]
    for tick in scale.ticks:
        anchor = "start" if scale.at(tick) < 4 else "end" if scale.at(tick) > 96 else "middle"
        parts.append(words(scale.at(tick), y + 16, general(round(tick, 10)), "tick", anchor))
    return [*parts, words(0, y + 34, axis, "axis-title")]


def bar_plot(
    title: str,
    rows: Sequence[tuple[str, Sequence[float | None]]],
    *,
    keys: Sequence[str],
    shown: Callable[[float | None], str] = lambda value: decimal(value, 3),
) -> Markup:
    """Return labelled bars from zero; with two values per row the second bar is the thinner, hatched one."""
    most = max((value for _, values in rows for value in values if value is not None), default=0.0) or 1.0
    height = 28 + 9 * len(keys)
    parts: list[Markup] = []
    for place, (label, values) in enumerate(rows):
        top = height * place
        parts.append(words(0, top + 14, shortened(label, _LABEL_LENGTH - 6), "label"))
        parts.append(words(100, top + 14, " · ".join(shown(value) for value in values), "tick", "end"))
        for nth, value in enumerate(values):
            y = top + 20 + 9 * nth
            told = f"{keys[nth]}: {shown(value)}"
            parts.append(box(0, y, 100, 7, "bar-track"))
            parts.append(box(0, y, 100 * abs(value or 0.0) / most, 7, f"bar bar-{nth}", told))
    return drawing(title, height * max(len(rows), 1), parts)


def signed_bar(title: str, value: float | None, most: float) -> Markup:
    """Return a bar to the right of the middle for a gain, to the left for a loss."""
    reach = 50 * min(1.0, abs(value or 0.0) / (most or 1.0))
    gain = (value or 0.0) >= 0
    bar = box(50 if gain else 50 - reach, 5, reach, 12, "gain" if gain else "loss")
    return drawing(title, 22, [line(0, 11, 100, 11, "track"), bar, line(50, 0, 50, 22, "axis")], style="strip")


def spread_strip(title: str, quantiles: Sequence[float | None]) -> Markup:
    """Return the 5th to 95th percentile as a thin line, the middle half as a thick one, the median as a dot."""
    scale = Scale(0.0, 1.0, (0.0, 0.5, 1.0))
    parts = [line(0, 11, 100, 11, "track")]
    if len(quantiles) == 5 and None not in quantiles:
        p5, p25, p50, p75, p95 = (scale.at(value or 0.0) for value in quantiles)
        parts += [
            line(p5, 11, p95, 11, "spread"),
            line(p25, 11, p75, 11, "interval main"),
            dot(p50, 11, 5, "point main"),
        ]
    return drawing(title, 22, parts, style="strip")


def histogram(title: str, counts: Sequence[ShownCount], edges: Sequence[float]) -> Markup:
    """Return one bar per bin; a bin that may not be shown is a hatched stub of fixed height."""
    most = max((cell.count or 0 for cell in counts), default=0) or 1
    width = 100 / max(len(counts), 1)
    parts: list[Markup] = []
    for place, cell in enumerate(counts):
        told = f"{general(round(edges[place], 4))} to {general(round(edges[place + 1], 4))}: {cell.text}"
        tall = 5.0 if cell.count is None else 72.0 * cell.count / most
        style = "hatched" if cell.count is None else "bar bar-0"
        parts.append(box(width * place + 0.3, 78 - tall, width - 0.6, tall, style, told))
    parts.append(line(0, 78, 100, 78, "axis"))
    for share, anchor in ((0, "start"), (50, "middle"), (100, "end")):
        value = edges[0] + (edges[-1] - edges[0]) * share / 100
        parts.append(words(share, 94, general(round(value, 4)), "tick", anchor))
    return drawing(title, 98, parts)


@dataclass(frozen=True)
class CalibrationPoint:
    """Predicted against observed in one group of similar predictions, with the observed interval."""

    predicted: float
    observed: float
    low: float | None
    high: float | None


def calibration_plot(title: str, points: Sequence[CalibrationPoint], reach: float) -> Markup:
    """Return observed against predicted on a square from 0 to `reach`; the dashed line is perfect agreement."""
    side, left, top = 128.0, 34.0, 8.0

    def x(value: float) -> float:
        return left + side * min(1.0, max(0.0, value / reach))

    def y(value: float) -> float:
        return top + side * (1 - min(1.0, max(0.0, value / reach)))

    def stroke(x1: float, y1: float, x2: float, y2: float, style: str) -> Markup:
        return element("line", {"x1": x1, "y1": y1, "x2": x2, "y2": y2, "class": style})

    def text(at_x: float, at_y: float, told: str, anchor: str) -> Markup:
        return element("text", {"x": at_x, "y": at_y, "class": "tick", "text-anchor": anchor}, told)

    frame: dict[str, str | float] = {"x": left, "y": top, "width": side, "height": side, "class": "frame"}
    parts = [element("rect", frame), stroke(x(0), y(0), x(reach), y(reach), "ideal")]
    for point in points:
        if point.low is not None and point.high is not None:
            parts.append(stroke(x(point.predicted), y(point.low), x(point.predicted), y(point.high), "whisker"))
    path = " ".join(f"{x(point.predicted):.1f},{y(point.observed):.1f}" for point in points)
    parts.append(element("polyline", {"points": path, "class": "trace"}))
    for point in points:
        parts.append(
            element("circle", {"cx": x(point.predicted), "cy": y(point.observed), "r": 3.5, "class": "point main"})
        )
    end = f"{100 * reach:.0f}%"
    parts += [text(left, top + side + 15, "0", "middle"), text(left + side, top + side + 15, end, "middle")]
    parts += [text(left - 5, top + side, "0", "end"), text(left - 5, top + 10, end, "end")]
    return drawing(title, 162, parts, width="178", style="square")


def hundred_dots(chance: float | None, tone: str) -> Markup:
    """Return a hundred dots, as many filled as people of a hundred are expected to have the outcome."""
    told = of_hundred(chance)
    filled = 0 if chance is None else min(100, max(0, round(100 * chance)))
    rows, rest = divmod(filled, 10)
    parts = [element("rect", {"width": 80, "height": 80, "class": "dots-empty"})]
    if rows:
        parts.append(element("rect", {"width": 80, "height": 8 * rows, "class": f"dots-{tone}"}))
    if rest:
        parts.append(element("rect", {"y": 8 * rows, "width": 8 * rest, "height": 8, "class": f"dots-{tone}"}))
    return drawing(told, 80, parts, width="80", style="dots")


def months_row(share: float | None, months: int, tone: str) -> Markup:
    """Return one box per month, filled for the months expected off treatment."""
    filled = 0.0 if share is None else max(0.0, min(1.0, share)) * months
    told = "months off treatment not estimated" if share is None else f"{decimal(filled, 1)} of {months} months"
    parts: list[Markup] = []
    for month in range(months):
        frame: dict[str, float] = {"x": 14 * (month % 6), "y": 18 * (month // 6), "width": 11, "height": 14}
        parts.append(element("rect", {**frame, "class": "month-empty"}))
        part = min(1.0, max(0.0, filled - month))
        if part > 0:
            parts.append(element("rect", {**frame, "width": 11 * part, "class": f"fill-{tone}"}))
    return drawing(told, 18 * math.ceil(months / 6), parts, width="82", style="dots")


def share_bar(title: str, share: float | None, tone: str) -> Markup:
    """Return one bar filled to a share of its width."""
    parts = [box(0, 2, 100, 10, "bar-track"), box(0, 2, 100 * max(0.0, min(1.0, share or 0.0)), 10, f"fill-{tone}")]
    return drawing(title, 14, parts, style="strip")


@dataclass(frozen=True)
class HeatCell:
    """One cell of a heat map: what is written in it, and its share as a tone; None where it may not be told."""

    text: str
    share: float | None


def heat_map(title: str, heads: Sequence[str], rows: Sequence[tuple[str, Sequence[HeatCell]]]) -> Markup:
    """Return one line of labelled cells per row, darker for a larger share; the share is written in each cell."""
    width = 100 / max(len(heads), 1)
    middles = [width * (place + 0.5) for place in range(len(heads))]
    parts = [words(x, 14, head, "tick", "middle") for x, head in zip(middles, heads, strict=True)]
    for place, (label, cells) in enumerate(rows):
        top = 24 + 48 * place
        parts.append(words(0, top + 14, shortened(label, _LABEL_LENGTH), "label"))
        for nth, cell in enumerate(cells):
            tone = heat(cell.share) or "untold"
            parts.append(box(width * nth + 0.2, top + 20, width - 0.4, 22, tone, f"{heads[nth]}: {cell.text}"))
            parts.append(words(middles[nth], top + 35, cell.text, "in-cell", "middle"))
    return drawing(title, 24 + 48 * len(rows), parts)


@dataclass(frozen=True)
class BenefitPoint:
    """Net benefit at one threshold: by risk with the interval of its gain, and of acting for everybody."""

    threshold: float
    model: float | None
    low: float | None
    high: float | None
    everybody: float


def benefit_plot(title: str, points: Sequence[BenefitPoint]) -> Markup:
    """Return net benefit by threshold: by risk as dots, for everybody as a grey line, for nobody as the dashed line."""
    height, left = 190.0, 7.0
    ends = [end for point in points for end in (point.model, point.low, point.high) if end is not None]
    most = max([*ends, *(point.everybody for point in points), 0.0])
    scale = scale_over([*ends, most, -0.25 * most], include=[0.0])
    across = scale_over([point.threshold for point in points])

    def x(threshold: float) -> float:
        return left + (100 - left) * across.at(threshold) / 100

    def y(value: float) -> float:
        return 8 + height * (1 - scale.at(value) / 100)

    parts = []
    for tick in scale.ticks:
        told = general(round(100 * tick, 8))
        parts += [line(left, y(tick), 100, y(tick), "grid"), words(0, y(tick) + 4, told, "tick")]
    parts.append(line(left, y(0.0), 100, y(0.0), "reference"))
    for first, second in pairwise(points):
        parts += _fallen(first, second, scale.low, x, y)
    drawn = [point for point in points if point.model is not None]
    for first, second in pairwise(drawn):
        parts.append(line(x(first.threshold), y(first.model or 0), x(second.threshold), y(second.model or 0), "trace"))
    for point in drawn:
        at = x(point.threshold)
        if point.low is not None and point.high is not None:
            parts.append(line(at, y(point.low), at, y(point.high), "whisker"))
        parts.append(dot(at, y(point.model or 0.0), 4, "point main"))
    parts += [
        words(x(tick), height + 26, f"{general(round(100 * tick, 8))}%", "tick", "middle") for tick in across.ticks
    ]
    parts.append(words(left, height + 46, "threshold of predicted risk", "axis-title"))
    return drawing(title, int(height) + 52, parts)


def _fallen(
    first: BenefitPoint, second: BenefitPoint, low: float, x: Callable[[float], float], y: Callable[[float], float]
) -> list[Markup]:
    """Return a piece of the line of acting for everybody, cut where it leaves the picture below."""
    if first.everybody <= low:
        return []
    share = 1.0
    if second.everybody < low:
        share = (first.everybody - low) / (first.everybody - second.everybody)
    end = first.threshold + share * (second.threshold - first.threshold)
    value = first.everybody + share * (second.everybody - first.everybody)
    return [line(x(first.threshold), y(first.everybody), x(end), y(value), "others")]
