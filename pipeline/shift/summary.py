"""What has changed since training, in numbered checks, one verdict, and what to do next?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.config import ShiftConfig
from pipeline.errors import counted
from pipeline.learners import SMALL_CELL
from pipeline.shift.differences import Difference, Now
from pipeline.shift.judging import judged, people_needed, together
from pipeline.shift.profile import Profile

FORMAT = 1
"""Of the document."""

_NAMED = 5
_TITLES = {
    "S01": ("Facts are spread as in training", "spread"),
    "S02": ("Facts are recorded as often as in training", "recorded"),
    "S03": ("What training always had is recorded", "unspoken"),
    "S04": ("No category is new", "unspoken"),
    "S05": ("The facts that matter most lie where training had them", "unspoken"),
    "S06": ("Modalities are within experience as often as in training", "unspoken"),
    "S07": ("The same modalities are given", "given"),
    "S08": ("As many have each outcome as was predicted", "calibration"),
    "S09": ("Predicted chances rise as outcomes do", "calibration"),
    "S10": ("The order is not worse than what was chosen", "value"),
}
_FAILED = {
    "S01": "facts are spread otherwise than in training",
    "S02": "facts are recorded more or less often",
    "S03": "facts that training always had are missing",
    "S04": "categories are new",
    "S05": "facts that matter most lie outside training's range",
    "S06": "more modalities are outside experience",
    "S07": "other modalities are given",
    "S08": "outcomes happen more or less often than was predicted",
    "S09": "outcomes do not rise with their predicted chances",
    "S10": "the order is worse than what was chosen",
}
_UNCLEAR = "too_little_data"
_LEADING = frozenset({"S01", "S02"})
_GONE = 0.9


@dataclass(frozen=True)
class Meaning:
    """What a feature means to a reader, and which table of the records it is read from; empty if it is computed."""

    words: str
    table: str


@dataclass(frozen=True)
class Verdict:
    """A difference with its result."""

    difference: Difference
    result: str


def summary(
    profile: Profile,
    now: Now,
    found: Sequence[Difference],
    config: ShiftConfig,
    meanings: Mapping[str, Meaning],
) -> dict[str, Any]:
    """Return what changed: aggregated values only, counts under eleven left out.

    Parameters
    ----------
    profile : Profile
    now : Now
    found : sequence of Difference
        All that the verdict rests on; each check belongs to one code.
    config : ShiftConfig
    meanings : mapping of feature to Meaning

    Returns
    -------
    dict
        `format, decisions, people, trained_on, false_alarm, tests, checks, verdict, next, features` and what the other
        checks rest on; docs/monitoring.md says what each is.
    """
    results = judged([one.test for one in found], config.false_alarm)
    verdicts = [Verdict(one, result) for one, result in zip(found, results, strict=True)]
    asked = sum(one.test.chance is not None for one in found)
    checks = [
        _check(code, [one for one in verdicts if one.difference.check == code], config, meanings)
        for code in _TITLES
        if any(one.check == code for one in found)
    ]
    document: dict[str, Any] = {
        "format": FORMAT,
        "decisions": _count(now.decisions),
        "people": _count(now.people),
        "trained_on": {"decisions": profile.decisions, "people": profile.people, "last_month": profile.last_month},
        "false_alarm": config.false_alarm,
        "tests": asked,
        "thresholds": config.model_dump(),
        "checks": checks,
        "verdict": _verdict(checks),
        "next": _next(verdicts, profile, config, asked, meanings),
        "features": _features(verdicts, config, config.false_alarm / max(asked, 1), meanings),
    }
    others = {"S03": "unspoken", "S04": "unspoken", "S05": "unspoken", "S06": "unspoken", "S07": "given"}
    for one in verdicts:
        if one.difference.check in others:
            told = {"name": one.difference.name, "result": one.result, **one.difference.told}
            document.setdefault(others[one.difference.check], []).append(told)
    return document


def _check(code: str, own: Sequence[Verdict], config: ShiftConfig, meanings: Mapping[str, Meaning]) -> dict[str, Any]:
    title, section = _TITLES[code]
    issues = [one for one in own if one.result == "issue"]
    untold = sum(one.result == "too_little_data" for one in own)
    result = together([one.result for one in own])
    value: float | str = len(issues)
    names = [_name(one.difference.name, meanings) for one in _worst(issues)]
    more = f" and {len(issues) - _NAMED} more" if len(issues) > _NAMED else ""
    detail = f"{'; '.join(names)}{more}. " if names else ""
    if code in ("S03", "S04", "S05", "S06"):
        value = share_words(own[0].difference.told["now"])
        detail = f"in training {share_words(own[0].difference.told['then'])}"
    elif code == "S07":
        value = "-" if own[0].difference.told["psi"] is None else f"PSI {own[0].difference.told['psi']:.2f}"
        detail = f"by chance about {own[0].difference.told['floor']:.2f}"
    elif code == "S10":
        told = own[0].difference.told
        value = "no value" if told["vetoed"] else round(float(told["difference"]), 4)
        detail = told["vetoed"] or f"paired difference, standard error {told['difference_se']:.4f}"
    else:
        detail += f"{len(own)} compared" + (f", of {untold} too little is known to tell" if untold else "")
    return {
        "code": code, "title": title, "result": result, "value": value,
        "threshold": _thresholds(config)[code], "detail": detail, "section": section,
    }  # fmt: skip


def _thresholds(config: ShiftConfig) -> dict[str, str]:
    further = f"within {100 * config.abstain_margin:g} points of training"
    return {
        "S01": f"every PSI under {config.psi_issue:g}, or within chance",
        "S02": f"every share missing within {100 * config.missing_margin:g} points of training, or within chance",
        **dict.fromkeys(("S03", "S04", "S05", "S06"), further),
        "S07": f"PSI under {config.psi_issue:g}, or within chance",
        "S08": f"none clearly off by more than {100 * config.calibration_margin:g} points",
        "S09": f"no slope clearly under {config.slope_low:g}",
        "S10": "not clearly below 0",
    }


def share_words(bounds: Mapping[str, float | None]) -> str:
    """Return a share that may be told, or its bound, in words."""
    low, high = bounds["low"], bounds["high"]
    if low is None or high is None:
        return "too few to tell"
    if low == high:
        return f"{100 * low:.0f} %"
    return f"under {100 * high:.0f} %" if low == 0 else f"over {100 * low:.0f} %"


def _name(name: str, meanings: Mapping[str, Meaning]) -> str:
    return meanings[name].words.split(";")[0] if name in meanings else name


def _worst(found: Sequence[Verdict]) -> list[Verdict]:
    """Return the clearest few."""
    order = sorted(
        range(len(found)), key=lambda k: (-(found[k].difference.told.get("psi") or 0.0), _chance(found[k]), k)
    )
    return [found[k] for k in order[:_NAMED]]


def _chance(one: Verdict) -> float:
    return 1.0 if one.difference.test.chance is None else one.difference.test.chance


def _count(count: int) -> int | None:
    return None if 0 < count < SMALL_CELL else count


def _verdict(checks: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return `changed` on any issue, `unclear` where facts or half of the checks cannot be told, else `as_trained`."""
    by_result = {name: [check for check in checks if check["result"] == name] for name in ("issue", "too_little_data")}
    if by_result["issue"]:
        told = "; ".join(f"{_FAILED[check['code']]} ({check['code']})" for check in by_result["issue"])
        return {"result": "changed", "words": f"Changed since training: {told}. Look before relying on the order."}
    codes = ", ".join(check["code"] for check in by_result["too_little_data"])
    untold = {check["code"] for check in by_result["too_little_data"]}
    if untold & _LEADING or 2 * len(untold) >= len(checks):
        words = f"No change since training was found, but too little is known to tell for {codes}."
        return {"result": "unclear", "words": words}
    limits = f" Too little is known to tell for {codes}." if codes else ""
    return {"result": "as_trained", "words": f"No check found a change since training.{limits}"}


def _features(
    found: Sequence[Verdict], config: ShiftConfig, level: float, meanings: Mapping[str, Meaning]
) -> list[dict[str, Any]]:
    """Return each feature with its spread and missing share, the most changed first."""
    missing = {one.difference.name: one for one in found if one.difference.check == "S02"}
    rows = []
    for one in found:
        if one.difference.check != "S01":
            continue
        name, told = one.difference.name, one.difference.told
        gap = missing.get(name)
        own = one.result
        is_watched = own != "issue" and (told["psi"] or 0.0) >= config.psi_watch and _chance(one) <= level
        rows.append(
            {
                "feature": name,
                "meaning": _name(name, meanings),
                "spread": "watch" if is_watched else own,
                **told,
                "missing": None if gap is None else {"result": gap.result, **gap.difference.told},
            }
        )
    rank = {"issue": 0, "watch": 1}
    rows.sort(key=lambda row: (rank.get(row["spread"], 2), -(row["psi"] or 0.0), row["feature"]))
    return rows


def _next(
    found: Sequence[Verdict], profile: Profile, config: ShiftConfig, asked: int, meanings: Mapping[str, Meaning]
) -> list[str]:
    """Return what to do, the most useful first."""
    issues = [one for one in found if one.result == "issue"]
    codes = {one.difference.check for one in issues}
    steps = _about_gaps([one for one in issues if one.difference.check == "S02"], meanings)
    drifted = [one for one in issues if one.difference.check == "S01"]
    if drifted:
        names = ", ".join(_name(one.difference.name, meanings) for one in _worst(drifted))
        steps.append(
            f"Look at these facts: {names}. Ask first whether a unit, an assay or a code changed in the extract; if "
            "the people have changed, train again as soon as enough of them have been followed."
        )
    if "S04" in codes:
        steps.append(
            "A category is new to the model: map it in the source file, or train again with people who have it."
        )
    if codes & {"S03", "S05", "S06"}:
        steps.append("More decisions than in training have no rank; each row says why (abstain_reason).")
    if "S07" in codes:
        steps.append(
            "What is given has changed, so support and weights are those of an older practice: train again on records "
            "that hold the new one."
        )
    if codes & {"S08", "S09"}:
        names = ", ".join(one.difference.name for one in issues if one.difference.check in ("S08", "S09"))
        steps.append(f"Do not show predicted chances of {names} as they are: train again, and review before promoting.")
    if "S10" in codes:
        steps.append(
            "Do not follow its order: what was chosen did better. Train again and compare: mmrank review --against."
        )
    if any(together([one.result for one in found if one.difference.check == code]) == _UNCLEAR for code in _LEADING):
        steps.append(_wait(profile, config, asked))
    return steps or ["Nothing to do now; look again after the next few hundred decisions."]


def _about_gaps(gaps: Sequence[Verdict], meanings: Mapping[str, Meaning]) -> list[str]:
    """Return what facts that are missing otherwise than in training ask for, by table of the records."""
    if not gaps:
        return []
    gone = [one for one in gaps if (one.difference.told["now"]["low"] or 0.0) >= _GONE]
    # What is computed from facts that are gone is gone with them, and would only repeat it.
    read = [one for one in gone if meanings[one.difference.name].table]
    gaps = [one for one in gaps if one not in gone]
    steps = []
    for table, count in Counter(meanings[one.difference.name].table for one in read).most_common():
        names = [_name(one.difference.name, meanings) for one in read if meanings[one.difference.name].table == table]
        more = f" and {count - _NAMED} more" if count > _NAMED else ""
        steps.append(
            f"Next to nothing is known of {_facts(count)} read from {table}: {', '.join(names[:_NAMED])}{more}. Was "
            "the table or a code left out, or are values set aside for their unit or range? `mmrank check` counts "
            "those. Mend the extract and score again."
        )
    computed = [] if read else gone
    if gaps or computed:
        listed = ", ".join(_name(one.difference.name, meanings) for one in _worst([*computed, *gaps]))
        steps.append(
            f"Ask why these are recorded more or less often than in training: {listed}. If it is how care is now "
            "documented, train again."
        )
    return steps


def _facts(count: int) -> str:
    return "one fact" if count == 1 else counted(count, "fact")


def _wait(profile: Profile, config: ShiftConfig, asked: int) -> str:
    needed = people_needed(config.psi_issue, config.bins, profile.people, config.false_alarm / max(asked, 1))
    if needed == float("inf"):
        return "Training had too few people for any later batch to tell a PSI at the threshold: train on more."
    return f"Too few people to tell small changes: about {round(needed, -1):.0f} are needed. Large ones would show."
