"""What was known of this person before that day?

`build` makes the matrix, `facts` what rules may rely on; both from one declared specification.
"""

from __future__ import annotations

from pipeline.features.derived import STATUSES, inputs_of
from pipeline.features.dictionary import describe, matrix_schema
from pipeline.features.facts import Fact, catalogue, facts
from pipeline.features.matrix import KEYS, Gathered, build, framed, gather, matrix_of, render
from pipeline.features.spec import (
    ExposureRules,
    Feature,
    FeatureSpec,
    RefractoryDefinition,
    for_modalities,
    model_columns,
    parse_spec,
    propensity_columns,
)

__all__ = [
    "KEYS",
    "STATUSES",
    "ExposureRules",
    "Fact",
    "Feature",
    "FeatureSpec",
    "Gathered",
    "RefractoryDefinition",
    "build",
    "catalogue",
    "describe",
    "facts",
    "for_modalities",
    "framed",
    "gather",
    "inputs_of",
    "matrix_of",
    "matrix_schema",
    "model_columns",
    "parse_spec",
    "propensity_columns",
    "render",
]
