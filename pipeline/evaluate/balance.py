"""Were people who got different modalities alike, once weighted, in all that was recorded of them?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import norm

from pipeline.learners import SMALL_CELL, Evidence
from pipeline.learners.design import Columns

Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

THRESHOLD = 0.1
"""Largest standardised mean difference that counts as balanced."""

_SITE = "site_id"
_OFFER = ("wait_days_", "available_")
"""What was on offer moves the choice and is no trait of the person: weighting need not, and cannot, even it out."""

_WORST = 10
_DRAWN = 20
_FALSE_ALARM = 0.05


@dataclass(frozen=True)
class Term:
    """One column of which means are compared.

    Attributes
    ----------
    feature : str
    part : str
        Empty for a number or truth value, a level of a category, or `missing`.
    values : array (n,)
        NaN where unknown.
    """

    feature: str
    part: str
    values: Array


def balance_terms(features: pd.DataFrame, columns: Columns) -> tuple[Term, ...]:
    """Return numbers, truth values, each level of categories, and gaps (where at least eleven have one).

    Availability and waiting times are left out; sites are numbered by size.

    Parameters
    ----------
    features : DataFrame, one row per decision
    columns : Columns
        What is to be balanced.
    """
    matrix = columns.matrix(features)
    terms = []
    for position, name in enumerate(columns.names):
        if name.startswith(_OFFER):
            continue
        values = matrix[:, position]
        gap = np.isnan(values)
        if name in columns.levels:
            levels = _by_size(values, len(columns.levels[name])) if name == _SITE else columns.levels[name]
            for code, level in enumerate(levels):
                terms.append(Term(name, level, np.where(gap, np.nan, (values == code).astype(float))))
        else:
            terms.append(Term(name, "", values))
        if SMALL_CELL <= gap.sum() <= len(gap) - SMALL_CELL:
            terms.append(Term(name, "missing", gap.astype(float)))
    return tuple(terms)


def _by_size(codes: Array, levels: int) -> tuple[str, ...]:
    """Return names of sites by their number of decisions, for a report tells no institution's own names."""
    sizes = [int(np.sum(codes == code)) for code in range(levels)]
    place = {code: rank for rank, code in enumerate(sorted(range(levels), key=lambda code: -sizes[code]), start=1)}
    return tuple(f"site {place[code]}" for code in range(levels))


def standardised_difference(values: Array, first: BoolArray, second: BoolArray, weight: Array) -> float | None:
    """Return the difference of weighted means over the pooled standard deviation without weights.

    Parameters
    ----------
    values : array (n,)
        NaN is left out.
    first, second : bool arrays (n,)
        Who is in each group.
    weight : array (n,)

    Returns
    -------
    float or None
        None where fewer than eleven people are known in either group, fewer than eleven tell a two-valued fact
        apart, or nobody differs.

    References
    ----------
    Austin, Statistics in Medicine 2009; 28: 3083-3107.
    """
    known = ~np.isnan(values)
    one, other = first & known, second & known
    if min(one.sum(), other.sum()) < SMALL_CELL:
        return None
    distinct, counts = np.unique(values[one | other], return_counts=True)
    if len(distinct) < 2 or (len(distinct) == 2 and counts.min() < SMALL_CELL):
        return None
    spread = float(np.sqrt((values[one].var(ddof=1) + values[other].var(ddof=1)) / 2))
    difference = np.average(values[one], weights=weight[one]) - np.average(values[other], weights=weight[other])
    # Everyone of one group has the fact and nobody of the other: as far apart as two groups can be.
    return float(difference / spread) if spread > 0 else float(np.sign(difference) * np.inf)


def balance(
    evidence: Evidence,
    features: pd.DataFrame,
    columns: Columns,
    arms: Sequence[str],
    labels: Mapping[str, str],
    meanings: Mapping[str, str],
    floor: float,
) -> dict[str, Any]:
    """Return standardised mean differences per pair of modalities, before and after weighting.

    Parameters
    ----------
    evidence : Evidence of n rows
    features : DataFrame, the same rows
    columns : Columns
        What the propensity reads.
    arms : sequence of str
    labels, meanings : mapping of modality, of feature, to words
    floor : float
        Smallest propensity used.

    Returns
    -------
    dict
        `threshold, pairs, features, words`. A pair is compared over the people who could have had either
        (propensity of both above 0), each weighted by 1 / max(propensity of the modality given, floor);
        `expected_over` is how many terms would exceed the threshold by chance alone in perfect balance,
        `clear_over` how many exceed it by more than chance (Bonferroni over the pair's terms).
    """
    terms = balance_terms(features, columns)
    found = [_pair(evidence, terms, a, b, floor) for a, b in combinations(range(len(arms)), 2)]
    pairs = [
        {"first": arms[a], "second": arms[b], **_told(table, terms, meanings, sizes)} for (a, b), table, sizes in found
    ]
    # A term that no pair can compare counts as nothing, an infinite one stays.
    before, after = (np.nan_to_num(np.fmax.reduce([t[when] for _, t, _ in found]), posinf=np.inf) for when in (0, 1))
    order = np.argsort(-after, kind="stable")[:_DRAWN]
    return {
        "threshold": THRESHOLD,
        "pairs": pairs,
        "features": [_row(terms[k], meanings, before[k], after[k]) for k in order],
        "words": _words(pairs, labels),
    }


def largest_differences(evidence: Evidence, terms: Sequence[Term], arms: int, floor: float) -> Array:
    """Return the largest absolute difference of each term over all pairs of arms, before and after weighting.

    Returns
    -------
    array (2, terms)
        NaN where no pair can be compared; infinite where everybody of one arm and nobody of the other has it.
    """
    pairs = [_pair(evidence, terms, a, b, floor)[1] for a, b in combinations(range(arms), 2)]
    return np.asarray(np.fmax.reduce(pairs)) if pairs else np.full((2, len(terms)), np.nan)


def _pair(
    evidence: Evidence, terms: Sequence[Term], a: int, b: int, floor: float
) -> tuple[tuple[int, int], Array, tuple[int, int, float, float]]:
    """Return absolute differences before and after, shape (2, terms), and sizes and effective sizes of both arms."""
    propensity = evidence.fold.propensity
    either = (propensity[:, a] > 0) & (propensity[:, b] > 0)
    first, second = (evidence.arm == a) & either, (evidence.arm == b) & either
    weight = 1.0 / np.maximum(propensity[np.arange(len(propensity)), evidence.arm], floor)
    plain = np.ones(len(weight))
    table = np.full((2, len(terms)), np.nan)
    for place, term in enumerate(terms):
        for when, used in enumerate((plain, weight)):
            value = standardised_difference(term.values, first, second, used)
            table[when, place] = np.nan if value is None else abs(value)
    sizes = (int(first.sum()), int(second.sum()), _effective(weight[first]), _effective(weight[second]))
    return (a, b), table, sizes


def _effective(weight: Array) -> float:
    return float(weight.sum() ** 2 / np.sum(weight**2)) if len(weight) else 0.0


def _told(
    table: Array, terms: Sequence[Term], meanings: Mapping[str, str], sizes: tuple[int, int, float, float]
) -> dict[str, Any]:
    compared = np.flatnonzero(~np.isnan(table[1]))
    first, second, ess_first, ess_second = sizes
    noise = float(np.sqrt(1 / ess_first + 1 / ess_second)) if min(ess_first, ess_second) > 0 else np.inf
    alarm = THRESHOLD + noise * norm.isf(_FALSE_ALARM / 2 / max(len(compared), 1))
    worst = compared[np.argsort(-table[1, compared], kind="stable")][:_WORST]
    return {
        "n_first": first,
        "n_second": second,
        "standard_error": noise if np.isfinite(noise) else None,
        "terms": len(compared),
        "over_before": int((table[0, compared] > THRESHOLD).sum()),
        "over_after": int((table[1, compared] > THRESHOLD).sum()),
        "expected_over": float(len(compared) * 2 * norm.sf(THRESHOLD / noise)),
        "clear_over": int((table[1, compared] > alarm).sum()),
        "worst": [_row(terms[k], meanings, table[0, k], table[1, k]) for k in worst],
    }


def _row(term: Term, meanings: Mapping[str, str], before: float, after: float) -> dict[str, Any]:
    return {
        "feature": term.feature,
        "meaning": meanings.get(term.feature, term.feature),
        "part": term.part,
        "before": float(before) if np.isfinite(before) else None,
        "after": float(after) if np.isfinite(after) else None,
    }


def _words(pairs: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> str:
    if not any(pair["terms"] for pair in pairs):
        return "No pair of modalities has enough people to compare."
    before, after = sum(pair["over_before"] for pair in pairs), sum(pair["over_after"] for pair in pairs)
    chance = sum(pair["expected_over"] for pair in pairs)
    clear = [pair for pair in pairs if pair["clear_over"]]
    told = (
        f"Over all pairs, {before} differences were above {THRESHOLD} before weighting and {after} after; "
        f"about {chance:.0f} would be by chance in perfect balance of so few people."
    )
    if not clear:
        return f"{told} None is above it by more than chance."
    listed = "; ".join(
        f"{labels.get(p['first'], p['first'])} and {labels.get(p['second'], p['second'])}: {p['clear_over']}"
        for p in clear
    )
    return f"{told} Clearly out of balance remain {listed}."
