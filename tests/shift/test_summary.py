"""What changed is named, what did not is not, and no count of one to ten is told."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from pipeline.review import shift_page
from pipeline.runs.shift_screen import shift_shown
from pipeline.shift import Now, Profile, differences, summary
from tests.shift.worlds import CONFIG, MEANINGS, NUMBERS, learned_from, people, seen


@pytest.fixture(scope="module")
def profile() -> Profile:
    return learned_from(people(800, 1))


def told(profile: Profile, now: Now) -> dict[str, Any]:
    return summary(profile, now, differences(profile, now, CONFIG), CONFIG, MEANINGS)


def issues(found: dict[str, Any]) -> list[str]:
    return [check["code"] for check in found["checks"] if check["result"] == "issue"]


@pytest.mark.parametrize("seed", range(5))
def test_the_same_institution_later_raises_no_issue(profile: Profile, seed: int) -> None:
    found = told(profile, seen(profile, people(400, 100 + seed), modalities={"car_t": 205, "adc": 195}))

    assert issues(found) == []
    assert found["verdict"]["result"] == "as_trained"
    assert found["next"] == ["Nothing to do now; look again after the next few hundred decisions."]


def test_fifty_decisions_of_the_same_institution_are_too_little_to_tell(profile: Profile) -> None:
    found = told(profile, seen(profile, people(50, 9)))

    assert issues(found) == []
    assert found["verdict"]["result"] == "unclear"
    assert found["next"][0].startswith("Too few people to tell small changes: about ")


def test_fifty_decisions_show_what_has_changed_much(profile: Profile) -> None:
    frame = people(50, 10)
    found = told(profile, seen(profile, frame.assign(creatinine=88.4 * frame["creatinine"])))

    assert issues(found) == ["S01"]  # milligrams per decilitre read as micromoles per litre


def test_another_unit_is_named(profile: Profile) -> None:
    frame = people(400, 11)
    found = told(profile, seen(profile, frame.assign(creatinine=1.6 * frame["creatinine"])))

    assert issues(found) == ["S01"]
    assert [row["feature"] for row in found["features"] if row["spread"] == "issue"] == ["creatinine"]
    assert "Look at these facts: Creatinine. Ask first whether a unit" in found["next"][0]


def test_a_table_left_out_is_named_once(profile: Profile) -> None:
    gone = dict.fromkeys(NUMBERS[:3])
    found = told(profile, seen(profile, people(400, 12, **gone)))

    assert issues(found) == ["S02"]
    assert found["next"][0].startswith(
        "Next to nothing is known of 3 facts read from measurements: Creatinine, Hemoglobin, Platelets. Was the table"
    )


def test_a_fact_recorded_less_often_is_named_and_not_called_gone(profile: Profile) -> None:
    frame = people(400, 13)
    frame.loc[::3, "hemoglobin"] = np.nan
    found = told(profile, seen(profile, frame))

    assert issues(found) == ["S02"]
    assert "recorded more or less often than in training: Hemoglobin." in found["next"][0]


def test_the_terminal_says_what_is_not_so_and_what_was_wanted(profile: Profile) -> None:
    said = io.StringIO()
    found = told(profile, seen(profile, people(400, 12, **dict.fromkeys(NUMBERS[:3]))))
    shift_shown(found, Path("page.html"), Console(file=said, width=400))

    assert said.getvalue().splitlines()[:2] == [
        "Changed since training: facts are recorded more or less often (S02). Look before relying on the order.",
        "  S02 Facts are recorded as often as in training? No: 3 are not (Creatinine; Platelets; Hemoglobin. 6 "
        "compared). Wanted: every share missing within 10 points of training, or within chance",
    ]


def test_a_new_site_shows_among_the_others(profile: Profile) -> None:
    frame = people(400, 14)
    new = pd.Series(np.where(np.arange(400) % 2, "C", frame["site_id"].astype(str)))
    found = told(profile, seen(profile, frame.assign(site_id=new)))

    changed = next(row for row in found["features"] if row["feature"] == "site_id")
    assert issues(found) == ["S01"] and changed["spread"] == "issue"
    assert [part["bin"] for part in changed["bins"]] == ["site 1", "site 2", "other"]
    assert changed["bins"][-1] == {"bin": "other", "then": 0.0, "now": 0.5}
    assert changed["ks"] is None and changed["missing"] is None


@pytest.mark.parametrize(
    ("code", "other"),
    [
        ("S03", {"reasons": {"unexpected_missing": 80}}),
        ("S04", {"reasons": {"unseen_category": 80}}),
        ("S05", {"reasons": {"shifted": 80}}),
        ("S06", {"outside": 300}),
        ("S07", {"modalities": {"car_t": 390, "adc": 10}}),
    ],
)
def test_each_reason_to_abstain_and_what_is_given_have_a_check(
    profile: Profile, code: str, other: dict[str, Any]
) -> None:
    found = told(profile, seen(profile, people(400, 15), **other))

    assert issues(found) == [code]
    assert f"({code})" in found["verdict"]["words"]
    assert found["next"] != ["Nothing to do now; look again after the next few hundred decisions."]


def test_what_was_given_is_not_compared_before_it_is_known(profile: Profile) -> None:
    assert "S07" not in [check["code"] for check in told(profile, seen(profile, people(400, 16)))["checks"]]


def counts_told(found: dict[str, Any], now: Now) -> list[int]:
    """Return every count that a reader can work out from the shares told of bins."""
    worked_out = []
    for row in found["features"]:
        counts = now.counts[row["feature"]]
        shown = [(part["now"], count) for part, count in zip(row["bins"], counts, strict=False)]
        worked_out += [int(count) for share, count in shown if share is not None]
        hidden = [int(count) for share, count in shown if share is None]
        assert not hidden or len(hidden) > 1 or sum(counts[:-1]) <= hidden[0]
    return worked_out


@given(seed=st.integers(0, 10_000), n=st.integers(1, 120))
@settings(max_examples=15, deadline=None)
def test_no_count_of_one_to_ten_is_told(profile: Profile, seed: int, n: int) -> None:
    now = seen(profile, people(n, seed), modalities={"car_t": n - n // 20, "adc": n // 20})
    found = told(profile, now)

    assert not [count for count in counts_told(found, now) if 0 < count < 11]
    for row in found["features"]:
        part = 0 if row["missing"] is None else int(now.counts[row["feature"]][-1])
        if 0 < part < 11 or 0 < n - part < 11:
            bounds = {"low": None, "high": None} if row["missing"] is None else row["missing"]["now"]
            assert bounds["low"] is None or bounds["low"] != bounds["high"]


def test_the_page_is_the_same_from_what_was_written(profile: Profile) -> None:
    found = told(profile, seen(profile, people(200, 18, hemoglobin=None), modalities={"car_t": 195, "adc": 5}))
    page = shift_page(found)

    assert page == shift_page(json.loads(json.dumps(found, allow_nan=False)))
    assert "Something has changed" in page and "masked" in page


def test_people_decided_on_twice_count_once(profile: Profile) -> None:
    frame = people(60, 17)
    frame = frame.assign(creatinine=1.35 * frame["creatinine"])
    doubled = pd.concat([frame] * 6, ignore_index=True)
    once, often = (differences(profile, seen(profile, rows), CONFIG)[0].test for rows in (frame, doubled))

    assert often.chance == pytest.approx(once.chance)
