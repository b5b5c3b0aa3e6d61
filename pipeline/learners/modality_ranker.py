"""How suitable is each modality for this person, and how sure are we?

`ModalityRanker` is the whole estimator; `mmrank train` uses it and no other path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator
from threadpoolctl import threadpool_limits

from pipeline.config import GateConfig, LearnerConfig
from pipeline.errors import NoOverlapError
from pipeline.learners.committee import Cases
from pipeline.learners.crossfit import cross_fit
from pipeline.learners.design import SMALL_CELL, columns_of
from pipeline.learners.intervals import half_width, signed_weights
from pipeline.learners.learning import Deployed, Evidence, deploy, learn
from pipeline.learners.model import SuitabilityModel, input_contract
from pipeline.learners.propensity import fit_propensity
from pipeline.learners.stack import Blend, Shrinkage
from pipeline.learners.student import Students
from pipeline.learners.targets import FollowUp, Target, read_follow_up

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_TOP_FEATURES = 10
_LONGEST_CENSORED_SHARE = 0.5


@dataclass(frozen=True)
class ArmGate:
    """Why an arm is, or is not, ranked.

    Attributes
    ----------
    cases, events : int
        Training rows, and events of the first outcome before its horizon.
    censored_share : float
        Share censored before that horizon.
    reason : str or None
        None: ranked. Else the count that was too small, or `follow_up`.
    """

    cases: int
    events: int
    censored_share: float
    reason: str | None


class ModalityRanker(BaseEstimator):
    """Learn each modality's outcome vector from observed choices and rank modalities by utility.

    Parameters
    ----------
    targets : sequence of Target
        Outcomes to learn; the first timed one gates the arms.
    weights : mapping of str to float
        Default utility weights of the targets and of `burden`.
    time_limited : mapping of str to bool, default none is
        Arms with time off treatment; for others a `free_share` target is the constant 0.
    min_cases, min_events : mapping of str to int, or int
        Per arm; fewer are not ranked.
    features, propensity_features : sequence of str or None
        Columns of X to learn from; None takes all.
    modifiers : sequence of str
        Declared effect modifiers, interacting with the arm in the linear teacher.
    settings : LearnerConfig or None
    gates : GateConfig or None
    deploy : bool
        False stops at the committee: no students, no intervals, no `model_`; for evaluation on held-out rows.

    Attributes
    ----------
    arms_ : tuple of str
        Ranked arms.
    gates_ : dict of str to ArmGate
        Every arm seen or declared in `time_limited`.
    model_ : SuitabilityModel
    blend_ : Blend
    shrinkage_ : Shrinkage
    evidence_ : Evidence
    deployed_ : Deployed
        Absent where `deploy` is False, as `model_` is.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        weights: Mapping[str, float],
        time_limited: Mapping[str, bool] | None = None,
        min_cases: Mapping[str, int] | int = 40,
        min_events: Mapping[str, int] | int = 15,
        features: Sequence[str] | None = None,
        propensity_features: Sequence[str] | None = None,
        modifiers: Sequence[str] = (),
        settings: LearnerConfig | None = None,
        gates: GateConfig | None = None,
        deploy: bool = True,
    ) -> None:
        self.targets = targets
        self.weights = weights
        self.time_limited = time_limited
        self.min_cases = min_cases
        self.min_events = min_events
        self.features = features
        self.propensity_features = propensity_features
        self.modifiers = modifiers
        self.settings = settings
        self.gates = gates
        self.deploy = deploy

    def fit(
        self,
        X: pd.DataFrame,
        modality: pd.Series[str],
        outcomes: pd.DataFrame,
        groups: pd.Series[str] | None = None,
        eligible: pd.DataFrame | None = None,
        products: pd.Series[str] | None = None,
        advance: Callable[[int], None] | None = None,
    ) -> Self:
        """Learn from observed choices.

        Parameters
        ----------
        X : DataFrame, one row per decision
            Numbers (gaps are NaN) and declared categories.
        modality : Series of str
            What was given.
        outcomes : DataFrame, one row per decision
            `<target>_months`, `<target>_event` (0 censored, 1 event, 2 competing) and, for a free share,
            `treatment_free_q1 .. _q4`.
        groups : Series or None
            Patient of each row; a patient stays on one side of every split.
        eligible : DataFrame of bool or None
            One column per arm; False is a structural zero of the propensity.
        products : Series or None
            Product given, counted for `outside_experience`.
        advance : callable or None
            Progress: called with 1 after each fitted model.

        Returns
        -------
        ModalityRanker

        Raises
        ------
        NoOverlapError
            If fewer than two arms have enough cases, events and follow-up.
        ValueError
            If outcome columns are missing or malformed.
        """
        settings, gates = self.settings or LearnerConfig(), self.gates or GateConfig()
        targets = tuple(self.targets)
        with threadpool_limits(limits=1, user_api="blas"):
            follow_up = read_follow_up(outcomes, targets)
            self.gates_ = self._gate(modality, follow_up, targets)
            self.arms_ = tuple(sorted(arm for arm, gate in self.gates_.items() if gate.reason is None))
            if len(self.arms_) < 2:
                listed = "; ".join(f"{arm}: {gate.reason or 'enough'}" for arm, gate in sorted(self.gates_.items()))
                raise NoOverlapError(
                    f"train: {len(self.arms_)} modality(ies) have enough cases to be compared, wanted at least 2 "
                    f"({listed}). Add records, or lower min_cases in the modality files if you can defend it."
                )
            rows = np.flatnonzero(modality.isin(self.arms_).to_numpy())
            table = X.iloc[rows]
            arm = np.asarray(pd.Categorical(modality.iloc[rows], categories=list(self.arms_)).codes, dtype=np.int64)
            patient = pd.Series(rows) if groups is None else groups.iloc[rows]
            columns = columns_of(X, list(X.columns) if self.features is None else self.features)
            asked = list(X.columns) if self.propensity_features is None else self.propensity_features
            propensity_columns = columns_of(X, asked)
            limits = self.time_limited or {}
            limited = tuple(bool(limits.get(name, False)) for name in self.arms_)
            own = follow_up.take(rows)
            own.free[~np.array(limited)[arm]] = 0.0  # declared: no time off a continuous therapy
            cases = Cases(
                matrix=columns.matrix(table),
                columns=columns,
                modifiers=tuple(self.modifiers),
                arm=arm,
                time_limited=limited,
                follow_up=own,
                groups=np.asarray(pd.factorize(patient)[0], dtype=np.int64),
            )
            is_impossible = self._impossible(eligible, rows, arm)
            matrix = propensity_columns.matrix(table)
            fold = cross_fit(cases, matrix, propensity_columns, is_impossible, targets, settings, advance)
            signed = self._signed(self.weights)
            self._blended = learn(cases, fold, rows, targets, signed, settings, gates, advance)
            self.blend_: Blend = self._blended.blend
            self.shrinkage_: Shrinkage = self._blended.shrinkage
            self.evidence_: Evidence = self._blended.evidence
            self._columns = columns
            if not self.deploy:
                return self
            self.deployed_: Deployed = deploy(cases, self._blended, targets, signed, settings, advance)
            propensity = fit_propensity(matrix, propensity_columns, arm, len(self.arms_), settings)
            counted = {} if products is None else products.iloc[rows].value_counts().to_dict()
            self.model_ = SuitabilityModel(
                arms=self.arms_,
                targets=targets,
                columns=columns,
                propensity_columns=propensity_columns,
                students=self.deployed_.students,
                spread=self.deployed_.spread,
                propensity=propensity,
                contract=input_contract(
                    table, cases.columns.names, columns.levels, self._moving(cases, self.deployed_.students)
                ),
                product_cases={str(k): int(v) if v >= SMALL_CELL else 0 for k, v in sorted(counted.items())},
            )
        return self

    def suitability(self, X: pd.DataFrame, weights: Mapping[str, float] | None = None) -> pd.DataFrame:
        """Return the utility of each ranked arm without burden, one column per arm, in [-1, 1]."""
        signed = self._signed(weights or self.weights)
        values = self.model_.outcomes(X) @ signed
        return pd.DataFrame(values, columns=list(self.arms_), index=X.index)

    def predict(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the outcome vector, one row per (row of X, arm), one column per target; not clipped."""
        values = self.model_.outcomes(X)
        index = pd.MultiIndex.from_product([X.index, list(self.arms_)], names=["row", "modality"])
        names = [target.name for target in self.model_.targets]
        return pd.DataFrame(values.reshape(-1, values.shape[2]), index=index, columns=names)

    def rank(self, X: pd.DataFrame, weights: Mapping[str, float] | None = None) -> pd.DataFrame:
        """Return ranks (1 = best; equal where not clearly different), one column per arm."""
        values, deviations = self.suitability(X, weights).to_numpy(), self.deviations(X, weights)
        ranks = np.ones(values.shape, dtype=np.int64)
        for a in range(values.shape[1]):
            for b in range(values.shape[1]):
                if a != b:
                    width = half_width(deviations[:, :, a] - deviations[:, :, b])
                    ranks[:, b] += values[:, a] - values[:, b] > width
        return pd.DataFrame(ranks, columns=list(self.arms_), index=X.index)

    def committee_outcomes(self, X: pd.DataFrame) -> Array:
        """Return the committee's blended outcome vector before it is taught to students, shape (n, arms, targets)."""
        threads = (self.settings or LearnerConfig()).threads
        with threadpool_limits(limits=1, user_api="blas"):
            return self._blended.outcomes(self._columns.matrix(X), threads)

    def deviations(self, X: pd.DataFrame, weights: Mapping[str, float] | None = None) -> Array:
        """Return deviations of suitability, shape (n, k, arms); their sum of squares over k is the variance."""
        signed = np.repeat(self._signed(weights or self.weights)[None], len(X), axis=0)
        return self.model_.deviations(X, signed)

    def _signed(self, weights: Mapping[str, float]) -> Array:
        names = list(weights)
        return np.asarray(signed_weights(np.array([[weights[n] for n in names]]), names, tuple(self.targets))[0])

    def _gate(self, modality: pd.Series[str], follow_up: FollowUp, targets: Sequence[Target]) -> dict[str, ArmGate]:
        timed = next(target for target in targets if target.kind != "free_share")
        months, event = follow_up.months[timed.name], follow_up.event[timed.name]
        found: dict[str, ArmGate] = {}
        for name in sorted({*modality.dropna().unique(), *(self.time_limited or {})}):
            own = (modality == name).to_numpy()
            cases = int(own.sum())
            events = int(np.sum(own & (event == 1) & (months <= timed.horizon_months)))
            censored = float(np.mean((event[own] == 0) & (months[own] < timed.horizon_months))) if cases else 0.0
            least_cases = self.min_cases if isinstance(self.min_cases, int) else self.min_cases.get(name, 40)
            least_events = self.min_events if isinstance(self.min_events, int) else self.min_events.get(name, 15)
            reason = None
            if cases < least_cases:
                reason = f"{cases if cases >= SMALL_CELL or cases == 0 else '<11'} cases, wanted {least_cases}"
            elif censored > _LONGEST_CENSORED_SHARE:
                reason = f"follow_up: {100 * censored:.0f} % are censored before {timed.horizon_months} months"
            elif events < least_events:
                reason = f"{events if events >= SMALL_CELL or events == 0 else '<11'} events, wanted {least_events}"
            found[str(name)] = ArmGate(cases=cases, events=events, censored_share=censored, reason=reason)
        return found

    def _impossible(
        self, eligible: pd.DataFrame | None, rows: npt.NDArray[np.intp], arm: IntArray
    ) -> npt.NDArray[np.bool_]:
        blocked = np.zeros((len(rows), len(self.arms_)), dtype=bool)
        if eligible is not None:
            for position, name in enumerate(self.arms_):
                if name in eligible:
                    blocked[:, position] = ~eligible[name].to_numpy(dtype=bool)[rows]
        given = blocked[np.arange(len(rows)), arm]
        self.conflicts_ = {name: int(given[arm == k].sum()) for k, name in enumerate(self.arms_)}
        blocked[np.arange(len(rows)), arm] = False
        return blocked

    def _moving(self, cases: Cases, students: Students) -> list[str]:
        """Return the numeric features that move contrasts most, by mean absolute contribution."""
        sample = cases.matrix[:400]
        _, shap = students.contributions(sample, np.repeat(self._signed(self.weights)[None], len(sample), axis=0))
        size = np.abs(shap - shap.mean(axis=1, keepdims=True)).mean(axis=(0, 1))
        order = [cases.columns.names[k] for k in np.argsort(-size, kind="stable") if size[k] > 0]
        return [name for name in order if name not in cases.columns.levels][:_TOP_FEATURES]
