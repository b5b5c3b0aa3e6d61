"""The page for data scientists runs as it stands, here with a smaller learner."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.learners import ModalityRanker
from tests.learners.worlds import QUICK

PAGE = Path(__file__).parents[2] / "docs" / "estimator.md"


@pytest.mark.xdist_group("learners")
def test_the_examples_run_and_say_what_the_page_promises(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {"QUICK": QUICK}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S):
        exec(block.replace("ModalityRanker(", "ModalityRanker(settings=QUICK, "), names)
    said = capsys.readouterr().out

    assert "individual differences" in said
    assert re.search(r"following it: 0\.\d\d \(0\.\d\d to 0\.\d\d\); \+0\.\d\d on what was done", said)


def test_every_argument_that_the_page_names_exists() -> None:
    known = set(ModalityRanker().get_params())
    named = set(re.findall(r"`(\w+)=", PAGE.read_text(encoding="utf-8")))

    assert named - {"policy"} <= known
