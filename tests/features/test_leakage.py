"""Can anything that was not known before the decision, or is not this person's, move a feature?

Every property here has been seen to fail: each is run again on a feature query with a leak put in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipeline import features
from pipeline.features import FeatureSpec, matrix
from pipeline.vocabulary import DrugCatalogue
from tests.features.conftest import MODALITIES, load
from tests.features.worlds import DAY_ZERO, History, changed, history, tables_of

CASES_PER_BUILD = 60
BUILDS = 10
QUICK = settings(
    max_examples=BUILDS,
    deadline=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
"""600 cases: each example draws the seeds of 60 people, who share one build."""

seeds = st.lists(st.integers(0, 2**40), min_size=CASES_PER_BUILD, max_size=CASES_PER_BUILD, unique=True)
Build = Callable[[dict[str, pd.DataFrame]], pd.DataFrame]
Property = Callable[[Build], Callable[[], None]]


@pytest.fixture(scope="module")
def build(connection: duckdb.DuckDBPyConnection, spec: FeatureSpec, drugs: DrugCatalogue) -> Build:
    def run(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
        load(connection, tables)
        return features.build(connection, spec, drugs, MODALITIES).set_index("decision_id")

    return run


def content(frame: pd.DataFrame, decisions: list[str]) -> list[bytes]:
    """Return the bytes of each decision's features."""
    held = frame.loc[decisions].drop(columns=["patient_id", "decision_date", "site_id"])
    held["sex"] = held["sex"].cat.codes
    return [row.tobytes() for row in np.ascontiguousarray(held.to_numpy(dtype=np.float64))]


def same(left: list[bytes], right: list[bytes]) -> None:
    wrong = [position for position, pair in enumerate(zip(left, right, strict=True)) if pair[0] != pair[1]]
    assert not wrong, f"cases {wrong} differ"


def twins(first: list[History], second: list[History], **cells: list[str]) -> dict[str, pd.DataFrame]:
    """Return one database in which each case stands twice, as a_i and as b_i."""
    named = {f"a{i}": h for i, h in enumerate(first)} | {f"b{i}": h for i, h in enumerate(second)}
    extra = [{name: values[position] for name, values in cells.items()} for position in range(len(named))]
    decisions = {key: {"patient_id": key, **more} for key, more in zip(named, extra, strict=True)}
    return tables_of(named, decisions)


def unseen_cells_change_nothing(build: Build) -> Callable[[], None]:
    @given(seeds)
    def check(drawn_seeds: list[int]) -> None:
        before = [history(seed) for seed in drawn_seeds]
        after = [changed(case, seed + 1) for case, seed in zip(before, drawn_seeds, strict=True)]
        frame = build(twins(before, after))
        size = range(len(before))
        same(content(frame, [f"a{i}" for i in size]), content(frame, [f"b{i}" for i in size]))

    return check


def other_people_change_nothing(build: Build) -> Callable[[], None]:
    @given(seeds, seeds, st.sampled_from([2, 15, CASES_PER_BUILD]))
    def check(mine: list[int], others: list[int], size: int) -> None:
        me = {f"me{i}": history(seed) for i, seed in enumerate(mine[:size])}
        crowd = {f"other{i}": history(seed) for i, seed in enumerate(others)}
        decisions = {key: {"patient_id": key} for key in me}
        alone = build(tables_of(me, decisions))
        more = decisions | {key: {"patient_id": key} for key in list(crowd)[::2]}
        together = build(tables_of(me | crowd, more))
        same(content(alone, list(me)), content(together, list(me)))

    return check


def the_choice_changes_nothing(build: Build) -> Callable[[], None]:
    @given(seeds, st.permutations(["car_t", "adc", "bispecific", "standard_triplet"]))
    def check(drawn_seeds: list[int], order: list[str]) -> None:
        given_to = [history(seed) for seed in drawn_seeds]
        chosen = [order[i % 4] for i in range(len(given_to))] + [order[(i + 1) % 4] for i in range(len(given_to))]
        frame = build(twins(given_to, given_to, modality=chosen, product=chosen[::-1]))
        size = range(len(given_to))
        same(content(frame, [f"a{i}" for i in size]), content(frame, [f"b{i}" for i in size]))

    return check


def order_and_chunks_change_nothing(build: Build) -> Callable[[], None]:
    @given(seeds, st.integers(0, 2**31), st.integers(1, CASES_PER_BUILD - 1), st.integers(5, CASES_PER_BUILD))
    def check(drawn_seeds: list[int], seed: int, size: int, at_once: int) -> None:
        named = {f"p{i}": history(each) for i, each in enumerate(drawn_seeds)}
        tables = tables_of(named, {key: {"patient_id": key} for key in named})
        whole = build(tables)
        shuffled = {name: table.sample(frac=1, random_state=seed) for name, table in tables.items()}
        shuffled["decision_points"] = shuffled["decision_points"].head(size)
        with patch.object(matrix, "_AT_ONCE", at_once):
            part = build(shuffled)
        assert list(part.index) == sorted(shuffled["decision_points"]["decision_id"])
        same(content(whole, list(part.index)), content(part, list(part.index)))

    return check


def test_nothing_known_on_or_after_the_decision_date_changes_a_feature(build: Build) -> None:
    QUICK(unseen_cells_change_nothing(build))()


def test_other_peoples_rows_change_none_of_mine(build: Build) -> None:
    settings(QUICK, max_examples=2 * BUILDS)(other_people_change_nothing(build))()


def test_the_modality_given_changes_no_feature(build: Build) -> None:
    QUICK(the_choice_changes_nothing(build))()


def test_chunks_and_the_order_of_rows_change_no_byte(build: Build) -> None:
    QUICK(order_and_chunks_change_nothing(build))()


@contextmanager
def leaking(monkeypatch: pytest.MonkeyPatch, kind: str, old: str, new: str) -> Iterator[None]:
    """Put a leak into the rendered query of one kind of feature."""
    honest = matrix.render

    def leaky(*arguments: Any) -> Any:
        rendered = dict(honest(*arguments))
        text, names = rendered[kind]
        assert old in text, f"no '{old}' in the {kind} query"
        return tuple((rendered | {kind: (text.replace(old, new), names)}).items())

    with monkeypatch.context() as patched:
        patched.setattr(matrix, "render", leaky)
        yield


def on_or_before(date: str) -> tuple[str, str]:
    return f"{date} < d.decision_date", f"{date} <= d.decision_date"


LEAKS: list[tuple[Property, str, str, str]] = [
    (unseen_cells_change_nothing, "measurement", *on_or_before("m.known_at")),
    (unseen_cells_change_nothing, "finding", *on_or_before("f.known_at")),
    (unseen_cells_change_nothing, "finding", *on_or_before("f.resolved_visible_at")),
    (unseen_cells_change_nothing, "course", *on_or_before("c.known_at")),
    (unseen_cells_change_nothing, "course", *on_or_before("c.end_visible_at")),
    (unseen_cells_change_nothing, "course", *on_or_before("l.end_visible_at")),
    (unseen_cells_change_nothing, "course", *on_or_before("l.progression_visible_at")),
    (unseen_cells_change_nothing, "line", *on_or_before("l.known_at")),
    (unseen_cells_change_nothing, "line", *on_or_before("l.end_visible_at")),
    (unseen_cells_change_nothing, "line", *on_or_before("l.progression_visible_at")),
    (unseen_cells_change_nothing, "patient", *on_or_before("p.diagnosis_date")),
    (unseen_cells_change_nothing, "finding", " and f.resolved_visible_at < d.decision_date", ""),
    (other_people_change_nothing, "measurement", "m.patient_id = d.patient_id", "true"),
    (other_people_change_nothing, "finding", "partition by decision_key, code", "partition by code"),
    (other_people_change_nothing, "course", "p.decision_key = c.decision_key", "true"),
    (other_people_change_nothing, "course", "l.decision_key = c.decision_key", "true"),
    (other_people_change_nothing, "line", "partition by decision_key order", "order"),
    (
        the_choice_changes_nothing,
        "measurement",
        "decision_date from decisions_asked",
        "decision_date + case when modality = 'car_t' then 1 else 0 end as decision_date "
        "from decisions_asked join (select decision_id, modality from decision_points) using (decision_id)",
    ),
    (order_and_chunks_change_nothing, "measurement", "m.value, m.known_at", "m.value, m.row_ordinal as known_at"),
    (order_and_chunks_change_nothing, "finding", "partition by decision_key, code", "partition by code"),
]


@pytest.mark.parametrize(("claim", "kind", "old", "new"), LEAKS, ids=[f"{c.__name__}-{k}-{n}" for c, k, _, n in LEAKS])
def test_a_planted_leak_is_found(
    build: Build, monkeypatch: pytest.MonkeyPatch, claim: Property, kind: str, old: str, new: str
) -> None:
    with leaking(monkeypatch, kind, old, new), pytest.raises(AssertionError, match="differ"):
        QUICK(claim(build))()


def test_the_day_zero_of_the_worlds_is_the_decision_date(build: Build) -> None:
    frame = build(tables_of({"p": {"patients": []}}, {"d": {"patient_id": "p"}}))

    assert frame.loc["d", "decision_date"] == pd.Timestamp(DAY_ZERO)
