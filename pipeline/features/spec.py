"""Which facts are computed for a decision, from which rows, and who may use them?

The specification is declared in YAML as groups: settings shared by a group, then one
short entry per feature. Read, it is one flat, frozen list.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Literal

from pydantic import Field

from pipeline.declared import Declared, did_you_mean, raise_if, read_declared
from pipeline.errors import ConfigError
from pipeline.schema import Contract
from pipeline.vocabulary import DrugCatalogue, DrugClass, Modality, Target

Kind = Literal["patient", "decision", "measurement", "finding", "course", "line", "score", "wait"]
Role = Literal["model", "propensity", "rules"]
Dtype = Literal["number", "boolean", "category"]
RefractoryDefinition = Literal["imwg", "next_line"]

AGGREGATES: Mapping[str, tuple[str, ...]] = {
    "patient": ("age", "months_since_diagnosis", "sex"),
    "decision": ("calendar_time",),
    "measurement": ("last", "min", "max", "count", "trend", "days_since"),
    "finding": ("last", "ever", "count", "days_since"),
    "course": ("exposed", "refractory", "days_since", "count"),
    "line": ("count", "duration", "response", "progression", "progression_within"),
    "score": ("formula",),
    "wait": ("wait",),
}
"""What each kind of feature can be."""

ANCHORS = ("first_line", "first_transplant")
"""What `progression_within` counts from (`code`)."""


class Feature(Declared):
    """One declared fact about a decision.

    Attributes
    ----------
    name, group, meaning : str
    kind : Kind
        Where it comes from.
    aggregate : str
        How rows become one value; see `AGGREGATES`.
    code : str or None
        Code of the measurement or finding, anchor of a line feature, modality of a wait; the name where left out.
    drugs, classes, target
        Which drug courses it counts (kind `course`); a union.
    window_days : int or None, days
        Width of the half-open window [decision - window, decision); None is any time before.
    within_days : int or None, days
        Limit of `progression_within`.
    levels : mapping of recorded value to number, or tuple of categories
    unit : str or None
    dtype : {'number', 'boolean', 'category'}
    may_be_missing : bool
    roles : tuple of {'model', 'propensity', 'rules'}
    modifier : bool
        A declared effect modifier: the linear teacher lets modalities differ by it.
    max_age_days : int or None, days
        Older values are unknown to rules; None never ages.
    obtain : str or None
        What to order or ask when it is missing.
    draft : bool
        Shown as draft: not validated at the decision.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    group: str
    meaning: str
    kind: Kind
    aggregate: str
    code: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9_]*$")
    drugs: tuple[str, ...] = ()
    classes: tuple[DrugClass, ...] = ()
    target: Target | None = None
    window_days: int | None = Field(default=None, ge=1, le=36525)
    within_days: int | None = Field(default=None, ge=1)
    levels: Mapping[str, float] = {}
    categories: tuple[str, ...] = ()
    unit: str | None = None
    dtype: Dtype = "number"
    may_be_missing: bool = True
    roles: tuple[Role, ...] = ()
    modifier: bool = False
    max_age_days: int | None = Field(default=None, ge=1)
    obtain: str | None = None
    draft: bool = False

    @property
    def source_code(self) -> str:
        """Code looked for in the source table."""
        return self.code or self.name

    @property
    def age_column(self) -> str | None:
        """Name of the column that holds the age of the value in days, where it ages."""
        return f"{self.name}_age_days" if self.max_age_days is not None else None

    @property
    def age_meaning(self) -> str:
        """What the age column says, in words."""
        return f"{self.meaning}: days between its record and the decision"

    def problems(self) -> list[str]:
        """Return what is wrong with this entry, one line each."""
        found = []
        if self.aggregate not in AGGREGATES[self.kind]:
            known = list(AGGREGATES[self.kind])
            found.append(f"aggregate: '{self.aggregate}' is unknown for kind {self.kind}; known are {', '.join(known)}")
        if self.modifier and "model" not in self.roles:
            found.append("modifier: true needs the role 'model'")
        if self.modifier and self.dtype == "category":
            found.append("modifier: a category cannot be one, wanted a number or a boolean")
        if self.max_age_days is not None and not (self.kind in ("measurement", "finding") and self.aggregate == "last"):
            found.append("max_age_days: only the last measurement or finding ages; scores are recomputed from those")
        if (self.dtype == "category") != bool(self.categories):
            found.append("categories: wanted with dtype category, and only there")
        if self.aggregate == "progression_within" and self.within_days is None:
            found.append("within_days: missing; progression_within needs it")
        if self.kind == "course" and not (self.drugs or self.classes or self.target):
            found.append("drugs: a course feature needs drugs, classes or target")
        if self.aggregate == "progression_within" and self.code not in ANCHORS:
            near = did_you_mean(self.code or self.name, list(ANCHORS))
            found.append(f"code: got {self.code}, wanted one of {', '.join(ANCHORS)}{near}")
        return found


class ExposureRules(Declared):
    """How drug courses are read.

    Attributes
    ----------
    version : str
        Version of the refractoriness definition, reported with results.
    refractory_days : int, days
        Progression up to this long after the last dose counts as progression on the drug.
    single_dose_classes : tuple of DrugClass
        Given once: the first dose is the last.
    non_documenting_classes, non_documenting_drugs
        Alone in a line they do not tell what the line was.
    """

    version: str
    refractory_days: int = Field(ge=0)
    single_dose_classes: tuple[DrugClass, ...]
    non_documenting_classes: tuple[DrugClass, ...]
    non_documenting_drugs: tuple[str, ...] = ()


class FeatureSpec(Declared):
    """Every declared feature, in column order.

    Attributes
    ----------
    version : str
    exposure : ExposureRules
    mycare_ferritin_cutoff : float or None, ng/mL
        Above it ferritin counts as increased in MyCARe; None leaves that item unknown.
    features : tuple of Feature
    """

    version: str
    exposure: ExposureRules
    mycare_ferritin_cutoff: float | None = Field(default=None, gt=0)
    features: tuple[Feature, ...] = Field(min_length=1)

    @cached_property
    def by_name(self) -> dict[str, Feature]:
        """Feature by name."""
        return {entry.name: entry for entry in self.features}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names in column order."""
        return tuple(entry.name for entry in self.features)

    @cached_property
    def age_columns(self) -> dict[str, str]:
        """Age column by the feature that ages, in column order."""
        return {entry.name: entry.age_column for entry in self.features if entry.age_column is not None}

    @cached_property
    def modifiers(self) -> tuple[str, ...]:
        """Declared effect modifiers, in column order."""
        return tuple(entry.name for entry in self.features if entry.modifier)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the whole specification."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("utf-8")).hexdigest()

    def of_kind(self, *kinds: str) -> tuple[Feature, ...]:
        """Return the features of these kinds, in column order."""
        return tuple(entry for entry in self.features if entry.kind in kinds)

    def with_role(self, role: Role) -> tuple[str, ...]:
        """Return the names that have a role, in column order."""
        return tuple(entry.name for entry in self.features if role in entry.roles)


def _flattened(groups: Any, where: str, problems: list[str]) -> list[dict[str, Any]]:
    """Return one mapping per feature: the group's shared settings, overridden by the entry's own."""
    if not isinstance(groups, list) or not groups:
        problems.append(f"{where}: groups: got {type(groups).__name__}, wanted a list of feature groups")
        return []
    flat: list[dict[str, Any]] = []
    for position, group in enumerate(groups):
        if not isinstance(group, dict) or not isinstance(group.get("features"), list) or "group" not in group:
            problems.append(f"{where}: groups[{position}]: wanted the keys group, shared and features (a list)")
            continue
        for unknown in sorted(set(group) - {"group", "shared", "features"}):
            near = did_you_mean(unknown, ["group", "shared", "features"])
            problems.append(f"{where}: groups[{position}].{unknown}: unknown setting{near}")
        shared = group.get("shared") or {}
        for entry in group["features"]:
            if not isinstance(entry, dict):
                problems.append(f"{where}: {group['group']}: got {type(entry).__name__}, wanted a mapping per feature")
                continue
            flat.append({"group": group["group"], **shared, **entry})
    return flat


def _cross_problems(spec: FeatureSpec, drugs: DrugCatalogue | None, contract: Contract | None, where: str) -> list[str]:
    """Return what is wrong between entries, or between them and the drug catalogue or the records contract."""
    found = []
    for name, times in Counter(spec.names).items():
        if times > 1:
            found.append(f"{where}: {name}: declared {times} times; a feature is declared once")
    for entry in spec.features:
        found += [f"{where}: {entry.name}: {problem}" for problem in entry.problems()]
        if contract is not None and entry.kind in ("measurement", "finding"):
            found += [f"{where}: {entry.name}: {problem}" for problem in _code_problems(entry, contract)]
        if drugs is not None:
            known = list(drugs.by_name)
            for drug in entry.drugs:
                if drug not in drugs.by_name:
                    found.append(f"{where}: {entry.name}: drugs: unknown drug '{drug}'{did_you_mean(drug, known)}")
    clashes = sorted(set(spec.age_columns.values()) & set(spec.names))
    found += [f"{where}: {name}: the name is taken by the age of another feature" for name in clashes]
    return found


def _code_problems(entry: Feature, contract: Contract) -> list[str]:
    """Return what is wrong between an entry and the codes of the records contract."""
    codes = contract[f"{entry.kind}s"].codes
    declared = codes.get(entry.source_code)
    if declared is None:
        return [f"code: '{entry.source_code}' is no {entry.kind} code{did_you_mean(entry.source_code, list(codes))}"]
    if entry.kind == "finding":
        return [
            f"levels: '{value}' is no value of {entry.source_code}{did_you_mean(value, list(declared.values))}; "
            f"its values are {', '.join(declared.values)}"
            for value in (entry.levels or ("present",))
            if value not in declared.values
        ]
    per_month = f"{declared.unit} per 30 d"
    unit = {"count": entry.unit, "days_since": "days", "trend": per_month}.get(entry.aggregate, declared.unit)
    if entry.unit != unit:
        return [f"unit: got {entry.unit}; did you mean '{unit}'? Records hold {entry.source_code} in {declared.unit}"]
    return []


def parse_spec(
    mapping: Mapping[str, Any],
    drugs: DrugCatalogue | None = None,
    where: str = "features",
    contract: Contract | None = None,
) -> FeatureSpec:
    """Return the specification that a parsed YAML file declares.

    Parameters
    ----------
    mapping : mapping
        Parsed YAML with `version`, `exposure`, `mycare_ferritin_cutoff` and `groups`.
    drugs : DrugCatalogue, optional
        Where given, every named drug must be in it.
    where : str
        File name for messages.
    contract : Contract, optional
        Where given, every code, unit and recorded value must be one of its codes'.

    Returns
    -------
    FeatureSpec

    Raises
    ------
    ConfigError
        With every problem, one per line.
    """
    problems: list[str] = []
    flat = _flattened(mapping.get("groups"), where, problems)
    entries = []
    for entry in flat:
        named = f"{where}: {entry.get('name', entry['group'])}"
        feature = read_declared(Feature, entry, named, problems)
        entries += [feature] if feature is not None else []
    raise_if(problems, where)
    rest = {key: value for key, value in mapping.items() if key != "groups"}
    spec = read_declared(FeatureSpec, {**rest, "features": entries}, where, problems)
    if spec is not None:
        problems += _cross_problems(spec, drugs, contract, where)
    raise_if(problems, where)
    if spec is None:
        raise ConfigError(f"{where}: not a feature specification.")
    return spec


def for_modalities(spec: FeatureSpec, modalities: Iterable[Modality | str]) -> FeatureSpec:
    """Return the specification with each waiting time spelled out per modality.

    Parameters
    ----------
    spec : FeatureSpec
        Its `wait_days` entry (kind `wait`, no code) stands for all modalities.
    modalities : iterable of Modality or str
        Configured modalities, or their ids.

    Returns
    -------
    FeatureSpec
        `wait_days_<modality>` in order of id; unchanged where it is spelled out already.

    Raises
    ------
    ConfigError
        If an id is not a lower-case word with underscores.
    """
    labels = dict(
        (entry, entry.replace("_", " ")) if isinstance(entry, str) else (entry.id, entry.label) for entry in modalities
    )
    spelled: list[Feature] = []
    problems: list[str] = []
    for entry in spec.features:
        if entry.kind != "wait" or entry.code is not None:
            spelled.append(entry)
            continue
        for modality, label in sorted(labels.items()):
            changed = {"name": f"{entry.name}_{modality}", "code": modality, "meaning": f"{entry.meaning} {label}"}
            feature = read_declared(Feature, {**entry.model_dump(), **changed}, f"modality '{modality}'", problems)
            spelled += [feature] if feature is not None else []
    raise_if(problems, "modalities")
    if len(spelled) == len(spec.features) and all(a is b for a, b in zip(spelled, spec.features, strict=True)):
        return spec
    return FeatureSpec(
        version=spec.version,
        exposure=spec.exposure,
        mycare_ferritin_cutoff=spec.mycare_ferritin_cutoff,
        features=tuple(spelled),
    )


def model_columns(spec: FeatureSpec, modalities: Iterable[Modality | str] = ()) -> tuple[str, ...]:
    """Return the names of the features that enter learners, in column order."""
    return for_modalities(spec, modalities).with_role("model")


def propensity_columns(spec: FeatureSpec, modalities: Iterable[Modality | str] = ()) -> tuple[str, ...]:
    """Return the columns of the propensity model: `site_id`, then features with that role, in column order."""
    return ("site_id", *for_modalities(spec, modalities).with_role("propensity"))
