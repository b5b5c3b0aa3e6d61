"""What do the store's tests share: a small model, a small batch, tokens that must never be shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from pipeline.store import Kind, Part, part_of, write_model

Make = Callable[..., pd.DataFrame]

SECRET = "Q7SECRETNAME"
MODEL_FILES = {
    "student.txt": b"tree\nnum_leaves=4\n" * 20,
    "specification.json": b'{"features": ["age"]}\n',
    "one": b"1",
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    directory = tmp_path / "run" / "model"
    write_model(directory, MODEL_FILES)
    return directory


def rows_of(frame: pd.DataFrame) -> pa.Table:
    """Return a frame as a table whose types are whatever its values suggest."""
    return pa.table(
        {
            name: pa.array(column if column.dtype != object else column.tolist(), from_pandas=True)
            for name, column in frame.items()
        }
    )


def part(frame: pd.DataFrame, kind: Kind = "parquet") -> Part:
    """Return a frame of predictions as the part that is written."""
    return part_of(rows_of(frame), kind)


@pytest.fixture
def predictions() -> Callable[..., pd.DataFrame]:
    """Return a maker of predictions: two modalities for each of the given decisions."""

    return rows_of_decisions


def rows_of_decisions(*decisions: str) -> pd.DataFrame:
    """Return predictions of two modalities for each of some decisions."""
    rows = [_row(decision, modality) for decision in decisions for modality in ("car_t", "adc")]
    return pd.DataFrame(rows).astype({"rank": "Int64", "model_rank": "Int64"})


def _row(decision: str, modality: str) -> dict[str, object]:
    ranked = modality == "car_t"
    reason = {"feature": "age", "value": "71", "contribution": 0.125}
    return {
        "decision_id": decision,
        "patient_id": f"p-{decision}",
        "modality": modality,
        "status": "ranked" if ranked else "indeterminate",
        "rank": 1 if ranked else None,
        "model_rank": 1 if ranked else 2,
        "tied_with": [],
        **dict.fromkeys(
            ("suitability", "suitability_low", "suitability_high", "durable_control", "treatment_free"), 0.25
        ),
        **dict.fromkeys(("severe_toxicity", "early_death", "burden", "support"), 0.125 if ranked else None),
        "verdict": "clear" if ranked else "indeterminate",
        "rules": [] if ranked else [{"rule_id": "G07", "verdict": "indeterminate", "missing_facts": ["eye_exam"]}],
        "products": [{"product": "cilta_cel", "verdict": "clear"}] if ranked else (),
        "overrides": [],
        "baseline": 0.125,
        "reasons": [reason],
        "versus_next": {"modality": "adc", "items": [reason]} if ranked else None,
        "abstain_reason": None,
        "missing_facts": [] if ranked else ["eye_exam"],
        "model_version": "m1",
        "ruleset_version": "r1",
        "records_digest": "d1",
    }
