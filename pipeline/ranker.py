"""In what order do the modalities stand, and which ones can we not rank?

Utility is linear in the outcomes; ranks come from pairwise intervals; a tie, an abstention and a
missing arm are results. Rules and availability can only remove a modality, never promote one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.learners import clearly_better, half_width, signed_weights
from pipeline.learners.model import SuitabilityModel
from pipeline.vocabulary import Modality

Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

BURDEN_DAYS = 90.0
TRAVEL_KM = 400.0


def burden(modalities: Sequence[Modality], distance_km: Array) -> Array:
    """Return the logistic burden of each modality, in [0, 1], shape (n, modalities).

    Notes
    -----
    min(1, (hospital_days + visit_days * (1 + distance_km / 400)) / 90) over the first six months;
    an unknown distance counts 0 and is listed among the missing facts.
    """
    travel = 1.0 + np.nan_to_num(np.asarray(distance_km, dtype=float)) / TRAVEL_KM
    days = [entry.burden.hospital_days + entry.burden.visit_days * travel for entry in modalities]
    return np.minimum(1.0, np.stack(days, axis=1) / BURDEN_DAYS)


def personal_weights(
    decisions: Sequence[str], defaults: Mapping[str, float], preferences: pd.DataFrame
) -> pd.DataFrame:
    """Return the utility weights of each decision, one row per decision, one column per outcome and burden.

    A patient's own weights replace the defaults they name; the others stay. Weights that would all be 0
    fall back to the defaults.

    Parameters
    ----------
    decisions : sequence of str
    defaults : mapping of name to float
    preferences : DataFrame, one row per (decision_id, outcome)
    """
    weights = pd.DataFrame(
        np.repeat(np.array([list(defaults.values())]), len(decisions), axis=0),
        index=pd.Index(decisions, name="decision_id"),
        columns=list(defaults),
    )
    stated = preferences[preferences["outcome"].isin(weights.columns) & preferences["decision_id"].isin(weights.index)]
    for outcome, rows in stated.groupby("outcome", observed=True):
        weights.loc[rows["decision_id"].to_list(), str(outcome)] = rows["weight"].to_numpy(dtype=float)
    nothing = weights.sum(axis=1) <= 0
    weights.loc[nothing] = list(defaults.values())
    return weights


@dataclass(frozen=True)
class Standing:
    """How n decisions x m modalities stand; arrays are (n, m) unless said otherwise.

    Attributes
    ----------
    decisions, modalities : tuple of str
    outcomes : array (n, m, targets)
        NaN where the modality has no model.
    burden, suitability, half_widths, support : arrays
        `support` is the propensity.
    deviations : array (n, k, m)
        Deviations of suitability; 0 where there is no model.
    status, verdict : arrays of str
    rank, model_rank : arrays
        NaN where there is none.
    tied : bool array (n, m, m)
        Whether a pair's interval covers 0, among rankable modalities.
    abstain_reason : array of str
        Empty where the status is another.
    """

    decisions: tuple[str, ...]
    modalities: tuple[str, ...]
    outcomes: Array
    burden: Array
    suitability: Array
    half_widths: Array
    support: Array
    deviations: Array
    status: npt.NDArray[np.str_]
    verdict: npt.NDArray[np.str_]
    rank: Array
    model_rank: Array
    tied: BoolArray
    abstain_reason: npt.NDArray[np.str_]

    @property
    def is_rankable(self) -> BoolArray:
        """Whether a cell has a rank, shape (n, m)."""
        return ~np.isnan(self.rank)


@dataclass(frozen=True)
class Circumstances:
    """What is known of each decision besides the model's features; arrays are (n, m).

    Attributes
    ----------
    is_available : array of float
        1 available, 0 not, NaN not recorded.
    verdict : array of str
    is_impossible : bool array
        Not available, or blocked by a non-overridable rule.
    permitted_cases : array of int
        Training rows of the products that rules permit; -1 where products are not counted.
    """

    is_available: Array
    verdict: npt.NDArray[np.str_]
    is_impossible: BoolArray
    permitted_cases: npt.NDArray[np.int64]


def stand(
    model: SuitabilityModel,
    features: pd.DataFrame,
    modalities: Sequence[Modality],
    weights: pd.DataFrame,
    circumstances: Circumstances,
    propensity_floor: float,
) -> Standing:
    """Return how every modality stands for every decision.

    Parameters
    ----------
    model : SuitabilityModel
    features : DataFrame, one row per decision
        As `features.build` returns it.
    modalities : sequence of Modality
        All declared ones, ranked or not.
    weights : DataFrame, one row per decision
        Utility weights by outcome and burden.
    circumstances : Circumstances
    propensity_floor : float
        Below it a modality is outside experience for the person.

    Returns
    -------
    Standing
    """
    ids = [entry.id for entry in modalities]
    position = [ids.index(arm) for arm in model.arms]
    n, m = len(features), len(ids)
    signed = signed_weights(weights.to_numpy(dtype=float), list(weights.columns), model.targets)
    share = burden_share(weights, model)
    distance = features["distance_km"].to_numpy(dtype=float) if "distance_km" in features else np.full(n, np.nan)
    burdens = burden(modalities, distance)
    outcomes, suitability = np.full((n, m, len(model.targets)), np.nan), np.full((n, m), np.nan)
    support = np.full((n, m), np.nan)
    outcomes[:, position] = model.outcomes(features)
    suitability[:, position] = np.einsum("nak,nk->na", outcomes[:, position], signed) - (
        share[:, None] * burdens[:, position]
    )
    support[:, position] = model.support(features, circumstances.is_impossible[:, position])
    # Renormalised after structural zeros a propensity can only grow: what rules remove must not promote the rest.
    unruled = np.full((n, m), np.nan)
    unruled[:, position] = model.support(features, np.zeros((n, len(position)), dtype=bool))
    own = model.deviations(features, signed)
    deviations = np.zeros((n, own.shape[1], m))
    deviations[:, :, position] = own
    status, reason = _statuses(model, features, modalities, circumstances, np.fmin(support, unruled), propensity_floor)
    better = clearly_better(np.nan_to_num(suitability, nan=-9.0), deviations)
    has_model = np.zeros((n, m), dtype=bool)
    has_model[:, position] = True
    is_rankable = status == "ranked"
    rank = _ranks(better, is_rankable)
    tied = _tied(better, is_rankable)
    shares_rank = np.stack([((rank == rank[:, [a]]) & is_rankable).sum(axis=1) > 1 for a in range(m)], axis=1)
    status = np.where(is_rankable & shares_rank, "tied", status)
    return Standing(
        decisions=tuple(features["decision_id"]),
        modalities=tuple(ids),
        outcomes=outcomes,
        burden=burdens,
        suitability=suitability,
        half_widths=np.where(has_model, half_width(deviations), np.nan),
        support=support,
        deviations=deviations,
        status=status,
        verdict=circumstances.verdict,
        rank=rank,
        model_rank=_ranks(better, has_model),
        tied=tied,
        abstain_reason=np.where(status == "abstained", reason, ""),
    )


def burden_share(weights: pd.DataFrame, model: SuitabilityModel) -> Array:
    """Return burden's share of the total weight of each decision, shape (n,)."""
    kept = [*(target.name for target in model.targets), "burden"]
    total = weights[[name for name in kept if name in weights]].sum(axis=1).to_numpy(dtype=float)
    own = weights["burden"].to_numpy(dtype=float) if "burden" in weights else np.zeros(len(weights))
    return np.asarray(own / np.maximum(total, 1e-12))


def _statuses(
    model: SuitabilityModel,
    features: pd.DataFrame,
    modalities: Sequence[Modality],
    circumstances: Circumstances,
    support: Array,
    propensity_floor: float,
) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.str_]]:
    """Return status (the first that applies) and abstain reason, each (n, m)."""
    n, m = support.shape
    row_reason = np.array([reason or "" for reason in model.contract.reasons(features, model.columns)], dtype="<U24")
    least = np.array([entry.min_cases for entry in modalities])
    few = (circumstances.permitted_cases >= 0) & (circumstances.permitted_cases < least[None, :])
    outside = (support < propensity_floor) | few
    reason = np.where(outside, "outside_experience", np.repeat(row_reason[:, None], m, axis=1))
    has_no_model = np.array([entry.id not in model.arms for entry in modalities])
    conditions = [
        circumstances.is_available == 0,
        circumstances.verdict == "blocked",
        circumstances.verdict == "indeterminate",
        np.repeat(has_no_model[None, :], n, axis=0),
        reason != "",
    ]
    names = ["unavailable", "blocked", "indeterminate", "too_few_cases", "abstained"]
    return np.select(conditions, names, default="ranked"), reason


def _ranks(better: BoolArray, is_ranked: BoolArray) -> Array:
    """Return 1 + the number of ranked modalities clearly better, NaN where not ranked."""
    beaten = (better & is_ranked[:, :, None]).sum(axis=1)
    return np.where(is_ranked, 1.0 + beaten, np.nan)


def _tied(better: BoolArray, is_ranked: BoolArray) -> BoolArray:
    neither = ~better & ~np.swapaxes(better, 1, 2)
    pairs = neither & is_ranked[:, :, None] & is_ranked[:, None, :]
    return np.asarray(pairs & ~np.eye(better.shape[1], dtype=bool)[None])


def display_order(standing: Standing) -> npt.NDArray[np.int64]:
    """Return modality positions in display order, shape (n, m): by rank, then suitability; unranked last."""
    rank = np.where(np.isnan(standing.rank), 1e6, standing.rank)
    value = np.where(np.isnan(standing.suitability), -9.0, standing.suitability)
    return np.lexsort((-value, rank), axis=1)
