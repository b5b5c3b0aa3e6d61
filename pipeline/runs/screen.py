"""What does a person read on the terminal?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from pipeline.errors import counted
from pipeline.records import RecordsReport
from pipeline.review import CaseCard, deciders, in_display_order, modality_badge, remarks, unrun_beside
from pipeline.runs.demo import Journey
from pipeline.runs.overriding import OverrideAccount
from pipeline.runs.predict import Batch
from pipeline.runs.shift_screen import shift_shown
from pipeline.runs.shifting import PAGE
from pipeline.runs.train import Trained

_MOST_NAMED = 3


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name)
    return table


def records_shown(report: RecordsReport, account: Mapping[str, Any], written: Path, console: Console) -> None:
    """Show what a check found.

    Parameters
    ----------
    report : RecordsReport
    account : mapping
        The same as plain values.
    written : path
        Where the account was written.
    console : Console
    """
    stamp = " (SIMULATED)" if report.simulated else ""
    console.print(f"records {'pass' if report.passed else 'FAIL'}{stamp}: digest {report.digest[:16]}", markup=False)
    rows = _table("table", "rows")
    for name, count in report.rows.items():
        rows.add_row(name, f"{count:,}")
    console.print(rows)
    found = _table("severity", "rule", "message")
    for finding in report.findings:
        found.add_row(finding.severity, finding.rule, finding.message)
    if report.findings:
        console.print(found)
    _attrition_shown(report, console)
    codes = len({(entry["table"], entry["code"]) for entry in account["missingness"]})
    told = f"how often each of {codes} codes is missing, by modality, and all findings: {written}"
    console.print(told if codes else f"all findings: {written}", markup=False)


def _attrition_shown(report: RecordsReport, console: Console) -> None:
    """Show at which steps rows were left out; nothing of steps that left none out."""
    steps = _table("step", "rows in", "left out", "rows out", "why")
    told = [step for step in report.attrition if step.rows_in != step.rows_out]
    for step in told:
        left = step.rows_in - step.rows_out
        steps.add_row(step.step, f"{step.rows_in:,}", f"{left:,}", f"{step.rows_out:,}", step.reason)
    console.print(steps if told else "no row was set aside")


def comparison_shown(comparison: pd.DataFrame, out: Path, console: Console) -> None:
    """Show simulated against published rates."""
    table = _table("quantity", "modality", "simulated", "published", "band", "", "source")
    for row in comparison.to_dict("records"):
        simulated = "-" if pd.isna(row["simulated"]) else f"{row['simulated']:.3g}"
        mark = "ok" if row["within"] else "outside"
        band = f"{row['low']:.3g} to {row['high']:.3g}"
        table.add_row(
            str(row["quantity"]),
            str(row["modality"]),
            simulated,
            f"{row['published']:.3g}",
            band,
            mark,
            str(row["source"]),
        )
    console.print(table)
    console.print(f"SIMULATED records are in {out}: a demonstration and a test bench, never evidence.", markup=False)


def _interval(row: Mapping[str, Any]) -> str:
    if pd.isna(row["suitability"]):
        return "no model"
    return f"{row['suitability']:+.2f} ({row['suitability_low']:+.2f} to {row['suitability_high']:+.2f})"


def _why(row: Mapping[str, Any], card: CaseCard) -> str:
    status = str(row["status"])
    if status in ("blocked", "indeterminate"):
        return f"{'blocked by' if status == 'blocked' else 'undecided:'} {_rules_that_say(status, row)}"
    if status == "abstained":
        return str(row["abstain_reason"]).replace("_", " ")
    if status == "unavailable":
        return "not available to this person"
    if status == "too_few_cases":
        return "too few past cases to learn from"
    told = [item for item in row["reasons"] if item["feature"] not in ("all_other", "burden")][:3]
    return "; ".join(
        f"{card.fact(item['feature'])}: {card.value(item['feature'], item['value'])} ({item['contribution']:+.3f})"
        for item in told
    )


def _rules_that_say(verdict: str, row: Mapping[str, Any]) -> str:
    """Return the rules behind a row's verdict, those set aside left out."""
    aside = {entry["rule_id"] for entry in row["overrides"]}
    rules = [
        str(rule["rule_id"]) for rule in row["rules"] if rule["verdict"] == verdict and rule["rule_id"] not in aside
    ]
    more = f" and {len(rules) - _MOST_NAMED} more" if len(rules) > _MOST_NAMED else ""
    return ", ".join(rules[:_MOST_NAMED]) + more


def case_shown(card: CaseCard, console: Console) -> None:
    """Show one decision: ranked modalities with interval and verdict, those without a rank, why, and what to obtain."""
    table = _table("rank", "modality", "suitability (90 %)", "status", "verdict")
    rows = in_display_order(card)
    for row in rows:
        rank = f"{row['rank']:.0f}" if row["status"] in ("ranked", "tied") else "-"
        verdict = "; ".join(part for part in (modality_badge(row, card).word, unrun_beside(row, card)) if part)
        table.add_row(
            rank, card.modality(str(row["modality"])), _interval(row), str(row["status"]).replace("_", " "), verdict
        )
    console.print(table)
    for label, remark in remarks(rows, card):
        console.print(f"  {label}: {remark}", markup=False)
    for row in rows:
        told = [f"  {card.modality(str(row['modality']))}: {_why(row, card)}", *_to_do(row, card)]
        told += [
            f"    set aside {entry['rule_id']} by {entry['by_role']}: {entry['reason']}" for entry in row["overrides"]
        ]
        for line in told:
            console.print(line, markup=False)
    for waiting in deciders(rows, card):
        console.print(f"\n  {waiting.label}: {waiting.sentence}", markup=False)
        for fact, how in waiting.facts:
            console.print(f"    {fact}: {how}", markup=False)
        console.print(f"    {waiting.reach}", markup=False)
    console.print()


def _to_do(row: Mapping[str, Any], card: CaseCard) -> list[str]:
    """Return what rules that fired ask to be done before a modality that may then be given."""
    if row["verdict"] != "action_required" or str(row["modality"]) in card.settling:
        return []
    aside = {entry["rule_id"] for entry in row["overrides"]}
    asked = [
        str(rule["rule_id"])
        for rule in row["rules"]
        if rule["verdict"] == "action_required" and not rule["missing_facts"] and rule["rule_id"] not in aside
    ]
    return [f"    first: {card.rules[rule]['action']} ({rule})" for rule in asked]


def trained_shown(trained: Trained, console: Console) -> None:
    """Show what training found."""
    evaluation = trained.evaluation
    cohort = _table("modality", "decisions", "patients", "ranked")
    for row in evaluation["cohort"]["modalities"]:
        cohort.add_row(row["label"], f"{row['decisions']:,}", f"{row['patients']:,}", row["reason"] or "yes")
    console.print(cohort)
    league = _table("policy", "value (90 %)", "less clinicians (s.e.)", "true regret")
    for row in evaluation["league"]:
        regret = "-" if row["true_regret"] is None else f"{row['true_regret']:.4f}"
        if row["value"] is None:
            league.add_row(row["label"], "no value" if row["vetoed"] else "not applicable", "-", regret)
            continue
        interval = f"{row['value']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"
        league.add_row(row["label"], interval, f"{row['difference']:+.3f} ({row['difference_se']:.3f})", regret)
    console.print(league)
    for row in evaluation["discrimination"]:
        if row["model"] is not None:
            console.print(_discrimination(row), markup=False)
    console.print(evaluation["learner"]["words"], markup=False)
    console.print(f"verdict: {evaluation['verdict']['words']}", markup=False)
    champion = " (champion, not signed off)" if trained.is_champion else " (not champion: `mmrank promote` signs off)"
    console.print(
        f"model {trained.model_version}, registered as mmrank version {trained.registered_version}{champion}\n"
        f"run: {trained.run_directory}   page: {trained.run_directory / 'review.html'}",
        markup=False,
    )


def _discrimination(row: Mapping[str, Any]) -> str:
    own = f"{row['model']:.2f} ({row['model_low']:.2f} to {row['model_high']:.2f})"
    simple = "not recorded"
    if row["baseline"] is not None:
        simple = f"{row['baseline']:.2f} ({row['baseline_low']:.2f} to {row['baseline_high']:.2f})"
    facts = " and ".join(row["baseline_features"]) or "ISS and lines"
    return f"C-index {row['outcome'].replace('_', ' ')}, out of fold: model {own}, {facts} alone {simple}"


def batch_shown(batch: Batch, console: Console) -> None:
    """Show what a batch wrote."""
    listed = ", ".join(f"{status.replace('_', ' ')} {count:,}" for status, count in sorted(batch.statuses.items()))
    console.print(
        f"{batch.decisions:,} decisions, {batch.rows:,} rows, {counted(batch.parts, 'part')} in {batch.out}",
        markup=False,
    )
    if batch.was_finished:
        told = "nothing was scored: the batch stood finished, of the same records, its parts as they were written"
        console.print(told, markup=False)
    elif batch.stood:
        scored = batch.decisions - batch.stood
        told = f"{scored:,} were scored now, the other {batch.stood:,} stood already"
        console.print(told, markup=False)
    if listed:
        console.print(f"statuses: {listed}", markup=False)
    if batch.overrides is not None:
        _overrides_shown(batch.overrides, console)
    shift_shown(batch.shift, batch.out / PAGE, console)


def _overrides_shown(found: OverrideAccount, console: Console) -> None:
    """Show what the file of overrides did."""
    set_aside = sum(found.applied.values())
    told = [f"overrides: {found.total:,} read, {set_aside:,} set a rule aside"]
    told += [f"  {rule}: {count:,}" for rule, count in found.applied.items()]
    told += [f"  {found.idle:,} set nothing aside: the rule says nothing of that decision"] if found.idle else []
    if found.strangers:
        told.append(
            f"  {found.strangers:,} name a decision that is not scored here; compare decision_id with the records"
        )
    for line in told:
        console.print(line, markup=False)


def journey_shown(journey: Journey, console: Console) -> None:
    """Show the end of the demonstration: one patient, the true regret, and where the files are."""
    trained_shown(journey.trained, console)
    console.print("\nOne new decision (SIMULATED):", markup=False)
    case_shown(journey.card, console)
    batch_shown(journey.batch, console)
    listed = ", ".join(f"{name} {value:.4f}" for name, value in journey.regret.items())
    console.print(f"true regret on the new decisions (lower is better): {listed}", markup=False)
    console.print(
        f"\nrecords     {journey.home / 'records'}\nmodel       {journey.trained.run_directory / 'model'}\n"
        f"predictions {journey.home / 'predictions'}\ncase card   {journey.home / 'case.html'}\n"
        f"review      {journey.trained.run_directory / 'review.html'}\n"
        "Everything here is simulated: a demonstration, never evidence.",
        markup=False,
    )
