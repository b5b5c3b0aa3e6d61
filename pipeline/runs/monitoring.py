"""Does a model still hold for the decisions made since it was trained?"""

from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from threadpoolctl import threadpool_limits

from pipeline.advice import circumstances, judge, score
from pipeline.errors import ConfigError, ModelMismatchError, NoOverlapError
from pipeline.evaluate.weighing import outcome_weights, weighted_burden
from pipeline.labels import build_labels
from pipeline.learners import SMALL_CELL
from pipeline.learners.crossfit import fold_of
from pipeline.learners.propensity import fit_propensity
from pipeline.learners.targets import read_follow_up
from pipeline.prediction_rows import Detail
from pipeline.review import shift_page
from pipeline.runs.model_dir import Loaded
from pipeline.runs.predict import DECISIONS_PER_PART, refuse_other_kind
from pipeline.runs.reading import Known, Reading, open_known, shard_of
from pipeline.runs.reporting import Reporter
from pipeline.runs.shifting import Watch
from pipeline.shift import Profile, differences, summary
from pipeline.shift.outcomes import Later, estimates, outcome_differences
from pipeline.store import canonical_json, write_bytes, write_text

_FOLDS = 3
_FEWEST_GIVEN = 40


def monitor(
    records: Path,
    loaded: Loaded,
    out: Path,
    reporter: Reporter,
    *,
    since: str | None = None,
    memory_limit: str | None = None,
) -> dict[str, Any]:
    """Compare later decisions and what followed with training; write the page, and the same as JSON beside it.

    Parameters
    ----------
    records : path
        With decisions, what was given and what followed.
    loaded : Loaded
    out : path
        The page; the JSON has its name.
    reporter : Reporter
    since : str or None, ISO date
        First decision day that counts. None: the month after the last that the model learned from; everything where
        dates are no calendar dates.
    memory_limit : str or None

    Returns
    -------
    dict
        As `shift.summary`, with `estimates` of outcomes and value.

    Raises
    ------
    NoOverlapError
        If too few decisions are left.
    ModelMismatchError
        If the model keeps no profile of its training decisions, or is of another kind than the records.
    SchemaError
        If the records break their contract.
    ConfigError
        If the first day is no day, or the page is to have the name of the summary beside it.
    """
    if out.suffix == ".json":
        raise ConfigError(f"{out}: got a name for JSON, wanted one for the page, such as {out.with_suffix('.html')}.")
    watch = Watch(loaded)
    if watch.profile is None:
        raise ModelMismatchError(
            "monitor: the model is older than profiles of training decisions. Train again with this version."
        )
    asked = None if since is None else _day(since)
    reading = open_known(records, loaded.setup, training=True, reporter=reporter, memory_limit=memory_limit)
    refuse_other_kind(reading, loaded, "monitor")
    first = asked or _after(watch.profile, reading)
    known = reading.every()
    features = known.features
    if first is not None:
        features = features[pd.to_datetime(features["decision_date"]) >= first].reset_index(drop=True)
    if features["patient_id"].nunique() < SMALL_CELL:
        from_day = "" if first is None else f" from {first:%Y-%m-%d} on"
        raise NoOverlapError(
            f"monitor: decisions of fewer than {SMALL_CELL} people{from_day}, too few to say anything. Give records of "
            "later decisions, or choose the first day with --since."
        )
    with reporter.stage("Comparing with training"), threadpool_limits(limits=1):
        found = _found(watch, watch.profile, loaded, known, features)
    found |= {
        "model_version": loaded.adviser.model_version,
        "records_digest": reading.records.digest,
        "simulated": reading.records.simulated,
        "since": None if first is None else f"{first:%Y-%m-%d}",
    }
    write_bytes(out.with_suffix(".json"), canonical_json(found))
    write_text(out, shift_page(found))
    return found


def _day(since: str) -> pd.Timestamp:
    try:
        return pd.Timestamp(date.fromisoformat(since))
    except ValueError:
        raise ConfigError(f"--since: got {since!r}, wanted a day such as 2026-01-31.") from None


def _after(profile: Profile, reading: Reading) -> pd.Timestamp | None:
    """Return the first day after the decisions learned from, or None where dates do not tell."""
    if profile.last_month is None or not reading.records.calendar:
        return None
    return pd.Timestamp(f"{profile.last_month}-01") + pd.offsets.MonthBegin(1)


def _found(watch: Watch, profile: Profile, loaded: Loaded, known: Known, features: pd.DataFrame) -> dict[str, Any]:
    """Return the summary of some decisions and of what followed them."""
    watch.see(features)
    statuses, abstained = _scored(loaded, known, features)
    given = _given(known, features)
    now = watch.now(features["patient_id"].nunique(), statuses, abstained, Counter(given))
    if now is None:
        raise ModelMismatchError("monitor: the model keeps no profile of its training decisions. Train again.")
    config = watch.config
    compared = differences(profile, now, config)
    later = _later(loaded, known, features, given)
    if later is None:
        return summary(profile, now, compared, config, watch.meanings()) | {"estimates": {}}
    labels = {entry.id: entry.label for entry in loaded.setup.config.modalities}
    seen = estimates(later, labels)
    compared += outcome_differences(seen, later, config)
    return summary(profile, now, compared, config, watch.meanings()) | {"estimates": seen}


def _given(known: Known, features: pd.DataFrame) -> list[str]:
    """Return the modality given at each decision."""
    points = known.points.set_index("decision_id")["modality"]
    return [str(name) for name in points.loc[features["decision_id"]]]


def _scored(loaded: Loaded, known: Known, features: pd.DataFrame) -> tuple[Counter[str], Counter[str]]:
    """Return how many rows of predictions have each status, and each reason to abstain."""
    statuses: Counter[str] = Counter()
    abstained: Counter[str] = Counter()
    for start in range(0, len(features), DECISIONS_PER_PART):
        some = features.iloc[start : start + DECISIONS_PER_PART].reset_index(drop=True)
        rows = score(loaded.adviser, shard_of(known, some), Detail("none", 0))
        statuses.update(rows["status"].to_pylist())
        abstained.update(reason for reason in rows["abstain_reason"].to_pylist() if reason)
    return statuses, abstained


def _later(loaded: Loaded, known: Known, features: pd.DataFrame, given: list[str]) -> Later | None:
    """Return the decisions for something that the model ranks and that were followed; None where people are too few."""
    setup, adviser, model = loaded.setup, loaded.adviser, loaded.adviser.model
    settings = setup.config.settings
    once, cut = setup.spec.exposure.single_dose_classes, settings.cohort.data_cut_date
    labels = build_labels(known.connection, settings.outcomes, setup.config.drugs, cut, given_once=once)
    frame = labels.frame.set_index("decision_id")
    is_judged = features["decision_id"].isin(frame.index).to_numpy() & np.isin(given, model.arms)
    rows = features[is_judged].reset_index(drop=True)
    if rows["patient_id"].nunique() < SMALL_CELL:
        return None
    shard = shard_of(known, rows)
    verdicts = judge(setup.config, adviser.rules, shard.facts, shard.dates)
    columns = [setup.config.modality_ids.index(name) for name in model.arms]
    impossible = circumstances(adviser, shard, verdicts).is_impossible[:, columns].copy()
    arm = np.array([model.arms.index(given[row]) for row in np.flatnonzero(is_judged)])
    impossible[np.arange(len(arm)), arm] = False
    groups = np.unique(rows["patient_id"].to_numpy(dtype=object).astype(str), return_inverse=True)[1]
    return Later(
        arms=model.arms,
        targets=model.targets,
        arm=arm,
        groups=groups,
        follow_up=read_follow_up(frame.loc[rows["decision_id"]].reset_index(drop=True), model.targets),
        predicted=model.outcomes(rows),
        propensity=_propensity(loaded, rows, arm, groups, impossible),
        burden=weighted_burden(setup.config, model.targets, rows, model.arms),
        signed=outcome_weights(setup.config, model.targets),
        is_impossible=impossible,
        time_limited={entry.id: entry.time_limited for entry in setup.config.modalities},
        floor=settings.gates.propensity_floor,
    )


def _propensity(
    loaded: Loaded,
    rows: pd.DataFrame,
    arm: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64],
    impossible: npt.NDArray[np.bool_],
) -> npt.NDArray[np.float64]:
    """Return how likely each modality was to be given: estimated anew, cross-fitted, where each was given often enough.

    Otherwise it is the model's own, of training times.
    """
    model, settings = loaded.adviser.model, loaded.setup.config.settings.learner
    if np.bincount(arm, minlength=len(model.arms)).min() < _FEWEST_GIVEN:
        return model.support(rows, impossible)
    matrix, fold = model.propensity_columns.matrix(rows), fold_of(arm, groups, _FOLDS, settings.seed)
    found = np.zeros(impossible.shape)
    for number in range(_FOLDS):
        inside, outside = fold != number, fold == number
        fitted = fit_propensity(matrix[inside], model.propensity_columns, arm[inside], impossible[inside], settings)
        found[outside] = fitted.predict(matrix[outside], impossible[outside])
    return found
