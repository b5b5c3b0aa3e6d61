"""Hostile text in every field of both pages does nothing in a real browser, with nothing but escaping to stop it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from pipeline.guardrails import Overrides
from pipeline.review import CaseCard, case_card, review_page
from pipeline.runs.cards import card_of
from pipeline.runs.predict import advice_for
from pipeline.runs.reading import read_known
from pipeline.runs.reporting import Quiet
from tests.browser.conftest import opened
from tests.conftest import Journey
from tests.review.payloads import PAYLOADS
from tests.review.test_hostile_text_escaped import everywhere, hostile_card
from tests.review.test_review_page import shortened

ALL = " ".join(PAYLOADS)
SHAPE = "() => [...document.querySelectorAll('*')].map(element => element.localName).join()"


def turned(evaluation: dict[str, Any]) -> dict[str, Any]:
    """Give each text another payload, and every payload a text, in turn."""
    given = iter(PAYLOADS * 1000)
    found: dict[str, Any] = everywhere(evaluation, lambda text: f"{text} {next(given)}")
    return found


@pytest.fixture(scope="module")
def card(journey: Journey, decision: str) -> CaseCard:
    """Return the card of one new decision."""
    known = read_known(journey.fresh, journey.loaded.setup, training=False, reporter=Quiet())
    chosen = known.features[known.features["decision_id"] == decision]
    advice = advice_for(known, journey.loaded, chosen, Overrides())
    return card_of(known, journey.loaded, chosen, advice, show_identifiers=True)


def opens_inert(browser: Browser, path: Path, page: str, *, shape: str | None = None) -> str:
    """Open a page without its content policy, use every control, and return which elements it has."""
    path.write_text(page.replace("Content-Security-Policy", "x-none"), encoding="utf-8")
    with opened(browser, path) as seen:
        for control in seen.page.locator("summary, select, input").all():
            if control.is_visible():
                control.focus()
        for slider in seen.page.locator("input[type=range]").all():
            slider.press("ArrowRight")
        if seen.page.locator("#compare-second").count():
            seen.page.locator("#compare-second").select_option(index=0)
        seen.page.wait_for_timeout(200)

        seen.is_quiet()
        assert seen.page.evaluate("window.__xss") is None
        assert seen.page.evaluate("Object.prototype.__xss") is None
        return str(seen.page.evaluate(SHAPE))


def test_the_card_stays_as_it_is_and_its_script_still_works(browser: Browser, card: CaseCard, tmp_path: Path) -> None:
    plain = opens_inert(browser, tmp_path / "plain.html", case_card(hostile_card(card, "x")))
    for start in range(0, len(PAYLOADS), 11):
        hostile = case_card(hostile_card(card, " ".join(PAYLOADS[start : start + 11])))

        assert opens_inert(browser, tmp_path / "hostile.html", hostile) == plain


def test_the_review_page_stays_as_it_is(browser: Browser, journey: Journey, tmp_path: Path) -> None:
    evaluation = journey.trained.evaluation
    small = shortened(evaluation)
    plain = opens_inert(browser, tmp_path / "plain.html", review_page(everywhere(small, lambda text: f"{text} x")))
    hostile = review_page(everywhere(small, lambda text: f"{text} {ALL}"))

    assert opens_inert(browser, tmp_path / "hostile.html", hostile) == plain
    opens_inert(browser, tmp_path / "turned.html", review_page(turned(evaluation)))


def test_text_that_is_not_escaped_would_be_noticed(browser: Browser, card: CaseCard, tmp_path: Path) -> None:
    page = case_card(card).replace("</main>", f"{PAYLOADS[0]}</main>")

    with pytest.raises(AssertionError):
        opens_inert(browser, tmp_path / "open.html", page)
