"""Who was given what? Characteristics of people by modality, with their largest differences (table 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.evaluate.balance import THRESHOLD, balance_terms, largest_differences
from pipeline.evaluate.small_counts import hidden_cells, is_small, share_bounds, writable_counts
from pipeline.learners import SMALL_CELL, Evidence
from pipeline.learners.design import columns_of

Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

LARGEST = 10.0
"""Differences at or above this are told as this: two groups that do not overlap."""

_MOST_STEPS = 5
_QUARTILES = (0.25, 0.5, 0.75)
_MISSING = "missing"


@dataclass(frozen=True)
class Described:
    """What the words of a characteristic are: meanings and units by feature, labels by modality."""

    meanings: Mapping[str, str]
    units: Mapping[str, str]
    labels: Mapping[str, str]


def characteristics(
    features: pd.DataFrame,
    modality: pd.Series,
    names: Sequence[str],
    described: Described,
    evidence: Evidence,
    arms: Sequence[str],
    floor: float,
) -> dict[str, Any]:
    """Return table 1: each characteristic by modality given, with its largest difference between two modalities.

    Parameters
    ----------
    features : DataFrame, one row per decision
    modality : Series, the same rows
        What was given.
    names : sequence of str
        Features to tell, in order; those that the table lacks are listed as absent.
    described : Described
    evidence : Evidence
        Of the rows of ranked modalities.
    arms : sequence of str
        Ranked modalities.
    floor : float
        Smallest propensity used in a weight.

    Returns
    -------
    dict
        `modalities`; `rows`: feature, meaning, unit, kind (`number`, `yes` or `levels`), `missing` (bounds of a share
        per modality), `numbers` (median and quartiles per modality, rounded; None under eleven known people), `parts`
        (counts and shares of known people per modality, of all where 1 to 10 are not known; None where they may not
        be told; only those who have it of a truth value), `before` and `after` (the
        largest absolute standardised difference over pairs of ranked modalities, as in the balance table); `absent`;
        `words`.
    """
    shown = [name for name in described.labels if (modality == name).any()]
    own = [(modality == name).to_numpy() for name in shown]
    untold = {shown[place] for _, place in hidden_cells([[int(rows.sum()) for rows in own]], "rows")}
    present = [name for name in names if name in features]
    apart = _differences(evidence, features.iloc[evidence.rows], present, arms, floor)
    rows = []
    for name in present:
        told = _described(features[name], dict(zip(shown, own, strict=True)), untold)
        head = {"feature": name, "meaning": described.meanings.get(name, name), "unit": described.units.get(name, "")}
        rows.append(head | told | apart[name])
    return {
        "modalities": shown,
        "threshold": THRESHOLD,
        "rows": rows,
        "absent": [name for name in names if name not in features],
        "words": _words(rows),
    }


def _differences(
    evidence: Evidence, features: pd.DataFrame, names: Sequence[str], arms: Sequence[str], floor: float
) -> dict[str, dict[str, float | None]]:
    """Return the largest difference of each feature over pairs of modalities and its levels, gaps aside."""
    terms = [term for term in balance_terms(features, columns_of(features, names)) if term.part != _MISSING]
    found = np.minimum(largest_differences(evidence, terms, len(arms), floor), LARGEST)
    apart: dict[str, dict[str, float | None]] = {}
    for name in names:
        own = [k for k, term in enumerate(terms) if term.feature == name]
        before, after = (np.fmax.reduce(found[when, own], initial=np.nan) for when in (0, 1))
        apart[name] = {"before": _known(before), "after": _known(after)}
    return apart


def _known(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 3)


def _described(values: pd.Series, own: Mapping[str, BoolArray], untold: set[str]) -> dict[str, Any]:
    """Return one characteristic by modality; nothing of modalities whose size may not be told."""
    parts = _parts(values)
    kind = "number" if not parts else "yes" if list(parts) == ["yes", "no"] else "levels"
    gap = values.isna().to_numpy()
    table = np.array([[int((holds & rows).sum()) for rows in own.values()] for holds in (*parts.values(), gap)])
    sizes = np.array([int(rows.sum()) for rows in own.values()])
    lacking, known = table[-1].copy(), sizes - table[-1]
    if kind == "yes":
        # Only those who have it are told; a few of whom it is not known are counted among those who have not.
        few = np.array([is_small(int(count)) for count in lacking])
        table[1, few], table[2, few], known[few] = table[1, few] + table[2, few], 0, sizes[few]
    hidden = hidden_cells(table.tolist(), "both")
    counts = writable_counts(table.tolist(), "both")
    missing = {}
    for place, name in enumerate(own):
        secret = name in untold or ((len(parts), place) in hidden and lacking[place] >= SMALL_CELL and bool(parts))
        bounds = share_bounds(int(lacking[place]), int(sizes[place]))
        missing[name] = {"low": None, "high": None} if secret else bounds
    numbers = {} if parts else {n: None if n in untold else _quartiles(values, rows) for n, rows in own.items()}
    told = [place for place, part in enumerate(parts) if table[place].any() and not (kind == "yes" and part == "no")]
    return {
        "kind": kind,
        "missing": missing,
        "numbers": numbers,
        "parts": [
            {
                "part": list(parts)[place],
                "counts": {n: None if n in untold else c for n, c in zip(own, counts[place], strict=True)},
                "shares": {
                    n: None if n in untold else _share(c, int(k))
                    for n, c, k in zip(own, counts[place], known, strict=True)
                },
            }
            for place in told
        ],
    }


def _share(count: int | None, known: int) -> float | None:
    return None if count is None or not known else round(count / known, 2)


def _parts(values: pd.Series) -> dict[str, BoolArray]:
    """Return who is at each level of a category, a truth value or a score of few steps; none for other numbers."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return {str(level): (values == level).to_numpy(dtype=bool) for level in values.cat.categories}
    number = values.to_numpy(dtype=float)
    steps = np.unique(number[~np.isnan(number)])
    if set(steps) <= {0.0, 1.0}:
        return {"yes": number == 1.0, "no": number == 0.0}
    if len(steps) > _MOST_STEPS or np.any(steps != np.round(steps)):
        return {}
    return {f"{step:.0f}": number == step for step in steps}


def _quartiles(values: pd.Series, own: BoolArray) -> list[float] | None:
    """Return median and quartiles, rounded to a tenth or less of how far they are apart; None under eleven people."""
    number = values.to_numpy(dtype=float)
    known = number[own & ~np.isnan(number)]
    if len(known) < SMALL_CELL:
        return None
    low, middle, high = np.quantile(known, _QUARTILES)
    everybody = np.nanquantile(number, [0.25, 0.75])
    reach = float(np.diff(everybody)[0]) or float(np.nanstd(number)) or 1.0
    digits = int(1 - np.floor(np.log10(reach)))
    return [float(np.round(value, digits)) for value in (middle, low, high)]


def _words(rows: Sequence[Mapping[str, Any]]) -> str:
    compared = [row for row in rows if row["before"] is not None]
    if not compared:
        return "No characteristic can be compared: too few people of two modalities are known."
    before, after = (sum((row[when] or 0.0) > THRESHOLD for row in compared) for when in ("before", "after"))
    worst = max(compared, key=lambda row: row["before"])
    left = "" if worst["after"] is None else f" and by {worst['after']:.2f} after"
    return (
        f"{before} of {len(compared)} characteristics differ by more than {THRESHOLD} between some two modalities "
        f"before weighting, {after} after (some by chance where people are few: see the balance table). Most apart "
        f"before: {worst['meaning']}, by {worst['before']:.2f} standard deviations{left}."
    )
