"""What dedupe costs: core-milliseconds by phase, an image and a pair, and peak memory.

    python -m benchmarks.dedupe_cost [--web labelled/] [--pictures 100000] [--cache FOLDER] [--cores 2] [--json]

Two corpora are scanned and deduplicated with default settings, each in a command of its own: `--web`, a folder of
labelled tars, left out without; and `--pictures` variants of pictures drawn by examples/corpus, none if 0.
The variants are drawn once into tars below `--cache`, about 10 kB each: averages of two parts of pictures, each used
once; every tenth is a copy of the one before it (resized and encoded anew; by turns also cropped, mirrored or written
on). Of the variants, the share of these copies that is found is reported, and how many others are taken for copies.

Processor time is what the manifests record of all processes: the driver, the JVM, Python workers and their children.
What was used until Python and Spark were there is listed apart, as `starting`. Peak memory is that of `curate dedupe`
and all its children together (proportional set size, sampled each half second).

Measured in one process with one thread besides: local features, a part of the scan's time, on all pictures or, above
COUNTED of them, about SAMPLED; and, up to COUNTED pictures, the candidate pairs of one cell, and what it costs to
decode and compare one. The formation of clusters may judge some pairs more, and leave some out.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import psutil

from benchmarks.dedupe.corpus import Row, one_thread_pool, read_rows
from benchmarks.dedupe.cost import candidate_pairs, judge_cost, measure_kernels
from benchmarks.dedupe.variants import is_copy, make_variants
from curation.config import DedupeConfig
from manifests.format.schema import STATUSES_WITH_PIXELS
from manifests.format.store import open_manifest

PICTURES = 100_000
COUNTED, SAMPLED = 20_000, 1_000
SAMPLE_SECONDS = 0.5
COLUMNS = ("key", "sha256", "source", "member", "offset", "size", "local_points", "status", "node")


def curate(*arguments: str, cores: int) -> int:
    """Run a command of curate in a process of its own and return its peak memory in bytes, with its children's.

    Raises ClickException with what it wrote if it fails.
    """
    command = [sys.executable, "-m", "jobs", *arguments, "--master", f"local[{cores}]"]
    with tempfile.TemporaryFile() as talk:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=talk)
        peak, done = 0, threading.Event()

        def watch() -> None:
            nonlocal peak
            while not done.wait(SAMPLE_SECONDS):
                peak = max(peak, _memory(process.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        code = process.wait()
        done.set()
        watcher.join()
        talk.seek(0)
        if code:
            raise click.ClickException(f"{' '.join(command)} failed:\n{talk.read().decode(errors='replace')[-3000:]}")
    return peak


def _memory(pid: int) -> int:
    """Return the proportional set size of a process and its descendants; what has ended counts nothing."""
    total = 0
    try:
        processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return 0
    for process in processes:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return total


def measure_corpus(folder: Path, work: Path, cores: int) -> dict[str, Any]:
    """Return the cost of scanning and deduplicating the tars in `folder`."""
    curate("scan", f"{folder}/*.tar", "-o", str(work / "scan"), cores=cores)
    memory = curate("dedupe", str(work / "scan"), "-o", str(work / "deduped"), cores=cores)
    scanned, cost = open_manifest(str(work / "scan")), open_manifest(str(work / "deduped")).cost
    rows = read_rows(scanned, *COLUMNS)
    shown = [row for row in rows if row["status"] in STATUSES_WITH_PIXELS]
    measured = shown if len(shown) <= COUNTED else shown[:: len(shown) // SAMPLED]
    (work / "measured").mkdir()
    with one_thread_pool(1) as pool:
        kernels, prints = pool.submit(measure_kernels, measured, work / "measured").result()
        pairs = pool.submit(_of_pairs, shown, prints).result() if measured is shown else {}
    phases = {name: round(1000 * spent / len(shown), 3) for name, spent in cost["phases"].items()}
    return {
        "images": len(rows),
        "pictures": len(shown),
        "scan_milliseconds_an_image": scanned.cost["core_milliseconds_per_image"],
        "local_features_milliseconds_an_image": kernels["local features"],
        "dedupe_milliseconds_an_image": phases,
        "dedupe_in_all_milliseconds_an_image": round(sum(phases.values()), 3),
        "starting_core_seconds": cost["starting_core_seconds"],
        "peak_memory_megabytes": memory >> 20,
        **pairs,
    }


def count_copies(deduped: Path) -> dict[str, Any]:
    """Return the share of the planned copies among variants that is found, and the number of copies not planned."""
    rows = read_rows(open_manifest(str(deduped)), "key", "member", "cluster_id")
    clusters: dict[str, list[int]] = {}
    for row in rows:
        clusters.setdefault(row["cluster_id"], []).append(int(row["member"].partition(".")[0]))
    joined = [sorted(each) for each in clusters.values() if len(each) > 1]
    planned = sum(each == [each[0], each[0] + 1] and is_copy(each[1]) for each in joined)
    return {
        "recall": round(planned / max(1, sum(is_copy(number) for number in range(len(rows)))), 4),
        "clusters_of_others": len(joined) - planned,
    }


def _of_pairs(shown: Sequence[Row], prints: Sequence[tuple[bytes, int]]) -> dict[str, float]:
    """Return how many candidates an image has, and core-milliseconds of judging one."""
    found = candidate_pairs(shown, prints, DedupeConfig())
    by_node = {row["node"]: row for row in reversed(shown)}
    judged = sorted(found["PDQ"] | found["local features"], key=lambda pair: pair[::-1])
    costs = judge_cost([(by_node[a], by_node[b]) for a, b in judged])
    return {"candidates_an_image": round(len(judged) / len(shown), 3), **costs}


def print_cost(found: Mapping[str, Any]) -> None:
    """Print the figures of each corpus."""
    click.echo(f"machine: {found['machine']}")
    for name, each in found["corpora"].items():
        click.echo(f"\n{name}: {each['images']:,} images, {each['pictures']:,} of them decode")
        for title, value in each.items():
            if title in ("images", "pictures"):
                continue
            shown = ", ".join(f"{n} {v}" for n, v in value.items()) if isinstance(value, dict) else value
            click.echo(f"  {title:42}{shown}")


@click.command()
@click.option("--web", type=click.Path(exists=True, path_type=Path), help="Folder of labelled tars.")
@click.option("--pictures", default=PICTURES, show_default=True, help="How many drawn variants; 0: none.")
@click.option("--cache", type=click.Path(path_type=Path), help="Folder that keeps the variants for the next run.")
@click.option("--cores", default=2, show_default=True, help="Cores that Spark and the drawing use.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(*, web: Path | None, pictures: int, cache: Path | None, cores: int, as_json: bool) -> None:
    """Measure what dedupe costs an image and a pair."""
    found: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "corpora": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        corpora = {"labelled": web.resolve()} if web is not None else {}
        if pictures:
            corpora["variants"] = make_variants(cache or work / "cache", pictures, cores)
        for name, tars in corpora.items():
            (work / name).mkdir()
            found["corpora"][name] = measure_corpus(tars, work / name, cores)
        if pictures:
            found["corpora"]["variants"] |= count_copies(work / "variants" / "deduped")
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        print_cost(found)


if __name__ == "__main__":
    main()
