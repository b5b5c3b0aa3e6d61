"""Is a declared table what it says, and is a wrong declaration refused with every problem?"""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.declared import parse_yaml
from pipeline.errors import ConfigError
from pipeline.schema import RECORD_TABLES, data_dictionary, parse_contract, parse_table

ROOT = Path(__file__).parents[2]

COLUMNS = {
    "patients": "patient_id* birth_date sex race ethnicity diagnosis_date site_id",
    "lines": "patient_id* line_number* start_date* end_date end_reason best_response progression_date known_at",
    "drugs": "patient_id* drug* start_date* end_date line_number known_at",
    "measurements": "patient_id* code* value* measured_at* unit known_at",
    "findings": "patient_id* code* value* found_at* resolved_at known_at",
    "decisions": "decision_id* patient_id* decision_date* site_id modality product treatment_start_date",
    "availability": "decision_id* modality* available* wait_days",
    "patient_aliases": "alias_id* patient_id*",
    "preferences": "decision_id* outcome* weight*",
    "events": "patient_id* event* event_date* term grade",
}


@pytest.mark.parametrize("name", RECORD_TABLES)
def test_each_table_has_the_columns_of_the_product_and_no_other(contract, name):
    declared = [field.name + "*" * field.constraints.required for field in contract[name].fields]

    assert sorted(declared) == sorted(COLUMNS[name].split())


def test_four_tables_are_required(contract):
    assert [table.name for table in contract.records if table.required] == ["patients", "lines", "drugs", "decisions"]


def test_the_closed_lists_of_codes_are_complete(contract):
    measurements = """
        hemoglobin platelets anc alc creatinine calcium bilirubin albumin beta2_microglobulin ldh alt ast ldh_uln
        alt_uln ast_uln bilirubin_uln crp ferritin igg m_protein_serum m_protein_urine_24h flc_kappa flc_lambda
        bone_marrow_plasma_cells lvef spo2 weight height ecog karnofsky charlson adl iadl neuropathy_grade
        del17p_fraction plasmacytoma_area distance_km
    """
    findings = """
        iss_stage r_iss_stage del17p t4_14 t14_16 t14_20 gain1q del1p32 tp53_mutation extramedullary_disease
        paraskeletal_plasmacytoma plasma_cell_leukaemia amyloidosis poems cns_myeloma pulmonary_disease dysphagia
        weight_loss recurrent_infection gilbert bortezomib_intolerance fine_vision_occupation hbv_dna active_infection
        hbsag anti_hbc hiv hcv_rna autoimmune_disease pregnancy childbearing_potential live_vaccine corneal_disease
        eye_exam contact_lenses parkinsonism guillain_barre prior_severe_crs bleeding caregiver hospital_access
        eye_care_access near_centre measurable_disease progression_documented rapid_progression bridging_effective
        leukapheresis
    """
    assert set(contract["measurements"].codes) == set(measurements.split())
    assert set(contract["findings"].codes) == set(findings.split())


def test_every_declared_column_says_what_it_means(contract):
    assert [field.name for table in contract.records for field in table.fields if not field.meaning] == []


def test_every_problem_of_every_file_is_told_at_once():
    with pytest.raises(ConfigError) as raised:
        parse_contract(
            {
                "a.yaml": {"one_row_per": ["x"], "fields": [{"name": "x", "type": "text", "x-meaning": "X"}]},
                "b.yaml": {"one_row_per": ["x"], "primaryKey": ["y"], "fields": [field("x"), field("x")]},
                "c.yaml": {"one_row_per": ["x"], "fields": [field("x")], "primary_key": ["x"]},
            }
        )

    told = str(raised.value).splitlines()
    assert told[0] == "data_schema: 3 problems"
    assert told[1].startswith("  - a.yaml: fields.0.type: input should be 'string', 'integer'")
    assert "columns named twice: ['x']; columns used but not declared: ['y']" in told[2]
    assert told[3].startswith("  - c.yaml: primary_key: unknown setting")


def field(name, **more):
    return {"name": name, "type": "string", "x-meaning": "X", **more}


def test_a_reference_to_nowhere_is_refused():
    key = {"fields": ["x"], "reference": {"resource": "nowhere", "fields": ["x"]}}
    with pytest.raises(ConfigError, match="foreign key to 'nowhere' names no declared column"):
        parse_contract({"a.yaml": {"one_row_per": ["x"], "fields": [field("x")], "foreignKeys": [key]}})


def test_a_table_without_a_name_takes_that_of_its_file():
    problems: list[str] = []
    table = parse_table({"one_row_per": ["x"], "fields": [field("x")]}, "data_schema/things.yaml", problems)

    assert problems == []
    assert table is not None and table.name == "things"


def test_all_declared_files_make_one_contract_and_its_page_is_up_to_date():
    files = sorted((ROOT / "data_schema").glob("*.yaml"))
    whole = parse_contract({file.name: parse_yaml(file.read_text("utf-8"), file.name) for file in files})

    assert set(RECORD_TABLES) < set(whole.tables) | {"_"}
    assert (ROOT / "docs/data-dictionary.md").read_text("utf-8") == data_dictionary(whole)


def test_the_page_shows_grain_units_limits_and_codes(contract):
    page = data_dictionary(contract)

    assert "## lines (required)\n\nOne row per patient_id, line_number." in page
    assert "| **patient_id** (key) | string |  | Institution's identifier; never interpreted |" in page
    assert "| creatinine | mg/dL | 0.2 to 15 (evidence) | umol/L (/ 88.4) | as canonical | Serum creatinine |" in page
    assert "| crp | mg/L | 0 to 500 (evidence) | mg/dL (x 10) | set aside | C-reactive protein |" in page
    assert "| del1p32 | monoallelic, biallelic, absent | Deletion of 1p32 |" in page
