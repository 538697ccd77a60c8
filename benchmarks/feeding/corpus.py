"""The pictures of the benchmark as shards, and the same samples in the form that each other library reads."""

import hashlib
import io
import itertools
import json
import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image

from curation.feed.pixels import Fit, NotDecoded, pixels
from curation.pictures.decode import DEFAULT_LIMITS, decode
from curation.shards.indexes import Tar, dataset_indexes
from curation.shards.layout import IMAGE
from curation.shards.write import write_shard
from curation.sources.keys import keyed_hash64
from curation.sources.tars import read_tar
from examples.corpus.samples import picture
from manifests.format.schema import Stage, schema
from tests.support.making import commit_rows, tar_bytes

MAX_DRAWN = 256
"""Pictures that are drawn; of more samples, several have the same picture."""

JPEG_QUALITY = 90
SOURCE_SAMPLES = 256
SIZE = 224


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A stored picture and its key."""

    key: str
    data: bytes


def _drawn(index: int) -> bytes | None:
    """Return a picture of the examples' corpus as a JPEG, as crawlers store all; None for a file that is broken."""
    found = decode(picture(0, index).content)
    if found.rgb is None or min(found.rgb.shape[:2]) < 100 or found.error:
        return None
    out = io.BytesIO()
    Image.fromarray(found.rgb).save(out, "JPEG", quality=JPEG_QUALITY)
    return out.getvalue()


def draw(images: int) -> Iterator[Sample]:
    """Yield so many drawn pictures."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(mp_context=context) as pool:
        candidates = pool.map(_drawn, range(min(images, MAX_DRAWN) * 5 // 4 + 8), chunksize=16)
        made = list(itertools.islice((data for data in candidates if data is not None), min(images, MAX_DRAWN)))
    for number in range(images):
        yield Sample(key=_key(str(number)), data=made[number % len(made)])


def collect(folder: Path) -> Iterator[Sample]:
    """Yield the pictures in the tars of `folder` that can be decoded."""
    for tar in sorted(folder.glob("*.tar")):
        with tar.open("rb") as f:
            found = read_tar(f, source=tar.name, max_image_bytes=DEFAULT_LIMITS.max_bytes, on_image=_decodable)
            for each in found.samples():
                if each.result is not None:
                    yield Sample(key=_key(f"{tar.name}/{each.member}"), data=each.result)


def _decodable(data: bytes) -> bytes | None:
    try:
        pixels(data, Fit(size=SIZE), DEFAULT_LIMITS, None)  # type: ignore[arg-type]  # this fit draws nothing
    except NotDecoded:
        return None
    return data


def _key(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def make_shards(folder: Path, samples: Iterable[Sample], shards: int) -> None:
    """Write `samples`, shuffled, as `curate shard` does: tars of the layout uniform, a manifest, and indexes."""
    sources = folder / "sources"
    sources.mkdir(parents=True)
    rows = [row for number, some in enumerate(_grouped(samples)) for row in _scanned(sources, number, some)]
    rows.sort(key=lambda row: (keyed_hash64("shard", row["key"]), row["key"]))
    parts, files, tars = [], {}, []
    for place in range(shards):
        mine = rows[place * len(rows) // shards : (place + 1) * len(rows) // shards]
        name = f"{place:05d}"
        written = write_shard(f"file://{folder}", name, pa.Table.from_pylist(mine, schema(Stage.CHOOSE)))
        parts.append(written.batch.to_pylist())
        files[place] = written.files
        tars.append(Tar(name=f"{name}.tar", samples=len(mine), size_bytes=written.files[f"{name}.tar"]["bytes"]))
    for path, content in dataset_indexes(tars, image=IMAGE).items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(content)
    commit_rows(folder, parts, Stage.SHARD, files)


def _grouped(samples: Iterable[Sample]) -> Iterator[list[Sample]]:
    left = iter(samples)
    while some := list(itertools.islice(left, SOURCE_SAMPLES)):
        yield some


def _scanned(folder: Path, number: int, samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """Write a tar as a crawler does, and return the rows of its scan."""
    path = folder / f"{number:05d}.tar"
    path.write_bytes(tar_bytes((f"{each.key}.jpg", each.data) for each in samples))
    with path.open("rb") as f:
        found = list(read_tar(f, source=path.name, max_image_bytes=1 << 30, on_image=_sha256).samples())
    return [
        {
            "key": sample.key,
            "source": f"file://{path}",
            "member": each.member,
            "offset": each.offset,
            "size": each.size,
            "sha256": each.result,
            "status": "ok",
            "keep": True,
            "cluster_id": sample.key,
            "caption": f"picture {sample.key}",
        }
        for sample, each in zip(samples, found, strict=True)
    ]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A sample in the shards: its key, and where its picture is."""

    key: str
    tar: str
    offset: int
    size_bytes: int


def stored_samples(folder: Path) -> list[Stored]:
    """Return the samples in the order of the tars, as `list_samples` noted them."""
    return [Stored(**each) for each in json.loads((folder / "samples.json").read_text())]


def list_samples(folder: Path) -> None:
    """Note where each sample is, for readers without a manifest."""
    from curate import open as open_manifest  # noqa: PLC0415 - not needed where samples are only read

    columns = ["key", "shard", "shard_offset", "shard_size", "shard_index"]
    rows = sorted(
        open_manifest(str(folder)).to_arrow(columns).to_pylist(), key=lambda r: (r["shard"], r["shard_index"])
    )
    found = [
        {"key": row["key"], "tar": row["shard"], "offset": row["shard_offset"], "size_bytes": row["shard_size"]}
        for row in rows
    ]
    (folder / "samples.json").write_text(json.dumps(found))


def read_stored(folder: Path) -> Iterator[Sample]:
    """Yield the samples in the order of the tars."""
    for tar, samples in itertools.groupby(stored_samples(folder), key=lambda each: each.tar):
        data = (folder / tar).read_bytes()
        for each in samples:
            yield Sample(key=each.key, data=data[each.offset : each.offset + each.size_bytes])
