"""A card whose outcomes can be weighed anew: one script known by its hash, plain data, and text that stays text."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.explain import Unweighed
from pipeline.review import CaseCard, card_index, case_card, index_line
from pipeline.review.card_weighing import embedded
from tests.review.conftest import ARMS, OUTCOMES, WEIGHTS
from tests.review.reading_back import PageReader, read_page
from tests.review.test_review_page import PAYLOADS, with_every_text

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FEATURES = ("exposed_bcma_target", "simplified_frailty", "log2_easix", "extramedullary_disease")


def weighable(card: CaseCard) -> CaseCard:
    """Return the card with what its suitabilities are made of; numbers are invented."""
    rng, shape = np.random.default_rng(3), (len(ARMS), len(OUTCOMES))
    parts = Unweighed(
        arms=tuple(ARMS),
        targets=OUTCOMES,
        signs=(1.0, 1.0, -1.0, -1.0),
        names=FEATURES,
        values=("0", None, "0.83", "1"),
        outcomes=rng.random(shape),
        baseline=rng.random(shape),
        contributions=rng.normal(0, 0.1, (*shape, len(FEATURES))),
        root=rng.normal(0, 0.02, (5, *shape)),
    )
    similar = {
        "people": {"adc": 41, "bispecific": None, "car_t": 130, "standard_triplet": 0},
        "curves": {"adc": [1.0, 0.9, 0.8], "car_t": [1.0, *[0.7] * 12]},
        "alike": [
            {"feature": "simplified_frailty", "over": 1.0, "answer": False, "known": False},
            {"feature": "exposed_bcma_target", "over": 0.5, "answer": False, "known": True},
            {"feature": "sex", "is": "male", "answer": False, "known": True},
        ],
        "horizon_months": 12,
    }
    typical = {"simplified_frailty": 1.0, "exposed_bcma_target": 1.0, "log2_easix": 0.4}
    return dataclasses.replace(
        card, unweighed=parts, default_weights=WEIGHTS, typical=typical, similar=similar, top_reasons=3
    )


def poisoned(card: CaseCard, text: str) -> CaseCard:
    """Return the card with a text added to every text in it that is not a key of the program."""
    fields = {field.name: getattr(card, field.name) for field in dataclasses.fields(card)}
    kept = {name: fields.pop(name) for name in ("rows", "weights", "arm_evidence", "estimands", "unweighed")}
    rows = [dict(row) for row in kept["rows"]]
    for row in rows:
        for key in ("reasons", "rules", "products", "overrides", "missing_facts", "versus_next"):
            row[key] = with_every_text(row[key], lambda old: old + text)
        row |= {"abstain_reason": text, "patient_id": text, "records_digest": text, "verdict": text}
    estimands = [{**entry, "label": text, "definition": text, "competing": text} for entry in kept["estimands"]]
    own = dataclasses.replace(kept["unweighed"], values=(text, text, text, None))
    words = with_every_text(fields, lambda old: old + text)
    words["feature_meanings"] = {name: (f"{name} {text}", text) for name in FEATURES}
    return CaseCard(
        **{**words, **kept, "rows": rows, "estimands": estimands, "unweighed": own, "show_identifiers": True}
    )


def policy_of(page: str) -> str:
    reader = read_page(page)
    (found,) = [a["content"] for _, a in reader.elements if a.get("http-equiv") == "Content-Security-Policy"]
    return found


def scripts_in(page: str) -> list[tuple[str, str]]:
    return re.findall(r"<script([^>]*)>(.*?)</script>", page, re.DOTALL)


def opened(page: str, home: Path, fragment: str = "") -> tuple[str, str]:
    """Return the page once its script has run, and what the browser's console said."""
    (home / "card.html").write_text(page)
    words = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={home / 'profile'}"]
    words += ["--enable-logging=stderr", "--dump-dom", (home / "card.html").as_uri() + fragment]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; install Debian's package chromium")


def test_the_policy_allows_this_script_and_this_style_alone(card: CaseCard) -> None:
    page = case_card(weighable(card))
    data, code = scripts_in(page)
    style = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)

    def hashed(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    assert policy_of(page) == (
        f"default-src 'none'; style-src {hashed(style[0])}; script-src {hashed(code[1])}; "
        "base-uri 'none'; form-action 'none'"
    )
    assert data[0].strip() == 'type="application/json" id="weighing"'
    assert code[0] == ""
    assert not re.findall(r"\b(eval|Function|innerHTML|outerHTML|fetch|XMLHttpRequest|WebSocket|import)\b", code[1])


@pytest.mark.parametrize("with_script", [True, False])
def test_a_card_refers_to_nothing_outside_itself(card: CaseCard, with_script: bool) -> None:
    page = case_card(weighable(card) if with_script else card)
    reader = read_page(page)

    assert not {"link", "iframe", "img", "object", "form", "base", "image", "use"} & set(reader.tags)
    assert reader.tags.count("script") == (2 if with_script else 0)
    assert "script-src 'none'" in policy_of(page) or with_script
    assert not re.findall(r"https?://|@import", page)
    for _, attrs in reader.elements:
        assert not {name for name in attrs if name.startswith("on") or name in {"src", "style", "action"}}
        assert attrs.get("href", "#").startswith("#")


@pytest.mark.parametrize("payload", [*PAYLOADS, "</script><script>alert(1)</script>", "<!--<script>", "\u2028\u2029"])
def test_hostile_text_in_the_data_of_the_script_stays_text(card: CaseCard, payload: str) -> None:
    plain, hostile = (case_card(poisoned(weighable(card), text)) for text in (" x", f" {payload}"))
    data = scripts_in(hostile)[0][1]

    assert read_page(hostile).tags == read_page(plain).tags
    assert policy_of(hostile) == policy_of(plain)
    assert json.loads(data)["facts"][0][0].startswith(FEATURES[0])
    assert data.isascii()
    assert not set(data) & set("<>&")


def test_embedded_data_read_back_as_they_were() -> None:
    document = {"words": "</script>\u2028&<b>", "number": 0.1 + 0.2, "small": 5e-324, "list": [None, True]}

    assert json.loads(embedded(document)) == document


def without_scripts(page: str) -> PageReader:
    return read_page(re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL))


@needs_browser
def test_hostile_text_stays_text_while_the_script_runs(card: CaseCard, tmp_path: Path) -> None:
    hostile = case_card(poisoned(weighable(card), " ".join(PAYLOADS)))
    plain = case_card(poisoned(weighable(card), " x"))
    for home in ("plain", "hostile"):
        (tmp_path / home).mkdir()
    fragment = "#w=0.1,0.2,0.3,0.4,0.5&pair=1,3"
    seen, said = opened(hostile, tmp_path / "hostile", fragment)
    wanted, _ = opened(plain, tmp_path / "plain", fragment)

    assert said == ""
    assert 'id="preferences" class="sheet on-screen"' in seen.replace(' hidden=""', "")
    assert [tag for tag in without_scripts(seen).tags if tag != "span"] == [
        tag for tag in without_scripts(wanted).tags if tag != "span"
    ]


def as_ranked(card: CaseCard, **changes: dict[str, Any]) -> CaseCard:
    rows = [{**row, **changes.get(str(row["modality"]), changes.get("every", {}))} for row in card.rows]
    return dataclasses.replace(card, rows=rows)


def one_modality(card: CaseCard) -> CaseCard:
    parts = card.unweighed
    assert parts is not None
    own = dataclasses.replace(
        parts,
        arms=parts.arms[1:2],
        outcomes=parts.outcomes[1:2],
        baseline=parts.baseline[1:2],
        contributions=parts.contributions[1:2],
        root=parts.root[:, 1:2],
    )
    return dataclasses.replace(card, unweighed=own, rows=[row for row in card.rows if row["modality"] == "bispecific"])


def all_alike(card: CaseCard) -> CaseCard:
    assert card.unweighed is not None
    return dataclasses.replace(
        as_ranked(card, every={"status": "tied", "rank": 1}),
        unweighed=dataclasses.replace(card.unweighed, root=10 * card.unweighed.root),
        rows=[{**row, "status": "tied", "rank": 1} for row in card.rows if row["modality"] != "celmod"],
    )


NO_RANK: dict[str, Any] = {"rank": None, "versus_next": None, "tied_with": []}
CASES = {
    "as it is": (lambda card: card, "Order now: 1 "),
    "all blocked": (lambda card: as_ranked(card, every={"status": "blocked", **NO_RANK}), "No modality could be"),
    "all abstained": (lambda card: as_ranked(card, every={"status": "abstained", **NO_RANK}), "No modality could be"),
    "one modality": (one_modality, "Order now: 1 Bispecific antibody"),
    "all tied": (all_alike, "share the first place"),
    "no reasons, rules or labels": (
        lambda card: dataclasses.replace(
            card,
            rows=[{"modality": row["modality"], "status": row["status"], "rank": row["rank"]} for row in card.rows],
            estimands=(), rules={}, feature_meanings={}, modality_labels={}, similar={}, typical={},
        ),
        "Order now: 1 ",
    ),
}  # fmt: skip


@needs_browser
@pytest.mark.parametrize("name", CASES)
def test_the_script_runs_quietly_on_every_kind_of_card(card: CaseCard, tmp_path: Path, name: str) -> None:
    change, told = CASES[name]
    page, said = opened(case_card(change(weighable(card))), tmp_path, "#w=0.3,0.3,0.2,0.1,0.1")
    reader = read_page(page)
    by_id = {attrs["id"]: attrs for _, attrs in reader.elements if "id" in attrs}

    assert said == ""
    assert "hidden" not in by_id["preferences"]
    assert ("hidden" in by_id["compare"]) is (name == "one modality")
    assert told in without_scripts(page).text
    assert "NaN" not in without_scripts(page).text


@needs_browser
@pytest.mark.parametrize(
    "fragment", ["#w=1,2", "#w=a,b,c,d,e", "#w=-1,1,1,1,1", "#pair=9,9", "#pair=1,1", "#<img src=x>"]
)
def test_an_address_that_makes_no_sense_is_not_followed(card: CaseCard, tmp_path: Path, fragment: str) -> None:
    page, said = opened(case_card(weighable(card)), tmp_path, fragment)

    assert said == ""
    assert "Weighed anew" not in without_scripts(page).text


def test_people_alike_are_told_with_masked_counts_and_curves_that_have_a_twin(card: CaseCard) -> None:
    text = read_page(case_card(weighable(card))).text

    assert "Simplified frailty at most 1 point (not known of this patient; the typical value is taken)" in text
    assert "Exposed to a BCMA-directed drug: no" in text
    assert "sex: not male" in text
    assert "Antibody-drug conjugate 41" in text
    assert "Bispecific antibody <11, or masked" in text
    assert "too few followed" in text
    assert "Raw curves of what was recorded, not adjusted" in text
    assert "no published figures are mixed in" in text


def test_reasons_tell_what_is_typical(card: CaseCard) -> None:
    text = read_page(case_card(weighable(card))).text

    assert "2 points (typical here: 1" in text
    assert "no (typical here: yes)" in text


@pytest.mark.parametrize("shown", [True, False])
def test_an_index_names_cards_and_results_and_decisions_only_when_asked(card: CaseCard, shown: bool) -> None:
    own = dataclasses.replace(card, show_identifiers=shown)
    page = card_index([index_line("card-0001.html", own)], simulated=True)

    assert "Bispecific antibody and Antibody-drug conjugate share the first place" in page
    assert '<a href="card-0001.html">' in page
    assert "unknown: needs" in page
    assert ("decision-4711" in page) is shown
    assert "patient-0815" not in page
    assert "Simulated data." in page
