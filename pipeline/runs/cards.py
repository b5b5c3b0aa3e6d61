"""What does one case look like on a page?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from threadpoolctl import threadpool_limits

from pipeline.errors import ConfigError
from pipeline.guardrails import in_words
from pipeline.ranker import personal_weights
from pipeline.review import CaseCard, case_card
from pipeline.runs.model_dir import Loaded
from pipeline.runs.predict import score
from pipeline.runs.reading import Known, read_known
from pipeline.runs.reporting import Reporter
from pipeline.store import write_text


def explain_case(
    records: Path, loaded: Loaded, decision: str, out: Path, reporter: Reporter, *, show_identifiers: bool = False
) -> list[dict[str, Any]]:
    """Write the case card of one decision and return its prediction rows.

    Raises
    ------
    ConfigError
        If the records hold no such decision (the identifier is not repeated in the message).
    """
    known = read_known(records, loaded.setup, training=False, reporter=reporter)
    chosen = known.features[known.features["decision_id"] == decision]
    if chosen.empty:
        raise ConfigError(
            f"--decision: none of the {len(known.features)} decisions of the cohort has this id. "
            "Copy an id from the predictions, or check whether the cohort filters leave the decision out."
        )
    with threadpool_limits(limits=1, user_api="blas"):
        rows = [dict(row) for row in score(known, loaded, chosen).to_dict("records")]
    write_text(out, case_card(card_of(known, loaded, chosen, rows, show_identifiers=show_identifiers)))
    return [{str(name): value for name, value in row.items()} for row in rows]


def card_of(
    known: Known, loaded: Loaded, features: pd.DataFrame, rows: list[Any], *, show_identifiers: bool
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
        rows=rows,
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
        show_identifiers=show_identifiers,
    )
