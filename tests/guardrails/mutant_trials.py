"""Would the tests notice a mutant? It is put to them in a scratch copy and in a process of its own."""

from __future__ import annotations

import copy
import gc
import importlib
import itertools
import json
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from tests.guardrails.mutants import Mutant

ROOT = Path(__file__).resolve().parents[2]
SPREAD, LIMIT_SECONDS = 3, 120
KILLED, SURVIVED, TIMEOUT = "killed", "survived", "timeout"
OPTIONS = ["-q", "-x", "--assert=plain", "--noconftest", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:benchmark", "-W", "ignore::pytest.PytestAssertRewriteWarning", "-o", "addopts=--import-mode=importlib"]  # fmt: skip  # noqa: E501


@dataclass(frozen=True)
class Baseline:
    """What the tests do when nothing is wrong.

    Attributes
    ----------
    seconds : mapping of test to seconds
        Processor seconds of tests that pass, while watched.
    lines : mapping of `file:line` to tests that run it
    at_import : set of `file:line`
        Run before any test does.
    """

    seconds: Mapping[str, float]
    lines: Mapping[str, Sequence[str]]
    at_import: frozenset[str]

    def of(self, mutant: Mutant) -> list[str]:
        """Return the tests that run the line of a mutant (all, if none is known to), in the order to try them."""
        return self.ordered(self.lines.get(f"{mutant.file}:{mutant.line}", ()) or self.seconds, mutant)

    def all_for(self, mutant: Mutant) -> list[str]:
        """Return every test, in the order to try them: a line run at import is not known to be any test's."""
        return self.ordered(self.seconds, mutant)

    def ordered(self, tests: Iterable[str], mutant: Mutant) -> list[str]:
        """Return tests quickest first; a few of every file lead, more of the file named as the mutant's."""
        own = f"/test_{Path(mutant.file).name}"
        quickest = sorted(tests, key=lambda test: (self.seconds[test], test))
        by_file: dict[str, list[str]] = {}
        for test in quickest:
            by_file.setdefault(test.split("::")[0], []).append(test)
        leading = [test for file, each in by_file.items() for test in each[: 30 if own in file else SPREAD]]
        return [*leading, *[test for test in quickest if test not in set(leading)]]

    def within(self, tests: Sequence[str], seconds: float) -> list[str]:
        """Return the first tests that together take so many seconds when nothing is wrong; five at least."""
        ends = itertools.accumulate(self.seconds[test] for test in tests)
        return [test for place, (test, end) in enumerate(zip(tests, ends, strict=True)) if end <= seconds or place < 5]


PARSED: dict[str, dict[str, Any]] = {}
"""Every YAML text of the repository, parsed once, so that no process has to do it again."""


def get_ready() -> None:
    """Import what is heavy and read what does not change, before any process is made."""
    for library in ("duckdb", "hypothesis", "numpy", "pandas", "pyarrow", "pydantic", "pytest"):
        importlib.import_module(library)
    for folder in ("guardrails", "products"):
        for path in sorted((ROOT / "configs" / folder).glob("*.yaml")):
            strict(path.read_text("utf-8"), path.name)


def strict(text: str, where: str, *more: Any) -> dict[str, Any]:
    """Return a rule file as the program reads it: dates stay text."""
    from pipeline.declared import parse_yaml

    if text not in PARSED:
        PARSED[text] = parse_yaml(text, where, *more)
    return copy.deepcopy(PARSED[text])


def scratch(folder: Path) -> Path:
    """Return a copy of all that the guardrails' tests need."""
    shutil.copytree(ROOT / "pipeline", folder / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("configs", "docs"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copytree(
        ROOT / "tests" / "guardrails", folder / "tests" / "guardrails", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(ROOT / "tests" / "drawn.py", folder / "tests" / "drawn.py")
    shutil.copy(ROOT / "pyproject.toml", folder / "pyproject.toml")
    return folder


# --- one process per mutant


def in_child(work: Callable[[], Any], seconds: float = 1800) -> Any:
    """Return what `work` returns in a process of its own, or what went wrong there.

    It may take so many processor seconds; one that takes more never ends. By the clock it may take five times as long:
    one that only waits, or a busy machine, tells nothing of the mutant and is an error.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))
        try:
            answer = json.dumps(work())
        except BaseException as problem:  # noqa: BLE001 - a mutant may break anything
            answer = json.dumps(f"error: {type(problem).__name__}: {problem}")
        with os.fdopen(writer, "w") as out:
            out.write(answer)
        os._exit(0)
    os.close(writer)
    signal.alarm(int(seconds) * 5)
    text, waited = "", False
    try:
        with os.fdopen(reader) as source:
            text = source.read()
    except TimeoutError:
        waited = True
        os.kill(child, signal.SIGKILL)
    finally:
        signal.alarm(0)
        _, status = os.waitpid(child, 0)
    if waited:
        return "error: waited too long"
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL):
        return TIMEOUT
    return json.loads(text) if text else "error: died"


def late(*_: Any) -> None:
    raise TimeoutError


def settle_in(folder: Path) -> None:
    """Forget the repository's own modules, and find those of the scratch copy; say nothing; draw without chance."""
    import hypothesis

    for name in [name for name in sys.modules if name.split(".")[0] in ("pipeline", "tests")]:
        del sys.modules[name]
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    hypothesis.settings.register_profile("mutation", database=None, derandomize=True)
    hypothesis.settings.load_profile("mutation")
    import pipeline
    import pipeline.declared

    parse = pipeline.declared.parse_yaml
    pipeline.declared.parse_yaml = lambda text, *more: (
        copy.deepcopy(PARSED[text]) if text in PARSED else parse(text, *more)
    )
    if Path(pipeline.__path__[0]).parent != folder:
        raise RuntimeError("the scratch copy is not what is imported")


class Watch:
    """A pytest plugin that notes how long each test takes and which lines of the guardrails it runs."""

    def __init__(self, folder: Path) -> None:
        self.base = str(folder / "pipeline" / "guardrails")
        self.root = len(str(folder)) + 1
        self.test, self.started = "", 0.0
        self.seconds: dict[str, float] = {}
        self.failed: list[str] = []
        self.seen: dict[str, set[str]] = {"": set()}
        sys.settrace(self.trace)

    def trace(self, frame: Any, event: str, arg: Any) -> Any:
        file = frame.f_code.co_filename
        if not file.startswith(self.base):
            return None
        self.seen[self.test].add(f"{file[self.root :]}:{frame.f_lineno}")
        return self.trace

    def pytest_runtest_setup(self, item: Any) -> None:
        from pipeline.guardrails.grid import grid_of

        grid_of.cache_clear()
        self.test, self.started = item.nodeid, time.process_time()
        self.seen.setdefault(self.test, set())
        sys.settrace(self.trace)

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failed.append(report.nodeid)
        if report.when == "call" and report.passed:
            self.seconds[report.nodeid] = time.process_time() - self.started


def measure(folder: Path) -> dict[str, Any]:
    """Run every test of the guardrails once, watching."""
    import pytest

    settle_in(folder)
    watch = Watch(folder)
    pytest.main([*OPTIONS, "tests/guardrails"], plugins=[watch])
    sys.settrace(None)
    if watch.failed:
        raise RuntimeError(f"a test fails without a mutant: {watch.failed[0]}")
    lines: dict[str, list[str]] = {}
    for test, places in watch.seen.items():
        for place in places if test in watch.seconds else ():
            lines.setdefault(place, []).append(test)
    return {"seconds": watch.seconds, "lines": lines, "at_import": sorted(watch.seen[""])}


class Failures:
    """A pytest plugin that counts tests that fail, and files that cannot be read."""

    def __init__(self) -> None:
        self.number = 0

    def pytest_collectreport(self, report: Any) -> None:
        self.number += report.failed

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.number += report.failed


def replaced(folder: Path, mutant: Mutant, tests: Sequence[str], seconds: float = LIMIT_SECONDS) -> str:
    """Return what becomes of a mutant whose file takes the place of the right one before anything is imported."""

    def run() -> str:
        import pytest

        settle_in(folder)
        failures = Failures()
        if pytest.main([*OPTIONS, *tests], plugins=[failures]) not in (0, 1) and not failures.number:
            pytest.main([*OPTIONS, "tests/guardrails"], plugins=[failures])  # the mutant has renamed some tests
        return KILLED if failures.number else SURVIVED

    file = folder / mutant.file
    right = file.read_text("utf-8")
    file.write_text(mutant.text, "utf-8")
    try:
        return str(in_child(run, seconds))
    finally:
        file.write_text(right, "utf-8")


class Swapper:
    """A pytest plugin that, instead of running the tests once, runs some of them per mutant that it is sent.

    Everything is imported and collected once. Each mutant gets a fork in which the functions of its file are given the
    mutant's code. What runs while modules are imported is not put to the test so.
    """

    def __init__(self, folder: Path, asked: Any) -> None:
        self.folder, self.asked = folder, asked

    def pytest_runtestloop(self, session: Any) -> bool:
        items = {item.nodeid: item for item in session.items}
        self.asked.send("ready")
        while (sent := self.asked.recv()) is not None:
            mutant, tests = sent
            self.asked.send(in_child(lambda: self.run(mutant, [items[test] for test in tests]), LIMIT_SECONDS))  # noqa: B023
        return True

    def run(self, mutant: Mutant, items: Sequence[Any]) -> str:
        from _pytest.runner import runtestprotocol

        from pipeline.guardrails.grid import grid_of

        grid_of.cache_clear()
        file = str(self.folder / mutant.file)
        code = compile(mutant.text, file, "exec")
        swap_functions(code, file)
        if not mutant.inside:
            try:
                swap_constants(code, mutant.file)
            except Exception:  # noqa: BLE001 - what cannot be imported is noticed by every test
                return KILLED
        for place, item in enumerate(items):
            following = items[place + 1] if place + 1 < len(items) else None
            if any(report.failed for report in runtestprotocol(item, nextitem=following, log=False)):
                return KILLED
        return SURVIVED


def swap_functions(code: CodeType, file: str) -> None:
    """Give the functions and methods of a module, wherever they are known, the code of a mutant."""
    codes = dict(_functions_in(code))
    for found in gc.get_objects():
        if isinstance(found, FunctionType) and found.__code__.co_filename == file:
            found.__code__ = codes.get(found.__qualname__, found.__code__)


def _functions_in(code: CodeType) -> Iterator[tuple[str, CodeType]]:
    for inner in code.co_consts:
        if isinstance(inner, CodeType) and "<" not in inner.co_qualname:
            yield inner.co_qualname, inner
            yield from _functions_in(inner)


def swap_constants(code: CodeType, file: str) -> None:
    """Give a module's constants and defaults, wherever they were imported, the values of a mutant."""
    module = sys.modules[file.removesuffix(".py").replace("/", ".")]
    fresh: dict[str, Any] = {"__name__": module.__name__}
    exec(code, fresh)
    for name, value in fresh.items():
        old = vars(module).get(name)
        if isinstance(value, FunctionType) and isinstance(old, FunctionType) and value.__module__ == module.__name__:
            old.__defaults__, old.__kwdefaults__ = value.__defaults__, value.__kwdefaults__
        elif isinstance(value, str | int | float | tuple | frozenset | dict) and value != old:
            for user in [known for label, known in sys.modules.items() if label.split(".")[0] in ("pipeline", "tests")]:
                if vars(user).get(name) is old:
                    setattr(user, name, value)


def serve(folder: Path, asked: Any) -> None:
    """Run the swapper in a process of its own."""
    import pytest

    settle_in(folder)
    pytest.main([*OPTIONS, "tests/guardrails"], plugins=[Swapper(folder, asked)])
