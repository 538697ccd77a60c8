"""What an earlier run has done: parts of units whose inputs and settings are the same are copied, not made again.

An input that has grown is the normal case. A unit of the new plan finds the part of the earlier run by its
fingerprint, which is a hash of everything that decides its rows, whatever number it has now.
"""

import dataclasses
import hashlib
import logging
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jobs.units.differences import differences, first
from jobs.units.plan import Plan, Unit
from manifests import storage
from manifests.format.receipts import Receipt, part_name
from manifests.format.store import Manifest, Part
from manifests.hashing_writer import HashingWriter

_log = logging.getLogger(__name__)

COPIED_AT_ONCE = 1 << 20


def made_from(receipt: Receipt, folder: str) -> dict[str, Any]:
    """Return `Unit.made` for the part that `receipt` names in `folder`, as values that JSON can store."""
    return {"uri": storage.join(folder, receipt.part), "receipt": receipt.to_json().decode()}


def with_parts_of(plan: Plan, earlier: Manifest) -> Plan:
    """Return `plan` with the parts of `earlier`, of the same stage, for units with the same inputs and settings."""
    parts = {part.fingerprint: part for part in earlier.parts if part.fingerprint is not None}
    found = {
        unit.name: made_from(_receipt_of(parts[unit.fingerprint], earlier, unit), earlier.uri)
        for unit in plan.units
        if unit.fingerprint in parts
    }
    units = [_with(unit, found.get(unit.name)) for unit in plan.units]
    return dataclasses.replace(plan, units=units, notices=[_notice(plan, earlier, len(found), "are copied from")])


def with_rows_of(plan: Plan, earlier: Manifest) -> Plan:
    """Return `plan` with the parts of `earlier`, of the same stage, from which units can take rows.

    These are the parts with the same keys, if the settings and the software are the same.
    """
    differ = _differences(plan, earlier)
    parts = {} if differ else {part.key_lanes: part for part in earlier.parts if part.key_lanes is not None}
    found = {unit.name: parts[key] for unit in plan.units if (key := _keys(unit)) in parts}
    units = [
        dataclasses.replace(unit, rows_from=earlier.part_uri(found[unit.name])) if unit.name in found else unit
        for unit in plan.units
    ]
    return dataclasses.replace(plan, units=units, notices=[_notice(plan, earlier, len(found), "take rows from")])


def _keys(unit: Unit) -> tuple[int, ...] | None:
    return None if unit.key_lanes is None else tuple(unit.key_lanes)


def _differences(plan: Plan, earlier: Manifest) -> list[str]:
    old = {"config": earlier.config, "software": earlier.software}
    return differences(old, {"config": plan.config, "software": plan.software})


def _notice(plan: Plan, earlier: Manifest, found: int, how: str) -> str:
    text = f"{found:,} of {len(plan.units):,} units {how} {earlier.uri}"
    if found:
        return text
    if differ := _differences(plan, earlier):
        return f"{text}; its settings differ: {', '.join(first(differ, 3))}"
    is_recorded = any(part.fingerprint is not None for part in earlier.parts)
    return text if is_recorded else f"{text}; its version did not record what parts were made of"


def with_moved(units: Sequence[Unit], receipts: Mapping[str, Receipt], output: str) -> list[Unit]:
    """Return `units` with the parts at `output` that were made of the same inputs under another name.

    `receipts` are by fingerprint. Units get other names when sources are added before theirs.
    """
    return [
        _with(unit, made_from(receipts[unit.fingerprint], output)) if unit.fingerprint in receipts else unit
        for unit in units
    ]


def copied(unit: Unit, folder: str) -> Receipt | None:
    """Copy the part that was made earlier into the local folder `folder`, and return the receipt for `unit`.

    Returns None if there is no such part, or if it is missing or not what was committed: then the unit is to be done.
    """
    if unit.made is None:
        return None
    before = Receipt.from_json(unit.made["receipt"])
    uri, path = unit.made["uri"], Path(storage.filesystem(storage.join(folder, unit.part))[1])
    try:
        sha256 = _copy(uri, path)
    except OSError as e:
        _log.warning("%s: cannot be taken over (%s); its unit is done again", uri, e)
        return None
    if sha256 != before.sha256:
        path.unlink()
        _log.warning("%s: altered: its sha256 is not the committed one; its unit is done again", uri)
        return None
    part = part_name(unit.name, sha256)
    return dataclasses.replace(before, unit=unit.name, part=part, attempt=uuid.uuid4().hex)


def _copy(uri: str, path: Path) -> str:
    """Copy a file to a local path, by a link where that is possible, and return its sha256."""
    if storage.is_local(uri):
        try:
            os.link(os.path.realpath(storage.filesystem(uri)[1]), path)  # not the link, if the part is one
        except OSError:
            pass
        else:
            with path.open("rb") as f:
                return hashlib.file_digest(f, "sha256").hexdigest()
    with storage.open_input(uri) as source, path.open("wb") as f:
        writer = HashingWriter(f)
        shutil.copyfileobj(source, writer, COPIED_AT_ONCE)
        return writer.sha256.hexdigest()


def receipt_of_part(part: Part, unit: Unit) -> Receipt:
    """Return the receipt of `unit` with what `part`, which stays as it is, has recorded."""
    return Receipt(
        unit=unit.name,
        fingerprint=unit.fingerprint,
        part=part.name,
        rows=part.rows,
        size_bytes=part.size_bytes,
        sha256=part.sha256,
        lanes=part.lanes,
        key_lanes=part.key_lanes,
        counts=part.counts,
        files=part.files,
        facts=part.facts,
    )


def _receipt_of(part: Part, manifest: Manifest, unit: Unit) -> Receipt:
    warnings = manifest.source_warnings
    sources = [source["uri"] for source in unit.inputs.get("sources", ())]
    known = {uri: warnings[uri] for uri in sources if uri in warnings}
    return dataclasses.replace(receipt_of_part(part, unit), unit=part.unit, source_warnings=known)


def _with(unit: Unit, made: Mapping[str, Any] | None) -> Unit:
    return unit if made is None else dataclasses.replace(unit, made=made)
