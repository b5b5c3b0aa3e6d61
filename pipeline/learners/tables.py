"""Is what was handed to the estimator a table of people, their choices, their outcomes and the chances they had?

Everything is read by position: row i of each table is the same person, whatever its index says; only an index that
contradicts that of X, by the same labels in another order, is refused. Errors name the table, the column and the
count, never a value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.utils.validation import check_array

from pipeline.learners.arguments import numbers, same_rows
from pipeline.learners.intervals import signed_weights
from pipeline.learners.targets import FollowUp, Target, read_follow_up

Array = npt.NDArray[np.float64]
Labels = Any
"""A Series, an array or a list with one label per row."""

Table = pd.DataFrame | npt.ArrayLike
"""Features, one row per decision."""

Outcomes = pd.DataFrame | npt.NDArray[Any]
"""Times and events, one row per decision."""

ONE_OUTCOME = "event_free"
"""What the outcome is called where a time and an event are all that is given."""

_FEWEST_ROWS = 2


def feature_table(X: Any, names: Sequence[str] | None = None, *, fewest: int = 1) -> pd.DataFrame:
    """Return features as a DataFrame; the columns of an array are called `names`, else x0, x1 and so on.

    Raises
    ------
    ValueError
        If it is no table, has too few rows, infinite values in an array, or two columns of one name.
    TypeError
        If it is sparse.
    """
    if not isinstance(X, pd.DataFrame):
        array = check_array(X, dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=fewest)
        called = [f"x{k}" for k in range(array.shape[1])] if names is None or len(names) != array.shape[1] else names
        return pd.DataFrame(array, columns=list(called))
    if len(X) < fewest:
        raise ValueError(f"X: {len(X)} sample(s), while a minimum of {fewest} is required")
    twice = sorted({str(name) for name in X.columns[X.columns.duplicated()]})
    if twice:
        raise ValueError(f"X: {len(twice)} column name(s) occur twice ({', '.join(twice)}). Rename or drop them.")
    return X


def index_of(X: Any) -> pd.Index[Any] | None:
    """Return the index of X, None where it is an array."""
    return X.index if isinstance(X, pd.DataFrame) else None


def readable(table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return the table with these columns fit to be learned from: numbers, and categories of text.

    Raises
    ------
    ValueError
        Naming every column that is absent, text, a date or infinite.
    """
    problems: list[str] = []
    renamed: dict[str, pd.Series[Any]] = {}
    for name in names:
        if name not in table:
            problems.append(f"X.{name}: no such column")
            continue
        column = table[name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            levels = column.cat.categories
            if not all(isinstance(level, str) for level in levels):
                renamed[name] = column.cat.rename_categories([str(level) for level in levels])
            continue
        if column.dtype == object and _is_number(column):
            renamed[name] = column = column.where(column.notna(), np.nan).astype(float)  # pd.NA is a gap too
        if not _is_number(column):
            problems.append(f"X.{name}: {column.dtype}, wanted numbers or a pandas category (astype('category'))")
        elif infinite := int(np.isinf(column.to_numpy(dtype=float)).sum()):
            problems.append(f"X.{name}: {infinite} infinite value(s); leave a gap (NaN) where a value is not known")
    if problems:
        raise ValueError("; ".join(problems))
    return table.assign(**renamed) if renamed else table


def _is_number(column: pd.Series[Any]) -> bool:
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return not pd.api.types.is_complex_dtype(column)
    is_object = column.dtype == object
    return bool(is_object and all(isinstance(value, int | float) for value in column.dropna()))


def refuse_later_facts(known_months: Mapping[str, float] | None, names: Sequence[str]) -> None:
    """Refuse features that became known after the decision.

    Parameters
    ----------
    known_months : mapping of feature to months after the decision, or None
        When each became known; 0 or less: at the decision or before.
    names : sequence of str
        Features to be learned from.

    Raises
    ------
    ValueError
        Naming each of them.
    """
    late = {name: months for name, months in (known_months or {}).items() if name in names and not months <= 0}
    if late:
        told = ", ".join(f"{name} ({months:.3g} months)" for name, months in late.items())
        raise ValueError(
            f"X: {len(late)} feature(s) became known after the decision: {told}. What follows a choice may be its "
            "effect; learn only from what was known when it was made."
        )


def labels(given: Labels, rows: int, what: str, index: pd.Index[Any] | None = None) -> pd.Series[str]:
    """Return one text label per row; `index` is that of X, where X has one.

    Raises
    ------
    ValueError
        If their number is not `rows`, their order contradicts `index` or some are missing; `what` names them.
    """
    if isinstance(given, pd.DataFrame) or np.ndim(given) != 1:
        raise ValueError(f"{what}: {np.ndim(given)} dimension(s), wanted one label per row")
    same_rows(given, rows, what, index)
    series = pd.Series(given).reset_index(drop=True)
    missing = int(series.isna().sum())
    if missing:
        raise ValueError(f"{what}: {missing} of {rows} row(s) are missing. Leave those rows out, or fill them in.")
    return series.astype(str)


def one_outcome(outcomes: Any) -> pd.DataFrame:
    """Return the outcomes table of one event and its time.

    Parameters
    ----------
    outcomes : DataFrame or structured array
        Columns `months` and `event` (0 censored, 1 event); or, as scikit-survival has it, two fields: a bool
        (event) and a time.

    Raises
    ------
    ValueError
        If it is neither.
    """
    fields = getattr(outcomes, "dtype", None)
    if isinstance(outcomes, np.ndarray) and fields is not None and fields.names is not None:
        if len(fields.names) != 2 or fields[0].kind != "b" or fields[1].kind not in "fiu":
            raise ValueError(
                f"outcomes: fields {fields.names}, wanted a bool (event) and a number (time), in this order"
            )
        called: Sequence[str] = fields.names
        event, months = (outcomes[name].astype(float) for name in called)
    elif isinstance(outcomes, pd.DataFrame) and {"months", "event"} <= set(outcomes.columns):
        called = "event", "months"
        event = numbers(outcomes["event"], "outcomes.event", "0 or 1")
        months = numbers(outcomes["months"], "outcomes.months", "months above 0")
    else:
        got = ", ".join(map(str, outcomes.columns)) if isinstance(outcomes, pd.DataFrame) else type(outcomes).__name__
        raise ValueError(
            f"outcomes: got {got}; wanted a DataFrame with the columns months and event (0 or 1), or a structured "
            "array of (event, time). For several outcomes, or competing events, give `targets`."
        )
    if wrong := int(np.sum(~np.isin(event, (0, 1)))):
        raise ValueError(f"outcomes.{called[0]}: {wrong} row(s) not 0 or 1; for competing events, give `targets`")
    if wrong := int(np.sum(~(months > 0))):
        raise ValueError(f"outcomes.{called[1]}: {wrong} row(s) not above 0 months. Time runs from the decision.")
    return pd.DataFrame({f"{ONE_OUTCOME}_months": months, f"{ONE_OUTCOME}_event": event})


@dataclass(frozen=True)
class People:
    """What was given to the n people of X, and what became of them.

    Attributes
    ----------
    given : Series of str
    follow_up : FollowUp
    patients : array (n,)
        Who each row is.
    """

    given: pd.Series[str]
    follow_up: FollowUp
    patients: npt.NDArray[Any]


def read_people(
    table: pd.DataFrame,
    index: pd.Index[Any] | None,
    modality: Labels,
    outcomes: Any,
    groups: Labels | None,
    targets: Sequence[Target],
    *,
    is_one: bool,
) -> People:
    """Return who was given what, and what became of them.

    Parameters
    ----------
    table : DataFrame, one row per decision
    index : Index or None
        Of X; None where X is an array.
    modality, outcomes, groups
        As `ModalityRanker.fit` takes them.
    targets : sequence of Target
    is_one : bool
        Whether `outcomes` is one time and event.

    Raises
    ------
    ValueError
        If a table is malformed or has other rows.
    """
    rows = len(table)
    given = labels(modality, rows, "modality", index)
    same_rows(outcomes, rows, "outcomes", index)
    followed = one_outcome(outcomes) if is_one else outcomes
    if not isinstance(followed, pd.DataFrame):
        raise ValueError(f"outcomes: {type(outcomes).__name__}, wanted a DataFrame, since `targets` are given")
    patients = np.arange(rows) if groups is None else labels(groups, rows, "groups", index).to_numpy()
    return People(given, read_follow_up(followed, targets), patients)


def ranked_rows(given: pd.Series[str], arms: Sequence[str], known: Iterable[str]) -> npt.NDArray[np.intp]:
    """Return the positions of rows given a ranked arm.

    Raises
    ------
    ValueError
        If an arm is not among those `known` from `fit`, or no row is left.
    """
    if unseen := sorted(set(given) - set(known)):
        raise ValueError(f"modality: never seen in fit: {', '.join(unseen)}; known: {', '.join(known)}")
    rows = np.flatnonzero(given.isin(arms).to_numpy())
    if not len(rows):
        raise ValueError(f"modality: 0 of {len(given)} row(s) were given a ranked arm ({', '.join(arms)})")
    return rows


def utility_weights(weights: Mapping[str, float] | None, targets: Sequence[Target]) -> Array:
    """Return signed weights of the targets over the total weight, shape (targets,).

    Parameters
    ----------
    weights : mapping of target or `burden` to float, or None
        One left out weighs 0; None weighs all targets alike.
    targets : sequence of Target

    Raises
    ------
    ValueError
        If a name is unknown, a weight is below 0, or all targets weigh nothing.
    """
    names = [target.name for target in targets]
    given = dict.fromkeys(names, 1.0) if weights is None else dict(weights)
    unknown = sorted(set(given) - {*names, "burden"})
    if unknown:
        raise ValueError(f"weights: unknown {', '.join(unknown)}; known: {', '.join(names)}, burden")
    full = {**dict.fromkeys(names, 0.0), **given}
    if not all(0 <= weight < np.inf for weight in full.values()) or not any(full[name] > 0 for name in names):
        raise ValueError(f"weights: {given}; wanted finite weights from 0 on, and one of {', '.join(names)} above 0")
    return np.asarray(signed_weights(np.array([list(full.values())], dtype=float), list(full), targets)[0])


def chances(policy: Any, arms: Sequence[str], rows: int, index: pd.Index[Any] | None = None) -> Array:
    """Return the probability with which a policy gives each arm, shape (n, arms).

    Parameters
    ----------
    policy : labels, one per row, or DataFrame with one column of probabilities per arm
    arms : sequence of str
        Ranked arms; a policy may choose no other.
    rows, index
        Of X.

    Raises
    ------
    ValueError
        If an arm is not ranked, or probabilities do not add up to 1.
    """
    if isinstance(policy, pd.DataFrame):
        same_rows(policy, rows, "policy", index)
        _refuse_unknown(map(str, policy.columns), arms, "policy")
        given = numbers(policy.reindex(columns=list(arms), fill_value=0.0), "policy", "probabilities")
        wrong = int(np.sum(~((given >= 0).all(axis=1) & (np.abs(given.sum(axis=1) - 1) < 1e-6))))
        if wrong:
            raise ValueError(f"policy: probabilities of {wrong} of {rows} row(s) do not add up to 1")
        return given
    named = labels(policy, rows, "policy", index)
    _refuse_unknown(named.unique(), arms, "policy")
    return np.asarray(np.eye(len(arms))[pd.Categorical(named, categories=list(arms)).codes], dtype=float)


def known_propensity(propensity: Any, arms: Sequence[str], rows: int, index: pd.Index[Any] | None = None) -> Array:
    """Return known propensities of the ranked arms, shape (n, arms), given that one of them was given.

    Parameters
    ----------
    propensity : mapping of arm to float, DataFrame with one column per arm, or array (n, arms)
        A mapping is the same for everybody (a trial's allocation); an array has the columns of `arms_`.
    arms : sequence of str
    rows, index
        Of X.

    Raises
    ------
    ValueError
        If an arm is absent, or the chances of a row are below 0, all 0, or exceed 1 together.
    """
    if isinstance(propensity, Mapping):
        propensity = pd.DataFrame({name: [value] * rows for name, value in propensity.items()})
    elif isinstance(propensity, pd.DataFrame):
        same_rows(propensity, rows, "propensity", index)
    if isinstance(propensity, pd.DataFrame):
        absent = [name for name in arms if name not in propensity]
        if absent:
            raise ValueError(f"propensity: no column for {', '.join(absent)}; wanted {', '.join(arms)}")
        propensity = propensity[list(arms)]
    given = numbers(propensity, "propensity", "chances from 0 to 1")
    if given.shape != (rows, len(arms)):
        raise ValueError(f"propensity: shape {given.shape}, wanted {(rows, len(arms))}, one column per ranked arm")
    total = given.sum(axis=1, keepdims=True)
    wrong = int(np.sum(~((given >= 0).all(axis=1) & (total[:, 0] > 0) & (total[:, 0] <= 1 + 1e-6))))
    if wrong:
        raise ValueError(f"propensity: {wrong} of {rows} row(s) are below 0, all 0, or exceed 1 together")
    return np.asarray(given / total)


def _refuse_unknown(names: Any, arms: Sequence[str], what: str) -> None:
    unknown = sorted(set(names) - set(arms))
    if unknown:
        raise ValueError(f"{what}: {len(unknown)} arm(s) not ranked ({', '.join(unknown)}); known: {', '.join(arms)}")
