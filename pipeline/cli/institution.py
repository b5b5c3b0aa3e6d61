"""Which words make, check and walk through records?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import Config, Out, Records, Source, configured, console, progress


def demo(
    out: Out = Path("demo"),
    decisions: Annotated[int, typer.Option(min=400, help="Simulated past decisions to learn from.")] = 2400,
    new: Annotated[int, typer.Option(min=10, help="Simulated new decisions to score.")] = 200,
) -> None:
    """Run the whole journey on a simulated institution: simulate, check, train, predict, explain, review."""
    from pipeline.runs.demo import demo as run
    from pipeline.runs.screen import journey_shown

    journey_shown(run(out, decisions, new, progress()), console())


def check(
    records: Records,
    config: Config = None,
    source: Source = None,
    out: Annotated[Path | None, typer.Option("--out", help="Where to write check.json.")] = None,
) -> None:
    """Check records against the contract: types, keys, units, plausibility, attrition, missingness by modality."""
    from pipeline.runs.reading import check_records
    from pipeline.runs.screen import records_shown
    from pipeline.store import canonical_json, write_bytes

    report, account = check_records(records, configured(config, source))
    target = out or Path("check.json")
    write_bytes(target / "check.json" if target.is_dir() else target, canonical_json(account))
    records_shown(report, account, console())
    if not report.passed:
        raise typer.Exit(11)


def simulate(
    out: Out,
    decisions: Annotated[int, typer.Option(min=1, help="How many decisions.")] = 3000,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 20240501,
    confounding: Annotated[float, typer.Option(help="0 randomised, 1 as published.")] = 1.0,
    unmeasured: Annotated[float, typer.Option(help="Strength of a confounder nobody recorded.")] = 0.0,
    heterogeneity: Annotated[float, typer.Option(help="0: one contrast for everyone.")] = 1.0,
    form: Annotated[str, typer.Option(help="linear or tree: how facts modify effects.")] = "linear",
    censoring: Annotated[str, typer.Option(help="none, default, heavy or a monthly rate.")] = "default",
    missingness: Annotated[float, typer.Option(help="Multiplies the chance that a value is missing.")] = 1.0,
    overlap: Annotated[float, typer.Option(help="0: CAR T is never given above ECOG 1.")] = 1.0,
    wait_without_effect: Annotated[bool, typer.Option(help="All modalities alike; CAR T still waits.")] = False,
    small_arms: Annotated[bool, typer.Option(help="ADC and bispecific become rare.")] = False,
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
