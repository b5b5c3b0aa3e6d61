"""What do the rules say of each product and modality, for each decision?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import RuleError
from pipeline.guardrails.conditions import LABEL_FACTS, LABEL_PREFIX, Condition, Scalar, facts_of
from pipeline.guardrails.grid import grid_of, patterns
from pipeline.guardrails.kleene import FactColumns, Mask, evaluate
from pipeline.guardrails.rules import Rule, RuleSet
from pipeline.vocabulary import VERDICTS, Modality, Product

CLEAR, NOT_ASSESSED = VERDICTS.index("clear"), VERDICTS.index("not_assessed")
Codes = NDArray[np.int8]
Names = NDArray[np.object_]


@dataclass(frozen=True)
class Verdicts:
    """What the guardrails say, in the order of the decisions, modalities and products that were handed in.

    Attributes
    ----------
    products : DataFrame, one row per decision, modality and product
        `decision_id, modality, product, verdict`: the worst of the product's rules.
    modalities : DataFrame, one row per decision and modality
        `decision_id, modality, verdict`: the best of its products.
    findings : DataFrame, one row per decision, product and rule that fired or is undecided
        `decision_id, modality, product, rule_id, verdict, fired, missing_facts, status, overridable`; worst first,
        then by rule id. `missing_facts` is the smallest set that would settle an undecided rule.
    assessed : DataFrame, one row per rule that ran and covers some product
        `rule_id, decisions`: how many decisions it judged (those on or after its `effective_from`).
    """

    products: pd.DataFrame
    modalities: pd.DataFrame
    findings: pd.DataFrame
    assessed: pd.DataFrame


@dataclass(frozen=True)
class _Spoken:
    """What one rule says of some products (all with the same answer)."""

    rule: int
    columns: list[int]
    code: Codes
    fired: Mask
    missing: Names


def apply_rules(
    facts: pd.DataFrame,
    rules: RuleSet,
    products: Sequence[Product],
    modalities: Sequence[Modality],
    *,
    decision_dates: pd.Series,
    jurisdiction: str = "us",
    include_drafts: bool = False,
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
    offered = products_offered(products, modalities)
    dates = _dates(facts, decision_dates)
    columns = FactColumns(facts)
    running = rules.running(jurisdiction, include_drafts=include_drafts)
    worst = np.full((len(facts), len(offered)), CLEAR, dtype=np.int8)
    covered = np.zeros((len(facts), len(offered)), dtype=bool)
    spoken: list[_Spoken] = []
    judged: list[tuple[str, int]] = []
    for number, rule in enumerate(running):
        targets = [i for i, (_, product) in enumerate(offered) if rule.applies_to.covers(product)]
        if not targets:
            continue
        in_force = np.isnat(dates) | (dates >= np.datetime64(rule.effective_from, "D"))
        judged.append((rule.id, int(in_force.sum())))
        for group, constants in _same_label(rule, targets, offered, jurisdiction):
            said = _speak(number, rule, group, _with(facts, columns, constants), in_force)
            worst[:, group] = np.maximum(worst[:, group], said.code[:, None])
            covered[:, group] |= in_force[:, None]
            spoken.append(said)
    verdicts = np.where(covered, worst, np.int8(NOT_ASSESSED))
    return Verdicts(
        products=_product_table(facts.index, offered, verdicts),
        modalities=_modality_table(facts.index, offered, modalities, verdicts),
        findings=_finding_table(facts.index, offered, running, spoken),
        assessed=pd.DataFrame(judged, columns=["rule_id", "decisions"]).astype(
            {"rule_id": "str", "decisions": "int64"}
        ),
    )


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


def _dates(facts: pd.DataFrame, decision_dates: pd.Series) -> NDArray[np.datetime64]:
    if not facts.index.is_unique:
        raise RuleError(
            f"facts: {int(facts.index.duplicated().sum())} decision ids repeat; wanted one row per decision"
        )
    absent = int((~facts.index.isin(decision_dates.index)).sum())
    if absent:
        raise RuleError(f"decision_dates: missing for {absent} of {len(facts)} decisions; index them by decision_id")
    dates = pd.to_datetime(decision_dates.loc[facts.index])
    return dates.to_numpy(dtype="datetime64[D]")


def _same_label(
    rule: Rule, targets: list[int], offered: list[tuple[str, Product]], jurisdiction: str
) -> list[tuple[list[int], dict[str, Scalar | None]]]:
    """Return the covered products in groups whose labels say the same, as the rule reads them."""
    if not rule.reads_label:
        return [(targets, {})]
    groups: dict[tuple[Scalar | None, ...], list[int]] = {}
    for target in targets:
        labels = {str(name): label for name, label in offered[target][1].labels.items()}
        label = labels.get(jurisdiction)
        groups.setdefault(tuple(getattr(label, name, None) for name in LABEL_FACTS), []).append(target)
    return [
        (group, {f"{LABEL_PREFIX}{name}": value for name, value in zip(LABEL_FACTS, key, strict=True)})
        for key, group in groups.items()
    ]


def _with(facts: pd.DataFrame, columns: FactColumns, constants: dict[str, Scalar | None]) -> FactColumns:
    return FactColumns(facts, constants) if constants else columns


def _speak(number: int, rule: Rule, targets: list[int], columns: FactColumns, in_force: Mask) -> _Spoken:
    truth = evaluate(rule.condition, columns.truth)
    code = np.select(
        [~in_force, truth.true, truth.unknown],
        [CLEAR, VERDICTS.index(rule.fired_verdict), VERDICTS.index(rule.when_unknown)],
        CLEAR,
    ).astype(np.int8)
    undecided = truth.unknown & in_force
    return _Spoken(number, targets, code, truth.true, _missing(rule.condition, columns, undecided))


def _missing(condition: Condition, columns: FactColumns, undecided: Mask) -> Names:
    """Return, per row, the facts that would settle an undecided condition; empty elsewhere."""
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
        missing[chosen] = [names] * len(chosen)
    return missing


def _words(codes: Codes) -> NDArray[np.object_]:
    return np.array(VERDICTS, dtype=object)[codes.ravel()]


def _product_table(index: pd.Index, offered: list[tuple[str, Product]], verdicts: Codes) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "decision_id": np.repeat(index.to_numpy(dtype=object), len(offered)),
            "modality": np.tile(np.array([modality for modality, _ in offered], dtype=object), len(index)),
            "product": np.tile(np.array([product.id for _, product in offered], dtype=object), len(index)),
            "verdict": _words(verdicts),
        }
    ).astype("str")


def _modality_table(
    index: pd.Index, offered: list[tuple[str, Product]], modalities: Sequence[Modality], verdicts: Codes
) -> pd.DataFrame:
    own = [[i for i, (name, _) in enumerate(offered) if name == modality.id] for modality in modalities]
    best = np.stack([verdicts[:, columns].min(axis=1) for columns in own], axis=1)
    return pd.DataFrame(
        {
            "decision_id": np.repeat(index.to_numpy(dtype=object), len(modalities)),
            "modality": np.tile(np.array([modality.id for modality in modalities], dtype=object), len(index)),
            "verdict": _words(best),
        }
    ).astype("str")


def _finding_table(
    index: pd.Index, offered: list[tuple[str, Product]], running: Sequence[Rule], spoken: Sequence[_Spoken]
) -> pd.DataFrame:
    decision, product, rule, code, fired, missing = [], [], [], [], [], []
    for said in spoken:
        rows = np.flatnonzero(said.code != CLEAR)
        for column in said.columns:
            decision.append(rows)
            product.append(np.full(len(rows), column))
            rule.append(np.full(len(rows), said.rule))
            code.append(said.code[rows])
            fired.append(said.fired[rows])
            missing.append(said.missing[rows])
    empty = np.empty(0, dtype=np.int64)
    decisions, columns, rule_numbers = (
        np.concatenate([empty, *part]).astype(np.int64) for part in (decision, product, rule)
    )
    codes: Codes = np.concatenate([empty.astype(np.int8), *code])
    order = np.lexsort((rule_numbers, -codes, columns, decisions))
    decisions, columns, rule_numbers = (part[order] for part in (decisions, columns, rule_numbers))
    table = {
        "decision_id": index.to_numpy(dtype=object)[decisions],
        "modality": np.array([modality for modality, _ in offered], dtype=object)[columns],
        "product": np.array([entry.id for _, entry in offered], dtype=object)[columns],
        "rule_id": np.array([entry.id for entry in running], dtype=object)[rule_numbers],
        "verdict": _words(codes[order]),
        "fired": np.concatenate([empty.astype(bool), *fired])[order],
        "missing_facts": np.concatenate([empty.astype(object), *missing])[order],
        "status": np.array([entry.status for entry in running], dtype=object)[rule_numbers],
        "overridable": np.array([entry.overridable for entry in running], dtype=bool)[rule_numbers],
    }
    texts = ("decision_id", "modality", "product", "rule_id", "verdict", "status")
    return pd.DataFrame(table).astype(dict.fromkeys(texts, "str"))
