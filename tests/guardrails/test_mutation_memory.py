"""A mutation run goes on where the last one stopped, and forgets what was said of a file that changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.guardrails.mutants import Mutant
from tests.guardrails.mutation import Memory

ONE = Mutant("pipeline/guardrails/sql.py", "sql.py a: not", 3, "x = not y")
OTHER = replace(ONE, name="sql.py b: not", text="x = y")


@pytest.mark.parametrize("became", ["killed", "timeout", "refused by its examples", "killed by the tables"])
def test_what_was_noticed_is_remembered_by_the_next_run(tmp_path: Path, became: str) -> None:
    Memory(tmp_path / "tried").note(ONE, became)

    assert Memory(tmp_path / "tried").of([ONE, OTHER]) == {ONE.name: became}


@pytest.mark.parametrize("became", ["survived", "error: died"])
def test_what_nothing_noticed_is_tried_again(tmp_path: Path, became: str) -> None:
    Memory(tmp_path / "tried").note(ONE, became)

    assert Memory(tmp_path / "tried").of([ONE]) == {}


def test_a_mutant_of_a_file_that_has_changed_is_not_known(tmp_path: Path) -> None:
    Memory(tmp_path / "tried").note(ONE, "killed")

    assert Memory(tmp_path / "tried").of([replace(ONE, text="x = not y  # anew")]) == {}
    assert Memory(tmp_path / "tried").of([replace(ONE, file="pipeline/guardrails/grid.py")]) == {}
    assert Memory(tmp_path / "none").of([ONE]) == {}
