"""Which words score decisions and explain them?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from pipeline.cli.options import (
    ASKED,
    DEFAULT_MEMORY,
    DEFAULT_WORKSPACE,
    FILE,
    FOLDER,
    HOW,
    NUMBER,
    TEXT,
    Memory,
    Model,
    Overrides,
    Records,
    Source,
    Workspace,
    checked_file,
    checked_folder,
    checked_table,
    console,
    loaded_model,
    progress,
)

Explained = Annotated[
    Literal["all", "top", "none"],
    typer.Option(
        "--explain",
        metavar="WHICH",
        rich_help_panel=ASKED,
        help="all: reasons for every modality; top: for the first one, and why it is before the next; none.",
    ),
]
TopReasons = Annotated[
    int | None,
    typer.Option(
        metavar=NUMBER,
        min=0,
        max=20,
        rich_help_panel=ASKED,
        help="How many facts are named as reasons, 0 to 20; default: as the model is configured.",
    ),
]
Format = Annotated[
    Literal["parquet", "csv"],
    typer.Option(
        "--format",
        metavar="KIND",
        rich_help_panel=ASKED,
        help="parquet, or csv: lists as JSON text, and no cell that a spreadsheet runs as a formula.",
    ),
]
Processes = Annotated[
    int | None,
    typer.Option(
        metavar=NUMBER,
        min=1,
        rich_help_panel=HOW,
        help="How many processes score; default: one per core, if each has three parts of 5,000 decisions to do.",
    ),
]
Engine = Annotated[
    Literal["local", "spark"],
    typer.Option(
        metavar="ENGINE",
        rich_help_panel=HOW,
        help="local, or spark (docs/integration.md); what is written is the same.",
    ),
]
Master = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        rich_help_panel=HOW,
        help="With --engine spark: local[4], spark://host:7077 or yarn; default: what Spark itself is set to.",
    ),
]
Cards = Annotated[
    Path,
    typer.Option(
        "--out",
        metavar="PATH",
        help="One --decision: the card, an HTML file; one that is there is replaced. Otherwise a folder of cards, "
        "new or empty.",
    ),
]
Decision = Annotated[
    list[str] | None,
    typer.Option(
        "--decision",
        metavar=TEXT,
        rich_help_panel="Which decisions",
        help="A decision_id; may be given several times.",
    ),
]
Decisions = Annotated[
    Path | None,
    typer.Option(
        "--decisions", metavar=FILE, rich_help_panel="Which decisions", help="Text with one decision_id a line."
    ),
]
Predictions = Annotated[
    Path | None,
    typer.Option(
        "--predictions",
        metavar=FOLDER,
        rich_help_panel="Which decisions",
        help="All decisions of a batch that `mmrank predict` wrote.",
    ),
]
Everyone = Annotated[
    bool, typer.Option("--all", rich_help_panel="Which decisions", help="All decisions of the records.")
]
Tables = Annotated[
    bool | None,
    typer.Option(
        "--tables/--no-tables",
        help="Also write the card's tables as CSV and JSON beside it; default: for one card, not for many.",
    ),
]


def predict(
    records: Records,
    model: Model,
    out: Annotated[
        Path,
        typer.Option("--out", metavar=FOLDER, callback=checked_folder, help="Folder of the batch; new or empty."),
    ],
    source: Source = None,
    overrides: Overrides = None,
    explained: Explained = "all",
    top_reasons: TopReasons = None,
    kind: Format = "parquet",
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", rich_help_panel=HOW, help="Go on with an interrupted batch in --out; check a finished one."
        ),
    ] = False,
    processes: Processes = None,
    memory: Memory = DEFAULT_MEMORY,
    engine: Engine = "local",
    master: Master = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
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
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar=FILE,
            callback=checked_table,
            help="A name in .parquet or .csv (no cell a formula); a file that is there is replaced. It holds "
            "identifiers and values.",
        ),
    ],
    source: Source = None,
    memory: Memory = DEFAULT_MEMORY,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Write the table of features that MLflow serves a model on: one row per decision (docs/integration.md)."""
    from pipeline.runs.serving import write_features

    loaded = loaded_model(model, workspace, source)
    count = write_features(records, loaded, out, progress(), memory_limit=memory)
    console().print(f"{count:,} decisions in {out}", markup=False)


def explain(
    records: Records,
    model: Model,
    out: Cards,
    decision: Decision = None,
    decisions: Decisions = None,
    predictions: Predictions = None,
    everyone: Everyone = False,
    source: Source = None,
    overrides: Overrides = None,
    show_identifiers: Annotated[
        bool, typer.Option("--show-identifiers", help="Print decision, patient and date on the card.")
    ] = False,
    tables: Tables = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Write a case card (HTML), or a folder of cards with an index for several decisions."""
    from pipeline.runs.cards import asked_for, explain_case, explain_cases
    from pipeline.runs.screen import case_shown

    several = decisions or predictions or everyone
    if not (decision or several):
        raise typer.BadParameter("give --decision, --decisions FILE, --predictions DIR or --all")
    single = decision[0] if decision and len(decision) == 1 and not several else None
    (checked_folder if single is None else checked_file)(out)
    loaded = loaded_model(model, workspace, source)
    options: dict[str, Any] = {"overrides": overrides, "show_identifiers": show_identifiers}
    options |= {} if tables is None else {"tables": tables}
    if single is not None:
        case_shown(explain_case(records, loaded, single, out, progress(), **options), console())
        return console().print(f"card: {out}", markup=False)
    wanted = None if everyone else asked_for(decision or [], decisions, predictions, loaded)
    count = explain_cases(records, loaded, wanted, out, progress(), **options)
    console().print(f"cards: {count:,} in {out}, listed in {out / 'index.html'}", markup=False)
