"""Which features are arithmetic on other features?

Scores are computed from the columns of a frame, so the same code serves the matrix and the facts
that rules read: there the inputs that are too old are unknown before the scores are formed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

import numpy as np
import pandas as pd

from pipeline.errors import ConfigError
from pipeline.features import scores
from pipeline.features.bounds import Score
from pipeline.features.kleene import Floats, above, at_least_count, conjunction, disjunction, floats
from pipeline.features.spec import FeatureSpec

TRIPLE_CLASSES = ("proteasome_inhibitor", "imid", "anti_cd38")
PENTA_DRUGS: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "proteasome_inhibitor": (2, ("bortezomib", "carfilzomib", "ixazomib")),
    "imid": (2, ("lenalidomide", "pomalidomide", "thalidomide")),
    "anti_cd38": (1, ("daratumumab", "isatuximab")),
}
WEIGHT_LOSS = 0.10
"""Share of the highest weight of six months that is lost."""


class Inputs:
    """The columns that scores read, as float64 with NaN for unknown; each score is formed once."""

    def __init__(self, columns: Mapping[str, Floats], female: Floats, ferritin_cutoff: float | None) -> None:
        self._columns = columns
        self._female = female
        self._ferritin_cutoff = np.nan if ferritin_cutoff is None else ferritin_cutoff

    def __getitem__(self, name: str) -> Floats:
        if name not in self._columns:
            raise ConfigError(
                f"features: a score needs '{name}', which is not declared. Declare it, or drop the score."
            )
        return self._columns[name]

    @cached_property
    def ldh_above_normal(self) -> Floats:
        """Whether LDH exceeds the laboratory's own limit; unknown without that limit."""
        return above(self["ldh"], self["ldh_uln"])

    @cached_property
    def high_risk_cytogenetics(self) -> Floats:
        """Whether del(17p), t(4;14) or t(14;16) is present."""
        return disjunction(self["del17p"], self["t4_14"], self["t14_16"])

    @cached_property
    def iss(self) -> Score:
        """ISS from laboratory values, else as recorded."""
        return scores.iss(self["beta2_microglobulin"], self["albumin"], self["iss_stage"])

    @cached_property
    def r_iss(self) -> Score:
        """R-ISS, else as recorded."""
        return scores.r_iss(self.iss, self.high_risk_cytogenetics, self.ldh_above_normal, self["r_iss_stage"])

    @cached_property
    def r2_iss(self) -> Score:
        """R2-ISS points with bounds."""
        return scores.r2_iss(self.iss, self.ldh_above_normal, self["del17p"], self["t4_14"], self["gain1q"])

    @cached_property
    def frailty(self) -> Score:
        """Simplified frailty points with bounds."""
        return scores.simplified_frailty(self["age"], self["charlson"], self["ecog"])

    @cached_property
    def egfr(self) -> Score:
        """CKD-EPI 2021 from creatinine."""
        return scores.ckd_epi_2021(self["creatinine"], self["age"], self._female)

    @cached_property
    def easix(self) -> Score:
        """EASIX."""
        return scores.easix(self["ldh"], self["creatinine"], self["platelets"])

    @cached_property
    def s_easix(self) -> Score:
        """s-EASIX."""
        return scores.s_easix(self["ldh"], self["platelets"])

    @cached_property
    def m_easix(self) -> Score:
        """m-EASIX."""
        return scores.m_easix(self["ldh"], self["crp"], self["platelets"])

    @cached_property
    def imwg_high_risk(self) -> Score:
        """High risk by the IMS/IMWG 2025 consensus."""
        translocation = disjunction(self["t4_14"], self["t14_16"], self["t14_20"])
        return scores.imwg_high_risk(
            self["del17p"],
            self["del17p_fraction"],
            self["tp53_mutation"],
            translocation,
            self["gain1q"],
            self["del1p32"],
            self["beta2_microglobulin"],
            self["creatinine"],
        )

    @cached_property
    def car_hematotox(self) -> Score:
        """CAR-HEMATOTOX at the decision (draft)."""
        names = ("platelets", "anc", "hemoglobin", "crp", "ferritin")
        return scores.car_hematotox(*(self[name] for name in names))

    @cached_property
    def mycare(self) -> Score:
        """MyCARe at the decision (draft)."""
        outside = disjunction(self["extramedullary_disease"], self["plasma_cell_leukaemia"])
        ferritin_high = above(self["ferritin"], self._ferritin_cutoff)
        refractory = self["refractory_lenalidomide"]
        return scores.mycare(outside, refractory, self.high_risk_cytogenetics, ferritin_high)

    def triple_class(self, state: str) -> Floats:
        """Return whether a state (exposed, refractory) holds for all of PI, IMiD and anti-CD38."""
        return conjunction(*(self[f"{state}_{name}"] for name in TRIPLE_CLASSES))

    def penta_drug_refractory(self) -> Floats:
        """Return whether refractory to two PI, two IMiD and one anti-CD38 antibody."""
        enough = [
            at_least_count(count, *(self[f"refractory_{drug}"] for drug in drugs))
            for count, drugs in PENTA_DRUGS.values()
        ]
        return conjunction(*enough)

    def weight_loss(self) -> Floats:
        """Return recorded weight loss, else true where weights show it; weights alone never rule it out."""
        lost = above(self["weight_max_180d"] * (1.0 - WEIGHT_LOSS), self["weight"])
        shown = np.where(lost == 1.0, 1.0, np.nan)
        return np.where(np.isnan(self["weight_loss_recorded"]), shown, self["weight_loss_recorded"])


FORMULAS: Mapping[str, Callable[[Inputs], Floats]] = {
    "egfr": lambda given: given.egfr.value,
    "iss": lambda given: given.iss.value,
    "r_iss": lambda given: given.r_iss.value,
    "r2_iss": lambda given: given.r2_iss.value,
    "r2_iss_group": lambda given: scores.r2_iss_group(given.r2_iss).value,
    "r2_iss_lower": lambda given: given.r2_iss.lower,
    "r2_iss_upper": lambda given: given.r2_iss.upper,
    "simplified_frailty": lambda given: given.frailty.value,
    "frail": lambda given: scores.frail(given.frailty).value,
    "easix": lambda given: given.easix.value,
    "s_easix": lambda given: given.s_easix.value,
    "m_easix": lambda given: given.m_easix.value,
    "log2_easix": lambda given: scores.log2_of(given.easix),
    "log2_s_easix": lambda given: scores.log2_of(given.s_easix),
    "log2_m_easix": lambda given: scores.log2_of(given.m_easix),
    "imwg_high_risk": lambda given: given.imwg_high_risk.value,
    "car_hematotox": lambda given: given.car_hematotox.value,
    "mycare": lambda given: given.mycare.value,
    "bmi": lambda given: scores.body_mass_index(given["weight"], given["height"]).value,
    "weight_loss": lambda given: given.weight_loss(),
    "triple_class_exposed": lambda given: given.triple_class("exposed"),
    "triple_class_refractory": lambda given: given.triple_class("refractory"),
    "penta_drug_refractory": lambda given: given.penta_drug_refractory(),
}
"""How each feature of kind `score` is formed, by code."""

STATUSES: Mapping[str, Callable[[Inputs], Score]] = {
    "egfr": lambda given: given.egfr,
    "iss": lambda given: given.iss,
    "r_iss": lambda given: given.r_iss,
    "r2_iss": lambda given: given.r2_iss,
    "r2_iss_group": lambda given: scores.r2_iss_group(given.r2_iss),
    "simplified_frailty": lambda given: given.frailty,
    "frail": lambda given: scores.frail(given.frailty),
    "easix": lambda given: given.easix,
    "s_easix": lambda given: given.s_easix,
    "m_easix": lambda given: given.m_easix,
    "imwg_high_risk": lambda given: given.imwg_high_risk,
    "car_hematotox": lambda given: given.car_hematotox,
    "mycare": lambda given: given.mycare,
    "bmi": lambda given: scores.body_mass_index(given["weight"], given["height"]),
}
"""Scores that report a status and missing inputs."""


def inputs_of(columns: Mapping[str, Floats], sex: pd.Series | None, spec: FeatureSpec) -> Inputs:
    """Return the inputs of the scores.

    Parameters
    ----------
    columns : mapping of feature name to array (n_rows,), float64
    sex : Series or None
        Category `sex`; other than female and male is unknown.
    spec : FeatureSpec
    """
    rows = len(next(iter(columns.values()))) if columns else 0
    female = np.full(rows, np.nan)
    if sex is not None:
        words = sex.astype(object)
        female = np.where(words == "female", 1.0, np.where(words == "male", 0.0, np.nan))
    return Inputs(columns, floats(female), spec.mycare_ferritin_cutoff)


def score_columns(spec: FeatureSpec, inputs: Inputs) -> dict[str, Floats]:
    """Return every feature of kind `score`, by name.

    Raises
    ------
    ConfigError
        If a formula, or one of its inputs, is not known.
    SchemaError
        If platelets, creatinine or height are 0 or less.
    """
    unknown = sorted(entry.source_code for entry in spec.of_kind("score") if entry.source_code not in FORMULAS)
    if unknown:
        raise ConfigError(f"features: unknown score {', '.join(unknown)}; known are {', '.join(sorted(FORMULAS))}.")
    with np.errstate(invalid="ignore"):
        return {entry.name: floats(FORMULAS[entry.source_code](inputs)) for entry in spec.of_kind("score")}
