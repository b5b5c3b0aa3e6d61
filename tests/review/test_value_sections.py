"""The league table says what each value rests on, and says so where there is none."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.review.blocks import Figure, Table, Words
from pipeline.review.value_sections import abstention_section, league_section
from tests.review.reading_back import drawings_in


def entry(policy: str, **more: Any) -> dict[str, Any]:
    """Return one row of a league table."""
    told = {
        "policy": policy,
        "label": policy.title(),
        "value": 0.2,
        "se": 0.01,
        "low": 0.18,
        "high": 0.22,
        "difference": 0.03,
        "difference_se": 0.01,
        "ahead_of_best_arm": 0.01,
        "ahead_of_best_arm_se": 0.02,
        "snipw": 0.21,
        "snipw_se": 0.02,
        "mass": 1.02,
        "effective_sample_size": 140.4,
        "largest_weight_share": 0.02,
        "clipped": 0,
        "modelled_share": 0.25,
        "disagree": False,
        "vetoed": None,
        "true_value": None,
        "true_regret": None,
        "note": "",
    }
    return told | more


def without_value(policy: str, reason: str) -> dict[str, Any]:
    """Return a row that was vetoed."""
    keys = ("value", "se", "low", "high", "difference", "difference_se", "ahead_of_best_arm", "snipw", "snipw_se")
    return entry(policy, vetoed=reason, **dict.fromkeys(keys))


def cells(table: Table, policy: str) -> dict[str, str]:
    """Return the row of a policy by column."""
    found = next(line for line in table.rows if line[0].text == policy)
    return {column.label: cell.text for column, cell in zip(table.columns, found, strict=True)}


def tables(evaluation: dict[str, Any]) -> tuple[Table, Table]:
    """Return the values, and what they rest on."""
    blocks = league_section(evaluation).blocks
    figure = next(block for block in blocks if isinstance(block, Figure))
    return figure.twin, next(block for block in blocks if isinstance(block, Table))


def test_a_policy_without_support_has_its_reason_in_place_of_a_number() -> None:
    reason = "CAR T rests on an effective sample of 12 people"
    evaluation = {"league": [entry("clinicians"), without_value("model", reason)]}
    values, rests_on = tables(evaluation)
    note = next(block for block in league_section(evaluation).blocks if isinstance(block, Words))

    assert cells(values, "Model")["Value (90 % interval)"] == "no value"
    assert next(line[0].detail for line in values.rows if line[0].text == "Model") == reason
    assert cells(rests_on, "Model")["Self-normalised (90 % interval)"] == "no value"
    assert note.tone == "note" and reason in note.text


@pytest.mark.parametrize(
    ("mass", "disagree", "words"),
    [
        (1.0, False, "agree"),
        (1.0, True, "! disagree"),
        (1.2, True, "! weights do not add up"),
        (0.9, True, "! disagree"),
    ],
)
def test_estimators_are_said_to_agree_or_not(mass: float, disagree: bool, words: str) -> None:
    _, rests_on = tables({"league": [entry("model", mass=mass, disagree=disagree)]})

    assert cells(rests_on, "Model")["Estimators"] == words


@pytest.mark.parametrize(("size", "shown"), [(10.9, "<11"), (11.0, "11"), (140.4, "140")])
def test_an_effective_sample_of_under_eleven_is_not_shown(size: float, shown: str) -> None:
    _, rests_on = tables({"league": [entry("model", effective_sample_size=size, clipped=7)]})

    assert cells(rests_on, "Model")["Effective sample"] == shown
    assert cells(rests_on, "Model")["Clipped"] == "<11"


def test_a_share_that_would_tell_of_under_eleven_people_is_a_bound() -> None:
    told = {"league": [entry("model", modelled_share=0.005)], "cohort": {"decisions": 1000}}
    _, rests_on = tables(told)

    assert cells(rests_on, "Model")["By outcome model alone"] == "under 2%"


def test_a_rule_that_does_not_apply_has_no_row_of_weights() -> None:
    nothing = dict.fromkeys(entry("x"))
    rule = nothing | {"policy": "published_rule", "label": "Rule", "note": "not applicable: it names celmod"}
    values, rests_on = tables({"league": [entry("model"), rule]})

    assert cells(values, "Rule")["Value (90 % interval)"] == "not applicable"
    assert [line[0].text for line in rests_on.rows] == ["Model"]


def test_the_curve_has_a_twin_with_every_point_and_draws_only_those_with_a_value() -> None:
    curve = [
        {"kept": k / 10, "value": 0.2, "se": 0.01, "difference": 0.01 * k, "difference_se": 0.005, "vetoed": None}
        for k in range(1, 10)
    ]
    curve.append({"kept": 1.0, "value": None, "se": None, "difference": None, "difference_se": None, "vetoed": "few"})
    figure = abstention_section({"abstention_curve": curve}).blocks[0]
    assert isinstance(figure, Figure)
    picture = drawings_in(str(figure.panels[0].picture))[0]

    assert [line[0].text for line in figure.twin.rows] == [f"{k}0%" for k in range(1, 11)]
    # 0.05 -/+ 1.645 x 0.005
    assert cells(figure.twin, "50%")["Against clinicians (90 % interval)"] == "+0.050 (0.042 to 0.058)"
    assert cells(figure.twin, "100%")["Value (90 % interval)"] == "no value"
    assert len(picture.findall(".//{*}circle")) == 9


@pytest.mark.parametrize("curve", [None, [], [{}], "words", [{"kept": None}]])
def test_a_run_without_a_curve_says_nothing_of_it(curve: Any) -> None:
    assert abstention_section({"abstention_curve": curve}).blocks == ()
