"""The guide of takedowns: its commands run in their order, and prove what it says."""

import re
import shutil
from pathlib import Path

import pytest

from manifests.format.store import open_manifest
from tests.conftest import TOP, Reference, curate, rows_of
from tests.docs.test_docs import blocks

GUIDE = TOP / "docs/guides/takedown.md"
LISTED = "removed.csv"


@pytest.fixture
def folder(reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a run, a list of two kept URLs, a reported picture, and somebody's copy of the shards."""
    shutil.copytree(reference.output, tmp_path / "out")
    shutil.copytree(reference.output / "shards", tmp_path / "their/shards")
    monkeypatch.chdir(tmp_path)
    kept = [row for row in rows_of(tmp_path / "out/chosen").to_pylist() if row["keep"] and row["url"]]
    (tmp_path / LISTED).write_text("url,why\n" + "".join(f"{row['url']},asked\n" for row in kept[:2]))
    curate("cat", "out/chosen", "--keys", kept[2]["key"], "--images", "reported")
    return tmp_path


def test_the_commands_run(folder: Path):
    for block in blocks(GUIDE, "console"):
        for line in re.findall(r"^\$ curate (.*)$", block, re.MULTILINE):
            curate(*line.split())
    ours, theirs = (open_manifest(str(folder / place)) for place in ("out/shards-2", "their/shards-2"))
    assert ours.digest == theirs.digest
    assert ours.rows < open_manifest(str(folder / "out/shards")).rows
    assert (folder / "look.html").stat().st_size > 0
    listed = {line.split(",")[0] for line in (folder / LISTED).read_text().splitlines()}
    for place in ("out/chosen-2", "out/scan-2", "out/shards-2"):
        assert not listed & set(rows_of(folder / place).column("url").to_pylist())
