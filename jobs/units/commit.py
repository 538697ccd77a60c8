"""The end of a run: check that every unit has a valid receipt, remove leftovers, commit the manifest."""

import datetime
import logging
import time
from collections.abc import Mapping

from jobs.units.plan import Plan
from jobs.units.state import is_ours
from manifests import storage
from manifests.errors import StageFailed
from manifests.format.digest import combine
from manifests.format.digest import digest as digest_of
from manifests.format.receipts import Receipt, read_receipts
from manifests.format.schema import schema
from manifests.format.store import Manifest, commit

_log = logging.getLogger(__name__)


def finish(plan: Plan, started: float, *, digest: str | None = None) -> Manifest:
    """Commit the manifest of `plan` from its receipts, and return it.

    `started` is when the run began, by `time.monotonic`. Raises StageFailed when units left no receipt, or when
    `digest` is given and is not that of the rows.
    """
    wanted = {u.name: u for u in plan.units}
    receipts: dict[str, Receipt] = {
        n: r for n, r in read_receipts(plan.output).items() if n in wanted and r.fingerprint == wanted[n].fingerprint
    }
    missing = sorted(set(wanted) - set(receipts))
    if missing:
        raise StageFailed(
            f"{plan.made_by}: {len(missing)} of {len(wanted)} units left no receipt ({', '.join(missing[:5])} …); "
            "run the same command to go on"
        )
    if digest is not None and (found := _digest(plan, receipts)) != digest:
        raise StageFailed(
            f"{plan.made_by}: the rows have digest {found[:16]}…, not {digest[:16]}…; nothing was committed"
        )
    _sweep(plan, receipts)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    wall_seconds = time.monotonic() - started
    manifest = commit(plan.output, list(receipts.values()), plan, created=now, wall_seconds=wall_seconds)
    _log.info("%s: committed %d rows at %s, digest %s", plan.made_by, manifest.rows, manifest.uri, manifest.digest)
    return manifest


def _digest(plan: Plan, receipts: Mapping[str, Receipt]) -> str:
    rows = sum(receipt.rows for receipt in receipts.values())
    columns = schema(plan.stage) if plan.schema is None else plan.schema
    return digest_of(combine(receipt.row_lanes for receipt in receipts.values()), rows, columns)


def _sweep(plan: Plan, receipts: Mapping[str, Receipt]) -> None:
    """Remove files that killed attempts and earlier plans left next to the parts: no receipt names them."""
    named = {r.part for r in receipts.values()} | {f for r in receipts.values() for f in r.files}
    for name in storage.list_names(plan.output):
        if name not in named and is_ours(name) and not name.startswith("_"):
            _log.debug("%s: removing %s, which no receipt names", plan.output, name)
            storage.remove(storage.join(plan.output, name))
