"""Manifests of shards for tests, made without Spark: a tar of pictures is scanned, and its samples are written."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from curation.choosing.verdicts import kept_bytes
from curation.pictures.decode import DecodeLimits
from curation.scan.measure import Origin, measure, rows
from curation.shards.layout import UNIFORM, ShardForm
from curation.shards.shuffle import shuffle_facts
from curation.shards.whole import whole_of
from curation.shards.write import write_shard
from curation.sources.tars import read_tar
from manifests import storage
from manifests.format.commit import commit
from manifests.format.receipts import Receipt, write_part
from manifests.format.schema import Stage, schema
from manifests.format.store import Manifest, Provenance, lanes_of
from tests.support.making import CREATED, commit_rows

LIMITS = DecodeLimits()
KINDS = ("JPEG", "PNG", "WEBP", "GIF")


def photo(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Return a picture with enough detail for PDQ, another one for each seed."""
    noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def encoded(picture: Image.Image, kind: str = "PNG", **how: int) -> bytes:
    """Return the file of a picture."""
    out = io.BytesIO()
    picture.save(out, kind, **how)
    return out.getvalue()


def make_source(path: Path, samples: int) -> str:
    """Write a tar of pictures in several formats, half of them with a caption, and return its URI."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number in range(samples):
            kind = KINDS[number % len(KINDS)]
            members = [(kind.lower(), encoded(photo(number), kind))]
            members += [("txt", f"caption {number}".encode())] * (number % 2)
            for extension, data in members:
                header = tarfile.TarInfo(f"{number:03d}.{extension}")
                header.size = len(data)
                tar.addfile(header, io.BytesIO(data))
    return f"file://{path}"


def chosen_rows(uri: str) -> pa.Table:
    """Return the rows of a chosen manifest of the tar at `uri`, all kept."""
    with storage.open_input(uri) as f:
        contents = read_tar(f, source=uri, max_image_bytes=1 << 20, on_image=lambda data: measure(data, LIMITS))
    table = pa.Table.from_batches(list(rows(contents.samples(), Origin(uri=uri, name="0.tar"))), schema(Stage.SCAN))
    added = {"keep": pa.array([True] * table.num_rows), "cluster_id": table.column("key")}
    for field in schema(Stage.CHOOSE):
        if field.name not in table.schema.names:
            table = table.append_column(field, added.get(field.name, pa.nulls(table.num_rows, field.type)))
    return table.cast(schema(Stage.CHOOSE))


def make_shards(folder: str, table: pa.Table, *, each: int, form: ShardForm = UNIFORM) -> Manifest:
    """Write the rows of a chosen manifest as shards of `each` samples, and commit them as the stage does."""
    receipts = []
    storage.make_folder(folder)
    for number, first in enumerate(range(0, table.num_rows, each)):
        name = f"{number:05d}"
        written = write_shard(folder, name, table.slice(first, each), form)
        batches = written.batch.to_batches()
        part = write_part(storage.join(folder, f"{name}.parquet"), batches, schema(Stage.SHARD), roots=[])
        receipts.append(
            Receipt(
                unit=name,
                fingerprint=name,
                part=f"{name}.parquet",
                rows=part.rows,
                size_bytes=part.size_bytes,
                sha256=part.sha256,
                lanes=lanes_of(part.lanes.tolist()),
                key_lanes=lanes_of(part.key_lanes.tolist()),
                counts=part.counts,
                files=written.files,
                facts=kept_bytes(written.batch) | shuffle_facts(written.batch.column("source").to_pylist()),
            )
        )
    whole = whole_of(receipts, layout=form.layout)
    for path, data in whole.files.items():
        storage.make_folder(storage.join(folder, path).rpartition("/")[0])
        storage.write_bytes(storage.join(folder, path), data)
    known = {"software": {}, "inputs": {}, "parents": [], "roots": [], "funnel": [], "whole": whole}
    about = Provenance(stage=Stage.SHARD, config={"layout": str(form.layout)}, **known)
    return commit(folder, receipts, about, created=CREATED)


def without(folder: str | Path, table: pa.Table, keys: set[str]) -> Manifest:
    """Commit the chosen manifest of `table` without some keys, whose sha256 it has as taken down."""
    gone = [row for row in table.to_pylist() if row["key"] in keys]
    lines = sorted(f"sha256 {row['sha256']}" for row in gone)
    left = [row for row in table.to_pylist() if row["key"] not in keys]
    return commit_rows(folder, [left], Stage.CHOOSE, taken_down=lines)
