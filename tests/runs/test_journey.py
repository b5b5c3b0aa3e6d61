"""From records to pages on a small simulated institution."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from pipeline.advice import advise
from pipeline.cli import app
from pipeline.errors import ConfigError, DamagedModelError, ModelMismatchError
from pipeline.runs.cards import explain_case
from pipeline.runs.demo import true_regret
from pipeline.runs.model_dir import load_model
from pipeline.runs.predict import predict
from pipeline.runs.reading import read_known
from pipeline.runs.reporting import Quiet
from pipeline.runs.reviews import write_review
from pipeline.runs.train import shard_of
from pipeline.store import predictions_schema
from pipeline.vocabulary import STATUSES, VERDICTS
from tests.conftest import COMMPASS, ROOT, Journey, quick

pytestmark = pytest.mark.xdist_group("journey")


@pytest.fixture(scope="module")
def predicted(journey: Journey) -> pd.DataFrame:
    """Return the predictions of the new decisions."""
    predict(journey.fresh, journey.loaded, journey.home / "predictions", Quiet())
    return pd.read_parquet(journey.home / "predictions")


def test_predictions_have_exactly_the_contracts_columns_and_types(journey: Journey, predicted: pd.DataFrame) -> None:
    schema = predictions_schema()

    assert list(predicted.columns) == schema.names
    assert len(predicted) == 60 * 4
    assert predicted["status"].isin(STATUSES).all()
    assert predicted["verdict"].isin(VERDICTS).all()
    assert str(predicted["rank"].dtype) == "Int64"


def test_baseline_and_reasons_add_up_to_suitability_in_each_row(predicted: pd.DataFrame) -> None:
    rows = predicted.dropna(subset=["suitability"])
    told = rows["baseline"] + rows["reasons"].map(lambda items: sum(item["contribution"] for item in items))

    assert len(rows) > 100
    assert np.abs(told - rows["suitability"]).max() < 1e-6


def test_a_contrast_adds_up_to_the_gap(predicted: pd.DataFrame) -> None:
    value = predicted.set_index(["decision_id", "modality"])["suitability"]
    told = predicted.dropna(subset=["versus_next"])

    assert len(told) > 10
    for row in told.itertuples():
        gap = row.suitability - value[row.decision_id, row.versus_next["modality"]]
        assert sum(item["contribution"] for item in row.versus_next["items"]) == pytest.approx(gap, abs=1e-6)


def test_only_ranked_and_tied_rows_have_a_rank(predicted: pd.DataFrame) -> None:
    assert (predicted["rank"].notna() == predicted["status"].isin(["ranked", "tied"])).all()


def test_a_blocked_undecided_or_unavailable_modality_is_never_ranked(predicted: pd.DataFrame) -> None:
    stopped = predicted["verdict"].isin(["blocked", "indeterminate"])

    assert stopped.any()
    assert predicted.loc[stopped, "rank"].isna().all()


def test_rules_never_lift_a_modality_over_one_the_model_held_clearly_better(predicted: pd.DataFrame) -> None:
    for _, rows in predicted.dropna(subset=["rank"]).groupby("decision_id"):
        for a in rows.itertuples():
            for b in rows.itertuples():
                if a.rank < b.rank:
                    assert a.suitability > b.suitability


def test_taking_a_modality_away_never_lifts_another_out_of_abstention(journey: Journey) -> None:
    known = read_known(journey.fresh, journey.loaded.setup, training=False, reporter=Quiet())
    shard = shard_of(known, known.features)
    gone = shard.candidates.assign(
        available=shard.candidates["available"]
        .astype("object")
        .mask(shard.candidates["modality"] == "car_t", other=False)
    )
    before = advise(journey.loaded.adviser, shard).predictions
    after = advise(journey.loaded.adviser, replace(shard, candidates=gone)).predictions
    rest = (before["modality"] != "car_t").to_numpy()

    assert (before.loc[rest, "rank"].notna().to_numpy() == after.loc[rest, "rank"].notna().to_numpy()).all()
    assert (after.loc[~rest, "status"] == "unavailable").all()


def test_a_shared_rank_is_called_tied(predicted: pd.DataFrame) -> None:
    shared = predicted.dropna(subset=["rank"]).groupby(["decision_id", "rank"])["status"].agg(["size", "unique"])

    for size, statuses in shared.itertuples(index=False):
        assert list(statuses) == (["tied"] if size > 1 else ["ranked"])


def test_chunks_of_any_size_give_the_same_rows(journey: Journey, predicted: pd.DataFrame) -> None:
    known = read_known(journey.fresh, journey.loaded.setup, training=False, reporter=Quiet())
    whole = advise(journey.loaded.adviser, shard_of(known, known.features)).predictions
    parts = []
    for start in range(0, len(known.features), 7):
        rows = known.features.iloc[start : start + 7].reset_index(drop=True)
        shard = shard_of(known, rows)
        parts.append(advise(journey.loaded.adviser, shard).predictions)

    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), whole)


def test_two_batches_have_the_same_bytes(journey: Journey, predicted: pd.DataFrame) -> None:
    predict(journey.fresh, journey.loaded, journey.home / "again", Quiet())
    first, second = ((journey.home / name / "part-00000.parquet").read_bytes() for name in ("predictions", "again"))

    assert first == second


def test_the_model_beats_one_best_modality_by_true_value(journey: Journey, predicted: pd.DataFrame) -> None:
    truth = pd.read_parquet(journey.fresh / "truth.parquet")
    given = pd.read_parquet(journey.fresh / "decisions.parquet")[["decision_id", "modality"]]
    regret = true_regret(predicted, truth, given)

    assert regret["model"] < regret["one best modality"] < regret["random"]
    assert regret["model"] < regret["clinicians"]


def test_the_league_table_knows_clinicians_random_best_arm_and_imitation(journey: Journey) -> None:
    league = {row["policy"]: row for row in journey.trained.evaluation["league"]}

    # T has too few events for a model of its own here, so it has no row.
    assert set(league) == {
        *("clinicians", "random", "one_best_arm", "published_rule", "imitation", "lambdarank_naive", "lambdarank_dr"),
        *("linear", "single", "stack", "model", "student"),
    }
    assert league["model"]["true_regret"] < league["one_best_arm"]["true_regret"]
    assert all(row["low"] <= row["value"] <= row["high"] for row in league.values() if row["value"] is not None)
    assert all((row["value"] is None) == bool(row["vetoed"]) for row in league.values())


def test_the_evaluation_holds_no_identifier(journey: Journey) -> None:
    text = (journey.trained.run_directory / "evaluation.json").read_text()
    page = (journey.trained.run_directory / "review.html").read_text()
    decisions = pd.read_parquet(journey.records / "decisions.parquet")

    for identifier in [*decisions["decision_id"].head(50), *decisions["patient_id"].head(50)]:
        assert str(identifier) not in text
        assert str(identifier) not in page


def test_simulated_is_stamped_on_every_page_and_file(journey: Journey) -> None:
    explain_case(journey.fresh, journey.loaded, "D000001", journey.home / "case.html", Quiet())
    for page in (journey.home / "case.html", journey.trained.run_directory / "review.html"):
        assert "simulated" in page.read_text().lower()
    assert json.loads((journey.trained.run_directory / "evaluation.json").read_text())["simulated"] is True


def test_a_card_hides_identifiers_unless_asked(journey: Journey) -> None:
    page = journey.home / "who.html"
    explain_case(journey.fresh, journey.loaded, "D000002", page, Quiet())
    assert "D000002" not in page.read_text()
    explain_case(journey.fresh, journey.loaded, "D000002", page, Quiet(), show_identifiers=True)
    assert "D000002" in page.read_text()


def test_an_unknown_decision_is_not_echoed(journey: Journey) -> None:
    with pytest.raises(ConfigError) as problem:
        explain_case(journey.fresh, journey.loaded, "SECRET-77", journey.home / "none.html", Quiet())
    assert "SECRET-77" not in str(problem.value)


def test_a_changed_model_file_is_refused_before_it_is_parsed(journey: Journey, tmp_path: Path) -> None:
    source = journey.trained.run_directory / "model"
    copy = tmp_path / "model"
    copy.mkdir()
    for file in source.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    student = copy / "student_00.txt"
    student.write_bytes(student.read_bytes().replace(b"leaf_value=", b"leaf_value=9", 1))
    with pytest.raises(DamagedModelError, match=r"student_00\.txt"):
        load_model(str(copy), journey.workspace)


def test_a_model_of_simulated_records_does_not_score_real_ones(journey: Journey, tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    for file in journey.fresh.glob("*.parquet"):
        if file.stem not in ("simulated", "truth"):
            pd.read_parquet(file).to_csv(real / f"{file.stem}.csv", index=False)
    with pytest.raises(ModelMismatchError, match="simulated records and these are real"):
        predict(real, journey.loaded, tmp_path / "out", Quiet())


def test_the_review_of_another_model_is_refused(journey: Journey, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model").symlink_to(journey.trained.run_directory / "model", target_is_directory=True)
    text = (journey.trained.run_directory / "evaluation.json").read_text()
    (tmp_path / "run" / "evaluation.json").write_text(text.replace(journey.trained.model_version, "0" * 16))
    with pytest.raises(ModelMismatchError, match="belongs to another model"):
        write_review(str(tmp_path / "run"), journey.workspace, tmp_path / "review.html")


def test_a_newcomer_adds_a_modality_by_one_file(journey: Journey, tmp_path: Path) -> None:
    from pipeline.runs.setup import setup_of
    from pipeline.runs.train import train

    text = (
        "id: celmod\nlabel: Cereblon E3 ligase modulator\nagents: [mezigdomide, iberdomide]\n"
        "safety_classes: [cereblon_binder]\ntime_limited: false\nmin_cases: 40\n"
        "burden: {hospital_days: 0, visit_days: 8, source: 'design: oral'}\navailable_from: null\n"
    )
    setup = setup_of({**journey.setup.texts, "modalities/celmod.yaml": text}, "test configuration")
    trained = train(journey.records, setup, tmp_path / "run", tmp_path / "workspace", Quiet())
    loaded = load_model(str(tmp_path / "run"), tmp_path / "workspace")
    predict(journey.fresh, loaded, tmp_path / "predictions", Quiet())
    rows = pd.read_parquet(tmp_path / "predictions").query("modality == 'celmod'")

    assert len(rows) == 60
    # Rules of its safety class reach it on the day it is added; where none speaks it has too few cases.
    assert set(rows["status"]) <= {"too_few_cases", "indeterminate", "blocked"}
    assert (rows["status"] == "too_few_cases").mean() > 0.5
    assert rows["suitability"].isna().all()
    listed = {row["modality"]: row for row in trained.evaluation["cohort"]["modalities"]}
    assert listed["celmod"]["reason"] == "0 cases, wanted 40"


def test_the_command_line_walks_the_same_way(journey: Journey, tmp_path: Path) -> None:
    runner = CliRunner()
    model = str(journey.trained.run_directory)
    steps = [
        ["check", str(journey.fresh), "--out", str(tmp_path / "check.json")],
        ["predict", str(journey.fresh), "--model", model, "--out", str(tmp_path / "out")],
        ["explain", str(journey.fresh), "--model", model, "--decision", "D000001", "--out", str(tmp_path / "c.html")],
        ["review", "--model", model, "--out", str(tmp_path / "r.html")],
        ["rules", "list"],
    ]
    for step in steps:
        result = runner.invoke(app, step)
        assert result.exit_code == 0, (step, result.output, result.exception)
    assert json.loads((tmp_path / "check.json").read_text())["passed"] is True
    assert (tmp_path / "out" / "_SUCCESS").exists()


@pytest.mark.commpass
@pytest.mark.skipif(not COMMPASS.is_dir(), reason="the CoMMpass extract is not beside this checkout")
def test_real_records_flow_from_check_to_review(tmp_path: Path) -> None:
    from pipeline.runs.reading import check_records
    from pipeline.runs.setup import read_setup
    from pipeline.runs.train import train

    setup = quick(read_setup(ROOT / "configs" / "commpass.yaml"))
    report, _ = check_records(COMMPASS, setup)
    trained = train(COMMPASS, setup, tmp_path / "run", tmp_path / "workspace", Quiet())
    predict(COMMPASS, load_model(str(tmp_path / "run"), tmp_path / "workspace"), tmp_path / "out", Quiet())
    rows = pd.read_parquet(tmp_path / "out")
    arms = {row["modality"]: row for row in trained.evaluation["cohort"]["modalities"]}

    assert report.passed
    assert len(rows) == 274 * 5
    assert not arms["anti_cd38_or_slamf7"]["ranked"]
    assert not arms["other"]["ranked"]
    assert (rows[rows["modality"] == "other"]["status"] == "too_few_cases").all()
    assert rows["treatment_free"].isna().all()
    assert trained.evaluation["discrimination"][0]["baseline"] is not None
    assert "simulated" not in (tmp_path / "run" / "review.html").read_text().lower().split("published")[0][:4000]
