"""The whole estimator on worlds with known truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.config import LearnerConfig
from pipeline.errors import DamagedModelError, NoOverlapError
from pipeline.learners import ModalityRanker, model_files, model_from_files
from pipeline.learners.crossfit import fold_of
from tests.learners.worlds import ARMS, QUICK, WEIGHTS, World, ranker, world

pytestmark = pytest.mark.xdist_group("learners")


def test_it_chooses_better_than_one_best_arm_and_than_the_confounded_choices(
    people: World, fitted: ModalityRanker
) -> None:
    own = people.modality.map({arm: k for k, arm in enumerate(ARMS)}).to_numpy()
    fresh = world(3000, 2)
    chosen = fitted.suitability(fresh.features).to_numpy().argmax(axis=1)
    best = np.full(3000, fresh.truth.mean(axis=0).argmax())

    assert fresh.regret(chosen) < 0.75 * fresh.regret(best)
    assert fresh.regret(chosen) < 0.5 * people.regret(own)


def test_a_world_without_effect_is_mostly_tied() -> None:
    flat = world(900, 3, effect=0.0)
    same = World(flat.features, flat.modality, flat.outcomes, flat.truth)
    ranks = ranker().fit(same.features, same.modality, same.outcomes[list(same.outcomes.columns)]).rank(same.features)

    assert (ranks == 1).all(axis=1).mean() > 0.5


def test_the_outcome_vector_has_one_row_per_person_and_arm(people: World, fitted: ModalityRanker) -> None:
    predicted = fitted.predict(people.features.head(4))

    assert predicted.shape == (12, 2)
    assert list(predicted.columns) == ["durable_control", "severe_toxicity"]


def test_other_weights_rank_again_without_learning_again(people: World, fitted: ModalityRanker) -> None:
    only_toxicity = fitted.suitability(people.features, {"durable_control": 0.0, "severe_toxicity": 1.0})
    toxicity = fitted.predict(people.features)["severe_toxicity"].unstack("modality")

    assert np.allclose(only_toxicity.to_numpy(), -toxicity[list(ARMS)].to_numpy())


def test_threads_change_no_byte() -> None:
    people = world(300, 4)
    files = []
    for threads in (1, 2, 4):
        chosen = QUICK.model_copy(update={"threads": threads})
        files.append(model_files(ranker(chosen).fit(people.features, people.modality, people.outcomes).model_))

    assert files[0] == files[1] == files[2]


def test_a_saved_model_predicts_what_it_did(people: World, fitted: ModalityRanker) -> None:
    again = model_from_files(model_files(fitted.model_))
    signed = np.repeat(fitted._signed(WEIGHTS)[None], len(people.features), axis=0)

    assert np.array_equal(again.outcomes(people.features), fitted.model_.outcomes(people.features))
    assert np.allclose(again.deviations(people.features, signed), fitted.model_.deviations(people.features, signed))
    impossible = np.zeros((len(people.features), 3), dtype=bool)
    assert np.array_equal(
        again.support(people.features, impossible), fitted.model_.support(people.features, impossible)
    )


def test_a_model_of_another_format_is_refused(fitted: ModalityRanker) -> None:
    files = model_files(fitted.model_)
    files["model.json"] = files["model.json"].replace(b'"format": 2', b'"format": 9')
    with pytest.raises(DamagedModelError, match="format 9, wanted 2"):
        model_from_files(files)


def test_missing_student_file_is_a_clear_error(fitted: ModalityRanker) -> None:
    files = model_files(fitted.model_)
    del files["student_00.txt"]
    with pytest.raises(DamagedModelError, match="missing or malformed"):
        model_from_files(files)


@pytest.mark.parametrize("cases", [0, 1, 7, 8])
def test_an_arm_with_few_cases_is_not_ranked_and_says_how_many_were_wanted(cases: int) -> None:
    people = world(400, 5)
    few = people.modality != "adc"
    keep = np.flatnonzero(few.to_numpy() | (np.cumsum((~few).to_numpy()) <= cases))
    model = ranker(time_limited=dict.fromkeys(ARMS, False)).fit(
        people.features.iloc[keep].reset_index(drop=True),
        people.modality.iloc[keep].reset_index(drop=True),
        people.outcomes.iloc[keep].reset_index(drop=True),
    )

    assert model.arms_ == ("bispecific", "car_t")
    assert "wanted 40" in str(model.gates_["adc"].reason)
    assert model.gates_["adc"].cases == cases


def test_an_arm_without_events_is_not_ranked() -> None:
    people = world(400, 6)
    own = (people.modality == "adc").to_numpy()
    outcomes = people.outcomes.copy()
    outcomes.loc[own, "durable_control_event"] = 0
    outcomes.loc[own, "durable_control_months"] = 13.0
    model = ranker().fit(people.features, people.modality, outcomes)

    assert model.gates_["adc"].reason == "0 events, wanted 15"


def test_an_arm_censored_before_the_horizon_for_more_than_half_is_not_ranked() -> None:
    people = world(400, 7)
    own = np.flatnonzero((people.modality == "adc").to_numpy())
    outcomes = people.outcomes.copy()
    outcomes.loc[own[: len(own) * 6 // 10], ["durable_control_event", "durable_control_months"]] = [0, 2.0]
    model = ranker().fit(people.features, people.modality, outcomes)

    assert str(model.gates_["adc"].reason).startswith("follow_up")


def test_one_arm_alone_cannot_be_compared() -> None:
    people = world(300, 8)
    with pytest.raises(NoOverlapError, match="1 modality"):
        ranker().fit(people.features, pd.Series(["adc"] * 300), people.outcomes)


def test_all_rows_of_a_patient_share_a_fold() -> None:
    rng = np.random.default_rng(9)
    groups = rng.integers(0, 150, size=600)
    fold = fold_of(rng.integers(0, 3, size=600), groups, 5, 1)

    assert all(len(set(fold[groups == patient])) == 1 for patient in np.unique(groups))
    assert set(fold) == set(range(5))


def test_the_stored_ranges_are_no_single_persons_values(people: World, fitted: ModalityRanker) -> None:
    low, high = fitted.model_.contract.ranges["x0"]
    values = np.sort(people.features["x0"])

    assert (low, high) == (values[10], values[-11])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"x1": np.nan}, "unexpected_missing"),
        ({"site": "east"}, "unseen_category"),
        ({"x1": 40.0}, "shifted"),
    ],
)
def test_a_row_unlike_training_gets_its_reason(
    people: World, fitted: ModalityRanker, change: dict[str, object], reason: str | None
) -> None:
    row = people.features.head(1).astype({"site": "object"}).assign(**{"x0": 0.0, "x1": 0.0, "x2": 0.0, **change})
    row[["x3", "x4", "x5"]] = 0.0

    assert fitted.model_.contract.reasons(row, fitted.model_.columns) == [reason]


def test_hiding_values_in_training_keeps_a_gap_from_meaning_zero() -> None:
    people = world(600, 10)
    settings = LearnerConfig.model_validate(QUICK.model_dump() | {"missing_dropout": 0.1})
    model = ranker(settings).fit(people.features, people.modality, people.outcomes).model_
    frail = people.features.assign(x0=2.5)
    gap = people.features.assign(x0=np.nan)
    average = people.features.assign(x0=0.0)
    values = [model.outcomes(table)[:, :, 0].mean() for table in (frail, gap, average)]

    assert abs(values[1] - values[2]) < abs(values[0] - values[2])
