"""Which pages and files are generated, and from what?"""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.features import describe as describe_features
from pipeline.features import matrix_schema
from pipeline.guardrails import describe as describe_rules
from pipeline.runs.setup import Setup, shipped_contract
from pipeline.schema import data_dictionary
from pipeline.store import shipped, write_text

_MATRIX_HEAD = "# Generated from configs/features.yaml by `make docs`; do not edit.\n"


def write_pages(setup: Setup, out: Path) -> list[Path]:
    """Write the feature matrix's schema, then the data dictionary, features and guardrails pages."""
    config = setup.config
    matrix = shipped("data_schema") / "feature_matrix.yaml"
    write_text(matrix, _as_yaml(matrix_schema(setup.spec, config.modalities)))
    pages = {
        "data-dictionary.md": data_dictionary(shipped_contract()),
        "features.md": describe_features(setup.spec, config.drugs, config.modalities),
        "guardrails.md": describe_rules(setup.rules, config.products, setup.facts),
    }
    for name, text in pages.items():
        write_text(out / name, text)
    return [matrix, *(out / name for name in pages)]


def _as_yaml(schema: dict[str, object]) -> str:
    """Return a table schema as YAML, one field a line (JSON is YAML's flow style)."""
    fields = schema["fields"]
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in schema.items() if key != "fields"]
    listed = [f"  - {json.dumps(field, ensure_ascii=False)}" for field in fields] if isinstance(fields, list) else []
    return _MATRIX_HEAD + "\n".join([*lines, "fields:", *listed]) + "\n"
