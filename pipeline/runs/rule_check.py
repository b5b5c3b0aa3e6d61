"""Are the rules as declared, do they make sense together, and are they up to date?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

from pipeline.declared import did_you_mean
from pipeline.errors import ConfigError
from pipeline.guardrails import Inconsistency, Rule, RuleSet, consistency, out_of_date, products_offered
from pipeline.runs.setup import Setup


@dataclass(frozen=True)
class Remark:
    """Something about the rules that their author should know.

    Attributes
    ----------
    where : str
        File of the first rule concerned.
    message, what_to_do : str
    """

    where: str
    message: str
    what_to_do: str


@dataclass(frozen=True)
class RuleCheck:
    """What a check of the rules found.

    Attributes
    ----------
    rules : RuleSet
        As declared: a rule that is wrong by itself is never read.
    errors, warnings, expected : tuple of Remark
        Errors must be mended; warnings may be meant; what is expected needs no look.
    """

    rules: RuleSet
    errors: tuple[Remark, ...]
    warnings: tuple[Remark, ...]
    expected: tuple[Remark, ...]


def check_rules(setup: Setup, today: date | None = None) -> RuleCheck:
    """Return what is odd about the rules of a setup, taken together and by the calendar.

    Parameters
    ----------
    setup : Setup
    today : date or None
        None is the day on which it runs.
    """
    day = today or datetime.now(UTC).date()
    found = consistency(setup.rules, setup.config.products, setup.config.modalities, setup.facts)
    found += out_of_date(setup.rules, day)
    files = _files(setup.texts)
    by_severity: dict[str, list[Remark]] = {"error": [], "note": [], "expected": []}
    for said, jurisdictions in _together(found).items():
        both = " (us and eu)" if len(jurisdictions) > 1 else ""
        where = files.get(said.rules[0], "guardrails") if said.rules else "guardrails"
        by_severity[said.severity].append(Remark(where, said.message + both, said.what_to_do))
    errors, warnings, expected = (tuple(by_severity[severity]) for severity in ("error", "note", "expected"))
    return RuleCheck(setup.rules, errors, warnings, expected)


def chosen_rules(setup: Setup, status: str | None, modality: str | None) -> tuple[Rule, ...]:
    """Return the rules of a status, and those that cover some product of a modality.

    Raises
    ------
    ConfigError
        If there is no such modality.
    """
    rules = [rule for rule in setup.rules.rules if status in (None, rule.status)]
    if modality is None:
        return tuple(rules)
    known = list(setup.config.modality_ids)
    if modality not in known:
        hint = did_you_mean(modality, known)
        raise ConfigError(f"--modality: got {modality!r}, wanted one of {', '.join(known)}{hint}")
    offered = products_offered(setup.config.products, setup.config.modalities)
    own = [product for name, product in offered if name == modality]
    return tuple(rule for rule in rules if any(rule.applies_to.covers(product) for product in own))


def _together(found: list[Inconsistency]) -> dict[Inconsistency, list[str]]:
    """Return what is said once, and in which jurisdictions."""
    first: dict[tuple[str, str], Inconsistency] = {}
    told: dict[Inconsistency, list[str]] = {}
    for said in found:
        told.setdefault(first.setdefault((said.kind, said.message), said), []).append(said.jurisdiction)
    return told


def _files(texts: Mapping[str, str]) -> dict[str, str]:
    """Return the file of each rule id."""
    declared = {name: re.search(r"^id: *(\S+)", text, re.MULTILINE) for name, text in texts.items()}
    return {found[1]: name for name, found in declared.items() if found and name.startswith("guardrails/")}
