"""An image that crashes the decoder's process causes a retry, and becomes a row like any other."""

import functools
import io
import os
import signal
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from curation.config import PipelineConfig
from curation.pictures.decode import DEFAULT_LIMITS
from curation.scan.guarded import measure_within_limits
from curation.scan.measure import measure
from jobs.spark import frames
from jobs.stages.scan import ReadSettings, plan_scan, scan_unit
from jobs.units.accepted import accepted_receipts
from jobs.units.state import begun
from tests.conftest import rows_of
from tests.curation.pictures.test_bounded import forever


def png(colour: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (colour, 10, 20)).save(buffer, "png")
    return buffer.getvalue()


on_each = functools.partial(measure, limits=DEFAULT_LIMITS)


@pytest.mark.parametrize("data", [png(3), b"", b"not an image", png(3)[:60]])
def test_a_retry_measures_the_same(data: bytes) -> None:
    assert measure_within_limits(data, on_each, is_retry=True) == on_each(data)
    assert measure_within_limits(data, on_each, is_retry=False) == on_each(data)


def test_what_the_decoder_does_not_survive_is_a_status() -> None:
    found = measure_within_limits(b"x", lambda data: os.kill(os.getpid(), signal.SIGSEGV), is_retry=True)
    assert (found.status, found.error) == ("undecodable", "crashed the decoder: SIGSEGV")
    assert len(found.sha256) == 64
    found = measure_within_limits(b"x", forever, is_retry=True, max_seconds=1)
    assert (found.status, found.error) == ("undecodable", "took more than 1 s to decode")


def test_a_unit_with_a_crashing_image_ends_with_all_rows(spark, tmp_path: Path) -> None:
    deadly = b"a picture that kills its reader"
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, data in {"1.png": png(1), "2.png": deadly, "3.png": png(3)}.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))

    def on_image(data: bytes):
        if data == deadly:
            os.kill(os.getpid(), signal.SIGSEGV)
        return measure(data, DEFAULT_LIMITS)

    config = PipelineConfig(input=(str(tmp_path / "a.tar"),), output="unused")
    plan = plan_scan(config, str(tmp_path / "scan"))
    perform = functools.partial(
        scan_unit,
        reading=ReadSettings(max_image_bytes=1 << 20),
        on_image=on_image,
        roots=tuple(plan.roots),
    )
    with begun(plan) as begin:
        frames.map_units(spark, begin.plan, plan.units, perform)
        assert [r.rows for r in accepted_receipts(begin.plan.run).values()] == [3]
    rows = {r["member"]: r for r in rows_of(tmp_path / "scan").to_pylist()}
    assert {m: r["status"] for m, r in rows.items()} == {"1.png": "ok", "2.png": "undecodable", "3.png": "ok"}
    assert rows["2.png"]["error"] == "crashed the decoder: SIGSEGV"
