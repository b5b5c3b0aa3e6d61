"""Can we invent an institution whose truth is known?"""

from __future__ import annotations

from pipeline.simulate.comparison import PublishedRate, compare, published_rates
from pipeline.simulate.institution import Institution, simulate
from pipeline.simulate.settings import MODALITIES, NOTE, SimulationSettings

__all__ = [
    "MODALITIES",
    "NOTE",
    "Institution",
    "PublishedRate",
    "SimulationSettings",
    "compare",
    "published_rates",
    "simulate",
]
