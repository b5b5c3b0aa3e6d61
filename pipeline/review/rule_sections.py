"""What does the review page say of the rules: whom they touch, and which ones clinicians set aside in a batch?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.review.blocks import Block, Cell, Section, Table, Words, columns, row
from pipeline.review.cohort_sections import statuses_section
from pipeline.review.reading import count_in, mapping_in, mappings_in, text_in
from pipeline.review.small_cells import MASKED, SMALLEST_SHOWN, ShownCount, masked_counts, masked_line, masked_share
from pipeline.review.wording import plain_name

_MOST_RULES = 10
_ANSWERS = ("fired", "undecided", "clear")
_HIDDEN = ShownCount(MASKED, None)
_RARE_ROLES = f"roles with fewer than {SMALLEST_SHOWN} overrides each"
Entry = Mapping[str, Any]


def rule_groups_section(evaluation: Mapping[str, Any]) -> Section:
    """Return how often rules take away the first choice, and speak, in each group of people."""
    rules = mapping_in(evaluation.get("rules"))
    groups = mappings_in(rules.get("subgroups"))
    question = (
        "Do the rules weigh more on some people than on others? A rule that lacks facts about one group keeps that "
        "group from modalities that others are offered."
    )
    if not groups:
        return Section("rule-groups", "Rules by group of people", question)
    everybody = next((entry for entry in groups if text_in(entry.get("subgroup")) == "all"), {})
    parts: dict[str, list[Entry]] = {}
    for entry in groups:
        if text_in(entry.get("subgroup")) != "all":
            parts.setdefault(text_in(entry.get("subgroup")), []).append(entry)
    titles = {text_in(e.get("rule_id")): text_in(e.get("title")) for e in mappings_in(rules.get("firings"))}
    blocks: list[Block] = [_removed_table(everybody, parts)]
    blocks += [_group_table(name, levels, everybody, titles) for name, levels in parts.items()]
    told = "Sites are numbered by size. Race is as recorded, and no input of the model."
    return Section("rule-groups", "Rules by group of people", question, (*blocks, Words(told, "small")))


def _sizes(levels: Sequence[Entry]) -> tuple[ShownCount, ...]:
    """Return how many decisions each level of a subgroup has; they add up to all of them."""
    return masked_line([count_in(level.get("decisions")) for level in levels], adds_up=True)


def _removed_table(everybody: Entry, parts: Mapping[str, Sequence[Entry]]) -> Table:
    lines = [_removed_row("Everybody", "", everybody, masked_line([count_in(everybody.get("decisions"))])[0])]
    for name, levels in parts.items():
        for level, size in zip(levels, _sizes(levels), strict=True):
            lines.append(_removed_row(text_in(level.get("level")), plain_name(name), level, size))
    labels = ("Decisions", "First choice removed")
    heads = columns(("Group", *labels), numbers=labels)
    caption = "One row per group; how often a rule took away what the model put first, alone or tied, in a sample"
    return Table(caption, heads, tuple(lines))


def _removed_row(label: str, detail: str, entry: Entry, size: ShownCount) -> tuple[Cell, ...]:
    sampled, removed = count_in(entry.get("sampled")), count_in(entry.get("removed_first_choice"))
    told = MASKED
    if size.count is not None:
        told = masked_share(None if not sampled or removed is None else removed / sampled, sampled)[0]
    return row(Cell(label, detail, "strong"), size.text, told)


def _group_table(name: str, levels: Sequence[Entry], everybody: Entry, titles: Mapping[str, str]) -> Table:
    """Return how often the rules that weigh most fired, or lacked a fact, at each level of a subgroup."""
    by_level = [{text_in(e.get("rule_id")): e for e in mappings_in(level.get("rules"))} for level in levels]
    sizes = _sizes(levels)
    lines = []
    for whole in _heaviest(everybody):
        rule = text_in(whole.get("rule_id"))
        shown = _shown(whole, [own.get(rule, {}) for own in by_level], sizes)
        cells = [Cell(f"{fired.text} fired", f"{undecided.text} undecided") for fired, undecided, _ in shown]
        lines.append(row(Cell(titles.get(rule) or rule, rule, "strong"), *cells))
    heads = [f"{text_in(level.get('level'))} ({size.text})" for level, size in zip(levels, sizes, strict=True)]
    caption = f"By {plain_name(name)}: decisions on which the {len(lines)} rules that weigh most fired or lacked a fact"
    return Table(caption, columns(("Rule", *heads)), tuple(lines))


def _heaviest(everybody: Entry) -> list[Entry]:
    """Return the rules that removed most first choices, and then that spoke most often; not those of everybody."""
    counts, decisions = ("removed_first_choice", "fired", "undecided"), count_in(everybody.get("decisions"))
    rules = [e for e in mappings_in(everybody.get("rules")) if count_in(e.get("fired")) != decisions]
    spoke = [entry for entry in rules if any(count_in(entry.get(key)) for key in counts)]
    ordered = sorted(spoke, key=lambda entry: [-(count_in(entry.get(key)) or 0) for key in counts])
    return ordered[:_MOST_RULES]


def _shown(whole: Entry, levels: Sequence[Entry], sizes: Sequence[ShownCount]) -> list[tuple[ShownCount, ...]]:
    """Return fired, undecided and clear of each level as they may be published.

    What is hidden for everybody is hidden at every level, from which it could be added up; so is all of a level
    whose size is hidden.
    """
    over_all = masked_line([count_in(whole.get(key)) for key in _ANSWERS], adds_up=True)
    table = [[count_in(level.get(key)) for key in _ANSWERS] for level in levels]
    shown = masked_counts(table, adds_up="both")
    return [
        tuple(
            _HIDDEN if cell.count and (total.count is None or size.count is None) else cell
            for cell, total in zip(cells, over_all, strict=True)
        )
        for cells, size in zip(shown, sizes, strict=True)
    ]


def batch_section(evaluation: Mapping[str, Any]) -> Section:
    """Return what was said of a batch of decisions, and which rules clinicians set aside in it, and in which role."""
    batch = mapping_in(evaluation.get("batch"))
    question = "What did the model say of a batch of decisions, and which rules did clinicians set aside in it?"
    if not batch:
        return Section("batch", "A scored batch", question)
    decisions, overridden = count_in(batch.get("decisions")), count_in(batch.get("overridden"))
    told = masked_line([decisions])[0].text
    share = masked_share(None if not decisions or overridden is None else overridden / decisions, decisions)[0]
    blocks: list[Block] = [Words(f"{told} decisions; a rule was set aside in {share} of them.", "note")]
    blocks += statuses_section({**evaluation, "statuses": mappings_in(batch.get("statuses"))}).blocks
    by_rule = mappings_in(batch.get("overrides"))
    if by_rule:
        counts = masked_line([count_in(entry.get("count")) for entry in by_rule])
        lines = tuple(
            row(Cell(text_in(entry.get("title")), text_in(entry.get("rule_id")), "strong"), count.text)
            for entry, count in zip(by_rule, counts, strict=True)
        )
        heads = columns(("Rule", "Decisions"), numbers=("Decisions",))
        blocks.append(Table("Rules set aside, one row per rule", heads, lines))
        blocks.append(_roles_table(mappings_in(batch.get("roles"))))
    return Section("batch", "A scored batch", question, tuple(blocks))


def _roles_table(roles: Sequence[Entry]) -> Table:
    """Return how often each role set a rule aside; rare roles are told as one, for a role may be a single person."""
    counts = {text_in(entry.get("role")): count_in(entry.get("count")) or 0 for entry in roles}
    told = {role: count for role, count in counts.items() if count >= SMALLEST_SHOWN}
    rare = sum(counts.values()) - sum(told.values())
    told |= {_RARE_ROLES: rare} if rare else {}
    shown = zip(told, masked_line(list(told.values())), strict=True)
    lines = tuple(row(Cell(role, tone="strong"), cell.text) for role, cell in shown)
    heads = columns(("Role", "Overrides"), numbers=("Overrides",))
    return Table("Who set rules aside, one row per role", heads, lines)
