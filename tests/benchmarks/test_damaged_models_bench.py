"""Hundreds of damaged model directories: what refuses each, and what is left when the manifest was made to fit.

`make bench` prints the counts. `MMRANK_BENCH_DAMAGES` says how many of each, and `MMRANK_BENCH_FILES=1` counts by the
file that was hurt. A model whose manifest fits is loaded in a process of its own: LightGBM does not survive every text.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from pipeline.errors import DamagedModelError, PipelineError
from pipeline.runs.model_dir import load_directory, load_model
from tests.conftest import ROOT, Journey
from tests.store.damages import CONTENTS, DAMAGES, NAMES, damaged, rehashed, tripwires
from tests.store.test_damaged_models import SAID, another_model

NUMBER = int(os.environ.get("MMRANK_BENCH_DAMAGES", "50"))
BY_FILE = "MMRANK_BENCH_FILES" in os.environ
PATIENCE_SECONDS = 60


@pytest.fixture(scope="module")
def other(journey: Journey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return another_model(journey.loaded, tmp_path_factory.mktemp("other") / "model")


def shown(title: str, found: Counter[str]) -> str:
    """Return counts, the largest first."""
    return "\n".join([title, *(f"{count:7}  {name}" for name, count in found.most_common())])


@pytest.mark.slow
def test_every_damaged_directory_is_refused_before_parsing(
    journey: Journey, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = journey.trained.run_directory / "model"
    by_words: Counter[str] = Counter()
    hurt: Counter[str] = Counter()
    for number in range(NUMBER):
        home, kind = tmp_path / "model", list(DAMAGES)[number % len(DAMAGES)]
        hurt[damaged(sound, home, other, kind, number)] += 1
        with tripwires(), pytest.raises(DamagedModelError) as refused:
            load_directory(home)
        said = SAID.fullmatch(str(refused.value).removeprefix(f"{home}: "))
        assert said, str(refused.value)
        by_words[re.sub(r"^\S+ (is|has)|\d+|'[^']*'", r"... \1", said[1])] += 1
        for path in tmp_path.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    with capsys.disabled():
        print("\n" + shown(f"{NUMBER} damaged directories, {len(DAMAGES)} kinds, {len(hurt)} files hurt:", by_words))
    assert sum(by_words.values()) == NUMBER


@pytest.mark.slow
def test_a_registered_model_is_refused_although_its_manifest_was_made_to_fit(
    journey: Journey, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = tmp_path / "workspace"
    shutil.copytree(journey.workspace, workspace)
    (kept,) = (path.parent for path in workspace.rglob("model/manifest.json"))
    sound = tmp_path / "sound"
    kept.rename(sound)
    for number in range(NUMBER):
        fitting(sound, kept, other, number)
        with tripwires(), pytest.raises(DamagedModelError, match="not the model that was registered"):
            load_model("models:/mmrank@champion", workspace)
        shutil.rmtree(kept)

    with capsys.disabled():
        print(f"\n{NUMBER} with a manifest made to fit, by name: all refused before parsing, by the registry's digest")


@pytest.mark.slow
def test_what_becomes_of_a_model_loaded_by_its_path_whose_manifest_was_made_to_fit(
    journey: Journey, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = journey.trained.run_directory / "model"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, str(Path(__file__)), *map(str, (sound, other, tmp_path / "by-path", NUMBER))]
    # What LightGBM says of a broken text repeats some of its bytes.
    done = subprocess.run(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
    )
    found = Counter(json.loads(done.stdout.splitlines()[-1]))

    with capsys.disabled():
        print("\n" + shown(f"{NUMBER} with a manifest made to fit, by path:", found))
    assert sum(found.values()) == NUMBER
    assert not [name for name in found if name.startswith("a traceback")]


def fitting(sound: Path, home: Path, other: Path, number: int) -> str:
    """Make a damaged copy with a manifest that fits, and return the file that was hurt."""
    kinds = [*CONTENTS, *NAMES]
    seed = number
    while True:
        hurt = damaged(sound, home, other, kinds[number % len(kinds)], seed)
        rehashed(home)
        same = (home / "manifest.json").read_bytes() == (sound / "manifest.json").read_bytes()
        if not same and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", hurt):
            return hurt
        shutil.rmtree(home)
        seed += 100_000


def told(home: Path, before: str, answer: Connection) -> None:
    """Load a model and send what happened."""
    try:
        version = load_directory(home).adviser.model_version
        answer.send(
            "accepted under the version of the sound model"
            if version == before
            else "accepted as another model version"
        )
    except DamagedModelError as problem:
        heard = "canary rows" in str(problem)
        answer.send("refused by the canary rows" if heard else "refused in one sentence, exit code 16")
    except PipelineError as problem:
        answer.send(f"refused in one sentence, exit code {problem.exit_code}")
    except Exception as problem:  # noqa: BLE001 - what nobody foresaw is what is counted here
        answer.send(f"a traceback: {type(problem).__name__}")


def by_path(sound: Path, other: Path, home: Path, number: int) -> Counter[str]:
    """Return what becomes of damaged models that are loaded by their path, each in a process of its own."""
    before = load_directory(sound).adviser.model_version
    context = get_context("fork")
    found: Counter[str] = Counter()
    for place in range(number):
        hurt = fitting(sound, home, other, place)
        receiving, sending = context.Pipe(duplex=False)
        process = context.Process(target=told, args=(home, before, sending))
        process.start()
        sending.close()
        if not receiving.poll(PATIENCE_SECONDS):
            process.kill()
        process.join()
        try:
            what = receiving.recv()
        except EOFError:
            what = f"ended by signal {-(process.exitcode or 0)}"
        found[f"{what} ({'student' if hurt.startswith('student') else hurt})" if BY_FILE else what] += 1
        shutil.rmtree(home)
    return found


if __name__ == "__main__":
    print(json.dumps(by_path(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))))
