"""Which questions does a model card ask, who can answer each, and what is still open?

The lists (ONC HTI-1, TRIPOD+AI) are declared in configs/model_card/. An answer comes from this run, is true of the
software, or is the institution's own; what nobody answered is said to be open. Nothing is invented.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, StringConstraints, model_validator

from pipeline.declared import Declared, did_you_mean
from pipeline.review.model_card_facts import ANSWERS, run_answers
from pipeline.review.reading import text_in
from pipeline.review.templating import rendered
from pipeline.review.wording import NOT_AVAILABLE, SIMULATED, Badge

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]
TO_COMPLETE = "to be completed by the institution"
RUN = Badge("clear", "✓", "from this run", "Read from this run's evaluation.")
SOFTWARE = Badge("plain", "·", "of the software", "True of every model that this software makes.")
INSTITUTION = Badge("caution", "§", "the institution's statement", "Supplied by the institution, not checked here.")
OPEN = Badge("unknown", "?", TO_COMPLETE, "Nobody has answered this yet.")
_MARKUP = re.compile(r"([\\`*_\[\]<>|#&])")


class Item(Declared):
    """One question: `software` is true of every model, `run` names an answer of the run, `complete` stays open."""

    id: str
    number: str
    asks: Text
    software: Text | None = None
    run: str | None = None
    complete: Text | None = None
    see: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _can_be_answered(self) -> Item:
        if not (self.software or self.run or self.complete):
            raise ValueError(f"{self.id} has no way to be answered; give software, run or complete")
        if self.run is not None and self.run not in ANSWERS:
            raise ValueError(f"{self.id}: no run answers {self.run}{did_you_mean(self.run, list(ANSWERS))}")
        return self


class Group(Declared):
    """Questions under one head."""

    title: str
    items: tuple[Item, ...]


class CardList(Declared):
    """One published list; `expected` is how many questions it has, so that none is lost."""

    title: str
    source: str
    expected: int = Field(gt=0)
    groups: tuple[Group, ...]

    @model_validator(mode="after")
    def _is_whole(self) -> CardList:
        names = [item.id for group in self.groups for item in group.items]
        if len(set(names)) != len(names) or len(names) != self.expected:
            raise ValueError(f"{len(names)} questions, {len(set(names))} of them different, wanted {self.expected}")
        return self


class Statements(Declared):
    """What an institution says for itself, by the id of a question."""

    statements: Mapping[str, Text] = {}


@dataclass(frozen=True)
class Answer:
    """One part of an answer and whose it is."""

    origin: Badge
    text: str


@dataclass(frozen=True)
class Answered:
    """A question with its answers; `links` are (section of the review page, its name)."""

    item: Item
    answers: tuple[Answer, ...]
    links: tuple[tuple[str, str], ...]

    @property
    def is_open(self) -> bool:
        """Whether something is left for the institution to say."""
        return any(answer.origin is OPEN for answer in self.answers)


@dataclass(frozen=True)
class Part:
    """One list with its answers, group by group."""

    title: str
    source: str
    groups: tuple[tuple[str, tuple[Answered, ...]], ...]

    @property
    def totals(self) -> tuple[int, int]:
        """Return how many questions there are, and how many still have something open."""
        answered = [entry for _, entries in self.groups for entry in entries]
        return len(answered), sum(entry.is_open for entry in answered)


def card_parts(
    lists: Sequence[CardList], statements: Statements, evaluation: Mapping[str, Any], sections: Mapping[str, str]
) -> tuple[Part, ...]:
    """Return every question with what the run, the software and the institution say.

    Parameters
    ----------
    lists : sequence of CardList
    statements : Statements
    evaluation : mapping
        The content of `evaluation.json`.
    sections : mapping of anchor to title
        Sections that the review page has; links lead to no others.
    """
    told = run_answers(evaluation)
    return tuple(
        Part(
            declared.title,
            declared.source,
            tuple(
                (group.title, tuple(_answered(item, told, statements, sections) for item in group.items))
                for group in declared.groups
            ),
        )
        for declared in lists
    )


def unknown_statements(lists: Sequence[CardList], statements: Statements) -> list[str]:
    """Return one problem per statement that answers no question."""
    known = [item.id for declared in lists for group in declared.groups for item in group.items]
    return [
        f"statements.{name}: no question has this id{did_you_mean(name, known)}"
        for name in statements.statements
        if name not in known
    ]


def model_card(parts: Sequence[Part], evaluation: Mapping[str, Any], review: str) -> str:
    """Return the model card as one self-contained HTML text; `review` is the file name of the review page beside it."""
    return rendered("model_card.html.j2", {"parts": parts, "review": review, **_heads(evaluation)})


def model_card_markdown(parts: Sequence[Part], evaluation: Mapping[str, Any], review: str) -> str:
    """Return the same card as Markdown, for a repository or a form."""
    heads = _heads(evaluation)
    lines = [f"# Model card: {_escaped(heads['title'])}", ""]
    lines += [f"**{SIMULATED}**", ""] if heads["simulated"] else []
    lines += [f"Model version `{_escaped(heads['model_version'])}`. Numbers: [review page]({review}).", ""]
    for part in parts:
        total, still_open = part.totals
        lines += [
            f"## {part.title}",
            "",
            f"{part.source}. {total} items, {still_open} with something {TO_COMPLETE}.",
            "",
        ]
        for title, entries in part.groups:
            lines += [f"### {title}", ""]
            for entry in entries:
                lines += [f"**{_escaped(entry.item.number)} {_escaped(entry.item.asks)}** (`{entry.item.id}`)", ""]
                lines += [f"* *{answer.origin.word}*: {_escaped(answer.text)}" for answer in entry.answers]
                links = ", ".join(f"[{name}]({review}#{anchor})" for anchor, name in entry.links)
                lines += [f"* *see*: {links}", ""] if links else [""]
    return "\n".join(lines).rstrip() + "\n"


def _answered(item: Item, told: Mapping[str, str], statements: Statements, sections: Mapping[str, str]) -> Answered:
    answers = []
    if item.software:
        answers.append(Answer(SOFTWARE, item.software))
    if item.run and item.run in told:
        answers.append(Answer(RUN, told[item.run]))
    if item.id in statements.statements:
        answers.append(Answer(INSTITUTION, text_in(statements.statements[item.id])))
    elif item.complete:
        answers.append(Answer(OPEN, item.complete))
    elif not answers:
        answers.append(Answer(OPEN, NOT_AVAILABLE))
    links = tuple((anchor, sections[anchor]) for anchor in item.see if anchor in sections)
    return Answered(item, tuple(answers), links)


def _heads(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "title": text_in(evaluation.get("title")) or NOT_AVAILABLE,
        "model_version": text_in(evaluation.get("model_version")) or NOT_AVAILABLE,
        "created": text_in(evaluation.get("created")),
        "simulated": bool(evaluation.get("simulated")),
    }


def _escaped(text: str) -> str:
    """Return text in which nothing is Markdown or HTML."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))
