"""Two randomised trials: the small versions of tests/benchmarks/test_trials_bench.py, one seed each."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import GateError
from pipeline.evaluate.leaks import leak_audit, refuse_leaks
from pipeline.learners import ModalityRanker
from tests.learners.trials import (
    LATER,
    actg175,
    actg_table,
    dropped_selectively,
    judge,
    kaplan_meier,
    learn,
    swapped_by_age,
)

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("learners")]

QUICK = {"folds": 2, "ridge_alphas": (0.01,), "trees_at_1000": 60}


def test_the_trial_is_the_published_one() -> None:
    trial = actg175()

    # Hammer et al., NEJM 1996: numbers per arm; shares without event at two years by Kaplan-Meier on the table itself.
    assert trial.modality.value_counts().sort_index().tolist() == [561, 532, 522, 524]
    found = {arm: round(kaplan_meier(trial, arm), 3) for arm in trial.allocation}
    assert list(found.values()) == [0.732, 0.865, 0.875, 0.838]


def test_zidovudine_alone_is_last_and_first_choices_do_better() -> None:
    trial = actg175()
    found = judge(trial, learn(trial, 1, **QUICK))

    assert found.last["zidovudine"] >= 0.9
    assert found.first_less_last.difference >= 0.08
    assert found.first_less_best.difference >= -2 * found.first_less_best.se


def test_who_gains_by_age_is_learned() -> None:
    trial = swapped_by_age(actg175(), "zidovudine", "zidovudine_zalcitabine")

    assert judge(trial, learn(trial, 1)).first_less_best.difference >= 0.02


def test_columns_from_after_randomisation_are_refused_by_their_dates_and_not_by_the_audit_of_the_table() -> None:
    trial, table = actg175(), actg_table().reset_index(drop=True)
    names = [*trial.features, "treat", *LATER]
    with pytest.raises(GateError, match=r"1 feature.*treat"):  # the arm in another form
        refuse_leaks(leak_audit(table, names, trial.modality, 0.95, 0.8), 0.95)
    refuse_leaks(leak_audit(table, list(LATER), trial.modality, 0.95, 0.8), 0.95)  # too weakly tied to the arm

    with pytest.raises(ValueError, match=r"4 feature.*cd420 \(4\.6 months\).*cd820.*cd496.*offtrt"):
        ModalityRanker(horizon_months=24).fit(
            table[[*trial.features, *LATER]].astype(float),
            trial.modality,
            trial.outcomes,
            known_months=LATER | dict.fromkeys(trial.features, 0.0),
        )


def test_selective_dropping_confounds_and_keeps_about_half() -> None:
    trial = actg175()
    kept, chance = dropped_selectively(trial, "cd40", "zidovudine", np.random.default_rng(1))
    gap = kept.features["cd40"].groupby(kept.modality).mean()

    assert len(kept.features) == pytest.approx(chance.sum(), rel=0.1)
    assert gap["zidovudine"] > gap["didanosine"] + 50
