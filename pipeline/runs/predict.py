"""How does a model score records, in parts that are written exactly once?

Records and features stay in DuckDB; a part's decisions are read, scored, written and forgotten, so that memory does
not grow with their number.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.advice import Advice, advise, configured_detail
from pipeline.errors import ModelMismatchError
from pipeline.guardrails import Overrides
from pipeline.prediction_rows import Detail, Extent
from pipeline.runs.model_dir import Loaded
from pipeline.runs.overriding import OverrideAccount, account_of, read_overrides
from pipeline.runs.reading import Known, Reading, open_known, shard_of
from pipeline.runs.reporting import Reporter
from pipeline.runs.workers import Scoring, Task, scored
from pipeline.store import BatchWriter, Kind

DECISIONS_PER_PART = 5000
MEMORY_LIMIT = "2GB"


@dataclass(frozen=True)
class Batch:
    """What a batch run wrote.

    Attributes
    ----------
    out : Path
    decisions, rows, parts : int
    statuses : mapping of status to count of rows
        Of all parts, those of an earlier run included.
    overrides : OverrideAccount or None
        None where no file of overrides was given.
    """

    out: Path
    decisions: int
    rows: int
    parts: int
    statuses: dict[str, int]
    overrides: OverrideAccount | None = None


def predict(
    records: Path,
    loaded: Loaded,
    out: Path,
    reporter: Reporter,
    *,
    overrides: Path | None = None,
    resume: bool = False,
    decisions_per_part: int = DECISIONS_PER_PART,
    detail: Detail | None = None,
    kind: Kind = "parquet",
    processes: int = 1,
    memory_limit: str = MEMORY_LIMIT,
) -> Batch:
    """Score every decision of the records; outcomes are never read.

    Parameters
    ----------
    records : path
    loaded : Loaded
    out : path
        Predictions directory; complete or absent.
    reporter : Reporter
    overrides : path or None
        File of rules that clinicians set aside, checked whole before anything is scored.
    resume : bool
        Continue an interrupted batch of the same records, model, rules, overrides and options.
    decisions_per_part : int
        Decisions per part file, in decision_id order; part of the batch's identity.
    detail : Detail or None
        How much is explained; part of the batch's identity. None: everything, as configured.
    kind : {'parquet', 'csv'}
        Part of the batch's identity.
    processes : int
        How many score, each in one thread; the bytes written are the same for any number. 1: this one.
    memory_limit : str
        For records and features; what does not fit spills to a private temporary folder.

    Returns
    -------
    Batch

    Raises
    ------
    SchemaError, RuleError, ModelMismatchError, LockedError
        As their messages say.
    """
    aside = read_overrides(overrides, loaded.setup)
    reading = open_known(records, loaded.setup, training=False, reporter=reporter, memory_limit=memory_limit)
    _refuse_other_kind(reading, loaded)
    asked = detail or configured_detail(loaded.adviser)
    identity = {
        "model_version": loaded.adviser.model_version,
        "ruleset_version": loaded.adviser.ruleset_version,
        "records_digest": reading.records.digest,
        "overrides_digest": None if overrides is None else aside.digest,
        "simulated": reading.records.simulated,
        "explain": asked.extent,
        "top_reasons": asked.top_reasons,
    }
    account = None
    if overrides is not None:
        account = account_of(aside, reading.of({row.decision_id for row in aside.rows}), loaded.setup)
    parts = -(-reading.decisions // decisions_per_part)
    scoring = Scoring(loaded.directory, loaded.adviser.model_version, asked, kind)
    with (
        BatchWriter(out, identity=identity, decisions_per_part=decisions_per_part, kind=kind, resume=resume) as writer,
        reporter.stage("Scoring decisions", reading.decisions - writer.decisions) as advance,
    ):
        tasks = _tasks(reading, aside, decisions_per_part, writer.done_parts)
        left = parts - len(writer.done_parts)
        try:
            for number, part in scored(tasks, scoring, loaded.adviser, min(processes, left)):
                writer.write_part(number, part)
                advance(part.decisions)
        except KeyboardInterrupt:
            reporter.say(f"stopped: {len(writer.done_parts)} of {parts} parts stand; go on with --resume")
            raise
        writer.finish(parts)
        statuses = writer.statuses
    modalities = len(loaded.setup.config.modalities)
    return Batch(out, reading.decisions, modalities * reading.decisions, parts, statuses, account)


def advice_for(known: Known, loaded: Loaded, features: pd.DataFrame, overrides: Overrides) -> Advice:
    """Return the advice for some decisions."""
    features = features.reset_index(drop=True)
    shard = shard_of(known, features, known.facts.loc[features["decision_id"]], overrides)
    return advise(loaded.adviser, shard)


def asked_detail(loaded: Loaded, extent: Extent, top_reasons: int | None) -> Detail:
    """Return how much is explained; None names as many features as the model is configured to."""
    configured = configured_detail(loaded.adviser)
    return Detail(extent, configured.top_reasons if top_reasons is None else top_reasons)


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _tasks(reading: Reading, overrides: Overrides, size: int, done: Collection[int]) -> Iterator[Task]:
    """Yield the number and the tables of each part that is not done, read when it is asked for."""
    for number, start in enumerate(range(0, reading.decisions, size)):
        if number not in done:
            known = reading.part(start, start + size)
            yield number, shard_of(known, known.features, known.facts, overrides)


def _refuse_other_kind(reading: Reading, loaded: Loaded) -> None:
    if reading.records.simulated != bool(loaded.about["simulated"]):
        kinds = {True: "simulated", False: "real"}
        raise ModelMismatchError(
            f"predict: the model was trained on {kinds[bool(loaded.about['simulated'])]} records and these are "
            f"{kinds[reading.records.simulated]}. A simulated institution is a demonstration, never evidence; "
            "train on records of the same kind."
        )
