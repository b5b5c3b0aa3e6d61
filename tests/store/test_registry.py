"""Does the champion change only for somebody who saw the one before, with a record that stays?"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ConfigError, DamagedModelError, LockedError
from pipeline.store import SignOff, nominate, read_registry, record_run, register, resolve_model, sign_off, write_model
from pipeline.store.tracking import opened_store
from tests.store.conftest import MODEL_FILES

SIGN = """
import sys, time
from pathlib import Path
from pipeline.errors import PipelineError
from pipeline.store import sign_off
workspace, version, ready, start = sys.argv[1:]
import mlflow
Path(ready).touch()
while not Path(start).exists():
    time.sleep(0.01)
try:
    sign_off(workspace, version, expecting="1", role="r", note="n", override="", signed_at="t", verdict="go")
except PipelineError as problem:
    sys.exit(problem.exit_code)
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workspace with three versions of one run, the first of them champion."""
    home = tmp_path_factory.mktemp("registry")
    write_model(home / "model", MODEL_FILES)
    given: dict[str, Any] = {"parameters": {}, "metrics": {}, "model_directory": home / "model"}
    run = record_run(home / "workspace", experiment="mmrank", run_name="r", **given)
    for _ in range(3):
        register(home / "workspace", run, facts={"title": "A title", "gate.student": "pass"})
    nominate(home / "workspace", "1", lambda _: None)
    return home / "workspace"


@pytest.fixture
def workspace(trained: Path, tmp_path: Path) -> Path:
    """Return a copy of it."""
    return Path(shutil.copytree(trained, tmp_path / "workspace"))


def sign(workspace: Path, version: str, expecting: str | None) -> SignOff:
    words = {"role": "pharmacist", "note": "seen", "override": "", "signed_at": "2026-01-01", "verdict": "go"}
    return sign_off(workspace, version, expecting=expecting, **words)


def break_at(patch: pytest.MonkeyPatch, method: str) -> None:
    from mlflow import MlflowClient

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    patch.setattr(MlflowClient, method, killed)


def test_a_champion_that_nobody_signed_gives_way_to_the_next_training(workspace: Path) -> None:
    assert nominate(workspace, "2", lambda _: None)
    assert read_registry(workspace).champion == "2"


def test_a_champion_that_was_signed_off_stays_until_the_next_sign_off(workspace: Path) -> None:
    sign(workspace, "1", "1")

    assert not nominate(workspace, "2", lambda _: None)
    assert read_registry(workspace).champion == "1"
    sign(workspace, "2", "1")
    assert read_registry(workspace).champion == "2"


def test_facts_given_at_registration_are_read_back(workspace: Path) -> None:
    facts = read_registry(workspace).versions[-1].facts

    assert (facts["title"], facts["gate.student"]) == ("A title", "pass")


@pytest.mark.parametrize("expecting", ["3", None])
def test_whoever_expected_another_champion_is_refused_and_leaves_no_trace(
    workspace: Path, expecting: str | None
) -> None:
    with pytest.raises(LockedError, match="version 1, expected") as refused:
        sign(workspace, "2", expecting)

    found = read_registry(workspace)
    assert refused.value.exit_code == 17
    assert (found.champion, found.sign_offs) == ("1", ())


def test_a_version_that_is_not_there_is_refused(workspace: Path) -> None:
    with pytest.raises(ConfigError, match="no such version"):
        sign(workspace, "9", "1")
    assert read_registry(workspace).sign_offs == ()


@pytest.mark.slow
def test_of_two_promotions_at_once_one_wins_and_the_other_is_refused(workspace: Path, tmp_path: Path) -> None:
    start = tmp_path / "start"
    ready = {version: tmp_path / f"ready-{version}" for version in ("2", "3")}
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    running = {
        version: subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", SIGN, str(workspace), version, str(path), str(start)],
            env=environment,
        )
        for version, path in ready.items()
    }
    while not all(path.exists() for path in ready.values()) and all(one.poll() is None for one in running.values()):
        time.sleep(0.05)
    start.touch()
    codes = {version: one.wait() for version, one in running.items()}

    found = read_registry(workspace)
    assert sorted(codes.values()) == [0, 17]
    assert codes[found.champion or ""] == 0
    assert [record.version for record in found.sign_offs] == [found.champion]


@pytest.mark.parametrize(
    ("method", "recorded", "champion"),
    [
        ("set_registered_model_tag", 0, "1"),  # before anything is written
        ("set_registered_model_alias", 1, "1"),  # recorded, not carried out
        ("set_model_version_tag", 1, "2"),  # done; only MLflow's own page lacks the words
    ],
)
def test_a_crash_leaves_the_alias_as_it_was_or_the_promotion_done(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, method: str, recorded: int, champion: str
) -> None:
    with monkeypatch.context() as patch:
        break_at(patch, method)
        with pytest.raises(KeyboardInterrupt):
            sign(workspace, "2", "1")
    found = read_registry(workspace)

    assert (found.champion, len(found.sign_offs)) == (champion, recorded)
    assert len(found.signed("2")) == (champion == "2")
    sign(workspace, "3", champion)
    after = read_registry(workspace)
    assert (after.champion, len(after.sign_offs), len(after.signed("3"))) == ("3", recorded + 1, 1)
    assert len(after.signed("2")) == (champion == "2")
    assert resolve_model("models:/mmrank@champion", workspace).is_dir()


@pytest.mark.parametrize("touched", ["changed", "removed", "reordered"])
def test_a_changed_or_removed_sign_off_is_seen(workspace: Path, touched: str) -> None:
    sign(workspace, "2", "1")
    sign(workspace, "3", "2")
    first, second = "mmrank.sign_off.000001", "mmrank.sign_off.000002"
    with opened_store(workspace, create=False) as client:
        tags = client.get_registered_model("mmrank").tags
        if touched == "changed":
            client.set_registered_model_tag("mmrank", first, tags[first].replace("pharmacist", "somebody"))
        elif touched == "removed":
            client.delete_registered_model_tag("mmrank", first)
        else:
            client.set_registered_model_tag("mmrank", first, tags[second])
            client.set_registered_model_tag("mmrank", second, tags[first])

    with pytest.raises(DamagedModelError, match="changed or removed"):
        read_registry(workspace)
    with pytest.raises(DamagedModelError):
        sign(workspace, "1", "3")
