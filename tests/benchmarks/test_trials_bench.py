"""Does the estimator keep to what two randomised trials say, with its defaults and the known propensities?

Each repeat is another seed: other folds, other trees; for the observational versions, other people dropped. `se` is
the mean clustered standard error of one repeat: what chance in who was recruited does. `between` is the standard
deviation over repeats: what chance in the method does. Put the wheels in place first (trial-wheels.txt says how).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kruskal

from pipeline.errors import GateError
from pipeline.evaluate.leaks import leak_audit, refuse_leaks
from pipeline.learners.policy_value import Paired
from tests.learners.trials import (
    LATER,
    Judged,
    Trial,
    actg175,
    actg_table,
    colon,
    contrast_errors,
    judge,
    learn,
    swapped_by_age,
)

REPEATS = 10


def repeated(trial: Trial) -> list[Judged]:
    """Return the judgement of each repeat."""
    return [judge(trial, learn(trial, seed)) for seed in range(REPEATS)]


def _line(name: str, found: list[Judged], of: Callable[[Judged], Paired]) -> tuple[float, float]:
    values = np.array([of(each).difference for each in found])
    error = float(np.mean([of(each).se for each in found]))
    print(f"  {name:38s} {values.mean():+.4f}  se {error:.4f}  between {values.std(ddof=1):.4f}")
    return float(values.mean()), error


def _shares(name: str, found: list[dict[str, float]]) -> dict[str, float]:
    table = pd.DataFrame(found).fillna(0.0)
    told = ", ".join(f"{arm} {table[arm].mean():.3f} (between {table[arm].std(ddof=1):.3f})" for arm in table)
    print(f"  {name}: {told}")
    return dict(table.mean())


@pytest.mark.slow
def test_actg175_puts_zidovudine_alone_last() -> None:
    found = repeated(actg175())
    print(f"\nACTG 175, no event within 24 months, {REPEATS} repeats")
    last, _ = _shares("last choice", [each.last for each in found]), _shares("first choice", [e.first for e in found])
    apart, _ = _line("first less last choice", found, lambda each: each.first_less_last)
    gain, error = _line("model less one best arm", found, lambda each: each.first_less_best)
    _line("model less best arm in hindsight", found, lambda each: each.first_less_hindsight)

    assert last["zidovudine"] >= 0.9
    assert apart >= 0.08
    assert gain >= -2 * error


@pytest.mark.slow
def test_actg175_relabelled_by_age_is_learned() -> None:
    trial = swapped_by_age(actg175(), "zidovudine", "zidovudine_zalcitabine")
    found = repeated(trial)
    print(f"\nACTG 175, two arms, labels swapped above the median age, {len(trial.features)} people, {REPEATS} repeats")
    gain, _ = _line("model less one best arm", found, lambda each: each.first_less_best)
    _line("model less best arm in hindsight", found, lambda each: each.first_less_hindsight)

    assert gain >= 0.02


@pytest.mark.slow
def test_colon_puts_levamisole_with_fluorouracil_first() -> None:
    found = repeated(colon())
    print(f"\ncolon, alive at 60 months, {REPEATS} repeats")
    first, _ = _shares("first choice", [each.first for each in found]), _shares("last choice", [e.last for e in found])
    _line("first less last choice", found, lambda each: each.first_less_last)
    gain, error = _line("model less one best arm", found, lambda each: each.first_less_best)
    _line("model less best arm in hindsight", found, lambda each: each.first_less_hindsight)

    assert first["Lev+5FU"] >= 0.9
    assert gain >= -2 * error


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trial", "by", "favoured"),
    [(actg175, "cd40", "zidovudine"), (colon, "nodes", "Lev+5FU")],
    ids=["actg175", "colon"],
)
def test_confounding_by_selective_dropping_is_mostly_undone(trial: Callable[[], Trial], by: str, favoured: str) -> None:
    whole = trial()
    errors = pd.DataFrame([contrast_errors(whole, by, favoured, seed) for seed in range(REPEATS)])
    print(
        f"\n{trial.__name__} made observational by {by}: mean absolute error of pairwise contrasts, {REPEATS} repeats"
    )
    for name in errors:
        column = errors[name]
        print(f"  {name:9s} {column.mean():.4f} (standard error {column.std(ddof=1) / np.sqrt(REPEATS):.4f})")
    for name in ("scores", "model"):
        print(f"  {name} / naive {errors[name].mean() / errors['naive'].mean():.2f}")

    assert errors["scores"].mean() <= 0.6 * errors["naive"].mean()


def test_what_audits_see_of_columns_from_after_randomisation() -> None:
    table = actg_table()
    names = [name for name in table if name not in {"pidnum", "days", "cens", "arms"}]
    audit = leak_audit(table, names, table["arms"].astype(str), 0.95, 0.5)
    told = {row["feature"]: row["auc"] for row in reversed(audit["stopped"] + audit["reported"])}
    print("\nACTG 175: what tells the arm; randomisation leaves p of what was known before it uniform")
    for name in ("treat", *LATER, "cd40", "age"):
        known = table[name].notna()
        arms = [table.loc[known & (table["arms"] == arm), name] for arm in range(4)]
        print(f"  {name:6s} AUC {told.get(name, 0.5):.3f}   p of balance {kruskal(*arms).pvalue:.1e}")

    assert {row["feature"] for row in audit["stopped"]} == {"treat"}  # the audit alone sees none of the later four
    with pytest.raises(GateError, match="treat"):
        refuse_leaks(audit, 0.95)
