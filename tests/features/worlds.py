"""Small random histories around a decision, and what in them nobody could have seen.

A history is rows per table with day offsets from the decision (0 is the day of the decision).
Several histories stand in one database as separate people, so that one build judges many cases.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import pandas as pd

Row = dict[str, Any]
History = dict[str, list[Row]]

DAY_ZERO = dt.date(2024, 3, 10)
DATES = frozenset(
    {"birth_date", "diagnosis_date", "start_date", "end_date", "progression_date", "measured_at", "found_at"}
    | {"resolved_at", "known_at", "end_visible_at", "progression_visible_at", "resolved_visible_at"}
)
VISIBILITY = frozenset({"known_at", "end_visible_at", "progression_visible_at", "resolved_visible_at"})
LATER_CELLS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "lines": {
        "end_visible_at": ("end_date", "best_response", "end_reason", "end_visible_at"),
        "progression_visible_at": ("progression_date", "progression_visible_at"),
    },
    "drugs": {"end_visible_at": ("end_date", "end_visible_at")},
    "findings": {"resolved_visible_at": ("resolved_at", "resolved_visible_at")},
    "measurements": {},
}
"""Cells that become visible with a date of their own, by that date."""

POOLS: Mapping[str, Sequence[Any]] = {
    "code": ("creatinine", "platelets", "ferritin", "weight", "beta2_microglobulin", "m_protein_serum"),
    "finding": ("active_infection", "del17p", "caregiver", "extramedullary_disease"),
    "value": (0.5, 1.5, 2.0, 7.25, 150.0),
    "state": ("present", "absent"),
    "drug": ("bortezomib", "lenalidomide", "daratumumab", "teclistamab", "autologous_transplant", "dexamethasone"),
    "best_response": ("CR", "PR", "SD", "PD", "NE", None),
    "end_reason": ("progression", "toxicity", "completed", "unknown", None),
}


def _offset(rng: Random) -> int:
    """Return a day: mostly right around the decision, sometimes long before or well after."""
    return rng.randint(-4, 4) if rng.random() < 0.6 else rng.randint(-200, 60)


def _lag(rng: Random) -> int:
    return rng.choice((0, 0, 1, 3, 10))


def _maybe(rng: Random, day: int) -> int | None:
    return None if rng.random() < 0.3 else day


def _later(rng: Random, day: int | None, lag: int) -> int | None:
    """Return when a later date became visible: often on the very day of the decision."""
    if day is None:
        return None
    return 0 if day <= 0 and rng.random() < 0.4 else day + lag


def _measurement(rng: Random) -> Row:
    day = _offset(rng)
    values = {"code": rng.choice(POOLS["code"]), "value": rng.choice(POOLS["value"])}
    return {**values, "measured_at": day, "known_at": day + _lag(rng)}


def _finding(rng: Random) -> Row:
    day, lag = _offset(rng), _lag(rng)
    resolved = _maybe(rng, max(day, rng.randint(-6, 4)))
    return {
        "code": rng.choice(POOLS["finding"]),
        "value": rng.choice(POOLS["state"]),
        "found_at": day,
        "known_at": day + lag,
        "resolved_at": resolved,
        "resolved_visible_at": _later(rng, resolved, lag),
    }


def _line(rng: Random, number: int) -> Row:
    start, lag = (rng.randint(-4, 4) if rng.random() < 0.3 else rng.randint(-500, -20)), _lag(rng)
    end = _maybe(rng, max(start, rng.randint(-6, 4) if rng.random() < 0.6 else rng.randint(-80, 40)))
    progression = _maybe(rng, max(start, rng.randint(-6, 4) if rng.random() < 0.6 else rng.randint(-90, 40)))
    return {
        "line_number": number,
        "start_date": start,
        "known_at": start + lag,
        "end_date": end,
        "end_visible_at": _later(rng, end, lag),
        "end_reason": rng.choice(POOLS["end_reason"]),
        "best_response": rng.choice(POOLS["best_response"]),
        "progression_date": progression,
        "progression_visible_at": _later(rng, progression, lag),
    }


def _course(rng: Random) -> Row:
    start, lag = (rng.randint(-4, 4) if rng.random() < 0.3 else rng.randint(-500, -20)), _lag(rng)
    end = _maybe(rng, max(start, rng.randint(-6, 4) if rng.random() < 0.5 else rng.randint(-90, 10)))
    return {
        "drug": rng.choice(POOLS["drug"]),
        "start_date": start,
        "end_date": end,
        "line_number": rng.choice((1, 1, 2, None)),
        "known_at": start + lag,
        "end_visible_at": _later(rng, end, lag),
    }


def history(seed: int) -> History:
    """Return one person's records around one decision, decided by a seed."""
    rng = Random(seed)
    person = {"birth_date": -20_000 - rng.randint(0, 3000), "sex": rng.choice(("male", "female", None))}
    return {
        "patients": [{**person, "diagnosis_date": rng.choice((-900, -1, 0, 2, None))}],
        "lines": [_line(rng, number) for number in range(1, rng.randint(0, 2) + 1)],
        "drugs": [_course(rng) for _ in range(rng.randint(0, 3))],
        "measurements": _with_a_twin(rng, [_measurement(rng) for _ in range(rng.randint(0, 4))], "value"),
        "findings": _with_a_twin(rng, [_finding(rng) for _ in range(rng.randint(0, 3))], "state"),
    }


def _with_a_twin(rng: Random, rows: list[Row], pool: str) -> list[Row]:
    """Return the rows, often with one said twice: same day, same report, perhaps another value."""
    if rows and rng.random() < 0.4:
        rows.append({**rows[-1], "value": rng.choice(POOLS[pool])})
    return rows


def row_is_seen(row: Row) -> bool:
    """Return whether a row was known before day 0."""
    return bool(row["known_at"] < 0)


def unseen_cells(history: History, *, of_seen_rows: bool) -> list[tuple[str, int, str]]:
    """Return every cell (table, row, column) that becomes visible on day 0 or later, of seen or of unseen rows."""
    cells = []
    for table, groups in LATER_CELLS.items():
        for position, row in enumerate(history[table]):
            if not row_is_seen(row):
                cells += [(table, position, column) for column in row if not of_seen_rows]
                continue
            for visible, columns in groups.items():
                if of_seen_rows and (row[visible] is None or row[visible] >= 0):
                    cells += [(table, position, column) for column in columns]
    person = history["patients"][0]
    if of_seen_rows and (person["diagnosis_date"] is None or person["diagnosis_date"] >= 0):
        cells.append(("patients", 0, "diagnosis_date"))
    return cells


def changed(before: History, seed: int) -> History:
    """Return the history with one unseen cell changed, an unseen row deleted, or an unseen row added.

    The seed decides which; whatever it is, the change could not have been seen on day 0.
    """
    rng = Random(seed)
    pick, choice = rng.randrange(10_000), rng.randrange(10_000)
    copy = {table: [dict(row) for row in rows] for table, rows in before.items()}
    cells = unseen_cells(copy, of_seen_rows=rng.random() < 0.7)
    if not cells or choice % 7 == 0:
        day = choice % 5
        copy["measurements"].append({"code": "platelets", "value": 42.0, "measured_at": day - 3, "known_at": day})
        copy["findings"].append({"code": "del17p", "value": "present", "found_at": day - 2, "known_at": day})
        copy["drugs"].append({"drug": "teclistamab", "start_date": day - 1, "known_at": day, "line_number": 1})
        return copy
    table, position, column = cells[pick % len(cells)]
    row = copy[table][position]
    if choice % 7 == 1 and table != "patients" and not row_is_seen(row):
        del copy[table][position]
        return copy
    row[column] = _replacement(table, column, row[column], choice)
    return copy


def _replacement(table: str, column: str, old: Any, choice: int) -> Any:
    if column in VISIBILITY or column == "diagnosis_date":
        return choice % 12
    if column in DATES:
        return (
            None if choice % 5 == 0 and column not in ("measured_at", "found_at", "start_date") else choice % 240 - 200
        )
    if column == "line_number":
        return choice % 3 + 1 if table == "drugs" else choice % 3 + 7
    if table == "measurements" and column == "value":
        return float(old) * 10 + choice % 13
    pool = POOLS[{("findings", "code"): "finding", ("findings", "value"): "state"}.get((table, column), column)]
    return pool[choice % len(pool)]


def tables_of(people: Mapping[str, History], decisions: Mapping[str, Mapping[str, str]]) -> dict[str, pd.DataFrame]:
    """Return the drawn tables of several people.

    Parameters
    ----------
    people : mapping of patient id to History
    decisions : mapping of decision id to other cells
        At least `patient_id`; the date is day 0 unless `decision_date` says otherwise.
    """
    tables: dict[str, list[Row]] = {}
    for patient, history in people.items():
        for table, rows in history.items():
            for row in rows:
                tables.setdefault(table, []).append({"patient_id": patient, **_dated(row)})
    points = [{"decision_id": key, "decision_date": DAY_ZERO, **cells} for key, cells in decisions.items()]
    tables["decision_points"] = points
    return {name: pd.DataFrame(rows, dtype=object) for name, rows in tables.items()}


def _dated(row: Row) -> Row:
    return {
        name: DAY_ZERO + dt.timedelta(days=cell) if name in DATES and cell is not None else cell
        for name, cell in row.items()
    }
