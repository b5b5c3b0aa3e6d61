"""What is in a model directory, and does it still say what it said when it was saved?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from lightgbm.basic import LightGBMError

from pipeline.advice import Adviser
from pipeline.errors import DamagedModelError, ModelMismatchError
from pipeline.learners import SuitabilityModel, model_files, model_from_files
from pipeline.runs.setup import Setup, setup_of
from pipeline.store import around, canonical_json, read_model, read_text, resolve_model, sha256, write_model

CONFIGURATION, CANARY, ABOUT = "configuration.json", "canary.json", "about.json"
EVALUATION = "evaluation.json"
"""What training measured; stands beside the model directory, or beside the flavour around it."""
_CANARY_TOLERANCE = 1e-9
_CANARY_ROWS = 5


@dataclass(frozen=True)
class Loaded:
    """A verified model with its own configuration.

    Attributes
    ----------
    adviser : Adviser
    setup : Setup
    about : mapping
        Title, simulated flag, training counts per modality, typical values, people alike, and the profile of the
        training decisions (`reference`).
    directory : Path
    """

    adviser: Adviser
    setup: Setup
    about: Mapping[str, Any]
    directory: Path


def save_model(directory: Path, model: SuitabilityModel, setup: Setup, about: dict[str, Any]) -> str:
    """Write a model directory and return the model version.

    It holds boosters as text, arrays, the whole configuration, a canary made of no patient's values, and a
    manifest with the SHA-256 of each file.
    """
    files: dict[str, bytes] = model_files(model)
    files[CONFIGURATION] = canonical_json({"texts": dict(setup.texts)})
    files[ABOUT] = canonical_json(about)
    rows = canary_rows(model)
    files[CANARY] = canonical_json({"outcomes": model.outcomes(rows).tolist()})
    write_model(directory, files)
    return version_of(files)


def load_model(reference: str, workspace: Path) -> Loaded:
    """Return the model that a reference means, verified by hash before parsing and by canary after.

    Raises
    ------
    DamagedModelError
        If a file is missing, changed or foreign, or the canary predicts something else.
    ConfigError
        If there is no such model.
    """
    return load_directory(resolve_model(reference, workspace))


def load_directory(directory: Path) -> Loaded:
    """Return the model of a directory, verified.

    Raises
    ------
    DamagedModelError
        As `load_model`, and if files that fit their manifest cannot be read.
    """
    files = read_model(directory)
    with _legible(directory):
        model = speaking_model(directory, files)
        setup = setup_of(json.loads(files[CONFIGURATION])["texts"], "model configuration")
        about: Mapping[str, Any] = json.loads(files[ABOUT])
    adviser = Adviser(
        model=model,
        config=setup.config,
        rules=setup.rules,
        model_version=version_of(files),
        ruleset_version=setup.rules.digest[:16],
    )
    return Loaded(adviser=adviser, setup=setup, about=about, directory=directory)


@contextmanager
def _legible(directory: Path) -> Iterator[None]:
    """Say in one sentence that verified files cannot be read: their manifest was made to fit, or another wrote them."""
    try:
        yield
    except (ValueError, LookupError, TypeError, EOFError, BadZipFile, LightGBMError) as problem:
        raise DamagedModelError(
            f"{directory}: its files fit their manifest but cannot be read ({type(problem).__name__}): it was changed "
            "with them, or another program wrote them. Take the model from its registry or train it again."
        ) from None


def evaluation_of(directory: Path) -> Path:
    """Return where the evaluation of a model directory is, or would be."""
    return around(directory) / EVALUATION


def read_evaluation(directory: Path) -> dict[str, Any]:
    """Return the evaluation beside a model directory.

    Parameters
    ----------
    directory : path

    Returns
    -------
    dict

    Raises
    ------
    ModelMismatchError
        If there is none that can be read.
    """
    found: dict[str, Any] = json.loads(read_text(evaluation_of(directory), ModelMismatchError))
    return found


def version_of(files: Mapping[str, bytes]) -> str:
    """Return the model version: the head of the digest of all its files, rules and configuration included."""
    return sha256(b"".join(name.encode() + content for name, content in sorted(files.items())))[:16]


def speaking_model(directory: Path, files: Mapping[str, bytes]) -> SuitabilityModel:
    """Return the model of verified files, having heard its canary.

    Raises
    ------
    DamagedModelError
        If the canary rows predict something else than when the model was saved.
    """
    model = model_from_files(files)
    wanted = np.array(json.loads(files[CANARY])["outcomes"])
    got = model.outcomes(canary_rows(model))
    if got.shape != wanted.shape or not np.allclose(got, wanted, rtol=0, atol=_CANARY_TOLERANCE):
        raise DamagedModelError(
            f"{directory}: the canary rows predict something else than when the model was saved. "
            "The installed LightGBM may differ; install from requirements.lock, or train again."
        )
    return model


def canary_rows(model: SuitabilityModel) -> pd.DataFrame:
    """Return rows spread between the stored ends of each feature's range; no patient's row."""
    steps = np.linspace(0.0, 1.0, _CANARY_ROWS)
    columns: dict[str, Any] = {}
    for place, name in enumerate(model.columns.names):
        if name in model.columns.levels:
            levels = list(model.columns.levels[name])
            chosen = [levels[row % len(levels)] if levels else None for row in range(_CANARY_ROWS)]
            columns[name] = pd.Categorical(chosen, categories=levels)
            continue
        low, high = model.contract.ranges.get(name, (np.nan, np.nan))
        columns[name] = low + (high - low) * np.roll(steps, place)
    return pd.DataFrame(columns)
