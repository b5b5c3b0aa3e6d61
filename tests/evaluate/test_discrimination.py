"""The model is compared with the two facts that everyone has, on the same people and pairs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluate.censoring import concordance
from pipeline.evaluate.discrimination import BASELINE, discrimination
from tests.evaluate.drawn_evidence import CONTROL, Drawn, drawn


def _with_stage(people: Drawn, loading: float) -> pd.DataFrame:
    reason = people.features["reason"].to_numpy()
    rng = np.random.default_rng(1)
    told = loading * reason + np.sqrt(1 - loading**2) * rng.normal(size=len(reason))
    return people.features.assign(iss=np.digitize(-told, [-0.5, 0.5]) + 1.0, n_prior_lines=2.0)


def test_the_models_concordance_is_that_of_its_risk_under_the_modality_given() -> None:
    people = drawn(800, 1)
    row = discrimination(people.evidence, _with_stage(people, 0.0), CONTROL)[0]
    own = people.truth[np.arange(800), people.evidence.arm]
    follow_up = people.evidence.follow_up
    wanted = concordance(follow_up.months["durable_control"], follow_up.event["durable_control"], 1 - own, 12)

    assert wanted is not None
    assert (row["model"], row["model_low"], row["model_high"]) == (wanted.value, wanted.low, wanted.high)
    assert row["events"] == int((follow_up.event["durable_control"] == 1).sum())


@pytest.mark.parametrize(("loading", "beats_chance"), [(0.0, False), (0.95, True)])
def test_the_baseline_is_as_good_as_its_facts(loading: float, beats_chance: bool) -> None:
    people = drawn(1500, 2)
    row = discrimination(people.evidence, _with_stage(people, loading), CONTROL)[0]

    assert row["baseline_features"] == list(BASELINE)
    assert (row["baseline_low"] > 0.5) == beats_chance
    assert row["baseline"] < row["model_high"]


def test_a_source_without_those_facts_has_no_baseline() -> None:
    people = drawn(200, 3)
    row = discrimination(people.evidence, people.features, CONTROL)[0]

    assert (row["baseline"], row["baseline_features"]) == (None, [])
    assert row["model"] is not None


def test_a_share_of_time_is_not_ranked() -> None:
    people = drawn(200, 3)
    share = replace(CONTROL[0], name="treatment_free", kind="free_share")

    assert len(discrimination(people.evidence, people.features, (*CONTROL, share))) == 1
