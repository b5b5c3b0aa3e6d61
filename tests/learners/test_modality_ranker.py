"""The whole estimator on worlds with known truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

from pipeline.config import LearnerConfig
from pipeline.errors import DamagedModelError, NoOverlapError
from pipeline.learners import ModalityRanker, model_files, model_from_files
from pipeline.learners.crossfit import fold_of
from pipeline.learners.design import Columns
from pipeline.learners.model import moving_features
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


def test_one_time_and_one_event_are_enough(people: World) -> None:
    months, event = people.outcomes["durable_control_months"], people.outcomes["durable_control_event"]
    structured = np.array(list(zip(event == 1, months, strict=True)), dtype=[("event", bool), ("time", float)])
    by_table, by_array = (
        ModalityRanker(settings=QUICK, modifiers=("x1", "x2"), deploy=False).fit(
            people.features, people.modality, given
        )
        for given in (pd.DataFrame({"months": months, "event": event}), structured)
    )
    survival = by_table.suitability(people.features)

    assert np.array_equal(survival, by_array.suitability(people.features))
    assert survival.to_numpy().min() > 0 and survival.to_numpy().max() < 1
    assert np.allclose(survival, by_table.predict(people.features)["event_free"].unstack("modality"))
    arm = people.modality == "car_t"
    assert survival["car_t"].mean() == pytest.approx(np.mean(months[arm] > 12), abs=0.15)


def test_an_array_is_learned_from_as_the_table_is() -> None:
    people = world(300, 19)
    table = people.features.drop(columns="site")
    made = [
        ranker(deploy=False).fit(X, people.modality, people.outcomes).suitability(X).to_numpy()
        for X in (table, table.to_numpy())
    ]

    assert np.array_equal(made[0], made[1])


def test_without_deployment_the_committee_speaks_and_intervals_are_refused() -> None:
    people = world(300, 20)
    model = ranker(deploy=False).fit(people.features, people.modality, people.outcomes)
    said = model.predict(people.features).to_numpy().reshape(-1, 3, 2)

    assert np.array_equal(said, model.committee_outcomes(people.features))
    with pytest.raises(NotFittedError, match="deploy=True"):
        model.rank(people.features)


def test_nothing_of_an_earlier_fit_is_left_when_nothing_is_deployed() -> None:
    people = world(300, 13)
    model = ranker().fit(people.features, people.modality, people.outcomes)
    model.set_params(deploy=False).fit(people.features, people.modality, people.outcomes)

    assert not hasattr(model, "model_") and not hasattr(model, "deployed_")


@pytest.mark.parametrize("method", ["predict", "suitability", "rank", "deviations", "committee_outcomes"])
def test_nothing_is_said_before_anything_is_learned(people: World, method: str) -> None:
    with pytest.raises(NotFittedError, match="not fitted yet"):
        getattr(ModalityRanker(), method)(people.features)


def test_missing_columns_are_named(people: World, fitted: ModalityRanker) -> None:
    with pytest.raises(ValueError, match=r"(?s)missing:\n- x3"):
        fitted.suitability(people.features.drop(columns="x3"))


def test_tables_of_other_people_are_refused(people: World) -> None:
    with pytest.raises(ValueError, match=r"outcomes: 5 row\(s\), wanted 900 as in X"):
        ranker().fit(people.features, people.modality, people.outcomes.head(5))


def test_equal_ranks_are_those_whose_interval_covers_zero(people: World, fitted: ModalityRanker) -> None:
    table = people.features.head(50)
    values, deviations = fitted.suitability(table).to_numpy(), fitted.deviations(table)
    ranks = fitted.rank(table).to_numpy()
    for row in range(50):
        for arm in range(3):
            widths = 1.645 * np.sqrt(np.sum((deviations[row] - deviations[row][:, [arm]]) ** 2, axis=0))
            clearly = values[row] - values[row, arm] > widths
            assert ranks[row, arm] == 1 + clearly.sum()


def test_a_policy_is_worth_what_it_truly_is_where_chances_are_known(fitted: ModalityRanker) -> None:
    trial = world(2000, 14, confounding=0.0)
    third = dict.fromkeys(ARMS, 1 / 3)
    for k, arm in enumerate(ARMS):
        worth = fitted.policy_value(
            trial.features, trial.modality, trial.outcomes, propensity=third, policy=[arm] * 2000
        )
        assert worth.value == pytest.approx(trial.truth[:, k].mean(), abs=4 * worth.se)
        assert worth.se < 0.03
    own = fitted.policy_value(trial.features, trial.modality, trial.outcomes, propensity=third)
    chosen = fitted.suitability(trial.features).to_numpy().argmax(axis=1)

    assert own.value == pytest.approx(trial.truth[np.arange(2000), chosen].mean(), abs=4 * own.se)
    assert own.value > worth.value


def test_predicted_chances_undo_the_confounding(fitted: ModalityRanker) -> None:
    fresh = world(4000, 15)
    worth = fitted.policy_value(fresh.features, fresh.modality, fresh.outcomes, policy=["adc"] * 4000)
    own = (fresh.modality == "adc").to_numpy()
    seen = 0.4 * (fresh.outcomes["durable_control_months"] > 12) - 0.2 * (fresh.outcomes["severe_toxicity_months"] < 6)
    naive = float(seen[own].mean() / 0.6)
    truth = float(fresh.truth[:, 0].mean())

    assert abs(worth.value - truth) < 0.5 * abs(naive - truth)


def test_weights_of_a_policys_value_are_the_persons_own(fitted: ModalityRanker) -> None:
    trial = world(1500, 16, confounding=0.0)
    values = [
        fitted.policy_value(
            trial.features, trial.modality, trial.outcomes, dict.fromkeys(ARMS, 1 / 3), ["adc"] * 1500, weights=weights
        ).value
        for weights in ({"durable_control": 1.0}, {"severe_toxicity": 1.0})
    ]

    assert values[0] > 0 > values[1]


def test_a_policy_is_valued_among_people_given_a_ranked_arm() -> None:
    people = world(500, 17)
    rare = people.modality.where(np.arange(500) % 50 > 0, "none")
    model = ranker(deploy=False).fit(people.features, rare, people.outcomes)
    with_rare = model.policy_value(people.features, rare, people.outcomes, policy=["adc"] * 500)
    kept = (rare != "none").to_numpy()
    without = model.policy_value(
        people.features[kept], rare[kept], people.outcomes[kept], policy=["adc"] * int(kept.sum())
    )

    assert model.gates_["none"].reason == "<11 cases, wanted 40"
    assert with_rare == without


def test_an_arm_never_seen_and_rows_without_a_ranked_arm_are_refused(people: World, fitted: ModalityRanker) -> None:
    with pytest.raises(ValueError, match="never seen in fit: surgery; known: adc, bispecific, car_t"):
        fitted.policy_value(people.features, ["surgery"] * 900, people.outcomes)


def test_a_patient_whose_rows_agree_counts_once(fitted: ModalityRanker) -> None:
    trial = world(600, 18, confounding=0.0)
    twice = np.repeat(np.arange(600), 2)
    tables = trial.features.iloc[twice], trial.modality.iloc[twice], trial.outcomes.iloc[twice]
    third = dict.fromkeys(ARMS, 1 / 3)
    once = fitted.policy_value(trial.features, trial.modality, trial.outcomes, third)

    assert fitted.policy_value(*tables, third, groups=twice).se == pytest.approx(once.se)
    assert fitted.policy_value(*tables, third).se == pytest.approx(once.se / np.sqrt(2))


def test_what_moves_is_judged_on_an_even_sample_not_on_the_first_rows() -> None:
    names = ("early", "late")
    matrix = np.zeros((2000, 2))
    matrix[:400, 0] = 5.0  # only the first rows have it

    class Spy:
        def contributions(self, rows: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            self.rows = rows
            return np.zeros((len(rows), 2)), np.stack([rows * 0.0, rows + np.array([0.0, 2.0])], axis=1)

    spy = Spy()
    moving = moving_features(matrix, Columns(names, {}), spy, np.ones(1))  # type: ignore[arg-type]

    assert len(spy.rows) == 400
    assert spy.rows[:, 0].mean() == pytest.approx(1.0)  # a fifth of the sample, as of the people
    assert moving == ["late", "early"]


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
