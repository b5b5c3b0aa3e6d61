"""Small wrong changes to the guardrails: of the code, by its syntax tree, and of the rule files."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.LShift: ast.Add,
}


@dataclass(frozen=True)
class Mutant:
    """One wrong change.

    Attributes
    ----------
    file : str
        Relative to the repository.
    name : str
        File, function, kind and what became of what; a second of the same name is numbered.
    line : int
        Where it is in the file as it stands; 0 for rule files.
    text : str
        The whole file after the change.
    inside : bool
        Whether the change is inside functions only, so that importing the file does what it did.
    """

    file: str
    name: str
    line: int
    text: str
    inside: bool = False


def code_mutants(root: Path) -> list[Mutant]:
    """Return every mutant of pipeline/guardrails/*.py, in reading order."""
    found = []
    for path in sorted((root / "pipeline" / "guardrails").glob("*.py")):
        if path.name != "__init__.py":
            found += list(_of_module(path, str(path.relative_to(root))))
    return found


def _of_module(path: Path, file: str) -> Iterator[Mutant]:
    tree = ast.parse(path.read_text("utf-8"))
    skipped = _skipped(tree)
    places = {id(node): function for function, node in _with_function(tree)}
    seen: dict[str, int] = {}
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    inner = {id(node) for function in functions for part in function.body for node in ast.walk(part)}
    inner |= {id(function) for function in functions}
    firsts = {id(node.slice) for node in ast.walk(tree) if isinstance(node, ast.Subscript) and _is_zero(node.slice)}
    for node in ast.walk(tree):
        if id(node) in skipped or not hasattr(node, "lineno"):
            continue
        for kind, before, change, undo in _changes(node, id(node) in firsts):
            change()
            after = ast.unparse(node) if not kind.startswith("drop") else "nothing"
            text = ast.unparse(tree)
            undo()
            name = f"{path.name} {places.get(id(node), 'module')}: {kind}: {before[:90]} -> {after[:90]}"
            seen[name] = seen.get(name, 0) + 1
            yield Mutant(
                file, name if seen[name] == 1 else f"{name} #{seen[name]}", node.lineno, text, id(node) in inner
            )


def _with_function(tree: ast.AST, inside: str = "module") -> Iterator[tuple[str, ast.AST]]:
    for child in ast.iter_child_nodes(tree):
        name = child.name if isinstance(child, ast.FunctionDef | ast.ClassDef) else inside
        yield name, child
        yield from _with_function(child, name)


def _skipped(tree: ast.AST) -> set[int]:
    """Return nodes that say nothing at run time: docstrings, annotations, decorators, types."""
    out: set[int] = set()
    for node in ast.walk(tree):
        parts: list[Any] = [getattr(node, name, None) for name in ("annotation", "returns")]
        parts += getattr(node, "decorator_list", [])
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            parts.append(node)
        if isinstance(node, ast.keyword) and node.arg == "strict":
            parts.append(node.value)  # zip of lists that are as long as each other
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
            parts.append(node.args[1])
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.BinOp | ast.Subscript):
            name = ast.unparse(node.targets[0])
            parts += [node.value] if name.istitle() or name in ("WhenUnknown", "FactTypes") else []
        for part in filter(None, parts):
            out |= {id(inner) for inner in ast.walk(part)}
    return out


def _is_zero(node: ast.AST) -> bool:
    """Whether an index asks for the first; the last instead is not tried, often they are the same."""
    return isinstance(node, ast.Constant) and node.value == 0


Change = tuple[str, str, Callable[[], None], Callable[[], None]]


def _changes(node: ast.AST, first: bool) -> Iterator[Change]:
    before = ast.unparse(node)
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            if type(operator) in COMPARISONS:
                yield _swap("comparison", before, node.ops, place, COMPARISONS[type(operator)]())
    elif isinstance(node, ast.BoolOp):
        yield _set("and/or", before, node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield _set("not", before, node, "operand", ast.UnaryOp(ast.Not(), node.operand))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield _set("sign", before, node, "op", ast.UAdd())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
        yield _set("sign", before, node, "operand", ast.UnaryOp(ast.Invert(), node.operand))
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        yield _set("operator", before, node, "op", OPERATORS[type(node.op)]())
    elif isinstance(node, ast.Constant):
        yield from _constants(node, before, first)
    elif isinstance(node, ast.Return) and node.value is not None and before != "return None":
        yield _set("return", before, node, "value", ast.Constant(None))
    yield from _dropped(node)


def _constants(node: ast.Constant, before: str, first: bool) -> Iterator[Change]:
    value = node.value
    if isinstance(value, bool):
        yield _set("constant", before, node, "value", not value)
    elif isinstance(value, int | float):
        yield _set("constant +1", before, node, "value", value + 1)
        if not first:
            yield _set("constant -1", before, node, "value", value - 1)
    elif isinstance(value, str) and value and " " not in value and value.isascii() and value[0].isalpha():
        yield _set("word", before, node, "value", f"{value}x")


def _dropped(node: ast.AST) -> Iterator[Change]:
    for name in ("body", "orelse"):
        block = getattr(node, name, None)
        if not isinstance(block, list):
            continue
        for place, statement in enumerate(block):
            plain = isinstance(statement, ast.Expr) and not isinstance(statement.value, ast.Constant)
            if plain or isinstance(statement, ast.AugAssign | ast.Raise | ast.If | ast.Continue | ast.Break):
                said = ast.unparse(statement).split("\n")[0]
                yield _swap(f"drop {type(statement).__name__.lower()}", said, block, place, ast.Pass())


def _set(kind: str, before: str, node: ast.AST, field: str, value: Any) -> Change:
    old = getattr(node, field)
    return kind, before, lambda: setattr(node, field, value), lambda: setattr(node, field, old)


def _swap(kind: str, before: str, listed: list[Any], place: int, value: Any) -> Change:
    old = listed[place]
    return kind, before, lambda: listed.__setitem__(place, value), lambda: listed.__setitem__(place, old)


# --- rule files

FLIPS = {"lt": "le", "le": "lt", "gt": "ge", "ge": "gt", "equals": "ge"}
EFFECTS = ("block", "action_required", "caution")
UNKNOWNS = ("caution", "action_required", "indeterminate")


def rule_mutants(root: Path, parse: Callable[[str, str], dict[str, Any]]) -> list[Mutant]:
    """Return every mutant of configs/guardrails/*.yaml."""
    found = []
    for path in sorted((root / "configs" / "guardrails").glob("*.yaml")):
        for number, (what, changed) in enumerate(_of_rule(parse(path.read_text("utf-8"), path.name))):
            text = yaml.safe_dump(changed, sort_keys=False, allow_unicode=True, width=10_000)
            name = f"{path.name}: {what} ({number})"
            found.append(Mutant(str(path.relative_to(root)), name, 0, text))
    return found


def _of_rule(file: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for what, when in conditions_changed(file["when"]):
        yield what, {**file, "when": when}
    for effect in EFFECTS:
        if effect != file["effect"]:
            changed = {key: value for key, value in file.items() if key != "overridable"}
            unknown = "indeterminate" if effect == "block" else file["when_unknown"]
            yield f"effect {effect}", {**changed, "effect": effect, "when_unknown": unknown}
    for unknown in UNKNOWNS:
        if unknown != file["when_unknown"]:
            yield f"unknown {unknown}", {**file, "when_unknown": unknown}
    if file["effect"] == "block":
        yield "overridable turned", {**file, "overridable": not file.get("overridable", False)}
    for where in sorted({"us", "eu", "any"} - {file["jurisdiction"]}):
        yield f"jurisdiction {where}", {**file, "jurisdiction": where}
    for status in sorted({"draft", "active"} - {file["status"]}):
        yield f"status {status}", {**file, "status": status}
    yield "takes effect in 2099", {**file, "effective_from": "2099-01-01", "review_by": "2099-06-01"}
    yield from _coverage(file)


def _coverage(file: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    covers = file["applies_to"]
    for name, words in covers.items():
        if isinstance(words, list):
            for word in words:
                rest = [kept for kept in words if kept != word]
                others = {key: value for key, value in covers.items() if key != name}
                narrower = {**others, name: rest} if rest else others
                yield f"no longer covers {word}", {**file, "applies_to": narrower or {"everything": True}}
    if covers.get("everything"):
        yield "covers car_t only", {**file, "applies_to": {"modality": ["car_t"]}}


def conditions_changed(when: Any) -> Iterator[tuple[str, Any]]:
    """Yield a condition with one thing wrong: a part dropped, a joint or an operator turned, a constant moved."""
    for kind in ("all", "any", "of"):
        parts = when.get(kind)
        if parts is None:
            continue
        if kind != "of" and len(parts) > 1:
            yield "all and any turned", {"any" if kind == "all" else "all": parts}
        for place, part in enumerate(parts):
            rest = [*parts[:place], *parts[place + 1 :]]
            if rest:
                yield "part dropped", {**when, kind: rest}
            for what, changed in conditions_changed(part):
                yield what, {**when, kind: [*parts[:place], changed, *parts[place + 1 :]]}
    if "not" in when:
        yield "not dropped", when["not"]
        for what, changed in conditions_changed(when["not"]):
            yield what, {"not": changed}
    if "fact" in when or "label" in when:
        yield from _leaf_changed(copy.deepcopy(when))


def _leaf_changed(leaf: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "not added", {"not": leaf}
    for operator, flipped in FLIPS.items():
        if operator in leaf:
            rest = {key: value for key, value in leaf.items() if key != operator}
            yield "operator flipped", {**rest, flipped: leaf[operator]}
            yield "constant +1", {**leaf, operator: leaf[operator] + 1}
            yield "constant -1", {**leaf, operator: leaf[operator] - 1}
    for operator in ("is", "known"):
        if isinstance(leaf.get(operator), bool):
            yield "answer turned", {**leaf, operator: not leaf[operator]}
    if "times" in leaf:
        yield "multiple dropped", {key: value for key, value in leaf.items() if key != "times"}
