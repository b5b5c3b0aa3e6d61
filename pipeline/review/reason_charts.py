"""How are many people's reasons drawn without drawing a person?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pipeline.review.charts import Scale
from pipeline.review.numerals import general, percent, signed
from pipeline.review.svg import box, dot, drawing, line, shortened, words

_TONES = 5
_ROW = 46
_SWARM = 22.0
_LABEL_LENGTH = 44
_PLOT = 116.0
_MOST_NAMED = 3


@dataclass(frozen=True)
class SwarmBin:
    """People whose contribution lies between two round numbers.

    Attributes
    ----------
    low, high : float
    share : float
        Of all decisions.
    tone : int or None
        Fifth in which their mean feature value falls, 0 lowest; None where mostly not recorded, or without an order.
    """

    low: float
    high: float
    share: float
    tone: int | None


@dataclass(frozen=True)
class ValueBin:
    """The contribution of people with similar values: mean and quartiles; `label` names the values."""

    label: str
    share: float
    mean: float
    low: float
    high: float
    is_missing: bool


def swarm_plot(title: str, rows: Sequence[tuple[str, Sequence[SwarmBin]]], *, scale: Scale, axis: str) -> Markup:
    """Return one row per feature: bins along the contribution, taller where more people are, coloured by value."""
    bottom = _ROW * len(rows) + 4
    parts = [line(scale.at(tick), 4, scale.at(tick), bottom, "grid") for tick in scale.ticks]
    parts.append(line(scale.at(0.0), 4, scale.at(0.0), bottom, "reference"))
    for place, (label, bins) in enumerate(rows):
        top = _ROW * place
        parts.append(words(0, top + 14, shortened(label, _LABEL_LENGTH), "label halo"))
        parts.extend(_swarm(bins, scale, top + 32.0))
    parts.append(line(0, bottom, 100, bottom, "axis"))
    for tick in scale.ticks:
        anchor = "start" if scale.at(tick) < 4 else "end" if scale.at(tick) > 96 else "middle"
        parts.append(words(scale.at(tick), bottom + 16, general(round(tick, 10)), "tick", anchor))
    parts.append(words(0, bottom + 34, axis, "axis-title"))
    parts.append(words(33, bottom + 56, "low values", "tick", "end"))
    parts += [box(34 + 6 * tone, bottom + 46, 5.5, 11, f"swarm-{tone}") for tone in range(_TONES)]
    parts.append(words(66, bottom + 56, "high values", "tick"))
    return drawing(title, bottom + 62, parts)


def _swarm(bins: Sequence[SwarmBin], scale: Scale, middle: float) -> list[Markup]:
    density = [entry.share / max(entry.high - entry.low, 1e-9) for entry in bins]
    most = max(density, default=0.0) or 1.0
    parts = [line(0, middle, 100, middle, "track")]
    for entry, dense in zip(bins, density, strict=True):
        tall = max(3.0, _SWARM * (dense / most) ** 0.5)
        left, right = scale.at(entry.low), scale.at(entry.high)
        told = f"{signed(entry.low, 3)} to {signed(entry.high, 3)}: {percent(entry.share)}"
        style = "swarm-none" if entry.tone is None else f"swarm-{min(_TONES - 1, max(0, entry.tone))}"
        parts.append(box(left, middle - tall / 2, right - left, tall, style, told))
    return parts


def dependence_plot(title: str, bins: Sequence[ValueBin], *, scale: Scale) -> Markup:
    """Return the contribution by value: a band from quartile to quartile and a dot for the mean of each bin."""

    def y(value: float) -> float:
        return 6 + _PLOT * (1 - scale.at(value) / 100)

    width = 100 / max(len(bins), 1)
    parts: list[Markup] = [line(0, y(tick), 100, y(tick), "grid") for tick in scale.ticks]
    parts.append(line(0, y(0.0), 100, y(0.0), "reference"))
    for place, entry in enumerate(bins):
        top, foot = y(entry.high), y(entry.low)
        told = f"{entry.label}: {signed(entry.mean, 3)} ({percent(entry.share)})"
        style = "band-missing" if entry.is_missing else "band"
        parts.append(box(width * (place + 0.14), top, width * 0.72, max(2.0, foot - top), style, told))
        parts.append(dot(width * (place + 0.5), y(entry.mean), 4, f"point {'quiet' if entry.is_missing else 'main'}"))
    parts += [
        words(0, y(tick) - 3, general(round(tick, 10)), "tick halo") for tick in (scale.ticks[0], scale.ticks[-1])
    ]
    known = [(place, entry.label) for place, entry in enumerate(bins) if not entry.is_missing]
    if len(known) <= _MOST_NAMED:
        parts += [
            words(width * (place + 0.5), _PLOT + 24, shortened(label, 14), "tick", "middle") for place, label in known
        ]
    elif known:
        parts.append(words(0, _PLOT + 24, known[0][1], "tick"))
        parts.append(words(width * (known[-1][0] + 1), _PLOT + 24, known[-1][1], "tick", "end"))
    return drawing(title, int(_PLOT) + 30, parts)
