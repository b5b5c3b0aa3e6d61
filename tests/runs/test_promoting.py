"""Does a model go forward only past its gates, signed by a role, with what was said kept?"""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.errors import ConfigError, DamagedModelError, GateError, PipelineError
from pipeline.runs.cards import EXAMPLE, example_card
from pipeline.runs.model_dir import load_directory
from pipeline.runs.promoting import promote, registered_models
from pipeline.runs.reading import read_known
from pipeline.runs.registering import Registered, register_run, run_metrics
from pipeline.runs.registry_screen import models_shown
from pipeline.runs.reporting import Quiet
from pipeline.store import around, read_model, resolve_model, write_model
from tests.conftest import ROOT, Journey

pytestmark = pytest.mark.xdist_group("journey")

VERSION = {"go": "2", "review": "3", "stop": "4", "students apart": "5"}
"""Versions registered once more with another evaluation; the last that does not say stop is the champion."""


def register_again(journey: Journey, workspace: Path, changes: Mapping[str, Any]) -> Registered:
    evaluation = {**journey.trained.evaluation, **changes}
    trained = load_directory(journey.trained.run_directory / "model")
    return register_run(trained, workspace, evaluation, {"review.html": "x"})


@pytest.fixture(scope="module")
def varied(journey: Journey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workspace with a version of each kind, none signed off."""
    workspace = Path(shutil.copytree(journey.workspace, tmp_path_factory.mktemp("varied") / "workspace"))
    learner = journey.trained.evaluation["learner"]
    apart = {"learner": learner | {"student": learner["student"] | {"passed": False}}}
    for kind, version in VERSION.items():
        changes = verdict(kind) if kind in ("go", "review", "stop") else verdict("go") | apart
        assert register_again(journey, workspace, changes) == Registered(version, is_champion=kind != "stop")
    return workspace


@pytest.fixture
def workspace(varied: Path, tmp_path: Path) -> Path:
    """Return a copy of it."""
    return Path(shutil.copytree(varied, tmp_path / "workspace"))


def verdict(result: str) -> dict[str, Any]:
    return {"verdict": {"result": result, "words": f"It says {result}."}}


# --- gates


@pytest.mark.parametrize(
    ("result", "note", "override", "refused"),
    [
        ("go", "", "", None),
        ("go", "seen", "", None),
        ("go", "", "because", ConfigError),  # nothing to override
        ("review", "", "", GateError),
        ("review", "  ", "", GateError),
        ("review", "seen", "", None),
        ("review", "seen", "because", ConfigError),
        ("stop", "seen", "", GateError),
        ("stop", "", "because", GateError),
        ("stop", "seen", "  ", GateError),
        ("stop", "seen", "because", None),
    ],
)
def test_what_each_verdict_asks_of_the_reviewer(
    workspace: Path, result: str, note: str, override: str, refused: type[PipelineError] | None
) -> None:
    version = VERSION[result]
    given = {"reviewer": "data scientist", "note": note, "override": override}

    if refused is None:
        promote(f"models:/mmrank/{version}", workspace, **given)
    else:
        with pytest.raises(refused):
            promote(f"models:/mmrank/{version}", workspace, **given)
    found = {entry.version: entry for entry in registered_models(workspace)}
    assert found[version].is_champion == (refused is None)
    assert len(found[version].sign_offs) == (refused is None)


def test_a_failed_student_gate_needs_a_reason_too(workspace: Path) -> None:
    with pytest.raises(GateError, match="the students do not follow the committee"):
        promote("models:/mmrank/5", workspace, reviewer="data scientist")
    assert registered_models(workspace)[0].gates == {"leaks": True, "student": False, "verdict": True}


@pytest.mark.parametrize("file", ["evaluation.json", "model/artifacts/model/student_00.txt"])
def test_no_reason_overrides_files_that_were_changed(workspace: Path, file: str) -> None:
    place = around(resolve_model("models:/mmrank/1", workspace)) / file
    place.write_bytes(place.read_bytes().replace(b"0", b"1", 1))

    with pytest.raises(DamagedModelError):
        promote("models:/mmrank/1", workspace, reviewer="data scientist", note="seen", override="because")
    assert not any(entry.sign_offs for entry in registered_models(workspace))


# --- who signs, and what is kept


@pytest.mark.parametrize("typed", ["Jane Q. Zqxname", "", "data scientist Zqxname", "datascientist"])
def test_a_reviewer_is_a_declared_role_and_a_name_is_not_repeated(workspace: Path, typed: str) -> None:
    with pytest.raises(ConfigError, match="got a role that is not declared") as problem:
        promote("models:/mmrank/1", workspace, reviewer=typed, note="seen")

    assert not typed or typed not in str(problem.value)
    assert b"Zqxname" not in (workspace / "mlflow.db").read_bytes()


@pytest.mark.parametrize("typed", ["Transplant  Physician", "transplant physician", "Data Scientist"])
def test_a_role_is_recorded_as_it_is_declared(workspace: Path, typed: str) -> None:
    record = promote("models:/mmrank/1", workspace, reviewer=typed, note="seen")

    assert record.role == " ".join(typed.lower().split())


@pytest.mark.parametrize("text", ["x" * 1001, "a\x00b", "a\x1b[2Jb", "a\u202eb"])
def test_a_note_is_short_and_printable(workspace: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="--note: got"):
        promote("models:/mmrank/1", workspace, reviewer="data scientist", note=text)


def test_a_run_directory_names_the_newest_version_with_its_files(journey: Journey, workspace: Path) -> None:
    given = {"reviewer": "data scientist", "note": "seen", "override": "because"}
    record = promote(str(journey.trained.run_directory), workspace, **given)

    assert (record.version, record.replaced, record.number) == ("5", "5", 1)


def test_a_run_that_was_never_registered_is_refused(journey: Journey, workspace: Path, tmp_path: Path) -> None:
    files = read_model(journey.trained.run_directory / "model")
    write_model(tmp_path / "other", files | {"about.json": files["about.json"] + b" "})

    with pytest.raises(ConfigError, match="none of the 5 registered versions has these files"):
        promote(str(tmp_path / "other"), workspace, reviewer="data scientist", note="seen")


def test_training_again_never_moves_a_champion_that_was_signed_off(journey: Journey, workspace: Path) -> None:
    promote("models:/mmrank/2", workspace, reviewer="data scientist")

    assert register_again(journey, workspace, verdict("go")) == Registered("6", is_champion=False)
    assert [entry.version for entry in registered_models(workspace) if entry.is_champion] == ["2"]


# --- the command line


def test_the_commands_say_who_signed_what_and_refuse_who_expected_another_champion(workspace: Path) -> None:
    place = ("--workspace", str(workspace))
    words = ("--reviewer", "clinical pharmacist", "--note", "Slopes of early death looked at")
    late = CliRunner().invoke(app, ["promote", "models:/mmrank/3", *words, "--expecting", "1", *place])
    done = CliRunner().invoke(app, ["promote", "models:/mmrank/3", *words, "--expecting", "5", *place])
    listed = {
        entry["version"]: entry for entry in json.loads(CliRunner().invoke(app, ["models", "--json", *place]).output)
    }

    assert isinstance(late.exception, PipelineError) and late.exception.exit_code == 17
    assert done.exit_code == 0 and "is version 3" in done.output
    assert [version for version, entry in listed.items() if entry["is_champion"]] == ["3"]
    assert [record["note"] for record in listed["3"]["sign_offs"]] == ["Slopes of early death looked at"]
    shown = CliRunner().invoke(app, ["models", *place]).output
    assert "Slopes of early death looked at" in " ".join(shown.split())


def test_the_list_of_models_fits_into_eighty_columns(workspace: Path) -> None:
    promote("models:/mmrank/4", workspace, reviewer="multidisciplinary team", note="w" * 200, override="o" * 90)
    console = Console(width=80, file=io.StringIO())
    models_shown(registered_models(workspace), console)
    text = console.file.getvalue()  # type: ignore[attr-defined]

    assert max(map(len, text.splitlines())) <= 80
    for word in ("4 champion", "stop", "fails verdict", "multidisciplinary team", "not signed off", "(simulated)"):
        assert word in re.sub(r"\s+", " ", text), text


# --- what MLflow shows


def test_a_run_is_logged_with_page_card_tables_figures_and_an_example_of_simulated_records(workspace: Path) -> None:
    logged = around(resolve_model("models:/mmrank/1", workspace))
    names = {path.relative_to(logged).as_posix() for path in logged.rglob("*") if path.is_file()}

    assert {"review.html", "model_card.html", "model_card.md", "evaluation.json", EXAMPLE} <= names
    assert {"tables/league-1.csv", "tables/league-1.json", "tables/checks-1.csv"} <= names
    assert any(name.startswith("figures/calibration") for name in names)


def test_no_case_card_is_made_of_real_records(journey: Journey) -> None:
    known = read_known(journey.fresh, journey.setup, training=False, reporter=Quiet())
    object.__setattr__(known.records, "simulated", False)

    with pytest.raises(ValueError, match="the records are real"):
        example_card(known, journey.loaded, predictions=None)  # type: ignore[arg-type]


def test_every_metric_is_finite_or_absent_and_described(journey: Journey) -> None:
    described = (ROOT / "docs" / "registry.md").read_text()
    metrics = run_metrics(journey.trained.evaluation)
    outcomes = "|".join(row["outcome"] for row in journey.trained.evaluation["estimands"])

    assert {"issues", "gates_passed", "gate_student", "difference_from_clinicians"} <= set(metrics)
    assert metrics["gates_passed"] in (0.0, 1.0)
    for name in metrics:
        assert f"`{re.sub(rf'_({outcomes})$', '_<outcome>', name)}`" in described, name


def test_the_review_page_leads_to_the_model_card_beside_it(journey: Journey) -> None:
    page = (journey.trained.run_directory / "review.html").read_text()

    assert 'href="model_card.html"' in page
    assert 'href="review.html#league"' in (journey.trained.run_directory / "model_card.html").read_text()
