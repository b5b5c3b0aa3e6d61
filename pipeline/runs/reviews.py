"""How does a trained model become a review page?"""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.errors import ModelMismatchError
from pipeline.review import review_page
from pipeline.runs.model_dir import load_model
from pipeline.store import read_text, write_text


def write_review(model: str, workspace: Path, out: Path) -> None:
    """Write the review page of a model; its evaluation must be of the very same model files.

    Raises
    ------
    ModelMismatchError
        If the evaluation beside the model is of another model, or is missing.
    """
    loaded = load_model(model, workspace)
    evaluation = json.loads(read_text(loaded.directory.parent / "evaluation.json", ModelMismatchError))
    if evaluation["model_version"] != loaded.adviser.model_version:
        raise ModelMismatchError(
            f"{loaded.directory.parent}/evaluation.json: model version {evaluation['model_version']}, wanted "
            f"{loaded.adviser.model_version}. The evaluation belongs to another model; train again."
        )
    write_text(out, review_page(evaluation))
