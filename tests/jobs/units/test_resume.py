"""A run that is killed anywhere and started again has the result of an uninterrupted run."""

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from jobs.spark.session import WORKER_DAEMON
from manifests.format.store import open_manifest
from tests.conftest import STAGES, TARS, TOP, Reference, curate, rows_of, tar_hashes, write_pipeline
from tests.support.processes import is_running

pytestmark = pytest.mark.spark

MAX_RUN_SECONDS = 300
WORKERS = f"-m {WORKER_DAEMON}|import serve"
COMMANDS = {"scan": "scan", "deduped": "dedupe", "scored": "score", "chosen": "choose", "shards": "shard"}


def command(reference: Reference, pipeline: Path, stage: str) -> list[str]:
    """Return the command of one stage, which reads what the reference made before."""
    stages = list(COMMANDS)
    before = reference.output / stages[stages.index(stage) - 1]
    source = str(reference.corpus / "*.tar") if stage == "scan" else str(before)
    return [COMMANDS[stage], source, "-c", str(pipeline), "-o", str(pipeline.parent / "out" / stage)]


def start(arguments: list[str]) -> subprocess.Popen:
    line = [sys.executable, "-m", "jobs", *arguments]
    return subprocess.Popen(line, cwd=TOP, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def units_done(output: Path) -> int:
    """Return how many units have receipts, steps of a stage included."""
    return sum(Path(folder).parent.name == "receipts" and len(files) for folder, _, files in os.walk(output))


def python_workers(driver: int) -> list[psutil.Process]:
    """Return the Python processes that Spark, or a small run without it, started for this driver."""
    try:
        below = psutil.Process(driver).children(recursive=True)
        return [p for p in below if re.search(WORKERS, " ".join(p.cmdline()))]
    except psutil.NoSuchProcess:
        return []


def wait_until(running: subprocess.Popen, is_reached) -> bool:
    """Watch a run until `is_reached`; False when it ended before."""
    deadline = time.monotonic() + MAX_RUN_SECONDS
    while is_running(running) and time.monotonic() < deadline:
        if is_reached():
            return True
    return False


def check(reference: Reference, output: Path, *stages: str) -> None:
    """Require that `stages` below `output` are those of the reference, with nothing left over."""
    assert {stage: open_manifest(str(output / stage)).digest for stage in stages} == {
        stage: reference.digests[stage] for stage in stages
    }
    if "shards" in stages:
        assert tar_hashes(output / "shards") == tar_hashes(reference.output / "shards")
    if "chosen" in stages:
        keys = rows_of(output / "chosen").column("key").to_pylist()
        assert len(keys) == len(set(keys)) == open_manifest(str(reference.output / "scan")).rows
    left = [p.name for p in output.rglob("*") if p.name.endswith(".tmp") or p.name == "_work"]
    assert not left


def kill(running: subprocess.Popen, is_reached) -> None:
    """Kill a driver by SIGKILL at a moment, unless it ended before."""
    reached = wait_until(running, is_reached)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert reached or running.returncode == 0


def test_a_driver_killed_at_any_second_resumes_to_the_same_digests(reference: Reference, tmp_path: Path) -> None:
    pipeline = write_pipeline(tmp_path / "p.yaml", [reference.corpus / "*.tar"], tmp_path / "out")
    moment = time.monotonic() + random.Random(0).uniform(0, 8)
    kill(start(["run", str(pipeline)]), lambda: time.monotonic() >= moment)
    curate("run", pipeline)
    check(reference, tmp_path / "out", *STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_a_driver_killed_in_any_stage_resumes_to_the_same_digest(
    reference: Reference, tmp_path: Path, stage: str
) -> None:
    """SIGKILL after a random number of units; dedupe, which has more, makes steps of them before its parts."""
    pipeline = write_pipeline(tmp_path / "p.yaml", [reference.corpus / "*.tar"], tmp_path / "out")
    arguments = command(reference, pipeline, stage)
    units = random.Random(stage).randrange(1, 9 if stage == "deduped" else TARS)
    kill(start(arguments), lambda: units_done(tmp_path / "out" / stage) >= units)
    curate(*arguments)
    check(reference, tmp_path / "out", stage)


@pytest.mark.parametrize(("stage", "workers"), [("scan", 1), ("deduped", 2), ("scored", 2)])
def test_killed_python_workers_change_nothing(reference: Reference, tmp_path: Path, stage: str, workers: int) -> None:
    """SIGKILL to Python workers while units run: these units are tried again."""
    pipeline = write_pipeline(tmp_path / "p.yaml", [reference.corpus / "*.tar"], tmp_path / "out")
    arguments = command(reference, pipeline, stage)
    running = start(arguments)
    wait_until(running, lambda: len(python_workers(running.pid)) > 1 and units_done(tmp_path / "out" / stage))
    killed = 0
    for worker in python_workers(running.pid)[-workers:]:
        with contextlib.suppress(psutil.NoSuchProcess):
            worker.kill()
            killed += 1
    assert killed or running.poll() is not None
    _, log = running.communicate(timeout=MAX_RUN_SECONDS)
    if running.returncode != 0:
        assert "run the same command to go on" in log, log
        curate(*arguments)
    check(reference, tmp_path / "out", stage)
