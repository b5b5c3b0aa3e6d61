"""What does a model keep of the decisions it learned from, and how do those that it scores differ from them?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.config import ShiftConfig
from pipeline.errors import SchemaError
from pipeline.evaluate import Material
from pipeline.learners import SMALL_CELL, SuitabilityModel
from pipeline.review import shift_page
from pipeline.runs.model_dir import Loaded
from pipeline.runs.setup import Setup
from pipeline.shift import OUTSIDE, Meaning, Now, Profile, Tally, differences, profile_in, profiled, summary
from pipeline.store import canonical_json, read_text

REFERENCE = "reference"
"""Where a model directory keeps its profile, inside `about.json`."""

SUMMARY, PAGE = "_shift.json", "_shift.html"
_UNDOUBTED = ("ranked", "tied", "abstained")
_TABLES = {
    "patient": "patients",
    "measurement": "measurements",
    "finding": "findings",
    "course": "drugs",
    "line": "lines",
    "wait": "availability",
    "score": "",
}
_NO_PROFILE = "The model is older than profiles of training decisions, so nothing can be compared."


def reference_of(setup: Setup, model: SuitabilityModel, material: Material, *, calendar: bool) -> dict[str, Any]:
    """Return the profile of the training decisions, with nothing in it that tells of fewer than eleven.

    Parameters
    ----------
    setup : Setup
    model : SuitabilityModel
    material : Material
    calendar : bool
        Whether dates are calendar dates.
    """
    features, people = material.features, material.patients
    spec = setup.spec
    dated = {entry.name for entry in spec.of_kind("decision")}
    names = [name for name in (*model.columns.names, *model.propensity_columns.names) if name not in dated]
    yes_or_no = [entry.name for entry in spec.features if entry.dtype == "boolean"]
    given = material.labels["modality"].astype(str)
    doubts = pd.Series(model.contract.reasons(features, model.columns), dtype="object")
    sample = material.sample.predictions
    outside = int((sample["abstain_reason"] == OUTSIDE).sum())
    profile = Profile(
        decisions=len(features),
        people=int(people.nunique()),
        features=profiled(features, list(dict.fromkeys(names)), yes_or_no, people, setup.config.settings.shift.bins),
        modalities=_of_many(given, people),
        reasons=_of_many(doubts.dropna(), people),
        judged=int(sample["status"].isin(_UNDOUBTED).sum()),
        outside=outside if outside >= SMALL_CELL else 0,
        last_month=_last_month(features["decision_date"]) if calendar else None,
    )
    return profile.document()


def _of_many(values: pd.Series, people: pd.Series) -> dict[str, int]:
    """Return how many rows have each value; 0 where fewer than eleven people do."""
    counts, numbers = values.value_counts(), people[values.index].groupby(values).nunique()
    return {str(name): int(counts[name]) if numbers[name] >= SMALL_CELL else 0 for name in sorted(counts.index)}


def _last_month(dates: pd.Series) -> str | None:
    """Return the month by which all decisions but ten at most were made; None where there are so few."""
    known = pd.to_datetime(dates).sort_values()
    return f"{known.iloc[-SMALL_CELL]:%Y-%m}" if len(known) >= SMALL_CELL else None


class Watch:
    """Counts the decisions that one model scores, and says how they differ from those it learned from.

    Parameters
    ----------
    loaded : Loaded

    Attributes
    ----------
    profile : Profile or None
        None where the model is older than profiles; then nothing is counted.

    Raises
    ------
    ModelMismatchError
        If the model's profile has another format.
    """

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self.profile = profile_in(loaded.about.get(REFERENCE))
        self._tally = None if self.profile is None else Tally(self.profile)

    @property
    def config(self) -> ShiftConfig:
        """The model's own thresholds."""
        return self._loaded.setup.config.settings.shift

    def see(self, features: pd.DataFrame) -> None:
        """Count some decisions."""
        if self._tally is not None:
            model = self._loaded.adviser.model
            self._tally.add(features, model.contract.reasons(features, model.columns))

    def told(self) -> dict[str, Any] | None:
        """Return what was counted as plain values, which another watch of the same model can `hear`."""
        return None if self._tally is None else self._tally.told()

    def hear(self, told: Mapping[str, Any] | None) -> None:
        """Add what was counted elsewhere."""
        if self._tally is not None and told is not None:
            self._tally.hear(told)

    def now(
        self,
        people: int,
        statuses: Mapping[str, int],
        abstained: Mapping[str, int],
        given: Mapping[str, int] | None = None,
    ) -> Now | None:
        """Return what was counted, or None where the model has no profile.

        Parameters
        ----------
        people : int
            Distinct patients among the decisions.
        statuses, abstained : mapping of status, and of abstain reason, to rows of the predictions
        given : mapping of modality to decisions, or None
            None where it is not known yet.
        """
        if self._tally is None:
            return None
        judged = sum(statuses.get(name, 0) for name in _UNDOUBTED)
        tally = self._tally
        return Now(tally.decisions, people, tally.counts, tally.reasons, judged, abstained.get(OUTSIDE, 0), given)

    def meanings(self) -> dict[str, Meaning]:
        """Return what each feature means and which table it is read from."""
        features = self._loaded.setup.spec.features
        found = {entry.name: Meaning(entry.meaning, _TABLES[entry.kind]) for entry in features if entry.kind in _TABLES}
        return found | {"site_id": Meaning("Site", "decisions")}


def shift_of(watch: Watch, now: Now | None, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the summary of a batch.

    Parameters
    ----------
    watch : Watch
    now : Now or None
        As `Watch.now` returns it.
    about : mapping
        Digests of model and records, and whether they are simulated.
    """
    if watch.profile is None or now is None:
        words = {"result": "not_applicable", "words": _NO_PROFILE}
        return {**about, "verdict": words, "checks": [], "next": ["Train again with this version to have it compared."]}
    config = watch.config
    return {**about, **summary(watch.profile, now, differences(watch.profile, now, config), config, watch.meanings())}


def read_shift(out: Path) -> dict[str, Any]:
    """Return the summary beside a finished batch.

    Raises
    ------
    SchemaError
        If it is gone or damaged.
    """
    with suppress(ValueError):
        found = json.loads(read_text(out / SUMMARY, SchemaError))
        if isinstance(found, dict):
            return found
    raise SchemaError(f"{out / SUMMARY}: damaged. Score into another folder.")


def beside(found: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the files that stand beside the predictions: the summary for programs, and as a page."""
    return {SUMMARY: canonical_json(dict(found)), PAGE: shift_page(found).encode()}
