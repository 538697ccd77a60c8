"""Functions in Spark's Python workers: prepared with storage arguments, the level of logging, and the attempt."""

import io
import json
import logging
from collections.abc import Iterator

import pyarrow as pa
import pytest

from jobs.show import logs
from jobs.spark import frames, processes
from tests.support.burning import burn, burn_in_child

OPTIONS = {"test-protocol": {"endpoint_url": "http://storage"}}


@pytest.fixture
def verbose() -> Iterator[None]:
    """Log at INFO, as `-v` does, and put the configuration back."""
    root = logging.getLogger()
    before = list(root.handlers)
    logs.configure(logs.VERBOSE)
    yield
    for handler in [each for each in root.handlers if each not in before]:
        root.removeHandler(handler)
    for package in logs.PACKAGES:
        logging.getLogger(package).setLevel(logging.NOTSET)
    logs._process.worker_level = None


def test_a_worker_logs_at_the_drivers_level_with_unit_and_attempt(spark, verbose) -> None:
    def log_twice(batches):
        from pyspark import TaskContext

        for _ in batches:
            if TaskContext.get().attemptNumber() == 0:
                raise RuntimeError("the first attempt fails")
            stream = io.StringIO()
            (handler,) = (each for each in logging.getLogger().handlers if each.name == "curate worker")
            handler.setStream(stream)
            with logs.unit("part-00012"):
                logging.getLogger("jobs.units.worker").info("100 rows")
                logging.getLogger("jobs.units.worker").debug("not this")
            yield pa.RecordBatch.from_pydict({"line": [stream.getvalue()]})

    row = frames.map_batches(spark.range(1), log_twice, "line string").first()
    assert row["line"].partition("Z ")[2] == "INFO jobs.units.worker: unit=part-00012 attempt=2 100 rows\n"


def seen_in_a_worker() -> str:
    import cv2
    import fsspec

    return json.dumps([fsspec.config.conf.get("test-protocol"), cv2.getNumThreads(), pa.cpu_count()])


def test_both_ways_into_workers_prepare_them(spark) -> None:
    def of_batches(batches):
        for _ in batches:
            yield pa.RecordBatch.from_pydict({"seen": [look()]})

    def of_group(table):
        return pa.table({"seen": [look()]})

    look = seen_in_a_worker
    numbers = spark.range(3).selectExpr("id", "id % 2 AS parity")
    rows = frames.map_batches(numbers, of_batches, "seen string", OPTIONS).collect()
    rows += frames.map_groups(numbers, "parity", of_group, "seen string", OPTIONS).collect()
    assert {row["seen"] for row in rows} == {json.dumps([OPTIONS["test-protocol"], 1, 1])}


def test_workers_report_what_they_and_their_jvm_used(spark) -> None:
    def burning_map(batches):
        for batch in batches:
            burn(0.3)
            yield batch

    def burning_group(table: pa.Table) -> pa.Table:
        burn_in_child(0.3)
        return table

    reports = processes.reports_of(spark)
    for run in (
        lambda: frames.map_batches(spark.range(1), burning_map, "id long"),
        lambda: frames.map_groups(spark.range(1), "id", burning_group, "id long"),
    ):
        before = {name: last for name, (_, last) in reports.value.items()}
        run().collect()
        more = {name: last - before.get(name, first) for name, (first, last) in reports.value.items()}
        assert sum(more.values()) >= 0.28  # the kernel shows other processes hundredths of a second
    assert len(reports.value) >= 3, "a worker, the daemon that started it, and the JVM"
