"""Does a model come back from the registry as it was saved, and does the champion change only after a canary?"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from pipeline.errors import ConfigError, DamagedModelError, GateError
from pipeline.store import nominate, read_model, record_run, register, resolve_model, write_model
from tests.store.conftest import MODEL_FILES

START = """
import sys
from pathlib import Path
from pipeline.store import record_run, register
workspace, model = sys.argv[1:]
run = record_run(workspace, experiment="mmrank", run_name="r", parameters={}, metrics={}, model_directory=model)
print(register(workspace, run))
"""


def _record(workspace: Path, model: Path) -> str:
    return record_run(
        workspace,
        experiment="mmrank",
        run_name="first",
        parameters={"seed": 7, "weights.durable_control": 0.4, "long": "x" * 10_000},
        metrics={"regret": 0.031, "nothing": None, "undefined": float("nan")},
        model_directory=model,
        figures={"overlap": "<svg/>"},
        tables={"league": pd.DataFrame({"policy": ["model"], "value": [0.4]})},
        report_html="<html></html>",
        documents={"evaluation.json": "{}"},
        tags={"simulated": "true"},
    )


def _refuse(_model: Path) -> None:
    raise GateError("canary: other predictions than at training")


def test_a_model_goes_into_the_registry_and_comes_back_guarded(
    tmp_path: Path, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    workspace = tmp_path / "work space"
    seen: list[dict[str, bytes]] = []
    first = register(workspace, _record(workspace, model))
    with pytest.raises(ConfigError, match="has no such model, version or alias"):
        resolve_model("models:/mmrank@champion", workspace)
    nominate(workspace, first, lambda place: seen.append(read_model(place)))
    write_model(tmp_path / "next", MODEL_FILES | {"one": b"2"})
    second = register(workspace, _record(workspace, tmp_path / "next"))
    with pytest.raises(GateError):
        nominate(workspace, second, _refuse)

    assert (first, second) == ("1", "2")
    assert seen == [MODEL_FILES]
    assert read_model(resolve_model("models:/mmrank@champion", workspace)) == MODEL_FILES
    assert read_model(resolve_model("models:/mmrank/2", workspace))["one"] == b"2"
    assert capfd.readouterr() == ("", "")
    logged = {path.name for path in (workspace / "artifacts").rglob("*") if path.is_file()}
    assert logged == {*MODEL_FILES, "manifest.json", "overlap.svg", "league.csv", "review.html", "evaluation.json"}

    moved = workspace.rename(tmp_path / "moved")
    champion = resolve_model("models:/mmrank@champion", moved)
    assert champion.is_relative_to(moved)
    (champion / "one").write_bytes(b"9")
    with pytest.raises(DamagedModelError, match="one is not the file that was saved"):
        resolve_model("models:/mmrank@champion", moved)
    for path in champion.iterdir():
        path.write_bytes((tmp_path / "next" / path.name).read_bytes())
    with pytest.raises(DamagedModelError, match="are not the model that was registered"):
        nominate(moved, first, lambda _place: pytest.fail("a swapped model was loaded"))
    with pytest.raises(ConfigError, match="no such model, version or alias"):
        resolve_model("models:/mmrank/77", moved)


@pytest.mark.slow
def test_processes_that_start_a_store_together_all_succeed(tmp_path: Path, model: Path) -> None:
    command = [sys.executable, "-c", START, str(tmp_path / "workspace"), str(model)]
    count = int(os.environ.get("MMRANK_STARTERS", "4"))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    starters = [subprocess.Popen(command, text=True, **pipes) for _ in range(count)]  # type: ignore[call-overload]
    said = [starter.communicate() for starter in starters]

    assert [starter.returncode for starter in starters] == [0] * count
    assert sorted(int(version) for version, _ in said) == list(range(1, count + 1))
    assert {errors for _, errors in said} == {""}


def test_a_table_with_a_row_per_patient_is_never_logged(tmp_path: Path, model: Path) -> None:
    with pytest.raises(ValueError, match="1 have identifiers as a column, first 'rows'"):
        record_run(
            tmp_path / "workspace",
            experiment="mmrank",
            run_name="r",
            parameters={},
            metrics={},
            model_directory=model,
            tables={"rows": pd.DataFrame({"decision_id": ["d1"]})},
        )
    assert not (tmp_path / "workspace").exists()
