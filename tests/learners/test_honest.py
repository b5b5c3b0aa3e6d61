"""Nothing of a fold shapes what is said of it."""

from __future__ import annotations

import numpy as np

from pipeline.learners import ModalityRanker
from pipeline.learners.honest import blended_out_of_fold
from pipeline.learners.stack import Kinds
from tests.learners.worlds import WEIGHTS, ranker, world


def _said(fitted: ModalityRanker, scores: np.ndarray) -> np.ndarray:
    evidence = fitted.evidence_
    kinds = Kinds.of(fitted.targets, [False] * len(fitted.arms_))
    return blended_out_of_fold(
        evidence.fold, evidence.arm, evidence.groups, scores, fitted._signed(WEIGHTS), 0.03, kinds
    )


def test_scores_of_a_fold_move_the_other_folds_only(fitted: ModalityRanker) -> None:
    evidence = fitted.evidence_
    own = evidence.fold.fold == 0
    moved = evidence.scores.copy()
    moved[own] = np.random.default_rng(1).normal(size=moved[own].shape)
    before, after = _said(fitted, evidence.scores), _said(fitted, moved)

    assert np.array_equal(before[own], after[own])
    assert not np.allclose(before[~own], after[~own])


def test_continuous_arms_have_no_time_off_whatever_was_recorded() -> None:
    people = world(300, 12)
    outcomes = people.outcomes.assign(**{f"treatment_free_q{q}": 0.3 for q in (1, 2, 3, 4)})
    from pipeline.learners import Target

    targets = (*ranker().targets, Target("treatment_free", "free_share", 12, 1.0))
    fitted = ModalityRanker(
        targets=targets,
        weights=WEIGHTS | {"treatment_free": 0.2},
        time_limited={"adc": False, "bispecific": False, "car_t": True},
        modifiers=("x1",),
        settings=ranker().settings,
    ).fit(people.features, people.modality, outcomes)
    observed = fitted.evidence_.fold.observed[:, 2]

    assert np.all(observed[fitted.evidence_.arm != 2] == 0)
    assert observed[fitted.evidence_.arm == 2].mean() > 0.05
    for said in (fitted.evidence_.outcomes, fitted.evidence_.committee_outcomes, fitted.deployed_.outcomes):
        assert np.all(said[:, :2, 2] == 0)
        assert np.all(np.abs(said[:, 2, 2] - 0.3) < 0.2)
