"""Facts drawn at and beside every threshold of the shipped rules, some of them unknown."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from tests.guardrails.plainly import leaves
from tests.guardrails.shipped import CATALOGUE, FILES


def _near_thresholds() -> dict[str, list[float]]:
    near: dict[str, set[float]] = {name: {0.0, 1.0, 40.0} for name in CATALOGUE}
    for file in FILES.values():
        for leaf in leaves(file["when"]):
            for sign in ("lt", "le", "gt", "ge", "equals"):
                if sign in leaf:
                    limit = float(leaf[sign])
                    tried = {
                        limit - 1,
                        math.nextafter(limit, -math.inf),
                        limit,
                        math.nextafter(limit, math.inf),
                        limit + 1,
                    }
                    near[leaf["fact"]] |= tried | ({40 * limit, 40 * limit + 1} if "times" in leaf else set())
    return {name: sorted(values) for name, values in near.items()}


NEAR = _near_thresholds()


def random_facts(number: int, seed: int, unknown: float = 0.3) -> pd.DataFrame:
    """Return facts as the features module hands them over; some numbers are NaN or infinite, which is unknown too."""
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {}
    for name, fact in CATALOGUE.items():
        missing = rng.random(number) < unknown
        if fact.type == "boolean":
            columns[name] = pd.arrays.BooleanArray(rng.random(number) < 0.5, missing)
        elif fact.type == "number":
            pool = np.array([*NEAR[name], *NEAR[name], np.nan, np.inf])
            columns[name] = pd.arrays.FloatingArray(rng.choice(pool, number), missing)
        else:
            words = np.array(["female", "male", "unknown", None], dtype=object)
            columns[name] = pd.Series(words[rng.integers(0, 4, number)]).astype("str").to_numpy()
    frame = pd.DataFrame(columns).astype({"sex": "str"})
    days = pd.to_datetime(
        rng.choice(np.array(["2000-01-01", "1999-12-31", "2026-11-23", "NaT"], "datetime64[D]"), number)
    )
    frame.insert(0, "decision_date", days)
    return frame.set_axis(pd.Index([f"d{i:06d}" for i in rng.permutation(number)], name="decision_id"))


def people_of(facts: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return the same facts as plain Python values, None where unknown."""
    plain = facts.drop(columns="decision_date").astype("object")
    return {
        str(identity): {name: None if value is pd.NA or value != value else value for name, value in row.items()}
        for identity, row in zip(plain.index, plain.to_dict("records"), strict=True)
    }
