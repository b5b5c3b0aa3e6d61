"""Is a batch complete or absent, once, with the contract's columns and types, and the same bytes each time?"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from pipeline.declared import parse_yaml
from pipeline.errors import ConfigError, LockedError, ModelMismatchError, PipelineError, SchemaError
from pipeline.store import (
    BatchWriter,
    prediction_table,
    predictions_schema,
    read_predictions,
    read_text,
    shipped,
    staging_of,
)
from tests.conftest import ROOT
from tests.store.conftest import SECRET, Make, part, rows_of

NOBODY = 65534
IDENTITY = {"model": "m1", "rules": "r1", "records": "d1", "options": {"top_reasons": 5}}
PARTS = (("d1", "d2"), ("d3", "d4"), ("d5",))


def _writer(out: Path, resume: bool = False, per_part: int = 2, **changes: object) -> BatchWriter:
    return BatchWriter(out, identity=IDENTITY | changes, decisions_per_part=per_part, resume=resume)


def _score(out: Path, make: Make, *, resume: bool = False) -> None:
    with _writer(out, resume) as batch:
        for index, decisions in enumerate(PARTS):
            if index not in batch.done_parts:
                batch.write_part(index, part(make(*decisions)))
        batch.finish(len(PARTS))


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_schema_is_the_declared_one() -> None:
    declared = parse_yaml(read_text(shipped("data_schema") / "predictions.yaml"), "predictions.yaml")
    schema = predictions_schema()
    reason = pa.struct([("feature", pa.string()), ("value", pa.string()), ("contribution", pa.float64())])

    assert schema.names == [field["name"] for field in declared["fields"]]
    assert len(schema) == 28
    assert schema.field("rank").type == pa.int64()
    assert schema.field("reasons").type == pa.list_(reason)
    assert schema.field("versus_next").type == pa.struct([("modality", pa.string()), ("items", pa.list_(reason))])
    assert not schema.field("decision_id").nullable
    assert schema.field("suitability").nullable


def test_pandas_reads_the_finished_folder_whole_with_the_contracts_columns(tmp_path: Path, predictions: Make) -> None:
    _score(tmp_path / "out", predictions)

    frame = pd.read_parquet(tmp_path / "out")
    assert list(frame.columns) == predictions_schema().names
    assert list(frame["decision_id"]) == [decision for part in PARTS for decision in part for _ in range(2)]
    assert str(frame["rank"].dtype) == "Int64"
    assert frame["rank"].isna().sum() == 5
    assert frame["rules"][1][0]["rule_id"] == "G07"
    assert list(frame["overrides"][0]) == []
    pd.testing.assert_frame_equal(frame, read_predictions(tmp_path / "out"))


def test_files_of_a_finished_batch(tmp_path: Path, predictions: Make) -> None:
    _score(tmp_path / "out", predictions)

    assert sorted(_bytes(tmp_path / "out")) == [
        "_SUCCESS",
        "_manifest.json",
        *(f"part-0000{n}.parquet" for n in range(3)),
    ]
    assert SECRET not in (tmp_path / "out" / "_manifest.json").read_text()


def test_two_runs_give_the_same_bytes_whatever_the_order_of_rows_and_columns(tmp_path: Path, predictions: Make) -> None:
    def reordered(*decisions: str) -> pd.DataFrame:
        return predictions(*reversed(decisions)).iloc[:, ::-1]

    _score(tmp_path / "one", predictions)
    _score(tmp_path / "two", reordered)

    assert _bytes(tmp_path / "one") == _bytes(tmp_path / "two")


def test_no_decisions_still_give_the_columns(tmp_path: Path, predictions: Make) -> None:
    with _writer(tmp_path / "out") as batch:
        batch.finish(0)

    frame = pd.read_parquet(tmp_path / "out")
    assert list(frame.columns) == predictions_schema().names
    assert len(frame) == 0


def test_frames_of_any_height_and_dtype_have_one_schema(predictions: Make) -> None:
    frame = predictions("d1", "d2")
    plain = frame.astype({"rank": "float64", "status": "category"})
    tables = [prediction_table(rows_of(rows)) for rows in (frame, frame[:1], frame[:0], plain, plain[:0])]

    assert all(table.schema.equals(predictions_schema(), check_metadata=True) for table in tables)
    assert tables[3].equals(tables[0])


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("patient_id", None, "1 rows have no patient_id"),
        ("decision_id", None, "1 rows have no decision_id"),
        ("status", SECRET, "1 rows of status are not one of unavailable"),
        ("support", float("inf"), "column support has infinite values"),
        ("modality", "adc", "1 rows repeat a decision_id and modality"),
    ],
)
def test_a_frame_that_breaks_the_contract_is_a_bug_told_without_values(
    predictions: Make, column: str, value: object, said: str
) -> None:
    frame = predictions("d1").astype({column: object})
    frame.at[0, column] = value

    with pytest.raises(ValueError, match=said) as refused:
        prediction_table(rows_of(frame))
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("suitability", SECRET, "column suitability does not fit double"),
        ("rank", 1.5, "column rank does not fit int64"),
        ("reasons", [SECRET], "column reasons does not fit"),
    ],
)
def test_a_column_of_another_type_is_a_bug_told_without_values(
    predictions: Make, column: str, value: object, said: str
) -> None:
    frame = predictions("d1")
    frame[column] = pd.Series([value] * len(frame), dtype=object)

    with pytest.raises(ValueError, match=said) as refused:
        prediction_table(rows_of(frame))
    assert SECRET not in str(refused.value)


def test_a_column_too_few_or_too_many_is_named(predictions: Make) -> None:
    with pytest.raises(ValueError, match=r"missing \['support'\], not in the contract \['note'\]"):
        prediction_table(rows_of(predictions("d1").rename(columns={"support": "note"})))


@pytest.mark.parametrize("waits", [True, False])
def test_an_unfinished_batch_reads_as_nothing(tmp_path: Path, predictions: Make, waits: bool) -> None:
    out = tmp_path / "out"
    if waits:
        out.mkdir()
    with _writer(out) as batch:
        batch.write_part(0, part(predictions("d1")))
        with pytest.raises(SchemaError, match="got no finished batch"):
            read_predictions(out)
        assert out.exists() == waits and list(out.glob("*")) == []
        assert len(pd.read_parquet(tmp_path)) == 0
        batch.finish(1)
    assert len(read_predictions(out)) == 2


def test_a_batch_is_as_private_as_the_empty_folder_it_replaces(tmp_path: Path, predictions: Make) -> None:
    out = tmp_path / "out"
    out.mkdir(mode=0o700)
    with _writer(out) as batch:
        batch.write_part(0, part(predictions("d1")))
        assert {stat.S_IMODE(place.stat().st_mode) for place in (staging_of(out), staging_of(out) / "whole")} == {0o700}
        batch.finish(1)
    assert stat.S_IMODE(out.stat().st_mode) == 0o700


def test_a_link_to_an_empty_folder_stays_one(tmp_path: Path, predictions: Make) -> None:
    (tmp_path / "large").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "large")
    _score(tmp_path / "out", predictions)

    assert (tmp_path / "out").is_symlink()
    assert len(read_predictions(tmp_path / "large")) == 10


@pytest.mark.parametrize(("place", "said"), [(".", "the folder that this runs in"), ("/proc", "a mount point")])
def test_a_folder_that_cannot_be_replaced_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigError, match=f"got {said}, wanted a folder that a finished batch can replace"):
        _writer(Path(place))
    assert list(tmp_path.parent.glob(f".{tmp_path.name}*")) == []


class Killed(BaseException):
    """Stands for a process that ends here."""


def test_a_run_that_dies_at_any_step_is_resumed_to_the_same_bytes(
    tmp_path: Path, predictions: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    _score(tmp_path / "whole", predictions)
    whole = _bytes(tmp_path / "whole")
    replace, steps = Path.replace, 0

    def counted(self: Path, target: Path) -> Path:
        nonlocal steps
        steps += 1
        return replace(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", counted)
        _score(tmp_path / "counted", predictions)
    assert steps == 9
    for last in range(2 * steps):

        def dies(self: Path, target: Path, last: int = last) -> Path:
            nonlocal steps
            steps += 1
            if steps > last // 2 and last % 2:
                raise Killed
            moved = replace(self, target)
            if steps > last // 2:
                raise Killed
            return moved

        out, steps = tmp_path / f"out{last}", 0
        with monkeypatch.context() as patched:
            patched.setattr(Path, "replace", dies)
            with pytest.raises(Killed):
                _score(out, predictions)
        assert not out.exists() or _bytes(out) == whole
        _score(out, predictions, resume=True)
        assert _bytes(out) == whole
        assert not staging_of(out).exists()
        steps = 9


KILLED = """
import sys
import pandas as pd
from pathlib import Path
from pipeline.store import BatchWriter
from tests.store.test_predictions import IDENTITY
from tests.store.conftest import part
frame = pd.read_pickle(sys.argv[2])
with BatchWriter(Path(sys.argv[1]), identity=IDENTITY, decisions_per_part=2, resume=True) as batch:
    for index in range(120):
        if index not in batch.done_parts:
            batch.write_part(index, part(frame.assign(decision_id=f"d{index:04d}")))
    batch.finish(120)
"""


def _written(out: Path) -> list[Path]:
    return list(staging_of(out).glob("whole/part-*.parquet"))


@pytest.mark.slow
def test_a_run_killed_at_random_moments_loses_and_doubles_nothing(tmp_path: Path, predictions: Make) -> None:
    predictions("d").to_pickle(tmp_path / "frame")
    command = [sys.executable, "-c", KILLED, str(tmp_path / "out"), str(tmp_path / "frame")]
    moments = random.Random(11)
    for killed in (1, 2):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
            while run.poll() is None and len(_written(tmp_path / "out")) < 5 * killed:
                time.sleep(0.001)
            time.sleep(moments.uniform(0, 0.02))
            run.send_signal(signal.SIGKILL)
        assert run.returncode == -signal.SIGKILL
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    frame = read_predictions(tmp_path / "out")
    assert len(frame) == 240
    assert not frame.duplicated(["decision_id", "modality"]).any()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "m2"}, "model changed"),
        ({"rules": "r2", "records": "d2"}, "records, rules changed"),
        ({"options": {"top_reasons": 6}}, "options changed"),
        ({"per_part": 3}, "decisions_per_part changed"),
        ({"more": 1}, "more changed"),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_another_model_rules_or_records_cannot_go_on(
    tmp_path: Path, predictions: Make, change: dict[str, object], said: str, finished: bool
) -> None:
    with _writer(tmp_path / "out", per_part=2) as batch:
        batch.write_part(0, part(predictions("d1")))
        if finished:
            batch.finish(1)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    with pytest.raises(ModelMismatchError, match=said):
        _writer(tmp_path / "out", resume=True, **change)  # type: ignore[arg-type]
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_without_resume_nothing_that_is_there_is_touched(tmp_path: Path, predictions: Make) -> None:
    with _writer(tmp_path / "out") as batch:
        batch.write_part(0, part(predictions("d1")))
    with pytest.raises(ConfigError, match=r"holds an unfinished batch.*or go on with --resume"):
        _writer(tmp_path / "out")
    with _writer(tmp_path / "out", resume=True) as batch:
        batch.finish(1)
    with pytest.raises(ConfigError, match=r"holds a finished batch.*or check it with --resume"):
        _writer(tmp_path / "out")


def test_resuming_a_finished_batch_has_nothing_to_do(tmp_path: Path, predictions: Make) -> None:
    _score(tmp_path / "out", predictions)
    before = _bytes(tmp_path / "out")

    with _writer(tmp_path / "out", resume=True) as batch:
        assert batch.finished
        assert batch.done_parts == {0, 1, 2}
        batch.finish(3)
    assert _bytes(tmp_path / "out") == before


def test_a_part_damaged_after_the_batch_was_finished_is_named(tmp_path: Path, predictions: Make) -> None:
    _score(tmp_path / "out", predictions)
    damaged = tmp_path / "out" / "part-00001.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-1])

    with pytest.raises(SchemaError, match=r"part-00001\.parquet of 3 files is not as written"):
        _writer(tmp_path / "out", resume=True)


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize("name", ["mine.csv", "part-00000.parquet", "_manifest.json"])
def test_a_foreign_folder_is_refused(tmp_path: Path, name: str, resume: bool) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("x")

    with pytest.raises(ConfigError, match="1 entries that are no batch"):
        _writer(tmp_path / "out", resume)
    assert _bytes(tmp_path / "out") == {name: b"x"}


@pytest.mark.parametrize(
    ("below", "said"), [((), "file: got a file, wanted a folder"), (("out",), "out: file is a file, wanted a folder")]
)
def test_a_file_in_the_way_is_named_as_such(tmp_path: Path, below: tuple[str, ...], said: str) -> None:
    (tmp_path / "file").write_text("x")

    with pytest.raises(ConfigError, match=said):
        _writer(tmp_path.joinpath("file", *below))
    assert (tmp_path / "file").read_text() == "x"


def test_the_manifest_counts_each_part_and_names_nobody(tmp_path: Path, predictions: Make) -> None:
    with _writer(tmp_path / "out") as batch:
        batch.write_part(0, part(predictions("Q7-1", "Q7-2")))
        batch.write_part(1, part(predictions("Q7-3")))
        assert batch.decisions == 3
        batch.finish(2)
        assert batch.statuses == {"ranked": 3, "indeterminate": 3}
    text = (tmp_path / "out" / "_manifest.json").read_text()

    assert "Q7" not in text
    assert [noted["statuses"] for noted in json.loads(text)["parts"].values()] == [
        {"indeterminate": 2, "ranked": 2},
        {"indeterminate": 1, "ranked": 1},
    ]


def test_a_batch_of_csv_is_not_read_as_parquet(tmp_path: Path, predictions: Make) -> None:
    with _writer(tmp_path / "out") as batch, pytest.raises(ValueError, match="part 0: got csv, wanted parquet"):
        batch.write_part(0, part(predictions("d1"), "csv"))
    with BatchWriter(tmp_path / "csv", identity=IDENTITY, decisions_per_part=2, kind="csv") as batch:
        batch.write_part(0, part(predictions("d1"), "csv"))
        batch.finish(1)

    with pytest.raises(SchemaError, match="got a batch of CSV, wanted Parquet"):
        read_predictions(tmp_path / "csv")


def test_a_second_runner_is_refused(tmp_path: Path, predictions: Make) -> None:
    with _writer(tmp_path / "out") as first:
        for _ in range(2):
            with pytest.raises(LockedError, match="/out: locked by process"):
                _writer(tmp_path / "out", resume=True)
            first.write_part(len(first.done_parts), part(predictions(f"d{len(first.done_parts)}")))
        first.finish(2)
        with pytest.raises(LockedError, match="/out: locked by process"):
            _writer(tmp_path / "out", resume=True)
    with _writer(tmp_path / "out", resume=True) as second:
        assert second.finished


def test_a_run_that_wrote_nothing_leaves_nothing(tmp_path: Path) -> None:
    with _writer(tmp_path / "out"):
        assert staging_of(tmp_path / "out").is_dir()
    assert list(tmp_path.iterdir()) == []


def test_what_a_run_killed_after_its_rename_leaves_is_cleared(tmp_path: Path, predictions: Make) -> None:
    out = tmp_path / "out"
    _score(out, predictions)
    staging_of(out).mkdir()
    (staging_of(out) / "progress.json").write_text("{}")

    assert len(read_predictions(out)) == 10
    with pytest.raises(ConfigError, match="holds a finished batch"):
        _writer(out)
    assert not staging_of(out).exists()


def test_parts_of_another_batch_survive_a_finished_one_in_its_place(tmp_path: Path, predictions: Make) -> None:
    out = tmp_path / "out"
    with _writer(out) as batch:
        batch.write_part(0, part(predictions("d1")))
    waiting = _bytes(staging_of(out))
    _score(tmp_path / "moved", predictions)
    (tmp_path / "moved").rename(out)
    with _writer(out, resume=True) as batch:
        assert batch.finished

    assert _bytes(staging_of(out)) == waiting


def test_what_is_known_late_is_compared_late(tmp_path: Path, predictions: Make) -> None:
    def writer(**identity: object) -> BatchWriter:
        known = {"model": "m1", **identity}
        return BatchWriter(tmp_path / "out", identity=known, later=("records",), decisions_per_part=2, resume=True)

    with writer() as batch:
        with pytest.raises(ValueError, match=r"'records'. not known yet"):
            batch.write_part(0, part(predictions("d1")))
        with pytest.raises(ValueError, match=r"got \['simulated'\], wanted \['records'\]"):
            batch.learn({"simulated": True})
        batch.learn({"records": "r1"})
        batch.write_part(0, part(predictions("d1")))
    with pytest.raises(ModelMismatchError, match="model changed"):
        writer(model="m2")
    with writer() as batch, pytest.raises(ModelMismatchError, match="records changed"):
        batch.learn({"records": "r2"})
    with writer() as batch:
        batch.learn({"records": "r1"})
        assert batch.done_parts == {0}


def test_a_part_damaged_while_the_run_was_down_is_written_again(tmp_path: Path, predictions: Make) -> None:
    with _writer(tmp_path / "out") as batch:
        for index in (0, 1):
            batch.write_part(index, part(predictions(*PARTS[index])))
    damaged = staging_of(tmp_path / "out") / "whole" / "part-00001.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    for name in ("part-00004.parquet", "_part-00001.parquet.x.tmp", "_shift.json"):
        damaged.with_name(name).write_text("x")

    with _writer(tmp_path / "out", resume=True) as batch:
        assert batch.done_parts == {0}
    _score(tmp_path / "out", predictions, resume=True)
    _score(tmp_path / "whole", predictions)
    assert _bytes(tmp_path / "out") == _bytes(tmp_path / "whole")


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-1])])
def test_a_part_that_was_harmed_while_others_were_written_is_not_published(
    tmp_path: Path, predictions: Make, harm: Callable[[Path], object]
) -> None:
    with _writer(tmp_path / "out") as batch:
        for index in (0, 1, 2):
            batch.write_part(index, part(predictions(*PARTS[index])))
        harm(staging_of(tmp_path / "out") / "whole" / "part-00001.parquet")
        with pytest.raises(PipelineError, match=r"part-00001\.parquet is no longer as written.*--resume"):
            batch.finish(3)
    assert not (tmp_path / "out").exists()

    _score(tmp_path / "out", predictions, resume=True)
    _score(tmp_path / "whole", predictions)
    assert _bytes(tmp_path / "out") == _bytes(tmp_path / "whole")


def test_a_hidden_folder_that_has_gone_is_told(tmp_path: Path, predictions: Make) -> None:
    with _writer(tmp_path / "out") as batch:
        batch.write_part(0, part(predictions("d1")))
        shutil.rmtree(staging_of(tmp_path / "out") / "whole")
        with pytest.raises(PipelineError, match=r"\.out\.unfinished/whole: could not be written"):
            batch.finish(1)
    assert not (tmp_path / "out").exists()


def _of_another_group(waiting: Path) -> None:
    os.chown(waiting, -1, 0)
    waiting.chmod(0o777)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (_of_another_group, "of a group that this user cannot give"),
        (lambda waiting: waiting.chmod(0o555), "may not be"),
    ],
)
def test_a_waiting_folder_that_cannot_be_replaced_alike_is_refused_at_once(
    prepare: Callable[[Path], object], words: str
) -> None:
    home = Path(tempfile.mkdtemp(dir="/tmp"))  # pytest's own folders are closed to others
    out = home / "out"
    out.mkdir()
    for place in (home, out):
        os.chown(place, NOBODY, NOBODY)
    prepare(out)
    code = f"""
import os, sys
from pathlib import Path
from pipeline.errors import ConfigError
from pipeline.store import BatchWriter
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
try:
    BatchWriter(Path(sys.argv[1]), identity={{}}, decisions_per_part=5)
except ConfigError as problem:
    print(problem)
"""
    told = subprocess.run([sys.executable, "-c", code, str(out)], cwd=ROOT, capture_output=True, text=True, check=True)
    left = [path.name for path in home.iterdir()]
    shutil.rmtree(home)

    assert words in told.stdout
    assert left == ["out"]


def test_a_disk_that_keeps_other_bytes_is_noticed(
    tmp_path: Path, predictions: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _writer(tmp_path / "out") as batch:
        with monkeypatch.context() as patched:
            patched.setattr("pipeline.store.batch.file_sha256", lambda _path: "0")
            with pytest.raises(PipelineError, match="read back other bytes"):
                batch.write_part(0, part(predictions("d1")))
        assert batch.done_parts == frozenset()
        batch.write_part(0, part(predictions("d1")))


def test_parts_come_once_all_of_them_and_in_order(tmp_path: Path, predictions: Make) -> None:
    with _writer(tmp_path / "out") as batch:
        batch.write_part(1, part(predictions("d1")))
        with pytest.raises(ValueError, match="second or late write"):
            batch.write_part(1, part(predictions("d1")))
        with pytest.raises(ValueError, match="got 1 of 2 parts"):
            batch.finish(2)
        batch.write_part(0, part(predictions("d1")))
        with pytest.raises(ValueError, match=r"part-00001\.parquet begins before"):
            batch.finish(2)
    with pytest.raises(ValueError, match="second or late write"):
        batch.write_part(2, part(predictions("d3")))


def _add(out: Path) -> None:
    (out / "part-00003.parquet").write_bytes((out / "part-00000.parquet").read_bytes())


def _swap(out: Path) -> None:
    one, two = (out / f"part-0000{number}.parquet" for number in (0, 1))
    first = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(first)


@pytest.mark.parametrize(
    "change",
    [
        _add,
        _swap,
        lambda out: (out / "part-00002.parquet").unlink(),
        lambda out: (out / "_SUCCESS").unlink(),
        lambda out: (out / "_manifest.json").write_text("{}"),
    ],
)
def test_a_changed_batch_is_not_read(tmp_path: Path, predictions: Make, change: Callable[[Path], object]) -> None:
    _score(tmp_path / "out", predictions)
    change(tmp_path / "out")

    with pytest.raises(SchemaError):
        read_predictions(tmp_path / "out")
