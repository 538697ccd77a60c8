"""Attempts that end late change nothing: neither the parts whose keys were made unique, nor a commit."""

import functools
import time
from pathlib import Path

import pytest

from curation.config import PipelineConfig, ScanConfig
from curation.pictures.decode import DEFAULT_LIMITS
from curation.scan.measure import Requested, measure
from jobs.spark import frames
from jobs.stages.scan import ReadSettings, plan_scan, scan_unit
from jobs.stages.unique_keys import make_keys_unique
from jobs.units.accepted import accepted_receipts
from jobs.units.commit import finish
from jobs.units.state import begun
from jobs.units.worker import Recorder
from manifests import storage
from manifests.errors import LeaseLost, StageFailed
from manifests.format.store import is_committed
from tests.conftest import rows_of
from tests.curation.sources.test_sidecars import picture
from tests.support.making import tar_bytes

pytestmark = pytest.mark.spark

SAME_UID = b'{"uid": "the-same"}'


@pytest.fixture
def shared_keys(tmp_path: Path) -> PipelineConfig:
    """Three tars, each with a picture of the same uid and two others."""
    for n in range(3):
        members = [("a.png", picture()), ("a.json", SAME_UID), (f"b{n}.png", picture()), (f"c{n}.png", picture())]
        (tmp_path / f"{n}.tar").write_bytes(tar_bytes(members))
    return PipelineConfig(input=(str(tmp_path / "*.tar"),), output="unused", scan=ScanConfig(unit_bytes=1))


def perform_of(roots):
    return functools.partial(
        scan_unit,
        reading=ReadSettings(max_image_bytes=1 << 20),
        on_image=lambda data: measure(data, DEFAULT_LIMITS, Requested(density=False, local_features=False)),
        roots=tuple(roots),
    )


def test_an_attempt_after_keys_were_made_unique_changes_nothing(spark, shared_keys: PipelineConfig, tmp_path: Path):
    plan = plan_scan(shared_keys, str(tmp_path / "scan"))
    with begun(plan) as begin:
        perform = perform_of(plan.roots)
        frames.map_units(spark, begin.plan, plan.units, perform)
        replaced = make_keys_unique(spark, begin.plan, accepted_receipts(begin.plan.run))
        assert len(replaced) == 2
        recorder = Recorder.of(begin.plan)
        for unit in plan.units:
            recorder.once(unit, perform)  # late
        assert make_keys_unique(spark, begin.plan, accepted_receipts(begin.plan.run)) == replaced, (
            "again, after a kill"
        )
        made = finish(begin, time.monotonic(), replaced=replaced)
        with pytest.raises(LeaseLost, match="nothing more is written"):
            recorder.once(plan.units[0], perform)  # later still
    keys = rows_of(tmp_path / "scan").column("key").to_pylist()
    assert len(keys) == len(set(keys)) == made.rows == 9
    assert "the-same" in keys
    assert storage.list_names(plan.output) == sorted(
        ["_manifest.json", "_tables", *(part.name for part in made.parts)]
    )


def test_nothing_is_committed_if_a_part_is_not_as_its_receipt_says(
    spark, shared_keys: PipelineConfig, tmp_path: Path
):
    plan = plan_scan(shared_keys, str(tmp_path / "scan"))
    with begun(plan) as begin:
        frames.map_units(spark, begin.plan, plan.units, perform_of(plan.roots))
        replaced = make_keys_unique(spark, begin.plan, accepted_receipts(begin.plan.run))
        path = next((tmp_path / "scan").glob("part-00000-*.parquet"))
        whole = path.read_bytes()
        path.write_bytes(whole[:-1])
        with pytest.raises(StageFailed, match=rf"{path.name} has {len(whole) - 1:,} bytes, not"):
            finish(begin, time.monotonic(), replaced=replaced)
        assert not is_committed(plan.output)
    with begun(plan) as again:
        assert [unit.name for unit in again.state.todo] == ["part-00000"], "the others are taken over"
