"""The case gallery: ten situations, line by line as the evidence has them; every product and modality that matters.

Each picture gives a case, then one line per modality or product: its verdict, the rules that say so by the number they
have in the clinical evidence base (G..; P.. for standard triplets), and the missing facts that would settle it.
Whoever differs in nothing else is fit, in fourth relapse, exposed to all three classes and refractory to
lenalidomide (`FIT`).
"""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from pipeline.guardrails import apply_rules
from tests.drawn import drawn
from tests.guardrails.shipped import CATALOGUE, MODALITIES, PRODUCTS, RULES, days_of, facts_of_people

WORDS: dict[str, Any] = {"yes": True, "no": False, "unknown": None}

ECOG_1_LVEF_UNKNOWN_WITH_DRAFTS = """
    case: lvef unknown, ecog 1, drafts
    what               | verdict         | rules                 | missing
    -------------------+-----------------+-----------------------+--------
    car_t              | indeterminate   |                       |
    cilta_cel          | indeterminate   | g24b g24a             | lvef
    ide_cel            | indeterminate   | g24b g24a             | lvef
    bispecific         | clear           |                       |
    talquetamab        | clear           |                       |
    adc                | clear           |                       |
    belantamab_bvd     | clear           |                       |
    standard_triplet   | clear           |                       |
    dara_pom_dex       | clear           |                       |
    dara_carf_dex      | action_required | p12                   | lvef
    isa_carf_dex       | action_required | p12                   | lvef
    dara_len_dex       | blocked         | p06                   |
"""  # G24: LVEF < 45 % caution, < 40 % block; unknown: echo. Thresholds [R], so drafts.
ECOG_1_LVEF_UNKNOWN = """
    case: lvef unknown, ecog 1
    what               | verdict         | rules                 | missing
    car_t              | clear           |                       |
    cilta_cel          | clear           |                       |
    dara_carf_dex      | clear           |                       |
"""  # G24 waits for review and does not run
ECOG_3 = """
    case: ecog 3
    what               | verdict         | rules                 | missing
    car_t              | blocked         |                       |
    cilta_cel          | blocked         | g21                   |
    ide_cel            | blocked         | g21                   |
    bispecific         | caution         |                       |
    teclistamab        | caution         | g23                   |
    talquetamab        | caution         | g23                   |
    adc                | clear           |                       |
    standard_triplet   | clear           |                       |
"""  # G21: CAR T block (overridable) from 3; G22: caution at exactly 2, so silent; G23: bispecific caution from 3
ONE_PRIOR_LINE = """
    case: n_prior_lines 1, refractory_lenalidomide yes
    what                    | verdict    | rules                 | missing
    car_t                   | clear      |                       |
    cilta_cel               | clear      |                       |
    ide_cel                 | blocked    | g02                   |
    bispecific              | clear      |                       |
    teclistamab_daratumumab | clear      |                       |
    teclistamab             | blocked    | g03                   |
    elranatamab             | blocked    | g07                   |
    talquetamab             | blocked    | g07                   |
    linvoseltamab           | blocked    | g07                   |
    adc                     | blocked    |                       |
    belantamab_bvd          | blocked    | g09                   |
    belantamab_bpd          | blocked    | g10                   |
    standard_triplet        | clear      |                       |
"""  # G04: teclistamab with daratumumab from one prior line; G03, G07: monotherapy from four; G02: two; G09: two
DARATUMUMAB_REFRACTORY = """
    case: refractory_anti_cd38 yes
    what                    | verdict    | rules                 | missing
    standard_triplet        | clear      |                       |
    dara_pom_dex            | blocked    | p02                   |
    dara_bort_dex           | blocked    | p02                   |
    dara_carf_dex           | clear      |                       |
    pom_bort_dex            | clear      |                       |
    elo_pom_dex             | clear      |                       |
    bispecific              | clear      |                       |
    teclistamab_daratumumab | caution    | g05                   |
    teclistamab             | clear      |                       |
    car_t                   | clear      |                       |
"""  # P02: trials of the triplets excluded it; G05: MajesTEC-3 excluded it, caution only
DARATUMUMAB_REFRACTORY_WITH_DRAFTS = """
    case: refractory_anti_cd38 yes, drafts
    what                    | verdict    | rules                 | missing
    dara_carf_dex           | blocked    | p05                   |
    dara_len_dex            | blocked    | p05 p06               |
    isa_pom_dex             | blocked    | p05                   |
    isa_carf_dex            | blocked    | p05                   |
    standard_triplet        | clear      |                       |
    pom_bort_dex            | clear      |                       |
"""  # P05: the same of the other anti-CD38 triplets, recalled
BCMA_BISPECIFIC_FOUR_MONTHS_AGO = """
    case: exposed_bcma_target yes, exposed_bcma_bispecific yes, days_since_bcma_target 120
    what                    | verdict    | rules                 | missing
    car_t                   | caution    |                       |
    cilta_cel               | caution    | g30 g31               |
    ide_cel                 | caution    | g30 g31               |
    bispecific              | clear      |                       |
    teclistamab_daratumumab | caution    | g06                   |
    teclistamab             | clear      |                       |
    talquetamab             | clear      |                       |
    adc                     | clear      |                       |
"""  # G30: within 6 months; G31: any prior BCMA; G06: MajesTEC-3 excluded it; G32 needs a prior CAR T
BCMA_BISPECIFIC_THAT_FAILED_FOUR_MONTHS_AGO = """
    case: exposed_bcma_target yes, exposed_bcma_bispecific yes, days_since_bcma_target 120, refractory_bcma_target yes
    what                    | verdict    | rules                 | missing
    cilta_cel               | caution    | g30 g31 g33           |
    teclistamab             | caution    | g33                   |
    teclistamab_daratumumab | caution    | g06 g33               |
    talquetamab             | clear      |                       |
    belantamab_bvd          | caution    | g33                   |
"""  # G33: prefer another target, GPRC5D
BCMA_BISPECIFIC_AT_AN_UNKNOWN_DATE = """
    case: exposed_bcma_target yes, exposed_bcma_bispecific yes, refractory_bcma_target unknown
    what                    | verdict         | rules            | missing
    cilta_cel               | action_required | g30 g33 g31      | days_since_bcma_target refractory_bcma_target
    teclistamab             | action_required | g33              | refractory_bcma_target
    talquetamab             | clear           |                  |
"""  # G30, G33: unknown asks for action
CORNEAL_DISEASE_WITHOUT_EYE_EXAM = """
    case: corneal_disease yes, eye_exam no
    what                    | verdict    | rules                 | missing
    adc                     | blocked    |                       |
    belantamab_bvd          | blocked    | g41 g42               |
    belantamab_bpd          | blocked    | g10 g41 g42           |
    car_t                   | clear      |                       |
    bispecific              | clear      |                       |
    standard_triplet        | clear      |                       |
"""  # G41: DREAMM-7 exclusion, block (overridable); G42: boxed warning, exam first
EYES_NEVER_EXAMINED = """
    case: corneal_disease unknown, eye_exam unknown
    what                    | verdict       | rules              | missing
    adc                     | indeterminate |                    |
    belantamab_bvd          | indeterminate | g41 g42            | corneal_disease eye_exam
"""
LENALIDOMIDE_SENSITIVE_AFTER_ONE_LINE = """
    case: n_prior_lines 1, refractory_lenalidomide no
    what                    | verdict    | rules                 | missing
    car_t                   | blocked    |                       |
    cilta_cel               | blocked    | g01                   |
    ide_cel                 | blocked    | g02                   |
    bispecific              | clear      |                       |
    teclistamab_daratumumab | clear      |                       |
    adc                     | blocked    |                       |
    standard_triplet        | clear      |                       |
"""  # G01: refractory to lenalidomide is part of the label
ACTIVE_INFECTION = """
    case: active_infection yes
    what                    | verdict    | rules                 | missing
    car_t                   | blocked    |                       |
    cilta_cel               | blocked    | g13a                  |
    ide_cel                 | blocked    | g13a                  |
    bispecific              | blocked    |                       |
    teclistamab             | blocked    | g13a                  |
    teclistamab_daratumumab | blocked    | g13a                  |
    elranatamab             | blocked    | g13a                  |
    talquetamab             | blocked    | g13a                  |
    linvoseltamab           | blocked    | g13a                  |
    adc                     | caution    |                       |
    belantamab_bvd          | caution    | g13b                  |
    standard_triplet        | clear      |                       |
"""  # G13: block for CAR T and step-up dosing, caution for belantamab
INFECTION_NOT_LOOKED_FOR = """
    case: active_infection unknown
    what                    | verdict         | rules            | missing
    car_t                   | indeterminate   |                  |
    cilta_cel               | indeterminate   | g13a             | active_infection
    bispecific              | indeterminate   |                  |
    adc                     | action_required |                  |
    belantamab_bvd          | action_required | g13b             | active_infection
    standard_triplet        | clear           |                  |
"""
PREGNANCY_UNKNOWN = """
    case: age 35, sex female, childbearing_potential yes, pregnancy unknown
    what                    | verdict       | rules              | missing
    car_t                   | indeterminate |                    |
    cilta_cel               | indeterminate | g19a               | pregnancy
    bispecific              | indeterminate |                    |
    talquetamab             | indeterminate | g19a               | pregnancy
    adc                     | indeterminate |                    |
    belantamab_bvd          | indeterminate | g19a               | pregnancy
    standard_triplet        | indeterminate |                    |
    dara_carf_dex           | indeterminate | g19a               | pregnancy
    dara_pom_dex            | indeterminate | g19a p01           | pregnancy
    dara_len_dex            | indeterminate | g19a p01           | pregnancy
"""  # G19: block if pregnant; of child-bearing potential and untested: test. P01: IMiDs, not to be overridden
US_THREE_LINES = """
    case: n_prior_lines 3
    what                    | verdict    | rules                 | missing
    car_t                   | clear      |                       |
    bispecific              | clear      |                       |
    teclistamab_daratumumab | clear      |                       |
    teclistamab             | blocked    | g03                   |
    elranatamab             | blocked    | g07                   |
    talquetamab             | blocked    | g07                   |
    linvoseltamab           | blocked    | g07                   |
    adc                     | clear      |                       |
    belantamab_bvd          | clear      |                       |
    belantamab_bpd          | blocked    | g10                   |
"""  # US: monotherapy from 4 lines; the combination is labelled; BPd is not
EU_THREE_LINES = """
    case: n_prior_lines 3, eu
    what                    | verdict    | rules                 | missing
    car_t                   | clear      |                       |
    bispecific              | clear      |                       |
    teclistamab_daratumumab | blocked    | g12b                  |
    teclistamab             | clear      |                       |
    elranatamab             | clear      |                       |
    talquetamab             | clear      |                       |
    linvoseltamab           | clear      |                       |
    adc                     | clear      |                       |
    belantamab_bvd          | clear      |                       |
    belantamab_bpd          | clear      |                       |
"""  # EU, G08: from 3 lines; the combination has an opinion but no decision (G12); G11: BPd after lenalidomide
EU_TWO_LINES_NO_PROGRESSION = """
    case: n_prior_lines 2, progression_on_last_line no, progression_documented no, exposed_lenalidomide no, eu
    what                    | verdict    | rules                 | missing
    bispecific              | clear      |                       |
    teclistamab             | blocked    | g08a                  |
    elranatamab             | blocked    | g08a                  |
    talquetamab             | blocked    | g08a                  |
    linvoseltamab           | clear      |                       |
    adc                     | clear      |                       |
    belantamab_bvd          | clear      |                       |
    belantamab_bpd          | blocked    | g11                   |
"""  # linvoseltamab's EU label is recalled: G08b is a draft
EU_TWO_LINES_WITH_DRAFTS = """
    case: n_prior_lines 2, eu, drafts
    what                    | verdict    | rules                 | missing
    bispecific              | blocked    |                       |
    linvoseltamab           | blocked    | g08b                  |
"""
US_ONE_LINE_BELANTAMAB = """
    case: n_prior_lines 1
    what                    | verdict    | rules                 | missing
    adc                     | blocked    |                       |
    belantamab_bvd          | blocked    | g09                   |
"""  # US from 2 lines
EU_ONE_LINE_BELANTAMAB = """
    case: n_prior_lines 1, eu
    what                    | verdict    | rules                 | missing
    adc                     | clear      |                       |
    belantamab_bvd          | clear      |                       |
    belantamab_bpd          | clear      |                       |
"""  # EU from 1 line

CASES = {name: picture for name, picture in list(globals().items()) if name.isupper() and "case:" in str(picture)}


def read(picture: str) -> tuple[dict[str, Any], str, bool, pd.DataFrame]:
    """Return what a picture says: facts that differ from FIT, jurisdiction, whether drafts run, and the table."""
    first, rest = picture.strip().split("\n", 1)
    parts = [part.strip() for part in first.strip().removeprefix("case:").split(",")]
    facts = {}
    for name, _, value in (part.partition(" ") for part in parts if part not in ("eu", "drafts")):
        assert name in CATALOGUE
        facts[name] = WORDS[value] if value in WORDS else value if name == "sex" else float(value)
    return facts, "eu" if "eu" in parts else "us", "drafts" in parts, drawn(rest).fillna("")


@pytest.mark.parametrize("name", CASES)
def test_the_gallery(name):
    changed, jurisdiction, drafts, picture = read(CASES[name])
    facts = facts_of_people({"a": changed})
    verdicts = apply_rules(
        facts,
        RULES,
        PRODUCTS,
        MODALITIES,
        decision_dates=days_of(facts),
        jurisdiction=jurisdiction,
        include_drafts=drafts,
    )

    modalities = verdicts.modalities.set_index("modality")["verdict"]
    products = verdicts.products.set_index("product")["verdict"]
    for _, row in picture.iterrows():
        what = row["what"]
        assert {**modalities, **products}[what] == row["verdict"], what
        if what not in modalities:
            found = verdicts.findings[verdicts.findings["product"] == what]
            missing = dict.fromkeys(fact for facts_of_one in found["missing_facts"] for fact in facts_of_one)
            assert [rule.split("-")[0] for rule in found["rule_id"]] == row["rules"].split(), what
            assert list(missing) == row["missing"].split(), what


def test_the_gallery_shows_every_case_that_was_asked_for():
    assert len(CASES) == 21
    assert {read(picture)[1] for picture in CASES.values()} == {"us", "eu"}
