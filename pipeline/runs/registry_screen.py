"""What does a person read on the terminal about registered models?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.runs.promoting import Listed
from pipeline.store import SignOff


def models_shown(found: Sequence[Listed], console: Console) -> None:
    """Show one row per version, newest first."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_lines=True)
    for name in ("version", "trained", "verdict", "issues", "gates"):
        table.add_column(name, no_wrap=True)
    table.add_column("title and sign-offs", overflow="fold")
    for entry in found:
        gates = [name for name, passed in entry.gates.items() if not passed]
        told = Text(entry.title or "-", "bold")
        told.append(" (simulated)" if entry.simulated else "", "not bold")
        for line in _signed(entry):
            told.append(f"\n{line}", "not bold")
        table.add_row(
            Text(f"{entry.version} champion" if entry.is_champion else entry.version),
            entry.created[:10] or "-",
            entry.verdict or "-",
            "-" if entry.issues is None else str(entry.issues),
            f"fails {', '.join(gates)}" if gates else "pass" if entry.gates else "-",
            told,
        )
    console.print(table)
    if not any(entry.is_champion for entry in found):
        console.print("no champion: `mmrank promote` makes one", markup=False)


def models_in_json(found: Sequence[Listed]) -> str:
    """Return the same as JSON, for programs."""
    return json.dumps([asdict(entry) for entry in found], ensure_ascii=False, indent=1)


def promoted_shown(record: SignOff, console: Console) -> None:
    """Show what a sign-off did."""
    before = "there was no champion" if record.replaced is None else f"before: version {record.replaced}"
    if record.replaced == record.version:
        before = "it was champion already"
    console.print(
        f"models:/mmrank@champion is version {record.version} ({before})\n"
        f"sign-off {record.number}: {record.role}, {record.signed_at}, verdict {record.verdict}"
        + (f", gates overridden: {record.override}" if record.override else ""),
        markup=False,
    )


def _signed(entry: Listed) -> list[str]:
    lines = []
    for record in entry.sign_offs:
        overridden = f" [overridden: {record.override}]" if record.override else ""
        lines.append(f"{record.signed_at[:10]} {record.role}{overridden}: {record.note or 'no note'}")
    lines += [f"{record.signed_at[:10]} {record.role}: not carried out" for record in entry.unfinished]
    return lines or (["champion without sign-off"] if entry.is_champion else ["not signed off"])
