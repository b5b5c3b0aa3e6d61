"""Which people, what was given and seen, and what is true of them: one world of the benchmark as tables?

The tables are those that `mmrank train` learns from: an institution is simulated into a scratch folder, read, checked
and turned into features and labels by the program itself. Kept as Parquet outside the repository.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import yaml

from pipeline.advice import availability, judge
from pipeline.features import model_columns, propensity_columns
from pipeline.guardrails import structural_zero
from pipeline.labels import build_labels
from pipeline.learners import SMALL_CELL, Target
from pipeline.runs.institution import write_institution
from pipeline.runs.reading import read_known
from pipeline.runs.reporting import Quiet
from pipeline.runs.setup import Setup, read_setup
from pipeline.runs.train import targets_of
from pipeline.simulate import SimulationSettings
from pipeline.store import shipped

Array = npt.NDArray[np.float64]
HERE = Path(__file__).parent
_TABLES = ("features", "labels", "points", "impossible", "truth")


def read_protocol() -> dict[str, Any]:
    """Return the protocol as written."""
    return dict(yaml.safe_load((HERE / "protocol.yaml").read_text(encoding="utf-8")))


@dataclass(frozen=True)
class People:
    """Some decisions, in order, of n rows.

    Attributes
    ----------
    features : DataFrame
    modality : Series of str, what was given
    labels : DataFrame
    patients, products : Series
    impossible : DataFrame of bool, one column per arm; False for the arm given
    truth, burden : arrays (n, arms), true utility at the default weights with burden, and burden alone
    """

    features: pd.DataFrame
    modality: pd.Series
    labels: pd.DataFrame
    patients: pd.Series
    products: pd.Series
    impossible: pd.DataFrame
    truth: Array
    burden: Array


@dataclass(frozen=True)
class Task:
    """Everything a method may see of training rows, and what it is judged on.

    Attributes
    ----------
    arms : tuple of str
    names, propensity_names : tuple of str
        Columns for outcomes and for propensities.
    targets : tuple of Target
    weights : dict of outcome to weight
    train, test : People
    setup : Setup
    digest : str
        Of the world's tables.
    """

    arms: tuple[str, ...]
    names: tuple[str, ...]
    propensity_names: tuple[str, ...]
    targets: tuple[Target, ...]
    weights: dict[str, float]
    train: People
    test: People
    setup: Setup
    digest: str


def shipped_setup() -> Setup:
    """Return the default configuration."""
    return read_setup(shipped("configs") / "base.yaml")


def world_tables(world: str, seed: int, protocol: dict[str, Any], setup: Setup, cache: Path) -> dict[str, pd.DataFrame]:
    """Return the tables of one institution, made once per knobs and seed."""
    wanted = max(protocol["sizes"]) + protocol["test_decisions"] + protocol["spare_decisions"]
    knobs = SimulationSettings(decisions=wanted, seed=seed, **protocol["worlds"][world])
    key = hashlib.sha256(knobs.model_dump_json().encode()).hexdigest()[:12]
    home = cache / f"{world}-{seed}-{key}"
    if not (home / "done").exists():
        home.mkdir(parents=True, exist_ok=True)
        for name, table in _make(knobs, setup).items():
            table.to_parquet(home / f"{name}.parquet")
        (home / "done").write_text(json.dumps({"note": "SIMULATED DATA"}), encoding="utf-8")
    return {name: pd.read_parquet(home / f"{name}.parquet") for name in _TABLES}


def _make(knobs: SimulationSettings, setup: Setup) -> dict[str, pd.DataFrame]:
    with tempfile.TemporaryDirectory() as scratch:
        institution = write_institution(knobs, Path(scratch) / "records")
        known = read_known(Path(scratch) / "records", setup, training=True, reporter=Quiet())
    config = setup.config
    labels = build_labels(
        known.connection, config.settings.outcomes, config.drugs, config.settings.cohort.data_cut_date
    )
    decisions, arms = known.features["decision_id"], list(config.modality_ids)
    verdicts = judge(config, setup.rules, known.facts, known.rule_dates(known.features))
    blocked = structural_zero(verdicts).reindex(index=decisions, columns=arms).to_numpy(dtype=bool)
    absent = availability(known.candidates, list(decisions), config.modality_ids) == 0
    return {
        "features": known.features,
        "labels": labels.frame,
        "points": known.points,
        "impossible": pd.DataFrame(blocked | absent, columns=arms).assign(decision_id=decisions.to_numpy()),
        "truth": institution.truth,
    }


def split(
    patients: pd.Series, followed: npt.NDArray[np.bool_], n: int, test: int, seed: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return positions of training and of test decisions: no patient has both.

    Patients come in random order, the first for testing. Decisions of the patient on the border are cut off, not
    moved. Training decisions were followed after the decision; test decisions need not be.
    """
    codes, names = pd.factorize(patients)
    place = np.random.default_rng([seed, 101]).permutation(len(names))[codes]
    order = np.lexsort((np.arange(len(codes)), place))
    tested, rest = order[:test], order[test:]
    rest = rest[~np.isin(place[rest], place[tested]) & followed[rest]]
    if len(rest) < n:
        raise ValueError(f"split: {len(rest)} training decisions, wanted {n}; raise spare_decisions")
    return np.sort(rest[:n]), np.sort(tested)


def load(world: str, n: int, seed: int, protocol: dict[str, Any], setup: Setup, cache: Path) -> Task:
    """Return one task: n training decisions of a world, and its test decisions."""
    tables = world_tables(world, seed, protocol, setup, cache)
    features, arms = tables["features"], setup.config.modality_ids
    ids = pd.Index(features["decision_id"])
    points = tables["points"].set_index("decision_id").loc[ids]
    labels = tables["labels"].set_index("decision_id").reindex(ids)
    impossible = tables["impossible"].set_index("decision_id").loc[ids, list(arms)]
    truth = tables["truth"].set_index(["decision_id", "modality"])
    cells = {
        name: truth[name].unstack("modality").loc[ids, list(arms)].to_numpy() for name in ("suitability", "burden")
    }
    given = points["modality"].astype("object")
    impossible = impossible.mask(np.equal.outer(given.to_numpy(), np.array(arms, dtype=object)), False).astype(bool)

    def people(rows: npt.NDArray[np.intp]) -> People:
        return People(
            features=features.iloc[rows].reset_index(drop=True),
            modality=given.iloc[rows].reset_index(drop=True),
            labels=labels.iloc[rows].reset_index(drop=True),
            patients=points["patient_id"].iloc[rows].reset_index(drop=True),
            products=points["product"].iloc[rows].reset_index(drop=True),
            impossible=impossible.iloc[rows].reset_index(drop=True),
            truth=cells["suitability"][rows],
            burden=cells["burden"][rows],
        )

    followed = labels["modality"].notna().to_numpy()
    first, second = split(points["patient_id"], followed, n, protocol["test_decisions"], seed)
    train, test = people(first), people(second)
    targets = targets_of(setup.config, train.labels)
    return Task(
        arms=tuple(arms),
        names=tuple(model_columns(setup.spec, setup.config.modalities)),
        propensity_names=_propensity_names(train.features, test.features, setup),
        targets=targets,
        weights=dict(setup.config.weights([target.name for target in targets])),
        train=train,
        test=test,
        setup=setup,
        digest=_digest(features, labels, impossible, cells["suitability"]),
    )


def _propensity_names(train: pd.DataFrame, test: pd.DataFrame, setup: Setup) -> tuple[str, ...]:
    """Return the columns of the propensity; sites of at least eleven decisions become levels, as in training."""
    names = propensity_columns(setup.spec, setup.config.modalities)
    counts = train["site_id"].value_counts()
    large = sorted(str(site) for site, count in counts.items() if count >= SMALL_CELL)
    for table in (train, test):
        sites = table["site_id"].astype("object")
        table["site_id"] = pd.Categorical(sites.where(sites.isin(large), None), categories=large)
    return tuple(name for name in names if name != "site_id" or len(large) > 1)


def _digest(features: pd.DataFrame, labels: pd.DataFrame, impossible: pd.DataFrame, truth: Array) -> str:
    total = hashlib.sha256()
    for table in (features, labels, impossible):
        total.update(",".join(map(str, table.columns)).encode())
        total.update(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes())
    total.update(np.round(truth, 9).tobytes())
    return total.hexdigest()[:12]
