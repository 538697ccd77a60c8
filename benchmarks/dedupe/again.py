"""What it costs to deduplicate a deduplicated manifest again, when all copies of one picture are released.

    python -m benchmarks.dedupe.again [--rows 8000,32000,100000] [--json]

One cluster has a picture and `--rows` parts of it, of half to all of each side. Parts are at random places, so that
most show what no other does (`places`), or each is one of a hundred, a little shifted (`hundred`). Then only exact
and mild copies count. The parts form new clusters among themselves, by the maps that were recorded when each was
compared with the picture.

`deciding` is processor time of `curation.copies.redecide`, in one process. `command` is that of `curate dedupe` on a
manifest, on two cores: of all processes, as the new manifest records it, without starting; and seconds on the clock.
"""

import dataclasses
import json
import math
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa

from curation.copies.kinds import Evidence, Strictness
from curation.copies.redecide import Decision, redecide
from jobs.cli.main import main as curate
from manifests import storage
from manifests.format.commit import commit
from manifests.format.receipts import Receipt, write_part
from manifests.format.schema import Stage, schema
from manifests.format.store import Provenance, lanes_of, open_manifest

ROOT = "file:///corpus"
PART_ROWS = 25_000
COPIES = ("exact", "mild")
SHAPES = ("places", "hundred")
MAX_JITTER = 0.005  # of a side
ALIKE = Evidence(
    is_mirrored=False,
    matrix=(),
    turn_degrees=0.0,
    share_first=1.0,
    share_second=0.5,
    inliers=40,
    patches=100,
    texture=0.5,
    differing=0.0,
    region_share=0.0,
    region_area=0.0,
    sameness=0.9,
    colour=0.0,
)


def cluster(parts: int, shape: str) -> pa.Table:
    """Return the rows of a deduplicated manifest: a picture and so many parts of it."""
    random = np.random.default_rng(0)
    sides = random.uniform(0.5, 1, (parts if shape == "places" else 100, 2))
    places = random.uniform(0, 1 - sides)
    chosen = np.arange(parts) % len(sides)
    places = places[chosen] + random.uniform(0, MAX_JITTER, (parts, 2)) * (shape != "places")
    rows = [_row(0, (2_000, 2_000), None)]
    for number, ((wide, high), (x, y)) in enumerate(zip(sides[chosen].tolist(), places.tolist(), strict=True)):
        matrix = (wide, 0.0, x, 0.0, high, y)
        rows.append(_row(number + 1, (int(2_000 * wide), int(2_000 * high)), matrix))
    return pa.Table.from_pylist(rows, schema(Stage.DEDUPE))


def _row(number: int, size: tuple[int, int], matrix: tuple[float, ...] | None) -> dict[str, Any]:
    row = {
        "key": f"{number:08d}",
        "source": f"{ROOT}/00000.tar",
        "member": f"{number:08d}.jpg",
        "offset": 0,
        "size": 1_000,
        "sha256": f"{number:064x}",
        "status": "ok",
        "width": size[0],
        "height": size[1],
        "cluster_id": "00000000",
    }
    if matrix is not None:
        evidence = dataclasses.asdict(dataclasses.replace(ALIKE, matrix=matrix))
        copy = {"duplicate_of": "00000000", "duplicate_kind": "crop"}
        row |= {**copy, "duplicate_evidence": json.dumps({"kind": "crop", **evidence})}
    return row


def deciding(rows: pa.Table) -> tuple[float, int]:
    """Return the processor seconds that it takes to decide `rows` again, and how many pictures then represent."""
    decision = Decision(copies=COPIES, strictness=Strictness())
    rows = rows.append_column("part", pa.array(["part"] * len(rows)))
    started = time.process_time()
    found = redecide(rows, decision)
    return round(time.process_time() - started, 2), found.column("duplicate_of").null_count


def command(rows: pa.Table, folder: Path) -> dict[str, float]:
    """Return the core-seconds and seconds of `curate dedupe` on a manifest with `rows`."""
    uri, output = str(folder / "before"), str(folder / "after")
    receipts = []
    for place, first in enumerate(range(0, len(rows), PART_ROWS)):
        name = f"part-{place:05d}"
        batches = rows.slice(first, PART_ROWS).to_batches()
        made = write_part(storage.join(storage.absolute(uri), f"{name}.parquet"), batches, rows.schema, roots=[ROOT])
        known = {"rows": made.rows, "size_bytes": made.size_bytes, "sha256": made.sha256, "counts": made.counts}
        lanes = lanes_of(made.lanes.tolist())
        receipts.append(Receipt(unit=name, fingerprint="", part=f"{name}.parquet", lanes=lanes, **known))
    about = Provenance(
        stage=Stage.DEDUPE,
        config={"copies": [*COPIES, "crop"]},
        software={},
        inputs={},
        parents=[],
        roots=[ROOT],
        funnel=[],
    )
    commit(uri, receipts, about, created="2026-01-01T00:00:00+00:00")
    started = time.monotonic()
    curate(
        ["dedupe", uri, "-o", output, "--copies", ",".join(COPIES), "--master", "local[2]", "--quiet"],
        standalone_mode=False,
    )
    spent = open_manifest(output).cost["core_seconds"]
    return {"core_seconds": round(spent, 1), "seconds": round(time.monotonic() - started, 1)}


def measure(sizes: Sequence[int], shape: str) -> dict[str, Any]:
    """Return what each size costs, and with which exponent the time of deciding grows."""
    found = {}
    for parts in sizes:
        rows = cluster(parts, shape)
        seconds, representatives = deciding(rows)
        with tempfile.TemporaryDirectory() as folder:
            spent = command(rows, Path(folder))
        found[parts] = {"representatives": representatives, "deciding_core_seconds": seconds, "command": spent}
    first, last = found[min(sizes)], found[max(sizes)]
    answer: dict[str, Any] = {"rows": found}
    if len(sizes) > 1:
        times = last["deciding_core_seconds"] / first["deciding_core_seconds"]
        answer["exponent"] = round(math.log(times) / math.log(max(sizes) / min(sizes)), 2)
    return answer


@click.command()
@click.option("--rows", default="8000,32000,100000", show_default=True, help="Sizes of the cluster.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(rows: str, as_json: bool) -> None:
    """Measure dedupe of a deduplicated manifest."""
    sizes = [int(size) for size in rows.split(",")]
    found: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "shapes": {shape: measure(sizes, shape) for shape in SHAPES},
    }
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    click.echo(f"machine: {found['machine']}")
    for shape, each in found["shapes"].items():
        click.echo(f"\n{shape}" + (f", exponent {each['exponent']}" if "exponent" in each else ""))
        for parts, cost in each["rows"].items():
            click.echo(f"  {parts:>9,}  {cost}")


if __name__ == "__main__":
    main()
