"""Could the modalities plausibly have been given to the same people?"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.learners import Evidence

_BINS = 20


def overlap(evidence: Evidence, arms: tuple[str, ...], labels: dict[str, str], floor: float) -> dict[str, Any]:
    """Return propensity quantiles, weights and counts clipped per arm, histograms and the finding in words.

    Notes
    -----
    Weights are 1 / max(e, floor) among those given the arm; effective sample size is (sum w)^2 / sum w^2.
    `clipped` counts rows whose propensity for the arm given was below the floor.
    """
    propensity = evidence.fold.propensity
    edges = np.linspace(0.0, 1.0, _BINS + 1)
    table, histogram, thin = [], {}, []
    for code, name in enumerate(arms):
        own = evidence.arm == code
        raw = propensity[own, code]
        weight = 1.0 / np.maximum(raw, floor)
        size = float(weight.sum() ** 2 / np.sum(weight**2)) if len(weight) else 0.0
        largest = float(weight.max() / weight.sum()) if len(weight) else 1.0
        table.append(
            {
                "modality": name,
                "n": int(own.sum()),
                "quantiles": [float(q) for q in np.quantile(propensity[:, code], [0.05, 0.25, 0.5, 0.75, 0.95])],
                "effective_sample_size": size,
                "largest_weight_share": largest,
                "clipped": int((raw < floor).sum()),
            }
        )
        histogram[name] = [int(count) for count in np.histogram(propensity[:, code], bins=edges)[0]]
        outside = float((propensity[:, code] < floor).mean())
        if outside > 0.1:
            thin.append(f"{labels.get(name, name)} was practically never given to {100 * outside:.0f} % of people")
        if size < 30 or largest > 0.05:
            thin.append(
                f"{labels.get(name, name)} rests on an effective sample of {size:.0f} "
                f"(largest weight {100 * largest:.1f} % of the total)"
            )
    words = (
        "Overlap is thin: " + "; ".join(thin) + "."
        if thin
        else "Every modality was plausible for nearly everyone, by the facts recorded."
    )
    return {"arms": table, "edges": [float(e) for e in edges], "histogram": histogram, "words": words}
