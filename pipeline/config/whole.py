"""What did the user ask for?

A configuration is one YAML file (say `configs/base.yaml`) that names the rest by
path relative to itself. It is read whole and every problem is told at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipeline.config.settings import UTILITY_NAMES, Settings
from pipeline.declared import read_declared
from pipeline.vocabulary import OUTCOMES, Drug, DrugCatalogue, Modality, Product


@dataclass(frozen=True)
class Config:
    """The whole configuration, checked.

    Attributes
    ----------
    settings : Settings
    modalities : tuple of Modality
        In file-name order of ids.
    products : tuple of Product
    drugs : DrugCatalogue
    """

    settings: Settings
    modalities: tuple[Modality, ...]
    products: tuple[Product, ...]
    drugs: DrugCatalogue

    @cached_property
    def modality_ids(self) -> tuple[str, ...]:
        """Ids of the modalities, in the order that every table uses."""
        return tuple(entry.id for entry in self.modalities)

    @cached_property
    def outcome_names(self) -> tuple[str, ...]:
        """The configured outcomes, in the contract's order."""
        return tuple(name for name in OUTCOMES if name in self.settings.outcomes)

    def weights(self, outcomes: Iterable[str]) -> dict[str, float]:
        """Return the default weights of the outcomes that exist, and of burden."""
        kept = (*outcomes, "burden")
        return {name: float(self.settings.weights.get(name, 0.0)) for name in UTILITY_NAMES if name in kept}


def _read_each(model: type[Any], files: Mapping[str, Mapping[str, Any]], problems: list[str]) -> list[tuple[str, Any]]:
    read = ((where, read_declared(model, mapping, where, problems)) for where, mapping in sorted(files.items()))
    return [(where, entry) for where, entry in read if entry is not None]


def _repeated(named: list[tuple[str, str]], noun: str) -> list[str]:
    counts = Counter(name for _, name in named)
    return [f"{where}: {noun} id '{name}' is declared more than once" for where, name in named if counts[name] > 1]


def read_config(
    where: str,
    settings: Mapping[str, Any],
    modalities: Mapping[str, Mapping[str, Any]],
    products: Mapping[str, Mapping[str, Any]],
    drugs: Mapping[str, Any],
    problems: list[str],
) -> Config | None:
    """Return the whole configuration, or None after adding every problem to `problems`.

    Parameters
    ----------
    where : str
        Name of the top file in messages.
    settings, drugs : mapping
        Parsed YAML of the top file and of the drug catalogue.
    modalities, products : mapping of file name to mapping
        Parsed YAML of each file of the folder.
    problems : list of str
        One line per problem is appended.
    """
    before = len(problems)
    read_settings = read_declared(Settings, settings, where, problems)
    read_modalities = _read_each(Modality, modalities, problems)
    read_products = _read_each(Product, products, problems)
    listed = drugs.get("drugs") if isinstance(drugs.get("drugs"), list) else []
    read_drugs = _read_each(Drug, {f"drugs.yaml[{i:03d}]": entry for i, entry in enumerate(listed or [])}, problems)
    if not read_drugs:
        problems.append("drugs.yaml: got no drugs, wanted a list under 'drugs'")
    problems += _repeated([(w, m.id) for w, m in read_modalities], "modality")
    problems += _repeated([(w, p.id) for w, p in read_products], "product")
    problems += _repeated([(w, d.drug) for w, d in read_drugs], "drug")
    if not read_modalities:
        problems.append(f"{where}: modalities: the folder holds no modality; wanted at least two *.yaml files")
    known_products = {p.id: p for _, p in read_products}
    known_drugs = {d.drug for _, d in read_drugs}
    for file, modality in read_modalities:
        for product in modality.products:
            if product not in known_products:
                problems.append(f"{file}: products: unknown product '{product}'; add it to the products folder")
            elif known_products[product].modality != modality.id:
                problems.append(f"{file}: products: '{product}' names modality '{known_products[product].modality}'")
        if not modality.products and not modality.agents:
            problems.append(f"{file}: needs products, or agents where there are no product files")
    for file, item in [*read_products, *read_modalities]:
        unknown = [agent for agent in item.agents if agent not in known_drugs]
        problems += [f"{file}: agents: unknown drug '{agent}'; add it to the drug catalogue" for agent in unknown]
    if len(problems) > before or read_settings is None:
        return None
    return Config(
        settings=read_settings,
        modalities=tuple(sorted((m for _, m in read_modalities), key=lambda m: m.id)),
        products=tuple(sorted((p for _, p in read_products), key=lambda p: p.id)),
        drugs=DrugCatalogue(tuple(d for _, d in read_drugs)),
    )
