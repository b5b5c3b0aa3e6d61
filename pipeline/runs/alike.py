"""What of the people learned from may a model keep, so that one case can be compared with them?"""

from __future__ import annotations

from typing import Any

from pipeline.evaluate import Material
from pipeline.evaluate.likeness import likeness, typical_values
from pipeline.evaluate.weighing import outcome_weights
from pipeline.learners import SuitabilityModel
from pipeline.runs.setup import Setup

_CONTROL, _LOGARITHM = "durable_control", "log2"


def learned_from(setup: Setup, model: SuitabilityModel, material: Material) -> dict[str, Any]:
    """Return typical values, and groups of people alike, with nothing in them that tells of fewer than eleven.

    People are told apart by facts that a reader knows by name: not by waiting times, nor by logarithms.
    """
    config = setup.config
    features, patients = material.features, material.patients
    typical = typical_values(features, model.columns.names, model.columns.levels, patients)
    hidden = {entry.name for entry in setup.spec.features if entry.kind == "wait" or entry.unit == _LOGARITHM}
    alike = likeness(
        features,
        model.columns.levels,
        {name: value for name, value in typical.items() if name not in hidden},
        model.outcomes(features) @ outcome_weights(config, model.targets),
        material.labels["modality"],
        material.labels,
        patients,
        config.modality_ids,
        config.settings.outcomes[_CONTROL].horizon_months if _CONTROL in config.settings.outcomes else 0,
    )
    return {"typical": typical, "alike": alike}
