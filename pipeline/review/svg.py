"""How is a drawing written as text?

Every drawing is a pure function of its numbers. Horizontal positions are percentages and
text has a fixed size, so a drawing stretches from phone to desk without its words shrinking.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from markupsafe import Markup, escape

from pipeline.review.reading import text_in

Attribute = str | int | float


def element(name: str, attributes: Mapping[str, Attribute], *children: str | Markup) -> Markup:
    """Return one element; text children and attribute values are escaped, Markup children are kept.

    Parameters
    ----------
    name : str
        Element name, always a constant of this package.
    attributes : mapping
        In the order in which they are written; numbers get at most two decimals.
    """
    opening = "".join(f' {key}="{escape(_plain(value))}"' for key, value in attributes.items())
    inside = "".join(child if isinstance(child, Markup) else escape(text_in(child)) for child in children)
    return Markup(f"<{name}{opening}>{inside}</{name}>")


def drawing(title: str, height: int, parts: Iterable[Markup], *, width: str = "100%", style: str = "") -> Markup:
    """Return a picture with its title, for a reader who sees it and for one who hears it.

    Parameters
    ----------
    title : str
        One sentence that says what the picture shows.
    height : int, pixels
    parts : iterable of Markup
    width : str
        CSS width; fixed pixels for square plots.
    style : str
        Class name of the picture, a constant of this package.
    """
    attributes: dict[str, Attribute] = {"class": f"drawing {style}".strip(), "role": "img", "aria-label": title}
    attributes |= {"width": width, "height": height, "focusable": "false"}
    if not width.endswith("%"):
        attributes["viewBox"] = f"0 0 {width} {height}"
    return element("svg", attributes, element("title", {}, title), *parts)


def line(x1: float, y1: float, x2: float, y2: float, style: str) -> Markup:
    """Return a line; x in percent of the width, y in pixels."""
    return element("line", {"x1": f"{_plain(x1)}%", "y1": y1, "x2": f"{_plain(x2)}%", "y2": y2, "class": style})


def box(x: float, y: float, width: float, height: float, style: str, title: str = "") -> Markup:
    """Return a filled box; x and width in percent, y and height in pixels; the title shows on hover."""
    inside = [element("title", {}, title)] if title else []
    across = f"{_plain(max(width, 0.0))}%"
    return element(
        "rect", {"x": f"{_plain(x)}%", "y": y, "width": across, "height": max(height, 0.0), "class": style}, *inside
    )


def dot(x: float, y: float, radius: float, style: str) -> Markup:
    """Return a dot; x in percent, y and radius in pixels."""
    return element("circle", {"cx": f"{_plain(x)}%", "cy": y, "r": radius, "class": style})


def diamond(x: float, y: float, radius: float) -> Markup:
    """Return an open diamond, the mark of a value to compare with; x in percent, y and radius in pixels."""
    path = f"M{_plain(-radius)} 0L0 {_plain(-radius)}L{_plain(radius)} 0L0 {_plain(radius)}Z"
    shape = element("path", {"d": path, "class": "diamond"})
    return element("svg", {"x": f"{_plain(x)}%", "y": y, "class": "spot"}, shape)


def words(x: float, y: float, text: str, style: str, anchor: str = "start") -> Markup:
    """Return text at a fixed size; x in percent, y (baseline) in pixels."""
    return element("text", {"x": f"{_plain(x)}%", "y": y, "class": style, "text-anchor": anchor}, text)


def shortened(text: str, most: int) -> str:
    """Return the text, cut with an ellipsis when it has more than `most` characters."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _plain(value: Attribute) -> str:
    if isinstance(value, float):
        text = f"{value:.2f}".rstrip("0").rstrip(".")
        return "0" if text in {"-0", ""} else text
    return text_in(value)
