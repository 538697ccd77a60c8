"""Manifests that belong together are found by their folders, whether a pipeline made one choice or several."""

from pathlib import Path

import pytest

from manifests.errors import ManifestError
from manifests.format.families import manifests_in, shards_of, youngest_in
from manifests.format.schema import Stage
from manifests.format.store import Manifest, Parent
from tests.support.making import commit_rows


def made(folder: Path, name: str, stage: Stage, parent: Manifest | None = None) -> Manifest:
    """Commit a manifest of one row, whose key is the name of its folder."""
    parents = [] if parent is None else [Parent(uri=parent.uri, stage=parent.stage, digest=parent.digest)]
    rows = [{"key": name, "shard": "00000.tar", "shard_offset": 0, "shard_size": 1, "shard_index": 0}]
    return commit_rows(folder / name, [rows if stage is Stage.SHARD else [{"key": name}]], stage, parents=parents)


def test_the_last_manifest_of_a_pipeline(tmp_path: Path):
    with pytest.raises(ManifestError, match="no manifest here"):
        youngest_in(str(tmp_path))
    scan = made(tmp_path, "scan", Stage.SCAN)
    assert youngest_in(str(tmp_path)).digest == scan.digest
    chosen = made(tmp_path, "chosen", Stage.CHOOSE)
    made(tmp_path, "another", Stage.SHARD)
    assert youngest_in(str(tmp_path)).digest == chosen.digest, "the folder of no stage"
    assert youngest_in(str(tmp_path / "scan")).digest == scan.digest
    assert shards_of(chosen) is None
    shards = made(tmp_path, "shards", Stage.SHARD, chosen)
    assert youngest_in(str(tmp_path)).digest == shards.digest
    assert shards_of(chosen).digest == shards.digest
    assert list(manifests_in(f"file://{tmp_path}")) == ["scan", "chosen", "another", "shards"]


def test_of_several_choices_one_must_be_named(tmp_path: Path):
    heavy, light = (made(tmp_path, f"chosen-{name}", Stage.CHOOSE) for name in ("heavy", "light"))
    shards = made(tmp_path, "shards-heavy", Stage.SHARD, heavy)
    assert youngest_in(str(tmp_path)).digest == shards.digest, "the only one so far"
    made(tmp_path, "shards-light", Stage.SHARD, heavy)  # of another parent than its name says
    with pytest.raises(ManifestError, match="several choices, shards-heavy, shards-light; name one"):
        youngest_in(str(tmp_path))
    assert shards_of(heavy).digest == shards.digest
    assert shards_of(light) is None


def test_what_is_damaged_or_no_manifest_is_left_out(tmp_path: Path):
    made(tmp_path, "scan", Stage.SCAN)
    (tmp_path / "notes.txt").write_text("a file")
    (tmp_path / "deduped").mkdir()
    (tmp_path / "deduped" / "_manifest.json").write_text("{")
    assert list(manifests_in(f"file://{tmp_path}")) == ["scan"]
    assert manifests_in(f"file://{tmp_path}/nothing") == {}
