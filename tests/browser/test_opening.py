"""Every page opens from disk with the network off, says nothing, asks for nothing, and fits a phone."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import WIDTHS, opened

LIMITS = {"case": 300_000, "review": 2_000_000, "shift": 300_000}
"""Bytes that a page may have (issue 5; the page of monitoring as a case card)."""
EVERY = pytest.mark.parametrize("name", LIMITS)


@EVERY
@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_asks_for_nothing_but_itself_and_says_nothing(
    browser: Browser, pages: dict[str, Path], screenshots: Path, name: str, width: int
) -> None:
    with opened(browser, pages[name], width=width) as seen:
        for summary in seen.page.locator("summary").all():
            summary.click()
        seen.page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
        seen.page.screenshot(path=screenshots / f"{name}-{width}.png", full_page=True)

        seen.is_quiet()


@EVERY
@pytest.mark.parametrize("width", (*WIDTHS, 320))
def test_the_page_itself_never_scrolls_sideways(
    browser: Browser, pages: dict[str, Path], name: str, width: int
) -> None:
    with opened(browser, pages[name], width=width) as seen:
        assert seen.page.evaluate("document.documentElement.scrollWidth") == width


@EVERY
def test_the_pages_are_as_light_as_promised(pages: dict[str, Path], name: str) -> None:
    assert pages[name].stat().st_size < LIMITS[name]


@EVERY
def test_a_page_that_asks_for_something_would_be_noticed(
    browser: Browser, pages: dict[str, Path], name: str, tmp_path: Path
) -> None:
    """What the first test looks for is there to be found: a picture from elsewhere, a script, a message."""
    spoiled = tmp_path / "spoiled.html"
    text = pages[name].read_text(encoding="utf-8")
    spoiled.write_text(text.replace("</main>", "<img src='https://example.org/x.png'><script>x()</script></main>"))

    with opened(browser, spoiled) as seen:
        assert any("img-src" in line for line in seen.said)
        assert {"img-src", "script-src-elem"} <= set(seen.forbidden)
