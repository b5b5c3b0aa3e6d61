"""Do the published scores agree with their published examples, and say when they cannot be computed?"""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import SchemaError
from pipeline.features import bounds, kleene, scores
from tests.drawn import drawn

ROMAN = {"I": 1.0, "II": 2.0, "III": 3.0, "IV": 4.0}
WORDS = {"yes": 1.0, "no": 0.0, "?": np.nan, "unknown": np.nan}


def truths(column: pd.Series) -> np.ndarray:
    return column.map(WORDS).to_numpy(dtype=np.float64)


def numbers(column: pd.Series) -> np.ndarray:
    return column.where(column != "?").astype(float).to_numpy(dtype=np.float64)


def stages(column: pd.Series) -> np.ndarray:
    return column.map(ROMAN).to_numpy(dtype=np.float64)


def stage(number: np.ndarray) -> bounds.Score:
    """Return ISS as a score from its stage alone."""
    return scores.iss(np.full(number.shape, np.nan), np.full(number.shape, np.nan), number)


def test_iss_agrees_with_its_examples_on_both_sides_of_its_limits() -> None:
    table = drawn("""
        b2m  | albumin | stage | status
        3.4  | 3.5     | I     | computed
        3.5  | 4.0     | II    | computed
        3.4  | 3.4     | II    | computed
        5.49 | 2.5     | II    | computed
        5.5  | 4.0     | III   | computed
        6.0  | 2.0     | III   | computed
        5.5  | ?       | III   | bounded
        4.0  | ?       | II    | bounded
        3.4  | ?       | ?     | not_computable
        ?    | 3.4     | ?     | not_computable
        ?    | 4.0     | ?     | not_computable
    """)
    score = scores.iss(numbers(table["b2m"]), numbers(table["albumin"]))

    np.testing.assert_array_equal(score.value, stages(table["stage"]))
    assert list(score.status) == list(table["status"])
    assert score.missing_inputs(8) == ("albumin",)
    assert (score.lower[8], score.upper[8]) == (1, 2)
    assert (score.lower[9], score.upper[9]) == (2, 3)


def test_a_recorded_stage_is_taken_only_where_values_do_not_say() -> None:
    score = scores.iss([3.0, np.nan, np.nan], [4.0, np.nan, np.nan], [3.0, 2.0, np.nan])

    np.testing.assert_array_equal(score.value, [1.0, 2.0, np.nan])
    assert list(score.status) == ["computed", "recorded", "not_computable"]


def test_r_iss_agrees_with_its_examples_and_is_determined_where_it_can_be() -> None:
    table = drawn("""
        iss | cytogenetics | ldh | r_iss
        I   | no           | no  | I
        I   | no           | yes | II
        II  | yes          | yes | II
        III | no           | no  | II
        III | yes          | no  | III
        III | no           | yes | III
        III | ?            | no  | ?
        III | ?            | yes | III
        III | no           | ?   | ?
        I   | ?            | no  | ?
        I   | ?            | yes | II
        II  | ?            | ?   | II
        ?   | no           | no  | ?
    """)
    score = scores.r_iss(stage(stages(table["iss"])), truths(table["cytogenetics"]), truths(table["ldh"]))

    np.testing.assert_array_equal(score.value, stages(table["r_iss"]))
    assert score.status[6] == "not_computable" and score.status[7] == "bounded"
    assert (score.lower[6], score.upper[6]) == (2, 3)


def test_r2_iss_agrees_with_its_examples() -> None:
    table = drawn("""
        iss | ldh | del17p | t4_14 | gain1q | points | group
        I   | no  | no     | no    | no     | 0      | I
        I   | no  | no     | no    | yes    | 0.5    | II
        I   | no  | yes    | no    | no     | 1.0    | II
        I   | no  | yes    | no    | yes    | 1.5    | III
        II  | no  | no     | no    | no     | 1.0    | II
        II  | no  | no     | no    | yes    | 1.5    | III
        II  | no  | yes    | yes   | no     | 3.0    | IV
        III | yes | no     | no    | no     | 2.5    | III
        III | yes | no     | no    | yes    | 3.0    | IV
        III | yes | yes    | yes   | yes    | 5.0    | IV
        III | yes | yes    | ?     | ?      | ?      | IV
        II  | no  | no     | no    | ?      | ?      | ?
    """)
    facts = [truths(table[name]) for name in ("ldh", "del17p", "t4_14", "gain1q")]
    points = scores.r2_iss(stage(stages(table["iss"])), *facts)
    group = scores.r2_iss_group(points)

    np.testing.assert_array_equal(points.value, numbers(table["points"]))
    np.testing.assert_array_equal(group.value, stages(table["group"]))
    assert (points.lower[10], points.upper[10], group.status[10]) == (3.5, 5.0, "bounded")
    assert (points.lower[11], points.upper[11], group.status[11]) == (1.0, 1.5, "not_computable")
    assert group.missing_inputs(11) == ("gain1q",)


def test_simplified_frailty_agrees_with_its_examples_on_both_sides_of_its_limits() -> None:
    table = drawn("""
        age  | charlson | ecog | points | frail
        70   | 1        | 0    | 0      | no
        75   | 0        | 1    | 1      | no
        76   | 0        | 1    | 2      | yes
        81   | 0        | 0    | 2      | yes
        60   | 2        | 1    | 2      | yes
        72   | 3        | 2    | 3      | yes
        80   | 1        | 0    | 1      | no
        75.9 | 0        | 0    | 0      | no
        81   | ?        | ?    | ?      | yes
        60   | ?        | 0    | ?      | no
        60   | ?        | 1    | ?      | ?
        60   | 0        | ?    | ?      | ?
    """)
    points = scores.simplified_frailty(*(numbers(table[name]) for name in ("age", "charlson", "ecog")))

    np.testing.assert_array_equal(points.value, numbers(table["points"]))
    np.testing.assert_array_equal(scores.frail(points).value, truths(table["frail"]))


def test_car_hematotox_agrees_with_its_examples_on_both_sides_of_its_limits() -> None:
    table = drawn("""
        platelets | anc  | hemoglobin | crp_mg_per_dl | ferritin | points
        200       | 3.0  | 12         | 0.5           | 200      | 0
        150       | 2.0  | 10         | 1.0           | 500      | 1
        150       | 2.0  | 8.5        | 1.0           | 500      | 2
        60        | 0.8  | 8.0        | 5.0           | 2500     | 7
        176       | 1.21 | 9.1        | 2.99          | 649      | 0
        175       | 1.2  | 9.0        | 3.0           | 650      | 5
        75        | 1.3  | 9.5        | 0.1           | 2000     | 2
        74        | 1.3  | 9.5        | 0.1           | 2001     | 4
        200       | 3.0  | 12         | ?             | 200      | ?
    """)
    crp = numbers(table["crp_mg_per_dl"]) * 10
    score = scores.car_hematotox(
        numbers(table["platelets"]),
        numbers(table["anc"]),
        numbers(table["hemoglobin"]),
        crp,
        numbers(table["ferritin"]),
    )

    np.testing.assert_array_equal(score.value, numbers(table["points"]))
    assert (score.lower[8], score.upper[8], score.missing_inputs(8)) == (0, 1, ("crp",))


def test_crp_of_30_mg_per_litre_is_3_mg_per_decilitre() -> None:
    below_limit, at_limit = (scores.car_hematotox([200], [3], [12], [crp], [200]) for crp in (29.9, 30.0))

    assert (below_limit.value[0], at_limit.value[0]) == (0, 1)
    assert scores.m_easix([200.0], [30.0], [200.0]).value[0] == pytest.approx(3.0)


def test_mycare_agrees_with_its_examples() -> None:
    table = drawn("""
        outside | lenalidomide | cytogenetics | ferritin | points
        no      | yes          | no           | no       | 1
        yes     | yes          | no           | no       | 2
        yes     | yes          | yes          | no       | 3
        yes     | yes          | yes          | yes      | 4
        no      | yes          | ?            | no       | ?
    """)
    score = scores.mycare(*(truths(table[name]) for name in ("outside", "lenalidomide", "cytogenetics", "ferritin")))

    np.testing.assert_array_equal(score.value, numbers(table["points"]))
    assert (score.lower[4], score.upper[4], score.status[4]) == (1, 2, "not_computable")


def test_easix_agrees_with_its_examples() -> None:
    table = drawn("""
        ldh | creatinine | platelets | crp_mg_per_dl | easix  | m_easix | s_easix
        200 | 1.0        | 200       | 1.0           | 1.0    | 1.0     | 1.0
        250 | 0.8        | 150       | 0.5           | 1.3333 | 0.8333  | 1.6667
        240 | 1.5        | 40        | 4.2           | 9.0    | 25.2    | 6.0
        450 | 2.0        | 60        | 8.0           | 15.0   | 60.0    | 7.5
    """).astype(float)
    ldh, platelets = table["ldh"], table["platelets"]

    np.testing.assert_allclose(scores.easix(ldh, table["creatinine"], platelets).value, table["easix"], atol=5e-5)
    np.testing.assert_allclose(scores.s_easix(ldh, platelets).value, table["s_easix"], atol=5e-5)
    modified = scores.m_easix(ldh, table["crp_mg_per_dl"] * 10, platelets)
    np.testing.assert_allclose(modified.value, table["m_easix"], atol=5e-5)
    assert scores.log2_of(scores.easix(ldh, table["creatinine"], platelets))[0] == 0.0


def test_platelets_of_zero_raise_and_never_give_infinity() -> None:
    message = r"easix: 1 of 2 rows have platelets of 0 or less, wanted above 0\. Set implausible values aside"
    with pytest.raises(SchemaError, match=message):
        scores.easix([200, 200], [1, 1], [0, 100])
    for call in (lambda: scores.s_easix([200], [0]), lambda: scores.m_easix([200], [10], [0])):
        with pytest.raises(SchemaError, match="platelets"):
            call()


def test_a_crp_of_zero_has_no_logarithm() -> None:
    score = scores.m_easix([200.0], [0.0], [200.0])

    assert score.value[0] == 0.0 and np.isnan(scores.log2_of(score)[0])


def test_egfr_agrees_with_its_examples() -> None:
    table = drawn("""
        sex | age | creatinine | egfr
        F   | 55  | 0.9        | 75.50
        M   | 60  | 1.0        | 86.16
        F   | 70  | 0.6        | 96.50
        M   | 68  | 2.5        | 27.30
        F   | 50  | 0.7        | 105.30
        M   | 40  | 0.9        | 110.73
        F   | 75  | 5.0        | 8.52
        F   | 62  | 1.2        | 51.18
    """)
    female = (table["sex"] == "F").astype(float)
    score = scores.ckd_epi_2021(table["creatinine"].astype(float), table["age"].astype(float), female)

    np.testing.assert_allclose(score.value, table["egfr"].astype(float), atol=0.05)


def test_egfr_needs_sex() -> None:
    score = scores.ckd_epi_2021([1.0], [60.0], [np.nan])

    assert np.isnan(score.value[0]) and score.missing_inputs(0) == ("sex",)


def test_imwg_high_risk_agrees_with_its_examples() -> None:
    table = drawn("""
        del17p | fraction | tp53 | translocation | gain1q | del1p32 | b2m  | creatinine | high
        yes    | 25       | no   | no            | no     | 0       | 3    | 1          | yes
        yes    | 20       | no   | no            | no     | 0       | 3    | 1          | yes
        yes    | 19.9     | no   | no            | no     | 0       | 3    | 1          | no
        yes    | 10       | no   | no            | no     | 0       | 3    | 1          | no
        no     | ?        | yes  | no            | no     | 0       | 3    | 1          | yes
        no     | ?        | no   | yes           | no     | 0       | 3    | 1          | no
        no     | ?        | no   | yes           | yes    | 0       | 3    | 1          | yes
        no     | ?        | no   | yes           | no     | 1       | 3    | 1          | yes
        no     | ?        | no   | no            | yes    | 0       | 3    | 1          | no
        no     | ?        | no   | no            | yes    | 1       | 3    | 1          | yes
        no     | ?        | no   | no            | no     | 1       | 3    | 1          | no
        no     | ?        | no   | no            | no     | 2       | 3    | 1          | yes
        no     | ?        | no   | no            | no     | 0       | 5.5  | 1.0        | yes
        no     | ?        | no   | no            | no     | 0       | 5.5  | 1.19       | yes
        no     | ?        | no   | no            | no     | 0       | 5.5  | 1.2        | no
        no     | ?        | no   | no            | no     | 0       | 5.49 | 1.0        | no
        no     | ?        | no   | no            | no     | 0       | 6    | 2.0        | no
        ?      | ?        | ?    | no            | no     | 0       | 3    | 1          | ?
        yes    | ?        | no   | no            | no     | 0       | 3    | 1          | ?
        ?      | ?        | yes  | no            | no     | 0       | 3    | 1          | yes
        no     | ?        | no   | no            | no     | 0       | ?    | 1          | ?
    """)
    score = scores.imwg_high_risk(
        truths(table["del17p"]),
        numbers(table["fraction"]),
        truths(table["tp53"]),
        truths(table["translocation"]),
        truths(table["gain1q"]),
        numbers(table["del1p32"]),
        numbers(table["b2m"]),
        numbers(table["creatinine"]),
    )

    np.testing.assert_array_equal(score.value, truths(table["high"]))


def test_bmi_is_weight_over_height_squared() -> None:
    score = scores.body_mass_index([53.456, 80.0], [170.0, np.nan])

    assert score.value[0] == pytest.approx(18.497, abs=0.001) and np.isnan(score.value[1])


def test_three_valued_logic_equals_its_tables() -> None:
    order = {0.0: 0, None: 1, 1.0: 2}
    back = {0: 0.0, 1: None, 2: 1.0}
    for left, right in product(order, repeat=2):
        given = [np.array([np.nan if value is None else value]) for value in (left, right)]
        either, both = kleene.disjunction(*given)[0], kleene.conjunction(*given)[0]
        assert (None if np.isnan(either) else either) == back[max(order[left], order[right])]
        assert (None if np.isnan(both) else both) == back[min(order[left], order[right])]


def test_hiding_an_input_never_turns_one_known_answer_into_another() -> None:
    levels = [np.array(list(product((0.0, 1.0, np.nan), repeat=4)))]
    table = levels[0]
    known = table[~np.isnan(table).any(axis=1)]
    full = {tuple(row): scores.mycare(*row.reshape(4, 1)).value[0] for row in known}
    for row in table:
        partial = scores.mycare(*row.reshape(4, 1))
        fits = [
            value for key, value in full.items() if all(np.isnan(r) or r == k for r, k in zip(row, key, strict=True))
        ]
        assert (partial.lower[0], partial.upper[0]) == (min(fits), max(fits))
        assert np.isnan(partial.value[0]) == (min(fits) != max(fits))
