"""The receipts that count in a run: those of its own units, and those that it took over from earlier runs.

Each run has a folder of its own in `_work/runs`, so that a worker which outlived its driver cannot add a receipt to a
later run. A run begins by reading the receipts of all earlier ones. Those that are still valid, and whose files are
there, it writes into one file of its own, `taken-over.jsonl`, and removes the earlier folders.
"""

import dataclasses
import logging
from collections.abc import Mapping

from jobs.units.lease import Fence, fences_up_to
from jobs.units.plan import Plan
from manifests import exclusive, storage
from manifests.errors import ManifestError
from manifests.format.integrity import file_sizes
from manifests.format.merged_receipts import from_lines, read_receipts, to_lines
from manifests.format.receipts import Receipt, read_receipt

TAKEN_OVER = "taken-over.jsonl"

_log = logging.getLogger(__name__)


def accepted_receipts(fence: Fence) -> dict[str, Receipt]:
    """Return unit → receipt of all units that are done in the run that holds the lease."""
    return read_run(fence.folder)


def read_accepted(fence: Fence, unit: str) -> Receipt:
    """Return the receipt of one unit in the run that holds the lease. Raises ManifestError if there is none."""
    try:
        return read_receipt(fence.folder, unit)
    except FileNotFoundError:
        found = _read_taken_over(fence.folder)
        if unit not in found:
            raise ManifestError(f"{fence.folder}: no receipt of {unit}; run the same command again") from None
        return found[unit]


def read_run(folder: str) -> dict[str, Receipt]:
    """Return unit → receipt in the folder of a run: those that it took over, then its own."""
    return {**_read_taken_over(folder), **read_receipts(folder)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """Receipts of earlier runs that are valid for a plan.

    `receipts` are those of its units, by unit. `moved` are those of units that have another name in the plan because
    sources were added before theirs, by fingerprint.
    """

    receipts: Mapping[str, Receipt]
    moved: Mapping[str, Receipt]


def earlier_receipts(plan: Plan, work: str, token: int) -> Found:
    """Return the receipts of runs with earlier tokens in the folder `work` that are valid for `plan`. Writes nothing.

    A receipt is valid if a unit of the plan has the same settings and inputs, if no source was broken, and if its
    files are there with the sizes that it names.
    """
    found: dict[str, Receipt] = {}
    for fence in fences_up_to(work, token - 1):
        found |= read_run(fence.folder)
    wanted = {unit.name: unit.fingerprint for unit in plan.units}
    known = set(wanted.values())
    valid = {name: r for name, r in found.items() if r.fingerprint in known and not r.broken_sources}
    if not valid:
        return Found(receipts={}, moved={})
    sizes = file_sizes(plan.output)
    for name in [name for name in valid if faults_of(valid[name], sizes)]:
        _log.warning("%s: unit %s is done again: %s", plan.output, name, faults_of(valid.pop(name), sizes)[0])
    mine = {name: receipt for name, receipt in valid.items() if wanted.get(name) == receipt.fingerprint}
    others = [receipt for name, receipt in valid.items() if name not in mine and not receipt.fixed_files]
    return Found(receipts=mine, moved={receipt.fingerprint: receipt for receipt in others})


def take_over(fence: Fence, receipts: Mapping[str, Receipt]) -> None:
    """Make `receipts` those of the run that holds the lease, and remove the folders of earlier runs.

    The folders are found by their leases, not by a listing: one that stayed would let an earlier run commit.
    """
    exclusive.rewrite(storage.join(fence.folder, TAKEN_OVER), to_lines(receipts.values()))
    for earlier in fences_up_to(fence.work, fence.token - 1):
        exclusive.remove_folder(earlier.folder)


def faults_of(receipt: Receipt, sizes: Mapping[str, int]) -> list[str]:
    """Return a clause for each file of `receipt` that is missing from `sizes` or has another size."""
    found = []
    for name, size in receipt.sizes.items():
        if name not in sizes:
            found.append(f"{name} is missing")
        elif sizes[name] != size:
            found.append(f"{name} has {sizes[name]:,} bytes, not {size:,}")
    return found


def _read_taken_over(folder: str) -> dict[str, Receipt]:
    try:
        data = storage.read_bytes(storage.join(folder, TAKEN_OVER))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return from_lines(data)
