"""What does every rule answer, and which verdicts follow? Masks over all decisions at once; no table is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import RuleError
from pipeline.guardrails.grid import FALSE, TRUE, UNKNOWN
from pipeline.guardrails.kleene import FactColumns, Mask, evaluate
from pipeline.guardrails.overrides import Overrides
from pipeline.guardrails.plan import Plan
from pipeline.guardrails.rules import Rule
from pipeline.vocabulary import VERDICTS

Codes = NDArray[np.int8]
CHUNK = 100_000
CLEAR, NOT_ASSESSED = VERDICTS.index("clear"), VERDICTS.index("not_assessed")
OUTSIDE = 3
"""State of a rule that does not judge a decision, because it takes effect later."""


@dataclass(frozen=True)
class Answers:
    """What every rule, product and modality says of every decision, as small whole numbers.

    Attributes
    ----------
    plan : Plan
    decisions : Index of decision_id, (n,)
    states : array of int8, (len(plan.asked), n)
        FALSE, TRUE, UNKNOWN or OUTSIDE.
    products : array of int8, (len(plan.offered), n)
        Places in VERDICTS: the worst of the product's rules, overrides taken away.
    modalities : array of int8, (len(plan.modalities), n)
        Places in VERDICTS: the best of the modality's products.
    """

    plan: Plan
    decisions: pd.Index
    states: Codes
    products: Codes
    modalities: Codes


def answer_rules(
    facts: pd.DataFrame, asked: Plan, *, decision_dates: pd.Series, overrides: Overrides | None = None
) -> Answers:
    """Return the answers of all rules by masks, some decisions at a time so that the masks stay small.

    Parameters
    ----------
    facts : DataFrame, one row per decision, indexed by decision_id
        One column per fact; missing is unknown.
    asked : Plan
    decision_dates : Series of dates, indexed by decision_id
        A rule judges decisions on or after its `effective_from`; a decision without a date is judged by all.
    overrides : Overrides or None

    Returns
    -------
    Answers

    Raises
    ------
    RuleError
        If decision ids repeat, dates are missing for some decisions, or a fact that a rule reads is not among the
        columns.
    """
    dates = dates_of(facts, decision_dates)
    lifted = {} if overrides is None else overrides.lifted(facts.index)
    states = np.full((len(asked.asked), len(facts)), OUTSIDE, dtype=np.int8)
    for start in range(0, len(facts), CHUNK):
        rows = slice(start, start + CHUNK)
        states[:, rows] = states_of(FactColumns(facts.iloc[rows]), asked, dates[rows])
    return settle(asked, facts.index, states, lifted)


def states_of(columns: FactColumns, asked: Plan, dates: NDArray[np.datetime64]) -> Codes:
    """Return the state of every rule that is asked, (len(asked.asked), n).

    Parameters
    ----------
    columns : FactColumns
    asked : Plan
    dates : array of datetime64[D], (n,)

    Returns
    -------
    array of int8, (len(asked.asked), n)
    """
    states = np.full((len(asked.asked), len(dates)), OUTSIDE, dtype=np.int8)
    for place, entry in enumerate(asked.asked):
        truth = evaluate(entry.rule.condition, columns.given(entry.label).truth)
        state = np.where(truth.true, np.int8(TRUE), np.where(truth.known, np.int8(FALSE), np.int8(UNKNOWN)))
        in_force = np.isnat(dates) | (dates >= np.datetime64(entry.rule.effective_from, "D"))
        states[place, in_force] = state[in_force]
    return states


def settle(asked: Plan, decisions: pd.Index, states: Codes, lifted: Mapping[str, Mask]) -> Answers:
    """Return the verdicts that follow from the states of the rules.

    Parameters
    ----------
    asked : Plan
    decisions : Index
    states : array of int8, (len(asked.asked), n)
    lifted : mapping of rule id to array of bool, (n,)

    Returns
    -------
    Answers
    """
    shape = (len(asked.offered), len(decisions))
    worst = np.full(shape, CLEAR, dtype=np.int8)
    covered = np.zeros(shape, dtype=bool)
    for entry, state in zip(asked.asked, states, strict=True):
        code = codes_of(entry.rule)[state]
        if entry.rule.id in lifted:
            code = np.where(lifted[entry.rule.id], np.int8(CLEAR), code)
        for product in entry.products:
            np.maximum(worst[product], code, out=worst[product])
            covered[product] |= state != OUTSIDE
    products = np.where(covered, worst, np.int8(NOT_ASSESSED))
    best = [products[list(asked.products_of(name))].min(axis=0) for name in asked.modalities]
    modalities = np.stack(best) if best else np.empty((0, len(decisions)), dtype=np.int8)
    return Answers(asked, decisions, states, products, modalities)


def codes_of(rule: Rule) -> Codes:
    """Return the verdict that each state of a rule stands for, indexed by state."""
    fired, unknown = VERDICTS.index(rule.fired_verdict), VERDICTS.index(rule.when_unknown)
    by_state = {FALSE: CLEAR, TRUE: fired, UNKNOWN: unknown, OUTSIDE: CLEAR}
    return np.array([by_state[state] for state in sorted(by_state)], dtype=np.int8)


def dates_of(facts: pd.DataFrame, decision_dates: pd.Series) -> NDArray[np.datetime64]:
    """Return the decisions' dates in the order of the facts.

    Raises
    ------
    RuleError
        If decision ids repeat on either side, or dates are missing for some decisions.
    """
    if not facts.index.is_unique:
        raise RuleError(
            f"facts: {int(facts.index.duplicated().sum())} decision ids repeat; wanted one row per decision"
        )
    if not decision_dates.index.is_unique:
        raise RuleError(
            f"decision_dates: {int(decision_dates.index.duplicated().sum())} decision ids repeat; wanted one each"
        )
    place = decision_dates.index.get_indexer(facts.index)
    absent = int((place < 0).sum())
    if absent:
        raise RuleError(f"decision_dates: missing for {absent} of {len(facts)} decisions; index them by decision_id")
    return pd.to_datetime(decision_dates).to_numpy(dtype="datetime64[D]")[place]
