"""Do rules see only what is fresh, and is what they do not see unknown rather than safe?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline import features
from pipeline.features import FeatureSpec
from pipeline.vocabulary import DrugCatalogue
from tests.features.conftest import MODALITIES, Seen

PERSON = "patient_id | birth_date | sex\n p1 | 1964-01-01 | female"


def facts_of(frame: pd.DataFrame, spec: FeatureSpec) -> pd.Series:
    return features.facts(frame.reset_index(drop=True), spec).loc["d1"]


@pytest.mark.parametrize(("measured_at", "fresh"), [("2024-02-25", True), ("2024-02-24", False)])
def test_a_laboratory_value_over_14_days_old_is_unknown_to_rules_but_not_to_the_model(
    seen: Seen, spec: FeatureSpec, measured_at: str, fresh: bool
) -> None:
    frame = seen(measurements=f"patient_id | code | value | measured_at\n p1 | anc | 0.9 | {measured_at}")
    facts = facts_of(frame, spec)

    assert frame.loc["d1", "anc"] == 0.9
    assert pd.notna(facts["anc"]) == fresh
    assert facts["anc_age_days"] == (14 if fresh else 15)


def test_scores_are_formed_anew_from_fresh_inputs(seen: Seen, spec: FeatureSpec) -> None:
    old = """
        patient_id | code       | value | measured_at
        p1         | creatinine | 1.0   | 2024-01-10
        p1         | ecog       | 2     | 2023-12-20
        p1         | charlson   | 2     | 2023-06-01
    """
    frame = seen(measurements=old, patients=PERSON)
    facts = facts_of(frame, spec)

    assert frame.loc["d1", "egfr"] == pytest.approx(65, abs=1.5)
    assert frame.loc["d1", "frail"] == 1.0
    assert pd.isna(facts["egfr"]) and pd.isna(facts["frail"])


def test_a_score_that_the_fresh_inputs_still_determine_stays(seen: Seen, spec: FeatureSpec) -> None:
    frame = seen(patients="patient_id | birth_date | sex\n p1 | 1940-01-01 | male")

    assert bool(facts_of(frame, spec)["frail"]) is True


def test_chronic_facts_and_cytogenetics_never_age(seen: Seen, spec: FeatureSpec) -> None:
    frame = seen(findings="patient_id | code | value | found_at\n p1 | del17p | present | 2010-01-01")

    assert bool(facts_of(frame, spec)["del17p"]) is True


def test_with_nothing_on_record_every_fact_but_time_and_bounds_is_unknown(seen: Seen, spec: FeatureSpec) -> None:
    facts = facts_of(seen(), spec)
    known = {name for name in facts.index if pd.notna(facts[name])}

    assert known == {"patient_id", "decision_date", "site_id", "calendar_time", "r2_iss_lower", "r2_iss_upper"}


def test_facts_have_nullable_types(seen: Seen, spec: FeatureSpec) -> None:
    facts = features.facts(seen(patients=PERSON), spec)

    assert str(facts["pregnancy"].dtype) == "boolean"
    assert str(facts["creatinine"].dtype) == "Float64"
    assert str(facts["wait_days_car_t"].dtype) == "Float64"
    assert str(facts["sex"].dtype) == "str" and facts.loc["d1", "sex"] == "female"
    assert facts.index.name == "decision_id"


@pytest.mark.parametrize(
    ("ldh_uln", "above"),
    [("", None), ("p1 | ldh_uln | 250 | 2024-01-01", True), ("p1 | ldh_uln | 260 | 2024-01-01", False)],
)
def test_ldh_is_high_only_against_the_laboratorys_own_limit(
    seen: Seen, spec: FeatureSpec, ldh_uln: str, above: bool | None
) -> None:
    labs = f"""
        patient_id | code                | value | measured_at
        p1         | ldh                 | 260   | 2024-03-01
        p1         | beta2_microglobulin | 6.0   | 2024-03-01
        {ldh_uln}
    """
    absent = """
        patient_id | code   | value  | found_at
        p1         | del17p | absent | 2020-01-01
        p1         | t4_14  | absent | 2020-01-01
        p1         | t14_16 | absent | 2020-01-01
    """
    row = seen(measurements=labs, findings=absent).loc["d1"]

    assert row["iss"] == 3
    expected = {True: 3.0, False: 2.0, None: np.nan}[above]
    np.testing.assert_equal(row["r_iss"], expected)


def test_weights_can_show_weight_loss_but_never_rule_it_out(seen: Seen, spec: FeatureSpec) -> None:
    labs = """
        patient_id | code   | value | measured_at
        p1         | weight | 80    | 2023-12-01
        p1         | weight | {now} | 2024-03-01
    """
    states = [seen(measurements=labs.format(now=now)).loc["d1", "weight_loss"] for now in (71.9, 72.1)]
    said = "patient_id | code | value | found_at\n p1 | weight_loss | absent | 2024-03-01"

    np.testing.assert_array_equal(states, [1.0, np.nan])
    assert seen(findings=said).loc["d1", "weight_loss"] == 0.0


def test_the_catalogue_names_every_fact_that_rules_may_read(spec: FeatureSpec, drugs: DrugCatalogue) -> None:
    catalogue = features.catalogue(spec, drugs, MODALITIES)

    assert catalogue["pregnancy"].type == "boolean" and catalogue["pregnancy"].max_age_days == 30
    assert catalogue["lvef"].unit == "%" and catalogue["lvef"].obtain == "Order an echocardiogram"
    assert catalogue["sex"].levels == ("female", "male", "unknown")
    assert catalogue["anc_age_days"].type == "number"
    assert "teclistamab" in catalogue["exposed_bcma_target"].meaning
    assert "wait_days_car_t" in catalogue and "wait_days" not in catalogue
    assert "log2_easix" not in catalogue
