"""The state of an output: a finished manifest, or an unfinished run with receipts that are still valid."""

import contextlib
import dataclasses
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jobs.units.accepted import earlier_receipts, take_over
from jobs.units.lease import Fence, Lease, fences_up_to, held, require_free, work_uri
from jobs.units.output_place import require_folder
from jobs.units.plan import Plan, Unit
from manifests import exclusive, storage
from manifests.errors import InputError, LeaseLost, ManifestError, RunAtWork, RunChanged
from manifests.format.receipts import WORK, Receipt
from manifests.format.store import MANIFEST_FILE, Manifest, is_committed, open_manifest

_log = logging.getLogger(__name__)

PLAN_FILE = "plan.json"
_COMPARED = ("stage", "config", "software", "derivation")


@dataclasses.dataclass(frozen=True, kw_only=True)
class State:
    """What was found at the output of a plan: its finished manifest, or valid receipts and the units left to do."""

    manifest: Manifest | None
    receipts: Mapping[str, Receipt]
    todo: Sequence[Unit]
    notices: Sequence[str]


def inspect(plan: Plan, *, restart: bool = False) -> State:
    """Return what is left to do. Writes nothing.

    Raises RunAtWork when another run is writing there, InputError when nothing can be written there, and RunChanged,
    naming what changed, when work of another configuration is there and `restart` is not set. While the run is
    unfinished, a changed input does not raise: its units are done again, and a notice names it.
    """
    require_folder(plan.output)
    manifest = _committed(plan.output)
    if manifest is not None and manifest.fingerprint == plan.fingerprint:
        return State(manifest=manifest, receipts={}, todo=[], notices=[])
    token = require_free(work_uri(plan.output))
    return _found(plan, manifest, _Before.read(plan, token), restart=restart)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Before:
    """What earlier runs left: the plan of the last one, None without one, and the receipts that are valid now."""

    plan: Mapping[str, Any] | None
    receipts: Mapping[str, Receipt]

    @classmethod
    def read(cls, plan: Plan, token: int) -> "_Before":
        """Read what the runs up to `token` left."""
        work = work_uri(plan.output)
        return cls(plan=_read_plan(work, token), receipts=earlier_receipts(plan, work, token + 1))


def _found(plan: Plan, manifest: Manifest | None, before: _Before, *, restart: bool) -> State:
    """Return the state of an output with this `manifest`, if there is one, and what was there `before`."""
    if manifest is not None and manifest.fingerprint == plan.fingerprint:
        return State(manifest=manifest, receipts={}, todo=[], notices=[])
    if manifest is not None:
        if not restart:
            raise RunChanged(_changed(plan, dataclasses.asdict(manifest), "was committed"))
        return State(manifest=None, receipts={}, todo=plan.units, notices=[f"{plan.output}: replaced (--restart)"])
    notices = []
    there = storage.list_names(plan.output)
    # img2dataset names tars and tables as we do: without a plan or a commit of ours they belong to somebody else.
    foreign = [name for name in there if WORK not in there or not is_ours(name)]
    if before.plan is None and foreign:
        raise InputError(
            f"{plan.output}: not empty and not curate's ({', '.join(foreign[:3])} …); name another output"
        )
    if before.plan is not None:
        differs = _differences({k: before.plan.get(k) for k in _COMPARED if k in before.plan}, _settings_of(plan))
        if differs and not restart:
            raise RunChanged(_changed(plan, before.plan, "contains unfinished work"))
        if differs:
            return State(
                manifest=None, receipts={}, todo=plan.units, notices=["unfinished work discarded (--restart)"]
            )
        notices = [f"input changed: {line}" for line in _differences(before.plan.get("inputs"), plan.inputs)]
    todo = [u for u in plan.units if u.name not in before.receipts]
    if before.receipts:
        notices.append(f"resuming: {len(before.receipts)} of {len(plan.units)} units are done")
    return State(manifest=None, receipts=before.receipts, todo=todo, notices=notices)


def _settings_of(plan: Plan) -> dict[str, Any]:
    fields = json.loads(plan.to_json())
    return {k: fields[k] for k in _COMPARED if k in fields}


def _read_plan(work: str, token: int) -> dict[str, Any] | None:
    """Return the plan of the last run up to `token` that wrote one."""
    for fence in reversed(fences_up_to(work, token)):
        uri = storage.join(fence.folder, PLAN_FILE)
        try:
            found = json.loads(storage.read_bytes(uri))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except ValueError as e:
            raise ManifestError(f"{uri}: not JSON ({e}); use --restart to discard the unfinished work") from e
        return found if isinstance(found, dict) else None
    return None


def _differences(old: Any, new: Any, name: str = "") -> list[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return [
            line
            for key in sorted(set(old) | set(new))
            for line in _differences(old.get(key), new.get(key), f"{name}.{key}" if name else str(key))
        ]
    return [] if old == new else [f"{name}: {_short(old)} → {_short(new)}"]


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _changed(plan: Plan, before: Mapping[str, Any], what: str) -> str:
    old = {k: before.get(k) for k in ("config", "software", "inputs", "derivation") if before.get(k)}
    new = {k: v for k, v in json.loads(plan.to_json()).items() if k != "stage" and v}
    lines = _differences(json.loads(json.dumps(old, default=str)), new) or ["stage"]
    shown = "\n".join(f"  {line}" for line in lines[:10]) + (f"\n  … and {len(lines) - 10} more" * (len(lines) > 10))
    return (
        f"{plan.output}: {what} under another configuration or input; nothing was mixed.\n{shown}\n"
        "Put it back, name another output, or use --restart to discard what is there."
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Begun:
    """Work that has begun: the plan with its fence, what was found, and the lease; None if nothing is left to do."""

    plan: Plan
    state: State
    lease: Lease | None


@contextlib.contextmanager
def begun(plan: Plan, *, restart: bool = False) -> Iterator[Begun]:
    """Take the lease of the output and make it ready for work.

    The lease is given back when the block ends. Without anything to do, none is taken. Raises as `inspect` does.
    """
    work = work_uri(plan.output)
    state = inspect(plan, restart=restart)
    if state.manifest is not None and not _is_left(work):
        yield Begun(plan=plan, state=state, lease=None)
        return
    with held(work) as lease, lease.fence.guarding():
        try:
            state = _take_over(plan, lease.fence, restart=restart)
        except (RunChanged, FileNotFoundError):
            if is_committed(plan.output):  # while this run took the lease
                with contextlib.suppress(LeaseLost):
                    _end(lease.fence)
            raise
        if state.manifest is None:
            _log.info("%s: %d of %d units are left to do", plan.output, len(state.todo), len(plan.units))
            yield Begun(plan=dataclasses.replace(plan, fence=lease.fence), state=state, lease=lease)
            return
        lease.stop()
        tidy(state.manifest, lease.fence)
    yield Begun(plan=plan, state=state, lease=None)


def _take_over(plan: Plan, fence: Fence, *, restart: bool) -> State:
    """Make the output that of the run with the lease, and return what is left to do.

    An earlier run that may still exist loses its folder before anything is decided, and with it the files that it
    could commit. Until then, all that is there stays.
    """
    before = _Before.read(plan, fence.token - 1)
    _found(plan, _committed(plan.output), before, restart=restart)
    exclusive.rewrite(storage.join(fence.folder, PLAN_FILE), plan.to_json())
    take_over(fence, before.receipts)
    state = _found(plan, _committed(plan.output), before, restart=restart)
    if restart and state.manifest is None and not state.receipts:
        take_over(fence, {})
        discard(plan.output, fence)
    return state


def _is_left(work: str) -> bool:
    """Return whether a run that is gone has left its work; that of one which still exists is its own to remove."""
    try:
        require_free(work)
    except RunAtWork:
        return False
    return bool(storage.list_names(work))


def _committed(output: str) -> Manifest | None:
    return open_manifest(output) if is_committed(output) else None


def tidy(manifest: Manifest, fence: Fence) -> None:
    """Remove files next to a committed manifest that no part of it names, and all that its runs left."""
    named = {name for part in manifest.parts for name in (part.name, *part.files)}
    listed = storage.list_names(manifest.uri)
    left = [name for name in listed if name not in named and is_ours(name) and not name.startswith("_")]
    for name in left:
        _log.debug("%s: removing %s, which no part names", manifest.uri, name)
    fence.remove_many(manifest.uri, left)
    _end(fence)


def _end(fence: Fence) -> None:
    """Remove all that the runs of a committed manifest left; that of this run first, so that none of its is late."""
    fence.require_held()
    exclusive.remove_folder(fence.folder)
    exclusive.clear_folder(fence.work)


_OURS = re.compile(
    r"part-\d{5,}(-[0-9a-f]{12})?\.parquet|\d{5,}(\.parquet|\.tar|_stats\.json)|\..*\.[0-9a-f]{32}\.tmp"
)


def is_ours(name: str) -> bool:
    """Return whether a stage writes files of this name. No other file at an output is ever removed."""
    return name in (WORK, MANIFEST_FILE) or _OURS.fullmatch(name) is not None


def discard(output: str, fence: Fence) -> None:
    """Remove a manifest and its files, but not the work of a run.

    The commit is removed first, so that a kill leaves no manifest that has lost parts.
    """
    fence.remove(storage.join(output, MANIFEST_FILE))
    ours = [name for name in storage.list_names(output) if is_ours(name) and name not in (WORK, MANIFEST_FILE)]
    fence.remove_many(output, ours)
