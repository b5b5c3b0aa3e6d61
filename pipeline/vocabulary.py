"""Which nouns does the program speak: outcomes, statuses, verdicts, drugs, products, modalities?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from pydantic import Field

from pipeline.declared import Declared

Outcome = Literal["durable_control", "treatment_free", "severe_toxicity", "early_death"]
OUTCOMES: tuple[Outcome, ...] = ("durable_control", "treatment_free", "severe_toxicity", "early_death")
HIGHER_IS_BETTER: Mapping[str, bool] = {
    "durable_control": True,
    "treatment_free": True,
    "severe_toxicity": False,
    "early_death": False,
    "burden": False,
}

STATUSES = ("unavailable", "blocked", "indeterminate", "too_few_cases", "abstained", "tied", "ranked")
"""Why a row has, or has not, a rank; the first that applies is shown."""

VERDICTS = ("clear", "not_assessed", "caution", "action_required", "indeterminate", "blocked")
"""What the guardrails say, best to worst."""

UNRANKABLE_VERDICTS = frozenset({"indeterminate", "blocked"})

DrugClass = Literal[
    "proteasome_inhibitor",
    "imid",
    "celmod",
    "anti_cd38",
    "anti_slamf7",
    "xpo1",
    "bcl2",
    "hdac",
    "alkylator",
    "anthracycline",
    "steroid",
    "bcma_adc",
    "bcma_car_t",
    "bcma_bispecific",
    "gprc5d_bispecific",
    "gprc5d_car_t",
    "fcrh5_bispecific",
    "transplant",
    "lymphodepletion",
    "supportive",
    "other",
]
Target = Literal["bcma", "gprc5d", "cd38", "slamf7", "fcrh5"]
Jurisdiction = Literal["us", "eu"]


class Drug(Declared):
    """One drug (or procedure given as one) and what it belongs to.

    Attributes
    ----------
    drug : str
        Generic name, lower case.
    drug_class : DrugClass
        Resistance class; failing one drug of the class counts as failing the class.
    target : Target or None
        Antigen the drug is directed at.
    antimyeloma : bool
        Whether a course of it is treatment of myeloma (supportive drugs and lymphodepletion are not).
    safety_classes : tuple of str
        Classes that guardrails speak of; independent of resistance.
    source : str
        Where the classification comes from.
    """

    drug: str
    drug_class: DrugClass = Field(alias="class")
    target: Target | None = None
    antimyeloma: bool = True
    safety_classes: tuple[str, ...] = ()
    source: str


@dataclass(frozen=True)
class DrugCatalogue:
    """Every drug the program knows, by name."""

    drugs: tuple[Drug, ...]

    @cached_property
    def by_name(self) -> dict[str, Drug]:
        """Drug by generic name."""
        return {entry.drug: entry for entry in self.drugs}

    def in_class(self, drug_class: str) -> tuple[str, ...]:
        """Return the names of a class's drugs, in catalogue order."""
        return tuple(entry.drug for entry in self.drugs if entry.drug_class == drug_class)

    def against(self, target: str) -> tuple[str, ...]:
        """Return the names of the drugs directed at a target, in catalogue order."""
        return tuple(entry.drug for entry in self.drugs if entry.target == target)


class LabelFacts(Declared):
    """What one jurisdiction's label says of a product; dated, sourced data, never code.

    Attributes
    ----------
    approval_status : {'approved', 'accelerated', 'conditional', 'not_approved'}
    min_prior_lines : int or None
        Fewest prior lines of therapy; None where the label does not say.
    classes_exposed : tuple of DrugClass
        Classes the patient must have had.
    refractory_to : tuple of str
        Drugs the patient must be refractory to.
    requires_progression_on_last_line : bool
    boxed_warnings, monitoring : tuple of str
    as_of : str, ISO date
    source : str
    evidence : {'verified', 'recalled'}
        `recalled` facts need clinical review and never back an active block.
    """

    approval_status: Literal["approved", "accelerated", "conditional", "not_approved"]
    min_prior_lines: int | None = Field(default=None, ge=0)
    classes_exposed: tuple[DrugClass, ...] = ()
    refractory_to: tuple[str, ...] = ()
    requires_progression_on_last_line: bool = False
    boxed_warnings: tuple[str, ...] = ()
    monitoring: tuple[str, ...] = ()
    as_of: str
    source: str
    evidence: Literal["verified", "recalled"]


class Product(Declared):
    """One way of giving a modality: a product or a named regimen.

    Attributes
    ----------
    id, label, modality : str
    agents : tuple of str
        Generic names; all must be in the drug catalogue.
    safety_classes : tuple of str
    target : Target or None
    labels : mapping of jurisdiction to LabelFacts
    """

    id: str
    label: str
    modality: str
    agents: tuple[str, ...] = Field(min_length=1)
    safety_classes: tuple[str, ...] = ()
    target: Target | None = None
    labels: Mapping[Jurisdiction, LabelFacts] = {}


class Burden(Declared):
    """Days that a modality takes from a life in the first six months.

    Attributes
    ----------
    hospital_days, visit_days : float, days
        In the first 6 months from the decision.
    source : str
    """

    hospital_days: float = Field(ge=0)
    visit_days: float = Field(ge=0)
    source: str


class Modality(Declared):
    """One kind of treatment that is ranked; a fact about medicine, not a change of program.

    Attributes
    ----------
    id, label : str
    products : tuple of str
        Product ids (configs/products). Empty: the modality is its own single product, made of `agents`.
    agents, safety_classes : tuple of str
        Only where there are no product files.
    time_limited : bool
        False declares `treatment_free` the constant 0 (continuous therapy).
    min_cases, min_events : int
        Fewer training cases or events: shown as too few cases, never scored.
    burden : Burden
    available_from : str or None, ISO date
        No decision before it had the choice; None keeps no date.
    """

    id: str
    label: str
    products: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    safety_classes: tuple[str, ...] = ()
    time_limited: bool
    min_cases: int = Field(default=40, ge=1)
    min_events: int = Field(default=15, ge=1)
    burden: Burden
    available_from: str | None = None
