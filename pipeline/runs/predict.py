"""How does a model score records, in parts that are written exactly once?

Records and features stay in DuckDB; a part's decisions are read, scored, written and forgotten, so that memory does
not grow with their number.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.advice import Advice, advise, configured_detail
from pipeline.errors import ModelMismatchError
from pipeline.guardrails import Overrides
from pipeline.prediction_rows import Detail, Extent
from pipeline.runs.model_dir import Loaded
from pipeline.runs.on_spark import Divided, Spark, refuse_missing, scored_on_spark
from pipeline.runs.overriding import OverrideAccount, account_of, read_overrides
from pipeline.runs.reading import Known, Opened, Reading, build_features, open_cohort, shard_of
from pipeline.runs.reporting import Reporter
from pipeline.runs.shifting import Watch, beside, read_shift, shift_of
from pipeline.runs.spark_parts import Parcels, versions
from pipeline.runs.workers import Done, Scoring, Task, make_ready, scored
from pipeline.store import BatchWriter, Kind, within

DECISIONS_PER_PART = 5000
_LATER = ("records_digest", "simulated", "calendar")
"""What belongs to a batch and is known only once the records are read."""
MEMORY_LIMIT = "512MB"
PARTS_PER_PROCESS = 3
"""The parts that one more process must have to repay its start; docs/performance.md, Batches."""


@dataclass(frozen=True)
class Batch:
    """What a batch run wrote, or found written.

    Attributes
    ----------
    out : Path
    decisions, rows, parts : int
    statuses : mapping of status to count of rows
        Of all parts, those of an earlier run included.
    stood : int
        Decisions of the parts that stood already when the run began.
    was_finished : bool
        Whether the whole batch stood already, so that nothing was scored.
    overrides : OverrideAccount or None
        None where no file of overrides was given.
    shift : mapping
        How the decisions differ from those that the model learned from; `_shift.json`.
    """

    out: Path
    decisions: int
    rows: int
    parts: int
    statuses: dict[str, int]
    stood: int = 0
    was_finished: bool = False
    overrides: OverrideAccount | None = None
    shift: Mapping[str, Any] = field(default_factory=dict)


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
    processes: int | None = 1,
    memory_limit: str = MEMORY_LIMIT,
    spark: Spark | None = None,
) -> Batch:
    """Score every decision of the records; outcomes are never read.

    The place of the batch is locked and looked at first: another run there, a batch that is not asked to be gone on
    with, another model, rules, overrides or options are refused before the records are read, which may take long.

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
        Continue an interrupted batch of the same records, model, rules, overrides, options and versions of what
        computes; of a finished one, check that it is of these and as it was written.
    decisions_per_part : int
        Decisions per part file, in decision_id order; part of the batch's identity.
    detail : Detail or None
        How much is explained; part of the batch's identity. None: everything, as configured.
    kind : {'parquet', 'csv'}
        Part of the batch's identity.
    processes : int or None
        How many score, each in one thread; the bytes written are the same for any number. 1: this one. None: one per
        core, as far as each has three parts to score.
    memory_limit : str
        For records and features; what does not fit spills to a private temporary folder.
    spark : Spark or None
        The cluster that scores in place of processes; the bytes written are the same.

    Returns
    -------
    Batch

    Raises
    ------
    ConfigError, SchemaError, RuleError, ModelMismatchError, LockedError
        As their messages say.
    """
    aside = read_overrides(overrides, loaded.setup)
    asked = detail or configured_detail(loaded.adviser)
    about = _about(loaded, asked, None if overrides is None else aside.digest)
    options: dict[str, Any] = {"decisions_per_part": decisions_per_part, "kind": kind, "resume": resume}
    with BatchWriter(out, identity=about, later=_LATER, **options) as writer, within(memory_limit):
        if spark is not None:
            refuse_missing()
        opened = open_cohort(records, loaded.setup, training=False, reporter=reporter, memory_limit=memory_limit)
        refuse_other_kind(opened, loaded)
        of_records = {"records_digest": opened.records.digest, "simulated": opened.records.simulated}
        writer.learn({**of_records, "calendar": opened.records.calendar})
        was_finished, stood, decisions = writer.finished, writer.decisions, opened.cohort.decisions
        parts = -(-decisions // decisions_per_part)
        divided = Divided(decisions_per_part, parts, writer.done_parts, memory_limit)
        scorers = 0 if spark is not None else min(processes or worthwhile(divided.left, cores()), divided.left)
        if scorers > 1:
            make_ready()  # in the background, while features are built
        reading = _known(opened, loaded, reporter, memory_limit, spark)
        account = None
        if overrides is not None:
            account = account_of(aside, reading.of({row.decision_id for row in aside.rows}), loaded.setup)
        if not was_finished:
            scoring = Scoring(loaded.directory, loaded.adviser.model_version, asked, kind)
            watch = Watch(loaded)
            if isinstance(reading, Parcels):
                done = scored_on_spark(reading, aside, scoring, watch, divided, spark or Spark())
            else:
                reading.hold_less()
                done = scored(_tasks(reading, aside, divided, watch), scoring, loaded.adviser, scorers)
            _write(done, writer, decisions, parts, reporter)
            now = watch.now(reading.people, writer.statuses, writer.abstained)
            told = {"model_version": about["model_version"], **of_records}
            writer.finish(parts, beside(shift_of(watch, now, told)))
        statuses = writer.statuses
    return Batch(
        out=out,
        decisions=decisions,
        rows=len(loaded.setup.config.modalities) * decisions,
        parts=parts,
        statuses=statuses,
        stood=stood,
        was_finished=was_finished,
        overrides=account,
        shift=read_shift(out),
    )


def _about(loaded: Loaded, asked: Detail, overrides_digest: str | None) -> dict[str, Any]:
    """Return what belongs to a batch and is known before its records are read."""
    return {
        "model_version": loaded.adviser.model_version,
        "ruleset_version": loaded.adviser.ruleset_version,
        "overrides_digest": overrides_digest,
        "explain": asked.extent,
        "top_reasons": asked.top_reasons,
        "versions": versions(),
    }


def _known(
    opened: Opened, loaded: Loaded, reporter: Reporter, memory_limit: str, spark: Spark | None
) -> Reading | Parcels:
    """Return what was known at each decision, or what each part on Spark takes along to find out."""
    if spark is not None:
        return Parcels(opened, loaded.setup)
    return build_features(opened, loaded.setup, reporter=reporter, memory_limit=memory_limit)


def _write(
    done: Generator[Done, None, None], writer: BatchWriter, decisions: int, parts: int, reporter: Reporter
) -> None:
    """Write parts as they come; if the run ends before the last, however it does, end what scores and say how far."""
    try:
        with closing(done), reporter.stage("Scoring decisions", decisions - writer.decisions) as advance:
            for number, part in done:
                writer.write_part(number, part)
                advance(part.decisions)
    finally:
        if (stand := len(writer.done_parts)) < parts:
            far = f"stopped: {stand:,} of {parts:,} parts stand; go on with --resume"
            reporter.say(far if stand else "stopped before any part stood; run it again")


def advice_for(known: Known, loaded: Loaded, features: pd.DataFrame, overrides: Overrides) -> Advice:
    """Return the advice for some decisions."""
    return advise(loaded.adviser, shard_of(known, features.reset_index(drop=True), overrides))


def asked_detail(loaded: Loaded, extent: Extent, top_reasons: int | None) -> Detail:
    """Return how much is explained; None names as many features as the model is configured to."""
    configured = configured_detail(loaded.adviser)
    return Detail(extent, configured.top_reasons if top_reasons is None else top_reasons)


def worthwhile(parts: int, cores: int) -> int:
    """Return how many processes score some parts soonest: one per core, as far as each has three parts."""
    return max(1, min(cores, parts // PARTS_PER_PROCESS))


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _tasks(reading: Reading, overrides: Overrides, divided: Divided, watch: Watch) -> Iterator[Task]:
    """Yield the number and the tables of each part that is not done, read when it is asked for; all are counted."""
    for number in range(divided.parts):
        start, stop = number * divided.size, (number + 1) * divided.size
        if number in divided.done:
            watch.see(reading.features(start, stop))
            continue
        known = reading.part(start, stop)
        watch.see(known.features)
        yield number, shard_of(known, known.features, overrides)


def refuse_other_kind(reading: Reading | Opened, loaded: Loaded, command: str = "predict") -> None:
    """Refuse simulated records for a model of real ones, or the other way round, with a ModelMismatchError."""
    if reading.records.simulated != bool(loaded.about["simulated"]):
        kinds = {True: "simulated", False: "real"}
        raise ModelMismatchError(
            f"{command}: the model was trained on {kinds[bool(loaded.about['simulated'])]} records and these are "
            f"{kinds[reading.records.simulated]}. A simulated institution is a demonstration, never evidence; "
            "train on records of the same kind."
        )
