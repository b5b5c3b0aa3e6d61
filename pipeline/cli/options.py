"""Which options do several commands share, and what do they stand for?

Imports of what a command runs stand inside functions, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.runs.progress import Shown
    from pipeline.runs.setup import Setup

Records = Annotated[Path, typer.Argument(help="Directory of CSV or Parquet tables, or a .duckdb file.")]
Out = Annotated[Path, typer.Option("--out", help="Where to write.")]
Config = Annotated[Path | None, typer.Option("--config", help="Configuration; default: the shipped base.yaml.")]
Source = Annotated[
    Path | None, typer.Option("--source", help="A configs/sources/*.yaml that maps an extract of another shape.")
]
Workspace = Annotated[
    Path, typer.Option("--workspace", envvar="MMRANK_WORKSPACE", help="Folder of the MLflow store and registry.")
]
Overrides = Annotated[
    Path | None,
    typer.Option(
        "--overrides",
        help="Rules set aside by clinicians: CSV, Parquet, or a JSON or YAML list of decision_id, rule_id, reason, "
        "by_role (a role, never a name) and date.",
    ),
]
StatementsFile = Annotated[
    Path | None,
    typer.Option("--statements", help="What the institution says in the model card; see configs/model_card/."),
]
Model = Annotated[str, typer.Option("--model", help="A run directory, or models:/mmrank@champion.")]
DEFAULT_WORKSPACE = Path(".mmrank")


def progress() -> Shown:
    """Return what shows progress on this terminal."""
    from pipeline.runs.progress import Shown

    return Shown()


def configured(config: Path | None, source: Path | None) -> Setup:
    """Return the configuration, checked whole; the shipped one where none is named."""
    from pipeline.runs.setup import read_setup
    from pipeline.store import shipped

    return read_setup(config or shipped("configs") / "base.yaml", source)


def console() -> Console:
    """Return where results are printed; 110 columns where no terminal says otherwise."""
    from rich.console import Console

    asked = os.environ.get("COLUMNS", "").isdigit()
    terminal = sys.stdout.isatty()
    return Console(highlight=False, soft_wrap=not terminal, width=None if terminal or asked else 110)


def loaded_model(model: str, workspace: Path, source: Path | None) -> Any:
    """Return the model, verified, with the source file that maps its records."""
    from dataclasses import replace

    from pipeline.runs.model_dir import load_model
    from pipeline.runs.setup import with_source

    loaded = load_model(model, workspace)
    return replace(loaded, setup=with_source(loaded.setup, source))
