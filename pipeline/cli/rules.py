"""Which words look at the guardrail rules, and write them as pages?"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import FOLDER, Config, checked_folder, configured, console


class Status(StrEnum):
    """How far a rule is from running: only active ones run by default."""

    ACTIVE = "active"
    REVIEWED = "reviewed"
    DRAFT = "draft"


def rules_check(
    config: Config = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Also list findings that are expected and need nothing done.")
    ] = False,
) -> None:
    """Lint every guardrail, run its examples, and look for rules that never or always speak, repeat or contradict."""
    from pipeline.runs.rule_check import check_rules
    from pipeline.runs.rule_screen import rule_check_shown

    found = check_rules(configured(config, None))
    rule_check_shown(found, console(), verbose=verbose)
    if found.errors:
        raise typer.Exit(13)


def rules_list(
    config: Config = None,
    status: Annotated[
        Status | None, typer.Option(metavar="STATUS", help="Only these: active, reviewed or draft.")
    ] = None,
    modality: Annotated[
        str | None,
        typer.Option(metavar="MODALITY", help="Only rules that cover a product of this modality, such as car_t."),
    ] = None,
) -> None:
    """Print the rules: what each says of which products, and its source."""
    from pipeline.runs.rule_check import chosen_rules
    from pipeline.runs.rule_screen import rules_shown

    rules_shown(chosen_rules(configured(config, None), None if status is None else status.value, modality), console())


def docs(
    out: Annotated[
        Path, typer.Option("--out", metavar=FOLDER, callback=checked_folder, help="Folder of the generated pages.")
    ] = Path("docs"),
) -> None:
    """Write the generated pages: data dictionary, features, guardrails."""
    from pipeline.runs.pages import write_pages

    for page in write_pages(configured(None, None), out):
        console().print(str(page), markup=False)
