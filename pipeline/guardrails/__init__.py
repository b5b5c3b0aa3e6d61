"""What may not be offered, whatever the model says?"""

from __future__ import annotations

from pipeline.guardrails.answers import Answers, answer_rules
from pipeline.guardrails.conditions import Condition, Fact
from pipeline.guardrails.consistency import Inconsistency, consistency, out_of_date
from pipeline.guardrails.missing import settling_facts, what_to_obtain
from pipeline.guardrails.overrides import Override, Overrides, parse_overrides
from pipeline.guardrails.plan import Plan, not_run, plan, products_offered
from pipeline.guardrails.rules import AppliesTo, Rule, RuleSet, parse_rules
from pipeline.guardrails.sql import FactTable, apply_rules_sql, fact_table, rule_query
from pipeline.guardrails.summary import firings, removed_first_choices, structural_zero
from pipeline.guardrails.verdicts import Verdicts, apply_rules, apply_rules_in_chunks
from pipeline.guardrails.words import describe, evidence_table, in_words, rules_table

__all__ = [
    "Answers",
    "AppliesTo",
    "Condition",
    "Fact",
    "FactTable",
    "Inconsistency",
    "Override",
    "Overrides",
    "Plan",
    "Rule",
    "RuleSet",
    "Verdicts",
    "answer_rules",
    "apply_rules",
    "apply_rules_in_chunks",
    "apply_rules_sql",
    "consistency",
    "describe",
    "evidence_table",
    "fact_table",
    "firings",
    "in_words",
    "not_run",
    "out_of_date",
    "parse_overrides",
    "parse_rules",
    "plan",
    "products_offered",
    "removed_first_choices",
    "rule_query",
    "rules_table",
    "settling_facts",
    "structural_zero",
    "what_to_obtain",
]
