"""What must each table hold: its grain, columns, types, units, codes, keys and references?

The YAML files of `data_schema/` follow Frictionless Table Schema; what that standard
does not know begins with `x-`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.declared import Declared, raise_if, read_declared
from pipeline.errors import ConfigError

FieldType = Literal["string", "integer", "number", "date", "boolean", "array", "object"]
Severity = Literal["error", "warning", "info"]

RECORD_TABLES = (
    "patients",
    "patient_aliases",
    "lines",
    "drugs",
    "measurements",
    "findings",
    "decisions",
    "availability",
    "preferences",
    "events",
)
"""The tables that records are made of, a referenced table before those that refer to it."""


class Constraints(Declared):
    """Limits of one column.

    Attributes
    ----------
    required : bool
        No row may be empty here.
    unique : bool
    enum : tuple of str
        The only values allowed; empty allows any.
    minimum, maximum : float or str
        Inclusive; an ISO date for dates.
    """

    required: bool = False
    unique: bool = False
    enum: tuple[str, ...] = ()
    minimum: float | str | None = None
    maximum: float | str | None = None


class FieldSpec(Declared):
    """One column.

    Attributes
    ----------
    name, type : str
    constraints : Constraints
    meaning : str
        What the column says, in the field's own words (`x-meaning`).
    unit : str or None
        Unit of a number (`x-unit`).
    bounds : tuple of float or None
        Range a computed column keeps (`x-range`); checked like minimum and maximum.
    items, inner : anything
        What an array (`x-items`) or an object (`fields`) holds, for the reader.
    lower : bool
        Text is lower-cased on the way in (`x-lower`).
    roles : tuple of str
        Of a feature: who reads it (`x-roles`).
    modifier : bool
        Of a feature: whether it is a declared effect modifier (`x-modifier`).
    """

    name: str
    type: FieldType
    constraints: Constraints = Constraints()
    meaning: str = Field(alias="x-meaning")
    unit: str | None = Field(default=None, alias="x-unit")
    bounds: tuple[float, float] | None = Field(default=None, alias="x-range")
    items: Any = Field(default=None, alias="x-items")
    inner: Any = Field(default=None, alias="fields")
    codes: tuple[str, ...] = Field(default=(), alias="x-codes")
    lower: bool = Field(default=False, alias="x-lower")
    roles: tuple[str, ...] = Field(default=(), alias="x-roles")
    modifier: bool = Field(default=False, alias="x-modifier")

    @property
    def low(self) -> float | str | None:
        """Lowest value allowed, or None."""
        if self.constraints.minimum is not None:
            return self.constraints.minimum
        return self.bounds[0] if self.bounds else ("1900-01-01" if self.type == "date" else None)

    @property
    def high(self) -> float | str | None:
        """Highest value allowed, or None."""
        if self.constraints.maximum is not None:
            return self.constraints.maximum
        return self.bounds[1] if self.bounds else ("2199-12-31" if self.type == "date" else None)


class Reference(Declared):
    """The table and columns a foreign key points at."""

    resource: str
    fields: tuple[str, ...]


class ForeignKey(Declared):
    """Columns whose values must exist in another table; rows with an empty part are not looked up."""

    fields: tuple[str, ...]
    reference: Reference
    severity: Severity = Field(default="error", alias="x-severity")


class Ordering(Declared):
    """Two dates of a row that cannot be the other way round."""

    earlier: str
    later: str


class CodeSpec(Declared):
    """One code of a measurement or finding.

    Attributes
    ----------
    meaning : str
    unit : str or None
        Canonical unit (`x-unit`); None for a finding.
    bounds : tuple of float or None, canonical unit
        Plausible range; a value outside is set aside (`x-range`).
    basis : {'evidence', 'design'}
        Where the range comes from (`x-range-basis`).
    missing_unit : {'canonical', 'refused'}
        What an empty unit means (`x-missing-unit`); refused where a tenfold error hides in it.
    times, over : mapping of unit to float
        canonical = value * factor, or value / factor.
    values : tuple of str
        Values a finding may have.
    """

    meaning: str = Field(alias="x-meaning")
    unit: str | None = Field(default=None, alias="x-unit")
    bounds: tuple[float, float] | None = Field(default=None, alias="x-range")
    basis: Literal["evidence", "design"] = Field(default="design", alias="x-range-basis")
    missing_unit: Literal["canonical", "refused"] = Field(default="canonical", alias="x-missing-unit")
    times: Mapping[str, float] = {}
    over: Mapping[str, float] = {}
    values: tuple[str, ...] = ("present", "absent")

    @field_validator("times", "over")
    @classmethod
    def _positive(cls, factors: Mapping[str, float]) -> Mapping[str, float]:
        if any(factor <= 0 for factor in factors.values()):
            raise ValueError("a unit factor must be above 0")
        return factors


class TableSchema(Declared):
    """One table of `data_schema/`.

    Attributes
    ----------
    name : str
    one_row_per : tuple of str
        The grain: key columns, or words where there is no key.
    required : bool
        Records without this table, or with no row in it, break the contract.
    fields : tuple of FieldSpec
    primary_key : tuple of str
    foreign_keys : tuple of ForeignKey
    event_date : str or None
        Column dating the row's first fact (`x-event-date`); `known_at` defaults to it plus a lag.
    visible : mapping of str to str
        Added column -> later date whose visibility it holds (`x-visible`).
    order : tuple of Ordering
    codes : mapping of str to CodeSpec
    """

    name: str
    one_row_per: tuple[str, ...] = Field(min_length=1)
    required: bool = False
    meaning: str = Field(default="", alias="x-meaning")
    made_by: str | None = Field(default=None, alias="x-made-by")
    files: str | None = Field(default=None, alias="x-files")
    version: str | None = Field(default=None, alias="x-version")
    fields: tuple[FieldSpec, ...]
    primary_key: tuple[str, ...] = Field(default=(), alias="primaryKey")
    foreign_keys: tuple[ForeignKey, ...] = Field(default=(), alias="foreignKeys")
    event_date: str | None = Field(default=None, alias="x-event-date")
    visible: Mapping[str, str] = Field(default={}, alias="x-visible")
    order: tuple[Ordering, ...] = Field(default=(), alias="x-order")
    codes: Mapping[str, CodeSpec] = Field(default={}, alias="x-codes")

    @field_validator("primary_key", mode="before")
    @classmethod
    def _one_or_many(cls, key: Any) -> Any:
        return (key,) if isinstance(key, str) else key

    @model_validator(mode="after")
    def _columns_exist(self) -> TableSchema:
        names = self.columns
        if not names:
            raise ValueError("a table needs at least one column under fields")
        twice = sorted({name for name in names if names.count(name) > 1})
        named = [*self.primary_key, *(name for key in self.foreign_keys for name in key.fields)]
        named += [self.event_date] if self.event_date else []
        named += [*self.visible.values(), *(name for pair in self.order for name in (pair.earlier, pair.later))]
        missing = sorted({name for name in named if name not in names})
        if twice or missing:
            raise ValueError(
                f"columns named twice: {twice or 'none'}; columns used but not declared: {missing or 'none'}"
            )
        return self

    @property
    def columns(self) -> list[str]:
        """Column names, in declared order."""
        return [field.name for field in self.fields]

    @cached_property
    def by_name(self) -> dict[str, FieldSpec]:
        """Column by name."""
        return {field.name: field for field in self.fields}


@dataclass(frozen=True)
class Contract:
    """Every declared table, by name."""

    tables: Mapping[str, TableSchema]

    @property
    def records(self) -> tuple[TableSchema, ...]:
        """The tables that records are made of, in the order of `RECORD_TABLES`."""
        return tuple(self.tables[name] for name in RECORD_TABLES if name in self.tables)

    def __getitem__(self, name: str) -> TableSchema:
        return self.tables[name]


def parse_table(mapping: Mapping[str, Any], where: str, problems: list[str]) -> TableSchema | None:
    """Return the table a file declares, or None after adding its problems.

    Parameters
    ----------
    mapping : mapping
        Parsed YAML. Without `name` the table takes the name of the file.
    where : str
        File name, for messages.
    problems : list of str
        One line per problem is appended.
    """
    stem = where.replace("\\", "/").rsplit("/", 1)[-1].rsplit(".", 1)[0]
    return read_declared(TableSchema, {"name": stem, **mapping}, where, problems)


def parse_contract(mappings: Mapping[str, Mapping[str, Any]]) -> Contract:
    """Return the contract that the files of `data_schema/` declare.

    Parameters
    ----------
    mappings : mapping of file name to parsed YAML

    Raises
    ------
    ConfigError
        With every problem of every file: bad settings, missing tables, references to nowhere.
    """
    problems: list[str] = []
    tables: dict[str, TableSchema] = {}
    for where in sorted(mappings):
        table = parse_table(mappings[where], where, problems)
        if table is not None and table.name in tables:
            problems.append(f"{where}: table '{table.name}' is declared in two files; keep one")
        elif table is not None:
            tables[table.name] = table
    for table in tables.values():
        for key in table.foreign_keys:
            target = tables.get(key.reference.resource)
            if target is None or any(name not in target.by_name for name in key.reference.fields):
                problems.append(f"{table.name}: foreign key to '{key.reference.resource}' names no declared column")
    absent = [name for name in RECORD_TABLES if name not in tables]
    if absent and not problems:
        problems.append(f"no file declares {', '.join(absent)}; each record table needs one")
    raise_if(problems, "data_schema", ConfigError)
    return Contract(tables)
