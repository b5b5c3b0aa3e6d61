"""What was trained, with what result, and which version is the champion?

The only importer of MLflow, and only inside functions, since importing it takes seconds.
Its store is one SQLite file and one folder in the workspace: `mlflow ui --backend-store-uri
sqlite:///WORKSPACE/mlflow.db` shows runs, parameters, metrics, figures, tables, the review
page, the model's files, versions and aliases. The model is logged as plain files, which we
read by hash and MLflow not at all; around them stands a flavour by which MLflow hands its
rows to them. Our own commands never run what stands around.
Nothing with a row per patient or decision is ever logged.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.errors import ConfigError, DamagedModelError, PipelineError
from pipeline.store.files import make_folder
from pipeline.store.flavour import INSIDE, Flavour, save_flavour
from pipeline.store.locks import locked
from pipeline.store.model_files import find_model, model_digest

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODEL_NAME = "mmrank"
CHAMPION = "champion"
DATABASE, ARTIFACTS, LOCK = "mlflow.db", "artifacts", "_lock"
DIGEST_TAG, PLACE_TAG = "mmrank.digest", "mmrank.place"
LOCK_WAIT_SECONDS = 300.0
_REFERENCE = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[A-Za-z0-9_.-]+)|/(?P<version>[0-9]+))")
_ROW_KEYS = frozenset({"patient_id", "decision_id", "alias_id"})
# Without it MLflow shows runs among those of language models.
_KIND = {"mlflow.experimentKind": "custom_model_development"}
_PARAMETERS_AT_ONCE, _METRICS_AT_ONCE, _PARAMETER_LENGTH = 100, 500, 6000
_UNFIT = re.compile(r"[^\w\-. /]")


def record_run(
    workspace: str | Path,
    *,
    experiment: str,
    run_name: str,
    parameters: Mapping[str, object],
    metrics: Mapping[str, float | None],
    model_directory: str | Path,
    figures: Mapping[str, str] | None = None,
    tables: Mapping[str, pd.DataFrame] | None = None,
    report_html: str | None = None,
    documents: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
    flavour: Flavour | None = None,
) -> str:
    """Record one training run.

    Parameters
    ----------
    workspace : path
        Made if need be; holds `mlflow.db` and `artifacts/`.
    experiment, run_name : str
        How MLflow lists it.
    parameters : mapping
        Logged as text.
    metrics : mapping of str to float or None
        None and values that are not finite are left out.
    model_directory : path
        As `write_model` wrote it; logged as `model/`.
    figures : mapping of name to SVG text
        Logged as `figures/<name>.svg`.
    tables : mapping of name to DataFrame, aggregated
        Logged as `tables/<name>.csv`.
    report_html : str, optional
        Logged as `review.html`.
    documents : mapping of file name to text
        Logged as they are, for example `evaluation.json`.
    tags : mapping of str to str
    flavour : Flavour or None
        By which MLflow serves the model, whose files then lie one folder deeper; None: plain files only.

    Returns
    -------
    str
        The run's id.

    Raises
    ------
    ValueError
        If a table has a column of patient or decision identifiers.
    LockedError
        If another run keeps the store locked for five minutes.
    PipelineError
        If MLflow cannot write.
    """
    contents = _artifact_texts(figures or {}, tables or {}, report_html, documents or {})
    with opened_store(workspace, create=True) as client, reported(workspace):
        run = client.create_run(_experiment(client, Path(workspace), experiment), run_name=run_name)
        run_id = str(run.info.run_id)
        try:
            _log_settings(client, run_id, parameters, metrics, tags or {})
            with tempfile.TemporaryDirectory(prefix="mmrank-") as folder:
                for name, text in contents.items():
                    path = Path(folder) / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(text, encoding="utf-8")
                client.log_artifacts(run_id, folder)
            with tempfile.TemporaryDirectory(prefix="mmrank-") as folder:
                served = Path(folder) / "model"
                if flavour is not None:
                    save_flavour(served, flavour, model_directory)
                client.log_artifacts(run_id, str(model_directory if flavour is None else served), "model")
        except BaseException:
            client.set_terminated(run_id, status="FAILED")
            raise
        client.set_terminated(run_id, status="FINISHED")
    return run_id


def register(
    workspace: str | Path, run_id: str, name: str = MODEL_NAME, *, facts: Mapping[str, str] | None = None
) -> str:
    """Register the model files of a run as the next version of a model and return the version.

    Parameters
    ----------
    workspace : path
    run_id : str
        As `record_run` returned it.
    name : str
        Registered model.
    facts : mapping of str to str
        What `mmrank models` lists of it: tags of the version, under the prefix `mmrank.`.

    Returns
    -------
    str
        The new version.

    Raises
    ------
    DamagedModelError
        If the files that MLflow keeps are not those that were saved.
    PipelineError
        If MLflow knows no such run or cannot write.
    """
    with opened_store(workspace, create=False) as client, reported(workspace):
        from mlflow.exceptions import MlflowException

        source = f"{client.get_run(run_id).info.artifact_uri}/model"
        place = _plain(_local_path(source))
        digest = model_digest(place)
        with contextlib.suppress(MlflowException):
            client.create_registered_model(name, description="Ranks treatment modalities; plain files read by hash.")
        tags = {f"mmrank.{key}": value for key, value in (facts or {}).items()} | {DIGEST_TAG: digest}
        if place.is_relative_to(Path(workspace).resolve()):
            tags[PLACE_TAG] = place.relative_to(Path(workspace).resolve()).as_posix()
        version = client.create_model_version(name, source=source, run_id=run_id, tags=tags)
    return str(version.version)


def resolve_model(reference: str | Path, workspace: str | Path) -> Path:
    """Return the model directory that a reference means.

    Parameters
    ----------
    reference : str or path
        A run directory, a model directory, `models:/mmrank@champion` or `models:/mmrank/3`.
    workspace : path
        Where names are looked up.

    Raises
    ------
    ConfigError
        If there is no such directory, store, model, version or alias.
    DamagedModelError
        If a registered model's files are not those that were registered.
    """
    if not str(reference).startswith("models:"):
        return find_model(reference)
    wanted = _REFERENCE.fullmatch(str(reference))
    if wanted is None:
        raise ConfigError(f"{reference}: got no model name, wanted models:/mmrank@champion or models:/mmrank/3.")
    with opened_store(workspace, create=False) as client:
        from mlflow.exceptions import MlflowException

        try:
            if wanted["alias"]:
                version = client.get_model_version_by_alias(wanted["name"], wanted["alias"])
            else:
                version = client.get_model_version(wanted["name"], wanted["version"])
        except MlflowException:
            raise ConfigError(
                f"{reference}: the store of {workspace} has no such model, version or alias. "
                "Run `mmrank train` with this --workspace, or name another."
            ) from None
        place = _fetched(Path(workspace).resolve(), version)
    digest = model_digest(place)
    if version.tags.get(DIGEST_TAG) != digest:
        raise DamagedModelError(
            f"{reference}: the files at {place} are not the model that was registered. "
            "Nothing in them was parsed; train and register again."
        )
    return place


def _fetched(workspace: Path, version: Any) -> Path:
    """Return where a version's files are: beside the store even if the workspace was moved, or as MLflow says."""
    if PLACE_TAG in version.tags:
        place = (workspace / str(version.tags[PLACE_TAG])).resolve()
        if place.is_relative_to(workspace) and place.is_dir():
            return place
    place = _plain(_local_path(version.source))
    if not place.is_dir():
        raise ConfigError(
            f"{place}: the registered files are gone. Restore the workspace's {ARTIFACTS} folder, or train again."
        )
    return place


def _plain(place: Path) -> Path:
    """Return where the plain files are of what was registered, with or without a flavour around them."""
    return place / INSIDE if (place / INSIDE).is_dir() else place


def _local_path(uri: str) -> Path:
    from mlflow.artifacts import download_artifacts
    from mlflow.utils.file_utils import local_file_uri_to_path

    if uri.startswith("file:") or "://" not in uri:
        return Path(str(local_file_uri_to_path(uri))).resolve()
    return Path(str(download_artifacts(artifact_uri=uri))).resolve()


@contextlib.contextmanager
def opened_store(workspace: str | Path, *, create: bool) -> Iterator[MlflowClient]:
    """Open the workspace's store, alone: a new SQLite store that several processes initialise at once breaks.

    Raises
    ------
    ConfigError
        If there is no store and none is to be made.
    LockedError
        If another run keeps it locked for five minutes.
    """
    home = Path(workspace).resolve()
    database = home / DATABASE
    if not create and not database.is_file():
        raise ConfigError(f"{home}: got no MLflow store, wanted {DATABASE}. Run `mmrank train` with this --workspace.")
    make_folder(home)
    uri = f"sqlite:///{database}"
    with _quiet():
        from mlflow import MlflowClient

        with locked(home / LOCK, wait_seconds=LOCK_WAIT_SECONDS):
            yield MlflowClient(tracking_uri=uri, registry_uri=uri)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep MLflow from calling home, writing to the terminal and warning about its own parts."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["DO_NOT_TRACK"] = "true"
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.utils.logging_utils  # noqa: F401 - sets its own log levels, which the next lines then lower

        for name in ("mlflow", "alembic", "sqlalchemy"):
            logging.getLogger(name).setLevel(logging.ERROR)
        yield


@contextlib.contextmanager
def reported(workspace: str | Path) -> Iterator[None]:
    """Say in one sentence, without MLflow's words, that the store could not be read or written.

    Parameters
    ----------
    workspace : path

    Raises
    ------
    PipelineError
        In place of any error of MLflow.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as problem:
        raise PipelineError(
            f"{workspace}: MLflow could not read or write the store ({problem.error_code}). "
            "Check that the disk has room and that run, version and workspace belong together."
        ) from None


def _experiment(client: MlflowClient, workspace: Path, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    place = (workspace.resolve() / ARTIFACTS).as_uri()
    return str(client.create_experiment(name, artifact_location=place, tags=_KIND))


def _log_settings(
    client: MlflowClient,
    run_id: str,
    parameters: Mapping[str, object],
    metrics: Mapping[str, float | None],
    tags: Mapping[str, str],
) -> None:
    from mlflow.entities import Metric, Param, RunTag

    settings = [Param(_UNFIT.sub("_", key), str(value)[:_PARAMETER_LENGTH]) for key, value in parameters.items()]
    for start in range(0, len(settings), _PARAMETERS_AT_ONCE):
        client.log_batch(run_id, params=settings[start : start + _PARAMETERS_AT_ONCE])
    begun = client.get_run(run_id).info.start_time
    finite = {key: float(value) for key, value in metrics.items() if value is not None and math.isfinite(value)}
    values = [Metric(_UNFIT.sub("_", key), value, begun, 0) for key, value in finite.items()]
    for start in range(0, len(values), _METRICS_AT_ONCE):
        client.log_batch(run_id, metrics=values[start : start + _METRICS_AT_ONCE])
    client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])


def _artifact_texts(
    figures: Mapping[str, str],
    tables: Mapping[str, pd.DataFrame],
    report_html: str | None,
    documents: Mapping[str, str],
) -> dict[str, str]:
    rowwise = [name for name, table in tables.items() if _ROW_KEYS & {str(column) for column in table.columns}]
    if rowwise:
        raise ValueError(
            f"MLflow tables: {len(rowwise)} have identifiers as a column, first {rowwise[0]!r}; aggregate them"
        )
    texts = {f"figures/{name}.svg": svg for name, svg in figures.items()}
    texts |= {f"tables/{name}.csv": table.to_csv(index=False, lineterminator="\n") for name, table in tables.items()}
    texts |= {"review.html": report_html} if report_html is not None else {}
    texts |= documents
    outside = [name for name in texts if name.startswith("/") or ".." in name.split("/")]
    if outside:
        raise ValueError(f"MLflow artifacts: {len(outside)} names lead outside the run, first {outside[0]!r}")
    return texts
