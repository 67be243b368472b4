"""The examples, as their readers run them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the examples, in which both find the same run."""
    folder = tmp_path_factory.mktemp("examples")
    for name in ("train.py", "train.ipynb"):
        shutil.copy(EXAMPLES / name, folder)
    return folder


def test_the_script_trains_and_searches(runs: Path) -> None:
    finished = subprocess.run([sys.executable, "train.py"], cwd=runs, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    verdict, *table, first, second, third = finished.stdout.splitlines()
    assert verdict in ("WIN", "TIE", "REGRESSION")
    assert "as shipped" in table[-1]
    assert [line.split()[0] for line in (first, second, third)] == ["1", "2", "3"]


def test_the_notebook_runs_and_shows_the_report(runs: Path) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    notebook = nbformat.read(runs / "train.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(runs)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert any("numpy: " in output.get("data", {}).get("text/html", "") for output in shown)
    assert not [output for output in shown if output["output_type"] in ("stream", "error")]
