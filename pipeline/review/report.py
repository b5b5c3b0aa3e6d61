"""May this model go forward? The model-review page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.review.against_sections import against_section
from pipeline.review.balance_sections import balance_section
from pipeline.review.blocks import Section
from pipeline.review.challenge_sections import (
    controls_section,
    lost_early_section,
    sensitivity_section,
    temporal_section,
)
from pipeline.review.cohort_sections import (
    arms_section,
    cohort_section,
    missingness_section,
    overlap_section,
    statuses_section,
)
from pipeline.review.group_sections import decision_curves_section, subgroups_section
from pipeline.review.model_sections import (
    calibration_section,
    intervals_section,
    learner_section,
    published_section,
    shap_section,
)
from pipeline.review.people_sections import characteristics_section, missing_by_section
from pipeline.review.reading import mapping_in, mappings_in, text_in
from pipeline.review.rule_sections import batch_section, rule_groups_section
from pipeline.review.stability_sections import stability_section, trials_section
from pipeline.review.templating import rendered
from pipeline.review.trust_sections import (
    check_totals,
    checks_section,
    estimands_section,
    leaks_section,
    rules_section,
    versions_section,
)
from pipeline.review.value_sections import abstention_section, league_section
from pipeline.review.wording import NOT_AVAILABLE, REVIEW_VERDICTS, Badge

_NO_VERDICT = Badge("unknown", "?", "No verdict", "The run gave no verdict.")


def review_sections(evaluation: Mapping[str, Any]) -> tuple[Section, ...]:
    """Return every section of the review page in reading order.

    Parameters
    ----------
    evaluation : mapping
        The content of `evaluation.json`; missing and empty parts give empty sections.
    """
    sections = [
        checks_section(evaluation),
        against_section(evaluation),
        cohort_section(evaluation),
        arms_section(evaluation),
        characteristics_section(evaluation),
        missingness_section(evaluation),
        missing_by_section(evaluation),
        overlap_section(evaluation),
        balance_section(evaluation),
        league_section(evaluation),
        abstention_section(evaluation),
        temporal_section(evaluation),
        calibration_section(evaluation),
        decision_curves_section(evaluation),
        subgroups_section(evaluation),
        learner_section(evaluation),
        intervals_section(evaluation),
        controls_section(evaluation),
        sensitivity_section(evaluation),
        lost_early_section(evaluation),
        stability_section(evaluation),
        shap_section(evaluation),
        trials_section(evaluation),
        rules_section(evaluation),
        rule_groups_section(evaluation),
        statuses_section(evaluation),
        batch_section(evaluation),
        leaks_section(evaluation),
        estimands_section(evaluation),
        published_section(evaluation),
        versions_section(evaluation),
    ]
    return tuple(s for s in sections if s.blocks or s.anchor not in ("against", "batch", "published"))


def review_page(evaluation: Mapping[str, Any], model_card: str = "") -> str:
    """Return the model-review page as one self-contained HTML text.

    Parameters
    ----------
    evaluation : mapping
        The content of `evaluation.json`: aggregated numbers only. Only declared keys are read, so nothing
        else in the mapping can reach the page. Counts under eleven are masked here.
    model_card : str
        File name of the model card beside the page; empty for none.

    Returns
    -------
    str
        HTML without scripts or outside references; the same mapping gives the same text.
    """
    verdict = mapping_in(evaluation.get("verdict"))
    issues = tuple(
        (place, text_in(check.get("title")) or text_in(check.get("code")))
        for place, check in enumerate(mappings_in(evaluation.get("checks")), start=1)
        if text_in(check.get("result")) == "issue"
    )
    return rendered(
        "review.html.j2",
        {
            "sections": review_sections(evaluation),
            "model_card": model_card,
            "verdict": REVIEW_VERDICTS.get(text_in(verdict.get("result")), _NO_VERDICT),
            "verdict_words": text_in(verdict.get("words")) or f"The reasons are {NOT_AVAILABLE}.",
            "totals": check_totals(evaluation),
            "issues": issues,
            "simulated": bool(evaluation.get("simulated")),
            "model_version": text_in(evaluation.get("model_version")) or NOT_AVAILABLE,
            "created": text_in(evaluation.get("created")),
        },
    )
