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

FILE, FOLDER, TEXT, NUMBER = "FILE", "FOLDER", "TEXT", "N"
"""What stands behind an option in the help; short, so that the names of options are whole in 80 columns."""

WHERE, HOW, ASKED = "Where things are", "How it runs", "What is asked for"
"""Groups of options in the help."""

_LEAST_MEMORY = "100MB"


def checked_file(path: Path) -> Path:
    """Return the path of a file to write; a ConfigError refuses one that cannot be, before any work."""
    from pipeline.store import file_to_write

    return file_to_write(path)


def checked_table(path: Path) -> Path:
    """Return the path of a table to write; a ConfigError refuses one that cannot be, before any work."""
    from pipeline.store import table_to_write

    return table_to_write(path)


def checked_folder(path: Path) -> Path:
    """Return the path of a folder to write into; a ConfigError refuses one that cannot be, before any work."""
    from pipeline.store import folder_to_write

    return folder_to_write(path)


def checked_memory(limit: str) -> str:
    """Return a memory limit; a ConfigError refuses one that is none or too little, before any work."""
    from pipeline.store import memory_bytes

    memory_bytes(limit, "--memory", least=_LEAST_MEMORY)
    return limit


Records = Annotated[Path, typer.Argument(metavar="RECORDS", help="Folder of CSV or Parquet tables, or a .duckdb file.")]
OutFolder = Annotated[
    Path, typer.Option("--out", metavar=FOLDER, callback=checked_folder, help="Folder to write; new or empty.")
]
Config = Annotated[
    Path | None, typer.Option("--config", metavar=FILE, help="Configuration; default: configs/base.yaml as shipped.")
]
Source = Annotated[
    Path | None,
    typer.Option(
        "--source", metavar=FILE, help="Maps records of another shape: a file of configs/sources/ (docs/sources.md)."
    ),
]
Workspace = Annotated[
    Path,
    typer.Option(
        "--workspace",
        metavar=FOLDER,
        envvar="MMRANK_WORKSPACE",
        rich_help_panel=WHERE,
        help="Where MLflow keeps runs and registered models.",
    ),
]
Overrides = Annotated[
    Path | None,
    typer.Option(
        "--overrides",
        metavar=FILE,
        help="Rules that clinicians set aside: CSV, Parquet, JSON or YAML rows of decision_id, rule_id, reason, "
        "by_role (a role, never a name) and date.",
    ),
]
StatementsFile = Annotated[
    Path | None,
    typer.Option(
        "--statements", metavar=FILE, help="What your institution says in the model card (configs/model_card/)."
    ),
]
Model = Annotated[
    str,
    typer.Option("--model", metavar="MODEL", help="The folder that `mmrank train` wrote, or models:/mmrank@champion."),
]
Memory = Annotated[
    str,
    typer.Option(
        "--memory",
        metavar="SIZE",
        callback=checked_memory,
        rich_help_panel=HOW,
        help=f"Memory for reading records, such as 512MB or 2GB, from {_LEAST_MEMORY} on; the rest is on disk.",
    ),
]
DEFAULT_WORKSPACE = Path(".mmrank")
DEFAULT_MEMORY = "512MB"


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
