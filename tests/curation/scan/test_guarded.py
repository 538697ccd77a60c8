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
from curation.scan.guarded import measure_guarded, measure_timed
from curation.scan.measure import measure
from jobs.spark import frames
from jobs.stages.scan import ReadSettings, plan_scan, scan_unit
from jobs.units.accepted import accepted_receipts
from jobs.units.state import begun
from tests.conftest import rows_of


def png(colour: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (colour, 10, 20)).save(buffer, "png")
    return buffer.getvalue()


@pytest.mark.parametrize("data", [png(3), b"", b"not an image", png(3)[:60]])
def test_a_child_measures_the_same(data: bytes) -> None:
    on_image = functools.partial(measure, limits=DEFAULT_LIMITS)
    assert measure_guarded(data, on_image) == on_image(data)


def test_a_crashed_child_is_a_status_and_a_python_error_is_raised() -> None:
    found = measure_guarded(b"x", lambda data: os.kill(os.getpid(), signal.SIGSEGV))
    assert (found.status, found.error) == ("undecodable", "crashed the decoder: SIGSEGV")
    assert len(found.sha256) == 64
    for outside in (signal.SIGKILL, signal.SIGTERM):  # no fact of the image: the unit must be tried again
        with pytest.raises(RuntimeError, match=f"ended from outside: {outside.name}"):
            measure_guarded(b"x", lambda data, sent=outside: os.kill(os.getpid(), sent))
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        measure_guarded(b"x", lambda data: 1 / 0)


def forever(data: bytes):
    while True:
        pass


def test_an_image_that_takes_too_long_is_a_status() -> None:
    found = measure_guarded(b"x", forever, max_seconds=1)
    assert (found.status, found.error) == ("undecodable", "took more than 1 s to decode")


def test_a_timer_ends_a_worker_whose_image_takes_too_long() -> None:
    assert measure_timed(png(3), functools.partial(measure, limits=DEFAULT_LIMITS)).status == "ok"
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
    child = os.fork()
    if child == 0:
        measure_timed(b"x", forever, max_seconds=0.2)
        os._exit(0)
    _, ended = os.waitpid(child, 0)
    assert os.WTERMSIG(ended) == signal.SIGPROF


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
