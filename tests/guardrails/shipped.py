"""The shipped rules and products, a small catalogue of facts, and drawn tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.declared import parse_yaml
from pipeline.errors import RuleError
from pipeline.guardrails import parse_rules
from pipeline.vocabulary import Burden, Modality, Product

CONFIGS = Path(__file__).parents[2] / "configs"


@dataclass(frozen=True)
class SmallFact:
    """What a catalogue says of a fact."""

    name: str
    type: str
    unit: str | None = None
    levels: tuple[str, ...] | None = None
    meaning: str = "A fact of the small catalogue"
    max_age_days: float | None = None
    obtain: str | None = None
    minimum: float | None = None
    dates: str | None = None


UNITS = {
    "age": "years", "alt": "U/L", "alt_uln": "U/L", "anc": "10^9/L", "ast": "U/L", "ast_uln": "U/L",
    "bilirubin": "mg/dL", "bilirubin_uln": "mg/dL", "bmi": "kg/m2", "car_hematotox": "points",
    "creatinine_age_days": "days", "days_since_bcma_car_t": "days", "days_since_bcma_target": "days",
    "days_since_bendamustine": "days", "days_since_high_dose_alkylator": "days",
    "days_since_last_antimyeloma": "days", "ecog": "score", "ecog_age_days": "days", "egfr": "mL/min/1.73m2",
    "hemoglobin_age_days": "days", "igg": "mg/dL", "live_vaccine_age_days": "days", "lvef": "%",
    "n_prior_lines": "lines", "neuropathy_grade": "grade", "platelets": "10^9/L", "platelets_age_days": "days",
    "spo2": "%",
}  # fmt: skip
BOOLEANS = """
    exposed_proteasome_inhibitor exposed_imid exposed_anti_cd38 exposed_lenalidomide exposed_bcma_target
    exposed_bcma_car_t exposed_bcma_bispecific exposed_gprc5d_bispecific exposed_bendamustine
    prior_autologous_transplant refractory_lenalidomide refractory_anti_cd38 refractory_bcma_target
    refractory_bortezomib refractory_pomalidomide refractory_carfilzomib refractory_selinexor refractory_elotuzumab
    progression_on_last_line active_infection autoimmune_disease hbsag hbv_dna anti_hbc hiv hcv_rna pregnancy
    childbearing_potential live_vaccine pulmonary_disease gilbert rapid_progression caregiver near_centre
    hospital_access recurrent_infection weight_loss dysphagia corneal_disease eye_exam eye_care_access contact_lenses
    fine_vision_occupation bortezomib_intolerance bleeding parkinsonism guillain_barre cns_myeloma
    plasma_cell_leukaemia amyloidosis poems prior_severe_crs measurable_disease progression_documented
""".split()  # noqa: SIM905 - a drawn list
CATALOGUE: dict[str, SmallFact] = {
    **{
        name: SmallFact(name, "number", unit, minimum=0, dates=name[:-9] if name.endswith("_age_days") else None)
        for name, unit in UNITS.items()
    },
    **{name: SmallFact(name, "boolean") for name in BOOLEANS},
    "sex": SmallFact("sex", "category", levels=("female", "male", "unknown")),
}


def read_folder(name: str) -> dict[str, dict[str, Any]]:
    """Return every YAML file of a configuration folder, parsed, by file name."""
    return {
        p.name: parse_yaml(p.read_text("utf-8"), p.name, RuleError) for p in sorted((CONFIGS / name).glob("*.yaml"))
    }


PRODUCTS = tuple(Product.model_validate(mapping) for mapping in read_folder("products").values())
FILES = read_folder("guardrails")
RULES = parse_rules(FILES, CATALOGUE, PRODUCTS)


def modality(identity: str, *, products: tuple[str, ...] | None = None, **more: Any) -> Modality:
    """Return a modality with all its products."""
    own = tuple(p.id for p in PRODUCTS if p.modality == identity) if products is None else products
    burden = Burden(hospital_days=0, visit_days=0, source="test")
    return Modality(id=identity, label=identity, products=own, time_limited=False, burden=burden, **more)


MODALITIES = tuple(modality(name) for name in ("car_t", "bispecific", "adc", "standard_triplet"))

FIT = {
    **dict.fromkeys(BOOLEANS, False),
    **{name: None for name in UNITS if name.startswith("days_since")},
    "ecog_age_days": 7.0, "hemoglobin_age_days": 7.0, "platelets_age_days": 7.0, "creatinine_age_days": 7.0,
    "live_vaccine_age_days": 7.0, "days_since_last_antimyeloma": 30.0,
    "age": 62.0, "sex": "female", "n_prior_lines": 4.0, "ecog": 1.0,
    "neuropathy_grade": 0.0, "spo2": 97.0, "lvef": 60.0, "egfr": 80.0, "bilirubin": 0.6, "bilirubin_uln": 1.2,
    "alt": 20.0, "alt_uln": 40.0, "ast": 20.0, "ast_uln": 40.0, "anc": 3.0, "platelets": 180.0, "igg": 900.0,
    "bmi": 25.0, "car_hematotox": 0.0, "exposed_proteasome_inhibitor": True, "exposed_imid": True,
    "exposed_anti_cd38": True, "exposed_lenalidomide": True, "refractory_lenalidomide": True,
    "progression_on_last_line": True, "caregiver": True, "near_centre": True, "hospital_access": True,
    "eye_exam": True, "eye_care_access": True, "measurable_disease": True, "progression_documented": True,
}  # fmt: skip
"""A fit person in third relapse for whom nothing fires and nothing is unknown."""


def facts_of_people(people: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return facts as the features module hands them over: each person is FIT but for what is said."""
    rows = {identity: {**FIT, **changed} for identity, changed in people.items()}
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("decision_id")
    kinds = {
        name: {"boolean": "boolean", "number": "Float64"}.get(fact.type, "str") for name, fact in CATALOGUE.items()
    }
    return frame.astype(kinds)


def days_of(facts: pd.DataFrame, day: str = "2026-11-23") -> pd.Series:
    """Return the same decision date for everybody."""
    return pd.Series(pd.Timestamp(day), index=facts.index)
