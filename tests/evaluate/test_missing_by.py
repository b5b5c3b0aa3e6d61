"""A fact that one site or one year does not record is found; chance differences are not called so."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluate.missing_by import REST, missing_by, site_and_year

N = 900
PEOPLE = pd.Series(np.arange(N))


def _features(seed: int, share: float = 0.3, features: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    gaps = rng.random((N, features)) < share
    return pd.DataFrame(np.where(gaps, np.nan, 1.0), columns=[f"f{k}" for k in range(features)])


def _sites(seed: int = 0) -> pd.Series:
    return pd.Series(pd.Categorical(np.random.default_rng(seed).choice(["site 1", "site 2", "site 3"], N)))


def _found(features: pd.DataFrame, sites: pd.Series, dates: pd.Series | None = None) -> dict:
    days = pd.Series([pd.NaT] * N) if dates is None else dates
    return missing_by(features, list(features), site_and_year(sites, days, PEOPLE), {"f3": "Ejection fraction"})


def test_a_fact_that_one_site_does_not_record_comes_first_and_is_named() -> None:
    features, sites = _features(1), _sites()
    features.loc[(sites == "site 2").to_numpy(), "f3"] = np.nan
    found = _found(features, sites)["site"]

    assert found["groups"] == ["site 1", "site 2", "site 3"]
    assert (found["features"][0]["feature"], found["clear"], found["features"][0]["clear"]) == ("f3", 1, True)
    assert found["features"][0]["shares"][1] == {"low": 1.0, "high": 1.0}
    assert found["words"].startswith("1 of 40 features")
    assert "Ejection fraction: 2" in found["words"] or "Ejection fraction: 3" in found["words"]


def test_chance_differences_are_called_clear_in_one_run_of_twenty_at_most() -> None:
    alarms = sum(_found(_features(seed), _sites(seed))["site"]["clear"] > 0 for seed in range(60))

    assert alarms <= 8  # 0.05 each: more than 8 of 60 has a chance of 0.003


def test_without_a_clear_difference_the_words_say_so() -> None:
    assert _found(_features(2), _sites(2))["site"]["words"].startswith("No feature of 40")


def test_features_missing_in_the_same_people_are_told_once() -> None:
    features, sites = _features(1), _sites()
    features.loc[(sites == "site 2").to_numpy(), "f3"] = np.nan
    twins = features.assign(again=features["f3"], more=features["f3"])
    first = _found(twins, sites)["site"]["features"][0]

    assert (first["feature"], first["alike"]) == ("f3", 2)


def test_dates_that_are_no_calendar_dates_and_one_site_give_no_table() -> None:
    assert _found(_features(1), pd.Series(pd.Categorical(["site 1"] * N))) == {}


def test_years_of_few_people_are_told_together() -> None:
    years = np.repeat([2018, 2019, 2020, 2021, 2022], [4, 4, 400, 487, 5])
    found = site_and_year(_sites(), pd.to_datetime(pd.Series([f"{y}-03-01" for y in years])), PEOPLE)["year"]

    assert list(found.cat.categories) == ["2018-20", "2021-22"]
    assert found.value_counts().to_dict() == {"2018-20": 408, "2021-22": 492}


@pytest.mark.parametrize("span", [10, 11, 25])
def test_there_are_at_most_ten_columns_of_years(span: int) -> None:
    years = 2000 + np.arange(N) % span
    found = site_and_year(_sites(), pd.to_datetime(pd.Series([f"{y}-03-01" for y in years])), PEOPLE)["year"]

    assert 2 <= len(found.cat.categories) <= 10
    assert found.notna().all()


def test_people_of_small_sites_are_together_and_few_of_them_are_left_out() -> None:
    sites = pd.Series(pd.Categorical(["site 1"] * 600 + ["site 2"] * 290 + [np.nan] * 10))
    found = site_and_year(sites, pd.Series([pd.NaT] * N), PEOPLE)["site"]

    assert REST not in found.cat.categories
    assert found.isna().sum() == 10
    sites = pd.Series(pd.Categorical(["site 1"] * 600 + ["site 2"] * 289 + [np.nan] * 11))
    assert list(site_and_year(sites, pd.Series([pd.NaT] * N), PEOPLE)["site"].cat.categories)[-1] == REST
