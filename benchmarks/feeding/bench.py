"""The runs of all readers, each a process of its own that is watched from here."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
import psutil

from benchmarks.feeding.corpus import list_samples, stored_samples
from benchmarks.feeding.readers import READERS, Curate, Sequential
from benchmarks.feeding.server import BUCKET, serving

RESUMES = (0.1, 0.5, 0.9)
WORLDS = {"no stop": (2,), "same ranks": (2, 2, 2, 2), "other ranks": (2, 3, 1, 2)}
PLACES = ("warm", "cold", "s3")
LOOK_SECONDS = 0.05
LIMIT_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True)
class Run:
    """One epoch of a reader."""

    images_a_core: float
    images_a_second: float
    first_seconds: float
    resume_seconds: Sequence[float | str]
    peak_bytes: int
    mixed: float
    samples: int


@dataclass(kw_only=True)
class Row:
    """A reader with a number of workers: its runs by place, and what it loses and repeats by which ranks resumed."""

    reader: str
    workers: int
    prepare_seconds: float = 0.0
    runs: dict[str, list[Run]] = field(default_factory=lambda: {place: [] for place in PLACES})
    failures: dict[str, str] = field(default_factory=dict)
    counts: dict[str, tuple[int, int] | str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What distinguishes it."""
        kind = READERS[self.reader]
        return self.reader if kind is Sequential else f"{self.reader}, {self.workers} workers"


class Bench:
    """The corpus in the form of each library, and the place in which readers run."""

    def __init__(self, folder: Path, *, batch_size: int) -> None:
        self.folder, self.batch_size = folder, batch_size
        self.shards = folder / "shards"
        list_samples(self.shards)
        self.keys = [each.key for each in stored_samples(self.shards)]
        self.scratch = folder / "scratch"
        self.scratch.mkdir(exist_ok=True)

    def job(self, reader: str, workers: int, endpoint: str | None = None, **more: Any) -> dict[str, Any]:
        """Return a job of a reader, local or on S3."""
        top = f"s3://{BUCKET}" if endpoint else str(self.folder)
        kind = READERS[reader]
        is_remote = endpoint and not issubclass(kind, Curate)
        scratch = tempfile.mkdtemp(dir=self.scratch)
        return {
            "shards": f"{top}/shards",
            "converted": f"{top if is_remote else self.folder}/{kind.__name__}",
            "local": str(self.shards),
            "scratch": scratch,
            "endpoint": endpoint,
            "batch_size": self.batch_size,
            "workers": workers,
            **more,
        }

    def start(self, task: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> "Running":
        """Start a task."""
        scratch = Path(task["job"]["scratch"])
        answer, said = scratch / "answer.json", scratch / "said.txt"
        (scratch / "task.json").write_text(json.dumps({**task, "answer": str(answer)}))
        line = [sys.executable, "-m", "benchmarks.feeding.measure", str(scratch / "task.json")]
        with said.open("w") as out:
            process = subprocess.Popen(
                line, stdout=out, stderr=out, env=_environment(task["job"]) | dict(environment or {})
            )
        return Running(process, answer, said)

    def perform(self, task: Mapping[str, Any]) -> dict[str, Any]:
        """Do a task and return its answer, with the peak memory."""
        try:
            return self.start(task).answer()
        finally:
            shutil.rmtree(task["job"]["scratch"], ignore_errors=True)

    def prepare(self, reader: str, endpoint: str | None = None) -> float:
        """Make what a reader needs, and return how long that took."""
        (self.folder / READERS[reader].__name__).mkdir(exist_ok=True)
        job = self.job(reader, 1, endpoint)
        return float(self.perform({"reader": reader, "what": "convert", "job": job})["seconds"])

    def drop(self, reader: str) -> None:
        """Drop the files that a reader reads from the page cache."""
        for folder in (self.shards, self.folder / READERS[reader].__name__):
            for path in folder.rglob("*"):
                if path.is_file():
                    descriptor = os.open(path, os.O_RDONLY)
                    os.fsync(descriptor)  # only what is on the disk can be dropped
                    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                    os.close(descriptor)

    def run(self, row: Row, place: str, endpoint: str | None) -> Run:
        """Measure an epoch."""
        if place == "cold":
            self.drop(row.reader)
        job = self.job(row.reader, row.workers, endpoint if place == "s3" else None)
        resumes = RESUMES if place == "warm" else ()
        task = {"reader": row.reader, "what": "epoch", "job": job, "resumes": resumes, "samples": len(self.keys)}
        found = self.perform(task)
        samples = sum(map(len, found["keys"]))
        return Run(
            images_a_core=samples / found["cpu_seconds"],
            images_a_second=samples / found["seconds"],
            first_seconds=found["first_seconds"],
            resume_seconds=found["resume_seconds"],
            peak_bytes=found["peak_bytes"],
            mixed=mixed(found["keys"], self.keys),
            samples=samples,
        )

    def count(self, reader: str, worlds: Sequence[int]) -> tuple[int, int]:
        """Return how many samples are lost and repeated in an epoch that goes from one number of ranks to others.

        All but the last are stopped when about an equal share of the epoch is done.
        """
        batch_size = max(1, min(16, len(self.keys) // 32))
        keys: list[str] = []
        states: list[str] = []
        for phase, world in enumerate(worlds):
            is_last = phase == len(worlds) - 1
            steps = None if is_last else max(1, len(self.keys) // len(worlds) // (world * batch_size))
            running, to = [], []
            port = _free_port()
            for rank in range(world):
                job = self.job(reader, 2, rank=rank, world=world, is_decoded=False) | {"batch_size": batch_size}
                to.append(str(self.scratch / f"state-{phase}-{rank}"))
                task = {"reader": reader, "what": "part", "job": job, "steps": steps}
                task |= {
                    "state": states[rank % len(states)] if states else None,
                    "state_to": None if is_last else to[-1],
                }
                running.append(self.start(task, _ranks(rank, world, port)))
            try:
                keys += [key for each in running for key in each.answer()["keys"]]
            finally:
                for each in running:
                    each.end()
            states = to
        return lost_and_repeated(keys, self.keys)


class Running:
    """A process that does a task."""

    def __init__(self, process: subprocess.Popen[bytes], answer: Path, said: Path) -> None:
        self._process, self._answer, self._said = process, answer, said

    def answer(self) -> dict[str, Any]:
        """Wait, and return the answer with the peak memory of all its processes; ClickException if it fails."""
        peak, end = 0, time.monotonic() + LIMIT_SECONDS
        while self._process.poll() is None and time.monotonic() < end:
            peak = max(peak, memory_bytes(self._process.pid))
            time.sleep(LOOK_SECONDS)
        self.end()
        if not self._answer.exists():
            said = [line for line in self._said.read_text(errors="replace").splitlines() if line.strip()]
            errors = [line for line in said if re.match(r"[\w.]+(Error|Exception)\b", line)]
            raise click.ClickException((errors or said or ["it took too long"])[-1][:200])
        return {**json.loads(self._answer.read_text()), "peak_bytes": peak}

    def end(self) -> None:
        """End the process and its children, if they still run."""
        if self._process.poll() is None:
            family = [psutil.Process(self._process.pid), *psutil.Process(self._process.pid).children(recursive=True)]
            for each in family:
                each.kill()
            self._process.wait()


def memory_bytes(pid: int) -> int:
    """Return the memory of a process and its descendants: what is their own, and their shares of what they share."""
    total = 0
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        for each in family:
            for line in Path(f"/proc/{each.pid}/smaps_rollup").read_text().splitlines():
                if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                    total += int(line.split()[1]) << 10
    except (psutil.NoSuchProcess, OSError):  # one has just ended
        return 0
    return total


def _environment(job: Mapping[str, Any]) -> dict[str, str]:
    given = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": f"{job['scratch']}/hf", "TMPDIR": job["scratch"]}
    if job["endpoint"]:
        given |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
        given |= {"S3_ENDPOINT_URL": job["endpoint"], "AWS_ENDPOINT_URL": job["endpoint"], "AWS_ALLOW_HTTP": "true"}
    return given


def _ranks(rank: int, world: int, port: int) -> dict[str, str]:
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world, "MASTER_PORT": port}
    return {name: str(value) for name, value in names.items()} | {"MASTER_ADDR": "127.0.0.1"}


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def mixed(batches: Sequence[Sequence[str]], stored: Sequence[str]) -> float:
    """Return the mean distance in `stored` of two samples of a batch, over (n + 1) / 3, its mean in random order."""
    place = {key: n for n, key in enumerate(stored)}
    total = pairs = 0.0
    for batch in batches:
        places = np.sort([place[key] for key in batch])
        size = len(places)
        total += float((places * (2 * np.arange(size) - size + 1)).sum())  # of all pairs, from their order
        pairs += size * (size - 1) / 2
    return total / pairs / ((len(stored) + 1) / 3)


def lost_and_repeated(given: Sequence[str], wanted: Sequence[str]) -> tuple[int, int]:
    """Return how many of `wanted` are missing in `given`, and how many there are too many."""
    counts = Counter(given)
    return sum(key not in counts for key in wanted), sum(count - 1 for count in counts.values())


def measure(
    bench: Bench, rows: Sequence[Row], repeats: int, latency_seconds: float, say: Callable[[str], None]
) -> None:
    """Fill `rows`: the runs of all alternate, in another order each time."""
    with serving(bench.folder, latency_seconds) as endpoint:
        prepared: dict[str, float] = {}
        for row in rows:
            if row.reader not in prepared:
                say(f"prepare {row.reader}")
                prepared[row.reader] = bench.prepare(row.reader)
                if issubclass(READERS[row.reader], Curate):
                    bench.prepare(row.reader, endpoint)  # the same manifest elsewhere has another index
            row.prepare_seconds = prepared[row.reader]
        for place in PLACES:
            for repeat in range(repeats):
                say(f"{place}, run {repeat + 1} of {repeats}")
                for row in [*rows[repeat % len(rows) :], *rows[: repeat % len(rows)]]:
                    if place in row.failures or (place == "s3" and READERS[row.reader].remote is not None):
                        continue
                    try:
                        row.runs[place].append(bench.run(row, place, endpoint))
                    except click.ClickException as e:
                        row.failures[place] = e.message
                        say(f"{row.name}, {place}: {e.message}")


def count(bench: Bench, rows: Sequence[Row], say: Callable[[str], None]) -> None:
    """Fill in what each reader loses and repeats."""
    for row in rows:
        if row.workers == 0:
            continue  # the same states as with workers
        for name, worlds in WORLDS.items():
            if len(worlds) > 1 and not READERS[row.reader].has_state:
                row.counts[name] = "no state"
                continue
            say(f"{row.reader}, {name}")
            try:
                row.counts[name] = bench.count(row.reader, worlds)
            except click.ClickException as e:
                row.counts[name] = f"fails: {e.message}"
