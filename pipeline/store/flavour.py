"""How does MLflow load and serve a model whose files it does not read itself?

What is registered is a folder in MLflow's shape: `served.py`, three lines of code that MLflow runs, and the model
directory, unchanged, under `artifacts/model`, which that code hands to our own loader: checked by hash before it is
parsed, by its canary rows after. Nothing is pickled. The code needs mmrank where it runs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.errors import ConfigError, PipelineError
from pipeline.store.files import read_text, write_text

INSIDE = Path("artifacts") / "model"
"""Where the model directory lies in what is registered."""

CODE = """from mlflow.models import set_model
from pipeline.runs.serving import served_model
set_model(served_model())
"""
_PINNED = ("mlflow", "duckdb", "lightgbm", "numpy", "pandas", "pyarrow")
_UNREADABLE = (
    "The request could not be read or answered. Nothing of it is repeated; docs/integration.md says how one is written."
)
Answer = Callable[[pd.DataFrame, Mapping[str, Any]], pd.DataFrame]


@dataclass(frozen=True)
class Flavour:
    """What MLflow is told of a model.

    Attributes
    ----------
    columns : tuple of str
        Of the table that it takes.
    answers : mapping of column to {'double', 'string'}
        Of the table that it gives.
    asked : mapping of name to default
        What may be asked besides.
    example : mapping of column to value
        A row that is nobody's.
    """

    columns: tuple[str, ...]
    answers: Mapping[str, str]
    asked: Mapping[str, str | int]
    example: Mapping[str, Any]


def save_flavour(path: Path, flavour: Flavour, model_directory: str | Path) -> None:
    """Write a folder that MLflow loads, with a copy of the model directory inside.

    Every column of the signature is optional and of any type: what MLflow itself refuses, it tells with the rows it
    was given; so it refuses nothing, and our own checks tell columns and counts.

    Parameters
    ----------
    path : path
        New.
    flavour : Flavour
    model_directory : path
    """
    from mlflow import pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import AnyType

    kinds = {name: "long" if isinstance(told, int) else "string" for name, told in flavour.asked.items()}
    signature = ModelSignature(
        inputs=Schema([ColSpec(AnyType(), name, required=False) for name in flavour.columns]),
        outputs=Schema([ColSpec(kind, name, required=False) for name, kind in flavour.answers.items()]),
        params=ParamSchema([ParamSpec(name, kinds[name], told) for name, told in flavour.asked.items()]),
    )
    with tempfile.TemporaryDirectory(prefix="mmrank-") as folder:
        code = Path(folder) / "served.py"
        write_text(code, CODE)
        pyfunc.save_model(
            path=str(path),
            python_model=str(code),
            artifacts={INSIDE.name: str(model_directory)},
            signature=signature,
            input_example=pd.DataFrame([dict(flavour.example)], columns=list(flavour.columns), dtype="object"),
            # Without mmrank: a bare name would be looked for, and found or planted, on a public index.
            pip_requirements=[f"{name}=={version(name)}" for name in _PINNED],
            metadata={"mmrank": version("mmrank")},
        )
        # Where the files were on this machine is nobody's business; MLflow looks at the last part of each path.
        told = read_text(path / "MLmodel").replace(str(code), code.name).replace(str(model_directory), str(INSIDE))
        write_text(path / "MLmodel", told)


def around(model_directory: Path) -> Path:
    """Return the folder in which other files about a model lie: the one it is in, or that around its flavour."""
    outside = model_directory.parents[len(INSIDE.parts) - 1]
    is_inside = model_directory.parts[-len(INSIDE.parts) :] == INSIDE.parts and (outside / "MLmodel").is_file()
    return outside.parent if is_inside else model_directory.parent


def python_model(load: Callable[[Path], Answer]) -> Any:
    """Return the object that MLflow's code sets as the model.

    Parameters
    ----------
    load : callable
        Gets the model directory; returns what answers a table and what is asked besides.
    """
    from mlflow.pyfunc import PythonModel

    class Served(PythonModel):  # type: ignore[misc]
        """Hands MLflow's table on, and MLflow's folder to our own loader."""

        _skip_type_hint_validation = True

        def load_context(self, context: Any) -> None:
            _keep_rows_out_of_answers()
            self._answer = load(Path(context.artifacts[INSIDE.name]))

        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
            # Unannotated: by annotations MLflow would check rows itself, and repeat them.
            return self._answer(model_input, params or {})

    return Served()


def _keep_rows_out_of_answers() -> None:
    """Make MLflow's scoring server, if it runs in this process, tell what was wrong without what it was sent.

    Left alone it answers every error with the whole request, and writes it where errors are written.

    Raises
    ------
    ConfigError
        If this MLflow's server is built otherwise, so that its errors cannot be kept clean.
    """
    from mlflow.exceptions import BAD_REQUEST, MlflowException
    from mlflow.pyfunc import scoring_server as server

    honest = getattr(server, "invocations", None)
    if not callable(honest):
        raise ConfigError("MLflow's scoring server repeats rows in its errors. Serve with mlflow>=3.17,<3.18.")
    if getattr(honest, "keeps_rows", False):
        return

    def invocations(*given: Any, **named: Any) -> Any:
        ours: BaseException | None = None
        try:
            return honest(*given, **named)
        except MlflowException as problem:
            ours = problem.__context__
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError):
            pass
        words = str(ours) if isinstance(ours, PipelineError) else _UNREADABLE
        raise MlflowException(words, error_code=BAD_REQUEST)

    invocations.keeps_rows = True  # type: ignore[attr-defined]
    server.invocations = invocations
