"""The protocol of runs as a state machine: whatever is killed, stopped, repeated or late, a commit is whole.

Drivers and workers run the real code on real files, or on a real S3 API, one storage call at a time, in an order that
Hypothesis chooses; listings may lag behind what was written. A worker may be started many times for one unit, a
driver may be overtaken by another while it is stopped anywhere, and both may go on long after everybody else has
finished.
"""

import dataclasses
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from jobs.units import lease as leases
from jobs.units.accepted import accepted_receipts
from jobs.units.commit import finish
from jobs.units.lease import EXPIRY_SECONDS, Fence, Holder
from jobs.units.plan import Plan, Unit
from jobs.units.state import begun
from jobs.units.worker import Attempt, Recorder, receipt_of
from manifests import storage
from manifests.errors import CurateError, LeaseLost
from manifests.format.digest import settings_hash
from manifests.format.integrity import file_faults, file_size_bytes
from manifests.format.receipts import Receipt, write_part
from manifests.format.schema import Stage, schema
from manifests.format.store import Manifest, is_committed, open_manifest
from tests.jobs.test_object_storage import BUCKET, s3  # noqa: F401 - a fixture
from tests.support.actors import Actor, Lag, in_steps

pytestmark = pytest.mark.slow

SCAN = schema(Stage.SCAN)
COLUMNS = pa.schema([SCAN.field(name) for name in ("key", "source", "member", "status")])
VERSIONS, MOST_UNITS = 2, 3
MOST_CALLS = 400  # of one actor, after which it is stuck
TAR = "00000.tar"  # a file of unit 0, whose name does not depend on its content


def keys_of(version: int, unit: int) -> list[str]:
    return [f"v{version}-u{unit}-{n}" for n in range(3)]


def plan_of(output: str, version: int, units: int, first: int = 0) -> Plan:
    """The plan of `version` of the settings, for an input that has grown to so many units, at either end.

    The content of the units is numbered from `first`, their names from 0: some may have been done under other names.
    """
    config = {"version": version}
    return Plan(
        stage=Stage.SCAN,
        config=config,
        software={},
        inputs={"first": first, "units": units},
        parents=[],
        roots=[],
        funnel=[],
        schema=COLUMNS,
        output=output,
        units=[
            Unit(name=f"part-{n - first:05d}", inputs={"n": n}, fingerprint=settings_hash(config, n), rows=3)
            for n in range(first, first + units)
        ],
        options={},
    )


def perform(attempt: Attempt, version: int, other_bytes: int) -> Receipt:
    """Write the rows of a unit; their order, and so the bytes of the part, may be another in each attempt."""
    number = attempt.unit.inputs["n"]
    keys = keys_of(version, number)
    keys = keys[other_bytes:] + keys[:other_bytes]
    rows = [{"key": key, "source": "file:///0.tar", "member": key, "status": "ok"} for key in keys]
    part = write_part(attempt.part, pa.Table.from_pylist(rows, COLUMNS).to_batches(), COLUMNS, roots=())
    files: Mapping[str, Any] = {}
    if number == 0:
        with storage.write_atomically(storage.join(attempt.folder, TAR)) as f:
            f.write(f"tar of version {version}".encode())
        files = {TAR: {"bytes": f.size_bytes, "sha256": f.sha256.hexdigest()}}
    return receipt_of(attempt.unit, part, files=files)


@dataclasses.dataclass(kw_only=True)
class Task:
    """A unit that a driver wants to be done."""

    plan: Plan
    unit: Unit
    version: int


class Protocol(RuleBasedStateMachine):
    """Drivers and workers at one output."""

    steps = 0
    commits = 0
    base: str | None = None  # of the outputs on an object store; on a disk, None

    def __init__(self) -> None:
        super().__init__()
        self.actors: list[Actor] = []
        self.tasks: list[Task] = []
        self.started: dict[str, bool] = {}
        self.committed: bytes | None = None
        self.plans: dict[str, tuple[int, int]] = {}
        self.lock = threading.Lock()

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="protocol-")
        name = Path(self.folder).name
        self.output = f"file://{self.folder}/out" if self.base is None else f"{self.base}/{name}"
        self.lag = Lag()
        self.steps_on = in_steps(self.lag)
        self.steps_on.__enter__()

    # --- what may happen

    @precondition(lambda self: sum(not each.has_ended for each in self.drivers()) < 4)
    @rule(
        version=st.integers(0, VERSIONS - 1),
        units=st.integers(1, MOST_UNITS),
        first=st.integers(0, 1),
        restart=st.booleans(),
    )
    def start_driver(self, version: int, units: int, first: int, restart: bool) -> None:
        self.start("driver", lambda: self.drive(version, units, first, restart=restart), restart=restart)

    @precondition(lambda self: self.tasks)
    @rule(which=st.integers(0, 1 << 16), other_bytes=st.integers(0, 2))
    def start_worker(self, which: int, other_bytes: int) -> None:
        task = self.tasks[which % len(self.tasks)]
        self.start("worker", lambda: self.work(task, other_bytes))

    @precondition(lambda self: self.actors)
    @rule(which=st.integers(0, 1 << 16), calls=st.integers(1, 40))
    def let_go_on(self, which: int, calls: int) -> None:
        self.move(self.actors[which % len(self.actors)], calls)

    @precondition(lambda self: self.actors)
    @rule(which=st.integers(0, 1 << 16))
    def kill(self, which: int) -> None:
        self.actors[which % len(self.actors)].kill()

    @rule()
    def let_leases_expire(self) -> None:
        work = f"{self.output}/_work"
        _expired.update(leases.lease_uri(work, token) for token in range(1, leases._newest(work)[0] + 1))

    @rule(files=st.integers(0, 4))
    def let_listings_lag(self, files: int) -> None:
        self.lag.files = files

    # --- what must hold

    @invariant()
    def a_commit_is_whole(self) -> None:
        if not hasattr(self, "output") or not is_committed(self.output):
            return
        content = storage.read_bytes(f"{self.output}/_manifest.json")
        if content != self.committed:
            assert self.committed is None or any(
                self.started[each.name] for each in self.actors if each.name.startswith("driver")
            ), "only a restart replaces a commit"
            self.committed = content
            type(self).commits += 1
        manifest = open_manifest(self.output)
        for part in manifest.parts:
            wanted = {part.name: (part.size_bytes, part.sha256)}
            wanted |= {name: (each["bytes"], each["sha256"]) for name, each in part.files.items()}
            for name, (size, sha256) in wanted.items():
                uri = f"{self.output}/{name}"
                assert not list(file_faults(uri, size, sha256, found_bytes=file_size_bytes(uri)))
        self.check_rows(manifest)

    def teardown(self) -> None:
        if not hasattr(self, "output"):
            return
        try:
            self.end()
        finally:
            for each in self.actors:
                each.kill()
            self.steps_on.__exit__(None, None, None)
            shutil.rmtree(self.folder, ignore_errors=True)

    def end(self) -> None:
        """Whatever was left, one more run makes the manifest; whoever is late changes nothing after it."""
        self.let_leases_expire()
        self.lag.files = 0
        for each in self.drivers():
            if self.started[each.name] and each.name not in self.had_lease:
                each.kill()  # it has not begun: later it would be a new run that is to replace the manifest
        stopped = [each for each in self.actors if not each.has_ended]
        self.tasks.clear()
        driver = self.start("driver", lambda: self.drive(0, MOST_UNITS, 0, restart=True), restart=True)
        for _ in range(MOST_CALLS):
            self.move(driver, 20)
            self.a_commit_is_whole()
            if driver.has_ended:
                break
            for task in list(self.tasks):
                self.tasks.remove(task)
                self.move(self.start("worker", lambda task=task: self.work(task, 0)), MOST_CALLS)
        assert driver.has_ended, "a run without disturbance ends"
        if driver.error is not None:
            raise driver.error
        self.check_end()
        for each in stopped:
            self.move(each, MOST_CALLS)
            if self.base is not None:
                self.tidy()
            self.check_end()

    def tidy(self) -> None:
        """Run once more: on an object store, a request that was on its way may have left a file that nobody names."""
        self.a_commit_is_whole()
        driver = self.start("driver", lambda: self.drive(0, MOST_UNITS, 0, restart=False))
        self.let_leases_expire()
        self.move(driver, MOST_CALLS)
        assert driver.has_ended
        assert driver.error is None

    def check_end(self) -> None:
        manifest = open_manifest(self.output)
        assert manifest.config == {"version": 0}
        assert len(manifest.parts) == MOST_UNITS
        self.a_commit_is_whole()
        named = {name for part in manifest.parts for name in (part.name, *part.files)}
        assert set(storage.list_names(self.output)) == {"_manifest.json", "_tables", *named}
        assert storage.list_names(f"{self.output}/_tables") == [path.split("/")[1] for path in manifest.tables]

    def check_rows(self, manifest: Manifest) -> None:
        version, units = manifest.config["version"], len(manifest.parts)
        keys = [key for part in manifest.parts for key in manifest.read_part(part, ["key"])["key"].to_pylist()]
        first = manifest.inputs["first"]
        wanted = [key for unit in range(first, first + units) for key in keys_of(version, unit)]
        assert sorted(keys) == sorted(wanted)
        assert manifest.inputs == {"first": first, "units": units}
        assert manifest.rows == len(keys)

    # --- actors

    def drivers(self) -> list[Actor]:
        return [each for each in self.actors if each.name.startswith("driver")]

    @property
    def had_lease(self) -> set[str]:
        """The names of the drivers whose leases are there."""
        work = f"{self.output}/_work"
        found = [leases._read(work, token) for token in range(1, leases._newest(work)[0] + 1)]
        return {holder.host for data in found if data and (holder := Holder.from_json(data))}

    def start(self, kind: str, work: Callable[[], object], *, restart: bool = False) -> Actor:
        name = f"{kind}-{len(self.actors)}"
        self.started[name] = restart
        actor = Actor(name, work)
        self.actors.append(actor)
        return actor

    def move(self, actor: Actor, calls: int) -> None:
        for _ in range(calls):
            if actor.has_ended:
                break
            actor.step()
            type(self).steps += 1
        if actor.error is not None and not isinstance(actor.error, CurateError):
            raise actor.error

    def drive(self, version: int, units: int, first: int, *, restart: bool) -> None:
        """What a stage does, with workers that the test starts."""
        plan = plan_of(self.output, version, units, first)
        with begun(plan, restart=restart) as begin:
            if begin.state.manifest is not None:
                return
            wanted = {unit.name for unit in begin.state.todo}
            self.tasks += [Task(plan=begin.plan, unit=unit, version=version) for unit in begin.state.todo]
            while not wanted <= accepted_receipts(begin.plan.run).keys():
                begin.plan.run.require_held()
            finish(begin, time.monotonic())

    def work(self, task: Task, other_bytes: int) -> None:
        recorder = Recorder.of(task.plan)
        recorder.once(task.unit, lambda attempt: perform(attempt, task.version, other_bytes))


_expired: set[str] = set()


@pytest.fixture(autouse=True)
def each_on_its_own_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every run be on another machine, so that a lease is judged by its age, which the test decides."""
    here = Holder.here

    def elsewhere() -> Holder:
        return dataclasses.replace(here(), host=threading.current_thread().name)

    monkeypatch.setattr(Holder, "here", elsewhere)
    monkeypatch.setattr(leases, "BEAT_SECONDS", 1e6)
    monkeypatch.setattr(leases, "_age_seconds", lambda holder, uri: 2 * EXPIRY_SECONDS if uri in _expired else 0.0)


def run_machine(base: str | None, examples: int, least_steps: int) -> type[Protocol]:
    """Run the machine with `examples` orders of what happens, and with more of them until it made so many steps."""
    machine = type("Machine", (Protocol,), {"base": base, "steps": 0, "commits": 0})
    while machine.steps < least_steps:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=50,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                print_blob=True,
            ),
        )
    return machine


def test_the_protocol_on_a_disk() -> None:
    machine = run_machine(None, examples=int(os.environ.get("CURATE_SOAK_EXAMPLES", "100")), least_steps=10_000)
    assert machine.commits >= 100, "each of them ends with a commit"


def test_the_protocol_on_an_object_store(s3) -> None:  # noqa: F811
    machine = run_machine(f"s3://{BUCKET}/protocol", examples=5, least_steps=1_000)
    assert machine.commits >= 5


def test_a_lost_lease_is_said_by_name(tmp_path: Path) -> None:
    fence = Fence(work=f"file://{tmp_path}/out/_work", token=1, id="x")
    with pytest.raises(LeaseLost, match=str(tmp_path)):
        fence.require_held()
