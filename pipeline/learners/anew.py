"""Is what was learned before gone when learning begins anew, and what was half learned when it fails?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sklearn.base import BaseEstimator

LAST = "evidence_"
"""The attribute that is set last: an estimator that has it is fitted."""


@contextmanager
def anew(estimator: BaseEstimator, untold: tuple[str, ...]) -> Iterator[None]:
    """Forget everything learned before; and, where learning stops halfway, what it had come to.

    Parameters
    ----------
    estimator : BaseEstimator
        What it learns are the attributes whose names end in an underscore.
    untold : tuple of str
        And these.
    """
    _forget(estimator, untold)
    try:
        yield
    finally:
        if not hasattr(estimator, LAST):
            _forget(estimator, untold)


def _forget(estimator: BaseEstimator, untold: tuple[str, ...]) -> None:
    for name in [name for name in vars(estimator) if name.endswith("_") or name in untold]:
        delattr(estimator, name)
