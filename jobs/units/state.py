"""The state of an output: a finished manifest, or an unfinished run with receipts that are still valid."""

import contextlib
import dataclasses
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from curation.shards.indexes import DATASET_INDEXES
from jobs.units.accepted import Found, earlier_receipts, take_over
from jobs.units.differences import differences, first
from jobs.units.earlier import with_moved
from jobs.units.lease import Fence, Lease, fences_up_to, held, require_free, work_uri
from jobs.units.output_place import require_folder
from jobs.units.plan import Plan, Unit
from manifests import exclusive, storage
from manifests.errors import InputError, LeaseLost, ManifestError, RunAtWork, RunChanged
from manifests.format.merged_receipts import group_sizes
from manifests.format.receipts import WORK, Receipt
from manifests.format.store import EVIDENCE_FOLDER, MANIFEST_FILE, Manifest, is_committed, open_manifest
from manifests.format.tables import TABLES, with_tables, without_tables

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
    return _inspect(plan, restart=restart)[0]


def _inspect(plan: Plan, *, restart: bool) -> "tuple[State, _Before | None]":
    """Return what `inspect` does, and what earlier runs left; None if the manifest is finished."""
    require_folder(plan.output)
    manifest = _committed(plan.output)
    if manifest is not None and manifest.fingerprint == plan.fingerprint:
        return State(manifest=manifest, receipts={}, todo=[], notices=[]), None
    before = _Before.read(plan, require_free(work_uri(plan.output)))
    return _found(plan, manifest, before, restart=restart), before


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Before:
    """What earlier runs left: the plan of the last one, None without one, and the receipts that are valid now.

    `token` is that of the last run.
    """

    token: int
    plan: Mapping[str, Any] | None
    found: Found

    @classmethod
    def read(cls, plan: Plan, token: int) -> "_Before":
        """Read what the runs up to `token` left."""
        work = work_uri(plan.output)
        return cls(token=token, plan=_read_plan(work, token), found=earlier_receipts(plan, work, token + 1))


def _found(plan: Plan, manifest: Manifest | None, before: _Before, *, restart: bool) -> State:
    """Return the state of an output with this `manifest`, if there is one, and what was there `before`."""
    if manifest is not None and manifest.fingerprint == plan.fingerprint:
        return State(manifest=manifest, receipts={}, todo=[], notices=[])
    if manifest is not None and manifest.fingerprint != plan.replaces:
        if not restart or plan.replaces is not None:
            raise RunChanged(_changed(plan, vars(manifest), "was committed"))
        notices = [f"{plan.output}: replaced (--restart)", *plan.notices]
        return State(manifest=None, receipts={}, todo=plan.units, notices=notices)
    notices = list(plan.notices)
    if before.plan is None:
        there = storage.list_names(plan.output)
        # img2dataset names tars and tables as we do: without a plan or a commit of ours they belong to somebody else.
        foreign = [name for name in there if WORK not in there or not is_ours(name)]
        if foreign and plan.replaces is None:
            raise InputError(
                f"{plan.output}: not empty and not curate's ({', '.join(foreign[:3])} …); name another output"
            )
    else:
        differs = differences({k: before.plan.get(k) for k in _COMPARED if k in before.plan}, _settings_of(plan))
        if differs and not restart:
            raise RunChanged(_changed(plan, before.plan, "contains unfinished work"))
        if differs:
            notices.append("unfinished work discarded (--restart)")
            return State(manifest=None, receipts={}, todo=plan.units, notices=notices)
        if before.plan.get("fingerprint") != plan.fingerprint:
            lines = differences(before.plan.get("inputs"), plan.inputs)
            notices += [f"input changed: {line}" for line in first(lines)]
    receipts, moved = before.found.receipts, before.found.moved
    todo = with_moved([u for u in plan.units if u.name not in receipts], moved, plan.output)
    if copied := sum(unit.fingerprint in moved for unit in todo):
        notices.append(f"{copied} units that are done have other numbers now; their parts are copied")
    if receipts:
        notices.append(f"resuming: {len(receipts)} of {len(plan.units)} units are done")
    return State(manifest=None, receipts=receipts, todo=todo, notices=notices)


def _settings_of(plan: Plan) -> dict[str, Any]:
    fields = plan.document()
    found: dict[str, Any] = json.loads(json.dumps({k: fields[k] for k in _COMPARED if k in fields}))
    return found


def _write_plan(plan: Plan, fence: Fence) -> None:
    """Store the plan in the folder of the run, for a later run to compare its own with; its long lists as tables."""
    document, tables = with_tables({**plan.document(), "fingerprint": plan.fingerprint})
    exclusive.make_subfolder(storage.join(fence.folder, TABLES))
    for path, data in tables.items():
        exclusive.rewrite(storage.join(fence.folder, path), data)
    exclusive.rewrite(storage.join(fence.folder, PLAN_FILE), json.dumps(document, indent=1, sort_keys=True).encode())


def _read_plan(work: str, token: int) -> dict[str, Any] | None:
    """Return the plan of the last run up to `token` that wrote one."""
    for fence in reversed(fences_up_to(work, token)):
        uri = storage.join(fence.folder, PLAN_FILE)
        try:
            found = json.loads(storage.read_bytes(uri))
            return without_tables(fence.folder, found) if isinstance(found, dict) else None
        except (FileNotFoundError, NotADirectoryError):
            continue
        except ValueError as e:
            raise ManifestError(f"{uri}: not a plan ({e}); use --restart to discard the unfinished work") from e
    return None


def _changed(plan: Plan, before: Mapping[str, Any], what: str) -> str:
    old = {k: before.get(k) for k in ("config", "software", "inputs", "derivation") if before.get(k)}
    new = {k: v for k, v in plan.document().items() if k != "stage" and v}
    lines = differences(old, new) or ["stage"]
    shown = "\n".join(f"  {line}" for line in first(lines))
    advice = "Put it back, name another output, or use --restart to discard what is there."
    if all(line.startswith("inputs.sources") for line in lines):
        advice += (
            "\nIf the input has grown: name another output and add --onto with this one, or with the earlier output "
            "of `curate run`; what is unchanged is then taken from there."
        )
    return f"{plan.output}: {what} under another configuration or input; nothing was mixed.\n{shown}\n{advice}"


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
    state, before = _inspect(plan, restart=restart)
    if state.manifest is not None and not _is_left(work):
        yield Begun(plan=plan, state=state, lease=None)
        return
    with held(work) as lease, lease.fence.guarding():
        try:
            if before is None or before.token != lease.fence.token - 1:  # others ran meanwhile
                before = _Before.read(plan, lease.fence.token - 1)
            state = _take_over(plan, lease.fence, before, restart=restart)
        except (RunChanged, FileNotFoundError):
            if is_committed(plan.output):  # while this run took the lease
                with contextlib.suppress(LeaseLost):
                    _end(lease.fence)
            raise
        if state.manifest is None:
            _log.info("%s: %d of %d units are left to do", plan.output, len(state.todo), len(plan.units))
            sizes = group_sizes(unit.name for unit in state.todo)
            begun_plan = dataclasses.replace(plan, fence=lease.fence, group_sizes=sizes)
            yield Begun(plan=begun_plan, state=state, lease=lease)
            return
        lease.stop()
        tidy(state.manifest, lease.fence)
    yield Begun(plan=plan, state=state, lease=None)


def _take_over(plan: Plan, fence: Fence, before: _Before, *, restart: bool) -> State:
    """Make the output that of the run with the lease, and return what is left to do.

    An earlier run that may still exist loses its folder before anything is decided, and with it the files that it
    could commit. Until then, all that is there stays.
    """
    _found(plan, _committed(plan.output), before, restart=restart)
    _write_plan(plan, fence)
    take_over(fence, before.found)
    state = _found(plan, _committed(plan.output), before, restart=restart)
    if restart and state.manifest is None and not state.receipts and plan.replaces is None:
        take_over(fence, Found())
        discard(plan.output, fence)
    return state


def tidy_committed(manifest: Manifest) -> None:
    """Remove what a run left at a committed manifest, if one left anything and none is at work."""
    work = work_uri(manifest.uri)
    if _is_left(work):
        with held(work) as lease, lease.fence.guarding():
            lease.stop()
            tidy(manifest, lease.fence)


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
    named |= {*manifest.files, *manifest.tables}
    left = [name for name in _files_of_ours(manifest.uri) if name not in named and name != MANIFEST_FILE]
    _log.debug("%s: removing %d files that no part names: %s", manifest.uri, len(left), left)
    fence.remove(manifest.uri, left)
    _end(fence)


def _files_of_ours(output: str) -> list[str]:
    """Return the paths below `output` of the files that stages write there, without those of a run."""
    there = storage.list_names(output)
    below = [f"{each}/{name}" for each in _FOLDERS for name in storage.list_names(storage.join(output, each))]
    indexes = [path for path in DATASET_INDEXES if path.split("/")[0] in there]
    names = [name for name in there if name not in (WORK, *_FOLDERS, *_INDEXES) and is_ours(name)]
    return [*names, *below, *indexes]


def _end(fence: Fence) -> None:
    """Remove all that the runs of a committed manifest left; that of this run first, so that none of its is late."""
    fence.require_held()
    exclusive.remove_folder(fence.folder)
    exclusive.clear_folder(fence.work)


_OURS = re.compile(
    r"part-\d{5,}(-[0-9a-f]{12})?\.parquet|\d{5,}(-[0-9a-f]{12})?(\.parquet|\.tar|(\.tar)?\.idx|_stats\.json)|"
    r"\..*\.[0-9a-f]{32}\.tmp"
)
_FOLDERS = (TABLES, EVIDENCE_FOLDER)
_INDEXES = frozenset(path.split("/")[0] for path in DATASET_INDEXES)


def is_ours(name: str) -> bool:
    """Return whether a stage writes files of this name. No other file at an output is ever removed."""
    return name in (WORK, MANIFEST_FILE, *_FOLDERS, *_INDEXES) or _OURS.fullmatch(name) is not None


def discard(output: str, fence: Fence) -> None:
    """Remove a manifest and its files, but not the work of a run, nor evidence, which the next run may use.

    The commit is removed first, so that a kill leaves no manifest that has lost parts.
    """
    fence.remove(output, [MANIFEST_FILE])
    files = [name for name in _files_of_ours(output) if name != MANIFEST_FILE]
    fence.remove(output, [name for name in files if not name.startswith(f"{EVIDENCE_FOLDER}/")])
