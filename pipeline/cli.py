"""Which words on the command line do what?"""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.runs.progress import Shown
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
StatementsFile = Annotated[
    Path | None,
    typer.Option("--statements", help="What the institution says in the model card; see configs/model_card/."),
]
Model = Annotated[str, typer.Option("--model", help="A run directory, or models:/mmrank@champion.")]
_WORKSPACE = Path(".mmrank")


def _shown() -> Shown:
    from pipeline.runs.progress import Shown

    return Shown()


def _setup(config: Path | None, source: Path | None) -> Setup:
    from pipeline.runs.setup import read_setup
    from pipeline.store import shipped

    return read_setup(config or shipped("configs") / "base.yaml", source)


def _console() -> Console:
    from rich.console import Console

    asked = os.environ.get("COLUMNS", "").isdigit()
    terminal = sys.stdout.isatty()
    return Console(highlight=False, soft_wrap=not terminal, width=None if terminal or asked else 110)


@app.command()
def demo(
    out: Out = Path("demo"),
    decisions: Annotated[int, typer.Option(min=400, help="Simulated past decisions to learn from.")] = 2400,
    new: Annotated[int, typer.Option(min=10, help="Simulated new decisions to score.")] = 200,
) -> None:
    """Run the whole journey on a simulated institution: simulate, check, train, predict, explain, review."""
    from pipeline.runs.demo import demo as run
    from pipeline.runs.screen import journey_shown

    journey_shown(run(out, decisions, new, _shown()), _console())


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
    records: Records,
    out: Out,
    config: Config = None,
    source: Source = None,
    statements: StatementsFile = None,
    workspace: Workspace = _WORKSPACE,
) -> None:
    """Features, labels, models, evaluation, MLflow run and registered version."""
    from pipeline.runs.model_cards import read_statements
    from pipeline.runs.screen import trained_shown
    from pipeline.runs.train import train as run

    said = read_statements(statements)
    trained_shown(run(records, _setup(config, source), out, workspace, _shown(), statements=said), _console())


@app.command()
def predict(
    records: Records,
    model: Model,
    out: Out,
    source: Source = None,
    overrides: Overrides = None,
    workspace: Workspace = _WORKSPACE,
    resume: Annotated[bool, typer.Option(help="Continue an interrupted batch.")] = False,
    processes: Annotated[int | None, typer.Option(min=1, help="How many score; default: one per core.")] = None,
    top_reasons: Annotated[
        int | None, typer.Option(min=0, max=20, help="Features named as reasons; default: as the model is configured.")
    ] = None,
    explained: Annotated[
        Literal["all", "top", "none"], typer.Option("--explain", help="Every modality, the first and why, or none.")
    ] = "all",
    kind: Annotated[
        Literal["parquet", "csv"], typer.Option("--format", help="csv: lists as JSON text, no cell a formula.")
    ] = "parquet",
    memory: Annotated[str, typer.Option(help="For records and features, such as 2GB; the rest goes to disk.")] = "2GB",
) -> None:
    """Score records in a batch: ranked, explained and guarded Parquet."""
    from pipeline.runs.predict import asked_detail, cores
    from pipeline.runs.predict import predict as run
    from pipeline.runs.screen import batch_shown

    loaded = _loaded(model, workspace, source)
    batch = run(
        records,
        loaded,
        out,
        _shown(),
        overrides=overrides,
        resume=resume,
        detail=asked_detail(loaded, explained, top_reasons),
        kind=kind,
        processes=processes or cores(),
        memory_limit=memory,
    )
    batch_shown(batch, _console())


@app.command()
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
    workspace: Workspace = _WORKSPACE,
    show_identifiers: Annotated[bool, typer.Option(help="Print decision, patient and date on the card.")] = False,
) -> None:
    """Write a case card (HTML), or a folder of cards with an index for several decisions."""
    from pipeline.runs.cards import asked_for, explain_case, explain_cases
    from pipeline.runs.screen import case_shown

    loaded = _loaded(model, workspace, source)
    options: dict[str, Any] = {"overrides": overrides, "show_identifiers": show_identifiers}
    if decision and len(decision) == 1 and not (decisions or predictions or everyone):
        case_shown(explain_case(records, loaded, decision[0], out, _shown(), **options), _console())
        return _console().print(f"card: {out}", markup=False)
    if not (decision or decisions or predictions or everyone):
        raise typer.BadParameter("give --decision, --decisions FILE, --predictions DIR or --all")
    wanted = None if everyone else asked_for(decision or [], decisions, predictions, loaded)
    count = explain_cases(records, loaded, wanted, out, _shown(), **options)
    _console().print(f"cards: {count:,} in {out}, listed in {out / 'index.html'}", markup=False)


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
    statements: StatementsFile = None,
    against: Annotated[
        str | None, typer.Option("--against", help="A champion to compare with: a run directory or models:/...")
    ] = None,
    records: Annotated[
        Path | None,
        typer.Option("--records", help="With --against: scored by both; the cases that flip go to flips.csv."),
    ] = None,
    workspace: Workspace = _WORKSPACE,
    show_identifiers: Annotated[bool, typer.Option(help="Name the decisions in flips.csv.")] = False,
) -> None:
    """Write the model-review page (HTML) of a trained model, and its model card beside it."""
    from pipeline.runs.comparing import compare_with
    from pipeline.runs.reviews import write_review

    if against is None and (records is not None or show_identifiers):
        raise typer.BadParameter("--records and --show-identifiers belong to --against")
    found = None
    if against is not None:
        shown = _shown()
        found = compare_with(model, against, workspace, out, shown, records=records, show_identifiers=show_identifiers)
    write_review(model, workspace, out, predictions, statements, found)
    _console().print(f"review: {out}", markup=False)


@app.command()
def models(
    workspace: Workspace = _WORKSPACE,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """List registered versions with verdict, gates and sign-offs; newest first."""
    from pipeline.runs.promoting import registered_models
    from pipeline.runs.registry_screen import models_in_json, models_shown

    found = registered_models(workspace)
    if as_json:
        sys.stdout.write(models_in_json(found) + "\n")
    else:
        models_shown(found, _console())


@app.command()
def promote(
    model: Annotated[str, typer.Argument(help="models:/mmrank/3, or the run directory of a registered model.")],
    reviewer: Annotated[str, typer.Option("--reviewer", help="Your role; never a name.")],
    note: Annotated[str, typer.Option(help="What you saw, without names; needed unless the verdict is go.")] = "",
    override: Annotated[str, typer.Option(help="Reason to promote although a gate fails.")] = "",
    expecting: Annotated[
        str | None, typer.Option(help="Version that must be champion until then, or none; default: the one found.")
    ] = None,
    workspace: Workspace = _WORKSPACE,
) -> None:
    """Sign a version off and make it models:/mmrank@champion."""
    from pipeline.runs.promoting import promote as run
    from pipeline.runs.registry_screen import promoted_shown

    given = {"reviewer": reviewer, "note": note, "override": override}
    promoted_shown(run(model, workspace, **given, expecting=expecting), _console())


@app.command(hidden=True)
def docs(out: Annotated[Path, typer.Option("--out", help="Folder of the generated pages.")] = Path("docs")) -> None:
    """Write the generated pages: data dictionary, features, guardrails."""
    from pipeline.runs.pages import write_pages

    for page in write_pages(_setup(None, None), out):
        _console().print(str(page), markup=False)


@rules_app.command("check")
def rules_check(
    config: Config = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Tell what is expected too: labels that decide by themselves, pairs.")
    ] = False,
) -> None:
    """Lint every guardrail, run its examples, and look for rules that never or always speak, repeat or contradict."""
    from pipeline.runs.rule_check import check_rules
    from pipeline.runs.rule_screen import rule_check_shown

    found = check_rules(_setup(config, None))
    rule_check_shown(found, _console(), verbose=verbose)
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
