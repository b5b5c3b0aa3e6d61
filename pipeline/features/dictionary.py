"""How are the features described, for people and for programs?"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from pipeline.features.spec import Feature, FeatureSpec, for_modalities
from pipeline.vocabulary import DrugCatalogue, Modality

_TYPES = {"number": "number", "boolean": "number", "category": "string"}
_KEY_FIELDS: tuple[dict[str, Any], ...] = (
    {"name": "decision_id", "type": "string", "constraints": {"required": True}, "x-meaning": "Decision"},
    {"name": "patient_id", "type": "string", "constraints": {"required": True}, "x-meaning": "Patient"},
    {
        "name": "decision_date",
        "type": "date",
        "constraints": {"required": True},
        "x-meaning": "Everything used was known before this day",
    },
    {"name": "site_id", "type": "string", "x-roles": ["propensity"], "x-meaning": "Site of the decision"},
)


def matrix_schema(spec: FeatureSpec, modalities: Iterable[Modality | str]) -> dict[str, Any]:
    """Return the table schema of the feature matrix.

    Parameters
    ----------
    spec : FeatureSpec
    modalities : iterable of Modality or str

    Returns
    -------
    dict
        A Frictionless table schema, in column order, as `data_schema/feature_matrix.yaml` holds it.
    """
    spelled = for_modalities(spec, modalities)
    fields = [dict(entry) for entry in _KEY_FIELDS] + [_field(entry) for entry in spelled.features]
    for entry in spelled.features:
        if entry.age_column is not None:
            age = {"name": entry.age_column, "type": "number", "x-unit": "days", "x-meaning": entry.age_meaning}
            fields.append(age)
    return {
        "one_row_per": ["decision_id"],
        "name": "feature_matrix",
        "x-meaning": "What was known before each decision; truth values are 1, 0 and missing. Generated from the "
        "feature specification.",
        "x-version": spec.version,
        "fields": fields,
        "primaryKey": ["decision_id"],
    }


def _field(entry: Feature) -> dict[str, Any]:
    """Return one feature as a schema field."""
    field: dict[str, Any] = {"name": entry.name, "type": _TYPES[entry.dtype]}
    if entry.dtype == "category":
        field["constraints"] = {"enum": list(entry.categories)}
    if entry.dtype == "boolean":
        field["constraints"] = {"minimum": 0, "maximum": 1}
    if not entry.may_be_missing:
        field.setdefault("constraints", {})["required"] = True
    if entry.unit is not None:
        field["x-unit"] = entry.unit
    field["x-roles"] = list(entry.roles)
    if entry.modifier:
        field["x-modifier"] = True
    field["x-meaning"] = entry.meaning
    return field


def describe(spec: FeatureSpec, drugs: DrugCatalogue, modalities: Iterable[Modality | str]) -> str:
    """Return the page that explains every feature, as Markdown.

    Parameters
    ----------
    spec : FeatureSpec
    drugs : DrugCatalogue
    modalities : iterable of Modality or str
    """
    spelled = for_modalities(spec, modalities)
    model = spelled.with_role("model")
    head = [
        "# Features",
        "",
        "Generated from `configs/features.yaml`; change that file, not this page.",
        "",
        f"{len(spelled.features)} features, of which {len(model)} enter the model and {len(spelled.modifiers)} are "
        "declared effect modifiers. One row per decision; a value is used only where its row was known, and its event "
        "had happened, before the day of the decision. Later dates of a row (end, progression, resolution) count only "
        "once they had become visible themselves; best response and reason of end come with the end.",
        "",
        "Truth values are 1, 0 or missing: *missing* is unknown, never no. Rules treat a value older than its limit as "
        "unknown and form scores anew from what is left. Race and ethnicity are not features.",
        "",
        *_how_courses_are_read(spec),
    ]
    for group, entries in groupby(spelled.features, key=lambda entry: entry.group):
        head += [f"## {group[0].upper()}{group[1:]}", ""]
        head += [
            "| feature | meaning | unit | from | window | limit for rules | used by |",
            "|---|---|---|---|---|---|---|",
        ]
        head += [_row(entry) for entry in entries]
        head.append("")
    return "\n".join([*head, *_drug_table(drugs)]) + "\n"


def _how_courses_are_read(spec: FeatureSpec) -> list[str]:
    """Return the paragraph on exposure and refractoriness."""
    rules = spec.exposure
    silent = ", ".join(
        name.replace("_", " ") for name in (*rules.non_documenting_classes, *rules.non_documenting_drugs)
    )
    single = ", ".join(name.replace("_", " ") for name in rules.single_dose_classes)
    text = (
        f"**Refractory** (version `{rules.version}`), per drug course: no response (best response SD or PD), or "
        f"progression on it or within {rules.refractory_days} days of the last dose; unknown where neither response "
        "nor progression is recorded. Of a class or target: refractory to any drug of it. A course whose end was not "
        f"visible goes on, at most to the visible end of its line or the start of the next; {single} are given once. "
        "Never had is not "
        "refractory, except where a visible line has no visible drug that tells what it was "
        f"({silent} alone do not), where line numbers leave a gap, or where nothing is on record: then what was "
        "not seen is unknown. Under the alternative definition the next line, or this decision, began within those "
        "days."
    )
    return [text, ""]


def _row(entry: Feature) -> str:
    """Return one feature as a table row."""
    source = f"{entry.kind} `{entry.source_code}`" if entry.kind in ("measurement", "finding") else entry.kind
    aggregate = "" if entry.aggregate in ("formula", "wait", entry.source_code) else f", {entry.aggregate}"
    window = f"{entry.window_days} days" if entry.window_days is not None else "any time"
    limit = f"{entry.max_age_days} days" if entry.max_age_days is not None else ""
    marks = [*entry.roles, *(["modifier"] if entry.modifier else []), *(["draft"] if entry.draft else [])]
    window = window if entry.kind in ("measurement", "finding") else ""
    cells = (f"`{entry.name}`", entry.meaning, entry.unit or "", source + aggregate, window, limit, ", ".join(marks))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _drug_table(drugs: DrugCatalogue) -> list[str]:
    """Return the drug catalogue as a table."""
    rows = ["## Drugs and classes", "", "| drug | class | target | safety classes | source |", "|---|---|---|---|---|"]
    for entry in drugs.drugs:
        safety = ", ".join(entry.safety_classes)
        rows.append(f"| {entry.drug} | {entry.drug_class} | {entry.target or ''} | {safety} | {entry.source} |")
    return rows
