"""What did the institution choose, checked whole before any work starts?"""

from pipeline.config.settings import (
    UTILITY_NAMES,
    CohortConfig,
    EvaluationConfig,
    GateConfig,
    LearnerConfig,
    OutcomeConfig,
    Settings,
    ShiftConfig,
    StabilityConfig,
)
from pipeline.config.whole import Config, read_config

__all__ = [
    "UTILITY_NAMES",
    "CohortConfig",
    "Config",
    "EvaluationConfig",
    "GateConfig",
    "LearnerConfig",
    "OutcomeConfig",
    "Settings",
    "ShiftConfig",
    "StabilityConfig",
    "read_config",
]
