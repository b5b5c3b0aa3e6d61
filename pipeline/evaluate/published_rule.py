"""What would a published rule of choice have given?

The rule is declared as data (configs/published_rule.yaml) with a source and a mark per condition; it is a policy to
compare with, never advice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field, model_validator

from pipeline.declared import Declared

Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


class FactTest(Declared):
    """A test of one feature; a fact that is not recorded does not hold.

    Attributes
    ----------
    feature : str
    at_least, below : float or None
        For numbers, in the feature's unit.
    equals : bool or None
        For booleans; written `is`.
    """

    feature: str
    at_least: float | None = None
    below: float | None = None
    equals: bool | None = Field(default=None, alias="is")

    @model_validator(mode="after")
    def _tests_something(self) -> FactTest:
        if self.at_least is None and self.below is None and self.equals is None:
            raise ValueError("needs at_least, below or is")
        return self

    def holds(self, values: Array) -> BoolArray:
        """Return for whom the test holds, shape (n,)."""
        found = ~np.isnan(values)
        if self.at_least is not None:
            found &= values >= self.at_least
        if self.below is not None:
            found &= values < self.below
        if self.equals is not None:
            found &= values == float(self.equals)
        return found


class PublishedCondition(Declared):
    """One line of the rule: this modality, when the fact holds (always, where there is none).

    Attributes
    ----------
    modality : str
    when : FactTest or None
    mark : {'V', 'R', 'D'}
        Verified in the source, recalled, or this project's own.
    source : str
    """

    modality: str
    when: FactTest | None = None
    mark: Literal["V", "R", "D"]
    source: str


class PublishedRule(Declared):
    """Ordered conditions; the first that holds, and whose modality is possible, decides.

    Attributes
    ----------
    id, label, about : str
    conditions : tuple of PublishedCondition
    """

    id: str
    label: str
    about: str
    conditions: tuple[PublishedCondition, ...] = Field(min_length=1)

    @property
    def is_draft(self) -> bool:
        """Whether any condition is not verified in its source."""
        return any(condition.mark != "V" for condition in self.conditions)

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities it names, once each."""
        return tuple(dict.fromkeys(condition.modality for condition in self.conditions))

    def missing(self, arms: Sequence[str], features: pd.DataFrame) -> str | None:
        """Return why the rule does not apply to these arms and features, or None."""
        absent = [name for name in self.modalities if name not in arms]
        if absent:
            return f"not applicable: it names {', '.join(absent)}, which is not ranked here"
        facts = dict.fromkeys(condition.when.feature for condition in self.conditions if condition.when)
        unknown = [name for name in facts if name not in features]
        return f"not applicable: it asks for {', '.join(unknown)}, which is no feature here" if unknown else None

    def chance(self, features: pd.DataFrame, arms: Sequence[str], is_impossible: BoolArray) -> Array:
        """Return what the rule gives, one-hot, shape (n, arms); chance among the possible where it is silent.

        Parameters
        ----------
        features : DataFrame of n rows
        arms : sequence of str
        is_impossible : bool array (n, arms)
        """
        given = np.zeros(is_impossible.shape)
        is_open = np.ones(len(features), dtype=bool)
        for condition in self.conditions:
            code = list(arms).index(condition.modality)
            holds = is_open & ~is_impossible[:, code]
            if condition.when is not None:
                holds &= condition.when.holds(features[condition.when.feature].to_numpy(dtype=float))
            given[holds, code] = 1.0
            is_open &= ~holds
        allowed = ~is_impossible[is_open]
        given[is_open] = allowed / allowed.sum(axis=1, keepdims=True)
        return given
