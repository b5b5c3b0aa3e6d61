"""May this model go forward? Numbered checks, then one verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.config import GateConfig
from pipeline.learners import SMALL_CELL

_SMALLEST_ESS = 30.0
_LARGEST_WEIGHT = 0.05
_MASS = (0.9, 1.1)
_SLOPE = (0.5, 1.5)


def _check(code: str, title: str, result: str, value: Any, threshold: str, detail: str) -> dict[str, Any]:
    return {
        "code": code,
        "title": title,
        "result": result,
        "value": value,
        "threshold": threshold,
        "detail": detail,
    }


def _masked(count: int) -> int | str:
    """Return a count of people as pages may show it."""
    return f"<{SMALL_CELL}" if 0 < count < SMALL_CELL else count


def _passed(condition: bool) -> str:
    return "pass" if condition else "issue"


def checks(evaluation: Mapping[str, Any], mass: float, gates: GateConfig) -> list[dict[str, Any]]:
    """Return the numbered checks of an evaluation (without its `checks` and `verdict`).

    Parameters
    ----------
    evaluation : mapping
        As written to evaluation.json.
    mass : float
        Mean of 1(A = policy) / e of the model's policy.
    gates : GateConfig
    """
    cohort, overlap = evaluation["cohort"], evaluation["overlap"]["arms"]
    league = {row["policy"]: row for row in evaluation["league"]}
    ranked = [row["modality"] for row in cohort["modalities"] if row["ranked"]]
    student, learner = evaluation["learner"]["student"], evaluation["learner"]
    audit = evaluation["leak_audit"]
    smallest = min(row["effective_sample_size"] for row in overlap)
    largest = max(row["largest_weight_share"] for row in overlap)
    clipped = sum(row["clipped"] for row in overlap)
    slopes = [row["slope"] for row in evaluation["calibration"] if row["slope"] is not None]
    off = [slope for slope in slopes if not _SLOPE[0] <= slope <= _SLOPE[1]]
    model, own = league["model"], league["clinicians"]
    ahead, ahead_error = model["ahead_of_best_arm"], model["ahead_of_best_arm_se"]
    return [
        _check("C01", "Modalities with enough cases", _passed(len(ranked) == len(cohort["modalities"])),
               f"{len(ranked)} of {len(cohort['modalities'])}", "all declared", "; ".join(
                   f"{row['label']}: {row['reason']}" for row in cohort["modalities"] if not row["ranked"])
               or "every declared modality is ranked"),
        _check("C02", "No single feature tells the modality given", _passed(not audit["reported"]),
               len(audit["reported"]), f"AUC at most {gates.leak_auc_report}",
               f"{audit['features_checked']} features checked"),
        _check("C03", "Effective sample size per modality", _passed(smallest >= _SMALLEST_ESS), round(smallest, 1),
               f"at least {_SMALLEST_ESS:.0f}", "after inverse propensity weighting"),
        _check("C04", "Largest single weight", _passed(largest <= _LARGEST_WEIGHT), round(largest, 4),
               f"at most {_LARGEST_WEIGHT}", "share of its modality's total"),
        _check("C05", "Propensities clipped", _passed(clipped == 0), _masked(clipped), "0", "rows below the floor"),
        _check("C06", "Policy weights add up", _passed(_MASS[0] <= mass <= _MASS[1]), round(mass, 3),
               f"{_MASS[0]} to {_MASS[1]}", "mean of 1(given = first choice) / propensity"),
        _check("C07", "Students follow the committee", _passed(student["passed"]), round(student["rms_distance"], 4),
               f"at most {gates.student_distance} of {student['median_half_width']:.4f}",
               f"same first choice for {100 * student['top_choice_agreement']:.0f} %"),
        _check("C08", "Individual differences supported", _passed(learner["shrinkage"] > 0),
               round(learner["shrinkage"], 3), "above 0", learner["words"]),
        _check("C09", "Calibration slopes", "too_little_data" if not slopes else _passed(not off),
               f"{len(slopes) - len(off)} of {len(slopes)}", f"each within {_SLOPE[0]} to {_SLOPE[1]}",
               "out of fold, weighted against censoring"),
        _check("C10", "Not worse than clinicians' choices", _passed(model["difference"] >= -2 * model["difference_se"]),
               round(model["difference"], 4), "not below 0 by two standard errors",
               f"paired difference, standard error {model['difference_se']:.4f}; clinicians {own['value']:.4f}"),
        _check("C11", "Not worse than one best modality", _passed(ahead >= -2 * ahead_error),
               round(ahead, 4), "not below 0 by two standard errors", "value of model less value of best arm"),
    ]  # fmt: skip


def verdict(found: list[dict[str, Any]]) -> dict[str, str]:
    """Return `stop` if students fail or the model is worse than people, `review` on any issue, else `go`."""
    issues = [check for check in found if check["result"] == "issue"]
    grave = [check["code"] for check in issues if check["code"] in {"C07", "C10"}]
    if grave:
        return {"result": "stop", "words": f"Do not go forward: {', '.join(grave)} failed."}
    if issues:
        codes = ", ".join(check["code"] for check in issues)
        return {"result": "review", "words": f"Look before going forward: {len(issues)} issue(s) ({codes})."}
    return {"result": "go", "words": "No check found an issue. A person still has to look and sign."}
