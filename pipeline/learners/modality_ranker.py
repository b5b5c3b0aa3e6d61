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
from pipeline.learners.anew import LAST, anew
from pipeline.learners.arguments import eligibility, kinds_as_learned, same_rows
from pipeline.learners.committee import Cases
from pipeline.learners.crossfit import cross_fit
from pipeline.learners.design import SMALL_CELL
from pipeline.learners.gates import MIN_CASES, MIN_EVENTS, gate_arms, ranked_arms, structural_zeros
from pipeline.learners.intervals import clearly_better
from pipeline.learners.learned_columns import learned_columns
from pipeline.learners.learning import Deployed, Evidence, deploy, learn
from pipeline.learners.model import SuitabilityModel, input_contract, moving_features
from pipeline.learners.policy_value import PolicyValue, policy_value
from pipeline.learners.propensity import fit_propensity
from pipeline.learners.stack import Blend, Shrinkage
from pipeline.learners.tables import (
    ONE_OUTCOME,
    Labels,
    Outcomes,
    People,
    Table,
    chances,
    feature_table,
    index_of,
    known_propensity,
    ranked_rows,
    read_people,
    readable,
    utility_weights,
)
from pipeline.learners.targets import Target, as_targets
from pipeline.learners.unseen import observed_outcomes

Array = npt.NDArray[np.float64]

_UNTOLD = ("_blended", "_columns", "_names_in", "_propensity", "_propensity_columns")
"""What is learned beside the attributes whose names end in an underscore."""


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
        Declared effect modifiers, numbers that interact with the arm in the linear teacher. None takes all features:
        declare a few where you can, for all of them cost as much as a third of the data (docs/ranking.md).
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
        """Learn from observed choices; row i of every table is the same decision, whatever their indexes say.

        Tables with the labels of X.index in another order are refused. Where learning fails nothing learned before
        is left, and `predict` raises NotFittedError.

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
            One column per arm given or declared, without gaps; False is a structural zero of the propensity. An arm
            without a column was always possible.
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
            If an argument is malformed or names what is not there, or a feature became known after the decision.
        """
        settings, gates = self.settings or LearnerConfig(), self.gates or GateConfig()
        with anew(self, _UNTOLD), threadpool_limits(limits=1, user_api="blas"):
            targets, index = self._targets(), index_of(X)
            table = feature_table(X, fewest=2)
            validate_data(self, table if isinstance(X, pd.DataFrame) else table.to_numpy(), skip_check_array=True)
            self._names_in = list(table.columns)
            learned = learned_columns(table, self.features, self.propensity_features, self.modifiers, known_months)
            table, self._columns, self._propensity_columns = learned.table, learned.columns, learned.propensity_columns
            people = read_people(table, index, modality, outcomes, groups, targets, is_one=not self.targets)
            signed = self._signed(self.weights)
            least = self.min_cases, self.min_events
            self.gates_ = gate_arms(people.given, people.follow_up, targets, *least, self.time_limited or {})
            self.arms_ = ranked_arms(self.gates_)
            possible = eligibility(eligible, len(table), index, self.gates_)
            if products is not None:
                same_rows(products, len(table), "products", index)
            rows = np.flatnonzero(people.given.isin(self.arms_).to_numpy())
            own = table.iloc[rows]
            cases = self._cases(own, people, rows, learned.modifiers)
            matrix = self._propensity_columns.matrix(own)
            impossible, self.conflicts_ = structural_zeros(possible, rows, cases.arm, self.arms_)
            fold = cross_fit(cases, matrix, self._propensity_columns, impossible, targets, settings, advance)
            self._blended = learn(cases, fold, rows, targets, signed, settings, gates, advance)
            self._propensity = fit_propensity(matrix, self._propensity_columns, cases.arm, impossible, settings)
            self.blend_: Blend = self._blended.blend
            self.shrinkage_: Shrinkage = self._blended.shrinkage
            if self.deploy:
                self.deployed_: Deployed = deploy(cases, self._blended, targets, signed, settings, advance)
                counted = {} if products is None else products.iloc[rows].value_counts().to_dict()
                self.model_ = self._model(own, cases, self.deployed_, counted)
            self.evidence_: Evidence = self._blended.evidence  # last: with it, the estimator counts as fitted
        return self

    def predict(self, X: Table) -> pd.DataFrame:
        """Return the outcome vector, one row per (row of X, arm), one column per target; not clipped.

        A level that no training row could have had reads as a gap, with a warning that names column and count. Raises
        ValueError where a column learned as a category is given as numbers, or the reverse.
        """
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
        """Return ranks (1 = best; equal where not clearly different), one column per arm.

        Ranks are among all ranked arms: which of them are possible for a person is not known here.
        """
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
        eligible: pd.DataFrame | None = None,
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
        eligible : DataFrame of bool or None
            As in `fit`: this model's first choice is then the best of what was possible, and predicted propensities
            are among what was possible. A `policy` or `propensity` of your own is taken as it is. None: every arm
            was possible for everybody, so hand it in wherever `fit` had it, lest the value be of choices that nobody
            had.

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
        index = index_of(X)
        people = read_people(table, index, modality, outcomes, groups, self._targets(), is_one=not self.targets)
        rows = ranked_rows(people.given, self.arms_, self.gates_)
        signed, arm = self._signed(weights), self._codes(people.given.iloc[rows])
        impossible = np.zeros((len(table), len(self.arms_)), dtype=bool)
        possible = eligibility(eligible, len(table), index, self.gates_)
        impossible[rows], _ = structural_zeros(possible, rows, arm, self.arms_)
        predicted = self._outcomes(table) @ signed
        if policy is None:
            chosen = np.eye(len(self.arms_))[np.where(impossible, -np.inf, predicted).argmax(axis=1)]
        else:
            chosen = chances(policy, self.arms_, len(table), index)
        if propensity is None:
            known = self._propensity.predict(self._propensity_columns.matrix(table), impossible)
        else:
            known = known_propensity(propensity, self.arms_, len(table), index)
        patients = np.asarray(pd.factorize(people.patients)[0], dtype=np.int64)
        seen = self._columns.matrix(table.iloc[rows])
        with threadpool_limits(limits=1, user_api="blas"):
            committee, follow_up = self._blended.committee, people.follow_up.take(rows)
            found = observed_outcomes(committee, seen, arm, follow_up, self._limited(), self._targets(), self._threads)
        floor = (self.gates or GateConfig()).propensity_floor
        return policy_value(chosen[rows], predicted[rows], found @ signed, arm, known[rows], patients[rows], floor)

    @property
    def _threads(self) -> int:
        return (self.settings or LearnerConfig()).threads

    def __sklearn_is_fitted__(self) -> bool:
        """Return whether the last step of `fit` was reached."""
        return hasattr(self, LAST)

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn may expect: gaps are welcome, outcomes are needed."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.target_tags.required = True
        return tags

    def _targets(self) -> tuple[Target, ...]:
        return as_targets(self.targets) or (Target(ONE_OUTCOME, "event_free", self.horizon_months, 1.0),)

    def _seen(self, X: Table) -> pd.DataFrame:
        """Return a table with the columns of `fit`, by the names and numbers that scikit-learn checks."""
        check_is_fitted(self)
        table = feature_table(X, self._names_in)
        validate_data(
            self, table if isinstance(X, pd.DataFrame) else table.to_numpy(), reset=False, skip_check_array=True
        )
        table = readable(table, list(dict.fromkeys([*self._columns.names, *self._propensity_columns.names])))
        kinds_as_learned(table, self._columns, self._propensity_columns)
        return table

    def _signed(self, weights: Mapping[str, float] | None) -> Array:
        return utility_weights(self.weights if weights is None else weights, self._targets())

    def _codes(self, given: pd.Series[str]) -> npt.NDArray[np.int64]:
        return np.asarray(pd.Categorical(given, categories=list(self.arms_)).codes, dtype=np.int64)

    def _limited(self) -> tuple[bool, ...]:
        return tuple(bool((self.time_limited or {}).get(name, False)) for name in self.arms_)

    def _cases(
        self, own: pd.DataFrame, people: People, rows: npt.NDArray[np.intp], modifiers: tuple[str, ...]
    ) -> Cases:
        arm, limited = self._codes(people.given.iloc[rows]), self._limited()
        follow_up = people.follow_up.take(rows)
        follow_up.free[~np.array(limited)[arm]] = 0.0  # declared: no time off a continuous therapy
        return Cases(
            matrix=self._columns.matrix(own),
            columns=self._columns,
            modifiers=modifiers,
            arm=arm,
            time_limited=limited,
            follow_up=follow_up,
            groups=np.asarray(pd.factorize(people.patients[rows])[0], dtype=np.int64),
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
