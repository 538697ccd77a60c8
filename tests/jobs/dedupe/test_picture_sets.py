"""Manifests whose measurements do not compare are refused before any work."""

import dataclasses
from pathlib import Path

import pytest

from curation.config import DedupeConfig
from curation.pictures import local_features
from jobs.dedupe.picture_sets import picture_sets
from manifests.errors import InputError
from manifests.format.schema import Stage
from manifests.format.store import open_manifest
from tests.support.making import commit_rows


def test_local_features_of_another_version_do_not_compare(tmp_path: Path) -> None:
    commit_rows(tmp_path / "m", [[{"key": "a"}]], Stage.SCAN)
    manifest = open_manifest(str(tmp_path / "m"))
    current, other = (
        dataclasses.replace(manifest, software={"local_features": version})
        for version in (local_features.version(), "rules=1")
    )
    picture_sets(DedupeConfig(), current)
    with pytest.raises(InputError, match=r"another version of curate .* scan it again, or set .*\[exact,mild\]"):
        picture_sets(DedupeConfig(), other)
    picture_sets(DedupeConfig(copies=["exact", "mild"]), other)
