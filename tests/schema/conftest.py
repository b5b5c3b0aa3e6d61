from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.declared import parse_yaml
from pipeline.schema import RECORD_TABLES, Contract, parse_contract

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def contract() -> Contract:
    files = [ROOT / "data_schema" / f"{name}.yaml" for name in RECORD_TABLES]
    return parse_contract({file.name: parse_yaml(file.read_text("utf-8"), file.name) for file in files})
