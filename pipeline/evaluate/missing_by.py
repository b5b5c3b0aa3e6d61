"""Where and when were facts not recorded? Shares missing by site and by year of the decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import chi2

from pipeline.evaluate.small_counts import share_bounds
from pipeline.learners import SMALL_CELL

Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

REST = "other sites"
"""Sites of too few people to be told, together."""

_MOST, _LEAST = 12, 6
_MOST_YEARS = 10
_FALSE_ALARM = 0.05
_ALIKE = 0.99


def missing_by(
    features: pd.DataFrame, names: Sequence[str], groups: Mapping[str, pd.Series], meanings: Mapping[str, str]
) -> dict[str, Any]:
    """Return the share missing of the features that differ most between groups, one table per kind of group.

    Parameters
    ----------
    features : DataFrame, one row per decision
    names : sequence of str
        Features that the model reads.
    groups : mapping of kind to Series, the same rows
        As `site_and_year` returns them; a kind with fewer than two groups is left out.
    meanings : mapping of feature to words

    Returns
    -------
    dict of kind to dict
        `groups`; `features`: feature, meaning, `alike` (how many others are missing in the same people), `overall`
        and `shares`: bounds per group (equal where the share may be told); `clear`: how many features differ beyond
        chance (chi-squared of missing by group, Bonferroni over features); `compared`; `words`.
    """
    gaps = features[list(names)].isna().to_numpy()
    found = {}
    for kind, group in groups.items():
        levels = [level for level in group.cat.categories if (group == level).any()]
        if len(levels) > 1:
            found[kind] = _table(gaps, names, [(group == level).to_numpy() for level in levels], levels, kind, meanings)
    return found


def site_and_year(sites: pd.Series, dates: pd.Series, patients: pd.Series) -> dict[str, pd.Series]:
    """Return the group of each decision by site and by year, each of at least eleven people.

    Parameters
    ----------
    sites : Series of categories
        Numbered sites; missing ones are among the other sites.
    dates : Series of dates
        Of decisions; all missing where dates are no calendar dates.
    patients : Series

    Returns
    -------
    dict of str to Series of categories
        `site`, and `year` where there are dates: neighbouring years of few people are one group, so that there are at
        most ten.
    """
    named = sites.astype("object").reset_index(drop=True)
    named = named.where(named.notna(), REST)
    order = sorted({str(name) for name in named}, key=lambda name: (name == REST, len(name), name))
    people = patients.reset_index(drop=True)
    if REST in order and people[named == REST].nunique() < SMALL_CELL:
        named, order = named.where(named != REST, None), order[:-1]
    found = {"site": pd.Series(pd.Categorical(named, categories=order))}
    years = pd.to_datetime(dates).dt.year.reset_index(drop=True)
    if years.notna().all() and len(years):
        found["year"] = _eras(years.astype(int), people)
    return found


def _eras(years: pd.Series, people: pd.Series) -> pd.Series:
    """Return runs of years that hold at least eleven people, and a tenth of all decisions where years are many."""
    distinct = sorted(years.unique())
    fewest = 0 if len(distinct) <= _MOST_YEARS else int(np.ceil(len(years) / _MOST_YEARS))
    runs: list[list[int]] = [[]]
    for year in distinct:
        runs[-1].append(int(year))
        inside = years.isin(runs[-1])
        if people[inside].nunique() >= SMALL_CELL and inside.sum() >= fewest:
            runs.append([])
    if len(runs) > 1:
        last = runs.pop()
        runs[-1] += last
    labels = {year: _era(run) for run in runs for year in run}
    return pd.Series(pd.Categorical(years.map(labels), categories=[_era(run) for run in runs]))


def _era(run: Sequence[int]) -> str:
    return str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1] % 100:02d}"


def _table(
    gaps: BoolArray,
    names: Sequence[str],
    members: Sequence[BoolArray],
    levels: Sequence[str],
    kind: str,
    meanings: Mapping[str, str],
) -> dict[str, Any]:
    sizes = np.array([rows.sum() for rows in members])
    counts = np.array([gaps[rows].sum(axis=0) for rows in members])
    spread = _beyond_chance(counts, sizes)
    alarm = float(chi2.isf(_FALSE_ALARM / max(len(names), 1), len(levels) - 1))
    told = []
    clear = int((spread > alarm).sum())
    order = np.argsort(-spread, kind="stable")
    for place, alike in _distinct(gaps, order[: max(clear, _LEAST)], spread):
        told.append(
            {
                "feature": names[place],
                "meaning": meanings.get(names[place], names[place]),
                "alike": alike,
                "clear": bool(spread[place] > alarm),
                "overall": share_bounds(int(counts[:, place].sum()), int(sizes.sum())),
                "shares": [share_bounds(int(c), int(n)) for c, n in zip(counts[:, place], sizes, strict=True)],
            }
        )
    return {
        "groups": list(levels),
        "features": told,
        "compared": len(names),
        "clear": clear,
        "words": _words(told, clear, len(names), kind),
    }


def _beyond_chance(counts: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> Array:
    """Return Pearson's chi-squared of missing by group for each feature; 0 where all or none is missing."""
    share = counts.sum(axis=0) / sizes.sum()
    expected = share * sizes[:, None]
    variance = np.where((share > 0) & (share < 1), expected * (1 - share), np.inf)
    return np.asarray(((counts - expected) ** 2 / variance).sum(axis=0))


def _distinct(gaps: BoolArray, order: npt.NDArray[np.intp], spread: Array) -> list[tuple[int, int]]:
    """Return the first features that are missing in different people, each with how many others are missing alike."""
    chosen: list[list[int]] = []
    for place in order:
        if spread[place] <= 0:
            break
        twin = next((row for row in chosen if (gaps[:, row[0]] == gaps[:, place]).mean() >= _ALIKE), None)
        if twin is not None:
            twin[1] += 1
        elif len(chosen) < _MOST:
            chosen.append([int(place), 0])
    return [(place, alike) for place, alike in chosen]


def _words(told: Sequence[Mapping[str, Any]], clear: int, compared: int, kind: str) -> str:
    between = {"site": "between sites", "year": "between years of decision"}.get(kind, f"by {kind}")
    if not clear:
        return f"No feature of {compared} is missing more often than chance allows {between}."
    first = told[0]
    told_exactly = [b["low"] for b in first["shares"] if b["low"] is not None and b["low"] == b["high"]]
    reach = f": {100 * min(told_exactly):.0f} to {100 * max(told_exactly):.0f} %" if len(told_exactly) > 1 else ""
    return (
        f"{clear} of {compared} features are missing more often in some groups than chance allows {between}, "
        f"most clearly: {first['meaning']}{reach}."
    )
