"""The guide of releases: its commands and its Python run in their order."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from manifests.format.store import open_manifest
from tests.conftest import TOP, Reference, curate
from tests.docs.test_docs import blocks

GUIDE = TOP / "docs/guides/release.md"


@pytest.fixture
def folder(reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a run, and the publisher's file of the guide."""
    shutil.copytree(reference.output, tmp_path / "out")
    (tmp_path / "about.yaml").write_text(blocks(GUIDE, "yml")[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("CROISSANT_CACHE", str(tmp_path / "croissant"))
    return tmp_path


def test_the_commands_and_the_python_run(folder: Path):
    for block in blocks(GUIDE, "console"):
        for line in re.findall(r"^\$ curate (.*)$", block, re.MULTILINE):
            # Of so few samples the subsets are smaller, and all of them are kept or none.
            curate(*shlex.split(line.replace("50,100", "10,50").replace("text_score > 0.9", "text_lines > 0")))
    made, patched = (open_manifest(f"out/{name}") for name in ("shards-2", "patched"))
    assert made.digest == patched.digest and 0 < made.rows < open_manifest("out/shards").rows
    for code in blocks(GUIDE, "python"):
        script = code.replace('"50"', '"10"')
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
