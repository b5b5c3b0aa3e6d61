"""Would the tests notice a wrong rule? Every small wrong change is tried, and those that nothing notices are listed.

    python -m tests.guardrails.mutation [--minutes 15] [--workers 1] [--seed 1] [--only sql.py] [--patience 10]

Changes are made in a scratch copy, one at a time, each in a process of its own. A mutant of the code meets the tests
that run its line, quickest first, until one fails or they have used up the patience, in processor seconds; one that
could change what importing does meets them again from a fresh import. A mutant of a rule file meets that rule's own
examples, then the tables of the tests; the printed rule book and digests, which notice any change of a rule file, are
left out. The order is drawn by the seed, so that a run that stops early has tried a fair sample. Mutants that change
nothing are declared, with the reason, in `equivalent_mutants.yaml`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.guardrails.mutant_trials import (
    ROOT,
    SURVIVED,
    TIMEOUT,
    Baseline,
    get_ready,
    in_child,
    late,
    measure,
    replaced,
    scratch,
    serve,
    settle_in,
    strict,
)
from tests.guardrails.mutants import Mutant, code_mutants, rule_mutants

EQUIVALENTS = Path(__file__).with_name("equivalent_mutants.yaml")
NOT_OF_RULES = ("test_the_printed_rule_book_is_current", "digest", "test_every_mutant_of_a_rule", "test_a_rule_reads")
RULE_TESTS = ("test_rule_table.py", "test_gallery.py", "test_boundaries.py", "test_rule_files.py", "test_verdicts.py")


def main() -> int:
    """Try mutants and print what became of them; return 1 if some survive that are not declared equivalent."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="mutants whose name contains this")
    parser.add_argument(
        "--patience", type=float, default=10.0, help="processor seconds of tests that a mutant has to survive"
    )
    asked = parser.parse_args()
    signal.signal(signal.SIGALRM, late)
    get_ready()
    declared = {entry["mutant"]: entry["reason"] for entry in yaml.safe_load(EQUIVALENTS.read_text("utf-8")) or []}
    with tempfile.TemporaryDirectory() as home:
        folders = [scratch(Path(home) / str(worker)) for worker in range(asked.workers)]
        baseline = in_child(lambda: measure(folders[0]))
        if isinstance(baseline, str):
            print(baseline)
            return 2
        tests = Baseline(baseline["seconds"], baseline["lines"], frozenset(baseline["at_import"]))
        print(f"{len(tests.seconds)} tests take {sum(tests.seconds.values()):.0f} s")
        every = code_mutants(ROOT)
        code = [mutant for mutant in every if asked.only in mutant.name]
        rules = [mutant for mutant in rule_mutants(ROOT, strict) if asked.only in mutant.name]
        stale = sorted(set(declared) - {mutant.name for mutant in every})
        random.Random(asked.seed).shuffle(code)
        results = dict(run_rules(folders[0], rules, tests))
        deadline = time.monotonic() + 60 * asked.minutes
        wanted = [mutant for mutant in code if mutant.name not in declared]
        results |= run_code(folders, wanted, tests, deadline, asked.patience)
    return report(code, rules, results, {name for name in declared if asked.only in name}, stale)


# --- mutants of rule files


def run_rules(folder: Path, mutants: Sequence[Mutant], tests: Baseline) -> Iterator[tuple[str, str]]:
    """Yield each rule mutant's name and what became of it."""
    texts = {mutant.name: (Path(mutant.file).name, mutant.text) for mutant in mutants}

    def meet() -> dict[str, str]:
        settle_in(folder)
        return {name: met(file, text) for name, (file, text) in texts.items()}

    became = in_child(meet)
    ordered = [test for name in RULE_TESTS for test in tests.seconds if f"/{name}" in test]
    ordered = [test for test in ordered if not any(word in test for word in NOT_OF_RULES)]
    for mutant in mutants:
        if became[mutant.name] == SURVIVED:
            became[mutant.name] = replaced(folder, mutant, ordered)
    yield from became.items()


def met(file: str, text: str) -> str:
    """Return what a wrong rule file meets: its own examples, then the drawn tables and the gallery."""
    from pipeline.errors import RuleError
    from pipeline.guardrails import RuleSet, parse_rules
    from tests.guardrails import test_gallery, test_rule_table
    from tests.guardrails.shipped import CATALOGUE, PRODUCTS, RULES

    try:
        wrong = parse_rules({file: strict(text, file, RuleError)}, CATALOGUE, PRODUCTS).rules[0]
    except RuleError:
        return "refused by its examples"
    rules = RuleSet(tuple(wrong if rule.id == wrong.id else rule for rule in RULES.rules), "mutant")
    test_rule_table.RULES = test_gallery.RULES = rules  # type: ignore[attr-defined]
    try:
        test_rule_table.test_every_rule_covers_does_and_allows_what_the_evidence_says()
        test_rule_table.test_every_rule_judges_decisions_of_any_year()
        for name in test_gallery.CASES:
            test_gallery.test_the_gallery(name)
    except AssertionError:
        return "killed by the tables"
    finally:
        test_rule_table.RULES = test_gallery.RULES = RULES  # type: ignore[attr-defined]
    return SURVIVED


# --- mutants of the code


def run_code(
    folders: Sequence[Path], mutants: Sequence[Mutant], tests: Baseline, deadline: float, patience: float
) -> dict[str, str]:
    """Return what became of each mutant that was tried before the deadline."""
    context = multiprocessing.get_context("fork")
    todo, done = context.Queue(), context.Queue()
    for mutant in [*mutants, *[None] * len(folders)]:
        todo.put(mutant)

    def work(folder: Path) -> None:
        here, there = context.Pipe()
        server = context.Process(target=serve, args=(folder, there))
        server.start()
        here.recv()
        while time.monotonic() < deadline and (mutant := todo.get()) is not None:
            done.put((mutant.name, tried(folder, mutant, tests, here, patience)))
        here.send(None)
        server.join()
        done.put(None)

    workers = [context.Process(target=work, args=(folder,)) for folder in folders]
    for worker in workers:
        worker.start()
    results: dict[str, str] = {}
    running = len(workers)
    while running:
        said = done.get()
        if said is None:
            running -= 1
            continue
        results[said[0]] = said[1]
        if said[1] == SURVIVED:
            print(f"  survived: {said[0]}", flush=True)
    todo.cancel_join_thread()
    for worker in workers:
        worker.terminate()
    return results


def tried(folder: Path, mutant: Mutant, tests: Baseline, server: Any, patience: float) -> str:
    """Return what became of a mutant of the code: by the quick way, then, if nothing noticed, by the plain one."""
    server.send((mutant, tests.within(tests.of(mutant), patience)))
    became = str(server.recv())
    if became == SURVIVED and (not mutant.inside or f"{mutant.file}:{mutant.line}" in tests.at_import):
        return replaced(folder, mutant, tests.within(tests.ordered(tests.seconds), patience))
    return became


def report(
    code: Sequence[Mutant],
    rules: Sequence[Mutant],
    results: Mapping[str, str],
    declared: set[str],
    stale: Sequence[str],
) -> int:
    """Print the figures and the survivors; return the exit status."""
    columns = ("mutants", "tried", "killed", "timed out", "equivalent", "survived")
    print(f"{'':24}{''.join(f'{name:>12}' for name in columns)}")
    groups = {"rule files": rules}
    groups |= {
        name: [m for m in code if Path(m.file).name == name] for name in sorted({Path(m.file).name for m in code})
    }
    survivors = []
    for title, mutants in {**groups, "all code": code}.items():
        own = [results[mutant.name] for mutant in mutants if mutant.name in results]
        lost = [m for m in mutants if results.get(m.name, "").startswith((SURVIVED, "error"))]
        slow, equal = own.count(TIMEOUT), sum(mutant.name in declared for mutant in mutants)
        figures = (len(mutants), len(own), len(own) - len(lost) - slow, slow, equal, len(lost))
        print(f"{title:24}{''.join(f'{figure:12}' for figure in figures)}")
        survivors += lost if title != "all code" else []
    if rules:
        by_examples = sum(results.get(mutant.name) == "refused by its examples" for mutant in rules)
        print(f"rule files: {by_examples} of {len(rules)} refused by the rule's own examples, the others by tests")
    for mutant in survivors:
        print(f"{results[mutant.name]}: {mutant.file}:{mutant.line} {mutant.name}")
    for name in stale:
        print(f"declared equivalent, but no such mutant: {name}")
    return 1 if survivors or stale else 0


if __name__ == "__main__":
    sys.exit(main())
