"""Small shards with their manifest, made without Spark, for tests of the feed."""

import functools
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from curation.sources.tars import read_tar
from manifests import storage
from manifests.format.schema import Stage
from manifests.format.store import Manifest
from tests.support.making import commit_rows, tar_bytes

KINDS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF")
EXTENSIONS = dict(zip(KINDS, ("jpg", "png", "webp", "gif", "tif"), strict=True))


@functools.cache
def picture(number: int, kind: str | None = None, size: tuple[int, int] = (48, 40)) -> bytes:
    """Return a picture whose bytes differ for each number; kinds alternate."""
    width, height = size
    random = np.random.default_rng(number)
    small = random.integers(0, 256, (4, 4, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).save(out, kind or KINDS[number % 5])
    return out.getvalue()


def key_of(number: int) -> str:
    """Return the key of sample number `number`."""
    return hashlib.blake2b(str(number).encode(), digest_size=16).hexdigest()


def members_of(number: int) -> list[tuple[str, bytes]]:
    """Return the members of a sample: a picture, and for some a caption and json."""
    key, kind = key_of(number), KINDS[number % 5]
    members = [(f"{key}.{EXTENSIONS[kind]}", picture(number))]
    if number % 3:
        members.append((f"{key}.json", json.dumps({"number": number}).encode()))
    if number % 2:
        members.append((f"{key}.txt", f"caption {number}".encode()))
    return members


def make_shards(
    uri: Path | str, samples: int, per_shard: int = 7, *, first: int = 0, **columns: Sequence[Any]
) -> Manifest:
    """Write shards of the samples from number `first` on, with `columns` of all rows, and return their manifest."""
    folder = storage.absolute(str(uri))
    storage.make_folder(folder)
    parts, files = [], {}
    for place, start in enumerate(range(first, first + samples, per_shard)):
        numbers = range(start, min(first + samples, start + per_shard))
        name = f"{place:05d}.tar"
        data = tar_bytes([member for number in numbers for member in members_of(number)])
        storage.write_bytes(storage.join(folder, name), data)
        files[place] = {name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}}
        rows = _rows(name, data)
        parts.append([{**row, **_values(columns, start - first + i)} for i, row in enumerate(rows)])
    return commit_rows(folder, parts, Stage.SHARD, files)


def _values(columns: Mapping[str, Sequence[Any]], place: int) -> dict[str, Any]:
    return {name: values[place] for name, values in columns.items()}


def _rows(name: str, data: bytes) -> list[dict[str, Any]]:
    found = read_tar(io.BytesIO(data), source=name, max_image_bytes=1 << 30, on_image=_sha256)
    return [
        {
            "key": each.member.split(".")[0],
            "source": "file:///original/0.tar",
            "member": each.member,
            "offset": each.offset,
            "size": each.size,
            "sha256": each.result,
            "shard": name,
            "shard_offset": each.offset,
            "shard_size": each.size,
            "shard_json_offset": each.json_offset,
            "shard_json_size": each.json_size,
            "shard_caption_offset": each.caption_offset,
            "shard_caption_size": each.caption_size,
            "shard_index": place,
        }
        for place, each in enumerate(found.samples())
    ]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
