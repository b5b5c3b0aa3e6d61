"""What has this person had, and is the disease refractory to it: yes, no, or not known?"""

from __future__ import annotations

import math

import pandas as pd
import pytest

from tests.features.conftest import Seen


def truth(row: pd.Series, *names: str) -> tuple[bool | None, ...]:
    """Return truth values with None for unknown."""
    return tuple(None if math.isnan(row[name]) else bool(row[name]) for name in names)


def lines(*rows: str) -> str:
    head = "patient_id | line_number | start_date | end_date | best_response | end_reason | progression_date"
    return "\n".join([head, *(f"p1 | {row}" for row in rows)])


def courses(*rows: str) -> str:
    return "\n".join(["patient_id | drug | start_date | end_date | line_number", *(f"p1 | {row}" for row in rows)])


BORTEZOMIB = courses("bortezomib | 2022-01-01 | 2022-10-02 | 1")


@pytest.mark.parametrize(
    ("line", "refractory"),
    [
        ("1 | 2022-01-01 | 2022-10-02 | PR |             | 2022-12-01", True),  # day 60 after the last dose
        ("1 | 2022-01-01 | 2022-10-02 | PR |             | 2022-12-02", False),  # day 61
        ("1 | 2022-01-01 | 2022-10-02 | PR |             | 2022-05-01", True),  # on the drug
        ("1 | 2022-01-01 | 2022-10-02 | PR |             | 2022-01-01", True),  # on its first day
        ("1 | 2022-01-01 | 2022-10-02 | PR |             | 2021-12-31", False),  # before the drug
        ("1 | 2022-01-01 | 2022-10-02 | SD |             |           ", True),  # no response
        ("1 | 2022-01-01 | 2022-10-02 | PD |             |           ", True),
        ("1 | 2022-01-01 | 2022-10-02 | MR |             |           ", False),  # a response, no progression
        ("1 | 2022-01-01 | 2022-10-02 |    | progression |           ", True),  # the line ended by progression
        ("1 | 2022-01-01 | 2023-10-02 |    | progression |           ", False),  # a year after the last dose
        ("1 | 2022-01-01 | 2022-10-02 | NE | toxicity    |           ", None),  # neither response nor progression
        ("1 | 2022-01-01 | 2022-10-02 |    | completed   |           ", None),
        ("1 | 2022-01-01 |            | PD | progression |           ", None),  # response comes with the end
    ],
)
def test_refractory_is_no_response_or_progression_within_sixty_days(
    seen: Seen, line: str, refractory: bool | None
) -> None:
    row = seen(lines=lines(line), drugs=BORTEZOMIB).loc["d1"]

    assert truth(row, "refractory_bortezomib", "refractory_proteasome_inhibitor") == (refractory, refractory)
    assert truth(row, "exposed_bortezomib", "refractory_carfilzomib") == (True, False)


@pytest.mark.parametrize(
    ("visible", "refractory"),
    [("2024-03-09", True), ("2024-03-10", None)],
)
def test_progression_counts_from_the_day_after_it_became_visible(
    seen: Seen, visible: str, refractory: bool | None
) -> None:
    told = f"""
        patient_id | line_number | start_date | progression_date | progression_visible_at
        p1         | 1           | 2023-01-01 | 2024-02-01       | {visible}
    """
    row = seen(lines=told, drugs=courses("lenalidomide | 2023-01-01 | | 1")).loc["d1"]

    assert truth(row, "refractory_lenalidomide") == (refractory,)


@pytest.mark.parametrize(
    ("last_dose_visible", "refractory", "days"),
    [("2024-02-01", False, 200), ("2024-03-10", True, 0)],  # an end that is not visible: the course goes on
)
def test_a_course_with_an_invisible_end_goes_on(
    seen: Seen, last_dose_visible: str, refractory: bool, days: int
) -> None:
    told = f"""
        patient_id | drug        | start_date | end_date   | line_number | end_visible_at
        p1         | teclistamab | 2023-01-01 | 2023-08-23 | 1           | {last_dose_visible}
    """
    row = seen(lines=lines("1 | 2023-01-01 | | | | 2024-01-01"), drugs=told).loc["d1"]

    assert truth(row, "refractory_bcma_target", "refractory_bcma_bispecific") == (refractory, refractory)
    assert row["days_since_bcma_target"] == days


def test_an_open_course_lasts_no_longer_than_its_line(seen: Seen) -> None:
    told = lines("1 | 2015-01-01 | 2016-01-01 | VGPR | completed |", "2 | 2020-01-01 | 2021-01-01 | PD | progression |")
    row = seen(lines=told, drugs=courses("bortezomib | 2015-01-01 | | 1", "carfilzomib | 2020-01-01 | | 2")).loc["d1"]

    assert truth(row, "refractory_bortezomib", "refractory_carfilzomib") == (False, True)


@pytest.mark.parametrize(
    ("progression", "refractory"),
    [("2020-03-01", True), ("2020-03-02", None)],  # 60 and 61 days after the next start
)
def test_an_open_course_of_an_open_line_lasts_no_longer_than_the_next_lines_start(
    seen: Seen, progression: str, refractory: bool | None
) -> None:
    told = lines("1 | 2015-01-01 | | | |", f"2 | 2020-01-01 | | | | {progression}")
    row = seen(lines=told, drugs=courses("bortezomib | 2015-01-01 | | 1", "elotuzumab | 2020-01-01 | | 2")).loc["d1"]

    assert truth(row, "refractory_bortezomib", "refractory_elotuzumab") == (refractory, True)
    assert row["last_treatment_free_days"] == 0


def test_a_class_is_refractory_by_any_drug_and_unknown_before_false(seen: Seen) -> None:
    told = lines(
        "1 | 2015-01-01 | 2016-01-01 | VGPR | completed |",
        "2 | 2017-01-01 | 2018-01-01 | NE   | unknown   |",
        "3 | 2019-01-01 | 2020-01-01 | SD   | other     |",
    )
    had = courses(
        "bortezomib | 2015-01-01 | 2016-01-01 | 1",
        "carfilzomib | 2017-01-01 | 2018-01-01 | 2",
        "lenalidomide | 2017-01-01 | 2018-01-01 | 2",
        "pomalidomide | 2019-01-01 | 2020-01-01 | 3",
        "daratumumab | 2015-01-01 | 2016-01-01 | 1",
    )
    row = seen(lines=told, drugs=had).loc["d1"]

    assert truth(row, "refractory_bortezomib", "refractory_carfilzomib") == (False, None)
    assert truth(row, "refractory_proteasome_inhibitor", "refractory_imid", "refractory_anti_cd38") == (
        None,
        True,
        False,
    )
    assert truth(row, "triple_class_exposed", "triple_class_refractory", "penta_drug_refractory") == (
        True,
        False,
        False,
    )


def test_a_line_without_a_telling_drug_makes_the_rest_unknown_not_absent(seen: Seen) -> None:
    told = lines("1 | 2015-01-01 | 2016-01-01 | VGPR | completed |", "2 | 2020-01-01 | 2021-01-01 | PD | progression |")
    had = ["bortezomib | 2015-01-01 | 2016-01-01 | 1"]
    for alone in ("dexamethasone", "denosumab", "fludarabine", "other"):
        row = seen(lines=told, drugs=courses(*had, f"{alone} | 2020-01-01 | 2021-01-01 | 2")).loc["d1"]
        names = (
            "exposed_bortezomib",
            "exposed_imid",
            "refractory_imid",
            "refractory_bortezomib",
            "exposed_bcma_target",
        )
        assert truth(row, *names) == (True, None, None, None, None), alone
        assert math.isnan(row["n_prior_drugs"])
    row = seen(lines=told, drugs=courses(*had, "lenalidomide | 2020-01-01 | 2021-01-01 | 2")).loc["d1"]
    assert truth(row, "exposed_imid", "refractory_imid", "exposed_bcma_target") == (True, True, False)
    assert row["n_prior_drugs"] == 2


def test_a_drug_that_the_catalogue_does_not_know_documents_nothing(seen: Seen) -> None:
    told = lines("1 | 2020-01-01 | 2021-01-01 | PR | completed |")
    row = seen(lines=told, drugs=courses("newdrug | 2020-01-01 | 2021-01-01 | 1")).loc["d1"]

    assert truth(row, "exposed_imid", "refractory_imid") == (None, None)


def test_a_gap_in_line_numbers_is_an_undocumented_line(seen: Seen) -> None:
    told = lines("3 | 2020-01-01 | 2021-01-01 | PR | completed |")
    row = seen(lines=told, drugs=courses("pomalidomide | 2020-01-01 | 2021-01-01 | 3")).loc["d1"]

    assert truth(row, "exposed_imid", "exposed_proteasome_inhibitor") == (True, None)


def test_nothing_on_record_is_unknown_not_never(seen: Seen) -> None:
    row = seen().loc["d1"]

    names = (
        "exposed_imid",
        "refractory_imid",
        "exposed_bcma_target",
        "triple_class_exposed",
        "prior_autologous_transplant",
    )
    assert truth(row, *names) == (None,) * 5
    assert math.isnan(row["days_since_bcma_target"])


def test_a_course_without_a_line_number_belongs_to_the_line_of_its_dates(seen: Seen) -> None:
    told = lines("1 | 2015-01-01 | 2016-01-01 | SD | other |", "2 | 2020-01-01 | 2021-01-01 | PR | completed |")
    had = courses("bortezomib | 2015-01-01 | 2015-06-01 |", "lenalidomide | 2020-02-01 | 2021-01-01 |")
    row = seen(lines=told, drugs=had).loc["d1"]

    assert truth(row, "refractory_bortezomib", "refractory_lenalidomide") == (True, False)
    between = courses("bortezomib | 2015-01-01 | 2015-06-01 | 1", "lenalidomide | 2018-02-01 | 2018-03-01 |")
    row = seen(lines=told, drugs=between).loc["d1"]
    assert truth(row, "exposed_lenalidomide", "refractory_lenalidomide", "exposed_xpo1") == (True, None, None)


def test_drugs_of_the_chosen_line_are_not_seen(seen: Seen) -> None:
    told = lines("1 | 2020-01-01 | 2021-01-01 | PR | completed |", "2 | 2024-03-10 | | | |")
    had = courses("bortezomib | 2020-01-01 | 2021-01-01 | 1", "teclistamab | 2024-03-10 | | 2")
    row = seen(lines=told, drugs=had).loc["d1"]

    assert truth(row, "exposed_bcma_target", "exposed_bortezomib") == (False, True)


def test_a_single_infusion_has_its_last_dose_on_its_first_day(seen: Seen) -> None:
    told = lines("1 | 2020-01-01 | | | | 2023-06-01")
    had = courses("ciltacabtagene autoleucel | 2023-01-01 | | 1", "autologous_transplant | 2022-03-10 | 2022-04-10 | 1")
    row = seen(lines=told, drugs=had).loc["d1"]

    assert (row["days_since_bcma_car_t"], row["days_since_bcma_target"]) == (434, 434)
    assert truth(row, "refractory_bcma_car_t", "prior_autologous_transplant") == (False, True)
    assert row["days_since_high_dose_alkylator"] == 731
    assert row["last_treatment_free_days"] == 434


def test_washout_counts_steroids_and_the_treatment_free_interval_does_not(seen: Seen) -> None:
    told = lines("1 | 2020-01-01 | | | |")
    had = courses("lenalidomide | 2020-01-01 | 2023-03-11 | 1", "dexamethasone | 2024-03-01 | 2024-03-05 | 1")
    row = seen(lines=told, drugs=had).loc["d1"]

    assert (row["days_since_last_antimyeloma"], row["last_treatment_free_days"]) == (5, 365)


@pytest.mark.parametrize(
    ("next_start", "refractory"),
    [("2022-12-01", True), ("2022-12-02", False)],  # 60 and 61 days after the last dose
)
def test_under_the_other_definition_a_soon_next_line_is_refractory(
    seen: Seen, next_start: str, refractory: bool
) -> None:
    told = lines("1 | 2022-01-01 | 2022-10-02 | CR | completed |", f"2 | {next_start} | 2023-06-01 | CR | completed |")
    had = courses("bortezomib | 2022-01-01 | 2022-10-02 | 1", f"pomalidomide | {next_start} | 2023-06-01 | 2")
    row = seen("next_line", lines=told, drugs=had).loc["d1"]

    assert truth(row, "refractory_bortezomib", "refractory_pomalidomide", "refractory_bcl2") == (
        refractory,
        False,
        False,
    )


@pytest.mark.parametrize(("last_dose", "refractory"), [("2024-01-10", True), ("2024-01-09", False)])
def test_under_the_other_definition_this_decision_is_the_next_line(
    seen: Seen, last_dose: str, refractory: bool
) -> None:
    told = lines(f"1 | 2022-01-01 | {last_dose} | CR | completed |")
    row = seen("next_line", lines=told, drugs=courses(f"lenalidomide | 2022-01-01 | {last_dose} | 1")).loc["d1"]

    assert truth(row, "refractory_lenalidomide") == (refractory,)


def test_penta_drug_refractory_needs_two_two_and_one(seen: Seen) -> None:
    told = lines("1 | 2020-01-01 | 2021-01-01 | PD | progression |")
    five = ["bortezomib", "carfilzomib", "lenalidomide", "pomalidomide", "isatuximab"]
    rows = [f"{drug} | 2020-01-01 | 2021-01-01 | 1" for drug in five]

    assert truth(seen(lines=told, drugs=courses(*rows)).loc["d1"], "penta_drug_refractory") == (True,)
    for fewer in range(len(rows)):
        row = seen(lines=told, drugs=courses(*rows[:fewer], *rows[fewer + 1 :])).loc["d1"]
        assert truth(row, "penta_drug_refractory") == (False,), five[fewer]


def test_another_lines_progression_does_not_say_how_this_course_ended(seen: Seen) -> None:
    told = lines("1 | 2015-01-01 | 2016-01-01 | NE | unknown |", "2 | 2020-01-01 | | | | 2021-01-01")
    had = courses("bortezomib | 2015-01-01 | 2016-01-01 | 1", "lenalidomide | 2020-01-01 | | 2")
    row = seen(lines=told, drugs=had).loc["d1"]

    assert truth(row, "refractory_bortezomib", "refractory_lenalidomide") == (None, True)


FIRST = "functional_high_risk_line_18"


@pytest.mark.parametrize(
    ("progression", "states"),
    [
        ("2022-07-02", (True, True)),  # 547 days: within 18 months
        ("2022-07-03", (True, True)),  # 548 days
        ("2022-07-04", (False, True)),  # 549 days
        ("2023-01-01", (False, True)),  # 730 days
        ("2023-01-02", (False, False)),
        ("", (None, None)),
    ],
)
def test_early_progression_of_the_first_line(
    seen: Seen, progression: str, states: tuple[bool | None, bool | None]
) -> None:
    told = lines(f"1 | 2021-01-01 | | | | {progression}")
    row = seen(lines=told, drugs=courses("bortezomib | 2021-01-01 | | 1")).loc["d1"]

    assert truth(row, FIRST, "functional_high_risk_line_24") == states
    assert truth(row, "functional_high_risk_asct_12") == (False,)  # documented, and no transplant


@pytest.mark.parametrize(
    ("progression", "state"), [("2022-06-01", True), ("2022-06-02", False), ("2021-05-01", None), ("", None)]
)
def test_progression_within_a_year_of_the_transplant(seen: Seen, progression: str, state: bool | None) -> None:
    told = lines(f"1 | 2021-01-01 | | | | {progression}")
    had = courses("bortezomib | 2021-01-01 | | 1", "autologous_transplant | 2021-06-01 | | 1")

    assert truth(seen(lines=told, drugs=had).loc["d1"], "functional_high_risk_asct_12") == (state,)


def test_a_later_lines_progression_does_not_prove_a_long_first_remission(seen: Seen) -> None:
    told = lines("1 | 2015-01-01 | 2016-01-01 | | unknown |", "2 | 2019-01-01 | | | | 2020-01-01")
    row = seen(lines=told, drugs=courses("bortezomib | 2015-01-01 | | 1", "lenalidomide | 2019-01-01 | | 2")).loc["d1"]

    assert truth(row, FIRST) == (None,)
