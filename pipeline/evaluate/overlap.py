"""Could the modalities plausibly have been given to the same people?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.evaluate.support import Lacking, share_told
from pipeline.learners import Evidence
from pipeline.learners.policy_value import LARGEST_WEIGHT, SMALLEST_SAMPLE, effective_sample_size

_BINS = 20
_THIN = 0.1


def overlap(
    evidence: Evidence,
    arms: Sequence[str],
    labels: Mapping[str, str],
    lacking: Lacking,
    floor: float,
) -> dict[str, Any]:
    """Return propensity quantiles, weights and counts clipped per arm, histograms and the finding in words.

    Parameters
    ----------
    evidence : Evidence of n rows
    arms : sequence of str
    labels : mapping of arm to label
    lacking : Lacking
        Whom each arm was practically never given to, structural zeros aside.
    floor : float

    Notes
    -----
    Weights are 1 / max(e, floor) among those given the arm; effective sample size is (sum w)^2 / sum w^2.
    `clipped` counts rows whose propensity for the arm given was below the floor; `outside` is the share of
    people to whom the arm was practically never given.
    """
    propensity = evidence.fold.propensity
    edges = np.linspace(0.0, 1.0, _BINS + 1)
    table, histogram, thin = [], {}, []
    for code, name in enumerate(arms):
        own = evidence.arm == code
        raw = propensity[own, code]
        weight = 1.0 / np.maximum(raw, floor)
        size = effective_sample_size(weight)
        largest = float(weight.max() / weight.sum()) if len(weight) else 1.0
        outside = float(lacking.cells[:, code].mean())
        inside = lacking.regions.get(name)
        table.append(
            {
                "modality": name,
                "n": int(own.sum()),
                "quantiles": [float(q) for q in np.quantile(propensity[:, code], [0.05, 0.25, 0.5, 0.75, 0.95])],
                "effective_sample_size": size,
                "largest_weight_share": largest,
                "clipped": int((raw < floor).sum()),
                "outside": outside,
                "region": None if inside is None else {"words": inside.words, "share": inside.share},
            }
        )
        histogram[name] = [int(count) for count in np.histogram(propensity[:, code], bins=edges)[0]]
        label = labels.get(name, name)
        if outside > _THIN:
            told = share_told(outside, len(propensity))
            where = f", mostly where {inside.words}" if inside is not None else ""
            thin.append(f"{label} was practically never given to {told} of people{where}")
        if size < SMALLEST_SAMPLE or largest > LARGEST_WEIGHT:
            thin.append(
                f"{label} rests on an effective sample of {size:.0f} "
                f"(largest weight {100 * largest:.1f} % of the total)"
            )
    words = (
        "Overlap is thin: " + "; ".join(thin) + "."
        if thin
        else "Every modality was plausible for nearly everyone, by the facts recorded."
    )
    return {"arms": table, "edges": [float(e) for e in edges], "histogram": histogram, "words": words}
