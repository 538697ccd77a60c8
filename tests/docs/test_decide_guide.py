"""The guide "From crawl to decision": its commands run in their order, with labels in place of a person."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from manifests.format.store import open_manifest
from tests.conftest import TOP, Reference, curate, rows_of
from tests.docs.test_docs import blocks

GUIDE = TOP / "docs/guides/decide.md"


@pytest.fixture
def folder(reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a run, and a file of keys."""
    shutil.copytree(reference.output, tmp_path / "out")
    keys = rows_of(tmp_path / "out/chosen").column("key").to_pylist()
    (tmp_path / "keys.txt").write_text(f"{keys[0]}\n{keys[1]}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_run(folder: Path):
    lines = [
        line for block in blocks(GUIDE, "console") for line in re.findall(r"^\$ curate (.*)$", block, re.MULTILINE)
    ]
    for line in lines:
        # Of so few pictures, only rougher rates can be shown.
        curate(*shlex.split(line.replace("rate 0.05", "rate 0.3").replace("rate 0.1", "rate 0.4")))
        if line.startswith("audit") and "--filled" not in line:
            _label(folder)
    for page in ("report", "changes"):
        assert (folder / page / "index.html").exists()
    assert "Precision" in (folder / "report/text.html").read_text()
    assert open_manifest("out/chosen-0.7").config["min_heavy_score"] == 0.7
    assert "min_heavy_score" in (folder / "thresholds.yaml").read_text()
    assert (folder / "release").is_dir()


def _label(folder: Path) -> None:
    """Fill in the sheet of an audit as the run decided."""
    classes = {row["key"]: row["text_class"] for row in rows_of(folder / "out/chosen").to_pylist()}
    head, *keys = (folder / "audit/sheet.csv").read_text().splitlines()
    labelled = [key + classes[key.rstrip(",").strip('"')] for key in keys]
    (folder / "audit/filled.csv").write_text("\n".join([head, *labelled]) + "\n")
