"""What does a run say of itself that a model card asks for?

Every answer is made of masked counts and of numbers on the review page; where the run has nothing to say there is no
answer, never an empty one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pipeline.review.numerals import decimal, listed, percent, signed, with_span
from pipeline.review.reading import count_in, mapping_in, mappings_in, number_in, text_in
from pipeline.review.small_cells import masked_line
from pipeline.review.wording import SIMULATED, outcome_label

Evaluation = Mapping[str, Any]

# The variables of 45 CFR 170.315(b)(11)(iv)(A)(5) to (13), and the features that tell of them.
_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "race": ("race",),
    "ethnicity": ("ethnicity",),
    "language": ("language",),
    "sexual orientation": ("sexual_orientation",),
    "gender identity": ("gender_identity",),
    "sex": ("sex",),
    "date of birth (as age)": ("age",),
    "social circumstances (distance, caregiver, nearness, access)": (
        *("distance_km", "caregiver", "near_centre", "hospital_access", "eye_care_access"),
    ),
    "health status (performance, comorbidity, daily living, frailty)": (
        *("ecog", "karnofsky", "charlson", "adl", "iadl", "simplified_frailty", "frail"),
    ),
}
_MOST_NAMED = 5


def run_answers(evaluation: Evaluation) -> dict[str, str]:
    """Return what the evaluation answers, by the names that the lists of a model card use.

    Parameters
    ----------
    evaluation : mapping
        The content of `evaluation.json`; parts may be missing.
    """
    found = {name: answer(evaluation) for name, answer in ANSWERS.items()}
    return {name: text for name, text in found.items() if text}


def _sentences(*parts: str) -> str:
    return " ".join(part if part.endswith((".", "!", "?")) else f"{part}." for part in parts if part)


def _count(value: Any, what: str) -> str:
    found = count_in(value)
    return "" if found is None else f"{masked_line([found])[0].text} {what}"


def _title(evaluation: Evaluation) -> str:
    title = text_in(evaluation.get("title"))
    outcomes = listed(tuple(text_in(row.get("label")) for row in mappings_in(evaluation.get("estimands"))))
    return _sentences(f"{title}: development of a model of {outcomes.lower()}") if title and outcomes else ""


def _outputs(evaluation: Evaluation) -> str:
    told = []
    for row in mappings_in(evaluation.get("estimands")):
        label, definition = text_in(row.get("label")), text_in(row.get("definition"))
        told.append(f"{label}: {definition}" if definition else label)
    if not told:
        return ""
    weights = mapping_in(evaluation.get("weights"))
    shares = [f"{outcome_label(text_in(name)).lower()} {number_in(weight)}" for name, weight in weights.items()]
    weighed = f"Suitability weighs them linearly: {', '.join(shares)}" if shares else ""
    return _sentences("For each modality", *told, weighed, "Suitability runs from -1 to 1 and is not a probability")


def _modality_rows(evaluation: Evaluation) -> list[Mapping[str, Any]]:
    return mappings_in(mapping_in(evaluation.get("cohort")).get("modalities"))


def _modalities(evaluation: Evaluation) -> str:
    ranked = tuple(text_in(row.get("label")) for row in _modality_rows(evaluation) if row.get("ranked"))
    return _sentences(f"Modalities compared: {listed(ranked)}") if ranked else ""


def _not_ranked(evaluation: Evaluation) -> str:
    rows = [row for row in _modality_rows(evaluation) if not row.get("ranked")]
    told = [f"{text_in(row.get('label'))} ({text_in(row.get('reason'))})" for row in rows]
    return _sentences(f"Not ranked by this model: {'; '.join(told)}") if told else ""


def _eligibility(evaluation: Evaluation) -> str:
    steps = mappings_in(mapping_in(evaluation.get("cohort")).get("attrition"))
    told = [text_in(step.get("reason")) for step in steps]
    return _sentences(f"Left out, in this order: {'; '.join(filter(None, told))}", _people(evaluation)) if told else ""


def _people(evaluation: Evaluation) -> str:
    cohort = mapping_in(evaluation.get("cohort"))
    decisions, patients = _count(cohort.get("decisions"), "decisions"), _count(cohort.get("patients"), "people")
    return _sentences(f"Learned from {decisions} of {patients}") if decisions and patients else ""


def _sample_size(evaluation: Evaluation) -> str:
    rows = _modality_rows(evaluation)
    names = {text_in(name) for row in rows for name in mapping_in(row.get("events"))}
    told = []
    for name in sorted(names):
        counts = masked_line([count_in(mapping_in(row.get("events")).get(name)) for row in rows])
        pairs = zip(rows, counts, strict=True)
        events = ", ".join(f"{text_in(row.get('label'))} {count.text}" for row, count in pairs)
        told.append(f"{outcome_label(name)}, events by modality: {events}")
    return _sentences(_people(evaluation), *told) if told else _people(evaluation)


def _inputs(evaluation: Evaluation) -> set[str]:
    return {text_in(row.get("feature")) for row in mappings_in(evaluation.get("missingness"))} - {""}


def _demographic_inputs(evaluation: Evaluation) -> str:
    inputs = _inputs(evaluation)
    if not inputs:
        return ""
    used = [name for name, features in _VARIABLES.items() if inputs & set(features)]
    unused = [name for name in _VARIABLES if name not in used]
    return _sentences(
        f"Inputs of this model: {listed(tuple(used)) or 'none of them'}",
        f"Not inputs: {listed(tuple(unused))}" if unused else "",
    )


def _predictors(evaluation: Evaluation) -> str:
    count = len(_inputs(evaluation))
    return f"{count} declared facts." if count else ""


def _representation(evaluation: Evaluation) -> str:
    rows = mappings_in(mapping_in(evaluation.get("rules")).get("subgroups"))
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if text_in(row.get("subgroup")) not in ("", "all", "site"):
            groups.setdefault(text_in(row.get("subgroup")), []).append(row)
    told = []
    for name, levels in groups.items():
        counts = masked_line([count_in(level.get("decisions")) for level in levels], adds_up=True)
        pairs = [f"{text_in(row.get('level'))} {count.text}" for row, count in zip(levels, counts, strict=True)]
        told.append(f"{name}: {', '.join(pairs)}")
    return _sentences(f"Decisions by {'; by '.join(told)}") if told else ""


def _missing(evaluation: Evaluation) -> str:
    rows = [(number_in(row.get("overall")), row) for row in mappings_in(evaluation.get("missingness"))]
    most = sorted(((share, row) for share, row in rows if share), key=lambda pair: -pair[0])[:_MOST_NAMED]
    told = [f"{text_in(row.get('meaning')) or text_in(row.get('feature'))} {percent(share)}" for share, row in most]
    return _sentences(f"Most often missing: {'; '.join(told)}") if told else ""


def _validity(evaluation: Evaluation) -> str:
    model = next((row for row in mappings_in(evaluation.get("league")) if row.get("policy") == "model"), {})
    value, ahead = number_in(model.get("value")), number_in(model.get("difference"))
    told = []
    if value is not None:
        interval = with_span(value, number_in(model.get("low")), number_in(model.get("high")), digits=3)
        told.append(f"Value of its choices, out of fold: {interval}")
        if ahead is not None:
            error = decimal(number_in(model.get("difference_se")), 3)
            told.append(f"against clinicians' own choices {signed(ahead, 3)} (standard error {error})")
    elif model:
        told.append(f"No value is given: {text_in(model.get('vetoed')) or 'not applicable'}")
    ordered = [
        f"{outcome_label(text_in(row.get('outcome'))).lower()} "
        + with_span(*(number_in(row.get(key)) for key in ("model", "model_low", "model_high")))
        for row in mappings_in(evaluation.get("discrimination"))
        if number_in(row.get("model")) is not None
    ]
    slopes = [number_in(row.get("slope")) for row in mappings_in(evaluation.get("calibration"))]
    known = [slope for slope in slopes if slope is not None]
    return _sentences(
        "; ".join(told),
        f"C-index: {', '.join(ordered)}" if ordered else "",
        f"Calibration slopes over outcomes and modalities: {decimal(min(known))} to {decimal(max(known))}"
        if known
        else "",
    )


def _issues(evaluation: Evaluation) -> str:
    checks = [row for row in mappings_in(evaluation.get("checks")) if text_in(row.get("result")) == "issue"]
    told = [f"{text_in(row.get('code'))} {text_in(row.get('title')).lower()}" for row in checks]
    issues = f"Checks that found an issue: {'; '.join(told)}" if told else ""
    if not told and evaluation.get("checks"):
        issues = "No check of this run found an issue"
    return _sentences(issues, _words_of("overlap")(evaluation), _words_of("sensitivity")(evaluation))


def _words_of(part: str) -> Callable[[Evaluation], str]:
    def told(evaluation: Evaluation) -> str:
        words = text_in(mapping_in(evaluation.get(part)).get("words"))
        return _sentences(words) if words else ""

    return told


def _learner(evaluation: Evaluation) -> str:
    learner = mapping_in(evaluation.get("learner"))
    student = mapping_in(learner.get("student"))
    weights = [
        f"{text_in(name)} {percent(number_in(share))}" for name, share in mapping_in(learner.get("weights")).items()
    ]
    agreement = number_in(student.get("top_choice_agreement"))
    return _sentences(
        f"Weights of the teachers: {', '.join(weights)}" if weights else "",
        text_in(learner.get("words")),
        f"The students agree with the committee on the first choice of {percent(agreement)}" if agreement else "",
        text_in(mapping_in(evaluation.get("intervals")).get("words")),
    )


def _dates(evaluation: Evaluation) -> str:
    cut = text_in(mapping_in(evaluation.get("temporal")).get("cut"))
    return f"The later quarter of decisions begins after {cut}." if cut else ""


def _source(evaluation: Evaluation) -> str:
    digest = text_in(evaluation.get("records_digest"))
    told = f"Records with the digest {digest[:16]}" if digest else ""
    return _sentences(SIMULATED if evaluation.get("simulated") else "", told) if told else ""


def _versions(evaluation: Evaluation) -> str:
    packages = [f"{text_in(name)} {text_in(found)}" for name, found in mapping_in(evaluation.get("software")).items()]
    own = text_in(evaluation.get("model_version"))
    return _sentences(f"Model {own}", f"Software: {', '.join(packages)}" if packages else "") if own else ""


ANSWERS: Mapping[str, Callable[[Evaluation], str]] = {
    "balance": _words_of("balance"),
    "dates": _dates,
    "demographic_inputs": _demographic_inputs,
    "eligibility": _eligibility,
    "fairness": _words_of("subgroups"),
    "issues": _issues,
    "later": _words_of("temporal"),
    "learner": _learner,
    "missing": _missing,
    "modalities": _modalities,
    "not_ranked": _not_ranked,
    "outputs": _outputs,
    "people": _people,
    "predictors": _predictors,
    "representation": _representation,
    "sample_size": _sample_size,
    "source": _source,
    "title": _title,
    "validity": _validity,
    "verdict": _words_of("verdict"),
    "versions": _versions,
}
