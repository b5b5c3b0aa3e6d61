"""In which words do we tell a status, a verdict, a check and an outcome?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.review.numerals import listed, ordinal
from pipeline.review.small_cells import masked_line

NOT_AVAILABLE = "not available in this run"
DECISION_SUPPORT = (
    "Decision support, not a prescription. The order is an estimate from past records, for review by the treating "
    "team; it does not replace clinical judgement, the label or the patient's own wishes."
)
SIMULATED = "Simulated data. Nothing on this page describes a real person or a real institution."


@dataclass(frozen=True)
class Badge:
    """A short word with a sign and a tone; the word alone carries the meaning.

    Attributes
    ----------
    tone : str
        Name of a style; one of a fixed set, never taken from data.
    sign : str
        One character shown before the word.
    word : str
    meaning : str
        One sentence for the reader who asks.
    """

    tone: str
    sign: str
    word: str
    meaning: str


VERDICT_BADGES: Mapping[str, Badge] = {
    "clear": Badge("clear", "✓", "clear", "Every active rule that covers it was checked and none objects."),
    "not_assessed": Badge("plain", "–", "not assessed", "No active rule covers it; this is not the same as clear."),
    "caution": Badge("caution", "!", "caution", "A rule asks for care; it may be given."),
    "action_required": Badge("action", "→", "action required", "A rule asks for something to be done first."),
    "indeterminate": Badge("unknown", "?", "undecided", "A rule that could block it needs a fact that is missing."),
    "blocked": Badge("blocked", "✕", "blocked", "A rule forbids it for this patient."),
}
STATUS_BADGES: Mapping[str, Badge] = {
    "ranked": Badge("clear", "✓", "ranked", "It has a place of its own in the order."),
    "tied": Badge("caution", "=", "tied", "Another modality shares its rank; the records cannot tell them apart."),
    "abstained": Badge("unknown", "?", "no rank given", "The model has no sound basis for this patient."),
    "too_few_cases": Badge("plain", "–", "too few cases", "Too few past cases or events to estimate anything."),
    "indeterminate": Badge("unknown", "?", "undecided", "A rule that could block it needs a fact that is missing."),
    "blocked": Badge("blocked", "✕", "blocked", "A rule forbids it for this patient."),
    "unavailable": Badge("plain", "–", "unavailable", "It could not be offered at the time of the decision."),
}
CHECK_BADGES: Mapping[str, Badge] = {
    "pass": Badge("clear", "✓", "pass", "The number is on the right side of its threshold."),
    "issue": Badge("blocked", "!", "issue", "The number is on the wrong side of its threshold."),
    "not_applicable": Badge("plain", "–", "not applicable", "This check makes no sense for this run."),
    "too_little_data": Badge("unknown", "?", "too little data", "The run has too few cases to judge."),
}
REVIEW_VERDICTS: Mapping[str, Badge] = {
    "go": Badge("clear", "✓", "Fit to go forward", "All gates passed."),
    "review": Badge(
        "caution", "!", "Needs a reviewer's judgement", "Some checks raise issues that a person must weigh."
    ),
    "stop": Badge("blocked", "✕", "Stop: not fit to go forward", "At least one gate failed."),
}
ABSTAIN_REASONS: Mapping[str, str] = {
    "outside_experience": "too few similar patients here were given it",
    "unexpected_missing": "a fact is missing that was always known in training",
    "unseen_category": "a recorded category was never seen in training",
    "shifted": "an important value lies beyond nearly all those seen in training",
    "follow_up": "over half of its cases were followed up too briefly",
    "too_few_cases": "too few past cases",
    "too_few_events": "too few past events",
}
OUTCOME_LABELS: Mapping[str, str] = {
    "durable_control": "Durable control",
    "treatment_free": "Time off treatment",
    "severe_toxicity": "Severe toxicity",
    "early_death": "Early death",
    "burden": "Logistic burden",
}
DERIVED_ITEMS: Mapping[str, str] = {
    "burden": "Logistic burden of the schedule",
    "all_other": "All other facts together",
    "average_difference": "Average difference between the two",
    "distance_km": "Distance to the centre",
}


UNITS: Mapping[str, str] = {
    **dict.fromkeys(("group", "score", "stage", "grade", "ratio", "log2", "0 PD to 6 sCR"), ""),
    "10^9/L": "10⁹/L",
    "mL/min/1.73m2": "mL/min/1.73 m²",
    "kg/m2": "kg/m²",
    "cm2": "cm²",
    "count": "times",
    **{f"{unit} per 30 d": f"{unit} per 30 days" for unit in ("g/dL", "mg/dL")},
    "10^9/L per 30 d": "10⁹/L per 30 days",
}
"""Units as a clinician writes them, where the records write them otherwise; some read better as no unit."""


def measured(number: str, unit: str) -> str:
    """Return a number with its unit as a clinician writes it: `180 10⁹/L`, `1 line`, `2`."""
    shown = UNITS.get(unit, unit)
    if number == "1" and shown.isalpha():
        shown = shown.removesuffix("s")
    return f"{number} {shown}".strip()


def set_aside_badge(verdict: str) -> Badge:
    """Return the badge of a rule that a clinician set aside, whatever it says."""
    said = verdict_badge(verdict).word
    return Badge("plain", "○", "set aside", f"The rule says {said}; a clinician set it aside for this decision.")


def drafts_not_run(number: int) -> str:
    """Return how many draft rules were not run, in words; empty for none."""
    return "" if not number else f"{number} draft {'rule was' if number == 1 else 'rules were'} not run"


def assessed_badge(verdict: str, drafts: int) -> Badge:
    """Return the badge of a verdict; where nothing was assessed it says how many draft rules were not run."""
    found = verdict_badge(verdict)
    if verdict != "not_assessed" or not drafts:
        return found
    return Badge(found.tone, found.sign, f"{found.word}: {drafts_not_run(drafts)}", found.meaning)


def unknown_word(word: str) -> Badge:
    """Return a badge for a word this version does not know; the word itself is shown."""
    return Badge("plain", "–", word.replace("_", " ") or "not stated", "This version of the page has no words for it.")


def verdict_badge(verdict: str) -> Badge:
    """Return the badge of a guardrail verdict."""
    return VERDICT_BADGES.get(verdict, unknown_word(verdict))


def status_badge(status: str) -> Badge:
    """Return the badge of a row's status."""
    return STATUS_BADGES.get(status, unknown_word(status))


def check_badge(result: str) -> Badge:
    """Return the badge of a numbered check."""
    return CHECK_BADGES.get(result, unknown_word(result))


def outcome_label(outcome: str) -> str:
    """Return an outcome's name in words."""
    return OUTCOME_LABELS.get(outcome, plain_name(outcome))


def plain_name(name: str) -> str:
    """Return a field name as words: `m_protein_serum` becomes `m protein serum`."""
    return name.replace("_", " ")


def reason_words(reason: str) -> str:
    """Return why a modality is not ranked, in words."""
    return ABSTAIN_REASONS.get(reason, plain_name(reason))


def case_count(cases: int | None) -> str:
    """Return `0`, `<11` or the count of past cases, or an empty text."""
    return "" if cases is None else masked_line([cases])[0].text


def status_sentence(
    status: str,
    *,
    rank: int | None = None,
    tied_with: Sequence[str] = (),
    missing: Sequence[str] = (),
    reason: str = "",
    cases: int | None = None,
) -> str:
    """Return a row's status as one sentence.

    Parameters
    ----------
    status : str
        One of `pipeline.vocabulary.STATUSES`.
    rank : int or None
    tied_with : sequence of str
        Labels of the modalities that cannot be told apart from it.
    missing : sequence of str
        Facts, in words, that would settle an undecided rule.
    reason : str
        `abstain_reason` of the prediction.
    cases : int or None
        Past cases in training, for `too_few_cases`.
    """
    place = f"{ordinal(rank)}" if rank is not None else "ranked"
    told = f" ({case_count(cases)})" if cases is not None else ""
    because = f": {reason_words(reason)}" if reason else ""
    others = f"; not clearly different from {listed(tuple(tied_with))}" if tied_with else ""
    sentences = {
        "ranked": f"{place}{others}",
        "tied": f"{place}, tied with {listed(tuple(tied_with)) or 'another modality'}",
        "abstained": f"no rank given{because}",
        "too_few_cases": f"not ranked: too few cases{told}" + (f", {reason_words(reason)}" if reason else ""),
        "indeterminate": f"unknown: needs {listed(tuple(missing)) or 'a fact that is missing'}",
        "blocked": "not ranked: blocked by a rule",
        "unavailable": "not ranked: not available at the time of the decision",
    }
    return sentences.get(status, plain_name(status) or "no status given")
