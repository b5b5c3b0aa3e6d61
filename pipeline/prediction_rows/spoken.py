"""Which rules spoke of each cell, which facts do they wait for, and which were set aside?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from pipeline.guardrails import Verdicts
from pipeline.prediction_rows.lists import Places, first_of_each, listed, records, words
from pipeline.vocabulary import VERDICTS

_TOLD = ("rule_id", "reason", "by_role", "date")


@dataclass(frozen=True)
class Cells:
    """The cells of a shard: every decision with every modality, in this order.

    Attributes
    ----------
    decisions, modalities : sequence of str
    """

    decisions: Sequence[str]
    modalities: Sequence[str]

    @property
    def count(self) -> int:
        """How many cells there are."""
        return len(self.decisions) * len(self.modalities)

    def of(self, table: pd.DataFrame) -> Places:
        """Return the cell of each row of a table with `decision_id` and `modality`."""
        row = pd.Index(self.decisions).get_indexer(pd.Index(table["decision_id"]))
        place = pd.Index(self.modalities).get_indexer(pd.Index(table["modality"]))
        return (row * len(self.modalities) + place).astype(np.int64)


def rules(verdicts: Verdicts, cells: Cells, unknown: Sequence[tuple[Places, str]]) -> tuple[pa.Array, pa.Array]:
    """Return the columns `rules` and `missing_facts`.

    Parameters
    ----------
    verdicts : Verdicts
    cells : Cells
    unknown : sequence of (cells, fact)
        Facts that are unknown in some cells besides those that rules wait for.

    Returns
    -------
    rules : list array (cells,)
        Per rule its worst verdict over the products and all facts it waits for, worst first, then by rule id. A rule
        that was set aside stays listed with what it said; it waits for nothing.
    missing_facts : list array (cells,)
        Those facts in that order, then the unknown ones.
    """
    found = verdicts.findings
    verdict = pd.Index(VERDICTS).get_indexer(pd.Index(found["verdict"]))
    rule, names = pd.factorize(found["rule_id"], sort=True)
    key = cells.of(found) * max(len(names), 1) + rule
    grouped, group = np.unique(key, return_inverse=True)
    cell, rule = np.divmod(grouped, max(len(names), 1))
    worst = np.full(len(grouped), -1, dtype=np.int64)
    np.maximum.at(worst, group, verdict)
    order = np.lexsort((rule, -worst, cell))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))

    of_rule, fact, facts = _facts(found, place[group])
    waited = words(facts, fact)
    column = records(
        {
            "rule_id": words(list(names), rule[order]),
            "verdict": words(VERDICTS, worst[order]),
            "missing_facts": listed(of_rule, len(order), waited),
        }
    )
    of_cell = [cell[order][of_rule], *(where for where, _ in unknown)]
    codes = [fact, *(np.full(len(where), len(facts) + number) for number, (where, _) in enumerate(unknown))]
    every = [*facts, *(name for _, name in unknown)]
    return listed(cell[order], cells.count, column), _distinct(
        np.concatenate(of_cell), np.concatenate(codes), every, cells
    )


def _facts(found: pd.DataFrame, place: Places) -> tuple[Places, Places, list[str]]:
    """Return the facts that each rule of a cell waits for: place of the rule, ascending, code of the fact, names."""
    waits = np.flatnonzero(~found["overridden"].to_numpy(dtype=bool))
    told = found["missing_facts"].to_numpy(dtype=object)[waits]
    which, sets = pd.factorize(told)
    codes, names = pd.factorize(np.array(list(chain.from_iterable(sets)), dtype=object))
    length = np.array([len(one) for one in sets], dtype=np.int64)
    begin = np.cumsum(length) - length
    order = np.argsort(place[waits], kind="stable")
    which = which[order]
    times = length[which] if len(which) else np.zeros(0, dtype=np.int64)
    rule = np.repeat(place[waits][order], times)
    within = np.arange(len(rule)) - np.repeat(np.cumsum(times) - times, times)
    fact = codes[np.repeat(begin[which], times) + within] if len(rule) else np.zeros(0, dtype=np.int64)
    kept = first_of_each(rule * max(len(names), 1) + fact)
    return rule[kept], fact[kept].astype(np.int64), [str(name) for name in names]


def _distinct(cell: Places, fact: Places, names: list[str], cells: Cells) -> pa.Array:
    """Return each cell's distinct facts in the order given."""
    codes = {name: number for number, name in enumerate(dict.fromkeys(names))}
    fact = np.array([codes[name] for name in names], dtype=np.int64)[fact] if names else fact
    order = np.argsort(cell, kind="stable")
    cell, fact = cell[order], fact[order]
    kept = first_of_each(cell * max(len(codes), 1) + fact)
    return listed(cell[kept], cells.count, words(list(codes), fact[kept]))


def products(verdicts: Verdicts, cells: Cells) -> pa.Array:
    """Return the column `products`: the verdict of every product of the modality."""
    cell = cells.of(verdicts.products)
    order = np.argsort(cell, kind="stable")
    fields = {name: _texts(verdicts.products[name], order) for name in ("product", "verdict")}
    return listed(cell[order], cells.count, records(fields))


def overrides(verdicts: Verdicts, cells: Cells) -> pa.Array:
    """Return the column `overrides`: those of the rules that had spoken of the cell, by rule id."""
    spoke = verdicts.findings.loc[verdicts.findings["overridden"], ["decision_id", "modality", "rule_id"]]
    table = spoke.drop_duplicates().merge(verdicts.overrides, on=["decision_id", "rule_id"]).sort_values("rule_id")
    cell = cells.of(table)
    order = np.argsort(cell, kind="stable")
    return listed(cell[order], cells.count, records({name: _texts(table[name], order) for name in _TOLD}))


def _texts(column: pd.Series, order: npt.NDArray[np.intp]) -> pa.Array:
    codes, names = pd.factorize(column)
    return words([str(name) for name in names], codes[order].astype(np.int64))
