"""Which words on the command line do what?

Each module holds the commands of one step; they are listed in the order of the work.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

import typer

from pipeline.cli.decisions import explain, features, predict
from pipeline.cli.institution import check, demo, simulate
from pipeline.cli.models import models, monitor, promote, review, train
from pipeline.cli.rules import docs, rules_check, rules_list
from pipeline.errors import PipelineError

__all__ = ["app", "main"]

EPILOG = (
    "Exit codes: 0 fine, 2 usage, 10 configuration, 11 records break their contract, 12 not enough data or overlap, "
    "13 a rule is wrong, 14 model and records do not fit, 15 a gate failed, 16 damaged model, 17 locked, "
    "130 interrupted (Ctrl-C), 143 terminated, 1 the disk failed (one sentence) or a bug (a traceback)."
)

_ENDING = (signal.SIGINT, signal.SIGTERM)

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
_COMMANDS: dict[str, dict[Callable[..., None], str]] = {
    "Records": {
        demo: "mmrank demo --out demo",
        check: "mmrank check demo/records --out check.json",
        simulate: "mmrank simulate --decisions 500 --seed 7 --out simulated",
    },
    "Models": {
        train: "mmrank train demo/records --out run",
        review: "mmrank review --model run --out review.html",
        monitor: "mmrank monitor demo/new-records --model demo/run --out monitor.html",
        models: "mmrank models --workspace demo/workspace",
        promote: 'mmrank promote models:/mmrank/1 --reviewer "data scientist" --note "seen"',
    },
    "Decisions": {
        predict: "mmrank predict demo/new-records --model demo/run --out predictions",
        explain: "mmrank explain demo/new-records --model demo/run --all --out cards",
        features: "mmrank features demo/new-records --model demo/run --out features.csv",
    },
}
"""Commands by what they work on, each with an example that runs after those before it."""


def _example(words: str) -> str:
    """Return what stands below the help of a command; an empty line keeps the example on a line of its own."""
    return f"Example:\n\n{words}"


for _panel, _listed in _COMMANDS.items():
    for _command, _words in _listed.items():
        app.command(rich_help_panel=_panel, epilog=_example(_words))(_command)
app.command(hidden=True)(docs)

rules_app = typer.Typer(name="rules", help="Look at and check the guardrail rules.", no_args_is_help=True)
rules_app.command("check", epilog=_example("mmrank rules check"))(rules_check)
rules_app.command("list", epilog=_example("mmrank rules list --modality car_t"))(rules_list)
app.add_typer(rules_app, rich_help_panel="Rules")


def main() -> None:
    """Run the command line; known problems end in one message and their exit code, bugs keep their traceback.

    SIGTERM, by which schedulers and containers end a program, is taken as Ctrl-C is: what runs gives back its locks,
    removes what it laid aside and says how far it came. A second signal does not hurry it; SIGKILL does, and the next
    start then tidies up.
    """
    told: list[signal.Signals] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        told.append(signal.Signals(number))
        for one in _ENDING:  # a second one would break into the tidying up
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    for one in _ENDING:
        if signal.getsignal(one) is not signal.SIG_IGN:  # as nohup and background jobs of a script leave it
            signal.signal(one, stop)
    try:
        app()
    except PipelineError as problem:
        _end(str(problem), problem.exit_code)
    except (SystemExit, RuntimeError):
        # typer turns the interrupt into its own exit; DuckDB, in the middle of a query, into a RuntimeError.
        if not told:
            raise
        _end(f"stopped by {told[0].name}", 128 + told[0])


def _end(words: str, code: int) -> NoReturn:
    sys.stderr.write(f"{words}\n(exit code {code})\n")
    sys.exit(code)
