"""Small pictures of a few samples, drawn by their keys, so that two releases of the same shards show the same."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from curation.pictures.bounded import DecoderFailed, decode_bounded, within_limits
from curation.pictures.decode import DEFAULT_LIMITS, Decoded
from curation.sources.byte_ranges import ByteRange, read_ranges
from manifests import storage
from manifests.errors import BrokenSource

COLUMNS = ("key", "shard", "shard_offset", "shard_size", "sha256", "shard_sha256", "caption")
MAX_SIDE_PIXELS = 256
JPEG_QUALITY = 80
PICTURES_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class Thumbnail:
    """A sample that is shown: its `row`, and a small JPEG made here, or the `problem` why there is none."""

    row: Mapping[str, Any]
    jpeg: bytes | None
    problem: str = ""


def thumbnails(shards: str, rows: Sequence[Mapping[str, Any]]) -> list[Thumbnail]:
    """Return the picture of each row, small, in order. `rows` have COLUMNS where the manifest has them.

    Raises BrokenSource when the tar in the folder `shards` does not have the bytes that were committed.
    """
    made = []
    for first in range(0, len(rows), PICTURES_AT_ONCE):
        some = rows[first : first + PICTURES_AT_ONCE]
        for row, data in zip(some, read_ranges([_range(shards, row) for row in some]), strict=True):
            made.append(_thumbnail(shards, row, data))
    return made


def _range(shards: str, row: Mapping[str, Any]) -> ByteRange:
    uri = storage.join(shards, row["shard"])
    return ByteRange(uri=uri, offset=row["shard_offset"], size_bytes=row["shard_size"])


def _thumbnail(shards: str, row: Mapping[str, Any], data: bytes) -> Thumbnail:
    if hashlib.sha256(data).hexdigest() != (row.get("shard_sha256") or row["sha256"]):
        uri = storage.join(shards, row["shard"])
        raise BrokenSource(
            f"{uri}: the sha256 of the picture of {row['key']} differs from the manifest's; `curate verify {shards} "
            "--deep` finds every such picture; make the shards again",
            source=uri,
        )
    try:
        decoded: Decoded = within_limits(_decode, data, is_retry=True)
    except DecoderFailed as e:
        return Thumbnail(row=row, jpeg=None, problem=str(e))
    if decoded.rgb is None:
        return Thumbnail(row=row, jpeg=None, problem=f"{decoded.status}: {decoded.error}")
    small = Image.fromarray(decoded.rgb)
    small.thumbnail((MAX_SIDE_PIXELS, MAX_SIDE_PIXELS), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=JPEG_QUALITY)
    return Thumbnail(row=row, jpeg=out.getvalue())


def _decode(data: bytes) -> Decoded:
    return decode_bounded(data, DEFAULT_LIMITS, enough_pixels=MAX_SIDE_PIXELS * MAX_SIDE_PIXELS)
