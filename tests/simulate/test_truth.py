"""Is the truth table what the mechanism does, and do the records reproduce it where choice was chance?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.simulate import MODALITIES, SimulationSettings
from pipeline.simulate.hazards import EDGES, hazards
from pipeline.simulate.outcomes import AFTER_ALL, first_times, follow
from pipeline.simulate.patients import rows, take
from pipeline.simulate.regimens import PRODUCTS
from pipeline.simulate.truth import (
    cumulative,
    incidence,
    outcomes_under,
    treatment_free_share,
    utility,
)

REPEATS = 20_000


def by_days(rates: np.ndarray, competing: np.ndarray, months: float) -> float:
    """Return a cumulative incidence by small steps, one patient; a brute-force twin."""
    alive, happened, step = 1.0, 0.0, 1 / 128
    for month in np.arange(0, months - 1e-9, step):
        period = int(np.searchsorted(EDGES, month + step / 2, side="right")) - 1
        both = rates[period] + competing[period]
        leaves = alive * (1 - np.exp(-both * step))
        happened += leaves * rates[period] / both
        alive -= leaves
    return happened


@pytest.mark.parametrize("months", [2.0, 3.0, 6.0, 9.5, 12.0, 15.0])
def test_incidence_equals_a_walk_through_the_days(months):
    rates = np.array([[0.10, 0.02, 0.30, 0.01, 0.05]])
    competing = np.array([[0.05, 0.20, 0.01, 0.02, 0.40]])
    assert incidence(rates, competing, months)[0] == pytest.approx(by_days(rates[0], competing[0], months), abs=1e-3)


@pytest.mark.parametrize(
    ("months", "expected"), [(0.0, 0.0), (3.0, 3.0), (3.5, 4.0), (6.0, 6.5), (12.0, 24.5), (14, 26.5)]
)
def test_a_cumulative_hazard_adds_its_periods(months, expected):
    rates = np.array([[1.0, 2.0 - 5 / 6, 2.0, 4.0, 1.0]])
    if months == 3.5:
        expected = 3.0 + 0.5 * (2.0 - 5 / 6)
    assert cumulative(rates, months)[0] == pytest.approx(expected)


def test_first_times_follow_their_hazard():
    rates = np.tile([0.10, 0.02, 0.30, 0.01, 0.05], (REPEATS, 1))
    times = first_times(rates, np.random.default_rng(1))
    for months in (1.0, 3.0, 5.0, 8.0, 12.0, 20.0):
        expected = np.exp(-cumulative(rates[:1], months)[0])
        assert np.mean(times > months) == pytest.approx(expected, abs=4 * np.sqrt(0.25 / REPEATS))


@pytest.mark.slow
@pytest.mark.parametrize(("modality", "product"), [(m, p) for m in MODALITIES for p in list(PRODUCTS[m])[:2]])
def test_truth_agrees_with_many_futures_of_the_same_patient_under_a_forced_modality(world, modality, product):
    settings = SimulationSettings(decisions=200, seed=21, censoring="none")
    person = take(world(decisions=200, seed=21).hidden, np.array([3, 50, 111]))
    expected = outcomes_under(person, modality, product, settings)
    futures = take(person, np.repeat(np.arange(3), REPEATS))
    futures["chosen"] = np.full(3 * REPEATS, MODALITIES.index(modality))
    futures["product"] = np.full(3 * REPEATS, product, dtype=object)
    after = follow(futures, settings, "futures")
    since = {name: after[name] - after["decision_day"] for name in ("progression_day", "death_day", "toxicity_day")}
    over = np.minimum(since["progression_day"], since["death_day"])
    held = (over > 365).reshape(3, REPEATS).mean(axis=1)
    died = ((since["death_day"] <= 182) & (since["death_day"] < since["progression_day"])).reshape(3, REPEATS)
    off = np.clip(np.minimum(over, 365.25) - (after["start_day"] - after["decision_day"]) - 1, 0, None) / 365.25
    off = np.where(after["start_day"] > 0, off, 0.0)
    error = 4 * np.sqrt(0.25 / REPEATS) + 0.002
    np.testing.assert_allclose(held, expected["durable_control"], atol=error)
    np.testing.assert_allclose(died.mean(axis=1), expected["early_death"], atol=error)
    if modality == "car_t":
        np.testing.assert_allclose(off.reshape(3, REPEATS).mean(axis=1), expected["treatment_free"], atol=error)
    for patient in range(3):
        part = {name: values.reshape(3, REPEATS)[patient] for name, values in since.items()}
        stop = (after["next_day"] - after["decision_day"]).reshape(3, REPEATS)[patient]
        got = aalen_johansen(part["toxicity_day"], part["death_day"], stop, 182.6)
        assert got == pytest.approx(expected["severe_toxicity"][patient], abs=error)


def aalen_johansen(event, competing, stop, horizon):
    """Return the cumulative incidence of `event`, with a competing one and independent censoring at `stop`."""
    days = np.minimum(np.minimum(event, competing), stop)
    free, total, at_risk = 1.0, 0.0, len(days)
    for day in range(1, int(horizon) + 1):
        here = days == day
        first = np.sum(here & (event == day))
        other = np.sum(here & (event != day) & (competing == day))
        total += free * first / at_risk
        free *= 1 - (first + other) / at_risk
        at_risk -= here.sum()
    return total


def test_where_choice_is_chance_labels_read_from_the_records_reproduce_the_truth(randomised):
    tables, truth = randomised.tables, randomised.truth
    events = tables["events"]
    decisions = tables["decisions"].sort_values(["patient_id", "decision_date"])
    until = decisions.groupby("patient_id")["decision_date"].shift(-1)
    decisions = decisions.assign(until=until.fillna("9999-12-31"))
    own = events.merge(decisions, on="patient_id")
    own = own[(own["event_date"] > own["decision_date"]) & (own["event_date"] < own["until"])]
    own["days"] = (pd.to_datetime(own["event_date"]) - pd.to_datetime(own["decision_date"])).dt.days
    severe = (own["event"] == "toxicity") & (own["grade"].fillna(0) >= 3)
    kinds = {"severe": severe} | {name: own["event"] == name for name in ("progression", "next_treatment", "death")}
    first = pd.DataFrame({name: own[mask].groupby("decision_id")["days"].min() for name, mask in kinds.items()})
    first = first.reindex(decisions["decision_id"]).fillna(AFTER_ALL).assign(modality=decisions["modality"].to_numpy())
    table = truth.set_index(["decision_id", "modality"])
    for modality, part in first.groupby("modality"):
        expected = table.loc[pd.MultiIndex.from_product([part.index, [modality]])].mean(numeric_only=True)
        failed = part[["progression", "next_treatment", "death"]].min(axis=1)
        error = 4 * np.sqrt(0.25 / len(part))
        died = (part["death"] <= 182) & (part["death"] < part[["progression", "next_treatment"]].min(axis=1))
        assert (failed > 365).mean() == pytest.approx(expected["durable_control"], abs=error)
        assert died.mean() == pytest.approx(expected["early_death"], abs=0.6 * error)
        toxic = aalen_johansen(*(part[name].to_numpy() for name in ("severe", "death", "next_treatment")), 182.6)
        assert toxic == pytest.approx(expected["severe_toxicity"], abs=error)


def test_the_treatment_free_share_read_from_dated_drug_courses_reproduces_the_truth(randomised):
    decisions = randomised.tables["decisions"].query("modality == 'car_t'")
    last_day = randomised.hidden["progression_day"], randomised.hidden["death_day"]
    over = pd.Series(np.minimum(*last_day) - randomised.hidden["decision_day"], index=randomised.hidden["decision_id"])
    courses = decisions.merge(randomised.tables["drugs"], on="patient_id")
    start = pd.to_datetime(courses["decision_date"])
    courses["first"] = (pd.to_datetime(courses["start_date"]) - start).dt.days
    courses["last"] = (pd.to_datetime(courses["end_date"]) - start).dt.days
    courses = courses[(courses["last"] >= 0) & (courses["first"] < 366)]
    shares = []
    for decision, part in courses.groupby("decision_id"):
        off = np.ones(365, dtype=bool)
        for first, last in zip(part["first"], part["last"], strict=True):
            off[max(int(first), 0) : int(last) + 1] = False
        off[int(min(over[decision], 365)) :] = False
        shares.append(off.mean())
    expected = randomised.truth.query("modality == 'car_t' and decision_id in @decisions.decision_id")
    assert np.mean(shares) == pytest.approx(expected["treatment_free"].mean(), abs=4 * 0.4 / np.sqrt(len(shares)))


def test_longer_waits_leave_less_time_off_treatment():
    leaving = np.full((3, 5), 0.05)
    shares = treatment_free_share(leaving, np.array([20.0, 45.0, 90.0]))
    assert shares[0] > shares[1] > shares[2] > 0
    never_left = treatment_free_share(np.full((1, 5), 1e-12), np.array([1e-3]))
    assert never_left[0] == pytest.approx(1 - 0.012, abs=0.005)


def test_only_car_t_can_be_treatment_free(randomised):
    share = randomised.truth.groupby("modality")["treatment_free"]
    assert share.max().drop("car_t").eq(0).all()
    assert share.min()["car_t"] >= 0


def test_suitability_is_the_weighted_sum_of_the_definitions(randomised):
    row = randomised.truth.iloc[5]
    expected = (
        0.40 * row["durable_control"]
        + 0.15 * row["treatment_free"]
        - 0.20 * row["severe_toxicity"]
        - 0.20 * row["early_death"]
        - 0.05 * row["burden"]
    )
    assert row["suitability"] == pytest.approx(expected)
    doubled = SimulationSettings(
        weights={"durable_control": 2, "treatment_free": 0, "severe_toxicity": 0, "early_death": 0, "burden": 0}
    )
    assert utility({name: np.array([row[name]]) for name in doubled.weights}, doubled)[0] == pytest.approx(
        row["durable_control"]
    )


def test_burden_counts_days_and_distance(randomised):
    distance = randomised.hidden["distance_km"][0]
    first = randomised.truth.iloc[:4].set_index("modality")["burden"]
    assert first["car_t"] == pytest.approx(min(1, (16 + 18 * (1 + distance / 400)) / 90))
    assert first["adc"] == pytest.approx(min(1, 14 * (1 + distance / 400) / 90))


def test_truth_has_one_row_per_decision_and_modality_with_probabilities(randomised):
    truth = randomised.truth
    assert not truth.duplicated(["decision_id", "modality"]).any()
    assert len(truth) == 4 * len(randomised.tables["decisions"])
    for name in ("durable_control", "treatment_free", "severe_toxicity", "early_death", "burden", "propensity"):
        assert truth[name].between(0, 1).all(), name
    assert truth.groupby("decision_id")["propensity"].sum().to_numpy() == pytest.approx(1.0)


def test_propensities_are_the_frequencies_of_the_choices(world):
    institution = world(decisions=9000, seed=12)
    frame = institution.truth.merge(institution.tables["decisions"][["decision_id", "modality"]], on="decision_id")
    frame["given"] = frame["modality_x"] == frame["modality_y"]
    for _, part in frame.groupby(
        [frame["modality_x"], pd.cut(frame["propensity"], [0, 0.05, 0.2, 0.5, 1])], observed=True
    ):
        error = 4 * np.sqrt(0.25 / len(part)) if len(part) < 400 else 4 * np.sqrt(part["propensity"].mean() / len(part))
        assert part["given"].mean() == pytest.approx(part["propensity"].mean(), abs=error)
    assert not frame.query("propensity == 0")["given"].any()


def test_hazards_are_positive_for_everyone_under_everything(randomised):
    few = take(randomised.hidden, np.arange(300))
    for form in ("linear", "tree"):
        settings = SimulationSettings(decisions=1, form=form, heterogeneity=2)
        for modality in MODALITIES:
            for rates in hazards(few, modality, None, settings).values():
                assert rates.shape == (rows(few), len(EDGES))
                assert (rates > 0).all()


def test_death_goes_on_at_its_own_pace_between_progression_and_the_next_treatment(randomised):
    hidden = randomised.hidden
    progressed = hidden["progression_day"] < hidden["death_day"]
    untreated = progressed & (hidden["next_day"] == AFTER_ALL)
    assert 0.002 < untreated.sum() / progressed.sum() < 0.08
    treated = hidden["next_day"] < AFTER_ALL
    assert (hidden["progression_day"] < hidden["next_day"])[treated].all()
    assert (hidden["next_day"] < hidden["death_day"])[treated].all()
