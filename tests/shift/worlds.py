"""A small institution in numbers whose changes are known."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipeline.config import ShiftConfig
from pipeline.shift import Meaning, Now, Profile, Tally, profiled

NUMBERS, ANSWERS = ("creatinine", "hemoglobin", "platelets", "age"), ("frail", "pregnancy")
NAMES = (*NUMBERS, *ANSWERS, "site_id")
MEANINGS = {
    **{name: Meaning(name.capitalize(), "measurements") for name in NUMBERS[:3]},
    "age": Meaning("Age", "patients"),
    **{name: Meaning(name.capitalize(), "findings") for name in ANSWERS},
    "site_id": Meaning("Site", "decisions"),
}
CONFIG = ShiftConfig()


def people(n: int, seed: int, **changed: object) -> pd.DataFrame:
    """Return n decisions of as many people; `changed` replaces columns, or names those that are gone with None."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "patient_id": [f"P{row}" for row in range(n)],
            "creatinine": rng.lognormal(0.0, 0.4, n),
            "hemoglobin": rng.normal(11.0, 1.5, n),
            "platelets": rng.gamma(4.0, 45.0, n),
            "age": rng.integers(40, 85, n).astype(float),
            "frail": (rng.random(n) < 0.3).astype(float),
            "pregnancy": np.zeros(n),
            "site_id": pd.Categorical(rng.choice(["A", "B"], n), categories=["A", "B"]),
        }
    )
    for name in ("hemoglobin", "platelets", "frail"):
        frame.loc[rng.random(n) < 0.2, name] = np.nan
    for name, values in changed.items():
        frame[name] = np.nan if values is None else values
    return frame


def learned_from(frame: pd.DataFrame) -> Profile:
    """Return the profile of training decisions, of which 2 of 200 pairs were outside experience."""
    given = {"car_t": len(frame) // 2, "adc": len(frame) - len(frame) // 2}
    features = profiled(frame, NAMES, ANSWERS, frame["patient_id"], 10)
    size = len(frame)
    return Profile(
        size, frame["patient_id"].nunique(), features, given, {}, judged=200, outside=0, last_month="2026-03"
    )


def seen(profile: Profile, frame: pd.DataFrame, **other: object) -> Now:
    """Return decisions as they are compared with a profile."""
    tally = Tally(profile)
    tally.add(frame, [None] * len(frame))
    usual = {"reasons": {}, "judged": 2 * len(frame), "outside": 0, "modalities": None}
    return Now(len(frame), frame["patient_id"].nunique(), tally.counts, **{**usual, **other})  # type: ignore[arg-type]
