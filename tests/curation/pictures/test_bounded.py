"""A picture cannot stall a worker, crash all its attempts or take all memory: it counts as not decodable."""

import hashlib
import os
import resource
import signal
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image, QoiImagePlugin

from curation.copies.judge import PixelJudge
from curation.pictures.bounded import DecoderFailed, decode_bounded, memory_limit, within_limits
from curation.pictures.decode import DEFAULT_LIMITS, DecodeLimits, decode
from curation.sources.byte_ranges import BYTES_AT_ONCE
from curation.text.bounds import CascadeSettings
from curation.text.scoring import NEEDED, Scorer
from examples.row_engine import RowEngine
from tests.curation.sources.test_sidecars import picture

PNG = picture()


def forever(data: bytes):
    while True:
        pass


# --- time


def test_a_timer_ends_a_worker_whose_image_takes_too_long() -> None:
    assert within_limits(len, b"abc", is_retry=False) == 3
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
    child = os.fork()
    if child == 0:
        within_limits(forever, b"x", is_retry=False, max_seconds=0.2)
        os._exit(0)
    _, ended = os.waitpid(child, 0)
    assert os.WTERMSIG(ended) == signal.SIGPROF


def test_in_a_retry_a_picture_that_crashes_or_stalls_is_named_and_an_error_is_raised() -> None:
    assert within_limits(len, b"abc", is_retry=True) == 3
    with pytest.raises(DecoderFailed, match="crashed the decoder: SIGSEGV"):
        within_limits(lambda data: os.kill(os.getpid(), signal.SIGSEGV), b"x", is_retry=True)
    with pytest.raises(DecoderFailed, match="took more than 1 s"):
        within_limits(forever, b"x", is_retry=True, max_seconds=1)
    with pytest.raises(ZeroDivisionError):
        within_limits(lambda data: 1 / 0, b"x", is_retry=True)
    for outside in (signal.SIGKILL, signal.SIGTERM):  # no fact of the image: the unit must be tried again
        with pytest.raises(RuntimeError, match=f"ended from outside: {outside.name}"):
            within_limits(lambda data, sent=outside: os.kill(os.getpid(), sent), b"x", is_retry=True)


# --- memory


def tiff_of_one_tile(side: int, tile: int) -> bytes:
    """Return a picture of `side` × `side` pixels, black, stored as one compressed tile of `tile` × `tile`."""
    packer = zlib.compressobj()
    pixels = b"".join(packer.compress(bytes(3 * tile)) for _ in range(tile)) + packer.flush()
    short, long = 3, 4
    entries = [(256, long, side), (257, long, side), (258, short, 8), (259, short, 8), (262, short, 2)]
    entries += [(277, short, 3), (284, short, 1), (322, long, tile), (323, long, tile)]
    start = 8 + 2 + 12 * (len(entries) + 2) + 4
    entries += [(324, long, start), (325, long, len(pixels))]
    head = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
    return head + b"".join(struct.pack("<HHII", tag, kind, 1, n) for tag, kind, n in entries) + bytes(4) + pixels


def test_a_small_file_that_needs_much_memory_is_not_decoded() -> None:
    bomb = tiff_of_one_tile(100, 8_000)  # 192 MB in one tile
    assert len(bomb) < 1 << 20
    assert decode(tiff_of_one_tile(100, 128)).status == "ok"
    refused = decode(bomb, DecodeLimits(max_pixels=10_000_000))
    assert refused.error == "64000000 declared pixels exceed the limit of 10000000 in one tile"
    before = resource.getrlimit(resource.RLIMIT_AS)
    with memory_limit(100 << 20):
        found = decode(bomb)
    assert found.status in ("too_large", "undecodable")
    assert found.rgb is None
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_the_limit_changes_no_other_picture() -> None:
    for data in (PNG, PNG[:60], b"no picture", picture("JPEG"), picture("WEBP")):
        assert decode_bounded(data, DEFAULT_LIMITS) == decode(data, DEFAULT_LIMITS)
    strict = DecodeLimits(max_pixels=1)
    assert decode_bounded(PNG, strict) == decode(PNG, strict)


# --- dedupe and score


class Crashing(QoiImagePlugin.QoiDecoder):
    """A decoder with a bug."""

    def decode(self, buffer: Any) -> tuple[int, int]:
        os.abort()


@pytest.fixture
def deadly(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A picture that crashes its decoder."""
    monkeypatch.setitem(Image.DECODERS, "qoi", Crashing)
    return b"qoif" + struct.pack(">II", 8, 8) + bytes([3, 0]) + bytes(64)


def row(path: Path, data: bytes, name: str = "") -> dict[str, Any]:
    """Write a loose picture and return what dedupe and score know of it."""
    path.write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    place = {"source": f"file://{path.parent}/", "member": path.name, "offset": 0, "size": len(data)}
    return {**place, "sha256": sha256, "node": (name or path.name).encode(), "status": "ok"}


def test_dedupe_compares_a_picture_that_crashes_its_decoder_with_no_other(tmp_path: Path, deadly: bytes) -> None:
    rows = [row(tmp_path / "a.png", PNG), row(tmp_path / "b.qoi", deadly)]
    found = PixelJudge(DEFAULT_LIMITS, is_retry=True).open(rows)
    assert [len(found[each["node"]]) for each in rows] == [1, 0]
    with pytest.raises(DecoderFailed, match="SIGABRT"):
        within_limits(decode, deadly, is_retry=True)


def test_score_leaves_a_picture_that_crashes_its_decoder_without_a_score(tmp_path: Path, deadly: bytes) -> None:
    rows = [row(tmp_path / "b.qoi", deadly), row(tmp_path / "a.png", PNG)]
    unknown = {name: None for name in NEEDED if name not in rows[0]}
    table = pa.Table.from_pylist([{name: {**unknown, **each}[name] for name in NEEDED} for each in rows])
    scorer = Scorer(RowEngine(), CascadeSettings(), DEFAULT_LIMITS, batch_images=8)
    scored = scorer(table, is_retry=True)
    assert scored.column("text_step").is_null().to_pylist() == [True, False]
    assert scored.column("text_score").is_null().to_pylist() == [True, False]


def test_dedupe_reads_large_pictures_a_few_at_a_time(tmp_path: Path) -> None:
    data = PNG + bytes(2 << 20)
    rows = [row(tmp_path / "a.png", data, name=f"{n}") for n in range(64)]
    tracemalloc.start()
    try:
        found = PixelJudge(DEFAULT_LIMITS, is_retry=False).open(rows)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) == 64
    assert peak < 2 * BYTES_AT_ONCE < 64 * len(data)
