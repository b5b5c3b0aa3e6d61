"""How does a finished run get into MLflow, with what can be sorted and what can be looked at?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.review import review_figures, review_tables
from pipeline.runs.model_dir import EVALUATION, Loaded, speaking_model
from pipeline.runs.serving import flavour_of
from pipeline.runs.setup import Setup
from pipeline.store import canonical_json, nominate, read_model, record_run, register, sha256

EXPERIMENT = "mmrank"


@dataclass(frozen=True)
class Registered:
    """Where a run went.

    Attributes
    ----------
    version : str
        Of `mmrank` in the registry.
    is_champion : bool
        Whether it became the champion: no check says stop, and nobody has signed the champion off.
    """

    version: str
    is_champion: bool


def register_run(
    loaded: Loaded,
    workspace: Path,
    evaluation: Mapping[str, Any],
    pages: Mapping[str, str],
) -> Registered:
    """Record a run, register its model, load it back, and make it champion if it may be.

    Parameters
    ----------
    loaded : Loaded
        From `model/` of the run directory.
    workspace : path
    evaluation : mapping
        As written to evaluation.json: aggregated, no row of a patient or decision.
    pages : mapping of file name to text
        Logged as they are, beside the figures and tables of the review page, in which small counts are masked.

    Returns
    -------
    Registered

    Raises
    ------
    DamagedModelError
        If the registered files do not predict what they did.
    """
    tables = {f"tables/{name}": text for name, text in review_tables(evaluation).items()}
    run_id = record_run(
        workspace,
        experiment=EXPERIMENT,
        run_name=loaded.directory.parent.name,
        parameters=_parameters(loaded.setup, evaluation),
        metrics=run_metrics(evaluation),
        model_directory=loaded.directory,
        figures=review_figures(evaluation),
        documents={EVALUATION: canonical_json(dict(evaluation)).decode(), **pages, **tables},
        tags={f"mmrank.{key}": value for key, value in _facts(evaluation).items()},
        flavour=flavour_of(loaded),
    )
    facts = _facts(evaluation) | {"evaluation": evaluation_digest(evaluation)}
    version = register(workspace, run_id, facts=facts)
    if evaluation["verdict"]["result"] == "stop":
        return Registered(version, is_champion=False)
    return Registered(version, nominate(workspace, version, predicts_as_saved))


def predicts_as_saved(directory: Path) -> None:
    """Load registered files back; raises unless the canary rows predict what they did.

    Raises
    ------
    DamagedModelError
        If they do not.
    """
    speaking_model(directory, read_model(directory))


def evaluation_digest(evaluation: Mapping[str, Any]) -> str:
    """Return the SHA-256 of an evaluation as it is written; kept with the version it belongs to."""
    return sha256(canonical_json(dict(evaluation)))


def gates_of(evaluation: Mapping[str, Any]) -> dict[str, bool]:
    """Return which gates an evaluation passes, by name.

    Gates are `verdict` (no check says stop), `student` (the students follow the committee) and `leaks` (no feature
    gives the modality away). Loading back is the fourth; it is tried whenever a version is to become champion.
    """
    return {
        "verdict": evaluation["verdict"]["result"] != "stop",
        "student": bool(evaluation["learner"]["student"]["passed"]),
        "leaks": not evaluation["leak_audit"]["stopped"],
    }


def run_metrics(evaluation: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the numbers that runs are sorted by; None where one was not estimated.

    Names are stable and listed in docs/registry.md. Where there is one number per outcome and modality, the worst is
    told as well as the mean, since a mean hides the modality that fails.
    """
    model = next(row for row in evaluation["league"] if row["policy"] == "model")
    learner, overlap = evaluation["learner"], evaluation["overlap"]["arms"]
    results = [check["result"] for check in evaluation["checks"]]
    gates = gates_of(evaluation)
    metrics: dict[str, float | None] = {
        "policy_value": model["value"],
        "policy_value_se": model["se"],
        "difference_from_clinicians": model["difference"],
        "difference_from_clinicians_se": model["difference_se"],
        "difference_from_one_best_modality": model["ahead_of_best_arm"],
        "true_regret": model["true_regret"],
        "shrinkage": learner["shrinkage"],
        "student_top_choice_agreement": learner["student"]["top_choice_agreement"],
        "student_rms_distance": learner["student"]["rms_distance"],
        "interval_true_coverage": evaluation["intervals"].get("true_coverage"),
        "smallest_effective_sample": _least([row["effective_sample_size"] for row in overlap]),
        "modalities_ranked": float(sum(row["ranked"] for row in evaluation["cohort"]["modalities"])),
        "issues": float(results.count("issue")),
        "checks_passed": float(results.count("pass")),
        "checks_with_too_little_data": float(results.count("too_little_data")),
        "gates_passed": float(all(gates.values())),
    }
    metrics |= {f"gate_{name}": float(passed) for name, passed in gates.items()}
    metrics |= {f"c_index_{row['outcome']}": row["model"] for row in evaluation["discrimination"]}
    return metrics | _calibration(evaluation)


def _calibration(evaluation: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the calibration slope per outcome (mean over modalities), and the one furthest from 1."""
    slopes = pd.DataFrame(evaluation["calibration"], columns=["outcome", "slope"]).dropna()
    means = slopes.groupby("outcome")["slope"].mean()
    found: dict[str, float | None] = {f"calibration_slope_{name}": float(value) for name, value in means.items()}
    distances = [abs(float(slope) - 1) for slope in slopes["slope"]]
    return found | {"calibration_slope_worst_distance": max(distances) if distances else None}


def _least(values: list[float]) -> float | None:
    return min(values) if values else None


def _facts(evaluation: Mapping[str, Any]) -> dict[str, str]:
    """Return what `mmrank models` and MLflow list of a version."""
    gates = gates_of(evaluation)
    return {
        "title": evaluation["title"],
        "created": evaluation["created"],
        "simulated": str(evaluation["simulated"]).lower(),
        "model_version": evaluation["model_version"],
        "verdict": evaluation["verdict"]["result"],
        "issues": str(sum(check["result"] == "issue" for check in evaluation["checks"])),
        **{f"gate.{name}": "pass" if passed else "fail" for name, passed in gates.items()},
    }


def _parameters(setup: Setup, evaluation: Mapping[str, Any]) -> dict[str, object]:
    settings = setup.config.settings
    return {
        "title": evaluation["title"],
        "decisions": evaluation["cohort"]["decisions"],
        "modalities": ", ".join(setup.config.modality_ids),
        "records_digest": evaluation["records_digest"],
        "ruleset_version": evaluation["ruleset_version"],
        "refractory_definition": settings.refractory_definition,
        "model_version": evaluation["model_version"],
        "seed": evaluation["seed"],
        **{f"weights.{name}": value for name, value in evaluation["weights"].items()},
        **{f"learner.{name}": value for name, value in settings.learner.model_dump().items()},
    }
