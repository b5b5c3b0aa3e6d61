"""The comparison with the libraries measures and tells what it claims to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.learners import Target
from pipeline.simulate import SimulationSettings
from tests.benchmarks.ranking import measures, report
from tests.benchmarks.ranking.data import read_protocol, split
from tests.benchmarks.ranking.peers import PEERS
from tests.benchmarks.ranking.preparing import Arrays, label, one_number, uncensored
from tests.benchmarks.ranking.run import digest

PROTOCOL = read_protocol()
NONE = np.zeros((3, 0))


def test_the_protocol_names_every_world_size_seed_and_budget() -> None:
    assert list(PROTOCOL["worlds"]) == ["linear", "tree", "no_heterogeneity", "heavy_censoring", "small_arms"]
    assert PROTOCOL["sizes"] == [1000, 3000, 10000]
    assert len(set(PROTOCOL["seeds"])) == 5
    assert set(PROTOCOL["methods"]) == {"ours", *PEERS}
    assert all(entry["label"] and entry["budget"] for entry in PROTOCOL["methods"].values())
    for knobs in PROTOCOL["worlds"].values():
        SimulationSettings(**knobs)


def test_regret_is_the_value_lost_against_the_best_arm_that_was_possible() -> None:
    truth = np.array([[0.5, 0.3, 0.9], [0.1, 0.4, 0.0]])
    possible = np.array([[True, True, False], [True, True, True]])
    policy = measures.chances(np.array([[0.1, 0.2, 9.0], [1.0, 1.0, 0.0]]), possible)

    # The first chooses .3 where .5 was possible (.9 was not); the second shares .1 and .4 where .4 was best.
    assert policy.tolist() == [[0.0, 1.0, 0.0], [0.5, 0.5, 0.0]]
    assert measures.regret(truth, policy, possible) == pytest.approx((0.2 + 0.15) / 2)
    assert measures.top_choice(truth, policy, possible).tolist() == [0.0, 0.5]


def test_an_arm_that_is_not_ranked_costs_those_for_whom_it_is_best() -> None:
    truth, possible = np.array([[0.5, 0.3]]), np.ones((1, 2), dtype=bool)
    policy = measures.chances(np.array([[-np.inf, 0.1]]), possible)

    assert measures.regret(truth, policy, possible) == pytest.approx(0.2)


def test_coverage_counts_pairs_of_possible_arms_only() -> None:
    truth, values = np.array([[0.2, 0.1, 0.0]]), np.array([[0.25, 0.1, 5.0]])
    widths = np.full((1, 3, 3), 0.06)
    everything = np.ones((1, 3), dtype=bool)

    assert measures.covered(truth, values, widths, np.array([[True, True, False]])) == (1.0, pytest.approx(0.06))
    assert measures.covered(truth, values, widths, everything)[0] == pytest.approx(1 / 3)


@pytest.mark.parametrize(("width", "clear"), [(0.04, True), (0.06, False)])
def test_a_first_is_clear_when_its_lead_over_every_possible_arm_is_wider_than_the_interval(
    width: float, clear: bool
) -> None:
    values, possible = np.array([[0.30, 0.25, 0.9]]), np.array([[True, True, False]])

    assert measures.clear_first(values, np.full((1, 3, 3), width), possible).tolist() == [clear]


def test_no_patient_is_trained_on_and_tested() -> None:
    patients = pd.Series([f"P{k // 2}" for k in range(400)])
    followed = np.arange(400) % 7 != 0
    train, test = split(patients, followed, 200, 101, 3)

    assert (len(train), len(test)) == (200, 101)
    assert set(patients[train]).isdisjoint(patients[test])
    assert followed[train].all()


def test_smaller_training_sets_are_part_of_larger_ones() -> None:
    patients = pd.Series([f"P{k // 2}" for k in range(400)])
    small, large = (split(patients, np.ones(400, dtype=bool), n, 100, 3) for n in (50, 200))

    assert set(small[0]) < set(large[0])
    assert small[1].tolist() == large[1].tolist()


def test_people_censored_earlier_are_made_up_for() -> None:
    # Of four, the second is lost at 2: those decided later stand for 4/3 each (Kaplan-Meier of censoring: 2/3).
    kept = uncensored(np.array([1.0, 2.0, 3.0, 4.0]), np.array([False, True, False, False]), 0.1)

    assert kept == pytest.approx([1.0, 1.0, 2 / 3, 2 / 3])


def _arrays(months: list[float], event: list[int]) -> Arrays:
    n = len(months)
    return Arrays(
        train=np.zeros((n, 1)),
        test=NONE,
        own=NONE,
        own_test=NONE,
        arm=np.zeros(n, dtype=np.int64),
        learned=np.array([0]),
        rows=np.arange(n),
        groups=np.arange(n),
        possible=np.ones((n, 1), dtype=bool),
        labels=pd.DataFrame({"durable_control_months": months, "durable_control_event": event}),
        targets=(Target("durable_control", "event_free", 12, 1.0),),
        signed=np.array([1.0]),
        limited=np.array([False]),
        arms=1,
    )


def test_one_number_has_the_weighted_mean_and_gives_the_censored_just_that() -> None:
    data = _arrays([1.0, 2.0, 13.0, 14.0], [1, 0, 0, 0])
    own = label(data, data.targets[0])
    number = one_number(data, 0.1)
    mean = (0 * 1 + 1.5 + 1.5) / (1 + 1.5 + 1.5)  # a failure at 1, two controlled that stand for the one lost at 2

    assert own.decided.tolist() == [True, False, True, True]
    assert number[1] == pytest.approx(mean)
    assert number.mean() == pytest.approx(mean)


def _line(
    method: str, regret: float, seed: int = 81, world: str = "tree", n: int = 1000, **more: Any
) -> dict[str, Any]:
    return {"world": world, "n": n, "seed": seed, "method": method, "regret": regret, "seconds": 1.0} | {
        "code": "c",
        "data": "d",
        **more,
    }


def _told(peer: float, ours: float) -> str:
    lines = [_line("ours", ours + 0.001 * s, seed=70 + s) for s in (1, 2)]
    lines += [_line("cox", peer + 0.001 * s, seed=70 + s) for s in (1, 2)]
    return report.report(PROTOCOL, lines, {})


def test_a_loss_is_told_as_a_loss() -> None:
    told = _told(peer=0.020, ours=0.050)

    assert "We lose in 1 of 1 comparisons" in told
    assert "+.0300" in told and "misses" in told
    assert "| tree | 1,000 | Cox per arm (lifelines) | +.0300 +-.0000 |" in told


def test_a_gain_is_not_told_as_a_loss() -> None:
    told = _told(peer=0.050, ours=0.020)

    assert "We lose" not in told
    assert "lost to nobody in any of 1 comparisons" in told


def test_the_goal_is_missed_where_the_best_library_is_not_a_third_worse() -> None:
    def told(ours: float) -> str:
        lines = [_line("ours", ours, seed, world) for seed in (81, 82) for world in PROTOCOL["worlds"]]
        lines += [_line("cox", 0.03, seed, world) for seed in (81, 82) for world in PROTOCOL["worlds"]]
        return report.goal(PROTOCOL, report.latest(lines))

    assert "missed" in told(0.021) and "0.70" in told(0.021)
    assert "met" in told(0.019)


def test_runs_on_different_data_are_not_paired() -> None:
    done = report.latest([_line("ours", 0.1, data="d1"), _line("cox", 0.2, data="d2")])

    assert report.paired(done, "tree", 1000, "cox") == []


def test_the_last_run_counts_and_a_failed_one_does_not() -> None:
    lines = [_line("cox", 0.1), _line("cox", 0.2), {**_line("cox", 0.0), "failed": "ValueError"}]

    assert [line["regret"] for line in report.latest(lines).values()] == [0.2]


def test_only_the_part_between_the_markers_is_written(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n", encoding="utf-8")
    report.write_between_markers(page, "new\n")

    assert page.read_text(encoding="utf-8") == f"before\n{report.BEGIN}\nnew\n{report.END}\nafter\n"


def test_a_method_that_changes_gets_another_digest() -> None:
    other = {**PROTOCOL, "boosting": {**PROTOCOL["boosting"], "leaves": 9}}

    assert digest("cox", PROTOCOL) == digest("cox", PROTOCOL)
    assert digest("cox", other) != digest("cox", PROTOCOL)
    assert digest("causalml_t", PROTOCOL) != digest("causalml_x", PROTOCOL)


def test_a_run_of_earlier_code_is_stale_unless_this_code_gave_its_results_again() -> None:
    ours = {**PROTOCOL["methods"]["ours"], "given_again": {"new": ["old"]}}
    protocol = {**PROTOCOL, "methods": {**PROTOCOL["methods"], "ours": ours}}
    lines = [_line("ours", 0.1, code=code, seed=seed) for seed, code in ((81, "old"), (82, "older"), (83, "new"))]

    assert [report.is_current(protocol, line, "new") for line in lines] == [True, False, True]
    assert [report.is_current(protocol, line, "newer") for line in lines] == [False, False, False]
    assert "1 runs were made by an earlier version" in report.report(protocol, lines, {"ours": "new"})
    assert "3 runs were made by an earlier version" in report.report(protocol, lines, {"ours": "newer"})
