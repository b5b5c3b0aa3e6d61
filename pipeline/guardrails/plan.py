"""Which rules are put to which products? Settled once, before any decision is looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.errors import RuleError
from pipeline.guardrails.conditions import LABEL_FACTS, LABEL_PREFIX, Scalar
from pipeline.guardrails.rules import Rule, RuleSet
from pipeline.vocabulary import Modality, Product


@dataclass(frozen=True)
class Asked:
    """One rule, put to covered products whose labels say the same.

    Attributes
    ----------
    rule : Rule
    products : tuple of int
        Places in `Plan.offered`.
    label : mapping of fact to value
        What the label facts that the rule may read are for these products; None is unknown.
    """

    rule: Rule
    products: tuple[int, ...]
    label: Mapping[str, Scalar | None]


@dataclass(frozen=True)
class Plan:
    """What is asked of every decision.

    Attributes
    ----------
    running : tuple of Rule
        Sorted by id.
    offered : tuple of (modality id, Product)
    modalities : tuple of str
    asked : tuple of Asked
        In the order of `running`.
    """

    running: tuple[Rule, ...]
    offered: tuple[tuple[str, Product], ...]
    modalities: tuple[str, ...]
    asked: tuple[Asked, ...]

    def products_of(self, modality: str) -> tuple[int, ...]:
        """Return the places of a modality's products."""
        return tuple(place for place, (name, _) in enumerate(self.offered) if name == modality)


def plan(
    rules: RuleSet,
    products: Sequence[Product],
    modalities: Sequence[Modality],
    *,
    jurisdiction: str,
    include_drafts: bool = False,
) -> Plan:
    """Return which running rules cover which products.

    Parameters
    ----------
    rules : RuleSet
    products : sequence of Product
    modalities : sequence of Modality
        A modality without products is its own single product.
    jurisdiction : {'us', 'eu'}
        Whose labels count.
    include_drafts : bool
        Whether draft and reviewed rules run too.

    Returns
    -------
    Plan
        The same whatever the order of the rules.

    Raises
    ------
    RuleError
        If a modality names a product that is not among `products`.
    """
    offered = tuple(products_offered(products, modalities))
    running = rules.running(jurisdiction, include_drafts=include_drafts)
    asked = []
    for rule in running:
        targets = [place for place, (_, product) in enumerate(offered) if rule.applies_to.covers(product)]
        asked += [Asked(rule, group, label) for group, label in _same_label(rule, targets, offered, jurisdiction)]
    return Plan(running, offered, tuple(modality.id for modality in modalities), tuple(asked))


def not_run(
    rules: RuleSet,
    products: Sequence[Product],
    modalities: Sequence[Modality],
    *,
    jurisdiction: str,
    include_drafts: bool = False,
) -> dict[tuple[str, str], tuple[Rule, ...]]:
    """Return, per (modality id, product id), the draft and reviewed rules that cover it and are not run.

    Parameters
    ----------
    rules, products, modalities, jurisdiction, include_drafts
        As `plan` takes them.

    Returns
    -------
    dict of (modality id, product id) to rules, sorted by id
        Products that no such rule covers are not among them; nothing is where drafts run.

    Raises
    ------
    RuleError
        If a modality names a product that is not among `products`.
    """
    run = {rule.id for rule in rules.running(jurisdiction, include_drafts=include_drafts)}
    waiting = [rule for rule in rules.running(jurisdiction, include_drafts=True) if rule.id not in run]
    found = {
        (modality, product.id): tuple(rule for rule in waiting if rule.applies_to.covers(product))
        for modality, product in products_offered(products, modalities)
    }
    return {key: listed for key, listed in found.items() if listed}


def products_offered(products: Sequence[Product], modalities: Sequence[Modality]) -> list[tuple[str, Product]]:
    """Return (modality id, product) in configured order; a modality without products is its own product.

    Raises
    ------
    RuleError
        If a modality names a product that is not among `products`.
    """
    by_id = {product.id: product for product in products}
    offered: list[tuple[str, Product]] = []
    for modality in modalities:
        unknown = [name for name in modality.products if name not in by_id]
        if unknown:
            raise RuleError(
                f"modality '{modality.id}': no product file for {', '.join(unknown)}; add it to the products"
            )
        if modality.products:
            offered += [(modality.id, by_id[name]) for name in modality.products]
        else:
            itself = Product(
                id=modality.id,
                label=modality.label,
                modality=modality.id,
                agents=modality.agents or (modality.id,),
                safety_classes=modality.safety_classes,
            )
            offered.append((modality.id, itself))
    return offered


def label_facts(product: Product, jurisdiction: str) -> dict[str, Scalar | None]:
    """Return what a product's label says, by the names that conditions use; None where there is no label."""
    labels = {str(name): label for name, label in product.labels.items()}
    label = labels.get(jurisdiction)
    return {f"{LABEL_PREFIX}{name}": getattr(label, name, None) for name in LABEL_FACTS}


def _same_label(
    rule: Rule, targets: Sequence[int], offered: Sequence[tuple[str, Product]], jurisdiction: str
) -> list[tuple[tuple[int, ...], dict[str, Scalar | None]]]:
    """Return the covered products in groups whose labels say the same, as the rule reads them."""
    if not targets:
        return []
    if not rule.reads_label:
        return [(tuple(targets), {})]
    groups: dict[tuple[Scalar | None, ...], list[int]] = {}
    for target in targets:
        groups.setdefault(tuple(label_facts(offered[target][1], jurisdiction).values()), []).append(target)
    names = [f"{LABEL_PREFIX}{name}" for name in LABEL_FACTS]
    return [(tuple(group), dict(zip(names, key, strict=True))) for key, group in groups.items()]
