"""What the slow tests share: one corpus, one uninterrupted run to compare with, one Spark session."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
import yaml
from hypothesis import HealthCheck, settings

from examples.corpus import make_corpus
from manifests.format.store import Manifest, open_manifest

# How long an example takes depends on what else the machine does.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

TOP = Path(__file__).resolve().parent.parent
STAGES = ("scan", "deduped", "scored", "chosen", "shards")
IMAGES, TARS = 80, 4


def curate(*args: str | Path, env: Mapping[str, str] | None = None, check: int | None = 0, cwd: Path = TOP):
    """Run the command line in a process of its own; `check` is the wanted exit code."""
    command = [sys.executable, "-m", "jobs", *map(str, args)]
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True)
    if check is not None:
        assert done.returncode == check, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


def write_pipeline(path: Path, inputs: Sequence[str | Path], output: str | Path, **sections: object) -> Path:
    """Write a pipeline file for the shared corpus."""
    settings = {
        "input": [str(i) for i in inputs],
        "output": str(output),
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
    """Return name → sha256 of the tars of a shard manifest, as its own `_manifest.json` tells."""
    parts = json.loads((shards / "_manifest.json").read_text())["parts"]
    return {n: f["sha256"] for p in parts for n, f in p["files"].items() if n.endswith(".tar")}


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


@pytest.fixture(scope="session")
def spark() -> Iterator[object]:
    """A Spark session in this process, for tests of single jobs."""
    from curation.config import SparkConfig
    from jobs.spark import session

    started = session.start(SparkConfig(master="local[2]"), name="curate tests")
    yield started
    started.stop()
