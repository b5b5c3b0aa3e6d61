"""What is refused of a batch before its records are read, and what is said of one that stood already?"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from pipeline.errors import ConfigError, LockedError, ModelMismatchError, PipelineError, SchemaError
from pipeline.prediction_rows import Detail
from pipeline.runs import predict as predicting
from pipeline.runs import workers
from pipeline.runs.model_dir import Loaded
from pipeline.runs.predict import Batch, predict
from pipeline.runs.reporting import Quiet
from pipeline.runs.screen import batch_shown
from pipeline.runs.setup import with_source
from pipeline.runs.spark_parts import versions
from pipeline.store.batch import LOCK
from pipeline.store.batch_place import staging_of
from pipeline.store.locks import locked
from tests.conftest import ROOT, Journey

pytestmark = pytest.mark.xdist_group("journey")
NOWHERE = Path("no-such-records")
"""Records that cannot be read: what is refused with them was refused before."""

Scored = Callable[..., Batch]


@pytest.fixture
def scored(journey: Journey) -> Scored:
    """Return `predict` on the new records or others, twenty decisions a part, everything explained in eight reasons."""

    def call(out: Path, records: Path = journey.fresh, loaded: Loaded = journey.loaded, **options: Any) -> Batch:
        return predict(
            records, loaded, out, Quiet(), **{"decisions_per_part": 20, "detail": Detail("all", 8), **options}
        )

    return call


def shown(batch: Batch) -> list[str]:
    """Return the lines that the terminal shows of a batch."""
    written = StringIO()
    batch_shown(batch, Console(file=written, width=120))
    return written.getvalue().splitlines()


def contents(home: Path) -> dict[str, bytes]:
    return {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()}


def test_a_batch_that_another_run_writes_is_refused_before_reading(scored: Scored, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with locked(staging_of(out) / LOCK), pytest.raises(LockedError, match="locked by process"):
        scored(out, records=NOWHERE)


def test_a_batch_is_locked_while_its_records_are_read(
    scored: Scored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"

    def reads(*_given: Any, **_named: Any) -> Any:
        with pytest.raises(LockedError):
            scored(out, records=NOWHERE)
        raise ConfigError("read")

    monkeypatch.setattr(predicting, "open_cohort", reads)
    with pytest.raises(ConfigError, match="read"):
        scored(out)


@pytest.mark.parametrize("begun", [True, False])
def test_a_batch_that_stands_is_refused_before_reading(
    scored: Scored, tmp_path: Path, begun: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    if begun:
        _interrupted(scored, out, monkeypatch)
    else:
        scored(out)
    before = contents(tmp_path)

    with pytest.raises(ConfigError, match="holds an unfinished batch" if begun else "holds a finished batch"):
        scored(out, records=NOWHERE)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"detail": Detail("top", 8)}, "explain"),
        ({"detail": Detail("all", 1)}, "top_reasons"),
        ({"kind": "csv"}, "format"),
        ({"decisions_per_part": 30}, "decisions_per_part"),
    ],
)
@pytest.mark.parametrize("begun", [True, False])
def test_changed_options_are_refused_before_reading(
    scored: Scored,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, Any],
    named: str,
    begun: bool,
) -> None:
    if begun:
        _interrupted(scored, tmp_path / "out", monkeypatch)
    else:
        scored(tmp_path / "out")

    with pytest.raises(ModelMismatchError, match=f": {named} changed since its first part was written"):
        scored(tmp_path / "out", records=NOWHERE, resume=True, **changed)


def test_another_model_is_refused_before_reading(scored: Scored, journey: Journey, tmp_path: Path) -> None:
    scored(tmp_path / "out")
    other = replace(journey.loaded, adviser=replace(journey.loaded.adviser, model_version="0" * 16))

    with pytest.raises(ModelMismatchError, match="model_version changed"):
        scored(tmp_path / "out", records=NOWHERE, loaded=other, resume=True)


@pytest.mark.parametrize("begun", [True, False])
def test_changed_records_are_refused_before_scoring(
    scored: Scored, journey: Journey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    if begun:
        _interrupted(scored, tmp_path / "out", monkeypatch)
    else:
        scored(tmp_path / "out")
    before, changed = contents(tmp_path), tmp_path / "changed"
    shutil.copytree(journey.fresh, changed)
    (changed / "manifest.json").unlink()
    measurements = pd.read_parquet(changed / "measurements.parquet")
    measurements.iloc[:-1].to_parquet(changed / "measurements.parquet")
    monkeypatch.setattr(predicting, "scored", _must_not_score)

    with pytest.raises(ModelMismatchError, match="records_digest changed since its first part was written"):
        scored(tmp_path / "out", records=changed, resume=True)
    shutil.rmtree(changed)
    assert contents(tmp_path) == before


def test_records_read_as_another_calendar_are_refused_before_scoring(
    scored: Scored, journey: Journey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _interrupted(scored, tmp_path / "out", monkeypatch)
    source = tmp_path / "days.yaml"
    contract = (ROOT / "configs" / "sources" / "contract.yaml").read_text()
    source.write_text(contract.replace("calendar: true", "calendar: false"))
    days = replace(journey.loaded, setup=with_source(journey.loaded.setup, source))
    monkeypatch.setattr(predicting, "scored", _must_not_score)

    # Whether rules are held to the day they came into force hangs on it.
    with pytest.raises(ModelMismatchError, match="calendar changed since its first part was written"):
        scored(tmp_path / "out", loaded=days, resume=True)


def test_other_versions_of_what_computes_are_refused_before_reading(
    scored: Scored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _interrupted(scored, tmp_path / "out", monkeypatch)
    monkeypatch.setattr(predicting, "versions", lambda: {**versions(), "lightgbm": "0.0.1"})

    with pytest.raises(ModelMismatchError, match=": versions changed since its first part was written"):
        scored(tmp_path / "out", records=NOWHERE, resume=True)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize("name", ["_shift.json", "_shift.html"])
@pytest.mark.parametrize("damage", [_cut, Path.unlink], ids=["cut", "gone"])
def test_a_damaged_summary_beside_a_finished_batch_is_told(
    scored: Scored, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    scored(tmp_path / "out")
    damage(tmp_path / "out" / name)

    with pytest.raises(SchemaError, match=f"finished, but {name} of 5 files is not as written"):  # 3 parts, 2 beside
        scored(tmp_path / "out", records=NOWHERE, resume=True)


def test_records_that_cannot_be_read_leave_no_folder(scored: Scored, tmp_path: Path) -> None:
    with pytest.raises(SchemaError):
        scored(tmp_path / "new" / "below" / "out", records=tmp_path / "nothing")

    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_there_stays_where_records_cannot_be_read(scored: Scored, tmp_path: Path) -> None:
    (tmp_path / "mine" / "out").mkdir(parents=True)
    with pytest.raises(SchemaError):
        scored(tmp_path / "mine" / "out", records=tmp_path / "nothing")

    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["out"]


def test_of_a_finished_batch_it_is_said_that_nothing_was_scored(
    scored: Scored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = scored(tmp_path / "out")
    before = contents(tmp_path / "out")
    monkeypatch.setattr(predicting, "scored", _must_not_score)
    again = scored(tmp_path / "out", resume=True)
    said = "nothing was scored: the batch stood finished, of the same records, its parts as they were written"

    assert contents(tmp_path / "out") == before
    assert (again.statuses, again.shift) == (first.statuses, first.shift)
    assert said not in shown(first)
    assert shown(again) == [shown(first)[0], said, *shown(first)[1:]]


def test_of_a_batch_gone_on_with_it_is_said_what_was_scored_now(
    scored: Scored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        _interrupted(scored, tmp_path / "out", patched)
    again = scored(tmp_path / "out", resume=True)

    # 60 decisions, 20 a part, of which one stood.
    assert (again.stood, again.was_finished) == (20, False)
    assert "40 were scored now, the other 20 stood already" in shown(again)


def _must_not_score(*_given: Any) -> Any:
    pytest.fail("scored a batch that it should have refused or found finished")


def _interrupted(scored: Scored, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a batch of which one part of three stands."""

    def one(*given: Any) -> Any:
        yield next(workers.scored(*given))
        raise PipelineError("interrupted")

    with monkeypatch.context() as patched:
        patched.setattr(predicting, "scored", one)
        with pytest.raises(PipelineError, match="interrupted"):
            scored(out)
