"""Is what was handed to the estimator a table of people, their choices, their outcomes and the chances they had?

Everything is read by position: row i of each table is the same person. Errors name the table, the column and the
count, never a value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.utils.validation import check_array

from pipeline.learners.intervals import signed_weights
from pipeline.learners.targets import Target

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


def labels(given: Labels, rows: int, what: str) -> pd.Series[str]:
    """Return one text label per row.

    Raises
    ------
    ValueError
        If their number is not `rows` or some are missing; `what` names them.
    """
    if isinstance(given, pd.DataFrame) or np.ndim(given) != 1:
        raise ValueError(f"{what}: {np.ndim(given)} dimension(s), wanted one label per row")
    series = pd.Series(given).reset_index(drop=True)
    same_length(series, rows, what)
    missing = int(series.isna().sum())
    if missing:
        raise ValueError(f"{what}: {missing} of {rows} row(s) are missing. Leave those rows out, or fill them in.")
    return series.astype(str)


def same_length(table: Any, rows: int, what: str) -> None:
    """Raise ValueError if a table has another number of rows than X."""
    if len(table) != rows:
        raise ValueError(f"{what}: {len(table)} row(s), wanted {rows} as in X")


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
        event, months = (outcomes[name].astype(float) for name in fields.names)
    elif isinstance(outcomes, pd.DataFrame) and {"months", "event"} <= set(outcomes.columns):
        event, months = (outcomes[name].to_numpy(dtype=float) for name in ("event", "months"))
    else:
        got = ", ".join(map(str, outcomes.columns)) if isinstance(outcomes, pd.DataFrame) else type(outcomes).__name__
        raise ValueError(
            f"outcomes: got {got}; wanted a DataFrame with the columns months and event (0 or 1), or a structured "
            "array of (event, time). For several outcomes, or competing events, give `targets`."
        )
    if wrong := int(np.sum(~np.isin(event, (0, 1)))):
        raise ValueError(f"outcomes.event: {wrong} row(s) not 0 or 1; for competing events, give `targets`")
    return pd.DataFrame({f"{ONE_OUTCOME}_months": months, f"{ONE_OUTCOME}_event": event})


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


def chances(policy: Any, arms: Sequence[str], rows: int) -> Array:
    """Return the probability with which a policy gives each arm, shape (n, arms).

    Parameters
    ----------
    policy : labels, one per row, or DataFrame with one column of probabilities per arm
    arms : sequence of str
        Ranked arms; a policy may choose no other.
    rows : int

    Raises
    ------
    ValueError
        If an arm is not ranked, or probabilities do not add up to 1.
    """
    if isinstance(policy, pd.DataFrame):
        same_length(policy, rows, "policy")
        _refuse_unknown(map(str, policy.columns), arms, "policy")
        given = policy.reindex(columns=list(arms), fill_value=0.0).to_numpy(dtype=float)
        wrong = int(np.sum(~((given >= 0).all(axis=1) & (np.abs(given.sum(axis=1) - 1) < 1e-6))))
        if wrong:
            raise ValueError(f"policy: probabilities of {wrong} of {rows} row(s) do not add up to 1")
        return given
    named = labels(policy, rows, "policy")
    _refuse_unknown(named.unique(), arms, "policy")
    return np.asarray(np.eye(len(arms))[pd.Categorical(named, categories=list(arms)).codes], dtype=float)


def known_propensity(propensity: Any, arms: Sequence[str], rows: int) -> Array:
    """Return known propensities of the ranked arms, shape (n, arms), given that one of them was given.

    Parameters
    ----------
    propensity : mapping of arm to float, DataFrame with one column per arm, or array (n, arms)
        A mapping is the same for everybody (a trial's allocation); an array has the columns of `arms_`.
    arms : sequence of str
    rows : int

    Raises
    ------
    ValueError
        If an arm is absent, or the chances of a row are below 0, all 0, or exceed 1 together.
    """
    if isinstance(propensity, Mapping):
        propensity = pd.DataFrame({name: np.full(rows, float(value)) for name, value in propensity.items()})
    if isinstance(propensity, pd.DataFrame):
        absent = [name for name in arms if name not in propensity]
        if absent:
            raise ValueError(f"propensity: no column for {', '.join(absent)}; wanted {', '.join(arms)}")
        propensity = propensity[list(arms)]
    given = np.asarray(propensity, dtype=float)
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
