"""Does the first choice stay when what is arbitrary changes?

Another seed, another definition of refractory, other utility weights, another draw from the model's own uncertainty:
for each, how many first choices stay, among those that were clear and those that were tied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.learners import pair_half_widths

Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.intp]

STEADY = 0.9
"""Share of draws in which a first choice must stay to be called steady; the level of the intervals."""
LEAST_CLEAR_KEPT = 0.9
FEWEST_CLEAR = 30
DRAWS = 200
_FACTORS = (0.5, 2.0)
_CHUNK = 500
REFITTED = ("seed", "refractory")


@dataclass(frozen=True)
class Variation:
    """One thing changed, and what the changed model says of the same decisions.

    Attributes
    ----------
    kind : {'seed', 'refractory', 'weights', 'draws'}
    label : str
        What was changed, in words.
    before, after : array (n, arms)
        Suitability, both by a model of the same make.
    """

    kind: str
    label: str
    before: Array
    after: Array


def first_choice(suitability: Array, is_impossible: BoolArray) -> IntArray:
    """Return the possible arm with the largest suitability, shape (n,)."""
    return np.asarray(np.where(is_impossible, -np.inf, suitability).argmax(axis=1))


def clear_first(suitability: Array, half_widths: Array, is_impossible: BoolArray) -> BoolArray:
    """Return for whom the first choice is clearly better than every other possible arm, shape (n,).

    Parameters
    ----------
    suitability : array (n, arms)
    half_widths : array (n, arms, arms)
        Of the pairwise differences.
    is_impossible : bool array (n, arms)
    """
    rows, first = np.arange(len(suitability)), first_choice(suitability, is_impossible)
    ahead = suitability[rows, first][:, None] - suitability > half_widths[rows, first]
    ahead[rows, first] = True
    return np.asarray((ahead | is_impossible).all(axis=1))


def rank_correlation(before: Array, after: Array) -> float | None:
    """Return Spearman's correlation of the two orders of arms, averaged over decisions; None under two arms."""
    arms = before.shape[1]
    if arms < 2 or not len(before):
        return None
    places = [np.argsort(np.argsort(-values, axis=1, kind="stable"), axis=1) for values in (before, after)]
    squares = np.sum((places[0] - places[1]) ** 2, axis=1)
    return float(np.mean(1.0 - 6.0 * squares / (arms * (arms**2 - 1))))


def steadiness(variation: Variation, is_clear: BoolArray, is_impossible: BoolArray) -> dict[str, Any]:
    """Return what one variation changes.

    Parameters
    ----------
    variation : Variation of n decisions
    is_clear : bool array (n,)
        Whose first choice is clear.
    is_impossible : bool array (n, arms)

    Returns
    -------
    dict
        `kind, label, stays, stays_clear, stays_tied` (shares of first choices that stay; None of nobody),
        `rank_correlation`, `largest_change` (of any possible suitability).
    """
    stays = first_choice(variation.before, is_impossible) == first_choice(variation.after, is_impossible)
    change = np.abs(variation.after - variation.before)[~is_impossible]
    return {
        "kind": variation.kind,
        "label": variation.label,
        **_shares(stays.astype(np.float64), is_clear),
        "rank_correlation": rank_correlation(variation.before, variation.after),
        "largest_change": float(change.max()) if len(change) else None,
    }


def _shares(stays: Array, is_clear: BoolArray) -> dict[str, float | None]:
    def share(of: Array) -> float | None:
        return float(of.mean()) if len(of) else None

    return {"stays": share(stays), "stays_clear": share(stays[is_clear]), "stays_tied": share(stays[~is_clear])}


def weight_variations(
    outcomes: Array, burden: Array, weights: Mapping[str, float], signs: Mapping[str, float], labels: Mapping[str, str]
) -> Iterator[Variation]:
    """Yield the suitability with each weight halved and doubled; the others stay.

    Parameters
    ----------
    outcomes : array (n, arms, targets)
        By the deployed students.
    burden : array (n, arms)
        Unweighted.
    weights : mapping of outcome, in the order of targets, and `burden`, to float
    signs : mapping of outcome to 1 or -1
    labels : mapping of outcome to words
    """
    before = _weighted(outcomes, burden, weights, signs)
    for name, weight in weights.items():
        if weight <= 0:
            continue
        for factor in _FACTORS:
            after = _weighted(outcomes, burden, {**weights, name: weight * factor}, signs)
            told = labels.get(name, name.replace("_", " ").capitalize())
            how = "halved" if factor < 1 else "doubled"
            yield Variation("weights", f"{told}: weight {how}", before, after)


def _weighted(outcomes: Array, burden: Array, weights: Mapping[str, float], signs: Mapping[str, float]) -> Array:
    names = [name for name in weights if name != "burden"]
    signed = np.array([weights[name] * signs[name] for name in names])
    return np.asarray((outcomes @ signed - weights.get("burden", 0.0) * burden) / sum(weights.values()))


def draws_finding(
    suitability: Array, deviations: Array, is_clear: BoolArray, is_impossible: BoolArray, seed: int
) -> dict[str, Any]:
    """Return in how many draws from the model's own uncertainty each first choice stays.

    Parameters
    ----------
    suitability : array (n, arms)
    deviations : array (n, k, arms)
        As the intervals use them; a draw adds their sum, each times one standard normal number shared by everybody.
    is_clear : bool array (n,)
    is_impossible : bool array (n, arms)
    seed : int

    Returns
    -------
    dict
        As `steadiness` (`stays` is the mean over draws; `largest_change` is None), and `steady, steady_clear,
        steady_tied`: the share of decisions whose first choice stays in at least 90 % of draws.
    """
    rng = np.random.default_rng([seed, 21])
    numbers = rng.standard_normal((DRAWS, deviations.shape[1]))
    first = first_choice(suitability, is_impossible)
    kept, correlation = np.zeros(len(first)), 0.0
    for start in range(0, len(first), _CHUNK):
        rows = slice(start, start + _CHUNK)
        moved = suitability[rows, None, :] + np.einsum("dk,nka->nda", numbers, deviations[rows], optimize=True)
        chosen = np.where(is_impossible[rows, None, :], -np.inf, moved).argmax(axis=2)
        kept[rows] = (chosen == first[rows, None]).mean(axis=1)
        wide = np.repeat(suitability[rows], DRAWS, axis=0)
        correlation += (rank_correlation(wide, moved.reshape(wide.shape)) or 0.0) * len(chosen) / len(first)
    steady = _shares((kept >= STEADY).astype(np.float64), is_clear)
    return {
        "kind": "draws",
        "label": f"{DRAWS} draws of the model's own uncertainty",
        **_shares(kept, is_clear),
        **{name.replace("stays", "steady"): share for name, share in steady.items()},
        "rank_correlation": correlation if len(first) else None,
        "largest_change": None,
    }


def stability(rows: Sequence[Mapping[str, Any]], is_clear: BoolArray, not_done: Sequence[str]) -> dict[str, Any]:
    """Return every variation, how many first choices were clear, and what it comes to in words.

    Parameters
    ----------
    rows : sequence of mapping
        As `steadiness` and `draws_finding` return them.
    is_clear : bool array (n,)
    not_done : sequence of str
        Variations that were not tried, and why.

    Returns
    -------
    dict
        `decisions, clear, tied` (counts), `variations`, `least_clear_kept` (smallest share of clear first choices
        that stay when learned again; None where nothing was), `not_done, words`.
    """
    clear = int(is_clear.sum())
    again = [row["stays_clear"] for row in rows if row["kind"] in REFITTED and row["stays_clear"] is not None]
    return {
        "decisions": len(is_clear),
        "clear": clear,
        "tied": len(is_clear) - clear,
        "variations": [dict(row) for row in rows],
        "least_clear_kept": min(again, default=None),
        "not_done": list(not_done),
        "words": _words(rows, clear, len(is_clear)),
    }


def _words(rows: Sequence[Mapping[str, Any]], clear: int, decisions: int) -> str:
    told = []
    if decisions:
        told.append(f"{100 * clear / decisions:.0f} % of first choices are clear of every other.")
    for kind, words in (("seed", "with another seed"), ("refractory", "with the other definition of refractory")):
        stays = [row["stays"] for row in rows if row["kind"] == kind and row["stays"] is not None]
        if stays:
            told.append(f"Learned again {words}, {100 * min(stays):.0f} % of all first choices stay.")
    weighed = [row for row in rows if row["kind"] == "weights" and row["stays"] is not None]
    if weighed:
        worst = min(weighed, key=lambda row: (row["stays"], row["label"]))
        told.append(f"Of the weights, one moves most ({worst['label']}): {100 * worst['stays']:.0f} % stay.")
    return " ".join(told) or "Nothing was varied."


def clear_of(suitability: Array, deviations: Array, is_impossible: BoolArray) -> BoolArray:
    """Return whose first choice is clear, from deviations (n, k, arms)."""
    return clear_first(suitability, pair_half_widths(deviations), is_impossible)
