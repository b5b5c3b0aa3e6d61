"""A model compared with itself changes nothing; one with other weights flips what arithmetic says, and no more."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.advice import Advice
from pipeline.errors import SchemaError
from pipeline.evaluate.challenger import NOBODY, changed_checks, changed_keys, compared, first_places, flips
from pipeline.guardrails import Overrides
from pipeline.ranker import burden
from pipeline.review import review_page, review_sections
from pipeline.runs import comparing
from pipeline.runs.comparing import FLIPS, compare_with, scored_by_both, what_changed
from pipeline.runs.model_dir import load_model, save_model
from pipeline.runs.predict import advice_for
from pipeline.runs.reading import read_known
from pipeline.runs.reporting import Quiet
from pipeline.runs.reviews import write_review
from pipeline.runs.setup import SETTINGS, setup_of
from pipeline.vocabulary import HIGHER_IS_BETTER
from tests.conftest import Journey

pytestmark = pytest.mark.xdist_group("journey")

OTHER = {"durable_control": 0.10, "treatment_free": 0.60}
"""Weights of a champion that would rather be off treatment."""


@pytest.fixture(scope="module")
def champion(journey: Journey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run directory of the same learned model, saved with other weights and without an evaluation."""
    home = tmp_path_factory.mktemp("champion") / "run"
    text = journey.setup.texts[SETTINGS]
    for name, weight in OTHER.items():
        text = re.sub(rf"\n  {name}: 0\.\d+", f"\n  {name}: {weight}", text)
    setup = setup_of({**journey.setup.texts, SETTINGS: text}, "a champion's configuration")
    save_model(home / "model", journey.loaded.adviser.model, setup, dict(journey.loaded.about))
    return home


def _first_by_hand(journey: Journey, weights: dict[str, float]) -> dict[str, str]:
    """Return each decision's best rankable modality by the weighted sum of its outcomes."""
    loaded, setup = journey.loaded, journey.setup
    known = read_known(journey.fresh, setup, training=False, reporter=Quiet())
    advice = advice_for(known, loaded, known.features, Overrides())
    outcomes = advice.standing.outcomes
    names = [target.name for target in loaded.adviser.model.targets]
    cost = burden(setup.config.modalities, known.features["distance_km"].to_numpy(dtype=float))
    own = {name: np.full(len(known.features), weights[name]) for name in (*names, "burden")}
    stated = known.preferences[known.preferences["outcome"].isin(own)]
    place = {decision: k for k, decision in enumerate(known.features["decision_id"])}
    for row in stated.to_dict("records"):
        own[row["outcome"]][place[row["decision_id"]]] = row["weight"]
    signs = [1 if HIGHER_IS_BETTER[name] else -1 for name in names]
    value = sum(
        sign * own[name][:, None] * outcomes[:, :, k] for k, (name, sign) in enumerate(zip(names, signs, strict=True))
    )
    value = value - own["burden"][:, None] * cost
    rankable = np.isin(advice.standing.status, ["ranked", "tied"])
    best = np.where(rankable, value, -np.inf).argmax(axis=1)
    chosen = [setup.config.modality_ids[k] if rankable[i, k] else NOBODY for i, k in enumerate(best)]
    return dict(zip(advice.standing.decisions, chosen, strict=True))


def test_a_model_compared_with_itself_has_no_flip(journey: Journey) -> None:
    counts, table = scored_by_both(journey.fresh, journey.loaded, journey.loaded, Quiet())
    found = what_changed(journey.loaded, journey.loaded, journey.trained.evaluation, journey.trained.evaluation)

    assert table is not None and len(table) == counts["decisions"] > 50
    assert (counts["flipped"], counts["reasons"], counts["only_old"], counts["only_new"]) == (0, [], 0, 0)
    matrix = np.array(counts["matrix"])
    assert matrix.sum() == len(table) and np.trace(matrix) == len(table)
    assert found["settings"] == [] and found["checks"] == [] and found["cohort"]["same_records"]
    nothing = {"added": [], "removed": [], "changed": []}
    assert all({key: found[part][key] for key in nothing} == nothing for part in ("features", "files", "rules"))
    assert all(row["old"] == row["new"] for row in found["metrics"])


def test_a_champion_of_other_weights_flips_what_arithmetic_says(journey: Journey, champion: Path) -> None:
    old = load_model(str(champion), journey.workspace)
    counts, table = scored_by_both(journey.fresh, old, journey.loaded, Quiet())
    defaults = journey.setup.config.weights(target.name for target in journey.loaded.adviser.model.targets)
    was, now = _first_by_hand(journey, defaults | OTHER), _first_by_hand(journey, defaults)

    assert table is not None
    assert dict(zip(table["decision_id"], table["old_first"], strict=True)) == was
    assert dict(zip(table["decision_id"], table["new_first"], strict=True)) == now
    flipped = [decision for decision in was if was[decision] != now[decision]]
    assert 0 < counts["flipped"] == len(flipped) < len(was)
    told = table[table["old_first"] != table["new_first"]]
    assert sum(row["count"] for row in counts["reasons"]) == len(told) and (told["top_reason"] != "").all()
    gained = told["new_suitability_of_new_first"] - told["new_suitability_of_old_first"]
    assert (gained > 0).all()
    assert (told["old_suitability_of_old_first"] >= told["old_suitability_of_new_first"]).all()
    assert (told["top_reason_change"] > 0).all()


def test_settings_that_differ_are_named_with_both_values(journey: Journey, champion: Path) -> None:
    old = load_model(str(champion), journey.workspace)
    found = what_changed(old, journey.loaded, None, journey.trained.evaluation)

    assert {(entry["key"], entry["old"], entry["new"]) for entry in found["settings"]} == {
        ("weights.durable_control", "0.1", "0.4"),
        ("weights.treatment_free", "0.6", "0.15"),
    }
    assert any("not on one scale" in words for words in found["words"])
    assert any("not beside it" in words for words in found["words"])


@pytest.mark.parametrize("show_identifiers", [False, True])
def test_cases_are_named_only_where_asked_and_never_on_the_page(
    journey: Journey, champion: Path, tmp_path: Path, show_identifiers: bool
) -> None:
    out = tmp_path / "review.html"
    arguments: dict[str, Any] = {"records": journey.fresh, "show_identifiers": show_identifiers}
    own = str(journey.trained.run_directory)
    found = compare_with(own, str(champion), journey.workspace, out, Quiet(), **arguments)
    write_review(own, journey.workspace, out, against=found)
    page, text = out.read_text(encoding="utf-8"), (tmp_path / FLIPS).read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    ids = set(read_known(journey.fresh, journey.setup, training=False, reporter=Quiet()).features["decision_id"])

    assert len(rows) == found["flips"]["flipped"]
    assert ("decision_id" in rows[0]) == show_identifiers
    assert bool(ids & {cell for row in rows for cell in row.values()}) == show_identifiers
    assert not [name for name in ids if name in page or name in json.dumps(found)]
    assert 'id="against"' in page and page.index('id="checks"') < page.index('id="against"')
    assert "Settings that differ" in page


def _advice(names: tuple[str, ...], contributions: Any, suitability: Any, status: Any, ids: tuple[str, ...]) -> Advice:
    class Told:
        pass

    standing, explanation, advice = Told(), Told(), Told()
    values = np.asarray(suitability, dtype=float)
    standing.decisions = tuple(f"d{k}" for k in range(len(values)))  # type: ignore[attr-defined]
    standing.modalities, standing.suitability = ids, values  # type: ignore[attr-defined]
    standing.status = np.asarray(status)  # type: ignore[attr-defined]
    standing.rank = np.where(np.isin(status, ["ranked", "tied"]), 1.0, np.nan)  # type: ignore[attr-defined]
    explanation.names, explanation.contributions = names, np.asarray(contributions, dtype=float)  # type: ignore[attr-defined]
    explanation.baseline = np.zeros(values.shape)  # type: ignore[attr-defined]
    advice.standing, advice.explanation = standing, explanation  # type: ignore[attr-defined]
    return advice  # type: ignore[return-value]


def test_models_of_other_features_and_modalities_are_compared_by_name() -> None:
    old = _advice(
        ("age", "burden"), [[[0.3, 0.0], [0.1, 0.0]]] * 2, [[0.3, 0.1]] * 2, [["ranked", "ranked"]] * 2, ("a", "b")
    )
    new = _advice(
        ("ferritin", "age", "burden"),
        [[[0.4, 0.1, 0.0], [0.0, 0.1, 0.0], [0.0, 0.0, 0.0]], [[0.0, 0.1, 0.0], [0.0, 0.1, 0.0], [0.0, 0.0, 0.0]]],
        [[0.5, 0.1, 0.0], [0.1, 0.1, 0.0]],
        [["ranked", "ranked", "ranked"], ["blocked", "blocked", "blocked"]],
        ("b", "a", "c"),
    )
    table = compared(old, new)

    assert list(table["old_first"]) == ["a", "a"] and list(table["new_first"]) == ["b", NOBODY]
    assert table["top_reason"].iloc[0] == "ferritin" and table["top_reason_change"].iloc[0] == pytest.approx(0.4)
    assert table["top_reason"].iloc[1] == "a is now blocked"
    counts = flips(table, ["a", "b", "c"])
    assert counts["matrix"] == [[0, 1, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert first_places(new.standing) == ["b", NOBODY]


def test_a_champion_that_cannot_read_the_records_says_why(
    journey: Journey, champion: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = load_model(str(champion), journey.workspace)

    def reads(records: Path, setup: Any, **asked: Any) -> Any:
        if setup is old.setup:
            raise SchemaError("drugs.csv: no column route")
        return read_known(records, setup, **asked)

    monkeypatch.setattr(comparing, "read_known", reads)
    counts, table = scored_by_both(journey.fresh, old, journey.loaded, Quiet())

    assert table is None
    assert counts == {
        "words": "The champion could not read these records, so no case can be compared: drugs.csv: no column route"
    }


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": {"b": 1, "c": [1, 2]}}, {"a": {"b": 2, "c": [1, 2]}}, [("a.b", "1", "2")]),
        ({"a": [1]}, {"a": [1, 2]}, [("a", "1", "1, 2")]),
        ({}, {"a": {"b": True}}, [("a", "not there", "b: True")]),
    ],
)
def test_settings_are_compared_leaf_by_leaf(old: Any, new: Any, told: list[tuple[str, str, str]]) -> None:
    assert [(entry["key"], entry["old"], entry["new"]) for entry in changed_keys(old, new)] == told


def test_checks_with_another_result_are_named_also_new_ones() -> None:
    old = [{"code": "C01", "title": "One", "result": "pass"}, {"code": "C02", "title": "Two", "result": "issue"}]
    new = [{"code": "C01", "title": "One", "result": "issue"}, {"code": "C02", "title": "Two", "result": "issue"}]
    new.append({"code": "C20", "title": "Later", "result": "pass"})

    assert [(c["code"], c["old"], c["new"]) for c in changed_checks(old, new)] == [
        ("C01", "pass", "issue"),
        ("C20", "not there", "pass"),
    ]


def test_small_counts_of_flips_are_masked() -> None:
    matrix = [[200, 3, 0], [40, 100, 0], [0, 0, 0]]
    found = {
        "decisions": 343,
        "flipped": 43,
        "clear_both": 120,
        "clear_flipped": 2,
        "places": ["a", "b", NOBODY],
        "matrix": matrix,
        "reasons": [{"reason": "ferritin", "count": 40}, {"reason": "age", "count": 3}],
        "only_old": 4,
        "only_new": 0,
    }
    section = next(
        s for s in review_sections({"against": {"old": "x", "new": "y", "flips": found}}) if s.anchor == "against"
    )
    told = [cell.text for block in section.blocks for line in getattr(block, "rows", ()) for cell in line]
    page = review_page({"against": {"old": "x", "new": "y", "flips": found}})

    assert "3" not in told and "<11" in told and "masked" in told
    assert "champion's cohort only: &lt;11" in page.replace("&#39;", "'")
