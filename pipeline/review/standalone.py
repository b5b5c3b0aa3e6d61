"""How does a figure of the review page stand alone, for a viewer that shows single pictures?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pipeline.review.blocks import Figure
from pipeline.review.report import review_sections
from pipeline.review.templating import stylesheet

_WIDTH = 900
_NAMESPACE = 'xmlns="http://www.w3.org/2000/svg"'


def review_figures(evaluation: Mapping[str, Any]) -> dict[str, str]:
    """Return every picture of the review page as an SVG document, by name.

    Parameters
    ----------
    evaluation : mapping
        The content of `evaluation.json`.

    Returns
    -------
    dict of str to str
        Names are `<section>-<figure>-<panel>`; the same mapping gives the same texts.
    """
    found = {}
    for section in review_sections(evaluation):
        figures = [block for block in section.blocks if isinstance(block, Figure)]
        for number, figure in enumerate(figures, start=1):
            for place, panel in enumerate(figure.panels, start=1):
                found[f"{section.anchor}-{number}-{place}"] = _document(str(panel.picture))
    return found


def _document(picture: str) -> str:
    """Return a picture with its namespace, a width in pixels and the page's style."""
    opening, rest = picture.split(">", 1)
    opening = re.sub(r'width="100%"', f'width="{_WIDTH}"', opening.replace("<svg ", f"<svg {_NAMESPACE} ", 1))
    return f"{opening}><style>{stylesheet()}</style>{rest}\n"
