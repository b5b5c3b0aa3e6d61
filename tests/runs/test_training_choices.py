"""What training counts, learns and leaves out follows from what the records can tell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest

from pipeline.advice import Adviser, circumstances
from pipeline.config import Config
from pipeline.runs.reporting import Quiet
from pipeline.runs.setup import Setup
from pipeline.runs.train import _declared_products, _propensity_names, targets_of, train
from pipeline.simulate import NOTE, SimulationSettings, simulate
from pipeline.store import write_records


def _points(named: int, of: int, name: str = "cilta_cel") -> pd.DataFrame:
    """Return the choices of ten bispecifics, all named, and of CAR T, some of them named."""
    products = ["teclistamab"] * 10 + [name] * named + [None] * (of - named)
    return pd.DataFrame({"modality": ["bispecific"] * 10 + ["car_t"] * of, "product": pd.Series(products, dtype="str")})


@pytest.mark.parametrize(
    ("points", "counted"),
    [
        (_points(20, 20), {"teclistamab": 10, "cilta_cel": 20}),
        (_points(18, 20), {"teclistamab": 10, "cilta_cel": 18}),
        (_points(17, 20), {"teclistamab": 10}),
        (_points(20, 20, "the institution's own"), {"teclistamab": 10}),
        (_points(20, 20, "talquetamab"), {"teclistamab": 10}),
    ],
)
def test_products_are_counted_where_nine_of_ten_rows_name_one_of_the_modality(
    base_setup: Setup, points: pd.DataFrame, counted: dict[str, int]
) -> None:
    products = _declared_products(points, base_setup.config)

    assert products is not None
    assert products.value_counts().to_dict() == counted


def test_without_any_product_none_are_counted(base_setup: Setup) -> None:
    assert _declared_products(_points(0, 20).tail(20), base_setup.config) is None


def test_a_modality_whose_products_are_not_counted_is_not_called_outside_experience(base_setup: Setup) -> None:
    config = base_setup.config
    products = pd.DataFrame(
        [("d1", product.modality, product.id, "clear") for product in config.products],
        columns=["decision_id", "modality", "product", "verdict"],
    )
    modalities = pd.DataFrame({"decision_id": "d1", "modality": config.modality_ids, "verdict": "clear"})
    model = SimpleNamespace(product_cases={"teclistamab": 12, "elranatamab": 0, "talquetamab": 30})
    shard = SimpleNamespace(
        features=pd.DataFrame({"decision_id": ["d1"]}),
        candidates=pd.DataFrame({"decision_id": "d1", "modality": config.modality_ids, "available": True}),
    )
    verdicts = SimpleNamespace(
        products=products,
        modalities=modalities,
        findings=pd.DataFrame(columns=["decision_id", "modality", "product", "rule_id", "verdict", "fired"]),
    )
    adviser = cast(Adviser, SimpleNamespace(config=config, model=model))

    found = _without_structural_zeros(adviser, shard, verdicts)

    assert dict(zip(config.modality_ids, found.permitted_cases[0], strict=True)) == {
        "adc": -1,
        "bispecific": 42,
        "car_t": -1,
        "standard_triplet": -1,
    }


def _without_structural_zeros(adviser: Adviser, shard: Any, verdicts: Any) -> Any:
    none = pd.DataFrame(False, index=["d1"], columns=list(adviser.config.modality_ids))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("pipeline.advice.structural_zero", lambda _: none)
        return circumstances(adviser, shard, verdicts)


def _labels(events: dict[str, int]) -> pd.DataFrame:
    columns = {}
    for name in ("durable_control", "severe_toxicity", "early_death"):
        columns[f"{name}_event"] = [int(row < events[name]) for row in range(40)]
        columns[f"{name}_months"] = [2.0] * 40
    return pd.DataFrame(columns)


@pytest.mark.parametrize(
    ("control", "learned"),
    [
        (15, ["durable_control", "treatment_free", "severe_toxicity", "early_death"]),
        (14, ["severe_toxicity", "early_death"]),
    ],
)
def test_time_off_treatment_is_not_learned_without_durable_control(
    base_setup: Setup, control: int, learned: list[str]
) -> None:
    labels = _labels({"durable_control": control, "severe_toxicity": 20, "early_death": 20})

    assert [target.name for target in targets_of(base_setup.config, labels)] == learned


def test_time_off_treatment_is_not_learned_where_no_modality_ends(base_setup: Setup) -> None:
    ongoing = tuple(entry.model_copy(update={"time_limited": False}) for entry in base_setup.config.modalities)
    config: Config = replace(base_setup.config, modalities=ongoing)

    labels = _labels({"durable_control": 20, "severe_toxicity": 20, "early_death": 20})

    assert "treatment_free" not in [target.name for target in targets_of(config, labels)]


@pytest.mark.parametrize("calendar", [True, False])
def test_the_date_of_a_decision_tells_nothing_without_a_calendar(base_setup: Setup, calendar: bool) -> None:
    people = [f"P{number}" for number in range(40)]
    features = pd.DataFrame({"site_id": ["north"] * 20 + ["south"] * 20, "patient_id": people})

    names = _propensity_names(features, base_setup, calendar=calendar)

    assert ("calendar_time" in names) is calendar
    assert {"site_id", "age", "wait_days_car_t"} <= set(names)


def test_a_site_counts_by_its_people_not_by_their_decisions(base_setup: Setup) -> None:
    people = [f"P{number}" for number in range(30)] + [f"Q{number % 10}" for number in range(30)]
    features = pd.DataFrame({"site_id": ["north"] * 15 + ["south"] * 15 + ["few"] * 30, "patient_id": people})

    _propensity_names(features, base_setup, calendar=True)

    assert list(features["site_id"].cat.categories) == ["north", "south"]


class Heard(Quiet):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


class Enough(Exception):
    """Learning would begin here."""


def test_training_tells_the_warnings_of_the_check(
    base_setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def learn(*_: object) -> None:
        raise Enough

    tables = dict(simulate(SimulationSettings(decisions=30, seed=3)).tables)
    decisions, patients = tables["decisions"].copy(), tables["patients"].copy()
    decisions.loc[decisions.index[4], "modality"] = "radiowaves"
    patients["birth_date"] = pd.array([None] * len(patients), dtype="str")
    write_records({**tables, "decisions": decisions, "patients": patients}, tmp_path / "records", stamp={"note": NOTE})
    monkeypatch.setattr("pipeline.runs.train._learn", learn)
    heard = Heard()

    with pytest.raises(Enough):
        train(tmp_path / "records", base_setup, tmp_path / "run", tmp_path / "workspace", heard)

    assert [line.split(" (row")[0] for line in heard.lines] == [
        "warning: decisions.patient_id: 30 of 30 rows",
        "warning: decisions.modality: 1 of 30 rows",
    ]
    assert "Declared are adc, bispecific, car_t, standard_triplet;" in heard.lines[1]
