"""What does one case look like on a page?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from threadpoolctl import threadpool_limits

from pipeline.advice import Advice
from pipeline.errors import ConfigError, ModelMismatchError
from pipeline.evaluate.likeness import group_of
from pipeline.explain import unweighed
from pipeline.guardrails import Overrides, in_words, not_run, settling_facts
from pipeline.ranker import personal_weights
from pipeline.review import CaseCard, Settling, card_index, card_tables, case_card, index_line
from pipeline.runs.model_dir import Loaded
from pipeline.runs.overriding import read_overrides
from pipeline.runs.predict import advice_for
from pipeline.runs.reading import Known, read_known
from pipeline.runs.reporting import Reporter
from pipeline.store import batch_identity, new_folder, read_predictions, read_text, write_tables, write_text

EXAMPLE = "example_case.html"
_ABOUT = "The tables of the case card beside this folder: one person's values. Made anew with the card.\n"
_WAITING = ("action_required", "indeterminate")


@dataclass(frozen=True)
class Asked:
    """The decisions to explain.

    Attributes
    ----------
    decisions : tuple of str
        In the order in which cards are numbered.
    batch : mapping
        By what the batch that names them was scored, as its manifest says; empty where no batch does.
    """

    decisions: tuple[str, ...]
    batch: Mapping[str, Any] = field(default_factory=dict)


def explain_case(
    records: Path,
    loaded: Loaded,
    decision: str,
    out: Path,
    reporter: Reporter,
    *,
    overrides: Path | None = None,
    show_identifiers: bool = False,
    tables: bool = True,
) -> CaseCard:
    """Write the case card of one decision and return what it shows.

    Parameters
    ----------
    records : path
    loaded : Loaded
    decision : str
    out : path
    reporter : Reporter
    overrides : path or None
        File of rules that clinicians set aside.
    show_identifiers : bool
    tables : bool
        Whether its tables are written into `<card>-tables` too, as CSV and JSON.

    Returns
    -------
    CaseCard

    Raises
    ------
    ConfigError
        If the records hold no such decision (the identifier is not repeated in the message), or the folder of tables
        holds anything that this did not write.
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
    _written(out, card, tables=tables)
    if overrides is not None:
        reporter.say(_set_aside(advice))
    return card


def explain_cases(
    records: Path,
    loaded: Loaded,
    asked: Asked | None,
    out: Path,
    reporter: Reporter,
    *,
    overrides: Path | None = None,
    show_identifiers: bool = False,
    tables: bool = False,
) -> int:
    """Write one case card per decision into a folder, and an index of them.

    Parameters
    ----------
    records : path
    loaded : Loaded
    asked : Asked or None
        None writes all decisions of the cohort.
    out : path
        A new or empty folder. Its files are numbered and name no decision.
    reporter : Reporter
    overrides : path or None
        File of rules that clinicians set aside.
    show_identifiers : bool
    tables : bool
        Whether the tables of each are written into `<card>-tables` too, as CSV and JSON.

    Returns
    -------
    int
        How many cards were written.

    Raises
    ------
    ConfigError
        If the folder holds something, or the records lack some of the decisions (told as a count).
    ModelMismatchError
        If the batch that names the decisions was scored with other overrides or from other records.
    RuleError
        If the file of overrides is wrong.
    """
    aside = read_overrides(overrides, loaded.setup)
    batch = {} if asked is None else asked.batch
    _refuse_another(batch, "overrides", None if overrides is None else aside.digest)
    home = new_folder(out)
    known = read_known(records, loaded.setup, training=False, reporter=reporter)
    _refuse_another(batch, "records", known.records.digest)
    features = known.features.set_index("decision_id", drop=False).rename_axis(None)
    wanted = list(features.index if asked is None else asked.decisions)
    strangers = len(set(wanted) - set(features.index))
    if strangers or not wanted:
        raise ConfigError(
            f"explain: {strangers} of {len(wanted)} decisions asked for are not among the {len(features)} of the "
            "cohort. Copy ids from the predictions, or check whether the cohort filters leave them out."
        )
    lines = []
    with (
        reporter.stage("Writing case cards", len(wanted)) as advance,
        threadpool_limits(limits=1, user_api="blas"),
    ):
        for number, decision in enumerate(wanted, start=1):
            own = features.loc[[decision]]
            card = card_of(known, loaded, own, advice_for(known, loaded, own, aside), show_identifiers=show_identifiers)
            file = f"card-{number:04d}.html"
            _written(home / file, card, tables=tables)
            lines.append(index_line(file, card))
            advance(1)
    write_text(home / "index.html", card_index(lines, simulated=known.records.simulated))
    return len(lines)


def _written(out: Path, card: CaseCard, *, tables: bool) -> None:
    write_text(out, case_card(card))
    if tables:
        write_tables(out, card_tables(card), _ABOUT)


def _refuse_another(batch: Mapping[str, Any], what: str, digest: str | None) -> None:
    """Refuse what a batch was not scored with: its cards would tell another story than its rows."""
    if batch and batch.get(f"{what}_digest") != digest:
        raise ModelMismatchError(
            f"explain: the batch was scored with other {what} than these. Give the {what} that `mmrank predict` had, "
            "or score the batch again."
        )


def asked_for(named: Sequence[str], listed_in: Path | None, predictions: Path | None, loaded: Loaded) -> Asked:
    """Return the decisions to explain: those named, those of a file with one id a line, and those of a batch, once.

    Parameters
    ----------
    named : sequence of str
    listed_in : path or None
    predictions : path or None
        A finished batch.
    loaded : Loaded
        Must be the model that scored the batch.

    Raises
    ------
    ConfigError
        If the file cannot be read.
    SchemaError
        If the batch is unfinished or damaged.
    ModelMismatchError
        If another model scored the batch: its cards would tell another story.
    """
    found, batch = list(named), dict[str, Any]()
    if listed_in is not None:
        found += [line.strip() for line in read_text(listed_in).splitlines() if line.strip()]
    if predictions is not None:
        batch = batch_identity(predictions)
        if batch.get("model_version") != loaded.adviser.model_version:
            raise ModelMismatchError(
                f"{predictions}: another model scored this batch. Give the model that did, or score it again."
            )
        found += list(read_predictions(predictions, ["decision_id"])["decision_id"].unique())
    return Asked(tuple(dict.fromkeys(found)), batch)


def example_card(known: Known, loaded: Loaded, predictions: pd.DataFrame) -> str:
    """Return the case card of the first decision with a ranked modality, as a page; for simulated records only.

    A case card tells a person's values, so one of real records belongs neither into MLflow nor beside a model.

    Raises
    ------
    ValueError
        If the records are real.
    """
    if not known.records.simulated:
        raise ValueError("example card: the records are real, and a case card tells a person's values")
    ranked = predictions.loc[predictions["rank"].notna(), "decision_id"]
    decision = (ranked if len(ranked) else predictions["decision_id"]).min()
    chosen = known.features[known.features["decision_id"] == decision]
    with threadpool_limits(limits=1, user_api="blas"):
        advice = advice_for(known, loaded, chosen, Overrides())
    return case_card(card_of(known, loaded, chosen, advice, show_identifiers=False))


def card_of(
    known: Known, loaded: Loaded, features: pd.DataFrame, advice: Advice, *, show_identifiers: bool
) -> CaseCard:
    """Return what the card of one decision shows."""
    setup = loaded.setup
    decision = str(features["decision_id"].iloc[0])
    targets = [target.name for target in loaded.adviser.model.targets]
    weights = personal_weights([decision], setup.config.weights(targets), known.preferences).iloc[0]
    outcomes = setup.config.settings.outcomes
    typical = loaded.about.get("typical", {})
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
        spoken_of=_spoken_of(advice),
        not_run={
            key: tuple(rule.id for rule in rules)
            for key, rules in not_run(
                setup.rules,
                setup.config.products,
                setup.config.modalities,
                jurisdiction=setup.config.settings.jurisdiction,
                include_drafts=setup.config.settings.include_draft_rules,
            ).items()
        },
        valid_days={name: fact.max_age_days for name, fact in setup.facts.items() if fact.max_age_days is not None},
        show_identifiers=show_identifiers,
        unweighed=unweighed(loaded.adviser.model, features),
        default_weights=setup.config.weights(targets),
        top_reasons=setup.config.settings.top_reasons,
        typical=typical,
        similar=group_of(loaded.about["alike"], features, typical) if "alike" in loaded.about else {},
    )


def _spoken_of(advice: Advice) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return, per (modality, rule) that spoke, of which products."""
    by_rule = advice.verdicts.findings.groupby(["modality", "rule_id"], sort=False)["product"]
    return {(str(modality), str(rule)): tuple(products) for (modality, rule), products in by_rule}


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
