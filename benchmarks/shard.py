"""What writing shards costs, by gather and by stream, against copying the same bytes and reading everything.

    python -m benchmarks.shard [--images 100000] [--runs 5] [--spark] [--folder F] [--json]

Tars of random images of 50 kB on average, with json and txt, as a crawl leaves them; the files are in memory after
the first run. `all` keeps every image, `few` 1.3 % of them. Each measurement runs in a process of its own, in turns,
and its figure is the bytes of the tars that were written by the processor time of all that the process did:

copy        the tars that `shard` writes, copied as files by Python's shutil.
copy+sha256 the same with the guarantees of `shard`: the sha256 of what is read is checked, that of what is written is
            taken.
gather      `shard` by byte range, from rows in memory: reading, sha256 of each image, tar and its sha256, Parquet.
stream      the same from temporary copies, which are made first.
webdataset  everything is read with the library webdataset, and samples of a set are written with its ShardWriter, as
            the resharder of DataComp does (mlfoundations/datacomp, resharder.py).

With --spark, `curate shard` runs as a whole, too, on local[1], after another run that warms it up: the processor time
of all processes, and the most memory that a Python worker had. Starting Spark is not counted.

Ratios are of the medians. Exits with 1 if one of the bars is missed: stream of all 0.6 and gather of few 0.3 of
copy+sha256, gather of few 10 times the speed of webdataset, 500 MB a worker.
"""

import hashlib
import io
import json
import multiprocessing
import platform
import resource
import shutil
import statistics
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from benchmarks.synthetic_manifests import make
from curation.choosing.verdicts import KEPT_BYTES
from curation.config import PipelineConfig, SparkConfig
from curation.config_shard import ShardConfig
from curation.shards.copies import copy_samples
from curation.shards.plan import shuffle_place
from curation.shards.read import InCopies, Place, in_source
from curation.shards.write import write_shard
from manifests import storage
from manifests.format.commit import commit
from manifests.format.receipts import Receipt, write_part
from manifests.format.schema import Stage, schema
from manifests.format.store import Manifest, Provenance, is_committed, lanes_of, open_manifest

IMAGES_PER_TAR, IMAGES_PER_SHARD = 2_000, 2_000
MEAN_BYTES, SIGMA = 50_000, 0.6
FEW = 0.013
MAX_MEMORY = 500_000_000
PIECE_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Line:
    """The runs of one measurement: bytes of the tars that were written, and what the processes took."""

    kept: str
    what: str
    tar_bytes: int
    cpu_seconds: list[float]
    peak_bytes: list[int]

    @property
    def rates(self) -> list[float]:
        """Megabytes of tars for a second of processor time, of each run."""
        return sorted(self.tar_bytes / 1e6 / seconds for seconds in self.cpu_seconds)

    @property
    def rate(self) -> float:
        """The median of `rates`."""
        return statistics.median(self.rates)


# --- the corpus


def corpus(folder: Path, images: int) -> dict[str, Manifest]:
    """Return the chosen manifests `all` and `few` of tars below `folder`, made now unless they are there."""
    found = {}
    for kept in ("all", "few"):
        uri = str(folder / f"chosen-{kept}-{images}")
        if not is_committed(uri):
            table = pa.Table.from_batches(_tars(folder / "tars", images))
            _commit(uri, _rows(folder, table, kept))
        found[kept] = open_manifest(uri)
    return found


def _tars(folder: Path, images: int) -> Iterator[pa.RecordBatch]:
    """Write the tars unless they are there, and yield where the samples of each are."""
    folder.mkdir(parents=True, exist_ok=True)
    for first in range(0, images, IMAGES_PER_TAR):
        path, index = folder / f"{first // IMAGES_PER_TAR:05d}.tar", folder / f"{first // IMAGES_PER_TAR:05d}.json"
        if not index.exists():
            index.write_text(json.dumps(_write_tar(path, first, min(images, first + IMAGES_PER_TAR))))
        yield from pa.Table.from_pylist(json.loads(index.read_text())).to_batches()


def _write_tar(path: Path, first: int, end: int) -> list[dict[str, Any]]:
    random = np.random.default_rng(first)
    rows = []
    with path.open("wb") as f, tarfile.open(fileobj=f, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for number in range(first, end):
            size = int(np.clip(random.lognormal(np.log(MEAN_BYTES) - SIGMA**2 / 2, SIGMA), 2_000, 2_000_000))
            text = f"a caption of the picture with the number {number} in the corpus"
            files = {
                "jpg": random.bytes(size),
                "json": json.dumps(
                    {"uid": f"{number:032x}", "url": f"https://host/{number}", "caption": text}
                ).encode(),
                "txt": text.encode(),
            }
            row: dict[str, Any] = {"key": f"{number:032x}", "source": path.resolve().as_uri(), "caption": text}
            for extension, data in files.items():
                header = tarfile.TarInfo(f"{number:09d}.{extension}")
                header.size = len(data)
                prefix = {"jpg": "", "json": "json_", "txt": "caption_"}[extension]
                row |= {f"{prefix}member": header.name, f"{prefix}offset": f.tell() + 512, f"{prefix}size": len(data)}
                tar.addfile(header, io.BytesIO(data))
            rows.append({**row, "sha256": hashlib.sha256(files["jpg"]).hexdigest()})
    return rows


def _rows(folder: Path, stored: pa.Table, kept: str) -> pa.Table:
    """Return complete rows of the samples that are `stored`, with measurements like real ones."""
    made = make(folder, stored.num_rows, has_local=True, rows_per_part=stored.num_rows)
    table = made.read_part(made.parts[0])
    keep = [kept == "all" or shuffle_place("few", key) < _LIMIT for key in stored.column("key").to_pylist()]
    columns = {name: stored.column(name) for name in stored.column_names}
    columns |= {
        "keep": pa.array(keep),
        "status": pa.array(["ok"] * len(keep)),
        "format": pa.array(["JPEG"] * len(keep)),
    }
    for name, values in columns.items():
        field = table.schema.field(name)
        table = table.set_column(table.schema.get_field_index(name), field, values.cast(field.type))
    return table


_LIMIT = int(FEW * 2**64).to_bytes(8, "big")


def _commit(uri: str, table: pa.Table) -> None:
    """Commit a manifest of `table`, a part for each of its tars."""
    uri = storage.absolute(uri)
    receipts = []
    for number, first in enumerate(range(0, table.num_rows, IMAGES_PER_TAR)):
        rows, name = table.slice(first, IMAGES_PER_TAR), f"part-{number:05d}"
        part = write_part(storage.join(uri, f"{name}.parquet"), rows.to_batches(), table.schema, roots=[])
        kept = rows.filter(rows.column("keep")).column("size").to_pylist()
        receipt = Receipt(
            unit=name,
            fingerprint="",
            part=f"{name}.parquet",
            rows=part.rows,
            size_bytes=part.size_bytes,
            sha256=part.sha256,
            lanes=lanes_of(part.lanes.tolist()),
            counts=part.counts,
            facts={KEPT_BYTES: sum(kept)},
        )
        receipts.append(receipt)
    about = Provenance(stage=Stage.CHOOSE, config={}, software={}, inputs={}, parents=[], roots=[], funnel=[])
    commit(uri, receipts, about, created="2026-01-01T00:00:00+00:00")


# --- what is measured, each in a process of its own


def measured(work: Callable[[], int]) -> dict[str, int | float]:
    """Return the bytes that `work` says it wrote, its processor time, and the peak memory of this process."""
    before = _cpu_seconds()
    tar_bytes = work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"tar_bytes": tar_bytes, "cpu_seconds": _cpu_seconds() - before, "peak_bytes": peak}


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def placed(manifest: Manifest) -> list[pa.Table]:
    """Return the kept rows of each shard, in their order, as the shuffle leaves them."""
    table = pa.concat_tables(manifest.read_part(part) for part in manifest.parts)
    table = table.filter(table.column("keep"))
    places = [shuffle_place("curate", key) for key in table.column("key").to_pylist()]
    table = table.append_column("place", pa.array(places, pa.binary()))
    ranks = np.empty(len(places), np.int64)
    ranks[sorted(range(len(places)), key=lambda i: places[i])] = np.arange(len(places))
    table = table.append_column("to_shard", pa.array(ranks // IMAGES_PER_SHARD))
    return [
        table.filter(pa.array(ranks // IMAGES_PER_SHARD == n)) for n in range(-(-len(places) // IMAGES_PER_SHARD))
    ]


def write_all(shards: Sequence[pa.Table], folder: str, places: Sequence[Place]) -> int:
    """Write tars and parts, and return the bytes of the tars."""
    total = 0
    for number, rows in enumerate(shards):
        written = write_shard(folder, f"{number:05d}", rows.sort_by("place"), nearer=places)
        uri = storage.join(folder, f"{number:05d}.parquet")
        write_part(uri, written.batch.to_batches(), schema(Stage.SHARD), roots=[])
        total += written.files[f"{number:05d}.tar"]["bytes"]
    return total


def gather(chosen: str, folder: str) -> dict[str, Any]:
    """Write shards by byte range."""
    shards = placed(open_manifest(chosen))
    return measured(lambda: write_all(shards, folder, []))


def stream(chosen: str, folder: str) -> dict[str, Any]:
    """Copy the samples part by part, and write shards from the copies."""
    manifest = open_manifest(chosen)
    table = pa.concat_tables(placed(manifest))
    of_parts = [table.filter(pa.compute.equal(table.column("source"), uri)) for uri in _sources(table)]
    shards = -(-table.num_rows // IMAGES_PER_SHARD)

    def work() -> int:
        copies, order = f"{folder}/copies", ("to_shard", "place", "key")
        copied = [
            copy_samples(rows, place=in_source, folder=copies, group=f"{n:05d}", order=order)
            for n, rows in enumerate(of_parts)
        ]
        together = pa.concat_tables(copied)
        rows = [together.filter(pa.compute.equal(together.column("to_shard"), n)) for n in range(shards)]
        return write_all(rows, folder, [InCopies(uri=copies, place=in_source)])

    return measured(work)


def _sources(table: pa.Table) -> list[str]:
    return sorted(set(table.column("source").to_pylist()))


def copy(chosen: str, folder: str) -> dict[str, Any]:
    """Copy the tars of shards as files."""

    def work() -> int:
        total = 0
        for path in _shards_of(chosen):
            shutil.copyfile(path, Path(folder) / path.name)
            total += path.stat().st_size
        return total

    return measured(work)


def copy_checked(chosen: str, folder: str) -> dict[str, Any]:
    """Copy the tars of shards, check the sha256 of what is read, and take that of what is written."""
    known = {path: hashlib.sha256(path.read_bytes()).digest() for path in _shards_of(chosen)}

    def work() -> int:
        total = 0
        for path, sha256 in known.items():
            read, written = hashlib.sha256(), hashlib.sha256()
            with path.open("rb", buffering=0) as f, (Path(folder) / path.name).open("wb", buffering=0) as out:
                while piece := f.read(PIECE_BYTES):
                    read.update(piece)
                    out.write(piece)
                    written.update(piece)
                    total += len(piece)
            assert read.digest() == written.digest() == sha256
        return total

    return measured(work)


def _shards_of(chosen: str) -> list[Path]:
    return sorted(Path(f"{chosen}-shards").glob("*.tar"))


def read_everything(chosen: str, folder: str) -> dict[str, Any]:
    """Read all tars with webdataset and write the samples of the kept keys."""
    import webdataset  # noqa: PLC0415 - slow to import

    manifest = open_manifest(chosen)
    table = pa.concat_tables(manifest.read_part(part, ["source", "member", "keep"]) for part in manifest.parts)
    kept = {name.split(".")[0] for name in table.filter(table.column("keep")).column("member").to_pylist()}
    urls = [uri.removeprefix("file://") for uri in _sources(table)]

    def work() -> int:
        Path(folder).mkdir(exist_ok=True)
        samples = webdataset.WebDataset(urls, shardshuffle=False).select(lambda sample: sample["__key__"] in kept)
        pattern = f"{folder}/%05d.tar"
        with webdataset.ShardWriter(pattern, maxcount=IMAGES_PER_SHARD, maxsize=1e12, verbose=0) as out:
            for sample in samples:
                out.write(sample)
        return sum(path.stat().st_size for path in Path(folder).glob("*.tar"))

    return measured(work)


def whole_stage(chosen: str, folder: str, read: str) -> dict[str, Any]:
    """Run the stage on Spark, twice, and return what the second run cost by its manifest."""
    from jobs.spark.run import context  # noqa: PLC0415
    from jobs.stages.shard import shard  # noqa: PLC0415
    from jobs.units.progress import Reporter  # noqa: PLC0415

    config = PipelineConfig(
        input=["none"],
        output="none",
        shard=ShardConfig(samples_per_shard=IMAGES_PER_SHARD, read=read),
        spark=SparkConfig(master="local[1]"),
    )
    with context(config, reporter=Reporter(quiet=True)) as ctx:
        shard(config, chosen.replace("-all-", "-few-"), f"{folder}/warm", ctx)
        made = shard(config, chosen, f"{folder}/shards", ctx)
    tar_bytes = sum(f["bytes"] for part in made.parts for name, f in part.files.items() if name.endswith(".tar"))
    cost = made.cost
    return {
        "tar_bytes": tar_bytes,
        "cpu_seconds": cost["core_seconds"],
        "peak_bytes": cost["peak_worker_memory_bytes"],
    }


def gather_on_spark(chosen: str, folder: str) -> dict[str, Any]:
    """Run `curate shard --read gather`."""
    return whole_stage(chosen, folder, "gather")


def stream_on_spark(chosen: str, folder: str) -> dict[str, Any]:
    """Run `curate shard --read stream`."""
    return whole_stage(chosen, folder, "stream")


WORKS: dict[tuple[str, str], Callable[[str, str], dict[str, Any]]] = {
    ("all", "copy"): copy,
    ("all", "copy+sha256"): copy_checked,
    ("all", "gather"): gather,
    ("all", "stream"): stream,
    ("few", "copy"): copy,
    ("few", "copy+sha256"): copy_checked,
    ("few", "gather"): gather,
    ("few", "stream"): stream,
    ("few", "webdataset"): read_everything,
}
ON_SPARK = {("all", "gather on Spark"): gather_on_spark, ("all", "stream on Spark"): stream_on_spark}


def measure(folder: Path, images: int, runs: int, *, on_spark: bool, say: Callable[[str], None]) -> list[Line]:
    """Return a line for each measurement, of `runs` runs that took turns."""
    manifests = corpus(folder, images)
    for manifest in manifests.values():
        uri = f"{manifest.uri}-shards"
        if not storage.exists(uri):
            write_all(placed(manifest), uri, [])
    took: dict[tuple[str, str], list[dict[str, Any]]] = {}
    spawn = multiprocessing.get_context("spawn")
    works = {**WORKS, **(ON_SPARK if on_spark else {})}
    for run in range(runs + 1):
        for (kept, what), work in works.items():
            chosen = manifests[kept].uri.removeprefix("file://")
            with tempfile.TemporaryDirectory(dir=folder) as out, spawn.Pool(1) as pool:
                found = pool.apply(work, (chosen, out))
            if run:  # the first one fills the page cache
                took.setdefault((kept, what), []).append(found)
                say(f"{run}: {what} of {kept}: {found['tar_bytes'] / 1e6 / found['cpu_seconds']:,.0f} MB/s")
    return [
        Line(
            kept=kept,
            what=what,
            tar_bytes=found[0]["tar_bytes"],
            cpu_seconds=[each["cpu_seconds"] for each in found],
            peak_bytes=[each["peak_bytes"] for each in found],
        )
        for (kept, what), found in took.items()
    ]


def bars(lines: Sequence[Line]) -> dict[str, tuple[float, float]]:
    """Return the bars: name → what was reached, and the least that is wanted."""
    rate = {(each.kept, each.what): each.rate for each in lines}
    peak = max((max(each.peak_bytes) for each in lines if "Spark" in each.what), default=0)
    found = {
        "stream of all, of copy+sha256": (rate["all", "stream"] / rate["all", "copy+sha256"], 0.6),
        "gather of few, of copy+sha256": (rate["few", "gather"] / rate["few", "copy+sha256"], 0.3),
        "gather of few, of webdataset": (rate["few", "gather"] / rate["few", "webdataset"], 10.0),
    }
    return found | ({"500 MB, of a worker's memory": (MAX_MEMORY / peak, 1.0)} if peak else {})


def print_tables(lines: Sequence[Line]) -> None:
    """Print the answer for people."""
    table = Table(title=f"{platform.machine()}; MB of tars for a second of processor time", title_justify="left")
    for name in ("kept", "what", "MB", "MB/s", "from", "to", "of copy", "of copy+sha256", "peak MB"):
        table.add_column(name, justify="left" if name in ("kept", "what") else "right")
    rate = {(each.kept, each.what): each.rate for each in lines}
    for each in lines:
        numbers = [each.tar_bytes / 1e6, each.rate, each.rates[0], each.rates[-1]]
        ratios = [each.rate / rate[each.kept, base] for base in ("copy", "copy+sha256")]
        table.add_row(
            each.kept,
            each.what,
            *(f"{n:,.0f}" for n in numbers),
            *(f"{n:.3f}" for n in ratios),
            f"{max(each.peak_bytes) / 1e6:,.0f}",
        )
    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 120)
    console.print(table)
    for name, (found, wanted) in bars(lines).items():
        console.print(f"{name}: {found:.2f}, at least {wanted:g}: {'met' if found >= wanted else 'missed'}")


@click.command()
@click.option("--images", type=click.IntRange(min=2_000), default=100_000, show_default=True)
@click.option("--runs", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--spark", "on_spark", is_flag=True, help="Run the whole stage on Spark, too.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path, resolve_path=True),
    help="Keep the tars here, or use those that are.  [default: a temporary folder]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(images: int, runs: int, on_spark: bool, folder: Path | None, as_json: bool) -> None:
    """Measure what writing shards costs."""
    with tempfile.TemporaryDirectory(prefix="curate-bench-") as temporary:
        lines = measure(
            folder or Path(temporary), images, runs, on_spark=on_spark, say=lambda text: click.echo(text, err=True)
        )
    found = bars(lines)
    if as_json:
        click.echo(json.dumps({"lines": [{**asdict(each), "rate": each.rate} for each in lines], "bars": found}))
    else:
        print_tables(lines)
    if any(reached < wanted for reached, wanted in found.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
