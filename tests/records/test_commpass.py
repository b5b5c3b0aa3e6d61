"""Real records flow: CoMMpass, its two files as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.declared import parse_yaml
from pipeline.records import missingness, parse_source, raise_on_errors, standardise, summary

ROOT = Path(__file__).parents[2]
EXTRACT = ROOT.parent / "shared" / "data" / "commpass"
SOURCE = ROOT / "configs" / "sources" / "gdc_commpass.yaml"

pytestmark = [
    pytest.mark.commpass,
    pytest.mark.skipif(not EXTRACT.exists(), reason="the CoMMpass extract is not beside the repository"),
]


@pytest.fixture(scope="module")
def mapping():
    return parse_yaml(SOURCE.read_text("utf-8"), SOURCE.name)


@pytest.fixture(scope="module")
def commpass(contract, mapping):
    from pipeline.store import open_records

    connection = open_records(EXTRACT)
    report = standardise(connection, contract, parse_source(mapping, SOURCE.name, contract))
    yield connection, report
    connection.close()


def arms(connection):
    return dict(connection.execute("SELECT modality, count(*) FROM decisions GROUP BY modality").fetchall())


def test_the_extract_keeps_the_contract(commpass):
    _, report = commpass

    raise_on_errors(report)
    assert report.calendar is False
    assert report.simulated is False
    assert report.has_progression is False
    assert {name: count for name, count in report.rows.items() if count} == {
        "patients": 705,
        "lines": 922,
        "drugs": 4304,
        "findings": 683,
        "decisions": 274,
        "events": 1111,
    }


def test_relapse_decisions_fall_into_five_arms(commpass):
    assert arms(commpass[0]) == {
        "anti_cd38_or_slamf7": 38,
        "carfilzomib": 63,
        "proteasome_inhibitor": 59,
        "imid": 79,
        "other": 35,
    }


def test_counting_a_lines_later_drugs_would_move_decisions_between_arms(contract, mapping):
    from pipeline.store import open_records

    *others, deciding = mapping["derive"]
    whole = {**mapping, "derive": [*others, {**deciding, "drugs_within_days": None}]}
    connection = open_records(EXTRACT)
    standardise(connection, contract, parse_source(whole, SOURCE.name, contract))

    assert arms(connection) == {
        "anti_cd38_or_slamf7": 47,
        "carfilzomib": 69,
        "proteasome_inhibitor": 60,
        "imid": 70,
        "other": 28,
    }
    connection.close()


def test_what_is_dropped_and_repaired_is_counted_and_named(commpass):
    _, report = commpass

    steps = {(step.step, step.reason): step.rows_in - step.rows_out for step in report.attrition}
    assert steps["drugs from treatments", "no start day"] == 753
    assert steps["findings from cases", "stage recorded as unknown"] == 22
    assert steps["events from cases", "last follow-up before diagnosis"] == 1
    assert steps["drugs: drugs_until_death", "start after death"] == 0
    assert (
        steps[
            "lines: same day",
            "lines of one patient that start on the same day are one choice; the lower number is kept",
        ]
        == 1
    )
    counts = {(found.table, found.rule): found.count for found in report.findings}
    assert counts["events", "repaired"] == 52
    assert counts["drugs", "repaired"] == 390
    assert ("lines", "line_order") not in counts


def test_no_one_is_in_contact_before_a_dose_and_no_one_is_treated_after_death(commpass):
    connection, _ = commpass

    query = """
        SELECT count(*) FROM drugs JOIN events USING (patient_id)
        WHERE event IN ('last_contact', 'death') AND event_date < start_date
    """
    assert connection.execute(query).fetchall() == [(0,)]


def test_every_drug_and_transplant_has_a_generic_name(commpass):
    connection, _ = commpass

    names = {row[0] for row in connection.execute("SELECT DISTINCT drug FROM drugs").fetchall()}
    assert {"autologous_transplant", "allogeneic_transplant", "carmustine", "other"} <= names
    assert len(names) == 21
    assert all(name == name.lower() for name in names)


def test_the_summary_holds_counts_and_no_patient(commpass, contract):
    connection, report = commpass

    account = summary(report, missingness(connection, contract))
    assert account["passed"] is True
    stage = [row for row in account["missingness"] if row["code"] == "iss_stage" and row["modality"] == "all"]
    assert (stage[0]["decisions"], stage[0]["known"]) == (274, 262)
    assert "MMRF_" not in str(account)
