"""What is a rule? One sourced, dated document: whom it covers, when it speaks, what it says, and its examples."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, StrictBool, field_validator, model_validator

from pipeline.declared import Declared, did_you_mean, raise_if, read_declared
from pipeline.errors import RuleError
from pipeline.guardrails.checks import check_behaviour, check_examples
from pipeline.guardrails.conditions import LABEL_PREFIX, Condition, Fact, facts_of, parse_condition
from pipeline.guardrails.lines import with_lines
from pipeline.vocabulary import Product, Target

Status = Literal["draft", "reviewed", "active"]
Effect = Literal["block", "action_required", "caution"]
WhenUnknown = Literal["caution", "action_required", "indeterminate"]
Jurisdictions = Literal["us", "eu", "any"]

VERDICT_OF: Mapping[str, str] = {"block": "blocked", "action_required": "action_required", "caution": "caution"}
"""What a product's verdict becomes where a rule of that effect fires."""


class AppliesTo(Declared):
    """Which products a rule covers: every list that is given must match; `everything` covers all.

    Attributes
    ----------
    product, modality, safety_class, target, agent : tuple of str
        A product matches a list if any of the list's words is the product's.
    everything : bool
    """

    product: tuple[str, ...] = ()
    modality: tuple[str, ...] = ()
    safety_class: tuple[str, ...] = ()
    target: tuple[Target, ...] = ()
    agent: tuple[str, ...] = ()
    everything: StrictBool = False

    @model_validator(mode="after")
    def _says_whom(self) -> AppliesTo:
        if self.everything == bool(self.lists()):
            raise ValueError(
                "wanted either everything: true or lists of product, modality, safety_class, target, agent"
            )
        return self

    def lists(self) -> dict[str, tuple[str, ...]]:
        """Return the lists that are given, by what they list."""
        named: dict[str, tuple[str, ...]] = {
            "product": self.product,
            "modality": self.modality,
            "safety_class": self.safety_class,
            "target": self.target,
            "agent": self.agent,
        }
        return {name: words for name, words in named.items() if words}

    def covers(self, product: Product) -> bool:
        """Return whether a product is covered."""
        own = words_of(product)
        return self.everything or all(set(words) & own[name] for name, words in self.lists().items())


class Source(Declared):
    """Where a rule comes from."""

    document: str = Field(min_length=3)
    section: str = Field(min_length=1)


class Example(Declared):
    """Facts and the verdict they must give; null is unknown."""

    given: Mapping[str, Any]
    verdict: Literal["clear", "caution", "action_required", "indeterminate", "blocked"]


class RuleFile(Declared):
    """The text of one rule, before its condition is read. Attributes as `Rule`."""

    id: str
    evidence_id: str
    title: str = Field(min_length=8)
    status: Status
    applies_to: AppliesTo
    jurisdiction: Jurisdictions
    when: Mapping[str, Any]
    effect: Effect
    overridable: StrictBool = False
    when_unknown: WhenUnknown
    reason: str = Field(min_length=8)
    action: str = Field(min_length=4)
    source: Source
    evidence: Literal["verified", "recalled", "design"]
    owner: str = Field(min_length=3)
    effective_from: datetime.date
    review_by: datetime.date
    examples: tuple[Example, ...]

    @field_validator("id")
    @classmethod
    def _rule_id(cls, value: str) -> str:
        if not re.fullmatch(r"[gp][0-9]{2}[a-z]?(-[a-z0-9]+)+", value):
            raise ValueError(
                "wanted g or p and two digits, then small words and digits after hyphens, such as "
                "'g21-car-t-ecog-3-or-worse'; a rule of your own begins with p, such as 'p50-no-transport-at-night'"
            )
        return value

    @field_validator("evidence_id")
    @classmethod
    def _evidence_id(cls, value: str) -> str:
        if not re.fullmatch(r"G(0[1-9]|[1-4][0-9]|5[0-2])|P[0-9]{2}", value):
            raise ValueError("wanted G01 to G52, or for a rule of your own P and two digits, such as P50")
        return value

    @field_validator("overridable", mode="before")
    @classmethod
    def _true_or_false(cls, value: Any) -> Any:
        if not isinstance(value, bool):
            raise ValueError("write true or false; other words are not read as yes or no")
        return value

    @field_validator("when_unknown", mode="before")
    @classmethod
    def _never_clear(cls, value: Any) -> Any:
        if value == "clear":
            raise ValueError(
                "an unknown fact may never count as clear; write indeterminate for a block, and caution, "
                "action_required or indeterminate for another effect"
            )
        return value

    @field_validator("effective_from", "review_by", mode="before")
    @classmethod
    def _iso_date(cls, value: Any) -> datetime.date:
        if not isinstance(value, str):
            raise ValueError("wanted an ISO date such as 2026-11-23")
        try:
            return datetime.date.fromisoformat(value)
        except ValueError:
            raise ValueError("wanted an ISO date such as 2026-11-23") from None

    @model_validator(mode="after")
    def _consistent(self) -> RuleFile:
        if not self.id.startswith(self.evidence_id.lower()):
            raise ValueError(f"id must begin with its evidence id, '{self.evidence_id.lower()}'")
        if self.effect == "block" and self.when_unknown != "indeterminate":
            raise ValueError("when_unknown of a block must be indeterminate: an unknown may never pass it")
        if self.effect != "block" and self.overridable:
            raise ValueError("overridable belongs to blocks; only a block removes anything")
        if self.status == "active" and self.evidence == "recalled":
            raise ValueError("an active rule may not rest on recalled evidence; verify the source or set status: draft")
        if self.review_by <= self.effective_from:
            raise ValueError("review_by must be later than effective_from")
        return self


@dataclass(frozen=True)
class Rule:
    """One rule, read and checked.

    Attributes
    ----------
    id, evidence_id, title : str
    status : {'draft', 'reviewed', 'active'}
        Only active rules run by default.
    applies_to : AppliesTo
    jurisdiction : {'us', 'eu', 'any'}
    condition : Condition
        The rule fires where it is true.
    effect : {'block', 'action_required', 'caution'}
    overridable : bool
        Whether a clinician may lift the block with a reason.
    when_unknown : {'caution', 'action_required', 'indeterminate'}
        Verdict where the condition is unknown.
    reason, action : str
        Why, and what to do, for readers.
    source : Source
    evidence : {'verified', 'recalled', 'design'}
    owner : str
    effective_from, review_by : date
        Decisions before `effective_from` are not judged by the rule.
    examples : tuple of Example
    text : mapping
        The rule as written, for the digest.
    """

    id: str
    evidence_id: str
    title: str
    status: Status
    applies_to: AppliesTo
    jurisdiction: Jurisdictions
    condition: Condition
    effect: Effect
    overridable: bool
    when_unknown: WhenUnknown
    reason: str
    action: str
    source: Source
    evidence: Literal["verified", "recalled", "design"]
    owner: str
    effective_from: datetime.date
    review_by: datetime.date
    examples: tuple[Example, ...]
    text: Mapping[str, Any]

    @property
    def fired_verdict(self) -> str:
        """Verdict where the rule fires."""
        return VERDICT_OF[self.effect]

    @cached_property
    def facts(self) -> tuple[str, ...]:
        """Facts the rule reads."""
        return facts_of(self.condition)

    @cached_property
    def reads_label(self) -> bool:
        """Whether the rule reads the assessed product's label."""
        return any(fact.startswith(LABEL_PREFIX) for fact in self.facts)


@dataclass(frozen=True)
class RuleSet:
    """All rules, sorted by id.

    Attributes
    ----------
    rules : tuple of Rule
    digest : str
        SHA-256 of the rules' canonical JSON; part of a model's identity.
    dated : mapping of fact to fact
        The fact whose age an age is, such as `ecog` for `ecog_age_days`; other facts are not among them.
    """

    rules: tuple[Rule, ...]
    digest: str
    dated: Mapping[str, str] = field(default_factory=dict)

    def running(self, jurisdiction: str, *, include_drafts: bool = False) -> tuple[Rule, ...]:
        """Return the rules that judge decisions in a jurisdiction, sorted by id."""
        return tuple(
            rule
            for rule in sorted(self.rules, key=lambda rule: rule.id)
            if rule.jurisdiction in ("any", jurisdiction) and (include_drafts or rule.status == "active")
        )

    def questions(self, facts: Iterable[str]) -> tuple[str, ...]:
        """Return what to ask for, each once, so that some facts become known: for an age, the fact that it dates."""
        return tuple(dict.fromkeys(self.dated.get(fact, fact) for fact in facts))

    def facts(self) -> tuple[str, ...]:
        """Return the names of all patient facts that some rule reads, sorted."""
        return tuple(sorted({f for rule in self.rules for f in rule.facts if not f.startswith(LABEL_PREFIX)}))


def words_of(product: Product) -> dict[str, set[str]]:
    """Return a product's own words, by what a rule may list."""
    return {
        "product": {product.id},
        "modality": {product.modality},
        "safety_class": set(product.safety_classes),
        "target": {product.target} if product.target else set(),
        "agent": set(product.agents),
    }


def parse_rules(
    mappings: Mapping[str, Mapping[str, Any]],
    catalogue: Mapping[str, Fact],
    products: Sequence[Product],
    texts: Mapping[str, str] | None = None,
) -> RuleSet:
    """Return the checked rules; every problem of every file is told at once.

    Each rule's examples are run, and its condition is tried in every situation: it must be
    able to fire and to stay quiet, and a block may not let an unknown pass.

    Parameters
    ----------
    mappings : mapping of file name to parsed YAML
        Each file is named after the id it holds, so that ids are unique; a folder before the name does not matter.
    catalogue : mapping of fact name to Fact
    products : sequence of Product
        What rules may name; labels are read from them.
    texts : mapping of file name to text, or None
        The files as written; problems then carry the line.

    Returns
    -------
    RuleSet

    Raises
    ------
    RuleError
        With file, field, what was got and wanted, one line per problem.
    """
    problems: list[str] = []
    rules: list[Rule] = []
    for where in sorted(mappings):
        rule = _parse_one(where, mappings[where], catalogue, products, problems)
        if rule is not None:
            rules.append(rule)
    raise_if(with_lines(problems, texts or {}), "guardrails", RuleError)
    rules.sort(key=lambda rule: rule.id)
    dates = {name: getattr(fact, "dates", None) for name, fact in catalogue.items()}
    return RuleSet(tuple(rules), _digest(rules), {name: dated for name, dated in dates.items() if dated is not None})


def _parse_one(
    where: str,
    mapping: Mapping[str, Any],
    catalogue: Mapping[str, Fact],
    products: Sequence[Product],
    problems: list[str],
) -> Rule | None:
    found = len(problems)
    file = read_declared(RuleFile, mapping, where, problems)
    condition = None
    if "when" in mapping:
        condition = parse_condition(mapping["when"], f"{where}: when", catalogue, problems)
    if file is not None and where.rpartition("/")[2] != f"{file.id}.yaml":
        problems.append(f"{where}: id: the file holds '{file.id}'; name the file {file.id}.yaml, or give it another id")
    if file is None or condition is None:
        return None
    _check_applies_to(file, where, products, problems)
    shared = {name: getattr(file, name) for name in RuleFile.model_fields if name != "when"}
    rule = Rule(**shared, condition=condition, text=file.model_dump(mode="json"))
    _check_labels(rule, where, products, problems)
    check_behaviour(rule.condition, rule.effect, where, catalogue, problems)
    written = [(example.given, example.verdict) for example in rule.examples]
    check_examples(rule.condition, rule.fired_verdict, rule.when_unknown, written, where, catalogue, problems)
    return rule if len(problems) == found else None


def _check_applies_to(file: RuleFile, where: str, products: Sequence[Product], problems: list[str]) -> None:
    known: dict[str, set[str]] = {}
    for product in products:
        for name, words in words_of(product).items():
            known.setdefault(name, set()).update(words)
    for name, listed in file.applies_to.lists().items():
        if name == "target":
            continue
        for word in listed:
            if word not in known.get(name, set()):
                hint = did_you_mean(word, sorted(known.get(name, set())))
                problems.append(f"{where}: applies_to.{name}: no product has the {name} '{word}'{hint}")


def _check_labels(rule: Rule, where: str, products: Sequence[Product], problems: list[str]) -> None:
    if rule.status != "active" or not rule.reads_label:
        return
    jurisdictions = ("us", "eu") if rule.jurisdiction == "any" else (rule.jurisdiction,)
    for product in products:
        for jurisdiction in jurisdictions:
            label = {str(name): facts for name, facts in product.labels.items()}.get(jurisdiction)
            if rule.applies_to.covers(product) and (label is None or label.evidence != "verified"):
                problems.append(
                    f"{where}: applies_to: the {jurisdiction} label of '{product.id}' is "
                    f"{'missing' if label is None else 'recalled'}; an active rule reads verified labels only"
                )


def _digest(rules: Sequence[Rule]) -> str:
    canonical = json.dumps([rule.text for rule in rules], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()
