"""Policy values against a world whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluate.league import Arms, abstention_curve, confidence, league, logged_of, student_choices
from pipeline.evaluate.policies import MODEL, Choices, Setting, graded, only_given, policies
from pipeline.evaluate.published_rule import PublishedRule
from pipeline.learners import ModalityRanker, half_width
from pipeline.learners.policy_value import Logged
from pipeline.runs.setup import Setup
from tests.learners.worlds import ARMS, QUICK, WEIGHTS, World, ranker, world

FLOOR = 0.03
RULE = PublishedRule.model_validate(
    {
        "id": "rule",
        "label": "Rule",
        "about": "High x1 gets CAR T.",
        "conditions": [
            {"modality": "car_t", "when": {"feature": "x1", "at_least": 0}, "mark": "V", "source": "drawn"},
            {"modality": "adc", "mark": "V", "source": "drawn"},
        ],
    }
)
HONEST = ["random", "one_best_arm", "published_rule", "imitation", "lambdarank_naive", "lambdarank_dr", "linear",
          "stack", "model"]  # fmt: skip


@pytest.fixture(scope="module")
def people() -> World:
    """Return 1,500 people of a confounded world."""
    return world(1500, 21)


@pytest.fixture(scope="module")
def fitted(people: World) -> ModalityRanker:
    """Return an estimator fitted on them."""
    return ranker().fit(people.features, people.modality, people.outcomes)


@pytest.fixture(scope="module")
def setting(people: World, fitted: ModalityRanker) -> Setting:
    """Return what policies choose from."""
    nothing = np.zeros((1500, 3))
    return Setting(
        evidence=fitted.evidence_,
        arms=ARMS,
        burden=nothing,
        signed=fitted._signed(WEIGHTS),
        is_impossible=nothing.astype(bool),
        features=people.features,
        matrix=fitted.model_.columns.matrix(people.features),
        categorical=fitted.model_.columns.categorical,
    )


@pytest.fixture(scope="module")
def logged(setting: Setting) -> Logged:
    """Return the rows as policies are valued on them."""
    return logged_of(setting.evidence, setting.burden, setting.signed, FLOOR)


@pytest.fixture(scope="module")
def table(people: World, fitted: ModalityRanker, setting: Setting, logged: Logged) -> dict[str, dict[str, Any]]:
    """Return the league table, by policy."""
    students = student_choices(setting, fitted.deployed_.outcomes)
    arms = Arms(ARMS, ARMS, dict.fromkeys(ARMS))
    found = policies(setting, QUICK, RULE)
    return {row["policy"]: row for row in league(setting, logged, found, students, arms, {"suitability": people.truth})}


@pytest.mark.parametrize("policy", ["clinicians", *HONEST])
def test_both_estimates_lie_near_the_true_value(table: dict[str, dict[str, Any]], policy: str) -> None:
    row = table[policy]

    assert row["vetoed"] is None
    assert abs(row["value"] - row["true_value"]) < 4 * row["se"]
    assert abs(row["snipw"] - row["true_value"]) < 4 * row["snipw_se"]


def test_what_clinicians_did_is_worth_what_was_observed(
    people: World, fitted: ModalityRanker, table: dict[str, dict[str, Any]]
) -> None:
    own = people.modality.map({arm: k for k, arm in enumerate(ARMS)}).to_numpy()

    # A doubly-robust score of one's own choice would weigh people by 1 / propensity: not what was done.
    assert table["clinicians"]["value"] == pytest.approx(fitted.evidence_.observed_utility.mean())
    assert table["clinicians"]["snipw"] == pytest.approx(table["clinicians"]["value"])
    assert table["clinicians"]["true_value"] == pytest.approx(people.truth[np.arange(1500), own].mean())
    assert table["clinicians"]["difference"] == 0.0
    assert table["clinicians"]["difference_se"] == 0.0
    assert table["clinicians"]["mass"] == 1.0 and not table["clinicians"]["disagree"]


def test_the_model_leads_one_best_arm_which_leads_chance(table: dict[str, dict[str, Any]]) -> None:
    assert table["model"]["value"] > table["one_best_arm"]["value"] > table["random"]["value"]
    assert table["model"]["true_regret"] < table["one_best_arm"]["true_regret"] < table["clinicians"]["true_regret"]
    assert table["model"]["true_regret"] < table["lambdarank_naive"]["true_regret"]


def test_students_are_told_in_sample_and_never_look_better_than_the_model(table: dict[str, dict[str, Any]]) -> None:
    assert "in sample" in table["student"]["note"] and "fidelity only" in table["student"]["note"]
    assert table["student"]["value"] <= table["model"]["value"]
    assert table["student"]["snipw"] <= table["model"]["snipw"]


def test_a_student_that_guesses_falls_behind(setting: Setting, logged: Logged) -> None:
    guesses = Choices("student", "Guesses", np.full((1500, 3), 1 / 3))
    rows = league(setting, logged, policies(setting, QUICK), guesses, Arms(ARMS, ARMS, {}), None)
    by_policy = {row["policy"]: row for row in rows}

    assert by_policy["student"]["value"] < by_policy["model"]["value"] - 4 * by_policy["model"]["se"]


def test_no_persons_choice_depends_on_that_persons_outcome(setting: Setting) -> None:
    # Other outcomes for one fold change what is learned for the other folds, and nothing for itself.
    evidence = setting.evidence
    inside = evidence.fold.fold == 0
    flipped = replace(
        evidence,
        observed_utility=np.where(inside, -evidence.observed_utility, evidence.observed_utility),
        scores=np.where(inside[:, None], -evidence.scores, evidence.scores),
    )
    before = {choice.policy: choice.chance for choice in policies(setting, QUICK, RULE)}
    after = {choice.policy: choice.chance for choice in policies(replace(setting, evidence=flipped), QUICK, RULE)}

    for policy, chance in before.items():
        other = after[policy]
        assert chance is not None and other is not None
        assert np.array_equal(chance[inside], other[inside]), policy
    assert not np.array_equal(before["lambdarank_dr"], after["lambdarank_dr"])


def test_an_impossible_arm_is_never_chosen(setting: Setting) -> None:
    impossible = np.zeros((1500, 3), dtype=bool)
    impossible[:, 2] = True
    found = policies(replace(setting, is_impossible=impossible), QUICK, RULE)

    chances = [choice.chance for choice in found if choice.policy != "clinicians"]
    assert all(chance is not None and chance[:, 2].sum() == 0 for chance in chances)
    assert all(chance is not None and chance.sum(axis=1) == pytest.approx(np.ones(1500)) for chance in chances)


def test_rankings_are_the_same_for_any_number_of_threads(setting: Setting) -> None:
    one, two = (policies(setting, QUICK.model_copy(update={"threads": n})) for n in (1, 2))

    assert all(np.array_equal(a.chance, b.chance) for a, b in zip(one, two, strict=True))


def test_naive_labels_rank_the_arm_given_above_the_others() -> None:
    grades = graded(only_given(np.linspace(-1, 1, 100), np.arange(100) % 3, 3))

    assert grades.max(axis=1).min() == 1 and grades.max() == 16
    assert np.array_equal(grades.argmax(axis=1), np.arange(100) % 3)
    assert (np.sort(grades, axis=1)[:, :2] == 0).all()


@pytest.mark.parametrize(
    ("x1", "blocked", "wanted"),
    [(0.0, (), "car_t"), (-0.01, (), "adc"), (np.nan, (), "adc"), (1.0, ("car_t",), "adc")],
)
def test_the_published_rule_takes_the_first_condition_that_holds_and_is_possible(
    x1: float, blocked: tuple[str, ...], wanted: str
) -> None:
    impossible = np.array([[arm in blocked for arm in ARMS]])
    chance = RULE.chance(pd.DataFrame({"x1": [x1]}), ARMS, impossible)

    assert chance.tolist() == [[float(arm == wanted) for arm in ARMS]]


def test_where_the_rule_is_silent_chance_among_the_possible_decides() -> None:
    impossible = np.array([[True, False, True]])

    assert RULE.chance(pd.DataFrame({"x1": [1.0]}), ARMS, impossible).tolist() == [[0.0, 1.0, 0.0]]


def test_a_rule_about_arms_or_facts_that_are_not_here_does_not_apply(setting: Setting, logged: Logged) -> None:
    elsewhere = RULE.model_copy(
        update={"conditions": tuple(c.model_copy(update={"modality": "celmod"}) for c in RULE.conditions)}
    )
    found = policies(setting, QUICK, elsewhere)
    rows = league(setting, logged, found, None, Arms(ARMS, ARMS, {}), None)
    row = next(row for row in rows if row["policy"] == "published_rule")

    assert row["value"] is None and row["vetoed"] is None
    assert row["note"] == "not applicable: it names celmod, which is not ranked here"
    assert "asks for x1" in str(RULE.missing(ARMS, pd.DataFrame({"x2": [1.0]})))


def test_a_recalled_condition_makes_the_rule_a_draft(setting: Setting) -> None:
    recalled = tuple(c.model_copy(update={"mark": "R"}) for c in RULE.conditions)
    draft = RULE.model_copy(update={"conditions": recalled})
    notes = {choice.policy: choice.note for choice in policies(setting, QUICK, draft)}

    assert draft.is_draft and not RULE.is_draft
    assert notes["published_rule"].startswith("draft")


def test_confidence_is_the_gap_over_its_half_width_among_the_possible() -> None:
    utility = np.array([[0.1, 0.5, 0.4], [0.1, 0.5, 0.4], [0.1, 0.5, 0.4]])
    widths = np.full((3, 3, 3), 0.2)
    widths[:, 1, 0] = widths[:, 0, 1] = 0.8
    impossible = np.array([[False, False, False], [False, False, True], [True, False, True]])

    # 0.5 - 0.4 over 0.2; without the third arm 0.5 - 0.1 over 0.8; one possible arm leaves nothing to doubt.
    assert confidence(utility, widths, impossible).tolist() == pytest.approx([0.5, 0.5, np.inf])


def test_deciding_for_all_is_the_model_and_the_surest_gain_most(
    fitted: ModalityRanker, setting: Setting, logged: Logged, table: dict[str, dict[str, Any]]
) -> None:
    deviations = fitted.deviations(setting.features)
    widths = np.stack([half_width(deviations - deviations[:, :, [code]]) for code in range(3)], axis=1)
    sure = confidence(setting.evidence.utility, widths, setting.is_impossible)
    chosen = next(choice.chance for choice in policies(setting, QUICK) if choice.policy == MODEL)
    assert chosen is not None
    curve = abstention_curve(chosen, logged, sure)
    gain = {point["kept"]: point["difference"] for point in curve}

    assert [point["kept"] for point in curve] == [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]
    assert curve[0]["value"] == pytest.approx(table["model"]["value"])
    assert gain[1.0] == pytest.approx(table["model"]["difference"])
    # Half of the people give more than half of the gain.
    assert gain[0.5] > 0.5 * gain[1.0]


def test_the_shipped_rule_is_verified_and_fits_the_shipped_modalities_and_features(base_setup: Setup) -> None:
    rule = base_setup.published_rule
    assert rule is not None
    columns = pd.DataFrame(columns=[entry.name for entry in base_setup.spec.features])

    assert rule.missing(base_setup.config.modality_ids, columns) is None
    assert not rule.is_draft
    assert all(condition.source for condition in rule.conditions)
    assert set(rule.modalities) == set(base_setup.config.modality_ids)
