"""Pictures of reasons are bins of people: none holds under eleven, and none says more than its bin."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.evaluate.shap_pictures import TONES, density_bins, round_step, shap_pictures, value_bins
from pipeline.learners import SMALL_CELL
from tests.conftest import Journey


@st.composite
def people_with_values(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, pd.Series]:
    """Return contributions, whose they are, and values with gaps, ties and outliers."""
    n = draw(st.integers(0, 90))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    contribution = rng.normal(size=n) * draw(st.sampled_from([0.0, 1e-9, 0.02, 5.0]))
    contribution[: n // 20] *= 40
    people = rng.integers(0, max(1, n // draw(st.integers(1, 4))), n)
    kind = draw(st.sampled_from(["number", "integer", "boolean", "category", "constant"]))
    values = {
        "number": lambda: pd.Series(np.exp(rng.normal(size=n) * 3)),
        "integer": lambda: pd.Series(rng.poisson(1.5, n).astype(float)),
        "boolean": lambda: pd.Series((rng.random(n) < 0.1).astype(float)),
        "category": lambda: pd.Series(pd.Categorical(rng.choice(["a", "b", "c"], n), categories=["a", "b", "c", "d"])),
        "constant": lambda: pd.Series(np.full(n, 2.0)),
    }[kind]()
    return contribution, people.astype(np.int64), values.mask(rng.random(n) < draw(st.sampled_from([0.0, 0.3, 1.0])))


def _rows_of(share: float, n: int) -> int:
    rows = share * n
    assert rows == pytest.approx(round(rows))
    return round(rows)


@settings(max_examples=500, deadline=None)
@given(people_with_values())
def test_no_bin_of_contributions_holds_under_eleven_people(drawn: tuple[np.ndarray, np.ndarray, pd.Series]) -> None:
    contribution, people, _ = drawn
    bins = density_bins(contribution, people, None)

    assert bool(bins) == (len(set(people)) >= SMALL_CELL)
    for found in bins:
        inside = (contribution >= found["low"] - 1e-9) & (contribution < found["high"] + 1e-9)
        assert len(set(people[inside])) >= SMALL_CELL
        assert _rows_of(found["share"], len(people)) >= SMALL_CELL
    if bins:
        assert sum(found["share"] for found in bins) == pytest.approx(1)
        assert all(a["high"] <= b["low"] + 1e-12 for a, b in pairwise(bins))


@settings(max_examples=500, deadline=None)
@given(people_with_values())
def test_no_bin_of_values_holds_under_eleven_people(drawn: tuple[np.ndarray, np.ndarray, pd.Series]) -> None:
    contribution, people, values = drawn
    bins = value_bins(values, contribution, people)

    assert len({found["label"] for found in bins}) == len(bins)
    assert sum(found["share"] for found in bins) <= 1 + 1e-12
    for found in bins:
        assert _rows_of(found["share"], len(people)) >= SMALL_CELL
        assert found["low"] <= found["high"]


def test_the_ends_of_a_picture_are_nobodys_value() -> None:
    rng = np.random.default_rng(4)
    contribution, values = rng.normal(size=300), np.exp(rng.normal(size=300))
    ends = {end for found in density_bins(contribution, np.arange(300), None) for end in (found["low"], found["high"])}
    step = round_step(float(np.ptp(contribution)) / 30)

    assert all(end / step == pytest.approx(round(end / step)) for end in ends)
    labels = [found["label"] for found in value_bins(pd.Series(values), contribution, np.arange(300))]
    assert labels[0].startswith("at most") and labels[-1].startswith("over")
    assert not {f"{value:,.4g}" for value in (values.min(), values.max())} & set(" ".join(labels).split())


def test_a_bin_is_coloured_by_the_fifth_of_its_mean_value() -> None:
    standing = np.linspace(0.005, 0.995, 100)
    tones = [found["tone"] for found in density_bins(standing, np.arange(100), standing)]
    unknown = density_bins(np.zeros(20), np.arange(20), np.full(20, np.nan))

    assert tones == sorted(tones) and tones[0] == 0 and tones[-1] == TONES - 1
    assert [found["tone"] for found in unknown] == [None]


@pytest.mark.parametrize(("rough", "step"), [(0.011, 0.02), (0.02, 0.02), (0.021, 0.05), (0.51, 1.0), (3.0, 5.0)])
def test_steps_are_round(rough: float, step: float) -> None:
    assert round_step(rough) == pytest.approx(step)


def test_a_value_that_pushes_up_stands_over_one_that_pushes_down() -> None:
    values = pd.Series(np.repeat([0.0, 1.0], 20))
    bins = {found["label"]: found for found in value_bins(values, np.where(values == 1, 0.1, -0.1), np.arange(40))}

    assert (bins["yes"]["mean"], bins["no"]["mean"]) == (0.1, -0.1)


@pytest.mark.xdist_group("journey")
def test_a_trained_model_has_a_contrast_and_a_level_of_each_modality(journey: Journey) -> None:
    views = journey.trained.evaluation["shap_pictures"]["views"]

    assert [view["kind"] for view in views] == ["contrast", *["level"] * len(journey.loaded.adviser.model.arms)]
    assert all(view["features"] and view["features"][0]["swarm"] for view in views)
    sizes = [[entry["mean_abs"] for entry in view["features"]] for view in views]
    assert all(own == sorted(own, reverse=True) for own in sizes)


def test_nobody_gives_no_picture() -> None:
    empty = pd.DataFrame({"patient_id": pd.Series(dtype="str")})
    explanation = _Nobody()
    assert shap_pictures(explanation, explanation, empty, {}) == {"decisions": 0, "views": []}  # type: ignore[arg-type]


class _Nobody:
    """An explanation of no decision."""

    names = ("age", "burden")
    baseline = np.zeros((0, 2))
    contributions = np.zeros((0, 2, 2))
    suitability = np.zeros((0, 2))
    modalities = ("a", "b")
