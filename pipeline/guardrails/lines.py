"""On which line of its file does a problem stand?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import yaml


def with_lines(problems: Sequence[str], texts: Mapping[str, str]) -> list[str]:
    """Return problems with the line after the file's name, where the field stands in the text.

    Parameters
    ----------
    problems : sequence of str
        `file: field: what is wrong`, the field as a path such as `when.all[1].unit`.
    texts : mapping of file name to text
        Strict YAML, already parsed once.

    Returns
    -------
    list of str
        `file:line: field: what is wrong`; as it was where the file or the field's first part is not found.
    """
    told = []
    for problem in problems:
        where, _, rest = problem.partition(": ")
        line = line_of(texts[where], rest.partition(": ")[0]) if where in texts else None
        told.append(problem if line is None else f"{where}:{line}: {rest}")
    return told


def line_of(text: str, path: str) -> int | None:
    """Return the line, counted from 1, of the deepest part of a path that the text has; None if it has none."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    line = None
    for part in re.findall(r"[^.\[\]]+", path):
        found = _inside(node, part)
        if found is None:
            break
        line, node = found
    return line


def _inside(node: yaml.Node | None, part: str) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == part:
                return key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
        item = node.value[int(part)]
        return item.start_mark.line + 1, item
    return None
