"""Does the notebook still walk from records to a reviewed model?"""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT

TOUR = ROOT / "docs" / "tour.ipynb"


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_the_tour_is_fifteen_cells_without_outputs() -> None:
    cells = code_cells(nbformat.read(TOUR, as_version=4))

    assert len(cells) == 15
    assert not any(cell.outputs or cell.execution_count for cell in cells)


@pytest.mark.slow
def test_the_tour_runs_from_top_to_bottom_without_a_warning(tmp_path: Path) -> None:
    notebook = nbformat.read(TOUR, as_version=4)
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=900, startup_timeout=300, kernel_name="python3", resources=where).execute()
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]

    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert "data scientist signed version 1 off" in str(outputs[-2:])
    assert {path.name for path in (tmp_path / "tour").glob("*.html")} == {
        "case.html",
        "page.html",
        "page_model_card.html",
    }
