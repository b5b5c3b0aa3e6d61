"""Does MLflow, handed a registered model, say what `mmrank predict` says, and repeat nobody's values?"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pytest import approx
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.errors import ConfigError, DamagedModelError, SchemaError
from pipeline.runs.predict import predict
from pipeline.runs.reporting import Quiet
from pipeline.runs.serving import answered, columns_of, shard_from
from pipeline.store import model_digest, read_predictions, resolve_model
from pipeline.store.tracking import _quiet
from tests.conftest import Journey

pytestmark = pytest.mark.xdist_group("journey")
TOKEN = "PLANTED-4711"
LISTS = ["tied_with", "rules", "products", "overrides", "reasons", "versus_next", "missing_facts"]


@pytest.fixture(autouse=True)
def quiet_mlflow() -> Iterator[None]:
    with _quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(scope="module")
def table(journey: Journey, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Return the features of the new decisions as `mmrank features` writes them."""
    path = tmp_path_factory.mktemp("features") / "features.parquet"
    words = ["features", str(journey.fresh), "--model", str(journey.trained.run_directory), "--out", str(path)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "60 decisions" in done.output.replace("\n", " ")
    return pd.read_parquet(path)


def test_features_as_csv_say_what_parquet_says(journey: Journey, table: pd.DataFrame, tmp_path: Path) -> None:
    loaded, out = journey.loaded, tmp_path / "features.csv"
    words = ["features", str(journey.fresh), "--model", str(journey.trained.run_directory), "--out", str(out)]
    out.write_text("replaced")
    assert CliRunner().invoke(app, words).exit_code == 0

    dated = pd.read_csv(out, dtype={"decision_id": "str", "patient_id": "str", "site_id": "str"})
    pd.testing.assert_frame_equal(
        shard_from(dated, loaded).features, shard_from(table, loaded).features, check_exact=False
    )


@pytest.fixture(scope="module")
def batch(journey: Journey, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Return what `mmrank predict` says of them."""
    out = tmp_path_factory.mktemp("batch") / "out"
    predict(journey.fresh, journey.loaded, out, Quiet())
    return read_predictions(out)


@pytest.fixture(scope="module")
def served(journey: Journey) -> Any:
    """Return the champion as MLflow loads it."""
    with _quiet():
        import mlflow

        uri = f"sqlite:///{journey.workspace.resolve()}/mlflow.db"
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        yield mlflow.pyfunc.load_model("models:/mmrank@champion")
        mlflow.set_tracking_uri(None)
        mlflow.set_registry_uri(None)


def plain(cell: Any) -> Any:
    """Return a cell of a batch with arrays as lists and integers as themselves."""
    if isinstance(cell, np.ndarray):
        return [plain(each) for each in cell]
    if isinstance(cell, dict):
        return {key: plain(each) for key, each in cell.items()}
    return None if cell is None or (np.isscalar(cell) and pd.isna(cell)) else cell


def comparable(rows: pd.DataFrame, *, texts: bool) -> list[dict[str, Any]]:
    """Return rows as plain values, all but the digest of the records."""
    found = []
    for row in rows.drop(columns="records_digest").to_dict("records"):
        read = {
            name: json.loads(cell) if texts and name in LISTS and isinstance(cell, str) else cell
            for name, cell in row.items()
        }
        found.append({name: plain(cell) for name, cell in read.items()})
    return found


def test_what_is_served_is_what_a_batch_says(served: Any, table: pd.DataFrame, batch: pd.DataFrame) -> None:
    assert table["weight_durable_control"].notna().any() and table["available_car_t"].notna().any()
    shuffled = table.sample(frac=1, random_state=3)

    assert comparable(served.predict(shuffled), texts=True) == comparable(batch, texts=False)


def test_one_row_per_decision_keeps_the_order_that_was_given(
    served: Any, table: pd.DataFrame, batch: pd.DataFrame
) -> None:
    some = table.iloc[[7, 2, 40]]
    rows = served.predict(some, params={"layout": "decisions", "explain": "top", "top_reasons": 1})

    assert list(rows["decision_id"]) == list(some["decision_id"])
    for decision, text in zip(rows["decision_id"], rows["predictions"], strict=True):
        told = json.loads(text)
        wanted = batch[batch["decision_id"] == decision]
        assert [row["modality"] for row in told] == list(wanted["modality"])
        suitability = [plain(value) for value in wanted["suitability"]]
        assert [row["suitability"] for row in told] == [None if one is None else approx(one) for one in suitability]
        assert max(len(row["reasons"]) for row in told) <= 3


def test_the_scoring_server_answers_as_a_batch_says(served: Any, table: pd.DataFrame, batch: pd.DataFrame) -> None:
    answer = asked(served, json.dumps({"dataframe_split": as_json(table)}))
    got = pd.DataFrame(json.loads(answer.text)["predictions"])

    assert answer.status_code == 200
    assert comparable(got[list(batch.columns)], texts=True) == comparable(batch, texts=False)


def test_the_example_is_nobodys_and_is_answered(journey: Journey, served: Any, table: pd.DataFrame) -> None:
    example = served.input_example
    assert list(example.columns) == list(columns_of(journey.loaded.setup).names) == list(table.columns)
    assert len(served.predict(example)) == len(journey.loaded.setup.config.modalities)


@dataclass
class Answered:
    """What came back over HTTP."""

    status_code: int
    text: str


def asked(served: Any, body: str, kind: str = "application/json") -> Answered:
    """Return what MLflow's own scoring server answers, in this process."""
    from mlflow.pyfunc import scoring_server

    waiting = [{"type": "http.request", "body": body.encode(), "more_body": False}]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return waiting.pop() if waiting else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/invocations", "raw_path": b"/invocations", "scheme": "http"}
    scope |= {"query_string": b"", "headers": [(b"content-type", kind.encode())], "http_version": "1.1"}
    scope |= {"asgi": {"version": "3.0"}, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80)}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("os.environ", dict(os.environ))
        app = scoring_server.init(served)
    asyncio.run(app(scope, receive, send))
    content = b"".join(message.get("body", b"") for message in sent)
    return Answered(sent[0]["status"], content.decode())


def as_json(table: pd.DataFrame) -> dict[str, Any]:
    """Return a table as MLflow reads it from JSON, with every digit; pandas would round."""
    plain_table = table.astype("object").where(table.notna(), None)
    days = plain_table.map(lambda cell: f"{cell:%Y-%m-%d}" if isinstance(cell, pd.Timestamp) else cell)
    return {"columns": list(table.columns), "data": days.to_numpy().tolist()}


def broken(table: pd.DataFrame, **cells: Any) -> dict[str, Any]:
    return {"dataframe_split": as_json(table.head(2).astype("object").assign(**cells))}


def test_no_answer_to_a_wrong_request_repeats_it(
    served: Any, table: pd.DataFrame, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    bodies = {
        "not JSON": '{"dataframe_split": ' + TOKEN,
        "no known key": json.dumps({TOKEN: [1]}),
        "a list": json.dumps([TOKEN]),
        "a row that is none": json.dumps({"dataframe_records": [TOKEN]}),
        "other columns": json.dumps({"dataframe_records": [{TOKEN: TOKEN}]}),
        "text for a number": json.dumps(broken(table, hemoglobin=TOKEN)),
        "a number for text": json.dumps(broken(table, decision_id=4711.5)),
        "no level": json.dumps(broken(table, sex=TOKEN)),
        "no date": json.dumps(broken(table, decision_date=TOKEN)),
        "twice": json.dumps(broken(table, decision_id=TOKEN)),
        "unknown param": json.dumps({**broken(table), "params": {"explain": TOKEN}}),
    }
    answers = {name: asked(served, body) for name, body in bodies.items()}
    answers["CSV"] = asked(served, f'decision_id,patient_id\n"{TOKEN},x\n', "text/csv")
    answers["Parquet"] = asked(served, TOKEN, "application/vnd.apache.parquet")
    said = capfd.readouterr()
    identifiers = [TOKEN, "4711.5", *table["decision_id"].head(2), *table["patient_id"].head(2)]

    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(answers, 400)
    texts = {name: answer.text for name, answer in answers.items()}
    texts |= {"out": said.out, "err": said.err, "log": caplog.text}
    repeated = {name: [one for one in identifiers if one in text] for name, text in texts.items()}
    assert repeated == {name: [] for name in texts}
    assert "hemoglobin: 2 of 2 rows hold no number, first row 1" in answers["text for a number"].text


def test_what_does_not_fit_is_told_by_column_and_count(journey: Journey, table: pd.DataFrame) -> None:
    loaded = journey.loaded
    wrong = {
        "platelets": [np.inf, 5.0],
        "refractory_bortezomib": [0.5, 1.0],
        "sex": ["male", TOKEN],
        "available_car_t": [2.0, np.nan],
        "weight_early_death": [-1.0, 0.0],
        "hemoglobin_age_days": [-3.0, 1.0],
        "patient_id": ["", TOKEN],
        "decision_date": ["yesterday", None],
    }
    with pytest.raises(SchemaError) as told:
        answered(
            table.head(2).assign(**{name: pd.Series(cells, dtype="object") for name, cells in wrong.items()}),
            loaded,
            {},
        )

    assert all(f"{name}: 1 of 2 rows" in str(told.value) for name in wrong)
    assert TOKEN not in str(told.value) and "yesterday" not in str(told.value)
    with pytest.raises(SchemaError, match="1 columns are missing, first hemoglobin"):
        answered(table.drop(columns="hemoglobin"), loaded, {})
    with pytest.raises(SchemaError, match="1 columns are missing, first available_car_t"):
        answered(table.drop(columns="available_car_t"), loaded, {})
    with pytest.raises(ConfigError, match="wanted explain one of all, top, none"):
        answered(table, loaded, {"explain": TOKEN})


def test_without_the_optional_columns_availability_is_not_recorded_and_weights_are_the_usual(
    journey: Journey, table: pd.DataFrame
) -> None:
    columns = columns_of(journey.loaded.setup)
    empty = table.assign(**dict.fromkeys([*columns.availability, *columns.weights, "site_id"]))
    without = answered(table[list(columns.required)].assign(decision_date=table["decision_date"]), journey.loaded, {})

    pd.testing.assert_frame_equal(without, answered(empty, journey.loaded, {}))
    assert "unavailable" not in set(without["status"])


def test_the_registered_files_are_verified_when_mlflow_loads_them(journey: Journey, tmp_path: Path) -> None:
    import mlflow

    place = resolve_model("models:/mmrank@champion", journey.workspace)
    assert model_digest(place) == model_digest(journey.trained.run_directory / "model")
    around = tmp_path / "model"
    shutil.copytree(place.parents[1], around)
    text = (around / "MLmodel").read_text()
    assert str(tmp_path.parent) not in text and "/tmp" not in text and "cloudpickle_model" not in text
    assert not list(around.rglob("*.pkl"))
    about = around / "artifacts" / "model" / "about.json"
    about.write_bytes(about.read_bytes().replace(b"0", b"1", 1))

    with pytest.raises(DamagedModelError, match=r"about\.json is not the file that was saved"):
        mlflow.pyfunc.load_model(str(around))
