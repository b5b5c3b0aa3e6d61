"""What would settle the matter? The missing facts behind a verdict, how to obtain them, and the fewest that suffice."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.guardrails.conditions import LABEL_FACTS, LABEL_PREFIX, Fact, Scalar, facts_of
from pipeline.guardrails.grid import patterns
from pipeline.guardrails.kleene import FactColumns
from pipeline.guardrails.plan import label_facts
from pipeline.guardrails.rules import Rule, RuleSet
from pipeline.guardrails.situations import Samples, samples_of, truth_in
from pipeline.guardrails.verdicts import Verdicts
from pipeline.vocabulary import VERDICTS, Product

ASKED_FOR = ("indeterminate", "action_required")
"""Verdicts whose missing facts are worth obtaining."""
TRIED = 3
"""Sets of up to so many facts are all tried; a larger one is only made smaller by leaving facts out."""


def what_to_obtain(findings: pd.DataFrame, catalogue: Mapping[str, Fact]) -> pd.DataFrame:
    """Return the facts that would settle undecided rules, and the test or question that gives each.

    Parameters
    ----------
    findings : DataFrame
        `Verdicts.findings`, of one decision or of many.
    catalogue : mapping of fact name to Fact

    Returns
    -------
    DataFrame, one row per missing fact
        `fact, meaning, obtain, within_days, verdict, rules`: `within_days` is the age, in days, above which the fact
        counts as unknown again (missing: it does not age), `verdict` the worst that it would settle, `rules` the
        rules that wait for it. Overridden rules and mere cautions wait for nothing. Worst verdict first, then in
        the order of the catalogue.
    """
    waiting = findings[findings["verdict"].isin(ASKED_FOR) & ~findings["fired"] & ~findings["overridden"]]
    rules: dict[str, set[str]] = {}
    worst: dict[str, int] = {}
    columns = (waiting[name] for name in ("rule_id", "verdict", "missing_facts"))
    for rule, verdict, missing in zip(*columns, strict=True):
        for fact in missing:
            rules.setdefault(fact, set()).add(rule)
            feared = VERDICTS.index(verdict)
            worst[fact] = max(worst.get(fact, feared), feared)
    place = {fact: number for number, fact in enumerate(catalogue)}
    listed = sorted(rules, key=lambda fact: (-worst[fact], place.get(fact, len(place)), fact))
    entries = [(fact, catalogue.get(fact)) for fact in listed]
    return pd.DataFrame(
        {
            "fact": pd.Series(listed, dtype="str"),
            "meaning": pd.Series([entry.meaning if entry else "" for _, entry in entries], dtype="str"),
            "obtain": pd.Series([(entry.obtain if entry else "") or "" for _, entry in entries], dtype="str"),
            "within_days": pd.Series([entry.max_age_days if entry else None for _, entry in entries], dtype="Float64"),
            "verdict": pd.Series([VERDICTS[worst[fact]] for fact in listed], dtype="str"),
            "rules": pd.Series([tuple(sorted(rules[fact])) for fact in listed], dtype="object"),
        }
    )


@dataclass(frozen=True)
class _Labels:
    """What the products' labels say; a product without one has label facts that nobody knows."""

    by_product: Mapping[str, Mapping[str, Scalar | None]]

    def of(self, product: str) -> Mapping[str, Scalar | None]:
        return self.by_product.get(product, dict.fromkeys(f"{LABEL_PREFIX}{name}" for name in LABEL_FACTS))


@dataclass(frozen=True)
class _Open:
    """A product whose verdict waits for facts: its undecided rules that make it so, and what its label says."""

    product: str
    rules: tuple[Rule, ...]
    label: Mapping[str, Scalar | None]
    verdict: str

    def verdict_is_settled(self, given: Mapping[str, Scalar | None], absent: frozenset[str]) -> tuple[bool, bool]:
        """Return whether the product's verdict no longer waits, and whether it is as bad as it was feared to be."""
        facts = {**given, **self.label}
        answers = [truth_in(rule.condition, facts, absent) for rule in self.rules]
        feared = VERDICTS.index(self.verdict)
        bad = any(
            answer is True and VERDICTS.index(rule.fired_verdict) >= feared
            for answer, rule in zip(answers, self.rules, strict=True)
        )
        return bad or None not in answers, bad


def settling_facts(
    verdicts: Verdicts,
    facts: pd.DataFrame,
    rules: RuleSet,
    products: Sequence[Product],
    catalogue: Mapping[str, Fact],
    *,
    jurisdiction: str = "us",
    verdict: str = "indeterminate",
) -> pd.DataFrame:
    """Return, per modality that waits for facts, the fewest missing ones that would decide its best product.

    Parameters
    ----------
    verdicts : Verdicts
        As `apply_rules` returned them for the same facts, rules, products and jurisdiction.
    facts : DataFrame, one row per decision, indexed by decision_id
    rules : RuleSet
    products : sequence of Product
    catalogue : mapping of fact name to Fact
    jurisdiction : {'us', 'eu'}
    verdict : {'indeterminate', 'action_required'}
        Which modalities are asked about. Of those with action required only the products count of which no rule
        that asks for action has fired: there, something must be done whatever else is learned.

    Returns
    -------
    DataFrame, one row per decision and modality of that verdict, in the order of `verdicts.modalities`
        `decision_id, modality, product, facts, whole_modality`. Whatever the answers, the product's verdict then
        waits for nothing more; `whole_modality` says whether neither does the modality's. Of several products, the
        one that needs the fewest facts, and then one that settles the modality; none, and no row, where all wait for
        a label that is not there. An age is asked for as the fact that it dates. A set of more than 4 facts may not be
        the smallest, but none of its facts can be
        left out.

    Raises
    ------
    RuleError
        If a fact that a rule reads is not among the columns.
    """
    by_id = {rule.id: rule for rule in rules.rules}
    labels = _Labels({product.id: label_facts(product, jurisdiction) for product in products})
    waiting = _waiting(verdicts, verdict)
    codes = _codes(waiting, facts, by_id, labels)
    situations: dict[tuple[str, str], list[tuple[str, str, int]]] = {}
    decisions, names, offered, spoken = (
        waiting[column].tolist() for column in ("decision_id", "modality", "product", "rule_id")
    )
    for decision, modality, product, rule, code in zip(decisions, names, offered, spoken, codes, strict=True):
        situations.setdefault((decision, modality), []).append((product, rule, code))
    solved: dict[tuple[Any, ...], list[tuple[str, tuple[str, ...], bool]]] = {}
    rows = []
    for (decision, modality), said in situations.items():
        key = (modality, tuple(said))
        if key not in solved:
            solved[key] = _fewest(
                _opened(said, by_id, labels, verdict), _given(facts, decision, said, by_id), catalogue, rules
            )
        rows += [(decision, modality, *found) for found in solved[key]]
    table = pd.DataFrame(rows, columns=["decision_id", "modality", "product", "facts", "whole_modality"])
    texts = dict.fromkeys(("decision_id", "modality", "product"), "str")
    return table.astype({**texts, "facts": "object", "whole_modality": "bool"})


def _waiting(verdicts: Verdicts, verdict: str) -> pd.DataFrame:
    """Return the undecided findings that alone give a product and its modality a verdict, in the order of decisions."""
    own = verdicts.findings[(verdicts.findings["verdict"] == verdict) & ~verdicts.findings["overridden"]]
    offered = ["decision_id", "modality", "product"]
    fired = pd.MultiIndex.from_frame(own.loc[own["fired"], offered])
    found = own[~pd.MultiIndex.from_frame(own[offered]).isin(fired)]
    for table, keys in (
        (verdicts.products, offered),
        (verdicts.modalities, ["decision_id", "modality"]),
    ):
        unsettled = pd.MultiIndex.from_frame(table.loc[table["verdict"] == verdict, keys])
        found = found[pd.MultiIndex.from_frame(found[keys]).isin(unsettled)]
    return found


def _codes(
    waiting: pd.DataFrame,
    facts: pd.DataFrame,
    by_id: Mapping[str, Rule],
    labels: _Labels,
) -> list[int]:
    """Return, per finding, a number that is the same where the rule meets the same situation."""
    together: dict[tuple[str, str], list[int]] = {}
    for number, key in enumerate(zip(waiting["rule_id"].tolist(), waiting["product"].tolist(), strict=True)):
        together.setdefault(key, []).append(number)
    place = facts.index.get_indexer(pd.Index(waiting["decision_id"]))
    codes = np.zeros(len(waiting), dtype=np.int64)
    for (rule, product), numbers in together.items():
        columns = FactColumns(facts.iloc[place[numbers]]).given(labels.of(product))
        codes[numbers] = patterns(by_id[rule].condition, columns)
    return [int(code) for code in codes]


def _opened(
    said: Sequence[tuple[str, str, int]],
    by_id: Mapping[str, Rule],
    labels: _Labels,
    verdict: str,
) -> list[_Open]:
    names = dict.fromkeys(product for product, _, _ in said)
    return [
        _Open(name, tuple(by_id[rule] for product, rule, _ in said if product == name), labels.of(name), verdict)
        for name in names
    ]


def _given(
    facts: pd.DataFrame, decision: str, said: Sequence[tuple[str, str, int]], by_id: Mapping[str, Rule]
) -> dict[str, Scalar | None]:
    """Return what is on record of the facts that the undecided rules read; None where it is not."""
    read = dict.fromkeys(fact for _, rule, _ in said for fact in facts_of(by_id[rule].condition))
    row = facts.loc[decision]
    return {fact: _plain(row[fact]) for fact in read if not fact.startswith(LABEL_PREFIX)}


def _plain(value: Any) -> Scalar | None:
    if pd.isna(value):
        return None
    if isinstance(value, str):
        return value
    return float(value) if math.isfinite(value) else None


def _fewest(
    opened: Sequence[_Open], given: Mapping[str, Scalar | None], catalogue: Mapping[str, Fact], rules: RuleSet
) -> list[tuple[str, tuple[str, ...], bool]]:
    """Return the product that needs the fewest facts, those facts, and whether they settle the modality; or nothing."""
    samples = samples_of([rule.condition for entry in opened for rule in entry.rules], catalogue)
    found = []
    for place, entry in enumerate(opened):
        needed = _fewest_of(entry, given, samples, rules)
        if needed is None:
            continue
        answers = _answered(needed, given, samples, rules)
        whole = all(_modality_is_settled(opened, *answered) for answered in answers)
        found.append((len(needed), not whole, place, entry.product, needed))
    return [(product, needed, not partly) for _, partly, _, product, needed in sorted(found)[:1]]


def _fewest_of(
    entry: _Open, given: Mapping[str, Scalar | None], samples: Samples, rules: RuleSet
) -> tuple[str, ...] | None:
    read = dict.fromkeys(fact for rule in entry.rules for fact in facts_of(rule.condition))
    unknown = rules.questions(fact for fact in read if not fact.startswith(LABEL_PREFIX) and given[fact] is None)

    def is_enough(asked: Sequence[str]) -> bool:
        return all(entry.verdict_is_settled(*answered)[0] for answered in _answered(asked, given, samples, rules))

    if not is_enough(unknown):
        return None  # waits for a label, which no test or question gives
    for size in range(TRIED + 1):
        for asked in itertools.combinations(unknown, size):
            if is_enough(asked):
                return asked
    needed = list(unknown)
    for fact in reversed(unknown):
        fewer = [kept for kept in needed if kept != fact]
        if is_enough(fewer):
            needed = fewer
    return tuple(needed)


def _answered(
    asked: Sequence[str], given: Mapping[str, Scalar | None], samples: Samples, rules: RuleSet
) -> Iterator[tuple[dict[str, Scalar | None], frozenset[str]]]:
    """Yield the facts after every possible set of answers, and those still not on record.

    Who answers for a fact that ages tells its age too.
    """
    unknown = [fact for fact, value in given.items() if value is None]
    learned = [fact for fact in unknown if rules.dated.get(fact, fact) in asked]
    absent = frozenset(unknown) - frozenset(learned)
    for values in itertools.product(*[samples[fact] for fact in learned]):
        yield {**given, **dict(zip(learned, values, strict=True))}, absent


def _modality_is_settled(opened: Sequence[_Open], given: Mapping[str, Scalar | None], absent: frozenset[str]) -> bool:
    settled = [entry.verdict_is_settled(given, absent) for entry in opened]
    return any(done and not blocked for done, blocked in settled) or all(done for done, _ in settled)
