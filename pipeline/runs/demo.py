"""How does the whole journey look on an invented institution?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.errors import counted
from pipeline.review import CaseCard
from pipeline.runs.cards import explain_case
from pipeline.runs.institution import write_institution
from pipeline.runs.model_dir import load_model
from pipeline.runs.predict import Batch, predict
from pipeline.runs.reading import check_records
from pipeline.runs.reporting import Reporter
from pipeline.runs.setup import read_setup
from pipeline.runs.train import Trained, train
from pipeline.simulate import NOTE, SimulationSettings
from pipeline.store import canonical_json, read_predictions, read_table, replaced_folder, shipped, write_bytes

_SEED = 20_240_501


@dataclass(frozen=True)
class Journey:
    """What the demonstration made.

    Attributes
    ----------
    home : Path
    trained : Trained
    batch : Batch
    card : CaseCard
        One decision.
    regret : dict of policy to float
        True regret on new decisions, known because they are simulated.
    """

    home: Path
    trained: Trained
    batch: Batch
    card: CaseCard
    regret: dict[str, float]


def demo(home: Path, decisions: int, new_decisions: int, reporter: Reporter) -> Journey:
    """Simulate, check, train, predict, explain one case and review.

    Parameters
    ----------
    home : path
        Folder for everything that is made; an earlier demonstration in it is cleared.
    decisions, new_decisions : int
        Simulated decisions to train on, and new ones to score.
    reporter : Reporter

    Returns
    -------
    Journey

    Raises
    ------
    PipelineError
        As the steps do.
    """
    replaced_folder(
        home, "SIMULATED.txt", f"{NOTE}\nMade by `mmrank demo`, which clears this folder when it runs again.\n"
    )
    workspace, records, fresh = home / "workspace", home / "records", home / "new-records"
    with reporter.stage(f"Simulating {decisions} past and {new_decisions} new decisions"):
        institution = write_institution(SimulationSettings(decisions=decisions, seed=_SEED), records)
        write_institution(SimulationSettings(decisions=new_decisions, seed=_SEED + 1), fresh)
    setup = read_setup(shipped("configs") / "base.yaml")
    with reporter.stage("Checking records"):
        report, account = check_records(records, setup)
        write_bytes(home / "check.json", canonical_json(account))
    reporter.say(
        f"records: {'pass' if report.passed else 'FAIL'}, {sum(report.rows.values()):,} rows in "
        f"{sum(count > 0 for count in report.rows.values())} tables, {counted(len(report.findings), 'finding')}"
    )
    published = [{str(k): v for k, v in row.items()} for row in institution.comparison.to_dict("records")]
    trained = train(records, setup, home / "run", workspace, reporter, published)
    loaded = load_model("models:/mmrank@champion", workspace)
    batch = predict(fresh, loaded, home / "predictions", reporter)
    predictions = read_predictions(home / "predictions")
    chosen = telling_case(predictions)
    card = explain_case(fresh, loaded, chosen, home / "case.html", reporter)
    truth, given = read_table(fresh, "truth"), read_table(fresh, "decisions")[["decision_id", "modality"]]
    return Journey(home, trained, batch, card, true_regret(predictions, truth, given))


def telling_case(predictions: pd.DataFrame) -> str:
    """Return the first decision that shows most: a clear first choice, a tie, and one that waits for a fact."""
    by = predictions["decision_id"]
    is_ranked = predictions["rank"].notna()
    waits = (predictions["status"] == "indeterminate") & (predictions["missing_facts"].map(len) > 0)
    shown = (
        is_ranked.groupby(by).sum().clip(upper=2)
        + 2 * waits.groupby(by).any()
        + ((predictions["rank"] == 1) & (predictions["status"] == "ranked")).groupby(by).any()
        + (predictions["status"] == "blocked").groupby(by).any()
    )
    return str(shown.sort_index().idxmax())


def true_regret(predictions: pd.DataFrame, truth: pd.DataFrame, given: pd.DataFrame) -> dict[str, float]:
    """Return true regret per policy on simulated decisions: value lost against each person's best modality.

    The model chooses the largest suitability before guardrails, as the other policies know no rules.
    """
    kept = predictions.dropna(subset=["suitability"])
    best = truth.groupby("decision_id")["suitability"].max()
    value = truth.set_index(["decision_id", "modality"])["suitability"]
    first = kept.loc[kept.groupby("decision_id")["suitability"].idxmax(), ["decision_id", "modality"]]
    best = best.loc[first["decision_id"]]
    one = str(truth[truth["decision_id"].isin(best.index)].groupby("modality")["suitability"].mean().idxmax())
    own = given[given["decision_id"].isin(best.index)]

    def lost(chosen: pd.DataFrame) -> float:
        index = pd.MultiIndex.from_frame(chosen[["decision_id", "modality"]])
        return float(np.mean(best.loc[chosen["decision_id"]].to_numpy() - value.loc[index].to_numpy()))

    return {
        "model": lost(first),
        "one best modality": lost(first.assign(modality=one)),
        "clinicians": lost(own),
        "random": float(best.mean() - truth[truth["decision_id"].isin(best.index)]["suitability"].mean()),
    }
