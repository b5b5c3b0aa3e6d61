"""Does the command line say whole what it takes, and refuse before it works what it cannot use?"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import click
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.cli.options import checked_memory
from pipeline.errors import ConfigError, PipelineError, counted

_SAID = re.compile(r"--[a-z][a-z-]*")


def commands() -> dict[tuple[str, ...], click.Command]:
    """Return every command by its words, the hidden one too."""
    group = typer.main.get_command(app)
    assert isinstance(group, click.Group) or hasattr(group, "commands")
    found: dict[tuple[str, ...], click.Command] = {}
    for name, command in group.commands.items():
        below = getattr(command, "commands", None)
        found |= {(name, own): inner for own, inner in below.items()} if below else {(name,): command}
    return found


COMMANDS = commands()


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_option_is_named_whole_in_eighty_columns(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 80)
    shown = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"}).output
    options = {name for param in COMMANDS[words].params for name in (*param.opts, *param.secondary_opts)}
    missing = {name for name in options if name.startswith("--")} - set(_SAID.findall(shown))

    assert max(map(len, shown.splitlines())) <= 80
    assert (missing, "\u2026" in shown) == (set(), False)


@pytest.mark.parametrize("words", [words for words in COMMANDS if words != ("docs",)], ids=" ".join)
def test_every_command_has_an_example_that_it_takes(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = COMMANDS[words]
    example = str(command.epilog).removeprefix("Example:\n\n")
    given = shlex.split(example)

    assert len(example) < 80
    assert given[: 1 + len(words)] == ["mmrank", *words]
    command.make_context(words[-1], given[1 + len(words) :])


@pytest.mark.parametrize(
    "words",
    [
        ("predict", "r", "--model", "m", "--out", "{file}"),
        ("train", "r", "--out", "{file}"),
        ("simulate", "--out", "{file}"),
        ("demo", "--out", "{file}"),
        ("explain", "r", "--model", "m", "--out", "{file}", "--all"),
        ("explain", "r", "--model", "m", "--out", "{folder}", "--decision", "d"),
        ("features", "r", "--model", "m", "--out", "{folder}"),
        ("features", "r", "--model", "m", "--out", "f.xlsx"),
        ("features", "r", "--model", "m", "--out", "{file}/f.csv"),
        ("monitor", "r", "--model", "m", "--out", "{folder}"),
        ("review", "--model", "m", "--out", "{folder}"),
        ("check", "r", "--out", "{file}/check.json"),
        ("predict", "r", "--model", "m", "--out", "p", "--memory", "5"),
        ("features", "r", "--model", "m", "--out", "f.csv", "--memory", "1MB"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_written_is_refused_before_anything_is_read(words: tuple[str, ...], tmp_path: Path) -> None:
    folder, file = tmp_path / "folder", tmp_path / "file"
    folder.mkdir()
    file.touch()
    given = [word.format(file=file, folder=folder) for word in words]
    option = "--memory" if "--memory" in given else "--out"
    problem = CliRunner().invoke(app, given).exception

    # There are no records and no model of these names: what is told first was looked at first.
    assert isinstance(problem, PipelineError) and problem.exit_code == 10
    assert str(problem).startswith("--memory: " if option == "--memory" else f"{given[given.index(option) + 1]}: ")
    assert sorted(tmp_path.iterdir()) == [file, folder]


@pytest.mark.parametrize("limit", ["5", "512", "1KB", "99.9MB", "80%", "-1GB", "much", ""])
def test_a_memory_that_is_none_or_too_little_is_told_with_what_is_wanted(limit: str) -> None:
    with pytest.raises(ConfigError) as refused:
        checked_memory(limit)

    assert str(refused.value) == (
        f"--memory: got {limit!r}, wanted a number with its unit such as 512MB or 2GB, from 100MB on."
    )


@pytest.mark.parametrize("limit", ["100MB", "512mb", "1.5 GB", "2GiB", "2G"])
def test_a_memory_with_its_unit_is_taken(limit: str) -> None:
    assert checked_memory(limit) == limit


def test_the_exit_codes_of_interruptions_are_told() -> None:
    shown = " ".join(CliRunner().invoke(app, ["--help"]).output.split())

    assert re.search(r"130 interrupted .*143 terminated", shown)


@pytest.mark.parametrize(
    ("count", "noun", "said"), [(0, "part", "0 parts"), (1, "part", "1 part"), (1200, "row", "1,200 rows")]
)
def test_a_count_is_told_in_words(count: int, noun: str, said: str) -> None:
    assert counted(count, noun) == said


def test_a_check_tells_what_was_left_out_and_where_it_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")  # a row of a table stands on one line
    whole, odd = tmp_path / "whole", tmp_path / "odd"
    assert CliRunner().invoke(app, ["simulate", "--decisions", "30", "--out", str(whole)]).exit_code == 0
    odd.mkdir()
    for path in whole.glob("*.parquet"):
        table = pd.read_parquet(path)
        if path.stem == "measurements":
            table.loc[:6, "unit"] = "furlongs"
        table.to_csv(odd / f"{path.stem}.csv", index=False)
    told = {
        name: CliRunner().invoke(app, ["check", str(tmp_path / name), "--out", str(tmp_path / f"{name}.json")]).output
        for name in ("whole", "odd")
    }

    assert "no row was set aside" in told["whole"] and "left out" not in told["whole"]
    assert re.search(r"measurements: set aside +[\d,]+ +7 +[\d,]+ ", told["odd"])
    assert json.loads((tmp_path / "whole.json").read_text())["attrition"] == []
    for name, said in told.items():
        assert re.search(rf"how often each of \d\d codes is missing, .*{name}\.json", " ".join(said.split()))
