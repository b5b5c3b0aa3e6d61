"""How often does each rule speak, and what can a modality never be?"""

from __future__ import annotations

import pandas as pd

from pipeline.guardrails.rules import RuleSet
from pipeline.guardrails.verdicts import Verdicts
from pipeline.guardrails.words import covers_in_words


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
