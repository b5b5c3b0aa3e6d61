"""Published figures stand beside look-alikes, with their source, and only where they match."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines import KaplanMeierFitter

from pipeline.declared import parse_yaml, read_declared
from pipeline.evaluate.published_rule import FactTest
from pipeline.evaluate.published_trials import (
    PublishedTrial,
    PublishedTrials,
    Unmatched,
    kaplan_meier,
    published_trials,
)
from tests.conftest import ROOT
from tests.evaluate.drawn_evidence import ARMS, CONTROL, LABELS, drawn

TRIAL = PublishedTrial(
    trial="A trial",
    modality="adc",
    outcome="durable_control",
    months=12,
    measure="progression-free survival",
    time_zero="randomisation",
    population="somebody",
    differs="nothing",
    published=0.7,
    low=0.6,
    high=0.8,
    people=100,
    eligibility=(FactTest(feature="reason", below=0.5),),
    mark="V",
    source="a page",
)
TEXT = (ROOT / "configs" / "published_trials.yaml").read_text(encoding="utf-8")


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(12, 120))
def test_the_share_and_interval_are_lifelines(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    months, event = np.ceil(rng.exponential(10, n) * 4) / 4, rng.integers(0, 3, n)
    fitted = KaplanMeierFitter().fit(months, event != 0)
    share, low, high = kaplan_meier(months, event, 12.0)
    assert share == pytest.approx(float(fitted.predict(12.0)), abs=1e-12)
    if 0 < share < 1:
        row = fitted.confidence_interval_[fitted.confidence_interval_.index <= 12].iloc[-1]
        assert (low, high) == pytest.approx(tuple(row), abs=1e-4)


def test_look_alikes_alone_are_counted_observed_and_predicted() -> None:
    world = drawn(600, 7)
    found = published_trials(
        PublishedTrials(trials=(TRIAL,)), world.features, world.evidence, ARMS, CONTROL, LABELS, {}
    )
    row = found["trials"][0]
    alike = world.features["reason"].to_numpy() < 0.5
    given_it = alike & (world.evidence.arm == 0)

    assert (row["alike"], row["given"]) == (alike.sum(), given_it.sum())
    assert row["predicted"] == pytest.approx(world.evidence.outcomes[given_it, 0, 0].mean())
    assert row["predicted_all"] == pytest.approx(world.evidence.outcomes[alike, 0, 0].mean())
    # Nobody is censored in this world, so the estimate is the share without an event.
    months = world.evidence.follow_up.months["durable_control"][given_it]
    assert row["observed"] == pytest.approx(float((months >= 12).mean()), abs=1e-9)
    assert row["observed_low"] < row["observed"] < row["observed_high"]
    assert row["eligibility"] == ["reason: under 0.5"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"modality": "celmod"}, "this modality is not ranked here"),
        ({"months": 18}, "the outcome is judged at another time here"),
        (
            {"eligibility": (FactTest(feature="eyes", at_least=1),)},
            "eligibility asks for eyes, which is no feature here",
        ),
        ({"eligibility": (FactTest(feature="reason", at_least=9),)}, "fewer than 11 such people were given it"),
    ],
)
def test_a_figure_that_does_not_match_says_why_and_shows_no_number(change: dict[str, object], reason: str) -> None:
    world = drawn(200, 8)
    trial = TRIAL.model_copy(update=change)
    found = published_trials(
        PublishedTrials(trials=(trial,)), world.features, world.evidence, ARMS, CONTROL, LABELS, {}
    )

    assert found["trials"][0]["missing"] == reason
    assert found["trials"][0]["observed"] is None and found["trials"][0]["predicted"] is None


def test_every_modality_without_a_figure_says_so() -> None:
    world = drawn(200, 9)
    said = Unmatched(modality="car_t", words="Only the infused are counted.", source="a page")
    declared = PublishedTrials(trials=(TRIAL,), unmatched=(said,))
    found = published_trials(declared, world.features, world.evidence, ARMS, CONTROL, LABELS, {})

    assert [(row["modality"], row["words"]) for row in found["unmatched"]] == [
        ("bispecific", "No published figure matches."),
        ("car_t", "Only the infused are counted."),
    ]


def test_a_competing_event_ends_control_like_any_other() -> None:
    months, event = np.array([1.0, 2.0, 12.0, 12.0]), np.array([1, 2, 0, 0])

    assert kaplan_meier(months, event, 12.0)[0] == pytest.approx(0.5)


def test_the_shipped_figures_are_verified_and_have_sources() -> None:
    problems: list[str] = []
    declared = read_declared(
        PublishedTrials, parse_yaml(TEXT, "published_trials.yaml"), "published_trials.yaml", problems
    )

    assert declared is not None and not problems
    assert all(trial.low < trial.published < trial.high and trial.source for trial in declared.trials)
    assert {trial.modality for trial in declared.trials} | {entry.modality for entry in declared.unmatched} == {
        *("adc", "bispecific", "car_t", "standard_triplet")
    }
    recalled = TEXT.replace("mark: V\n", "mark: R\n", 1)
    assert read_declared(PublishedTrials, parse_yaml(recalled, "x"), "x", problems) is None and problems


def test_without_a_file_nothing_is_compared() -> None:
    world = drawn(200, 9)
    found = published_trials(None, world.features, world.evidence, ARMS, CONTROL, LABELS, {})

    assert (found["trials"], found["unmatched"]) == ([], [])
