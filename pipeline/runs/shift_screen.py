"""What does a person read on the terminal of how decisions differ from training?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

_MOST_STEPS = 4


def shift_shown(found: Mapping[str, Any], page: Path, console: Console) -> None:
    """Show the verdict, the checks that are issues, what to do next, and where the page is.

    Parameters
    ----------
    found : mapping
        As `shift.summary` returns it.
    page : Path
    console : Console
    """
    lines = [found["verdict"]["words"]]
    issues = [check for check in found["checks"] if check["result"] == "issue"]
    for check in issues:
        got = f"{check['value']} are not" if isinstance(check["value"], int) else check["value"]
        lines.append(f"  {check['code']} {check['title']}? No: {got} ({check['detail']}). Wanted: {check['threshold']}")
    if issues or found["verdict"]["result"] != "as_trained":
        lines += [f"  next: {step}" for step in found["next"][:_MOST_STEPS]]
    for line in [*lines, f"  page: {page}"]:
        console.print(line, markup=False)
