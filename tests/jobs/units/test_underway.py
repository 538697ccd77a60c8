"""A unit that is at work is seen: its images count before it is finished, and are not counted twice after."""

from dataclasses import replace
from pathlib import Path

import pytest

from curation.config import PipelineConfig, ScanConfig
from jobs.stages import scan as scans
from jobs.units.progress import Reporter
from jobs.units.state import inspect
from jobs.units.underway import read_underway, tell_nobody, telling, underway_folder
from jobs.units.worker import Attempt
from manifests import storage
from tests.curation.sources.test_sidecars import picture
from tests.support.making import tar_bytes


def test_what_is_told_is_read_until_the_unit_ends():
    with underway_folder() as folder:
        with telling(folder, "part-00000", every_seconds=0) as tell, telling(folder, "part-00001") as late:
            assert read_underway(folder) == {}, "nothing was reported yet"
            tell(100)
            tell(23)
            late(5)  # not yet, but after a while
            assert read_underway(folder) == {"part-00000": (2, 123)}
        assert read_underway(folder) == {}
    assert not Path(folder).exists()
    assert read_underway(folder) == {}


@pytest.mark.parametrize("folder", [None, "/nowhere/of/another/machine"])
def test_a_worker_elsewhere_tells_nobody(folder):
    with telling(folder, "part-00000", every_seconds=0) as tell:
        assert tell is tell_nobody
        tell(1)
    assert read_underway(folder) == {}


def test_a_folder_that_vanishes_ends_no_work():
    with underway_folder() as folder, telling(folder, "part-00000", every_seconds=0) as tell:
        Path(folder, "part-00000").unlink()
        Path(folder).rmdir()
        tell(1)


@pytest.fixture
def plan(tmp_path):
    pictures = [(f"{n:09d}.png", picture()) for n in range(7)]
    (tmp_path / "0.tar").write_bytes(tar_bytes([*pictures, ("notes.txt", b"no picture")]))
    config = PipelineConfig(input=(str(tmp_path / "0.tar"),), output="unused", scan=ScanConfig(text_density=False))
    return scans.plan_scan(config, str(tmp_path / "out"))


def test_a_scan_tells_of_each_image_of_a_tar(plan, tmp_path):
    reported = []
    (unit,) = plan.units
    scans.perform_unit(
        Attempt(unit=unit, folder=storage.absolute(str(tmp_path / "attempt")), tell=reported.append),
        config=ScanConfig(text_density=False),
        embedding=None,
        with_local=False,
        roots=tuple(plan.roots),
    )
    assert reported == [len(picture())] * 7
    assert 0 < sum(reported) <= unit.size_bytes


def test_images_of_a_tar_are_shown_before_it_is_finished(plan, capsys):
    (unit,) = plan.units
    with underway_folder() as folder, telling(folder, unit.name, every_seconds=0) as tell:
        with Reporter().watch(replace(plan, underway=folder), inspect(plan), None):
            tell(unit.size_bytes // 4)
            tell(unit.size_bytes // 4)
        line = capsys.readouterr().err
    assert "scan: 0/1 units, 2 images" in line
    assert "s left" in line
