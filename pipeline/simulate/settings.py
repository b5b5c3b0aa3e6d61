"""Which institution should be invented: how large, how confounded, how incomplete?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from pipeline.declared import Declared

MODALITIES = ("car_t", "bispecific", "adc", "standard_triplet")
"""The modalities the mechanism knows, in the order of its arrays."""

NOTE = "SIMULATED DATA: invented patients with known truth. A demonstration and a test bench, never evidence."
"""What every table, page and file that shows these records must say."""

_LOSS_PER_MONTH = {"none": 0.0, "default": 0.012, "heavy": 0.060}

_WEIGHTS: Mapping[str, float] = MappingProxyType(
    {"durable_control": 0.40, "treatment_free": 0.15, "severe_toxicity": 0.20, "early_death": 0.20, "burden": 0.05}
)
_SCHEDULES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"car_t": (16.0, 18.0), "bispecific": (6.0, 26.0), "adc": (0.0, 14.0), "standard_triplet": (1.0, 24.0)}
)


class SimulationSettings(Declared):
    """What to simulate. The defaults are a real-world-like institution calibrated to published rates.

    Attributes
    ----------
    decisions : int
        Decisions written, exactly; about one in seven belongs to a patient seen before.
    seed : int
        Same settings and seed, same bytes.
    confounding : float
        Multiplies every prognostic reason for a choice; 0 = the choice ignores the patient (access, date and
        chance remain), 1 = imbalances as published, 2 = twice as strong on the logit scale.
    unmeasured_confounder : float
        Strength of a reason for the choice that is written nowhere and moves progression and death; 0 = none.
    heterogeneity : float
        Multiplies the arm-specific effects of patient facts on the log hazards; 0 = one contrast for everyone.
    form : {'linear', 'tree'}
        Effect modification as sums, or as thresholds, U-shapes and interactions.
    censoring : {'none', 'default', 'heavy'} or float, per month
        Rate of loss to follow-up (informative given recorded facts). `none` also removes the data cut.
    missingness : float
        Multiplies every probability of a value not being recorded; 0 = nothing is missing.
    overlap : float in [0, 1]
        Multiplies the odds of CAR T from `no_overlap_from_ecog` upwards; 0 = never given there.
    no_overlap_from_ecog : int
        First ECOG grade that `overlap` thins out.
    wait_without_effect : bool
        All modalities share the same hazards; CAR T still waits for its infusion.
    small_arms : bool
        ADC and bispecific become rare.
    first_decision, last_decision, data_cut : str, ISO dates
        Span of the first decisions, and the day follow-up ends.
    cilta_cel_wait_days, ide_cel_wait_days : float, days
        Median from decision to infusion.
    weights : mapping of outcome to weight
        Of the suitability in the truth table; definitions.md defaults.
    schedules : mapping of modality to (hospital_days, visit_days)
        Of the burden in the truth table; as in configs/modalities.
    continuous : tuple of modality
        Modalities whose treatment-free share is the declared constant 0.
    """

    decisions: int = Field(default=3000, ge=1, le=500_000)
    seed: int = Field(default=20_240_501, ge=0)
    confounding: float = Field(default=1.0, ge=0, le=5)
    unmeasured_confounder: float = Field(default=0.0, ge=0, le=3)
    heterogeneity: float = Field(default=1.0, ge=0, le=3)
    form: Literal["linear", "tree"] = "linear"
    censoring: Literal["none", "default", "heavy"] | float = "default"
    missingness: float = Field(default=1.0, ge=0, le=3)
    overlap: float = Field(default=1.0, ge=0, le=1)
    no_overlap_from_ecog: int = Field(default=2, ge=1, le=4)
    wait_without_effect: bool = False
    small_arms: bool = False
    first_decision: str = "2021-04-01"
    last_decision: str = "2026-03-31"
    data_cut: str = "2026-06-30"
    cilta_cel_wait_days: float = Field(default=44.0, gt=0, le=180)
    ide_cel_wait_days: float = Field(default=49.0, gt=0, le=180)
    weights: Mapping[str, float] = Field(default_factory=lambda: dict(_WEIGHTS))
    schedules: Mapping[str, tuple[float, float]] = Field(default_factory=lambda: dict(_SCHEDULES))
    continuous: tuple[str, ...] = ("bispecific", "adc", "standard_triplet")

    @field_validator("censoring")
    @classmethod
    def _rate_is_sensible(cls, value: str | float) -> str | float:
        if not isinstance(value, str) and not 0 <= value <= 1:
            raise ValueError("must be none, default, heavy or a monthly rate from 0 to 1")
        return value

    @field_validator("first_decision", "last_decision", "data_cut")
    @classmethod
    def _is_a_date(cls, value: str) -> str:
        date.fromisoformat(value)
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> SimulationSettings:
        if not self.first_decision < self.last_decision < self.data_cut:
            raise ValueError("dates must be in the order first_decision, last_decision, data_cut")
        if set(self.weights) != set(_WEIGHTS) or min(self.weights.values()) < 0 or sum(self.weights.values()) <= 0:
            raise ValueError(f"weights must be non-negative numbers for exactly {', '.join(_WEIGHTS)}")
        if set(self.schedules) != set(MODALITIES):
            raise ValueError(f"schedules must name exactly {', '.join(MODALITIES)}")
        if unknown := sorted(set(self.continuous) - set(MODALITIES)):
            raise ValueError(f"continuous names unknown modalities: {', '.join(unknown)}")
        if "car_t" not in self.continuous and set(self.continuous) != set(MODALITIES) - {"car_t"}:
            raise ValueError("only car_t is simulated as time-limited; the others must be continuous")
        return self

    @property
    def loss_per_month(self) -> float:
        """Baseline rate of loss to follow-up per month."""
        return _LOSS_PER_MONTH[self.censoring] if isinstance(self.censoring, str) else float(self.censoring)

    @property
    def cut_day(self) -> int:
        """Day follow-up ends, in days since 1970-01-01; ten years later where nothing is to be censored."""
        return day_of(self.data_cut) + (3653 if self.censoring == "none" else 0)

    def stream(self, name: str) -> np.random.Generator:
        """Return the random stream of one step, so that a knob of one step leaves the draws of others alone."""
        return np.random.default_rng([self.seed, *name.encode()])


def day_of(text: str) -> int:
    """Return an ISO date as days since 1970-01-01."""
    return date.fromisoformat(text).toordinal() - date(1970, 1, 1).toordinal()
