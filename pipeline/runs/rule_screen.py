"""What does a person read on the terminal about the rules?"""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.errors import counted
from pipeline.guardrails import Rule, in_words
from pipeline.runs.rule_check import RuleCheck


def rules_shown(rules: Sequence[Rule], console: Console) -> None:
    """Show each rule: what it does and whether it runs, whom it covers and when it speaks, and its source."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_lines=True)
    table.add_column("rule", min_width=15, overflow="fold")
    table.add_column("what it says", overflow="fold")
    for rule in rules:
        lines = [rule.effect.replace("_", " "), rule.status, *(["overridable"] if rule.overridable else [])]
        source = f"Source: {rule.source.document}, {rule.source.section} ({rule.evidence})"
        told = Text.assemble((rule.id, "bold"), f"\n{rule.title}\n{in_words(rule)}\n", (source, "dim"))
        table.add_row(Text("\n".join(lines)), told)
    console.print(table)
    console.print(f"{len(rules)} rules; only active ones run unless the configuration says so", markup=False)


def rule_check_shown(found: RuleCheck, console: Console, *, verbose: bool = False) -> None:
    """Show what a check of the rules found, warnings before errors; what is expected as a count, or in full."""
    rules = found.rules.rules
    examples = sum(len(rule.examples) for rule in rules)
    console.print(
        f"{len(rules)} rules, {examples} examples: all as declared (rule set {found.rules.digest[:12]})", markup=False
    )
    if found.expected and not verbose:
        told = "what labels decide and rules of two effects, as expected; --verbose tells them"
        console.print(f"{len(found.expected)} remarks: {told}", markup=False)
    shown = (("expected", found.expected if verbose else ()), ("warning", found.warnings), ("ERROR", found.errors))
    for severity, remarks in shown:
        for remark in remarks:
            console.print(f"{severity}: {remark.where}: {remark.message}", markup=False)
            console.print(f"  to do: {remark.what_to_do}", markup=False)
    if found.errors:
        console.print(f"{counted(len(found.errors), 'error')} in the rules as a set (exit code 13)", markup=False)
