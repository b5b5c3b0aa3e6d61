"""What may not be offered, whatever the model says?"""

from __future__ import annotations

from pipeline.guardrails.conditions import Condition, Fact
from pipeline.guardrails.rules import AppliesTo, Rule, RuleSet, parse_rules
from pipeline.guardrails.summary import firings, structural_zero
from pipeline.guardrails.verdicts import Verdicts, apply_rules, products_offered
from pipeline.guardrails.words import describe, evidence_table, in_words, rules_table

__all__ = [
    "AppliesTo",
    "Condition",
    "Fact",
    "Rule",
    "RuleSet",
    "Verdicts",
    "apply_rules",
    "describe",
    "evidence_table",
    "firings",
    "in_words",
    "parse_rules",
    "products_offered",
    "rules_table",
    "structural_zero",
]
