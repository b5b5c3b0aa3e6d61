"""Invented institutions shared by the simulator's tests; each is made once."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import pytest

from pipeline.declared import parse_yaml
from pipeline.simulate import Institution, PublishedRate, SimulationSettings, published_rates, simulate

ROOT = Path(__file__).parents[2]


@lru_cache(maxsize=12)
def _made(settings: tuple[tuple[str, object], ...]) -> Institution:
    return simulate(SimulationSettings.model_validate(dict(settings)))


@pytest.fixture(scope="session")
def world() -> Callable[..., Institution]:
    """Return the institution of these settings, made once per session."""
    return lambda **settings: _made(tuple(sorted(settings.items())))


@pytest.fixture(scope="session")
def randomised(world: Callable[..., Institution]) -> Institution:
    """Everyone available gets a modality by chance, everybody is followed, nothing is missing."""
    return world(decisions=9000, seed=11, confounding=0.0, censoring="none", missingness=0.0)


@pytest.fixture(scope="session")
def published() -> tuple[PublishedRate, ...]:
    text = (ROOT / "configs" / "published.yaml").read_text()
    return published_rates(parse_yaml(text, "configs/published.yaml"))
