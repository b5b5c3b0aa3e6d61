"""The review page says all that the evaluation holds, and nothing else can get in or out."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.review import review_page, review_sections
from pipeline.review.blocks import Figure
from pipeline.review.templating import CONTENT_POLICY
from tests.review.reading_back import drawings_in, read_page

PAYLOADS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "</style><script>alert(1)</script>",
    "</title><iframe src='javascript:alert(1)'>",
    "{{ 7*7 }}{% raw %}",
    "javascript:alert(1)",
    "<!-- --><b onmouseover=alert(1)>x</b>",
    "&lt;script&gt;",
    "\x00<scr\u202eipt>",
    "]]><![CDATA[<script>",
    "<math><mtext></math><a href='https://example.org'>x</a>",
)


def with_every_text(value: Any, change: Callable[[str], str], *, inside_names: tuple[str, ...] = ()) -> Any:
    """Change every text of nested lists and mappings; keys change only below the named entries."""
    if isinstance(value, dict):
        renamed = {}
        for key, entry in value.items():
            free = (
                key in {"by_modality", "histogram", "software", "events", "censored_before_horizon"} or "weights" in key
            )
            below = with_every_text(entry, change)
            renamed[key] = (
                {change(name): item for name, item in below.items()} if free and isinstance(below, dict) else below
            )
        return renamed
    if isinstance(value, list | tuple):
        return [with_every_text(entry, change) for entry in value]
    return change(value) if isinstance(value, str) else value


def shortened(node: Any, key: str = "") -> Any:
    """Return an evaluation with one entry per list, where the list is not a row of numbers."""
    if isinstance(node, dict):
        return {name: shortened(entry, name) for name, entry in node.items()}
    if isinstance(node, list) and node and isinstance(node[0], dict):
        return [shortened(entry) for entry in node[:1]]
    return node


def with_every_part_removed(evaluation: dict[str, Any], replacement: Any) -> list[dict[str, Any]]:
    """Return copies in which one part, at any depth, is replaced."""
    found: list[dict[str, Any]] = []

    def walk(node: Any, path: tuple[Any, ...]) -> None:
        entries = node.items() if isinstance(node, dict) else enumerate(node[:1]) if isinstance(node, list) else ()
        for key, entry in entries:
            changed = copy.deepcopy(evaluation)
            target: Any = changed
            for step in path:
                target = target[step]
            target[key] = replacement
            found.append(changed)
            walk(entry, (*path, key))

    walk(evaluation, ())
    return found


def test_the_page_can_load_run_and_send_nothing(evaluation: dict[str, Any]) -> None:
    for page in (review_page(evaluation),):
        reader = read_page(page)
        policies = [
            attrs["content"] for tag, attrs in reader.elements if attrs.get("http-equiv") == "Content-Security-Policy"
        ]
        assert policies == [CONTENT_POLICY]
        assert CONTENT_POLICY.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")
        assert not {"script", "link", "iframe", "img", "object", "form", "base", "image", "use"} & set(reader.tags)
        assert not re.findall(r"https?://|@import", page)
        assert set(re.findall(r"url\((.)", page)) == {"#"}
        for _, attrs in reader.elements:
            assert not {name for name in attrs if name.startswith("on") or name in {"src", "style", "action"}}
            assert attrs.get("href", "#").startswith("#")


@pytest.mark.parametrize("payload", PAYLOADS)
def test_hostile_text_anywhere_stays_text(evaluation: dict[str, Any], payload: str) -> None:
    plain = read_page(review_page(with_every_text(evaluation, lambda text: text + " x")))
    hostile = read_page(review_page(with_every_text(evaluation, lambda text: text + " " + payload)))

    assert hostile.tags == plain.tags
    assert [sorted(attrs) for _, attrs in hostile.elements] == [sorted(attrs) for _, attrs in plain.elements]
    drawings_in(review_page(with_every_text(evaluation, lambda text: text + payload)))


def test_every_check_is_listed_with_number_words_code_value_and_threshold(evaluation: dict[str, Any]) -> None:
    text = read_page(review_page(evaluation)).text

    for check in evaluation["checks"]:
        assert check["title"] in text
        assert check["code"] in text
        assert check["detail"] in text
    for words in ("pass", "issue", "not applicable", "too little data", "Needs a reviewer's judgement", "0.8 to 1.25"):
        assert words in text
    assert "Issue in check 2: Every ranked modality" in text


def test_the_page_opens_with_the_verdict_and_its_checks(evaluation: dict[str, Any]) -> None:
    page = review_page(evaluation)

    assert (
        page.index("Needs a reviewer")
        < page.index('id="checks"')
        < page.index('id="cohort"')
        < page.index('id="versions"')
    )


def test_every_section_is_linked_from_the_contents_and_every_link_has_a_target(evaluation: dict[str, Any]) -> None:
    reader = read_page(review_page(evaluation))
    targets = {attrs["id"] for _, attrs in reader.elements if "id" in attrs}
    links = {attrs["href"][1:] for _, attrs in reader.elements if "href" in attrs}

    assert links <= targets
    assert {section.anchor for section in review_sections(evaluation)} <= links


def test_every_figure_has_pictures_and_a_table_twin_with_numbers(evaluation: dict[str, Any]) -> None:
    figures = [
        block for section in review_sections(evaluation) for block in section.blocks if isinstance(block, Figure)
    ]

    assert len(figures) == 6
    assert all(figure.panels and figure.twin.rows and len(figure.twin.columns) > 1 for figure in figures)


def test_every_drawing_of_the_page_is_well_formed(evaluation: dict[str, Any]) -> None:
    drawings = drawings_in(review_page(evaluation))

    assert len(drawings) > 20
    assert all(drawing.get("role") == "img" and drawing.findtext("title") for drawing in drawings)


@pytest.mark.parametrize(
    "nothing", [{}, {"cohort": None, "overlap": [], "league": None, "checks": None, "verdict": None}]
)
def test_an_empty_evaluation_gives_a_page_that_says_so(nothing: dict[str, Any]) -> None:
    text = read_page(review_page(nothing)).text

    assert text.count("not available in this run") >= 12
    assert "No verdict" in text


@pytest.mark.parametrize("replacement", [None, [], {}, float("nan"), "words", 7])
def test_no_missing_or_misshapen_part_breaks_the_page(evaluation: dict[str, Any], replacement: Any) -> None:
    for broken in with_every_part_removed(shortened(evaluation), replacement):
        page = review_page(broken)
        assert not re.search(r">[^<]*\b(?:nan|None|inf|undefined)\b[^<]*<", page.split("</style>")[1])


def test_the_same_evaluation_gives_the_same_bytes(evaluation: dict[str, Any]) -> None:
    assert review_page(evaluation) == review_page(copy.deepcopy(evaluation))


def test_what_the_contract_does_not_name_cannot_reach_the_page(evaluation: dict[str, Any]) -> None:
    def planted(node: Any) -> Any:
        if isinstance(node, dict):
            return {**{key: planted(entry) for key, entry in node.items()}, "patient_id": "canary-97"}
        return [planted(entry) for entry in node] if isinstance(node, list) else node

    free = {"by_modality", "histogram", "software", "weights", "events", "censored_before_horizon"}
    marked = planted(evaluation)

    def unmark(node: Any, key: str = "") -> Any:
        if isinstance(node, dict):
            return {k: unmark(v, k) for k, v in node.items() if not (key in free and k == "patient_id")}
        return [unmark(entry) for entry in node] if isinstance(node, list) else node

    assert "canary-97" not in review_page(unmark(marked))


def test_a_count_hidden_in_one_table_stands_in_no_other(evaluation: dict[str, Any]) -> None:
    """Six celmod decisions hide the next smallest arm, whose 389 must then be nowhere."""
    text = read_page(review_page(evaluation)).text

    assert "<11" in text
    assert not re.search(r"\b389\b", text)
    assert re.search(r"\b412\b", text)


def test_simulated_records_are_stamped_and_real_ones_are_not(evaluation: dict[str, Any]) -> None:
    assert "Simulated data." in review_page(evaluation)
    assert "Simulated data." not in review_page({**evaluation, "simulated": False})


def test_published_rates_appear_only_when_there_are_some(evaluation: dict[str, Any]) -> None:
    assert "CARTITUDE-4, table 2" in review_page(evaluation)
    assert 'id="published"' not in review_page({**evaluation, "published": None})
