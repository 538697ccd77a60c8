"""The search for near copies at 1, 3 and 10 million records: time, memory, shuffle, and what it finds.

    python -m benchmarks.dedupe_scale [--millions 1,3,10] [--cores 2] [--driver-memory 2g] [--json]

The records are narrow rows of a scan as Spark's workers make them from the record's number: random fingerprints, a
tenth of them copies of earlier ones at 0 to 31 bits, uniformly; 300,000 equal ones; 100,000 near ones, 0 to 10 bits
from one centre (both fewer below a million records). They are written to Parquet first, which is not counted. What is
counted: to collapse equal fingerprints, find near pairs, join them into connected components, and count those.

`recall` is the share of planted copies that end in the component of their original, in all and by distance;
exhaustive search finds every one of them. `audit` compares 2,000 fingerprints chosen by hash with all others,
exhaustively, and says how many of the neighbours within the limit are in another component.
`peak_memory_megabytes` is that of Python, the JVM and the workers together (proportional set size, sampled);
`shuffled_bytes_per_record` what stages wrote for others to read; `exponent` the slope of log time by log records from
the smallest size to the largest.
"""

import contextlib
import json
import math
import os
import platform
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import click
import faiss
import numpy as np
import numpy.typing as npt
import psutil
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from curation.config import DedupeConfig, SparkConfig
from curation.copies.cells import BITS, BYTES, as_matrix
from jobs.dedupe.components import connected_components
from jobs.dedupe.pdq_search import near_pairs
from jobs.spark import session
from jobs.spark.steps import temporary_steps

LIMIT = DedupeConfig().max_distance
EQUAL, NEAR, CENTRE_BITS = 300_000, 100_000, 10
COPY_EVERY = 10
AUDITED = 2_000
BANDS = ((0, 7), (8, 15), (16, 23), (24, 27), (28, 31))
SAMPLE_SECONDS = 0.5
RECORDS = "record long, node binary, origin binary, distance int"
Numbers = npt.NDArray[np.uint64]


# --- records -------------------------------------------------------------------------------------


def mixed(numbers: Numbers, purpose: int) -> Numbers:
    """Return a hash of each number, another for each purpose (splitmix64)."""
    x = numbers * np.uint64(0x9E3779B97F4A7C15) + np.uint64((purpose + 1) * 0xD1B54A32D192ED03 % 2**64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def random_prints(numbers: Numbers) -> npt.NDArray[np.uint8]:
    """Return the fingerprint that each number stands for."""
    return np.stack([mixed(numbers, word) for word in range(4)], axis=1).view(np.uint8).reshape(-1, BYTES)


def flipped(
    prints: npt.NDArray[np.uint8], numbers: Numbers, distance: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint8]:
    """Return copies at `distance` bits, chosen by number."""
    each = mixed(numbers, 8)[:, None] + np.arange(BITS, dtype=np.uint64)[None]
    places = np.argsort(mixed(each, 9), axis=1)
    flips = np.zeros(places.shape, np.uint8)
    np.put_along_axis(flips, places, (np.arange(BITS) < distance[:, None]).astype(np.uint8), axis=1)
    return prints ^ np.packbits(flips, axis=1)


@dataclass(frozen=True, kw_only=True)
class Maker:
    """Makes the records of the numbers it is given. The first `equal` are equal, the next `near` near each other."""

    equal: int
    near: int

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the records of the numbers."""
        for batch in batches:
            numbers = batch.column("id").to_numpy().astype(np.uint64)
            prints = random_prints(np.where(numbers < self.equal, np.uint64(0), numbers))
            origins = np.zeros((len(numbers), BYTES), np.uint8)
            distance = np.full(len(numbers), -1)
            near = (numbers >= self.equal) & (numbers < self.equal + self.near)
            centre = random_prints(np.full(near.sum(), 1, np.uint64))
            bits = (mixed(numbers[near], 5) % np.uint64(CENTRE_BITS + 1)).astype(np.int64)
            prints[near] = flipped(centre, numbers[near], bits)
            copies = (numbers % np.uint64(COPY_EVERY) == 0) & (numbers > self.equal + self.near)
            origins[copies] = random_prints(self.original(numbers[copies]))
            distance[copies] = (mixed(numbers[copies], 6) % np.uint64(LIMIT + 1)).astype(np.int64)
            prints[copies] = flipped(origins[copies], numbers[copies], distance[copies])
            yield pa.RecordBatch.from_pydict(
                {
                    "record": batch.column("id"),
                    "node": _binary(prints),
                    "origin": pc.if_else(pa.array(copies), _binary(origins), pa.scalar(None, pa.binary())),
                    "distance": pa.array(distance, pa.int32()),
                }
            )

    def original(self, copies: Numbers) -> Numbers:
        """Return the earlier record that each copy is of: neither a copy itself nor of a cluster."""
        first = self.equal + self.near
        original = first + 1 + mixed(copies, 7) % np.maximum(copies - np.uint64(first), np.uint64(2))
        original = np.minimum(original, copies - np.uint64(1))
        return original - (original % np.uint64(COPY_EVERY) == 0)


def _binary(prints: npt.NDArray[np.uint8]) -> pa.Array:
    return pa.array([row.tobytes() for row in prints], pa.binary())


# --- what is found -------------------------------------------------------------------------------


def recall(records: DataFrame, parts: DataFrame) -> dict[str, float]:
    """Return the share of planted copies in the component of their original, in all and by distance."""
    copies = records.where("origin is not null").select("node", "origin", "distance")
    of_copy = parts.select("node", F.col("part").alias("of_copy"))
    of_origin = parts.select(F.col("node").alias("origin"), F.col("part").alias("of_origin"))
    found = copies.join(of_copy, "node").join(of_origin, "origin").withColumn("hit", F.expr("of_copy = of_origin"))
    rows = found.groupBy("distance").agg(F.count("*").alias("all"), F.sum(F.col("hit").cast("int")).alias("hits"))
    counts = {row["distance"]: (row["hits"], row["all"]) for row in rows.collect()}
    shares = {"all": _share(counts.values())}
    for low, high in BANDS:
        shares[f"{low}-{high}"] = _share([c for d, c in counts.items() if low <= d <= high])
    return shares


def _share(counts: Any) -> float:
    hits, every = map(sum, zip(*counts, strict=True)) if counts else (0, 0)
    return round(hits / every, 5) if every else math.nan


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Compares each batch with the audited fingerprints and counts neighbours, and those of another component."""

    prints: bytes
    parts: bytes

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield one row of counts."""
        faiss.omp_set_num_threads(1)
        queries = np.frombuffer(self.prints, np.uint8).reshape(-1, BYTES)
        of_asked = np.frombuffer(self.parts, f"V{BYTES}")
        neighbours = missed = 0
        for batch in batches:
            index = faiss.IndexBinaryFlat(BITS)
            index.add(as_matrix(batch.column("node")))
            of_rows = as_matrix(batch.column("part")).view(f"V{BYTES}")[:, 0]
            limits, distances, labels = index.range_search(queries, LIMIT + 1)
            query = np.repeat(np.arange(len(queries)), np.diff(limits.astype(np.int64)))
            others = distances > 0
            neighbours += int(others.sum())
            missed += int((of_asked[query[others]] != of_rows[labels[others]]).sum())
        yield pa.RecordBatch.from_pydict({"neighbours": [neighbours], "missed": [missed]})


def audit(parts: DataFrame) -> dict[str, int]:
    """Return how many neighbours of a bounded sample there are, and how many of them are in another component."""
    sample = parts.orderBy(F.xxhash64("node"), "node").limit(AUDITED).toArrow()
    work = Audit(prints=as_matrix(sample["node"]).tobytes(), parts=as_matrix(sample["part"]).tobytes())
    row = parts.mapInArrow(work, "neighbours long, missed long").agg(F.sum("neighbours"), F.sum("missed")).first()
    assert row is not None
    return {"fingerprints": len(sample), "neighbours": int(row[0] or 0), "in_another_component": int(row[1] or 0)}


# --- what it costs -------------------------------------------------------------------------------


class Memory:
    """The peaks of this process and all below it, and of the JVM's heap, in bytes, sampled until the block ends."""

    def __init__(self, spark: SparkSession) -> None:
        self.peak = self.peak_heap = 0
        self._heap = spark._jvm.java.lang.management.ManagementFactory.getMemoryMXBean()
        self.peaks: dict[str, int] = {}
        self._ended = threading.Event()

    def __enter__(self) -> "Memory":
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._ended.wait(SAMPLE_SECONDS):
            sizes: dict[str, int] = {"driver": _resident(me), "jvm": 0, "workers": 0}
            for child in me.children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    sizes["jvm" if "java" in child.name() else "workers"] += _resident(child)
            self.peak = max(self.peak, sum(sizes.values()))
            self.peak_heap = max(self.peak_heap, int(self._heap.getHeapMemoryUsage().getUsed()))
            self.peaks = {name: max(self.peaks.get(name, 0), size) for name, size in sizes.items()}


def _resident(process: psutil.Process) -> int:
    """Return the proportional set size where the system reports it, else the resident one."""
    full = process.memory_full_info()
    return int(getattr(full, "pss", full.rss))


def shuffled_bytes(spark: SparkSession) -> int:
    """Return what all stages so far wrote for others to read."""
    jvm, context = spark._jvm, spark.sparkContext._jsc.sc()
    nothing = jvm.java.util.ArrayList()
    quantiles = spark.sparkContext._gateway.new_array(jvm.double, 0)
    stages = context.statusStore().stageList(nothing, False, False, quantiles, nothing)
    return sum(int(stages.apply(n).shuffleWriteBytes()) for n in range(stages.size()))


# --- a run ---------------------------------------------------------------------------------------


def measure(spark: SparkSession, records: int, folder: str) -> dict[str, Any]:
    """Return what one size costs and finds."""
    scale = min(1.0, records / 1e6)
    maker = Maker(equal=int(EQUAL * scale), near=int(NEAR * scale))
    path = f"{folder}/{records}.parquet"
    spark.range(0, records, 1, 16).mapInArrow(maker, RECORDS).write.parquet(path)
    made = spark.read.parquet(path)
    before = shuffled_bytes(spark)
    seconds: dict[str, float] = {}
    with Memory(spark) as memory, temporary_steps(spark) as steps:
        started = lap = time.perf_counter()

        def done(step: str) -> None:
            nonlocal lap
            now = time.perf_counter()
            seconds[step], lap = round(now - lap, 1), now

        prints = made.groupBy("node").agg(F.lit(False).alias("is_text")).localCheckpoint()
        done("collapse")
        pairs = near_pairs(prints, DedupeConfig()).localCheckpoint()
        done("pairs")
        components = connected_components(pairs, steps, "components", most=pairs.count()).frame()
        done("components")
        parts = (
            prints.join(components, prints["node"] == components["member"], "left")
            .select("node", F.coalesce("component", "node").alias("part"))
            .localCheckpoint()
        )
        counts = [prints.count(), pairs.count(), parts.select("part").distinct().count()]
        done("count")
        seconds["all"] = round(time.perf_counter() - started, 1)
    return {
        "records": records,
        "fingerprints": counts[0],
        "pairs": counts[1],
        "components": counts[2],
        "seconds": seconds,
        "shuffled_bytes_per_record": round((shuffled_bytes(spark) - before) / records),
        "peak_memory_megabytes": {"all": memory.peak >> 20, **{n: s >> 20 for n, s in memory.peaks.items()}},
        "peak_heap_megabytes": memory.peak_heap >> 20,
        "recall": recall(made, parts),
        "audit": audit(parts),
    }


def measure_all(sizes: Sequence[int], cores: int, driver_memory: str) -> dict[str, Any]:
    """Return what each size costs and finds, and how time grows."""
    found = []
    for records in sizes:
        with tempfile.TemporaryDirectory() as folder:
            conf = {"spark.driver.memory": driver_memory, "spark.local.dir": folder}
            spark = session.start(SparkConfig(master=f"local[{cores}]", conf=conf), name="dedupe at scale")
            try:
                found.append(measure(spark, records, folder))
            finally:
                spark.stop()
    answer: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "cores": cores,
        "driver_memory": driver_memory,
        "sizes": found,
    }
    if len(found) > 1:
        first, last = found[0], found[-1]
        times = last["seconds"]["all"] / first["seconds"]["all"]
        answer["exponent"] = round(math.log(times) / math.log(last["records"] / first["records"]), 2)
    return answer


@click.command()
@click.option("--millions", default="1,3,10", show_default=True, help="Sizes, in millions of records.")
@click.option("--cores", default=2, show_default=True, help="Cores that Spark uses.")
@click.option("--driver-memory", default="2g", show_default=True, help="Heap of the JVM.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(millions: str, cores: int, driver_memory: str, as_json: bool) -> None:
    """Measure the search for near copies at several sizes."""
    sizes = [round(float(size) * 1e6) for size in millions.split(",")]
    found = measure_all(sizes, cores, driver_memory)
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    sizes_found = found.pop("sizes")
    for each in [found, *sizes_found]:
        for name, value in each.items():
            click.echo(f"{name:26} {value}")
        click.echo()


if __name__ == "__main__":
    main()
