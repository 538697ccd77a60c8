"""Manifests of 0.1: what measures or decides with them refuses them, what only reads manifests reads them."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from manifests.format.schema import Stage, schema
from manifests.format.store import open_manifest
from tests.conftest import curate
from tests.support.making import commit_rows

REASON = "made by curate 0.1, without text_kinds"
NEXT = "its text scores do not compare with those of this version; make it again, from scan on"


def commit_old(folder: Path, stage: Stage) -> Path:
    """Commit a manifest with the columns that 0.1 wrote."""
    fewer = pa.schema([field for field in schema(stage) if field.name not in ("text_kinds", "text_kind")])
    commit_rows(
        folder, [[{"key": k, "text_score": 0.9, "keep": True} for k in "abc"]], stage, schema=fewer, software={}
    )
    return folder


@pytest.mark.parametrize(
    ("command", "stage"),
    [("dedupe", Stage.SCAN), ("score", Stage.DEDUPE), ("choose", Stage.SCORE), ("shard", Stage.CHOOSE)],
)
def test_stages_refuse_them_and_write_nothing(tmp_path: Path, command: str, stage: Stage) -> None:
    old = commit_old(tmp_path / "old", stage)
    for options in ((), ("--dry-run",)):
        refused = curate(command, old, "-o", tmp_path / "out", *options, check=2)
        assert f"{old}: {REASON}" in refused.stderr
        assert NEXT in refused.stderr
    assert not (tmp_path / "out").exists()


def test_audits_and_calibration_refuse_them(tmp_path: Path) -> None:
    old, labels = commit_old(tmp_path / "old", Stage.CHOOSE), tmp_path / "labels.csv"
    labels.write_text("key,label\na,heavy\n")
    for line in (
        ("audit", old, "-o", tmp_path / "out"),
        ("calibrate", labels, "--manifest", old, "-o", tmp_path / "out"),
    ):
        refused = curate(*line, check=2)
        assert f"{old}: {REASON}" in refused.stderr
        assert NEXT in refused.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("stage", [Stage.SCAN, Stage.SCORE, Stage.CHOOSE])
def test_they_are_still_read(tmp_path: Path, stage: Stage) -> None:
    old = commit_old(tmp_path / "old", stage)
    assert json.loads(curate("query", old, "select count(*) as n from manifest", "--json").stdout) == [{"n": 3}]
    assert json.loads(curate("stats", old, "--json").stdout)["rows"] == 3
    assert curate("show", old, "--rows", "1").stdout
    curate("sample", old, "-o", tmp_path / "some", "--count", "2")
    sampled = open_manifest(str(tmp_path / "some"))
    assert (sampled.rows, sampled.schema.names) == (2, open_manifest(str(old)).schema.names)
    found = json.loads(curate("diff", old, tmp_path / "some", "--json").stdout)
    assert (found["removed"], found["is_proven"]) == (1, True)
