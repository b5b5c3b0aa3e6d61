"""How suitable is each modality for this person, and how sure are we?

`ModalityRanker` is the whole estimator; `mmrank train` uses it and no other path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import threadpool_limits

from pipeline.config import GateConfig, LearnerConfig
from pipeline.learners.committee import Cases
from pipeline.learners.crossfit import cross_fit
from pipeline.learners.design import SMALL_CELL, columns_of
from pipeline.learners.gates import MIN_CASES, MIN_EVENTS, gate_arms, ranked_arms, structural_zeros
from pipeline.learners.intervals import clearly_better
from pipeline.learners.learning import Deployed, Evidence, deploy, learn
from pipeline.learners.model import SuitabilityModel, input_contract, moving_features
from pipeline.learners.policy_value import PolicyValue, policy_value
from pipeline.learners.propensity import fit_propensity
from pipeline.learners.stack import Blend, Shrinkage
from pipeline.learners.tables import (
    ONE_OUTCOME,
    Labels,
    Outcomes,
    Table,
    chances,
    feature_table,
    known_propensity,
    labels,
    one_outcome,
    readable,
    refuse_later_facts,
    same_length,
    utility_weights,
)
from pipeline.learners.targets import FollowUp, Target, read_follow_up
from pipeline.learners.unseen import observed_outcomes

Array = npt.NDArray[np.float64]


class ModalityRanker(BaseEstimator):
    """Learn each modality's outcome vector from observed choices and rank modalities by utility.

    Parameters
    ----------
    targets : sequence of Target
        Outcomes to learn; the first timed one gates the arms. None named: one outcome, no event by the horizon.
    weights : mapping of str to float, or None
        Default utility weights of the targets and of `burden`; one left out weighs 0. None: all targets alike.
    time_limited : mapping of str to bool, default none is
        Arms with time off treatment; for others a `free_share` target is the constant 0.
    min_cases, min_events : mapping of str to int, or int
        Per arm; fewer are not ranked.
    features, propensity_features : sequence of str or None
        Columns of X to learn from; None takes all.
    modifiers : sequence of str or None
        Declared effect modifiers, interacting with the arm in the linear teacher. None takes all features: declare
        a few where you can, for all of them cost as much as a third of the data (docs/ranking.md).
    settings : LearnerConfig or None
    gates : GateConfig or None
    deploy : bool
        False stops at the committee: no students, no intervals, no `model_`; for evaluation on held-out rows.
    horizon_months : int
        Of the one outcome, where no `targets` are named; a multiple of three.

    Attributes
    ----------
    arms_ : tuple of str
        Ranked arms.
    gates_ : dict of str to ArmGate
        Every arm seen or declared in `time_limited`.
    conflicts_ : dict of str to int
        People per arm who got it although `eligible` says that it was impossible.
    model_ : SuitabilityModel
    blend_ : Blend
    shrinkage_ : Shrinkage
    evidence_ : Evidence
    deployed_ : Deployed
        Absent where `deploy` is False, as `model_` is.
    n_features_in_, feature_names_in_
        Of X, as in scikit-learn.
    """

    def __init__(
        self,
        targets: Sequence[Target] = (),
        weights: Mapping[str, float] | None = None,
        time_limited: Mapping[str, bool] | None = None,
        min_cases: Mapping[str, int] | int = MIN_CASES,
        min_events: Mapping[str, int] | int = MIN_EVENTS,
        features: Sequence[str] | None = None,
        propensity_features: Sequence[str] | None = None,
        modifiers: Sequence[str] | None = None,
        settings: LearnerConfig | None = None,
        gates: GateConfig | None = None,
        deploy: bool = True,
        horizon_months: int = 12,
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
        self.horizon_months = horizon_months

    def fit(
        self,
        X: Table,
        modality: Labels,
        outcomes: Outcomes,
        groups: Labels | None = None,
        eligible: pd.DataFrame | None = None,
        products: pd.Series[str] | None = None,
        advance: Callable[[int], None] | None = None,
        known_months: Mapping[str, float] | None = None,
    ) -> Self:
        """Learn from observed choices; row i of every table is the same decision.

        Parameters
        ----------
        X : DataFrame or array, one row per decision
            Numbers (gaps are NaN) and pandas categories; columns of an array are called x0, x1 and so on.
        modality : one label per row
            What was given.
        outcomes : DataFrame, one row per decision
            `<target>_months` (above 0), `<target>_event` (0 censored, 1 event, 2 competing) and, for a free share,
            `treatment_free_q1 .. _q4`. Without `targets`: `months` and `event` (0 or 1), or a structured array
            of event and time.
        groups : one label per row, or None
            Patient of each row; a patient stays on one side of every split.
        eligible : DataFrame of bool or None
            One column per arm; False is a structural zero of the propensity.
        products : Series or None
            Product given, counted for `outside_experience`.
        advance : callable or None
            Progress: called with 1 after each fitted model.
        known_months : mapping of column to float, or None
            When each column became known, months after the decision; one above 0 that would be learned from is
            refused.

        Returns
        -------
        ModalityRanker

        Raises
        ------
        NoOverlapError
            If fewer than two arms have enough cases, events and follow-up.
        ValueError
            If a table is malformed, or a feature became known after the decision.
        """
        for name in ("model_", "deployed_"):
            self.__dict__.pop(name, None)
        settings, gates, targets = self.settings or LearnerConfig(), self.gates or GateConfig(), self._targets()
        table = feature_table(X, fewest=2)
        validate_data(self, table if isinstance(X, pd.DataFrame) else table.to_numpy(), skip_check_array=True)
        self._names_in = list(table.columns)
        names = list(table.columns) if self.features is None else list(self.features)
        asked = list(table.columns) if self.propensity_features is None else list(self.propensity_features)
        refuse_later_facts(known_months, [*names, *asked])
        table = readable(table, list(dict.fromkeys([*names, *asked])))
        given = labels(modality, len(table), "modality")
        follow_up = self._follow_up(outcomes, len(table))
        signed = self._signed(self.weights)
        with threadpool_limits(limits=1, user_api="blas"):
            least = self.min_cases, self.min_events
            self.gates_ = gate_arms(given, follow_up, targets, *least, self.time_limited or {})
            self.arms_ = ranked_arms(self.gates_)
            rows = np.flatnonzero(given.isin(self.arms_).to_numpy())
            own = table.iloc[rows]
            self._columns, self._propensity_columns = columns_of(table, names), columns_of(table, asked)
            patients = np.arange(len(table)) if groups is None else labels(groups, len(table), "groups").to_numpy()
            cases = self._cases(own, given, follow_up.take(rows), patients[rows], rows)
            matrix = self._propensity_columns.matrix(own)
            if eligible is not None:
                same_length(eligible, len(table), "eligible")
            impossible, self.conflicts_ = structural_zeros(eligible, rows, cases.arm, self.arms_)
            fold = cross_fit(cases, matrix, self._propensity_columns, impossible, targets, settings, advance)
            self._blended = learn(cases, fold, rows, targets, signed, settings, gates, advance)
            self._propensity = fit_propensity(matrix, self._propensity_columns, cases.arm, impossible, settings)
            self.blend_: Blend = self._blended.blend
            self.shrinkage_: Shrinkage = self._blended.shrinkage
            self.evidence_: Evidence = self._blended.evidence
            if self.deploy:
                self.deployed_: Deployed = deploy(cases, self._blended, targets, signed, settings, advance)
                counted = {} if products is None else products.iloc[rows].value_counts().to_dict()
                self.model_ = self._model(own, cases, self.deployed_, counted)
        return self

    def predict(self, X: Table) -> pd.DataFrame:
        """Return the outcome vector, one row per (row of X, arm), one column per target; not clipped."""
        table = self._seen(X)
        values = self._outcomes(table)
        index = pd.MultiIndex.from_product([table.index, list(self.arms_)], names=["row", "modality"])
        names = [target.name for target in self._targets()]
        return pd.DataFrame(values.reshape(-1, values.shape[2]), index=index, columns=names)

    def suitability(self, X: Table, weights: Mapping[str, float] | None = None) -> pd.DataFrame:
        """Return the utility of each ranked arm without burden, one column per arm, in [-1, 1].

        An outcome that `weights` leaves out weighs 0: it drops out of numerator and denominator. Raises ValueError
        on a name that is neither a target nor `burden`.
        """
        table = self._seen(X)
        return pd.DataFrame(self._outcomes(table) @ self._signed(weights), columns=list(self.arms_), index=table.index)

    def rank(self, X: Table, weights: Mapping[str, float] | None = None) -> pd.DataFrame:
        """Return ranks (1 = best; equal where not clearly different), one column per arm."""
        table = self._seen(X)
        better = clearly_better(self._outcomes(table) @ self._signed(weights), self._deviations(table, weights))
        return pd.DataFrame(1 + better.sum(axis=1), columns=list(self.arms_), index=table.index)

    def deviations(self, X: Table, weights: Mapping[str, float] | None = None) -> Array:
        """Return deviations of suitability, shape (n, k, arms); their sum of squares over k is the variance.

        Raises NotFittedError where `deploy` is False: intervals belong to the deployed model.
        """
        return self._deviations(self._seen(X), weights)

    def committee_outcomes(self, X: Table) -> Array:
        """Return the committee's blended outcome vector before it is taught to students, shape (n, arms, targets)."""
        return self._blend_says(self._seen(X))

    def policy_value(
        self,
        X: Table,
        modality: Labels,
        outcomes: Outcomes,
        propensity: Mapping[str, float] | pd.DataFrame | Array | None = None,
        policy: Labels | pd.DataFrame | None = None,
        groups: Labels | None = None,
        weights: Mapping[str, float] | None = None,
    ) -> PolicyValue:
        """Return what following a policy would have been worth, on rows that were not learned from.

        Parameters
        ----------
        X, modality, outcomes, groups
            As in `fit`, of other people. Rows given an arm that is not ranked are left out.
        propensity : mapping of arm to float, DataFrame, array (n, arms) or None
            The chance of each arm where it is known, as in a trial; None predicts it. Chances are taken among the
            ranked arms.
        policy : one arm per row, DataFrame of probabilities, or None
            What to value. None: the first choice of this model.
        weights : mapping of str to float, or None
            Of the utility, as in `suitability`; burden is not counted.

        Returns
        -------
        PolicyValue
            By switch doubly-robust scores, with self-normalised weighting beside it; vetoed without support.

        Raises
        ------
        ValueError
            If a table is malformed, an arm was never seen in `fit`, or no row is left.
        """
        table = self._seen(X)
        given = labels(modality, len(table), "modality")
        if unseen := sorted(set(given) - set(self.gates_)):
            raise ValueError(f"modality: never seen in fit: {', '.join(unseen)}; known: {', '.join(self.gates_)}")
        rows = np.flatnonzero(given.isin(self.arms_).to_numpy())
        if not len(rows):
            raise ValueError(f"modality: 0 of {len(table)} row(s) were given a ranked arm ({', '.join(self.arms_)})")
        follow_up, signed = self._follow_up(outcomes, len(table)), self._signed(weights)
        patients = np.arange(len(table)) if groups is None else labels(groups, len(table), "groups").factorize()[0]
        predicted = self._outcomes(table) @ signed
        chosen = np.eye(len(self.arms_))[predicted.argmax(axis=1)]
        if policy is not None:
            chosen = chances(policy, self.arms_, len(table))
        if propensity is None:
            matrix = self._propensity_columns.matrix(table)
            known = self._propensity.predict(matrix, np.zeros(predicted.shape, dtype=bool))
        else:
            known = known_propensity(propensity, self.arms_, len(table))
        arm = self._codes(given.iloc[rows])
        seen = self._columns.matrix(table.iloc[rows])
        with threadpool_limits(limits=1, user_api="blas"):
            found = observed_outcomes(
                self._blended.committee,
                seen,
                arm,
                follow_up.take(rows),
                self._limited(),
                self._targets(),
                self._threads,
            )
        floor = (self.gates or GateConfig()).propensity_floor
        return policy_value(chosen[rows], predicted[rows], found @ signed, arm, known[rows], patients[rows], floor)

    @property
    def _threads(self) -> int:
        return (self.settings or LearnerConfig()).threads

    def __sklearn_is_fitted__(self) -> bool:
        """Return whether the last step of `fit` was reached."""
        return hasattr(self, "evidence_")

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn may expect: gaps are welcome, outcomes are needed."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.target_tags.required = True
        return tags

    def _targets(self) -> tuple[Target, ...]:
        return tuple(self.targets) or (Target(ONE_OUTCOME, "event_free", self.horizon_months, 1.0),)

    def _follow_up(self, outcomes: Outcomes, rows: int) -> FollowUp:
        same_length(outcomes, rows, "outcomes")
        table = outcomes if self.targets else one_outcome(outcomes)
        if not isinstance(table, pd.DataFrame):
            raise ValueError(f"outcomes: {type(outcomes).__name__}, wanted a DataFrame, since `targets` are given")
        return read_follow_up(table, self._targets())

    def _seen(self, X: Table) -> pd.DataFrame:
        """Return a table with the columns of `fit`, by the names and numbers that scikit-learn checks."""
        check_is_fitted(self)
        table = feature_table(X, self._names_in)
        validate_data(
            self, table if isinstance(X, pd.DataFrame) else table.to_numpy(), reset=False, skip_check_array=True
        )
        return readable(table, list(dict.fromkeys([*self._columns.names, *self._propensity_columns.names])))

    def _signed(self, weights: Mapping[str, float] | None) -> Array:
        return utility_weights(self.weights if weights is None else weights, self._targets())

    def _codes(self, given: pd.Series[str]) -> npt.NDArray[np.int64]:
        return np.asarray(pd.Categorical(given, categories=list(self.arms_)).codes, dtype=np.int64)

    def _limited(self) -> tuple[bool, ...]:
        return tuple(bool((self.time_limited or {}).get(name, False)) for name in self.arms_)

    def _cases(
        self,
        own: pd.DataFrame,
        given: pd.Series[str],
        follow_up: FollowUp,
        patients: npt.NDArray[Any],
        rows: npt.NDArray[np.intp],
    ) -> Cases:
        arm, limited = self._codes(given.iloc[rows]), self._limited()
        follow_up.free[~np.array(limited)[arm]] = 0.0  # declared: no time off a continuous therapy
        return Cases(
            matrix=self._columns.matrix(own),
            columns=self._columns,
            modifiers=self._columns.names if self.modifiers is None else tuple(self.modifiers),
            arm=arm,
            time_limited=limited,
            follow_up=follow_up,
            groups=np.asarray(pd.factorize(patients)[0], dtype=np.int64),
        )

    def _outcomes(self, table: pd.DataFrame) -> Array:
        """Return what the deployed model says, or the committee where none is deployed."""
        return self.model_.outcomes(table) if hasattr(self, "model_") else self._blend_says(table)

    def _blend_says(self, table: pd.DataFrame) -> Array:
        with threadpool_limits(limits=1, user_api="blas"):
            return self._blended.outcomes(self._columns.matrix(table), self._threads)

    def _deviations(self, table: pd.DataFrame, weights: Mapping[str, float] | None) -> Array:
        if not hasattr(self, "model_"):
            raise NotFittedError("ModalityRanker: intervals and ranks need deploy=True; set it and fit again")
        return self.model_.deviations(table, np.repeat(self._signed(weights)[None], len(table), axis=0))

    def _model(
        self, own: pd.DataFrame, cases: Cases, deployed: Deployed, products: Mapping[Any, int]
    ) -> SuitabilityModel:
        moving = moving_features(cases.matrix, self._columns, deployed.students, self._signed(None))
        return SuitabilityModel(
            arms=self.arms_,
            targets=self._targets(),
            columns=self._columns,
            propensity_columns=self._propensity_columns,
            students=deployed.students,
            spread=deployed.spread,
            propensity=self._propensity,
            contract=input_contract(own, self._columns.names, self._columns.levels, moving),
            product_cases={str(k): int(v) if v >= SMALL_CELL else 0 for k, v in sorted(products.items())},
        )
