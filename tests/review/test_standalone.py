"""Every picture of the review page also stands alone."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import Any

from pipeline.review import review_figures

SVG = "{http://www.w3.org/2000/svg}svg"


def test_each_picture_of_the_page_is_a_document_of_its_own(evaluation: Mapping[str, Any]) -> None:
    figures = review_figures(evaluation)

    assert {name.split("-")[0] for name in figures} == {"overlap", "league", "calibration", "shap"}
    for text in figures.values():
        assert ET.fromstring(text).tag == SVG


def test_pictures_are_the_same_text_each_time(evaluation: Mapping[str, Any]) -> None:
    assert review_figures(evaluation) == review_figures(evaluation)


def test_a_run_without_numbers_has_no_picture() -> None:
    assert review_figures({}) == {}
