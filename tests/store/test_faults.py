"""Whatever hurts a batch, is it there whole or not at all, and does resuming lose and double nothing?"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.store.faults import CALLS, calls_of_a_run, fail_each, held, kill_at_random, score, shown

SOUND = {"reader: complete", "reader: absent", "resumed to the same bytes", "told as one sentence"}


@pytest.fixture
def whole(tmp_path: Path) -> dict[str, bytes]:
    """Return the files of a batch that nobody hurt."""
    score(tmp_path / "whole")
    return held(tmp_path / "whole")


def test_every_kind_of_call_to_the_disk_is_failed(tmp_path: Path) -> None:
    assert set(calls_of_a_run(tmp_path)) == set(CALLS)


def test_a_disk_that_fails_at_a_call_loses_doubles_and_tears_nothing(tmp_path: Path, whole: dict[str, bytes]) -> None:
    found = fail_each(tmp_path, whole, every=11)

    wrong = {name for name, count in found.items() if count and name not in SOUND and not name.startswith("faults: ")}
    assert wrong == set(), shown("faults", found)
    assert found["told as one sentence"] > 10


@pytest.mark.slow
def test_a_run_killed_at_a_random_moment_loses_doubles_and_tears_nothing(
    tmp_path: Path, whole: dict[str, bytes]
) -> None:
    found = kill_at_random(tmp_path, whole, times=10)

    assert found["resumed to the same bytes"] == 10, shown("kills", found)
    assert not {"torn", "reader: lost", "reader: doubled"} & {name for name, count in found.items() if count}
