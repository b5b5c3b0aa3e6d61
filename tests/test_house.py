"""Does the code keep the house rules that imports and linters cannot see?

Each test lists every breach at once, as `file:line: what`. Exceptions stand in `ALLOWED`, each with its reason.
"""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from pipeline.declared import parse_yaml

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted((ROOT / "pipeline").rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef

MODULE_LINES = 400
FUNCTION_LINES = 60  # docstring not counted: explaining is free
UNEXPLAINED_ARGUMENTS = 3  # up to here a sentence may be enough for what a module offers; more need Parameters
NO_RESULT = {"None", "NoReturn", "Never", "Iterator[None]", "Generator[None]"}
HELP_CPU_SECONDS = 0.5
SLOW_LIBRARIES = {"mlflow", "shap", "lightgbm", "sklearn", "matplotlib"}

FILE_CALLS = {"open", "read_csv", "read_parquet", "read_json", "read_excel", "read_pickle", "read_feather"}
FILE_CALLS |= {"to_csv", "to_parquet", "to_excel", "to_pickle", "to_feather", "savefig", "savetxt", "loadtxt"}
FILE_CALLS |= {"read_text", "read_bytes", "write_text", "write_bytes", "mkdir", "unlink", "rmtree"}
FILE_SQL = re.compile(r"\b(read_(csv|parquet|json)\w*)\s*\(|^\s*(COPY|ATTACH|INSTALL|LOAD)\b", re.I)
VAGUE_MODULES = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc", "nextgen", "v2", "new"}
MACHINE_PATH = re.compile(r"(?<![\w.:/}])/(?:work|root|home|Users|opt|mnt|srv|tmp)/")
REGISTRY = re.compile(r"pypi\.org|pythonhosted|npmjs|deb\.debian|anaconda\.org|docker\.io|index-url|find-links")

ALLOWED: dict[tuple[str, str], str] = {
    # (rule, file or file:function): reason
}


def _where(path: Path, line: int | None = None) -> str:
    return f"{path.relative_to(ROOT)}:{line}" if line else str(path.relative_to(ROOT))


def _allowed(rule: str, path: Path, name: str = "") -> bool:
    place = _where(path)
    return bool({(rule, place), (rule, f"{place}:{name}")} & ALLOWED.keys())


def _part(path: Path) -> str:
    """Return the top-level module a file belongs to: `store` for store.py and for store/parquet.py."""
    return path.relative_to(ROOT / "pipeline").parts[0].removesuffix(".py")


def _functions(tree: ast.AST) -> Iterator[FunctionNode]:
    return (node for node in ast.walk(tree) if isinstance(node, FunctionNode))


def _public_functions(path: Path) -> Iterator[tuple[str, FunctionNode]]:
    """Return a module's public functions and its public classes' public methods, each under its top-level name."""
    if any(part.startswith("_") and part != "__init__.py" for part in path.relative_to(ROOT).parts):
        return
    for node in TREES[path].body:
        if not isinstance(node, FunctionNode | ast.ClassDef) or node.name.startswith("_"):
            continue
        for function in node.body if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(function, FunctionNode) and not function.name.startswith("_"):
                yield node.name, function


def _offered(path: Path) -> set[str]:
    """Return the names that a package's `__init__` re-exports; for a plain module, every name in it."""
    if path.parent.parent != ROOT / "pipeline" or path.name == "__init__.py":
        return {node.name for node in TREES[path].body if isinstance(node, FunctionNode | ast.ClassDef)}
    package = TREES.get(path.parent / "__init__.py", ast.Module([], []))
    imports = [node for node in package.body if isinstance(node, ast.ImportFrom)]
    return {name.name for node in imports if (node.module or "").endswith(f".{path.stem}") for name in node.names}


def _docstrings(tree: ast.AST) -> set[int]:
    """Return the identities of the string nodes that are docstrings or bare strings."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def _report(faults: list[str], rule: str) -> None:
    assert not faults, f"{rule}; {len(faults)} breach(es):\n" + "\n".join(faults)


def test_each_module_opens_with_one_question() -> None:
    faults = []
    for path, tree in TREES.items():
        first = (ast.get_docstring(tree) or "").split("\n\n")[0]
        if first.count("?") != 1:
            faults.append(f"{_where(path, 1)}: opens with {first.splitlines()[:1]}")
    _report(faults, "the first sentence of a module's docstring asks the one question it answers")


def test_no_module_is_too_long() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    faults = [
        f"{_where(path)}: {lines} lines"
        for path, lines in lengths.items()
        if lines > MODULE_LINES and not _allowed("module length", path)
    ]
    _report(faults, f"a module has at most {MODULE_LINES} lines, then it becomes a package of the same name")


def test_no_function_is_too_long() -> None:
    faults = []
    for path, tree in TREES.items():
        for function in _functions(tree):
            first = function.body[0]
            has_doc = ast.get_docstring(function, clean=False) is not None
            documented = (first.end_lineno or 0) - first.lineno + 1 if has_doc else 0
            lines = (function.end_lineno or 0) - function.lineno + 1 - documented
            if lines > FUNCTION_LINES and not _allowed("function length", path, function.name):
                faults.append(f"{_where(path, function.lineno)}: {function.name} has {lines} lines")
    _report(faults, f"a function has at most {FUNCTION_LINES} lines beside its docstring")


def test_no_module_has_a_vague_name() -> None:
    faults = [_where(path) for path in MODULES if VAGUE_MODULES & {path.stem, path.parent.name}]
    _report(faults, "a module's name says what it is about")


def test_no_handler_catches_everything() -> None:
    faults = []
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.ExceptHandler):
                continue
            last = node.body[-1]
            if isinstance(last, ast.Raise) and last.exc is None:
                continue  # tidies up and lets the error go on
            caught = {name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)} if node.type else {"all"}
            if caught & {"all", "Exception", "BaseException"} and not _allowed("broad except", path):
                faults.append(f"{_where(path, node.lineno)}: catches {', '.join(sorted(caught))}")
    _report(faults, "name the error you expect; a bug keeps its traceback")


def test_input_is_not_checked_by_assert() -> None:
    faults = [
        _where(path, node.lineno)
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Assert)
    ]
    _report(faults, "assert vanishes under -O; raise a PipelineError with where, what, got, wanted, next step")


def test_only_the_command_line_prints() -> None:
    faults = [
        _where(path, node.lineno)
        for path, tree in TREES.items()
        if _part(path) != "cli"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    _report(faults, "words belong to cli")


def _from_the_store(tree: ast.AST) -> set[str]:
    """Return the names that a module imports from pipeline.store: calling those is how files are touched."""
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {name.name for node in imports if node.module == "pipeline.store" for name in node.names}


def test_only_the_store_touches_files() -> None:
    faults = []
    for path, tree in TREES.items():
        if _part(path) == "store" or _allowed("files", path):
            continue
        words, lent = _docstrings(tree), _from_the_store(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                is_lent = isinstance(node.func, ast.Name) and name in lent
                if name in FILE_CALLS and not is_lent:
                    faults.append(f"{_where(path, node.lineno)}: calls {name}(")
            text = node.value if isinstance(node, ast.Constant) and id(node) not in words else None
            if isinstance(text, str) and FILE_SQL.search(text):
                faults.append(f"{_where(path, node.lineno)}: SQL that reads or writes files")
    _report(faults, "hand in the table or the text; pipeline/store reads and writes")


def _argument_names(function: FunctionNode) -> list[str]:
    arguments = function.args
    listed = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    listed += [extra for extra in (arguments.vararg, arguments.kwarg) if extra]
    return [argument.arg for argument in listed if argument.arg not in {"self", "cls"}]


def _sections(doc: str) -> dict[str, list[str]]:
    """Return each numpydoc section's unindented lines by its heading."""
    lines = doc.splitlines()
    heads = [at for at in range(len(lines) - 1) if lines[at].strip() and set(lines[at + 1].strip()) == {"-"}]
    return {
        lines[head].strip(): [line for line in lines[head + 2 : end] if line and not line[0].isspace()]
        for head, end in pairwise([*heads, len(lines)])
    }


def _raises(function: FunctionNode) -> bool:
    """Return whether the function's own body (not a function inside it) makes and raises an error."""
    pending: list[ast.AST] = list(function.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Raise) and node.exc is not None:
            return True
        if not isinstance(node, FunctionNode | ast.Lambda | ast.ClassDef):
            pending.extend(ast.iter_child_nodes(node))
    return False


def docstring_faults(function: FunctionNode, *, offered: bool = True) -> Iterator[str]:
    """Return what a function's docstring leaves unsaid or says wrongly; more is asked of one that others call."""
    doc = inspect.cleandoc(ast.get_docstring(function) or "")
    if not doc:
        yield "has no docstring"
        return
    sections, arguments = _sections(doc), _argument_names(function)
    if "Parameters" in sections:
        told = [name.strip(" *`") for line in sections["Parameters"] for name in line.split(" :")[0].split(",")]
        if missing := [name for name in arguments if not re.search(rf"\b{name}\b", doc)]:
            yield f"Parameters leaves out {', '.join(missing)}"
        if stale := [name for name in told if name not in arguments]:
            yield f"Parameters tells of {', '.join(stale)}, which it does not take"
    elif offered and len(arguments) > UNEXPLAINED_ARGUMENTS:
        yield f"takes {len(arguments)} arguments and has no Parameters section"
    returns_value = function.returns is not None and ast.unparse(function.returns) not in NO_RESULT
    says_result = {"Returns", "Yields"} & sections.keys() or re.match(r"(Return|Yield|Whether|Open)", doc)
    if "Parameters" in sections and returns_value and not says_result:
        yield "does not say what it returns"
    if _raises(function) and "Raises" not in sections and not re.search(r"\b[Rr](aise|efuse)", doc):
        yield "raises and does not say so"


def _holds_commands(path: Path) -> bool:
    """Whether docstrings of a module are the help texts of commands, whose parameters carry their own help."""
    return _part(path) == "cli" and path.stem != "options"


def test_public_functions_say_what_they_take_return_and_raise() -> None:
    faults = [
        f"{_where(path, function.lineno)}: {function.name} {fault}"
        for path in MODULES
        for name, function in _public_functions(path)
        if not _allowed("docstring", path, function.name) and not _holds_commands(path)
        for fault in docstring_faults(function, offered=name in _offered(path))
    ]
    _report(faults, "public docstrings are numpydoc")


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("def f(): ...", "has no docstring"),
        ("def f(a, b, c):\n    'Return it.'", None),
        ("def f(a, b, c, d):\n    'Return it.'", "takes 4 arguments"),
        (
            "def f(a, b):\n    '''Do.\n\n    Parameters\n    ----------\n    a : int\n        X.\n    '''",
            "leaves out b",
        ),
        ("def f(a):\n    '''Do.\n\n    Parameters\n    ----------\n    a, b : int\n    '''", "tells of b"),
        ("def f(a) -> int:\n    '''Do.\n\n    Parameters\n    ----------\n    a : int\n    '''", "does not say what"),
        ("def f(a) -> int:\n    '''Return.\n\n    Parameters\n    ----------\n    a : int\n    '''", None),
        ("def f():\n    'Do.'\n    raise ValueError('x')", "raises and does not"),
        ("def f():\n    'Do, or raise ValueError.'\n    raise ValueError('x')", None),
        ("def f():\n    'Do.'\n    def inner():\n        raise ValueError('x')", None),
    ],
)
def test_the_docstring_rule_sees_what_is_left_unsaid(source: str, fault: str | None) -> None:
    function = ast.parse(source).body[0]
    assert isinstance(function, ast.FunctionDef)

    found = list(docstring_faults(function))

    assert found == [] if fault is None else any(fault in each for each in found)


def _texts() -> list[Path]:
    folders = [path for folder in ("configs", "docs", "data_schema") for path in (ROOT / folder).rglob("*")]
    single = [ROOT / name for name in ("README.md", "Makefile", ".ci/run", "pyproject.toml", "requirements.lock")]
    return [path for path in [*folders, *single, *MODULES] if path.is_file()]


def test_no_file_names_a_machine_path_or_a_registry_host() -> None:
    faults = [
        f"{_where(path, number)}: {found[0]}"
        for path in _texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if (found := MACHINE_PATH.search(line) or REGISTRY.search(line))
    ]
    _report(faults, "what is in the repository works on every machine")


def test_every_declared_file_is_strict_yaml() -> None:
    declared = [path for folder in ("configs", "data_schema") for path in (ROOT / folder).rglob("*.y*ml")]
    assert declared, "configs/ and data_schema/ hold no YAML: the search is wrong"

    for path in declared:
        parse_yaml(path.read_text(encoding="utf-8"), _where(path))


def test_the_readme_is_short() -> None:
    readme = ROOT / "README.md"
    if not readme.exists():
        pytest.skip("README.md is not written yet")
    assert len(readme.read_text(encoding="utf-8").splitlines()) <= 120


def test_glossary_terms_have_one_sentence_and_a_source_and_stand_in_order() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (ROOT / "docs/glossary.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| **")
    ]
    faults = [row[0] for row in rows if len(row) != 3 or not row[2] or len(re.findall(r"\.(?= |$)", row[1])) != 1]
    _report(faults, "| **term** | one sentence. | source |")
    terms = [row[0].strip("*").lower() for row in rows]
    assert terms == sorted(set(terms)) and len(terms) > 40


def test_decisions_are_numbered_dated_and_short() -> None:
    entries = (ROOT / "docs/decisions.md").read_text(encoding="utf-8").split("\n## ")[1:]
    faults = [
        entry.splitlines()[0]
        for number, entry in enumerate(entries, start=1)
        if not re.match(rf"{number}\. .+ \(\d{{4}}-\d\d-\d\d\)\n", entry) or len(entry.strip().splitlines()) > 11
    ]
    _report(faults, "## N. What was decided (YYYY-MM-DD), then at most ten lines; superseded, never edited")
    assert entries


def test_the_lock_pins_by_hash_all_that_the_project_asks_for() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pinned = {
        name.lower(): hashes for name, hashes in re.findall(r"^([\w.-]+)==\S+((?: \\\n\s+--hash=\S+)+)", lock, re.M)
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    asked = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]

    names = [re.split(r"[<>=!\[; ]", wish, maxsplit=1)[0].lower().replace("_", "-") for wish in asked]

    assert [name for name in names if name not in pinned] == []
    assert len(pinned) == len(re.findall(r"^[\w.-]+==", lock, re.M)), "a pinned package has no hash"


def test_make_help_tells_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.findall(r"^\.PHONY: (.+)$", makefile, re.M)[0].split()

    told = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.M))

    assert {target for target in phony if not target.startswith("check-")} == told


def _help(code: str) -> tuple[float, str]:
    """Return the CPU seconds (user) and the last line printed by a fresh interpreter that shows the help."""
    words = [sys.executable, "-c", textwrap.dedent(code), "--help"]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, printed
    return usage.ru_utime, printed.strip().splitlines()[-1]


@pytest.mark.skipif(not any(_part(path) == "cli" for path in MODULES), reason="the command line is not written yet")
def test_help_is_quick_and_imports_nothing_heavy() -> None:
    seconds = min(_help("from pipeline.cli import main; main()")[0] for _ in range(3))
    _, last_line = _help(
        """
        import json, sys
        from pipeline.cli import main
        try:
            main()
        except SystemExit:
            pass
        print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
        """
    )

    assert SLOW_LIBRARIES & set(json.loads(last_line)) == set()
    assert seconds < HELP_CPU_SECONDS, f"mmrank --help took {seconds:.2f} s of CPU"
