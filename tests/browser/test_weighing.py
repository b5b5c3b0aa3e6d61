"""Sliding a preference gives the very order, intervals, ties and reasons that Python gives with those weights."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Browser, Page

from pipeline.guardrails import Overrides
from pipeline.review import CaseCard, case_card, in_display_order
from pipeline.review.numerals import MINUS
from pipeline.runs.cards import card_of
from pipeline.runs.predict import advice_for, predict
from pipeline.runs.reading import read_known
from pipeline.runs.reporting import Quiet
from tests.browser.conftest import opened
from tests.conftest import Journey

TERMS = ("durable_control", "treatment_free", "severe_toxicity", "early_death", "burden")
TOLERANCE = 1e-6
"""Of suitability; explanations are held to it everywhere."""
DECISIONS = 3
ROUNDS: tuple[tuple[int, ...] | None, ...] = (None, (12, 5, 0, 0, 83), (0, 0, 0, 0, 100), (0, 0, 0, 0, 0))
"""Slider positions, 0 to 100, in the order of TERMS; None is drawn by seed. Burden has no interval, so weights near it
order modalities clearly where others leave them tied. All 0 falls back to the defaults."""
PLACES = """
places => places.filter(place => place.dataset.modality).map(place => ({
  ...place.dataset, shown: place.querySelector('.rank').lastChild.textContent.trim(),
}))
"""
ITEMS = """
blocks => Object.fromEntries(blocks.map(block => [block.dataset.modality, [...block.querySelectorAll('tbody tr')].map(
  row => [row.querySelector('th .text').textContent.trim(), Number(row.dataset.contribution)])]))
"""
PAIR = """
() => [[...document.querySelectorAll('#comparison tbody tr')].map(row => Number(row.dataset.contribution)),
       document.querySelector('#comparison .sum').textContent]
"""
SPOKEN = """
() => ['headline', 'places', 'reasons', 'neighbours'].map(id => {
  const part = document.getElementById(id).cloneNode(true);
  part.querySelectorAll('.was, .vh').forEach(note => note.remove());
  const walker = document.createTreeWalker(part, NodeFilter.SHOW_TEXT), words = [];
  while (walker.nextNode()) words.push(walker.currentNode.data.trim());
  return words.filter(Boolean).join(' | ');
})
"""


@dataclass(frozen=True)
class Weighed:
    """What Python says of some decisions when each has its own weights."""

    sliders: dict[str, tuple[int, ...]]
    rows: pd.DataFrame
    cards: dict[str, CaseCard]


def cards_of(journey: Journey, records: Path, decisions: list[str]) -> dict[str, CaseCard]:
    """Return the cards of some decisions, as `mmrank explain` makes them."""
    known = read_known(records, journey.loaded.setup, training=False, reporter=Quiet())
    found = {}
    for decision in decisions:
        chosen = known.features[known.features["decision_id"] == decision]
        advice = advice_for(known, journey.loaded, chosen, Overrides())
        found[decision] = card_of(known, journey.loaded, chosen, advice, show_identifiers=False)
    return found


@pytest.fixture(scope="module")
def decisions(predicted: pd.DataFrame, decision: str) -> list[str]:
    """Return the decision whose card shows most, and those with the most ranked modalities."""
    ranked = predicted.groupby("decision_id")["rank"].count().sort_values(ascending=False, kind="stable")
    return [decision, *[str(name) for name in ranked.index if name != decision]][:DECISIONS]


@pytest.fixture(scope="module")
def recorded(journey: Journey, decisions: list[str]) -> dict[str, CaseCard]:
    """Return the cards with the weights of the records."""
    return cards_of(journey, journey.fresh, decisions)


@pytest.fixture(scope="module")
def files(recorded: dict[str, CaseCard], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the cards as pages."""
    folder = tmp_path_factory.mktemp("cards")
    for place, card in enumerate(recorded.values()):
        (folder / f"{place}.html").write_text(case_card(card), encoding="utf-8")
    return {decision: folder / f"{place}.html" for place, decision in enumerate(recorded)}


@pytest.fixture(scope="module", params=range(len(ROUNDS)))
def weighed(
    request: pytest.FixtureRequest, journey: Journey, decisions: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Weighed]:
    """Return what `mmrank predict` and `mmrank explain` say with a preferences table of other weights."""
    drawn, given = np.random.default_rng([20, request.param]), ROUNDS[request.param]
    sliders = {name: given or tuple(int(x) for x in drawn.integers(0, 101, len(TERMS))) for name in decisions}
    home = tmp_path_factory.mktemp("weighed")
    shutil.copytree(journey.fresh, home / "records")
    (home / "records" / "manifest.json").unlink()
    table = home / "records" / "preferences.parquet"
    before = pd.read_parquet(table)
    mine = [
        (name, term, float(value))
        for name, all_of in sliders.items()
        for term, value in zip(TERMS, all_of, strict=True)
    ]
    stated = pd.DataFrame(mine, columns=list(before.columns)).astype(before.dtypes.to_dict())
    pd.concat([before[~before["decision_id"].isin(decisions)], stated], ignore_index=True).to_parquet(table)
    predict(home / "records", journey.loaded, home / "out", Quiet())
    rows = pd.read_parquet(home / "out").set_index(["decision_id", "modality"])
    yield Weighed(sliders, rows, cards_of(journey, home / "records", decisions))


@dataclass(frozen=True)
class Shown:
    """What a card shows once its sliders have been moved."""

    places: list[dict[str, Any]]
    reasons: dict[str, list[tuple[str, float]]]
    spoken: list[str]
    contrasts: dict[tuple[str, str], tuple[list[float], str]]


def slide(page: Page, values: tuple[int, ...]) -> None:
    """Move every slider."""
    for term, value in zip(TERMS, values, strict=True):
        page.locator(f"#weight-{term}").fill(str(value))


@pytest.fixture(scope="module")
def shown(browser: Browser, files: dict[str, Path], weighed: Weighed) -> dict[str, Shown]:
    """Return what the cards show with those weights, and with each pair of modalities chosen."""
    found = {}
    for decision, path in files.items():
        with opened(browser, path) as seen:
            page, contrasts = seen.page, {}
            slide(page, weighed.sliders[decision])
            spoken, reasons = page.evaluate(SPOKEN), page.eval_on_selector_all("#reasons > [data-modality]", ITEMS)
            names = page.locator("#compare-first option").evaluate_all("all => all.map(one => one.value)")
            for first, second in permutations(names, 2):
                page.locator("#compare-first").select_option(first)
                page.locator("#compare-second").select_option(second)
                contrasts[first, second] = tuple(page.evaluate(PAIR))
            found[decision] = Shown(page.eval_on_selector_all("#places > li", PLACES), reasons, spoken, contrasts)
            seen.is_quiet()
    return found


def test_by_burden_alone_the_order_is_clear_and_mixed_with_control_some_are_tied(
    weighed: Weighed, shown: dict[str, Shown]
) -> None:
    """The weights must reach both, or the next test would compare ties with ties."""
    for decision, card in shown.items():
        places = [int(place["rank"]) for place in card.places if place.get("rank")]
        if weighed.sliders[decision] == (0, 0, 0, 0, 100):
            assert places == list(range(1, len(places) + 1))
        if weighed.sliders[decision] == (0, 0, 0, 0, 0):
            assert len(set(places)) < len(places)


def test_order_intervals_ranks_and_ties_become_those_of_predict(weighed: Weighed, shown: dict[str, Shown]) -> None:
    for decision, card in shown.items():
        rows, wanted = weighed.rows.loc[decision], in_display_order(weighed.cards[decision])

        assert [place["modality"] for place in card.places] == [row["modality"] for row in wanted]
        for place in card.places:
            row = rows.loc[place["modality"]]
            if pd.notna(row["suitability"]):
                told = [float(place[name]) for name in ("suitability", "low", "high")]
                names = ["suitability", "suitability_low", "suitability_high"]
                assert told == pytest.approx([row[name] for name in names], abs=TOLERANCE)
            if pd.notna(row["rank"]):
                assert (int(place["rank"]), int(place["shown"])) == (row["rank"], row["rank"])
                assert place["status"] == row["status"]
                assert set(filter(None, place["tied"].split(","))) == set(row["tied_with"])


def test_reasons_become_those_of_predict_and_add_up(weighed: Weighed, shown: dict[str, Shown]) -> None:
    for decision, card in shown.items():
        assert card.reasons
        assert "do not add up" not in " ".join(card.spoken)
        for modality, items in card.reasons.items():
            row, values = weighed.rows.loc[(decision, modality)], [value for _, value in items]
            facts = [weighed.cards[decision].fact(item["feature"]) for item in row["reasons"]]
            assert [label for label, _ in items] == facts
            assert values == pytest.approx([item["contribution"] for item in row["reasons"]], abs=TOLERANCE)
            assert row["baseline"] + sum(values) == pytest.approx(row["suitability"], abs=TOLERANCE)


def test_every_word_becomes_that_of_the_card_that_python_writes_with_those_weights(
    browser: Browser, weighed: Weighed, shown: dict[str, Shown], tmp_path: Path
) -> None:
    for decision, card in shown.items():
        other = tmp_path / "other.html"
        other.write_text(case_card(weighed.cards[decision]), encoding="utf-8")
        with opened(browser, other, scripts=False) as seen:
            assert card.spoken == seen.page.evaluate(SPOKEN)


def test_any_two_modalities_chosen_are_contrasted_and_the_items_add_up_to_the_gap(
    weighed: Weighed, shown: dict[str, Shown]
) -> None:
    for decision, card in shown.items():
        suitability = weighed.rows.loc[decision, "suitability"]
        assert len(card.contrasts) >= 2
        for (first, second), (items, words) in card.contrasts.items():
            gap = suitability[first] - suitability[second]
            assert sum(items) == pytest.approx(gap, abs=TOLERANCE)
            told = [float(number.replace(MINUS, "-")) for number in re.findall(rf"[+{MINUS}]?\d+\.\d+", words)]
            assert told == pytest.approx([suitability[first], suitability[second], gap, gap], abs=5.1e-4)


def test_contrasts_of_neighbours_are_those_of_predict(weighed: Weighed, shown: dict[str, Shown]) -> None:
    for decision, card in shown.items():
        for first, row in weighed.rows.loc[decision].dropna(subset=["versus_next"]).iterrows():
            items, _ = card.contrasts[str(first), row["versus_next"]["modality"]]
            wanted = [item["contribution"] for item in row["versus_next"]["items"]]
            assert items == pytest.approx(wanted, abs=TOLERANCE)


def test_with_scripts_off_the_card_is_whole_and_says_what_the_script_says(
    browser: Browser, files: dict[str, Path]
) -> None:
    for path in files.values():
        with opened(browser, path) as seen:
            live = seen.page.evaluate(SPOKEN)
            titles = seen.page.locator("section h2").all_inner_texts()
        with opened(browser, path, scripts=False) as seen:
            assert seen.requests == [seen.url]
            assert seen.said == []
            assert seen.page.locator("section h2").all_inner_texts() == titles
            assert not seen.page.locator("#preferences").is_visible()
            assert not seen.page.locator("#compare").is_visible()
            assert seen.page.locator("#reasons > details").count() > 1
            seen.page.locator("#reasons > details:not([open]) summary").first.click()
            assert seen.page.evaluate(SPOKEN) == live


def test_sliders_move_by_keyboard_and_one_key_brings_the_recorded_weights_back(
    browser: Browser, files: dict[str, Path]
) -> None:
    with opened(browser, next(iter(files.values()))) as seen:
        page = seen.page
        before = page.evaluate(SPOKEN)
        page.locator("#weight-burden").focus()
        page.keyboard.press("End")
        assert page.locator("#weight-burden").input_value() == "100"
        assert page.locator("#reweighed").is_visible()
        assert page.evaluate(SPOKEN) != before
        page.locator("#reset-weights").focus()
        page.keyboard.press("Enter")

        assert not page.locator("#reweighed").is_visible()
        assert page.evaluate(SPOKEN) == before
        seen.is_quiet()


def test_the_address_holds_the_weights_and_opens_the_same_card_again(browser: Browser, files: dict[str, Path]) -> None:
    path = next(iter(files.values()))
    with opened(browser, path) as seen:
        slide(seen.page, (10, 20, 30, 40, 50))
        address, wanted = seen.page.url, seen.page.evaluate(SPOKEN)
        assert re.fullmatch(r"file://\S+\.html#w=[\d.,]+", address)
    with opened(browser, path) as seen:
        seen.page.goto(address)
        seen.page.reload()
        assert seen.page.evaluate(SPOKEN) == wanted
