"""A scored batch is held against training, and later decisions with what followed, from the files of a run."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.errors import ConfigError, ModelMismatchError, NoOverlapError
from pipeline.prediction_rows import Detail
from pipeline.runs.institution import write_institution
from pipeline.runs.model_dir import Loaded
from pipeline.runs.monitoring import monitor
from pipeline.runs.predict import Batch, predict
from pipeline.runs.reporting import Quiet
from pipeline.shift import profile_in
from pipeline.simulate import SimulationSettings
from pipeline.store import read_predictions, staging_of
from tests.conftest import Journey

pytestmark = pytest.mark.xdist_group("journey")
LONG_AGO = "2000-01-01"


def scored(journey: Journey, out: Path, records: Path | None = None, **options: Any) -> Batch:
    detail = Detail("none", 0)
    return predict(records or journey.fresh, journey.loaded, out, Quiet(), **{"detail": detail, **options})


def changed(records: Path, out: Path, table: str, change: Any) -> Path:
    """Return a copy of records in which one table is another; None leaves it out."""
    shutil.copytree(records, out)
    (out / "manifest.json").unlink()
    path = out / f"{table}.parquet"
    frame = None if change is None else change(pd.read_parquet(path))
    path.unlink()
    if frame is not None:
        frame.to_parquet(path, index=False)
    return out


def without_name(loaded: Loaded) -> Loaded:
    return replace(loaded, about={name: value for name, value in loaded.about.items() if name != "reference"})


def codes(found: Any, result: str = "issue") -> list[str]:
    return [check["code"] for check in found["checks"] if check["result"] == result]


def test_the_profile_in_a_model_directory_counts_the_training_decisions(journey: Journey) -> None:
    profile = profile_in(journey.loaded.about["reference"])

    assert profile is not None and profile.decisions == sum(profile.modalities.values()) > 600
    assert {sum(entry.counts) for entry in profile.features} == {profile.decisions}
    assert profile.last_month is not None and len(profile.last_month) == 7
    assert "calendar_time" not in [entry.name for entry in profile.features]


def test_a_batch_says_beside_its_parts_how_it_differs_from_training(journey: Journey, tmp_path: Path) -> None:
    batch = scored(journey, tmp_path / "out")
    frame = read_predictions(tmp_path / "out")

    assert json.loads((tmp_path / "out" / "_shift.json").read_text()) == batch.shift
    assert len(pd.read_parquet(tmp_path / "out")) == len(frame) == batch.rows
    assert codes(batch.shift) == [] and batch.shift["verdict"]["result"] == "unclear"
    page = (tmp_path / "out" / "_shift.html").read_text()
    assert "Too little is known to tell" in page
    assert not [name for name in {*frame["decision_id"], *frame["patient_id"]} if name in page]


def test_the_summary_does_not_depend_on_parts_nor_on_what_was_done_before(journey: Journey, tmp_path: Path) -> None:
    whole = scored(journey, tmp_path / "whole").shift
    out = tmp_path / "out"
    scored(journey, out, decisions_per_part=25)
    manifest = json.loads((out / "_manifest.json").read_text())
    ends = iter(read_predictions_ends(out))
    parts = {name: part | {"ends": next(ends)} for name, part in sorted(manifest["parts"].items())[:2]}
    progress = {"format": manifest["format"], "identity": manifest["identity"], "parts": parts}
    staging_of(out).mkdir()
    (staging_of(out) / "progress.json").write_text(json.dumps(progress))
    out.rename(staging_of(out) / "whole")
    resumed = scored(journey, out, decisions_per_part=25, resume=True)

    assert resumed.shift == whole


def read_predictions_ends(out: Path) -> list[list[str]]:
    ids = [pd.read_parquet(path)["decision_id"] for path in sorted(out.glob("part-*"))]
    return [[column.iloc[0], column.iloc[-1]] for column in ids]


def test_a_measurement_in_another_unit_is_set_aside_and_named(journey: Journey, tmp_path: Path) -> None:
    def in_grams_per_litre(frame: pd.DataFrame) -> pd.DataFrame:
        own = frame["code"] == "hemoglobin"
        return frame.assign(value=frame["value"].where(~own, 10 * frame["value"]))

    records = changed(journey.records, tmp_path / "records", "measurements", in_grams_per_litre)
    found = scored(journey, tmp_path / "out", records).shift

    assert codes(found) == ["S02"]
    assert found["next"][0].startswith("Next to nothing is known of 2 facts read from measurements: Hemoglobin, ")


def test_a_model_older_than_profiles_scores_and_says_that_nothing_is_compared(journey: Journey, tmp_path: Path) -> None:
    older = replace(journey, loaded=without_name(journey.loaded))
    batch = scored(older, tmp_path / "out")

    assert batch.shift["verdict"]["result"] == "not_applicable" and batch.shift["checks"] == []
    assert "Not compared" in (tmp_path / "out" / "_shift.html").read_text()
    with pytest.raises(ModelMismatchError, match="older than profiles of training decisions"):
        monitor(journey.records, older.loaded, tmp_path / "m.html", Quiet(), since=LONG_AGO)


def test_later_decisions_of_the_same_institution_raise_no_issue(journey: Journey, tmp_path: Path) -> None:
    records = tmp_path / "records"
    write_institution(SimulationSettings(decisions=300, seed=13), records)
    found = monitor(records, journey.loaded, tmp_path / "m.html", Quiet(), since=LONG_AGO)
    page = (tmp_path / "m.html").read_text()

    assert codes(found) == []
    assert json.loads((tmp_path / "m.json").read_text()) == found
    assert [check["code"] for check in found["checks"]] == [f"S{number:02d}" for number in range(1, 11)]
    order = found["estimates"]["league"][1]
    assert (order["value"] is None) is (order["vetoed"] is not None)
    assert "Does the model still hold?" in page and "from 2000-01-01 on" in page
    ids = pd.read_parquet(records / "decisions.parquet")
    assert not [name for name in {*ids["decision_id"], *ids["patient_id"]} if name in page]


def test_outcomes_that_are_worse_than_predicted_end_a_strict_run_with_15(journey: Journey, tmp_path: Path) -> None:
    decided = pd.read_parquet(journey.records / "decisions.parquet").set_index("patient_id")["decision_date"]

    def progressed(frame: pd.DataFrame) -> pd.DataFrame:
        last = pd.to_datetime(decided.groupby(level=0).max()) + pd.Timedelta(days=40)
        more = pd.DataFrame(
            {"patient_id": last.index, "event": "progression", "event_date": last.dt.strftime("%Y-%m-%d")}
        )
        return pd.concat([frame.astype({"event_date": "str"}), more], ignore_index=True)

    records = changed(journey.records, tmp_path / "records", "events", progressed)
    words = ["monitor", str(records), "--model", str(journey.trained.run_directory), "--since", LONG_AGO]
    words += ["--out", str(tmp_path / "m.html"), "--strict"]
    done = CliRunner().invoke(app, words)
    found = json.loads((tmp_path / "m.json").read_text())

    assert done.exit_code == 15, done.output
    assert "S08" in codes(found)
    assert "outcomes happen more or less often than was predicted (S08)" in done.output


def test_a_page_does_not_take_the_name_of_the_summary_beside_it(journey: Journey, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"m\.json: got a name for JSON, wanted one for the page, such as .*m\.html"):
        monitor(tmp_path / "no-records", journey.loaded, tmp_path / "m.json", Quiet())


@pytest.mark.parametrize(
    ("since", "error", "said"),
    [
        (None, NoOverlapError, "fewer than 11 people from 20.* choose the first day with --since"),
        ("spring", ConfigError, "--since: got 'spring', wanted a day such as"),
    ],
)
def test_decisions_learned_from_are_not_monitored_unasked(
    journey: Journey, tmp_path: Path, since: str | None, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        monitor(journey.records, journey.loaded, tmp_path / "m.html", Quiet(), since=since)
    assert not list(tmp_path.iterdir())
