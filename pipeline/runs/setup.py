"""Which configuration, rules and contract does this run use?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.config import Config, read_config
from pipeline.declared import parse_yaml, raise_if, read_declared
from pipeline.errors import ConfigError, PipelineError, RuleError
from pipeline.evaluate import PublishedRule, PublishedTrials
from pipeline.features import FeatureSpec, catalogue, for_modalities, parse_spec
from pipeline.features.facts import Fact
from pipeline.guardrails import RuleSet, parse_rules
from pipeline.records import Source, parse_source
from pipeline.schema import Contract, parse_contract
from pipeline.store import declared_folder, read_text, shipped

SETTINGS, FEATURES, DRUGS, SOURCE = "settings.yaml", "features.yaml", "drugs.yaml", "source.yaml"
PUBLISHED, TRIALS = "published_rule.yaml", "published_trials.yaml"
_FOLDERS = ("modalities", "products", "guardrails")


@dataclass(frozen=True)
class Setup:
    """One whole, checked configuration.

    Attributes
    ----------
    texts : mapping of name to text
        Every declared file, as saved inside a model.
    config : Config
    spec : FeatureSpec
        Spelled out for the configured modalities.
    facts : mapping of name to Fact
    rules : RuleSet
    source : Source
    contract : Contract
    published_rule : PublishedRule or None
    published_trials : PublishedTrials or None
    """

    texts: Mapping[str, str]
    config: Config
    spec: FeatureSpec
    facts: Mapping[str, Fact]
    rules: RuleSet
    source: Source
    contract: Contract
    published_rule: PublishedRule | None = None
    published_trials: PublishedTrials | None = None

    @property
    def meanings(self) -> dict[str, tuple[str, str]]:
        """Feature to (meaning, unit), as people read it; the unit of a truth value is `boolean`."""
        ages = {
            entry.age_column: (entry.age_meaning, "days")
            for entry in self.spec.features
            if entry.age_column is not None
        }
        return ages | {
            entry.name: (entry.meaning, "boolean" if entry.dtype == "boolean" else entry.unit or "")
            for entry in self.spec.features
        }


def read_setup(config: Path, source: Path | None = None) -> Setup:
    """Return the setup that a configuration file names.

    Parameters
    ----------
    config : path
        For example `configs/base.yaml`; the files it names are relative to it.
    source : path or None
        A source configuration that replaces the one named.

    Raises
    ------
    ConfigError
        With every problem of every file.
    RuleError
        If a guardrail rule is wrong.
    """
    text = read_text(config)
    settings = parse_yaml(text, str(config))
    home = config.parent
    texts, files = {SETTINGS: text}, {SETTINGS: str(config)}
    problems: list[str] = []
    for name, key in ((FEATURES, "features"), (DRUGS, "drugs"), (SOURCE, "source")):
        chosen = source if name == SOURCE and source is not None else home / str(settings.get(key, name))
        files[name] = str(chosen)
        _collect(lambda path=chosen: {"": read_text(path)}, name, texts, problems)
    for name, key in ((PUBLISHED, "published_rule"), (TRIALS, "published_trials")):
        if settings.get(key) is not None:
            path = home / str(settings[key])
            _collect(lambda path=path: {"": read_text(path)}, name, texts, problems)
    for folder in _FOLDERS:
        if settings.get(folder) is not None:
            path = home / str(settings[folder])
            _collect(lambda path=path: declared_folder(path), f"{folder}/", texts, problems)
    raise_if(problems, str(config))
    return setup_of(texts, str(config), files)


def _collect(read: Any, prefix: str, texts: dict[str, str], problems: list[str]) -> None:
    try:
        found: Mapping[str, str] = read()
    except ConfigError as problem:
        problems.append(str(problem))
        return
    for where, text in found.items():
        texts[prefix + PurePosixPath(where).name if where else prefix] = text


def with_source(setup: Setup, source: Path | None) -> Setup:
    """Return the setup with another source configuration, or as it is."""
    if source is None:
        return setup
    return setup_of({**setup.texts, SOURCE: read_text(source)}, "model configuration", {SOURCE: str(source)})


def setup_of(texts: Mapping[str, str], where: str, files: Mapping[str, str] | None = None) -> Setup:
    """Return the setup that named texts declare; the same for a file on disk and for a saved model.

    Parameters
    ----------
    texts : mapping of name to text
    where : str
        How the whole is named in messages.
    files : mapping of name to path, or None
        How a text that was read from a file of another name is named in messages.

    Raises
    ------
    ConfigError
        With every problem of every file.
    RuleError
        If a guardrail rule is wrong.
    """
    problems: list[str] = []
    parsed: dict[str, dict[str, Any]] = {}
    told = {name: name for name in (*texts, FEATURES, SOURCE)} | dict(files or {})
    for name, text in texts.items():
        error: type[PipelineError] = RuleError if name.startswith("guardrails/") else ConfigError
        try:
            parsed[name] = parse_yaml(text, told[name], error)
        except ConfigError as problem:
            problems.append(str(problem))
    contract = shipped_contract()
    groups = {
        folder: {name: mapping for name, mapping in parsed.items() if name.startswith(f"{folder}/")}
        for folder in _FOLDERS
    }
    config = read_config(
        where, parsed.get(SETTINGS, {}), groups["modalities"], groups["products"], parsed.get(DRUGS, {}), problems
    )
    spec, source = None, None
    try:
        spec = parse_spec(parsed.get(FEATURES, {}), config.drugs if config else None, told[FEATURES], contract)
    except ConfigError as problem:
        problems.append(str(problem))
    try:
        source = parse_source(parsed.get(SOURCE, {}), told[SOURCE], contract)
    except ConfigError as problem:
        problems.append(str(problem))
    published = read_declared(PublishedRule, parsed[PUBLISHED], PUBLISHED, problems) if PUBLISHED in parsed else None
    trials = read_declared(PublishedTrials, parsed[TRIALS], TRIALS, problems) if TRIALS in parsed else None
    raise_if(problems, where)
    if config is None or spec is None or source is None:
        raise ConfigError(f"{where}: the configuration could not be read. Compare it with configs/base.yaml.")
    facts = catalogue(spec, config.drugs, config.modalities)
    written = {name: text for name, text in texts.items() if name.startswith("guardrails/")}
    rules = parse_rules(groups["guardrails"], facts, config.products, written)
    return Setup(
        texts=dict(sorted(texts.items())),
        config=config,
        spec=for_modalities(spec, config.modalities),
        facts=facts,
        rules=rules,
        source=source,
        contract=contract,
        published_rule=published,
        published_trials=trials,
    )


def shipped_contract() -> Contract:
    """Return the records contract that ships with the program."""
    folder = declared_folder(shipped("data_schema"))
    return parse_contract({where: parse_yaml(text, where) for where, text in folder.items()})
