"""Which words score decisions and explain them?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from pipeline.cli.options import (
    DEFAULT_WORKSPACE,
    Model,
    Out,
    Overrides,
    Records,
    Source,
    Workspace,
    console,
    loaded_model,
    progress,
)


def predict(
    records: Records,
    model: Model,
    out: Out,
    source: Source = None,
    overrides: Overrides = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    resume: Annotated[bool, typer.Option(help="Continue an interrupted batch.")] = False,
    processes: Annotated[
        int | None, typer.Option(min=1, help="How many score; default: one per core, from three parts each on.")
    ] = None,
    top_reasons: Annotated[
        int | None, typer.Option(min=0, max=20, help="Features named as reasons; default: as the model is configured.")
    ] = None,
    explained: Annotated[
        Literal["all", "top", "none"], typer.Option("--explain", help="Every modality, the first and why, or none.")
    ] = "all",
    kind: Annotated[
        Literal["parquet", "csv"], typer.Option("--format", help="csv: lists as JSON text, no cell a formula.")
    ] = "parquet",
    memory: Annotated[str, typer.Option(help="For queries over records, such as 2GB; the rest is on disk.")] = "512MB",
    engine: Annotated[
        Literal["local", "spark"], typer.Option(help="What scores; the same bytes. spark: see docs/integration.md.")
    ] = "local",
    master: Annotated[
        str | None, typer.Option(help="Of Spark: local[4], spark://host:7077, yarn; default: as its own settings say.")
    ] = None,
) -> None:
    """Score records in a batch: ranked, explained and guarded Parquet."""
    from pipeline.runs.on_spark import Spark
    from pipeline.runs.predict import asked_detail
    from pipeline.runs.predict import predict as run
    from pipeline.runs.screen import batch_shown

    if master is not None and engine != "spark":
        raise typer.BadParameter("--master belongs to --engine spark")
    loaded = loaded_model(model, workspace, source)
    batch = run(
        records,
        loaded,
        out,
        progress(),
        overrides=overrides,
        resume=resume,
        detail=asked_detail(loaded, explained, top_reasons),
        kind=kind,
        processes=processes,
        memory_limit=memory,
        spark=Spark(master, processes) if engine == "spark" else None,
    )
    batch_shown(batch, console())


def features(
    records: Records,
    model: Model,
    out: Annotated[Path, typer.Option("--out", help="A Parquet file; it holds identifiers and values.")],
    source: Source = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    memory: Annotated[str, typer.Option(help="For queries over records, such as 2GB; the rest is on disk.")] = "512MB",
) -> None:
    """Write the table of features that MLflow serves a model on: one row per decision (docs/integration.md)."""
    from pipeline.runs.serving import write_features

    loaded = loaded_model(model, workspace, source)
    count = write_features(records, loaded, out, progress(), memory_limit=memory)
    console().print(f"{count:,} decisions in {out}", markup=False)


def explain(
    records: Records,
    model: Model,
    out: Annotated[Path, typer.Option("--out", help="The card; for several decisions a new folder of cards.")],
    decision: Annotated[list[str] | None, typer.Option("--decision", help="decision_id; may be repeated.")] = None,
    decisions: Annotated[Path | None, typer.Option("--decisions", help="File with one decision_id a line.")] = None,
    predictions: Annotated[
        Path | None, typer.Option("--predictions", help="A batch that `mmrank predict` wrote: all its decisions.")
    ] = None,
    everyone: Annotated[bool, typer.Option("--all", help="All decisions of the records.")] = False,
    source: Source = None,
    overrides: Overrides = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    show_identifiers: Annotated[bool, typer.Option(help="Print decision, patient and date on the card.")] = False,
    tables: Annotated[
        bool | None,
        typer.Option(
            "--tables/--no-tables", help="Tables as CSV and JSON beside the card; default: for one card, not for many."
        ),
    ] = None,
) -> None:
    """Write a case card (HTML), or a folder of cards with an index for several decisions."""
    from pipeline.runs.cards import asked_for, explain_case, explain_cases
    from pipeline.runs.screen import case_shown

    loaded = loaded_model(model, workspace, source)
    options: dict[str, Any] = {"overrides": overrides, "show_identifiers": show_identifiers}
    options |= {} if tables is None else {"tables": tables}
    if decision and len(decision) == 1 and not (decisions or predictions or everyone):
        case_shown(explain_case(records, loaded, decision[0], out, progress(), **options), console())
        return console().print(f"card: {out}", markup=False)
    if not (decision or decisions or predictions or everyone):
        raise typer.BadParameter("give --decision, --decisions FILE, --predictions DIR or --all")
    wanted = None if everyone else asked_for(decision or [], decisions, predictions, loaded)
    count = explain_cases(records, loaded, wanted, out, progress(), **options)
    console().print(f"cards: {count:,} in {out}, listed in {out / 'index.html'}", markup=False)
