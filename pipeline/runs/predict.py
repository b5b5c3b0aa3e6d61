"""How does a model score records, in parts that are written exactly once?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from threadpoolctl import threadpool_limits

from pipeline.advice import Advice, advise
from pipeline.errors import ModelMismatchError
from pipeline.guardrails import Overrides
from pipeline.runs.model_dir import Loaded
from pipeline.runs.overriding import OverrideAccount, account_of, read_overrides
from pipeline.runs.reading import Known, read_known
from pipeline.runs.reporting import Reporter
from pipeline.runs.train import shard_of
from pipeline.store import BatchWriter

DECISIONS_PER_PART = 5000


@dataclass(frozen=True)
class Batch:
    """What a batch run wrote.

    Attributes
    ----------
    out : Path
    decisions, rows, parts : int
    statuses : mapping of status to count of rows
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
        Continue an interrupted batch of the same records, model, rules and overrides.
    decisions_per_part : int
        Decisions per part file, in decision_id order; part of the batch's identity.

    Returns
    -------
    Batch

    Raises
    ------
    SchemaError, RuleError, ModelMismatchError, LockedError
        As their messages say.
    """
    aside = read_overrides(overrides, loaded.setup)
    known = read_known(records, loaded.setup, training=False, reporter=reporter)
    _refuse_other_kind(known, loaded)
    identity = {
        "model_version": loaded.adviser.model_version,
        "ruleset_version": loaded.adviser.ruleset_version,
        "records_digest": known.records.digest,
        "overrides_digest": None if overrides is None else aside.digest,
        "simulated": known.records.simulated,
    }
    account = None if overrides is None else account_of(aside, known, loaded.setup)
    starts = range(0, len(known.features), decisions_per_part)
    statuses: dict[str, int] = {}
    with (
        BatchWriter(out, identity=identity, decisions_per_part=decisions_per_part, resume=resume) as writer,
        reporter.stage("Scoring decisions", len(known.features)) as advance,
        threadpool_limits(limits=1, user_api="blas"),
    ):
        for index, start in enumerate(starts):
            rows = slice(start, start + decisions_per_part)
            if index not in writer.done_parts:
                frame = advice_for(known, loaded, known.features.iloc[rows], aside).predictions
                writer.write_part(index, frame)
                for status, count in frame["status"].value_counts().items():
                    statuses[str(status)] = statuses.get(str(status), 0) + int(count)
            advance(len(known.features.iloc[rows]))
        writer.finish(len(starts))
    modalities = len(loaded.setup.config.modalities)
    return Batch(out, len(known.features), modalities * len(known.features), len(starts), statuses, account)


def advice_for(known: Known, loaded: Loaded, features: pd.DataFrame, overrides: Overrides) -> Advice:
    """Return the advice for some decisions."""
    features = features.reset_index(drop=True)
    shard = shard_of(known, features, known.facts.loc[features["decision_id"]], overrides)
    return advise(loaded.adviser, shard)


def _refuse_other_kind(known: Known, loaded: Loaded) -> None:
    if known.records.simulated != bool(loaded.about["simulated"]):
        kinds = {True: "simulated", False: "real"}
        raise ModelMismatchError(
            f"predict: the model was trained on {kinds[bool(loaded.about['simulated'])]} records and these are "
            f"{kinds[known.records.simulated]}. A simulated institution is a demonstration, never evidence; "
            "train on records of the same kind."
        )
