"""Would the tests notice a wrong rule? Every small wrong change is tried, and those that nothing notices are listed.

    python -m tests.guardrails.mutation [--minutes 15] [--workers 1] [--seed 1] [--only sql.py] [--patience 10]
                                        [--remember .mutants]

Changes are made in a scratch copy, one at a time, each in a process of its own. A mutant of the code meets the tests
that run its line, quickest first, until one fails or they have used up the patience, in processor seconds; one that
could change what importing does meets them again from a fresh import. A mutant of a rule file meets that rule's own
examples, then the tables of the tests; the printed rule book and digests, which notice any change of a rule file, are
left out. The order is drawn by the seed, so that a run that stops early has tried a fair sample. Mutants that change
nothing are declared, with the reason, in `equivalent_mutants.yaml`.

What was noticed is remembered by the digest of the wrong file, so that the next run goes on where this one stopped and
the figure at the end is of all modules and rule files. A module or rule file that changes is tried anew; after tests
were taken away, delete the file of what is remembered.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import random
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
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
    parser.add_argument(
        "--only", nargs="+", default=[""], help="mutants whose name contains one of these, in this order"
    )
    parser.add_argument(
        "--patience", type=float, default=10.0, help="processor seconds of tests that a mutant has to survive"
    )
    parser.add_argument("--remember", type=Path, default=ROOT / ".mutants", help="file of what was noticed before")
    asked = parser.parse_args()
    memory = Memory(asked.remember)
    signal.signal(signal.SIGALRM, late)
    get_ready()
    declared = {entry["mutant"]: entry["reason"] for entry in yaml.safe_load(EQUIVALENTS.read_text("utf-8")) or []}
    code, rules = code_mutants(ROOT), rule_mutants(ROOT, strict)
    stale = sorted(set(declared) - {mutant.name for mutant in code})
    results = memory.of([*code, *rules])
    left = [mutant for mutant in [*code, *rules] if mutant.name not in declared and mutant.name not in results]
    random.Random(asked.seed).shuffle(left)
    wanted = list(dict.fromkeys(mutant for word in asked.only for mutant in left if word in mutant.name))
    with tempfile.TemporaryDirectory() as home:
        folders = [scratch(Path(home) / str(worker)) for worker in range(asked.workers)]
        baseline = (
            in_child(lambda: measure(folders[0]), 3600) if wanted else {"seconds": {}, "lines": {}, "at_import": []}
        )
        if isinstance(baseline, str):
            print(baseline)
            return 2
        tests = Baseline(baseline["seconds"], baseline["lines"], frozenset(baseline["at_import"]))
        print(f"{len(wanted)} mutants to try; {len(tests.seconds)} tests take {sum(tests.seconds.values()):.0f} s")
        deadline = time.monotonic() + 60 * asked.minutes
        results |= run_rules(folders[0], [mutant for mutant in wanted if not mutant.line], tests, memory)
        code_wanted = [mutant for mutant in wanted if mutant.line]
        results |= run_code(folders, code_wanted, tests, deadline, asked.patience, memory)
    return report(code, rules, results, set(declared), stale)


class Memory:
    """What was noticed before, one line per mutant: the digest of the wrong file and what became of it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        lines = file.read_text("utf-8").splitlines() if file.exists() else []
        self.known = dict(line.split(" ", 1) for line in lines)

    def of(self, mutants: Sequence[Mutant]) -> dict[str, str]:
        """Return what is remembered of some mutants, by name."""
        return {mutant.name: self.known[key] for mutant in mutants if (key := _key(mutant)) in self.known}

    def note(self, mutant: Mutant, became: str) -> None:
        """Remember a mutant that was noticed; one that was not is tried again."""
        if not became.startswith((SURVIVED, "error")):
            with self.file.open("a", encoding="utf-8") as out:
                out.write(f"{_key(mutant)} {became}\n")


def _key(mutant: Mutant) -> str:
    return hashlib.sha256(f"{mutant.file}\n{mutant.text}".encode()).hexdigest()[:20]


# --- mutants of rule files


def run_rules(folder: Path, mutants: Sequence[Mutant], tests: Baseline, memory: Memory) -> dict[str, str]:
    """Return what became of each mutant of a rule file."""
    texts = {mutant.name: (Path(mutant.file).name, mutant.text) for mutant in mutants}

    def meet() -> dict[str, str]:
        settle_in(folder)
        return {name: met(file, text) for name, (file, text) in texts.items()}

    became: dict[str, str] = in_child(meet)
    ordered = [test for name in RULE_TESTS for test in tests.seconds if f"/{name}" in test]
    ordered = [test for test in ordered if not any(word in test for word in NOT_OF_RULES)]
    for mutant in mutants:
        if became[mutant.name] == SURVIVED:
            became[mutant.name] = replaced(folder, mutant, ordered)
        memory.note(mutant, became[mutant.name])
    return became


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
    folders: Sequence[Path],
    mutants: Sequence[Mutant],
    tests: Baseline,
    deadline: float,
    patience: float,
    memory: Memory,
) -> dict[str, str]:
    """Return what became of each mutant that was tried before the deadline."""
    context = multiprocessing.get_context("fork")
    todo, done = context.Queue(), context.Queue()
    by_name = {mutant.name: mutant for mutant in mutants}
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
        memory.note(by_name[said[0]], said[1])
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
        return replaced(folder, mutant, tests.within(tests.all_for(mutant), patience))
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
    survivors: list[Mutant] = []
    for title, mutants in {**groups, "everything": [*rules, *code]}.items():
        own = [results[mutant.name] for mutant in mutants if mutant.name in results]
        lost = [m for m in mutants if results.get(m.name, "").startswith((SURVIVED, "error"))]
        slow, equal = own.count(TIMEOUT), sum(mutant.name in declared for mutant in mutants)
        figures = (len(mutants), len(own), len(own) - len(lost) - slow, slow, equal, len(lost))
        print(f"{title:24}{''.join(f'{figure:12}' for figure in figures)}")
        survivors = lost
    by_examples = sum(results.get(mutant.name) == "refused by its examples" for mutant in rules)
    print(f"rule files: {by_examples} of {len(rules)} refused by the rule's own examples, the others by tests")
    every, tried = len(rules) + len(code), len({*results} - declared)
    equal = sum(mutant.name in declared for mutant in code)
    print(
        f"{every:,} mutants: {tried - len(survivors):,} noticed, {equal} equivalent with a reason, "
        f"{len(survivors)} surviving, {every - tried - equal:,} untried"
    )
    for mutant in survivors:
        print(f"{results[mutant.name]}: {mutant.file}:{mutant.line} {mutant.name}")
    for name in stale:
        print(f"declared equivalent, but no such mutant: {name}")
    return 1 if survivors or stale else 0


if __name__ == "__main__":
    sys.exit(main())
