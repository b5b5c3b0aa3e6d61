"""Every page can be read by those who see little, use no mouse, or print in grey."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import WIDTHS, opened

NAMES = ("case", "review", "shift")
AXE = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
LOOKS = (*((width, "screen") for width in WIDTHS), (1280, "print"))

CONTRAST = """
() => {
  const channels = colour => {
    const [, space, inside] = colour.match(/^([a-z]+)\\(([^)]*)\\)/);
    const [numbers, alpha] = inside.split('/');
    const parts = numbers.replace('srgb', '').split(/[ ,]+/).filter(Boolean).map(Number);
    const scale = space === 'color' ? 255 : 1;
    return [parts[0] * scale, parts[1] * scale, parts[2] * scale,
            alpha !== undefined ? Number(alpha) : parts.length > 3 ? parts[3] : 1];
  };
  const over = (top, under) => [0, 1, 2].map(i => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const luminance = rgb => [0.2126, 0.7152, 0.0722].reduce((sum, share, i) => {
    const c = rgb[i] / 255;
    return sum + share * (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  }, 0);
  const grounds = element => {
    if (!element) return [[255, 255, 255, 1]];
    const style = getComputedStyle(element);
    const stops = (style.backgroundImage.match(/(rgba?|color)\\([^)]*\\)/g) || []).map(channels);
    const own = stops.length ? stops : [channels(style.backgroundColor)];
    return own.flatMap(ground => ground[3] === 1 ? [ground] : grounds(element.parentElement).map(u => over(ground, u)));
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || element.closest('title, desc, script, style, defs')) continue;
    if (!element.checkVisibility({checkOpacity: true, checkVisibilityCSS: true})) continue;
    const style = getComputedStyle(element);
    const ink = channels(element.closest('svg') ? style.fill : style.color);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    for (const ground of grounds(element)) {
      const [light, dark] = [luminance(over(ink, ground)), luminance(ground)].sort((a, b) => b - a);
      const ratio = (light + 0.05) / (dark + 0.05);
      found.push({words: walker.currentNode.data.trim().slice(0, 60), ratio, wanted: large ? 3 : 4.5});
    }
  }
  return found;
}
"""
"""Contrast of each text on each colour that lies behind it, by WCAG 2.2's formula (1.4.3)."""

FOCUS = """
() => {
  const here = document.activeElement;
  if (!here || here === document.body) return null;
  const style = getComputedStyle(here), box = here.getBoundingClientRect();
  const name = here.id || here.getAttribute('href') || here.getAttribute('aria-label') || here.textContent.trim();
  const ring = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
  const inView = box.width > 0 && box.height > 0 && box.bottom > 0 && box.top < innerHeight;
  return {place: [...document.querySelectorAll('*')].indexOf(here), name: name.slice(0, 60), ring, inView};
}
"""
CONTROLS = """
() => [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex="0"]')]
  .filter(e => !e.disabled && e.checkVisibility({checkVisibilityCSS: true}))
  .filter(e => !(e.type === 'radio' && !e.checked))
  .map(e => [...document.querySelectorAll('*')].indexOf(e))
"""


def unfold(page: Page) -> None:
    """Open every part that can be folded."""
    page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true })")


def violations(page: Page, *, contrast: bool = True) -> list[tuple[str, str, str]]:
    """Return what axe-core finds: impact, rule and the first place."""
    options = {"resultTypes": ["violations"], "elementRef": False, "rules": {"color-contrast": {"enabled": contrast}}}
    page.evaluate(AXE)
    found: dict[str, Any] = page.evaluate("options => axe.run(document, options)", options)
    assert len(found["passes"]) > 20
    return [(entry["impact"], entry["id"], entry["nodes"][0]["html"][:200]) for entry in found["violations"]]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("width", "media"), LOOKS)
def test_axe_finds_no_serious_or_critical_violation(
    browser: Browser, pages: dict[str, Path], name: str, width: int, media: str
) -> None:
    """Its slow rule of contrast runs in one look of each page; the next test computes contrast in every look."""
    with opened(browser, pages[name], width=width, media=media) as seen:
        unfold(seen.page)
        found = violations(seen.page, contrast=(width, media) == (1280, "screen"))

        assert [entry for entry in found if entry[0] in {"serious", "critical"}] == []


def test_axe_finds_what_is_planted(browser: Browser, pages: dict[str, Path], tmp_path: Path) -> None:
    planted = tmp_path / "planted.html"
    wrong = "<button></button><p class='faint'>hardly to be read</p></main>"
    style = ".faint { color: #ccc; background: #fff; }</style>"
    text = pages["case"].read_text(encoding="utf-8").replace("</main>", wrong).replace("</style>", style, 1)
    planted.write_text(text.replace("Content-Security-Policy", "x-none"), encoding="utf-8")

    with opened(browser, planted) as seen:
        assert {"button-name", "color-contrast"} <= {rule for _, rule, _ in violations(seen.page)}
        low = [found for found in seen.page.evaluate(CONTRAST) if found["ratio"] < found["wanted"]]
        assert [found["words"] for found in low] == ["hardly to be read"]
        assert low[0]["ratio"] == pytest.approx(1.61, abs=0.005)  # (1 + 0.05) / (0.6038 + 0.05)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("width", "media"), (*LOOKS, (390, "print")))
def test_every_text_stands_out_from_whatever_lies_behind_it(
    browser: Browser, pages: dict[str, Path], name: str, width: int, media: str
) -> None:
    with opened(browser, pages[name], width=width, media=media) as seen:
        unfold(seen.page)
        texts = seen.page.evaluate(CONTRAST)

        assert len(texts) > 100
        assert [found for found in texts if not found["ratio"] >= found["wanted"]] == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_every_control_is_reached_by_tab_and_shows_where_it_is(
    browser: Browser, pages: dict[str, Path], name: str, width: int
) -> None:
    with opened(browser, pages[name], width=width) as seen:
        page, reached = seen.page, []
        wanted = page.evaluate(CONTROLS)
        page.locator("body").press("Tab")
        while (found := page.evaluate(FOCUS)) is not None and len(reached) <= len(wanted):
            reached.append(found)
            page.keyboard.press("Tab")

        assert len(wanted) > 10
        assert [found["place"] for found in reached] == wanted
        assert [found["name"] for found in reached if not found["ring"]] == []
        assert [found["name"] for found in reached if not found["inView"]] == []


@pytest.mark.parametrize("name", NAMES)
def test_folded_parts_open_by_keyboard_and_print_open(browser: Browser, pages: dict[str, Path], name: str) -> None:
    with opened(browser, pages[name]) as seen:
        folded = seen.page.locator("details:not([open])").first
        folded.locator("summary").focus()
        seen.page.keyboard.press("Enter")

        assert seen.page.evaluate("document.activeElement.parentElement.open") is True
    with opened(browser, pages[name], media="print") as seen:
        tables = seen.page.locator("details table")
        assert tables.count() > 0
        assert all(table.is_visible() for table in tables.all())
