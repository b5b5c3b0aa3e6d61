"""Do the invented records keep the contract, and do their histories say what the mechanism believes?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.declared import parse_yaml
from pipeline.simulate import MODALITIES
from pipeline.simulate.regimens import BCMA_DRUGS, PRODUCTS, TRACKED

ROOT = Path(__file__).parents[2]
CONTRACT = {
    "patients": ["patient_id", "birth_date", "sex", "race", "ethnicity", "diagnosis_date", "site_id"],
    "lines": [
        "patient_id",
        "line_number",
        "start_date",
        "end_date",
        "end_reason",
        "best_response",
        "progression_date",
        "known_at",
    ],
    "drugs": ["patient_id", "drug", "start_date", "end_date", "line_number", "known_at"],
    "measurements": ["patient_id", "code", "value", "measured_at", "unit", "known_at"],
    "findings": ["patient_id", "code", "value", "found_at", "resolved_at", "known_at"],
    "decisions": [
        "decision_id",
        "patient_id",
        "decision_date",
        "site_id",
        "modality",
        "product",
        "treatment_start_date",
    ],
    "availability": ["decision_id", "modality", "available", "wait_days"],
    "preferences": ["decision_id", "outcome", "weight"],
    "events": ["patient_id", "event", "event_date", "term", "grade"],
}


@pytest.fixture(scope="module")
def tables(world):
    return world(decisions=1500, seed=7).tables


@pytest.fixture(scope="module")
def complete(world):
    return world(decisions=1500, seed=8, missingness=0.0, censoring="none")


def test_every_table_has_the_contract_s_columns(tables):
    assert {name: list(frame.columns) for name, frame in tables.items() if name != "simulated"} == CONTRACT


def test_simulated_records_say_so(tables, world):
    assert "SIMULATED" in tables["simulated"]["note"].item()
    assert world(decisions=1500, seed=7).truth["simulated"].all()
    assert tables["patients"]["site_id"].str.startswith("SIM-").all()


@pytest.mark.parametrize(
    ("table", "earlier", "later"),
    [
        ("lines", "start_date", "end_date"),
        ("lines", "start_date", "progression_date"),
        ("lines", "start_date", "known_at"),
        ("drugs", "start_date", "end_date"),
        ("drugs", "start_date", "known_at"),
        ("measurements", "measured_at", "known_at"),
        ("findings", "found_at", "known_at"),
        ("findings", "found_at", "resolved_at"),
        ("decisions", "decision_date", "treatment_start_date"),
        ("patients", "birth_date", "diagnosis_date"),
    ],
)
def test_dates_are_in_order(tables, table, earlier, later):
    both = tables[table].dropna(subset=[earlier, later])
    assert len(both) > 0
    assert (both[earlier] <= both[later]).all()


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("patients", ["patient_id"]),
        ("lines", ["patient_id", "line_number"]),
        ("decisions", ["decision_id"]),
        ("availability", ["decision_id", "modality"]),
        ("preferences", ["decision_id", "outcome"]),
    ],
)
def test_keys_are_unique_and_refer_to_rows_that_exist(tables, table, key):
    assert not tables[table].duplicated(key).any()
    home = "patients" if "patient_id" in tables[table] else "decisions"
    column = "patient_id" if home == "patients" else "decision_id"
    assert set(tables[table][column]) <= set(tables[home][column])


def test_nothing_is_recorded_after_the_last_contact(tables):
    contact = tables["events"].query("event in ['last_contact', 'death']").groupby("patient_id")["event_date"].max()
    for table, column in {
        "lines": "start_date",
        "drugs": "start_date",
        "measurements": "measured_at",
        "findings": "found_at",
        "events": "event_date",
    }.items():
        frame = tables[table]
        assert (frame[column] <= frame["patient_id"].map(contact)).all(), table


def test_a_second_decision_comes_after_the_next_treatment_that_led_to_it(tables):
    decisions = tables["decisions"].sort_values(["patient_id", "decision_date"])
    again = decisions[decisions.duplicated("patient_id")]
    assert 0.05 < len(again) / len(decisions) < 0.3
    treated = tables["events"].query("event == 'next_treatment'").groupby("patient_id")["event_date"].min()
    assert (again["patient_id"].map(treated) < again["decision_date"]).all()
    assert not tables["events"].query("event == 'death'")["patient_id"].duplicated().any()


def test_line_numbers_run_without_gaps_and_the_decided_line_is_recorded(tables):
    lines = tables["lines"]
    assert (lines.groupby("patient_id")["line_number"].max() == lines.groupby("patient_id").size()).all()
    ordered = lines.sort_values(["patient_id", "line_number"])
    assert (ordered.groupby("patient_id")["start_date"].is_monotonic_increasing).all()
    infused = tables["decisions"].query("modality == 'car_t'").dropna(subset="treatment_start_date")
    drugs = tables["drugs"]
    product = drugs[drugs["drug"].str.endswith(("autoleucel", "vicleucel"))]
    given = infused.merge(
        product, left_on=["patient_id", "treatment_start_date"], right_on=["patient_id", "start_date"]
    )
    assert len(given) == len(infused)


def test_bridging_covers_every_day_from_the_car_t_decision_to_the_day_before_infusion(complete):
    decisions = complete.tables["decisions"].query("modality == 'car_t'").dropna(subset="treatment_start_date")
    joined = decisions.merge(complete.tables["drugs"], on="patient_id")
    day_before = (pd.to_datetime(joined["treatment_start_date"]) - pd.Timedelta(days=1)).dt.strftime("%Y-%m-%d")
    covering = joined[(joined["start_date"] <= joined["decision_date"]) & (joined["end_date"] >= day_before)]
    assert set(decisions["decision_id"]) == set(covering["decision_id"])


def test_the_choice_was_available_and_the_product_belongs_to_the_modality(tables):
    chosen = tables["decisions"].merge(tables["availability"], on=["decision_id", "modality"])
    assert chosen["available"].all()
    products = {product: modality for modality, offers in PRODUCTS.items() for product in offers}
    assert (tables["decisions"]["product"].map(products) == tables["decisions"]["modality"]).all()


def test_products_and_their_agents_are_those_of_the_configuration():
    for modality, offers in PRODUCTS.items():
        for product, offer in offers.items():
            path = ROOT / "configs" / "products" / f"{product}.yaml"
            declared = parse_yaml(path.read_text(), str(path))
            assert (declared["modality"], tuple(declared["agents"])) == (modality, offer.agents), product


def test_schedules_and_continuity_are_those_of_the_configuration(world):
    settings = world(decisions=1500, seed=7).settings
    for modality in MODALITIES:
        path = ROOT / "configs" / "modalities" / f"{modality}.yaml"
        declared = parse_yaml(path.read_text(), str(path))
        burden = declared["burden"]
        assert tuple(settings.schedules[modality]) == (burden["hospital_days"], burden["visit_days"])
        assert declared["time_limited"] == (modality not in settings.continuous)


def test_every_code_drug_and_unit_is_one_the_contract_knows(tables):
    drugs = parse_yaml((ROOT / "configs" / "drugs.yaml").read_text(), "drugs")["drugs"]
    assert set(tables["drugs"]["drug"]) <= {entry["drug"] for entry in drugs}
    known = parse_yaml((ROOT / "data_schema" / "measurements.yaml").read_text(), "measurements")["x-codes"]
    seen = tables["measurements"].drop_duplicates(["code", "unit"]).dropna(subset="unit")
    for code, unit in zip(seen["code"], seen["unit"], strict=True):
        units = {known[code]["x-unit"], *known[code].get("times", {}), *known[code].get("over", {})}
        assert unit in units, code
    findings = parse_yaml((ROOT / "data_schema" / "findings.yaml").read_text(), "findings")["x-codes"]
    for code, value in set(zip(tables["findings"]["code"], tables["findings"]["value"], strict=True)):
        assert value in findings[code].get("values", ["present", "absent"]), code


def test_values_are_plausible_in_their_canonical_unit(tables):
    known = parse_yaml((ROOT / "data_schema" / "measurements.yaml").read_text(), "measurements")["x-codes"]
    for (code, unit), part in tables["measurements"].groupby(["code", "unit"]):
        factor = known[code].get("times", {}).get(unit, 1.0) / known[code].get("over", {}).get(unit, 1.0)
        low, high = known[code]["x-range"]
        inside = (part["value"] * factor).between(low * 0.999, high * 1.001)
        assert inside.mean() > 0.98, (code, unit)


@pytest.mark.parametrize("code", ["hemoglobin", "creatinine", "calcium", "albumin", "crp", "flc_kappa"])
def test_a_minority_of_values_comes_in_another_unit(tables, code):
    shares = tables["measurements"].query("code == @code")["unit"].value_counts(normalize=True)
    assert len(shares) == 2
    assert 0.03 < shares.min() < 0.4


def test_some_results_taken_before_the_decision_were_reported_after_it(tables):
    joined = tables["measurements"].merge(tables["decisions"][["patient_id", "decision_date"]], on="patient_id")
    late = (joined["measured_at"] < joined["decision_date"]) & (joined["known_at"] >= joined["decision_date"])
    assert 20 < late.sum() < 0.1 * len(joined)


def test_treatment_specific_findings_are_not_visible_on_the_decision_day(tables):
    first = tables["decisions"].drop_duplicates("patient_id")
    joined = tables["findings"].query("code == 'leukapheresis'").merge(first, on="patient_id")
    assert len(joined) > 0
    assert (joined["found_at"] >= joined["decision_date"]).all()


def refractory_by_hand(lines: pd.DataFrame, drugs: pd.DataFrame, before: pd.Series) -> set[tuple[str, str]]:
    """Return (decision_id, drug) pairs refractory by definitions.md, row by row, from the tables alone."""
    found = set()
    by_line = {(row.patient_id, row.line_number): row for row in lines.itertuples()}
    courses = drugs.merge(before.reset_index(), on="patient_id")
    for course in courses[courses["start_date"] < courses["decision_date"]].itertuples():
        line = by_line[(course.patient_id, course.line_number)]
        no_response = line.best_response in ("SD", "PD")
        progressed = isinstance(line.progression_date, str) and line.progression_date < course.decision_date
        near = progressed and (pd.Timestamp(line.progression_date) - pd.Timestamp(course.end_date)).days <= 60
        if no_response or near:
            found.add((course.decision_id, course.drug))
    return found


def test_histories_imply_the_refractoriness_and_exposure_that_the_mechanism_uses(complete):
    decisions = complete.tables["decisions"]
    before = decisions.set_index("patient_id")[["decision_id", "decision_date"]]
    by_hand = refractory_by_hand(complete.tables["lines"], complete.tables["drugs"], before)
    hidden = complete.hidden
    for drug in TRACKED:
        used = set(hidden["decision_id"][hidden[f"ref {drug}"]])
        assert used == {decision for decision, name in by_hand if name == drug}, drug
        assert 0 < len(used) < len(decisions)
    courses = complete.tables["drugs"].merge(decisions, on="patient_id")
    earlier = courses[courses["start_date"] < courses["decision_date"]]
    exposed = set(earlier[earlier["drug"].isin(BCMA_DRUGS)]["decision_id"])
    assert exposed == set(hidden["decision_id"][hidden["prior_bcma"]])
    lines = complete.tables["lines"].merge(decisions, on="patient_id")
    counted = lines[lines["start_date"] < lines["decision_date"]].groupby("decision_id").size()
    np.testing.assert_array_equal(counted.loc[hidden["decision_id"]], hidden["prior_lines"])
