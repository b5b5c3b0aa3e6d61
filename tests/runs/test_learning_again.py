"""Learning again changes one thing at a time, rebuilds features in full, and says what was not done."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator

from pipeline.config import StabilityConfig
from pipeline.errors import NoOverlapError
from pipeline.learners import Target
from pipeline.runs import stability
from pipeline.runs.held_out import Decisions
from pipeline.runs.reading import read_known
from pipeline.runs.reporting import Quiet
from pipeline.runs.setup import Setup
from pipeline.runs.stability import learned_again
from tests.conftest import Journey

FEATURES = pd.DataFrame({"decision_id": ["d1", "d2"], "site_id": ["s", "s"], "refractory_lenalidomide": [0.0, 1.0]})
OTHER = FEATURES.assign(refractory_lenalidomide=[1.0, 1.0])
LABELS = pd.DataFrame({"modality": ["adc", "car_t"]})


class Parrot(BaseEstimator):
    """Says of both people what its seed and its first feature are, so that what changed can be read off."""

    def __init__(self, targets: Any = (), settings: Any = None, deploy: bool = True, fails: bool = False) -> None:
        self.targets, self.settings, self.deploy, self.fails = targets, settings, deploy, fails

    def fit(self, features: pd.DataFrame, *_: Any, **__: Any) -> Parrot:
        if self.fails and not self.deploy:
            raise NoOverlapError("too few")
        self.arms_ = ("adc", "car_t")
        told = self.settings.seed + 0.1 * features["refractory_lenalidomide"].to_numpy()
        outcomes = np.stack([told, np.zeros(2)], axis=1)[:, :, None]
        self.evidence_ = SimpleNamespace(rows=np.arange(2), committee_outcomes=outcomes)
        return self


def _run(setup: Setup, *, seeds: int, refractory: bool, fails: bool = False) -> tuple[Any, Any]:
    settings = setup.config.settings
    wanted = StabilityConfig(seeds=seeds, refractory=refractory)
    evaluation = settings.evaluation.model_copy(update={"stability": wanted})
    own = replace(setup.config, settings=settings.model_copy(update={"evaluation": evaluation}))
    target = Target("durable_control", "event_free", 12, 1.0)
    ranker = Parrot((target,), settings.learner, fails=fails).fit(FEATURES)
    decisions = Decisions(FEATURES, LABELS, pd.Series(["p1", "p2"]), pd.DataFrame({"adc": [False, False]}))
    known = SimpleNamespace(connection=None)
    return learned_again(known, replace(setup, config=own), ranker, decisions)  # type: ignore[arg-type]


def test_a_seed_changes_the_seed_alone_and_a_definition_the_features_alone(
    base_setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def build(connection: Any, spec: Any, drugs: Any, modalities: Any, definition: str) -> pd.DataFrame:
        asked.append(definition)
        return OTHER.iloc[::-1]

    monkeypatch.setattr(stability, "build", build)
    found, not_done = _run(base_setup, seeds=2, refractory=True)
    weight = base_setup.config.settings.weights
    share = weight["durable_control"] / (weight["durable_control"] + weight["burden"])
    change = [(variation.after - variation.before)[:, 0] / share for variation in found]

    assert [variation.kind for variation in found] == ["seed", "seed", "refractory"]
    assert asked == ["next_line"] and not_done == ()
    # A seed moves both people alike; the definition moves only the one who is refractory by it.
    assert change[0] == pytest.approx([7919, 7919]) and change[1] == pytest.approx([15838, 15838])
    assert change[2] == pytest.approx([0.1, 0.0], abs=1e-6)


def test_what_is_switched_off_is_told(base_setup: Setup) -> None:
    found, not_done = _run(base_setup, seeds=0, refractory=False)

    assert found == () and len(not_done) == 2
    assert all("switched off" in words for words in not_done)


def test_a_definition_that_changes_no_feature_is_not_learned(
    base_setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stability, "build", lambda *_: FEATURES)
    found, not_done = _run(base_setup, seeds=0, refractory=True)

    assert found == () and "it changes no feature" in not_done[-1]


def test_a_variation_that_cannot_be_learned_is_told(base_setup: Setup) -> None:
    found, not_done = _run(base_setup, seeds=1, refractory=False, fails=True)

    assert found == () and "fewer than two modalities could be learned" in not_done[0]


@pytest.mark.xdist_group("journey")
def test_rebuilt_features_are_the_same_by_the_same_definition_and_differ_only_in_what_it_defines(
    journey: Journey,
) -> None:
    known = read_known(journey.records, journey.setup, training=True, reporter=Quiet())
    decisions = Decisions(known.features.iloc[::-1].reset_index(drop=True), LABELS, pd.Series(), LABELS)
    same = stability._rebuilt(known, journey.setup, decisions, "imwg")
    other = stability._rebuilt(known, journey.setup, decisions, "next_line")
    changed = {name for name in other if not other[name].equals(decisions.features[name])}

    pd.testing.assert_frame_equal(same, decisions.features)
    # MyCARe counts being refractory to five drugs.
    assert changed and all("refractory" in name for name in changed - {"mycare"})


@pytest.mark.xdist_group("journey")
def test_a_run_that_did_not_learn_again_says_so_and_still_varies_weights_and_draws(journey: Journey) -> None:
    found = journey.trained.evaluation["stability"]
    kinds = [row["kind"] for row in found["variations"]]
    check = next(c for c in journey.trained.evaluation["checks"] if c["code"] == "C21")

    assert set(kinds) == {"weights", "draws"} and kinds.count("weights") == 10
    assert (check["result"], check["section"], len(found["not_done"])) == ("not_applicable", "stability", 2)
    assert found["clear"] + found["tied"] == found["decisions"] > 600
