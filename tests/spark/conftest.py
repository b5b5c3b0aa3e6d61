"""Spark, where it is installed: `make test` brings pyspark; without it or Java these tests skip."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

REQUIRED = "SPARK_TESTS"
"""Set to `required`, a machine without pyspark or Java fails these tests instead of skipping them."""
BESIDE = ROOT / ".venv" / ".spark"
"""Where `make test` puts pyspark: beside the environment, which stays equal to its lock."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep Spark on the worker that trains the small institution anyway."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.xdist_group("journey"))


@pytest.fixture(scope="package")
def cluster_master() -> Iterator[str]:
    """Return a cluster of two executors, each a process of its own with one core."""
    with pytest.MonkeyPatch.context() as patched:
        if importlib.util.find_spec("pyspark") is None and (BESIDE / "pyspark").is_dir():
            patched.setattr(sys, "path", [*sys.path, str(BESIDE)])
            patched.setenv("PYTHONPATH", os.pathsep.join([*os.environ.get("PYTHONPATH", "").split(), str(BESIDE)]))
        lacking = [] if importlib.util.find_spec("pyspark") else ["pyspark (make .venv/.spark/.ready)"]
        lacking += [] if shutil.which("java") else ["Java (Debian: apt-get install openjdk-17-jre-headless)"]
        if lacking:
            words = f"no {' and no '.join(lacking)}"
            if os.environ.get(REQUIRED) == "required":
                pytest.fail(f"{words}, and {REQUIRED}=required forbids skipping")
            pytest.skip(words)
        yield "local-cluster[2,1,1024]"
