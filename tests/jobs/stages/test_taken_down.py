"""A scan with a list of what was taken down: the rows stay, and say nothing of what they show."""

import json

import pyarrow as pa
import pytest

from curation.scan.measure import SCAN_SCHEMA
from curation.takedown.deny_list import DenyList
from jobs.stages.taken_down import without_pictures
from manifests.format.schema import Status
from manifests.format.store import open_manifest
from tests.conftest import curate, rows_of
from tests.support.shard_manifests import make_source

LOCATED = ("key", "source", "member", "offset", "size")


def test_a_row_that_was_taken_down_only_says_where_it_is():
    shown = {field.name: {"string": "x", "binary": b"x", "double": 0.5}.get(str(field.type)) for field in SCAN_SCHEMA}
    row = {**shown, "offset": 1, "size": 2, "pdq": bytes(32), "width": 3, "orientation": 1}
    batch = pa.RecordBatch.from_pylist([row, row], SCAN_SCHEMA)
    gone, stays = without_pictures(batch, pa.array([True, False])).to_pylist()
    assert stays == batch.to_pylist()[1]
    left = {name: value for name, value in gone.items() if value is not None}
    assert left == {**{name: row[name] for name in LOCATED}, "status": str(Status.TAKEN_DOWN)}


@pytest.mark.spark
def test_a_scan_honours_a_list_and_decodes_nothing_again_when_it_grows(tmp_path):
    (tmp_path / "in").mkdir()
    for name, samples in (("0", 4), ("1", 2)):
        make_source(tmp_path / f"in/{name}.tar", samples)
    options = ("--unit-bytes", 1, "--set", "dedupe.copies=[exact,mild]")
    curate("scan", tmp_path / "in/*.tar", "-o", tmp_path / "scan", *options)
    before = rows_of(tmp_path / "scan")
    row = before.to_pylist()[-1]
    (tmp_path / "pdq.txt").write_text(row["pdq"].hex() + "\n")
    listed = (*options, "--takedown", tmp_path / "pdq.txt")
    curate("scan", tmp_path / "in/*.tar", "-o", tmp_path / "fresh", *listed)
    done = curate("scan", tmp_path / "in/*.tar", "-o", tmp_path / "onto", *listed, "--onto", tmp_path / "scan")
    assert "2 of 2 units are copied from" in done.stderr
    fresh, onto = (open_manifest(str(tmp_path / name)) for name in ("fresh", "onto"))
    assert fresh.digest == onto.digest
    assert (
        fresh.counts["status"][str(Status.TAKEN_DOWN)]
        == DenyList.read([str(tmp_path / "pdq.txt")]).matches(before).true_count
    )
    assert row["sha256"] not in rows_of(tmp_path / "fresh").column("sha256").to_pylist()
    assert list(fresh.taken_down) == [f"pdq {row['pdq'].hex()}"]
    again = curate("scan", tmp_path / "in/*.tar", "-o", tmp_path / "fresh", *listed)
    assert "up to date" in again.stderr
    curate("dedupe", tmp_path / "fresh", "-o", tmp_path / "deduped", "--copies", "exact,mild")
    assert open_manifest(str(tmp_path / "deduped")).taken_down == fresh.taken_down
    assert json.loads(curate("verify", tmp_path / "deduped", "--deep", "--json").stdout)["is_whole"]
