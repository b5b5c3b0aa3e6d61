"""What does one case look like on a page?"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from threadpoolctl import threadpool_limits

from pipeline.advice import Advice
from pipeline.errors import ConfigError
from pipeline.guardrails import in_words, settling_facts
from pipeline.ranker import personal_weights
from pipeline.review import CaseCard, Settling, case_card
from pipeline.runs.model_dir import Loaded
from pipeline.runs.overriding import read_overrides
from pipeline.runs.predict import advice_for
from pipeline.runs.reading import Known, read_known
from pipeline.runs.reporting import Reporter
from pipeline.store import write_text

_WAITING = ("action_required", "indeterminate")


def explain_case(
    records: Path,
    loaded: Loaded,
    decision: str,
    out: Path,
    reporter: Reporter,
    *,
    overrides: Path | None = None,
    show_identifiers: bool = False,
) -> CaseCard:
    """Write the case card of one decision and return what it shows.

    Raises
    ------
    ConfigError
        If the records hold no such decision (the identifier is not repeated in the message).
    RuleError
        If the file of overrides is wrong.
    """
    aside = read_overrides(overrides, loaded.setup)
    known = read_known(records, loaded.setup, training=False, reporter=reporter)
    chosen = known.features[known.features["decision_id"] == decision]
    if chosen.empty:
        raise ConfigError(
            f"--decision: none of the {len(known.features)} decisions of the cohort has this id. "
            "Copy an id from the predictions, or check whether the cohort filters leave the decision out."
        )
    with threadpool_limits(limits=1, user_api="blas"):
        advice = advice_for(known, loaded, chosen, aside)
    card = card_of(known, loaded, chosen, advice, show_identifiers=show_identifiers)
    write_text(out, case_card(card))
    if overrides is not None:
        reporter.say(_set_aside(advice))
    return card


def card_of(
    known: Known, loaded: Loaded, features: pd.DataFrame, advice: Advice, *, show_identifiers: bool
) -> CaseCard:
    """Return what the card of one decision shows."""
    setup = loaded.setup
    decision = str(features["decision_id"].iloc[0])
    targets = [target.name for target in loaded.adviser.model.targets]
    weights = personal_weights([decision], setup.config.weights(targets), known.preferences).iloc[0]
    outcomes = setup.config.settings.outcomes
    return CaseCard(
        decision_id=decision,
        decision_date=str(features["decision_date"].iloc[0].date()),
        rows=[{str(name): value for name, value in row.items()} for row in advice.predictions.to_dict("records")],
        modality_labels={entry.id: entry.label for entry in setup.config.modalities},
        product_labels={entry.id: entry.label for entry in setup.config.products},
        feature_meanings=setup.meanings,
        rules={
            rule.id: {
                "title": rule.title,
                "reason": rule.reason,
                "action": rule.action,
                "source": f"{rule.source.document}, {rule.source.section}",
                "status": rule.status,
                "words": in_words(rule),
            }
            for rule in setup.rules.rules
        },
        obtain={name: fact.obtain for name, fact in setup.facts.items() if fact.obtain},
        weights={str(name): float(value) for name, value in weights.items()},
        estimands=[{"outcome": name, **outcomes[name].model_dump()} for name in targets],
        model_version=loaded.adviser.model_version,
        ruleset_version=loaded.adviser.ruleset_version,
        simulated=known.records.simulated,
        arm_evidence=dict(loaded.about["arm_cases"]),
        settling=_settling(known.facts.loc[[decision]], loaded, advice),
        valid_days={name: fact.max_age_days for name, fact in setup.facts.items() if fact.max_age_days is not None},
        show_identifiers=show_identifiers,
    )


def _settling(facts: pd.DataFrame, loaded: Loaded, advice: Advice) -> dict[str, Settling]:
    """Return, per modality that waits for facts, the fewest that decide it."""
    setup, found = loaded.setup, {}
    for verdict in _WAITING:
        table = settling_facts(
            advice.verdicts,
            facts,
            setup.rules,
            setup.config.products,
            setup.facts,
            jurisdiction=setup.config.settings.jurisdiction,
            verdict=verdict,
        )
        for row in table.to_dict("records"):
            settling = Settling(verdict, str(row["product"]), tuple(row["facts"]), bool(row["whole_modality"]))
            found[str(row["modality"])] = settling
    return found


def _set_aside(advice: Advice) -> str:
    """Return which rules were set aside for the decision, in one sentence."""
    table = advice.verdicts.overrides
    if table.empty:
        return "overrides: none names this decision"
    applied = ", ".join(table.loc[table["applied"], "rule_id"])
    idle = ", ".join(table.loc[~table["applied"], "rule_id"])
    told = [f"set aside {applied}"] if applied else []
    told += [f"nothing to set aside for {idle}, which says nothing of this decision"] if idle else []
    return f"overrides: {'; '.join(told)}"
