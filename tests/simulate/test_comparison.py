"""Is the invented institution close to the published rates that may be targets?"""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import ConfigError
from pipeline.simulate import compare, published_rates
from pipeline.simulate.comparison import QUANTITIES, survival

GOOD = {
    "quantity": "never_infused",
    "modality": "car_t",
    "published": 0.086,
    "low": 0.06,
    "high": 0.16,
    "population": "apheresed",
    "source": "a paper",
    "band_reason": "sampling",
    "mark": "V",
}


@pytest.mark.parametrize("seed", [12, 40])
def test_simulated_rates_fall_in_their_declared_bands(world, published, seed):
    table = compare(world(decisions=9000, seed=seed).hidden, published)
    outside = table.loc[~table["within"], ["quantity", "modality", "simulated", "low", "high"]]
    assert outside.empty, outside.to_string()


def test_published_figures_lie_in_their_own_bands_and_are_sourced(published):
    assert len(published) >= 20
    assert {rate.modality for rate in published} == {"car_t", "bispecific", "adc", "standard_triplet"}
    for rate in published:
        assert rate.low <= rate.published <= rate.high, rate.quantity
    assert {rate.quantity for rate in published} == set(QUANTITIES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mark": "R"}, "mark"),
        ({"quantity": "never_infusd"}, "did you mean 'never_infused'"),
        ({"modality": "cart"}, "did you mean 'car_t'"),
        ({"low": 0.2}, "low must not be above high"),
        ({"source": ""}, "source"),
        ({"note": "x"}, "note: unknown setting"),
    ],
)
def test_a_figure_that_is_not_verified_known_and_sourced_is_refused(change, message):
    with pytest.raises(ConfigError, match="1 problem") as caught:
        published_rates({"rates": [GOOD, GOOD | change]})
    assert "rates[2]" in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize("mapping", [{}, {"rates": 3}, {"rates": ["x"]}, {"rates": [], "more": 1}])
def test_a_file_of_another_shape_is_refused(mapping):
    with pytest.raises(ConfigError):
        published_rates(mapping)


def test_without_published_figures_the_comparison_is_empty_but_has_its_columns(world):
    table = world(decisions=1500, seed=7).comparison
    assert table.empty
    assert list(table.columns) == [
        "quantity",
        "modality",
        "simulated",
        "published",
        "low",
        "high",
        "source",
        "mark",
        "within",
    ]


def test_too_few_people_give_no_figure(world):
    tiny = world(decisions=30, seed=2).hidden
    table = compare(tiny, published_rates({"rates": [GOOD]}))
    assert table["simulated"].isna().all()
    assert not table["within"].any()


@pytest.mark.parametrize(
    ("day", "expected"), [(0, 1.0), (9, 1.0), (10, 0.9), (20, 0.9), (25, 0.9 * 7 / 8), (99, 0.7875)]
)
def test_survival_counts_events_among_those_still_watched(day, expected):
    days = np.repeat([10, 20, 25, 40], [4, 4, 4, 28])
    failed = np.concatenate([np.ones(4), np.zeros(4), np.ones(4), np.zeros(28)])
    assert survival(days, failed, day) == pytest.approx(expected)
