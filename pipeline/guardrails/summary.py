"""How often does each rule speak, and what can a modality never be?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipeline.errors import RuleError
from pipeline.guardrails.rules import RuleSet
from pipeline.guardrails.verdicts import Verdicts
from pipeline.guardrails.words import covers_in_words
from pipeline.vocabulary import UNRANKABLE_VERDICTS

COUNTS = ("fired", "undecided", "removed_first_choice")


def firings(verdicts: Verdicts, rules: RuleSet) -> pd.DataFrame:
    """Return how many decisions each rule that ran fired on, left undecided and found clear.

    Parameters
    ----------
    verdicts : Verdicts
    rules : RuleSet
        The rules that made them.

    Returns
    -------
    DataFrame, one row per rule that ran and covers some product, sorted by rule_id
        `rule_id, title, status, effect, applies_to, fired, undecided, clear`. A decision counts once, as fired if
        the rule fired for any product; the three add up to the decisions the rule judged.
    """
    by_id = {rule.id: rule for rule in rules.rules}
    seen = verdicts.findings.groupby(["rule_id", "decision_id"], sort=False)["fired"].any()
    fired = seen.groupby("rule_id").sum() if len(seen) else pd.Series(dtype="int64")
    spoken = seen.groupby("rule_id").size() if len(seen) else pd.Series(dtype="int64")
    rows = []
    for identity, decisions in zip(verdicts.assessed["rule_id"], verdicts.assessed["decisions"], strict=True):
        rule = by_id[identity]
        spoke, hit = int(spoken.get(identity, 0)), int(fired.get(identity, 0))
        rows.append(
            {
                "rule_id": rule.id,
                "title": rule.title,
                "status": rule.status,
                "effect": rule.effect,
                "applies_to": covers_in_words(rule),
                "fired": hit,
                "undecided": spoke - hit,
                "clear": int(decisions) - spoke,
            }
        )
    columns = ["rule_id", "title", "status", "effect", "applies_to", "fired", "undecided", "clear"]
    return pd.DataFrame(rows, columns=columns).sort_values("rule_id", ignore_index=True)


def removed_first_choices(
    predictions: pd.DataFrame,
    findings: pd.DataFrame,
    subgroups: pd.DataFrame,
    rule_ids: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return what each rule did to the first choice of the model, for everybody and per subgroup.

    Parameters
    ----------
    predictions : DataFrame, one row per decision and modality
        `decision_id, modality, model_rank, status`.
    findings : DataFrame
        `Verdicts.findings` of at least these decisions.
    subgroups : DataFrame of categories, indexed by decision_id
        One column per subgroup, such as sex or an age band; a missing category is the level `unknown`.
    rule_ids : sequence of str or None
        Rules to tell of; by default those that spoke.

    Returns
    -------
    DataFrame, one row per rule, subgroup and level that some decision has
        `rule_id, subgroup, level, decisions, fired, undecided, removed_first_choice`: counts of decisions. The first
        rows of a rule are subgroup `all`, level `all`. A first choice is removed by a rule if its modality stands
        at `model_rank` 1, its status is blocked or indeterminate, and the rule gave that verdict to one of its
        products and is not overridden. Counts are exact; small ones are for the reader's page to hide.

    Raises
    ------
    RuleError
        If some decisions have no row among the subgroups.
    """
    decisions = pd.Index(predictions["decision_id"].unique())
    absent = int((subgroups.index.get_indexer(decisions) < 0).sum())
    if absent:
        raise RuleError(f"subgroups: missing for {absent} of {len(decisions)} decisions; index them by decision_id")
    found = findings[findings["decision_id"].isin(decisions)]
    spoke = found.groupby(["rule_id", "decision_id"], sort=False)["fired"].any().reset_index()
    spoke["undecided"] = ~spoke["fired"]
    lost = predictions["model_rank"].eq(1) & predictions["status"].isin(UNRANKABLE_VERDICTS)
    first = predictions.loc[lost, ["decision_id", "modality", "status"]].rename(columns={"status": "verdict"})
    keys = ["rule_id", "decision_id"]
    removed = found[~found["overridden"]].merge(first, on=["decision_id", "modality", "verdict"])[keys]
    spoke["removed_first_choice"] = pd.MultiIndex.from_frame(spoke[keys]).isin(pd.MultiIndex.from_frame(removed))
    groups = _memberships(subgroups.reindex(decisions))
    sizes = groups.groupby(["subgroup", "level"], sort=False).size().rename("decisions").reset_index()
    names = sorted(spoke["rule_id"].unique() if rule_ids is None else set(rule_ids))
    every = pd.DataFrame({"rule_id": pd.Series(names, dtype="str")}).merge(sizes, how="cross")
    counted = spoke.merge(groups, on="decision_id").groupby(["rule_id", "subgroup", "level"])[list(COUNTS)].sum()
    table = every.merge(counted.reset_index(), on=["rule_id", "subgroup", "level"], how="left")
    return table.astype({"decisions": "int64"}).fillna(dict.fromkeys(COUNTS, 0)).astype(dict.fromkeys(COUNTS, "int64"))


def _memberships(subgroups: pd.DataFrame) -> pd.DataFrame:
    """Return one row per decision and subgroup: its level; everybody first, levels in their declared order."""
    everybody = pd.Series("all", index=subgroups.index)
    parts = []
    for name, column in {"all": everybody, **{str(name): subgroups[name] for name in subgroups}}.items():
        declared = (
            column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else sorted(set(column.dropna()))
        )
        order = dict.fromkeys([*map(str, declared), "unknown"])
        level = pd.Categorical(column.astype("str").fillna("unknown"), categories=list(order))
        place = level.codes.argsort()
        part = {"decision_id": subgroups.index.to_numpy()[place], "subgroup": name, "level": np.asarray(level)[place]}
        parts.append(pd.DataFrame(part).astype("str"))
    return pd.concat(parts)


def structural_zero(verdicts: Verdicts) -> pd.DataFrame:
    """Return where a modality cannot be given: each of its products has a non-overridable block that fired.

    Parameters
    ----------
    verdicts : Verdicts

    Returns
    -------
    DataFrame of bool, one row per decision, one column per modality
        In the order of the decisions and modalities. Undecided blocks are not zeros.
    """
    found = verdicts.findings
    hard = found[(found["verdict"] == "blocked") & ~found["overridable"]]
    keys = ["decision_id", "modality", "product"]
    blocked = pd.MultiIndex.from_frame(hard[keys].drop_duplicates())
    each = pd.MultiIndex.from_frame(verdicts.products[keys]).isin(blocked)
    whole = (
        verdicts.products.assign(zero=each)
        .groupby(["decision_id", "modality"], sort=False)["zero"]
        .all()
        .unstack("modality")
    )
    decisions = verdicts.modalities["decision_id"].drop_duplicates()
    modalities = verdicts.modalities["modality"].drop_duplicates()
    return whole.reindex(index=decisions, columns=modalities).astype(bool).rename_axis(columns=None)
