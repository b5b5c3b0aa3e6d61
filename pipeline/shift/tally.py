"""How many of these decisions fall in each bin of a profile, and of how many would the model not speak?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.shift.profile import Profile

IntArray = npt.NDArray[np.int64]


class Tally:
    """Counts decisions, some at a time; the counts do not depend on how they are divided.

    Parameters
    ----------
    profile : Profile

    Attributes
    ----------
    decisions : int
        Counted so far.
    counts : dict of feature to array (bins + 1,)
        Decisions per bin, those in which it is missing last.
    reasons : Counter of abstain reason
    """

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self.decisions = 0
        self.counts: dict[str, IntArray] = {
            entry.name: np.zeros(entry.bins + 1, dtype=np.int64) for entry in profile.features
        }
        self.reasons: Counter[str] = Counter()

    def add(self, features: pd.DataFrame, reasons: Sequence[str | None]) -> None:
        """Count some decisions.

        Parameters
        ----------
        features : DataFrame, one row per decision
        reasons : sequence of str or None, the same rows
            Why the model would not speak of the row, as its input contract says.
        """
        self.decisions += len(features)
        self.reasons.update(reason for reason in reasons if reason)
        for entry in self._profile.features:
            self.counts[entry.name] += entry.binned(features[entry.name])

    def told(self) -> dict[str, Any]:
        """Return the counts as plain values, which another tally of the same profile can `hear`."""
        counts = {name: found.tolist() for name, found in self.counts.items()}
        return {"decisions": self.decisions, "counts": counts, "reasons": dict(self.reasons)}

    def hear(self, told: Mapping[str, Any]) -> None:
        """Add what was counted elsewhere."""
        self.decisions += told["decisions"]
        self.reasons.update(told["reasons"])
        for name, found in told["counts"].items():
            self.counts[name] += np.asarray(found, dtype=np.int64)
