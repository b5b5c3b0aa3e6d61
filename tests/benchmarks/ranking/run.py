"""Which of the protocol's runs are still missing? Does them, one line of results.jsonl each, cheapest first.

`python -m tests.benchmarks.ranking.run --n 1000 --only ours,cox` (or `make bench-ranking ARGS='--n 1000'`).
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import inspect
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402
from lightgbm.basic import LightGBMError  # noqa: E402

import pipeline.learners  # noqa: E402
from pipeline.errors import PipelineError  # noqa: E402
from tests.benchmarks.ranking import measures, ours, preparing, report  # noqa: E402
from tests.benchmarks.ranking.data import HERE, Task, load, read_protocol, shipped_setup  # noqa: E402

RESULTS = HERE / "results.jsonl"
FAILURES = (PipelineError, LightGBMError, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing, then report."""
    protocol = read_protocol()
    asked = _asked(arguments, protocol)
    if not asked.report_only:
        for line in missing(protocol, asked):
            with asked.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            print(_words(line), flush=True)
    text = report.report(protocol, report.read(asked.results), {name: digest(name, protocol) for name in asked.only})
    print(text)
    if asked.page is not None:
        report.write_between_markers(asked.page, text)
    return 0


def _asked(arguments: Sequence[str] | None, protocol: dict[str, Any]) -> argparse.Namespace:
    def names(known: Sequence[str]) -> Any:
        def parse(text: str) -> list[str]:
            chosen = [part for part in text.split(",") if part]
            if unknown := sorted(set(chosen) - set(known)):
                raise argparse.ArgumentTypeError(f"unknown {', '.join(unknown)}; known: {', '.join(known)}")
            return chosen

        return parse

    def numbers(text: str) -> list[int]:
        return [int(part) for part in text.split(",") if part]

    parser = argparse.ArgumentParser(prog="bench-ranking", description="ours against the libraries, on invented people")
    methods = list(protocol["methods"])
    parser.add_argument("--only", type=names(methods), default=methods, help="methods, comma between")
    parser.add_argument("--worlds", type=names(list(protocol["worlds"])), default=list(protocol["worlds"]))
    parser.add_argument("--n", type=numbers, default=protocol["sizes"])
    parser.add_argument("--seeds", type=numbers, default=protocol["seeds"])
    parser.add_argument("--force", action="store_true", help="repeat runs that are in the file")
    parser.add_argument(
        "--keep-stale", action="store_true", help="do not repeat runs made by an earlier version of a method"
    )
    parser.add_argument("--report-only", action="store_true")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "mmrank-bench-ranking")
    parser.add_argument("--page", type=Path, default=None, help="page whose marked part is written again")
    return parser.parse_args(arguments)


def missing(protocol: dict[str, Any], asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the result of every run asked for that is not in the file: small n first, every world before a new seed."""
    done = report.latest(report.read(asked.results))
    digests = {name: digest(name, protocol) for name in asked.only}
    setup = shipped_setup()
    for n in asked.n:
        for seed in asked.seeds:
            for world in asked.worlds:
                wanted = [
                    method
                    for method in asked.only
                    if asked.force
                    or (line := done.get((world, n, seed, method))) is None
                    or (not report.is_current(protocol, line, digests[method]) and not asked.keep_stale)
                ]
                if wanted:
                    task = load(world, n, seed, protocol, setup, asked.cache)
                for method in wanted:
                    found = run(method, task, protocol)
                    yield (
                        {"world": world, "n": n, "seed": seed, "method": method}
                        | found
                        | {
                            "code": digests[method],
                            "data": task.digest,
                        }
                    )


def run(method: str, task: Task, protocol: dict[str, Any]) -> dict[str, Any]:
    """Return what one method achieves on one task, or why it cannot be run."""
    from tests.benchmarks.ranking.peers import PEERS

    possible = ~task.test.impossible.to_numpy(dtype=bool)
    everything = np.ones_like(possible)
    burden = task.weights.get("burden", 0.0) / sum(task.weights.values()) * task.test.burden
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if method == "ours":
                ranker = ours.fitted(task)
                answer = preparing.Answer(ours.utility(task, ranker))
            else:
                answer = PEERS[method](task, protocol)
            seconds = time.process_time() - began
            extra = ours.more(task, ranker, burden) if method == "ours" else {}
        except FAILURES as problem:  # a library that fails on a world is a result, not the end of the others
            print(f"{method}: {type(problem).__name__}: {problem}", file=sys.stderr)
            return {"failed": type(problem).__name__, "seconds": round(time.process_time() - began, 2)}
    values = answer.values - burden if answer.kind == "utility" else answer.values
    choose = measures.as_policy if answer.kind == "policy" else measures.chances
    policy = choose(values, possible)
    found = {
        "regret": measures.regret(task.test.truth, policy, possible),
        "regret_any_arm": measures.regret(task.test.truth, choose(values, everything), everything),
        "top_choice": float(measures.top_choice(task.test.truth, policy, possible).mean()),
        **extra,
    }
    return _rounded(found) | {"seconds": round(seconds, 2)}


def _rounded(found: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in found.items()}


def digest(method: str, protocol: dict[str, Any]) -> str:
    """Return what changes when the method does: its code without comments and layout, and its part of the protocol."""
    from tests.benchmarks.ranking import peers

    if method == "ours":
        files = sorted(Path(pipeline.learners.__file__).parent.glob("*.py"))
        code = [file.read_text(encoding="utf-8") for file in files]
    else:
        code = [inspect.getsource(peers), inspect.getsource(preparing)]
        own = inspect.getsource(peers.PEERS[method]) if method in peers.PEERS else ""
        code = [own, *_uses(own, code)]
    parts = [ast.dump(_without_words(ast.parse(part))) for part in code]
    parts += [json.dumps(protocol[part], sort_keys=True) for part in ("boosting", "labels") if method != "ours"]
    parts.append(json.dumps(protocol["methods"][method].get("settings"), sort_keys=True))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _uses(source: str, modules: Sequence[str]) -> list[str]:
    """Return the sources of what the source names of these modules, and of what that names in turn."""
    known: dict[str, str] = {}
    for text in modules:
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                known[node.name] = ast.get_source_segment(text, node) or ""
    found: dict[str, str] = {}
    waiting = [source]
    while waiting:
        names = {node.id for node in ast.walk(ast.parse(waiting.pop())) if isinstance(node, ast.Name)}
        for name in sorted((names & set(known)) - set(found)):
            found[name] = known[name]
            waiting.append(known[name])
    return [found[name] for name in sorted(found)]


def _without_words(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            body[0].value = ast.Constant("")
    return tree


def _words(line: dict[str, Any]) -> str:
    said = f"failed: {line['failed']}" if "failed" in line else f"regret {line['regret']:.4f}"
    return (
        f"{line['world']:17} n={line['n']:<6} seed {line['seed']}  {line['method']:17} {said}  {line['seconds']:.1f} s"
    )


if __name__ == "__main__":
    raise SystemExit(main())
