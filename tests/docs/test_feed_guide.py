"""The guide "Feed a trainer": each piece of its code runs on shards of mixed pictures, some without captions."""

import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest

from manifests.format.schema import Stage
from tests.conftest import TOP, curate
from tests.docs.test_docs import blocks
from tests.support.feeding import members_of
from tests.support.making import commit_rows, rows_of_tar, tar_bytes

pytestmark = pytest.mark.spark

CODE = blocks(TOP / "docs/guides/feed-a-trainer.md", "python")
PACKAGES = ("accelerate", "datasets", "megatron", "torch", "torchdata", "webdataset", "wids")
NEEDS = {"loader(": "torch", "dataset()": "torch"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with chosen rows, their shards, and other shards."""
    top = tmp_path_factory.mktemp("guide")
    for name, numbers in (("shards", range(40)), ("others", range(40, 60))):
        tar = top / f"{name}.tar"
        tar.write_bytes(tar_bytes([member for number in numbers for member in members_of(number)]))
        found = rows_of_tar(tar.as_uri(), tar.read_bytes())
        rows = [{**row, "key": row["member"].split(".")[0], "text_class": "heavy"} for row in found]
        commit_rows(top / f"out/chosen-{name}", [rows], Stage.CHOOSE)
        curate("shard", top / f"out/chosen-{name}", "-o", top / "out" / name, "--samples-per-shard", 20)
    (top / "out/chosen-shards").rename(top / "out/chosen")
    return top


@pytest.mark.parametrize("place", range(len(CODE)))
def test_the_code_runs(folder: Path, place: int, monkeypatch: pytest.MonkeyPatch):
    lines = "\n".join([*_before(place), CODE[place]])
    needed = {package for package in PACKAGES if f"import {package}" in lines or f"from {package}" in lines}
    needed |= {package for text, package in NEEDS.items() if text in lines}
    if missing := [package for package in needed if util.find_spec(package) is None]:
        pytest.skip(f"{', '.join(missing)} not installed")
    script = folder / f"piece{place}.py"
    script.write_text(lines)
    monkeypatch.setenv("PYTHONPATH", str(TOP))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    done = subprocess.run([sys.executable, script], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _before(place: int) -> list[str]:
    """Return the pieces that this one goes on from."""
    if "row = shards" in CODE[place]:
        return [next(code for code in CODE if code.startswith("import glob"))]
    return [] if "import curate" in CODE[place] or "curate." not in CODE[place] else ["import curate"]
