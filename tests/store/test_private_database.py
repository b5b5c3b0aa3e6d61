"""Records in work leave nothing behind, and need no more memory than they are given."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb
import pytest

from pipeline.errors import ConfigError, LockedError
from pipeline.store.locks import acquire
from pipeline.store.private_database import FOLDER, private_database, remove_folders_of_the_dead

SPILLS = """
import sys, time
from pipeline.store.private_database import private_database
connection = private_database("30MB", 1)
connection.execute("create temp table t as select repeat(range::varchar, 80) as a from range(200000)")
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_what_a_killed_run_spilled_is_removed_at_the_next_start_and_what_a_living_one_spilled_is_not(
    temporary: Path,
) -> None:
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(Path(__file__).parents[2])}
    words = [sys.executable, "-c", SPILLS]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as run:
        try:
            assert run.stdout is not None and "ready\n" in run.stdout
            (folder,) = temporary.glob(f"{FOLDER}*")
            assert any((folder / "spill").iterdir())
            private_database().close()
            assert folder.exists()
        finally:
            run.send_signal(signal.SIGKILL)
    assert folder.exists()
    remove_folders_of_the_dead()

    assert not folder.exists()


def test_the_tables_have_no_name_on_the_disk_and_the_folder_goes_with_the_database(temporary: Path) -> None:
    connection = private_database("100MB", 1)
    connection.execute("create table t as select range as a, hash(range) as b from range(500000)")
    (folder,) = temporary.glob(f"{FOLDER}*")

    assert [entry.name for entry in folder.iterdir()] == ["owner"]
    assert folder.stat().st_mode & 0o077 == 0
    assert connection.execute("select sum(a), count(distinct b) from t").fetchall() == [(124999750000, 500000)]
    connection.close()
    del connection
    assert not folder.exists()


def test_a_folder_that_another_start_took_for_a_dead_one_is_left_to_it(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Path] = []

    def slow(path: Path) -> int:
        if not taken:  # between making the folder and locking it, somebody else tidies up
            taken.append(path.parent)
            shutil.rmtree(path.parent)
            raise LockedError("taken")
        return acquire(path)

    monkeypatch.setattr("pipeline.store.private_database.acquire", slow)
    database = private_database()

    assert database.execute("select 1").fetchall() == [(1,)]
    assert not taken[0].exists()


def test_a_folder_that_is_not_ours_or_has_no_owner_stays(
    temporary: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "owner").touch()
    (temporary / f"{FOLDER}link").symlink_to(elsewhere)
    (temporary / f"{FOLDER}bare").mkdir()
    remove_folders_of_the_dead()

    assert elsewhere.exists()
    assert (temporary / f"{FOLDER}bare").exists()


@pytest.mark.parametrize(("limit", "threads"), [("100MB", 1), ("600MB", 2), ("900GB", 1000)])
def test_a_limit_leaves_room_for_every_thread(temporary: Path, limit: str, threads: int) -> None:
    cores = duckdb.connect().execute("select current_setting('threads')").fetchall()[0][0]
    connection = private_database(limit)

    assert connection.execute("select current_setting('threads')").fetchall() == [(min(cores, threads),)]


def test_a_table_larger_than_the_limit_is_kept_and_read_within_it(temporary: Path) -> None:
    connection = private_database("40MB", 1)
    connection.execute("create table t as select range as a, md5(range::varchar) as b from range(1000000)")

    assert connection.execute("select count(*), min(b), max(a) from t").fetchall()[0][::2] == (1_000_000, 999_999)


def test_a_temporary_folder_that_cannot_be_written_is_told(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise duckdb.IOException("no room")

    monkeypatch.setattr(duckdb, "connect", refused)
    with pytest.raises(ConfigError, match=r"temporary folder \(TMPDIR\) that can be written"):
        private_database("1GB", 1)
    assert not list(temporary.iterdir())
