"""What do the guardrails do to the ranking, for everybody and for each group of people?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.guardrails import RuleSet, Verdicts, firings, removed_first_choices
from pipeline.learners import SMALL_CELL

YOUNGER_THAN, KIDNEY = 70, 45
MOST_SITES = 8
ANY_RULE = "any"
_COUNTS = ("fired", "undecided", "clear", "removed_first_choice")
_YES_NO = {"frail": ("frail", "not frail"), "imwg_high_risk": ("high risk", "standard risk")}
_TITLES = {"frail": "frailty", "imwg_high_risk": "cytogenetic risk"}


def subgroups(features: pd.DataFrame, race: pd.Series | None = None) -> pd.DataFrame:
    """Return which groups each decision's person belongs to.

    Parameters
    ----------
    features : DataFrame, one row per decision
        `decision_id`, `patient_id`, `site_id` and whichever of `age, sex, egfr, frail, imwg_high_risk` there are.
    race : Series or None
        As recorded, in the order of the features.

    Returns
    -------
    DataFrame of categories, indexed by decision_id
        Columns `age` (under 70 years, 70 and over), `sex`, `race`, `kidney function` (eGFR under 45 mL/min/1.73m2, 45
        and over), `frailty`, `cytogenetic risk` and `site`; missing where unknown. Races of fewer than eleven people
        are `other`. Sites are numbered by size, never named; those of fewer than eleven people, and all beyond the
        eight largest, are `other sites`.
    """
    groups: dict[str, pd.Series] = {}
    if "age" in features:
        words = (f"under {YOUNGER_THAN}", f"{YOUNGER_THAN} and over")
        groups["age"] = _split(features["age"], features["age"] < YOUNGER_THAN, words)
    if "sex" in features:
        groups["sex"] = features["sex"].astype("object")
    if race is not None and race.notna().any():
        groups["race"] = _frequent(race, features["patient_id"], "other")
    if "egfr" in features:
        words = (f"eGFR under {KIDNEY}", f"eGFR {KIDNEY} and over")
        groups["kidney function"] = _split(features["egfr"], features["egfr"] < KIDNEY, words)
    for name, words in _YES_NO.items():
        if name in features:
            groups[_TITLES[name]] = _split(features[name], features[name] == 1, words)
    groups["site"] = _numbered(features["site_id"], features["patient_id"])
    table = pd.DataFrame({name: values.astype("category").array for name, values in groups.items()})
    return table.set_axis(pd.Index(features["decision_id"], name="decision_id"))


def _split(values: pd.Series, holds: pd.Series, words: tuple[str, str]) -> pd.Series:
    told = pd.Series(np.where(holds, *words), index=values.index, dtype="object").where(values.notna(), None)
    return told.astype(pd.CategoricalDtype(list(words)))


def _frequent(values: pd.Series, patients: pd.Series, rest: str) -> pd.Series:
    """Return the values that at least eleven people have; the others are told as one."""
    found = values.astype("object")
    people = patients.groupby(found.to_numpy()).nunique()
    return found.where(found.isin(people.index[people >= SMALL_CELL]) | found.isna(), rest)


def _numbered(sites: pd.Series, patients: pd.Series) -> pd.Series:
    found = sites.astype("object")
    people = patients.groupby(found.to_numpy()).nunique().rename_axis("site").reset_index(name="people")
    large = people[people["people"] >= SMALL_CELL].sort_values(["people", "site"], ascending=[False, True])
    names = {site: f"site {place}" for place, site in enumerate(large["site"].head(MOST_SITES), start=1)}
    return found.map(names).astype("object").where(found.isin(list(names)) | found.isna(), "other sites")


def rule_effects(
    verdicts: Verdicts, rules: RuleSet, predictions: pd.DataFrame, groups: pd.DataFrame, dates: pd.Series
) -> dict[str, Any]:
    """Return what the rules did, as evaluation.json has it: counts of decisions, exact.

    Parameters
    ----------
    verdicts : Verdicts
        Of all decisions.
    rules : RuleSet
        The rules that made them.
    predictions : DataFrame, one row per decision and modality
        `decision_id, modality, model_rank, status` of some of the decisions.
    groups : DataFrame, one row per decision, indexed by decision_id
        As `subgroups` returns it.
    dates : Series of dates, indexed by decision_id
        By which rules are in force; missing where every rule judges.

    Returns
    -------
    dict
        `decisions`, `sampled`; `firings`: one entry per rule that ran, with `fired, undecided, clear` of all decisions
        and `removed_first_choice` of the sampled ones; `subgroups`: one entry per subgroup and level with `decisions`,
        `sampled`, `removed_first_choice` by whatever rule, and the same four counts in `rules`.
    """
    ids = [str(name) for name in verdicts.assessed["rule_id"]]
    unranked = pd.DataFrame({"decision_id": groups.index, "modality": "", "model_rank": np.nan, "status": ""})
    spoken = removed_first_choices(unranked, verdicts.findings, groups, ids)
    lost = removed_first_choices(predictions, verdicts.findings, groups, ids)
    whichever = removed_first_choices(predictions, verdicts.findings.assign(rule_id=ANY_RULE), groups, [ANY_RULE])
    keys = ["rule_id", "subgroup", "level"]
    counted = spoken.drop(columns="removed_first_choice").merge(
        lost[[*keys, "removed_first_choice"]], on=keys, how="left"
    )
    judged = _judged(ids, rules, groups, dates)
    places = zip(counted["rule_id"], counted["subgroup"], counted["level"], strict=True)
    counted["clear"] = [judged[place] for place in places] - counted["fired"] - counted["undecided"]
    counted = counted.fillna({"removed_first_choice": 0}).astype(dict.fromkeys(_COUNTS, "int64"))
    everybody = counted[counted["subgroup"] == "all"].set_index("rule_id")["removed_first_choice"]
    table = firings(verdicts, rules)
    told = [{**row, "removed_first_choice": int(everybody[row["rule_id"]])} for row in table.to_dict("records")]
    return {
        "decisions": len(groups),
        "sampled": int(predictions["decision_id"].nunique()),
        "firings": told,
        "subgroups": _by_group(counted, whichever),
    }


def _judged(
    ids: Sequence[str], rules: RuleSet, groups: pd.DataFrame, dates: pd.Series
) -> Mapping[tuple[str, str, str], int]:
    """Return how many decisions of each group and level each rule judged, being in force."""
    since = {rule.id: np.datetime64(rule.effective_from, "D") for rule in rules.rules}
    days = pd.to_datetime(dates).reindex(groups.index).to_numpy(dtype="datetime64[D]")
    levels = groups.astype("str").fillna("unknown").assign(all="all")
    counts: dict[tuple[np.datetime64, str], Mapping[str, int]] = {}
    for start in {since[name] for name in ids}:
        own = levels[np.isnat(days) | (days >= start)]
        counts |= {(start, str(name)): own[name].value_counts().to_dict() for name in levels}
    return {
        (rule, str(name), level): counts[since[rule], str(name)].get(level, 0)
        for rule in ids
        for name in levels
        for level in levels[name].unique()
    }


def _by_group(counted: pd.DataFrame, whichever: pd.DataFrame) -> list[dict[str, Any]]:
    sampled = {
        (row["subgroup"], row["level"]): (int(row["decisions"]), int(row["removed_first_choice"]))
        for row in whichever.to_dict("records")
    }
    told = []
    for (subgroup, level), rows in counted.groupby(["subgroup", "level"], sort=False):
        some, removed = sampled.get((subgroup, level), (0, 0))
        told.append(
            {
                "subgroup": str(subgroup),
                "level": str(level),
                "decisions": int(rows["decisions"].iloc[0]),
                "sampled": some,
                "removed_first_choice": removed,
                "rules": [
                    {"rule_id": str(row["rule_id"]), **{name: int(row[name]) for name in _COUNTS}}
                    for row in rows.to_dict("records")
                ],
            }
        )
    return told


def batch_effects(predictions: pd.DataFrame, rules: RuleSet, roles: Sequence[str]) -> dict[str, Any]:
    """Return what was said of a batch of decisions, and which rules were set aside in it: exact counts, no identifier.

    Parameters
    ----------
    predictions : DataFrame, one row per decision and modality
        `decision_id, modality, status, overrides`.
    rules : RuleSet
        Their titles are told.
    roles : sequence of str
        Declared roles; whatever else stands in `by_role` was typed by somebody, and is told as `other roles`.

    Returns
    -------
    dict
        `decisions`; `statuses`: modality, status, count; `overridden`: decisions with at least one override that set
        something aside; `overrides`: rule_id, title, count; `roles`: role, decisions in which it set something
        aside. An override counts once per decision, however many modalities it touches.
    """
    counted = predictions.groupby(["modality", "status"], observed=True).size().reset_index(name="count")
    given = {
        (decision, entry["rule_id"]): str(entry["by_role"])
        for decision, entries in zip(predictions["decision_id"], predictions["overrides"], strict=True)
        for entry in entries
    }
    by_rule = pd.Series([rule for _, rule in given], dtype="str").value_counts()
    declared = {_plain(role): role for role in roles}
    named = {(decision, declared.get(_plain(role), "other roles")) for (decision, _), role in given.items()}
    by_role = pd.Series([role for _, role in named], dtype="str").value_counts()
    titles = {rule.id: rule.title for rule in rules.rules}
    return {
        "decisions": int(predictions["decision_id"].nunique()),
        "statuses": [
            {"modality": str(row["modality"]), "status": str(row["status"]), "count": int(row["count"])}
            for row in counted.to_dict("records")
        ],
        "overridden": len({decision for decision, _ in given}),
        "overrides": [
            {"rule_id": str(rule), "title": titles.get(str(rule), ""), "count": int(by_rule[rule])}
            for rule in sorted(by_rule.index)
        ],
        "roles": [{"role": str(role), "count": int(by_role[role])} for role in sorted(by_role.index)],
    }


def _plain(role: str) -> str:
    return " ".join(role.lower().split())
