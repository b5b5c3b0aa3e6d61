"""The leak audit stops what gives the choice away, by value or by being missing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from pipeline.errors import GateError
from pipeline.evaluate.leaks import _by_value, leak_audit, refuse_leaks

RNG = np.random.default_rng(1)
GIVEN = pd.Series(np.where(RNG.random(400) < 0.5, "adc", "car_t"))
IS_ADC = (GIVEN == "adc").to_numpy()
NOISE = RNG.normal(size=400)


def _audit(column: object, name: str = "fact") -> dict[str, object]:
    return leak_audit(pd.DataFrame({name: column}), [name], GIVEN, 0.95, 0.80)


@pytest.mark.parametrize(
    ("column", "stopped", "reported"),
    [
        (NOISE, 0, 0),
        (NOISE + 1.5 * IS_ADC, 0, 2),
        (NOISE + 6.0 * IS_ADC, 2, 0),
        (np.where(IS_ADC, NOISE, np.nan), 2, 0),
        (np.where(IS_ADC & (RNG.random(400) < 0.7), 1.0, np.nan), 0, 2),
        (pd.Categorical(np.where(IS_ADC, "yes", "no")), 2, 0),
        # the middle level of three, in whatever order the levels stand
        (pd.Categorical(np.where(IS_ADC, "b", np.where(NOISE > 0, "a", "c")), categories=["a", "b", "c"]), 2, 0),
        # scattered levels, none of which tells much alone
        (pd.Categorical(np.array(list("abcdefgh"))[RNG.integers(0, 4, 400) * 2 + IS_ADC]), 2, 0),
        # both ends, the middle, and every other stretch
        (np.where(IS_ADC, np.sign(NOISE) * 4 + NOISE, NOISE), 2, 0),
        (np.where(IS_ADC, NOISE / 10, np.sign(NOISE) * 2 + NOISE), 2, 0),
        (RNG.integers(0, 5, 400) * 2 + IS_ADC + RNG.random(400) / 2, 2, 0),
        # a gap in some and an end in others
        (np.where(~IS_ADC, NOISE, np.where(RNG.random(400) < 0.5, np.nan, 9.0)), 2, 0),
        (np.full(400, np.nan), 0, 0),
        (np.ones(400), 0, 0),
    ],
)
def test_a_single_feature_is_judged_by_value_and_by_gap(column: object, stopped: int, reported: int) -> None:
    audit = _audit(column)

    assert (len(audit["stopped"]), len(audit["reported"])) == (stopped, reported)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["wait_days_car_t", "site_id", "calendar_time", "available_adc"])
def test_causes_of_the_choice_are_exempt(name: str) -> None:
    assert _audit(IS_ADC.astype(float), name)["features_checked"] == 0


def test_chance_is_not_reported_even_for_a_rare_modality_and_many_levels() -> None:
    rng = np.random.default_rng(5)
    choice = pd.Series(np.where(rng.random(400) < 0.06, "adc", "car_t"))
    names = [f"n{k}" for k in range(40)] + [f"c{k}" for k in range(40)]
    letters = np.array(list("abcdefghijklmnopqrst"))
    columns = {name: rng.normal(size=400) for name in names[:40]}
    features = pd.DataFrame(columns | {name: pd.Categorical(rng.choice(letters, 400)) for name in names[40:]})

    audit = leak_audit(features, names, choice, 0.95, 0.80)

    assert audit["stopped"] == audit["reported"] == []


@given(
    st.lists(st.sampled_from([np.nan, 0.0, 1.0, 2.5, 7.0]), min_size=60, max_size=60),
    st.lists(st.sampled_from(["adc", "car_t", "bispecific"]), min_size=60, max_size=60),
)
@settings(max_examples=100, deadline=None)
def test_by_value_it_is_the_area_that_a_library_computes(values: list[float], modality: list[str]) -> None:
    column, arms = np.array(values), np.array(modality)
    seen = ~np.isnan(column)
    for arm in np.unique(arms):
        own = arms == arm
        wanted = 0.5
        if seen.sum() >= 20 and 0 < own[seen].sum() < seen.sum():
            area = roc_auc_score(own[seen], column[seen])
            wanted = max(area, 1 - area)

        assert _by_value(column, own[:, None])[0] == pytest.approx(wanted)


def test_a_leak_stops_training_and_is_named() -> None:
    with pytest.raises(GateError, match=r"1 feature|2 feature.*eye_exam \(AUC 1\.00"):
        refuse_leaks(_audit(IS_ADC.astype(float), "eye_exam"), 0.95)
