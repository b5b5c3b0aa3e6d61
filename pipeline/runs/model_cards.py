"""How does a run become a model card beside its review page?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.declared import parse_yaml, raise_if, read_declared
from pipeline.review import review_sections
from pipeline.review.model_card import (
    CardList,
    Statements,
    card_parts,
    model_card,
    model_card_markdown,
    unknown_statements,
)
from pipeline.store import read_text, shipped

_LISTS = ("hti_1.yaml", "tripod_ai.yaml")


def card_pages(evaluation: Mapping[str, Any], statements: Statements, review: str) -> dict[str, str]:
    """Return the model card as `.html` and `.md`, by file name.

    Parameters
    ----------
    evaluation : mapping
        The content of `evaluation.json`.
    statements : Statements
        The institution's own.
    review : str
        File name of the review page, which stands in the same folder.
    """
    sections = {section.anchor: section.title for section in review_sections(evaluation)}
    parts = card_parts(card_lists(), statements, evaluation, sections)
    name = card_name(review)
    return {
        name: model_card(parts, evaluation, review),
        name.removesuffix(".html") + ".md": model_card_markdown(parts, evaluation, review),
    }


def card_name(review: str) -> str:
    """Return the file name of the card that belongs to a review page."""
    stem = Path(review).stem
    return "model_card.html" if stem == "review" else f"{stem}_model_card.html"


def card_lists() -> tuple[CardList, ...]:
    """Return the lists of questions that ship with the program."""
    problems: list[str] = []
    found = []
    for name in _LISTS:
        path = shipped("configs") / "model_card" / name
        found.append(read_declared(CardList, parse_yaml(read_text(path), name), name, problems))
    raise_if(problems, "model card")
    return tuple(entry for entry in found if entry is not None)


def read_statements(path: Path | None) -> Statements:
    """Return what an institution says for itself; nothing without a file.

    Raises
    ------
    ConfigError
        With every problem of the file.
    """
    if path is None:
        return Statements()
    problems: list[str] = []
    found = read_declared(Statements, parse_yaml(read_text(path), str(path)), str(path), problems)
    problems += unknown_statements(card_lists(), found) if found is not None else []
    raise_if(problems, str(path))
    return found or Statements()
