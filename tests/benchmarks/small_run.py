"""Which model do benches score with where nobody names one? A small one, trained on the spot."""

from __future__ import annotations

from pathlib import Path

from pipeline.runs.institution import write_institution
from pipeline.runs.reporting import Quiet
from pipeline.runs.setup import read_setup
from pipeline.runs.train import train
from pipeline.simulate import SimulationSettings
from tests.conftest import ROOT, quick


def small_run(home: Path) -> Path:
    """Train on 700 simulated decisions in `home`, and return the run directory."""
    write_institution(SimulationSettings(decisions=700, seed=11), home / "records")
    train(
        home / "records", quick(read_setup(ROOT / "configs" / "base.yaml")), home / "run", home / "workspace", Quiet()
    )
    return home / "run"
