"""Settings that the program could not honour are refused, all at once, in words."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.config import Settings
from pipeline.declared import read_declared

TIMED = {"label": "x", "definition": "x", "competing": "x"}


def _problems(horizons: dict[str, int], **more: Any) -> list[str]:
    problems: list[str] = []
    given = {
        "title": "x",
        "modalities": "m",
        "features": "f",
        "drugs": "d",
        "source": "s",
        "outcomes": {name: {**TIMED, "horizon_months": months} for name, months in horizons.items()},
        "weights": {"burden": 1},
        **more,
    }
    read_declared(Settings, given, "base.yaml", problems)
    return problems


@pytest.mark.parametrize(
    ("horizons", "told"),
    [
        ({"durable_control": 12, "treatment_free": 12}, []),
        ({"durable_control": 6}, []),
        ({"durable_control": 6, "severe_toxicity": 3, "early_death": 9}, []),
        ({"durable_control": 6, "treatment_free": 12}, ["durable_control.horizon_months is 6, wanted 12"]),
        ({"durable_control": 12, "treatment_free": 9}, ["treatment_free.horizon_months is 9, wanted 12"]),
        (
            {"durable_control": 6, "treatment_free": 6, "cure": 12},
            ["unknown outcome cure", "durable_control.horizon_months is 6", "treatment_free.horizon_months is 6"],
        ),
        ({"treatment_free": 12}, ["treatment_free needs durable_control"]),
    ],
)
def test_a_treatment_free_share_is_of_the_four_quarters_of_a_year(horizons: dict[str, int], told: list[str]) -> None:
    problems = _problems(horizons)

    assert len(problems) == bool(told)
    for part in told:
        assert part in problems[0]


@pytest.mark.parametrize(
    ("cut", "is_day"),
    [("2024-02-29", True), (None, True), ("2023-02-29", False), ("June 2024", False), ("2024-06-30'", False)],
)
def test_the_data_cut_is_a_day_of_the_calendar(cut: str | None, is_day: bool) -> None:
    problems = _problems({"durable_control": 12}, cohort={"data_cut_date": cut})

    assert problems == [] if is_day else "wanted an ISO date such as 2024-06-30, or null" in problems[0]


@pytest.mark.parametrize(
    ("ranges", "told"),
    [
        ({"early_death": [0.02, 0.2]}, []),
        ({}, []),
        ({"early_death": [0.2, 0.02], "cure": [0.1, 0.2]}, ["unknown outcome cure", "early_death: wanted a lowest"]),
        ({"early_death": [0.0, 0.2]}, ["early_death: wanted a lowest"]),
        ({"early_death": [0.2, 1.0]}, ["early_death: wanted a lowest"]),
    ],
)
def test_thresholds_of_decision_curves_are_risks_in_order(ranges: dict[str, list[float]], told: list[str]) -> None:
    problems = _problems({"durable_control": 12}, evaluation={"decision_thresholds": ranges})

    assert len(problems) == bool(told)
    for part in told:
        assert part in problems[0]
