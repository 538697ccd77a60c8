"""The scan through Spark against a bare loop of the same kernels, on the same images, in one run.

    python -m benchmarks.scan [--images 2000] [--repeats 5] [--json] [TAR ...]

`bare` reads each tar with Python's tarfile in one thread and does sha256, decode and PDQ; `bare with density` also
measures the text density. `spark` is `curate scan` on local[1] doing the same, without and with density: tar reading,
sidecars, rows, Parquet, receipts, keys made unique, commit. Spark's start is not counted. A ratio is
images a second through Spark by images a second of the bare loop; 1 is as fast. Memory is the peak resident set of a
Python worker.
"""

import functools
import hashlib
import json
import os
import platform
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from curation.config import DedupeConfig, PipelineConfig, ScanConfig, SparkConfig
from curation.pictures.decode import DecodeLimits, decode
from curation.pictures.pdq import pdq
from curation.sources.members import IMAGE_EXTENSIONS, split_member
from curation.text.first_look import first_look
from jobs.spark.run import context
from jobs.stages.scan import scan
from jobs.units.progress import Reporter

LIMITS = DecodeLimits()


def bare(tars: Sequence[Path], *, density: bool) -> int:
    """Run the kernels over all images of `tars` and return how many there were."""
    images = 0
    for path in tars:
        with tarfile.open(path, "r|") as tar:
            for member in tar:
                if split_member(member.name)[1] not in IMAGE_EXTENSIONS:
                    continue
                file = tar.extractfile(member)
                data = file.read() if file else b""
                images += 1
                hashlib.sha256(data).hexdigest()
                decoded = decode(data, LIMITS)
                if decoded.rgb is not None:
                    pdq(decoded.rgb)
                    if density:
                        first_look(decoded.rgb)
    return images


def timed(work: Callable[[], object]) -> float:
    """Return the wall seconds of `work`."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def make_tars(folder: Path, images: int) -> list[Path]:
    """Return the tars of the project's own corpus, with the wanted number of images."""
    from examples.corpus import make_corpus  # noqa: PLC0415

    make_corpus(folder, images=images, tars=8)
    return sorted(folder.glob("*.tar"))


def measure(tars: Sequence[Path], repeats: int) -> dict[str, object]:
    """Return the best of `repeats` runs of each contender, taken in turns, on one core."""
    import cv2  # noqa: PLC0415

    cv2.setNumThreads(1)
    best: dict[str, float] = {}
    memory = 0.0
    images = bare(tars, density=True)  # warms the page cache
    with tempfile.TemporaryDirectory() as folder, context(_config(tars, True), reporter=Reporter(quiet=True)) as ctx:

        def through_spark(density: bool) -> None:
            nonlocal memory
            output = tempfile.mkdtemp(dir=folder)
            memory = max(memory, scan(_config(tars, density), output, ctx).cost["peak_worker_memory_bytes"])

        through_spark(density=True)
        for _ in range(repeats):
            for density, kind in ((False, ""), (True, " with density")):
                for name, work in (("bare", functools.partial(bare, tars)), ("spark", through_spark)):
                    seconds = timed(functools.partial(work, density=density))
                    best[name + kind] = min(best.get(name + kind, float("inf")), seconds)
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "images": images,
        "megabytes": round(sum(t.stat().st_size for t in tars) / 1e6, 1),
        "images_per_second": {name: round(images / seconds, 1) for name, seconds in best.items()},
        "ratio": round(best["bare"] / best["spark"], 3),
        "ratio_with_density": round(best["bare with density"] / best["spark with density"], 3),
        "peak_worker_memory_megabytes": round(memory / 1e6),
    }


def _config(tars: Sequence[Path], density: bool) -> PipelineConfig:
    return PipelineConfig(
        input=tuple(str(t) for t in tars),
        output="unused",
        scan=ScanConfig(text_density=density),
        dedupe=DedupeConfig(copies=("exact", "mild")),  # the bare loop has no local features
        spark=SparkConfig(master="local[1]"),
    )


@click.command()
@click.argument("tars", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--images", default=2000, show_default=True, help="Images to make when no TAR is given.")
@click.option("--repeats", default=5, show_default=True, help="Runs of each; the best counts.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(tars: tuple[Path, ...], images: int, repeats: int, as_json: bool) -> None:
    """Compare `curate scan` on one core with a bare loop of the same kernels."""
    with tempfile.TemporaryDirectory() as folder:
        found = measure(tars or make_tars(Path(folder), images), repeats)
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for name, value in found.items():
        click.echo(f"{name:30} {value}")


if __name__ == "__main__":
    main()
