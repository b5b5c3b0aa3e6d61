"""Does the model serve each group of people: age, sex, race, kidney function, frailty, cytogenetic risk, site?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import t as student

from pipeline.config import GateConfig
from pipeline.evaluate.calibration import in_the_large
from pipeline.evaluate.censoring import concordance, followed
from pipeline.evaluate.decision_curves import arm_weights
from pipeline.evaluate.league import some_rows, summary_of_few
from pipeline.evaluate.small_counts import hidden_cells, share_bounds, writable_counts
from pipeline.learners import Evidence, Target
from pipeline.learners.policy_value import Z90, Logged, PolicyValue, summary, valued

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

OUTCOME = "durable_control"
EVERYBODY = "everybody"
UNKNOWN = "unknown"
_FEWEST_EVENTS = 15


@dataclass(frozen=True)
class Seen:
    """What is judged by group, for n rows of ranked modalities.

    Attributes
    ----------
    evidence : Evidence
    chance : array (n, arms) or None
        The model's choices, out of fold; None where it makes none.
    logged : Logged
        The same rows, as policies are valued on them.
    target : Target or None
        Whose calibration and order are judged.
    position : int
        Of the target among the outcomes.
    has_value : bool
        Whether the choices have a value at all.
    """

    evidence: Evidence
    chance: Array | None
    logged: Logged
    target: Target | None
    position: int
    has_value: bool = True


def seen_of(evidence: Evidence, chance: Array | None, logged: Logged, targets: Sequence[Target]) -> Seen:
    """Return what is judged; durable control, or the first outcome with a time where that is not learned."""
    timed = [(k, target) for k, target in enumerate(targets) if target.kind != "free_share"]
    position, target = next(((k, t) for k, t in timed if t.name == OUTCOME), timed[0] if timed else (0, None))
    return Seen(evidence, chance, logged, target, position)


def by_group(
    seen: Seen, people: pd.DataFrame, predictions: pd.DataFrame, arms: Sequence[str], gates: GateConfig
) -> dict[str, Any]:
    """Return value, calibration, order, ties and first choices of the model in each group of people.

    Parameters
    ----------
    seen : Seen
    people : DataFrame of categories, one row per decision, indexed by decision_id
        As `rule_effects.subgroups` returns it: all decisions, of which `seen.evidence.rows` are judged.
    predictions : DataFrame, one row per decision and modality
        `decision_id, status, rank` of some of the decisions.
    arms : sequence of str
    gates : GateConfig
        `subgroup_people`, `subgroup_margin`, `subgroup_false_alarm`.

    Returns
    -------
    dict
        `outcome`, the thresholds, `everybody` and `groups`: subgroup, level, `decisions` (None where it may not be
        told), `judged` (enough people), `difference` (paired, model less clinicians) with `vetoed`, `in_the_large`,
        `c_index`, each with 90 % ends; `tied`, `abstained` (bounds of the sampled share); `first_choice` (share of
        each modality out of fold, None where it may not be told); `off`, `worse`: clearly so, Holm over groups;
        `words`.
    """
    levels = people.astype("object").where(people.notna(), UNKNOWN)
    sampled = _first_places(predictions, people.index)
    whole = np.ones(len(people), dtype=bool)
    everybody = {"subgroup": EVERYBODY, "level": EVERYBODY, "decisions": len(people)}
    everybody |= (
        _judged(seen, whole, gates) | _told_places(sampled) | {"first_choice": _choices(seen, [whole], arms)[0]}
    )
    # Where the choices of everybody have no value, those of a part have none either.
    seen = replace(seen, has_value=everybody["vetoed"] is None)
    groups: list[dict[str, Any]] = []
    for name in people.columns:
        known = [str(level) for level in people[name].cat.categories]
        found = [level for level in [*known, UNKNOWN] if (levels[name] == level).any()]
        groups += _levels(seen, str(name), {lv: (levels[name] == lv).to_numpy() for lv in found}, sampled, arms, gates)
    _mark_clear(groups, gates)
    for entry in (everybody, *groups):
        del entry["people"]
    return {
        "outcome": None if seen.target is None else seen.target.name,
        "fewest_people": gates.subgroup_people,
        "margin": gates.subgroup_margin,
        "false_alarm": gates.subgroup_false_alarm,
        "sampled": len(sampled),
        "everybody": everybody,
        "groups": groups,
        "words": _words(groups, gates),
    }


def _levels(
    seen: Seen,
    name: str,
    members: Mapping[str, BoolArray],
    sampled: pd.DataFrame,
    arms: Sequence[str],
    gates: GateConfig,
) -> list[dict[str, Any]]:
    """Return the rows of one kind of group."""
    counts = writable_counts([[int(rows.sum()) for rows in members.values()]], "rows")[0]
    choices = _choices(seen, list(members.values()), arms)
    rows = []
    for (level, inside), count, first in zip(members.items(), counts, choices, strict=True):
        own = sampled[inside[sampled["row"]]]
        head = {"subgroup": name, "level": level, "decisions": count}
        untold = dict.fromkeys(first)
        places = _told_places(own if count is not None else own.iloc[:0])
        judged = _judged(seen, inside, gates)
        rows.append(head | judged | places | {"first_choice": untold if count is None else first})
    return rows


def _judged(seen: Seen, inside: BoolArray, gates: GateConfig) -> dict[str, Any]:
    """Return the estimates of a group given as rows of all decisions; None for each where people are too few."""
    own = inside[seen.evidence.rows]
    groups = seen.evidence.groups[own]
    people = len(np.unique(groups))
    keys = ("difference", "in_the_large", "c_index")
    row: dict[str, Any] = {f"{key}{end}": None for key in keys for end in ("", "_low", "_high")}
    row |= {"difference_se": None, "in_the_large_se": None}
    row |= {"judged": people >= gates.subgroup_people, "vetoed": None, "off": False, "worse": False, "people": people}
    if not row["judged"]:
        return row
    if seen.chance is not None and seen.has_value:
        value = _value(seen.chance[own], some_rows(seen.logged, own), is_whole=bool(inside.all()))
        row["vetoed"] = value.vetoed
        _put(row, "difference", value.difference, value.difference_se)
    if seen.target is not None:
        _put_outcome(row, seen, seen.target, own, gates)
    return row


def _value(chance: Array, logged: Logged, *, is_whole: bool) -> PolicyValue:
    """Return what the choices were worth; of a part of the people, the arms' effective samples count together."""
    found = valued(chance, logged)
    if is_whole:
        return summary(found, logged)
    return summary_of_few(found, logged, "the group")


def _put_outcome(row: dict[str, Any], seen: Seen, target: Target, own: BoolArray, gates: GateConfig) -> None:
    told, horizon = followed(seen.evidence, seen.position, target), target.horizon_months
    months, event, is_bad = told.months[own], told.event[own], told.is_bad[own]
    arm, groups, predicted = seen.evidence.arm[own], seen.evidence.groups[own], told.predicted[own]
    weight = arm_weights(months, event, horizon, arm)
    observed = (~is_bad if target.kind == "event_free" else is_bad).astype(float)
    if len(np.unique(groups[weight > 0])) >= gates.subgroup_people:
        large = in_the_large(predicted, observed, weight, groups)
        if large is not None:
            _put(row, "in_the_large", large.value, large.se)
    order = concordance(months, event, told.risk[own], horizon, groups) if is_bad.sum() >= _FEWEST_EVENTS else None
    if order is not None:
        row |= {"c_index": order.value, "c_index_low": order.low, "c_index_high": order.high}


def _put(row: dict[str, Any], key: str, value: float | None, error: float | None) -> None:
    if value is not None and error is not None:
        row |= {key: value, f"{key}_se": error, f"{key}_low": value - Z90 * error, f"{key}_high": value + Z90 * error}


def _choices(seen: Seen, members: Sequence[BoolArray], arms: Sequence[str]) -> list[dict[str, float | None]]:
    """Return the share of each modality among the model's first choices in each group."""
    if seen.chance is None:
        return [dict.fromkeys(arms) for _ in members]
    first = seen.chance.argmax(axis=1)
    table = [np.bincount(first[own[seen.evidence.rows]], minlength=len(arms)) for own in members]
    hidden = hidden_cells([[int(count) for count in line] for line in table], "both")
    return [
        {
            arm: None if (i, j) in hidden or not line.sum() else round(float(line[j] / line.sum()), 2)
            for j, arm in enumerate(arms)
        }
        for i, line in enumerate(table)
    ]


def _first_places(predictions: pd.DataFrame, decisions: pd.Index) -> pd.DataFrame:
    """Return each sampled decision: its row among all, whether its first place is shared, whether one abstains."""
    status, rank = predictions["status"].astype("str"), predictions["rank"]
    flags = pd.DataFrame(
        {
            "decision_id": predictions["decision_id"].astype("object"),
            "tied": (status == "tied") & (rank == 1).fillna(False).astype(bool),
            "abstained": status == "abstained",
        }
    )
    found = flags.groupby("decision_id", sort=False)[["tied", "abstained"]].any()
    return found.assign(row=decisions.astype("object").get_indexer(found.index))


def _told_places(sampled: pd.DataFrame) -> dict[str, Any]:
    return {key: share_bounds(int(sampled[key].sum()), len(sampled)) for key in ("tied", "abstained")}


def holm(chances: Sequence[float], level: float) -> BoolArray:
    """Return which of several tests reject, so that any false one does with at most the given chance.

    Parameters
    ----------
    chances : sequence of float
        One p-value per test; the tests may depend on each other.
    level : float

    References
    ----------
    Holm, Scandinavian Journal of Statistics 1979; 6: 65-70.
    """
    p = np.asarray(chances, dtype=float)
    order = np.argsort(p, kind="stable")
    passes = p[order] <= level / np.arange(len(p), 0, -1)
    rejects = np.zeros(len(p), dtype=bool)
    rejects[order[: int(np.argmin(passes)) if not passes.all() else len(p)]] = True
    return rejects


def _mark_clear(groups: Sequence[dict[str, Any]], gates: GateConfig) -> None:
    """Mark groups that are clearly off by more than the margin, and those clearly worse off: one-sided t, Holm."""
    for key, mark in (("in_the_large", "off"), ("difference", "worse")):
        tested = [row for row in groups if row[f"{key}_se"]]
        chances = []
        for row in tested:
            beyond = abs(row[key]) - gates.subgroup_margin if mark == "off" else -row[key]
            chances.append(float(student.sf(beyond / row[f"{key}_se"], row["people"] - 1)))
        for row, is_clear in zip(tested, holm(chances, gates.subgroup_false_alarm), strict=True):
            row[mark] = bool(is_clear)


def _words(groups: Sequence[Mapping[str, Any]], gates: GateConfig) -> str:
    judged = [row for row in groups if row["judged"]]
    few = len(groups) - len(judged)
    told = []
    for key, mark, clearly in (
        ("in_the_large", "off", f"clearly off by more than {gates.subgroup_margin:g} in calibration-in-the-large"),
        ("difference", "worse", "clearly worse off with the model's choices than with clinicians'"),
    ):
        tested = sum(row[key] is not None for row in judged)
        named = [f"{row['subgroup']}: {row['level']}" for row in judged if row[mark]]
        which = f" ({'; '.join(named)})" if named else ""
        told.append(f"{len(named) or 'None'} of {tested} groups {'is' if len(named) < 2 else 'are'} {clearly}{which}.")
    gains = [row for row in judged if row["difference"] is not None]
    if gains:
        least = min(gains, key=lambda row: row["difference"])
        told.append(f"Least is gained in {least['subgroup']}: {least['level']} ({least['difference']:+.3f}).")
    if few:
        told.append(f"{few} of under {gates.subgroup_people} people {'is' if few == 1 else 'are'} not judged.")
    return " ".join(told)
