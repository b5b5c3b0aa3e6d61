"""Which pages of the documentation are generated, and from what?"""

from __future__ import annotations

from pathlib import Path

from pipeline.features import describe as describe_features
from pipeline.guardrails import describe as describe_rules
from pipeline.runs.setup import Setup
from pipeline.schema import data_dictionary
from pipeline.store import write_text


def write_pages(setup: Setup, out: Path) -> list[Path]:
    """Write the data dictionary, the features page and the guardrails page; return their paths."""
    config = setup.config
    pages = {
        "data-dictionary.md": data_dictionary(setup.contract),
        "features.md": describe_features(setup.spec, config.drugs, config.modalities),
        "guardrails.md": describe_rules(setup.rules, config.products, setup.facts),
    }
    for name, text in pages.items():
        write_text(out / name, text)
    return [out / name for name in pages]
