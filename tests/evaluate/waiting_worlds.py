"""Worlds in which no modality does anything and CAR T still waits for its infusion, counted rightly and wrongly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.advice import judge
from pipeline.config import LearnerConfig
from pipeline.evaluate.contrasts import Contrast, pair_contrast
from pipeline.features import model_columns, propensity_columns
from pipeline.labels import DAYS_PER_MONTH, build_labels
from pipeline.learners import ModalityRanker, Target
from pipeline.runs.institution import write_institution
from pipeline.runs.reading import read_known
from pipeline.runs.reporting import Quiet
from pipeline.runs.setup import Setup
from pipeline.runs.train import _impossible
from pipeline.simulate import SimulationSettings

OTHERS = ("adc", "bispecific", "standard_triplet")
CONTROL = Target("durable_control", "event_free", 12, 1.0)
QUICK = LearnerConfig(folds=3, ridge_alphas=(0.01,), threads=1)


@dataclass(frozen=True)
class Claims:
    """CAR T less each other modality in durable control: from the decision, and of the infused from infusion."""

    ours: dict[str, Contrast]
    infused_only: dict[str, Contrast]


def claims(home: Path, setup: Setup, seed: int, decisions: int = 800, wait: float = 45.0) -> Claims:
    """Return both contrasts of one world without effect and a wait, by the same estimator.

    Parameters
    ----------
    home : Path
        Where its records are written.
    setup : Setup
    seed, decisions : int
    wait : float, days
        Median from decision to infusion.
    """
    settings = SimulationSettings(
        decisions=decisions, seed=seed, wait_without_effect=True, cilta_cel_wait_days=wait, ide_cel_wait_days=wait
    )
    write_institution(settings, home)
    known = read_known(home, setup, training=True, reporter=Quiet())
    config = setup.config
    labels = build_labels(known.connection, config.settings.outcomes, config.drugs).frame
    rows = known.features["decision_id"].isin(set(labels["decision_id"])).to_numpy()
    features = known.features[rows].reset_index(drop=True)
    verdicts = judge(config, setup.rules, known.facts[rows], known.rule_dates(features))
    eligible = ~_impossible(known, verdicts, features["decision_id"], config)
    patients = known.points.loc[rows, "patient_id"].reset_index(drop=True)

    def fitted(chosen: pd.Series, outcomes: pd.DataFrame) -> dict[str, Contrast]:
        ranker = ModalityRanker(
            targets=(CONTROL,),
            weights={"durable_control": 1.0, "burden": 0.0},
            features=model_columns(setup.spec, config.modalities),
            propensity_features=[n for n in propensity_columns(setup.spec, config.modalities) if n != "site_id"],
            modifiers=[entry.name for entry in setup.spec.features if entry.modifier],
            settings=QUICK,
            deploy=False,
        )
        table, own = features[chosen].reset_index(drop=True), outcomes[chosen].reset_index(drop=True)
        ranker.fit(
            table,
            own["modality"],
            own,
            groups=patients[chosen].reset_index(drop=True),
            eligible=eligible[chosen].reset_index(drop=True),
        )
        evidence, place = ranker.evidence_, {name: k for k, name in enumerate(ranker.arms_)}
        possible = evidence.fold.propensity > 0
        found = {}
        for other in OTHERS:
            if other in place and "car_t" in place:
                contrast = pair_contrast(evidence.scores, place["car_t"], place[other], evidence.groups, possible)
                if contrast is not None:
                    found[other] = contrast
        return found

    starts = known.connection.execute(
        "select decision_id, date_diff('day', decision_date, treatment_start_date) as days from decisions"
    ).df()
    waited = labels["decision_id"].map(starts.set_index("decision_id")["days"]) / DAYS_PER_MONTH
    is_car_t = labels["modality"] == "car_t"
    infused = ~is_car_t | (waited < labels["durable_control_months"])
    since = labels["durable_control_months"].where(~is_car_t, labels["durable_control_months"] - waited)
    everyone = pd.Series(True, index=labels.index)
    return Claims(fitted(everyone, labels), fitted(infused, labels.assign(durable_control_months=since)))
