"""How do records become a registered model?"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import pandas as pd
from threadpoolctl import threadpool_limits

from pipeline.advice import Adviser, advise, availability, judge
from pipeline.config import Config
from pipeline.errors import GateError, NoOverlapError
from pipeline.evaluate import Material, evaluate, leak_audit, refuse_leaks, subgroups
from pipeline.features import model_columns, propensity_columns
from pipeline.guardrails import Verdicts, structural_zero
from pipeline.labels import build_labels
from pipeline.learners import SMALL_CELL, ModalityRanker, Target
from pipeline.review.model_card import Statements
from pipeline.runs.alike import learned_from
from pipeline.runs.cards import EXAMPLE, example_card
from pipeline.runs.held_out import FEWEST_EVENTS, Decisions, shuffled_run, temporal_run
from pipeline.runs.model_dir import EVALUATION, load_directory, save_model
from pipeline.runs.reading import Known, read_known, shard_of
from pipeline.runs.registering import register_run
from pipeline.runs.reporting import Reporter
from pipeline.runs.reviews import write_page
from pipeline.runs.setup import Setup
from pipeline.runs.shifting import REFERENCE, reference_of
from pipeline.runs.stability import learned_again
from pipeline.schema import Step
from pipeline.store import (
    canonical_json,
    new_folder,
    write_bytes,
)
from pipeline.vocabulary import HIGHER_IS_BETTER, OUTCOMES

_KINDS = {"durable_control": "event_free", "treatment_free": "free_share"}
_PACKAGES = ("mmrank", "lightgbm", "scikit-learn", "pandas", "numpy", "duckdb", "mlflow", "shap")
_SAMPLE = 600
_FEWEST_FOLLOWED = 0.5
_PRODUCTS_NAMED = 0.9


@dataclass(frozen=True)
class Trained:
    """What training made.

    Attributes
    ----------
    run_directory : Path
    model_version : str
        Digest of the model directory.
    registered_version : str
        Of `mmrank` in the registry.
    is_champion : bool
        Whether it became the champion.
    evaluation : dict
    """

    run_directory: Path
    model_version: str
    registered_version: str
    is_champion: bool
    evaluation: dict[str, Any]


def train(
    records: Path,
    setup: Setup,
    out: Path,
    workspace: Path,
    reporter: Reporter,
    published: list[dict[str, Any]] | None = None,
    statements: Statements | None = None,
) -> Trained:
    """Train, evaluate and register; champion unless a check says stop or somebody signed the present one off.

    Parameters
    ----------
    records : path
        Directory of tables or a `.duckdb` file.
    setup : Setup
    out : path
        Run directory; must not exist or be empty.
    workspace : path
        Holds the MLflow store.
    reporter : Reporter
    published : list or None
        Simulated against published rates, shown in the review of simulated records.
    statements : Statements or None
        What the institution says for itself in the model card.

    Returns
    -------
    Trained

    Raises
    ------
    SchemaError, NoOverlapError, GateError
        As their messages say; on a failed student gate everything is written but nothing is registered.
    """
    home = new_folder(out)
    known = read_known(records, setup, training=True, reporter=reporter)
    for finding in known.records.findings:
        if finding.severity == "warning":
            reporter.say(f"warning: {finding.message}")
    ranker, material = _learn(known, setup, reporter)
    with reporter.stage("Evaluating"), threadpool_limits(limits=1, user_api="blas"):
        evaluation = evaluate(material)
    about = _about(known, setup, ranker) | learned_from(setup, ranker.model_, material)
    about[REFERENCE] = reference_of(setup, ranker.model_, material, calendar=known.records.calendar)
    version_saved = save_model(home / "model", ranker.model_, setup, about)
    evaluation |= {
        "title": setup.config.settings.title,
        "simulated": known.records.simulated,
        "model_version": version_saved,
        "ruleset_version": setup.rules.digest[:16],
        "records_digest": known.records.digest,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "software": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "seed": setup.config.settings.learner.seed,
        "refractory_definition": setup.config.settings.refractory_definition,
        "published": published,
    }
    write_bytes(home / EVALUATION, canonical_json(evaluation))
    pages = write_page(home / "review.html", evaluation, statements)
    if not evaluation["learner"]["student"]["passed"]:
        raise GateError(
            f"{home}: the students do not follow the committee closely enough (check C07 in review.html), so the model "
            "was not registered. Raise learner.student_rows or student_trees, or look at the data with fewer features."
        )
    loaded = load_directory(home / "model")
    if known.records.simulated:
        pages[EXAMPLE] = example_card(known, loaded, material.sample.predictions)
    with reporter.stage("Registering with MLflow"):
        registered = register_run(loaded, workspace, evaluation, pages)
    return Trained(home, version_saved, registered.version, registered.is_champion, evaluation)


def targets_of(config: Config, labels: pd.DataFrame) -> tuple[Target, ...]:
    """Return the outcomes to learn: those configured that at least 15 people had by the horizon.

    The treatment-free share needs durable control, and goes with it.
    """
    found: list[Target] = []
    for name in config.outcome_names:
        kind = _KINDS.get(name, "incidence")
        limited = any(entry.time_limited for entry in config.modalities)
        if kind == "free_share" and not (limited and any(target.name == "durable_control" for target in found)):
            continue  # time off treatment is a share of time under control
        horizon = config.settings.outcomes[name].horizon_months
        if kind != "free_share":
            is_event = (labels[f"{name}_event"] == 1) & (labels[f"{name}_months"] <= horizon)
            if int(is_event.sum()) < FEWEST_EVENTS:
                continue
        sign = 1.0 if HIGHER_IS_BETTER[name] else -1.0
        found.append(Target(name=name, kind=cast(Any, kind), horizon_months=horizon, sign=sign))
    return tuple(found)


def _learn(known: Known, setup: Setup, reporter: Reporter) -> tuple[ModalityRanker, Material]:
    config, settings = setup.config, setup.config.settings
    once, cut = setup.spec.exposure.single_dose_classes, settings.cohort.data_cut_date
    labels = build_labels(known.connection, settings.outcomes, config.drugs, cut, given_once=once)
    frame = labels.frame
    _refuse_lost_follow_up(labels.steps[0])
    rows = known.features["decision_id"].isin(set(frame["decision_id"])).to_numpy()
    features = known.features[rows].reset_index(drop=True)
    facts = known.facts[rows]
    points = known.points[rows].reset_index(drop=True)
    names, gates = model_columns(setup.spec, config.modalities), settings.gates
    audit = leak_audit(features, names, frame["modality"], gates.leak_auc_stop, gates.leak_auc_report)
    refuse_leaks(audit, gates.leak_auc_stop)
    verdicts = judge(config, setup.rules, facts, known.rule_dates(features))
    is_impossible = _impossible(known, verdicts, features["decision_id"], config)
    targets = targets_of(config, frame)
    ranker = _estimator(setup, features, targets, calendar=known.records.calendar)
    with reporter.stage("Learning (cross-fit, committee, students)") as advance:
        ranker.fit(
            features,
            frame["modality"],
            frame,
            groups=points["patient_id"],
            eligible=~is_impossible,
            products=_declared_products(points, config),
            advance=advance,
        )
    adviser = Adviser(ranker.model_, config, setup.rules, "", "")
    chosen = features.iloc[:: max(1, len(features) // _SAMPLE)].reset_index(drop=True)
    with reporter.stage("Explaining a sample"):
        sample = advise(adviser, shard_of(known, chosen))
    decisions = Decisions(features, frame, points["patient_id"], is_impossible)
    material = Material(
        config=config,
        rules=setup.rules,
        ranker=ranker,
        features=features,
        labels=frame,
        patients=points["patient_id"],
        is_impossible=is_impossible,
        verdicts=verdicts,
        sample=sample,
        sample_features=chosen,
        people=subgroups(features, known.races(features)),
        rule_dates=known.rule_dates(features),
        meanings={entry.name: entry.meaning for entry in setup.spec.features},
        units={entry.name: entry.unit for entry in setup.spec.features if entry.unit},
        attrition=_steps(known, labels.steps),
        leak_audit=audit,
        truth=_truth(known),
        published_rule=setup.published_rule,
        published_trials=setup.published_trials,
        **_learned_otherwise(known, setup, ranker, decisions, reporter),
    )
    return ranker, material


def _learned_otherwise(
    known: Known, setup: Setup, ranker: ModalityRanker, decisions: Decisions, reporter: Reporter
) -> dict[str, Any]:
    """Return what learning again finds: from earlier decisions, shuffled outcomes, another seed and definition."""
    found: dict[str, Any] = {"shuffled": {}}
    with reporter.stage("Learning again from earlier decisions") as advance:
        found["temporal"] = temporal_run(known, setup, ranker, decisions, advance)
    if setup.config.settings.evaluation.shuffled_run:
        with reporter.stage("Learning from shuffled outcomes") as advance:
            found["shuffled"] = shuffled_run(setup.config, ranker, decisions, advance)
    with reporter.stage("Learning again with another seed and definition") as advance:
        found["learned_again"], found["not_learned_again"] = learned_again(known, setup, ranker, decisions, advance)
    return found


def _estimator(setup: Setup, features: pd.DataFrame, targets: tuple[Target, ...], *, calendar: bool) -> ModalityRanker:
    """Return the estimator that the configuration asks for."""
    config, settings = setup.config, setup.config.settings
    return ModalityRanker(
        targets=targets,
        weights=config.weights([target.name for target in targets]),
        time_limited={entry.id: entry.time_limited for entry in config.modalities},
        min_cases={entry.id: entry.min_cases for entry in config.modalities},
        min_events={entry.id: entry.min_events for entry in config.modalities},
        features=model_columns(setup.spec, config.modalities),
        propensity_features=_propensity_names(features, setup, calendar=calendar),
        modifiers=[entry.name for entry in setup.spec.features if entry.modifier],
        settings=settings.learner,
        gates=settings.gates,
    )


def _declared_products(points: pd.DataFrame, config: Config) -> pd.Series[str] | None:
    """Return the product given, where its modality's cases are counted by product; None where none are.

    Products are counted for modalities of which at least 90 % of the rows name a declared product of theirs; of the
    others too little is known to say that a product has few cases. Undeclared names are the institution's and are not
    stored.
    """
    own = {product.id: product.modality for product in config.products}
    is_named = points["product"].map(own).eq(points["modality"])
    is_counted = is_named.groupby(points["modality"]).transform("mean") >= _PRODUCTS_NAMED
    products = points["product"].where(is_named & is_counted)
    return products if products.notna().any() else None


def _refuse_lost_follow_up(step: Step) -> None:
    """Stop where most decisions have no follow-up: those left were chosen by what happened to them."""
    if step.rows_out < _FEWEST_FOLLOWED * step.rows_in:
        raise NoOverlapError(
            f"events: {step.rows_out:,} of {step.rows_in:,} decisions have any follow-up, wanted at least "
            f"{100 * _FEWEST_FOLLOWED:.0f} %. A cohort of those with an event is chosen by its outcome; add the events "
            "table with a last_contact for everybody."
        )


def _propensity_names(features: pd.DataFrame, setup: Setup, *, calendar: bool) -> list[str]:
    """Return the propensity columns, with the sites of at least eleven people as declared levels.

    Without calendar dates nothing that reads the date of a decision is among them: days from an origin say nothing
    about what was on offer.
    """
    dated = () if calendar else [entry.name for entry in setup.spec.of_kind("decision")]
    names = [name for name in propensity_columns(setup.spec, setup.config.modalities) if name not in dated]
    counts = features.groupby("site_id", observed=True)["patient_id"].nunique()
    large = sorted(str(site) for site, count in counts.items() if count >= SMALL_CELL)
    if len(large) < 2:
        return [name for name in names if name != "site_id"]
    sites = features["site_id"].astype("object")
    features["site_id"] = pd.Categorical(sites.where(sites.isin(large), None), categories=large)
    return names


def _impossible(known: Known, verdicts: Verdicts, decisions: pd.Series, config: Config) -> pd.DataFrame:
    """Return structural zeros: not available, or blocked by a non-overridable rule; bool, one column per modality."""
    zero = structural_zero(verdicts).reindex(index=decisions, columns=list(config.modality_ids))
    absent = availability(known.candidates, list(decisions), config.modality_ids) == 0
    return pd.DataFrame(zero.to_numpy(dtype=bool) | absent, columns=list(config.modality_ids))


def _steps(known: Known, more: tuple[Step, ...]) -> list[Step]:
    return [*known.records.attrition, *known.cohort.steps, *more]


def _truth(known: Known) -> pd.DataFrame | None:
    """Return the simulator's truth, only of records that say they are simulated."""
    tables = {row[0] for row in known.connection.execute("show tables").fetchall()}
    if not known.records.simulated or "extract_truth" not in tables:
        return None
    columns = ", ".join(f"cast({name} as double) as {name}" for name in OUTCOMES)
    return known.connection.execute(f"select decision_id, modality, {columns} from extract_truth").df()


def _about(known: Known, setup: Setup, ranker: ModalityRanker) -> dict[str, Any]:
    counts = {name: gate.cases if gate.cases >= SMALL_CELL else 0 for name, gate in ranker.gates_.items()}
    return {
        "title": setup.config.settings.title,
        "simulated": known.records.simulated,
        "arm_cases": counts,
        "recorded_events": list(known.records.recorded_events),
    }
