"""Who lacks support is told as a rule about facts, and what they would be given has no value."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from pipeline.config import LearnerConfig
from pipeline.evaluate.league import Arms, league, logged_of
from pipeline.evaluate.overlap import overlap
from pipeline.evaluate.policies import MODEL, Setting, policies
from pipeline.evaluate.support import Region, lacking, region
from tests.learners.worlds import ARMS, QUICK, WEIGHTS, World, ranker, world

MEANINGS = {"age": "Age", "near_centre": "Lives near the centre", "ecog": "Performance status", "sex": "Sex"}
FLOOR = 0.03


def table(n: int = 600, seed: int = 1) -> pd.DataFrame:
    """Return people with an age, a yes-or-no fact that some lack, and a category."""
    rng = np.random.default_rng(seed)
    near = np.where(rng.random(n) < 0.2, np.nan, (rng.random(n) < 0.5).astype(float))
    return pd.DataFrame(
        {
            "age": rng.normal(68, 9, n),
            "near_centre": near,
            "ecog": rng.integers(0, 4, n).astype(float),
            "sex": pd.Categorical(np.where(rng.random(n) < 0.5, "female", "male")),
        }
    )


def test_the_region_is_named_by_the_facts_that_make_it() -> None:
    people = table()
    is_lacking = ((people["age"] > 76) & (people["near_centre"] == 0)).to_numpy()
    found = region(people, list(people), is_lacking, MEANINGS)

    assert found is not None
    age = re.search(r"Age over (\d+)", found.words)
    assert age is not None and 73 <= int(age.group(1)) <= 79  # edges are rounded twentieths of the ages
    assert "Lives near the centre" in found.words
    assert found.share == pytest.approx(is_lacking.mean(), abs=0.04)


@pytest.mark.parametrize(
    ("lacks", "words"),
    [
        (lambda t: t["sex"] == "male", "Sex: (male|not female)"),
        (lambda t: t["near_centre"].isna(), "Lives near the centre: not recorded"),
        (lambda t: t["near_centre"] == 1, "Lives near the centre: yes"),
        (lambda t: t["ecog"] >= 2, "Performance status over 1"),
    ],
)
def test_categories_gaps_and_grades_are_told_in_words(lacks: object, words: str) -> None:
    people = table()
    found = region(people, list(people), np.asarray(lacks(people), dtype=bool), MEANINGS)  # type: ignore[operator]

    assert found is not None and re.fullmatch(words, found.words)


@pytest.mark.parametrize(("count", "is_told"), [(10, False), (11, True)])
def test_fewer_than_eleven_people_are_never_described(count: int, is_told: bool) -> None:
    people = table()
    oldest = np.argsort(-people["age"].to_numpy())
    is_lacking = np.isin(np.arange(len(people)), oldest[:count])
    # Eleven people are much older than the others: a leaf of their own, in which ten or eleven lack support.
    people["age"] = np.where(np.isin(np.arange(len(people)), oldest[:11]), 95.0, people["age"].clip(upper=80))
    found = region(people, ["age"], is_lacking, MEANINGS)

    assert (found is not None) is is_told
    assert found is None or found.share * len(people) >= 11


def test_people_of_no_kind_are_not_forced_into_a_rule() -> None:
    people = table()
    is_lacking = np.random.default_rng(5).random(len(people)) < 0.1

    assert region(people, list(people), is_lacking, MEANINGS) is None


def test_no_threshold_is_a_persons_own_value() -> None:
    people = table()
    found = region(people, ["age"], (people["age"] > 71.3).to_numpy(), MEANINGS)

    assert found is not None
    edge = float(found.words.rsplit(" ", 1)[1])
    assert edge == round(edge) and edge not in set(people["age"])


def test_structural_zeros_are_not_called_unsupported() -> None:
    people = table()
    old = (people["age"] > 76).to_numpy()
    propensity = np.where(old[:, None], [0.0, 1.0], [0.5, 0.5])
    impossible = np.column_stack([old, np.zeros(len(old), dtype=bool)])
    nothing = np.zeros_like(impossible)

    given = np.where(old, 1, np.arange(len(old)) % 2)
    named = lacking(propensity, given, nothing, ("a", "b"), people, ["age"], FLOOR, MEANINGS)
    silent = lacking(propensity, given, impossible, ("a", "b"), people, ["age"], FLOOR, MEANINGS)

    assert named.regions["a"] is not None and named.regions["b"] is None
    assert silent.regions == {"a": None, "b": None} and not silent.cells.any()


@pytest.mark.parametrize(("people_old", "is_found"), [(151, False), (152, True)])
def test_a_smooth_propensity_does_not_hide_that_nobody_old_was_given_it(people_old: int, is_found: bool) -> None:
    # A rate of 3 % gives nobody among n with chance 0.97^n, which is under 1 % from n = 152 on.
    n = 600
    people = pd.DataFrame({"frail": (np.arange(n) < people_old).astype(float)})
    given = np.where(np.arange(n) < people_old, 1, np.arange(n) % 2)
    found = lacking(np.full((n, 2), 0.5), given, np.zeros((n, 2), dtype=bool), ("a", "b"), people, ["frail"], FLOOR, {})

    assert found.cells[:, 0].sum() == (people_old if is_found else 0)
    assert found.regions["a"] == (Region("frail: yes", people_old / n) if is_found else None)


def without(people: World, gone: np.ndarray) -> World:
    """Return the world without some people."""
    return World(people.features[~gone], people.modality[~gone], people.outcomes[~gone], people.truth[~gone])


@pytest.fixture(scope="module")
def never_car_t() -> tuple[World, Setting]:
    """Return a world in which CAR T, best where x1 is high, was never given to anybody with x1 over 0.7."""
    whole = world(2000, 31)
    high = (whole.features["x1"] > 0.7).to_numpy()
    people = without(whole, high & (whole.modality == "car_t").to_numpy())
    learner = LearnerConfig(**{**QUICK.model_dump(), "student_trees": 20, "student_rows": 1000})
    fitted = ranker(learner).fit(people.features, people.modality, people.outcomes)
    evidence = fitted.evidence_
    n = len(evidence.arm)
    setting = Setting(
        evidence=evidence,
        arms=ARMS,
        burden=np.zeros((n, 3)),
        signed=fitted._signed(WEIGHTS),
        is_impossible=np.zeros((n, 3), dtype=bool),
        features=people.features,
        matrix=fitted.model_.columns.matrix(people.features),
        categorical=fitted.model_.columns.categorical,
    )
    return people, setting


def test_where_an_arm_was_never_given_its_policies_have_no_value_and_the_region_is_named(
    never_car_t: tuple[World, Setting],
) -> None:
    people, setting = never_car_t
    evidence = setting.evidence
    meanings = {"x1": "Marker"}
    names = [f"x{k}" for k in range(6)]
    found_lacking = lacking(
        evidence.fold.propensity,
        evidence.arm,
        setting.is_impossible,
        ARMS,
        people.features,
        names,
        FLOOR,
        meanings,
    )
    rows = league(
        setting,
        logged_of(evidence, setting.burden, setting.signed, FLOOR, found_lacking.cells),
        policies(setting, QUICK),
        None,
        Arms(ARMS, ("Conjugate", "Bispecific", "CAR T"), found_lacking.regions),
        None,
    )
    found = {row["policy"]: row for row in rows}
    told = overlap(evidence, ARMS, {"car_t": "CAR T"}, found_lacking, FLOOR)

    # Of the people kept, about a fifth have x1 over 0.7 (standard normal: 24 %, less those given CAR T).
    assert found[MODEL]["value"] is None and found[MODEL]["snipw"] is None
    assert re.search(
        r"CAR T was practically never given where Marker over 0\.(6|7|8)\d?: (1[5-9]|2[0-5]) % of people",
        found[MODEL]["vetoed"],
    )
    assert found["clinicians"]["value"] is not None and found["clinicians"]["vetoed"] is None
    assert "CAR T was practically never given to" in told["words"] and "Marker over" in told["words"]
    assert next(row for row in told["arms"] if row["modality"] == "adc")["region"] is None
