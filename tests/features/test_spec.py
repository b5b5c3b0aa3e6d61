"""Is the declared specification whole, and are its mistakes told all at once?"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline import features
from pipeline.declared import parse_yaml
from pipeline.errors import ConfigError
from pipeline.features import FeatureSpec
from pipeline.runs.setup import Setup, read_setup
from pipeline.vocabulary import DrugCatalogue
from tests.features.conftest import CONFIGS, MODALITIES

ROOT = Path(__file__).resolve().parents[2]


def words(text: str) -> list[str]:
    """Return the words of a text."""
    return text.split()


MEASURED = words(
    "hemoglobin platelets anc alc creatinine calcium bilirubin albumin beta2_microglobulin ldh alt ast ldh_uln "
    "alt_uln ast_uln bilirubin_uln crp ferritin igg m_protein_serum m_protein_urine_24h flc_kappa flc_lambda "
    "bone_marrow_plasma_cells lvef spo2 weight height ecog karnofsky charlson adl iadl neuropathy_grade "
    "del17p_fraction plasmacytoma_area distance_km "
)
FOUND = words(
    "iss_stage r_iss_stage del17p t4_14 t14_16 t14_20 gain1q del1p32 tp53_mutation extramedullary_disease "
    "paraskeletal_plasmacytoma plasma_cell_leukaemia amyloidosis poems cns_myeloma pulmonary_disease dysphagia "
    "weight_loss recurrent_infection gilbert bortezomib_intolerance fine_vision_occupation hbv_dna "
    "active_infection hbsag anti_hbc hiv hcv_rna autoimmune_disease pregnancy childbearing_potential "
    "live_vaccine corneal_disease eye_exam contact_lenses parkinsonism guillain_barre prior_severe_crs "
    "bleeding caregiver hospital_access eye_care_access near_centre measurable_disease progression_documented "
    "rapid_progression bridging_effective leukapheresis "
)
CLASSES = words(
    "proteasome_inhibitor imid anti_cd38 anti_slamf7 xpo1 bcl2 alkylator celmod bcma_car_t bcma_bispecific "
    "bcma_adc gprc5d_bispecific bcma_target gprc5d_target bortezomib carfilzomib ixazomib lenalidomide "
    "pomalidomide thalidomide daratumumab isatuximab elotuzumab selinexor venetoclax bendamustine "
)
OTHER = words(
    "hemoglobin_trend platelets_trend creatinine_trend m_protein_serum_trend ferritin_max_180d "
    "platelets_min_180d age sex months_since_diagnosis n_prior_lines n_prior_drugs prior_autologous_transplant "
    "prior_allogeneic_transplant days_since_bcma_target days_since_gprc5d_target days_since_bendamustine "
    "days_since_bcma_car_t days_since_bcma_bispecific days_since_high_dose_alkylator "
    "days_since_last_antimyeloma triple_class_exposed triple_class_refractory penta_drug_refractory "
    "progression_on_last_line last_treatment_free_days last_line_duration_days best_response_last_line egfr "
    "iss r_iss r2_iss r2_iss_group r2_iss_lower r2_iss_upper simplified_frailty frail easix s_easix m_easix "
    "log2_easix log2_s_easix log2_m_easix imwg_high_risk functional_high_risk_asct_12 "
    "functional_high_risk_line_18 functional_high_risk_line_24 car_hematotox mycare bmi calendar_time "
)


def test_every_agreed_feature_is_declared(spec: FeatureSpec) -> None:
    spelled = features.for_modalities(spec, MODALITIES)
    agreed = {
        *MEASURED,
        *FOUND,
        *OTHER,
        *(f"{state}_{name}" for name in CLASSES for state in ("exposed", "refractory")),
    }
    agreed |= {f"wait_days_{modality}" for modality in MODALITIES}

    assert agreed - set(spelled.names) == set()
    assert set(spelled.names) - agreed == {"weight_max_180d", "weight_loss_recorded", "infection_count_365d"}


def test_every_code_of_the_records_contract_is_read(spec: FeatureSpec) -> None:
    for table in ("measurement", "finding"):
        schema = parse_yaml((ROOT / "data_schema" / f"{table}s.yaml").read_text(encoding="utf-8"), table)
        assert set(schema["x-codes"]) == {entry.source_code for entry in spec.of_kind(table)}


def test_units_are_those_of_the_records_contract(spec: FeatureSpec) -> None:
    codes = parse_yaml((ROOT / "data_schema" / "measurements.yaml").read_text(encoding="utf-8"), "m")["x-codes"]
    values = [entry for entry in spec.of_kind("measurement") if entry.aggregate in ("last", "min", "max")]

    assert {entry.name: entry.unit for entry in values} == {e.name: codes[e.source_code]["x-unit"] for e in values}


def test_the_model_sees_neither_race_nor_what_only_one_modality_asks_for(spec: FeatureSpec) -> None:
    model = features.model_columns(spec, MODALITIES)

    assert 70 <= len(model) <= 110
    assert 20 <= len(spec.modifiers) <= 30
    for forbidden in (
        "race",
        "ethnicity",
        "site_id",
        "calendar_time",
        "eye_exam",
        "leukapheresis",
        "bridging_effective",
    ):
        assert forbidden not in model
    # Waiting time is a fact of logistics, known at the decision; the leak audit exempts it by name.
    assert {f"wait_days_{name}" for name in MODALITIES} <= set(model)
    propensity = features.propensity_columns(spec, MODALITIES)
    assert {"site_id", "calendar_time", "wait_days_car_t"} < set(propensity)
    assert set(model) < set(propensity)


def test_modalities_are_spelled_out_once(spec: FeatureSpec) -> None:
    once = features.for_modalities(spec, ["car_t", "adc"])

    assert [name for name in once.names if name.startswith("wait_")] == ["wait_days_adc", "wait_days_car_t"]
    assert features.for_modalities(once, ["car_t", "adc"]) is once
    with pytest.raises(ConfigError, match="modality 'CAR-T'"):
        features.for_modalities(spec, ["CAR-T"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"aggregate": "median"}, "aggregate: 'median' is unknown for kind measurement; known are last, min"),
        ({"windows_days": 3}, "windows_days: unknown setting; did you mean 'window_days'?"),
        ({"window_days": 0}, "window_days: input should be greater than or equal to 1, got 0"),
        ({"roles": ["rules"], "modifier": True}, "modifier: true needs the role 'model'"),
        ({"modifier": True, "dtype": "category", "categories": ["a"]}, "modifier: a category cannot be one"),
        ({"aggregate": "trend", "max_age_days": 3}, "max_age_days: only the last measurement or finding ages"),
        ({"dtype": "category"}, "categories: wanted with dtype category, and only there"),
        ({"kind": "course", "aggregate": "exposed"}, "drugs: a course feature needs drugs, classes or target"),
        (
            {"kind": "course", "aggregate": "exposed", "drugs": ["bortezomab"]},
            "'bortezomab'; did you mean 'bortezomib'",
        ),
        ({"kind": "line", "aggregate": "progression_within"}, "within_days: missing; progression_within needs it"),
        ({"name": "x; drop table"}, "name: string should match pattern"),
    ],
)
def test_a_wrong_feature_is_named_with_what_is_wrong(
    drugs: DrugCatalogue, change: dict[str, Any], message: str
) -> None:
    entry = {"name": "anc", "kind": "measurement", "aggregate": "last", "meaning": "Neutrophils", **change}

    with pytest.raises(ConfigError) as told:
        features.parse_spec(declared([entry]), drugs, "features.yaml")
    assert message in str(told.value)
    assert "features.yaml: " in str(told.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unit": "10^9/L"}, None),
        ({"unit": "10^9/l"}, "unit: got 10^9/l; did you mean '10^9/L'? Records hold anc in 10^9/L"),
        ({}, "unit: got None; did you mean '10^9/L'?"),
        ({"name": "neutrophils", "code": "ank", "unit": "10^9/L"}, "'ank' is no measurement code; did you mean 'anc'?"),
        ({"aggregate": "trend", "window_days": 180, "unit": "10^9/L"}, "did you mean '10^9/L per 30 d'?"),
        ({"aggregate": "trend", "window_days": 180, "unit": "10^9/L per 30 d"}, None),
        ({"aggregate": "days_since", "unit": "10^9/L"}, "did you mean 'days'?"),
        ({"aggregate": "count", "unit": "counts"}, None),
        ({"kind": "finding", "name": "del17p", "dtype": "boolean"}, None),
        (
            {"kind": "finding", "name": "del17", "dtype": "boolean"},
            "'del17' is no finding code; did you mean 'del17p'?",
        ),
        ({"kind": "finding", "name": "iss_stage"}, "levels: 'present' is no value of iss_stage; its values are I, II"),
        ({"kind": "finding", "name": "iss_stage", "levels": {"I": 1, "II": 2, "3": 3}}, "levels: '3' is no value"),
        (
            {"kind": "line", "aggregate": "progression_within", "within_days": 9, "code": "frist_line"},
            "code: got frist_line, wanted one of first_line, first_transplant; did you mean 'first_line'?",
        ),
    ],
)
def test_codes_units_and_values_are_those_of_the_records(
    base_setup: Setup, change: dict[str, Any], message: str | None
) -> None:
    entry = {"name": "anc", "kind": "measurement", "aggregate": "last", "meaning": "Neutrophils", **change}
    mapping, drugs = declared([entry]), base_setup.config.drugs

    if message is None:
        assert features.parse_spec(mapping, drugs, "features.yaml", base_setup.contract).names == (entry["name"],)
        return
    with pytest.raises(ConfigError, match="1 problem") as told:
        features.parse_spec(mapping, drugs, "features.yaml", base_setup.contract)
    assert message in str(told.value)


def test_a_wrong_code_of_a_configuration_is_told_under_its_own_file(tmp_path: Path) -> None:
    shutil.copytree(CONFIGS, tmp_path / "configs")
    base = (CONFIGS / "base.yaml").read_text("utf-8").replace("features: features.yaml", "features: mine.yaml")
    mine = (CONFIGS / "features.yaml").read_text("utf-8").replace("{name: igg, unit: mg/dL", "{name: igg, unit: mg/dl")
    source = "id: x\nlabel: x\ntables: {patient: []}\n"
    for name, text in (("base.yaml", base), ("mine.yaml", mine), ("my-centre.yaml", source)):
        (tmp_path / "configs" / name).write_text(text, "utf-8")

    with pytest.raises(ConfigError) as told:
        read_setup(tmp_path / "configs" / "base.yaml", tmp_path / "configs" / "my-centre.yaml")
    assert re.search(r"mine\.yaml: igg: unit: got mg/dl; did you mean 'mg/dL'", str(told.value))
    assert re.search(r"my-centre\.yaml: 1 problem\s+- tables.patient: not a table", str(told.value))


def test_all_problems_are_told_at_once(drugs: DrugCatalogue) -> None:
    good = {"name": "anc", "kind": "measurement", "aggregate": "last", "meaning": "Neutrophils", "max_age_days": 3}
    twin = good | {"name": "anc_age_days", "max_age_days": None}

    with pytest.raises(ConfigError, match="2 problem"):
        features.parse_spec(declared([good, good, twin]), drugs)
    with pytest.raises(ConfigError, match="groups: got NoneType, wanted a list"):
        features.parse_spec({"version": "1"}, drugs)
    with pytest.raises(ConfigError, match="wanted the keys group, shared and features"):
        features.parse_spec({"groups": [{"features": []}]}, drugs)


def declared(entries: list[dict[str, Any]]) -> dict[str, Any]:
    rules = {"version": "1", "refractory_days": 60, "single_dose_classes": [], "non_documenting_classes": []}
    return {"version": "1", "exposure": rules, "groups": [{"group": "blood", "features": entries}]}


def test_the_digest_changes_with_any_setting(spec: FeatureSpec) -> None:
    other = spec.model_copy(update={"mycare_ferritin_cutoff": 300.0})

    assert len(spec.digest) == 64
    assert FeatureSpec.model_validate(other.model_dump()).digest != spec.digest


def test_the_shipped_schema_and_page_are_those_of_the_specification(spec: FeatureSpec, drugs: DrugCatalogue) -> None:
    modalities = read_setup(CONFIGS / "base.yaml").config.modalities
    schema = parse_yaml((ROOT / "data_schema" / "feature_matrix.yaml").read_text(encoding="utf-8"), "feature_matrix")
    page = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")

    assert schema == features.matrix_schema(spec, modalities)
    assert page == features.describe(spec, drugs, modalities)
