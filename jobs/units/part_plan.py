"""Stages that write one part for each part of their parent, and those that add columns to it batch by batch."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from jobs.units.lineage import Lineage
from jobs.units.plan import Plan, UnitMaker
from jobs.units.worker import Attempt, receipt_of
from manifests import storage
from manifests.format.digest import settings_hash
from manifests.format.receipts import Receipt, write_part
from manifests.format.schema import Stage, schema
from manifests.format.store import Manifest, read_batches


def plan_parts(
    stage: Stage,
    lineage: Lineage,
    output: str,
    config: Mapping[str, Any],
    software: Mapping[str, str],
    options: Mapping[str, Mapping[str, Any]],
) -> Plan:
    """Return the plan of a stage that writes one part for each part of its parent."""
    parent = lineage.manifest
    maker = part_units(stage, parent, config, software, lineage.others)
    units = [
        maker.unit(p.unit, {"part": p.name}, rows=p.rows, size_bytes=p.size_bytes, key_lanes=p.key_lanes)
        for p in parent.parts
    ]
    return Plan(
        stage=stage,
        output=storage.absolute(output),
        config=config,
        software=software,
        inputs={"parent": parent.digest, **lineage.others},
        parents=lineage.parents,
        roots=lineage.roots,
        funnel=lineage.funnel,
        taken_down=lineage.manifest.taken_down,
        units=units,
        options=options,
        reads=[parent],
    )


def part_units(
    stage: Stage,
    parent: Manifest,
    config: Mapping[str, Any],
    software: Mapping[str, str],
    others: Mapping[str, str] | None = None,
) -> UnitMaker:
    """Return the maker of units that each depend on one part of `parent`, and on all its rows.

    `others` are the digests of other manifests that the rows depend on, by role. Units also depend on the hashes of
    the parts: the same rows in other parts make other units.
    """
    layout = settings_hash([(p.name, p.sha256) for p in parent.parts])
    shared = {"parent": parent.digest, "layout": layout, **(others or {})}
    return UnitMaker(stage=stage, config=config, software=software, shared=shared)


AddColumns = Callable[[pa.Table], pa.Table]


def no_facts(table: pa.Table) -> Mapping[str, int]:
    """Return no counts for `table`."""
    return {}


@dataclasses.dataclass(frozen=True, kw_only=True)
class MapPart:
    """Performs a unit: adds columns to a part of the parent, batch by batch.

    `make` returns, in the worker, the function that adds them. `count` returns what is added up as facts of the part.
    `reuse` returns a function that adds the same columns, but takes what it can from an earlier part at a URI.
    """

    stage: Stage
    parent: str
    roots: Sequence[str]
    make: Callable[[], AddColumns]
    count: Callable[[pa.Table], Mapping[str, int]] = no_facts
    reuse: Callable[[AddColumns, str], AddColumns] | None = None

    def __call__(self, attempt: Attempt) -> Receipt:
        """Write the unit's part and return its receipt."""
        add, unit = self.make(), attempt.unit
        if unit.rows_from is not None and self.reuse is not None:
            add = self.reuse(add, unit.rows_from)
        source = storage.join(self.parent, unit.inputs["part"])
        facts: Counter[str] = Counter()

        def added() -> Iterator[pa.RecordBatch]:
            for batch in read_batches(source, rows=unit.rows, size_bytes=unit.size_bytes):
                table = add(pa.Table.from_batches([batch]))
                facts.update(self.count(table))
                yield from table.to_batches()

        part = write_part(attempt.part, added(), schema(self.stage), roots=self.roots)
        return receipt_of(unit, part, facts=dict(facts))
