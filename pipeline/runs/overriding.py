"""Which rules did clinicians set aside, and what do these overrides do to these decisions?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd

from pipeline.advice import judge
from pipeline.errors import RuleError
from pipeline.guardrails import Overrides, parse_overrides
from pipeline.runs.reading import Known
from pipeline.runs.setup import Setup
from pipeline.store import read_rows


@dataclass(frozen=True)
class OverrideAccount:
    """What a file of overrides does to some decisions; every count is of overrides.

    Attributes
    ----------
    total : int
    applied : mapping of rule id to count
        Overrides that set something aside: the rule had fired, or was undecided.
    idle : int
        Overrides of a rule that says nothing of that decision.
    strangers : int
        Overrides of a decision that is not among those scored.
    """

    total: int
    applied: dict[str, int]
    idle: int
    strangers: int


def read_overrides(path: Path | None, setup: Setup) -> Overrides:
    """Return the overrides of a file, checked; none without a file.

    Raises
    ------
    ConfigError
        If there is no such file.
    RuleError
        With every problem of the file. Counts and row numbers, never what a row says.
    """
    if path is None:
        return Overrides()
    rows = read_rows(path, RuleError)
    try:
        return parse_overrides(rows, setup.rules, latest=_today_anywhere())
    except RuleError as problem:
        raise RuleError(f"{path}: {problem}") from None


def _today_anywhere() -> date:
    """Return the day it is where the day begins first: what is dated later is in the future everywhere."""
    return (datetime.now(UTC) + timedelta(hours=14)).date()


def account_of(overrides: Overrides, known: Known, setup: Setup) -> OverrideAccount:
    """Return what overrides do; only the decisions they name are judged."""
    named = {row.decision_id for row in overrides.rows}
    chosen = known.features[known.features["decision_id"].isin(named)]
    facts = known.facts.loc[chosen["decision_id"]]
    verdicts = judge(setup.config, setup.rules, facts, known.rule_dates(chosen), overrides)
    applied = verdicts.overrides.loc[verdicts.overrides["applied"], "rule_id"].value_counts().sort_index()
    return OverrideAccount(
        total=len(overrides.rows),
        applied={str(rule): int(count) for rule, count in applied.items()},
        idle=int((~verdicts.overrides["applied"]).sum()),
        strangers=overrides.strangers(pd.Index(known.features["decision_id"])),
    )
