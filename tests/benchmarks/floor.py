"""What cannot be left out of scoring: prediction, intervals and exact explanation by the students, matrix ready."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from pipeline.learners import SuitabilityModel
from pipeline.learners.intervals import half_width

Array = npt.NDArray[np.float64]
By = Literal["tables", "lightgbm"]
"""How the trees are asked: as scoring does, or by LightGBM's `predict` and `pred_contrib`."""


def least(model: SuitabilityModel, matrix: Array, signed: Array, by: By, *, explained: bool = True) -> None:
    """Predict, spread and explain the rows of a matrix, shape (n, n_columns), and forget the result."""
    half_width(model.spread.deviations(matrix, signed))
    if by == "tables":
        model.students.outcomes(matrix)
        if explained:
            model.students.contributions(matrix, signed)
        return
    for part in model.students.parts:
        part.booster.predict(matrix, num_threads=1)
        if explained:
            part.booster.predict(matrix, pred_contrib=True, num_threads=1)
