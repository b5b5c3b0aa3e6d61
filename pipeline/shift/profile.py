"""How was each feature spread, and how often was it missing, among the decisions that a model learned from?

What fewer than eleven people have is counted with the fullest bin, so that every count in a profile is 0 or
tells of eleven people at least, and none can be worked out from the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.errors import ModelMismatchError
from pipeline.learners import SMALL_CELL

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

FORMAT = 1
"""Of a profile as a model directory keeps it."""

_DIGITS = 3
_CONSTANT = 1e-3


@dataclass(frozen=True)
class FeatureProfile:
    """One feature among the training decisions.

    Attributes
    ----------
    name : str
    edges : tuple of float
        Of a number: bin i holds the values from edges[i - 1] up to, not including, edges[i].
    levels : tuple of str or None
        Of a category: one bin per level, and a last one for any other or none at all. None for numbers.
    counts : tuple of int
        Decisions per bin, those in which it is missing last.
    """

    name: str
    edges: tuple[float, ...]
    levels: tuple[str, ...] | None
    counts: tuple[int, ...]

    @property
    def bins(self) -> int:
        """How many bins known values fall in."""
        return len(self.edges) + 1 if self.levels is None else len(self.levels) + 1

    def places(self, values: pd.Series) -> npt.NDArray[np.intp]:
        """Return the bin of each value, shape (n,); that of missing numbers comes after all others."""
        if self.levels is not None:
            codes = pd.Index(self.levels).get_indexer(pd.Index(values.astype("object")))
            return np.where(codes < 0, len(self.levels), codes)
        numbers = values.to_numpy(dtype=float)
        found = np.searchsorted(np.array(self.edges), numbers, side="right")
        found[np.isnan(numbers)] = self.bins
        return found

    def binned(self, values: pd.Series) -> IntArray:
        """Return how many values fall in each bin, and are missing, shape (bins + 1,)."""
        return np.bincount(self.places(values), minlength=self.bins + 1).astype(np.int64)


@dataclass(frozen=True)
class Profile:
    """The training decisions in counts.

    Attributes
    ----------
    decisions, people : int
    features : tuple of FeatureProfile
    modalities : mapping of modality to int
        Decisions; under eleven people 0.
    reasons : mapping of abstain reason to int
        Training decisions that the model would not speak of; under eleven people 0.
    judged, outside : int
        Of a sample of training decisions: pairs of decision and modality that nothing but the model's own doubt could
        leave without a rank, and those of them outside experience; the latter 0 where under eleven.
    last_month : str or None
        Month of the last decision, as 2026-03; None where dates are no calendar dates.
    """

    decisions: int
    people: int
    features: tuple[FeatureProfile, ...]
    modalities: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)
    judged: int = 0
    outside: int = 0
    last_month: str | None = None

    def document(self) -> dict[str, Any]:
        """Return the profile as plain values; `profile_in` reads them."""
        plain = {name: value for name, value in vars(self).items() if name != "features"}
        plain |= {"modalities": dict(self.modalities), "reasons": dict(self.reasons)}
        features = [
            {
                "name": entry.name,
                "edges": list(entry.edges),
                "levels": None if entry.levels is None else list(entry.levels),
                "counts": list(entry.counts),
            }
            for entry in self.features
        ]
        return {"format": FORMAT, **plain, "features": features}


def profile_in(document: Mapping[str, Any] | None) -> Profile | None:
    """Return the profile that a model directory holds, or None where the model is older than profiles.

    Raises
    ------
    ModelMismatchError
        If it has another format than this version reads.
    """
    if document is None:
        return None
    if document.get("format") != FORMAT:
        raise ModelMismatchError(
            f"model: its profile of the training decisions has format {document.get('format')}, wanted {FORMAT}. "
            "Train again with this version, or use the version that trained it."
        )
    features = tuple(
        FeatureProfile(
            name=entry["name"],
            edges=tuple(entry["edges"]),
            levels=None if entry["levels"] is None else tuple(entry["levels"]),
            counts=tuple(entry["counts"]),
        )
        for entry in document["features"]
    )
    rest = {name: value for name, value in document.items() if name not in ("format", "features")}
    return Profile(features=features, **rest)


def profiled(
    features: pd.DataFrame, names: Sequence[str], yes_or_no: Sequence[str], people: pd.Series, bins: int
) -> tuple[FeatureProfile, ...]:
    """Return the profile of each feature.

    Parameters
    ----------
    features : DataFrame, one row per training decision
        Categories with their declared levels, everything else numbers.
    names : sequence of str
    yes_or_no : sequence of str
        Those of them that are 0 or 1, whether both occur or not.
    people : Series, the same rows
        Patient of each row.
    bins : int
        Most bins of a number, each of about as many known values.

    Notes
    -----
    Edges are rounded to three significant digits, so that none is anybody's own value.
    """
    codes = np.unique(people.to_numpy(dtype=object).astype(str), return_inverse=True)[1]
    found = []
    for name in names:
        column = features[name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            bare = FeatureProfile(name, (), tuple(str(level) for level in column.cat.categories), ())
        elif name in yes_or_no:
            bare = FeatureProfile(name, (0.5,), None, ())
        else:
            bare = FeatureProfile(name, _edges(column.to_numpy(dtype=float), codes, bins), None, ())
        found.append(_counted(bare, column, codes))
    return tuple(found)


def _edges(values: Array, codes: IntArray, bins: int) -> tuple[float, ...]:
    """Return edges between the values where they are few, else about quantiles; each bin holds eleven people."""
    is_known = ~np.isnan(values)
    known, people = values[is_known], codes[is_known]
    distinct = np.unique(known)
    if len(distinct) == 1:
        air = _CONSTANT * max(1.0, abs(float(distinct[0])))
        return float(distinct[0]) - air, float(distinct[0]) + air
    if len(distinct) <= bins:
        wanted = (distinct[:-1] + distinct[1:]) / 2
    else:
        wanted = np.unique([_rounded(edge) for edge in np.quantile(known, np.arange(1, bins) / bins)])
    edges: list[float] = []
    for edge in wanted:
        low = edges[-1] if edges else -np.inf
        if len(np.unique(people[(known >= low) & (known < edge)])) >= SMALL_CELL:
            edges.append(float(edge))
    while edges and len(np.unique(people[known >= edges[-1]])) < SMALL_CELL:
        edges.pop()
    return tuple(edges)


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _counted(bare: FeatureProfile, column: pd.Series, codes: IntArray) -> FeatureProfile:
    """Return the feature with its counts: what under eleven people have is counted with the fullest bin."""
    places, counts = bare.places(column), bare.binned(column)
    people = np.array([len(np.unique(codes[places == place])) for place in range(bare.bins + 1)])
    is_few = people < SMALL_CELL
    is_few[int(np.argmax(counts))] = False
    counts[int(np.argmax(counts))] += counts[is_few].sum()
    counts[is_few] = 0
    return FeatureProfile(bare.name, bare.edges, bare.levels, tuple(int(count) for count in counts))
