"""One reader in a process of its own: `python -m benchmarks.feeding.measure TASK`.

TASK is a JSON file: `reader`, `job` (the fields of `readers.Job`), `what`, and where to write the `answer`, as JSON.

convert  the shards become what the library needs.
epoch    one epoch; and, if `resumes` are asked for, the first batch after each state that was taken on the way.
part     what one rank gets of an epoch after `state`, a file, in at most `steps` batches; `state_to` gets its state.
"""

import copy
import gc
import json
import os
import pickle
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks.feeding.reader import Job, Reader, storage_options
from benchmarks.feeding.readers import READERS
from manifests import storage

Task = Mapping[str, Any]
CHILDREN_SECONDS = 20.0


def cpu_seconds() -> float:
    """Return the processor time of this process and of its children, those that have ended and those that run."""
    used = sum(os.times()[:4])
    for child in psutil.Process().children(recursive=True):
        try:
            used += sum(child.cpu_times()[:4])
        except psutil.NoSuchProcess:  # it is among those that have ended now, or will be at the next call
            continue
    return used


def convert(task: Task) -> Mapping[str, Any]:
    """Return how long the conversion took."""
    job = Job(**task["job"])
    before = time.perf_counter()
    READERS[task["reader"]].convert(job)
    return {"seconds": time.perf_counter() - before}


def epoch(task: Task) -> Mapping[str, Any]:
    """Return what an epoch took, with the keys of each batch, and the seconds to the first batch after resuming."""
    job = Job(**task["job"])
    kind, resumes = READERS[task["reader"]], task["resumes"]
    before_cpu, before = cpu_seconds(), time.perf_counter()
    reader = kind(job)
    keys: list[Sequence[str]] = []
    states: dict[int, Any] = {}
    first = 0.0
    batches = task["samples"] / job.batch_size
    wanted = {max(1, round(share * batches)) for share in resumes} if kind.has_state else set()
    for batch in reader.batches():
        first = first or time.perf_counter() - before
        keys.append(list(batch["key"]))
        if len(keys) in wanted:
            states[len(keys)] = copy.deepcopy(reader.state())
    seconds = time.perf_counter() - before
    del reader
    gc.collect()  # which ends workers
    found = {"seconds": seconds, "cpu_seconds": _settled_cpu() - before_cpu, "first_seconds": first, "keys": keys}
    return {**found, "resume_seconds": [_resumed(kind, job, state) for state in states.values()]}


def _resumed(kind: type[Reader], job: Job, state: Any) -> float | str:
    """Return the seconds to the first batch after `state`, or what the library raises."""
    before = time.perf_counter()
    reader = kind(job)
    batches = reader.batches(state)
    try:
        next(batches)
    except Exception as e:  # noqa: BLE001 - of a library: one that cannot resume is measured otherwise
        return f"{type(e).__name__}: {str(e).strip().splitlines()[-1]}"
    seconds = time.perf_counter() - before
    batches.close()  # type: ignore[attr-defined]  # all are generators
    gc.collect()
    return seconds


def _settled_cpu() -> float:
    """Return the processor time once all workers have ended, or after a while."""
    end = time.monotonic() + CHILDREN_SECONDS
    while psutil.Process().children(recursive=True) and time.monotonic() < end:
        if all(_is_tracker(child) for child in psutil.Process().children(recursive=True)):
            break
        time.sleep(0.01)
    return cpu_seconds()


def _is_tracker(process: psutil.Process) -> bool:
    """Return whether a process is the one in which Python remembers shared memory; it lives on."""
    try:
        return "resource_tracker" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return True


def part(task: Task) -> Mapping[str, Any]:
    """Return the keys that this rank gets."""
    job = Job(**task["job"])
    state = None if task["state"] is None else pickle.loads(Path(task["state"]).read_bytes())  # noqa: S301 - our own
    if job.world > 1:
        _join(job)
    reader = READERS[task["reader"]](job)
    keys: list[str] = []
    taken = 0
    batches = reader.batches(state)
    while task["steps"] is None or taken < task["steps"]:
        batch = next(batches, None)
        if batch is None:
            break
        keys += batch["key"]
        taken += 1
    if task["state_to"] is not None:
        Path(task["state_to"]).write_bytes(pickle.dumps(reader.state()))
    batches.close()  # type: ignore[attr-defined]
    gc.collect()
    return {"keys": keys, "batches": taken}


def _join(job: Job) -> None:
    """Join the process group, from which libraries learn which rank they are."""
    import torch.distributed  # noqa: PLC0415

    torch.distributed.init_process_group("gloo", rank=job.rank, world_size=job.world)


WORK = {"convert": convert, "epoch": epoch, "part": part}


def main() -> None:
    """Do the task, and write its answer."""
    task = json.loads(Path(sys.argv[1]).read_text())
    endpoint = task["job"]["endpoint"]
    if endpoint is not None:
        storage.configure({"s3": storage_options(endpoint)})
    READERS[task["reader"]].load(task["job"]["workers"])
    Path(task["answer"]).write_text(json.dumps(WORK[task["what"]](task)))


if __name__ == "__main__":
    main()
