"""What is different between a champion and its challenger, down to the cases that flip?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.advice import Advice
from pipeline.explain import AVERAGE_DIFFERENCE, Explanation
from pipeline.ranker import Standing, display_order

Array = npt.NDArray[np.float64]

NOBODY = "none"
"""The first place where no modality has a rank."""

FLIP_COLUMNS = (
    *("decision_id", "old_first", "new_first", "old_was_clear", "new_is_clear"),
    *("old_suitability_of_old_first", "old_suitability_of_new_first"),
    *("new_suitability_of_old_first", "new_suitability_of_new_first", "top_reason", "top_reason_change"),
)
_RANKED = ("ranked", "tied")
_ABSENT = "not there"


def changed_keys(old: Any, new: Any, key: str = "") -> list[dict[str, str]]:
    """Return the settings that differ, one entry per leaf, as text.

    Parameters
    ----------
    old, new : parsed YAML
    key : str
        Path so far, with dots.

    Returns
    -------
    list of dict
        `key, old, new`; `not there` where one side lacks it.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        names = list(dict.fromkeys([*old, *new]))
        found = []
        for name in names:
            path = f"{key}.{name}" if key else str(name)
            found += changed_keys(old.get(name, _ABSENT), new.get(name, _ABSENT), path)
        return found
    return [] if old == new else [{"key": key, "old": _as_text(old), "new": _as_text(new)}]


def _as_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_as_text(entry)}" for name, entry in value.items())
    return ", ".join(map(_as_text, value)) if isinstance(value, list) else str(value)


def changed_names(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return which names were added, removed, or mean something else, each sorted.

    Parameters
    ----------
    old, new : mapping of name to anything that can be compared
    """
    return {
        "added": sorted(set(new) - set(old)),
        "removed": sorted(set(old) - set(new)),
        "changed": sorted(name for name in set(old) & set(new) if old[name] != new[name]),
    }


def changed_checks(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the checks whose result differs; one that a side does not know is `not there`."""
    before, after = ({str(check["code"]): check for check in checks} for checks in (old, new))
    found = []
    for code in sorted({*before, *after}):
        results = [str(side[code]["result"]) if code in side else _ABSENT for side in (before, after)]
        if results[0] != results[1]:
            title = (after.get(code) or before[code])["title"]
            found.append({"code": code, "title": title, "old": results[0], "new": results[1]})
    return found


def metrics(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return figures of two evaluations side by side: `label, old, new, se` (of the newer value, or None).

    Parameters
    ----------
    old, new : mapping
        Two evaluation.json; older ones may lack parts.
    """
    before, after = _figures(old), _figures(new)
    return [
        {"label": label, "old": before.get(label, (None, None))[0], "new": after.get(label, (None, None))[0]}
        | {"se": after.get(label, (None, None))[1]}
        for label in dict.fromkeys([*before, *after])
    ]


def _figures(evaluation: Mapping[str, Any]) -> dict[str, tuple[float | None, float | None]]:
    model: Mapping[str, Any] = next((row for row in evaluation.get("league", ()) if row["policy"] == "model"), {})
    learner, student = evaluation.get("learner", {}), evaluation.get("learner", {}).get("student", {})
    found = {
        "Value of the model's choices": (model.get("value"), model.get("se")),
        "Better than clinicians by": (model.get("difference"), model.get("difference_se")),
        "Individual differences kept": (learner.get("shrinkage"), learner.get("shrinkage_se")),
        "Students: same first choice": (student.get("top_choice_agreement"), None),
        "Intervals widened": (evaluation.get("intervals", {}).get("scale"), None),
        "Checks with an issue": (float(_issues(evaluation)), None),
    }
    for row in evaluation.get("discrimination", ()):
        found[f"C-index, {row['outcome'].replace('_', ' ')}"] = (row.get("model"), None)
    return found


def _issues(evaluation: Mapping[str, Any]) -> int:
    return sum(check["result"] == "issue" for check in evaluation.get("checks", ()))


def first_places(standing: Standing) -> list[str]:
    """Return the modality displayed first for each decision; `none` where nothing has a rank."""
    top = display_order(standing)[:, 0]
    rows = np.arange(len(top))
    ranked = np.isin(standing.status[rows, top], _RANKED)
    return [standing.modalities[k] if is_ranked else NOBODY for k, is_ranked in zip(top, ranked, strict=True)]


def compared(old: Advice, new: Advice) -> pd.DataFrame:
    """Return both first places of each decision, their suitabilities and why they differ.

    Parameters
    ----------
    old, new : Advice
        Of the same decisions in the same order; modalities and features may differ.

    Returns
    -------
    DataFrame, one row per decision
        `FLIP_COLUMNS`; `top_reason` is empty where the first place is the same.
    """
    firsts = list(zip(first_places(old.standing), first_places(new.standing), strict=True))
    rows = []
    for i, (was, now) in enumerate(firsts):
        reason, change = _why(i, was, now, old, new) if was != now else ("", None)
        rows.append(
            {
                "decision_id": old.standing.decisions[i],
                "old_first": was,
                "new_first": now,
                "old_was_clear": _status(old.standing, i, was) == "ranked",
                "new_is_clear": _status(new.standing, i, now) == "ranked",
                "old_suitability_of_old_first": _suitability(old.standing, i, was),
                "old_suitability_of_new_first": _suitability(old.standing, i, now),
                "new_suitability_of_old_first": _suitability(new.standing, i, was),
                "new_suitability_of_new_first": _suitability(new.standing, i, now),
                "top_reason": reason,
                "top_reason_change": change,
            }
        )
    return pd.DataFrame(rows, columns=list(FLIP_COLUMNS))


def _status(standing: Standing, row: int, modality: str) -> str:
    if modality not in standing.modalities:
        return _ABSENT
    return str(standing.status[row, standing.modalities.index(modality)])


def _suitability(standing: Standing, row: int, modality: str) -> float | None:
    if modality not in standing.modalities:
        return None
    value = float(standing.suitability[row, standing.modalities.index(modality)])
    return None if np.isnan(value) else value


def _why(row: int, was: str, now: str, old: Advice, new: Advice) -> tuple[str, float | None]:
    """Return the status that took or gave the first place, or the item that moved the gap most towards the flip."""
    lost, gained = _status(new.standing, row, was), _status(old.standing, row, now)
    if was != NOBODY and lost not in _RANKED:
        return f"{was} is now {lost.replace('_', ' ')}", None
    if now != NOBODY and gained not in _RANKED:
        return f"{now} was {gained.replace('_', ' ')}", None
    if NOBODY in (was, now):
        return "status", None
    before, after = (_gap(side.explanation, side.standing, row, now, was) for side in (old, new))
    change = {name: after.get(name, 0.0) - before.get(name, 0.0) for name in dict.fromkeys([*before, *after])}
    top = max(change, key=lambda name: change[name])
    return (top, change[top]) if change[top] > 0 else ("interval", None)


def _gap(explanation: Explanation, standing: Standing, row: int, first: str, second: str) -> dict[str, float]:
    """Return what each fact adds to the difference of two modalities."""
    a, b = standing.modalities.index(first), standing.modalities.index(second)
    items = explanation.contributions[row, a] - explanation.contributions[row, b]
    average = float(explanation.baseline[row, a] - explanation.baseline[row, b])
    return {AVERAGE_DIFFERENCE: average, **dict(zip(explanation.names, map(float, items), strict=True))}


def flips(table: pd.DataFrame, modalities: Sequence[str]) -> dict[str, Any]:
    """Return how many decisions have another first place, from where to where, and why: counts only.

    Parameters
    ----------
    table : DataFrame
        As `compared` returns it.
    modalities : sequence of str
        Of either model, in order.

    Returns
    -------
    dict
        `decisions, flipped, clear_both` (first place clear by both), `clear_flipped` (of these, flipped), `places`,
        `matrix` (rows: old first, columns: new first), `reasons` (reason and count, most first).
    """
    places = [*modalities, NOBODY]
    is_flipped = (table["old_first"] != table["new_first"]).to_numpy()
    clear = (table["old_was_clear"] & table["new_is_clear"]).to_numpy(dtype=bool)
    counts = pd.crosstab(table["old_first"], table["new_first"]).reindex(index=places, columns=places, fill_value=0)
    told = Counter(str(reason) for reason in table.loc[is_flipped, "top_reason"])
    return {
        "decisions": len(table),
        "flipped": int(is_flipped.sum()),
        "clear_both": int(clear.sum()),
        "clear_flipped": int((clear & is_flipped).sum()),
        "places": places,
        "matrix": counts.to_numpy().tolist(),
        "reasons": [
            {"reason": name, "count": count}
            for name, count in sorted(told.items(), key=lambda entry: (-entry[1], entry[0]))
        ],
    }
