"""What do the rules say of each product and modality, for each decision?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.guardrails.answers import CLEAR, OUTSIDE, Answers, codes_of, dates_of, settle, states_of
from pipeline.guardrails.conditions import Condition, facts_of
from pipeline.guardrails.grid import TRUE, UNKNOWN, grid_of, patterns
from pipeline.guardrails.kleene import FactColumns, Mask
from pipeline.guardrails.overrides import Overrides, override_table
from pipeline.guardrails.plan import plan
from pipeline.guardrails.rules import RuleSet
from pipeline.vocabulary import VERDICTS, Modality, Product

Names = NDArray[np.object_]
CHUNK = 50_000


@dataclass(frozen=True)
class Verdicts:
    """What the guardrails say, in the order of the decisions, modalities and products that were handed in.

    Attributes
    ----------
    products : DataFrame, one row per decision, modality and product
        `decision_id, modality, product, verdict`: the worst of the product's rules that are not overridden.
    modalities : DataFrame, one row per decision and modality
        `decision_id, modality, verdict`: the best of its products.
    findings : DataFrame, one row per decision, product and rule that fired or is undecided
        `decision_id, modality, product, rule_id, verdict, fired, missing_facts, status, overridable, overridden`;
        worst first, then by rule id. `missing_facts` is the smallest set that would settle an undecided rule; an age
        is named as the fact that it dates. An overridden finding keeps the rule's verdict; it no longer counts in the
        product's.
    assessed : DataFrame, one row per rule that ran and covers some product
        `rule_id, decisions`: how many decisions it judged (those on or after its `effective_from`).
    overrides : DataFrame, one row per override of one of the decisions
        `decision_id, rule_id, reason, by_role, date, applied`; `applied` is false where the rule did not speak.
    """

    products: pd.DataFrame
    modalities: pd.DataFrame
    findings: pd.DataFrame
    assessed: pd.DataFrame
    overrides: pd.DataFrame


def apply_rules(
    facts: pd.DataFrame,
    rules: RuleSet,
    products: Sequence[Product],
    modalities: Sequence[Modality],
    *,
    decision_dates: pd.Series,
    jurisdiction: str = "us",
    include_drafts: bool = False,
    overrides: Overrides | None = None,
) -> Verdicts:
    """Return the verdict of every rule, product and modality for every decision.

    Parameters
    ----------
    facts : DataFrame, one row per decision, indexed by decision_id
        One column per fact; missing is unknown.
    rules : RuleSet
    products : sequence of Product
    modalities : sequence of Modality
        A modality without products is its own single product.
    decision_dates : Series of dates, indexed by decision_id
        A rule judges decisions on or after its `effective_from`; a decision without a date is judged by all.
    jurisdiction : {'us', 'eu'}
        Whose labels count.
    include_drafts : bool
        Whether draft and reviewed rules run too; findings carry their status.
    overrides : Overrides or None
        Rules that clinicians set aside, as `parse_overrides` returns them.

    Returns
    -------
    Verdicts
        The same whatever the order of rules and rows.

    Raises
    ------
    RuleError
        If decision ids repeat, dates are missing for some decisions, a modality names a product that is not
        there, or a fact that a rule reads is not among the columns.
    """
    asked = plan(rules, products, modalities, jurisdiction=jurisdiction, include_drafts=include_drafts)
    columns = FactColumns(facts)
    wanted = Overrides() if overrides is None else overrides
    lifted = wanted.lifted(facts.index)
    states = states_of(columns, asked, dates_of(facts, decision_dates))
    answers = settle(asked, facts.index, states, lifted)
    return Verdicts(
        products=_product_table(answers),
        modalities=_modality_table(answers),
        findings=_finding_table(answers, columns, lifted, rules),
        assessed=_assessed_table(answers),
        overrides=override_table(wanted, facts.index, _spoke(answers)),
    )


def apply_rules_in_chunks(
    facts: pd.DataFrame,
    rules: RuleSet,
    products: Sequence[Product],
    modalities: Sequence[Modality],
    *,
    decision_dates: pd.Series,
    jurisdiction: str = "us",
    include_drafts: bool = False,
    overrides: Overrides | None = None,
    chunk: int = CHUNK,
) -> Iterator[Verdicts]:
    """Yield what `apply_rules` returns, some decisions at a time, so that memory does not grow with their number.

    Parameters
    ----------
    facts, rules, products, modalities, decision_dates, jurisdiction, include_drafts, overrides
        As `apply_rules` takes them.
    chunk : int
        Most decisions in one piece; 1 or more.

    Yields
    ------
    Verdicts
        Of the decisions in order; put together they are what `apply_rules` returns for all.
    """
    for start in range(0, len(facts), max(chunk, 1)):
        yield apply_rules(
            facts.iloc[start : start + max(chunk, 1)],
            rules,
            products,
            modalities,
            decision_dates=decision_dates,
            jurisdiction=jurisdiction,
            include_drafts=include_drafts,
            overrides=overrides,
        )


def _spoke(answers: Answers) -> dict[str, Mask]:
    """Return, per rule, the decisions for which it fired or is undecided."""
    spoke: dict[str, Mask] = {}
    for entry, state in zip(answers.plan.asked, answers.states, strict=True):
        own = (state == TRUE) | (state == UNKNOWN)
        spoke[entry.rule.id] = spoke[entry.rule.id] | own if entry.rule.id in spoke else own
    return spoke


def missing_facts(condition: Condition, columns: FactColumns, undecided: Mask, rules: RuleSet) -> Names:
    """Return, per row, what to ask for to settle an undecided condition; empty elsewhere.

    Parameters
    ----------
    condition : Condition
    columns : FactColumns
    undecided : array of bool, (n,)
    rules : RuleSet
        Says of which fact an age is the age: that fact is asked for, once.

    Returns
    -------
    array of tuple of str, (n,)
    """
    missing = np.empty(len(undecided), dtype=object)
    missing[:] = [()] * len(undecided)
    rows = np.flatnonzero(undecided)
    if not len(rows):
        return missing
    grid = grid_of(condition)
    codes, first, which = np.unique(patterns(condition, columns)[rows], return_index=True, return_inverse=True)
    for place, code in enumerate(codes.tolist()):
        if grid is not None and code in grid.cells:
            names = grid.settling(grid.cells[code])
        else:
            row = rows[first[place]]
            names = tuple(fact for fact in facts_of(condition) if not columns.known(fact)[row])
        chosen = rows[which == place]
        missing[chosen] = [rules.questions(names)] * len(chosen)
    return missing


def _product_table(answers: Answers) -> pd.DataFrame:
    offered, n = answers.plan.offered, len(answers.decisions)
    place = np.tile(np.arange(len(offered)), n)
    return pd.DataFrame(
        {
            "decision_id": _texts(answers.decisions, np.repeat(np.arange(n), len(offered))),
            "modality": _texts([modality for modality, _ in offered], place),
            "product": _texts([product.id for _, product in offered], place),
            "verdict": _texts(VERDICTS, answers.products.T.ravel()),
        }
    )


def _modality_table(answers: Answers) -> pd.DataFrame:
    names, n = answers.plan.modalities, len(answers.decisions)
    return pd.DataFrame(
        {
            "decision_id": _texts(answers.decisions, np.repeat(np.arange(n), len(names))),
            "modality": _texts(names, np.tile(np.arange(len(names)), n)),
            "verdict": _texts(VERDICTS, answers.modalities.T.ravel()),
        }
    )


def _assessed_table(answers: Answers) -> pd.DataFrame:
    judged: dict[str, int] = {}
    for entry, state in zip(answers.plan.asked, answers.states, strict=True):
        judged[entry.rule.id] = int((state != OUTSIDE).sum())
    table = pd.DataFrame(list(judged.items()), columns=["rule_id", "decisions"])
    return table.astype({"rule_id": "str", "decisions": "int64"})


def _finding_table(answers: Answers, columns: FactColumns, lifted: Mapping[str, Mask], rules: RuleSet) -> pd.DataFrame:
    offered, running = answers.plan.offered, answers.plan.running
    number = {rule.id: place for place, rule in enumerate(running)}
    found: list[NDArray[np.int64]] = [np.empty((6, 0), dtype=np.int64)]
    missing: list[Names] = [np.empty(0, dtype=object)]
    for entry, state in zip(answers.plan.asked, answers.states, strict=True):
        codes = codes_of(entry.rule)[state]
        rows = np.flatnonzero(codes != CLEAR)
        wanted = missing_facts(entry.rule.condition, columns.given(entry.label), state == UNKNOWN, rules)[rows]
        aside = lifted.get(entry.rule.id, np.zeros(len(state), dtype=bool))[rows]
        for product in entry.products:
            place, rule = np.full(len(rows), product), np.full(len(rows), number[entry.rule.id])
            found.append(np.stack([rows, place, rule, codes[rows], state[rows] == TRUE, aside]).astype(np.int64))
            missing.append(wanted)
    joined = np.concatenate(found, axis=1)
    order = _reading_order(joined, answers)
    row, product, rule, code, fired, aside = joined[:, order]
    return pd.DataFrame(
        {
            "decision_id": _texts(answers.decisions, row),
            "modality": _texts([modality for modality, _ in offered], product),
            "product": _texts([entry.id for _, entry in offered], product),
            "rule_id": _texts([entry.id for entry in running], rule),
            "verdict": _texts(VERDICTS, code),
            "fired": fired.astype(bool),
            "missing_facts": np.concatenate(missing)[order],
            "status": _texts([entry.status for entry in running], rule),
            "overridable": np.array([entry.overridable for entry in running], dtype=bool)[rule],
            "overridden": aside.astype(bool),
        }
    )


def _reading_order(joined: NDArray[np.int64], answers: Answers) -> NDArray[np.intp]:
    """Return the order of findings: decision, product, worst verdict first, rule."""
    row, product, rule, code, *_ = joined
    key = (row * len(answers.plan.offered) + product) * len(VERDICTS) - code
    return np.argsort(key * len(answers.plan.running) + rule)


def _texts(words: Sequence[str] | pd.Index, places: NDArray[np.integer]) -> pd.Series:
    """Return a column of words, by their places among some."""
    return pd.Series(pd.array(list(words), dtype="str").take(places))
