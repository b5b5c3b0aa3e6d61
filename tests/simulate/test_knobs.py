"""Does each setting do what it says, and nothing else?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from pipeline.simulate import MODALITIES, SimulationSettings, simulate
from pipeline.simulate.comparison import survival


def control(institution):
    """Return per modality the naive Kaplan-Meier control at 12 months of those who got it, and the true mean."""
    hidden = institution.hidden
    over = np.minimum(hidden["progression_day"], hidden["death_day"])
    days = np.minimum(over, hidden["end_of_contact"]) - hidden["decision_day"]
    failed = over <= hidden["end_of_contact"]
    naive = [survival(days[hidden["chosen"] == k], failed[hidden["chosen"] == k], 365) for k in range(4)]
    return pd.Series(naive, MODALITIES), institution.truth.groupby("modality")["durable_control"].mean()[
        list(MODALITIES)
    ]


def contrast_error(institution, first, second):
    naive, true = control(institution)
    return (naive[first] - naive[second]) - (true[first] - true[second])


def regrets(institution):
    suitability = institution.truth["suitability"].to_numpy().reshape(-1, 4)
    best = suitability.max(axis=1)
    chosen = suitability[np.arange(len(best)), institution.hidden["chosen"]]
    return {
        "best arm": best.mean() - suitability.mean(axis=0).max(),
        "clinicians": (best - chosen).mean(),
        "random": (best - suitability.mean(axis=1)).mean(),
    }


def test_same_settings_give_the_same_bytes_and_another_seed_does_not(world):
    once = simulate(SimulationSettings(decisions=150, seed=4))
    again = simulate(SimulationSettings(decisions=150, seed=4))
    other = simulate(SimulationSettings(decisions=150, seed=5))
    for name, frame in once.tables.items():
        pd.testing.assert_frame_equal(frame, again.tables[name], check_exact=True)
        assert frame.to_csv() == again.tables[name].to_csv()
    assert once.truth.to_csv() == again.truth.to_csv()
    assert once.truth.to_csv() != other.truth.to_csv()


@pytest.mark.parametrize("decisions", [1, 2, 7, 153])
def test_exactly_so_many_decisions_are_written(decisions):
    assert len(simulate(SimulationSettings(decisions=decisions, seed=1)).tables["decisions"]) == decisions


def test_naive_comparison_is_wrong_by_design(world):
    institution = world(decisions=9000, seed=12)
    assert contrast_error(institution, "car_t", "bispecific") > 0.05
    assert contrast_error(institution, "standard_triplet", "bispecific") > 0.05


def test_without_confounding_the_naive_comparison_is_right(randomised):
    naive, true = control(randomised)
    counts = np.bincount(randomised.hidden["chosen"], minlength=4)
    assert (np.abs(naive - true) < 4 * np.sqrt(0.25 / counts)).all()


def test_confounding_grows_with_its_knob(world):
    sizes = [
        np.abs(contrast_error(world(decisions=6000, seed=12, confounding=k), "standard_triplet", "bispecific"))
        for k in (0.0, 1.0, 2.0)
    ]
    assert sizes[0] < 0.05 < sizes[1] < sizes[2]


def test_the_unmeasured_confounder_moves_choice_and_prognosis_together_and_is_written_nowhere(world):
    hidden = world(decisions=6000, seed=12, unmeasured_confounder=1.0).hidden
    drive = [hidden["unmeasured"][hidden["chosen"] == k].mean() for k in (0, 1)]
    assert drive[0] > 0.2 > 0 > drive[1]
    held = hidden["progression_day"] - hidden["decision_day"] > 365
    assert np.corrcoef(hidden["unmeasured"], held)[0, 1] > 0.1
    plain = world(decisions=6000, seed=12).hidden
    assert abs(plain["unmeasured"][plain["chosen"] == 0].mean()) < 0.1


def test_heterogeneity_scales_the_spread_of_contrasts(world):
    def spread(institution):
        suitability = institution.truth["suitability"].to_numpy().reshape(-1, 4)
        return np.std(suitability[:, 3] - suitability[:, 0])

    spreads = [spread(world(decisions=2000, seed=3, heterogeneity=h)) for h in (0.0, 0.5, 1.0, 2.0)]
    assert spreads[0] < 0.04
    assert spreads == sorted(spreads)
    assert spreads[2] > 4 * spreads[0]


@pytest.mark.parametrize("form", ["linear", "tree"])
def test_no_arm_is_best_for_everyone_and_choosing_by_patient_is_worth_something(world, form):
    institution = world(decisions=6000, seed=12, form=form)
    suitability = institution.truth["suitability"].to_numpy().reshape(-1, 4)
    shares = np.bincount(suitability.argmax(axis=1), minlength=4) / len(suitability)
    assert 0.40 < shares[0] < 0.68
    assert (shares[1:] > 0.07).all()
    value = regrets(institution)
    assert 0.04 < value["best arm"] < 0.10
    assert value["best arm"] < value["clinicians"] < value["random"]


def test_tree_and_linear_worlds_differ(world):
    linear = world(decisions=2000, seed=3).truth["suitability"].to_numpy().reshape(-1, 4)
    tree = world(decisions=2000, seed=3, form="tree").truth["suitability"].to_numpy().reshape(-1, 4)
    assert np.mean(linear.argmax(axis=1) == tree.argmax(axis=1)) < 0.85


def lost(institution):
    """Share of each arm whose follow-up ends before 12 months without an event."""
    hidden = institution.hidden
    over = np.minimum(hidden["progression_day"], hidden["death_day"])
    early = (over > hidden["end_of_contact"]) & (hidden["end_of_contact"] < hidden["decision_day"] + 365)
    return np.array([early[hidden["chosen"] == k].mean() for k in range(4)])


def test_censoring_levels_are_ordered_and_even_heavy_leaves_arms_rankable(world):
    none, usual, heavy = (lost(world(decisions=6000, seed=12, censoring=c)) for c in ("none", "default", "heavy"))
    assert (none == 0).all()
    assert ((usual > 0.08) & (usual < 0.30)).all()
    assert (usual + 0.08 < heavy).all()
    assert (heavy < 0.5).all()


def test_missingness_leaves_choices_outcomes_and_truth_alone(world):
    full, usual, sparse = (world(decisions=1500, seed=3, missingness=m) for m in (0.0, 1.0, 2.0))
    assert full.truth.equals(sparse.truth)
    pd.testing.assert_frame_equal(full.tables["events"], sparse.tables["events"])
    pd.testing.assert_frame_equal(full.tables["decisions"], sparse.tables["decisions"])
    for table in ("measurements", "findings"):
        assert len(full.tables[table]) > len(usual.tables[table]) > len(sparse.tables[table])
    assert full.tables["lines"].dropna(subset="end_date")["best_response"].isna().mean() < 0.03


def test_ferritin_is_measured_the_more_the_higher_it_is(world):
    institution = world(decisions=6000, seed=12)
    seen = institution.tables["measurements"].query("code == 'ferritin'")["patient_id"]
    ids = pd.Series(institution.hidden["patient"]).map(lambda number: f"P{number + 1:06d}")
    measured = ids.isin(set(seen)).to_numpy()
    ferritin = np.log(institution.hidden["ferritin"])
    assert 0.5 < measured.mean() < 0.85
    assert ferritin[measured].mean() > ferritin[~measured].mean() + 0.3


def test_without_overlap_nobody_unfit_gets_car_t_and_the_truth_says_so(world):
    institution = world(decisions=2000, seed=3, overlap=0.0)
    unfit = institution.hidden["ecog"] >= 2
    car_t = institution.truth.query("modality == 'car_t'")["propensity"].to_numpy()
    assert (car_t[unfit] == 0).all()
    assert not (institution.hidden["chosen"][unfit] == 0).any()
    assert (institution.hidden["available"][unfit, 0]).any()
    offered = [_offered_to_the_unfit(world(decisions=2000, seed=3, overlap=share)) for share in (0.0, 0.3, 1.0)]
    assert offered[0] == 0 < offered[1] < offered[2]


@pytest.mark.parametrize(("first_grade", "thinned"), [(2, [2, 3, 4]), (3, [3, 4])])
def test_overlap_is_lost_from_the_declared_ecog_upwards_only(world, first_grade, thinned):
    institution = world(decisions=2000, seed=3, overlap=0.0, no_overlap_from_ecog=first_grade)
    ecog, possible = institution.hidden["ecog"], institution.hidden["propensity"][:, 0] > 0
    assert not possible[np.isin(ecog, thinned)].any()
    assert possible[ecog == first_grade - 1].any()


def _offered_to_the_unfit(institution):
    return institution.hidden["propensity"][institution.hidden["ecog"] >= 2, 0].mean()


def test_waiting_without_effect_gives_every_modality_the_same_outcomes_but_car_t_still_waits(world):
    institution = world(decisions=6000, seed=12, wait_without_effect=True)
    for name in ("durable_control", "severe_toxicity", "early_death"):
        wide = institution.truth[name].to_numpy().reshape(-1, 4)
        np.testing.assert_allclose(wide, wide[:, :1].repeat(4, axis=1))
    hidden = institution.hidden
    car_t = hidden["chosen"] == 0
    wait = (hidden["start_day"] - hidden["decision_day"])[car_t & (hidden["start_day"] > 0)]
    assert 38 < np.median(wait) < 52


def test_counting_only_the_infused_from_infusion_credits_car_t_with_the_wait(world):
    institution = world(decisions=9000, seed=14, wait_without_effect=True, confounding=0.0, censoring="none")
    hidden = institution.hidden
    over = np.minimum(hidden["progression_day"], hidden["death_day"])
    car_t = hidden["chosen"] == 0
    infused = car_t & (hidden["start_day"] > 0)
    from_decision = np.mean((over - hidden["decision_day"])[car_t] > 365)
    as_treated = np.mean((over - hidden["decision_day"])[infused] > 365)
    truth = institution.truth["durable_control"].mean()
    assert from_decision == pytest.approx(truth, abs=4 * np.sqrt(0.25 / car_t.sum()))
    assert as_treated > from_decision + 0.03


def test_small_arms_are_small_but_not_empty(world):
    given = np.bincount(world(decisions=6000, seed=12, small_arms=True).hidden["chosen"], minlength=4) / 6000
    assert 0.005 < given[2] < 0.04
    assert 0.02 < given[1] < 0.10


def test_patients_are_the_same_whatever_the_prescribing(world):
    one = world(decisions=2000, seed=3).hidden
    other = world(decisions=2000, seed=3, overlap=0.0).hidden
    first, second = ({name: values[~h["second"]] for name, values in h.items()} for h in (one, other))
    shared = min(len(first["age"]), len(second["age"]))
    for name in ("age", "ferritin", "prior_lines", "site", "ecog"):
        np.testing.assert_array_equal(first[name][:shared], second[name][:shared])


@pytest.mark.parametrize(
    "wrong",
    [
        {"decisions": 0},
        {"confounding": -0.1},
        {"overlap": 1.1},
        {"form": "forest"},
        {"censoring": "some"},
        {"censoring": -0.01},
        {"censoring": 1.5},
        {"first_decision": "2026-04-01"},
        {"data_cut": "2026-02-30"},
        {"weights": {"durable_control": 1.0}},
        {"schedules": {"car_t": (1.0, 1.0)}},
        {"continuous": ("adc",)},
        {"continuous": ("adc", "bispecific", "standard_triplet", "celmod")},
        {"decision": 10},
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValidationError):
        SimulationSettings.model_validate(wrong)


@pytest.mark.parametrize("right", [{"censoring": 0.0}, {"censoring": 0.03}, {"overlap": 0.0}, {"decisions": 1}])
def test_a_setting_at_its_boundary_is_accepted(right):
    assert SimulationSettings.model_validate(right)


def test_access_depends_on_the_patient_only_through_confounding(world):
    def difference(confounding):
        hidden = world(decisions=6000, seed=12, confounding=confounding).hidden
        access = hidden["available"][:, 0]
        return hidden["frailty"][access].mean() - hidden["frailty"][~access].mean()

    assert difference(1.0) < -0.2
    assert abs(difference(0.0)) < 0.1
