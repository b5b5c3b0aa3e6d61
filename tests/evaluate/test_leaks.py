"""The leak audit stops what gives the choice away, by value or by being missing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import GateError
from pipeline.evaluate import leak_audit, refuse_leaks

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
    ],
)
def test_a_single_feature_is_judged_by_value_and_by_gap(column: object, stopped: int, reported: int) -> None:
    audit = _audit(column)

    assert (len(audit["stopped"]), len(audit["reported"])) == (stopped, reported)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["wait_days_car_t", "site_id", "calendar_time", "available_adc"])
def test_causes_of_the_choice_are_exempt(name: str) -> None:
    assert _audit(IS_ADC.astype(float), name)["features_checked"] == 0


def test_a_leak_stops_training_and_is_named() -> None:
    with pytest.raises(GateError, match=r"1 feature|2 feature.*eye_exam \(AUC 1\.00"):
        refuse_leaks(_audit(IS_ADC.astype(float), "eye_exam"), 0.95)
