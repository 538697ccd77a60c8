"""What tests share: one corpus, one uninterrupted run to compare with, one Spark session per process of tests."""

import functools
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import fsspec.config
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import HealthCheck, settings
from pyspark.sql import SparkSession

from curation.config import SparkConfig
from examples.corpus import make_corpus
from jobs.cli.main import main
from jobs.spark import session
from manifests.format.store import Manifest, open_manifest

# How long an example takes depends on what else the machine does.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# A JVM of a test lives for seconds: the optimising compiler takes more time than its code saves.
JVM_VARIABLES, JVM_OPTIONS = ("SPARK_SUBMIT_OPTS", "SPARK_LAUNCHER_OPTS"), "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
for _name in JVM_VARIABLES:
    os.environ.setdefault(_name, JVM_OPTIONS)

TOP = Path(__file__).resolve().parent.parent
STAGES = ("scan", "deduped", "scored", "chosen", "shards")
IMAGES, TARS = 48, 4
SPARK_COMMANDS = ("run", "scan", "dedupe", "score", "shard")


@dataclass(frozen=True, kw_only=True)
class Done:
    """What a command printed, and its exit code."""

    returncode: int
    stdout: str
    stderr: str

    def require(self, code: int | None, line: Sequence[str]) -> "Done":
        """Return this; fails the test when `code` is the wanted exit code and not this one."""
        assert code in (None, self.returncode), f"{line}\n{self.stdout}\n{self.stderr}"
        return self


def curate(*args: object, check: int | None = 0) -> Done:
    """Run a command in this process, on the shared Spark session if it needs one; `check` is the wanted exit code."""
    line = [str(each) for each in args]
    if (line[0] in SPARK_COMMANDS or "spark" in line) and check != 2 and "--dry-run" not in line:
        shared_spark()
    before = dict(fsspec.config.conf)
    try:
        result = CliRunner().invoke(main, line, prog_name="curate")
    finally:
        fsspec.config.conf.clear()
        fsspec.config.conf.update(before)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Done(returncode=result.exit_code, stdout=result.stdout, stderr=result.stderr).require(check, line)


def curate_process(
    *args: object, env: Mapping[str, str] | None = None, check: int | None = 0, cwd: Path = TOP
) -> Done:
    """Run a command in a process of its own, which takes seconds: for tests of what a process decides."""
    line = [sys.executable, "-m", "jobs", *map(str, args)]
    ended = subprocess.run(line, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True)
    return Done(returncode=ended.returncode, stdout=ended.stdout, stderr=ended.stderr).require(check, line)


def write_pipeline(path: Path, inputs: Sequence[str | Path], output: str | Path, **sections: object) -> Path:
    """Write a pipeline file for the shared corpus, with a unit for each tar and each loose sample."""
    scan = {"unit_bytes": 1, **sections.pop("scan", {})}
    settings = {
        "input": [str(i) for i in inputs],
        "output": str(output),
        "scan": scan,
        "choose": {"keep": "light"},
        "shard": {"samples_per_shard": 7},
        "spark": {"master": "local[2]"},
        **sections,
    }
    path.write_text(yaml.safe_dump(settings))
    return path


def digests(output: str | Path) -> dict[str, str]:
    """Return the digest of each stage's manifest below `output`."""
    return {stage: open_manifest(f"{output}/{stage}").digest for stage in STAGES}


def rows_of(manifest: str | Path | Manifest) -> pa.Table:
    """Return all rows of a local manifest, ordered by key."""
    uri = manifest.uri.removeprefix("file://") if isinstance(manifest, Manifest) else str(manifest)
    return ds.dataset(sorted(str(p) for p in Path(uri).glob("*.parquet"))).to_table().sort_by("key")


def tar_hashes(shards: Path) -> dict[str, str]:
    """Return name → sha256 of the tars of a shard manifest, as the manifest records them."""
    parts = open_manifest(str(shards)).parts
    return {n: f["sha256"] for p in parts for n, f in p.files.items() if n.endswith(".tar")}


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The uninterrupted run: its corpus, output and digests."""

    corpus: Path
    output: Path
    digests: Mapping[str, str]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tars of a small corpus, its sibling tables and truth."""
    return make_corpus(tmp_path_factory.mktemp("corpus"), images=IMAGES, tars=TARS)


@pytest.fixture(scope="session")
def reference(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """One whole run on two cores, never interrupted."""
    folder = tmp_path_factory.mktemp("reference")
    pipeline = write_pipeline(folder / "pipeline.yaml", [corpus / "*.tar"], folder / "out")
    curate("run", pipeline)
    return Reference(corpus=corpus, output=folder / "out", digests=digests(folder / "out"))


@functools.cache
def _start_spark() -> SparkSession:
    few = {"spark.sql.shuffle.partitions": "2"}
    return session.start(SparkConfig(master="local[2]", conf=few), name="curate tests")


def shared_spark() -> SparkSession:
    """Return the Spark session of this process. Commands and stages find it, use it and leave it running."""
    assert _running.is_marked, "mark this test, or its module, with pytest.mark.spark: `make test-fast` leaves it out"
    return _start_spark()


@pytest.fixture(scope="session")
def spark() -> SparkSession:
    """Return the Spark session that all tests of this process share."""
    return shared_spark()


class _Running:
    """The test that is running."""

    is_marked = False


_running = _Running()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the fixtures and packages that they need; what neither shows, tests mark themselves."""
    for item in items:
        if {"spark", "reference"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("spark")
        if {"s3", "bucket", "server"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")
        if any("setup-easyocr" in marker.kwargs.get("reason", "") for marker in item.iter_markers("skipif")):
            item.add_marker("model")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Remember whether the test may use Spark."""
    _running.is_marked = item.get_closest_marker("spark") is not None


def pytest_sessionfinish() -> None:
    """Stop the Spark session, if there is one."""
    if _start_spark.cache_info().currsize:
        _start_spark().stop()
