"""Is a damaged, swapped or foreign model refused before anything in it is parsed?"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError, DamagedModelError
from pipeline.store import model_digest, read_model, resolve_model, write_model
from tests.store.conftest import MODEL_FILES

NAMES = [*MODEL_FILES, "manifest.json"]


def test_a_model_reads_back_byte_for_byte(model: Path) -> None:
    assert read_model(model) == MODEL_FILES


def test_equal_models_have_equal_digests_and_others_do_not(tmp_path: Path, model: Path) -> None:
    assert write_model(tmp_path / "same", dict(reversed(MODEL_FILES.items()))) == model_digest(model)
    assert write_model(tmp_path / "other", MODEL_FILES | {"one": b"2"}) != model_digest(model)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("damage", ["flip", "cut", "insert", "blank"])
def test_a_file_with_any_damage_is_refused(model: Path, name: str, share: float, damage: str) -> None:
    content = bytearray((model / name).read_bytes())
    spot = min(int(len(content) * share), len(content) - 1)
    if damage == "flip":
        content[spot] ^= 1
    elif damage == "cut":
        del content[spot:]
    elif damage == "insert":
        content.insert(spot, 32)
    else:
        content[spot] = 0
    (model / name).write_bytes(content)

    with pytest.raises(DamagedModelError, match=r"\." if name == "manifest.json" else f": {name}") as refused:
        read_model(model)
    assert refused.value.exit_code == 16


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(name=st.sampled_from(NAMES), spot=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_no_single_flipped_bit_passes(model: Path, name: str, spot: int, bit: int) -> None:
    before = (model / name).read_bytes()
    content = bytearray(before)
    content[spot % len(content)] ^= 1 << bit
    (model / name).write_bytes(content)
    try:
        with pytest.raises(DamagedModelError):
            read_model(model)
    finally:
        (model / name).write_bytes(before)


def _swap(model: Path) -> None:
    one, two = (model / "student.txt").read_bytes(), (model / "one").read_bytes()
    (model / "student.txt").write_bytes(two)
    (model / "one").write_bytes(one)


def _link(model: Path) -> None:
    (model / "one").rename(model.parent / "one")
    (model / "one").symlink_to(model.parent / "one")


def _pipe(model: Path) -> None:
    (model / "one").unlink()
    os.mkfifo(model / "one")


def _folder(model: Path) -> None:
    (model / "one").unlink()
    (model / "one").mkdir()


def _edit(model: Path, **changes: object) -> None:
    manifest = json.loads((model / "manifest.json").read_bytes()) | changes
    (model / "manifest.json").write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")


def _claim(model: Path, name: str, size: int) -> None:
    files = json.loads((model / "manifest.json").read_bytes())["files"]
    _edit(model, files=files | {name: files[name] | {"bytes": size}})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_swap, "one is not the file that was saved|student.txt is not"),
        (_link, "one is not a readable, regular file"),
        (_pipe, "one is not"),
        (_folder, "one is not"),
        (lambda model: (model / "extra.pkl").write_bytes(b"x"), r"1 file not in the manifest, first 'extra.pkl'"),
        (lambda model: (model / "sub").mkdir(), "not in the manifest, first 'sub'"),
        (lambda model: (model / "one").unlink(), "one is missing"),
        (lambda model: (model / "manifest.json").unlink(), "manifest.json is missing"),
        (lambda model: _edit(model, format=2), "has format 2, wanted 1"),
        (lambda model: _edit(model, format=True), "manifest.json is damaged"),
        (lambda model: _edit(model, files={}), "manifest.json is damaged"),
        (lambda model: _claim(model, "one", 10**15), "one is not the file that was saved"),
        (lambda model: _edit(model, files={"../one": {"bytes": 1, "sha256": "0"}}), "manifest.json is damaged"),
        (lambda model: (model / "manifest.json").write_text("[" * 100_000), "manifest.json is damaged"),
        (lambda model: (model / "manifest.json").write_bytes(b" " * 2_000_000), "has 2000000 bytes"),
    ],
)
def test_a_directory_that_is_not_the_saved_one_is_refused(model: Path, change: object, said: str) -> None:
    change(model)  # type: ignore[operator]

    with pytest.raises(DamagedModelError, match=said):
        read_model(model)


def test_a_model_is_never_written_over_something(tmp_path: Path, model: Path) -> None:
    with pytest.raises(ConfigError, match="wanted a new or empty one"):
        write_model(model, MODEL_FILES)
    assert read_model(model) == MODEL_FILES


def test_a_failed_write_leaves_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.store.model_files.canonical_json", lambda _document: b"{}")
    monkeypatch.setattr(Path, "replace", broken)
    with pytest.raises(KeyboardInterrupt):
        write_model(tmp_path / "model", MODEL_FILES)

    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]
    assert list((tmp_path / "model").iterdir()) == []


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "manifest.json", "a\nb"])
def test_a_file_name_that_is_not_plain_is_a_bug(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="1 of them not plain names"):
        write_model(tmp_path / "model", {name: b""})


def test_a_run_directory_and_a_model_directory_mean_the_same_model(model: Path, tmp_path: Path) -> None:
    assert resolve_model(model.parent, tmp_path) == model
    assert resolve_model(str(model), tmp_path) == model


@pytest.mark.parametrize("reference", ["absent", ".", "models:/mmrank", "models:/mmrank@champion", "models:/x/y/3"])
def test_a_reference_to_nothing_says_what_is_wanted(tmp_path: Path, reference: str) -> None:
    with pytest.raises(ConfigError, match="wanted"):
        resolve_model(reference if reference.startswith("models") else tmp_path / reference, tmp_path)
    assert list(tmp_path.iterdir()) == []
