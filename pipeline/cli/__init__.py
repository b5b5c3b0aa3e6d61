"""Which words on the command line do what?

Each module holds the commands of one step; they are listed in the order of the work.
"""

from __future__ import annotations

import sys

import typer

from pipeline.cli.decisions import explain, features, predict
from pipeline.cli.institution import check, demo, simulate
from pipeline.cli.models import models, monitor, promote, review, train
from pipeline.cli.rules import docs, rules_check, rules_list
from pipeline.errors import PipelineError

__all__ = ["app", "main"]

EPILOG = (
    "Exit codes: 0 fine, 2 usage, 10 configuration, 11 records break their contract, 12 not enough data or overlap, "
    "13 a rule is wrong, 14 model and records do not fit, 15 a gate failed, 16 damaged model, 17 locked, 1 a bug."
)

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
for _command in (demo, check, simulate, train, predict, features, explain, review, monitor, models, promote):
    app.command()(_command)
app.command(hidden=True)(docs)

rules_app = typer.Typer(name="rules", help="Look at and check the guardrail rules.", no_args_is_help=True)
rules_app.command("check")(rules_check)
rules_app.command("list")(rules_list)
app.add_typer(rules_app)


def main() -> None:
    """Run the command line; known problems end in one message and their exit code, bugs keep their traceback."""
    try:
        app()
    except PipelineError as problem:
        sys.stderr.write(f"{problem}\n(exit code {problem.exit_code})\n")
        sys.exit(problem.exit_code)
