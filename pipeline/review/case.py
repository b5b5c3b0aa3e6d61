"""What does a case card need to know about one decision?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.explain import Unweighed
from pipeline.review.numerals import recorded_value
from pipeline.review.reading import count_in, mappings_in, number_in, text_in, texts_in
from pipeline.review.wording import DERIVED_ITEMS, measured, plain_name
from pipeline.vocabulary import STATUSES

Row = Mapping[str, Any]
_YES_NO = {"1": "yes", "1.0": "yes", "true": "yes", "0": "no", "0.0": "no", "false": "no"}
_NEAREST_TO_A_RANK = ("indeterminate", "abstained", "too_few_cases", "blocked", "unavailable")
_TRUTH_UNITS = {"boolean", "bool", "yes/no"}


@dataclass(frozen=True)
class Settling:
    """The fewest missing facts that decide what the rules say of a modality's best product.

    Attributes
    ----------
    verdict : {'indeterminate', 'action_required'}
        What the modality waits with.
    product : str
    facts : tuple of str
    decides_modality : bool
        Whether the modality then waits for nothing more, or only the product.
    """

    verdict: str
    product: str
    facts: tuple[str, ...]
    decides_modality: bool


@dataclass(frozen=True, kw_only=True)
class CaseCard:
    """Everything one case card shows.

    Attributes
    ----------
    decision_id : str
        Shown only when `show_identifiers` is set.
    rows : sequence of mappings, one per modality
        The decision's rows of the predictions contract.
    modality_labels, product_labels : mapping of id to label
    feature_meanings : mapping of feature to (meaning, unit)
        For reasons and missing facts. The unit `boolean` turns 1 and 0 into yes and no.
    rules : mapping of rule id to {title, reason, action, source, status}
        `source` is text or a mapping.
    obtain : mapping of fact to text
        What to order or ask when the fact is missing.
    weights : mapping of outcome to weight
        The weights used for this decision.
    estimands : sequence of mappings
        As in evaluation.json.
    model_version, ruleset_version : str
    simulated : bool
    arm_evidence : mapping of modality to number of past cases in training
        Under eleven is masked.
    settling : mapping of modality to Settling
        Modalities that wait for facts.
    valid_days : mapping of fact to days
        How long a recorded value counts; facts that do not age are not among them.
    spoken_of : mapping of (modality, rule id) to products
        Of which products each rule spoke.
    not_run : mapping of (modality, product) to rule ids
        Draft rules that cover a product and were not run.
    decision_date : str or None, ISO date
        Shown only when `show_identifiers` is set.
    show_identifiers : bool
        Whether decision, patient and dates are shown.
    interval_level : float
        What the intervals promise, 0.9 by definition.
    unweighed : Unweighed or None
        What the suitabilities are made of, so that a reader can weigh the outcomes anew; None makes a card without
        preferences.
    default_weights : mapping of outcome to weight
        What counts where a reader sets all weights to 0.
    top_reasons : int
        How many facts are named in a reason.
    typical : mapping of feature to value
        Rounded median, or the usual category, of those the model learned from.
    similar : mapping
        How people alike were treated here and what became of them, as `evaluate.likeness.group_of` gives it; empty
        where the model does not tell.
    """

    decision_id: str
    rows: Sequence[Row]
    modality_labels: Mapping[str, str]
    product_labels: Mapping[str, str]
    feature_meanings: Mapping[str, tuple[str, str]]
    rules: Mapping[str, Mapping[str, Any]]
    obtain: Mapping[str, str]
    weights: Mapping[str, float]
    estimands: Sequence[Mapping[str, Any]]
    model_version: str
    ruleset_version: str
    simulated: bool
    arm_evidence: Mapping[str, int]
    settling: Mapping[str, Settling] = field(default_factory=dict)
    valid_days: Mapping[str, float] = field(default_factory=dict)
    spoken_of: Mapping[tuple[str, str], Sequence[str]] = field(default_factory=dict)
    not_run: Mapping[tuple[str, str], Sequence[str]] = field(default_factory=dict)
    decision_date: str | None = None
    show_identifiers: bool = False
    interval_level: float = 0.9
    unweighed: Unweighed | None = None
    default_weights: Mapping[str, float] = field(default_factory=dict)
    top_reasons: int = 8
    typical: Mapping[str, Any] = field(default_factory=dict)
    similar: Mapping[str, Any] = field(default_factory=dict)

    def modality(self, name: str) -> str:
        """Return a modality's label, or its name in words."""
        return text_in(self.modality_labels.get(name)) or plain_name(name)

    def product(self, name: str) -> str:
        """Return a product's label, or its name in words."""
        return text_in(self.product_labels.get(name)) or plain_name(name)

    def how_to_obtain(self, name: str) -> str:
        """Return the test or question that gives a fact, and how old its answer may be."""
        told = text_in(self.obtain.get(name)) or "no instruction declared"
        days = count_in(self.valid_days.get(name))
        return told if days is None else f"{told.rstrip('.')}; not older than {days} days at the decision"

    def fact(self, name: str) -> str:
        """Return what a feature means, or its name in words."""
        meaning = text_in(self.feature_meanings.get(name, ("", ""))[0])
        return meaning or DERIVED_ITEMS.get(name, plain_name(name))

    def value(self, name: str, value: Any) -> str:
        """Return a feature's value with its unit; `not known` where there is none."""
        text = text_in(value).strip()
        if not text or text.lower() in {"nan", "none", "<na>"}:
            return "" if name in DERIVED_ITEMS and name != "distance_km" else "not known"
        unit = text_in(self.feature_meanings.get(name, ("", ""))[1])
        if unit in _TRUTH_UNITS or text.lower() in {"true", "false"}:
            return _YES_NO.get(text.lower(), text)
        return measured(recorded_value(text), unit)

    def compared(self, name: str, value: Any) -> str:
        """Return a feature's value with its unit, and what is typical among those the model learned from."""
        told, typical = self.value(name, value), self.typical.get(name)
        return told if typical is None or not told else f"{told} (typical here: {self.value(name, typical)})"


def in_display_order(card: CaseCard) -> tuple[Row, ...]:
    """Return the rows as displayed: by rank, then suitability; those without a rank last, nearest to one first."""

    def key(row: Row) -> tuple[float, int, float, str]:
        rank = number_in(row.get("rank"))
        return (
            float("inf") if rank is None else rank,
            nearness(row) if rank is None else 0,
            -(number_in(row.get("suitability")) or 0.0),
            text_in(row.get("modality")),
        )

    return tuple(sorted(mappings_in(list(card.rows)), key=key))


def nearness(row: Row) -> int:
    """Return how near a row without a rank is to one; 0 is nearest."""
    status = text_in(row.get("status"))
    return _NEAREST_TO_A_RANK.index(status) if status in _NEAREST_TO_A_RANK else len(STATUSES)


def name_of(row: Row) -> str:
    """Return the modality id of a row."""
    return text_in(row.get("modality"))


def rank_of(row: Row) -> int | None:
    """Return the rank of a row, or None where it has none."""
    return count_in(row.get("rank"))


def undecided_facts(row: Row) -> tuple[str, ...]:
    """Return the facts that the row's undecided rules wait for, in order of appearance."""
    rules = [rule for rule in mappings_in(row.get("rules")) if text_in(rule.get("verdict")) == "indeterminate"]
    return tuple(dict.fromkeys(fact for rule in rules for fact in texts_in(rule.get("missing_facts"))))
