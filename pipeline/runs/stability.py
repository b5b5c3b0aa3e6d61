"""What would have been learned with another seed, or by another definition of refractory?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pandas as pd
from sklearn.base import clone

from pipeline.errors import NoOverlapError
from pipeline.evaluate.stability import Variation
from pipeline.evaluate.weighing import outcome_weights, weighted_burden
from pipeline.features import RefractoryDefinition, build
from pipeline.learners import ModalityRanker
from pipeline.runs.held_out import Decisions, fit_again
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
    results: list[Variation | str] = []
    for number in range(1, wanted.seeds + 1):
        again = clone(ranker).set_params(
            settings=learner.model_copy(update={"seed": learner.seed + _SEED_STEP * number})
        )
        label = f"Another seed ({number}): other folds, other trees"
        results.append(_compared(ranker, again, decisions, setup, ("seed", label), advance))
    if not wanted.seeds:
        results.append("Other seeds: switched off in the configuration.")
    results.append(_other_definition(known, setup, ranker, decisions, advance))
    return (
        tuple(result for result in results if isinstance(result, Variation)),
        tuple(result for result in results if isinstance(result, str)),
    )


def _other_definition(
    known: Known,
    setup: Setup,
    ranker: ModalityRanker,
    decisions: Decisions,
    advance: Callable[[int], None] | None,
) -> Variation | str:
    """Learn again by the other definition of refractory; return the variation, or why there is none."""
    if not setup.config.settings.evaluation.stability.refractory:
        return "The other definition of refractory: switched off in the configuration."
    definition = _OTHER[setup.config.settings.refractory_definition]
    table = _rebuilt(known, setup, decisions, definition)
    if table.equals(decisions.features):
        return "The other definition of refractory: it changes no feature of these decisions."
    named = ("refractory", f"Refractory: {_DEFINITIONS[definition]}")
    return _compared(ranker, clone(ranker), replace(decisions, features=table), setup, named, advance)


def _rebuilt(known: Known, setup: Setup, decisions: Decisions, definition: RefractoryDefinition) -> pd.DataFrame:
    """Return the features of the same decisions by another definition; sites keep their declared levels."""
    config = setup.config
    matrix = build(known.connection, setup.spec, config.drugs, config.modalities, definition)
    table = matrix.set_index("decision_id", drop=False).loc[decisions.features["decision_id"]].reset_index(drop=True)
    return table.assign(site_id=decisions.features["site_id"])[list(decisions.features.columns)]


def _compared(
    ranker: ModalityRanker,
    again: ModalityRanker,
    decisions: Decisions,
    setup: Setup,
    named: tuple[str, str],
    advance: Callable[[int], None] | None,
) -> Variation | str:
    """Fit a clone and return the variation of a kind and label, or why there is none."""
    kind, label = named
    try:
        fit_again(again.set_params(deploy=False), decisions, decisions.labels, advance)
    except NoOverlapError:
        return f"{label}: fewer than two modalities could be learned."
    if again.arms_ != ranker.arms_:
        return f"{label}: other modalities could be learned."
    targets = tuple(ranker.targets)
    rows = decisions.features.iloc[ranker.evidence_.rows]
    cost = weighted_burden(setup.config, targets, rows, ranker.arms_)
    signed = outcome_weights(setup.config, targets)
    before, after = (fitted.evidence_.committee_outcomes @ signed - cost for fitted in (ranker, again))
    return Variation(kind, label, before, after)
