"""The receipts that count in a run: those of its own units, and those that it took over from earlier runs.

Each run has a folder of its own in `_work/runs`, so that a worker which outlived its driver cannot add a receipt to a
later run. A run begins by reading the receipts of all earlier ones. Those that are still valid, and whose files are
there, it writes into a file of its own, `taken-over.jsonl`, those of units that have another name now into
`moved.jsonl`, and removes the earlier folders.
"""

import dataclasses
import logging
from collections.abc import Iterable, Mapping

from jobs.units.lease import Fence, fences_up_to
from jobs.units.plan import Plan
from manifests import exclusive, storage
from manifests.errors import ManifestError
from manifests.format.integrity import file_sizes
from manifests.format.merged_receipts import from_lines, read_receipts, to_lines
from manifests.format.receipts import Receipt, read_receipt

TAKEN_OVER, MOVED = "taken-over.jsonl", "moved.jsonl"

_log = logging.getLogger(__name__)


def accepted_receipts(fence: Fence) -> dict[str, Receipt]:
    """Return unit → receipt of all units that are done in the run that holds the lease."""
    return read_run(fence.folder)


def read_accepted(fence: Fence, unit: str) -> Receipt:
    """Return the receipt of one unit in the run that holds the lease. Raises ManifestError if there is none."""
    try:
        return read_receipt(fence.folder, unit)
    except FileNotFoundError:
        found = _by_unit(_read_lines(fence.folder, TAKEN_OVER))
        if unit not in found:
            raise ManifestError(f"{fence.folder}: no receipt of {unit}; run the same command again") from None
        return found[unit]


def read_run(folder: str) -> dict[str, Receipt]:
    """Return unit → receipt in the folder of a run: those that it took over, then its own."""
    return {**_by_unit(_read_lines(folder, TAKEN_OVER)), **read_receipts(folder)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """Receipts of earlier runs that are valid for a plan.

    `receipts` are those of its units, by unit. `moved` are those of units that have another name in the plan because
    sources were added before theirs, by fingerprint.
    """

    receipts: Mapping[str, Receipt] = dataclasses.field(default_factory=dict)
    moved: Mapping[str, Receipt] = dataclasses.field(default_factory=dict)


def earlier_receipts(plan: Plan, work: str, token: int) -> Found:
    """Return the receipts of runs with earlier tokens in the folder `work` that are valid for `plan`. Writes nothing.

    A receipt is valid if a unit of the plan has the same settings and inputs, if no source was broken, and if its
    files are there with the sizes that it names.
    """
    found: list[Receipt] = []
    for fence in fences_up_to(work, token - 1):
        found += [*_read_lines(fence.folder, MOVED), *read_run(fence.folder).values()]
    wanted = {unit.name: unit.fingerprint for unit in plan.units}
    known = set(wanted.values())
    valid = [receipt for receipt in found if receipt.fingerprint in known and not receipt.broken_sources]
    if not valid:
        return Found()
    sizes = file_sizes(plan.output)
    mine, moved = dict[str, Receipt](), dict[str, Receipt]()
    for receipt in valid:
        if faults := faults_of(receipt, sizes):
            _log.warning("%s: unit %s is done again: %s", plan.output, receipt.unit, faults[0])
        elif wanted.get(receipt.unit) == receipt.fingerprint:
            mine[receipt.unit] = receipt
        elif not receipt.fixed_files:
            moved[receipt.fingerprint] = receipt
    return Found(receipts=mine, moved=moved)


def take_over(fence: Fence, found: Found) -> None:
    """Make what was `found` that of the run that holds the lease, and remove the folders of earlier runs.

    The folders are found by their leases, not by a listing: one that stayed would let an earlier run commit.
    """
    exclusive.rewrite(storage.join(fence.folder, TAKEN_OVER), to_lines(found.receipts.values()))
    if found.moved:
        exclusive.rewrite(storage.join(fence.folder, MOVED), to_lines(found.moved.values()))
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


def _read_lines(folder: str, name: str) -> list[Receipt]:
    try:
        return from_lines(storage.read_bytes(storage.join(folder, name)))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _by_unit(receipts: Iterable[Receipt]) -> dict[str, Receipt]:
    return {receipt.unit: receipt for receipt in receipts}
