"""What changed between the champion and this model, and for whom does the first place flip?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from threadpoolctl import threadpool_limits

from pipeline.declared import parse_yaml
from pipeline.errors import PipelineError
from pipeline.evaluate.challenger import changed_checks, changed_keys, changed_names, compared, flips, metrics
from pipeline.guardrails import Overrides
from pipeline.review import csv_text
from pipeline.runs.model_dir import Loaded, evaluation_of, load_model, read_evaluation
from pipeline.runs.predict import DECISIONS_PER_PART, advice_for
from pipeline.runs.reading import Known, read_known
from pipeline.runs.reporting import Reporter
from pipeline.runs.setup import SETTINGS
from pipeline.store import write_text

FLIPS = "flips.csv"
_WHOLE = (SETTINGS,)
"""Files of which every changed key is told; of the others, that they changed."""


def compare_with(
    model: str,
    champion: str,
    workspace: Path,
    out: Path,
    reporter: Reporter,
    *,
    records: Path | None = None,
    show_identifiers: bool = False,
) -> dict[str, Any]:
    """Return what changed against a champion, and write the cases that flip beside the page.

    Parameters
    ----------
    model, champion : str
        A run directory or a registry reference.
    workspace : path
    out : path
        The page; flips.csv stands beside it, if records are compared.
    reporter : Reporter
    records : path or None
        Scored by both models.
    show_identifiers : bool
        Whether flips.csv names decisions.

    Returns
    -------
    dict
        As `what_changed`, with `flips` where records were compared.

    Raises
    ------
    PipelineError
        If a model, or the challenger's evaluation, is missing or damaged, or the records cannot be read.
    """
    new, old = (load_model(reference, workspace) for reference in (model, champion))
    after = read_evaluation(new.directory)
    before = read_evaluation(old.directory) if evaluation_of(old.directory).is_file() else None
    if before is not None and before.get("model_version") != old.adviser.model_version:
        before = None
    found = what_changed(old, new, before, after)
    if records is None:
        return found
    counts, table = scored_by_both(records, old, new, reporter)
    if table is not None:
        cases = flips_table(table, show_identifiers=show_identifiers)
        rows = cases.astype(object).where(cases.notna(), "").to_numpy().tolist()
        write_text(out.with_name(FLIPS), csv_text([list(map(str, cases.columns)), *rows]))
    return {**found, "flips": counts}


def what_changed(
    old: Loaded, new: Loaded, before: Mapping[str, Any] | None, after: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what is different between two models, without any record.

    Parameters
    ----------
    old, new : Loaded
        The champion and the challenger.
    before, after : mapping
        Their evaluations; None where the champion's is not beside it.

    Returns
    -------
    dict
        `old, new` (versions), `settings`, `files`, `features`, `modalities`, `rules`, `cohort`, `metrics`, `checks`,
        `words`.
    """
    texts = [dict(side.setup.texts) for side in (old, new)]
    parsed = [{name: parse_yaml(text, name) for name, text in side.items()} for side in texts]
    settings = [entry for name in _WHOLE for entry in changed_keys(parsed[0].get(name, {}), parsed[1].get(name, {}))]
    files = changed_names(*({name: value for name, value in side.items() if name not in _WHOLE} for side in parsed))
    specs = [
        {entry.name: entry for entry in side.setup.spec.features if entry.name in side.adviser.model.columns.names}
        for side in (old, new)
    ]
    found: dict[str, Any] = {
        "old": old.adviser.model_version,
        "new": new.adviser.model_version,
        "settings": settings,
        "files": files,
        "features": changed_names(*specs),
        "modalities": changed_names(*(dict.fromkeys(side.adviser.model.arms) for side in (old, new))),
        "rules": {
            "old": old.adviser.ruleset_version,
            "new": new.adviser.ruleset_version,
            **changed_names(*({rule.id: rule for rule in side.setup.rules.rules} for side in (old, new))),
        },
        "cohort": None,
        "metrics": [],
        "checks": [],
    }
    if before is not None:
        found["cohort"] = _cohort(before, after)
        found["metrics"] = metrics(before, after)
        found["checks"] = changed_checks(before.get("checks", ()), after.get("checks", ()))
    weights = [side.setup.config.weights(target.name for target in side.adviser.model.targets) for side in (old, new)]
    found["words"] = _words(before, after, same_weights=weights[0] == weights[1])
    return found


def _cohort(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    sides = []
    for evaluation in (before, after):
        cohort = evaluation["cohort"]
        counts = {row["modality"]: row["decisions"] for row in cohort["modalities"]}
        sides.append({"decisions": cohort["decisions"], "patients": cohort["patients"], "modalities": counts})
    return {"same_records": before["records_digest"] == after["records_digest"], "old": sides[0], "new": sides[1]}


def _words(before: Mapping[str, Any] | None, after: Mapping[str, Any], *, same_weights: bool) -> list[str]:
    """Return how far the figures of the two may be compared."""
    told = []
    if before is None:
        told.append("The champion's evaluation is not beside it, so figures cannot be put side by side.")
    elif before["records_digest"] == after["records_digest"]:
        told.append(
            "Both learned from the same records, so their values rest on the same outcomes and move together: a "
            "difference is surer than either standard error says."
        )
    else:
        told.append(
            "They learned from different records, so their values differ by the people as well as by the model; the "
            "flips of the same records say what the model alone changes."
        )
    if not same_weights:
        told.append("Their utility weights differ, so their suitabilities and values are not on one scale.")
    return told


def scored_by_both(
    records: Path, old: Loaded, new: Loaded, reporter: Reporter
) -> tuple[dict[str, Any], pd.DataFrame | None]:
    """Score the same records by both models, each with its own features, rules and configuration.

    Parameters
    ----------
    records : path
    old, new : Loaded
    reporter : Reporter

    Returns
    -------
    dict
        As `evaluate.challenger.flips`, with `only_old, only_new` (decisions that one cohort has), or `words` where
        the champion cannot score these records.
    DataFrame or None
        As `evaluate.challenger.compared`.

    Raises
    ------
    PipelineError
        If the challenger cannot score these records.
    """
    after = read_known(records, new.setup, training=False, reporter=reporter)
    try:
        before = read_known(records, old.setup, training=False, reporter=reporter)
    except PipelineError as problem:
        return {"words": f"The champion could not read these records, so no case can be compared: {problem}"}, None
    ids = [set(known.features["decision_id"]) for known in (before, after)]
    shared = sorted(ids[0] & ids[1])
    parts = []
    with reporter.stage("Scoring by both models", len(shared)) as advance, threadpool_limits(limits=1, user_api="blas"):
        for start in range(0, len(shared), DECISIONS_PER_PART):
            chosen = shared[start : start + DECISIONS_PER_PART]
            parts.append(compared(*(_advice(known, side, chosen) for known, side in ((before, old), (after, new)))))
            advance(len(chosen))
    modalities = list(dict.fromkeys([*old.setup.config.modality_ids, *new.setup.config.modality_ids]))
    if not parts:
        return {"words": "No decision of these records is in the cohort of both models."}, None
    table = pd.concat(parts, ignore_index=True)
    counts = {"only_old": len(ids[0] - ids[1]), "only_new": len(ids[1] - ids[0])}
    return flips(table, modalities) | counts, table


def _advice(known: Known, loaded: Loaded, decisions: list[str]) -> Any:
    rows = known.features.set_index("decision_id", drop=False).loc[decisions].reset_index(drop=True)
    return advice_for(known, loaded, rows, Overrides())


def flips_table(table: pd.DataFrame, *, show_identifiers: bool) -> pd.DataFrame:
    """Return the cases that flip, without identifiers unless they are asked for.

    Parameters
    ----------
    table : DataFrame
        As `evaluate.challenger.compared`.
    show_identifiers : bool
    """
    flipped = table[table["old_first"] != table["new_first"]].reset_index(drop=True)
    return flipped if show_identifiers else flipped.drop(columns="decision_id")
