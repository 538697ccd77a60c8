"""The guide of the Python API: its code runs as a script, and in a notebook, on the reader's own session."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import TOP
from tests.docs.test_docs import blocks

pytestmark = pytest.mark.spark

GUIDE = TOP / "docs/guides/python.md"
STILL_RUNS = "print('the session still runs:', spark.range(3).count())"


@pytest.fixture
def folder(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with tars that the guide reads."""
    (tmp_path / "data").mkdir()
    for tar in sorted(corpus.glob("*.tar"))[:2]:
        (tmp_path / "data" / tar.name).symlink_to(tar)
    monkeypatch.delenv("PYSPARK_PYTHON", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(TOP))
    return tmp_path


def test_the_code_runs_as_a_script(folder: Path):
    script = folder / "guide.py"
    script.write_text("\n".join([*blocks(GUIDE, "python"), STILL_RUNS, "spark.stop()"]))
    done = subprocess.run([sys.executable, str(script)], cwd=folder, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "the session still runs: 3" in done.stdout
    assert done.stdout.count("True\n") == 6


def test_the_code_runs_in_a_notebook(folder: Path):
    cells = [nbformat.v4.new_code_cell(each) for each in [*blocks(GUIDE, "python"), "chosen", STILL_RUNS]]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    shown = [output["data"]["text/html"] for cell in cells for output in cell.outputs if "data" in output]
    assert any("data:image/jpeg;base64," in each for each in shown)
    assert any("<th>went on</th>" in each for each in shown)
    # A kernel may send what a line prints in several pieces.
    assert "the session still runs: 3" in "".join(output.get("text", "") for output in cells[-1].outputs)
