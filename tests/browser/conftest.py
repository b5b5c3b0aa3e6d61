"""The pages of a small simulated institution, opened from disk by Debian's Chromium with the network off."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Browser, Page, Request, sync_playwright

from pipeline.runs.cards import explain_case
from pipeline.runs.demo import telling_case
from pipeline.runs.institution import write_institution
from pipeline.runs.monitoring import monitor
from pipeline.runs.predict import predict
from pipeline.runs.reporting import Quiet
from pipeline.simulate import SimulationSettings
from tests.conftest import Journey

REQUIRED = "BROWSER_TESTS"
"""Set to `required`, a machine without Chromium fails these tests instead of skipping them."""
SCREENSHOTS = "SCREENSHOTS"
"""Folder that keeps the screenshots; pytest's own temporary folder where it is not set."""
WIDTHS = (1280, 390)
_LISTEN = """
window.__broken = [];
document.addEventListener('securitypolicyviolation', event => window.__broken.push(event.violatedDirective));
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the browser on the worker that trains the small institution anyway."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.xdist_group("journey"))


@dataclass
class Opened:
    """An open page and all that it said, asked for and forbade."""

    page: Page
    url: str
    requests: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    @property
    def forbidden(self) -> list[str]:
        """Return the directives of the content policy that something broke."""
        return list(self.page.evaluate("window.__broken"))

    def is_quiet(self) -> None:
        """Fail if anything but the file was asked for, or anything at all was said or forbidden."""
        assert self.requests == [self.url]
        assert self.said == []
        assert self.forbidden == []


Opening = Callable[..., "contextmanager[Opened]"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return a running Chromium; closed after each module, since its event loop would be in others' way."""
    program = shutil.which("chromium")
    if program is None:
        words = "no Chromium on this machine (Debian: apt-get install chromium fonts-liberation)"
        if os.environ.get(REQUIRED) == "required":
            pytest.fail(f"{words}, and {REQUIRED}=required forbids skipping")
        pytest.skip(words)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program)
        yield running
        running.close()


@contextmanager
def opened(
    browser: Browser, path: Path, *, width: int = 1280, scripts: bool = True, media: str = "screen"
) -> Iterator[Opened]:
    """Open a page from disk with the network off."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        offline=True,
        java_script_enabled=scripts,
        reduced_motion="reduce",
        color_scheme="light",
    )
    page = context.new_page()
    seen = Opened(page, path.resolve().as_uri())

    def asked(request: Request) -> None:
        seen.requests.append(request.url)

    page.on("request", asked)
    page.on("console", lambda message: seen.said.append(f"console: {message.text}"))
    page.on("pageerror", lambda problem: seen.said.append(f"error: {problem}"))
    page.on("dialog", lambda dialog: (seen.said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("popup", lambda window: seen.said.append(f"window: {window.url}"))
    if scripts:
        page.add_init_script(_LISTEN)
    page.emulate_media(media=media)
    page.goto(seen.url)
    yield seen
    context.close()


@pytest.fixture(scope="session")
def predicted(journey: Journey, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Return the predictions of the new decisions."""
    folder = tmp_path_factory.mktemp("browser") / "predictions"
    predict(journey.fresh, journey.loaded, folder, Quiet())
    return pd.read_parquet(folder)


@pytest.fixture(scope="session")
def decision(predicted: pd.DataFrame) -> str:
    """Return the decision whose card shows most."""
    return telling_case(predicted)


@pytest.fixture(scope="session")
def case_file(journey: Journey, decision: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the case card of one new decision."""
    path = tmp_path_factory.mktemp("browser") / "case.html"
    explain_case(journey.fresh, journey.loaded, decision, path, Quiet())
    return path


@pytest.fixture(scope="session")
def shift_file(journey: Journey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of later decisions that differ from those of training in age, with what followed."""
    folder = tmp_path_factory.mktemp("browser")
    records, path = folder / "records", folder / "shift.html"
    write_institution(SimulationSettings(decisions=300, seed=13), records)
    (records / "manifest.json").unlink()
    people = pd.read_parquet(records / "patients.parquet")
    born = pd.to_datetime(people["birth_date"]) - pd.Timedelta(days=15 * 365)
    people.assign(birth_date=born.dt.strftime("%Y-%m-%d")).to_parquet(records / "patients.parquet", index=False)
    monitor(records, journey.loaded, path, Quiet(), since="2000-01-01")
    return path


@pytest.fixture(scope="session")
def pages(journey: Journey, case_file: Path, shift_file: Path) -> dict[str, Path]:
    """Return every kind of page by name."""
    return {"case": case_file, "review": journey.trained.run_directory / "review.html", "shift": shift_file}


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that keeps the screenshots."""
    named = os.environ.get(SCREENSHOTS)
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
