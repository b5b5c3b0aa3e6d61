"""What would have been learned with another seed, or by another definition of refractory?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
from sklearn.base import clone

from pipeline.errors import NoOverlapError
from pipeline.evaluate.stability import Variation
from pipeline.evaluate.weighing import outcome_weights, weighted_burden
from pipeline.features import RefractoryDefinition, build
from pipeline.learners import ModalityRanker
from pipeline.runs.held_out import Decisions
from pipeline.runs.reading import Known
from pipeline.runs.setup import Setup

_OTHER: dict[str, RefractoryDefinition] = {"imwg": "next_line", "next_line": "imwg"}
_DEFINITIONS = {
    "imwg": "no response, or progression within 60 days of the last dose",
    "next_line": "exposed, and any next line within 60 days",
}
_SEED_STEP = 7919


def learned_again(
    known: Known,
    setup: Setup,
    ranker: ModalityRanker,
    decisions: Decisions,
    advance: Callable[[int], None] | None = None,
) -> tuple[tuple[Variation, ...], tuple[str, ...]]:
    """Learn again from all decisions with other seeds and with the other definition of refractory.

    The committees are compared, each on the rows it learned from; students and intervals are not made again.

    Parameters
    ----------
    known : Known
        The records; features are rebuilt from them.
    setup : Setup
    ranker : ModalityRanker
        Fitted on all rows.
    decisions : Decisions
    advance : callable or None

    Returns
    -------
    tuple of Variation
    tuple of str
        What was not done, and why.
    """
    wanted, learner = setup.config.settings.evaluation.stability, setup.config.settings.learner
    found: list[Variation] = []
    not_done: list[str] = []
    for number in range(1, wanted.seeds + 1):
        settings = learner.model_copy(update={"seed": learner.seed + _SEED_STEP * number})
        label = f"Another seed ({number}): other folds, other trees"
        _compare(ranker, decisions, {"settings": settings}, setup, ("seed", label), (found, not_done), advance)
    if not wanted.seeds:
        not_done.append("Other seeds: switched off in the configuration.")
    definition = _OTHER[setup.config.settings.refractory_definition]
    label = f"Refractory: {_DEFINITIONS[definition]}"
    if not wanted.refractory:
        not_done.append("The other definition of refractory: switched off in the configuration.")
        return tuple(found), tuple(not_done)
    table = _rebuilt(known, setup, decisions, definition)
    if table.equals(decisions.features):
        not_done.append("The other definition of refractory: it changes no feature of these decisions.")
    else:
        other = Decisions(table, decisions.labels, decisions.patients, decisions.is_impossible)
        _compare(ranker, other, {}, setup, ("refractory", label), (found, not_done), advance)
    return tuple(found), tuple(not_done)


def _rebuilt(known: Known, setup: Setup, decisions: Decisions, definition: RefractoryDefinition) -> pd.DataFrame:
    """Return the features of the same decisions by another definition; sites keep their declared levels."""
    config = setup.config
    matrix = build(known.connection, setup.spec, config.drugs, config.modalities, definition)
    table = matrix.set_index("decision_id", drop=False).loc[decisions.features["decision_id"]].reset_index(drop=True)
    return table.assign(site_id=decisions.features["site_id"])[list(decisions.features.columns)]


def _compare(
    ranker: ModalityRanker,
    decisions: Decisions,
    parameters: dict[str, Any],
    setup: Setup,
    named: tuple[str, str],
    into: tuple[list[Variation], list[str]],
    advance: Callable[[int], None] | None,
) -> None:
    """Learn again and add the variation, or why there is none."""
    kind, label = named
    again = clone(ranker).set_params(deploy=False, **parameters)
    try:
        again.fit(
            decisions.features,
            decisions.labels["modality"],
            decisions.labels,
            groups=decisions.patients,
            eligible=~decisions.is_impossible,
            advance=advance,
        )
    except NoOverlapError:
        into[1].append(f"{label}: fewer than two modalities could be learned.")
        return
    if again.arms_ != ranker.arms_:
        into[1].append(f"{label}: other modalities could be learned.")
        return
    targets = tuple(ranker.targets)
    rows = decisions.features.iloc[ranker.evidence_.rows]
    cost = weighted_burden(setup.config, targets, rows, ranker.arms_)
    before, after = (
        fitted.evidence_.committee_outcomes @ outcome_weights(setup.config, targets) - cost
        for fitted in (ranker, again)
    )
    into[0].append(Variation(kind, label, before, after))
