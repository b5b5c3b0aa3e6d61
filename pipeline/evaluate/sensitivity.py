"""How strong would an unrecorded reason for the choice have to be to overturn the first choice?

Two answers: a bias in suitability against the gap between first and second, person by person; and the
E-value of the pooled contrast between the two modalities that most often share the first two places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.evaluate.contrasts import Z95
from pipeline.learners import Evidence, Target, doubly_robust_scores
from pipeline.learners.policy_value import clustered_error

Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

BIASES = (0.02, 0.05, 0.10)
_TOLD = 0.05
_OUTCOME = "durable_control"


def e_value(risk_ratio: float) -> float:
    """Return how strongly an unmeasured cause must go with both choice and outcome to explain a risk ratio away.

    Parameters
    ----------
    risk_ratio : float
        Above 0; one below 1 is inverted first.

    Returns
    -------
    float
        On the risk-ratio scale; 1 where there is nothing to explain.

    References
    ----------
    VanderWeele and Ding, Annals of Internal Medicine 2017; 167: 268-274: RR + sqrt(RR (RR - 1)).
    """
    ratio = max(risk_ratio, 1.0 / risk_ratio)
    return float(ratio + np.sqrt(ratio * (ratio - 1.0)))


def gaps(utility: Array, possible: BoolArray) -> tuple[npt.NDArray[np.intp], Array]:
    """Return the first and second choice and the gap between them, of those who could have at least two.

    Parameters
    ----------
    utility : array (n, arms)
        Burden subtracted.
    possible : bool array (n, arms)

    Returns
    -------
    array (m, 2) of arm positions, array (m,)
    """
    rows = possible.sum(axis=1) >= 2
    values = np.where(possible, utility, -np.inf)[rows]
    order = np.argsort(-values, axis=1, kind="stable")[:, :2]
    top = np.take_along_axis(values, order, axis=1)
    return order, np.asarray(top[:, 0] - top[:, 1])


def sensitivity(
    evidence: Evidence,
    utility: Array,
    possible: BoolArray,
    arms: Sequence[str],
    labels: Mapping[str, str],
    targets: Sequence[Target],
    floor: float,
    residual_clip: float,
) -> dict[str, Any]:
    """Return the sweep over biases, the pooled risk ratio with its E-value, and both in words.

    Parameters
    ----------
    evidence : Evidence of n rows
    utility : array (n, arms)
        Out-of-fold suitability.
    possible : bool array (n, arms)
    arms : sequence of str
    labels : mapping of modality to words
    targets : sequence of Target
    floor, residual_clip : float
        As for doubly-robust scores.

    Returns
    -------
    dict
        `decisions, sweep` (bias, share of first choices that survive it), `pair` (None without the outcome),
        `words`.
    """
    order, gap = gaps(utility, possible)
    sweep = [{"bias": bias, "survives": float(np.mean(gap > bias)) if len(gap) else None} for bias in BIASES]
    if not len(gap):
        return {"decisions": 0, "sweep": sweep, "pair": None, "words": "Nobody could have had two modalities."}
    pair = _pair(evidence, order, possible, arms, targets, floor, residual_clip)
    flipped = 100 * float(np.mean(gap <= _TOLD))
    words = f"An unrecorded reason worth {_TOLD} of suitability could change the first choice of {flipped:.0f} % of "
    words += "decisions."
    if pair is not None:
        words += " " + _pair_words(pair, labels)
    return {"decisions": len(gap), "sweep": sweep, "pair": pair, "words": words}


def _pair(
    evidence: Evidence,
    order: npt.NDArray[np.intp],
    possible: BoolArray,
    arms: Sequence[str],
    targets: Sequence[Target],
    floor: float,
    residual_clip: float,
) -> dict[str, Any] | None:
    """Return the pooled risk ratio of losing control between the two modalities most often first and second."""
    position = next((k for k, target in enumerate(targets) if target.name == _OUTCOME), None)
    if position is None:
        return None
    together = np.zeros((len(arms), len(arms)), dtype=np.int64)
    np.add.at(together, (order[:, 0], order[:, 1]), 1)
    either_way = np.triu(together + together.T, 1)
    a, b = (int(k) for k in np.unravel_index(either_way.argmax(), either_way.shape))
    first, second = (a, b) if together[a, b] >= together[b, a] else (b, a)
    both = possible[:, first] & possible[:, second]
    predicted = np.mean([values[..., position] for values in evidence.fold.teachers.values()], axis=0)
    observed = evidence.fold.observed[:, position]
    kept = doubly_robust_scores(predicted, observed, evidence.arm, evidence.fold.propensity, floor, residual_clip)
    lost = 1.0 - kept[both][:, [first, second]]
    risk = lost.mean(axis=0)
    found: dict[str, Any] = {
        "first": arms[first],
        "second": arms[second],
        "top_two": float(either_way[a, b] / len(order)),
        "people": int(both.sum()),
        "outcome": _OUTCOME,
    }
    if np.any(risk <= 0):
        return found | dict.fromkeys(
            ("risk_first", "risk_second", "risk_ratio", "low", "high", "e_value", "e_value_limit")
        )
    ratio = float(risk[0] / risk[1])
    # The logarithm of a ratio of means, to first order (delta method).
    error = clustered_error(lost[:, 0] / risk[0] - lost[:, 1] / risk[1], evidence.groups[both])
    low, high = float(ratio * np.exp(-Z95 * error)), float(ratio * np.exp(Z95 * error))
    nearest = 1.0 if low <= 1 <= high else low if low > 1 else high
    return found | {
        "risk_first": float(risk[0]),
        "risk_second": float(risk[1]),
        "risk_ratio": ratio,
        "low": low,
        "high": high,
        "e_value": e_value(ratio),
        "e_value_limit": e_value(nearest),
    }


def _pair_words(pair: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    first, second = (labels.get(pair[key], pair[key]) for key in ("first", "second"))
    told = f"{first} and {second} most often share the first two places ({100 * pair['top_two']:.0f} % of decisions)"
    if pair["risk_ratio"] is None:
        return f"{told}; their risks of losing control could not be estimated."
    ratio = (
        f"risk ratio of losing control {pair['risk_ratio']:.2f} (95 % interval {pair['low']:.2f} to {pair['high']:.2f})"
    )
    if pair["e_value_limit"] == 1.0:
        return f"{told}; {ratio}: the interval holds 1, so no unrecorded reason is needed to explain it."
    return (
        f"{told}; {ratio}. To explain it away, an unrecorded reason would have to go with both the choice and the loss "
        f"of control by a risk ratio of {pair['e_value']:.2f} each ({pair['e_value_limit']:.2f} for the interval)."
    )
