"""Evidence of earlier runs saves comparisons and changes no answer."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from manifests.format.store import open_manifest
from tests.conftest import curate, rows_of
from tests.jobs.dedupe.test_dedupe import LOCAL, dedupe, planted_members, write_tar
from tests.support.evidence import compared_pairs

pytestmark = pytest.mark.spark
STRICTER = "dedupe.strictness={mild: 0.99, overlay: 0.9, crop: 0.99, mirror: 0.99, turn: 0.99}"


@pytest.fixture(scope="module")
def crawls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two scans: of some planted pictures, and of these and some more."""
    folder = tmp_path_factory.mktemp("crawls")
    members = planted_members()
    later = {name for name in members if name.startswith("code") or "mirror" in name}
    write_tar(folder / "0.tar", {name: data for name, data in members.items() if name not in later})
    curate("scan", folder / "0.tar", "-o", folder / "may/scan", *LOCAL)
    write_tar(folder / "1.tar", {name: members[name] for name in sorted(later)})
    curate("scan", folder / "*.tar", "-o", folder / "june/scan", *LOCAL)
    dedupe(folder / "may/scan", folder / "may/deduped")
    dedupe(folder / "june/scan", folder / "june/deduped")
    return folder


def judged(text: str) -> Mapping[str, int]:
    """Return how many pairs were compared, and how many were taken, from what a run has said."""
    words = next(line for line in text.splitlines() if "pairs compared" in line).replace(",", "").split()
    return {"compared": int(words[1]), "taken": int(words[4])}


def test_a_grown_crawl_compares_what_touches_the_new_pictures(crawls: Path, tmp_path: Path) -> None:
    onto = ("--onto", crawls / "may/deduped")
    done = curate("dedupe", crawls / "june/scan", "-o", tmp_path / "onto", *onto, "--master", "local[2]")
    assert open_manifest(str(tmp_path / "onto")).digest == open_manifest(str(crawls / "june/deduped")).digest
    before = compared_pairs(crawls / "may/deduped")
    assert compared_pairs(tmp_path / "onto") == compared_pairs(crawls / "june/deduped")
    known = set(rows_of(crawls / "may/scan").column("sha256").to_pylist())
    new = compared_pairs(tmp_path / "onto") - before
    assert new
    assert not [pair for pair in new if pair <= known], "old pictures are not compared with each other again"
    assert judged(done.stderr) == {"compared": len(new), "taken": len(compared_pairs(tmp_path / "onto")) - len(new)}
    curate("verify", tmp_path / "onto")


def test_other_settings_at_the_same_place_compare_nothing_again(crawls: Path, tmp_path: Path) -> None:
    dedupe(crawls / "june/scan", tmp_path / "nothing", STRICTER)
    shutil.copytree(crawls / "june/deduped", tmp_path / "again")
    settings = ("--set", STRICTER, "--restart", "--master", "local[2]")
    done = curate("dedupe", crawls / "june/scan", "-o", tmp_path / "again", *settings)
    assert open_manifest(str(tmp_path / "again")).digest == open_manifest(str(tmp_path / "nothing")).digest
    new = compared_pairs(tmp_path / "again") - compared_pairs(crawls / "june/deduped")
    assert judged(done.stderr)["compared"] == len(new) < judged(done.stderr)["taken"]
    named = set(open_manifest(str(tmp_path / "again")).files)
    there = {f"_evidence/{path.name}" for path in (tmp_path / "again/_evidence").iterdir()}
    assert named == there, "evidence that nobody needs any more is removed"


def test_missing_evidence_is_a_fault(crawls: Path, tmp_path: Path) -> None:
    shutil.copytree(crawls / "may/deduped", tmp_path / "may")
    shutil.rmtree(tmp_path / "may/_evidence")
    found = curate("verify", tmp_path / "may", check=1)
    assert "_evidence/" in found.stdout + found.stderr
