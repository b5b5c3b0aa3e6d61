"""In what do these decisions differ from those that a model learned from?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.config import ShiftConfig
from pipeline.evaluate.small_counts import share_bounds, writable_counts
from pipeline.shift.judging import Measured, Spread, share_test, spread
from pipeline.shift.profile import FeatureProfile, Profile

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

ROW_REASONS = ("unexpected_missing", "unseen_category", "shifted")
"""Why a model speaks of no modality for a person, as its input contract says."""

OUTSIDE = "outside_experience"
_SITE = "site_id"


@dataclass(frozen=True)
class Now:
    """The decisions that are compared with training, in counts.

    Attributes
    ----------
    decisions, people : int
    counts : mapping of feature to array (bins + 1,)
        Decisions per bin, those in which it is missing last.
    reasons : mapping of abstain reason to decisions
    judged, outside : int
        Pairs of decision and modality that nothing but the model's own doubt could leave without a rank, and those of
        them outside experience.
    modalities : mapping of modality to decisions, or None
        What was given; None where that is not known yet.
    """

    decisions: int
    people: int
    counts: Mapping[str, IntArray]
    reasons: Mapping[str, int]
    judged: int
    outside: int
    modalities: Mapping[str, int] | None = None


@dataclass(frozen=True)
class Difference:
    """One difference, and the test of it.

    Attributes
    ----------
    check : str
        The code of the check that it belongs to.
    name : str
        A feature, an abstain reason or an outcome.
    test : Measured
    told : mapping
        What may be told of it.
    """

    check: str
    name: str
    test: Measured
    told: Mapping[str, Any] = field(default_factory=dict)


def differences(profile: Profile, now: Now, config: ShiftConfig) -> list[Difference]:
    """Return every difference from training that is looked for, with what may be told of it.

    Parameters
    ----------
    profile : Profile
    now : Now
    config : ShiftConfig

    Returns
    -------
    list of Difference
        `S01` spread and `S02` missing share of each feature, `S03` to `S05` one abstain reason each, `S06` outside
        experience, `S07` what was given, where that is known. Tests count people, not decisions.
    """
    then_size, now_size = profile.people / max(profile.decisions, 1), now.people / max(now.decisions, 1)
    found: list[Difference] = []
    for entry in profile.features:
        counts = now.counts[entry.name]
        then = np.array(entry.counts, dtype=np.float64)
        is_number = entry.levels is None
        how = spread(_sized(then[:-1], then_size), _sized(counts[:-1], now_size), config.psi_issue, in_order=is_number)
        found.append(Difference("S01", entry.name, how.test, _told_spread(entry, counts, how)))
        if is_number:
            found.append(_missing(entry, counts, then_size, now_size, config))
    for code, reason in zip(("S03", "S04", "S05"), ROW_REASONS, strict=True):
        part, before = now.reasons.get(reason, 0), profile.reasons.get(reason, 0)
        sizes = (part * now_size, now.people, before * then_size, profile.people)
        told = _told_share(part, now.decisions, before, profile.decisions)
        found.append(Difference(code, reason, share_test(*sizes, config.abstain_margin), told))
    found.append(_outside(profile, now, config))
    if now.modalities is not None:
        found.append(_mix(profile, now.modalities, then_size, now_size, config))
    return found


def _missing(
    entry: FeatureProfile, counts: IntArray, then_size: float, now_size: float, config: ShiftConfig
) -> Difference:
    part, whole, before, all_before = int(counts[-1]), int(counts.sum()), entry.counts[-1], sum(entry.counts)
    sizes = (part * now_size, whole * now_size, before * then_size, all_before * then_size)
    told = _told_share(part, whole, before, all_before)
    return Difference("S02", entry.name, share_test(*sizes, config.missing_margin), told)


def _outside(profile: Profile, now: Now, config: ShiftConfig) -> Difference:
    """Return how often a modality is outside experience; pairs of one decision count as one person."""
    pairs, pairs_before = max(now.judged, 1), max(profile.judged, 1)
    people = min(now.judged, now.people)
    people_before = min(profile.judged, profile.people)
    test = share_test(
        now.outside / pairs * people,
        people,
        profile.outside / pairs_before * people_before,
        people_before,
        config.abstain_margin,
    )
    return Difference("S06", OUTSIDE, test, _told_share(now.outside, now.judged, profile.outside, profile.judged))


def _mix(
    profile: Profile, given: Mapping[str, int], then_size: float, now_size: float, config: ShiftConfig
) -> Difference:
    names = sorted({*profile.modalities, *given})
    then = np.array([profile.modalities.get(name, 0) for name in names], dtype=float)
    now = np.array([given.get(name, 0) for name in names], dtype=float)
    how = spread(_sized(then, then_size), _sized(now, now_size), config.psi_issue, in_order=False)
    shown = writable_counts([[int(count) for count in now]], "rows")[0]
    rows = [
        {
            "modality": name,
            "then": _share(before, then.sum()),
            "now": None if count is None else _share(count, now.sum()),
        }
        for name, before, count in zip(names, then, shown, strict=True)
    ]
    return Difference("S07", "modality", how.test, {**_index(how), "rows": rows})


def _sized(counts: npt.NDArray[Any], size: float) -> Array:
    """Return counts of decisions as of people."""
    return np.asarray(counts * size, dtype=np.float64)


def _index(how: Spread) -> dict[str, Any]:
    return {"psi": _short(how.psi), "floor": _short(how.floor), "ks": _short(how.ks), "chance": how.test.chance}


def _told_spread(entry: FeatureProfile, counts: IntArray, how: Spread) -> dict[str, Any]:
    """Return index and shares per bin; a bin of 1 to 10 decisions now, and another with it, is not told."""
    then, known = sum(entry.counts[:-1]), int(counts[:-1].sum())
    shown = writable_counts([[int(count) for count in counts[:-1]]], "rows")[0]
    bins = [
        {"bin": words, "then": _share(before, then), "now": None if count is None else _share(count, known)}
        for words, before, count in zip(_words(entry), entry.counts[:-1], shown, strict=True)
    ]
    return {**_index(how), "bins": bins}


def _told_share(part: int, whole: int, before: int, all_before: int) -> dict[str, Any]:
    """Return two shares as bounds, equal ends where the share itself may be told."""
    return {"now": share_bounds(part, whole), "then": share_bounds(before, all_before)}


def _share(part: float, whole: float) -> float | None:
    return round(float(part / whole), 3) if whole else None


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _words(entry: FeatureProfile) -> Sequence[str]:
    """Return how each bin is called; sites are numbered, since reports name none."""
    if entry.levels is not None:
        names = [f"site {k}" for k in range(1, entry.bins)] if entry.name == _SITE else entry.levels
        return (*names, "other")
    edges = [f"{edge:.4g}" for edge in entry.edges]
    if not edges:
        return ("any value",)
    inner = [f"{low} to under {high}" for low, high in pairwise(edges)]
    return (f"under {edges[0]}", *inner, f"{edges[-1]} and over")
