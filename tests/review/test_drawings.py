"""Drawings are text: well formed, titled, the same every time."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from pipeline.review.charts import (
    BenefitPoint,
    CalibrationPoint,
    Estimate,
    HeatCell,
    bar_plot,
    benefit_plot,
    calibration_plot,
    heat_map,
    histogram,
    hundred_dots,
    interval_plot,
    months_row,
    scale_over,
    signed_bar,
    spread_strip,
)
from pipeline.review.small_cells import masked_line

HOSTILE = '"><script>alert(1)</script>&\x01'


def every_drawing(text: str) -> list[Markup]:
    rows = [Estimate(text, text, 0.2, 0.1, 0.3, mark=0.25), Estimate(text, text, None)]
    return [
        interval_plot(text, rows, scale=scale_over([0.1, 0.3]), axis=text, reference=0.2),
        bar_plot(text, [(text, (0.2, None)), (text, (0.1, 0.05))], keys=(text, text)),
        histogram(text, masked_line([3, 40, 0], adds_up=True), [0.0, 0.1, 0.2, 0.3]),
        calibration_plot(text, [CalibrationPoint(0.1, 0.2, 0.1, 0.3), CalibrationPoint(0.4, 0.5, None, None)], 1.0),
        signed_bar(text, -0.2, 0.4),
        spread_strip(text, [0.1, 0.2, 0.3, 0.4, 0.5]),
        spread_strip(text, [None]),
        hundred_dots(0.625, "good"),
        months_row(0.4, 12, "good"),
        heat_map(text, [text, "b"], [(text, [HeatCell(text, 0.4), HeatCell("<18%", None)])]),
        benefit_plot(text, [BenefitPoint(0.1, 0.03, 0.02, 0.04, 0.02), BenefitPoint(0.2, None, None, None, -3.0)]),
        benefit_plot(text, []),
    ]


def test_a_line_that_leaves_the_picture_is_cut_at_its_edge() -> None:
    points = [BenefitPoint(0.1, 0.03, 0.02, 0.04, 0.02), BenefitPoint(0.2, 0.01, 0.0, 0.02, -3.0)]
    root = ElementTree.fromstring(str(benefit_plot("a", points)))
    height = float(root.get("height") or 0)
    (everybody,) = [entry for entry in root.iter("line") if entry.get("class") == "others"]

    assert float(everybody.get("y1") or 0) < float(everybody.get("y2") or 0) <= height


def test_a_share_that_may_not_be_told_has_no_tone() -> None:
    cells = [HeatCell("90%", 0.9), HeatCell("<9%", None)]
    root = ElementTree.fromstring(str(heat_map("a", ["x", "y"], [("r", cells)])))

    assert [entry.get("class") for entry in root.iter("rect")] == ["heat-5", "untold"]


@pytest.mark.parametrize("text", ["Standard triplet", HOSTILE])
def test_every_drawing_is_well_formed_titled_and_named(text: str) -> None:
    for drawn in every_drawing(text):
        root = ElementTree.fromstring(str(drawn))
        assert root.get("role") == "img"
        assert root.get("aria-label") == root.findtext("title")
        assert "script" not in {element.tag for element in root.iter()}


def test_the_same_numbers_give_the_same_text() -> None:
    assert every_drawing("a") == every_drawing("a")


def test_a_hidden_bin_has_the_same_height_whatever_it_hides() -> None:
    edges = [0.0, 0.5, 1.0]

    assert histogram("h", masked_line([3, 90], adds_up=False), edges) == histogram(
        "h", masked_line([9, 90], adds_up=False), edges
    )


def test_as_many_dots_are_filled_as_people_are_expected() -> None:
    rects = [dict(e.attrib) for e in ElementTree.fromstring(str(hundred_dots(0.62, "good"))).iter("rect")]
    filled = [int(r["height"]) // 8 * int(r["width"]) // 8 for r in rects if r["class"] == "dots-good"]

    assert sum(filled) == 62


@given(st.lists(st.floats(-1e6, 1e6), max_size=5))
def test_a_scale_holds_its_values_and_has_few_ticks(values: list[float]) -> None:
    scale = scale_over([*values, None])

    assert all(scale.low <= value <= scale.high for value in values)
    assert 1 <= len(scale.ticks) <= 12
