"""Which facts may a rule rely on, and which are too old to count?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.features.derived import inputs_of, score_columns
from pipeline.features.kleene import Floats
from pipeline.features.spec import Dtype, Feature, FeatureSpec, for_modalities
from pipeline.vocabulary import DrugCatalogue, Modality


@dataclass(frozen=True)
class Fact:
    """What a rule may say about one fact.

    Attributes
    ----------
    name : str
    type : {'boolean', 'number', 'category'}
    unit : str or None
    levels : tuple of str
        Of a category; empty otherwise.
    meaning : str
    max_age_days : int or None, days
        Older values are unknown to rules.
    obtain : str or None
        What to order or ask when it is missing.
    dates : str or None
        The fact whose age this is; whoever obtains that fact knows its age.
    """

    name: str
    type: Dtype
    unit: str | None
    levels: tuple[str, ...]
    meaning: str
    max_age_days: int | None
    obtain: str | None
    dates: str | None = None


def catalogue(spec: FeatureSpec, drugs: DrugCatalogue, modalities: Iterable[Modality | str]) -> dict[str, Fact]:
    """Return every fact that rules may read, by name, in column order.

    Parameters
    ----------
    spec : FeatureSpec
    drugs : DrugCatalogue
        Names the drugs that a class or target stands for.
    modalities : iterable of Modality or str

    Returns
    -------
    dict of str to Fact
        Features with the role `rules`, and the `<name>_age_days` of those that age.
    """
    facts: dict[str, Fact] = {}
    for entry in for_modalities(spec, modalities).features:
        if "rules" not in entry.roles:
            continue
        meaning = entry.meaning + _drugs_meant(entry, drugs)
        facts[entry.name] = Fact(
            entry.name, entry.dtype, entry.unit, entry.categories, meaning, entry.max_age_days, entry.obtain
        )
        if entry.age_column is not None:
            told = (entry.age_meaning, None, entry.obtain, entry.name)
            facts[entry.age_column] = Fact(entry.age_column, "number", "days", (), *told)
    return facts


def _drugs_meant(entry: Feature, drugs: DrugCatalogue) -> str:
    """Return the drugs that a class or target stands for, in brackets."""
    if entry.kind != "course" or entry.aggregate not in ("exposed", "refractory") or entry.drugs:
        return ""
    named = [name for drug_class in entry.classes for name in drugs.in_class(drug_class)]
    named += [name for name in drugs.against(entry.target) if name not in named] if entry.target else []
    return f" ({', '.join(named)})" if named else ""


def facts(frame: pd.DataFrame, spec: FeatureSpec) -> pd.DataFrame:
    """Return the facts of each decision as rules read them.

    Parameters
    ----------
    frame : DataFrame, one row per decision
        As returned by `build`.
    spec : FeatureSpec
        The one that `frame` was built with.

    Returns
    -------
    DataFrame, one row per decision, indexed by `decision_id`
        The columns of `frame` but `decision_id`. A value older than its `max_age_days` is missing, and
        scores are formed anew from what is left. Truth values are `boolean`, numbers `Float64`,
        categories `str`; missing is missing, never false.
    """
    spelled = for_modalities(spec, _wait_modalities(frame, spec))
    columns: dict[str, Floats] = {}
    for entry in spelled.features:
        if entry.kind != "score" and entry.dtype != "category":
            columns[entry.name] = _fresh(entry, frame)
    columns |= score_columns(spelled, inputs_of(columns, frame.get("sex"), spelled))
    indexed: dict[str, pd.Series] = {name: frame[name] for name in ("patient_id", "decision_date", "site_id")}
    for entry in spelled.features:
        indexed[entry.name] = (
            frame[entry.name].astype("str")
            if entry.dtype == "category"
            else _nullable(entry.dtype, columns[entry.name])
        )
    for name in spelled.age_columns.values():
        indexed[name] = _nullable("number", frame[name].to_numpy(dtype=np.float64))
    aligned = {name: column.set_axis(frame.index) for name, column in indexed.items()}
    return pd.DataFrame(aligned, index=frame.index).set_axis(pd.Index(frame["decision_id"], name="decision_id"))


def _wait_modalities(frame: pd.DataFrame, spec: FeatureSpec) -> list[str]:
    """Return the modalities whose waiting times a frame holds."""
    stem = [entry.name for entry in spec.of_kind("wait") if entry.code is None]
    prefixes = tuple(f"{name}_" for name in stem)
    return [name.removeprefix(prefix) for prefix in prefixes for name in frame.columns if name.startswith(prefix)]


def _fresh(entry: Feature, frame: pd.DataFrame) -> Floats:
    """Return a column with what is too old, or of unknown age, missing."""
    values = frame[entry.name].to_numpy(dtype=np.float64, copy=True)
    if entry.age_column is not None:
        ages = frame[entry.age_column].to_numpy(dtype=np.float64)
        values[~(ages <= float(entry.max_age_days or 0))] = np.nan
    return values


def _nullable(dtype: Dtype, values: Floats) -> pd.Series:
    """Return values with missing as NA: `boolean` or `Float64`."""
    missing = np.isnan(values)
    if dtype == "boolean":
        return pd.Series(pd.arrays.BooleanArray(np.where(missing, 0.0, values).astype(bool), missing))
    return pd.Series(pd.arrays.FloatingArray(np.where(missing, 0.0, values), missing))
