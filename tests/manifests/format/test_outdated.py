"""A manifest that lacks columns of this version is refused by what it lacks, and from which stage on to redo it."""

from pathlib import Path

import pyarrow as pa
import pytest

from manifests.errors import InputError
from manifests.format.outdated import require_current
from manifests.format.schema import COLUMNS, RETIRED, Stage, schema
from manifests.format.store import Manifest, open_manifest
from manifests.inspect.verify import Findings, Resources, check_files
from tests.support.making import commit_rows


def manifest_without(folder: Path, stage: Stage, *names: str) -> Manifest:
    """Commit a manifest of `stage` that lacks the columns `names`."""
    fewer = pa.schema([field for field in schema(stage) if field.name not in names])
    in_shard = {"shard": "0.tar", "shard_offset": 0, "shard_size": 1, "shard_index": 0}
    commit_rows(folder, [[{"key": "a", **in_shard}]], stage, schema=fewer)
    return open_manifest(str(folder))


@pytest.mark.parametrize("stage", Stage)
def test_a_manifest_of_this_version_is_accepted(tmp_path: Path, stage: Stage) -> None:
    require_current(manifest_without(tmp_path / "m", stage), "m")


@pytest.mark.parametrize("stage", Stage)
def test_whatever_lacks_is_named_with_the_stage_that_makes_it(tmp_path: Path, stage: Stage) -> None:
    for first in list(Stage)[: list(Stage).index(stage) + 1]:
        for lacking in (field.name for field in COLUMNS[first] if field.nullable):
            manifest = manifest_without(tmp_path / lacking, stage, lacking)
            with pytest.raises(InputError) as error:
                require_current(manifest, "out/m")
            text = str(error.value)
            assert text.startswith("out/m: made by ")
            assert f"without {lacking}" in text
            assert text.endswith(f"make it again, from {first} on")
            assert ("text scores do not compare" in text) == (lacking in ("text_kinds", "text_kind"))


def test_of_several_the_earliest_stage_counts(tmp_path: Path) -> None:
    manifest = manifest_without(tmp_path / "m", Stage.CHOOSE, "text_kinds", "text_kind", "text_trail")
    with pytest.raises(InputError) as error:
        require_current(manifest, "out/m")
    assert str(error.value) == (
        "out/m: made by curate 0.1, without text_kinds, text_kind, text_trail, and its text scores do not compare "
        "with those of this version; make it again, from scan on"
    )


@pytest.mark.parametrize("name", RETIRED)
def test_a_column_that_is_no_longer_made_is_read(tmp_path: Path, name: str) -> None:
    known = schema(Stage.DEDUPE)
    commit_rows(tmp_path / "m", [[{"key": "a", name: b"x" * 32}]], Stage.DEDUPE, schema=known.append(RETIRED[name]))
    manifest = open_manifest(str(tmp_path / "m"))
    assert manifest.read_part(manifest.parts[0], [name]).column(name).to_pylist() == [b"x" * 32]
    found = Findings()
    check_files(manifest, found, Resources(threads=1))
    assert not found.faults
    require_current(manifest, "m")
