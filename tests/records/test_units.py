"""Units are converted or the row is set aside; they are never guessed."""

from __future__ import annotations

import pytest

from pipeline.records.codes import unit_key
from tests.drawn import drawn


def measured(read, code, value, unit):
    connection, report = read(
        measurements=drawn(f"""
            patient_id | code   | value   | unit   | measured_at
            p1         | {code} | {value} | {unit} | 2019-01-01
        """)
    )
    kept = connection.execute("SELECT value, unit, raw_value, raw_unit FROM measurements").fetchall()
    aside = connection.execute("SELECT reason FROM measurements_set_aside").fetchall()
    return kept, [row[0] for row in aside], report


@pytest.mark.parametrize(
    "code, value, unit, canonical, canonical_unit",
    [
        ("hemoglobin", 125, "g/L", 12.5, "g/dL"),
        ("hemoglobin", 12.5, "g/dL", 12.5, "g/dL"),
        ("albumin", 40, "g/L", 4.0, "g/dL"),
        ("creatinine", 88.4, "umol/L", 1.0, "mg/dL"),
        ("creatinine", 88.4, "µmol/L", 1.0, "mg/dL"),
        ("creatinine", 88.4, "\u03bcmol/l", 1.0, "mg/dL"),
        ("bilirubin", 17.1, "umol/L", 1.0, "mg/dL"),
        ("calcium", 2.5, "mmol/L", 10.02, "mg/dL"),
        ("crp", 1.2, "mg/dL", 12.0, "mg/L"),
        ("flc_kappa", 1.2, "mg/dL", 12.0, "mg/L"),
        ("flc_lambda", 12, "mg/L", 12.0, "mg/L"),
        ("beta2_microglobulin", 0.55, "mg/dL", 5.5, "mg/L"),
        ("igg", 8, "g/L", 800.0, "mg/dL"),
        ("m_protein_serum", 31, "g/L", 3.1, "g/dL"),
        ("m_protein_urine_24h", 1.5, "g/24h", 1500.0, "mg"),
        ("ferritin", 300, "ug/L", 300.0, "ng/mL"),
        ("platelets", 150, "K/uL", 150.0, "10^9/L"),
        ("platelets", 150, "10*3/uL", 150.0, "10^9/L"),
        ("platelets", 150, "x10E9/L", 150.0, "10^9/L"),
        ("platelets", 150000, "/uL", 150.0, "10^9/L"),
        ("height", 1.7, "m", 170.0, "cm"),
        ("ldh", 200, "IU/L", 200.0, "U/L"),
    ],
)
def test_an_accepted_unit_is_converted_to_the_canonical_one(read, code, value, unit, canonical, canonical_unit):
    kept, aside, report = measured(read, code, value, unit)

    assert aside == []
    assert kept[0][0] == pytest.approx(canonical, rel=1e-12)
    assert kept[0][1] == canonical_unit
    assert kept[0][2:] == (value, unit)
    assert report.passed


@pytest.mark.parametrize("code", ["crp", "flc_kappa", "flc_lambda", "calcium", "m_protein_serum"])
def test_a_code_with_a_tenfold_trap_is_never_read_without_a_unit(read, code):
    kept, aside, report = measured(read, code, 9, "")

    assert (kept, aside) == ([], ["missing_unit"])
    told = [found.message for found in report.findings if found.rule == "missing_unit"]
    assert told[0].startswith(
        f"measurements.unit: 1 of 1 rows (row 1) have no unit, and {code} is never read without one"
    )


def test_elsewhere_an_empty_unit_is_canonical_and_counted(read):
    kept, aside, report = measured(read, "hemoglobin", 11, "")

    assert (kept, aside) == ([(11.0, "g/dL", 11.0, None)], [])
    assert [(found.severity, found.count) for found in report.findings if found.rule == "unit_assumed"] == [("info", 1)]


def test_a_score_without_a_unit_is_nothing_to_note(read):
    kept, _, report = measured(read, "ecog", 1, "")

    assert kept[0][0] == 1.0
    assert [found for found in report.findings if found.rule == "unit_assumed"] == []


def test_an_unknown_unit_is_set_aside_counted_and_told_without_the_unit(read):
    kept, aside, report = measured(read, "creatinine", 1.1, "stone")

    assert (kept, aside) == ([], ["unknown_unit"])
    assert report.passed
    assert [found.message for found in report.findings if found.rule == "unknown_unit"] == [
        "measurements.unit: 1 of 1 rows (row 1) have a unit that creatinine is not read in; they are set aside. "
        "Wanted mg/dL or umol/L; map local spellings in the source."
    ]


def test_a_unit_of_another_code_is_not_borrowed(read):
    assert measured(read, "platelets", 150, "g/L")[1] == ["unknown_unit"]


@pytest.mark.parametrize(
    "value, unit, reason",
    [
        (3.99, "g/dL", ["implausible"]),
        (4, "g/dL", []),
        (20, "g/dL", []),
        (20.01, "g/dL", ["implausible"]),
        (200, "g/L", []),
        (200.1, "g/L", ["implausible"]),
        (125, "g/dL", ["implausible"]),
        (125, "", ["implausible"]),
    ],
)
def test_a_value_outside_its_plausible_range_is_set_aside(read, value, unit, reason):
    kept, aside, report = measured(read, "hemoglobin", value, unit)

    assert aside == reason
    assert len(kept) == 1 - len(reason)
    if reason:
        told = next(found.message for found in report.findings if found.rule == "implausible")
        assert told == (
            "measurements.value: 1 of 1 rows (row 1) of hemoglobin lie outside 4 to 20 g/dL; they are set aside. "
            "Check the unit first."
        )


def test_an_unknown_code_is_set_aside_and_counted_in_the_attrition(read):
    kept, aside, report = measured(read, "vibes", 7, "g/dL")

    assert (kept, aside) == ([], ["unknown_code"])
    step = next(step for step in report.attrition if step.step == "measurements: set aside")
    assert (step.rows_in, step.rows_out) == (1, 0)


@pytest.mark.parametrize(
    "spelling, key",
    [
        ("x10E9/L", "10^9/l"),
        ("×10^9/L", "10^9/l"),
        ("10*9 / L", "10^9/l"),
        ("10**3/µL", "10^3/ul"),
        ("mg/dL", "mg/dl"),
    ],
)
def test_spellings_of_one_unit_have_one_key_in_python_and_in_sql(read, spelling, key):
    from pipeline.records.codes import _unit_key_sql

    connection = read.connection({})
    assert unit_key(spelling) == key
    assert connection.execute(f"SELECT {_unit_key_sql('$1')}", [spelling]).fetchall() == [(key,)]


def test_every_code_has_a_unit_a_range_and_a_meaning(contract):
    for name, code in contract["measurements"].codes.items():
        assert code.unit, name
        assert code.bounds is not None and code.bounds[0] < code.bounds[1], name
        assert code.meaning, name
