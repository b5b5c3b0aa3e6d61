"""How do this institution's look-alikes of a published trial fare beside it?

Figures are declared with their source (configs/published_trials.yaml), and only those whose outcome and landmark are
ours. Orientation, not a test: trials choose whom they take in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from pipeline.declared import Declared
from pipeline.evaluate.censoring import risk_table
from pipeline.evaluate.contrasts import Z95
from pipeline.evaluate.published_rule import FactTest
from pipeline.learners import SMALL_CELL, Evidence, Target

Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


class PublishedTrial(Declared):
    """One published figure, and who of ours would have been like its people.

    Attributes
    ----------
    trial, modality : str
    outcome : str
        Ours, with which the figure is compared.
    months : int
        Landmark, from time zero.
    measure, time_zero, population, differs : str
        What was measured, since when, in whom, and how that is not ours.
    published, low, high : float
        Share with the good outcome at the landmark, and its 95 % interval.
    people : int
    eligibility : tuple of FactTest
        All must hold; what is not recorded does not hold.
    mark : {'V'}
        Only figures seen in a source.
    source : str
    """

    trial: str
    modality: str
    outcome: Literal["durable_control"]
    months: int = Field(ge=1)
    measure: str
    time_zero: str
    population: str
    differs: str
    published: float = Field(ge=0, le=1)
    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)
    people: int = Field(ge=1)
    eligibility: tuple[FactTest, ...]
    mark: Literal["V"]
    source: str


class Unmatched(Declared):
    """Why no published figure of a modality matches ours, and what was seen instead."""

    modality: str
    words: str
    source: str


class PublishedTrials(Declared):
    """The whole file.

    Attributes
    ----------
    trials : tuple of PublishedTrial
    unmatched : tuple of Unmatched
    """

    trials: tuple[PublishedTrial, ...]
    unmatched: tuple[Unmatched, ...] = ()


def kaplan_meier(months: Array, event: npt.NDArray[np.int64], at: float) -> tuple[float, float, float]:
    """Return the share without an event at a time, with a 95 % interval.

    Parameters
    ----------
    months : array (n,)
    event : array (n,) of int
        0 is censored; anything else is an event.
    at : float, months

    Returns
    -------
    (float, float, float)
        Kaplan-Meier estimate; Greenwood's variance on the log-minus-log scale. An estimate of 0 or 1 has the
        interval 0 to 1.
    """
    _, at_risk, failed = risk_table(months, (event != 0) & (months <= at))
    share = float(np.prod(1.0 - failed / at_risk))
    if not 0.0 < share < 1.0:
        return share, 0.0, 1.0
    variance = float(np.sum(failed / (at_risk * (at_risk - failed)))) / np.log(share) ** 2
    reach = np.exp(Z95 * np.sqrt(variance))
    return share, float(share**reach), float(share ** (1.0 / reach))


def look_alikes(trial: PublishedTrial, features: pd.DataFrame) -> BoolArray:
    """Return who meets the recorded part of a trial's eligibility, shape (n,)."""
    holds = np.ones(len(features), dtype=bool)
    for test in trial.eligibility:
        holds &= test.holds(features[test.feature].to_numpy(dtype=float))
    return holds


def published_trials(
    declared: PublishedTrials | None,
    features: pd.DataFrame,
    evidence: Evidence,
    arms: Sequence[str],
    targets: Sequence[Target],
    labels: Mapping[str, str],
    meanings: Mapping[str, str],
) -> dict[str, Any]:
    """Return each published figure beside what happened here, and what the model says, in look-alikes.

    Parameters
    ----------
    declared : PublishedTrials or None
    features : DataFrame of the n rows of `evidence`
    evidence : Evidence
    arms : sequence of str
    targets : sequence of Target
    labels : mapping of modality to words
    meanings : mapping of feature to words

    Returns
    -------
    dict
        `trials` (the declared figure; `given` and `alike`: counts; `observed, observed_low, observed_high,
        predicted` in look-alikes who were given it, `predicted_all` in all look-alikes, None where `missing` says
        why), `unmatched` (modality, words, source) for modalities without a figure, `words`.
    """
    if declared is None:
        return {"trials": [], "unmatched": [], "words": "No published figures are declared in the configuration."}
    rows = [
        _row(trial, features, evidence, arms, targets)
        | {"eligibility": [_test_words(test, meanings) for test in trial.eligibility]}
        for trial in declared.trials
    ]
    matched = {row["modality"] for row in rows if row["missing"] is None}
    said = {entry.modality: entry for entry in declared.unmatched}
    unmatched = [
        {"modality": name, "words": said[name].words, "source": said[name].source}
        if name in said
        else {"modality": name, "words": "No published figure matches.", "source": ""}
        for name in arms
        if name not in {trial.modality for trial in declared.trials}
    ]
    told = ", ".join(labels.get(name, name) for name in arms if name in matched) or "no modality"
    words = f"Figures whose outcome and landmark are ours were found for {told}. Orientation, not a test."
    return {"trials": rows, "unmatched": unmatched, "words": words}


def _row(
    trial: PublishedTrial, features: pd.DataFrame, evidence: Evidence, arms: Sequence[str], targets: Sequence[Target]
) -> dict[str, Any]:
    told = trial.model_dump(exclude={"eligibility", "mark"})
    empty = dict.fromkeys(("given", "alike", "observed", "observed_low", "observed_high", "predicted", "predicted_all"))
    missing = _missing(trial, features, arms, targets)
    if missing is not None:
        return {**told, **empty, "missing": missing}
    alike = look_alikes(trial, features)
    code = list(arms).index(trial.modality)
    place = next(k for k, target in enumerate(targets) if target.name == trial.outcome)
    given = alike & (evidence.arm == code)
    counts = {"given": int(given.sum()), "alike": int(alike.sum())}
    if len(np.unique(evidence.groups[given])) < SMALL_CELL:
        return {**told, **empty, **counts, "missing": f"fewer than {SMALL_CELL} such people were given it"}
    months, event = evidence.follow_up.months[trial.outcome][given], evidence.follow_up.event[trial.outcome][given]
    observed, low, high = kaplan_meier(months, event, float(trial.months))
    predicted = evidence.outcomes[:, code, place]
    return {
        **told,
        **counts,
        "observed": observed,
        "observed_low": low,
        "observed_high": high,
        "predicted": float(predicted[given].mean()),
        "predicted_all": float(predicted[alike].mean()),
        "missing": None,
    }


def _missing(
    trial: PublishedTrial, features: pd.DataFrame, arms: Sequence[str], targets: Sequence[Target]
) -> str | None:
    """Return why a figure cannot be compared, or None."""
    if trial.modality not in arms:
        return "this modality is not ranked here"
    if trial.months not in {target.horizon_months for target in targets if target.name == trial.outcome}:
        return "the outcome is judged at another time here"
    unknown = [test.feature for test in trial.eligibility if test.feature not in features]
    return f"eligibility asks for {', '.join(unknown)}, which is no feature here" if unknown else None


def _test_words(test: FactTest, meanings: Mapping[str, str]) -> str:
    name = meanings.get(test.feature, test.feature.replace("_", " "))
    if test.equals is not None:
        return f"{name}: {'yes' if test.equals else 'no'}"
    parts = [f"at least {test.at_least:g}"] if test.at_least is not None else []
    parts += [f"under {test.below:g}"] if test.below is not None else []
    return f"{name}: {' and '.join(parts)}"
