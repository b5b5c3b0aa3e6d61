"""What would the same learning have found on earlier decisions only, or on shuffled outcomes?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone

from pipeline.config import Config
from pipeline.errors import NoOverlapError
from pipeline.evaluate.league import logged_of
from pipeline.evaluate.negative_control import shuffled_finding, shuffled_within
from pipeline.evaluate.temporal import (
    FEWEST,
    Earlier,
    TemporalSplit,
    not_applicable,
    temporal_finding,
    temporal_split,
)
from pipeline.evaluate.weighing import outcome_weights, weighted_burden
from pipeline.labels import build_labels
from pipeline.learners import Evidence, ModalityRanker, Target
from pipeline.runs.reading import Known
from pipeline.runs.setup import Setup

BoolArray = npt.NDArray[np.bool_]

FEWEST_EVENTS = 15
"""An outcome with fewer by its horizon is not learned."""
_FOLDS = 3
_CONTROL = "durable_control"


@dataclass(frozen=True)
class Decisions:
    """The training rows.

    Attributes
    ----------
    features, labels : DataFrame, one row per decision
    patients : Series, the same rows
    is_impossible : DataFrame of bool, the same rows, one column per modality
    """

    features: pd.DataFrame
    labels: pd.DataFrame
    patients: pd.Series[str]
    is_impossible: pd.DataFrame

    def take(self, rows: BoolArray) -> Decisions:
        """Return the chosen rows."""
        features, labels, impossible = (
            table[rows].reset_index(drop=True) for table in (self.features, self.labels, self.is_impossible)
        )
        return Decisions(features, labels, self.patients[rows].reset_index(drop=True), impossible)

    def impossible(self, evidence: Evidence, arms: Sequence[str]) -> BoolArray:
        """Return what could not be given to the rows of `evidence`, shape (n, arms); what was given could."""
        table = self.is_impossible[list(arms)].to_numpy(dtype=bool)[evidence.rows].copy()
        table[np.arange(len(table)), evidence.arm] = False
        return np.asarray(table)


def temporal_run(
    known: Known,
    setup: Setup,
    ranker: ModalityRanker,
    decisions: Decisions,
    advance: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Learn again from the earlier decisions, as followed up at the cut, and judge the choices for the later ones.

    Parameters
    ----------
    known : Known
        The records; follow-up is rebuilt from them as it was at the cut.
    setup : Setup
    ranker : ModalityRanker
        Fitted on all rows; its cross-fit judges.
    decisions : Decisions
    advance : callable or None

    Returns
    -------
    dict
        As `evaluate.temporal.temporal_finding`, or why it is not applicable.
    """
    config, settings, evidence = setup.config, setup.config.settings, ranker.evidence_
    if not settings.evaluation.temporal_holdout:
        return not_applicable("switched off in the configuration")
    if not known.records.calendar:
        return not_applicable("the source has no calendar dates, only days from an origin of each patient")
    split = temporal_split(decisions.features["decision_date"], decisions.patients)
    if int(split.later[evidence.rows].sum()) < FEWEST:
        return not_applicable(f"fewer than {FEWEST} decisions lie after the cut")
    earlier = _at_the_cut(known, setup, decisions, split)
    learned = learnable(earlier.labels, tuple(ranker.targets))
    if not learned:
        return not_applicable(f"no outcome has {FEWEST_EVENTS} events before the cut")
    # Folds only weigh and shrink; three do, also where training takes more because few rows make them cheap.
    learner = settings.learner.model_copy(update={"folds": settings.learner.folds or _FOLDS})
    weights = config.weights([target.name for target in learned])
    before = clone(ranker).set_params(deploy=False, targets=learned, weights=weights, settings=learner)
    try:
        fit_again(before, earlier, earlier.labels, advance)
    except NoOverlapError:
        return not_applicable("before the cut fewer than two modalities had enough cases, events and follow-up")
    targets, rows = tuple(ranker.targets), decisions.features.iloc[evidence.rows]
    cost, signed = weighted_burden(config, targets, rows, ranker.arms_), outcome_weights(config, targets)
    return temporal_finding(
        split,
        evidence,
        ranker.arms_,
        logged_of(evidence, cost, signed, settings.gates.propensity_floor),
        _says(config, before, learned, earlier.features, rows[split.later[evidence.rows]]),
        decisions.impossible(evidence, ranker.arms_),
        settings.outcomes[_CONTROL].horizon_months if _CONTROL in settings.outcomes else 12,
    )


def fit_again(
    ranker: ModalityRanker, decisions: Decisions, outcomes: pd.DataFrame, advance: Callable[[int], None] | None
) -> None:
    """Fit a clone on some decisions, with the outcomes given."""
    ranker.fit(
        decisions.features,
        decisions.labels["modality"],
        outcomes,
        groups=decisions.patients,
        eligible=~decisions.is_impossible,
        advance=advance,
    )


def _at_the_cut(known: Known, setup: Setup, decisions: Decisions, split: TemporalSplit) -> Decisions:
    """Return the earlier decisions that had any follow-up by the cut, with their outcomes as they were then."""
    config, settings = setup.config, setup.config.settings
    day = min(split.cut.date().isoformat(), settings.cohort.data_cut_date or "9999-12-31")
    once = setup.spec.exposure.single_dose_classes
    labels = build_labels(known.connection, settings.outcomes, config.drugs, day, given_once=once)
    visible = labels.frame.set_index("decision_id")
    names = decisions.features["decision_id"]
    earlier = decisions.take(split.earlier & names.isin(visible.index).to_numpy())
    return replace(earlier, labels=visible.loc[earlier.features["decision_id"]].reset_index(drop=True))


def _says(
    config: Config, before: ModalityRanker, targets: Sequence[Target], own: pd.DataFrame, held: pd.DataFrame
) -> Earlier:
    """Return what the earlier model says of the held-out rows; `own` is the table it was fitted on."""
    outcomes = before.committee_outcomes(held)
    cost = weighted_burden(config, targets, own.iloc[before.evidence_.rows], before.arms_)
    place = next((k for k, target in enumerate(targets) if target.name == _CONTROL), None)
    return Earlier(
        arms=before.arms_,
        trained_on=len(before.evidence_.rows),
        utility=outcomes @ outcome_weights(config, targets) - weighted_burden(config, targets, held, before.arms_),
        averages=(before.evidence_.scores - cost).mean(axis=0),
        control=None if place is None else outcomes[:, :, place],
    )


def learnable(outcomes: pd.DataFrame, targets: Sequence[Target]) -> tuple[Target, ...]:
    """Return the outcomes that at least 15 people had by the horizon; the treatment-free share goes with control."""
    kept: list[Target] = []
    for target in targets:
        if target.kind == "free_share":
            is_enough = any(other.name == _CONTROL for other in kept)
        else:
            in_time = outcomes[f"{target.name}_months"] <= target.horizon_months
            is_enough = int(((outcomes[f"{target.name}_event"] == 1) & in_time).sum()) >= FEWEST_EVENTS
        if is_enough:
            kept.append(target)
    return tuple(kept)


def shuffled_run(
    config: Config,
    ranker: ModalityRanker,
    decisions: Decisions,
    advance: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Learn again from outcomes shuffled within each modality.

    Parameters
    ----------
    config : Config
    ranker : ModalityRanker
    decisions : Decisions
    advance : callable or None

    Returns
    -------
    dict
        As `evaluate.negative_control.shuffled_finding`.
    """
    outcomes = decisions.labels.drop(columns=["decision_id", "modality"])
    shuffled = shuffled_within(decisions.labels["modality"], outcomes, config.settings.learner.seed)
    again = clone(ranker).set_params(deploy=False)
    fit_again(again, decisions, shuffled, advance)
    signed, floor = outcome_weights(config, tuple(ranker.targets)), config.settings.gates.propensity_floor
    return shuffled_finding(again.evidence_, signed, decisions.impossible(again.evidence_, again.arms_), floor)
