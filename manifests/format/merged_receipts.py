"""Receipts of many units in few files: a resume reads dozens of them, whatever the number of units.

    receipts/00003/part-00192.json, …   of each unit, in a folder for each group of GROUP_UNITS units
    receipts/group-00003.jsonl          those of a group, when all its units are done
    receipts/batch-00000.jsonl          those of GROUPS_IN_BATCH groups, when all of these are

The worker that ends the last unit of a group merges them. Receipts never change, so that whoever merges them writes
the same. The single ones stay, for attempts that are late.
"""

import contextlib
import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Mapping

from manifests import exclusive, storage
from manifests.errors import ManifestError
from manifests.format.receipts import RECEIPTS, Receipt, batch_of, group_of

_GROUP, _BATCH, _LINES = "group-", "batch-", ".jsonl"


def group_sizes(units: Iterable[str]) -> dict[str, int]:
    """Return group → how many of `units` are in it."""
    return dict(Counter(map(group_of, units)))


def merge_receipts(run_folder: str, unit: str, sizes: Mapping[str, int]) -> None:
    """Merge the receipts of the group of `unit`, and then those of its batch, if all units of them are done.

    Args:
        run_folder: the folder of the run.
        unit: a unit that is done.
        sizes: how many units the run has to do in each group; others are not merged.
    """
    folder, group = storage.join(run_folder, RECEIPTS), group_of(unit)
    if group not in sizes:
        return
    names = _receipts_in(storage.join(folder, group))
    if len(names) < sizes[group]:
        return
    found = _read_single(storage.join(folder, group), names)
    if len(found) < sizes[group]:  # one is damaged: its unit is done again
        return
    exclusive.create(_uri(folder, _GROUP, group), to_lines(found.values()), make_folder=False)
    batch = batch_of(group)
    wanted = {f"{_GROUP}{each}{_LINES}" for each in sizes if batch_of(each) == batch}
    if wanted <= set(storage.list_names(folder)):
        merged = b"".join(data for _, data in sorted(storage.read_many(folder, sorted(wanted)).items()))
        exclusive.create(_uri(folder, _BATCH, batch), merged, make_folder=False)


def read_receipts(run_folder: str) -> dict[str, Receipt]:
    """Return unit → receipt in the folder of a run: merged ones where there are, single ones of other groups.

    A damaged receipt is left out, so that its unit is done again.
    """
    folder = storage.join(run_folder, RECEIPTS)
    there = storage.list_names(folder)
    batches = {_name_in(name, _BATCH) for name in there} - {None}
    groups = {group for name in there if (group := _name_in(name, _GROUP)) and batch_of(group) not in batches}
    merged = [f"{_BATCH}{each}{_LINES}" for each in batches] + [f"{_GROUP}{each}{_LINES}" for each in groups]
    found: dict[str, Receipt] = {}
    for data in storage.read_many(folder, sorted(merged)).values():
        found |= {receipt.unit: receipt for receipt in from_lines(data)}
    for group in there:
        if not group.endswith(_LINES) and group not in groups and batch_of(group) not in batches:
            inside = storage.join(folder, group)
            found |= _read_single(inside, _receipts_in(inside))
    return found


def to_lines(receipts: Iterable[Receipt]) -> bytes:
    """Return receipts as JSON, one a line, in the order of their units."""
    ordered = sorted(receipts, key=lambda receipt: receipt.unit)
    lines = [json.dumps(dataclasses.asdict(each), sort_keys=True) for each in ordered]
    return "\n".join([*lines, ""]).encode()


def from_lines(data: bytes) -> list[Receipt]:
    """Return the receipts that `to_lines` wrote. Lines that are none are left out."""
    found = []
    for line in data.splitlines():
        with contextlib.suppress(ManifestError):
            found.append(Receipt.from_json(line))
    return found


def _uri(folder: str, kind: str, name: str) -> str:
    return storage.join(folder, f"{kind}{name}{_LINES}")


def _name_in(file: str, kind: str) -> str | None:
    return file[len(kind) : -len(_LINES)] if file.startswith(kind) and file.endswith(_LINES) else None


def _receipts_in(folder: str) -> list[str]:
    return [name for name in storage.list_names(folder) if name.endswith(".json")]


def _read_single(folder: str, names: list[str]) -> dict[str, Receipt]:
    found: dict[str, Receipt] = {}
    for name, data in storage.read_many(folder, names).items():
        with contextlib.suppress(ManifestError):
            receipt = Receipt.from_json(data)
            if f"{receipt.unit}.json" == name:
                found[receipt.unit] = receipt
    return found
