"""Small cases worked out by hand: what each formula of the committee, the stack and the targets gives."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.learners import Target
from pipeline.learners.committee import Cases, arms_with_events, completed, expectations
from pipeline.learners.design import Columns
from pipeline.learners.stack import ArmAverages, Kinds, Shrinkage, arm_averages, blend, recalibrated_level
from pipeline.learners.targets import FollowUp, at_time, causes
from pipeline.learners.unseen import mean_given

CONTROL = Target("durable_control", "event_free", 12, 1.0)
TOXICITY = Target("severe_toxicity", "incidence", 6, -1.0)
FREE = Target("treatment_free", "free_share", 12, 1.0)
ONE = Kinds(has_prognosis=np.array([True]), is_estimated=np.ones((2, 1), dtype=bool))


@pytest.mark.parametrize(
    ("codes", "months", "wanted"),
    [
        ([0, 1, 2], 6.0, (1, 2)),
        ([0, 1, 0], 1.0, (1,)),
        ([0, 2, 2], 1.0, (1, 2)),  # the event itself always has a hazard, seen or not
        ([0, 1, 2], 6.1, (1,)),  # after the horizon nothing competes
    ],
)
def test_each_cause_that_occurs_by_the_horizon_has_a_hazard(
    codes: list[int], months: float, wanted: tuple[int, ...]
) -> None:
    name = TOXICITY.name
    follow_up = FollowUp({name: np.full(3, months)}, {name: np.array(codes)}, np.full((3, 4), np.nan))

    assert causes(follow_up, TOXICITY) == wanted


def test_a_curve_is_read_linearly_within_an_interval_and_held_after_the_last() -> None:
    curve = np.array([[1.0, 0.8, 0.6]])

    read = [float(at_time(curve, np.array([months]))[0]) for months in (0.0, 1.5, 3.0, 4.5, 6.0, 9.0)]

    assert read == pytest.approx([1.0, 0.9, 0.8, 0.7, 0.6, 0.6])


def test_time_off_to_come_is_given_survival_until_censoring() -> None:
    own = {CONTROL.name: {1: np.full((1, 4), 0.1)}}
    follow_up = FollowUp({CONTROL.name: np.array([6.0])}, {CONTROL.name: np.array([0])}, np.ones((1, 4)))

    got = completed(follow_up, own, np.ones((1, 4)), (FREE,))[0, 0]

    s = np.exp(-0.1 * np.array([0, 3, 6]))  # from month 6, when the person was last seen under control
    assert got == pytest.approx((2 + (s[0] + s[1]) / 2 + (s[1] + s[2]) / 2) / 4)


def test_a_quarter_half_seen_is_half_observed_and_half_expected() -> None:
    own = {CONTROL.name: {1: np.zeros((1, 4))}}
    follow_up = FollowUp({CONTROL.name: np.array([1.5])}, {CONTROL.name: np.array([0])}, np.zeros((1, 4)))

    got = completed(follow_up, own, np.ones((1, 4)), (FREE,))[0, 0]

    assert got == pytest.approx((0.5 + 3) / 4)  # none of the half that was seen, all of the rest


def test_a_quarter_is_lived_by_the_mean_of_its_ends() -> None:
    value = expectations({CONTROL.name: {1: np.full((1, 1, 4), 0.1)}}, np.ones((1, 1, 4)), (FREE,))

    s = np.exp(-0.3 * np.arange(5))
    assert value[0, 0, 0] == pytest.approx(((s[:-1] + s[1:]) / 2).mean())


def test_the_committee_expects_by_the_mean_hazard_under_the_arm_given() -> None:
    first = {CONTROL.name: {1: np.array([[[0.1], [0.2]], [[0.3], [0.4]]])}}  # two people, two arms, one interval
    second = {CONTROL.name: {1: np.array([[[0.3], [0.4]], [[0.5], [0.6]]])}}

    got = mean_given([first, second], np.array([0, 1]))

    assert got[CONTROL.name][1] == pytest.approx(np.array([[0.2], [0.5]]))


def test_arm_averages_by_hand() -> None:
    arm = np.array([0, 0, 1, 1])
    residual = np.array([[0.5], [0.3], [0.0], [0.1]])
    predicted = np.tile([[[0.2], [0.0]]], (4, 1, 1))

    found = arm_averages(
        predicted, residual + predicted[np.arange(4), arm], arm, np.full((4, 2), 0.5), np.array([1.0]), 0.03, ONE
    )

    own = residual[:, 0] / 0.5 / 2 * np.array([1, 1, -1, -1])  # half of the weighted residual for one's arm, less half
    assert found.contrast[:, 0] == pytest.approx([0.1 + own.mean(), -0.1 - own.mean()])
    assert found.trust == pytest.approx([1 - own.var() / 4 / own.mean() ** 2] * 2)
    assert 0.1 < found.trust[0] < 0.9


def test_a_propensity_under_the_floor_weighs_as_the_floor_in_arm_averages() -> None:
    predicted, arm = np.zeros((2, 2, 1)), np.array([0, 1])
    propensity = np.array([[0.001, 0.999], [0.5, 0.5]])

    found = arm_averages(predicted, np.array([[1.0], [0.0]]), arm, propensity, np.array([1.0]), 0.1, ONE)

    assert found.contrast[:, 0] == pytest.approx([10 / 2 / 2, -10 / 2 / 2])  # 1 / .1, over two people, half to each arm


def test_a_blend_by_hand() -> None:
    values = np.array([[[0.2], [0.4]], [[0.4], [0.8]]])  # contrasts -.1/+.1 and -.2/+.2, mean -.15/+.15
    averages = ArmAverages(contrast=np.array([[-0.25], [0.25]]), trust=np.array([0.5, 0.5]))

    made = blend({"t": values}, {"t": 1.0}, averages, 0.5, np.array([[0.1, 0.5]]), ONE).apply({"t": values})

    # Arm averages move half way to -.25/+.25, so to -.20/+.20; individual parts of .05 are halved;
    # prognoses of .3 and .6 become .1 + half of them.
    assert made[:, :, 0] == pytest.approx(np.array([[0.25 - 0.175, 0.25 + 0.175], [0.4 - 0.225, 0.4 + 0.225]]))


@pytest.mark.parametrize(("slope", "weak"), [(0.5, False), (0.2, False), (0.19, True), (0.1, True)])
def test_support_of_under_two_standard_errors_is_called_weak(slope: float, weak: bool) -> None:
    words = Shrinkage(slope, 0.1, slope).words

    assert ("weakly" in words) == weak
    assert f"{100 * slope:.0f} %" in words and f"{slope:.2f}" in words


@pytest.mark.parametrize(("true", "wanted"), [(0.8, 0.8), (0.1, 0.5), (4.0, 1.5)])
def test_the_level_is_one_linear_map_without_the_contrast(true: float, wanted: float) -> None:
    rng = np.random.default_rng(1)
    level = rng.uniform(0.2, 0.6, 4000)
    contrast = rng.normal(0, 0.3, 4000)
    arm = rng.integers(0, 2, 4000)
    values = np.stack([level + contrast, level - contrast], axis=1)[:, :, None]
    own = np.where(arm == 0, contrast, -contrast)

    found = recalibrated_level(values, (0.07 + true * level + own)[:, None], arm, ONE)[0]

    assert found[1] == pytest.approx(wanted, abs=0.01)
    assert found[0] == pytest.approx((0.07 + true * level).mean() - found[1] * level.mean(), abs=1e-9)


@pytest.mark.parametrize(("events", "late", "own"), [(149, 0, False), (150, 0, True), (149, 50, False)])
def test_an_arm_has_trees_of_its_own_from_150_events_by_the_horizon_on(events: int, late: int, own: bool) -> None:
    n = 400
    event = np.where(np.arange(n) % 2 == 1, 1, (np.arange(n) // 2 < events + late).astype(int))
    months = np.where((np.arange(n) % 2 == 0) & (np.arange(n) // 2 >= events), 12.5, 12.0)
    follow_up = FollowUp({CONTROL.name: months}, {CONTROL.name: event}, np.full((n, 4), np.nan))
    cases = Cases(np.zeros((n, 1)), Columns(("x",), {}), (), np.arange(n) % 2, (False, False), follow_up, np.arange(n))

    assert arms_with_events(cases, (CONTROL,)) == {(CONTROL.name, 1): (own, True)}
