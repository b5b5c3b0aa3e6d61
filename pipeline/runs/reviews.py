"""How does a trained model become a review page?"""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.errors import ModelMismatchError
from pipeline.evaluate import batch_effects
from pipeline.review import review_page
from pipeline.runs.model_dir import load_model
from pipeline.store import read_predictions, read_text, write_text

_TOLD = ("decision_id", "modality", "status", "overrides", "model_version")


def write_review(model: str, workspace: Path, out: Path, predictions: Path | None = None) -> None:
    """Write the review page of a model; its evaluation must be of the very same model files.

    Parameters
    ----------
    model : str
        A run directory or a registry reference.
    workspace : path
    out : path
    predictions : path or None
        A finished batch of the same model, told of on the page in counts.

    Raises
    ------
    ModelMismatchError
        If the evaluation beside the model, or the batch, is of another model, or the evaluation is missing.
    SchemaError
        If the batch is unfinished or damaged.
    """
    loaded = load_model(model, workspace)
    own = loaded.adviser.model_version
    evaluation = json.loads(read_text(loaded.directory.parent / "evaluation.json", ModelMismatchError))
    if evaluation["model_version"] != own:
        raise ModelMismatchError(
            f"{loaded.directory.parent}/evaluation.json: model version {evaluation['model_version']}, wanted {own}. "
            "The evaluation belongs to another model; train again."
        )
    if predictions is not None:
        batch = read_predictions(predictions, _TOLD)
        others = sorted(set(batch["model_version"]) - {own})
        if others:
            raise ModelMismatchError(
                f"{predictions}: scored by model {others[0]}, wanted {own}. "
                "Review the model that scored it, or score again."
            )
        evaluation["batch"] = batch_effects(batch, loaded.setup.rules, loaded.setup.config.settings.override_roles)
    write_text(out, review_page(evaluation))
