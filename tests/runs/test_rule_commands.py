"""`rules check` and `rules list`: what an author of rules reads, and how it ends."""

from __future__ import annotations

import datetime
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.errors import ConfigError, RuleError
from pipeline.runs.rule_check import check_rules, chosen_rules
from pipeline.runs.setup import Setup, read_setup
from tests.conftest import ROOT

OWN = """\
id: {name}
evidence_id: {evidence}
title: No transport at night for CAR T
status: active
applies_to: {{safety_class: [car_t]}}
jurisdiction: any
when: {{fact: ecog, {op}: 2, unit: score}}
effect: block
when_unknown: indeterminate
reason: A rule made for a test.
action: Ask for transport.
source: {{document: a test, section: "1"}}
evidence: design
owner: nobody
effective_from: {since}
review_by: 2027-05-23
examples:
  - {{given: {{ecog: {high}}}, verdict: blocked}}
  - {{given: {{ecog: {low}}}, verdict: clear}}
  - {{given: {{ecog: null}}, verdict: indeterminate}}
"""


def setup_with(home: Path, **files: dict[str, str]) -> Path:
    """Return a configuration with rules of one's own beside the shipped ones."""
    shutil.copytree(ROOT / "configs", home / "configs")
    for name, more in files.items():
        words = {"name": f"{name}-no-transport", "evidence": name.upper(), "op": "ge", "high": "3", "low": "1"}
        text = OWN.format(**{**words, "since": "2000-01-01", **more})
        (home / "configs" / "guardrails" / f"{name}-no-transport.yaml").write_text(text)
    return home / "configs" / "base.yaml"


def said(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["rules", *words], catch_exceptions=False)
    return result.exit_code, result.output


def test_the_shipped_rules_pass_without_a_warning_and_what_is_expected_is_told_when_asked() -> None:
    code, text = said("check")
    again, every = said("check", "--verbose")

    lines = text.splitlines()
    assert (code, again) == (0, 0)
    assert "all as declared" in lines[0]
    assert lines[1:] == ["8 remarks: what labels decide and rules of two effects, as expected; --verbose tells them"]
    told = every.splitlines()[1:]
    assert len(told) == 16
    for remark, to_do in zip(told[::2], told[1::2], strict=True):
        assert remark.startswith("expected: guardrails/g")
        assert to_do.startswith("  to do: ")


def test_a_label_rule_of_ones_own_that_never_fires_stands_out(tmp_path: Path) -> None:
    config = setup_with(tmp_path, p99={})
    own = tmp_path / "configs" / "guardrails" / "p99-no-transport.yaml"
    text = own.read_text().replace("{safety_class: [car_t]}", "{product: [talquetamab]}")
    text = text.replace("{fact: ecog, ge: 2, unit: score}", "{label: approval_status, is: not_approved}")
    for ecog, status in (("3", "not_approved"), ("1", "approved"), ("null", "null")):
        text = text.replace(f"ecog: {ecog}", f"label.approval_status: {status}")
    own.write_text(text)
    code, told = said("check", "--config", str(config))

    assert code == 0
    warned = [line for line in told.splitlines() if line.startswith("warning")]
    assert warned == [
        "warning: guardrails/p99-no-transport.yaml: "
        f"p99-no-transport never fires for talquetamab with the {where} label"
        for where in ("eu", "us")
    ]


def test_rules_that_leave_no_way_end_with_exit_code_13_and_name_file_and_pair(tmp_path: Path) -> None:
    low = {"op": "lt", "high": "1", "low": "3"}
    code, text = said("check", "--config", str(setup_with(tmp_path, p98={}, p99=low)))

    assert code == 13
    assert "ERROR: guardrails/p98-no-transport.yaml: p98-no-transport and p99-no-transport contradict" in text


def test_two_rules_that_say_the_same_are_a_warning(tmp_path: Path) -> None:
    code, text = said("check", "--config", str(setup_with(tmp_path, p98={}, p99={})))

    assert code == 0
    assert "p98-no-transport and p99-no-transport say the same of cilta_cel, ide_cel (us and eu)" in text
    assert "to do: drop one" in text


@pytest.mark.parametrize(
    ("today", "told"),
    [
        ("2027-05-23", []),  # on the last day of its review it is not overdue
        ("2027-05-24", ["p99-no-transport was to be reviewed by 2027-05-23"]),
        ("2026-12-31", ["p99-no-transport is in force only from 2027-01-01"]),
        ("2027-01-01", []),
    ],
)
def test_review_and_force_are_told_by_the_calendar(tmp_path: Path, today: str, told: list[str]) -> None:
    setup = read_setup(setup_with(tmp_path, p99={"since": "2027-01-01"}))
    found = check_rules(setup, datetime.date.fromisoformat(today))

    dated = [
        remark.message for remark in found.warnings if "reviewed by" in remark.message or "force" in remark.message
    ]
    assert [message for message in dated if message.startswith("p99")] == told
    assert found.errors == ()


def test_an_id_that_is_no_rule_id_is_told_with_an_example_file_and_line(tmp_path: Path) -> None:
    config = setup_with(tmp_path, p99={"name": "no-transport"})

    told = r"guardrails/p99-no-transport\.yaml:1: id: wanted g or p and two digits.*'p50-"
    with pytest.raises(RuleError, match=told) as refused:
        read_setup(config)
    assert "[a-z]" not in str(refused.value)


def test_a_list_is_whole_on_eighty_columns(monkeypatch: pytest.MonkeyPatch, base_setup: Setup) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, text = said("list")

    assert code == 0
    assert "…" not in text
    assert max(len(line) for line in text.splitlines()) == 80
    words = " ".join(text.split())
    for rule in base_setup.rules.rules:
        assert rule.id in text
        assert " ".join(rule.title.split()[:2]) in words


def test_a_list_keeps_to_status_and_modality(base_setup: Setup) -> None:
    drafts = chosen_rules(base_setup, "draft", None)
    adc = chosen_rules(base_setup, None, "adc")

    assert {rule.status for rule in drafts} == {"draft"}
    assert [rule.id for rule in adc if rule.id.startswith("g41")] == ["g41-belantamab-corneal-disease"]
    assert not [rule.id for rule in adc if "car-t" in rule.id]
    with pytest.raises(ConfigError, match="did you mean 'car_t'"):
        chosen_rules(base_setup, None, "cart")
