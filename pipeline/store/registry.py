"""Which version is the champion, who signed it off, and did nobody else change that in between?

The alias is MLflow's; every change of it here happens under the store's lock, after comparing the champion with the
one that was expected. A sign-off is written before the alias moves, as one tag of the registered model that is never
written again; each names the digest of the one before, so that a changed or removed record is seen. A crash in between
leaves the alias as it was, and a record that says it was not carried out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import ConfigError, DamagedModelError, LockedError
from pipeline.store.files import sha256
from pipeline.store.tracking import CHAMPION, DIGEST_TAG, MODEL_NAME, opened_store, reported, resolve_model

if TYPE_CHECKING:
    from mlflow import MlflowClient

_RECORD = re.compile(r"mmrank\.sign_off\.(\d{6})")
_AT_ONCE = 1000


@dataclass(frozen=True, kw_only=True)
class SignOff:
    """Who let which version go forward; a role, never a person.

    Attributes
    ----------
    number : int
        From 1, without gaps.
    version : str
        Registered version that was to become champion.
    replaced : str or None
        The champion at that moment.
    role, note, override : str
        `override` is the reason to promote although a gate failed; empty where none did.
    signed_at : str
        ISO time, UTC.
    verdict : str
        Of the evaluation.
    digest : str
        Of the version's files.
    previous : str
        SHA-256 of the record before; empty for the first.
    """

    number: int
    version: str
    replaced: str | None
    role: str
    note: str
    override: str
    signed_at: str
    verdict: str
    digest: str
    previous: str


@dataclass(frozen=True)
class Version:
    """One registered version; `facts` are its tags without the prefix `mmrank.`."""

    version: str
    digest: str
    facts: Mapping[str, str]


@dataclass(frozen=True)
class Registry:
    """What is registered under one name.

    Attributes
    ----------
    champion : str or None
    versions : tuple of Version, oldest first
    sign_offs : tuple of SignOff, oldest first
    """

    champion: str | None
    versions: tuple[Version, ...]
    sign_offs: tuple[SignOff, ...]

    def carried_out(self, record: SignOff) -> bool:
        """Tell whether the alias moved after a sign-off; a run that ended between the two leaves it undone."""
        later = [other.replaced for other in self.sign_offs if other.number > record.number]
        return (later[0] if later else self.champion) == record.version

    def signed(self, version: str) -> tuple[SignOff, ...]:
        """Return the sign-offs of a version that were carried out."""
        return tuple(record for record in self.sign_offs if record.version == version and self.carried_out(record))

    def of_digest(self, digest: str) -> Version | None:
        """Return the newest version with these files."""
        return next((entry for entry in reversed(self.versions) if entry.digest == digest), None)


def read_registry(workspace: str | Path, name: str = MODEL_NAME) -> Registry:
    """Return every version, the champion and all sign-offs.

    Raises
    ------
    ConfigError
        If the workspace has no store or nothing registered.
    DamagedModelError
        If a sign-off was changed or removed.
    """
    with opened_store(workspace, create=False) as client, reported(workspace):
        return _registry(client, workspace, name)


def nominate(workspace: str | Path, version: str, canary: Callable[[Path], None], *, name: str = MODEL_NAME) -> bool:
    """Load a version back, and make it champion as long as nobody has signed the champion off.

    Parameters
    ----------
    workspace : path
    version : str
        As `register` returned it.
    canary : callable
        Gets the model directory that the registry gives; must raise if it does not predict as it should.
    name : str
        Registered model.

    Returns
    -------
    bool
        Whether it is now the champion.

    Raises
    ------
    DamagedModelError
        If the registered files are not those that were saved.
    PipelineError
        Whatever `canary` raises; the alias is then left as it was.
    """
    canary(resolve_model(f"models:/{name}/{version}", workspace))
    with opened_store(workspace, create=False) as client, reported(workspace):
        found = _registry(client, workspace, name)
        if found.champion is not None and found.signed(found.champion):
            return False
        client.set_registered_model_alias(name, CHAMPION, version)
    return True


def sign_off(
    workspace: str | Path,
    version: str,
    *,
    expecting: str | None,
    role: str,
    note: str,
    override: str,
    signed_at: str,
    verdict: str,
    name: str = MODEL_NAME,
) -> SignOff:
    """Record a sign-off and make the version champion, if the champion still is the one expected.

    Parameters
    ----------
    workspace : path
    version : str
        Already loaded back by the caller.
    expecting : str or None
        Champion that the reviewer knew of; None for none.
    role, note, override, signed_at, verdict : str
        As in `SignOff`.
    name : str
        Registered model.

    Returns
    -------
    SignOff
        As it stands in the registry.

    Raises
    ------
    LockedError
        If the champion is another one by now, or another run keeps the store locked for five minutes.
    ConfigError
        If there is no such version.
    DamagedModelError
        If an earlier sign-off was changed or removed.
    """
    with opened_store(workspace, create=False) as client, reported(workspace):
        found = _registry(client, workspace, name)
        if found.champion != expecting:
            raise LockedError(
                f"models:/{name}@{CHAMPION}: {_told(found.champion)}, expected {_told(expecting)}: somebody changed it "
                "since. Nothing was changed; compare the two with `mmrank review`, then promote again."
            )
        chosen = next((entry for entry in found.versions if entry.version == version), None)
        if chosen is None:
            raise ConfigError(f"models:/{name}/{version}: got no such version. `mmrank models` lists them.")
        last = found.sign_offs[-1] if found.sign_offs else None
        record = SignOff(
            number=len(found.sign_offs) + 1,
            version=version,
            replaced=found.champion,
            role=role,
            note=note,
            override=override,
            signed_at=signed_at,
            verdict=verdict,
            digest=chosen.digest,
            previous="" if last is None else sha256(_text(last).encode()),
        )
        client.set_registered_model_tag(name, f"mmrank.sign_off.{record.number:06d}", _text(record))
        client.set_registered_model_alias(name, CHAMPION, version)
        # For readers of MLflow's own pages; the record above is what counts.
        told = {"signed_by": role, "signed_at": signed_at, "signed_note": note, "signed_override": override}
        for key, value in told.items():
            client.set_model_version_tag(name, version, f"mmrank.{key}", value)
    return record


def _told(champion: str | None) -> str:
    return "got no champion" if champion is None else f"version {champion}"


def _text(record: SignOff) -> str:
    return json.dumps(asdict(record), sort_keys=True, ensure_ascii=False)


def _registry(client: MlflowClient, workspace: str | Path, name: str) -> Registry:
    found = client.search_registered_models(f"name = '{name}'")
    if not found:
        raise ConfigError(f"{workspace}: got no registered model, wanted {name}. Run `mmrank train` first.")
    versions = []
    page: Any = client.search_model_versions(f"name = '{name}'", max_results=_AT_ONCE)
    while page:
        versions += [_version(entry) for entry in page]
        if not page.token:
            break
        page = client.search_model_versions(f"name = '{name}'", max_results=_AT_ONCE, page_token=page.token)
    champion = found[0].aliases.get(CHAMPION)
    return Registry(
        champion=None if champion is None else str(champion),
        versions=tuple(sorted(versions, key=lambda entry: int(entry.version))),
        sign_offs=_sign_offs(found[0].tags, name),
    )


def _version(entry: Any) -> Version:
    facts = {key.removeprefix("mmrank."): str(value) for key, value in entry.tags.items() if key.startswith("mmrank.")}
    return Version(str(entry.version), str(entry.tags.get(DIGEST_TAG, "")), facts)


def _sign_offs(tags: Mapping[str, str], name: str) -> tuple[SignOff, ...]:
    """Return the records in order, after checking that they follow one another."""
    texts = {int(match[1]): text for key, text in tags.items() if (match := _RECORD.fullmatch(key))}
    records: list[SignOff] = []
    previous = ""
    for number in range(1, len(texts) + 1):
        try:
            record = SignOff(**json.loads(texts[number]))
        except (KeyError, ValueError, TypeError):
            record = None
        if record is None or (record.number, record.previous) != (number, previous):
            raise DamagedModelError(
                f"models:/{name}: sign-off {number} of {len(texts)} or the one before was changed or removed. "
                "Restore the workspace from a copy; nothing is promoted on a record that was tampered with."
            )
        records.append(record)
        previous = sha256(texts[number].encode())
    return tuple(records)
