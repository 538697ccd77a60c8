"""A run that is killed anywhere and started again has the result of an uninterrupted run."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from manifests.format.store import is_committed, open_manifest
from tests.conftest import STAGES, TOP, Reference, curate, digests, rows_of, tar_hashes, write_pipeline
from tests.support.processes import is_running

pytestmark = pytest.mark.spark

MAX_RUN_SECONDS = 300
FEW_KINDS = {"dedupe": {"copies": ["exact", "mild"]}}


def start(pipeline: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "jobs", "run", str(pipeline)]
    return subprocess.Popen(command, cwd=TOP, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def progress(output: Path) -> float:
    """Return the progress of a run, 0 to 5: each finished stage counts one, receipts a part of one."""
    done = 0.0
    for stage in STAGES:
        if is_committed(str(output / stage)):
            done += 1
            continue
        receipts = list((output / stage).glob("_work/runs/*/receipts/*/*.json"))
        return done + min(0.9, len(receipts) / 10)
    return done


def python_workers(driver: int) -> list[psutil.Process]:
    """Return the Python processes that Spark started for this driver."""
    try:
        below = psutil.Process(driver).children(recursive=True)
        return [p for p in below if "pyspark.daemon" in " ".join(p.cmdline())]
    except psutil.NoSuchProcess:
        return []


def wait_until(running: subprocess.Popen, is_reached) -> bool:
    """Watch a run until `is_reached`; False when it ended before."""
    deadline = time.monotonic() + MAX_RUN_SECONDS
    while is_running(running) and time.monotonic() < deadline:
        if is_reached():
            return True
    return False


def check(reference: Reference, pipeline: Path, output: Path) -> None:
    done = curate("run", pipeline)
    assert digests(output) == reference.digests, done.stderr
    assert tar_hashes(output / "shards") == tar_hashes(reference.output / "shards")
    keys = rows_of(output / "chosen").column("key").to_pylist()
    assert len(keys) == len(set(keys)) == open_manifest(str(reference.output / "scan")).rows
    left = [p.name for p in output.rglob("*") if p.name.endswith(".tmp") or p.name == "_work"]
    assert not left


@pytest.fixture(scope="module")
def with_few_kinds(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """An uninterrupted run that looks for fewer kinds of copies, which takes half the time."""
    folder = tmp_path_factory.mktemp("few-kinds")
    curate("run", write_pipeline(folder / "p.yaml", [corpus / "*.tar"], folder / "out", **FEW_KINDS))
    return Reference(corpus=corpus, output=folder / "out", digests=digests(folder / "out"))


@pytest.mark.parametrize("seed", range(6))
def test_a_killed_driver_resumes_to_the_same_digest(
    request: pytest.FixtureRequest, tmp_path: Path, seed: int
) -> None:
    """SIGKILL at a random moment of each stage; in dedupe while it looks for every kind of copy."""
    is_in_dedupe = seed % 5 == 1
    reference: Reference = request.getfixturevalue("reference" if is_in_dedupe else "with_few_kinds")
    chance = random.Random(seed)
    settings = {} if is_in_dedupe else FEW_KINDS
    pipeline = write_pipeline(tmp_path / "p.yaml", [reference.corpus / "*.tar"], tmp_path / "out", **settings)
    moment = chance.uniform(seed % 5, seed % 5 + 1) if seed else 0.0
    later = time.monotonic() + chance.uniform(0, 8) if seed == 0 else None
    running = start(pipeline)
    is_reached = (lambda: time.monotonic() >= later) if later else (lambda: progress(tmp_path / "out") >= moment)
    reached = wait_until(running, is_reached)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert reached or running.returncode in (0, -signal.SIGKILL)
    check(reference, pipeline, tmp_path / "out")


@pytest.mark.parametrize("seed", [0, 3])
def test_killed_python_workers_change_nothing(reference: Reference, tmp_path: Path, seed: int) -> None:
    """SIGKILL to Python workers while units run: Spark tries these units again."""
    chance = random.Random(100 + seed)
    pipeline = write_pipeline(tmp_path / "p.yaml", [reference.corpus / "*.tar"], tmp_path / "out")
    running = start(pipeline)
    moment = chance.choice([0.0, 0.0, 0.1, 1.0, 2.0, 2.1, 3.0])
    wait_until(running, lambda: progress(tmp_path / "out") >= moment and len(python_workers(running.pid)) > 1)
    workers = python_workers(running.pid)
    killed = 0
    for worker in chance.sample(workers, min(len(workers), 1 + seed % 2)):
        try:
            worker.kill()
            killed += 1
        except psutil.NoSuchProcess:
            continue
    assert killed or running.poll() is not None
    _, log = running.communicate(timeout=MAX_RUN_SECONDS)
    if running.returncode != 0:
        assert "run the same command to go on" in log, log
    check(reference, pipeline, tmp_path / "out")
