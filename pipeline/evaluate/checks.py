"""May this model go forward? Numbered checks, then one verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.config import GateConfig
from pipeline.errors import counted
from pipeline.evaluate.stability import FEWEST_CLEAR, LEAST_CLEAR_KEPT
from pipeline.learners import SMALL_CELL
from pipeline.learners.policy_value import LARGEST_WEIGHT, MASS, SMALLEST_SAMPLE

_SLOPE = (0.5, 1.5)
_MOST_CLIPPED = 0.01
_MOST_LOST = 0.5
_CHANCE_OF_NONE = 0.05
_SECTIONS = {
    **dict.fromkeys(("C03", "C04", "C05", "C12"), "overlap"),
    **dict.fromkeys(("C06", "C10", "C11", "C13"), "league"),
    **dict.fromkeys(("C07", "C08"), "learner"),
    **dict.fromkeys(("C16", "C17"), "controls"),
    **dict.fromkeys(("C18", "C19"), "subgroups"),
    "C01": "arms",
    "C02": "leaks",
    "C09": "calibration",
    "C14": "balance",
    "C15": "temporal",
    "C20": "shap",
    "C21": "stability",
    "C22": "arms",
    "C23": "lost-early",
}
"""The section of the review page that each check comes from."""


def _check(code: str, title: str, result: str, value: Any, threshold: str, detail: str) -> dict[str, Any]:
    return {
        "code": code,
        "title": title,
        "result": result,
        "value": value,
        "threshold": threshold,
        "detail": detail,
        "section": _SECTIONS[code],
    }


def _masked(count: int) -> int | str:
    """Return a count of people as pages may show it."""
    return f"<{SMALL_CELL}" if 0 < count < SMALL_CELL else count


def _passed(condition: bool) -> str:
    return "pass" if condition else "issue"


def _not_worse(code: str, title: str, ahead: float | None, error: float | None, detail: str) -> dict[str, Any]:
    """Return whether a paired difference is not below 0 by two standard errors; none, no answer."""
    threshold = "not below 0 by two standard errors"
    if ahead is None or error is None:
        return _check(code, title, "too_little_data", None, threshold, "no value: see C12")
    return _check(code, title, _passed(ahead >= -2 * error), round(ahead, 4), threshold, f"{detail}, SE {error:.4f}")


def checks(evaluation: Mapping[str, Any], gates: GateConfig) -> list[dict[str, Any]]:
    """Return the numbered checks of an evaluation (without its `checks` and `verdict`).

    Parameters
    ----------
    evaluation : mapping
        As written to evaluation.json.
    gates : GateConfig
    """
    cohort, overlap = evaluation["cohort"], evaluation["overlap"]["arms"]
    league = {row["policy"]: row for row in evaluation["league"]}
    ranked = [row["modality"] for row in cohort["modalities"] if row["ranked"]]
    student, learner = evaluation["learner"]["student"], evaluation["learner"]
    audit = evaluation["leak_audit"]
    smallest = min(row["effective_sample_size"] for row in overlap)
    largest = max(row["largest_weight_share"] for row in overlap)
    clipped, given = sum(row["clipped"] for row in overlap), sum(row["n"] for row in overlap)
    slopes = [row["slope"] for row in evaluation["calibration"] if row["slope"] is not None]
    off = [slope for slope in slopes if not _SLOPE[0] <= slope <= _SLOPE[1]]
    model, mass = league["model"], league["model"]["mass"]
    return [
        _check("C01", "Modalities with enough cases", _passed(len(ranked) == len(cohort["modalities"])),
               f"{len(ranked)} of {len(cohort['modalities'])}", "all declared", "; ".join(
                   f"{row['label']}: {row['reason']}" for row in cohort["modalities"] if not row["ranked"])
               or "every declared modality is ranked"),
        _check("C02", "No single feature tells the modality given", _passed(not audit["reported"]),
               len(audit["reported"]), f"AUC at most {gates.leak_auc_report}",
               f"{audit['features_checked']} features checked"),
        _check("C03", "Effective sample size per modality", _passed(smallest >= SMALLEST_SAMPLE), round(smallest, 1),
               f"at least {SMALLEST_SAMPLE:.0f}", "after inverse propensity weighting"),
        _check("C04", "Largest single weight", _passed(largest <= LARGEST_WEIGHT), round(largest, 4),
               f"at most {LARGEST_WEIGHT}", "share of its modality's total"),
        _check("C05", "Propensities clipped", _passed(clipped <= _MOST_CLIPPED * given), _masked(clipped),
               f"at most {100 * _MOST_CLIPPED:.0f} %", "rows whose given modality had a propensity below the floor"),
        _check("C06", "Policy weights add up", _passed(MASS[0] <= mass <= MASS[1]), round(mass, 3),
               f"{MASS[0]} to {MASS[1]}", "mean of 1(given = first choice) / propensity"),
        _check("C07", "Students follow the committee", _passed(student["passed"]), round(student["rms_distance"], 4),
               f"at most {gates.student_distance} of {student['median_half_width']:.4f}",
               f"same first choice for {100 * student['top_choice_agreement']:.0f} %"),
        _check("C08", "Individual differences supported", _passed(learner["shrinkage"] > 0),
               round(learner["shrinkage"], 3), "above 0", learner["words"]),
        _check("C09", "Calibration slopes", "too_little_data" if not slopes else _passed(not off),
               f"{len(slopes) - len(off)} of {len(slopes)}", f"each within {_SLOPE[0]} to {_SLOPE[1]}",
               "out of fold, weighted against censoring"),
        _not_worse("C10", "Not worse than clinicians' choices", model["difference"], model["difference_se"],
                   f"paired difference; clinicians {league['clinicians']['value']:.4f}"),
        _not_worse("C11", "Not worse than one best modality", model["ahead_of_best_arm"],
                   model["ahead_of_best_arm_se"], "paired difference of model and best arm"),
        _check("C12", "What the model chooses has support", _passed(model["vetoed"] is None),
               "no value" if model["vetoed"] else "valued", "enough people were given what it chooses",
               model["vetoed"] or "effective samples, weights and propensities of the choices are large enough"),
        _check("C13", "Two estimators of its value agree", "too_little_data" if model["vetoed"] else
               _passed(not model["disagree"]), None if model["snipw"] is None else round(model["snipw"], 4),
               "within two standard errors, and weights add up",
               "self-normalised weighting beside the value in the league table"),
        *_challenges(evaluation),
        *_in_groups(evaluation["subgroups"]),
        *_of_reasons(evaluation),
        followed(cohort["modalities"], {row["outcome"]: row["label"] for row in evaluation["estimands"]}),
        lost_early_check(evaluation["lost_early"]),
    ]  # fmt: skip


def followed(modalities: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> dict[str, Any]:
    """Return the check that every outcome was watched for in every ranked modality: silence about harm is no safety.

    Parameters
    ----------
    modalities : sequence of mapping
        `cohort.modalities` of an evaluation.
    labels : mapping of outcome to how it is called

    Notes
    -----
    Where the other modalities have r events per decision, n decisions have none with chance (1 - r)^n (binomial);
    below 5 % that is an issue. Over half lost before the horizon is one too, as for the outcome that gates ranking.
    """
    found, judged = [], 0
    for row in (row for row in modalities if row["ranked"]):
        others = [other for other in modalities if other is not row]
        decisions = sum(other["decisions"] for other in others)
        for outcome, events in row["events"].items():
            judged += 1
            named, lost = f"{row['label']}: {labels.get(outcome, outcome)}", row["censored_before_horizon"].get(outcome)
            rate = sum(other["events"].get(outcome, 0) for other in others) / max(decisions, 1)
            if lost is not None and lost > _MOST_LOST:
                found.append(f"{named}, {100 * lost:.0f} % lost before the horizon")
            elif events == 0 and (1 - rate) ** row["decisions"] < _CHANCE_OF_NONE:
                found.append(f"{named}, nobody had it, which chance hardly explains")
    return _check("C22", "Every outcome was followed in every ranked modality",
                  _passed(not found) if judged else "too_little_data", len(found),
                  f"at most {100 * _MOST_LOST:.0f} % lost before the horizon; events where others have them",
                  "; ".join(found) or f"{judged} outcomes of ranked modalities")  # fmt: skip


def lost_early_check(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the check that comparisons hold whichever way people lost to follow-up are counted.

    Parameters
    ----------
    found : mapping
        `lost_early` of an evaluation.
    """
    moved = sum(row["clear"] for row in found["pairs"])
    return _check("C23", "Comparisons hold whichever way the lost are counted",
                  _passed(not moved) if found["pairs"] else "too_little_data", moved,
                  f"none clearly moves by more than {found['tolerance']:g}", found["words"])  # fmt: skip


def _challenges(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the checks of balance, later decisions, the negative control and shuffled outcomes."""
    balance, control = evaluation["balance"], evaluation["negative_control"]
    later, shuffled = evaluation["temporal"], evaluation["shuffled"]
    compared = [pair for pair in balance["pairs"] if pair["terms"]]
    clear = sum(pair["clear_over"] for pair in compared)
    # Where even perfect balance would often exceed the threshold, staying under it cannot be shown.
    is_vague = any(pair["standard_error"] > balance["threshold"] for pair in compared)
    balanced = "issue" if clear else "too_little_data" if is_vague or not compared else "pass"
    model = next((row for row in later.get("policies", ()) if row["policy"] == "model"), None)
    decided = "not_applicable" if model is None else "too_little_data"
    if model is not None and model["value"] is not None:
        decided = _passed(model["difference"] >= -2 * model["difference_se"])
    z, gain = control["largest_z"], shuffled.get("gain")
    return [
        _check("C14", "Modalities are balanced after weighting", balanced, clear,
               f"standardised difference at most {balance['threshold']}, beyond chance", balance["words"]),
        _check("C15", "Not worse than clinicians on later decisions", decided,
               None if model is None or model["value"] is None else round(model["difference"], 4),
               "not below 0 by two standard errors", later.get("words", "")),
        _check("C16", "Nothing is found before the decision", "not_applicable" if z is None else
               _passed(z <= control["threshold"]), None if z is None else round(z, 2),
               "" if z is None else f"largest z at most {control['threshold']:.2f}", control["words"]),
        _check("C17", "Nothing is gained from shuffled outcomes", "not_applicable" if gain is None else
               _passed(abs(gain) <= 2 * shuffled["se"]), None if gain is None else round(gain, 4),
               "0 within two standard errors", shuffled.get("words", "switched off in the configuration")),
    ]  # fmt: skip


def _in_groups(subgroups: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the checks that no group of people is clearly miscalibrated, or clearly worse off."""
    rows, margin = subgroups["groups"], subgroups["margin"]
    found = []
    for code, title, key, mark, threshold in (
        ("C18", "Calibrated in every group of people", "in_the_large", "off", f"none clearly beyond {margin:g}"),
        ("C19", "No group of people is worse off", "difference", "worse", "none clearly below 0"),
    ):
        judged = [row for row in rows if row[key] is not None]
        clear = [f"{row['subgroup']}: {row['level']}" for row in judged if row[mark]]
        detail = f"{len(judged)} of {len(rows)} groups have an estimate"
        if mark == "off":
            vague = sum(row[f"{key}_low"] < -margin or row[f"{key}_high"] > margin for row in judged)
            detail += f", {vague} of them with an interval that reaches beyond {margin:g}"
        detail = f"{'; '.join(clear)}. {detail}" if clear else detail
        result = "too_little_data" if not judged else _passed(not clear)
        found.append(_check(code, title, result, len(clear), threshold, detail))
    return found


def _of_reasons(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the checks of explanations and of first choices when learned again."""
    shap, steady = evaluation["shap_check"], evaluation["stability"]
    largest, kept, limit = shap["largest_difference"], steady["least_clear_kept"], LEAST_CLEAR_KEPT
    judged = "not_applicable" if kept is None else "too_little_data"
    if kept is not None and steady["clear"] >= FEWEST_CLEAR:
        judged = _passed(kept >= limit)
    return [
        _check("C20", "Explanations are what another TreeSHAP gives",
               "not_applicable" if largest is None else _passed(largest <= shap["tolerance"]),
               None if largest is None else f"{largest:.1e}", f"at most {shap['tolerance']:.0e}", shap["words"]),
        _check("C21", "Clear first choices stay when learned again", judged,
               None if kept is None else f"{100 * kept:.1f} %", f"at least {100 * limit:.0f} % of them",
               "; ".join([steady["words"], *steady["not_done"]])),
    ]  # fmt: skip


def verdict(found: list[dict[str, Any]]) -> dict[str, str]:
    """Return `stop` if students fail or the model is worse than people, `review` on any issue, else `go`."""
    issues = [check for check in found if check["result"] == "issue"]
    grave = [check["code"] for check in issues if check["code"] in {"C07", "C10"}]
    if grave:
        return {"result": "stop", "words": f"Do not go forward: {', '.join(grave)} failed."}
    if issues:
        codes = ", ".join(check["code"] for check in issues)
        return {"result": "review", "words": f"Look before going forward: {counted(len(issues), 'issue')} ({codes})."}
    return {"result": "go", "words": "No check found an issue. A person still has to look and sign."}
