"""Which words learn, review and sign off a model?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import (
    DEFAULT_WORKSPACE,
    Config,
    Model,
    Out,
    Records,
    Source,
    StatementsFile,
    Workspace,
    configured,
    console,
    loaded_model,
    progress,
)

_MONITOR = Path("monitor.html")


def train(
    records: Records,
    out: Out,
    config: Config = None,
    source: Source = None,
    statements: StatementsFile = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Features, labels, models, evaluation, MLflow run and registered version."""
    from pipeline.runs.model_cards import read_statements
    from pipeline.runs.screen import trained_shown
    from pipeline.runs.train import train as run

    said = read_statements(statements)
    trained_shown(run(records, configured(config, source), out, workspace, progress(), statements=said), console())


def review(
    model: Model,
    out: Out,
    predictions: Annotated[
        Path | None,
        typer.Option(
            "--predictions", help="A batch that `mmrank predict` wrote: its statuses and overrides, in counts."
        ),
    ] = None,
    statements: StatementsFile = None,
    against: Annotated[
        str | None, typer.Option("--against", help="A champion to compare with: a run directory or models:/...")
    ] = None,
    records: Annotated[
        Path | None,
        typer.Option("--records", help="With --against: scored by both; the cases that flip go to flips.csv."),
    ] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    show_identifiers: Annotated[bool, typer.Option(help="Name the decisions in flips.csv.")] = False,
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
    out: Annotated[Path, typer.Option("--out", help="The page; the same goes beside it as JSON.")] = _MONITOR,
    since: Annotated[
        str | None,
        typer.Option("--since", help="First decision day that counts; default: the month after those learned from."),
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
    model: Annotated[str, typer.Argument(help="models:/mmrank/3, or the run directory of a registered model.")],
    reviewer: Annotated[str, typer.Option("--reviewer", help="Your role; never a name.")],
    note: Annotated[str, typer.Option(help="What you saw, without names; needed unless the verdict is go.")] = "",
    override: Annotated[str, typer.Option(help="Reason to promote although a gate fails.")] = "",
    expecting: Annotated[
        str | None, typer.Option(help="Version that must be champion until then, or none; default: the one found.")
    ] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Sign a version off and make it models:/mmrank@champion."""
    from pipeline.runs.promoting import promote as run
    from pipeline.runs.registry_screen import promoted_shown

    given = {"reviewer": reviewer, "note": note, "override": override}
    promoted_shown(run(model, workspace, **given, expecting=expecting), console())
