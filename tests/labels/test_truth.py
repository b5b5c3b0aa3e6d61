"""Labels built from simulated records agree with the simulator's truth: the whole way from events to estimands."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from lifelines import AalenJohansenFitter, KaplanMeierFitter

from pipeline.labels import build_labels
from pipeline.runs.institution import write_institution
from pipeline.runs.reading import read_known
from pipeline.runs.reporting import Quiet
from pipeline.runs.setup import Setup
from pipeline.simulate import SimulationSettings

pytestmark = pytest.mark.xdist_group("labels-truth")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory, base_setup: Setup) -> pd.DataFrame:
    """Return labels of 4,000 decisions beside the truth of the modality given."""
    home = tmp_path_factory.mktemp("truth") / "records"
    institution = write_institution(SimulationSettings(decisions=4000, seed=31), home)
    known = read_known(home, base_setup, training=True, reporter=Quiet())
    labels = build_labels(known.connection, base_setup.config.settings.outcomes, base_setup.config.drugs).frame
    truth = institution.truth.rename(columns={name: f"true_{name}" for name in ("durable_control", "early_death")})
    return labels.merge(truth, on=["decision_id", "modality"])


@pytest.mark.parametrize("modality", ["adc", "bispecific", "car_t", "standard_triplet"])
def test_control_and_early_death_come_out_as_they_are(labelled: pd.DataFrame, modality: str) -> None:
    own = labelled[labelled["modality"] == modality]
    control = KaplanMeierFitter().fit(own["durable_control_months"], own["durable_control_event"]).predict(12.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ties are jittered, as the oracle says
        curve = AalenJohansenFitter(calculate_variance=False, seed=1).fit(
            own["early_death_months"], own["early_death_event"], event_of_interest=1
        )
    death = float(curve.cumulative_density_.loc[:6].iloc[-1, 0])

    for seen, true in ((control, own["true_durable_control"].mean()), (death, own["true_early_death"].mean())):
        # Four binomial standard errors, a third wider for those lost before the horizon.
        assert abs(seen - true) < 4 * 1.33 * np.sqrt(true * (1 - true) / len(own))


def test_only_cellular_therapy_leaves_most_of_the_year_free(labelled: pd.DataFrame) -> None:
    later = labelled.groupby("modality")[["treatment_free_q2", "treatment_free_q3"]].mean().mean(axis=1)

    assert later["car_t"] > 0.9
    assert later.drop("car_t").max() < 0.2
