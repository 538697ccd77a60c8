"""The guide of features: its code runs in order, on models with random weights."""

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from manifests.format.schema import Stage
from tests.conftest import TOP
from tests.docs.test_docs import blocks
from tests.support.embedding_models import needs_transformers, write_hugging_face
from tests.support.making import commit_rows, rows_of_tar, tar_bytes
from tests.support.pictures import LINES, landscape, render

pytestmark = needs_transformers

GUIDE = TOP / "docs/guides/features.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with the manifest and the models of the guide."""
    members = []
    for number in range(60):
        rgb = render(LINES[number % 9 :]) if number % 2 else np.roll(landscape(), 7 * number, axis=1)
        out = io.BytesIO()
        Image.fromarray(rgb).resize((120, 90)).save(out, "PNG")
        members.append((f"{number:02d}.png", out.getvalue()))
    (tmp_path / "0.tar").write_bytes(tar_bytes(members))
    rows = rows_of_tar(f"file://{tmp_path}/0.tar", tar_bytes(members))
    classed = [{**row, "text_class": "heavy" if number % 2 else "none"} for number, row in enumerate(rows)]
    commit_rows(tmp_path / "out/chosen", [classed], Stage.CHOOSE)
    with contextlib.redirect_stderr(io.StringIO()):
        write_hugging_face(tmp_path / "models/one", "Dinov2Model")
        write_hugging_face(tmp_path / "models/other", "ViTModel")
    return tmp_path


def test_the_code_runs_as_a_script(folder: Path):
    (folder / "guide.py").write_text("\n".join(blocks(GUIDE, "python")))
    env = {**os.environ, "PYTHONPATH": str(TOP)}
    done = subprocess.run([sys.executable, "guide.py"], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shares = dict(re.findall(r"^([\w-]+): ([\d.]+)", done.stdout, re.MULTILINE))
    assert list(shares) == ["k-NN", "probe", "alignment"]
    assert float(shares["k-NN"]) > 0.9, "even random weights tell pages from landscapes"
    assert float(shares["probe"]) > 0.9
    assert float(shares["alignment"]) > 0.2
