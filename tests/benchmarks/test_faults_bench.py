"""Over two hundred faults on a batch: rows lost, doubled or torn, and what a reader sees meanwhile.

`make bench` prints the counts. Every call to the disk fails once with each error, before and after it did its work;
a run is killed by SIGKILL at random moments; where strace is there it fails the system calls themselves; where a
small tmpfs can be mounted the disk really fills up.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.store.faults import ROOT, fail_each, held, judged, kill_at_random, score, seen, shown

KILLS = int(os.environ.get("MMRANK_BENCH_KILLS", "200"))
STRACED = int(os.environ.get("MMRANK_BENCH_STRACED", "12"))
WRONG = ("torn", "reader: lost", "reader: doubled", "RESUMED TO OTHER BYTES", "A FAULT PASSED UNNOTICED")
SYSTEM_CALLS = {"write": "write", "fsync": "fsync", "rename": "/^rename"}


def _sound(found: Counter[str]) -> bool:
    return not any(count for name, count in found.items() if name in WRONG or "lost" in name or "doubled" in name)


@pytest.fixture
def whole(tmp_path: Path) -> dict[str, bytes]:
    """Return the files of a batch that nobody hurt."""
    score(tmp_path / "whole")
    return held(tmp_path / "whole")


@pytest.mark.slow
def test_each_call_to_the_disk_fails_once(
    tmp_path: Path, whole: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    found = fail_each(tmp_path, whole)
    faults = sum(count for name, count in found.items() if name.startswith("faults: "))

    with capsys.disabled():
        print("\n" + shown(f"{faults} faults, ENOSPC and EIO, injected per call:", found))
    assert faults >= 200
    assert _sound(found)


@pytest.mark.slow
def test_a_run_is_killed_at_random_moments(
    tmp_path: Path, whole: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    found = kill_at_random(tmp_path, whole, KILLS)

    with capsys.disabled():
        print("\n" + shown(f"{KILLS} times SIGKILL at random moments:", found))
    assert _sound(found)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_the_system_calls_themselves_fail(
    tmp_path: Path, whole: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    found: Counter[str] = Counter()
    for number in range(STRACED):
        name, error = list(SYSTEM_CALLS)[number % 3], ("ENOSPC", "EIO")[number % 2]
        out = tmp_path / f"straced{number}"
        inject = f"inject={SYSTEM_CALLS[name]}:error={error}:when={1 + number // 3}"
        # A first write goes to the pipe on which the run says that it is ready.
        inject = inject if name != "write" else f"inject=write:error={error}:when={3 + number // 3}"
        words = ["strace", "-f", "-q", "-o", str(tmp_path / "log"), "-e", f"trace={SYSTEM_CALLS[name]}", "-e", inject]
        words += [sys.executable, "-c", "from tests.store.faults import wait_and_score as w; w()", str(out)]
        done = subprocess.run(words, cwd=ROOT, input="go\n", text=True, capture_output=True)
        if "attach" in done.stderr or "ptrace" in done.stderr:
            pytest.skip("strace may not trace here")
        found[f"faults: {name} {error}"] += 1
        found["failed with a message" if done.returncode else "went through"] += 1
        found += judged(out, whole)

    with capsys.disabled():
        print("\n" + shown(f"{STRACED} faults by strace:", found))
    assert _sound(found)


@pytest.mark.slow
def test_a_disk_that_is_really_full(
    tmp_path: Path, whole: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)]
    if shutil.which("mount") is None or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("a small tmpfs cannot be mounted here")
    try:
        words = [sys.executable, "-c", "from tests.store.faults import wait_and_score as w; w()", str(small / "out")]
        done = subprocess.run(words, cwd=ROOT, input="go\n", text=True, capture_output=True)
        states = seen(small / "out")
        subprocess.run(["mount", "-o", "remount,size=10m", str(small)], check=True)
        found = judged(small / "out", whole)
    finally:
        subprocess.run(["umount", str(small)], check=True)

    with capsys.disabled():
        print("\n" + shown("a tmpfs of 64 kB, then enlarged:", found))
    assert done.returncode and "No space left on device" in done.stderr
    assert states == {"absent"}
    assert _sound(found)
