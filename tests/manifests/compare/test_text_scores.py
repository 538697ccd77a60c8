"""Text scores compare if the same software made them, as far as the manifests before say so."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from manifests.compare.text_scores import scores_compare
from manifests.format.schema import Stage, schema
from manifests.format.store import Manifest, Parent
from tests.conftest import curate
from tests.support.making import commit_rows

SCANNED = {"text_density": "net 1", "pdq": "2"}
SCORED = {"cascade": "3", "engine": "ocr 4", "decoder": "5"}


def commit_line(folder: Path, scanned: dict[str, str], scored: dict[str, str], score: float = 0.5) -> Manifest:
    """Commit a scan, what was scored from it, and what was chosen from that; returns the last."""
    stages = ((Stage.SCAN, scanned), (Stage.SCORE, scored), (Stage.CHOOSE, {"choose": "2"}))
    parents: list[Parent] = []
    for stage, software in stages:
        rows = [[{"key": "a", "text_score": score}]]
        made = commit_rows(folder / stage, rows, stage, software=software, parents=parents)
        parents = [Parent(uri=made.uri, stage=made.stage, digest=made.digest)]
    return made


@pytest.mark.parametrize("name", ["text_density", "cascade", "engine"])
def test_other_software_makes_other_scores(tmp_path: Path, name: str) -> None:
    a = commit_line(tmp_path / "a", SCANNED, SCORED)
    same = commit_line(tmp_path / "b", SCANNED, SCORED, score=0.7)
    changed = [{n: "new" if n == name else v for n, v in each.items()} for each in (SCANNED, SCORED)]
    other = commit_line(tmp_path / "c", *changed)
    assert scores_compare(a, same) is scores_compare(a, a) is True
    assert scores_compare(a, other) is scores_compare(other, a) is False


@pytest.mark.parametrize("name", ["pdq", "decoder"])
def test_other_software_than_that_for_text_does_not_matter(tmp_path: Path, name: str) -> None:
    changed = [{n: "new" if n == name else v for n, v in each.items()} for each in (SCANNED, SCORED)]
    assert scores_compare(commit_line(tmp_path / "a", SCANNED, SCORED), commit_line(tmp_path / "b", *changed)) is True


def test_nothing_is_said_where_too_little_is_known(tmp_path: Path) -> None:
    a, b = (commit_line(tmp_path / name, SCANNED, SCORED) for name in "ab")
    scan = commit_rows(tmp_path / "scan", [[{"key": "a"}]], Stage.SCAN, software=SCANNED)
    assert scores_compare(a, scan) is scores_compare(scan, scan) is None  # no text scores
    (tmp_path / "b/score/_manifest.json").unlink()
    assert scores_compare(a, b) is None


def test_scores_of_0_1_never_compare_with_those_of_now(tmp_path: Path) -> None:
    fewer = pa.schema([field for field in schema(Stage.SCORE) if field.name not in ("text_kinds", "text_kind")])
    old, older = (commit_rows(tmp_path / n, [[{"key": "a"}]], Stage.SCORE, schema=fewer) for n in ("old", "older"))
    now = commit_rows(tmp_path / "now", [[{"key": "a"}]], Stage.SCORE)
    assert scores_compare(old, now) is scores_compare(now, old) is False
    assert scores_compare(old, older) is None


def test_diff_says_so_unless_scores_are_left_out(tmp_path: Path) -> None:
    a = commit_line(tmp_path / "a", SCANNED, SCORED)
    same = commit_line(tmp_path / "b", SCANNED, SCORED, score=0.7)
    other = commit_line(tmp_path / "c", SCANNED, {**SCORED, "engine": "ocr 5"}, score=0.7)
    said = "text scores do not compare"
    for second, options, compares in (
        (same, (), True),
        (other, (), False),
        (other, ("--columns", "text_score"), False),
        (other, ("--ignore", "text_score"), None),
        (other, ("--columns", "width"), None),
    ):
        shown = curate("diff", a.uri, second.uri, *options)
        assert (said in shown.stderr) == (compares is False)
        assert said not in shown.stdout
        assert (
            json.loads(curate("diff", a.uri, second.uri, "--json", *options).stdout)["text_scores_compare"]
            is compares
        )
    assert said not in curate("diff", a.uri, other.uri, "--quiet").stderr
