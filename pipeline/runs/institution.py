"""How does an invented institution reach the disk, and say what it is?"""

from __future__ import annotations

from pathlib import Path

from pipeline.declared import parse_yaml
from pipeline.simulate import NOTE, Institution, SimulationSettings, published_rates, simulate
from pipeline.store import read_text, shipped, write_records


def write_institution(settings: SimulationSettings, out: Path) -> Institution:
    """Simulate an institution and write its records, and `truth.parquet` beside them.

    Every file carries the stamp that it is simulated.

    Raises
    ------
    ConfigError
        If `out` holds anything else than an earlier simulation.
    """
    where = "configs/published.yaml"
    rates = published_rates(parse_yaml(read_text(shipped("configs") / "published.yaml"), where), where)
    institution = simulate(settings, rates)
    tables = {**institution.tables, "truth": institution.truth}
    write_records(tables, out, stamp={"simulated": "true", "note": NOTE})
    return institution
