"""Is a whole trained model refused, however it was damaged, before any parser is asked to read it?"""

from __future__ import annotations

import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.errors import DamagedModelError
from pipeline.runs.model_dir import Loaded, load_directory, load_model, save_model
from pipeline.store import resolve_model
from tests.conftest import Journey
from tests.store.damages import CONTENTS, DAMAGES, PARSERS, ParserTouchedError, damaged, rehashed, tripwires

pytestmark = pytest.mark.xdist_group("journey")

SAID = re.compile(
    r"(\S+ is missing|\S+ is not the file that was saved|\S+ is not a readable, regular file|manifest\.json is damaged"
    r"|manifest\.json has \d+ bytes, wanted a manifest|manifest\.json has format -?\d, wanted 1"
    r"|\d+ files? not in the manifest, first '[^'\n]{1,150}')\. "
    r"Nothing in it was parsed; take the model from its registry or train it again\."
)
"""All that is said of a damaged directory after its name: no word and no number of what is in its files."""


@pytest.fixture(scope="module")
def sound(journey: Journey) -> Path:
    return journey.trained.run_directory / "model"


@pytest.fixture(scope="module")
def other(journey: Journey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return another_model(journey.loaded, tmp_path_factory.mktemp("other") / "model")


def another_model(loaded: Loaded, home: Path) -> Path:
    """Return a second valid model of the same files: its trees speak for other parts, its intervals are wider."""
    model = loaded.adviser.model
    parts, first = model.students.parts, model.students.parts[0]
    turned = tuple(replace(part, booster=after.booster) for part, after in zip(parts, [*parts[1:], first], strict=True))
    spread = replace(model.spread, middle=model.spread.middle + 0.5, factor=1.25 * model.spread.factor)
    students = replace(model.students, parts=turned)
    save_model(home, replace(model, students=students, spread=spread), loaded.setup, dict(loaded.about) | {"n": 1})
    load_directory(home)
    return home


@pytest.mark.parametrize("parser", PARSERS)
def test_each_tripwire_is_on_the_way_of_a_sound_model(sound: Path, parser: str) -> None:
    with tripwires(parser), pytest.raises(ParserTouchedError):
        load_directory(sound)


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_trained_model_with_any_damage_is_refused_before_anything_is_parsed(
    sound: Path, other: Path, tmp_path: Path, kind: str
) -> None:
    for seed in range(3):
        home = tmp_path / str(seed)
        damaged(sound, home, other, kind, seed)
        with tripwires(), pytest.raises(DamagedModelError) as refused:
            load_directory(home)
        words = str(refused.value)
        assert words.startswith(f"{home}: ") and SAID.fullmatch(words.removeprefix(f"{home}: ")), words
        assert refused.value.exit_code == 16


@pytest.mark.parametrize("kind", ["a digit changed", "a foreign file", "renamed"])
def test_a_registered_model_is_refused_before_parsing_even_if_its_manifest_was_made_to_fit(
    journey: Journey, other: Path, tmp_path: Path, kind: str
) -> None:
    workspace = tmp_path / "workspace"
    shutil.copytree(journey.workspace, workspace)
    kept = resolve_model("models:/mmrank@champion", workspace)
    assert kept.is_relative_to(workspace)
    copy = tmp_path / "copy"
    damaged(kept, copy, other, kind, 4)
    rehashed(copy)
    shutil.rmtree(kept)
    copy.rename(kept)

    with tripwires(), pytest.raises(DamagedModelError, match=r"are not the model that was registered\. Nothing in"):
        load_model("models:/mmrank@champion", workspace)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("configuration.json", b"{"),
        ("configuration.json", b"{}"),
        ("about.json", b""),
        ("canary.json", b'{"outcomes": [[1], 2]}'),
        ("arrays.npz", b"PK"),
        ("model.json", b"[]"),
        ("student_00.txt", b"\xff"),
        ("student_00.txt", b"tree"),
    ],
)
def test_files_that_fit_their_manifest_and_cannot_be_read_end_in_one_sentence(
    sound: Path, tmp_path: Path, name: str, content: bytes
) -> None:
    home = tmp_path / "model"
    shutil.copytree(sound, home)
    (home / name).write_bytes(content)
    rehashed(home)

    with pytest.raises(DamagedModelError, match=r"cannot be read|missing or malformed|canary"):
        load_directory(home)


@pytest.mark.parametrize("kind", ["a bit flipped", "two swapped", "a link"])
def test_the_command_says_it_in_one_line_and_leaves_nothing(
    journey: Journey,
    sound: Path,
    other: Path,
    tmp_path: Path,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    home, out = tmp_path / "model", tmp_path / "out"
    damaged(sound, home, other, kind, 5)
    words = ["mmrank", "predict", str(journey.fresh), "--model", str(home), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", words)

    with tripwires(), pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == 16 and said.count("\n") == 2 and "Traceback" not in said
    assert not out.exists()


def test_the_draws_hurt_many_files(sound: Path, other: Path, tmp_path: Path) -> None:
    hurt = {damaged(sound, tmp_path / f"{kind}{seed}", other, kind, seed) for kind in CONTENTS for seed in range(3)}
    assert len(hurt) > 10
