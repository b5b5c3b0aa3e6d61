"""One small simulated institution, trained once per worker, for the tests that follow records to pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.runs.institution import write_institution
from pipeline.runs.model_dir import Loaded, load_model
from pipeline.runs.reporting import Quiet
from pipeline.runs.setup import SETTINGS, Setup, read_setup, setup_of
from pipeline.runs.train import Trained, train
from pipeline.simulate import SimulationSettings

ROOT = Path(__file__).parents[1]
COMMPASS = ROOT.parent / "shared" / "data" / "commpass"
QUICK = """
learner:
  folds: 2
  ridge_alphas: [0.01]
  trees_at_1000: 120
  student_trees: 200
  student_rows: 4000
  draws: 8
"""


def quick(setup: Setup) -> Setup:
    """Return the setup with a learner that is small enough for a test, and that does not learn again."""
    text = re.sub(r"\nlearner:\n(  .*\n)*", "\n", setup.texts[SETTINGS])
    text = re.sub(r"\n  stability:.*\n(    .*\n)*", "\n  stability: {seeds: 0, refractory: false}\n", text)
    return setup_of({**setup.texts, SETTINGS: text + QUICK}, "test configuration")


@dataclass(frozen=True)
class Journey:
    """A trained institution and new records of the same kind."""

    home: Path
    records: Path
    fresh: Path
    workspace: Path
    setup: Setup
    trained: Trained
    loaded: Loaded


@pytest.fixture(scope="session")
def base_setup() -> Setup:
    """Return the shipped default configuration."""
    return read_setup(ROOT / "configs" / "base.yaml")


@pytest.fixture(scope="session")
def journey(tmp_path_factory: pytest.TempPathFactory, base_setup: Setup) -> Iterator[Journey]:
    """Return an institution of 700 simulated decisions, trained, and 60 new ones."""
    home = tmp_path_factory.mktemp("journey")
    records, fresh, workspace = home / "records", home / "fresh", home / "workspace"
    write_institution(SimulationSettings(decisions=700, seed=11), records)
    write_institution(SimulationSettings(decisions=60, seed=12), fresh)
    setup = quick(base_setup)
    trained = train(records, setup, home / "run", workspace, Quiet())
    yield Journey(home, records, fresh, workspace, setup, trained, load_model("models:/mmrank@champion", workspace))
