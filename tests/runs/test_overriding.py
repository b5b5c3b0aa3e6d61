"""Overrides from a file to predictions, card and review: checked before scoring, shown, counted, part of the batch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.errors import ModelMismatchError, RuleError
from pipeline.runs.cards import explain_case
from pipeline.runs.overriding import account_of, read_overrides
from pipeline.runs.predict import advice_for, predict
from pipeline.runs.reading import Known, read_known
from pipeline.runs.reporting import Quiet
from pipeline.runs.reviews import write_review
from tests.conftest import Journey

pytestmark = pytest.mark.xdist_group("journey")

REASON, ROLE = "Discussed at the board, benefit outweighs", "treating haematologist"
LABEL, HELD = "g03-us-teclistamab-label", "g17-car-t-hiv"


@pytest.fixture(scope="module")
def plain(journey: Journey) -> pd.DataFrame:
    """Return the predictions without overrides."""
    out = journey.home / "no-overrides"
    predict(journey.fresh, journey.loaded, out, Quiet())
    return pd.read_parquet(out)


@pytest.fixture(scope="module")
def named(plain: pd.DataFrame) -> list[str]:
    """Return decisions on which the teclistamab label spoke."""
    spoke = plain["rules"].map(lambda rules: any(rule["rule_id"] == LABEL for rule in rules))
    return sorted(plain.loc[spoke, "decision_id"].unique())[:12]


def written(path: Path, decisions: list[str], rule: str = LABEL, reason: str = REASON) -> Path:
    rows = [
        {"decision_id": name, "rule_id": rule, "reason": reason, "by_role": ROLE, "date": "2026-11-20"}
        for name in decisions
    ]
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def aside(journey: Journey, named: list[str]) -> Path:
    """Return a file of overrides: twelve that set something aside, and one of a decision that is not there."""
    return written(journey.home / "overrides.csv", [*named, "D-NOT-THERE"])


@pytest.fixture(scope="module")
def overridden(journey: Journey, aside: Path) -> pd.DataFrame:
    """Return the predictions with overrides."""
    out = journey.home / "with-overrides"
    predict(journey.fresh, journey.loaded, out, Quiet(), overrides=aside)
    return pd.read_parquet(out)


def test_overrides_stand_in_the_rows_of_the_modality_they_touch_and_nowhere_else(
    overridden: pd.DataFrame, named: list[str]
) -> None:
    rows = overridden[overridden["overrides"].map(len) > 0]

    assert sorted(rows["decision_id"]) == named
    assert set(rows["modality"]) == {"bispecific"}
    told = {"rule_id": LABEL, "reason": REASON, "by_role": ROLE, "date": "2026-11-20"}
    assert all(entries.tolist() == [told] for entries in rows["overrides"])


def test_no_other_decision_moves_and_suitability_never_does(
    plain: pd.DataFrame, overridden: pd.DataFrame, named: list[str]
) -> None:
    untouched = ~plain["decision_id"].isin(named)
    texts = [frame[untouched].to_json(orient="records") for frame in (plain, overridden)]

    assert texts[0] == texts[1]
    assert plain["suitability"].equals(overridden["suitability"])
    assert plain["model_rank"].equals(overridden["model_rank"])


def test_the_product_is_given_back_and_the_rule_stays_listed(overridden: pd.DataFrame, named: list[str]) -> None:
    row = overridden[(overridden["decision_id"] == named[0]) & (overridden["modality"] == "bispecific")].iloc[0]

    assert LABEL in [rule["rule_id"] for rule in row["rules"]]
    assert {entry["product"]: entry["verdict"] for entry in row["products"]}["teclistamab"] != "blocked"


def test_an_account_tells_what_was_applied_what_was_idle_and_what_names_nobody(
    journey: Journey, plain: pd.DataFrame, named: list[str], tmp_path: Path
) -> None:
    silent = sorted(set(plain["decision_id"]) - set(named))[-1:]
    if any(
        rule["rule_id"] == LABEL for rules in plain.loc[plain["decision_id"] == silent[0], "rules"] for rule in rules
    ):
        silent = []
    known = read_known(journey.fresh, journey.loaded.setup, training=False, reporter=Quiet())
    overrides = read_overrides(written(tmp_path / "o.csv", [*named, *silent, "X1", "X2"]), journey.loaded.setup)
    found = account_of(overrides, known, journey.loaded.setup)

    assert found.applied == {LABEL: len(named)}
    assert (found.idle, found.strangers) == (len(silent), 2)
    assert found.total == len(named) + len(silent) + 2


def test_the_digest_of_the_overrides_is_in_the_manifest_and_other_ones_do_not_resume(
    journey: Journey, aside: Path, overridden: pd.DataFrame, named: list[str], tmp_path: Path
) -> None:
    out = journey.home / "with-overrides"
    identity = json.loads((out / "_manifest.json").read_text())["identity"]

    assert identity["overrides_digest"] == read_overrides(aside, journey.loaded.setup).digest
    for other in (None, written(tmp_path / "fewer.csv", named[1:])):
        with pytest.raises(ModelMismatchError, match="overrides_digest changed"):
            predict(journey.fresh, journey.loaded, out, Quiet(), overrides=other, resume=True)
    again = predict(journey.fresh, journey.loaded, out, Quiet(), overrides=aside, resume=True)
    assert again.overrides is not None
    assert again.overrides.applied == {LABEL: len(named)}


def test_an_override_of_a_day_to_come_is_refused_by_row(journey: Journey, named: list[str], tmp_path: Path) -> None:
    future = written(tmp_path / "o.csv", named[:2])
    future.write_text(future.read_text().replace("2026-11-20", "2199-01-01", 1))

    with pytest.raises(RuleError, match=r"o\.csv: overrides: 1 problem.*\n.*in the future.*\(1 of 2 rows: 1\)"):
        read_overrides(future, journey.loaded.setup)


def test_a_rule_that_may_not_be_overridden_stops_everything_before_a_part_is_written(
    journey: Journey, named: list[str], tmp_path: Path
) -> None:
    with pytest.raises(RuleError, match="may not be overridden") as refused:
        predict(
            journey.fresh, journey.loaded, tmp_path / "p", Quiet(), overrides=written(tmp_path / "o.csv", named, HELD)
        )

    assert refused.value.exit_code == 13
    assert not (tmp_path / "p").exists()
    assert named[0] not in str(refused.value)


def test_the_command_tells_what_was_set_aside(journey: Journey, aside: Path, named: list[str], tmp_path: Path) -> None:
    model = ["--model", str(journey.trained.run_directory), "--overrides", str(aside)]
    out = str(tmp_path / "p")
    told = CliRunner().invoke(app, ["predict", str(journey.fresh), *model, "--out", out], catch_exceptions=False).output

    assert f"overrides: {len(named) + 1} read, {len(named)} set a rule aside" in told
    assert f"{LABEL}: {len(named)}" in told
    assert "1 name a decision that is not scored here" in told


def test_the_card_shows_the_override_with_reason_and_role(journey: Journey, aside: Path, named: list[str]) -> None:
    page = journey.home / "overridden.html"
    explain_case(journey.fresh, journey.loaded, named[0], page, Quiet(), overrides=aside)
    text = page.read_text()

    assert f"Overridden by {ROLE}: {REASON}" in text
    assert f"block was set aside by {ROLE}: Teclistamab alone outside its US indication" in text
    assert "Speaks of Teclistamab<" in text
    assert "draft rules were not run" in text
    assert named[0] not in text


def test_the_review_counts_statuses_overrides_and_roles_and_names_nobody(
    journey: Journey, overridden: pd.DataFrame, named: list[str]
) -> None:
    page = journey.home / "reviewed.html"
    write_review(str(journey.trained.run_directory), journey.workspace, page, journey.home / "with-overrides")
    text = page.read_text()

    assert 'id="batch"' in text
    assert LABEL in text
    assert f">{len(named)}<" in text
    assert ROLE in text
    assert not [name for name in set(overridden["decision_id"]) | set(overridden["patient_id"]) if name in text]
    assert REASON not in text


def test_a_review_without_a_batch_has_no_such_section(journey: Journey, tmp_path: Path) -> None:
    write_review(str(journey.trained.run_directory), journey.workspace, tmp_path / "r.html")

    assert 'id="batch"' not in (tmp_path / "r.html").read_text()
    assert 'id="rule-groups"' in (tmp_path / "r.html").read_text()


def test_the_evaluation_tells_what_each_rule_did_in_every_group(journey: Journey) -> None:
    rules = journey.trained.evaluation["rules"]
    groups = {entry["subgroup"] for entry in rules["subgroups"]}

    assert groups == {"all", "age", "sex", "race", "kidney function", "frailty", "cytogenetic risk", "site"}
    for name in groups - {"all"}:
        levels = [entry for entry in rules["subgroups"] if entry["subgroup"] == name]
        assert sum(entry["decisions"] for entry in levels) == rules["decisions"]
        for place, firing in enumerate(rules["firings"]):
            own = [entry["rules"][place] for entry in levels]
            assert {entry["rule_id"] for entry in own} == {firing["rule_id"]}
            for count in ("fired", "undecided", "clear", "removed_first_choice"):
                assert sum(entry[count] for entry in own) == firing[count]


@pytest.mark.parametrize(("calendar", "spoken"), [(True, False), (False, True)])
def test_a_rule_of_tomorrow_judges_only_where_dates_mean_no_calendar_day(
    journey: Journey, plain: pd.DataFrame, named: list[str], calendar: bool, spoken: bool
) -> None:
    known = read_known(journey.fresh, journey.loaded.setup, training=False, reporter=Quiet())
    known = replace(known, records=replace(known.records, calendar=calendar))
    later = [
        replace(rule, effective_from=pd.Timestamp("2100-01-01").date()) for rule in journey.loaded.setup.rules.rules
    ]
    rules = replace(journey.loaded.setup.rules, rules=tuple(later))
    loaded = replace(journey.loaded, adviser=replace(journey.loaded.adviser, rules=rules))
    advice = advice_for(known, loaded, chosen(known, named), read_overrides(None, loaded.setup))

    assert (len(advice.verdicts.findings) > 0) == spoken


def chosen(known: Known, names: list[str]) -> pd.DataFrame:
    return known.features[known.features["decision_id"].isin(names)]
