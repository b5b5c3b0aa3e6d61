"""Which words on the command line do what?"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.runs.setup import Setup

EPILOG = (
    "Exit codes: 0 fine, 2 usage, 10 configuration, 11 records break their contract, 12 not enough data or overlap, "
    "13 a rule is wrong, 14 model and records do not fit, 15 a gate failed, 16 damaged model, 17 locked, 1 a bug."
)


class Status(StrEnum):
    """How far a rule is from running: only active ones run by default."""

    ACTIVE = "active"
    REVIEWED = "reviewed"
    DRAFT = "draft"


app = typer.Typer(
    name="mmrank",
    help="Rank treatment modalities for relapsed multiple myeloma from an institution's own records; explain the "
    "order; apply guardrails that no model can overrule; say tied, or I do not know. Decision support for review by "
    "professionals, not a prescription. Start with `mmrank demo`.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
rules_app = typer.Typer(name="rules", help="Look at and check the guardrail rules.", no_args_is_help=True)
app.add_typer(rules_app)

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
Model = Annotated[str, typer.Option("--model", help="A run directory, or models:/mmrank@champion.")]
_WORKSPACE = Path(".mmrank")


class _Shown:
    """Shows stages as rich progress bars on a terminal, and as plain lines of finished stages elsewhere."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console: Console = Console(stderr=True, highlight=False)

    def say(self, text: str) -> None:
        """Show one line."""
        self.console.print(text, markup=False)

    @contextmanager
    def stage(self, title: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Show a stage while it works."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        if not self.console.is_terminal:
            yield lambda _: None
            return
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TimeElapsedColumn(), console=self.console) as progress:
            task = progress.add_task(title, total=total)
            yield lambda steps: progress.update(task, advance=steps)
            if total is None:
                done = max(int(progress.tasks[0].completed), 1)
                progress.update(task, total=done, completed=done)


def _setup(config: Path | None, source: Path | None) -> Setup:
    from pipeline.runs.setup import read_setup
    from pipeline.store import shipped

    return read_setup(config or shipped("configs") / "base.yaml", source)


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False, soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else 110)


@app.command()
def demo(
    out: Out = Path("demo"),
    decisions: Annotated[int, typer.Option(min=400, help="Simulated past decisions to learn from.")] = 2400,
    new: Annotated[int, typer.Option(min=10, help="Simulated new decisions to score.")] = 200,
) -> None:
    """Run the whole journey on a simulated institution: simulate, check, train, predict, explain, review."""
    from pipeline.runs.demo import demo as run
    from pipeline.runs.screen import journey_shown

    journey_shown(run(out, decisions, new, _Shown()), _console())


@app.command()
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

    report, account = check_records(records, _setup(config, source))
    target = out or Path("check.json")
    write_bytes(target / "check.json" if target.is_dir() else target, canonical_json(account))
    records_shown(report, account, _console())
    if not report.passed:
        raise typer.Exit(11)


@app.command()
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
        comparison_shown(write_institution(settings, out).comparison, out, _console())


def _as_rate(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


@app.command()
def train(
    records: Records, out: Out, config: Config = None, source: Source = None, workspace: Workspace = _WORKSPACE
) -> None:
    """Features, labels, models, evaluation, MLflow run and registered version."""
    from pipeline.runs.screen import trained_shown
    from pipeline.runs.train import train as run

    trained_shown(run(records, _setup(config, source), out, workspace, _Shown()), _console())


@app.command()
def predict(
    records: Records,
    model: Model,
    out: Out,
    source: Source = None,
    overrides: Overrides = None,
    workspace: Workspace = _WORKSPACE,
    resume: Annotated[bool, typer.Option(help="Continue an interrupted batch.")] = False,
) -> None:
    """Score records in a batch: ranked, explained and guarded Parquet."""
    from pipeline.runs.predict import predict as run
    from pipeline.runs.screen import batch_shown

    loaded = _loaded(model, workspace, source)
    batch_shown(run(records, loaded, out, _Shown(), overrides=overrides, resume=resume), _console())


@app.command()
def explain(
    records: Records,
    model: Model,
    decision: Annotated[str, typer.Option("--decision", help="decision_id of the case.")],
    out: Out,
    source: Source = None,
    overrides: Overrides = None,
    workspace: Workspace = _WORKSPACE,
    show_identifiers: Annotated[bool, typer.Option(help="Print decision, patient and date on the card.")] = False,
) -> None:
    """Write one case card (HTML)."""
    from pipeline.runs.cards import explain_case
    from pipeline.runs.screen import case_shown

    loaded = _loaded(model, workspace, source)
    card = explain_case(
        records, loaded, decision, out, _Shown(), overrides=overrides, show_identifiers=show_identifiers
    )
    case_shown(card, _console())
    _console().print(f"card: {out}", markup=False)


@app.command()
def review(
    model: Model,
    out: Out,
    predictions: Annotated[
        Path | None,
        typer.Option(
            "--predictions", help="A batch that `mmrank predict` wrote: its statuses and overrides, in counts."
        ),
    ] = None,
    workspace: Workspace = _WORKSPACE,
) -> None:
    """Write the model-review page (HTML) of a trained model."""
    from pipeline.runs.reviews import write_review

    write_review(model, workspace, out, predictions)
    _console().print(f"review: {out}", markup=False)


@app.command(hidden=True)
def docs(out: Annotated[Path, typer.Option("--out", help="Folder of the generated pages.")] = Path("docs")) -> None:
    """Write the generated pages: data dictionary, features, guardrails."""
    from pipeline.runs.pages import write_pages

    for page in write_pages(_setup(None, None), out):
        _console().print(str(page), markup=False)


@rules_app.command("check")
def rules_check(config: Config = None) -> None:
    """Lint every guardrail, run its examples, and look for rules that never or always speak, repeat or contradict."""
    from pipeline.runs.rule_check import check_rules
    from pipeline.runs.rule_screen import rule_check_shown

    found = check_rules(_setup(config, None))
    rule_check_shown(found, _console())
    if found.errors:
        raise typer.Exit(13)


@rules_app.command("list")
def rules_list(
    config: Config = None,
    status: Annotated[Status | None, typer.Option(help="Only rules of this status.")] = None,
    modality: Annotated[
        str | None, typer.Option(help="Only rules that cover a product of this modality, such as car_t.")
    ] = None,
) -> None:
    """Print the rules: what each says of which products, and its source."""
    from pipeline.runs.rule_check import chosen_rules
    from pipeline.runs.rule_screen import rules_shown

    rules_shown(chosen_rules(_setup(config, None), None if status is None else status.value, modality), _console())


def _loaded(model: str, workspace: Path, source: Path | None) -> Any:
    from dataclasses import replace

    from pipeline.runs.model_dir import load_model
    from pipeline.runs.setup import with_source

    loaded = load_model(model, workspace)
    return replace(loaded, setup=with_source(loaded.setup, source))


def main() -> None:
    """Run the command line; known problems end in one message and their exit code, bugs keep their traceback."""
    try:
        app()
    except PipelineError as problem:
        sys.stderr.write(f"{problem}\n(exit code {problem.exit_code})\n")
        sys.exit(problem.exit_code)


if __name__ == "__main__":
    main()
