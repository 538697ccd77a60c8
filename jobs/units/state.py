"""The state of an output: a finished manifest, or an unfinished run with receipts that are still valid."""

import dataclasses
import json
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jobs.units import failures
from jobs.units.at_work import require_no_other, run_uri
from jobs.units.output_place import require_folder
from jobs.units.plan import Plan, Unit
from manifests import storage
from manifests.errors import InputError, ManifestError, RunChanged
from manifests.format.receipts import WORK, Receipt, read_receipts
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
    manifest = open_manifest(plan.output) if is_committed(plan.output) else None
    if manifest is not None and manifest.fingerprint == plan.fingerprint:
        return State(manifest=manifest, receipts={}, todo=[], notices=[])
    require_no_other(run_uri(plan.output), plan.output)
    if manifest is not None:
        if not restart:
            raise RunChanged(_changed(plan, dataclasses.asdict(manifest), "was committed"))
        return State(manifest=None, receipts={}, todo=plan.units, notices=[f"{plan.output}: replaced (--restart)"])
    notices = []
    before = _read_plan(plan.output)
    there = storage.list_names(plan.output)
    # img2dataset names tars and tables as we do: without a plan or a commit of ours they belong to somebody else.
    foreign = [name for name in there if WORK not in there or not is_ours(name)]
    if before is None and foreign:
        raise InputError(
            f"{plan.output}: not empty and not curate's ({', '.join(foreign[:3])} …); name another output"
        )
    if before is not None:
        differs = _differences({k: before.get(k) for k in _COMPARED if k in before}, _settings_of(plan))
        if differs and not restart:
            raise RunChanged(_changed(plan, before, "contains unfinished work"))
        if differs:
            return State(
                manifest=None, receipts={}, todo=plan.units, notices=["unfinished work discarded (--restart)"]
            )
        notices = [f"input changed: {line}" for line in _differences(before.get("inputs"), plan.inputs)]
    receipts = read_receipts(plan.output)
    names = {u.name: u for u in plan.units}
    valid = {n: r for n, r in receipts.items() if n in names and _is_valid(r, names[n])}
    todo = [u for u in plan.units if u.name not in valid]
    if valid:
        notices.append(f"resuming: {len(valid)} of {len(plan.units)} units are done")
    return State(manifest=None, receipts=valid, todo=todo, notices=notices)


def _is_valid(receipt: Receipt, unit: Unit) -> bool:
    return receipt.fingerprint == unit.fingerprint and not receipt.broken_sources


def _settings_of(plan: Plan) -> dict[str, Any]:
    fields = json.loads(plan.to_json())
    return {k: fields[k] for k in _COMPARED if k in fields}


def _read_plan(output: str) -> dict[str, Any] | None:
    uri = storage.join(output, WORK, PLAN_FILE)
    try:
        found = json.loads(storage.read_bytes(uri))
    except FileNotFoundError:
        return None
    except ValueError as e:
        raise ManifestError(f"{uri}: not JSON ({e}); use --restart to discard the unfinished work") from e
    return found if isinstance(found, dict) else None


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


def begin(plan: Plan, *, restart: bool = False) -> State:
    """Make the output ready for work and return what is left to do. Raises as `inspect` does.

    Do the work within `jobs.units.at_work.at_work`, so that a second run can name the run that is writing.
    """
    state = inspect(plan, restart=restart)
    if state.manifest is not None:
        storage.remove(storage.join(plan.output, WORK))
        return state
    # Written before anything is removed: after a kill, the output is still recognised as ours.
    storage.write_bytes(storage.join(plan.output, WORK, PLAN_FILE), plan.to_json())
    _log.info("%s: %d of %d units are left to do", plan.output, len(state.todo), len(plan.units))
    if restart and not state.receipts:
        discard(plan.output)
    failures.forget(plan.output)
    return state


_OURS = re.compile(r"(part-\d{5,}|\d{5,})(\.parquet|\.tar|_stats\.json)|\..*\.[0-9a-f]{32}\.tmp")


def is_ours(name: str) -> bool:
    """Return whether a stage writes files of this name. No other file at an output is ever removed."""
    return name in (WORK, MANIFEST_FILE) or _OURS.fullmatch(name) is not None


def discard(output: str) -> None:
    """Remove a manifest, but not the plan of the next run.

    The commit is removed first, so that a kill leaves no manifest that has lost parts.
    """
    storage.remove(storage.join(output, MANIFEST_FILE))
    for name in storage.list_names(storage.join(output, WORK)):
        if name != PLAN_FILE:
            storage.remove(storage.join(output, WORK, name))
    for name in storage.list_names(output):
        if is_ours(name) and name != WORK:
            storage.remove(storage.join(output, name))
