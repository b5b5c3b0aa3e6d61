"""How does an extract of another shape say which of its columns mean what?

The language is small and closed: a column, a constant, the origin, days from the origin,
a list of local values, filters, and named steps. There is nothing to evaluate.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.declared import Declared, did_you_mean, raise_if, read_declared
from pipeline.errors import ConfigError
from pipeline.schema import Contract


def _many(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class Cell(Declared):
    """How one contract column is filled.

    Attributes
    ----------
    column : tuple of str
        Extract columns; the first that is not empty counts.
    days_from_origin : tuple of str
        The same, holding days since the source's origin.
    constant : str or None
    origin : bool
        True: the source's origin date itself.
    date_format : str or None
        strptime pattern of local dates, such as `%d/%m/%Y`.
    lower : bool
        Lower-case before `values` is looked up.
    values : mapping of local value to contract value
        An empty (null) contract value means no answer.
    unmapped : {'keep', 'null'}
        What becomes of a local value that `values` does not list.
    """

    column: tuple[str, ...] = ()
    days_from_origin: tuple[str, ...] = ()
    constant: str | None = None
    origin: bool = False
    date_format: str | None = None
    lower: bool = False
    values: Mapping[str, str | None] = {}
    unmapped: Literal["keep", "null"] = "keep"

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, given: Any) -> Any:
        return {"column": given} if isinstance(given, str) else given

    @field_validator("column", "days_from_origin", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return _many(value)

    @field_validator("date_format")
    @classmethod
    def _is_a_pattern(cls, pattern: str | None) -> str | None:
        if pattern is not None and not re.fullmatch(r"([^%]|%[%abBdfgHIjmMpSyYzZ]|%-[dmHIjMSy])+", pattern):
            raise ValueError("not a date pattern; wanted parts such as %d, %m, %b, %Y, as in %d/%m/%Y")
        return pattern

    @field_validator("constant", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value

    @field_validator("values", mode="before")
    @classmethod
    def _keys_as_text(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {str(key): str(item) if isinstance(item, int | float) else item for key, item in value.items()}

    @model_validator(mode="after")
    def _exactly_one(self) -> Cell:
        ways = [bool(self.column), bool(self.days_from_origin), self.constant is not None, self.origin]
        if sum(ways) != 1:
            raise ValueError("give exactly one of column, days_from_origin, constant, origin")
        return self

    @property
    def reads(self) -> tuple[str, ...]:
        """Extract columns this cell reads."""
        return self.column + self.days_from_origin


class Filter(Declared):
    """Rows of an extract that are meant; the others are dropped, counted and named by `reason`.

    Attributes
    ----------
    column : str
    among, not_among : tuple of str
        Written `in` and `not_in`.
    present : bool or None
        True keeps rows with a value, False rows without.
    at_least : float or None
        Keeps rows whose number is at least this.
    reason : str
        Why the others are dropped, for the attrition table.
    """

    column: str
    among: tuple[str, ...] = Field(default=(), alias="in")
    not_among: tuple[str, ...] = Field(default=(), alias="not_in")
    present: bool | None = None
    at_least: float | None = None
    reason: str

    @model_validator(mode="after")
    def _exactly_one(self) -> Filter:
        ways = [bool(self.among), bool(self.not_among), self.present is not None, self.at_least is not None]
        if sum(ways) != 1:
            raise ValueError("give exactly one of in, not_in, present, at_least")
        return self


class Feeder(Declared):
    """One extract table that fills one contract table.

    Attributes
    ----------
    extract : str
        File stem or table name (`from`).
    columns : mapping of contract column to Cell
    where : tuple of Filter
        Applied in order.
    """

    extract: str = Field(alias="from")
    columns: Mapping[str, Cell]
    where: tuple[Filter, ...] = ()


class ModalityRule(Declared):
    """A modality, and the drugs of which any one makes a line belong to it; none given catches the rest."""

    modality: str
    any_of: tuple[str, ...] = ()


class DrugsUntilDeath(Declared):
    """Set aside drug courses that start after the recorded death."""

    step: Literal["drugs_until_death"]


class LinesFromDrugs(Declared):
    """Make `lines` from the line numbers of the drug courses.

    A line starts with its first course and ends with its last, or has no end where any course has
    none. Lines of one patient that start on the same day are one line, the lower-numbered.
    """

    step: Literal["lines_from_drugs"]


class ContactThroughDrugs(Declared):
    """Move `last_contact` to the latest dated dose where that is later: the dose proves contact."""

    step: Literal["contact_through_drugs"]


class NextTreatmentFromLines(Declared):
    """Add a `next_treatment` event at the start of each line from `first_line` on."""

    step: Literal["next_treatment_from_lines"]
    first_line: int = Field(default=2, ge=1)


class DecisionsFromLines(Declared):
    """Make `decisions` from line starts.

    Attributes
    ----------
    first_line : int
        Lowest line number that is a decision; 2 is first relapse.
    drugs_within_days : int or None, days
        Courses started up to this long after the line's start say what was chosen; a drug added later
        was not part of the choice. None takes every course of the line.
    modality_rules : tuple of ModalityRule
        The first that matches names the modality.
    """

    step: Literal["decisions_from_lines"]
    first_line: int = Field(default=2, ge=1)
    drugs_within_days: int | None = Field(default=None, ge=0)
    modality_rules: tuple[ModalityRule, ...] = Field(min_length=1)


Derivation = Annotated[
    DrugsUntilDeath | LinesFromDrugs | ContactThroughDrugs | NextTreatmentFromLines | DecisionsFromLines,
    Field(discriminator="step"),
]

EventKind = Literal["progression", "next_treatment", "death", "last_contact", "toxicity"]


class Source(Declared):
    """Where records come from, and how their shape becomes the contract's.

    Attributes
    ----------
    id, label : str
    identity : bool
        True: a contract table not listed in `tables` is read from the extract of the same name.
    calendar : bool
        False: dates count from `origin` and are not real calendar dates.
    simulated : bool
        True stamps everything made from it; a table named `simulated` in the extract does the same.
    origin : date or None
        Day 0 of `days_from_origin`.
    lag_days : mapping of table to int, days
        From an event to its being visible, where `known_at` is empty; 0 where not listed.
    recorded_events : tuple of str
        Kinds of event that the source can hold; no progression means that outcomes do without.
    tables : mapping of contract table to feeders
    derive : tuple of named steps
        Run in order after the tables are read and patient ids merged.
    """

    id: str
    label: str
    identity: bool = False
    calendar: bool = True
    simulated: bool = False
    origin: date | None = None
    lag_days: Mapping[str, int] = {}
    recorded_events: tuple[EventKind, ...] = ("progression", "next_treatment", "death", "last_contact", "toxicity")
    tables: Mapping[str, tuple[Feeder, ...]] = {}
    derive: tuple[Derivation, ...] = ()

    @property
    def derived_tables(self) -> frozenset[str]:
        """Contract tables that a step makes."""
        made = {"lines_from_drugs": "lines", "decisions_from_lines": "decisions"}
        return frozenset(made[step.step] for step in self.derive if step.step in made)


def _table_problems(name: str, feeders: tuple[Feeder, ...], source: Source, contract: Contract) -> list[str]:
    known = [table.name for table in contract.records]
    if name not in known:
        return [f"tables.{name}: not a table of the contract{did_you_mean(name, known)}"]
    table, problems = contract[name], []
    for position, feeder in enumerate(feeders):
        spot = f"tables.{name}.{position}.columns"
        for column, cell in feeder.columns.items():
            if column not in table.by_name:
                hint = did_you_mean(column, table.columns)
                problems.append(f"{spot}.{column}: not a column of {name}{hint}")
            if (cell.days_from_origin or cell.origin) and source.origin is None:
                problems.append(f"{spot}.{column}: counts from an origin, but the source declares none; add origin")
        needed = [field.name for field in table.fields if field.constraints.required]
        absent = [column for column in needed if column not in feeder.columns]
        if absent:
            problems.append(f"{spot}: required and not mapped: {', '.join(absent)}")
    return problems


def parse_source(mapping: Mapping[str, Any], where: str, contract: Contract) -> Source:
    """Return the source that a file of `configs/sources/` declares.

    Parameters
    ----------
    mapping : mapping
        Parsed YAML.
    where : str
        File name, for messages.
    contract : Contract

    Raises
    ------
    ConfigError
        With every problem: unknown settings, tables or columns, required columns left out, a missing origin,
        negative lags.
    """
    problems: list[str] = []
    source = read_declared(Source, mapping, where, problems)
    raise_if(problems, where, ConfigError)
    if source is None:
        raise ConfigError(f"{where}: could not be read. Compare it with configs/sources/contract.yaml.")
    known = [table.name for table in contract.records]
    for name, feeders in source.tables.items():
        problems += _table_problems(name, feeders, source, contract)
    for name, lag in source.lag_days.items():
        if name not in known:
            problems.append(f"lag_days.{name}: not a table of the contract{did_you_mean(name, known)}")
        if lag < 0:
            problems.append(f"lag_days.{name}: must not be negative days, got {lag}")
    for name in sorted(source.derived_tables & set(source.tables)):
        problems.append(f"tables.{name}: mapped, and also made by a step of derive; keep one of the two")
    if not source.identity and not source.tables:
        problems.append("tables: empty; map at least one table, or set identity: true")
    raise_if(problems, where, ConfigError)
    return source
