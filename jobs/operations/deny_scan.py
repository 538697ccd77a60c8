"""Find the rows of a manifest whose pictures a deny list has: a task for each part, on either engine."""

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from curation.takedown.deny_list import COLUMNS, DenyList
from manifests.format.integrity import require_intact
from manifests.format.store import Manifest, part_of, read_batches
from manifests.sql.engine import Engine

_TASKS = "SELECT part, task FROM deny_tasks"


@dataclass(frozen=True, kw_only=True)
class Denied:
    """The rows of one part, by position, that a list has, and which of its hashes they matched, if that was asked."""

    part: int
    rows: list[int]
    hashes: list[str]


def denied_rows(engine: Engine, manifest: Manifest, denied: DenyList, *, with_hashes: bool = False) -> list[Denied]:
    """Return the rows of `manifest` that match `denied`, by part; parts without any are left out.

    Only the columns with hashes are read. Raises ManifestError when a part differs from the committed one.
    """
    if not denied or not manifest.parts:
        return []
    require_intact(manifest)
    tasks = [json.dumps(dataclasses.asdict(replace(part, files={}))) for part in manifest.parts]
    engine.table(
        "deny_tasks",
        pa.table({"part": pa.array(range(len(tasks)), pa.int32()), "task": pa.array(tasks, pa.string())}),
    )
    work = _ScanPart(manifest=replace(manifest, parts=[], taken_down=[]), denied=denied, with_hashes=with_hashes)
    found = [Denied(**each) for each in engine.map_groups(_TASKS, "part", "part", work) if each["rows"]]
    return sorted(found, key=lambda each: each.part)


@dataclass(frozen=True, kw_only=True)
class _ScanPart:
    """Scans one part, in any process."""

    manifest: Manifest
    denied: DenyList
    with_hashes: bool

    def __call__(self, group: pa.Table) -> dict[str, Any]:
        """Return the fields of Denied for the part that the row of `group` describes."""
        part = part_of(json.loads(group.column("task")[0].as_py()))
        names = [name for name in COLUMNS if name in self.manifest.schema.names]
        rows: list[int] = []
        hashes: set[str] = set()
        first = 0
        batches = read_batches(self.manifest.part_uri(part), names, rows=part.rows, size_bytes=part.size_bytes)
        for batch in batches:
            mask = self.denied.matches(batch)
            here = batch.filter(mask)
            if here.num_rows:
                rows += [first + place for place in _places(mask)]
                hashes |= self.denied.found_in(here) if self.with_hashes else set()
            first += batch.num_rows
        return {"part": group.column("part")[0].as_py(), "rows": rows, "hashes": sorted(hashes)}


def _places(mask: pa.BooleanArray) -> Iterator[int]:
    yield from mask.to_numpy(zero_copy_only=False).nonzero()[0].tolist()
