"""Which words make, check and walk through records?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import (
    FILE,
    FOLDER,
    NUMBER,
    Config,
    OutFolder,
    Records,
    Source,
    checked_folder,
    configured,
    console,
    progress,
)

_SHAPE = "How the institution differs"


Confounding = Annotated[
    float,
    typer.Option(
        metavar="X", rich_help_panel=_SHAPE, help="How far facts steer the choice: 0 randomised, 1 as published."
    ),
]
Unmeasured = Annotated[
    float, typer.Option(metavar="X", rich_help_panel=_SHAPE, help="Strength of a confounder that nobody recorded.")
]
Heterogeneity = Annotated[
    float,
    typer.Option(metavar="X", rich_help_panel=_SHAPE, help="How far people differ in what suits them; 0: not at all."),
]
Censoring = Annotated[
    str,
    typer.Option(
        metavar="RATE", rich_help_panel=_SHAPE, help="Loss to follow-up: none, default, heavy or a rate per month."
    ),
]
Missingness = Annotated[
    float,
    typer.Option(metavar="X", rich_help_panel=_SHAPE, help="Multiplies the chance that a value is missing."),
]
WaitWithoutEffect = Annotated[
    bool,
    typer.Option("--wait-without-effect", rich_help_panel=_SHAPE, help="All modalities do alike; CAR T still waits."),
]


def demo(
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar=FOLDER, callback=checked_folder, help="Folder to write; an earlier demo in it is replaced."
        ),
    ] = Path("demo"),
    decisions: Annotated[
        int, typer.Option(metavar=NUMBER, min=400, help="Simulated past decisions to learn from, at least 400.")
    ] = 2400,
    new: Annotated[
        int, typer.Option(metavar=NUMBER, min=10, help="Simulated new decisions to score, at least 10.")
    ] = 200,
) -> None:
    """Run the whole journey on a simulated institution: simulate, check, train, predict, explain, review."""
    from pipeline.runs.demo import demo as run
    from pipeline.runs.screen import journey_shown

    journey_shown(run(out, decisions, new, progress()), console())


def check(
    records: Records,
    config: Config = None,
    source: Source = None,
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar=FILE, help="What was found, as JSON; in a folder: its check.json. Replaced if it is there."
        ),
    ] = Path("check.json"),
) -> None:
    """Check records against the contract: types, keys, units, plausibility, attrition, missingness by modality."""
    from pipeline.runs.reading import check_records
    from pipeline.runs.screen import records_shown
    from pipeline.store import canonical_json, file_to_write, write_bytes

    target = file_to_write(out / "check.json" if out.is_dir() else out)
    report, account = check_records(records, configured(config, source))
    write_bytes(target, canonical_json(account))
    records_shown(report, account, target, console())
    if not report.passed:
        raise typer.Exit(11)


def simulate(
    out: OutFolder,
    decisions: Annotated[int, typer.Option(metavar=NUMBER, min=1, help="How many decisions.")] = 3000,
    seed: Annotated[int, typer.Option(metavar=NUMBER, min=0, help="The same seed gives the same bytes.")] = 20240501,
    confounding: Confounding = 1.0,
    unmeasured: Unmeasured = 0.0,
    heterogeneity: Heterogeneity = 1.0,
    form: Annotated[
        str, typer.Option(metavar="FORM", rich_help_panel=_SHAPE, help="How facts modify effects: linear or tree.")
    ] = "linear",
    censoring: Censoring = "default",
    missingness: Missingness = 1.0,
    overlap: Annotated[
        float, typer.Option(metavar="X", rich_help_panel=_SHAPE, help="0: CAR T is never given above ECOG 1.")
    ] = 1.0,
    wait_without_effect: WaitWithoutEffect = False,
    small_arms: Annotated[
        bool, typer.Option("--small-arms", rich_help_panel=_SHAPE, help="ADC and bispecific are rarely given.")
    ] = False,
) -> None:
    """Write a synthetic institution in the records contract, and truth.parquet beside it. Never evidence."""
    from pipeline.declared import raise_if, read_declared
    from pipeline.runs.institution import write_institution
    from pipeline.runs.screen import comparison_shown
    from pipeline.simulate import SimulationSettings

    problems: list[str] = []
    asked = {
        "decisions": decisions,
        "seed": seed,
        "confounding": confounding,
        "unmeasured_confounder": unmeasured,
        "heterogeneity": heterogeneity,
        "form": form,
        "censoring": censoring if censoring in ("none", "default", "heavy") else _as_rate(censoring),
        "missingness": missingness,
        "overlap": overlap,
        "wait_without_effect": wait_without_effect,
        "small_arms": small_arms,
    }
    settings = read_declared(SimulationSettings, asked, "simulate", problems)
    raise_if(problems, "simulate")
    if settings is not None:
        comparison_shown(write_institution(settings, out).comparison, out, console())


def _as_rate(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
