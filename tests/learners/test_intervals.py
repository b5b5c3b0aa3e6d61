"""Intervals follow the shrinkage: what is not said of a person is not uncertain for that person."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.learners import ModalityRanker
from pipeline.learners.intervals import form_factor, half_width
from pipeline.learners.stack import Kinds
from tests.learners.worlds import WEIGHTS, World


def _widths(fitted: ModalityRanker, people: World, **changed: object) -> np.ndarray:
    """Return half-widths of the first two arms' difference, per person."""
    spread = replace(fitted.model_.spread, **changed)  # type: ignore[arg-type]
    matrix = fitted.model_.columns.matrix(people.features.iloc[:50])
    deviations = spread.deviations(matrix, np.repeat(fitted._signed(WEIGHTS)[None], len(matrix), axis=0))
    return np.asarray(half_width(deviations[:, :, 0] - deviations[:, :, 1]))


def test_a_model_of_arm_averages_is_equally_sure_of_every_person(fitted: ModalityRanker, people: World) -> None:
    averages = _widths(fitted, people, factor=0.0, factor_error=0.0)

    assert np.ptp(averages) < 1e-12
    assert np.all(averages > 0)


def test_people_far_from_the_middle_are_less_sure_when_the_shrinkage_is(fitted: ModalityRanker, people: World) -> None:
    sure, unsure = (_widths(fitted, people, factor=0.0, factor_error=error) for error in (0.0, 0.5))

    assert np.all(unsure >= sure)
    assert np.ptp(unsure) > 0.01


def test_keeping_more_of_the_individual_part_keeps_more_of_its_doubt(fitted: ModalityRanker, people: World) -> None:
    half, whole = (_widths(fitted, people, factor=factor, factor_error=0.0).mean() for factor in (0.5, 1.0))

    assert half < whole


def test_widths_scale_and_an_empty_table_has_none(fitted: ModalityRanker, people: World) -> None:
    assert _widths(fitted, people, scale=2.0) == pytest.approx(2 * _widths(fitted, people, scale=1.0))
    assert len(_widths(fitted, replace(people, features=people.features.iloc[:0]))) == 0


def test_disagreement_on_averages_counts_in_full_and_on_persons_as_far_as_kept() -> None:
    rng = np.random.default_rng(1)
    common, own = np.array([0.3, -0.3]), rng.normal(size=(400, 1)) * np.array([1.0, -1.0])
    gap = common + own - own.mean(axis=0)
    teachers = {"a": gap[:, :, None], "b": -gap[:, :, None]}
    kinds = Kinds(has_prognosis=np.array([True]), is_estimated=np.ones((2, 1), dtype=bool))
    halves = {"a": 0.5, "b": 0.5}
    found = {kept: form_factor(teachers, halves, kept, kinds)[:, 0, 0] / 1.4 for kept in (0.0, 0.5, 1.0)}
    variance = {kept: np.sum(column**2) for kept, column in found.items()}

    assert variance[0.0] == pytest.approx(0.3**2)
    assert variance[0.5] == pytest.approx(0.3**2 + 0.25 * own[:, 0].var())
    assert variance[1.0] == pytest.approx(0.3**2 + own[:, 0].var())


def test_a_teacher_without_weight_still_disagrees_on_persons() -> None:
    own = np.random.default_rng(2).normal(size=(300, 1)) * np.array([1.0, -1.0])
    teachers = {"heard": np.zeros((300, 2, 1)), "unheard": own[:, :, None]}
    kinds = Kinds(has_prognosis=np.array([True]), is_estimated=np.ones((2, 1), dtype=bool))
    factor = form_factor(teachers, {"heard": 1.0, "unheard": 0.0}, 1.0, kinds)

    assert np.sum((factor[:, 0, 0] / 1.4) ** 2) == pytest.approx(own[:, 0].var() / 2)
