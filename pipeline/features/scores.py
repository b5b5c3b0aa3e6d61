"""Which published score does this person have, and can it be computed at all?

Every score is vectorised over columns (one row per decision) and returns a `Score`: a value that is
NaN unless determined, the lowest and highest value that the missing inputs allow, a status and the
missing inputs. Truth values are 1.0, 0.0 and NaN (unknown).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.errors import SchemaError
from pipeline.features.bounds import (
    Score,
    bounded,
    missing_of,
    or_recorded,
    points_of,
    scored,
    steps_passed,
    truth_score,
)
from pipeline.features.kleene import (
    Floats,
    above,
    at_least,
    below,
    conjunction,
    disjunction,
    floats,
    from_condition,
    negation,
)

R2_ISS_LIMITS = (0.5, 1.5, 3.0)
"""Fewest points of R2-ISS groups 2, 3 and 4."""


def iss(beta2_microglobulin: Any, albumin: Any, recorded: Any = np.nan) -> Score:
    """International Staging System, 1 to 3 (Greipp 2005).

    Parameters
    ----------
    beta2_microglobulin : array, mg/L
    albumin : array, g/dL
    recorded : array
        Stage on record, used where the inputs do not determine it.

    Returns
    -------
    Score
        1: beta-2 microglobulin < 3.5 and albumin >= 3.5; 3: beta-2 microglobulin >= 5.5; else 2.
    """
    is_three = at_least(beta2_microglobulin, 5.5)
    is_one = conjunction(below(beta2_microglobulin, 3.5), at_least(albumin, 3.5))
    lower = np.where(is_three == 1, 3.0, np.where(is_one == 0, 2.0, 1.0))
    upper = np.where(is_one == 1, 1.0, np.where(is_three == 0, 2.0, 3.0))
    missing = missing_of(beta2_microglobulin=beta2_microglobulin, albumin=albumin)
    return or_recorded(bounded(lower, upper, missing), recorded)


def r_iss(stage: Score, high_risk_cytogenetics: Any, ldh_above_normal: Any, recorded: Any = np.nan) -> Score:
    """Revised ISS, 1 to 3 (Palumbo 2015).

    Parameters
    ----------
    stage : Score
        Of `iss`.
    high_risk_cytogenetics : array of truth
        del(17p), t(4;14) or t(14;16).
    ldh_above_normal : array of truth
    recorded : array
        Stage on record, used where the inputs do not determine it.

    Returns
    -------
    Score
        1: ISS 1 without either; 3: ISS 3 with either; else 2. Determined wherever the known inputs suffice.
    """
    either = disjunction(high_risk_cytogenetics, ldh_above_normal)
    iss_three = from_condition(stage.lower >= 3, (stage.lower >= 3) | (stage.upper < 3))
    iss_one = from_condition(stage.upper <= 1, (stage.upper <= 1) | (stage.lower > 1))
    is_three = conjunction(iss_three, either)
    is_one = conjunction(iss_one, negation(either))
    lower = np.where(is_three == 1, 3.0, np.where(is_one == 0, 2.0, 1.0))
    upper = np.where(is_one == 1, 1.0, np.where(is_three == 0, 2.0, 3.0))
    missing = missing_of(iss=stage.value, high_risk_cytogenetics=high_risk_cytogenetics, ldh=ldh_above_normal)
    return or_recorded(bounded(lower, upper, missing), recorded)


def r2_iss(stage: Score, ldh_above_normal: Any, del17p: Any, t4_14: Any, gain1q: Any) -> Score:
    """R2-ISS points, 0 to 5 in halves (D'Agostino 2022).

    Parameters
    ----------
    stage : Score
        Of `iss`; stage 2 gives 1.0 point, stage 3 gives 1.5.
    ldh_above_normal, del17p, t4_14 : array of truth
        1.0 point each. t(14;16) is not used.
    gain1q : array of truth
        Gain or amplification; 0.5 points.

    Returns
    -------
    Score
        `lower` and `upper` count a missing item as none and as its most.
    """
    given = np.array([0.0, 1.0, 1.5])
    lower = given[stage.lower.astype(int) - 1]
    upper = given[stage.upper.astype(int) - 1]
    items = {"ldh": (ldh_above_normal, 1.0), "del17p": (del17p, 1.0), "t4_14": (t4_14, 1.0), "gain1q": (gain1q, 0.5)}
    for truth, points in items.values():
        least, most = points_of(truth, points)
        lower, upper = lower + least, upper + most
    missing = missing_of(iss=stage.value, **{name: truth for name, (truth, _) in items.items()})
    return bounded(lower, upper, missing)


def r2_iss_group(points: Score) -> Score:
    """R2-ISS group, 1 to 4, from points: 0, 0.5 to 1, 1.5 to 2.5, 3 or more; bounded where both bounds agree."""
    low, _ = steps_passed(points.lower, R2_ISS_LIMITS, inclusive=True)
    high, _ = steps_passed(points.upper, R2_ISS_LIMITS, inclusive=True)
    return bounded(low + 1, high + 1, points.missing)


def simplified_frailty(age: Any, charlson: Any, ecog: Any) -> Score:
    """Simplified frailty points, 0 to 5, with the Charlson index (Facon 2020).

    Parameters
    ----------
    age : array, years
        Completed years: 76 to 80 gives 1 point, over 80 gives 2.
    charlson : array
        Over 1 gives 1 point.
    ecog : array
        1 gives 1 point, 2 or more gives 2.

    Returns
    -------
    Score
        2 or more is frail.
    """
    years = np.floor(floats(age))
    parts = [
        steps_passed(years, (75, 80), inclusive=False),
        steps_passed(charlson, (1,), inclusive=False),
        steps_passed(ecog, (1, 2), inclusive=True),
    ]
    lower = sum((part[0] for part in parts), np.zeros(()))
    upper = sum((part[1] for part in parts), np.zeros(()))
    return bounded(lower, upper, missing_of(age=age, charlson=charlson, ecog=ecog))


def frail(points: Score) -> Score:
    """Whether simplified frailty is 2 or more; true or false wherever the bounds agree."""
    low, high = points.lower >= 2, points.upper >= 2
    return truth_score(from_condition(low, low == high), points.missing)


def ckd_epi_2021(creatinine: Any, age: Any, female: Any) -> Score:
    """Estimated glomerular filtration rate, mL/min/1.73 m2 (CKD-EPI 2021, creatinine, without race).

    Parameters
    ----------
    creatinine : array, mg/dL
    age : array, years
    female : array of truth

    Returns
    -------
    Score
        142 min(c/k, 1)^a max(c/k, 1)^-1.2 0.9938^age (1.012 if female); k .7/.9, a -.241/-.302.
    """
    serum, years, is_female = floats(creatinine), floats(age), floats(female)
    _refuse_not_positive("egfr", "creatinine", serum)
    ratio = serum / np.where(is_female == 1, 0.7, 0.9)
    alpha = np.where(is_female == 1, -0.241, -0.302)
    factor = np.where(is_female == 1, 1.012, 1.0)
    rate = 142.0 * np.minimum(ratio, 1.0) ** alpha * np.maximum(ratio, 1.0) ** -1.2 * 0.9938**years * factor
    value = np.where(np.isnan(is_female), np.nan, rate)
    return scored(value, value, value, missing_of(creatinine=serum, age=years, sex=is_female))


def _refuse_not_positive(score: str, name: str, values: Floats) -> None:
    """Raise where an input that divides, or stands under a logarithm, is zero or less."""
    wrong = int((values <= 0).sum())
    if wrong:
        raise SchemaError(
            f"{score}: {wrong} of {values.size} rows have {name} of 0 or less, wanted above 0. "
            f"Set implausible values aside (data_schema/measurements.yaml, x-range of {name})."
        )


def _easix(name: str, ldh: Any, platelets: Any, other: Mapping[str, Floats]) -> Score:
    lactate, count = floats(ldh), floats(platelets)
    _refuse_not_positive(name, "platelets", count)
    value = lactate / count
    for values in other.values():
        value = lactate * values / count
    return scored(value, value, value, missing_of(ldh=lactate, platelets=count, **other))


def easix(ldh: Any, creatinine: Any, platelets: Any) -> Score:
    """EASIX = LDH (U/L) x creatinine (mg/dL) / platelets (10^9/L) (Pennisi 2021). Raises where platelets are 0."""
    return _easix("easix", ldh, platelets, {"creatinine": floats(creatinine)})


def s_easix(ldh: Any, platelets: Any) -> Score:
    """s-EASIX = LDH (U/L) / platelets (10^9/L) (Pennisi 2021). Raises SchemaError where platelets are 0."""
    return _easix("s_easix", ldh, platelets, {})


def m_easix(ldh: Any, crp: Any, platelets: Any) -> Score:
    """m-EASIX = LDH (U/L) x CRP (mg/dL) / platelets (10^9/L) (Pennisi 2021). Raises where platelets are 0.

    `crp` is given in mg/L, the canonical unit, and divided by 10 here.
    """
    return _easix("m_easix", ldh, platelets, {"crp": floats(crp) / 10.0})


def log2_of(score: Score) -> Floats:
    """Return the binary logarithm of a score; missing where it is not above 0 (CRP under its limit of detection)."""
    positive = np.where(score.value > 0, score.value, np.nan)
    return floats(np.log2(positive))


def imwg_high_risk(
    del17p: Any,
    del17p_fraction: Any,
    tp53_mutation: Any,
    igh_translocation: Any,
    gain1q: Any,
    del1p32: Any,
    beta2_microglobulin: Any,
    creatinine: Any,
) -> Score:
    """High risk by the IMS/IMWG 2025 consensus: any of four criteria.

    Parameters
    ----------
    del17p, tp53_mutation, gain1q : array of truth
    del17p_fraction : array, %
        At least 20 counts. del(17p) without a fraction leaves the criterion unknown.
    igh_translocation : array of truth
        t(4;14), t(14;16) or t(14;20).
    del1p32 : array
        0 absent, 1 monoallelic, 2 biallelic.
    beta2_microglobulin : array, mg/L
    creatinine : array, mg/dL
        Under 1.2 is normal.

    Returns
    -------
    Score
        1.0 high risk, 0.0 not; NaN where the known inputs leave it open.

    Notes
    -----
    (1) del(17p) in >= 20 % or TP53 mutation; (2) IgH translocation with 1q gain or del(1p32);
    (3) monoallelic del(1p32) with 1q gain, or biallelic; (4) beta-2 microglobulin >= 5.5 with normal creatinine.
    """
    fraction = floats(del17p_fraction)
    absent = np.where(floats(del17p) == 0, 0.0, np.nan)
    deleted = np.where(np.isnan(fraction), absent, at_least(fraction, 20.0))
    any_1p = at_least(del1p32, 1)
    value = disjunction(
        disjunction(deleted, tp53_mutation),
        conjunction(igh_translocation, disjunction(gain1q, any_1p)),
        disjunction(conjunction(any_1p, gain1q), at_least(del1p32, 2)),
        conjunction(at_least(beta2_microglobulin, 5.5), below(creatinine, 1.2)),
    )
    missing = missing_of(
        del17p_fraction=deleted,
        tp53_mutation=tp53_mutation,
        igh_translocation=igh_translocation,
        gain1q=gain1q,
        del1p32=del1p32,
        beta2_microglobulin=beta2_microglobulin,
        creatinine=creatinine,
    )
    return truth_score(value, missing)


def car_hematotox(platelets: Any, anc: Any, hemoglobin: Any, crp: Any, ferritin: Any) -> Score:
    """CAR-HEMATOTOX points, 0 to 7 (Rejeski 2021); draft: not validated at the decision.

    Parameters
    ----------
    platelets, anc : array, 10^9/L
        Platelets over 175 give 0, 75 to 175 give 1, under 75 give 2; neutrophils up to 1.2 give 1.
    hemoglobin : array, g/dL
        Up to 9.0 gives 1.
    crp : array, mg/L
        At least 30 mg/L (3.0 mg/dL) gives 1.
    ferritin : array, ng/mL
        650 to 2000 gives 1, over 2000 gives 2.

    Returns
    -------
    Score
        2 or more is high.
    """
    count, grams = floats(platelets), floats(ferritin)
    parts = [
        points_of(negation(above(count, 175)), 1),
        points_of(below(count, 75), 1),
        points_of(negation(above(anc, 1.2)), 1),
        points_of(negation(above(hemoglobin, 9.0)), 1),
        points_of(at_least(crp, 30.0), 1),
        points_of(at_least(grams, 650), 1),
        points_of(above(grams, 2000), 1),
    ]
    lower = sum((part[0] for part in parts), np.zeros(()))
    upper = sum((part[1] for part in parts), np.zeros(()))
    missing = missing_of(platelets=count, anc=anc, hemoglobin=hemoglobin, crp=crp, ferritin=grams)
    return bounded(lower, upper, missing)


def mycare(emd_or_pcl: Any, lenalidomide_refractory: Any, high_risk_cytogenetics: Any, ferritin_high: Any) -> Score:
    """MyCARe points, 0 to 4, one per item (Gagelmann 2024); draft: not validated at the decision."""
    items = {
        "emd_or_pcl": emd_or_pcl,
        "lenalidomide_refractory": lenalidomide_refractory,
        "high_risk_cytogenetics": high_risk_cytogenetics,
        "ferritin_high": ferritin_high,
    }
    lower = sum((points_of(truth, 1)[0] for truth in items.values()), np.zeros(()))
    upper = sum((points_of(truth, 1)[1] for truth in items.values()), np.zeros(()))
    return bounded(lower, upper, missing_of(**items))


def body_mass_index(weight: Any, height: Any) -> Score:
    """Body mass index, kg/m2, from weight in kg and height in cm. Raises SchemaError where height is 0."""
    tall = floats(height)
    _refuse_not_positive("bmi", "height", tall)
    value = floats(weight) / (tall / 100.0) ** 2
    return scored(value, value, value, missing_of(weight=weight, height=tall))
