"""Does the estimator behave as scikit-learn's do, as far as its own checks apply?

Those checks call `fit(X, y)` with one number per row. Here `y` is three things: the modality, a time and an event. So
the checks that fit run on a stand-in, which makes the three of y's ranks by fixed rules, hands everything else to the
estimator unchanged and returns suitability as an array; what it learns has no meaning. None is expected to fail.
What is left out, and why:

- checks for classifiers, regressors, transformers and clusterers: a ranker of modalities is none of them;
- `check_array_api_input`: scikit-learn itself skips it unless the environment asks for the array API;
- `score`: there is none; `policy_value` stands in its place, since no outcome of an arm not given is ever seen;
- many rows' checks of accuracy: they belong to the kinds above. tests/learners/test_modality_ranker.py has ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import pytest
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from pipeline.config import LearnerConfig
from pipeline.learners import ModalityRanker

pytestmark = pytest.mark.xdist_group("learners")

SMALL = LearnerConfig(
    folds=2, ridge_alphas=(0.01,), trees_at_1000=10, student_trees=10, student_rows=1000, draws=8, threads=1
)
EXPECTED: dict[str, str] = {}  # check: reason


class OfXandY(ModalityRanker):
    """Gives arms by turns, times by the rank of y, and an event to two of three; one case is enough for an arm."""

    def __init__(self, min_cases: int = 1, min_events: int = 1, settings: LearnerConfig | None = None) -> None:
        super().__init__(min_cases=min_cases, min_events=min_events, settings=settings)

    def fit(self, X: Any, y: Any = None) -> Self:  # type: ignore[override]
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None")
        place = np.arange(len(y))
        outcomes = np.empty(len(y), dtype=[("event", bool), ("time", float)])
        outcomes["event"] = place % 3 > 0
        outcomes["time"] = 1.0 + np.unique(np.asarray(y), return_inverse=True)[1].ravel() % 20
        return super().fit(X, np.array(["a", "b"])[place // 2 % 2], outcomes)

    def predict(self, X: Any) -> Any:
        return self.suitability(X).to_numpy()


@parametrize_with_checks([OfXandY(settings=SMALL)], expected_failed_checks=lambda _: EXPECTED)
def test_it_behaves_as_scikit_learn_asks(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


@pytest.mark.parametrize(
    "name",
    [
        "check_estimator_cloneable",
        "check_estimator_repr",
        "check_estimator_tags_renamed",
        "check_get_params_invariance",
        "check_mixin_order",
        "check_no_attributes_set_in_init",
        "check_parameters_default_constructible",
        "check_set_params",
        "check_valid_tag_types",
    ],
)
def test_without_arguments_it_is_made_cloned_and_told_as_scikit_learn_asks(name: str) -> None:
    getattr(estimator_checks, name)("ModalityRanker", ModalityRanker())
