"""What has this person had, when was the last dose, and did the disease come through it?

Truth has three values, coded so that `max` is the three-valued `or`: 2 true, 1 unknown, 0 false.
A drug course is judged by its own dates, its line's response and the progressions of the person.
A line without a drug that tells what it was makes everything not seen unknown, not absent.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.features.spec import ExposureRules, Feature, FeatureSpec, RefractoryDefinition
from pipeline.features.sql import POINTS, Rendered, before, cast_columns, listed, quoted, seen_date
from pipeline.vocabulary import DrugCatalogue

RESPONSES = {"PD": 0, "SD": 1, "MR": 2, "PR": 3, "VGPR": 4, "CR": 5, "sCR": 6}
"""Best response as a number, worst to best; NE is unknown."""

_NOT_PROGRESSION = ("toxicity", "completed", "patient_choice", "other")
_LONG_AGO = "date '1800-01-01'"


def _line_tables() -> str:
    """Return CTEs of what could be seen of lines: the lines, the progressions, and the last line."""
    end_seen = before("l.end_date", "l.end_visible_at")
    latest = (
        "start_date desc, line_number desc, "
        f"coalesce(end_seen, {_LONG_AGO}) desc, coalesce(progression_seen, {_LONG_AGO}) desc, "
        "coalesce(response_seen, '') desc, coalesce(reason_seen, '') desc"
    )
    return (
        "seen_lines as (select distinct d.decision_key, d.decision_date, l.line_number, l.start_date,\n"
        f"  {seen_date('l.end_date', 'l.end_visible_at')} as end_seen,\n"
        f"  case when {end_seen} then l.best_response end as response_seen,\n"
        f"  case when {end_seen} then l.end_reason end as reason_seen,\n"
        f"  {seen_date('l.progression_date', 'l.progression_visible_at')} as progression_seen\n"
        "  from points d join lines l on l.patient_id = d.patient_id\n"
        f"  where {before('l.start_date', 'l.known_at')}),\n"
        "progressions as (\n"
        "  select decision_key, line_number, progression_seen as progressed_on from seen_lines\n"
        "  where progression_seen is not null\n"
        "  union select decision_key, line_number, end_seen as progressed_on from seen_lines\n"
        "  where reason_seen = 'progression'),\n"
        "ranked_lines as (select s.*,\n"
        f"  row_number() over (partition by decision_key order by {latest}) as recency,\n"
        f"  lag(start_date) over (partition by decision_key order by {latest}) as next_start from seen_lines s)"
    )


def _catalogue_table(drugs: DrugCatalogue, rules: ExposureRules) -> str:
    """Return a CTE of the drug catalogue, with how each drug is read."""
    rows = []
    for entry in sorted(drugs.drugs, key=lambda drug: drug.drug):
        documents = (
            entry.antimyeloma
            and entry.drug_class not in rules.non_documenting_classes
            and entry.drug not in rules.non_documenting_drugs
        )
        single = entry.drug_class in rules.single_dose_classes
        flags = f"{int(entry.antimyeloma)}, {int(documents)}, {int(single)}"
        rows.append(f"({quoted(entry.drug)}, {quoted(entry.drug_class)}, {quoted(entry.target or '')}, {flags})")
    columns = "drug, drug_class, target, antimyeloma, documents, single_dose"
    return f"catalogue as (select {columns} from (values {', '.join(rows)}) as k({columns}))"


def _course_tables(rules: ExposureRules) -> str:
    """Return CTEs of visible drug courses, each linked to at most one line, with its last dose.

    A course that names a line belongs to it; otherwise to the latest line that had begun and was not
    seen to have ended. The last dose is the visible end; else the course goes on, at most to the visible end
    of its line or the start of the next.
    """
    by_number = "c.line_number is not null and l.line_number = c.line_number"
    by_date = (
        "c.line_number is null and l.start_date <= c.start_date and (l.end_seen is null or l.end_seen >= c.start_date)"
    )
    course = "c.decision_key, c.drug, c.start_date, c.end_seen, c.line_number"
    latest = (
        f"l.start_date desc, coalesce(l.end_seen, {_LONG_AGO}) desc, coalesce(l.response_seen, '') desc, l.line_number"
    )
    return (
        "courses as (select distinct d.decision_key, d.decision_date, c.drug, c.start_date, c.line_number,\n"
        f"  {seen_date('c.end_date', 'c.end_visible_at')} as end_seen\n"
        "  from points d join drugs c on c.patient_id = d.patient_id\n"
        f"  where {before('c.start_date', 'c.known_at')}),\n"
        "linked as (select c.*, l.line_number as of_line, l.start_date as line_start,\n"
        "  coalesce(l.end_seen, nullif(l.next_start, l.start_date)) as line_end, l.response_seen, row_number() over (\n"
        f"  partition by {course} order by {latest}) as choice\n"
        "  from courses c left join ranked_lines l on l.decision_key = c.decision_key\n"
        f"  and (({by_number}) or ({by_date}))),\n"
        "dosed as (select c.decision_key, c.decision_date, c.drug, c.start_date, c.line_number, c.end_seen,\n"
        "  c.of_line, coalesce(c.line_start, c.start_date) as line_start, c.response_seen,\n"
        "  coalesce(k.drug_class, 'other') as drug_class, coalesce(k.target, '') as target,\n"
        "  coalesce(k.antimyeloma, 0) as antimyeloma, coalesce(k.documents, 0) as documents,\n"
        "  case when k.single_dose = 1 then c.start_date when c.end_seen is not null then c.end_seen\n"
        "    when c.line_end >= c.start_date then c.line_end end as last_dose\n"
        "  from linked c left join catalogue k on k.drug = c.drug where c.choice = 1)"
    )


def _judged_table(rules: ExposureRules, definition: RefractoryDefinition) -> str:
    """Return the CTE that judges each course: 2 refractory, 1 unknown, 0 not.

    `imwg`: no response, or progression on it or within the declared days of the last dose; unknown where
    neither response nor progression is recorded. `next_line`: the next line, or this decision, began
    on it or within those days.
    """
    days = rules.refractory_days
    course = (
        "c.decision_key, c.decision_date, c.drug, c.drug_class, c.target, c.antimyeloma, c.documents, c.start_date, "
        "c.line_number, c.end_seen, c.of_line, c.line_start, c.response_seen, c.last_dose"
    )
    if definition == "next_line":
        soon = f"(c.last_dose is null or days_between(c.last_dose, n.start_date) <= {days})"
        due = f"c.last_dose is null or days_between(c.last_dose, c.decision_date) <= {days}"
        followed = f"max(case when n.start_date is not null and {soon} then 1 else 0 end) = 1"
        state = f"case when {followed} or {due} then 2 else 0 end"
        joined = "left join seen_lines n on n.decision_key = c.decision_key and n.start_date > c.line_start"
    else:
        later = "p.progressed_on >= c.start_date"
        soon = f"{later} and (c.last_dose is null or days_between(c.last_dose, p.progressed_on) <= {days})"
        recorded = "c.response_seen in " + listed(name for name in RESPONSES if name not in ("SD", "PD"))
        own = f"{later} and p.line_number = c.of_line"
        state = (
            f"case when max(case when {soon} then 1 else 0 end) = 1 or c.response_seen in ('SD', 'PD') then 2\n"
            f"    when max(case when {own} then 1 else 0 end) = 1 or {recorded} then 0 else 1 end"
        )
        joined = "left join progressions p on p.decision_key = c.decision_key"
    return (
        f"judged as (select {course},\n  {state} as refractory_state,\n"
        "  case when c.last_dose is null then 0 else days_between(c.last_dose, c.decision_date) end as days_ago\n"
        f"  from dosed c {joined}\n  group by {course})"
    )


def _documented_table() -> str:
    """Return the CTE that says, per decision, whether some earlier treatment is not documented.

    So it is when a visible line has no visible course of a telling drug, when line numbers
    leave a gap, or when nothing at all was seen.
    """
    return (
        "line_documents as (select s.decision_key, s.line_number, max(coalesce(c.documents, 0)) as documented\n"
        "  from seen_lines s left join judged c on c.decision_key = s.decision_key and c.of_line = s.line_number\n"
        "  group by s.decision_key, s.line_number),\n"
        "line_gaps as (select decision_key, count(line_number) as seen, max(line_number) as highest,\n"
        "  min(documented) as all_documented from line_documents group by decision_key),\n"
        "course_counts as (select decision_key, count(drug) as seen from courses group by decision_key),\n"
        "gaps as (select d.decision_key, case when g.all_documented = 0 or g.highest > g.seen\n"
        "    or (g.seen is null and n.seen is null) then 1 else 0 end as undocumented\n"
        "  from points d left join line_gaps g on g.decision_key = d.decision_key\n"
        "  left join course_counts n on n.decision_key = d.decision_key)"
    )


def _course_match(entry: Feature) -> str:
    """Return the condition that a course counts for a feature: any of its drugs, classes or target."""
    parts = []
    if entry.drugs:
        parts.append(f"c.drug in {listed(entry.drugs)}")
    if entry.classes:
        parts.append(f"c.drug_class in {listed(entry.classes)}")
    if entry.target is not None:
        parts.append(f"c.target = {quoted(entry.target)}")
    return "(" + " or ".join(parts) + ")"


def _course_expression(entry: Feature) -> str:
    match = _course_match(entry)
    if entry.aggregate == "days_since":
        return f"min(case when {match} then c.days_ago end)"
    if entry.aggregate == "count":
        counted = f"count(distinct case when {match} and c.antimyeloma = 1 then c.drug end)"
        return f"case when g.undocumented = 0 then {counted} end"
    if entry.aggregate == "exposed":
        state = f"max(case when {match} then 2 else 0 end)"
        return f"case when {state} = 2 then 1 when g.undocumented = 0 then 0 end"
    state = f"coalesce(max(case when {match} then c.refractory_state end), 0)"
    return f"case when {state} = 2 then 1 when {state} = 0 and g.undocumented = 0 then 0 end"


def course_query(
    features: Sequence[Feature], spec: FeatureSpec, drugs: DrugCatalogue, definition: RefractoryDefinition
) -> Rendered:
    """Render exposure, refractoriness and time since the last dose, per drug, class and target."""
    outer = [(entry.name, _course_expression(entry)) for entry in features]
    text = (
        f"with {POINTS},\n{_line_tables()},\n{_catalogue_table(drugs, spec.exposure)},\n"
        f"{_course_tables(spec.exposure)},\n{_judged_table(spec.exposure, definition)},\n{_documented_table()}\n"
        f"select g.decision_key,\n  {cast_columns(outer)}\n"
        "from gaps g left join judged c on c.decision_key = g.decision_key group by g.decision_key, g.undocumented"
    )
    return text, tuple(name for name, _ in outer)


def _last_line_expression(entry: Feature) -> str:
    """Return an expression over the last visible line."""
    if entry.aggregate == "duration":
        return "max(case when s.recency = 1 then days_between(s.start_date, coalesce(s.end_seen, s.decision_date)) end)"
    if entry.aggregate == "response":
        ranks = " ".join(f"when s.response_seen = {quoted(name)} then {rank}" for name, rank in RESPONSES.items())
        return f"max(case when s.recency = 1 then case {ranks} end end)"
    progressed = "s.progression_seen is not null or s.reason_seen = 'progression' or s.response_seen = 'PD'"
    ended_otherwise = f"s.reason_seen in {listed(_NOT_PROGRESSION)}"
    return f"max(case when s.recency = 1 then case when {progressed} then 1 when {ended_otherwise} then 0 end end)"


def _progression_within(entry: Feature) -> str:
    """Return a three-valued expression: progression within some days of the first line or first transplant.

    True where any progression falls inside; false where the line's own progression is recorded and
    none does (or there was no transplant); unknown otherwise.
    """
    anchor = entry.source_code
    inside = f"max(a.{anchor}_soonest) <= {entry.within_days}"
    no_anchor = " when max(a.no_transplant) = 1 then 0" if anchor == "first_transplant" else ""
    return f"case when {inside} then 1 when max(a.{anchor}_recorded) = 1 then 0{no_anchor} end"


def _anchor_tables() -> str:
    """Return CTEs of the days from first-line start, and from the first transplant, to progression."""

    def days_to(anchor: str) -> str:
        later = f"p.progressed_on >= a.{anchor}"
        return (
            f"  min(case when {later} then days_between(a.{anchor}, p.progressed_on) end) as {anchor}_soonest,\n"
            f"  max(case when {later} and p.line_number = a.{anchor}_line then 1 else 0 end) as {anchor}_recorded"
        )

    return (
        "transplants as (select decision_key, start_date, of_line, row_number() over (\n"
        "  partition by decision_key order by start_date, coalesce(of_line, 0)) as ordinal\n"
        "  from judged where drug = 'autologous_transplant'),\n"
        "anchored as (select g.decision_key, min(s.start_date) as first_line, min(s.line_number) as first_line_line,\n"
        "  min(t.start_date) as first_transplant, min(t.of_line) as first_transplant_line,\n"
        "  max(case when t.start_date is null and g.undocumented = 0 then 1 else 0 end) as no_transplant\n"
        "  from gaps g left join seen_lines s on s.decision_key = g.decision_key and s.line_number = 1\n"
        "  left join transplants t on t.decision_key = g.decision_key and t.ordinal = 1 group by g.decision_key),\n"
        "anchors as (select a.decision_key, max(a.no_transplant) as no_transplant,\n"
        f"{days_to('first_line')},\n{days_to('first_transplant')}\n"
        "  from anchored a left join progressions p on p.decision_key = a.decision_key group by a.decision_key)"
    )


def line_query(features: Sequence[Feature], spec: FeatureSpec, drugs: DrugCatalogue) -> Rendered:
    """Render prior lines: their number, the last one's course and how soon the disease came back."""
    outer = []
    for entry in features:
        if entry.aggregate == "count":
            expression = "case when count(s.line_number) > 0 then count(distinct s.line_number) end"
        elif entry.aggregate == "progression_within":
            expression = _progression_within(entry)
        else:
            expression = _last_line_expression(entry)
        outer.append((entry.name, expression))
    text = (
        f"with {POINTS},\n{_line_tables()},\n{_catalogue_table(drugs, spec.exposure)},\n"
        f"{_course_tables(spec.exposure)},\n{_judged_table(spec.exposure, 'imwg')},\n{_documented_table()},\n"
        f"{_anchor_tables()}\n"
        f"select a.decision_key,\n  {cast_columns(outer)}\n"
        "from anchors a left join ranked_lines s on s.decision_key = a.decision_key group by a.decision_key"
    )
    return text, tuple(name for name, _ in outer)
