"""The end of a run: check that what the receipts name is there and adds up, and commit the manifest."""

import dataclasses
import datetime
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from jobs.units.accepted import accepted_receipts, faults_of
from jobs.units.cost import Account
from jobs.units.plan import Plan
from jobs.units.state import Begun, tidy
from manifests import exclusive, storage
from manifests.errors import StageFailed
from manifests.format.commit import Run, commit
from manifests.format.cost import Spent
from manifests.format.digest import combine
from manifests.format.digest import digest as digest_of
from manifests.format.integrity import file_sizes
from manifests.format.receipts import Receipt
from manifests.format.schema import schema
from manifests.format.store import Manifest

_log = logging.getLogger(__name__)

SHOWN = 5


def finish(
    work: Begun,
    started: float,
    *,
    digest: str | None = None,
    replaced: Mapping[str, Receipt] | None = None,
    account: Account | None = None,
) -> Manifest:
    """Commit the manifest of the plan of `work` from its receipts, and return it.

    `started` is when the run began, by `time.monotonic`. `replaced` has receipts that count instead of those of the
    units, by unit. `account` knows what the run has spent; without it, what the receipts say is recorded.

    Commits nothing and raises StageFailed when units left no receipt, when files are missing or have other sizes than
    their receipts name, when a unit has other rows than the part that it was made from, or when `digest` is given and
    is not that of the rows; raises LeaseLost when another run has taken over.
    """
    plan = work.plan
    names = {unit.name for unit in plan.units}
    receipts = {name: each for name, each in accepted_receipts(plan.run).items() if name in names}
    receipts |= replaced or {}
    _require_all(plan, receipts)
    _require_rows(plan, receipts)
    if digest is not None and (found := _digest(plan, receipts)) != digest:
        raise StageFailed(
            f"{plan.made_by}: the rows have digest {found[:16]}…, not {digest[:16]}…; nothing was committed"
        )
    _require_files(plan, receipts, file_sizes(plan.output))
    whole = plan.summarise([receipts[name] for name in sorted(receipts)])
    for path, data in whole.files.items():
        _put(plan, path, data)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    plan.run.require_held()
    if work.lease is not None:
        work.lease.stop()
    manifest = commit(
        plan.output,
        list(receipts.values()),
        dataclasses.replace(plan, whole=whole),
        created=now,
        spent=_spent(work, receipts, account, time.monotonic() - started),
        run=Run(folder=plan.run.folder, replaces=plan.replaces),
    )
    _log.info("%s: committed %d rows at %s, digest %s", plan.made_by, manifest.rows, manifest.uri, manifest.digest)
    tidy(manifest, plan.run)
    return manifest


def _put(plan: Plan, path: str, data: bytes) -> None:
    """Put a file of the manifest as a whole in its place, instead of one that another run left there."""
    uri = storage.join(plan.output, path)
    if exclusive.create(uri, data):
        return
    plan.run.require_held()
    staged = storage.join(plan.run.folder, path.rsplit("/", 1)[-1])
    if storage.is_local(uri):
        exclusive.rewrite(staged, data)
        exclusive.replace_file(uri, Path(storage.filesystem(staged)[1]))
    else:
        exclusive.rewrite(uri, data)


def _spent(work: Begun, receipts: Mapping[str, Receipt], account: Account | None, wall_seconds: float) -> Spent:
    """Return what the stage has cost: of units of earlier runs what their receipts say, else what `account` says."""
    if account is None:
        return Spent(wall_seconds=wall_seconds)
    earlier = sum(each.seconds for each in work.state.receipts.values())
    now = sum(each.seconds for name, each in receipts.items() if name not in work.state.receipts)
    return account.taken(wall_seconds=wall_seconds, earlier_seconds=earlier, unit_seconds=now)


def _require_all(plan: Plan, receipts: Mapping[str, Receipt]) -> None:
    done = {u.name for u in plan.units if u.name in receipts and receipts[u.name].fingerprint == u.fingerprint}
    missing = [u.name for u in plan.units if u.name not in done]
    if missing:
        raise StageFailed(
            f"{plan.made_by}: {len(missing)} of {len(plan.units)} units left no receipt ({_some(missing)}); "
            "run the same command to go on"
        )


def _require_rows(plan: Plan, receipts: Mapping[str, Receipt]) -> None:
    """Check that each unit has the rows, and the keys, of the part that it was made from, where it has to."""
    wrong = []
    for unit in plan.units:
        made = receipts[unit.name]
        if unit.rows is not None and made.rows != unit.rows:
            wrong.append(f"{unit.name} has {made.rows:,} of {unit.rows:,} rows")
        elif unit.key_lanes is not None and made.key_lanes != tuple(unit.key_lanes):
            wrong.append(f"{unit.name} has other keys")
    if wrong:
        raise StageFailed(
            f"{plan.made_by}: {len(wrong)} units lost or doubled rows ({_some(wrong)}); nothing was committed; use "
            "--restart to make them again, and report it"
        )


def _require_files(plan: Plan, receipts: Mapping[str, Receipt], sizes: Mapping[str, int]) -> None:
    faults = [fault for _, receipt in sorted(receipts.items()) for fault in faults_of(receipt, sizes)]
    if faults:
        raise StageFailed(
            f"{plan.output}: {len(faults)} files are not as they were written ({_some(faults)}); nothing was "
            "committed; run the same command to make them again"
        )


def _some(clauses: Sequence[str]) -> str:
    return ", ".join(clauses[:SHOWN]) + (f" and {len(clauses) - SHOWN:,} more" if len(clauses) > SHOWN else "")


def _digest(plan: Plan, receipts: Mapping[str, Receipt]) -> str:
    rows = sum(receipt.rows for receipt in receipts.values())
    columns = schema(plan.stage) if plan.schema is None else plan.schema
    return digest_of(combine(receipt.row_lanes for receipt in receipts.values()), rows, columns)
