"""Does a run that is told to end do so tidily, and say by what, whatever it was at?"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline import cli
from tests.conftest import ROOT, Journey

BOTH = [(signal.SIGTERM, 143), (signal.SIGINT, 130)]  # 128 and the number of the signal, as shells count


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Let signals be heard, as a background job does not and its children inherit; put back what pytest does on one."""
    kept = {number: signal.getsignal(number) for number, _ in BOTH}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def _as_typer(number: signal.Signals) -> None:
    try:
        signal.raise_signal(number)
    except KeyboardInterrupt:
        sys.exit(130)


def _as_a_query(number: signal.Signals) -> None:
    try:
        signal.raise_signal(number)
    except KeyboardInterrupt:
        raise RuntimeError("Query interrupted") from None


@pytest.mark.parametrize(("number", "code"), BOTH)
@pytest.mark.parametrize("ends", [_as_typer, _as_a_query])
def test_a_signal_ends_in_its_code_and_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
    code: int,
    ends: Callable[[signal.Signals], None],
) -> None:
    monkeypatch.setattr(cli, "app", lambda: ends(number))
    with pytest.raises(SystemExit) as ended:
        cli.main()

    assert ended.value.code == code
    assert capsys.readouterr().err == f"stopped by {number.name}\n(exit code {code})\n"


def test_a_second_signal_does_not_break_into_the_tidying_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tidied: list[int] = []

    def tidies() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.raise_signal(number)
            tidied.append(1)
            sys.exit(130)

    monkeypatch.setattr(cli, "app", tidies)
    with pytest.raises(SystemExit) as ended:
        cli.main()

    assert (ended.value.code, tidied) == (143, [1])
    assert capsys.readouterr().err == "stopped by SIGTERM\n(exit code 143)\n"


def test_without_a_signal_a_bug_keeps_its_traceback_and_usage_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def bug() -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(cli, "app", bug)
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main()
    monkeypatch.setattr(cli, "app", lambda: sys.exit(2))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2


def test_a_signal_that_is_ignored_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    reached: list[int] = []

    def works() -> None:
        signal.raise_signal(signal.SIGINT)
        reached.append(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as nohup, or a script that starts it in the background, leaves it
    monkeypatch.setattr(cli, "app", works)
    cli.main()

    assert reached == [1]


@pytest.mark.slow
@pytest.mark.xdist_group("journey")
@pytest.mark.parametrize(("number", "code"), BOTH)
@pytest.mark.parametrize("stage", ["Reading and checking records", "Building features", "Scoring decisions"])
def test_a_batch_that_is_stopped_leaves_nothing_where_nothing_was_scored(
    journey: Journey, tmp_path: Path, number: signal.Signals, code: int, stage: str
) -> None:
    out = tmp_path / "new" / "out"
    words = ["predict", str(journey.fresh), "--model", str(journey.trained.run_directory), "--out", str(out)]
    line = [sys.executable, "-m", "pipeline.cli", *words]
    with subprocess.Popen(line, cwd=ROOT, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        for said in run.stderr:
            if said.startswith(stage):
                run.send_signal(number)
                break
        rest = run.stderr.read()

    assert run.returncode == code
    assert rest.endswith(f"stopped by {number.name}\n(exit code {code})\n") and "Traceback" not in rest
    assert ("stopped before any part stood; run it again" in rest) is (stage == "Scoring decisions")
    assert list(tmp_path.iterdir()) == []


SMALL_PARTS = """
import sys
from pipeline import cli
from pipeline.runs import predict
if __name__ == "__main__":
    predict.predict.__kwdefaults__["decisions_per_part"] = 10
    cli.main()
"""


@pytest.mark.slow
@pytest.mark.xdist_group("journey")
@pytest.mark.parametrize("seconds", [0.0, 1.0, 3.0])
def test_ctrl_c_that_workers_hear_too_is_told_once(journey: Journey, tmp_path: Path, seconds: float) -> None:
    script = tmp_path / "small.py"
    script.write_text(SMALL_PARTS)
    words = ["predict", str(journey.fresh), "--model", str(journey.trained.run_directory), "--out", str(tmp_path / "o")]
    line = [sys.executable, str(script), *words, "--processes", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(line, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True) as run:
        assert run.stderr is not None
        while not run.stderr.readline().startswith("Scoring decisions"):
            pass
        time.sleep(seconds)
        os.killpg(run.pid, signal.SIGINT)
        # rich writes a line once more when it is interrupted right behind writing it.
        rest = [said for said in run.stderr.read().splitlines() if not said.startswith("Scoring decisions")]

    assert run.returncode == 130
    assert rest[0].startswith("stopped") and rest[1:] == ["stopped by SIGINT", "(exit code 130)"]
