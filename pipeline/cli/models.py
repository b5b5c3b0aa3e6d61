"""Which words learn, review and sign off a model?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import (
    DEFAULT_WORKSPACE,
    FILE,
    FOLDER,
    TEXT,
    Config,
    Model,
    OutFolder,
    Records,
    Source,
    StatementsFile,
    Workspace,
    checked_file,
    configured,
    console,
    loaded_model,
    progress,
)

_MONITOR = Path("monitor.html")
_COMPARING = "Comparing with another model"


def train(
    records: Records,
    out: OutFolder,
    config: Config = None,
    source: Source = None,
    statements: StatementsFile = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Learn a model from records, evaluate it and register it: model, review page, model card and MLflow run."""
    from pipeline.runs.model_cards import read_statements
    from pipeline.runs.screen import trained_shown
    from pipeline.runs.train import train as run

    said = read_statements(statements)
    trained_shown(run(records, configured(config, source), out, workspace, progress(), statements=said), console())


def review(
    model: Model,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar=FILE,
            callback=checked_file,
            help="The page, an HTML file; its model card and tables go beside it. Replaced if it is there.",
        ),
    ],
    predictions: Annotated[
        Path | None,
        typer.Option(
            "--predictions",
            metavar=FOLDER,
            help="A batch that `mmrank predict` wrote: the page counts its statuses and overrides.",
        ),
    ] = None,
    statements: StatementsFile = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="MODEL",
            rich_help_panel=_COMPARING,
            help="The other model: a folder that `mmrank train` wrote, or models:/mmrank@champion.",
        ),
    ] = None,
    records: Annotated[
        Path | None,
        typer.Option(
            "--records",
            metavar="RECORDS",
            rich_help_panel=_COMPARING,
            help="Decisions that both score; flips.csv, beside the page, lists those with another first choice.",
        ),
    ] = None,
    show_identifiers: Annotated[
        bool, typer.Option("--show-identifiers", rich_help_panel=_COMPARING, help="Name the decisions in flips.csv.")
    ] = False,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Write the model-review page (HTML) of a trained model, and its model card beside it."""
    from pipeline.runs.comparing import compare_with
    from pipeline.runs.reviews import write_review

    if against is None and (records is not None or show_identifiers):
        raise typer.BadParameter("--records and --show-identifiers belong to --against")
    found = None
    if against is not None:
        shown = progress()
        found = compare_with(model, against, workspace, out, shown, records=records, show_identifiers=show_identifiers)
    write_review(model, workspace, out, predictions, statements, found)
    console().print(f"review: {out}", markup=False)


def monitor(
    records: Records,
    model: Model,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar=FILE,
            callback=checked_file,
            help="The page, an HTML file; the same goes beside it as JSON. Replaced if it is there.",
        ),
    ] = _MONITOR,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="DAY",
            help="First decision day that counts, such as 2026-01-01; default: the month after the decisions that the "
            "model learned from.",
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="End with exit code 15 if any check is an issue.")] = False,
    source: Source = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Compare later decisions and what followed with training: drift, calibration, value; write a page."""
    from pipeline.runs.monitoring import monitor as run
    from pipeline.runs.shift_screen import shift_shown

    found = run(records, loaded_model(model, workspace, source), out, progress(), since=since)
    shift_shown(found, out, console())
    if strict and found["verdict"]["result"] == "changed":
        raise typer.Exit(15)


def models(
    workspace: Workspace = DEFAULT_WORKSPACE,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """List registered versions with verdict, gates and sign-offs; newest first."""
    from pipeline.runs.promoting import registered_models
    from pipeline.runs.registry_screen import models_in_json, models_shown

    found = registered_models(workspace)
    if as_json:
        sys.stdout.write(models_in_json(found) + "\n")
    else:
        models_shown(found, console())


def promote(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="models:/mmrank/3, or the folder that `mmrank train` wrote."),
    ],
    reviewer: Annotated[str, typer.Option("--reviewer", metavar=TEXT, help="Your role; never a name.")],
    note: Annotated[
        str, typer.Option(metavar=TEXT, help="What you saw, without names; needed unless the verdict is go.")
    ] = "",
    override: Annotated[str, typer.Option(metavar=TEXT, help="Why to promote it although a gate failed.")] = "",
    expecting: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION",
            help="The version that must still be champion when this one takes over (or none); default: the one found.",
        ),
    ] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Sign a version off and make it models:/mmrank@champion."""
    from pipeline.runs.promoting import promote as run
    from pipeline.runs.registry_screen import promoted_shown

    given = {"reviewer": reviewer, "note": note, "override": override}
    promoted_shown(run(model, workspace, **given, expecting=expecting), console())
