"""Who was closer to the best choice, and by how much? Tables from the results file, losses as plainly as gains."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

BEGIN, END = "<!-- bench-ranking: begin -->", "<!-- bench-ranking: end -->"
OURS = "ours"
NEAR = 0.01
"""Ambition: behind nobody by more than this anywhere."""
THIRD = 1 / 3
SIZES_OF_THE_GOAL = (1000, 3000)

Line = dict[str, Any]
Key = tuple[str, int, int, str]


def read(path: Path) -> list[Line]:
    """Return the lines of the results file, in order; none where there is no file."""
    if not path.exists():
        return []
    return [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines() if text.strip()]


def latest(lines: Sequence[Line]) -> dict[Key, Line]:
    """Return the last result of each run that did not fail."""
    return {(x["world"], x["n"], x["seed"], x["method"]): x for x in lines if "failed" not in x}


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and its standard error over seeds; NaN error for one."""
    numbers = np.asarray(values, dtype=float)
    error = numbers.std(ddof=1) / np.sqrt(len(numbers)) if len(numbers) > 1 else float("nan")
    return float(numbers.mean()), float(error)


def paired(done: Mapping[Key, Line], world: str, n: int, method: str) -> list[float]:
    """Return ours minus the method's regret, seed by seed, on the same data."""
    found = []
    for (its_world, its_n, seed, name), line in sorted(done.items()):
        other = done.get((world, n, seed, method))
        if (its_world, its_n, name) == (world, n, OURS) and other is not None and other["data"] == line["data"]:
            found.append(line["regret"] - other["regret"])
    return found


def report(protocol: Mapping[str, Any], lines: Sequence[Line], digests: Mapping[str, str]) -> str:
    """Return every table as Markdown."""
    done = latest(lines)
    parts = [_heading(protocol, done, lines, digests)]
    for n in protocol["sizes"]:
        parts.append(_regrets(protocol, done, n))
    if any(method == OURS for _, _, _, method in done):
        for n in protocol["sizes"]:
            parts.append(_differences(protocol, done, n))
        parts += [worst_excess(protocol, done), goal(protocol, done), _coverage(protocol, done)]
    parts.append(_seconds(protocol, done))
    return "\n\n".join(part for part in parts if part) + "\n"


def _heading(
    protocol: Mapping[str, Any], done: Mapping[Key, Line], lines: Sequence[Line], digests: Mapping[str, str]
) -> str:
    wanted = len(protocol["worlds"]) * len(protocol["sizes"]) * len(protocol["seeds"]) * len(protocol["methods"])
    said = [
        f"Simulated worlds, truth known. {len(done):,} of {wanted:,} runs of `tests/benchmarks/ranking/protocol.yaml` "
        f"(seeds {', '.join(map(str, protocol['seeds']))}; {protocol['test_decisions']:,} test decisions of other "
        "patients). Regret is true utility, burden included, lost against the best arm that was possible. After +- "
        "stands the standard error over seeds, in brackets the number of seeds where some are missing."
    ]
    asked = [(line, digests[key[-1]]) for key, line in done.items() if key[-1] in digests]
    stale = sum(not is_current(protocol, line, code) for line, code in asked)
    if stale:
        said.append(f"{stale:,} runs were made by an earlier version of their method.")
    data: dict[tuple[str, int, int], set[str]] = {}
    for (world, n, seed, _), line in done.items():
        data.setdefault((world, n, seed), set()).add(line["data"])
    if mixed := sum(len(found) > 1 for found in data.values()):
        said.append(f"In {mixed:,} cells methods saw different data; those are not compared in pairs.")
    failed = {(x["world"], x["n"], x["seed"], x["method"]) for x in lines if "failed" in x} - set(done)
    if failed:
        said.append("Failed: " + ", ".join(f"{m} on {w} n={n} seed {s}" for w, n, s, m in sorted(failed)) + ".")
    return "\n".join(said)


def is_current(protocol: Mapping[str, Any], line: Line, code: str) -> bool:
    """Return whether a run was made by this code of its method, or by one whose results this code gave again."""
    given_again = protocol["methods"][line["method"]].get("given_again", {})
    return line["code"] == code or line["code"] in given_again.get(code, ())


def _cell(values: Sequence[float], seeds: int, sign: str = "") -> str:
    if not values:
        return ""
    mean, error = mean_and_error(values)
    count = f" ({len(values)})" if len(values) < seeds else ""
    spread = "" if np.isnan(error) else f" +-{_short(error)}"
    return f"{_short(mean, sign)}{spread}{count}"


def _short(value: float, sign: str = "") -> str:
    text = f"{value:{sign}.4f}"
    return text.replace("0.", ".", 1)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)


def _values(done: Mapping[Key, Line], world: str, n: int, method: str, name: str = "regret") -> list[float]:
    keys = sorted(key for key in done if (key[0], key[1], key[3]) == (world, n, method))
    return [float(done[key][name]) for key in keys if done[key].get(name) is not None]


def _label(protocol: Mapping[str, Any], method: str) -> str:
    label = str(protocol["methods"][method]["label"])
    return f"**{label}**" if method == OURS else label


def _regrets(protocol: Mapping[str, Any], done: Mapping[Key, Line], n: int) -> str:
    worlds, seeds = list(protocol["worlds"]), len(protocol["seeds"])
    rows = []
    for method in protocol["methods"]:
        cells = [_cell(_values(done, world, n, method), seeds) for world in worlds]
        if any(cells):
            rows.append([_label(protocol, method), *cells])
    if not rows:
        return ""
    return f"Regret, {n:,} training decisions\n\n" + _table(["method", *worlds], rows)


def _differences(protocol: Mapping[str, Any], done: Mapping[Key, Line], n: int) -> str:
    worlds, seeds = list(protocol["worlds"]), len(protocol["seeds"])
    rows = []
    for method in protocol["methods"]:
        cells = [_cell(paired(done, world, n, method), seeds, "+") for world in worlds]
        if method != OURS and any(cells):
            rows.append([_label(protocol, method), *cells])
    if not rows:
        return ""
    title = f"Ours minus the other, paired by seed, {n:,} decisions; above 0 we lose"
    return f"{title}\n\n" + _table(["against", *worlds], rows)


def worst_excess(protocol: Mapping[str, Any], done: Mapping[Key, Line]) -> str:
    """Return where ours lost most, and every cell where it lost at all, in words."""
    found = []
    for world in protocol["worlds"]:
        for n in protocol["sizes"]:
            for method in protocol["methods"]:
                values = [] if method == OURS else paired(done, world, n, method)
                if values:
                    found.append((*mean_and_error(values), world, n, method))
    if not found:
        return ""
    losses = sorted((entry for entry in found if entry[0] > 0), key=lambda entry: -entry[0])
    if not losses:
        return f"Ours lost to nobody in any of {len(found):,} comparisons of mean regret."
    mean, error, world, n, method = losses[0]
    verdict = "which misses" if mean > NEAR else "which meets"
    more = sum(entry[0] > NEAR for entry in losses)
    said = (
        f"We lose in {len(losses):,} of {len(found):,} comparisons of mean regret, in {more:,} by more than "
        f"{_short(NEAR)}. The worst excess is {_short(mean, '+')} (s.e. {_short(error)}) against "
        f"{protocol['methods'][method]['label']} in `{world}` at {n:,}, {verdict} the ambition of at most "
        f"{_short(NEAR)} behind anybody anywhere. "
        "Losses of .001 and more, or of two standard errors:"
    )
    rows = [
        [world, f"{n:,}", str(protocol["methods"][method]["label"]), f"{_short(mean, '+')} +-{_short(error)}"]
        for mean, error, world, n, method in losses
        if mean >= 0.001 or mean > 2 * error
    ]
    return said + "\n\n" + _table(["world", "decisions", "lost to", "by"], rows)


def goal(protocol: Mapping[str, Any], done: Mapping[Key, Line]) -> str:
    """Return ours against the best library peer by mean over worlds, at the sizes of the goal, and for each world."""
    rows = []
    for n in protocol["sizes"]:
        means: dict[str, float] = {}
        for method, entry in protocol["methods"].items():
            cells = [_values(done, world, n, method) for world in protocol["worlds"]]
            if all(cells) and (method == OURS or entry.get("library")):
                means[method] = float(np.mean([np.mean(cell) for cell in cells]))
        peers = {method: mean for method, mean in means.items() if method != OURS}
        if OURS not in means or not peers:
            continue
        best = min(peers, key=lambda method: peers[method])
        differences = _by_seed(protocol, done, n, best)
        ratio, error = _ratio(protocol, done, n, best)
        judged = ("met" if ratio <= 1 - THIRD else "missed") if n in SIZES_OF_THE_GOAL else "not asked"
        rows.append(
            [
                f"{n:,}",
                _short(means[OURS]),
                f"{protocol['methods'][best]['label']} {_short(peers[best])}",
                _cell(differences, len(protocol["seeds"]), "+"),
                f"{ratio:.2f} +-{error:.2f}",
                judged,
            ]
        )
    if not rows:
        return ""
    title = (
        "Mean over worlds against the library with the smallest mean (goal at 1,000 and 3,000: a ratio of at most .67)"
    )
    return f"{title}\n\n" + _table(
        ["decisions", "ours", "best library", "ours minus it", "ratio", "a third below"], rows
    )


def _seed_means(protocol: Mapping[str, Any], done: Mapping[Key, Line], n: int, method: str) -> dict[int, float]:
    found = {}
    for seed in protocol["seeds"]:
        lines = [done.get((world, n, seed, method)) for world in protocol["worlds"]]
        if all(line is not None for line in lines):
            found[seed] = float(np.mean([line["regret"] for line in lines if line is not None]))
    return found


def _by_seed(protocol: Mapping[str, Any], done: Mapping[Key, Line], n: int, method: str) -> list[float]:
    own, other = _seed_means(protocol, done, n, OURS), _seed_means(protocol, done, n, method)
    return [own[seed] - other[seed] for seed in own if seed in other]


def _ratio(protocol: Mapping[str, Any], done: Mapping[Key, Line], n: int, method: str) -> tuple[float, float]:
    """Return the ratio of means over worlds and seeds, and its jackknife standard error over seeds."""
    own, other = _seed_means(protocol, done, n, OURS), _seed_means(protocol, done, n, method)
    seeds = [seed for seed in own if seed in other]
    if not seeds:
        return float("nan"), float("nan")

    def ratio(kept: Sequence[int]) -> float:
        return float(np.mean([own[seed] for seed in kept]) / np.mean([other[seed] for seed in kept]))

    whole, count = ratio(seeds), len(seeds)
    if count < 2:
        return whole, float("nan")
    left = np.array([ratio([kept for kept in seeds if kept != seed]) for seed in seeds])
    return whole, float(np.sqrt((count - 1) / count * np.sum((left - left.mean()) ** 2)))


def _coverage(protocol: Mapping[str, Any], done: Mapping[Key, Line]) -> str:
    rows = []
    for world in protocol["worlds"]:
        for n in protocol["sizes"]:
            own = {
                name: _values(done, world, n, OURS, name)
                for name in (
                    "coverage_before",
                    "coverage",
                    "half_width",
                    "clear",
                    "right_if_clear",
                    "right_if_tied",
                    "regret_committee",
                    "regret",
                )
            }
            if own["coverage"]:
                cells = [f"{np.mean(values):.2f}" if values else "" for values in list(own.values())[:6]]
                goal_met = "yes" if 0.86 <= np.mean(own["coverage"]) <= 0.94 else "no"
                cells.insert(2, goal_met)
                last = [_short(float(np.mean(own[name]))) for name in ("regret_committee", "regret")]
                rows.append([world, f"{n:,}", *cells, *last])
    if not rows:
        return ""
    title = "Nominal 90 % intervals of true pairwise differences (goal .86 to .94), and what a clear first is worth"
    header = [
        "world",
        "decisions",
        "covered before",
        "covered",
        "in goal",
        "half-width",
        "clear first",
        "right if clear",
        "right if tied",
        "regret of committee",
        "of student",
    ]
    return f"{title}\n\n" + _table(header, rows)


def _seconds(protocol: Mapping[str, Any], done: Mapping[Key, Line]) -> str:
    rows = []
    for method in protocol["methods"]:
        cells = []
        for n in protocol["sizes"]:
            values = [x["seconds"] for (_, its_n, _, name), x in done.items() if (its_n, name) == (n, method)]
            cells.append(f"{np.mean(values):.1f}" if values else "")
        if any(cells):
            rows.append([_label(protocol, method), *cells])
    header = ["method", *(f"{n:,}" for n in protocol["sizes"])]
    return "Processor seconds a run, one thread\n\n" + _table(header, rows) if rows else ""


def write_between_markers(page: Path, text: str) -> None:
    """Replace what stands between the two markers of a page."""
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    page.write_text(f"{before}{BEGIN}\n{text}{END}{after}", encoding="utf-8")
