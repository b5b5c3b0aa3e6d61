"""Explained and guarded decisions per second: ours, the usual way, a tuned one, and the floor of our own students.

`make bench` prints the table. `MMRANK_BENCH_AGAINST` names a folder with a trained `run` and the `records` that it
learned from (else a small one is trained), `MMRANK_BENCH_SIZES=500,5000` says how many decisions (the usual way does
only the first number), `MMRANK_BENCH_REPEATS` how often each way runs, in turns; medians are printed. All run in one
process on one thread; `mmrank predict` is a process of its own, from records on the disk to parts on the disk.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.benchmarks.floor import By

ROOT = Path(__file__).parents[2]
SIZES = [int(size) for size in os.environ.get("MMRANK_BENCH_SIZES", "200,600").split(",")]
REPEATS = int(os.environ.get("MMRANK_BENCH_REPEATS", "1"))
PART = 5000
FLOOR, OURS, TUNED = "floor: our students alone", "mmrank, ready tables", "tuned: 200 x 15, pred_contrib, SQL rules"
WALKED = "floor, trees walked by LightGBM"
USUAL, EVAL = "usual: 500 x 31, TreeExplainer, rules by row", "usual, rules by DataFrame.eval"
WHOLE = "mmrank predict, records to parts"


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return the result, wall seconds and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def commanded(records: Path, model: Path, out: Path) -> tuple[float, float]:
    """Return wall and CPU seconds of `mmrank predict`, its start and its imports included."""
    before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    words = [sys.executable, "-m", "pipeline.cli", "predict", str(records), "--model", str(model), "--out", str(out)]
    subprocess.run([*words, "--processes", "1"], cwd=ROOT, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - wall, used


def compare(home: Path, scratch: Path) -> dict[str, Any]:
    """Return seconds of each way and size, and how good the rankings are."""
    import numpy as np
    import shap

    from pipeline.advice import configured_detail, score
    from pipeline.labels import build_labels
    from pipeline.runs.institution import write_institution
    from pipeline.runs.model_dir import load_directory
    from pipeline.runs.reading import read_known, shard_of
    from pipeline.runs.reporting import Quiet
    from pipeline.simulate import SimulationSettings
    from tests.benchmarks import usual_way as way

    loaded = load_directory(home / "run" / "model")
    adviser, config = loaded.adviser, loaded.setup.config
    model, detail = adviser.model, configured_detail(loaded.adviser)
    past = read_known(home / "records", loaded.setup, training=True, reporter=Quiet())
    once, cut = loaded.setup.spec.exposure.single_dose_classes, config.settings.cohort.data_cut_date
    labels = build_labels(past.connection, config.settings.outcomes, config.drugs, cut, given_once=once).frame
    labels = labels.set_index("decision_id")
    learned = past.features[past.features["decision_id"].isin(labels.index)]
    labels = labels.loc[learned["decision_id"]]
    usual, tuned = (
        way.t_learner(adviser, learned, labels["modality"], labels, trees, leaves)
        for trees, leaves in ((500, 31), (200, 15))
    )
    explainers, building, _ = timed(
        lambda: {key: shap.TreeExplainer(booster) for key, booster in usual.boosters.items()}
    )
    matrix = model.columns.matrix(learned[:40])
    _, making, _ = timed(lambda: model.students.contributions(matrix, np.zeros((len(matrix), len(model.targets)))))
    asked = way.asked_of(adviser)
    by_row, by_eval = way.row_rules(asked), way.eval_rules(asked)
    told: dict[str, Any] = {
        "sizes": {},
        "trained": len(learned),
        "models": len(usual.boosters),
        "parts": len(model.students.parts),
        "leaves": [usual.leaves, tuned.leaves],
        "explainers": building,
        "tables": making,
        "rules": len(asked.running),
    }
    for size in SIZES:
        truth = write_institution(SimulationSettings(decisions=size, seed=77), scratch / str(size)).truth
        known = read_known(scratch / str(size), loaded.setup, training=False, reporter=Quiet())
        shard = shard_of(known, known.features)
        starts = range(0, len(known.features), PART)
        rows = [slice(start, start + PART) for start in starts]
        pieces = [shard_of(known, known.features.iloc[part].reset_index(drop=True)) for part in rows]
        ways: dict[str, Callable[[], Any]] = {
            FLOOR: floor_of(adviser, pieces, "tables"),
            WALKED: floor_of(adviser, pieces, "lightgbm"),
            OURS: partial(_each, partial(score, adviser, detail=detail), pieces),
            TUNED: partial(_each, partial(way.tuned_advice, adviser, tuned, asked), pieces),
        }
        if size == SIZES[0]:
            for name, rules in ((USUAL, by_row), (EVAL, by_eval)):
                ways[name] = partial(way.usual_advice, adviser, usual, explainers, rules, asked, shard)
        seconds: dict[str, list[tuple[float, float]]] = {}
        results: dict[str, Any] = {}
        for repeat in range(REPEATS):
            for name, work in ways.items():
                results[name], wall, cpu = timed(work)
                seconds.setdefault(name, []).append((wall, cpu))
            out = scratch / f"{size}-{repeat}"
            seconds.setdefault(WHOLE, []).append(commanded(scratch / str(size), home / "run", out))
        told["sizes"][str(len(known.features))] = {
            name: [statistics.median(column) for column in zip(*runs, strict=True)] for name, runs in seconds.items()
        }
        if size == SIZES[0]:
            told["verdicts"] = verdicts_of(adviser, shard, results)
        if size == SIZES[-1]:
            learners = {"mmrank": model.students, "usual": usual, "tuned": tuned}
            told["quality"] = quality_of(adviser, shard, truth, learners)
    return told


def _each(work: Callable[[Any], Any], pieces: list[Any]) -> list[Any]:
    return [work(piece) for piece in pieces]


def floor_of(adviser: Any, pieces: list[Any], by: By) -> Callable[[], None]:
    """Return what cannot be left out, matrices and tables of trees ready."""
    import numpy as np

    from tests.benchmarks import usual_way as way
    from tests.benchmarks.floor import least

    model = adviser.model
    nothing = [np.zeros((len(piece.features), *model.students.constants.shape)) for piece in pieces]
    signed = [way.weighed(adviser, piece, none)[1] for piece, none in zip(pieces, nothing, strict=True)]
    matrices = [model.columns.matrix(piece.features) for piece in pieces]
    least(model, matrices[0][:1], signed[0][:1], by)

    def work() -> None:
        for matrix, weights in zip(matrices, signed, strict=True):
            least(model, matrix, weights, by)

    return work


def verdicts_of(adviser: Any, shard: Any, results: dict[str, Any]) -> dict[str, int]:
    """Return how the verdicts of two-valued rules differ from ours, per decision and modality."""
    from pipeline.advice import judge
    from pipeline.vocabulary import VERDICTS

    ours = judge(adviser.config, adviser.rules, shard.facts, shard.dates).modalities
    ours = ours.set_index(["decision_id", "modality"])["verdict"]
    found = {}
    for name in (USUAL, EVAL, TUNED):
        table = results[name] if name != TUNED else results[name][0]
        own = table.set_index(["decision_id", "modality"])["verdict"].map(lambda code: VERDICTS[code])
        both = ours.reindex(own.index)
        found[f"{name}: equal"] = int((own == both).sum())
        open_here = ~own.isin(["blocked", "indeterminate"])
        found[f"{name}: open where ours is undecided"] = int((open_here & (both == "indeterminate")).sum())
        found[f"{name}: open where ours is blocked"] = int((open_here & (both == "blocked")).sum())
        found[f"{name}: of"] = len(own)
    return found


def quality_of(adviser: Any, shard: Any, truth: Any, learners: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """Return the mean true utility lost by the first choice, and how often it is the best, at the default weights."""
    import numpy as np

    from pipeline.advice import availability, judge
    from pipeline.guardrails import structural_zero
    from tests.benchmarks import usual_way as way
    from tests.benchmarks.ranking.measures import chances, regret, top_choice

    model, decisions = adviser.model, list(shard.features["decision_id"])
    arms = list(model.arms)
    real = truth.pivot(index="decision_id", columns="modality", values="suitability").loc[decisions, arms].to_numpy()
    zero = structural_zero(judge(adviser.config, adviser.rules, shard.facts, shard.dates)).loc[decisions, arms]
    possible = ~(zero.to_numpy(dtype=bool) | (availability(shard.candidates, decisions, arms) == 0))
    rows = possible.any(axis=1)
    plain = replace(shard, preferences=shard.preferences.iloc[:0])
    matrix, found = model.columns.matrix(shard.features), {}
    for name, learner in learners.items():
        value = way.weighed(adviser, plain, learner.outcomes(matrix))[0]
        policy = chances(value[rows], possible[rows])
        best = top_choice(real[rows], policy, possible[rows])
        found[name] = (regret(real[rows], policy, possible[rows]), float(np.mean(best)))
    anyone = possible[rows] / possible[rows].sum(axis=1, keepdims=True)
    found["by chance"] = (
        regret(real[rows], anyone, possible[rows]),
        float(np.mean(top_choice(real[rows], anyone, possible[rows]))),
    )
    return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with records and the run that learned from them."""
    if "MMRANK_BENCH_AGAINST" in os.environ:
        return Path(os.environ["MMRANK_BENCH_AGAINST"])
    from tests.benchmarks.small_run import small_run

    return small_run(tmp_path_factory.mktemp("against")).parent


@pytest.mark.slow
def test_explained_and_guarded_decisions_per_second(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    words = [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.test_against_the_usual_way_bench"]
    done = subprocess.run(
        [*words, str(home), str(tmp_path)], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    told = json.loads(done.stdout.splitlines()[-1])

    with capsys.disabled():
        print(
            f"\n\n{told['rules']} rules; ours {told['parts']} parts, theirs {told['models']} models of "
            f"{told['leaves'][0]:.0f} and {told['leaves'][1]:.0f} leaves on average, learned from {told['trained']:,} "
            f"decisions; one thread, {REPEATS} rounds in turns, medians; the explainers took "
            f"{told['explainers']:.1f} s, our tables {told['tables']:.1f} s"
        )
        for size, ways in told["sizes"].items():
            count, ours = int(size), ways[OURS]
            print(f"\n{count:,} decisions{'':34}{'wall s':>9}{'CPU s':>9}{'a second':>10}{'CPU, ours = 1':>15}")
            for name, (wall, cpu) in ways.items():
                print(f"{name:48}{wall:9.2f}{cpu:9.2f}{count / cpu:10.0f}{cpu / ours[1]:15.2f}")
            for floor in (FLOOR, WALKED):
                print(f"end to end, times the {floor}: {ways[WHOLE][1] / ways[floor][1]:.2f} (CPU)")
        print("\nregret and share of best first choices on the simulated truth")
        for name, (lost, best) in told["quality"].items():
            print(f"{name:12}{lost:9.4f}{best:9.2f}")
        print("\n".join(f"{name}: {count:,}" for name, count in told["verdicts"].items()))
    assert told["verdicts"][f"{TUNED}: equal"] == told["verdicts"][f"{TUNED}: of"]


if __name__ == "__main__":
    print(json.dumps(compare(Path(sys.argv[1]), Path(sys.argv[2]))))
