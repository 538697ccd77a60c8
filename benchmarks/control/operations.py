"""What a driver does at an output, one operation in a process: `python -m benchmarks.control.operations JOB`.

JOB is a JSON file: `operation`, and what it needs. Prints the time, the processor time, the peak memory, and on a
disk the calls to the file system below the given folder.
"""

import contextlib
import dataclasses
import io
import json
import pickle
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from manifests import storage

Job = Mapping[str, Any]
_FILE_EVENTS = ("open", "os.listdir", "os.scandir", "os.remove", "os.rename", "os.link", "os.mkdir", "os.rmdir")


class _Clock:
    """Measures the block that an operation wants to be measured."""

    seconds = cpu_seconds = 0.0
    calls = 0
    is_running = False

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Measure what is done in the block."""
        before = time.perf_counter(), time.process_time()
        self.is_running = True
        try:
            yield
        finally:
            self.is_running = False
            self.seconds, self.cpu_seconds = time.perf_counter() - before[0], time.process_time() - before[1]

    def count(self, folder: str) -> None:
        """Count the calls to the file system with a path in `folder`, from now on."""

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            if self.is_running and event in _FILE_EVENTS and folder in str(arguments[0]):
                self.calls += 1

        sys.addaudithook(hook)


def plan(job: Job, clock: _Clock) -> Mapping[str, Any]:
    """Plan a scan, and store the plan for the other operations."""
    from curation.config_files import load_config  # noqa: PLC0415 - an operation imports what it needs
    from jobs.stages.scan import plan_scan  # noqa: PLC0415

    settings = [f"input={job['input']}", f"output={job['output']}", f"scan.unit_bytes={job['unit_bytes']}"]
    config = load_config(None, settings)
    with clock.running():
        made = plan_scan(config, job["output"])
    Path(job["plan"]).write_bytes(pickle.dumps(dataclasses.replace(made, options={})))
    return {"units": len(made.units), "sources": len(made.inputs["sources"])}


def begin(job: Job, clock: _Clock) -> Mapping[str, Any]:
    """Take the lease and find out what is left to do."""
    from jobs.units.state import begun  # noqa: PLC0415

    planned = _plan(job)
    with contextlib.ExitStack() as stack:
        with clock.running():
            begin = stack.enter_context(begun(planned))
        return {"done": len(begin.state.receipts), "todo": len(begin.state.todo), "run": begin.plan.run.folder}


def commit(job: Job, clock: _Clock) -> Mapping[str, Any]:
    """Commit what is done."""
    from jobs.units.commit import finish  # noqa: PLC0415
    from jobs.units.state import begun  # noqa: PLC0415

    with begun(_plan(job)) as begin, clock.running():
        return {"rows": finish(begin, time.monotonic()).rows}


def open_it(job: Job, clock: _Clock) -> Mapping[str, Any]:
    """Open the manifest and read its parts."""
    from manifests.format.store import open_manifest  # noqa: PLC0415

    with clock.running():
        manifest = open_manifest(job["output"])
        first = manifest.parts[0]
    return {"rows": manifest.rows, "parts": len(manifest.parts), "first": first.name}


def command(job: Job, clock: _Clock) -> Mapping[str, Any]:
    """Run a command of curate. Raises RuntimeError if it fails."""
    from jobs.cli.main import main  # noqa: PLC0415

    shown = io.StringIO()
    code: Any = None
    with contextlib.redirect_stdout(shown), clock.running():
        try:
            main(job["line"], prog_name="curate")
        except SystemExit as e:
            code = e.code
    if code:
        raise RuntimeError(f"{job['line']}: exit code {code}")
    return {"shown": shown.getvalue()}


def restart(job: Job, clock: _Clock) -> Mapping[str, Any]:
    """Discard a committed manifest to make another."""
    from jobs.units.state import begun  # noqa: PLC0415

    planned = _plan(job)
    other = dataclasses.replace(planned, config={**planned.config, "max_image_bytes": 1})
    with contextlib.ExitStack() as stack:
        with clock.running():
            begin = stack.enter_context(begun(other, restart=True))
        return {"todo": len(begin.state.todo)}


def _plan(job: Job) -> Any:
    return pickle.loads(Path(job["plan"]).read_bytes())  # noqa: S301 - our own


OPERATIONS: Mapping[str, Callable[[Job, _Clock], Mapping[str, Any]]] = {
    "plan": plan,
    "begin": begin,
    "resume": begin,
    "commit": commit,
    "open": open_it,
    "command": command,
    "restart": restart,
}


def _peak_bytes() -> int:
    """Return the peak memory of this process; `ru_maxrss` would be at least that of the process that started it."""
    (line,) = (each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def main() -> None:
    """Do the operation of the job and print what it took, as JSON."""
    job = json.loads(Path(sys.argv[1]).read_text())
    storage.configure(job["storage"])
    clock = _Clock()
    if job["folder"]:
        clock.count(job["folder"])
    found = OPERATIONS[job["operation"]](job, clock)
    took = {"seconds": clock.seconds, "cpu_seconds": clock.cpu_seconds, "calls": clock.calls}
    print(json.dumps({**took, "peak_bytes": _peak_bytes(), "found": found}))


if __name__ == "__main__":
    main()
