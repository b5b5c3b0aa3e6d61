"""What does a source leave unsaid that its drug courses tell: lines, decisions, next treatments, contact?

The steps read and write text tables, so what they make goes through the same checks as what was read.
"""

from __future__ import annotations

import duckdb

from pipeline.records.mapping import Notes, count_of
from pipeline.records.source import (
    ContactThroughDrugs,
    DecisionsFromLines,
    DrugsUntilDeath,
    LinesFromDrugs,
    NextTreatmentFromLines,
    Source,
)
from pipeline.schema import Step
from pipeline.schema.checks import finding
from pipeline.schema.sql import literal

_COURSES = (
    "SELECT row_ordinal, patient_id, lower(drug) AS drug, TRY_CAST(line_number AS BIGINT) AS line_number, "
    "TRY_CAST(start_date AS DATE) AS start_date, TRY_CAST(end_date AS DATE) AS end_date FROM text_drugs"
)
_LINES = (
    "SELECT row_ordinal, patient_id, TRY_CAST(line_number AS BIGINT) AS line_number, "
    "TRY_CAST(start_date AS DATE) AS start_date FROM text_lines"
)
_IN_ORDER = (
    f"SELECT *, coalesce(start_date > max(start_date) OVER (PARTITION BY patient_id ORDER BY line_number "
    f"ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), true) AS in_order FROM ({_LINES}) "
    f"WHERE start_date IS NOT NULL AND line_number IS NOT NULL"
)
_DEATHS = (
    "SELECT patient_id, min(TRY_CAST(event_date AS DATE)) AS death_date FROM text_events "
    "WHERE event = 'death' GROUP BY patient_id"
)


def drugs_until_death(connection: duckdb.DuckDBPyConnection, step: DrugsUntilDeath, notes: Notes) -> None:
    """Set aside drug courses that start after the recorded death."""
    before = count_of(connection, "text_drugs")
    connection.execute(
        f"DELETE FROM text_drugs USING ({_DEATHS}) AS deaths WHERE text_drugs.patient_id = deaths.patient_id "
        "AND TRY_CAST(text_drugs.start_date AS DATE) > deaths.death_date"
    )
    after = count_of(connection, "text_drugs")
    notes.attrition.append(Step(step=f"drugs: {step.step}", rows_in=before, rows_out=after, reason="start after death"))


def lines_from_drugs(connection: duckdb.DuckDBPyConnection, step: LinesFromDrugs, notes: Notes) -> None:
    """Make `text_lines` from the line numbers of the courses; same-day lines become one, the lower-numbered."""
    dated = "line_number IS NOT NULL AND start_date IS NOT NULL"
    courses = count_of(connection, "text_drugs")
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE line_starts AS SELECT *, min(line_number) "
        "OVER (PARTITION BY patient_id, start_date) AS kept_number "
        f"FROM (SELECT patient_id, line_number, min(start_date) AS start_date FROM ({_COURSES}) "
        f"WHERE {dated} GROUP BY patient_id, line_number)"
    )
    numbered = count_of(connection, "line_starts")
    reason = "one line per patient and line number of the courses"
    notes.attrition.append(Step(step=f"lines: {step.step}", rows_in=courses, rows_out=numbered, reason=reason))
    connection.execute(
        "UPDATE text_drugs SET line_number = CAST(starts.kept_number AS VARCHAR) FROM line_starts AS starts "
        "WHERE starts.kept_number <> starts.line_number AND text_drugs.patient_id = starts.patient_id "
        "AND TRY_CAST(text_drugs.line_number AS BIGINT) = starts.line_number"
    )
    connection.execute("DROP TABLE line_starts")
    connection.execute(
        "INSERT INTO text_lines (row_ordinal, patient_id, line_number, start_date, end_date) "
        "SELECT row_number() OVER (ORDER BY patient_id, line_number), patient_id, CAST(line_number AS VARCHAR), "
        "CAST(min(start_date) AS VARCHAR), "
        "CAST(CASE WHEN count(end_date) = count(*) THEN max(end_date) END AS VARCHAR) "
        f"FROM ({_COURSES}) WHERE {dated} GROUP BY patient_id, line_number"
    )
    lines = count_of(connection, "text_lines")
    reason = "lines of one patient that start on the same day are one choice; the lower number is kept"
    notes.attrition.append(Step(step="lines: same day", rows_in=numbered, rows_out=lines, reason=reason))
    _note_lines(connection, lines, notes)


def _note_lines(connection: duckdb.DuckDBPyConnection, lines: int, notes: Notes) -> None:
    """Note lines without an end, and lines that start before a lower-numbered one."""
    open_lines = count_of(connection, "text_lines", "end_date IS NULL")
    if open_lines:
        words = "have a course without an end, so the line has none either. Add end dates where they are known."
        notes.findings.append(finding("info", "lines", "end_date", "open_line", (open_lines, lines), None, words))
    query = f"SELECT count(*), min(row_ordinal, 5) FROM ({_IN_ORDER}) WHERE NOT in_order"
    count, ordinals = connection.execute(query).fetchall()[0]
    if count:
        words = "start before a lower-numbered line; no decision is made from them. Mend the numbers or the dates."
        counts = (int(count), lines)
        notes.findings.append(finding("warning", "lines", "start_date", "line_order", counts, ordinals, words))


def contact_through_drugs(connection: duckdb.DuckDBPyConnection, step: ContactThroughDrugs, notes: Notes) -> None:
    """Move `last_contact` to the latest dated dose where that is later, and add it where there is none."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE doses AS SELECT patient_id, "
        "max(greatest(start_date, coalesce(end_date, start_date))) "
        f"AS dose_date FROM ({_COURSES}) GROUP BY patient_id HAVING dose_date IS NOT NULL"
    )
    contacts = count_of(connection, "text_events", "event = 'last_contact'")
    later = (
        "event = 'last_contact' AND text_events.patient_id = doses.patient_id "
        "AND TRY_CAST(event_date AS DATE) < doses.dose_date"
    )
    query = f"SELECT count(*), min(row_ordinal, 5) FROM text_events JOIN doses ON {later}"
    moved, ordinals = connection.execute(query).fetchall()[0]
    connection.execute(f"UPDATE text_events SET event_date = CAST(doses.dose_date AS VARCHAR) FROM doses WHERE {later}")
    if moved:
        words = "lie before a recorded dose; they are moved to that dose, which proves contact."
        counts = (int(moved), contacts)
        notes.findings.append(finding("warning", "events", "event_date", "repaired", counts, ordinals, words))
    connection.execute(
        "INSERT INTO text_events (row_ordinal, patient_id, event, event_date) SELECT 0, patient_id, 'last_contact', "
        "CAST(dose_date AS VARCHAR) FROM doses ANTI JOIN "
        "(SELECT patient_id FROM text_events WHERE event IN ('last_contact', 'death')) AS seen USING (patient_id)"
    )
    added = count_of(connection, "text_events", "event = 'last_contact'") - contacts
    connection.execute("DROP TABLE doses")
    notes.attrition.append(
        Step(
            step=f"events: {step.step}",
            rows_in=contacts,
            rows_out=contacts + added,
            reason="last contact taken from the latest dose where there was none",
        )
    )


def next_treatment_from_lines(
    connection: duckdb.DuckDBPyConnection, step: NextTreatmentFromLines, notes: Notes
) -> None:
    """Add a `next_treatment` event at the start of each later line."""
    before = count_of(connection, "text_events")
    connection.execute(
        "INSERT INTO text_events (row_ordinal, patient_id, event, event_date) "
        "SELECT row_ordinal, patient_id, 'next_treatment', CAST(start_date AS VARCHAR) "
        f"FROM ({_IN_ORDER}) WHERE in_order AND line_number >= {step.first_line}"
    )
    after = count_of(connection, "text_events")
    reason = f"each start of line {step.first_line} or later is a next treatment"
    notes.attrition.append(Step(step=f"events: {step.step}", rows_in=before, rows_out=after, reason=reason))


def decisions_from_lines(connection: duckdb.DuckDBPyConnection, step: DecisionsFromLines, notes: Notes) -> None:
    """Make `text_decisions` from line starts, the modality by the first rule that the line's drugs meet."""
    window = (
        "true"
        if step.drugs_within_days is None
        else (f"courses.start_date <= lines.start_date + {step.drugs_within_days}")
    )
    branches = []
    for rule in step.modality_rules:
        listed = ", ".join(literal(name) for name in rule.any_of)
        condition = f"coalesce(bool_or(courses.drug IN ({listed})), false)" if rule.any_of else "true"
        branches.append(f"WHEN {condition} THEN {literal(rule.modality)}")
    connection.execute(
        "INSERT INTO text_decisions (row_ordinal, decision_id, patient_id, decision_date, modality, "
        "treatment_start_date, provenance) "
        "SELECT lines.row_ordinal, lines.patient_id || ':L' || lines.line_number, lines.patient_id, "
        "CAST(lines.start_date AS VARCHAR), "
        f"CASE {' '.join(branches)} END, CAST(lines.start_date AS VARCHAR), 'derived' "
        f"FROM ({_IN_ORDER}) AS lines LEFT JOIN ({_COURSES}) AS courses ON courses.patient_id = lines.patient_id "
        f"AND courses.line_number = lines.line_number AND {window} "
        f"WHERE lines.in_order AND lines.line_number >= {step.first_line} "
        "GROUP BY lines.row_ordinal, lines.patient_id, lines.line_number, lines.start_date"
    )
    lines = count_of(connection, "text_lines")
    later = count_of(connection, "text_lines", f"TRY_CAST(line_number AS BIGINT) >= {step.first_line}")
    decided = count_of(connection, "text_decisions")
    reason = f"only starts of line {step.first_line} or later are decisions"
    notes.attrition.append(Step(step=f"decisions: {step.step}", rows_in=lines, rows_out=later, reason=reason))
    reason = "no decision where a line starts before a lower-numbered one or has no start"
    notes.attrition.append(Step(step="decisions: line order", rows_in=later, rows_out=decided, reason=reason))


def derive(connection: duckdb.DuckDBPyConnection, source: Source, notes: Notes) -> None:
    """Run the source's named steps, in order.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Holds the text tables.
    source : Source
    notes : Notes
        What each step dropped, added or repaired.
    """
    for step in source.derive:
        match step:
            case DrugsUntilDeath():
                drugs_until_death(connection, step, notes)
            case LinesFromDrugs():
                lines_from_drugs(connection, step, notes)
            case ContactThroughDrugs():
                contact_through_drugs(connection, step, notes)
            case NextTreatmentFromLines():
                next_treatment_from_lines(connection, step, notes)
            case DecisionsFromLines():
                decisions_from_lines(connection, step, notes)
