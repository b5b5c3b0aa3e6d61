"""Which rule did a clinician set aside, for whom, and why? A file of reasons, checked whole before it counts."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from pipeline.declared import Declared, did_you_mean, raise_if
from pipeline.errors import RuleError
from pipeline.guardrails.kleene import Mask
from pipeline.guardrails.rules import Rule, RuleSet

FIELDS = ("decision_id", "rule_id", "reason", "by_role", "date")
IN_WORDS = ("reason", "by_role")
"""Fields that people write and pages and tables repeat."""
FORMULA_SIGNS = "=+-@"
"""What a cell begins with that a spreadsheet would calculate."""
SHOWN_ROWS = 5


class Override(Declared):
    """One overridable rule set aside for one decision.

    Attributes
    ----------
    decision_id, rule_id : str
    reason : str
        In the clinician's words.
    by_role : str
        A role, such as `treating haematologist`; never a name.
    date : str, ISO date
    """

    decision_id: str
    rule_id: str
    reason: str
    by_role: str
    date: str


@dataclass(frozen=True)
class Overrides:
    """All overrides of a batch, sorted by decision and rule.

    Attributes
    ----------
    rows : tuple of Override
    """

    rows: tuple[Override, ...] = ()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the rows; the same whatever the order they came in."""
        canonical = json.dumps([row.model_dump() for row in self.rows], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def lifted(self, decisions: pd.Index) -> dict[str, Mask]:
        """Return, per overridden rule, for which of some decisions it is set aside."""
        by_rule: dict[str, set[str]] = {}
        for row in self.rows:
            by_rule.setdefault(row.rule_id, set()).add(row.decision_id)
        return {
            rule: np.array([decision in ids for decision in decisions], dtype=bool) for rule, ids in by_rule.items()
        }

    def strangers(self, decisions: Sequence[str] | pd.Index) -> int:
        """Return how many overrides name a decision that is not among those given."""
        known = set(decisions)
        return sum(row.decision_id not in known for row in self.rows)


def parse_overrides(
    rows: Sequence[Mapping[Hashable, Any]], rules: RuleSet, latest: datetime.date | None = None
) -> Overrides:
    """Return the checked overrides; every problem of every row is told at once, by row number.

    Parameters
    ----------
    rows : sequence of mapping
        `decision_id, rule_id, reason, by_role, date`, as read from a table; the first row is row 1.
    rules : RuleSet
        The rules that may be overridden; drafts too.
    latest : date or None
        The last day that an override can bear: nothing is set aside in advance. None asks nothing of days. A day
        after the decision's own is allowed, for a clinician reads the card before answering it.

    Returns
    -------
    Overrides

    Raises
    ------
    RuleError
        If a field is missing or unknown, a rule is not there or not overridable, a date is no ISO date or lies in the
        future, words begin as a spreadsheet's formula does, or a rule is overridden twice for a decision. Messages
        carry counts and row numbers, never what a row says.
    """
    problems: dict[str, list[int]] = {}
    sound: list[Override] = []
    seen: set[tuple[str, str]] = set()
    by_id = {rule.id: rule for rule in rules.rules}
    for number, row in enumerate(rows, start=1):
        found = _problems_of(row, by_id, latest)
        if not found:
            override = Override(**{name: _text(row[name]) for name in FIELDS})
            key = (override.decision_id, override.rule_id)
            if key in seen:
                found = ["decision_id, rule_id: overridden before; keep one row per decision and rule"]
            seen.add(key)
            sound.append(override)
        for problem in found:
            problems.setdefault(problem, []).append(number)
    raise_if([_line(problem, numbers, len(rows)) for problem, numbers in problems.items()], "overrides", RuleError)
    return Overrides(tuple(sorted(sound, key=lambda row: (row.decision_id, row.rule_id))))


def override_table(overrides: Overrides, decisions: pd.Index, spoke: Mapping[str, Mask]) -> pd.DataFrame:
    """Return the overrides of some decisions, and whether each set anything aside.

    Parameters
    ----------
    overrides : Overrides
    decisions : Index of decision_id
    spoke : mapping of rule id to array of bool, (n,)
        Where the rule fired or was undecided.

    Returns
    -------
    DataFrame, one row per override of one of the decisions, sorted by decision_id and rule_id
        `decision_id, rule_id, reason, by_role, date, applied`.
    """
    place = {decision: number for number, decision in enumerate(decisions)}
    rows = [
        {**row.model_dump(), "applied": row.rule_id in spoke and bool(spoke[row.rule_id][place[row.decision_id]])}
        for row in overrides.rows
        if row.decision_id in place
    ]
    table = pd.DataFrame(rows, columns=[*FIELDS, "applied"])
    return table.astype({**dict.fromkeys(FIELDS, "str"), "applied": "bool"})


def _problems_of(row: Mapping[Hashable, Any], by_id: Mapping[str, Rule], latest: datetime.date | None) -> list[str]:
    found = [
        f"{name}: {'missing' if _absent(row.get(name)) else 'wanted text'}"
        for name in FIELDS
        if not _text(row.get(name))
    ]
    if any(name not in FIELDS for name in row):
        found.append(f"unknown column; wanted {', '.join(FIELDS)}")
    rule_id, date = _text(row.get("rule_id")), _text(row.get("date"))
    if rule_id and rule_id not in by_id:
        found.append(f"rule_id: no such rule{did_you_mean(rule_id, list(by_id))}")
    elif rule_id and not by_id[rule_id].overridable:
        found.append(f"rule_id: '{rule_id}' may not be overridden; {_why_not(by_id[rule_id])}")
    if date and not _is_date(date):
        found.append("date: wanted an ISO date such as 2026-11-23")
    elif date and latest is not None and date > latest.isoformat():
        found.append("date: lies in the future; write the day on which the rule was set aside")
    signs = " ".join(FORMULA_SIGNS)
    found += [
        f"{name}: begins with one of {signs}, which a spreadsheet reads as a formula; begin with a word"
        for name in IN_WORDS
        if _text(row.get(name)).startswith(tuple(FORMULA_SIGNS))
    ]
    return found


def _why_not(rule: Rule) -> str:
    if rule.effect == "block":
        return "its block holds"
    return f"it is a rule of effect {rule.effect}: it removes nothing, so that there is nothing to set aside"


def _absent(value: Any) -> bool:
    return isinstance(value, str) or value is None or value is pd.NA or value != value


def _text(value: Any) -> str:
    """Return a cell as text; empty for None, NaN, NaT and anything that is neither text nor a date."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, datetime.date) and not pd.isna(value):
        return value.strftime("%Y-%m-%d")
    return ""


def _is_date(text: str) -> bool:
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _line(problem: str, numbers: Sequence[int], total: int) -> str:
    listed = ", ".join(str(number) for number in numbers[:SHOWN_ROWS])
    return f"{problem} ({len(numbers)} of {total} rows: {listed}{', ...' if len(numbers) > SHOWN_ROWS else ''})"
