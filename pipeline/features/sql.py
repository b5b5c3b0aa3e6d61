"""How does a declared feature become portable SQL?

The text uses `row_number` and `case`, strict `<` on dates, lower-case aliases and one macro,
`days_between(earlier, later)`; `MACROS` says how each engine spells it. Every query returns
one row per decision of `decisions_asked` that has something to say, keyed by `decision_key` (the
ordinal of the decision in `decision_id` order), and numbers or nulls only.

Visibility is per cell: a row is seen when its event date and its `known_at` are before the
decision; a later date of that row is seen when it and its own `*_visible_at` are. What orders
rows is itself visible, so nothing unseen can break a tie.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipeline.features.spec import Feature, FeatureSpec

MACROS = {
    "duckdb": "create or replace temp macro days_between(earlier, later) as date_diff('day', earlier, later)",
    "postgres": "create or replace function days_between(earlier date, later date) returns integer "
    "language sql immutable as 'select later - earlier'",
    "spark": "create or replace temporary function days_between(earlier date, later date) returns int "
    "return datediff(later, earlier)",
}
"""The only engine-specific text."""

ANY_TIME = 1_000_000
"""A window in days that no history exceeds."""

ASKED = "decisions_asked"
"""The decisions that a query is for, with their `decision_key`."""

POINTS = f"points as (select decision_key, decision_id, patient_id, decision_date from {ASKED})"

Rendered = tuple[str, tuple[str, ...]]
"""A query and the columns it returns after `decision_key`."""


def quoted(text: str) -> str:
    """Return an SQL text literal."""
    return "'" + text.replace("'", "''") + "'"


def listed(texts: Iterable[str]) -> str:
    """Return a parenthesised list of SQL text literals."""
    return "(" + ", ".join(quoted(text) for text in texts) + ")"


def before(*dates: str, decision: str = "d.decision_date") -> str:
    """Return the condition that every date is known and strictly before the decision."""
    return " and ".join(f"{date} < {decision}" for date in dates)


def seen_date(date: str, visible_at: str) -> str:
    """Return a date where it was visible before the decision, else null."""
    return f"case when {before(date, visible_at)} then {date} end"


def cast_columns(expressions: Sequence[tuple[str, str]]) -> str:
    """Return named select expressions, each cast to double precision."""
    return ",\n  ".join(f"cast({expression} as double precision) as {name}" for name, expression in expressions)


def patient_query(features: Sequence[Feature]) -> Rendered:
    """Render what is known of the person: age in completed years, sex, months since diagnosis.

    Birth date and sex are known at any time; a diagnosis on or after the decision is not seen.
    """
    birthday_to_come = (
        "case when extract(month from d.decision_date) < extract(month from p.birth_date) "
        "or (extract(month from d.decision_date) = extract(month from p.birth_date) "
        "and extract(day from d.decision_date) < extract(day from p.birth_date)) then 1 else 0 end"
    )
    age = (
        f"case when {before('p.birth_date')} then "
        f"extract(year from d.decision_date) - extract(year from p.birth_date) - {birthday_to_come} end"
    )
    months = (
        f"case when {before('p.diagnosis_date')} then days_between(p.diagnosis_date, d.decision_date) / 30.4375 end"
    )
    texts = {"age": age, "months_since_diagnosis": months}
    expressions = []
    for entry in features:
        if entry.aggregate == "sex":
            ranks = " ".join(f"when p.sex = {quoted(sex)} then {rank}" for rank, sex in enumerate(entry.categories))
            expressions.append((entry.name, f"case {ranks} end"))
        else:
            expressions.append((entry.name, texts[entry.aggregate]))
    text = (
        f"with {POINTS},\npeople as (select patient_id, min(birth_date) as birth_date, min(sex) as sex, "
        "min(diagnosis_date) as diagnosis_date from patients group by patient_id)\n"
        f"select d.decision_key,\n  {cast_columns(expressions)}\n"
        "from points d join people p on p.patient_id = d.patient_id"
    )
    return text, tuple(entry.name for entry in features)


def decision_query(features: Sequence[Feature]) -> Rendered:
    """Render what the decision itself says: years since 2000-01-01."""
    years = "days_between(date '2000-01-01', d.decision_date) / 365.25"
    columns = cast_columns([(entry.name, years) for entry in features])
    text = f"with {POINTS}\nselect d.decision_key,\n  {columns}\nfrom points d"
    return text, tuple(entry.name for entry in features)


def wait_query(features: Sequence[Feature]) -> Rendered:
    """Render the waiting time recorded per modality."""
    expressions = [
        (entry.name, f"max(case when c.modality = {quoted(entry.source_code)} then c.wait_days end)")
        for entry in features
    ]
    text = (
        f"with {POINTS}\nselect d.decision_key,\n  {cast_columns(expressions)}\n"
        "from points d join candidates c on c.decision_id = d.decision_id group by d.decision_key"
    )
    return text, tuple(entry.name for entry in features)


def _widest_windows(features: Sequence[Feature]) -> str:
    """Return a CTE with the widest window that any feature of a code looks through."""
    widest: dict[str, int] = {}
    for entry in features:
        widest[entry.source_code] = max(widest.get(entry.source_code, 0), entry.window_days or ANY_TIME)
    rows = ", ".join(f"({quoted(code)}, {days})" for code, days in sorted(widest.items()))
    return f"wanted as (select code, window_days from (values {rows}) as w(code, window_days))"


def _aggregates_by_window(features: Sequence[Feature]) -> dict[str, str]:
    """Return the per-code aggregates that features other than the last value need, by column name."""
    needed: dict[str, str] = {}
    for entry in features:
        days = entry.window_days or ANY_TIME
        inside = f"days_ago <= {days}"
        if entry.aggregate in ("min", "max"):
            needed[f"{entry.aggregate}_{days}"] = f"{entry.aggregate}(case when {inside} then value end)"
        elif entry.aggregate == "count":
            needed[f"count_{days}"] = f"sum(case when {inside} then 1 else 0 end)"
        elif entry.aggregate == "trend":
            usable = f"case when {inside} and value > -1000000000 and value < 1000000000 then"
            for part, term in (("n", "1"), ("x", "days_ago"), ("xx", "days_ago * days_ago"), ("y", _EXACT)):
                needed[f"trend_{part}_{days}"] = f"cast(sum({usable} {term} end) as double precision)"
            needed[f"trend_xy_{days}"] = f"cast(sum({usable} days_ago * {_EXACT} end) as double precision)"
    return needed


_EXACT = "cast(floor(value * 10000 + 0.5) as bigint)"
"""A value in ten-thousandths: sums of whole numbers do not depend on the order of rows."""


def _slope(days: int) -> str:
    """Return the least-squares slope per 30 days; time runs towards the decision, so the sign turns."""
    n, x, xx, y, xy = (f"trend_{part}_{days}" for part in ("n", "x", "xx", "y", "xy"))
    spread = f"({n} * {xx} - {x} * {x})"
    return f"case when {spread} > 0 then ({x} * {y} - {n} * {xy}) / {spread} * 30.0 / 10000.0 end"


def _measurement_expression(entry: Feature) -> str:
    days = entry.window_days or ANY_TIME
    value = {
        "last": f"case when last_days <= {days} then last_value end",
        "days_since": f"case when last_days <= {days} then last_days end",
        "trend": _slope(days),
    }.get(entry.aggregate, f"{entry.aggregate}_{days}")
    return f"max(case when code = {quoted(entry.source_code)} then {value} end)"


def measurement_query(features: Sequence[Feature]) -> Rendered:
    """Render measurements: last value and its age, extremes, counts and slopes, in one pass.

    Sums for slopes are taken over whole numbers, so they do not depend on the order of rows.
    """
    extra = _aggregates_by_window(features)
    inner = ",\n  ".join(
        [
            "max(case when recency = 1 then value end) as last_value",
            "max(case when recency = 1 then days_ago end) as last_days",
            *(f"{expression} as {name}" for name, expression in extra.items()),
        ]
    )
    outer = []
    for entry in features:
        outer.append((entry.name, _measurement_expression(entry)))
        if entry.age_column is not None:
            days = entry.window_days or ANY_TIME
            code = quoted(entry.source_code)
            outer.append((entry.age_column, f"max(case when code = {code} and last_days <= {days} then last_days end)"))
    text = (
        f"with {POINTS},\n{_widest_windows(features)},\n"
        "seen as (select d.decision_key, m.code, m.value, m.known_at,\n"
        "  days_between(m.measured_at, d.decision_date) as days_ago\n"
        "  from points d join measurements m on m.patient_id = d.patient_id\n"
        "  join wanted w on w.code = m.code\n"
        f"  where {before('m.measured_at', 'm.known_at')}\n"
        "  and days_between(m.measured_at, d.decision_date) <= w.window_days\n"
        "  and m.value > -100000000000 and m.value < 100000000000),\n"
        "ranked as (select decision_key, code, value, days_ago, row_number() over (\n"
        "  partition by decision_key, code order by days_ago, known_at desc, value desc) as recency from seen),\n"
        f"per_code as (select decision_key, code,\n  {inner}\n  from ranked group by decision_key, code)\n"
        f"select decision_key,\n  {cast_columns(outer)}\nfrom per_code group by decision_key"
    )
    return text, tuple(name for name, _ in outer)


def _finding_expression(entry: Feature) -> str:
    days = entry.window_days or ANY_TIME
    here = f"code = {quoted(entry.source_code)} and days_ago <= {days}"
    if entry.aggregate == "last":
        levels = entry.levels or {"present": 1.0, "absent": 0.0}
        ranks = " ".join(f"when state = {quoted(value)} then {number!r}" for value, number in levels.items())
        return f"max(case when {here} and recency = 1 then case {ranks} end end)"
    if entry.aggregate == "count":
        return f"count(distinct case when {here} and value = 'present' then days_ago end)"
    if entry.aggregate == "days_since":
        return f"min(case when {here} and value = 'present' then days_ago end)"
    return f"max(case when {here} and value = 'present' then 1 when {here} and value = 'absent' then 0 end)"


def finding_query(features: Sequence[Feature]) -> Rendered:
    """Render findings: the last visible answer, three-valued; a visibly resolved one is absent.

    A value that is neither declared nor `present`/`absent` is unknown, and so is a code without rows.
    A count is 0 only where the code was asked about inside its window.
    """
    outer = []
    for entry in features:
        expression = _finding_expression(entry)
        if entry.aggregate == "count":
            days = entry.window_days or ANY_TIME
            asked = f"max(case when code = {quoted(entry.source_code)} and days_ago <= {days} then 1 end)"
            expression = f"case when {asked} = 1 then {expression} end"
        outer.append((entry.name, expression))
        if entry.age_column is not None:
            days = entry.window_days or ANY_TIME
            here = f"code = {quoted(entry.source_code)} and days_ago <= {days} and recency = 1"
            outer.append((entry.age_column, f"max(case when {here} then state_days end)"))
    resolved = before("f.resolved_at", "f.resolved_visible_at")
    text = (
        f"with {POINTS},\n{_widest_windows(features)},\n"
        "seen as (select d.decision_key, f.code, f.value, f.known_at,\n"
        "  days_between(f.found_at, d.decision_date) as days_ago,\n"
        f"  case when {resolved} then 'absent' else f.value end as state,\n"
        f"  case when {resolved} then days_between(f.resolved_at, d.decision_date)\n"
        "    else days_between(f.found_at, d.decision_date) end as state_days\n"
        "  from points d join findings f on f.patient_id = d.patient_id\n"
        "  join wanted w on w.code = f.code\n"
        f"  where {before('f.found_at', 'f.known_at')}\n"
        "  and days_between(f.found_at, d.decision_date) <= w.window_days),\n"
        "ranked as (select decision_key, code, value, days_ago, state, state_days, row_number() over (\n"
        "  partition by decision_key, code order by days_ago, known_at desc, state desc, state_days) as recency\n"
        "  from seen)\n"
        f"select decision_key,\n  {cast_columns(outer)}\nfrom ranked group by decision_key"
    )
    return text, tuple(name for name, _ in outer)


def queries(spec: FeatureSpec) -> dict[str, Rendered]:
    """Return the rendered query of each kind of feature that reads one table, by kind."""
    renderers = {
        "patient": patient_query,
        "decision": decision_query,
        "measurement": measurement_query,
        "finding": finding_query,
        "wait": wait_query,
    }
    return {kind: render(spec.of_kind(kind)) for kind, render in renderers.items() if spec.of_kind(kind)}
