"""The shipped rules as the evidence has them: one line per rule, read against the candidate rules of the evidence base.

Whom a rule covers, what it does, whether a clinician may set it aside, and what an unknown does; not the condition,
which the examples, the boundaries and the gallery hold. `recalled` evidence is never active.
"""

from __future__ import annotations

import datetime

from pipeline.guardrails import rules_table
from tests.drawn import drawn
from tests.guardrails.shipped import MODALITIES, PRODUCTS, RULES

TABLE = """
    rule | status | evidence | where | effect              | unknown         | covers
    g01  | active | verified | us    | block (overridable) | indeterminate   | product cilta_cel
    g02  | active | verified | us    | block (overridable) | indeterminate   | product ide_cel
    g03  | active | verified | us    | block (overridable) | indeterminate   | product teclistamab
    g04  | active | verified | us    | block (overridable) | indeterminate   | product teclistamab_daratumumab
    g05  | active | verified | any   | caution             | caution         | product teclistamab_daratumumab
    g06  | active | verified | any   | caution             | action_required | product teclistamab_daratumumab
    g07  | active | verified | us    | block (overridable) | indeterminate   | product elranatamab talquetamab linvoseltamab
    g08a | active | verified | eu    | block (overridable) | indeterminate   | product teclistamab elranatamab talquetamab
    g08b | draft  | recalled | eu    | block (overridable) | indeterminate   | product linvoseltamab
    g09  | active | verified | us    | block (overridable) | indeterminate   | product belantamab_bvd
    g10  | active | verified | us    | block (overridable) | indeterminate   | product belantamab_bpd
    g11  | active | verified | eu    | block (overridable) | indeterminate   | product belantamab_bpd
    g12a | active | verified | us    | block               | indeterminate   | product cilta_cel ide_cel teclistamab teclistamab_daratumumab elranatamab talquetamab linvoseltamab belantamab_bvd
    g12b | active | verified | eu    | block               | indeterminate   | product teclistamab teclistamab_daratumumab elranatamab talquetamab belantamab_bvd belantamab_bpd
    g13a | active | verified | any   | block               | indeterminate   | safety_class t_cell_redirecting
    g13b | active | verified | any   | caution             | action_required | agent belantamab_mafodotin
    g14  | active | verified | any   | block               | indeterminate   | safety_class car_t
    g15  | active | verified | any   | action_required     | action_required | safety_class t_cell_redirecting
    g16  | active | verified | any   | action_required     | action_required | safety_class t_cell_redirecting
    g17  | active | verified | any   | action_required     | action_required | safety_class car_t
    g18  | active | verified | any   | action_required     | action_required | safety_class car_t
    g19a | active | verified | any   | block (overridable) | indeterminate   | everything
    g19b | active | design   | any   | action_required     | action_required | everything
    g20a | active | verified | any   | action_required     | caution         | safety_class bispecific
    g20b | draft  | recalled | any   | action_required     | caution         | safety_class car_t
    g21  | active | verified | any   | block (overridable) | indeterminate   | safety_class car_t
    g22  | active | verified | any   | caution             | action_required | safety_class car_t
    g23  | active | verified | any   | caution             | caution         | safety_class bispecific
    g24a | draft  | recalled | any   | caution             | action_required | safety_class car_t
    g24b | draft  | recalled | any   | block (overridable) | indeterminate   | safety_class car_t
    g25  | active | verified | any   | action_required     | action_required | safety_class car_t
    g26  | draft  | recalled | any   | action_required     | action_required | safety_class car_t
    g27  | draft  | recalled | any   | caution             | action_required | safety_class car_t
    g28a | draft  | recalled | any   | caution             | action_required | safety_class car_t
    g28b | draft  | recalled | any   | action_required     | action_required | safety_class car_t
    g29  | draft  | verified | any   | caution             | caution         | safety_class car_t
    g30  | active | verified | any   | caution             | action_required | safety_class car_t; target bcma
    g31  | active | verified | any   | caution             | action_required | safety_class car_t; target bcma
    g32  | active | verified | any   | caution             | action_required | safety_class bispecific; target bcma
    g33  | active | verified | any   | caution             | action_required | target bcma
    g34  | draft  | recalled | any   | caution             | caution         | safety_class car_t
    g35  | active | verified | any   | action_required     | action_required | safety_class t_cell_redirecting
    g36a | active | design   | any   | caution             | caution         | safety_class car_t
    g36b | active | design   | any   | action_required     | action_required | safety_class car_t
    g37  | active | verified | any   | action_required     | action_required | safety_class car_t
    g38  | active | verified | any   | action_required     | action_required | safety_class bispecific
    g39  | active | verified | any   | action_required     | action_required | safety_class bispecific
    g40  | active | design   | any   | caution             | caution         | product talquetamab
    g41  | active | verified | any   | block (overridable) | indeterminate   | agent belantamab_mafodotin
    g42  | active | verified | any   | action_required     | action_required | agent belantamab_mafodotin
    g43a | active | verified | any   | caution             | caution         | agent belantamab_mafodotin
    g43b | draft  | recalled | any   | caution             | caution         | agent belantamab_mafodotin
    g44a | active | verified | any   | block (overridable) | indeterminate   | product belantamab_bvd
    g44b | draft  | recalled | any   | block (overridable) | indeterminate   | product belantamab_bvd
    g44c | active | verified | any   | caution             | action_required | agent bortezomib
    g45  | active | design   | any   | caution             | action_required | agent belantamab_mafodotin
    g46  | active | verified | any   | caution             | action_required | product cilta_cel
    g47a | draft  | recalled | any   | block (overridable) | indeterminate   | safety_class car_t
    g47b | active | verified | any   | action_required     | action_required | safety_class car_t
    g47c | draft  | recalled | any   | caution             | action_required | safety_class bispecific
    g48a | active | verified | any   | caution             | caution         | everything
    g48b | draft  | recalled | any   | caution             | caution         | everything
    g49b | active | verified | any   | caution             | action_required | safety_class t_cell_redirecting
    g50  | active | design   | any   | action_required     | action_required | everything
    g52  | active | design   | any   | action_required     | caution         | everything
    p01  | active | verified | any   | block               | indeterminate   | safety_class cereblon_binder
    p02  | active | verified | any   | block (overridable) | indeterminate   | product dara_pom_dex dara_bort_dex
    p03  | active | verified | any   | block (overridable) | indeterminate   | product dara_bort_dex
    p04  | draft  | recalled | any   | block (overridable) | indeterminate   | product pom_bort_dex sel_bort_dex
    p05  | draft  | recalled | any   | block (overridable) | indeterminate   | product dara_carf_dex dara_len_dex isa_pom_dex isa_carf_dex
    p06  | draft  | recalled | any   | block (overridable) | indeterminate   | product dara_len_dex
    p07  | draft  | recalled | any   | block (overridable) | indeterminate   | product dara_pom_dex isa_pom_dex pom_bort_dex elo_pom_dex
    p08  | draft  | recalled | any   | block (overridable) | indeterminate   | product dara_carf_dex isa_carf_dex
    p09  | draft  | recalled | any   | block (overridable) | indeterminate   | product sel_bort_dex
    p10  | draft  | recalled | any   | block (overridable) | indeterminate   | product elo_pom_dex
    p11  | active | verified | any   | caution             | caution         | agent carfilzomib
    p12  | draft  | recalled | any   | caution             | action_required | agent carfilzomib
"""  # noqa: E501


def test_every_rule_covers_does_and_allows_what_the_evidence_says():
    shown = []
    for rule in RULES.rules:
        lists = [f"{name} {' '.join(word.replace(' ', '_') for word in words)}" for name, words in rule.applies_to.lists().items()]  # fmt: skip  # noqa: E501
        effect = rule.effect + (" (overridable)" if rule.overridable else "")
        row = [rule.id.split("-")[0], rule.status, rule.evidence, rule.jurisdiction, effect, rule.when_unknown]
        shown.append([*row, "; ".join(lists) or "everything"])

    assert shown == drawn(TABLE).to_numpy().tolist()


LABELS = """
    product                 | where | status       | lines | exposed to                                | refractory to | progression | evidence
    ------------------------+-------+--------------+-------+-------------------------------------------+---------------+-------------+---------
    cilta_cel               | us    | approved     | 1     | proteasome_inhibitor imid                 | lenalidomide  |             | verified
    cilta_cel               | eu    | approved     | 1     | proteasome_inhibitor imid                 | lenalidomide  | last line   | recalled
    ide_cel                 | us    | approved     | 2     | proteasome_inhibitor imid anti_cd38       |               |             | verified
    ide_cel                 | eu    | approved     | 2     | proteasome_inhibitor imid anti_cd38       |               | last line   | recalled
    teclistamab             | us    | approved     | 4     | proteasome_inhibitor imid anti_cd38       |               |             | verified
    teclistamab             | eu    | approved     | 3     | proteasome_inhibitor imid anti_cd38       |               | last line   | verified
    teclistamab_daratumumab | us    | approved     | 1     | proteasome_inhibitor imid                 |               |             | verified
    teclistamab_daratumumab | eu    | not_approved |       |                                           |               |             | verified
    elranatamab             | us    | accelerated  | 4     | proteasome_inhibitor imid anti_cd38       |               |             | verified
    elranatamab             | eu    | approved     | 3     | proteasome_inhibitor imid anti_cd38       |               | last line   | verified
    talquetamab             | us    | accelerated  | 4     | proteasome_inhibitor imid anti_cd38       |               |             | verified
    talquetamab             | eu    | approved     | 3     | proteasome_inhibitor imid anti_cd38       |               | last line   | verified
    linvoseltamab           | us    | accelerated  | 4     | proteasome_inhibitor imid anti_cd38       |               |             | verified
    linvoseltamab           | eu    | conditional  | 3     | proteasome_inhibitor imid anti_cd38       |               | last line   | recalled
    belantamab_bvd          | us    | approved     | 2     | proteasome_inhibitor imid                 |               |             | verified
    belantamab_bvd          | eu    | approved     | 1     |                                           |               |             | verified
    belantamab_bpd          | us    | not_approved |       |                                           |               |             | verified
    belantamab_bpd          | eu    | approved     | 1     | imid                                      |               |             | verified
"""  # noqa: E501


def test_the_labels_are_those_of_the_evidence():
    drawn_labels = drawn(LABELS).fillna("")
    products = {product.id: product for product in PRODUCTS}
    shown = []
    for row in drawn_labels.itertuples(index=False):
        label = products[row[0]].labels[row[1]]
        lines = "" if label.min_prior_lines is None else str(label.min_prior_lines)
        progression = "last line" if label.requires_progression_on_last_line else ""
        exposed, refractory = " ".join(label.classes_exposed), " ".join(label.refractory_to)
        shown.append([*row[:2], label.approval_status, lines, exposed, refractory, progression, label.evidence])

    assert shown == drawn_labels.to_numpy().tolist()
    assert len(shown) == sum(len(product.labels) for product in PRODUCTS)


def test_every_rule_covers_a_product_that_is_offered():
    offered = [product for product in PRODUCTS if product.modality in {modality.id for modality in MODALITIES}]
    assert [rule.id for rule in RULES.rules if not any(rule.applies_to.covers(product) for product in offered)] == []


def test_every_rule_judges_decisions_of_any_year():
    """A shipped rule that begins later would leave retrospective decisions unjudged; 2000 is before CAR T-cells."""
    assert {rule.effective_from for rule in RULES.rules} == {datetime.date(2000, 1, 1)}


def test_the_listed_table_says_of_a_rule_what_its_file_says():
    row = next(row for row in rules_table(RULES) if row["id"] == "g21-car-t-ecog-3-or-worse")

    assert " ".join(row) == (
        "id title status effect applies_to jurisdiction when when_unknown overridable evidence source"
    )
    assert [row[name] for name in ("status", "effect", "jurisdiction", "when_unknown", "overridable", "evidence")] == [
        "active",
        "block",
        "any",
        "indeterminate",
        "yes",
        "verified",
    ]
