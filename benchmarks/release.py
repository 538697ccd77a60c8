"""What `curate release` costs: seconds, processor time, memory and bytes, of shards of many rows, and of the next.

    python -m benchmarks.release [--rows 10000000] [--folder F] [--json]

The shards are made from row numbers (benchmarks.synthetic_manifests): their tables are there, their tars are not, so
no picture and no json is read. The next shards have 2 % of the rows removed, 2 % added and 1 % changed, and so nearly
all rows elsewhere; they are released without and with the patch. Each release is made by a process of its own. Exits
with 1 if more than MAX_MEMORY_BYTES are used.
"""

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from benchmarks.synthetic_manifests import make
from manifests import storage
from manifests.format.commit import commit
from manifests.format.receipts import Receipt, write_part
from manifests.format.schema import Stage, schema
from manifests.format.store import Manifest, Provenance, is_committed, lanes_of, open_manifest

MAX_MEMORY_BYTES = 4 << 30
NO_FILES = ("--gallery", "0", "--json-rows", "0")
_TAR_BYTES = 61_440  # a sample's share of a tar


@dataclass(frozen=True, kw_only=True)
class Line:
    """One release. `memory_bytes`: the most that the process had."""

    what: str
    rows: int
    version: str
    seconds: float
    core_seconds: float
    memory_bytes: int
    size_bytes: int


def make_shards(folder: Path, rows: int, *, edited: bool = False) -> Manifest:
    """Return the manifest of shards of `rows` rows below `folder`, made now unless an earlier run left it there."""
    chosen = make(folder, rows, edited=edited)
    uri = f"{chosen.uri}-shards"
    if is_committed(uri):
        return open_manifest(uri)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        receipts = pool.starmap(_write, [(chosen.uri, uri, place) for place in range(len(chosen.parts))])
    about = Provenance(
        stage=Stage.SHARD,
        config={"layout": "uniform"},
        software={},
        inputs={},
        parents=[],
        roots=chosen.roots,
        funnel=[],
    )
    return commit(uri, receipts, about, created=chosen.created)


def _write(chosen: str, uri: str, place: int) -> Receipt:
    manifest = open_manifest(chosen)
    table, name = manifest.read_part(manifest.parts[place]), f"{place:05d}"
    rows = range(table.num_rows)
    own = {
        "shard": pa.array([f"{name}.tar"] * len(rows)),
        "shard_offset": pa.array([row * _TAR_BYTES for row in rows], pa.int64()),
        "shard_size": table.column("size"),
        "shard_index": pa.array(rows, pa.int32()),
    }
    for field in schema(Stage.SHARD):
        if field.name not in table.schema.names:
            table = table.append_column(field, own.get(field.name, pa.nulls(len(rows), field.type)))
    wanted = schema(Stage.SHARD)
    batches = table.select(wanted.names).cast(wanted).to_batches()
    part = write_part(storage.join(uri, f"{name}.parquet"), batches, wanted, roots=manifest.roots)
    return Receipt(
        unit=name,
        fingerprint="",
        part=f"{name}.parquet",
        rows=part.rows,
        size_bytes=part.size_bytes,
        sha256=part.sha256,
        lanes=lanes_of(part.lanes.tolist()),
        counts=part.counts,
        files={f"{name}.tar": {"bytes": len(rows) * _TAR_BYTES, "sha256": f"{place:064x}"}},
    )


def _measure(shards: Manifest, out: Path, *options: str) -> Line:
    started = time.perf_counter()
    command = [sys.executable, "-m", "jobs", "release", shards.uri, "-o", str(out), "--json", *NO_FILES, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    answer = json.loads(process.stdout.read())
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    return Line(
        what=out.name,
        rows=shards.rows,
        version=answer["version"],
        seconds=round(time.perf_counter() - started, 1),
        core_seconds=round(usage.ru_utime + usage.ru_stime, 1),
        memory_bytes=usage.ru_maxrss * 1024,
        size_bytes=sum(file.stat().st_size for file in out.rglob("*") if file.is_file()),
    )


@click.command()
@click.option("--rows", default=10_000_000, show_default=True, help="Rows of the shards that are made.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where to make them; kept for the next run.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(rows: int, folder: Path | None, as_json: bool) -> None:
    """Measure a release of many rows, and the next one, with its patch."""
    with tempfile.TemporaryDirectory(prefix="curate-release-") as scratch:
        there, out = folder or Path(scratch), Path(scratch) / "releases"
        first, second = (make_shards(there, rows, edited=edited) for edited in (False, True))
        previous = ("--previous", str(out / "first"))
        lines = [
            _measure(first, out / "first"),
            _measure(second, out / "next", *previous, "--no-patch"),
            _measure(second, out / "next, with patch", *previous),
        ]
    if as_json:
        print(json.dumps([asdict(line) for line in lines], indent=1))
    else:
        _print(lines)
    sys.exit(0 if all(line.memory_bytes <= MAX_MEMORY_BYTES for line in lines) else 1)


def _print(lines: list[Line]) -> None:
    table = Table("release", "rows", "version", "seconds", "core s", "memory", "size")
    for line in lines:
        table.add_row(
            line.what, f"{line.rows:,}", line.version, f"{line.seconds:.1f}", f"{line.core_seconds:.1f}",
            f"{line.memory_bytes / 1e6:,.0f} MB", f"{line.size_bytes / 1e6:.1f} MB",
        )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    main()
