"""A model keeps counts of its training decisions that tell of nobody, and reads them back."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ModelMismatchError
from pipeline.learners import SMALL_CELL
from pipeline.shift import Profile, Tally, profile_in, profiled
from tests.shift.worlds import NAMES, learned_from, people


@given(
    seed=st.integers(0, 10_000),
    n=st.integers(30, 150),
    decimals=st.integers(0, 3),
    gap=st.sampled_from([0.0, 0.03, 0.5, 0.97, 1.0]),
    twice=st.integers(1, 3),
)
@settings(max_examples=60, deadline=None)
def test_every_count_is_nothing_or_of_eleven_people(seed: int, n: int, decimals: int, gap: float, twice: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.round(rng.lognormal(0, 1.5, n), decimals)
    values[rng.random(n) < gap] = np.nan
    levels = pd.Categorical(rng.choice(["a", "b", "c", None], n, p=[0.8, 0.15, 0.03, 0.02]), categories=["a", "b", "c"])
    frame = pd.DataFrame({"x": values, "yes": (rng.random(n) < 0.05).astype(float), "kind": levels})
    patients = pd.Series([f"P{row // twice}" for row in range(n)])

    for entry in profiled(frame, ["x", "yes", "kind"], ["yes"], patients, 10):
        places, counts = entry.places(frame[entry.name]), entry.counts
        assert sum(counts) == n and len(counts) == entry.bins + 1
        own = [patients[places == place].nunique() for place in range(len(counts))]
        fullest = int(np.argmax(counts))
        for place, count in enumerate(counts):
            assert count == 0 or own[place] >= SMALL_CELL or place == fullest
        assert list(entry.edges) == sorted(set(entry.edges))


def test_edges_between_many_values_are_nobodys_own() -> None:
    frame = people(400, 1)
    edges = profiled(frame, ["creatinine"], [], frame["patient_id"], 10)[0].edges

    assert len(edges) == 9
    assert not set(edges) & set(frame["creatinine"])
    assert all(edge == float(f"{edge:.3g}") for edge in edges)


def test_a_number_that_was_always_the_same_shows_when_it_is_not() -> None:
    frame = pd.DataFrame({"x": np.full(50, 7.0)})
    entry = profiled(frame, ["x"], [], pd.Series(range(50)).astype("str"), 10)[0]

    assert entry.counts == (0, 50, 0, 0)
    assert list(entry.binned(pd.Series([6.0, 7.0, 8.0, np.nan]))) == [1, 1, 1, 1]


def test_a_value_on_an_edge_belongs_to_the_bin_above() -> None:
    entry = learned_from(people(300, 2)).features[NAMES.index("frail")]

    assert entry.edges == (0.5,)
    assert list(entry.binned(pd.Series([0.49, 0.5, 1.0]))) == [1, 2, 0]


@given(cuts=st.lists(st.integers(0, 90), max_size=4))
@settings(max_examples=25, deadline=None)
def test_counts_do_not_depend_on_how_decisions_are_divided(cuts: list[int]) -> None:
    profile, frame = learned_from(people(300, 3)), people(90, 4)
    reasons = ["shifted" if row % 7 == 0 else None for row in range(90)]
    whole, heard = Tally(profile), Tally(profile)
    whole.add(frame, reasons)
    ends = [0, *sorted(cuts), 90]
    for start, stop in pairwise(ends):
        part = Tally(profile)
        part.add(frame.iloc[start:stop], reasons[start:stop])
        heard.hear(json.loads(json.dumps(part.told())))

    assert heard.told() == whole.told()


def test_a_profile_is_read_back_as_it_was_written() -> None:
    profile = learned_from(people(300, 5))

    assert profile_in(json.loads(json.dumps(profile.document()))) == profile
    assert profile_in(None) is None


def test_a_profile_of_another_format_is_refused_with_what_to_do() -> None:
    document = Profile(1, 1, ()).document() | {"format": 99}

    with pytest.raises(ModelMismatchError, match=r"has format 99, wanted 1\. Train again"):
        profile_in(document)
