"""`mmrank explain` for several decisions: numbered cards, an index, and no identifier unless asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.errors import ConfigError, ModelMismatchError, PipelineError
from pipeline.runs.cards import asked_for, explain_cases
from pipeline.runs.institution import write_institution
from pipeline.runs.predict import predict
from pipeline.runs.reporting import Quiet
from pipeline.simulate import SimulationSettings
from tests.conftest import Journey
from tests.review.reading_back import read_page

pytestmark = pytest.mark.xdist_group("weighing anew")
ASKED = ["D000009", "D000002", "D000033"]


def explained(journey: Journey, out: Path, *words: str) -> str:
    given = ["explain", str(journey.fresh), "--model", str(journey.loaded.directory), "--out", str(out), *words]
    result = CliRunner().invoke(app, given)
    if isinstance(result.exception, PipelineError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def folder(journey: Journey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the cards of three decisions of a file, one of them listed twice."""
    home = tmp_path_factory.mktemp("cards")
    (home / "asked.txt").write_text("\n".join([*ASKED, "", ASKED[0]]))
    said = explained(journey, home / "out", "--decisions", str(home / "asked.txt"))
    assert "cards: 3 in" in said
    return home / "out"


def test_cards_are_numbered_and_listed_in_the_order_asked_for(journey: Journey, folder: Path, tmp_path: Path) -> None:
    files = [f"card-000{number}.html" for number in (1, 2, 3)]
    explained(journey, tmp_path / "one.html", "--decision", ASKED[1])

    assert sorted(path.name for path in folder.iterdir()) == [*files, "index.html"]
    assert [a["href"] for tag, a in read_page((folder / "index.html").read_text()).elements if tag == "a"][1:] == files
    assert (folder / files[1]).read_text() == (tmp_path / "one.html").read_text()


def test_a_folder_names_no_decision_and_no_patient(folder: Path) -> None:
    for path in folder.iterdir():
        assert not [name for name in ASKED if name in path.read_text() or name in path.name]
        assert "P0000" not in path.read_text()
        assert len(path.read_bytes()) < 300_000


def test_identifiers_stand_in_the_index_when_asked(journey: Journey, tmp_path: Path) -> None:
    words = [word for name in ASKED[:2] for word in ("--decision", name)]
    explained(journey, tmp_path / "named", *words, "--show-identifiers")

    index = (tmp_path / "named" / "index.html").read_text()
    assert index.index(ASKED[0]) < index.index(ASKED[1])
    assert sorted(path.name for path in (tmp_path / "named").iterdir())[0] == "card-0001.html"


@pytest.fixture(scope="module")
def aside(journey: Journey) -> Path:
    """Return a file with one override."""
    path = journey.home / "one-override.csv"
    row = "D000002,g03-us-teclistamab-label,Discussed at the board,treating haematologist,2026-11-20"
    path.write_text(f"decision_id,rule_id,reason,by_role,date\n{row}\n")
    return path


@pytest.fixture(scope="module")
def batches(journey: Journey, aside: Path) -> dict[bool, Path]:
    """Return one batch scored without, and one with, the override."""
    homes = {False: journey.home / "cards-of-plain", True: journey.home / "cards-of-overridden"}
    for overridden, home in homes.items():
        predict(journey.fresh, journey.loaded, home, Quiet(), overrides=aside if overridden else None)
    return homes


def test_a_batch_names_its_decisions_to_its_own_model_only(journey: Journey, batches: dict[bool, Path]) -> None:
    other = replace(journey.loaded, adviser=replace(journey.loaded.adviser, model_version="another"))

    found = asked_for(["D000009"], None, batches[False], journey.loaded).decisions
    assert found[0] == "D000009"
    assert len(found) == len(set(found)) > 40
    with pytest.raises(ModelMismatchError):
        asked_for([], None, batches[False], other)


@pytest.mark.parametrize("scored_with, explained_with", [(False, True), (True, False)])
def test_cards_of_a_batch_need_its_overrides(
    journey: Journey, batches: dict[bool, Path], aside: Path, tmp_path: Path, scored_with: bool, explained_with: bool
) -> None:
    asked = asked_for([], None, batches[scored_with], journey.loaded)

    with pytest.raises(ModelMismatchError, match="other overrides"):
        explain_cases(
            tmp_path / "never read", journey.loaded, asked, tmp_path / "out", Quiet(),
            overrides=aside if explained_with else None,
        )  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_cards_of_a_batch_need_its_records_even_where_ids_agree(
    journey: Journey, batches: dict[bool, Path], aside: Path, tmp_path: Path
) -> None:
    write_institution(SimulationSettings(decisions=60, seed=13), tmp_path / "others")
    asked = asked_for([], None, batches[True], journey.loaded)

    with pytest.raises(ModelMismatchError, match="other records"):
        explain_cases(tmp_path / "others", journey.loaded, asked, tmp_path / "none", Quiet(), overrides=aside)
    few = replace(asked, decisions=asked.decisions[:2])
    assert explain_cases(journey.fresh, journey.loaded, few, tmp_path / "out", Quiet(), overrides=aside) == 2


def test_unknown_decisions_are_counted_and_not_repeated(journey: Journey, tmp_path: Path) -> None:
    words = ("--decision", "SECRET-77", "--decision", ASKED[0])
    with pytest.raises(ConfigError, match="1 of 2 decisions") as problem:
        explained(journey, tmp_path / "none", *words)

    assert "SECRET" not in str(problem.value)


def test_nothing_asked_for_is_a_wrong_call(journey: Journey, tmp_path: Path) -> None:
    given = ["explain", str(journey.fresh), "--model", str(journey.loaded.directory), "--out", str(tmp_path / "x")]

    assert CliRunner().invoke(app, given).exit_code == 2


def test_a_trained_model_keeps_typical_values_and_people_alike(journey: Journey, folder: Path) -> None:
    text = read_page((folder / "card-0001.html").read_text()).text
    features = journey.loaded.adviser.model.columns.names

    assert set(journey.loaded.about["typical"]) <= set(features)
    assert len(journey.loaded.about["typical"]) > 50
    assert "typical here:" in text
    assert "At least 60 people the model learned from share with this patient:" in text
    assert "What became of people alike" in text
