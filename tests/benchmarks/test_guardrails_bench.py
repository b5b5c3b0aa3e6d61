"""A million decisions, every rule and product: by masks, by SQL, and with tables written out; seconds and memory.

Each way runs in a process of its own, so that its peak memory is its own. `make bench` prints the table.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.guardrails import answer_rules, apply_rules_in_chunks, apply_rules_sql, fact_table, plan
from tests.guardrails.shipped import CATALOGUE, FIT, MODALITIES, PRODUCTS, RULES

ROOT = Path(__file__).parents[2]
DECISIONS, TABLED, SMALL = 1_000_000, 100_000, 20_000
WAYS = ("masks", "sql", "tables")
THREADS = 2
TITLES = {
    "masks": "masks (verdict codes)",
    "sql": "DuckDB SQL (verdict codes)",
    "tables": "masks, tables and findings",
}


def institution(number: int, seed: int = 1) -> pd.DataFrame:
    """Return facts of people who are fit but for one fact in twelve, and of whom one fact in twenty is unknown."""
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {}
    for name, fact in CATALOGUE.items():
        usual, differs, missing = FIT[name], rng.random(number) < 1 / 12, rng.random(number) < 1 / 20
        if fact.type == "boolean":
            columns[name] = pd.arrays.BooleanArray(differs != bool(usual), missing)
        elif fact.type == "number":
            low = 0.0 if usual is None else float(usual)
            values = np.where(differs, np.round(rng.uniform(0, 2 * low + 4, number)), low)
            columns[name] = pd.arrays.FloatingArray(values, missing | (usual is None and ~differs))
        else:
            words = np.where(missing, "unknown", np.where(rng.random(number) < 0.5, "female", "male"))
            columns[name] = pd.array(words, dtype="str")
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 700, number), unit="D")
    names = pd.Index([f"d{place:07d}" for place in range(number)], name="decision_id")
    return pd.DataFrame({"decision_date": days, **columns}).set_axis(names)


def by_masks(facts: pd.DataFrame) -> tuple[float, np.ndarray[Any, Any]]:
    asked = plan(RULES, PRODUCTS, MODALITIES, jurisdiction="us", include_drafts=True)
    start = time.perf_counter()
    answers = answer_rules(facts, asked, decision_dates=facts["decision_date"])
    return time.perf_counter() - start, answers.products


def by_sql(facts: pd.DataFrame) -> tuple[float, np.ndarray[Any, Any]]:
    import duckdb
    import pyarrow as pa

    asked = plan(RULES, PRODUCTS, MODALITIES, jurisdiction="us", include_drafts=True)
    with duckdb.connect(config={"threads": THREADS}) as connection:
        connection.register("arrow_facts", pa.Table.from_pandas(facts.reset_index()))
        connection.execute("CREATE TABLE facts AS SELECT * FROM arrow_facts")
        start = time.perf_counter()
        answers = apply_rules_sql(connection, fact_table(connection, "facts"), asked)
        return time.perf_counter() - start, answers.products


def by_tables(facts: pd.DataFrame) -> tuple[float, np.ndarray[Any, Any]]:
    start = time.perf_counter()
    found = sum(
        len(piece.findings)
        for piece in apply_rules_in_chunks(
            facts, RULES, PRODUCTS, MODALITIES, decision_dates=facts["decision_date"], include_drafts=True
        )
    )
    return time.perf_counter() - start, np.array([found])


WAY: dict[str, Callable[[pd.DataFrame], tuple[float, np.ndarray[Any, Any]]]] = {
    "masks": by_masks,
    "sql": by_sql,
    "tables": by_tables,
}


def measured(way: str, number: int) -> dict[str, float]:
    """Return seconds, and the memory above that of the facts, of one way in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(THREADS)}
    words = [sys.executable, str(Path(__file__)), way, str(number)]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def one_way(way: str, number: int) -> None:
    facts = institution(number)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    WAY[way](facts.iloc[:1000])
    began = time.process_time()
    seconds, _ = WAY[way](facts)
    processor = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    megabytes = facts.memory_usage(deep=True).sum() / 1e6
    figures = {"seconds": seconds, "processor": processor, "extra": (peak - before) / 1e3, "facts": megabytes}
    print(json.dumps({**figures, "peak": peak / 1e3}))


def test_masks_and_sql_give_the_same_verdicts_on_the_benchmarks_own_facts():
    facts = institution(SMALL)
    np.testing.assert_array_equal(by_masks(facts)[1], by_sql(facts)[1])


@pytest.mark.slow
def test_a_million_decisions_take_seconds(capsys):
    asked = plan(RULES, PRODUCTS, MODALITIES, jurisdiction="us", include_drafts=True)
    rows = [(way, DECISIONS if way != "tables" else TABLED) for way in WAYS]
    figures = {way: measured(way, number) for way, number in rows}

    with capsys.disabled():
        print(
            f"\nguardrails: {len(asked.running)} rules in the US (drafts too), {len(asked.offered)} products, "
            f"{THREADS} threads; memory is the peak above that of the facts"
        )
        print(f"{'way':34}{'decisions':>12}{'seconds':>10}{'CPU s':>8}{'per million':>13}{'extra MB':>10}")
        for way, number in rows:
            each = figures[way]["seconds"] / number * DECISIONS
            own = figures[way]
            shown = f"{number:12,}{own['seconds']:10.1f}{own['processor']:8.1f}{each:13.1f}{own['extra']:10.0f}"
            print(f"{TITLES[way]:34}{shown}")
    assert figures["masks"]["processor"] < 60
    assert figures["sql"]["processor"] < 120


if __name__ == "__main__":
    one_way(sys.argv[1], int(sys.argv[2]))
