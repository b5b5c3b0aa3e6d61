"""Does the card's script rank, tie and explain as Python does, for any weights and to the last digit?"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.advice import Advice, advise
from pipeline.guardrails import Overrides
from pipeline.learners import pair_half_widths
from pipeline.review import CaseCard, case_card
from pipeline.review.card_weighing import embedded, weighing
from pipeline.review.case import in_display_order
from pipeline.review.templating import script
from pipeline.runs.cards import card_of
from pipeline.runs.predict import advice_for
from pipeline.runs.reading import Known, read_known
from pipeline.runs.reporting import Quiet
from pipeline.runs.train import shard_of
from tests.conftest import Journey
from tests.review.reading_back import read_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.xdist_group("weighing anew"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; install Debian's package chromium"),
]
CASES, DRAWS = 5, 12
EXACT = 1e-9
DRIVER = """
const results = [];
for (const { card, weights } of JSON.parse(document.getElementById("cases").textContent)) {
  for (const own of weights) {
    const state = weighed(card, own), places = state.places;
    const fact = (items) => items.map((item) => [item.fact, item.contribution]);
    const names = (own) => own.map((place) => place.modality.name);
    const modelled = places.filter((place) => place.suitability !== null);
    const ranked = places.filter((place) => place.rank);
    results.push({
      headline: headline(places),
      places: places.map((place) => [place.modality.name, place.suitability, place.low, place.high,
        place.rank, place.modelRank, place.status, names(place.tied || [])].map((value) => value ?? null)),
      reasons: modelled.map((place) => [place.modality.name, place.baseline, fact(reasons(card, place))]),
      next: ranked.slice(1).map((b, k) =>
        [ranked[k].modality.name, b.modality.name, fact(contrast(card, ranked[k], b))]),
      pairs: modelled.flatMap((a) => modelled.filter((b) => a !== b).map((b) => [a.modality.name, b.modality.name,
        total(contrast(card, a, b)), gapWidth(card, state.deviations, a, b)])),
    });
  }
}
document.getElementById("out").textContent = JSON.stringify(results);
"""


@dataclass(frozen=True)
class Case:
    """One decision: its card, and what Python says of it for each of some weights."""

    card: CaseCard
    weights: list[list[float]]
    advices: list[Advice]


def dumped(page: Path, fragment: str = "") -> str:
    """Return the page as a browser without a network has it once its script has run."""
    words = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={page.parent / 'profile'}"]
    done = subprocess.run(
        [*words, "--dump-dom", f"{page.as_uri()}{fragment}"], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout


def names_of(journey: Journey) -> list[str]:
    return [*(target.name for target in journey.loaded.adviser.model.targets), "burden"]


def weighed_by(known: Known, journey: Journey, features: pd.DataFrame, weights: list[float]) -> Advice:
    """Return the advice for a patient who gave these weights."""
    shard = shard_of(known, features)
    stated = pd.DataFrame({"outcome": names_of(journey), "weight": weights})
    return advise(
        journey.loaded.adviser, replace(shard, preferences=stated.assign(decision_id=features["decision_id"].iloc[0]))
    )


def drawn_weights(rng: np.random.Generator, count: int) -> list[list[float]]:
    """Return weights of every kind: even, lopsided, one outcome alone, all 0, and as sliders make them."""
    even = rng.dirichlet(np.ones(count), DRAWS // 2)
    lopsided = rng.dirichlet(np.full(count, 0.2), DRAWS // 4)
    sliders = rng.integers(0, 101, size=(DRAWS // 4, count)) / 100
    return [*np.concatenate([even, lopsided, sliders, np.eye(count)]).tolist(), [0.0] * count]


@pytest.fixture(scope="module")
def known(journey: Journey) -> Known:
    return read_known(journey.fresh, journey.loaded.setup, training=False, reporter=Quiet())


@pytest.fixture(scope="module")
def cases(journey: Journey, known: Known) -> list[Case]:
    rng, found = np.random.default_rng(5), []
    for row in range(CASES):
        features = known.features.iloc[[7 * row]].reset_index(drop=True)
        advice = advice_for(known, journey.loaded, features, Overrides())
        card = card_of(known, journey.loaded, features, advice, show_identifiers=False)
        weights = drawn_weights(rng, len(names_of(journey)))
        found.append(Case(card, weights, [weighed_by(known, journey, features, own) for own in weights]))
    return found


@pytest.fixture(scope="module")
def said(cases: list[Case], tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Return what the card's own script says of every case and weights."""
    held = [{"card": weighing(in_display_order(case.card), case.card), "weights": case.weights} for case in cases]
    page = tmp_path_factory.mktemp("driven") / "page.html"
    page.write_text(
        f'<!DOCTYPE html><svg></svg><pre id="out"></pre><script type="application/json" id="cases">'
        f"{embedded({'all': held})}</script><script>{script('card.js')}</script>"
        f"<script>{DRIVER.replace('.textContent))', '.textContent).all)')}</script>"
    )
    found = re.search(r'<pre id="out">(.*?)</pre>', dumped(page), re.DOTALL)
    assert found is not None
    return list(json.loads(read_page(found.group(1)).text))


def test_suitability_intervals_ranks_and_ties_are_those_of_python(
    cases: list[Case], said: list[dict[str, Any]]
) -> None:
    advices = [advice for case in cases for advice in case.advices]
    orders = set()
    for advice, own in zip(advices, said, strict=True):
        rows = advice.predictions.set_index("modality")
        orders.add(tuple(place[0] for place in own["places"]))
        for name, value, low, high, rank, model_rank, status, tied in own["places"]:
            row = rows.loc[name]
            got = np.array([value, low, high], dtype=float)
            wanted = row[["suitability", "suitability_low", "suitability_high"]].to_numpy(dtype=float)
            np.testing.assert_allclose(got, wanted, rtol=0, atol=EXACT)
            assert rank == (None if pd.isna(row["rank"]) else row["rank"])
            assert model_rank == (None if pd.isna(row["model_rank"]) else row["model_rank"])
            assert status in (None, row["status"])
            assert (status is None) == (row["status"] not in ("ranked", "tied"))
            assert tied == list(row["tied_with"])

    assert len(said) == CASES * (DRAWS + 6)
    assert len(orders) > 3
    assert len({place[6] for own in said for place in own["places"]}) == 3


def test_reasons_and_contrasts_are_those_of_python(cases: list[Case], said: list[dict[str, Any]]) -> None:
    flat = [(case, advice) for case in cases for advice in case.advices]
    compared = 0
    for (case, advice), own in zip(flat, said, strict=True):
        assert case.card.unweighed is not None
        names = (*case.card.unweighed.names, "burden", "all_other", "average_difference")
        rows = {row["modality"]: row for row in advice.predictions.to_dict("records")}
        nexts = {first: (second, items) for first, second, items in own["next"]}
        listed = [(rows[name]["reasons"], items) for name, _, items in own["reasons"]]
        listed += [(rows[name]["versus_next"]["items"], items) for name, (_, items) in nexts.items()]
        for wanted, items in listed:
            assert [names[fact] for fact, _ in items] == [item["feature"] for item in wanted]
            got = np.array([contribution for _, contribution in items])
            np.testing.assert_allclose(got, [item["contribution"] for item in wanted], rtol=0, atol=EXACT)
            compared += len(items)
        for name, baseline, items in own["reasons"]:
            assert baseline == pytest.approx(rows[name]["baseline"], rel=0, abs=EXACT)
            assert baseline + sum(value for _, value in items) == pytest.approx(rows[name]["suitability"], abs=EXACT)
        following = {name: row["versus_next"]["modality"] for name, row in rows.items() if row["versus_next"]}
        assert following == {first: second for first, (second, _) in nexts.items()}

    assert compared > 2000


def test_any_two_modalities_add_up_to_their_gap_with_its_interval(
    cases: list[Case], said: list[dict[str, Any]]
) -> None:
    advices = [advice for case in cases for advice in case.advices]
    for advice, own in zip(advices, said, strict=True):
        place = advice.standing.modalities.index
        half, value = pair_half_widths(advice.standing.deviations)[0], advice.standing.suitability[0]
        for first, second, gap, width in own["pairs"]:
            a, b = place(first), place(second)
            assert gap == pytest.approx(value[a] - value[b], rel=0, abs=EXACT)
            assert width == pytest.approx(half[a, b], rel=0, abs=EXACT)


def part(page: str, name: str) -> str:
    """Return the words inside the element with an id, drawings' words included."""
    start = re.search(rf'<(\w+)[^>]*\bid="{name}"[^>]*>', page)
    assert start is not None, name
    tag, depth = start.group(1), 0
    for mark in re.finditer(rf"<(/?){tag}\b[^>]*>", page[start.start() :]):
        depth += -1 if mark.group(1) else 1
        if depth == 0:
            inside = page[start.start() : start.start() + mark.end()]
            return read_page(re.sub(r'<p class="was".*?</p>', "", inside)).text.strip()
    raise AssertionError(name)


@pytest.mark.parametrize("draw", [0, 7, 10, 13, 17])
def test_the_page_reads_as_pythons_card_for_the_same_weights(
    cases: list[Case], journey: Journey, known: Known, tmp_path: Path, draw: int
) -> None:
    case = cases[draw % CASES]
    weights, page = case.weights[draw], tmp_path / "card.html"
    page.write_text(case_card(case.card))
    opened = dumped(page, f"#w={','.join(map(repr, weights))}")
    rows = [dict(row) for row in case.advices[draw].predictions.to_dict("records")]
    wanted = case_card(replace(case.card, rows=rows))

    for name in ("headline", "places", "reasons", "neighbours"):
        assert part(opened, name) == part(wanted, name)
    assert ("Weighed anew on this page" in opened) is (weights != list(case.card.weights.values()))
