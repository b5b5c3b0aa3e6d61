"""Do the rules make sense together? What never speaks, always speaks, repeats or contradicts is found by trying all.

A pair *contradicts* if, on a product, whatever the facts, at least one of the two fires although
neither always does by itself. A rule is *redundant* if another with a stronger effect fires on the same products
whenever it does; two are *duplicates* if they are as strong and fire in the same situations. A product *can never be
offered* if no situation leaves it unblocked.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.guardrails.conditions import LABEL_PREFIX, Fact, Scalar, facts_of
from pipeline.guardrails.plan import Asked, Plan, label_facts, plan
from pipeline.guardrails.rules import Rule, RuleSet
from pipeline.guardrails.situations import Samples, find, samples_of
from pipeline.vocabulary import VERDICTS, Modality, Product

Severity = Literal["error", "note", "expected"]
Kind = Literal[
    "covers_nothing",
    "undecidable",
    "never_fires",
    "always_fires",
    "redundant",
    "contradiction",
    "never_offered",
    "never_clear",
    "duplicate",
    "review_overdue",
    "not_yet_in_force",
]
WHAT_TO_DO: Mapping[Kind, str] = {
    "covers_nothing": "name a product, class or modality that is offered, or drop the rule",
    "undecidable": "add the label to the product's file, or leave the product out of applies_to",
    "never_fires": "look at the limits and at applies_to",
    "always_fires": "look at the limits and at applies_to",
    "redundant": "keep both only if the weaker one tells something more; else drop it",
    "duplicate": "drop one, or tell them apart by limit, product or effect",
    "contradiction": "move a limit, or narrow applies_to of one of them",
    "never_offered": "move a limit of the rules named, or narrow applies_to, so that somebody may be given the product",
    "never_clear": "look at whether the rules named should speak of everybody",
    "review_overdue": "have its owner look at it, then set review_by anew",
    "not_yet_in_force": "nothing, if that is meant; until then it judges no decision with a calendar date",
}
"""What the author of the rules may do about each kind."""
BY_LABEL: tuple[Kind, ...] = ("never_fires", "always_fires", "never_offered")
"""Kinds that a product's label can bring about, as it is meant to."""
ALONE: Mapping[Kind, str] = {
    "undecidable": "is always undecided for {products}: no label in {where}",
    "never_fires": "never fires for {products}",
    "always_fires": "always fires for {products}",
}
JURISDICTIONS = ("us", "eu")


@dataclass(frozen=True)
class Inconsistency:
    """Something about the rules, taken together, that their author should know.

    Attributes
    ----------
    severity : {'error', 'note', 'expected'}
        An error is a rule that must be changed, a note something to look at. What is expected needs no look: a
        label that decides a rule of the evidence base by itself, or the two effects of one piece of evidence.
    kind : str
        A key of `WHAT_TO_DO`.
    jurisdiction : {'us', 'eu', 'any'}
        Whose labels and rules were looked at.
    rules, products : tuple of str
    message : str
        One sentence.
    """

    severity: Severity
    kind: Kind
    jurisdiction: str
    rules: tuple[str, ...]
    products: tuple[str, ...]
    message: str

    @property
    def what_to_do(self) -> str:
        """What the author of the rules may do about it."""
        meant = self.severity != "error" and self.kind in BY_LABEL
        return f"{'nothing, if the label is meant to decide; else ' if meant else ''}{WHAT_TO_DO[self.kind]}"


@dataclass(frozen=True)
class _Case:
    """One jurisdiction's rules, drafts among them, and everything that is tried."""

    jurisdiction: str
    plan: Plan
    samples: Samples

    def label(self, product: int) -> dict[str, Scalar | None]:
        return label_facts(self.plan.offered[product][1], self.jurisdiction)

    def name(self, product: int) -> str:
        return self.plan.offered[product][1].id

    def said(
        self, severity: Severity, kind: Kind, rules: Sequence[Rule], products: Sequence[int], words: str
    ) -> Inconsistency:
        names = tuple(self.name(product) for product in products)
        marked = [f"{rule.id}{'' if rule.status == 'active' else f' ({rule.status})'}" for rule in rules]
        message = words.format(rules=" and ".join(marked), products=", ".join(names), where=self.jurisdiction)
        return Inconsistency(severity, kind, self.jurisdiction, tuple(rule.id for rule in rules), names, message)


def consistency(
    rules: RuleSet,
    products: Sequence[Product],
    modalities: Sequence[Modality],
    catalogue: Mapping[str, Fact],
    jurisdictions: Sequence[str] = JURISDICTIONS,
) -> list[Inconsistency]:
    """Return what is odd about the rules as a set, drafts included, errors first.

    Parameters
    ----------
    rules : RuleSet
    products : sequence of Product
    modalities : sequence of Modality
    catalogue : mapping of fact name to Fact
    jurisdictions : sequence of {'us', 'eu'}

    Returns
    -------
    list of Inconsistency
        Errors, what is expected, notes; each by jurisdiction, kind and rule id. A rule that is read has been shown to
        be able to fire and to stay quiet; here the products' labels, and the other rules, are taken into account.

    Raises
    ------
    RuleError
        If a modality names a product that is not among `products`.
    """
    found: list[Inconsistency] = []
    samples = samples_of([rule.condition for rule in rules.rules], catalogue)
    for jurisdiction in jurisdictions:
        asked = plan(rules, products, modalities, jurisdiction=jurisdiction, include_drafts=True)
        case = _Case(jurisdiction, asked, samples)
        found += _covers_nothing(case)
        for rule in asked.running:
            found += _alone(case, rule)
        for first, second in itertools.permutations(asked.running, 2):
            found += _repeats(case, first, second)
        for first, second in itertools.combinations(asked.running, 2):
            found += _contradicts(case, first, second)
            found += _same(case, first, second)
        for product in range(len(asked.offered)):
            found += _never(case, product)
    return sorted(found, key=lambda said: (said.severity, said.jurisdiction, said.kind, said.rules, said.products))


def out_of_date(rules: RuleSet, today: datetime.date) -> list[Inconsistency]:
    """Return the rules whose review is overdue or that are not yet in force, as notes in the order of their ids.

    Parameters
    ----------
    rules : RuleSet
    today : date
    """
    found = []
    for rule in rules.rules:
        if rule.review_by < today:
            told = f"{rule.id} was to be reviewed by {rule.review_by}"
            found.append(Inconsistency("note", "review_overdue", rule.jurisdiction, (rule.id,), (), told))
        if rule.effective_from > today:
            told = f"{rule.id} is in force only from {rule.effective_from}"
            found.append(Inconsistency("note", "not_yet_in_force", rule.jurisdiction, (rule.id,), (), told))
    return found


def _covers_nothing(case: _Case) -> list[Inconsistency]:
    covering = {entry.rule.id for entry in case.plan.asked}
    return [
        case.said("note", "covers_nothing", [rule], (), "{rules} covers no product that is offered in {where}")
        for rule in case.plan.running
        if rule.id not in covering
    ]


def _alone(case: _Case, rule: Rule) -> list[Inconsistency]:
    """Return what a rule does with the labels of the products it covers."""
    kinds: dict[Kind, list[int]] = {}
    for entry in case.plan.asked:
        if entry.rule is rule and (kind := _kind_of(case, entry)) is not None:
            kinds.setdefault(kind, []).extend(entry.products)
    told = []
    for kind, products in kinds.items():
        by_label = rule.reads_label and kind != "undecidable"
        words = "{rules} " + ALONE[kind] + (" with the {where} label" if by_label else "")
        told.append(case.said(_by_label([rule]) if by_label else "error", kind, [rule], sorted(products), words))
    return told


def _kind_of(case: _Case, entry: Asked) -> Kind | None:
    condition = entry.rule.condition
    if any(entry.label.get(fact) is None for fact in facts_of(condition) if fact.startswith(LABEL_PREFIX)):
        return "undecidable"
    if find([(condition, True)], case.samples, entry.label) is None:
        return "never_fires"
    return "always_fires" if find([(condition, False)], case.samples, entry.label) is None else None


def _repeats(case: _Case, weak: Rule, strong: Rule) -> list[Inconsistency]:
    """Return whether a rule adds nothing to a stronger one."""
    own, other = _covered(case, weak), _covered(case, strong)
    if not own or not set(own) <= set(other) or _strength(strong) <= _strength(weak):
        return []
    if strong.effective_from > weak.effective_from or (weak.status == "active" and strong.status != "active"):
        return []
    wanted = [(weak.condition, True), (strong.condition, False)]
    for product in own:
        label = case.label(product)
        if find(wanted, case.samples, label) is not None:
            return []
        if _is_settled(case, weak, label) or _is_settled(case, strong, label):
            return []
    words = "{rules}: wherever the first fires the second does too, with a stronger effect, for {products}"
    severity: Severity = "expected" if weak.evidence_id == strong.evidence_id else "note"
    return [case.said(severity, "redundant", [weak, strong], own, words)]


def _same(case: _Case, first: Rule, second: Rule) -> list[Inconsistency]:
    """Return whether two rules of one strength fire in the same situations, on products that both cover."""
    shared = [product for product in _covered(case, first) if product in _covered(case, second)]
    if not shared or _strength(first) != _strength(second):
        return []
    for product in shared:
        label = case.label(product)
        for one, other in ((first, second), (second, first)):
            if find([(one.condition, True), (other.condition, False)], case.samples, label) is not None:
                return []
        if _is_settled(case, first, label):
            return []
    return [case.said("note", "duplicate", [first, second], shared, "{rules} say the same of {products}")]


def _contradicts(case: _Case, first: Rule, second: Rule) -> list[Inconsistency]:
    shared = [product for product in _covered(case, first) if product in _covered(case, second)]
    clashing = [product for product in shared if _clash(case, first, second, product)]
    if not clashing:
        return []
    words = "{rules} contradict each other: whatever the facts, one of them fires for {products}"
    hard = "block" in (first.effect, second.effect)
    return [case.said("error" if hard else "note", "contradiction", [first, second], clashing, words)]


def _clash(case: _Case, first: Rule, second: Rule, product: int) -> bool:
    label = case.label(product)
    both_quiet = find([(first.condition, False), (second.condition, False)], case.samples, label)
    return both_quiet is None and all(
        find([(rule.condition, False)], case.samples, label) is not None for rule in (first, second)
    )


def _never(case: _Case, product: int) -> list[Inconsistency]:
    """Return whether no situation leaves a product unblocked, or clear, and the rules that see to it."""
    own = [entry.rule for entry in case.plan.asked if product in entry.products]
    label = case.label(product)
    blocks = _culprits(case, [rule for rule in own if rule.effect == "block"], label)
    if blocks:
        labelled = all(rule.reads_label for rule in blocks)
        words = "{products} can never be offered in {where}: {rules}"
        return [case.said(_by_label(blocks) if labelled else "error", "never_offered", blocks, [product], words)]
    speaking = _culprits(case, own, label)
    if speaking:
        words = "{products} can never be clear in {where}: {rules}"
        return [case.said("note", "never_clear", speaking, [product], words)]
    return []


def _culprits(case: _Case, rules: Sequence[Rule], label: Mapping[str, Scalar | None]) -> list[Rule]:
    """Return a smallest-by-leaving-out set of rules of which one always fires; empty if all can be quiet at once."""
    needed = list(rules)
    if find([(rule.condition, False) for rule in needed], case.samples, label) is not None:
        return []
    for rule in rules:
        fewer = [kept for kept in needed if kept is not rule]
        if fewer and find([(kept.condition, False) for kept in fewer], case.samples, label) is None:
            needed = fewer
    return needed


def _is_settled(case: _Case, rule: Rule, label: Mapping[str, Scalar | None]) -> bool:
    """Whether the label alone makes a rule always fire, or never."""
    return any(find([(rule.condition, answer)], case.samples, label) is None for answer in (True, False))


def _covered(case: _Case, rule: Rule) -> list[int]:
    return sorted(product for entry in case.plan.asked if entry.rule is rule for product in entry.products)


def _by_label(rules: Sequence[Rule]) -> Severity:
    """Return how much of a remark it is that labels decide rules: none, for rules of the evidence base."""
    return "expected" if all(rule.evidence_id.startswith("G") for rule in rules) else "note"


def _strength(rule: Rule) -> tuple[int, bool]:
    return VERDICTS.index(rule.fired_verdict), not rule.overridable
