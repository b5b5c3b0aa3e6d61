"""How does a declared file become a frozen object, with every problem told at once?

YAML is read strictly: aliases, tags and duplicate keys are refused, and only `true`
and `false` are booleans, so `no` (a word) and `012` (a code) stay the text they were.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Hashable, Mapping
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.errors import ConfigError, PipelineError, counted


class Declared(BaseModel):
    """Base of everything read from a configuration file: frozen, and no unknown setting passes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False)


DeclaredT = TypeVar("DeclaredT", bound=Declared)


class _StrictLoader(yaml.SafeLoader):
    """A safe loader that knows null, true/false, decimal integers and floats, and nothing else."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.constructor.ConstructorError(None, None, "aliases (*name) are not allowed", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a plain word", key_node.start_mark)
            if key_node.value in seen:
                problem = f"duplicate key '{key_node.value}'"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            seen.add(key_node.value)
        return super().construct_mapping(node, deep=deep)


def _refuse_tag(_loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    raise yaml.constructor.ConstructorError(None, None, f"tag '{node.tag}' is not allowed", node.start_mark)


_StrictLoader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("tag:yaml.org,2002:null", r"^(?:null|~|)$", ["n", "~", ""]),
    ("tag:yaml.org,2002:bool", r"^(?:true|false)$", ["t", "f"]),
    ("tag:yaml.org,2002:int", r"^[-+]?(?:0|[1-9][0-9]*)$", list("-+0123456789")),
    ("tag:yaml.org,2002:float", r"^[-+]?(?:0|[1-9][0-9]*)?\.[0-9]+(?:[eE][-+]?[0-9]+)?$", list("-+.0123456789")),
):
    _StrictLoader.add_implicit_resolver(_tag, re.compile(_pattern), _first)
_StrictLoader.yaml_constructors = {
    tag: maker
    for tag, maker in yaml.SafeLoader.yaml_constructors.items()
    if tag is not None and tag.rsplit(":", 1)[-1] in {"null", "bool", "int", "float", "str", "seq", "map"}
}
_StrictLoader.add_constructor(None, _refuse_tag)


def parse_yaml(text: str, where: str, error: type[PipelineError] = ConfigError) -> dict[str, Any]:
    """Return the mapping that a YAML text declares.

    Parameters
    ----------
    text : str
        The file's text.
    where : str
        How the file is named in messages.
    error : type of PipelineError
        What to raise.

    Returns
    -------
    dict
        Keys are strings. Dates stay text.

    Raises
    ------
    PipelineError
        `error`, with file, line and column, if the text is not strict YAML or not a mapping.
    """
    try:
        document = yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark
        spot = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise error(f"{where}:{spot}: {problem.problem}. Write plain YAML: words, numbers, lists, mappings.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as problem:
        raise error(f"{where}: not readable as YAML ({type(problem).__name__}). Save it as plain UTF-8 YAML.") from None
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        raise error(f"{where}: got {type(document).__name__}, wanted a mapping of settings at the top level.")
    return document


def did_you_mean(word: str, known: list[str]) -> str:
    """Return `; did you mean 'x'?` for the nearest known word, or an empty string."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _line_of(problem: Mapping[str, Any], model: type[Declared]) -> str:
    spot = ".".join(str(part) for part in problem["loc"]) or "file"
    if problem["type"] == "extra_forbidden":
        parent: Any = model
        for part in problem["loc"][:-1]:
            field = getattr(parent, "model_fields", {}).get(part)
            parent = field.annotation if field is not None else None
        fields = getattr(parent, "model_fields", model.model_fields)
        known = [entry.alias or name for name, entry in fields.items()]
        return f"{spot}: unknown setting{did_you_mean(str(problem['loc'][-1]), known)}"
    if problem["type"] == "missing":
        return f"{spot}: missing; this setting is required"
    message = problem["msg"].removeprefix("Value error, ")
    got = problem.get("input")
    shown = f", got {got!r}" if isinstance(got, str | int | float | bool) else ""
    return f"{spot}: {message[0].lower()}{message[1:]}{shown}"


def read_declared(
    model: type[DeclaredT], mapping: Mapping[str, Any], where: str, problems: list[str]
) -> DeclaredT | None:
    """Return the frozen object a mapping declares, or None after adding every problem to `problems`.

    Parameters
    ----------
    model : type of Declared
        What the mapping should be.
    mapping : mapping
        Parsed YAML.
    where : str
        File name used at the head of each problem line.
    problems : list of str
        One line per problem is appended.
    """
    try:
        return model.model_validate(mapping)
    except ValidationError as invalid:
        problems.extend(f"{where}: {_line_of(problem, model)}" for problem in invalid.errors(include_url=False))
        return None


def raise_if(problems: list[str], where: str, error: type[PipelineError] = ConfigError) -> None:
    """Raise `error` with all problems, one per line, if there are any."""
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise error(f"{where}: {counted(len(problems), 'problem')}\n{listed}")
