"""How does a trained model become a review page?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import ModelMismatchError
from pipeline.evaluate import batch_effects
from pipeline.review import review_page, review_tables
from pipeline.review.model_card import Statements
from pipeline.runs.model_cards import card_name, card_pages, read_statements
from pipeline.runs.model_dir import evaluation_of, load_model, read_evaluation
from pipeline.store import read_predictions, write_tables, write_text

_TOLD = ("decision_id", "modality", "status", "overrides", "model_version")
_ABOUT = "The tables of the review page beside this folder. Made anew with the page, which clears this folder.\n"


def write_review(
    model: str,
    workspace: Path,
    out: Path,
    predictions: Path | None = None,
    statements: Path | None = None,
    against: Mapping[str, Any] | None = None,
) -> None:
    """Write the review page of a model; its evaluation must be of the very same model files.

    Parameters
    ----------
    model : str
        A run directory or a registry reference.
    workspace : path
    out : path
    predictions : path or None
        A finished batch of the same model, told of on the page in counts.
    statements : path or None
        What the institution says for itself in the model card.
    against : mapping or None
        As `runs.comparing.compare_with` returns it.

    Raises
    ------
    ModelMismatchError
        If the evaluation beside the model, or the batch, is of another model, or the evaluation is missing.
    SchemaError
        If the batch is unfinished or damaged.
    """
    said = read_statements(statements)
    loaded = load_model(model, workspace)
    own = loaded.adviser.model_version
    evaluation = read_evaluation(loaded.directory)
    if evaluation["model_version"] != own:
        raise ModelMismatchError(
            f"{evaluation_of(loaded.directory)}: model version {evaluation['model_version']}, wanted {own}. "
            "The evaluation belongs to another model; train again."
        )
    if against is not None:
        evaluation["against"] = against
    if predictions is not None:
        batch = read_predictions(predictions, _TOLD)
        others = sorted(set(batch["model_version"]) - {own})
        if others:
            raise ModelMismatchError(
                f"{predictions}: scored by model {others[0]}, wanted {own}. "
                "Review the model that scored it, or score again."
            )
        evaluation["batch"] = batch_effects(batch, loaded.setup.rules, loaded.setup.config.settings.override_roles)
    write_page(out, evaluation, said)


def write_page(out: Path, evaluation: Mapping[str, Any], statements: Statements | None = None) -> dict[str, str]:
    """Write a review page, its model card beside it and its tables into `<page>-tables`; return page and card by name.

    Parameters
    ----------
    out : path
        The page.
    evaluation : mapping
        The content of `evaluation.json`.
    statements : Statements or None
        The institution's own, for the model card.

    Returns
    -------
    dict of str to str
        Page and model card, by file name.

    Raises
    ------
    ConfigError
        If the folder of tables holds anything that this did not write.
    """
    pages = {out.name: review_page(evaluation, card_name(out.name))}
    pages |= card_pages(evaluation, statements or Statements(), out.name)
    write_tables(out, review_tables(evaluation), _ABOUT)
    for name, text in pages.items():
        write_text(out.with_name(name), text)
    return pages
