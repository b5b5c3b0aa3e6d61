"""Reasons, what stays, published trials and the champion are told in full, with a twin for every picture."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.review import review_page, review_sections
from pipeline.review.against_sections import against_section
from pipeline.review.blocks import Figure, Section
from pipeline.review.model_sections import learner_section, shap_section
from pipeline.review.stability_sections import stability_section, trials_section
from pipeline.review.trust_sections import ANCHORS
from tests.review.reading_back import drawings_in, read_page
from tests.review.test_review_page import PAYLOADS, with_every_part_removed, with_every_text

ANCHORED = ("shap", "stability", "trials")


def reasons() -> dict[str, Any]:
    """Return the parts of an evaluation that these sections draw."""
    swarm = [
        {"low": -0.05, "high": -0.02, "share": 0.2, "tone": 4},
        {"low": 0.0, "high": 0.01, "share": 0.8, "tone": None},
    ]
    known = {"label": "at most 150", "share": 0.6, "mean": 0.02, "low": 0.01, "high": 0.03}
    gone = {"label": "not recorded", "share": 0.4, "mean": -0.01, "low": -0.02, "high": 0.0}
    feature = {
        "feature": "ferritin",
        "meaning": "Ferritin",
        "mean_abs": 0.02,
        "swarm": swarm,
        "dependence": [known, gone],
    }
    contrast = {"kind": "contrast", "first": "car_t", "second": "adc", "features": [feature]}
    level = {"kind": "level", "first": "car_t", "second": None, "features": [feature]}
    seed = {"kind": "seed", "label": "Another seed (1)", "stays": 0.93, "stays_clear": 0.97, "stays_tied": 0.925}
    seed |= {"rank_correlation": 0.94, "largest_change": 0.05}
    drawn = {**seed, "kind": "draws", "label": "200 draws", "largest_change": None}
    drawn |= {"steady": 0.42, "steady_clear": 0.9, "steady_tied": 0.3}
    trial = {"trial": "A trial", "modality": "adc", "months": 12, "measure": "progression-free survival", "people": 155}
    trial |= {"time_zero": "randomisation", "population": "a prior line", "differs": "more", "source": "a page"}
    trial |= {
        "published": 0.71,
        "low": 0.63,
        "high": 0.78,
        "observed": 0.59,
        "observed_low": 0.53,
        "observed_high": 0.65,
    }
    trial |= {"predicted": 0.54, "predicted_all": 0.55, "given": 281, "alike": 2119, "missing": None}
    named = {"added": ["ferritin"], "removed": [], "changed": ["ldh"]}
    flips = {"decisions": 300, "flipped": 40, "clear_both": 90, "clear_flipped": 0, "places": ["car_t", "adc", "none"]}
    flips |= {"matrix": [[150, 40, 0], [0, 110, 0], [0, 0, 0]], "reasons": [{"reason": "ferritin", "count": 40}]}
    cohort = {"decisions": 3000, "patients": 2500, "modalities": {"car_t": 412, "adc": 389}}
    return {
        "shap_check": {"words": "16,320 contributions, largest difference 1.5e-16 of suitability."},
        "shap_pictures": {"decisions": 600, "views": [contrast, level]},
        "stability": {
            "clear": 181,
            "tied": 2219,
            "variations": [seed, drawn],
            "not_done": ["Other seeds: switched off."],
            "words": "8 % of first choices are clear.",
        },
        "published_trials": {
            "trials": [{**trial, "eligibility": ["Lines: at least 1"]}],
            "unmatched": [{"modality": "car_t", "words": "No published figure matches.", "source": "a journal"}],
            "words": "Orientation, not a test.",
        },
        "against": {
            "old": "v1",
            "new": "v2",
            "words": ["Both learned from the same records."],
            "settings": [{"key": "weights.burden", "old": "0.05", "new": "0.1"}],
            "files": named,
            "features": named,
            "modalities": named,
            "rules": {**named, "old": "r1", "new": "r2"},
            "cohort": {"same_records": True, "old": cohort, "new": cohort},
            "metrics": [{"label": "Value", "old": 0.2, "new": 0.23, "se": 0.01}],
            "checks": [{"code": "C20", "title": "Same TreeSHAP", "old": "not there", "new": "pass"}],
            "flips": flips,
        },
    }


@pytest.fixture
def reasoned(evaluation: dict[str, Any]) -> dict[str, Any]:
    """An evaluation with all of them."""
    return evaluation | reasons()


def _sections(evaluation: dict[str, Any]) -> dict[str, Section]:
    return {section.anchor: section for section in review_sections(evaluation)}


@pytest.mark.parametrize(
    "told",
    [
        *("Why CAR T-cell therapy rather than Antibody-drug conjugate", "−0.050 to −0.020", "highest fifth"),
        *("no order, or not recorded", "at most 150", "+0.020", "largest difference 1.5e-16"),
        *("Another seed (1)", "93%", "over 93%", "0.94", "90% of draws", "Not tried. Other seeds: switched off."),
        *("0.71 (0.63 to 0.78)", "0.59 (0.53 to 0.65)", "0.54", "281", "Lines: at least 1", "Source: a page."),
        "CAR T-cell therapy: No published figure matches. Source: a journal.",
        *("Of 300 decisions scored by both, 40", "beyond two standard errors", "weights.burden", "digest r2, was r1"),
        *("Same TreeSHAP", "Who they learned from: the same records"),
    ],
)
def test_every_number_is_told(reasoned: dict[str, Any], told: str) -> None:
    assert told in read_page(review_page(reasoned)).text


def test_every_box_of_a_picture_stands_in_its_twin(reasoned: dict[str, Any]) -> None:
    figures = [block for block in _sections(reasoned)["shap"].blocks if isinstance(block, Figure)]
    twins = {figure.title: len(figure.twin.rows) for figure in figures[1:]}

    # Two boxes of one feature in the contrast, two in the level; two values in each dependence.
    assert list(twins.values()) == [2, 2, 2, 2]
    assert all(drawing.findtext("title") for drawing in drawings_in(review_page(reasoned)))


def test_the_order_is_verdict_checks_champion_then_the_rest(reasoned: dict[str, Any]) -> None:
    page = review_page(reasoned)
    places = [page.index(f'id="{name}"') for name in ("checks", "against", "cohort", "stability", "shap", "trials")]

    assert page.index('class="verdict') < places[0]
    assert places == sorted(places)


def test_without_a_champion_the_page_has_no_such_section(evaluation: dict[str, Any]) -> None:
    assert "against" not in _sections(evaluation)
    assert set(ANCHORED) <= set(ANCHORS)


@pytest.mark.parametrize("payload", PAYLOADS[:4])
def test_hostile_text_stays_text(reasoned: dict[str, Any], payload: str) -> None:
    plain = read_page(review_page(with_every_text(reasoned, lambda text: text + " x")))
    hostile = read_page(review_page(with_every_text(reasoned, lambda text: text + " " + payload)))

    assert hostile.tags == plain.tags


@pytest.mark.parametrize("replacement", [None, [], {}, "words", float("nan"), -1])
def test_a_part_that_is_missing_or_wrong_breaks_nothing(evaluation: dict[str, Any], replacement: Any) -> None:
    base = {key: evaluation[key] for key in ("cohort", "global_shap", "learner")}
    for changed in with_every_part_removed(reasons(), replacement):
        for section in (shap_section, stability_section, trials_section, against_section):
            assert section(base | changed).title


def test_fidelity_has_a_row_per_outcome_and_modality() -> None:
    entry = {"outcome": "early_death", "modality": "adc", "rms": 0.0123, "largest": 0.2, "same_best": None}
    student = {"passed": True, "rows": 900, "fidelity": [{**entry, "r2_level": 0.98, "r2_contrast": None}]}
    table = learner_section({"learner": {"student": student}}).blocks[-1]

    assert [cell.text for cell in table.rows[0]] == ["Early death", "0.012", "0.200", "–", "0.98", "constant"]  # type: ignore[union-attr]
