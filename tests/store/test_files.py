"""Does a file come in whole, and go out whole or not at all?"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.errors import ConfigError, PipelineError, SchemaError
from pipeline.store import declared_folder, new_folder, read_text, shipped, write_json, write_text


def test_a_written_text_reads_back_and_its_folder_is_made(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "page.html", "Größe ≥ 3\n")

    assert read_text(tmp_path / "a" / "b" / "page.html") == "Größe ≥ 3\n"
    assert os.listdir(tmp_path / "a" / "b") == ["page.html"]


@pytest.mark.parametrize("call", ["fsync", "replace", "write"])
def test_a_failing_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    target = tmp_path / "page.html"
    write_text(target, "old")

    def full(*_args: object, **_named: object) -> None:
        raise OSError(28, "No space left on device")

    if call == "write":
        monkeypatch.setattr("pipeline.store.files.os.fdopen", full)
    elif call == "replace":
        monkeypatch.setattr(Path, "replace", full)
    else:
        monkeypatch.setattr("pipeline.store.files.os.fsync", full)
    with pytest.raises(PipelineError, match=r"page\.html: could not be written \(No space left on device\)"):
        write_text(target, "new")
    monkeypatch.undo()

    assert read_text(target) == "old"
    assert os.listdir(tmp_path) == ["page.html"]


def test_the_same_mapping_gives_the_same_json_bytes(tmp_path: Path) -> None:
    one = write_json(tmp_path / "one.json", {"b": 1, "a": [0.1]})

    assert write_json(tmp_path / "two.json", {"a": [0.1], "b": 1}) == one


@pytest.mark.parametrize(("content", "said"), [(None, "no such file"), (b"ab\xff", "byte 3 is not UTF-8")])
def test_an_unreadable_text_says_what_to_do(tmp_path: Path, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / "base.yaml").write_bytes(content)

    with pytest.raises(SchemaError, match=said):
        read_text(tmp_path / "base.yaml", SchemaError)


def test_a_declared_folder_is_read_sorted_without_its_subfolders(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yaml", "note.md", "inner/c.yaml"):
        write_text(tmp_path / name, name)

    assert [Path(where).name for where in declared_folder(tmp_path)] == ["a.yaml", "b.yaml"]


@pytest.mark.parametrize("folder", ["absent", "."])
def test_a_folder_without_declarations_is_refused(tmp_path: Path, folder: str) -> None:
    with pytest.raises(ConfigError, match="wanted"):
        declared_folder(tmp_path / folder)


def test_a_new_folder_must_be_empty(tmp_path: Path) -> None:
    assert new_folder(tmp_path / "run") == tmp_path / "run"
    write_text(tmp_path / "run" / "note", "mine")
    with pytest.raises(ConfigError, match="1 entries, wanted a new or empty one"):
        new_folder(tmp_path / "run")


def test_the_shipped_schema_is_found() -> None:
    assert (shipped("data_schema") / "predictions.yaml").is_file()
