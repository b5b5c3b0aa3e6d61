"""What does the review page say about trust: checks, rules, leaks, definitions, versions?"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pipeline.review.blocks import Block, Cell, Column, Section, Table, Words, columns, row
from pipeline.review.cohort_sections import modality_label
from pipeline.review.numerals import NOT_ESTIMATED, decimal, general, listed, percent
from pipeline.review.reading import count_in, list_in, mapping_in, mappings_in, number_in, text_in, texts_in
from pipeline.review.small_cells import masked_counts, masked_line
from pipeline.review.wording import CHECK_BADGES, NOT_AVAILABLE, Badge, check_badge, outcome_label, plain_name

ANCHORS: tuple[str, ...] = (
    *("checks", "cohort", "arms", "characteristics", "missingness", "missing-by", "overlap", "balance"),
    *("league", "abstention", "temporal", "calibration", "decision-curves", "subgroups", "learner", "intervals"),
    *("controls", "sensitivity", "lost-early", "stability", "shap", "trials"),
    *("rules", "statuses", "leaks", "estimands", "published", "versions"),
)
"""Sections a check may point to by its `section`."""


def plain_value(value: Any) -> str:
    """Return any value of a check as text: number, words, yes/no, or a short list."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    found = number_in(value)
    if found is not None:
        return general(found)
    if isinstance(value, float):
        return NOT_ESTIMATED
    if isinstance(value, list | tuple):
        return ", ".join(plain_value(entry) for entry in value) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{plain_name(text_in(key))} {plain_value(entry)}" for key, entry in value.items())
    return text_in(value) or "–"


def checks_section(evaluation: Mapping[str, Any], anchors: Collection[str] = ANCHORS, beyond: str = "") -> Section:
    """Return every numbered check with its result, number and threshold.

    Parameters
    ----------
    evaluation : mapping
        Holds `checks`.
    anchors : collection of str
        Sections of the page that a check may link to.
    beyond : str
        What else than its threshold a number must pass.
    """
    checks = mappings_in(evaluation.get("checks"))
    question = f"Does each number stand on the right side of its threshold{beyond}?"
    lines = []
    for place, check in enumerate(checks, start=1):
        anchor = text_in(check.get("section"))
        code, title, detail = (text_in(check.get(key)) for key in ("code", "title", "detail"))
        lines.append(
            row(
                Cell(str(place), tone="nth"),
                Cell(badge=check_badge(text_in(check.get("result")))),
                Cell(title or code, detail, "strong", anchor=anchor if anchor in anchors else ""),
                Cell(code, tone="code"),
                plain_value(check.get("value")),
                plain_value(check.get("threshold")),
            )
        )
    heads = columns(("No.", "Result", "Check", "Code", "Value", "Threshold"), numbers=("Value",))
    blocks: tuple[Block, ...] = (
        (Table("One row per check", heads, tuple(lines), stacked=True, unfolded=True),) if lines else ()
    )
    return Section("checks", "Checks", question, blocks)


def check_totals(evaluation: Mapping[str, Any]) -> tuple[tuple[Badge, int], ...]:
    """Return how many checks had each result, issues first."""
    results = [text_in(check.get("result")) for check in mappings_in(evaluation.get("checks"))]
    order = ["issue", "too_little_data", "pass", "not_applicable"]
    order += [result for result in dict.fromkeys(results) if result not in CHECK_BADGES]
    return tuple((check_badge(result), results.count(result)) for result in order if result in results)


def rules_section(evaluation: Mapping[str, Any]) -> Section:
    """Return how often each rule fired, could not decide, and took away the first choice."""
    rules = mapping_in(evaluation.get("rules"))
    firings = mappings_in(rules.get("firings"))
    question = (
        "How often do the guardrail rules speak, how often do they lack a fact, and how often do they change the order?"
    )
    if not firings:
        return Section("rules", "Guardrail rules", question)
    keys = ("fired", "undecided", "clear")
    shown = masked_counts([[count_in(entry.get(key)) for key in keys] for entry in firings], adds_up="rows")
    lines = []
    for entry, cells in zip(firings, shown, strict=True):
        removed = masked_line([count_in(entry.get("removed_first_choice"))])[0].text
        status = text_in(entry.get("status"))
        rule_id, title = text_in(entry.get("rule_id")), text_in(entry.get("title"))
        detail = " · ".join(
            part for part in (rule_id, _where(evaluation, entry), f"status: {status}" if status else "") if part
        )
        effect = Cell(plain_name(text_in(entry.get("effect"))))
        lines.append(row(Cell(title or rule_id, detail, "strong"), effect, *(cell.text for cell in cells), removed))
    labels = ("Fired", "Undecided", "Clear", "Removed the first choice")
    heads = columns(("Rule", "Effect", *labels), numbers=labels)
    total = masked_line([count_in(rules.get("decisions"))])[0].text
    caption = f"One row per rule, over {total} decisions; undecided means that a fact was missing"
    return Section("rules", "Guardrail rules", question, (Table(caption, heads, tuple(lines), stacked=True),))


def _where(evaluation: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    applies = entry.get("applies_to")
    if isinstance(applies, Mapping):
        return "applies to " + ", ".join(f"{plain_name(text_in(k))}: {plain_value(v)}" for k, v in applies.items())
    names = texts_in(applies) or ((text_in(applies),) if applies else ())
    told = listed(tuple(modality_label(evaluation, name) for name in names))
    return f"applies to {told}" if told else ""


def leaks_section(evaluation: Mapping[str, Any]) -> Section:
    """Return whether any single feature gives away which modality was chosen."""
    audit = mapping_in(evaluation.get("leak_audit"))
    question = (
        "Does any single clinical fact give away which modality was chosen? An AUC above 0.95 stops the run, "
        "above 0.80 is reported."
    )
    if not audit:
        return Section("leaks", "Leak audit", question)
    stopped, reported = list_in(audit.get("stopped")), list_in(audit.get("reported"))
    checked = count_in(audit.get("features_checked"))
    told = "Features checked: " + ("not recorded" if checked is None else f"{checked:,}")
    blocks: list[Block] = [Words(f"{told}. Stopped: {len(stopped)}. Reported: {len(reported)}.")]
    lines = [_leak_row(evaluation, entry, "stops the run") for entry in stopped]
    lines += [_leak_row(evaluation, entry, "reported") for entry in reported]
    if lines:
        heads = columns(("Feature", "Modality", "AUC", "Consequence"), numbers=("AUC",))
        blocks.append(Table("One row per feature that predicts the choice too well", heads, tuple(lines)))
    return Section("leaks", "Leak audit", question, tuple(blocks))


def _leak_row(evaluation: Mapping[str, Any], entry: Any, consequence: str) -> tuple[Cell, ...]:
    found = mapping_in(entry)
    feature = text_in(found.get("feature")) or text_in(entry)
    modality = text_in(found.get("modality"))
    label = modality_label(evaluation, modality) if modality else "–"
    return row(Cell(feature, tone="code"), label, decimal(number_in(found.get("auc"))), consequence)


def estimands_table(estimands: Any, weights: Any) -> Table | None:
    """Return what each outcome means and what it weighs in suitability; None where nothing is declared."""
    declared = {text_in(entry.get("outcome")): entry for entry in mappings_in(estimands)}
    shares = {text_in(name): number_in(weight) for name, weight in mapping_in(weights).items()}
    total = sum(weight for weight in shares.values() if weight is not None)
    lines = []
    for name in dict.fromkeys([*declared, *shares]):
        entry = declared.get(name, {})
        weight = shares.get(name)
        horizon = number_in(entry.get("horizon_months"))
        better = {"higher": "counts for", "lower": "counts against"}.get(text_in(entry.get("better")), "")
        if not better:
            better = "counts against" if name in {"severe_toxicity", "early_death", "burden"} else "counts for"
        lines.append(
            row(
                Cell(text_in(entry.get("label")) or outcome_label(name), better, "strong"),
                "–" if weight is None or total <= 0 else percent(weight / total),
                text_in(entry.get("definition")) or ("Days in hospital and on visits" if name == "burden" else "–"),
                "–" if horizon is None else f"{general(horizon)} months",
                text_in(entry.get("competing")) or "–",
            )
        )
    heads = (
        Column("Outcome"),
        Column("Weight", "number"),
        Column("Definition"),
        Column("Horizon"),
        Column("Competing events"),
    )
    return Table("One row per outcome", heads, tuple(lines), stacked=True) if lines else None


def estimands_section(evaluation: Mapping[str, Any]) -> Section:
    """Return what is predicted, and how it is weighed."""
    table = estimands_table(evaluation.get("estimands"), evaluation.get("weights"))
    question = "What exactly is predicted, until when, and how much does each outcome weigh in suitability?"
    return Section("estimands", "Outcomes and weights", question, (table,) if table else ())


def versions_section(evaluation: Mapping[str, Any]) -> Section:
    """Return which model, rules, records and software made this page."""
    facts = (
        ("Model version", "model_version"),
        ("Rule set version", "ruleset_version"),
        ("Records digest", "records_digest"),
        ("Created", "created"),
        ("Seed", "seed"),
    )
    lines = [
        row(Cell(label, tone="strong"), Cell(text_in(evaluation.get(key)) or NOT_AVAILABLE, tone="code"))
        for label, key in facts
    ]
    blocks: list[Block] = [Table("Identity of this run", columns(("What", "Value")), tuple(lines))]
    software = mapping_in(evaluation.get("software"))
    if software:
        packages = tuple(
            row(Cell(text_in(name), tone="strong"), Cell(text_in(version), tone="code"))
            for name, version in sorted(software.items())
        )
        blocks.append(Table("Software", columns(("Package", "Version")), packages))
    return Section("versions", "Versions", "Which model, rules, records and software made this page?", tuple(blocks))
