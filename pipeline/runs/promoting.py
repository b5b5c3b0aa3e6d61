"""May this version become the champion, and who says so?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError, DamagedModelError, GateError
from pipeline.runs.model_dir import evaluation_of, load_directory, version_of
from pipeline.runs.registering import evaluation_digest, gates_of
from pipeline.store import (
    CHAMPION,
    MODEL_NAME,
    Registry,
    SignOff,
    Version,
    model_digest,
    read_model,
    read_registry,
    read_text,
    resolve_model,
    sign_off,
)

REVIEWERS = ("data scientist", "clinical informatician")
"""Roles that may sign a model off, beside those that the configuration declares for overrides."""
NO_CHAMPION = "none"
_LONGEST_TEXT = 1000
_GATE_WORDS = {
    "verdict": "the review says stop",
    "student": "the students do not follow the committee",
    "leaks": "a feature gives the modality away",
}


@dataclass(frozen=True)
class Listed:
    """What is known of one registered version.

    Attributes
    ----------
    version, model_version, title, created, verdict : str
        Empty where it was registered by an earlier mmrank.
    issues : int or None
    gates : mapping of gate to bool
    simulated, is_champion : bool
    sign_offs : tuple of SignOff
        Those that made it champion.
    unfinished : tuple of SignOff
        Recorded, but the run ended before the champion changed.
    """

    version: str
    model_version: str
    title: str
    created: str
    verdict: str
    issues: int | None
    gates: Mapping[str, bool]
    simulated: bool
    is_champion: bool
    sign_offs: tuple[SignOff, ...]
    unfinished: tuple[SignOff, ...]


def registered_models(workspace: Path) -> tuple[Listed, ...]:
    """Return every registered version, newest first.

    Raises
    ------
    ConfigError
        If the workspace has no store or nothing registered.
    DamagedModelError
        If a sign-off was changed or removed.
    """
    registry = read_registry(workspace)
    return tuple(_listed(registry, entry) for entry in reversed(registry.versions))


def promote(
    model: str,
    workspace: Path,
    *,
    reviewer: str,
    note: str = "",
    override: str = "",
    expecting: str | None = None,
) -> SignOff:
    """Sign a registered version off and make it champion.

    Parameters
    ----------
    model : str
        `models:/mmrank/3`, `models:/mmrank@champion`, or the run directory of a registered model.
    workspace : path
    reviewer : str
        A role that the model's configuration declares, or one of `REVIEWERS`; never a person's name.
    note : str
        What the reviewer saw; needed unless the verdict is `go`.
    override : str
        Reason to promote although a gate fails.
    expecting : str or None
        Version that is champion, or `none`; by default the one found when this starts.

    Returns
    -------
    SignOff

    Raises
    ------
    ConfigError
        If there is no such version, or the role or a text is not one that may be recorded.
    GateError
        If a gate fails and no reason is given, or the verdict asks for a note.
    DamagedModelError
        If the files, their canary or the evaluation are not those that were registered; no reason overrides that.
    LockedError
        If the champion changed in between.
    """
    registry = read_registry(workspace)
    before = registry.champion if expecting is None else _expected(expecting)
    chosen = _chosen(model, registry, workspace)
    reference = f"models:/{MODEL_NAME}/{chosen.version}"
    directory = resolve_model(reference, workspace)
    note, override = note.strip(), override.strip()
    _refuse_odd_text("--note", note)
    _refuse_odd_text("--override", override)
    evaluation = _own_evaluation(reference, chosen, directory)
    _refuse_unmet(reference, evaluation, note=note, override=override)
    loaded = load_directory(directory)
    role = _declared_role(reviewer, (*loaded.setup.config.settings.override_roles, *REVIEWERS))
    return sign_off(
        workspace,
        chosen.version,
        expecting=before,
        role=role,
        note=note,
        override=override,
        signed_at=datetime.now(UTC).isoformat(timespec="seconds"),
        verdict=evaluation["verdict"]["result"],
    )


def _listed(registry: Registry, entry: Version) -> Listed:
    facts, own = entry.facts, [record for record in registry.sign_offs if record.version == entry.version]
    issues = facts.get("issues", "")
    gates = {key.removeprefix("gate."): value == "pass" for key, value in facts.items() if key.startswith("gate.")}
    return Listed(
        version=entry.version,
        model_version=facts.get("model_version", ""),
        title=facts.get("title", ""),
        created=facts.get("created", ""),
        verdict=facts.get("verdict", ""),
        issues=int(issues) if issues.isdigit() else None,
        gates=dict(sorted(gates.items())),
        simulated=facts.get("simulated") == "true",
        is_champion=entry.version == registry.champion,
        sign_offs=registry.signed(entry.version),
        unfinished=tuple(record for record in own if not registry.carried_out(record)),
    )


def _expected(text: str) -> str | None:
    if text == NO_CHAMPION:
        return None
    if not text.isdigit():
        raise ConfigError(f"--expecting: got no version, wanted a number such as 3, or {NO_CHAMPION}.")
    return text


def _chosen(model: str, registry: Registry, workspace: Path) -> Version:
    """Return the registered version that a reference means; of a directory, the newest with the same files."""
    digest = model_digest(resolve_model(model, workspace))
    number = model.rpartition("/")[2]
    if model == f"models:/{MODEL_NAME}@{CHAMPION}":
        number = registry.champion or ""
    named = next(
        (entry for entry in registry.versions if model.startswith("models:") and entry.version == number), None
    )
    found = named or registry.of_digest(digest)
    if found is None:
        raise ConfigError(
            f"{model}: none of the {len(registry.versions)} registered versions has these files. "
            "Name the workspace it was trained with, or list versions with `mmrank models`."
        )
    return found


def _declared_role(reviewer: str, roles: tuple[str, ...]) -> str:
    """Return the role as declared; what was typed is not repeated, since it may be a name."""
    plain = " ".join(reviewer.lower().split())
    for role in roles:
        if " ".join(role.lower().split()) == plain:
            return role
    raise ConfigError(
        f"--reviewer: got a role that is not declared, wanted one of {', '.join(dict.fromkeys(roles))}. "
        "A sign-off names a role, never a person; add roles under override_roles in the configuration."
    )


def _refuse_odd_text(option: str, text: str) -> None:
    if len(text) > _LONGEST_TEXT or not all(sign.isprintable() or sign == "\n" for sign in text):
        raise ConfigError(
            f"{option}: got {len(text)} characters, wanted at most {_LONGEST_TEXT} that can be printed. "
            "Keep the long version in your own files and name it here."
        )


def _own_evaluation(reference: str, chosen: Version, directory: Path) -> dict[str, Any]:
    """Return the evaluation that was registered with a version."""
    path = evaluation_of(directory)
    text = read_text(path, DamagedModelError)
    try:
        found = json.loads(text)
        is_own = isinstance(found, dict) and found.get("model_version") == version_of(read_model(directory))
        digest = evaluation_digest(found) if is_own else ""
    except ValueError:
        is_own, digest = False, ""
    if not is_own or chosen.facts.get("evaluation", digest) != digest:
        raise DamagedModelError(
            f"{reference}: {path} is not the evaluation that was registered with it. Train and register again."
        )
    return dict(found)


def _refuse_unmet(reference: str, evaluation: Mapping[str, Any], *, note: str, override: str) -> None:
    failed = [name for name, passed in gates_of(evaluation).items() if not passed]
    if failed and not override:
        raise GateError(
            f"{reference}: {'; '.join(_GATE_WORDS[name] for name in failed)}. Wanted every gate passed. "
            f"{evaluation['verdict']['words']} Train again, or give --override with the reason."
        )
    if override and not failed:
        raise ConfigError(f"{reference}: every gate is passed, so there is nothing to override. Use --note instead.")
    if evaluation["verdict"]["result"] != "go" and not note:
        raise GateError(
            f"{reference}: {evaluation['verdict']['words']} Wanted the reviewer's own words on it. Give --note."
        )
