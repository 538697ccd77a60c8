"""Small manifests and tars for tests, made without Spark."""

import hashlib
import io
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from curation.sources.tars import read_tar
from manifests import storage
from manifests.format.commit import commit
from manifests.format.receipts import Receipt, part_name, write_part
from manifests.format.schema import Stage, schema
from manifests.format.store import Manifest, Provenance, lanes_of

CREATED = "2025-01-01T00:00:00+00:00"
_REQUIRED = {"source": "file:///data/0.tar", "member": "a.jpg", "status": "ok", "keep": True}


def receipts_of(units: int, fingerprints: Sequence[str] = (), **of_first: Any) -> list[Receipt]:
    """Return receipts in the shape of a scan's, of units without parts; `of_first` are fields of the first one."""
    rows_each = 100_000
    made = []
    for n in range(units):
        sha256 = hashlib.sha256(str(n).encode()).hexdigest()
        lanes = tuple(int(sha256[i : i + 16], 16) for i in range(0, 64, 16))
        made.append(
            Receipt(
                unit=f"part-{n:05d}",
                fingerprint=fingerprints[n] if fingerprints else sha256[:32],
                part=part_name(f"part-{n:05d}", sha256),
                rows=rows_each,
                size_bytes=100,
                sha256=sha256,
                lanes=lanes,  # type: ignore[arg-type]
                key_lanes=lanes,  # type: ignore[arg-type]
                counts={"status": {"ok": rows_each - 100, "undecodable": 60, "not_an_image": 40}},
                seconds=1000.5,
                peak_memory_bytes=1 << 30,
                facts={"directories": 0, "other_members": 12, "unused_sidecars": 3},
                **(of_first if n == 0 else {}),
            )
        )
    return made


def commit_rows(
    uri: str | Path,
    parts: Sequence[Sequence[Mapping[str, Any]]],
    stage: Stage = Stage.SCAN,
    files: Mapping[int, Mapping[str, Mapping[str, Any]]] | None = None,
    **about: Any,
) -> Manifest:
    """Commit a manifest of these rows, a part for each list; required columns that a row lacks are filled in.

    `files` are stored next to a part; `about` are fields of its Provenance, of which `schema` may have fewer
    columns than the stage, as that of an earlier version has.
    """
    output, columns = storage.absolute(str(uri)), about.get("schema", schema(stage))
    given: dict[str, Any] = {"config": {}, "software": {}, "inputs": {}, "parents": [], "roots": [], "funnel": []}
    provenance = Provenance(stage=stage, **{**given, **about})
    receipts = []
    for place, rows in enumerate(parts):
        filled = [{**_REQUIRED, "cluster_id": row.get("key"), **row} for row in rows]
        name = f"part-{place:05d}"
        table = pa.Table.from_pylist(filled, columns)
        part = write_part(
            storage.join(output, f"{name}.parquet"), table.to_batches(), columns, roots=provenance.roots
        )
        receipts.append(
            Receipt(
                unit=name,
                fingerprint="",
                part=f"{name}.parquet",
                rows=part.rows,
                size_bytes=part.size_bytes,
                sha256=part.sha256,
                lanes=lanes_of(part.lanes.tolist()),
                counts=part.counts,
                files=(files or {}).get(place, {}),
            )
        )
    return commit(output, receipts, provenance, created=CREATED)


def tar_bytes(members: Iterable[tuple[str, bytes]], form: int = tarfile.USTAR_FORMAT) -> bytes:
    """Return a tar of these members."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name, data in members:
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return out.getvalue()


def rows_of_tar(uri: str, data: bytes) -> list[dict[str, Any]]:
    """Return the rows that a scan has of a tar, without measurements: keys are the source's name and the member's."""
    found = read_tar(
        io.BytesIO(data), source=uri, max_image_bytes=1 << 30, on_image=lambda d: hashlib.sha256(d).hexdigest()
    )
    name = uri.rsplit("/", 1)[-1].removesuffix(".tar")
    return [
        {
            "key": f"{name}/{each.member}",
            "source": uri,
            "member": each.member,
            "offset": each.offset,
            "size": each.size,
            "sha256": each.result,
            "status": "empty" if each.result is None else "ok",
            "format": "JPEG",
        }
        for each in found.samples()
    ]
