"""What feeding a trainer costs, and what is lost when it resumes: `curate.feed` and other libraries.

    python -m benchmarks.feed [--images 2000] [--shards FOLDER] [--repeats 5] [--only curate,webdataset] [--quick]

All read the same samples with the same decoder, `curation.feed.pixels` at 224 by 224 pixels, in batches of 64, in
random order, with two worker processes; `curate.feed` also with threads of one process. The ceiling reads the tars
one after the other and decodes in one thread. Samples are drawn, or those of the tars in --shards; the writer of
`curate shard` makes tars of the layout uniform of them. Runs of all readers alternate; figures are medians, with the
smallest and the largest. Each run is a process of its own that has imported its libraries before it is timed.

warm    files are in the page cache.
cold    they are not: they are dropped before each run.
s3      from an S3 server on this machine (benchmarks.feeding.server), whose answers take --latency ms longer.

images/s a core   images of an epoch over the processor time of all processes, their start included.
images/s          the same over the time that passed.
first batch       from making the reader to its first batch.
resumed           the same with a state at 10, 50 and 90 % of the epoch: all three.
memory            of all processes at once, without what is only cached files; its peak, looked at 20 times a second.
prepared          making the format or the index that the reader needs, once.
mixed             how far apart in the tars the samples of a batch are, against a random order: 1 is random, 0 stored.
lost, repeated    samples of an epoch, without a stop on two ranks; and with three stops, each rank going on from the
                  state of a rank before, on as many ranks, and on others (2, 3, 1, 2).

Libraries that are not installed are left out: `pip install 'curate-images[peers]'`. Mosaic's streaming demands older
packages than others do, and works with ours: `pip install --no-deps mosaicml-streaming`, and `pip install brotli
catalogue python-snappy zstd`. Exits with 1 if a goal is missed: `curate.feed` has the most images/s a core of all
that shuffle, 1.2 times as many on S3, and loses and repeats nothing.
"""

import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from benchmarks.feeding.bench import WORLDS, Bench, Row, count, measure
from benchmarks.feeding.corpus import collect, draw, make_shards
from benchmarks.feeding.readers import READERS, Curate, Sequential
from benchmarks.feeding.report import COLUMNS, figures, lines_of, print_table

MIN_SHARDS, SHARD_BYTES = 8, 16 << 20
GOALS = {"warm": 1.0, "s3": 1.2}


def rows_of(only: Sequence[str], say: Callable[[str], None]) -> list[Row]:
    """Return the rows to measure; `only` are beginnings of names, all if there are none."""
    rows = []
    for name, kind in READERS.items():
        if only and not name.lower().startswith(tuple(each.lower() for each in only)):
            continue
        if missing := kind.missing():
            say(f"{name} is left out: {', '.join(missing)} not installed")
            continue
        counts = (0,) if kind is Sequential else (0, 2) if issubclass(kind, Curate) else (2,)
        rows += [Row(reader=name, workers=workers) for workers in counts]
    return rows


def missed(rows: Sequence[Row]) -> list[str]:
    """Return the goals that are missed."""
    found = []
    for place, goal in GOALS.items():
        ours, others = {}, {}
        for row in rows:
            kind = READERS[row.reader]
            if row.runs[place] and kind is not Sequential:
                core = statistics.median(run.images_a_core for run in row.runs[place])
                (ours if issubclass(kind, Curate) else others)[row.name] = core
        if ours and others:
            fastest = max(others, key=lambda name: others[name])
            ratio = max(ours.values()) / others[fastest]
            if ratio < goal:
                found.append(f"{place}: {ratio:.2f} of {fastest} in images/s a core, the goal is {goal}")
    for row in rows:
        if issubclass(READERS[row.reader], Curate):
            found += [f"{row.reader}, {name}: {each}" for name, each in row.counts.items() if each != (0, 0)]
    return found


@click.command()
@click.option("--images", type=click.IntRange(min=64), default=2000, show_default=True, help="Samples to draw.")
@click.option(
    "--shards", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Take the pictures of these tars."
)
@click.option("--repeats", type=click.IntRange(min=1), default=5, show_default=True, help="Runs of each reader.")
@click.option(
    "--latency", type=click.FloatRange(min=0), default=20, show_default=True, help="Of S3, in milliseconds."
)
@click.option("--only", default="", help="Beginnings of names of readers, with commas between them.")
@click.option("--quick", is_flag=True, help="128 pictures, one run.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every run.")
def main(shards: Path | None, only: str, quick: bool, as_json: bool, **numbers: float) -> None:
    """Compare curate.feed with other libraries that feed trainers."""
    images, repeats = (128, 1) if quick else (int(numbers["images"]), int(numbers["repeats"]))

    def say(text: str) -> None:
        click.echo(text, err=True)

    rows = rows_of([each for each in only.split(",") if each], say)
    with tempfile.TemporaryDirectory(prefix="curate-bench-") as folder:
        say("the corpus")
        samples = list(draw(images) if shards is None else collect(shards))
        size = sum(len(each.data) for each in samples)
        make_shards(Path(folder, "shards"), samples, max(MIN_SHARDS, size // SHARD_BYTES))
        bench = Bench(Path(folder), batch_size=16 if quick else 64)
        measure(bench, rows, repeats, numbers["latency"] / 1000, say)
        count(bench, rows, say)
    goals = missed(rows)
    if as_json:
        click.echo(
            json.dumps({"images": len(samples), "bytes": size, "rows": list(map(asdict, rows)), "missed": goals})
        )
    else:
        title = f"{len(samples):,} images of {size / len(samples) / 1000:.0f} KB; medians of {repeats}"
        print_table(f"{title}, with the smallest and the largest", COLUMNS, list(map(figures, rows)))
        print_table("samples lost / repeated in an epoch", ["reader", *WORLDS], lines_of(rows))
        for each in goals:
            click.echo(f"missed: {each}")
    if goals:
        sys.exit(1)


if __name__ == "__main__":
    main()
