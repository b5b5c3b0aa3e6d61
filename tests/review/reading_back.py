"""What does a browser find in a page: which elements, attributes, words and drawings?"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree


class PageReader(HTMLParser):
    """Collects elements with their attributes, and all text outside style sheet and scripts."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self._in_style = tag in {"style", "script"}

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        if not self._in_style:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    @property
    def tags(self) -> list[str]:
        return [tag for tag, _ in self.elements]


def read_page(page: str) -> PageReader:
    reader = PageReader()
    reader.feed(page)
    reader.close()
    return reader


def drawings_in(page: str) -> list[ElementTree.Element]:
    """Parse every top-level drawing as XML; nested ones belong to their parent."""
    found, depth, start = [], 0, 0
    for mark in re.finditer(r"<svg\b[^>]*>|</svg>", page):
        start = mark.start() if depth == 0 else start
        depth += -1 if mark.group() == "</svg>" else 1
        if depth == 0:
            found.append(ElementTree.fromstring(page[start : mark.end()]))
    return [drawing for drawing in found if "drawing" in drawing.get("class", "")]
