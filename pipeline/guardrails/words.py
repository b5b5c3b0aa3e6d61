"""How does a rule read on paper? Every rule, its source and its examples, in words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pipeline.guardrails.conditions import (
    LABEL_PREFIX,
    AllOf,
    AnyOf,
    AtLeast,
    Compare,
    Condition,
    Fact,
    Known,
    NotOf,
    Scalar,
)
from pipeline.guardrails.rules import Example, Rule, RuleSet
from pipeline.vocabulary import LabelFacts, Product

EVIDENCE_IDS = tuple(f"G{number:02d}" for number in range(1, 53))
"""The candidate rules of the clinical evidence base."""

NOT_RULES: Mapping[str, str] = {
    "G36": "whether bridging works is learned after the decision and enters no rule",
    "G46": "control of a high tumour burden by bridging is learned after the decision and enters no rule",
    "G49": "unresolved cytokine release or neurotoxicity is not a fact of the records; prior severe events are (G49b)",
    "G51": "values out of range or in an unknown unit are set aside and counted as records are read: they are unknown",
    "G52": "besides, a fact older than its own limit reads as unknown, so every rule that needs it is undecided",
}
"""Why a candidate rule, or a part of it, is not a rule file."""

EFFECTS = {"block": "Blocks", "action_required": "Asks for action on", "caution": "Cautions about"}
SIGNS = {"lt": "below", "le": "at most", "gt": "above", "ge": "at least", "equals": "exactly"}
UNITS = {"score": "", "grade": "", "lines": "", "points": ""}
"""Units that read better as words, or not at all."""
ABBREVIATIONS = {
    **{word.lower(): word for word in ("ALT", "ANC", "AST", "BCMA", "BMI", "CAR", "CD38", "CNS", "CRS", "DNA", "ECOG")},
    **{word.lower(): word for word in ("GPRC5D", "HBV", "HBc", "HBsAg", "HCV", "HIV", "IMiD", "IgG", "LVEF", "POEMS")},
    **{word.lower(): word for word in ("RNA", "SpO2", "T", "ULN", "eGFR")},
}
"""How the words of fact names are written on paper, where that is not in small letters."""
HEAD = """# Guardrails

Generated from `configs/guardrails/` and `configs/products/`; do not edit. Rules act after the model: they can
remove or demote a modality, never promote one. An unknown fact never passes a block: the product is then shown as
*indeterminate*, with the facts that would settle it. Draft rules wait for clinical review and do not run unless the
configuration says so. Rules that hold whatever the date carry 2000-01-01 as the day they take effect. None of this
is medical advice.
"""

OVERRIDING = """## Setting a rule aside

A clinician may set an overridable block aside for one decision, with a reason: `mmrank predict --overrides FILE`, and
`mmrank explain --overrides FILE` for one card. The file is CSV, Parquet, or a JSON or YAML list, with the columns
`decision_id, rule_id, reason, by_role, date`: one row per decision and rule, a role and never a name, an ISO date that
is not in the future, and words that no spreadsheet reads as a formula (they do not begin with `=`, `+`, `-` or `@`).
The rule then no longer counts in that decision's verdicts, whether it fired or was undecided; it stays listed, with the
reason. A rule that may not be overridden refuses the whole file before anything is scored, and so does any other
problem in it. `mmrank review --predictions DIR` counts a batch's overrides per rule and role.
"""


def in_words(rule: Rule) -> str:
    """Return one sentence that says whom a rule covers, when it speaks and what an unknown does."""
    lifted = " A clinician may override it with a reason." if rule.overridable else ""
    where = "" if rule.jurisdiction == "any" else f" ({rule.jurisdiction.upper()} label)"
    unknown = rule.when_unknown.replace("_", " ")
    return (
        f"{EFFECTS[rule.effect]} {covers_in_words(rule)}{where} when {condition_in_words(rule.condition)}. "
        f"Where unknown: {unknown}.{lifted}"
    )


def covers_in_words(rule: Rule) -> str:
    """Return whom a rule covers: `everything`, or the lists that must all match."""
    listed = [f"{name.replace('_', ' ')} {' or '.join(words)}" for name, words in rule.applies_to.lists().items()]
    return " and ".join(listed) if listed else "everything"


def condition_in_words(condition: Condition) -> str:
    """Return a condition as a phrase."""
    match condition:
        case Known(fact, known):
            return f"{_name(fact)} is {'known' if known else 'not known'}"
        case NotOf(part):
            return f"not ({condition_in_words(part)})"
        case AtLeast(count, parts):
            return f"at least {count} of ({'; '.join(condition_in_words(part) for part in parts)})"
        case AllOf(parts):
            return " and ".join(_wrapped(part) for part in parts)
        case AnyOf(parts):
            return " or ".join(_wrapped(part) for part in parts)
        case Compare():
            return _compare_in_words(condition)


def _compare_in_words(leaf: Compare) -> str:
    unit = f" {UNITS.get(leaf.unit or '', leaf.unit or '')}".rstrip()
    times = f" times {_name(leaf.times)}" if leaf.times else ""
    if leaf.op == "between":
        return f"{_name(leaf.fact)} is from {leaf.values[0]} to {leaf.values[1]}{times}{unit}"
    if leaf.op in SIGNS:
        return f"{_name(leaf.fact)} is {SIGNS[leaf.op]} {leaf.values[0]}{times}{unit}"
    if isinstance(leaf.values[0], bool):
        return _yes_or_no(leaf.fact, holds=leaf.values[0])
    return f"{_name(leaf.fact)} is {' or '.join(str(value) for value in leaf.values)}{times}{unit}"


def _yes_or_no(fact: str, *, holds: bool) -> str:
    for prefix in ("exposed", "refractory"):
        if fact.startswith(f"{prefix}_"):
            return f"{'' if holds else 'not '}{prefix} to {_name(fact.removeprefix(f'{prefix}_'))}"
    return f"{_name(fact)} is {'present' if holds else 'absent'}"


def _wrapped(part: Condition) -> str:
    return f"({condition_in_words(part)})" if isinstance(part, AllOf | AnyOf) else condition_in_words(part)


def _name(fact: str) -> str:
    label = fact.startswith(LABEL_PREFIX)
    words = fact.removeprefix(LABEL_PREFIX).removeprefix("n_").split("_")
    plain = " ".join(ABBREVIATIONS.get(word, word) for word in words)
    return f"the product's {plain}" if label else plain


def rules_table(rules: RuleSet) -> list[dict[str, str]]:
    """Return one row per rule, sorted by id, for `mmrank rules list`.

    Returns
    -------
    list of dict
        Keys `id, title, status, effect, applies_to, jurisdiction, when, when_unknown, overridable, evidence, source`.
    """
    return [
        {
            "id": rule.id,
            "title": rule.title,
            "status": rule.status,
            "effect": rule.effect,
            "applies_to": covers_in_words(rule),
            "jurisdiction": rule.jurisdiction,
            "when": condition_in_words(rule.condition),
            "when_unknown": rule.when_unknown,
            "overridable": "yes" if rule.overridable else "no",
            "evidence": rule.evidence,
            "source": f"{rule.source.document}, {rule.source.section}",
        }
        for rule in rules.rules
    ]


def evidence_table(rules: RuleSet) -> list[dict[str, str]]:
    """Return what became of each of the 52 candidate rules.

    Returns
    -------
    list of dict, one per candidate id
        Keys `evidence_id`, `state` ('implemented' if an active rule carries it, 'draft' if only others do, 'fact
        unavailable' if none), `rules` (ids) and `note`.
    """
    rows = []
    for identity in EVIDENCE_IDS:
        own = [rule for rule in rules.rules if rule.evidence_id == identity]
        active = any(rule.status == "active" for rule in own)
        waiting = [rule.id.split("-")[0] for rule in own if rule.status != "active"]
        note = f"draft: {', '.join(waiting)}. " if active and waiting else ""
        rows.append(
            {
                "evidence_id": identity,
                "state": "implemented" if active else "draft" if own else "fact unavailable",
                "rules": ", ".join(rule.id for rule in own),
                "note": note + NOT_RULES.get(identity, ""),
            }
        )
    return rows


def describe(rules: RuleSet, products: Sequence[Product], catalogue: Mapping[str, Fact]) -> str:
    """Return the whole rule book as Markdown, readable on paper.

    Parameters
    ----------
    rules : RuleSet
    products : sequence of Product
        Their labels are printed as a table.
    catalogue : mapping of fact name to Fact
        Says what to order or ask where a fact is missing.
    """
    parts = [HEAD, f"Rule set `{rules.digest[:12]}`: {_counts(rules)}.\n", "## The 52 candidates\n"]
    rows = [[row["evidence_id"], row["state"], row["rules"], row["note"]] for row in evidence_table(rules)]
    parts.append(_table(["id", "state", "rules", "note"], rows))
    parts.append("## Rules\n")
    parts += [_rule_section(rule) for rule in rules.rules]
    parts.append(OVERRIDING)
    parts.append("## Labels\n")
    parts.append(_table(["product", "where", "status", "needs", "evidence", "as of", "source"], _label_rows(products)))
    parts.append("## Facts that rules read\n")
    known = [(name, catalogue[name]) for name in rules.facts() if name in catalogue]
    facts = [[name, _clean(fact.meaning), _age(fact), _clean(fact.obtain or "")] for name, fact in known]
    parts.append(_table(["fact", "meaning", "older than this is unknown", "if missing"], facts))
    return "\n".join(parts)


def _age(fact: Fact) -> str:
    return "" if fact.max_age_days is None else f"{fact.max_age_days:g} days"


def _counts(rules: RuleSet) -> str:
    statuses = [rule.status for rule in rules.rules]
    return ", ".join(f"{statuses.count(name)} {name}" for name in ("active", "reviewed", "draft") if name in statuses)


def _rule_section(rule: Rule) -> str:
    lines = [
        f"### {rule.id}",
        "",
        f"**{rule.title}** ({rule.status}, {rule.evidence} evidence)",
        "",
        in_words(rule),
        "",
        f"* Why: {rule.reason}",
        f"* Do: {rule.action}",
        f"* Source: {rule.source.document}, {rule.source.section}",
        f"* Owner {rule.owner}; in force from {rule.effective_from}; review by {rule.review_by}",
        *[f"* Example: {_example(example)}" for example in rule.examples],
        "",
    ]
    return "\n".join(lines)


def _example(example: Example) -> str:
    given = ", ".join(f"{_name(fact)} {_value(value)}" for fact, value in example.given.items())
    return f"{given}: {example.verdict.replace('_', ' ')}"


def _value(value: Scalar | None) -> str:
    return "unknown" if value is None else {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _label_rows(products: Sequence[Product]) -> list[list[str]]:
    rows = []
    for product in products:
        for where, label in sorted((str(name), label) for name, label in product.labels.items()):
            needs = _needs(label)
            rows.append([product.label, where, label.approval_status, needs, label.evidence, label.as_of, label.source])
    return rows


def _needs(label: LabelFacts) -> str:
    needs = [] if label.min_prior_lines is None else [f"{label.min_prior_lines} or more prior lines"]
    needs += [f"exposed to {name.replace('_', ' ')}" for name in label.classes_exposed]
    needs += [f"refractory to {name}" for name in label.refractory_to]
    needs += ["progression on the last line"] if label.requires_progression_on_last_line else []
    return "; ".join(needs)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(_clean(cell) for cell in row)} |" for row in rows]
    return "\n".join([*lines, ""])


def _clean(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "/").strip()
